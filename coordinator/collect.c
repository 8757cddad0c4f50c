/*
 * From the reply rings to the clients.  A published reply is the only completion: a request record
 * is freed when every reply to it has been taken, and what a dead worker left unanswered stays for
 * its successor.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "coordinator/coord.h"

#define BLOCKS_ROUND 2048u /* taken from one ring before the others get their turn */

static struct reply_to record_owner(const struct request_record *rec)
{
	return (struct reply_to){rec->reply_to, 0, rec->reply_to_generation};
}

static struct reply_to entry_owner(const struct request_record *rec, uint32_t i)
{
	return (struct reply_to){rec->reply_to, rec->entry[i].index, rec->reply_to_generation};
}

/*
 * Free the records at the ring's begin that are answered throughout.  One that was answered here,
 * since its time was over, may still be before a live worker or in its hands: it stays until the
 * worker has passed it.
 */
static void records_free(struct worker *w)
{
	struct ring *ring = &w->segment->request;
	uint64_t reached = atomic_load_explicit(&w->segment->status->reached, memory_order_acquire);
	uint64_t end = w->pidfd >= 0 && reached < ring->write ? reached : ring->write;
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

void collect_free(struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		records_free(&c->supervisor.worker[i]);
}

static bool reads(uint8_t method)
{
	return method == WIRE_GET || method == WIRE_SCAN;
}

static bool entry_answer(struct request_record *rec, uint32_t i)
{
	struct request_entry *e = &rec->entry[i];

	if (atomic_load_explicit(&e->state, memory_order_relaxed) != ENTRY_OPEN)
		return false;
	atomic_store_explicit(&e->state, ENTRY_ANSWERED, memory_order_relaxed);
	rec->open--;
	return true;
}

static void entry_refuse(struct coord *c, struct request_record *rec, uint32_t i, enum wire_error e,
			 const char *text);
static uint64_t overdue(struct coord *c, struct worker *w);

/* Reads of a record that have not been answered yet are not worth running any more. */
static void reads_refuse(struct coord *c, struct request_record *rec, uint32_t first,
			 const char *why)
{
	for (uint32_t i = first; i < rec->count && rec->open; i++)
		if (reads(rec->entry[i].method))
			entry_refuse(c, rec, i, WIRE_E_BUSY, why);
}

/*
 * Reply by reply: some requests of the block had been answered already, or its client leaves so
 * much unread that reads, which changed nothing, are refused after all: this one and those that
 * follow in its message, which the worker then leaves out.
 */
static void block_pick(struct coord *c, struct request_record *rec, const struct reply_block *b)
{
	const char *p = (const char *)(b + 1);
	const char *end = p + b->bytes;

	for (uint32_t i = 0; i < b->count; i++) {
		const char *over = reply_over(&c->sink, record_owner(rec));
		const char *next;

		if (!read_whole(p, end, &next))
			return;
		if (over && reads(rec->entry[b->first + i].method))
			reads_refuse(c, rec, b->first + i, over);
		else if (entry_answer(rec, b->first + i))
			reply_send(&c->sink, entry_owner(rec, b->first + i), p, (size_t)(next - p));
		p = next;
	}
}

/*
 * Is its request record freed already?  Then the time of all its requests was over, they have been
 * answered here, and the worker had passed them, though what it made of them was not published yet
 * (a sync can take long).
 */
static bool block_late(const struct worker *w, const struct reply_block *b)
{
	return b->record < ring_tail(&w->segment->request);
}

/* A block that our own worker wrote can only be wrong if that worker has gone mad. */
static bool block_sane(const struct worker *w, const struct ring *ring, const struct reply_block *b,
		       uint64_t room)
{
	const struct ring *requests = &w->segment->request;
	const struct request_record *rec = ring_at(requests, b->record);

	if (b->size > room || b->size > ring->size || (uint64_t)b->bytes + sizeof(*b) > b->size ||
	    !b->count || b->count > WIRE_REQUESTS_MAX)
		return false;
	if (block_late(w, b))
		return true;
	return b->record < requests->write && (uint64_t)b->first + b->count <= rec->count;
}

static void block_take(struct coord *c, struct worker *w, const struct reply_block *b)
{
	struct request_record *rec = ring_at(&w->segment->request, b->record);
	uint16_t index[WIRE_REQUESTS_MAX];
	uint32_t open = 0;

	for (uint32_t i = 0; i < b->count; i++)
		open += atomic_load_explicit(&rec->entry[b->first + i].state,
					     memory_order_relaxed) == ENTRY_OPEN;
	if (open != b->count || reply_over(&c->sink, record_owner(rec))) {
		block_pick(c, rec, b);
		return;
	}
	for (uint32_t i = 0; i < b->count; i++) {
		struct request_entry *e = &rec->entry[b->first + i];

		atomic_store_explicit(&e->state, ENTRY_ANSWERED, memory_order_relaxed);
		index[i] = e->index;
	}
	rec->open -= b->count;
	reply_many(&c->sink, record_owner(rec), index, b->count, (const char *)(b + 1), b->bytes,
		   true);
}

/* Blocks of one ring, from *read on.  Returns how many. */
static unsigned ring_take(struct coord *c, struct worker *w, struct ring *ring, uint64_t *read)
{
	uint64_t head = ring_head(ring);
	unsigned n = 0;

	if (head - *read > ring->size) {
		log_error("worker %u has corrupted its reply ring: killing it", w->id);
		supervisor_kill(&c->supervisor, w);
		return 0;
	}
	while (*read < head && n < BLOCKS_ROUND && !reply_full(&c->sink)) {
		const struct reply_block *b = ring_at(ring, *read);

		if (!block_sane(w, ring, b, head - *read)) {
			log_error("worker %u has corrupted its reply ring: killing it", w->id);
			*read = head;
			supervisor_kill(&c->supervisor, w);
			break;
		}
		if (!block_late(w, b))
			block_take(c, w, b);
		*read += b->size;
		n++;
	}
	return n;
}

/* Is the time of a request over, and a live worker's patience with it? */
static bool due(const struct coord *c, const struct worker *w)
{
	return w->due_ms + OVERDUE_GRACE_MS <= c->node.now_ms;
}

unsigned collect_replies(struct coord *c)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker *w = &c->supervisor.worker[i];

		/* First: an outcome that was not known in time is none.  A dead worker's replies
		 * count: they tell what it had started. */
		if (w->pidfd >= 0 && due(c, w))
			w->due_ms = overdue(c, w);
		n += ring_take(c, w, &w->segment->immediate, &w->immediate_read);
		n += ring_take(c, w, &w->segment->durable, &w->durable_read);
	}
	/* What is sent was copied out of the rings: now they can be written over. */
	clients_flush(c->clients);
	if (!n)
		return 0;
	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker *w = &c->supervisor.worker[i];

		ring_free(&w->segment->immediate, w->immediate_read);
		ring_free(&w->segment->durable, w->durable_read);
		records_free(w);
	}
	return n;
}

/* ---- answers that a worker does not give ---- */

static void entry_refuse(struct coord *c, struct request_record *rec, uint32_t i, enum wire_error e,
			 const char *text)
{
	const char *p = (const char *)rec + rec->entry[i].offset;
	struct request q;
	const char *why;

	if (!entry_answer(rec, i))
		return;
	(void)request_walk(p, p + rec->entry[i].size, &q, &why);
	reply_error(&c->sink, entry_owner(rec, i), q.msgid, q.msgid_known, e, text);
}

bool collect_hopeless(const struct worker *w)
{
	return w->state == WORKER_FAILED || (w->state == WORKER_DOWN && !w->wanted);
}

void collect_failed(struct coord *c, struct worker *w)
{
	struct ring *ring = &w->segment->request;
	char text[400];

	(void)snprintf(text, sizeof(text), "worker %u %s: %s", w->id,
		       w->state == WORKER_FAILED ? "has failed" : "was stopped", w->reason);
	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		for (uint32_t i = 0; i < rec->count; i++)
			entry_refuse(c, rec, i, WIRE_E_INTERNAL, text);
		at += rec->size;
	}
	records_free(w);
}

/*
 * A request in which two workers in a row have died is not given to a third: it would kill every
 * successor.
 */
static void poison_judge(struct coord *c, struct worker *w)
{
	struct ring *ring = &w->segment->request;
	uint64_t executing = status_get(&w->segment->status->executing);

	status_set(&w->segment->status->executing, 0);
	if (executing > w->started)
		w->started = executing;
	if (status_get(&w->segment->status->reached) > w->started)
		w->started = status_get(&w->segment->status->reached);
	if (!executing || executing != w->poison_candidate) {
		w->poison_candidate = executing;
		return;
	}
	w->poison_candidate = 0;
	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		if (executing - 1 >= at && executing - 1 < at + rec->count) {
			log_error("two workers died in one request (%s): it is answered internal",
				  wire_method_name(rec->entry[executing - 1 - at].method));
			entry_refuse(c, rec, (uint32_t)(executing - 1 - at), WIRE_E_INTERNAL,
				     "two workers died in this request");
			return;
		}
		at += rec->size;
	}
}

void collect_left(struct coord *c, struct worker *w)
{
	while (collect_replies(c))
		;
	records_free(w);
	clients_flush(c->clients);
}

void collect_death(struct coord *c, struct worker *w)
{
	while (collect_replies(c))
		;
	poison_judge(c, w);
	records_free(w);
	clients_flush(c->clients);
}

/* Requests of one worker whose time is over.  Returns when the next one's is. */
static uint64_t overdue(struct coord *c, struct worker *w)
{
	struct ring *ring = &w->segment->request;
	bool dead = w->pidfd < 0;
	uint64_t next = UINT64_MAX;

	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		for (uint32_t i = 0; i < rec->count && rec->open; i++) {
			uint64_t end = rec->recv_ms + rec->entry[i].timeout_ms;

			if (atomic_load_explicit(&rec->entry[i].state, memory_order_relaxed) !=
			    ENTRY_OPEN)
				continue;
			if (end > c->node.now_ms) {
				next = end < next ? end : next;
				continue;
			}
			/* Not started for certain only if nobody is there who could start it now.
			 */
			if (dead && at + i >= w->started)
				entry_refuse(c, rec, i, WIRE_E_EXPIRED,
					     "its time was over before it was started");
			else
				entry_refuse(
					c, rec, i, WIRE_E_TIMEOUT,
					"no outcome in time: it may or may not have taken effect");
		}
		at += rec->size;
	}
	records_free(w);
	return next;
}

uint64_t collect_overdue(struct coord *c)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker *w = &c->supervisor.worker[i];

		if (due(c, w))
			w->due_ms = overdue(c, w);
		if (w->due_ms < next)
			next = w->due_ms;
	}
	return next == UINT64_MAX ? next : next + OVERDUE_GRACE_MS;
}

uint64_t collect_waiting(const struct coord *c, const struct worker *w)
{
	(void)c;
	return w->segment->request.write - ring_tail(&w->segment->request);
}
