/* Requests that may be run here, and their replies, which wait. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "common/check.h"
#include "worker/loop.h"
#include "worker/ops_impl.h"
#include "worker/replication_impl.h"

static struct moment moment_now(void)
{
	struct timespec boot;
	struct timespec raw;

	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	(void)clock_gettime(CLOCK_MONOTONIC_RAW, &raw);
	return (struct moment){(uint64_t)boot.tv_sec * 1000000u + (uint64_t)boot.tv_nsec / 1000u,
			       (uint64_t)raw.tv_sec * 1000000u + (uint64_t)raw.tv_nsec / 1000u};
}

/* ---- replies ---- */

/*
 * Of a list of all buckets that are led here, which waits for all their partitions: how each was
 * when the list was made.  They lie before the reply, in a line of their own.
 */
struct listed {
	uint64_t term; /* 0: not led */
	uint64_t last; /* sequence */
};

static uint32_t lists_line(const struct replication *c)
{
	return c->lines;
}

static uint64_t listed_bytes(const struct replication *c)
{
	return c->lines * sizeof(struct listed);
}

static void lease_look(struct replication *c, struct line *l)
{
	struct lease_word *word = c->w->segment->lease;
	struct lease lease = word ? lease_read(&word[l->copy.partition]) : LEASE_NONE;

	/* The clocks behind the lease, and both behind what has run. */
	l->looked = c->step;
	l->lease = (struct copy_lease){
		lease.epoch, 0, {lease.boot_until_us, lease.raw_until_us}
        };
	l->now = moment_now();
}

static enum copy_verdict line_judge(struct replication *c, struct line *l,
				    const struct copy_wait *w)
{
	if (l->looked != c->step)
		lease_look(c, l);
	return copy_judge(&l->copy, w, &l->lease, l->now);
}

static enum copy_verdict list_judge(struct replication *c, const struct copy_wait *wait,
				    const struct listed *was)
{
	for (uint32_t i = 0; i < c->lines; i++) {
		struct copy_wait w = *wait;
		enum copy_verdict v;

		if (!was[i].term)
			continue;
		w.term = was[i].term;
		w.observed = w.clients = was[i].last;
		v = line_judge(c, &c->line[i], &w);
		if (v != COPY_TELL)
			return v;
	}
	return COPY_TELL;
}

static enum copy_verdict judge(void *arg, uint32_t line, const struct pending_reply *r,
			       const char *bytes)
{
	struct replication *c = arg;

	if (line == lists_line(c))
		return list_judge(c, &r->wait, (const void *)bytes);
	return line_judge(c, &c->line[line], &r->wait);
}

/* An answer that is known at once, where replies are that wait for nothing. */
static bool answer_now(struct replication *c, uint64_t record, uint32_t index, const char *reply,
		       size_t n)
{
	char *p = worker_room(c->w, RING_IMMEDIATE, record, index, n);

	if (!p)
		return false;
	memcpy(p, reply, n);
	replies_done(&c->w->replies, RING_IMMEDIATE, p + n);
	return true;
}

static bool answer_unknown(struct replication *c, uint64_t record, uint32_t index, uint64_t msgid)
{
	const struct request_record *rec = ring_at(&c->w->segment->request, record);
	char small[WIRE_REPLY_ERROR_MAX];
	char *end =
		write_error(small, msgid, true, WIRE_E_TIMEOUT,
			    "its node is not the primary any more: it may or may not have taken "
			    "effect");

	status_error(c->w->status, rec->entry[index].method, WIRE_E_TIMEOUT);
	return answer_now(c, record, index, small, (size_t)(end - small));
}

/* Nothing that came behind it is run before it has come again. */
static void gate_close(const struct replication *c, struct line *l, uint64_t record, uint32_t index)
{
	const struct request_record *rec = ring_at(&c->w->segment->request, record);
	uint32_t gate = entry_gate(&rec->entry[index]);

	if (!l->turned_away || gate_after(gate, l->gate))
		l->gate = gate;
	l->turned_away = true;
}

static bool gate_is_open(const struct line *l, const struct request_entry *e)
{
	return !l->turned_away || gate_after(entry_gate(e), l->gate);
}

static bool answer_elsewhere(struct replication *c, struct line *l, uint64_t record, uint32_t index)
{
	if (l)
		gate_close(c, l, record, index);
	while (!replies_elsewhere(&c->w->replies, record, index))
		if (!worker_wait_room(c->w))
			return false;
	return true;
}

static bool done(void *arg, uint32_t line, enum copy_verdict v, const struct pending_reply *r,
		 const char *bytes)
{
	struct replication *c = arg;
	uint64_t begun_us = c->w->replies.begun_us;
	uint64_t skip = line == lists_line(c) ? listed_bytes(c) : 0;
	bool ok;

	c->w->replies.begun_us = r->begun_us;
	if (v == COPY_ELSEWHERE)
		ok = answer_elsewhere(c, line < c->lines ? &c->line[line] : NULL, r->record,
				      r->index);
	else if (v == COPY_TIMEOUT)
		ok = answer_unknown(c, r->record, r->index, r->msgid);
	else
		ok = answer_now(c, r->record, r->index, bytes + skip, r->bytes - skip);
	if (ok)
		replies_stamp(&c->w->replies, RING_IMMEDIATE, r->done_us);
	c->w->replies.begun_us = begun_us;
	return ok;
}

void held_step(struct replication *c)
{
	const struct pending_ops ops = {judge, done, c};

	pending_step(c->pending, &ops);
	c->ran = moment_now(); /* of what runs from now on */
}

/* ---- requests ---- */

static bool begun_before(const struct replication *c, uint64_t identity)
{
	return identity < c->started;
}

bool replication_admit(struct replication *c, const struct request_record *rec, uint64_t record,
		       uint32_t i)
{
	const struct request_entry *e = &rec->entry[i];
	struct line *l = line_of(c, e->partition);
	bool takes = l && copy_takes(&l->copy) != COPY_TAKES_NOTHING;

	if (l && e->bucket_len && e->partition < c->w->own_first) {
		l->gate_seen = entry_gate(e);
		l->asked = true;
	}
	if (!e->bucket_len || e->partition >= c->w->own_first ||
	    (takes && (gate_is_open(l, e) || begun_before(c, record + i))))
		return true;
	if (entry_writes(e) && begun_before(c, record + i))
		(void)answer_unknown(c, record, i, e->msgid);
	else
		(void)answer_elsewhere(c, l, record, i);
	return false;
}

enum wire_error replication_refuse(struct replication *c, const struct request_entry *e)
{
	const struct line *l = line_of(c, e->partition);

	if (!e->bucket_len || !l)
		return WIRE_OK;
	if (entry_writes(e) && copy_takes(&l->copy) == COPY_TAKES_READS)
		return WIRE_E_TOO_FEW;
	return pending_full(c->pending, line_number(c, l)) ? WIRE_E_BUSY : WIRE_OK;
}

/* Nobody else has anything of it, and all that was read until now may be told. */
static bool is_alone(const struct replication *c, const struct line *l)
{
	const struct copy *k = &l->copy;

	return k->role == COPY_PRIMARY && !k->count && !k->held && !k->too_few &&
	       k->commit >= k->floor && !pending_in(c->pending, line_number(c, l));
}

bool replication_hold(struct replication *c, const struct request_entry *e)
{
	struct line *l = line_of(c, e->partition);

	if (!e->bucket_len)
		return e->partition < c->w->own_first;
	if (!l)
		return false;
	if (!is_alone(c, l))
		return true;
	l->alone = true;
	return false;
}

bool replication_lead(struct replication *c, uint32_t partition)
{
	const struct line *l = line_of(c, partition);

	return l && copy_takes(&l->copy) != COPY_TAKES_NOTHING;
}

char *replication_room(struct replication *c, const struct request_entry *e, size_t n)
{
	bool lists = !e->bucket_len;
	uint64_t before = lists ? listed_bytes(c) : 0;
	uint32_t line = lists ? lists_line(c) : line_number(c, line_of(c, e->partition));
	char *p = pending_room(c->pending, line, n + before);

	if (!p)
		worker_fail(c->w, -ENOMEM, "no memory for replies that wait for copies");
	return p ? p + before : NULL;
}

static struct pending_reply reply_of(const struct replication *c, const struct op *op)
{
	return (struct pending_reply){
		.record = op->record,
		.index = op->index,
		.msgid = op->entry->msgid,
		.begun_us = c->w->replies.begun_us,
		.done_us = c->w->now_us,
		.wait = {.ran = c->ran, .tells_state = true},
	};
}

/* Is the partition in the list that was asked for?  All that are led here, or those that it names. */
static bool list_has(const struct op *op, const struct line *l)
{
	const struct entry_options *o = op->options;

	if (copy_takes(&l->copy) == COPY_TAKES_NOTHING)
		return false;
	return !o || !(o->given & OPT_PARTITIONS) ||
	       set_has(op_span(op, o->partitions).p, l->copy.partition);
}

static void list_add(struct replication *c, const struct op *op, char *reply, const char *end)
{
	struct listed *was = (struct listed *)(void *)(reply - listed_bytes(c));
	const struct pending_reply r = reply_of(c, op);

	for (uint32_t i = 0; i < c->lines; i++) {
		const struct line *l = &c->line[i];

		was[i] = (struct listed){0, 0};
		if (list_has(op, l))
			was[i] = (struct listed){l->copy.term, spans_last(&l->copy.spans).sequence +
								       l->written_count};
	}
	pending_add(c->pending, lists_line(c), &r, end);
}

void replication_add(struct replication *c, const struct op *op, char *reply, const char *end,
		     const struct tells *tells)
{
	struct pending_reply r = reply_of(c, op);
	struct line *l = line_of(c, op->entry->partition);
	bool writes = entry_writes(op->entry);

	if (!op->entry->bucket_len) {
		list_add(c, op, reply, end);
		return;
	}
	r.wait.term = l->copy.term;
	r.wait.observed = tells->nothing ? 0 : store_observed_sequence(c->w->store);
	r.wait.clients = r.wait.observed;
	r.wait.wrote = tells->record;
	r.wait.tells_state = !tells->record && !tells->nothing;
	r.wait.refuses = writes;
	r.wait.begun_before = writes && begun_before(c, op->record + op->index);
	/* Those before it may wait for a copy that is away. */
	r.passes = !tells->record && r.wait.observed <= l->copy.commit;
	pending_add(c->pending, line_number(c, l), &r, end);
}

bool replication_recovered(struct replication *c, const struct request_record *rec, uint64_t record,
			   uint32_t i, uint64_t sequence, bool wrote, const char *reply, size_t n)
{
	const struct request_entry *e = &rec->entry[i];
	struct line *l = line_of(c, e->partition);
	char *p = replication_room(c, e, n);
	const struct pending_reply r = {
		.record = record,
		.index = i,
		.msgid = e->msgid,
		.begun_us = c->w->now_us,
		.done_us = c->w->now_us,
		.wait = {.term = l->copy.term,
			 .observed = sequence,
			 .clients = sequence,
			 .ran = c->ran,
			 .wrote = wrote,
			 .tells_state = !wrote,
			 .begun_before = wrote},
	};

	if (!p)
		return false;
	memcpy(p, reply, n);
	pending_add(c->pending, line_number(c, l), &r, p + n);
	return true;
}
