/* A copy that a primary appends to. */
#include <errno.h>
#include <stddef.h>

#include "common/check.h"
#include "replica/copy.h"
#include "replica/copy_impl.h"

static void ack_send(struct copy *c, const struct parcel_append *p, enum ack_kind kind,
		     struct place at, uint64_t lsn)
{
	const struct span_term *told = NULL;
	struct parcel_ack a = {
		.head = {sizeof(a), PARCEL_ACK, (uint16_t)c->partition, p->from.node, 0},
		.from = c->self,
		.term = p->term,
		.stamp = p->stamp,
		.at = at,
		.kind = (uint32_t)kind,
	};

	if (kind == ACK_BACK) {
		a.spans = c->spans.count < SPANS_TOLD ? c->spans.count : SPANS_TOLD;
		told = &c->spans.at[c->spans.count - a.spans];
		a.head.size += a.spans * (uint32_t)sizeof(*told);
	}
	c->ops->ack(c->arg, c, p->from.node, &a, told, lsn);
}

void copy_refuse(struct copy *c, uint32_t node, uint64_t term)
{
	const struct parcel_append p = {.from.node = node, .term = term};

	ack_send(c, &p, ACK_REFUSED, (struct place){c->seen, 0}, 0);
}

static void damaged(struct copy *c)
{
	c->damaged = true;
	copy_report(c, REPORT_DAMAGED, copy_commit_place(c), &c->self, 0);
}

enum taken { TAKEN, TAKEN_LATER, TAKEN_FULL, TAKEN_DAMAGED };

/* Everything above `sequence` differs from what the primary has. */
static enum taken tail_cut(struct copy *c, uint64_t sequence)
{
	int64_t lsn;

	if (sequence < c->commit) {
		damaged(c);
		return TAKEN_DAMAGED;
	}
	lsn = c->ops->cut(c->arg, c, sequence);
	if (lsn < 0)
		return TAKEN_LATER;
	c->lsn = (uint64_t)lsn;
	spans_cut(&c->spans, sequence);
	if (c->synced > sequence)
		c->synced = sequence;
	return TAKEN;
}

static enum taken entry_take(struct copy *c, const struct parcel_entry *e)
{
	uint64_t end = e->sequence + e->count - 1;
	uint64_t last = spans_last(&c->spans).sequence;
	enum taken t;
	int64_t lsn;

	if (!e->count || !e->sequence)
		return TAKEN_LATER;
	if (spans_hold(&c->spans, (struct place){e->term, end}))
		return TAKEN;
	/* Older than the spans that are kept: it is settled. */
	if (c->spans.count && end < c->spans.at[0].first)
		return TAKEN;
	if (e->sequence <= last) {
		if (!RULE(TRUNCATE))
			return TAKEN;
		t = tail_cut(c, e->sequence - 1);
		if (t != TAKEN)
			return t;
	}
	if (spans_last(&c->spans).sequence + 1 != e->sequence)
		return TAKEN_LATER;
	if (spans_last(&c->spans).term > e->term && RULE(TRUNCATE))
		return TAKEN_LATER;
	lsn = c->ops->entry_append(c->arg, c, e);
	if (lsn == -ENOSPC)
		return TAKEN_FULL;
	if (lsn < 0)
		return TAKEN_LATER;
	c->lsn = (uint64_t)lsn;
	spans_append(&c->spans, term_after(c, e->term), e->sequence, e->count);
	return TAKEN;
}

/* How far is committed is told by place: a tail of another term is not meant. */
static void commit_take(struct copy *c, struct place at)
{
	if (RULE(COMMITPLACE)) {
		if (!spans_hold(&c->spans, at))
			return;
	} else if (at.sequence > spans_last(&c->spans).sequence) {
		at.sequence = spans_last(&c->spans).sequence;
	}
	if (at.sequence <= c->commit)
		return;
	c->commit = at.sequence;
	copy_tell_commit(c);
}

static void have_ack(struct copy *c, const struct parcel_append *p)
{
	uint64_t to = RULE(MATCH) ? c->match : spans_last(&c->spans).sequence;
	struct place at = {0, 0};

	(void)spans_at(&c->spans, to, &at);
	at.sequence = to;
	c->ticket = 0; /* from now on it may be counted on for this */
	ack_send(c, p, ACK_HAVE, at, c->lsn);
}

static void entries_take(struct copy *c, const struct parcel_append *p)
{
	const char *at = (const char *)(p + 1);
	enum taken t = c->full && p->count ? TAKEN_FULL : TAKEN;

	for (uint32_t i = 0; i < p->count && t == TAKEN; i++) {
		const struct parcel_entry *e = (const struct parcel_entry *)(const void *)at;

		t = entry_take(c, e);
		if (t == TAKEN && c->match < e->sequence + e->count - 1)
			c->match = e->sequence + e->count - 1;
		at += e->size;
	}
	if (t == TAKEN_DAMAGED) {
		ack_send(c, p, ACK_DAMAGED, copy_commit_place(c), 0);
		return;
	}
	commit_take(c, p->commit);
	if (t == TAKEN_FULL)
		c->full = true;
	if (c->full)
		ack_send(c, p, ACK_FULL, spans_last(&c->spans), 0);
	else
		have_ack(c, p);
}

void copy_append(struct copy *c, const struct parcel_append *p, uint64_t now_ms)
{
	(void)now_ms;
	if (!c->may_append || c->role == COPY_NONE)
		return;
	if (RULE(FENCE) && p->term < c->seen) {
		ack_send(c, p, ACK_REFUSED, (struct place){c->seen, 0}, 0);
		return;
	}
	copy_hear(c, p->term);
	if (c->role == COPY_PRIMARY)
		return;
	copy_damage_of(c, p->term);
	if (c->damaged) {
		ack_send(c, p, ACK_DAMAGED, copy_commit_place(c), 0);
		return;
	}
	if (c->broken) {
		ack_send(c, p, ACK_BROKEN, (struct place){0, 0}, 0);
		return;
	}
	if (c->term != p->term) {
		c->term = p->term;
		c->match = 0;
	}
	if (RULE(TRUNCATE) ? !spans_hold(&c->spans, p->prev)
			   : p->prev.sequence > spans_last(&c->spans).sequence) {
		ack_send(c, p, ACK_BACK, spans_last(&c->spans), 0);
		return;
	}
	if (c->match < p->prev.sequence)
		c->match = p->prev.sequence;
	entries_take(c, p);
}

void copy_room(struct copy *c)
{
	c->full = false;
}
