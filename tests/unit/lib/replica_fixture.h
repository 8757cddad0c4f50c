/*
 * Copies of one partition with a log each, a disk that is told when to sync, and a wire whose
 * messages are handed over one by one, for test_copy.c.
 */
#ifndef PAIL_TEST_COPIES_FIXTURE_H
#define PAIL_TEST_COPIES_FIXTURE_H

#include <errno.h>
#include <stdlib.h>

#include "replica/copy.h"
#include "tests/unit/lib/unit.h"

#define COPIES  4u
#define RECORDS 256u
#define WIRE    512u

struct record {
	struct parcel_entry e;
	uint64_t lsn;
};

struct side {
	struct copy c;
	struct record log[RECORDS];
	uint32_t records;
	uint64_t lsn, synced_lsn;
	uint32_t cuts, deposed;
	uint64_t cut_to;
	uint64_t committed;           /* as the owner was told */
	bool no_room, no_lead, stays; /* knobs: full; leading fails; appends fail */
	uint32_t reports;
	struct parcel_report report[256];
};

struct letter {
	uint32_t to;
	uint64_t lsn; /* not before it is on the sender's disk */
	uint32_t from;
	union {
		struct parcel head;
		struct parcel_append append;
		struct parcel_ack ack;
		char bytes[640];
	} u;
};

static struct side sides[COPIES + 1];
static struct letter wire[WIRE];
static uint32_t letters;
static uint64_t clock_ms, order_number;

static inline struct member copy_of(uint32_t node)
{
	return (struct member){0x1000u + node, node, 0};
}

static struct side *side_of(const struct copy *c)
{
	return &sides[c->self.node];
}

static int64_t put_record(struct side *s, struct parcel_entry e)
{
	CU_ASSERT_FATAL(s->records < RECORDS);
	e.size = sizeof(e);
	s->log[s->records++] = (struct record){e, ++s->lsn};
	return (int64_t)s->lsn;
}

static uint64_t end_of(const struct side *s)
{
	const struct record *r = s->records ? &s->log[s->records - 1] : NULL;

	return r ? r->e.sequence + r->e.count - 1 : 0;
}

static int64_t on_term(void *arg, const struct copy *c, uint64_t term)
{
	struct side *s = side_of(c);

	(void)arg;
	if (s->no_lead)
		return -EBUSY;
	return put_record(
		s, (struct parcel_entry){.term = term, .sequence = end_of(s) + 1, .count = 1});
}

static int64_t on_entry(void *arg, const struct copy *c, const struct parcel_entry *e)
{
	struct side *s = side_of(c);

	(void)arg;
	if (s->no_room)
		return -ENOSPC;
	if (s->stays)
		return -EBUSY;
	EQ(end_of(s) + 1, e->sequence);
	return put_record(s, *e);
}

static int64_t on_cut(void *arg, const struct copy *c, uint64_t sequence)
{
	struct side *s = side_of(c);

	(void)arg;
	s->cuts++;
	s->cut_to = sequence;
	while (s->records && s->log[s->records - 1].e.sequence > sequence)
		s->records--;
	EQ(sequence, end_of(s)); /* at the border of a record */
	return (int64_t)++s->lsn;
}

static void on_commit(void *arg, const struct copy *c, uint64_t sequence)
{
	struct side *s = side_of(c);

	(void)arg;
	TRUE_(sequence > s->committed && sequence <= end_of(s));
	s->committed = sequence;
}

static struct letter *letter_new(uint32_t from, uint32_t to, uint64_t lsn)
{
	CU_ASSERT_FATAL(letters < WIRE);
	wire[letters] = (struct letter){.to = to, .from = from, .lsn = lsn};
	return &wire[letters++];
}

static void on_ship(void *arg, struct copy *c, uint32_t i, bool again)
{
	struct side *s = side_of(c);
	struct copy_member *m = &c->members[i];
	uint64_t next = m->next;
	struct letter *l;
	struct parcel_append a;

	(void)arg;
	if (next >= end_of(s) && !again)
		return;
	if (!copy_append_head(c, i, next, &a))
		return;
	l = letter_new(c->self.node, m->id.node, 0);
	for (uint32_t k = 0; k < s->records && a.count < 12; k++) {
		if (s->log[k].e.sequence <= next)
			continue;
		memcpy(l->u.bytes + sizeof(a) + a.bytes, &s->log[k].e, sizeof(s->log[k].e));
		a.bytes += (uint32_t)sizeof(s->log[k].e);
		a.count++;
		next = s->log[k].e.sequence + s->log[k].e.count - 1;
	}
	a.head.size += a.bytes;
	memcpy(l->u.bytes, &a, sizeof(a));
	copy_sent(c, i, next, clock_ms);
}

static void on_ack(void *arg, const struct copy *c, uint32_t node, const struct parcel_ack *a,
		   const struct span_term *spans, uint64_t lsn)
{
	struct letter *l = letter_new(c->self.node, node, lsn);

	(void)arg;
	EQ(sizeof(*a) + a->spans * sizeof(*spans), a->head.size);
	memcpy(l->u.bytes, a, sizeof(*a));
	if (a->spans)
		memcpy(l->u.bytes + sizeof(*a), spans, a->spans * sizeof(*spans));
}

static void on_report(void *arg, const struct copy *c, const struct parcel_report *r)
{
	struct side *s = side_of(c);

	(void)arg;
	CU_ASSERT_FATAL(s->reports < 256);
	s->report[s->reports++] = *r;
}

static void on_deposed(void *arg, struct copy *c)
{
	(void)arg;
	side_of(c)->deposed++;
}

static const struct copy_ops ops = {
	.term_append = on_term,
	.entry_append = on_entry,
	.cut = on_cut,
	.commit = on_commit,
	.ship = on_ship,
	.ack = on_ack,
	.report = on_report,
	.deposed = on_deposed,
};

static void side_open(uint32_t node, uint64_t commit)
{
	struct side *s = &sides[node];
	struct spans spans = {0};

	for (uint32_t i = 0; i < s->records; i++)
		spans_append(&spans, s->log[i].e.term, s->log[i].e.sequence, s->log[i].e.count);
	s->synced_lsn = s->lsn;
	s->committed = commit;
	s->reports = 0;
	copy_init(&s->c, 5, copy_of(node), &spans, commit, &ops, NULL);
}

/* A copy with that log: `terms` of its records, the first `commit` of them committed. */
static inline void side_new(uint32_t node, const uint64_t *terms, uint32_t n, uint64_t commit)
{
	struct side *s = &sides[node];

	memset(s, 0, sizeof(*s));
	for (uint32_t i = 0; i < n; i++)
		(void)put_record(
			s, (struct parcel_entry){.term = terms[i], .sequence = i + 1, .count = 1});
	side_open(node, commit);
}

/* The worker is killed: of its log what is synced, and `more`, is left. */
static inline void side_again(uint32_t node, uint32_t more)
{
	struct side *s = &sides[node];

	while (s->records && s->log[s->records - 1].lsn > s->synced_lsn + more)
		s->records--;
	side_open(node, 0);
	for (uint32_t i = 0; i < letters; i++)
		if (wire[i].from == node && wire[i].lsn > s->synced_lsn)
			wire[i].to = 0; /* it was never sent */
}

/* `needed` and `learners` are bits of nodes. */
static inline void order(uint32_t node, enum order_kind kind, uint64_t term, uint32_t needed,
			 uint32_t learners, uint32_t flags)
{
	struct parcel_order o = {
		.head = {sizeof(o), PARCEL_ORDER, 5, 0, 0},
		.number = ++order_number,
		.term = term,
		.frozen = ORDER_COMMIT_NOW,
		.kind = (uint32_t)kind,
		.flags = flags,
		.may_append = 1,
	};

	for (uint32_t i = 1; i <= COPIES; i++) {
		uint64_t f = (needed >> i & 1u ? MEMBER_NEEDED : 0u) |
			     (learners >> i & 1u ? MEMBER_LEARNER : 0u);

		if (f)
			o.member[o.count++] = (struct order_member){copy_of(i), f};
	}
	copy_order(&sides[node].c, &o, clock_ms);
}

static inline void lead(uint32_t node, uint64_t term, uint32_t needed)
{
	order(node, ORDER_VIEW, term_make(term_epoch(term), 0), 0, 0, 0);
	order(node, ORDER_LEAD, term, needed, 0, 0);
}

/* All copies are backups that take records in. */
static inline void sides_new(void)
{
	letters = 0;
	clock_ms = 10000;
	order_number = 0;
	for (uint32_t i = 1; i <= COPIES; i++) {
		side_new(i, NULL, 0, 0);
		order(i, ORDER_VIEW, 0, 0, 0, 0);
	}
}

/* A primary writes a record of so many changes. */
static inline void write_group(uint32_t node, uint32_t count)
{
	struct side *s = &sides[node];
	uint64_t first = end_of(s) + 1;

	(void)put_record(
		s, (struct parcel_entry){.term = s->c.term, .sequence = first, .count = count});
	copy_written(&s->c, first, count, clock_ms);
	TRUE_(copy_agrees(&s->c));
}

static inline void write_n(uint32_t node, uint32_t n)
{
	while (n--)
		write_group(node, 1);
}

static inline void sync_side(uint32_t node)
{
	struct side *s = &sides[node];

	s->synced_lsn = s->lsn;
	copy_synced(&s->c, end_of(s));
	TRUE_(copy_agrees(&s->c));
}

/* Time passes for all. */
static inline void pass(uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 10) {
		clock_ms += 10;
		for (uint32_t k = 1; k <= COPIES; k++)
			copy_tick(&sides[k].c, clock_ms);
	}
}

/* Hand over the oldest letter for the node; false: there is none that may go. */
static inline bool deliver_one(uint32_t to)
{
	for (uint32_t i = 0; i < letters; i++) {
		struct letter l = wire[i];

		if (l.to != to || l.lsn > sides[l.from].synced_lsn)
			continue;
		memmove(&wire[i], &wire[i + 1], (letters - i - 1) * sizeof(wire[0]));
		letters--;
		if (l.u.head.kind == PARCEL_APPEND)
			copy_append(&sides[to].c, &l.u.append, clock_ms);
		else
			copy_ack(&sides[to].c, &l.u.ack, clock_ms);
		TRUE_(copy_agrees(&sides[to].c));
		return true;
	}
	return false;
}

/* Hand over all, sync all, until nothing is left. */
static inline void settle_all(void)
{
	bool some = true;

	for (int rounds = 0; some; rounds++) {
		CU_ASSERT_FATAL(rounds < 1000);
		some = false;
		for (uint32_t i = 1; i <= COPIES; i++) {
			while (deliver_one(i))
				some = true;
			sync_side(i);
		}
	}
}

static inline void drop_all(void)
{
	letters = 0;
}

/* The newest ack on its way to `to`; NULL: none. */
static inline const struct parcel_ack *last_ack(uint32_t to)
{
	for (uint32_t i = letters; i-- > 0;)
		if (wire[i].to == to && wire[i].u.head.kind == PARCEL_ACK)
			return &wire[i].u.ack;
	return NULL;
}

/* The last report of that kind; NULL: none. */
static inline const struct parcel_report *reported(uint32_t node, enum report_kind kind)
{
	struct side *s = &sides[node];

	for (uint32_t i = s->reports; i-- > 0;)
		if (s->report[i].kind == (uint32_t)kind)
			return &s->report[i];
	return NULL;
}

static inline void forget_reports(uint32_t node)
{
	sides[node].reports = 0;
}

/* Both have the same records up to there. */
static inline void same_logs(uint32_t a, uint32_t b, uint64_t upto)
{
	TRUE_(end_of(&sides[a]) >= upto && end_of(&sides[b]) >= upto);
	for (uint32_t i = 0; i < sides[a].records && sides[a].log[i].e.sequence <= upto; i++) {
		EQ(sides[a].log[i].e.term, sides[b].log[i].e.term);
		EQ(sides[a].log[i].e.sequence, sides[b].log[i].e.sequence);
	}
}

#endif
