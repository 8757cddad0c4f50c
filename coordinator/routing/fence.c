/* What waits behind a change of the routing table. */
#include "coordinator/routing/fence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

#define REQUESTS_MAX 65536u /* that wait; more are answered busy */

struct held {
	struct held *next;
	struct reply_to reply_to;
	uint64_t due_ms;
	uint32_t visited_count;
	char visited[HOPS_MAX][PEER_MESSAGE_NODE_MAX + 1];
	bool from_node;
	uint32_t size;
	char data[]; /* the request */
};

struct fence {
	const struct node *node;
	struct reply_sink *sink;
	struct fence_events events;
	bool active;
	char set[CODEC_SET_BYTES];
	struct held *first;
	struct held *last;
	uint32_t count;
	uint64_t bytes;
};

int fence_new(const struct node *node, struct reply_sink *sink, const struct fence_events *events,
	      struct fence **ret)
{
	struct fence *s = calloc(1, sizeof(*s));

	*ret = s;
	if (!s)
		return -ENOMEM;
	s->node = node;
	s->sink = sink;
	s->events = *events;
	return 0;
}

void fence_free(struct fence **sp)
{
	struct held *next;

	for (struct held *h = *sp ? (*sp)->first : NULL; h; h = next) {
		next = h->next;
		free(h);
	}
	free(*sp);
	*sp = NULL;
}

bool fence_busy(const struct fence *s)
{
	return s->active;
}

void fence_begin(struct fence *s, const char *set)
{
	s->active = true;
	memcpy(s->set, set, sizeof(s->set));
}

bool fence_holds(struct fence *s, const struct fenced *f)
{
	const struct item *it = f->item;
	struct reply_to o = f->reply_to;
	struct held *h;

	if (!s->active || !set_has(s->set, (uint8_t)f->request->bucket.p[0]))
		return false;
	o.index = it->index;
	h = s->count < REQUESTS_MAX && (!s->bytes || s->bytes + it->size <= s->node->queue_max)
		    ? malloc(sizeof(*h) + it->size)
		    : NULL;
	if (!h) {
		reply_error(s->sink, o, it->method, it->msgid, true, WIRE_E_BUSY,
			    "the routing table has just changed and too much waits for it: try "
			    "again later");
		return true;
	}
	h->next = NULL;
	h->reply_to = o;
	h->due_ms = s->node->now_ms + it->timeout_ms;
	h->from_node = f->from_node;
	h->visited_count = f->visited_count;
	for (uint32_t i = 0; i < h->visited_count; i++) {
		memcpy(h->visited[i], f->visited[i].p, f->visited[i].n);
		h->visited[i][f->visited[i].n] = '\0';
	}
	h->size = it->size;
	memcpy(h->data, it->data, it->size);
	if (s->last)
		s->last->next = h;
	else
		s->first = h;
	s->last = h;
	s->count++;
	s->bytes += it->size;
	return true;
}

/* One request that waited takes the new way, or is told that its time is over. */
static void let_go(struct fence *s, struct held *h)
{
	struct span visited[HOPS_MAX];
	struct request q;
	const char *why;
	struct item it;

	(void)request_walk(h->data, h->data + h->size, &q, &why);
	if (h->due_ms <= s->node->now_ms) {
		reply_error(s->sink, h->reply_to, q.method, q.msgid, true, WIRE_E_EXPIRED,
			    "its time was over before it was started");
		return;
	}
	for (uint32_t i = 0; i < h->visited_count; i++)
		visited[i] = span_of(h->visited[i]);
	it = (struct item){.data = h->data,
			   .size = h->size,
			   .timeout_ms = (uint32_t)(h->due_ms - s->node->now_ms),
			   .next = ITEM_NONE,
			   .msgid = q.msgid,
			   .index = (uint16_t)h->reply_to.index,
			   .method = (uint8_t)q.method};
	s->events.let_go(s->events.arg, &(struct fenced){h->reply_to, h->from_node, &q, &it,
							 visited, h->visited_count, false});
}

/* Those whose time is over are answered while the others wait on. */
static uint64_t overdue(struct fence *s)
{
	struct held **link = &s->first;
	struct held *h;
	uint64_t next = UINT64_MAX;

	s->last = NULL;
	while ((h = *link)) {
		if (h->due_ms > s->node->now_ms) {
			next = h->due_ms < next ? h->due_ms : next;
			s->last = h;
			link = &h->next;
			continue;
		}
		*link = h->next;
		s->count--;
		s->bytes -= h->size;
		let_go(s, h);
		free(h);
	}
	return next;
}

uint64_t fence_step(struct fence *s)
{
	struct held *h;

	if (!s->active)
		return UINT64_MAX;
	if (s->events.in_use(s->events.arg)) {
		uint64_t next = overdue(s);

		return next < s->node->now_ms + 20 ? next : s->node->now_ms + 20;
	}
	s->active = false;
	while ((h = s->first)) {
		s->first = h->next;
		let_go(s, h);
		free(h);
	}
	s->last = NULL;
	s->count = 0;
	s->bytes = 0;
	return UINT64_MAX;
}
