/* A partition's copy in a worker, and its part of the log. */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "replica/rules.h"
#include "tests/replica/fault.h"
#include "tests/replica/node.h"

#define PARCEL_MAX  12u /* records in one */
#define PARCELS_MAX 3u  /* at once to a member */
#define RECORDS_MAX 65536u

static const struct record *records[RECORDS_MAX]; /* by id */
static uint64_t records_count;

static struct part *part_of(void *arg)
{
	return arg;
}

/* ---- records ---- */

void records_begin(void)
{
	records_count = 0;
}

struct record *record_new(uint32_t times)
{
	struct record *r = keep(sizeof(*r));

	check(++records_count < RECORDS_MAX);
	records[records_count] = r;
	r->id = records_count;
	r->entry.size = sizeof(*r);
	r->entry.kind = LOG_CHANGE;
	r->entry.count = times;
	return r;
}

const struct record *record_of(uint64_t id)
{
	check(id && id <= records_count);
	return records[id];
}

/* ---- the log ---- */

static void sync_end(void *who, uint64_t inc, void *bytes);

void sync_begin(struct node *n)
{
	struct disk *d = &n->disk;

	if (d->wanted || d->synced == d->count)
		return;
	d->wanted = d->count;
	d->since = world.now;
	n->sync_since = node_clock(n);
	world_after(disk_sync_us(d), sync_end, n, n->inc[WORKER], NULL);
}

static void held_add(struct part *p, const struct record *r, uint64_t lsn)
{
	check(r->entry.sequence == p->last + 1);
	while (p->last + r->entry.count >= p->capacity) {
		struct held *more = keep(2 * (p->capacity + 128) * sizeof(*more));

		if (p->log)
			memcpy(more, p->log, p->capacity * sizeof(*more));
		p->log = more;
		p->capacity = 2 * (p->capacity + 128);
	}
	for (uint32_t i = 0; i < r->entry.count; i++)
		p->log[++p->last] = (struct held){r, lsn};
}

uint64_t part_append(struct part *p, const struct record *r)
{
	struct node *n = p->node;
	uint64_t lsn = disk_append(
		&n->disk,
		(struct disk_op){.record = r, .commit = p->copy.commit, .partition = p->partition});

	held_add(p, r, lsn);
	sync_begin(n);
	return lsn;
}

static void part_cut(struct part *p, uint64_t sequence)
{
	if (sequence < p->last)
		p->last = sequence;
	if (sequence < p->synced)
		p->synced = sequence;
	if (sequence < p->checked)
		p->checked = sequence;
}

/* ---- what a copy does ---- */

static int64_t on_term_append(void *arg, const struct copy *c, uint64_t term)
{
	struct part *p = part_of(arg);
	struct record *r = record_new(1);
	int64_t lsn;

	count(COUNT_LEADS);
	TRACE("node %u leads p%u in %lx, log %lu, commit %lu", p->node->number, p->partition, term,
	      p->last, c->commit);
	watch_lead(p->node, p->partition, term);
	r->entry.kind = LOG_TERM;
	r->entry.partition = (uint16_t)p->partition;
	r->entry.term = term;
	r->entry.sequence = p->last + 1;
	lsn = (int64_t)part_append(p, r);
	p->led = true;
	return lsn;
}

static int64_t on_entry_append(void *arg, const struct copy *c, const struct parcel_entry *e)
{
	struct part *p = part_of(arg);
	const struct record *r = (const struct record *)(const void *)e;

	(void)c;
	if (world.now < p->node->disk.full_until)
		return -ENOSPC;
	check(r->id && r->id <= records_count);
	if (e->sequence != p->last + 1)
		return -EINVAL; /* with rules taken out */
	return (int64_t)part_append(p, records[r->id]);
}

static int64_t on_cut(void *arg, const struct copy *c, uint64_t sequence)
{
	struct part *p = part_of(arg);
	struct node *n = p->node;
	uint64_t lsn;

	count(COUNT_TRUNCATED);
	TRACE("node %u cuts p%u to %lu from %lu, commit %lu", n->number, p->partition, sequence,
	      p->last, c->commit);
	if (sequence < c->commit)
		violate("node %u cuts p%u to %lu, below its commit point %lu", n->number,
			p->partition, sequence, c->commit);
	lsn = disk_append(
		&n->disk,
		(struct disk_op){.cut = sequence, .commit = c->commit, .partition = p->partition});
	part_cut(p, sequence);
	sync_begin(n);
	if (sequence < p->applied) { /* what it has shown is void: it leaves to a successor */
		p->applied = sequence;
		n->restart = true;
	}
	return (int64_t)lsn;
}

static void on_commit(void *arg, const struct copy *c, uint64_t sequence)
{
	struct part *p = part_of(arg);

	watch_commit(p, sequence);
	if (c->role == COPY_PRIMARY)
		p->node->judging = true;
}

static void on_ship(void *arg, struct copy *c, uint32_t i, bool again)
{
	struct part *p = part_of(arg);

	(void)c;
	p->ship |= 1u << i;
	if (again)
		p->ship_again |= 1u << i;
}

static void on_ack(void *arg, const struct copy *c, uint32_t to, const struct parcel_ack *a,
		   const struct span_term *spans, uint64_t lsn)
{
	struct node *n = part_of(arg)->node;
	size_t more = a->spans * sizeof(*spans);
	struct parcel_ack *copy = take(sizeof(*copy) + more);

	(void)c;
	*copy = *a;
	copy->head.size = (uint32_t)(sizeof(*copy) + more);
	copy->head.kind = PARCEL_ACK;
	copy->head.node = to;
	if (more)
		memcpy(copy + 1, spans, more);
	if (lsn <= n->disk.synced || !RULE(SYNC)) {
		coordinator_ship(n, copy);
		return;
	}
	if (n->ack_count == sizeof(n->ack) / sizeof(n->ack[0])) {
		give(n->ack[0].ack);
		memmove(n->ack, n->ack + 1, --n->ack_count * sizeof(n->ack[0]));
	}
	n->ack[n->ack_count++] = (struct ack_wait){lsn, copy};
	sync_begin(n);
}

static void on_report(void *arg, const struct copy *c, const struct parcel_report *r)
{
	static const char *const name[] = {"?",      "counted", "leading",     "floor",   "near",
					   "caught", "stuck",   "member full", "drained", "held",
					   "seen",   "damaged", "whole"};
	struct part *p = part_of(arg);
	struct parcel_report *copy = take(sizeof(*copy));

	(void)c;
	*copy = *r;
	TRACE("node %u reports p%u: %s, number %lu, at %lx:%lu, member %u, log %lx:%lu commit %lu",
	      p->node->number, p->partition, name[r->kind], r->number, r->at.term, r->at.sequence,
	      r->member.node, spans_last(&p->copy.spans).term, p->last, p->copy.commit);
	coordinator_ship(p->node, copy);
}

static void on_deposed(void *arg, struct copy *c)
{
	struct part *p = part_of(arg);

	(void)c;
	count(COUNT_DEPOSED);
	TRACE("node %u is deposed in p%u", p->node->number, p->partition);
	p->node->judging = true;
}

static const struct copy_ops copy_ops = {.term_append = on_term_append,
					 .entry_append = on_entry_append,
					 .cut = on_cut,
					 .commit = on_commit,
					 .ship = on_ship,
					 .ack = on_ack,
					 .report = on_report,
					 .deposed = on_deposed};

/* ---- sending ---- */

static bool parcel_send(struct part *p, uint32_t i, uint64_t from, uint64_t *ret_to)
{
	struct parcel_append head, *a;
	struct record *out;
	uint64_t to = from;
	uint32_t k = 0;

	if (!copy_append_head(&p->copy, i, from, &head)) {
		violate("node %u cannot send p%u behind %lu", p->node->number, p->partition, from);
		return false;
	}
	a = take(sizeof(*a) + PARCEL_MAX * sizeof(*out));
	*a = head;
	out = (struct record *)(a + 1);
	while (k < PARCEL_MAX && to < p->last) {
		const struct record *r = p->log[to + 1].record;

		out[k++] = *r;
		to += r->entry.count;
	}
	a->count = k;
	a->bytes = k * (uint32_t)sizeof(*out);
	a->head.size = (uint32_t)sizeof(*a) + a->bytes;
	a->head.kind = PARCEL_APPEND;
	a->head.partition = (uint16_t)p->partition;
	a->head.node = p->copy.members[i].id.node;
	coordinator_ship(p->node, a);
	*ret_to = to;
	return true;
}

/* Where a record begins at or before `from`: never within a group. */
static uint64_t border(const struct part *p, uint64_t from)
{
	if (from && from < p->last && p->log[from + 1].record == p->log[from].record)
		return p->log[from].record->entry.sequence - 1;
	return from;
}

static void ship(struct part *p, uint32_t i, bool again)
{
	uint64_t from = p->copy.members[i].next, to;

	if (aimed(AIM_HINT) && chance_ppm(30 * PERCENT)) {
		static const uint32_t below[] = {1, 1, 13, 15, 30, 60};
		uint64_t less = chance_of(below);

		from = border(p, from > less ? from - less : 0);
		again = true;
	}
	for (uint32_t k = 0; k < PARCELS_MAX && (again || from < p->last); k++, again = false) {
		if (!parcel_send(p, i, from, &to))
			return;
		from = to;
		copy_sent(&p->copy, i, to, node_ms(p->node));
	}
}

void part_flush(struct part *p)
{
	if (!replica_off && !copy_agrees(&p->copy))
		violate("node %u: the copy of p%u does not agree with itself", p->node->number,
			p->partition);
	/* With too few copies it is committed before the owner is told so. */
	if (p->copy.commit > p->checked)
		watch_commit(p, p->copy.commit);
	while (p->ship) {
		uint32_t i = (uint32_t)__builtin_ctz(p->ship);
		bool again = p->ship_again >> i & 1u;

		p->ship &= ~(1u << i);
		p->ship_again &= ~(1u << i);
		if (p->copy.role == COPY_PRIMARY && i < p->copy.count)
			ship(p, i, again);
	}
	if (p->led) {
		p->led = false;
		p->applied = p->last;
		serve_led(p);
	}
}

uint64_t worker_write(struct part *p, struct record *r)
{
	uint64_t first = p->last + 1, lsn;

	r->entry.partition = (uint16_t)p->partition;
	r->entry.term = p->copy.term;
	r->entry.sequence = first;
	lsn = part_append(p, r);
	serve_apply(p, r);
	p->applied = p->last;
	copy_written(&p->copy, first, r->entry.count, lsn, node_ms(p->node));
	part_flush(p);
	return p->last;
}

/* ---- on disk ---- */

static void acks_send(struct node *n)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n->ack_count; i++) {
		if (n->ack[i].lsn <= n->disk.synced)
			coordinator_ship(n, n->ack[i].ack);
		else
			n->ack[left++] = n->ack[i];
	}
	n->ack_count = left;
}

static void sync_end(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, WORKER, inc, sync_end, bytes))
		return;
	if (n->disk.hung_until > world.now) { /* it hangs since it was begun */
		world_after(20 * MS, sync_end, n, inc, NULL);
		return;
	}
	n->disk.synced = n->disk.wanted;
	n->disk.wanted = 0;
	acks_send(n);
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		struct part *p = &n->part[i];

		while (p->synced < p->last && p->log[p->synced + 1].lsn <= n->disk.synced)
			p->synced++;
		copy_synced(&p->copy, p->synced);
		teach_synced(p);
		part_flush(p);
	}
	sync_begin(n);
	if (n->judging && !n->leaving)
		serve_judge(n, node_clock(n));
}

/* ---- its beginning ---- */

/* What the log on disk says of the partition. */
void part_replay(struct part *p)
{
	const struct disk *d = &p->node->disk;
	struct spans spans = {0};
	uint64_t commit = 0, seen = 0, term;
	bool broken = false;
	struct member self = {.store = p->node->store, .node = p->node->number};

	p->last = p->synced = p->clock_us = 0;
	memset(p->key, 0, sizeof(p->key));
	for (uint32_t i = 0; i < d->count; i++) {
		const struct disk_op *op = &d->op[i];

		if (op->partition != p->partition)
			continue;
		if (op->load == DISK_LOAD_BEGINS) {
			p->last = p->synced = p->checked = commit = 0;
			spans = (struct spans){0};
		}
		if (op->commit > commit)
			commit = op->commit;
		if (op->load) {
			broken = op->load == DISK_LOAD_BEGINS;
			continue;
		}
		if (!op->record) {
			part_cut(p, op->cut);
			spans_cut(&spans, op->cut);
			continue;
		}
		held_add(p, op->record, i + 1);
		if (op->record->entry.term > seen)
			seen = op->record->entry.term;
		term = spans_last(&spans).term; /* grows, but with rules taken out */
		if (op->record->entry.term > term)
			term = op->record->entry.term;
		spans_append(&spans, term, op->record->entry.sequence, op->record->entry.count);
	}
	if (commit > p->last)
		violate("node %u: p%u has %lu on disk, of which %lu is committed", p->node->number,
			p->partition, p->last, commit);
	p->synced = p->last;
	p->checked = commit;
	p->applied = commit;
	p->ship = p->ship_again = 0;
	p->deposed = p->led = false;
	p->teach_id = p->learned_lsn = 0;
	if (broken) {
		p->last = p->synced = p->checked = p->applied = commit = 0;
		spans = (struct spans){0};
	}
	copy_init(&p->copy, p->partition, self, &spans, commit, &copy_ops, p);
	if (broken)
		copy_broken(&p->copy);
	if (seen > p->copy.seen)
		p->copy.seen = seen;
}
