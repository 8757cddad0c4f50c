/* The fence behind a change of the routing table: whom it holds, and how it lets go. */
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/routing/fence.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

static struct node node;
static struct fence *fence;
static bool in_use;
static uint64_t gone[16]; /* msgids in the order in which they were let go */
static uint32_t went;
static char code_of[16][20]; /* of errors, by msgid */

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	struct reply r;

	(void)arg;
	(void)o;
	(void)index;
	(void)stays;
	EQ(1, count);
	EQ(0, reply_walk(bytes, bytes + n, &r));
	(void)snprintf(code_of[r.msgid], sizeof(code_of[0]), "%.*s", (int)r.code.n, r.code.p);
}

static struct reply_sink sink = {.replies = replies};

static bool ask_in_use(void *arg)
{
	(void)arg;
	return in_use;
}

static void let_go(void *arg, const struct fenced *f)
{
	(void)arg;
	EQ(2, f->visited_count);
	SAME(f->visited[1].p, f->visited[1].n, "bar");
	EQ(1, f->from_node);
	EQ(7, f->reply_to.generation);
	EQ(f->request->msgid, f->item->index);
	EQ(f->item->size, f->request->end - f->item->data);
	gone[went++] = f->request->msgid;
}

static void fence_open(void)
{
	const struct fence_events events = {ask_in_use, let_go, NULL};
	char set[CODEC_SET_BYTES] = {0};

	node = (struct node){.now_ms = 1000, .queue_max = 1000};
	in_use = true;
	went = 0;
	memset(code_of, 0, sizeof(code_of));
	EQ(0, fence_new(&node, &sink, &events, &fence));
	set_add(set, 'a');
	fence_begin(fence, set);
	TRUE_(fence_busy(fence));
}

/* A request for `bucket` comes.  Returns whether it is held. */
static bool come(uint64_t msgid, const char *bucket, uint32_t size, uint32_t timeout_ms)
{
	static char data[1000];
	const struct span visited[2] = {span_of("foo"), span_of("bar")};
	char *p = write_request_head(data, msgid, WIRE_GET, 2);
	struct request q;
	struct item it;
	const char *why;

	p = write_bin(p, bucket, strlen(bucket));
	p = write_bin(p, data + 500, size); /* any bytes */
	EQ(0, request_walk(data, p, &q, &why));
	it = (struct item){.data = data,
			   .size = (uint32_t)(p - data),
			   .timeout_ms = timeout_ms,
			   .msgid = msgid,
			   .index = (uint16_t)msgid,
			   .method = WIRE_GET};
	return fence_holds(fence, &(struct fenced){
					  {0, 0, 7},
                                          true, &q, &it, visited, 2, false
        });
}

static void what_goes_another_way_waits_and_keeps_its_order(void)
{
	fence_open();
	TRUE_(come(1, "a1", 10, 5000));
	TRUE_(!come(2, "b1", 10, 5000)); /* its way is as it was */
	TRUE_(come(3, "a2", 10, 5000));
	TRUE_(come(4, "a1", 10, 5000));
	(void)fence_step(fence);
	EQ(0, went);
	in_use = false;
	EQ(UINT64_MAX, fence_step(fence));
	EQ(3, went);
	EQ(1, gone[0]);
	EQ(3, gone[1]);
	EQ(4, gone[2]);
	TRUE_(!fence_busy(fence));
	TRUE_(!come(5, "a1", 10, 5000));
	fence_free(&fence);
}

static void time_that_is_spent_waiting_counts(void)
{
	fence_open();
	TRUE_(come(1, "a1", 10, 5000));
	TRUE_(come(2, "a1", 10, 15));
	TRUE_(fence_step(fence) <= 1015);
	node.now_ms = 1015;
	(void)fence_step(fence);
	SAME(code_of[2], strlen(code_of[2]), "expired");
	TRUE_(come(3, "a1", 10, 5000));
	in_use = false;
	(void)fence_step(fence);
	EQ(2, went);
	EQ(1, gone[0]);
	EQ(3, gone[1]);
	fence_free(&fence);
}

static void too_much_is_refused_and_the_rest_waits_on(void)
{
	fence_open();
	TRUE_(come(1, "a1", 450, 5000));
	TRUE_(come(2, "a1", 450, 5000));
	TRUE_(come(3, "a1", 450, 5000)); /* answered: there is room for 1000 bytes */
	SAME(code_of[3], strlen(code_of[3]), "busy");
	TRUE_(come(4, "a1", 10, 5000));
	in_use = false;
	(void)fence_step(fence);
	EQ(3, went);
	EQ(4, gone[2]);
	fence_free(&fence);
}

UNIT_MAIN(T(what_goes_another_way_waits_and_keeps_its_order), T(time_that_is_spent_waiting_counts),
	  T(too_much_is_refused_and_the_rest_waits_on))
