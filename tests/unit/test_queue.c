/* A worker's queue without a worker: the test plays it, on a mapping of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/queue/queue.h"
#include "ipc/shm/records.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

#define REQUESTS_MAX 60000u
#define RING_BYTES   65536u

static struct node node;
static struct queue queue;
static struct segment *worker; /* its mapping */

/* What became of each request, by its msgid. */
static struct {
	uint32_t answers;
	char code[20]; /* of the last one; "": no error */
} request_of[REQUESTS_MAX];
static uint32_t requests;

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	const char *p = bytes;

	(void)arg;
	(void)stays;
	for (uint32_t i = 0; i < count; i++) {
		struct reply r;

		EQ(0, reply_walk(p, bytes + n, &r));
		p = r.end;
		TRUE_(r.msgid < requests);
		EQ(o.generation + index[i], r.msgid); /* as they were pushed */
		request_of[r.msgid].answers++;
		(void)snprintf(request_of[r.msgid].code, sizeof(request_of[r.msgid].code), "%.*s",
			       (int)r.code.n, r.code.p ? r.code.p : "");
	}
}

static const char *over_none(void *arg, struct reply_to o)
{
	(void)arg;
	(void)o;
	return NULL;
}

static bool full_never(void *arg)
{
	(void)arg;
	return false;
}

static struct reply_sink sink = {.replies = replies, .over = over_none, .full = full_never};

static void queue_open(void)
{
	static const struct settings settings = {.workers = 1, .value_max = 1000};

	log_level_set(LOG_ERROR + 1);
	memset(request_of, 0, sizeof(request_of));
	requests = 0;
	node = (struct node){.now_ms = 1000, .now_us = 1000000};
	queue = (struct queue){.node = &node, .sink = &sink, .wake = -1, .due_ms = UINT64_MAX};
	EQ(0, segment_create(&settings, &(struct segment_room){RING_BYTES, RING_BYTES, 0, 0},
			     &queue.segment));
	EQ(0, segment_attach(fcntl(queue.segment->fd, F_DUPFD_CLOEXEC, 3), &worker));
}

static void pass(uint64_t ms)
{
	node.now_ms += ms;
	node.now_us = 1000 * node.now_ms;
}

static void queue_close(void)
{
	segment_free(&worker);
	segment_free(&queue.segment);
}

/* A record of `count` requests.  False: there is no room. */
static bool push(uint32_t count, uint32_t timeout_ms)
{
	static struct item item[8];
	static char data[8][64];
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		char *p = write_request_head(data[i], requests + i, WIRE_PUT, 3);

		p = write_bin(write_bin(write_bin(p, "bucket", 6), "k", 1), "v", 1);
		item[i] = (struct item){
			.bucket = {p - 12, 6},
			.key = {p - 4,  1},
			.value = {p - 1,  1},
			.msgid = requests + i,
			.data = data[i],
			.size = (uint32_t)(p - data[i]),
			.timeout_ms = timeout_ms,
			.next = i + 1,
			.index = (uint16_t)i,
			.method = WIRE_PUT
                };
		bytes += queue_item_bytes(&item[i]);
	}
	if (queue_push(&queue, (struct reply_to){0, 0, requests}, item, 0, count, bytes, 0, false) <
	    0)
		return false;
	requests += count;
	return true;
}

/* The worker answers `count` requests of the record at `pos`, from `first` on.  False: no room. */
static bool work(uint64_t pos, uint32_t first, uint32_t count)
{
	const struct request_record *rec = ring_at(&worker->request, pos);
	char bytes[8 * CODEC_REPLY_MAX];
	char *p = bytes;
	struct reply_block *b;
	uint64_t size;

	for (uint32_t i = first; i < first + count; i++) {
		TRUE_(record_fits(rec, i));
		p = write_text(write_reply_head(p, rec->entry[i].msgid), "done");
	}
	size = sizeof(*b) + (size_t)(p - bytes);
	b = ring_reserve(&worker->durable, size);
	if (!b)
		return false;
	*b = (struct reply_block){.size = (uint32_t)ring_round(size),
				  .bytes = (uint32_t)(p - bytes),
				  .record = pos,
				  .first = first,
				  .count = (uint16_t)count};
	memcpy(b + 1, bytes, (size_t)(p - bytes));
	ring_commit(&worker->durable, size);
	ring_publish(&worker->durable, worker->durable.write);
	return true;
}

static unsigned take(void)
{
	bool corrupted = false;
	unsigned n = queue_take(&queue, &corrupted);

	TRUE_(!corrupted);
	queue_taken(&queue, true);
	return n;
}

static void replies_go_to_whoever_asked(void)
{
	queue_open();
	TRUE_(push(3, 1000));
	TRUE_(push(2, 1000));
	TRUE_(!queue_ready(&queue));
	TRUE_(work(0, 0, 2));
	TRUE_(queue_ready(&queue));
	EQ(1, take());
	EQ(1, request_of[0].answers);
	EQ(0, request_of[2].answers);
	TRUE_(queue_waiting(&queue)); /* a request of the first record is open */
	TRUE_(work(0, 2, 1));
	TRUE_(work(((struct request_record *)ring_at(&worker->request, 0))->size, 0, 2));
	status_set(&worker->status->reached, queue.segment->request.write);
	EQ(2, take());
	for (uint32_t i = 0; i < 5; i++)
		EQ(1, request_of[i].answers);
	EQ(0, queue_waiting(&queue));
	queue_close();
}

static void what_is_overdue_is_answered_here_and_once(void)
{
	queue_open();
	TRUE_(push(1, 100));
	pass(110);
	(void)queue_expire(&queue, true); /* its worker may say it better */
	EQ(0, request_of[0].answers);
	pass(OVERDUE_GRACE_MS);
	(void)queue_expire(&queue, true);
	SAME(request_of[0].code, strlen(request_of[0].code), "timeout");
	TRUE_(queue_waiting(&queue)); /* it may be in the worker's hands */
	TRUE_(work(0, 0, 1));
	EQ(1, take());
	EQ(1, request_of[0].answers); /* that came too late */
	status_set(&worker->status->reached, queue.segment->request.write);
	queue_free(&queue, true);
	EQ(0, queue_waiting(&queue));
	/* Nobody is there who could have started it. */
	TRUE_(push(1, 100));
	pass(100 + OVERDUE_GRACE_MS);
	(void)queue_expire(&queue, false);
	SAME(request_of[1].code, strlen(request_of[1].code), "expired");
	queue_close();
}

static void what_killed_two_workers_is_kept_from_a_third(void)
{
	queue_open();
	TRUE_(push(3, 100000));
	status_set(&worker->status->executing, 1 + 1); /* the record at 0, its second request */
	queue_judge(&queue);
	EQ(0, request_of[1].answers);
	status_set(&worker->status->executing, 1 + 1);
	queue_judge(&queue);
	EQ(1, request_of[1].answers);
	SAME(request_of[1].code, strlen(request_of[1].code), "internal");
	EQ(0, request_of[0].answers);
	queue_fail(&queue, "worker 0 has failed");
	for (uint32_t i = 0; i < 3; i++)
		EQ(1, request_of[i].answers);
	EQ(0, queue_waiting(&queue));
	queue_close();
}

static void nonsense_in_a_reply_ring_is_noticed(void)
{
	struct reply_block *b;
	bool corrupted = false;

	queue_open();
	TRUE_(push(1, 1000));
	b = ring_reserve(&worker->durable, sizeof(*b));
	TRUE_(b);
	*b = (struct reply_block){.size = sizeof(*b), .bytes = 4096, .count = 1};
	ring_commit(&worker->durable, sizeof(*b));
	ring_publish(&worker->durable, worker->durable.write);
	EQ(0, queue_take(&queue, &corrupted));
	TRUE_(corrupted);
	EQ(0, request_of[0].answers);
	queue_close();
}

/* Pushes, replies, deaths and time in any order; the rings wrap many times. */
static void each_request_is_answered_once(void)
{
	uint64_t s = unit_seed();
	uint64_t pos = 0; /* the worker's: of a record, and of a request in it */
	uint32_t at = 0;
	bool alive = true;

	queue_open();
	while (requests + 8 < REQUESTS_MAX) {
		uint64_t what = unit_random(&s) % 100;

		pass(unit_random(&s) % 3);
		if (what < 45) {
			(void)push(1 + (uint32_t)(unit_random(&s) % 4),
				   20 + (uint32_t)(unit_random(&s) % 500));
		} else if (what < 90 && alive && pos < ring_head(&worker->request)) {
			const struct request_record *rec = ring_at(&worker->request, pos);

			/* one that has been answered is left alone */
			if (atomic_load(&rec->entry[at].state) == ENTRY_OPEN && !work(pos, at, 1))
				continue;
			if (++at == rec->count) {
				at = 0;
				pos += rec->size;
				status_set(&worker->status->reached, pos);
			}
		} else if (what < 97) {
			bool corrupted = false;

			(void)queue_take(&queue, &corrupted);
			TRUE_(!corrupted);
			queue_taken(&queue, alive);
			(void)queue_expire(&queue, alive);
		} else if (alive) { /* it dies */
			bool corrupted = false;

			while (queue_take(&queue, &corrupted))
				queue_taken(&queue, true);
			queue_judge(&queue);
			queue_free(&queue, false);
			alive = false;
		} else { /* its successor begins with the first that is not freed */
			pos = ring_tail(&queue.segment->request);
			at = 0;
			status_set(&worker->status->reached, pos);
			alive = true;
		}
	}
	queue_fail(&queue, "the end");
	for (uint32_t i = 0; i < requests; i++)
		EQ(1, request_of[i].answers);
	queue_close();
}

UNIT_MAIN(T(replies_go_to_whoever_asked), T(what_is_overdue_is_answered_here_and_once),
	  T(what_killed_two_workers_is_kept_from_a_third), T(nonsense_in_a_reply_ring_is_noticed),
	  T(each_request_is_answered_once))
