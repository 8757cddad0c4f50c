/* Out of the rings that a worker writes. */
#include <string.h>

#include "common/clock.h"
#include "coordinator/node/figures.h"
#include "coordinator/queue/queue.h"
#include "coordinator/queue/queue_impl.h"
#include "coordinator/queue/turns_impl.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

#define BLOCKS_ROUND 2048u /* taken from one ring before the others get their turn */

bool queue_ready(const struct queue *q)
{
	return ring_head(&q->segment->immediate) != q->immediate_read ||
	       ring_head(&q->segment->durable) != q->durable_read ||
	       (q->events && ring_head(&q->segment->ship) != q->ship_read) || turns_ready(q);
}

/* This one, and the reads behind it that have not been answered yet: they are not worth running any
 * more. */
static void reads_refuse(struct queue *q, struct request_record *rec, uint32_t first,
			 const char *why)
{
	entry_refuse(q, rec, first, WIRE_E_BUSY, why);
	for (uint32_t i = first + 1; i < rec->count && rec->open; i++)
		if (entry_droppable(&rec->entry[i]))
			entry_refuse(q, rec, i, WIRE_E_BUSY, why);
}

/* So long is a reply only of what has read a value and written nothing, call or txn; or `outcome`
 * tells of such a one. */
static bool changed_nothing(const struct queue *q, const struct request_entry *e, size_t bytes)
{
	return (method_is(e->method, METHOD_PARTS) || e->method == WIRE_OUTCOME) &&
	       bytes > q->segment->header->settings.result_max + WIRE_REPLY_ERROR_MAX;
}

/*
 * Reply by reply: some requests of the block had been answered already, or its client leaves so
 * much unread that reads, which changed nothing, are refused after all: this one and those that
 * follow in its message, which the worker then leaves out.
 */
static void block_pick(struct queue *q, struct request_record *rec, const struct reply_block *b)
{
	const char *p = (const char *)(b + 1);
	const char *end = p + b->bytes;

	for (uint32_t i = 0; i < b->count; i++) {
		const char *over = reply_over(q->sink, record_owner(rec));
		const char *next;

		if (!read_whole(p, end, &next))
			return;
		if (over && (entry_droppable(&rec->entry[b->first + i]) ||
			     changed_nothing(q, &rec->entry[b->first + i], (size_t)(next - p))))
			reads_refuse(q, rec, b->first + i, over);
		else if (entry_answer(rec, b->first + i))
			reply_send(q->sink, entry_owner(rec, b->first + i), p, (size_t)(next - p));
		p = next;
	}
}

/*
 * Is its request record freed already?  Then the time of all its requests was over, they have been
 * answered here, and the worker had passed them, though what it made of them was not published yet
 * (a sync can take long).
 */
static bool block_late(const struct queue *q, const struct reply_block *b)
{
	return b->record < ring_tail(&q->segment->request);
}

/* Does each of the parcels end within them? */
static bool parcels_sane(const char *p, uint64_t n)
{
	while (n) {
		uint32_t size;

		if (n < RING_ALIGN)
			return false;
		memcpy(&size, p, sizeof(size));
		if (size < RING_ALIGN || size != ring_round(size) || size > n)
			return false;
		p += size;
		n -= size;
	}
	return true;
}

/* A block that our own worker wrote can only be wrong if that worker has gone mad. */
static bool block_sane(const struct queue *q, const struct ring *ring, const struct reply_block *b,
		       uint64_t room)
{
	const struct ring *requests = &q->segment->request;
	const struct request_record *rec = ring_at(requests, b->record);

	if (room < sizeof(*b) || b->size > room || b->size > ring->size ||
	    (uint64_t)b->bytes + sizeof(*b) > b->size || b->kind > BLOCK_ACKS ||
	    (b->kind != BLOCK_REPLIES && !q->events))
		return false;
	if (b->kind == BLOCK_ACKS)
		return parcels_sane((const char *)(b + 1), b->bytes);
	if (!b->count || b->count > WIRE_REQUESTS_MAX)
		return false;
	if (block_late(q, b))
		return true;
	return b->record < requests->write && (uint64_t)b->first + b->count <= rec->count;
}

/* Requests that another node is to be asked for. */
static void block_elsewhere(struct queue *q, const struct reply_block *b)
{
	struct request_record *rec = ring_at(&q->segment->request, b->record);

	for (uint32_t i = b->first; i < b->first + b->count; i++)
		if (entry_answer(rec, i))
			q->events->elsewhere(q->events->arg, rec, i, b->record + i);
}

/* How long its requests took, and where. */
static void block_count(struct queue *q, const struct request_record *rec,
			const struct reply_block *b)
{
	struct figures *f = q->node->figures;
	uint64_t us = figures_passed(rec->recv_us, q->taken_us);
	uint32_t place = histogram_place(us);
	uint32_t n;

	if (!FIGURES_COUNT || !f || reply_to_kind(record_owner(rec)) == REPLY_TO_FANOUT)
		return; /* of a part of a request there is nothing to say */
	for (uint32_t i = b->first; i < b->first + b->count; i += n) {
		uint8_t method = rec->entry[i].method;

		for (n = 1; i + n < b->first + b->count && rec->entry[i + n].method == method;)
			n++;
		histogram_add(&f->duration[method % FIGURES_METHODS], place, us, n);
	}
	figures_span(f, &f->ring, rec->recv_us, b->begun_us, b->count);
	figures_span(f, &f->run, b->begun_us, b->done_us, b->count);
	figures_span(f, &f->sync, b->done_us, q->taken_us, b->count);
}

static void block_take(struct queue *q, const struct reply_block *b)
{
	struct request_record *rec = ring_at(&q->segment->request, b->record);
	uint16_t index[WIRE_REQUESTS_MAX];
	uint32_t open = 0;

	if (b->kind == BLOCK_ELSEWHERE) {
		block_elsewhere(q, b);
		return;
	}
	turns_learn(q, rec, b);
	block_count(q, rec, b);
	for (uint32_t i = 0; i < b->count; i++)
		open += atomic_load_explicit(&rec->entry[b->first + i].state,
					     memory_order_relaxed) == ENTRY_OPEN;
	if (open != b->count || reply_over(q->sink, record_owner(rec))) {
		block_pick(q, rec, b);
		return;
	}
	for (uint32_t i = 0; i < b->count; i++) {
		struct request_entry *e = &rec->entry[b->first + i];

		atomic_store_explicit(&e->state, ENTRY_ANSWERED, memory_order_relaxed);
		index[i] = e->index;
	}
	rec->open = (uint16_t)(rec->open - b->count);
	reply_many(q->sink, record_owner(rec), index, b->count, (const char *)(b + 1), b->bytes,
		   true);
}

/* Blocks of one ring, from *read on.  Returns how many. */
static unsigned ring_take(struct queue *q, struct ring *ring, uint64_t *read, bool *ret_corrupted)
{
	uint64_t head = ring_head(ring);
	unsigned n = 0;

	if (head - *read > ring->size) {
		*ret_corrupted = true;
		return 0;
	}
	while (*read < head && n < BLOCKS_ROUND && !reply_full(q->sink)) {
		const struct reply_block *b = ring_at(ring, *read);

		if (!block_sane(q, ring, b, head - *read)) {
			*ret_corrupted = true;
			*read = head;
			break;
		}
		if (b->kind == BLOCK_ACKS)
			q->events->parcels(q->events->arg, q, (const char *)(b + 1), b->bytes);
		else if (!block_late(q, b))
			block_take(q, b);
		*read += b->size;
		n++;
	}
	return n;
}

/* Parcels, as many as lie there. */
static unsigned ship_take(struct queue *q, bool *ret_corrupted)
{
	struct ring *ring = &q->segment->ship;
	uint64_t head = ring_head(ring);
	uint64_t n = head - q->ship_read;
	const char *p = ring_at(ring, q->ship_read);

	if (!n)
		return 0;
	if (n > ring->size || n > UINT32_MAX || !parcels_sane(p, n)) {
		*ret_corrupted = true;
		return 0;
	}
	q->events->parcels(q->events->arg, q, p, (uint32_t)n);
	q->ship_read = head;
	return 1;
}

unsigned queue_take(struct queue *q, bool *ret_corrupted)
{
	unsigned n;

	if (FIGURES_COUNT && queue_ready(q))
		q->taken_us = clock_us();
	n = ring_take(q, &q->segment->immediate, &q->immediate_read, ret_corrupted);

	if (q->events)
		n += ship_take(q, ret_corrupted);
	return n + ring_take(q, &q->segment->durable, &q->durable_read, ret_corrupted);
}
