/* Who may put how much into a worker's ring, and what waits. */
#include "coordinator/queue/turns.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "coordinator/queue/turns_impl.h"
#include "ipc/wire/request.h"

#define WINDOW_NS  6000000u        /* of work before the worker */
#define SLICE_NS   1000000u        /* of it that one client gets at a time */
#define UNKNOWN_NS (WINDOW_NS / 4) /* a read of a client that nothing is known of */
#define WRITE_NS   5000u           /* a write of such a one, beside its bytes, of 1 ns each */
#define LEAST_NS   500u
/*
 * A call, or a txn that reads, may answer with limits.result at any time: so few of them lie before
 * the worker (300, not 12,000) that what a client leaves unread goes beyond its limit by no more.
 */
#define LARGE_NS 20000u
/* A byte of a reply counts so much at least: memory that is touched for the first time can be slow,
 * and it is the coordinator that then stands still for everybody. */
#define COPY_PS_MIN 4000u
#define SLICE_MAX   1024u /* requests */
#define RECORD_ADD  48u   /* bytes that a request may take more if it becomes a record of its own */
#define SHARE       4u    /* a client may have so many times what is left free */

int turns_new(struct turns **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void chunks_free(struct turns *t)
{
	for (struct turn *x = t->first; x; x = x->next) {
		while (x->first) {
			struct chunk *c = x->first;

			x->first = c->next;
			free(c);
		}
		x->last = NULL;
		x->bytes = 0;
	}
	t->first = t->last = NULL;
	t->bytes = 0;
}

void turns_free(struct turns **tp)
{
	if (!*tp)
		return;
	chunks_free(*tp);
	free(*tp);
	*tp = NULL;
}

/* ---- what the worker has before it ---- */

static uint64_t passed(const struct queue *q)
{
	uint64_t reached = atomic_load_explicit(&q->segment->status->reached, memory_order_acquire);
	uint64_t tail = ring_tail(&q->segment->request);

	return reached > tail ? reached : tail;
}

static void marks_look(struct queue *q)
{
	struct turns *t = q->turns;
	uint64_t at = t->marks ? passed(q) : 0;

	while (t->marks && t->mark[t->mark_first].behind <= at) {
		check_slow(t->ns >= t->mark[t->mark_first].ns);
		t->ns -= t->mark[t->mark_first].ns;
		t->mark_first = (t->mark_first + 1) % TURN_MARKS;
		t->marks--;
	}
	check_slow(t->marks || !t->ns);
}

static void mark_add(struct queue *q, struct turn *x, uint64_t ns)
{
	struct turns *t = q->turns;

	x->behind = q->segment->request.write;
	check(t->marks < TURN_MARKS);
	t->mark[(t->mark_first + t->marks++) % TURN_MARKS] = (struct turn_mark){x->behind, ns};
	t->ns += ns;
}

/* May anything more go into the ring? */
static bool window_open(const struct turns *t)
{
	return t->ns < WINDOW_NS && t->marks < TURN_MARKS;
}

/* May this client's, that has nothing waiting? */
static bool may_push(const struct queue *q, const struct turn *x)
{
	return window_open(q->turns) || (q->turns->marks < TURN_MARKS && x->behind <= passed(q));
}

/* ---- what a request takes ---- */

static enum turn_class class_of(uint8_t method, bool writes)
{
	return method_is(method, METHOD_PARTS) ? TURN_PARTS : writes ? TURN_WRITES : TURN_READS;
}

/* `large`: its reply may be, though those before were not, and it may write: then nobody can take
 * it back. */
static uint64_t cost(const struct turn *x, enum turn_class class, bool large, uint64_t bytes)
{
	uint64_t ns = x->ns[class];

	if (!ns)
		ns = class == TURN_WRITES ? WRITE_NS + bytes : UNKNOWN_NS;
	if (large && ns < LARGE_NS)
		ns = LARGE_NS;
	return ns > bytes ? ns : bytes;
}

static uint64_t cost_item(const struct turn *x, const struct item *it, uint64_t bytes)
{
	return cost(x, class_of(it->method, item_writes(it)),
		    method_is(it->method, METHOD_PARTS) && it->options->large, bytes);
}

static uint64_t cost_entry(const struct turn *x, const struct request_record *rec,
			   const struct request_entry *e)
{
	return cost(x, class_of(e->method, entry_writes(e)), entry_large(rec, e),
		    entry_weight(rec, e));
}

void turns_learn(struct queue *q, const struct request_record *rec, const struct reply_block *b)
{
	enum turn_class class;
	struct turn *x;
	uint64_t *known;
	uint64_t before;
	uint64_t ps;
	uint64_t ns;

	if (!q->turns)
		return;
	x = &q->turns->turn[rec->turn % TURNS_MAX];
	class = class_of(rec->entry[b->first].method, entry_writes(&rec->entry[b->first]));
	known = &x->ns[class];
	ns = b->done_us > b->begun_us ? (b->done_us - b->begun_us) * 1000 / b->count : 0;
	/* Its reply takes the coordinator's time, which others wait for as well. */
	ps = q->node->copy_ps > COPY_PS_MIN ? q->node->copy_ps : COPY_PS_MIN;
	ns += b->bytes / b->count * ps / 1000;
	if (ns < LEAST_NS)
		ns = LEAST_NS;
	/* Of two in a row the smaller: a worker that lost the processor for a moment is not slow.
	 */
	before = x->seen[class];
	x->seen[class] = ns;
	if (!*known)
		*known = ns;
	else if (ns > *known && before > *known) /* what turns out to be dear is noticed soon */
		*known += ((ns < before ? ns : before) - *known + 1) / 2;
	else if (ns < *known)
		*known -= (*known - ns + 7) / 8;
}

/* ---- waiting ---- */

static void round_add(struct turns *t, struct turn *x)
{
	x->next = NULL;
	if (t->last)
		t->last->next = x;
	else
		t->first = x;
	t->last = x;
}

static struct turn *round_take(struct turns *t)
{
	struct turn *x = t->first;

	t->first = x->next;
	if (!t->first)
		t->last = NULL;
	return x;
}

static uint64_t counted(uint32_t count, uint64_t bytes)
{
	return queue_record_bytes(bytes) + (uint64_t)count * RECORD_ADD;
}

/* Is there room for what counts so much, be it in the ring or here? */
static bool room_for(const struct queue *q, const struct turn *x, uint64_t bytes)
{
	const struct ring *ring = &q->segment->request;
	uint64_t used = ring->write - ring_tail(ring) + q->turns->bytes;
	uint64_t left = used < ring->size ? ring->size - used : 0;

	return bytes <= left && (!x->bytes || x->bytes + bytes <= SHARE * left);
}

static struct turn *turn_of(struct queue *q, struct reply_to client)
{
	struct turn *x = &q->turns->turn[reply_to_index(client) % TURNS_MAX];

	if (x->generation != client.generation && !x->first) {
		x->generation = client.generation;
		memset(x->ns, 0, sizeof(x->ns));
		memset(x->seen, 0, sizeof(x->seen));
	}
	return x;
}

static int chunk_add(struct queue *q, struct turn *x, struct reply_to o, const struct item *item,
		     uint32_t first, uint32_t count, uint64_t bytes)
{
	struct turns *t = q->turns;
	struct chunk *c =
		malloc(offsetof(struct chunk, rec) + ring_round(queue_record_bytes(bytes)));

	if (!c)
		return -EAGAIN;
	queue_fill(q, &c->rec, o, item, first, count);
	c->rec.turn = (uint16_t)(x - t->turn);
	c->next = NULL;
	c->number = ++t->number;
	c->bytes = counted(count, bytes);
	c->at = 0;
	if (x->first)
		x->last->next = c;
	else
		x->first = c;
	if (x->first == c)
		round_add(t, x);
	x->last = c;
	x->bytes += c->bytes;
	t->bytes += c->bytes;
	return 0;
}

static void chunk_drop(struct turns *t, struct turn *x)
{
	struct chunk *c = x->first;

	check_slow(t->bytes >= c->bytes && x->bytes >= c->bytes);
	t->bytes -= c->bytes;
	x->bytes -= c->bytes;
	x->first = c->next;
	if (!x->first)
		x->last = NULL;
	free(c);
}

/* ---- into the ring ---- */

/* As many of the items as make a slice.  *ret_bytes, *ret_ns: what they take. */
static uint32_t slice_of_items(const struct turn *x, const struct item *item, uint32_t first,
			       uint32_t count, uint64_t *ret_bytes, uint64_t *ret_ns)
{
	uint32_t n = 0;

	*ret_bytes = 0;
	*ret_ns = 0;
	for (uint32_t i = first; n < count && n < SLICE_MAX; i = item[i].next) {
		uint64_t bytes = queue_item_bytes(&item[i]);
		uint64_t ns = cost_item(x, &item[i], bytes);

		if (n && *ret_ns + ns > SLICE_NS)
			break;
		*ret_bytes += bytes;
		*ret_ns += ns;
		n++;
	}
	return n;
}

int turns_push(struct queue *q, struct reply_to client, struct reply_to o, const struct item *item,
	       uint32_t first, uint32_t count, uint64_t bytes)
{
	struct turn *x = turn_of(q, client);

	if (!room_for(q, x, counted(count, bytes)))
		return -EAGAIN;
	marks_look(q);
	while (count && !x->first && may_push(q, x)) {
		uint64_t some;
		uint64_t ns;
		uint32_t n = slice_of_items(x, item, first, count, &some, &ns);

		if (queue_push(q, o, item, first, n, some, (uint16_t)(x - q->turns->turn),
			       n < count || q->turns->first) < 0)
			return -EAGAIN; /* not before the first: there was room */
		mark_add(q, x, ns);
		count -= n;
		bytes -= some;
		while (n--)
			first = item[first].next;
	}
	if (!count || chunk_add(q, x, o, item, first, count, bytes) == 0)
		return 0;
	/* No memory.  With some of them in the ring the rest must follow: it has its room there. */
	return x->first ? -EAGAIN
			: queue_push(q, o, item, first, count, bytes,
				     (uint16_t)(x - q->turns->turn), false);
}

static uint32_t entry_begin(const struct request_record *rec, uint32_t i)
{
	return i < rec->count ? rec->entry[i].offset - (uint32_t)entry_head(&rec->entry[i])
			      : rec->size;
}

/* The `n` requests of a chunk from its place on, as a record of the ring.  Nothing if all of them
 * have been answered. */
static void chunk_copy(struct queue *q, const struct chunk *c, uint32_t n, bool more)
{
	struct ring *ring = &q->segment->request;
	uint32_t begin = entry_begin(&c->rec, c->at);
	uint32_t bytes = entry_begin(&c->rec, c->at + n) - begin;
	uint32_t at = (uint32_t)(sizeof(c->rec) + n * sizeof(struct request_entry));
	struct request_record *rec;

	at += (begin - at) % RING_ALIGN; /* options stay aligned */
	rec = ring_reserve(ring, at + bytes);
	check(rec); /* what waits has its room in the ring */
	*rec = c->rec;
	rec->size = (uint32_t)ring_round(at + bytes);
	rec->count = (uint16_t)n;
	rec->flags = more ? RECORD_WAKE : 0;
	rec->open = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct request_entry *e = &c->rec.entry[c->at + i];

		rec->entry[i] = *e;
		rec->entry[i].offset = e->offset - begin + at;
		if (atomic_load_explicit(&e->state, memory_order_relaxed) == ENTRY_OPEN)
			rec->open++;
	}
	if (!rec->open)
		return;
	memcpy((char *)rec + at, (const char *)&c->rec + begin, bytes);
	ring_commit(ring, at + bytes);
	ring_publish(ring, ring->write);
	q->pushed = true;
}

static uint32_t slice_of_chunk(const struct turn *x, const struct chunk *c, uint64_t *ret_ns)
{
	uint32_t n = 0;

	*ret_ns = 0;
	for (uint32_t i = c->at; i < c->rec.count && n < SLICE_MAX; i++, n++) {
		const struct request_entry *e = &c->rec.entry[i];
		uint64_t ns = cost_entry(x, &c->rec, e);

		if (atomic_load_explicit(&e->state, memory_order_relaxed) != ENTRY_OPEN)
			continue;
		if (*ret_ns && *ret_ns + ns > SLICE_NS)
			break;
		*ret_ns += ns;
	}
	return n;
}

/*
 * Its client leaves too much unread: reads that follow are not worth running any more, and what has
 * a large reply and may write must not begin.
 */
static void chunk_judge(struct queue *q, struct chunk *c)
{
	const char *over = reply_over(q->sink, record_owner(&c->rec));

	for (uint32_t i = c->at; over && i < c->rec.count; i++)
		if (entry_droppable(&c->rec.entry[i]) || entry_large(&c->rec, &c->rec.entry[i]))
			entry_refuse(q, &c->rec, i, WIRE_E_BUSY, over);
}

/* The next slice of who is next. */
static void slice_push(struct queue *q)
{
	struct turns *t = q->turns;
	struct turn *x = round_take(t);
	struct chunk *c = x->first;
	uint64_t before = q->segment->request.write;
	uint64_t ns;
	uint32_t n;

	chunk_judge(q, c);
	n = slice_of_chunk(x, c, &ns);
	chunk_copy(q, c, n, t->first || c->next || c->at + n < c->rec.count);
	if (q->segment->request.write != before)
		mark_add(q, x, ns);
	c->at += n;
	if (c->at == c->rec.count)
		chunk_drop(t, x);
	if (x->first)
		round_add(t, x);
}

void turns_step(struct queue *q)
{
	struct turns *t = q->turns;

	if (!t || !t->first)
		return;
	marks_look(q);
	while (t->first && window_open(t))
		slice_push(q);
}

bool turns_ready(const struct queue *q)
{
	const struct turns *t = q->turns;

	return t && t->first && (window_open(t) || t->mark[t->mark_first].behind <= passed(q));
}

void turns_flush(struct queue *q)
{
	struct turns *t = q->turns;

	while (t && t->first) {
		t->marks = 0; /* nobody waits for a turn any more */
		t->ns = 0;
		slice_push(q);
	}
}

/* ---- for those who look ---- */

uint64_t turns_waiting(const struct queue *q)
{
	return q->turns ? q->turns->bytes : 0;
}

uint64_t turns_last(const struct queue *q)
{
	return q->turns ? q->turns->number : 0;
}

bool turns_waits(const struct queue *q, uint64_t number)
{
	for (const struct turn *x = q->turns ? q->turns->first : NULL; x; x = x->next)
		if (x->first->number <= number)
			return true;
	return false;
}

void turns_each(struct queue *q, void (*f)(struct queue *q, struct chunk *c, void *arg), void *arg)
{
	for (struct turn *x = q->turns ? q->turns->first : NULL; x; x = x->next)
		for (struct chunk *c = x->first; c; c = c->next)
			f(q, c, arg);
}

void turns_drop(struct queue *q)
{
	if (q->turns)
		chunks_free(q->turns);
}
