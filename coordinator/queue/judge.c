/* Answers that a worker does not give: after deaths, and when time is over. */
#include <stdio.h>

#include "common/log.h"
#include "coordinator/queue/queue.h"
#include "coordinator/queue/queue_impl.h"
#include "coordinator/queue/turns_impl.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

void entry_refuse(struct queue *q, struct request_record *rec, uint32_t i, enum wire_error e,
		  const char *text)
{
	if (entry_answer(rec, i))
		reply_error(q->sink, entry_owner(rec, i), rec->entry[i].method, rec->entry[i].msgid,
			    true, e, text);
}

static void chunk_fail(struct queue *q, struct chunk *c, void *why)
{
	for (uint32_t i = c->at; i < c->rec.count; i++)
		entry_refuse(q, &c->rec, i, WIRE_E_INTERNAL, why);
}

void queue_fail(struct queue *q, const char *why)
{
	struct ring *ring = &q->segment->request;
	char text[400];

	(void)snprintf(text, sizeof(text), "%s", why);
	turns_each(q, chunk_fail, text);
	turns_drop(q);
	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		for (uint32_t i = 0; i < rec->count; i++)
			entry_refuse(q, rec, i, WIRE_E_INTERNAL, why);
		at += rec->size;
	}
	queue_free(q, false);
}

/* The entry of the request with this identity, and the record it is in.  NULL: it is not here. */
static struct request_record *record_find(struct queue *q, uint64_t identity, uint32_t *ret_index)
{
	struct ring *ring = &q->segment->request;

	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		if (identity >= at && identity < at + rec->count) {
			*ret_index = (uint32_t)(identity - at);
			return rec;
		}
		at += rec->size;
	}
	return NULL;
}

void queue_note_hung(struct queue *q)
{
	uint64_t executing = status_get(&q->segment->status->executing);
	uint32_t i = 0;
	struct request_record *rec = executing ? record_find(q, executing - 1, &i) : NULL;

	if (!rec || rec->entry[i].method != WIRE_CALL)
		return;
	log_error("a worker hung in a call and was killed: it is not run again");
	rec->entry[i].flags |= ENTRY_HUNG;
}

/* How far one that is no more has come: `executing` is what it was in, plus 1. */
static void note_started(struct queue *q, uint64_t executing)
{
	uint64_t reached = status_get(&q->segment->status->reached);

	if (executing > q->started)
		q->started = executing;
	if (reached > q->started)
		q->started = reached;
	status_set(&q->segment->status->started, q->started);
}

void queue_note_left(struct queue *q)
{
	note_started(q, status_get(&q->segment->status->executing));
}

void queue_judge(struct queue *q)
{
	uint64_t executing = status_get(&q->segment->status->executing);
	struct request_record *rec;
	uint32_t i = 0;

	status_set(&q->segment->status->executing, 0);
	note_started(q, executing);
	if (!executing || executing != q->poison_candidate) {
		q->poison_candidate = executing;
		return;
	}
	q->poison_candidate = 0;
	rec = record_find(q, executing - 1, &i);
	if (!rec)
		return;
	log_error("two workers died in one request (%s): it is answered internal",
		  wire_method_name(rec->entry[i].method));
	entry_refuse(q, rec, i, WIRE_E_INTERNAL, "two workers died in this request");
}

/* The same for what waits for its turn: that has not been started. */
static void chunk_overdue(struct queue *q, struct chunk *c, void *next)
{
	uint64_t *due_ms = next;

	for (uint32_t i = c->at; i < c->rec.count && c->rec.open; i++) {
		uint64_t end = record_recv_ms(&c->rec) + c->rec.entry[i].timeout_ms;

		if (atomic_load_explicit(&c->rec.entry[i].state, memory_order_relaxed) !=
		    ENTRY_OPEN)
			continue;
		if (end > q->node->now_ms)
			*due_ms = end < *due_ms ? end : *due_ms;
		else
			entry_refuse(q, &c->rec, i, WIRE_E_EXPIRED,
				     "its time was over before it was started");
	}
}

/* Requests of one worker whose time is over.  Returns when the next one's is. */
static uint64_t overdue(struct queue *q, bool alive)
{
	struct ring *ring = &q->segment->request;
	uint64_t next = UINT64_MAX;

	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		for (uint32_t i = 0; i < rec->count && rec->open; i++) {
			uint64_t end = record_recv_ms(rec) + rec->entry[i].timeout_ms;

			if (atomic_load_explicit(&rec->entry[i].state, memory_order_relaxed) !=
			    ENTRY_OPEN)
				continue;
			if (end > q->node->now_ms) {
				next = end < next ? end : next;
				continue;
			}
			/* Not started for certain only if nobody is there who could start it now.
			 */
			if (!alive && at + i >= q->started)
				entry_refuse(q, rec, i, WIRE_E_EXPIRED,
					     "its time was over before it was started");
			else
				entry_refuse(
					q, rec, i, WIRE_E_TIMEOUT,
					"no outcome in time: it may or may not have taken effect");
		}
		at += rec->size;
	}
	turns_each(q, chunk_overdue, &next);
	queue_free(q, alive);
	return next;
}

uint64_t queue_expire(struct queue *q, bool alive)
{
	/* A live worker's patience with its requests has to be over too. */
	if (q->due_ms + OVERDUE_GRACE_MS <= q->node->now_ms)
		q->due_ms = overdue(q, alive);
	return q->due_ms;
}
