/* Into the request ring, and its room. */
#include "coordinator/queue/queue.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "coordinator/queue/queue_impl.h"

uint64_t queue_record_bytes(uint32_t count, uint64_t bytes)
{
	return sizeof(struct request_record) + count * sizeof(struct request_entry) + bytes;
}

int queue_push(struct queue *q, struct reply_to o, const struct item *item, uint32_t first,
	       uint32_t count, uint64_t bytes)
{
	struct ring *ring = &q->segment->request;
	uint64_t now_ms = q->node->now_ms;
	uint64_t size = queue_record_bytes(count, bytes);
	struct request_record *rec = ring_reserve(ring, size);
	uint64_t at = sizeof(*rec) + count * sizeof(struct request_entry);
	uint32_t i = first;

	if (!rec)
		return -EAGAIN;
	rec->size = (uint32_t)ring_round(size);
	rec->count = count;
	rec->open = count;
	rec->reply_to = o.id;
	rec->reply_to_generation = o.generation;
	rec->recv_ms = now_ms;
	for (uint32_t k = 0; k < count; k++, i = item[i].next) {
		const struct item *it = &item[i];
		struct request_entry *e = &rec->entry[k];
		uint64_t due = now_ms + it->timeout_ms;

		e->offset = (uint32_t)at;
		e->size = it->size;
		e->method = it->method;
		e->index = it->index;
		e->timeout_ms = it->timeout_ms;
		atomic_store_explicit(&e->state, ENTRY_OPEN, memory_order_relaxed);
		memcpy((char *)rec + at, it->data, it->size);
		at += it->size;
		if (due < q->due_ms)
			q->due_ms = due;
	}
	ring_commit(ring, size);
	ring_publish(ring, ring->write);
	q->pushed = true;
	return 0;
}

void queue_wake(struct queue *q)
{
	const uint64_t one = 1;

	if (!q->pushed)
		return;
	q->pushed = false;
	if (sleep_must_wake(&q->segment->status->worker_sleeps))
		(void)!write(q->wake, &one, sizeof(one)); /* full means awake anyhow */
}

/*
 * Free the records at the ring's begin that are answered throughout.  One that was answered here,
 * since its time was over, may still be before a live worker or in its hands: it stays until the
 * worker has passed it.
 */
void queue_free(struct queue *q, bool alive)
{
	struct ring *ring = &q->segment->request;
	uint64_t reached = atomic_load_explicit(&q->segment->status->reached, memory_order_acquire);
	uint64_t end = alive && reached < ring->write ? reached : ring->write;
	uint64_t tail = ring_tail(ring);
	uint64_t from = tail;

	while (tail < end) {
		const struct request_record *rec = ring_at(ring, tail);

		if (rec->open)
			break;
		tail += rec->size;
	}
	if (tail != from)
		ring_free(ring, tail);
}

void queue_taken(struct queue *q, bool alive)
{
	ring_free(&q->segment->immediate, q->immediate_read);
	ring_free(&q->segment->durable, q->durable_read);
	queue_free(q, alive);
}

void queue_disown(struct queue *q)
{
	struct ring *ring = &q->segment->request;

	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		rec->reply_to = reply_to_id(REPLY_TO_CLIENT, 0);
		rec->reply_to_generation = UINT64_MAX;
		at += rec->size;
	}
}
