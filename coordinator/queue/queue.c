/* Into the request ring, and its room. */
#include "coordinator/queue/queue.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "coordinator/queue/queue_impl.h"
#include "coordinator/queue/turns.h"
#include "ipc/wire/request.h"

/* Options with spans, which lead anywhere into the rest of a request. */
#define SPAN_OPTIONS \
	(OPT_PREFIX | OPT_FROM | OPT_TO | OPT_AFTER | OPT_SET | OPT_NAMES | OPT_PARTITIONS)
/* Those that are true or false, and those that have a number. */
#define BOOL_OPTIONS (OPT_IF_ABSENT | OPT_REVERSE | OPT_KEYS_ONLY | OPT_WITH_TTL)
#define UINT_OPTIONS (OPT_IF_VERSION | OPT_TTL | OPT_LIMIT)

/* Every option of a method that a worker runs has its place in a record, but for what is seen to
 * here: a worker would not know of one that is forgotten. */
#define X(id, name, least, most, flags, result, options, rights) \
	| ((flags)&METHOD_LOCAL ? 0 : (options))
_Static_assert(((0 WIRE_METHODS(X)) & ~(SPAN_OPTIONS | BOOL_OPTIONS | UINT_OPTIONS | OPT_LOCAL |
					OPT_ONCE | OPT_LISTS)) == 0,
	       "a new option of a worker's method has its place in struct entry_options");
#undef X

/* Which of the structs before an item's bytes it has. */
static uint8_t item_flags(const struct item *it)
{
	unsigned flags = item_writes(it) ? ENTRY_WRITES : 0;

	if (it->options) {
		if (it->options->given & (SPAN_OPTIONS | BOOL_OPTIONS | UINT_OPTIONS | OPT_LOCAL))
			flags |= ENTRY_OPTIONS;
		/* What only reads is run anew each time, but what it acknowledges counts. */
		if ((it->options->given & OPT_SESSION) &&
		    (item_writes(it) || it->options->given & OPT_ACK))
			flags |= ENTRY_SESSION;
		if (method_is(it->method, METHOD_PARTS))
			flags |= ENTRY_PARTS;
	}
	return (uint8_t)flags;
}

/* What is copied of an item: from its bucket on, as far as anything leads into it. */
static struct span item_body(const struct item *it)
{
	const char *begin = it->bucket.n ? it->bucket.p : it->data;
	const char *end = begin + it->bucket.n;

	if (it->options &&
	    ((it->options->given & SPAN_OPTIONS) || method_is(it->method, METHOD_PARTS)))
		end = it->data + it->size;
	else if (it->value.p)
		end = it->value.p + it->value.n;
	else if (it->key.n)
		end = it->key.p + it->key.n;
	return (struct span){begin, (size_t)(end - begin)};
}

uint64_t queue_item_bytes(const struct item *it)
{
	const struct request_entry e = {.flags = item_flags(it)};
	uint64_t head = entry_head(&e);

	return sizeof(e) + item_body(it).n + (head ? head + RING_ALIGN : 0);
}

uint64_t queue_record_bytes(uint64_t bytes)
{
	return sizeof(struct request_record) + bytes;
}

static struct entry_span span_in(struct span body, struct span s)
{
	if (!s.n)
		return (struct entry_span){0, 0};
	check(s.p >= body.p && s.p + s.n <= body.p + body.n);
	return (struct entry_span){(uint32_t)(s.p - body.p), (uint32_t)s.n};
}

static void options_fill(struct entry_options *e, const struct options *o, struct span body)
{
	*e = (struct entry_options){
		.given = o->given,
		.on = (o->if_absent ? OPT_IF_ABSENT : 0u) | (o->reverse ? OPT_REVERSE : 0u) |
		      (o->keys_only ? OPT_KEYS_ONLY : 0u) | (o->with_ttl ? OPT_WITH_TTL : 0u),
		.if_version = o->if_version,
		.ttl_ms = o->ttl_ms,
		.limit = (uint32_t)o->limit,
		.prefix = span_in(body, o->prefix),
		.from = span_in(body, o->from),
		.to = span_in(body, o->to),
		.after = span_in(body, o->after),
		.set = span_in(body, o->set),
		.names = span_in(body, o->names),
		.partitions = span_in(body, o->partitions),
	};
}

static void session_fill(struct entry_session *e, const struct item *it)
{
	const struct options *o = it->options;

	*e = (struct entry_session){
		.seq = o->given & OPT_SEQ ? o->seq : 0,
		.ack = o->given & OPT_ACK ? o->ack : 0,
		.fingerprint = method_is(it->method, METHOD_SESSION) ? 0 : o->fingerprint,
	};
	memcpy(e->id, o->session.p, sizeof(e->id));
}

static void parts_fill(struct entry_parts *e, const struct options *o, struct span body)
{
	*e = (struct entry_parts){
		.part = {span_in(body, o->part[0]), span_in(body, o->part[1]),
			 span_in(body, o->part[2])},
		.ops = o->ops,
		.flags = (o->reads ? PARTS_READS : 0u) | (o->large ? PARTS_LARGE : 0u),
	};
}

/* Parts, session and options of an item at `at` of the record, as its entry's flags say.  Returns
 * the place behind them. */
static uint64_t head_fill(struct request_record *rec, const struct item *it, uint8_t flags,
			  struct span body, uint64_t at)
{
	char *p = (char *)rec;

	at = ring_round(at);
	if (flags & ENTRY_PARTS) {
		parts_fill((struct entry_parts *)(p + at), it->options, body);
		at += sizeof(struct entry_parts);
	}
	if (flags & ENTRY_SESSION) {
		session_fill((struct entry_session *)(p + at), it);
		at += sizeof(struct entry_session);
	}
	if (flags & ENTRY_OPTIONS) {
		options_fill((struct entry_options *)(p + at), it->options, body);
		at += sizeof(struct entry_options);
	}
	return at;
}

/* Bytes between the end of one run and the begin of the next, which is a MessagePack head. */
static uint8_t gap(const char *end, const char *next)
{
	check(next >= end && next - end <= (ptrdiff_t)CODEC_HEAD_MAX);
	return (uint8_t)(next - end);
}

/* One entry and its bytes at `at` of the record.  Returns the place behind them. */
static uint64_t entry_fill(struct request_record *rec, uint32_t k, const struct item *it,
			   uint64_t at)
{
	struct request_entry *e = &rec->entry[k];
	struct span body = item_body(it);
	const char *end = it->bucket.p + it->bucket.n;

	*e = (struct request_entry){
		.msgid = it->msgid,
		.timeout_ms = it->timeout_ms,
		.index = it->index,
		.partition = it->partition,
		.key_len = (uint16_t)it->key.n,
		.bucket_len = (uint8_t)it->bucket.n,
		.method = it->method,
		.flags = (uint8_t)(item_flags(it) | it->gate * (ENTRY_GATES * 4)),
		.state = ENTRY_OPEN,
	};
	if (it->key.n) {
		e->key_gap = gap(end, it->key.p);
		end = it->key.p + it->key.n;
	}
	if (it->value.p) {
		e->value_gap = gap(end, it->value.p);
		e->value_len = (uint32_t)it->value.n;
	}
	if (e->flags & (ENTRY_PARTS | ENTRY_SESSION | ENTRY_OPTIONS))
		at = head_fill(rec, it, e->flags, body, at);
	e->offset = (uint32_t)at;
	memcpy((char *)rec + at, body.p, body.n);
	return at + body.n;
}

uint64_t queue_fill(struct queue *q, struct request_record *rec, struct reply_to o,
		    const struct item *item, uint32_t first, uint32_t count)
{
	uint64_t now_ms = q->node->now_ms;
	uint64_t at = sizeof(*rec) + count * sizeof(struct request_entry);
	uint32_t i = first;

	check(count && count <= WIRE_REQUESTS_MAX);
	*rec = (struct request_record){
		.count = (uint16_t)count,
		.open = (uint16_t)count,
		.reply_to = o.id,
		.reply_to_generation = o.generation,
		.recv_us = q->node->now_us,
	};
	for (uint32_t k = 0; k < count; k++, i = item[i].next) {
		uint64_t due = now_ms + item[i].timeout_ms;

		at = entry_fill(rec, k, &item[i], at);
		if (due < q->due_ms)
			q->due_ms = due;
	}
	rec->size = (uint32_t)ring_round(at);
	check_slow(record_fits(rec, 0) && record_fits(rec, count - 1));
	return at;
}

int queue_push(struct queue *q, struct reply_to o, const struct item *item, uint32_t first,
	       uint32_t count, uint64_t bytes, uint16_t turn, bool more)
{
	struct ring *ring = &q->segment->request;
	struct request_record *rec = ring_reserve(ring, queue_record_bytes(bytes));
	uint64_t size;

	if (!rec)
		return -EAGAIN;
	size = queue_fill(q, rec, o, item, first, count);
	check(size <= queue_record_bytes(bytes));
	rec->turn = turn;
	rec->flags = more ? RECORD_WAKE : 0;
	ring_commit(ring, size);
	ring_publish(ring, ring->write);
	q->pushed = true;
	return 0;
}

uint64_t queue_waiting(const struct queue *q)
{
	return q->segment->request.write - ring_tail(&q->segment->request) + turns_waiting(q);
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
	if (q->events)
		ring_free(&q->segment->ship, q->ship_read);
	queue_free(q, alive);
}

void queue_disown(struct queue *q)
{
	struct ring *ring = &q->segment->request;

	turns_flush(q);
	for (uint64_t at = ring_tail(ring); at < ring->write;) {
		struct request_record *rec = ring_at(ring, at);

		rec->reply_to = reply_to_id(REPLY_TO_CLIENT, 0);
		rec->reply_to_generation = UINT64_MAX;
		at += rec->size;
	}
}
