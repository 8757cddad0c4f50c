/*
 * Snapshots: now and then a primary finds that its log does not reach back to what a learner needs.
 * One is a single piece here; what matters is which one is taken in, and who counts then.  The disk
 * has it in parts, so that a death in the middle leaves a copy that is not whole.
 */
#include <string.h>

#include "common/check.h"
#include "tests/replica/fault.h"
#include "tests/replica/node.h"

static struct parcel_piece *piece_new(const struct part *p, uint64_t count)
{
	size_t size = sizeof(struct parcel_piece) + count * sizeof(uint64_t);
	struct parcel_piece *x = take(size);

	*x = (struct parcel_piece){
		.head = {(uint32_t)size, PARCEL_PIECE, (uint16_t)p->partition, p->teach_to.node, 0},
		.from = p->copy.self,
		.term = p->teach_term,
		.snapshot = p->teach_id,
		.flags = PIECE_OFFER,
		.bytes = (uint32_t)(count * sizeof(uint64_t)),
	};
	return x;
}

static struct parcel_pieced answer_to(const struct part *p, const struct parcel_piece *x,
				      enum pieced_kind kind)
{
	return (struct parcel_pieced){
		.head = {sizeof(struct parcel_pieced), PARCEL_PIECED, (uint16_t)p->partition,
			 x->from.node, 0},
		.from = p->copy.self,
		.term = x->term,
		.snapshot = x->snapshot,
		.ticket = x->ticket,
		.kind = (uint32_t)kind,
	};
}

static void answer(struct part *p, const struct parcel_pieced *x)
{
	struct parcel_pieced *copy = take(sizeof(*copy));

	*copy = *x;
	coordinator_ship(p->node, copy);
}

/* ---- the primary ---- */

void teach_tick(struct part *p)
{
	struct copy *c = &p->copy;

	if (c->role != COPY_PRIMARY)
		return;
	for (uint32_t i = 0; i < c->count; i++) {
		struct copy_member *m = &c->members[i];
		bool learns = m->flags & MEMBER_LEARNER && !(m->flags & MEMBER_NEEDED);

		if (learns && !m->anew && !world.calm && chance_ppm(3 * PERCENT))
			copy_lost(c, i);
		if (!copy_wants_snapshot(c, i) || !chance_ppm(25 * PERCENT))
			continue;
		p->teach_id = chance_u64() | 1;
		p->teach_term = c->term;
		p->teach_to = m->id;
		TRACE("node %u offers p%u to %u", p->node->number, p->partition, m->id.node);
		coordinator_ship(p->node, piece_new(p, 0));
		return;
	}
}

static void piece_send(struct part *p, uint64_t ticket)
{
	uint64_t count = 0;
	uint64_t commit = p->copy.commit;
	struct parcel_piece *x = piece_new(p, commit);
	uint64_t *ids = (uint64_t *)(x + 1);

	for (uint64_t s = 1; s <= commit; s += p->log[s].record->entry.count)
		ids[count++] = p->log[s].record->id;
	x->flags = PIECE_LAST;
	x->ticket = ticket;
	x->sequence = commit;
	x->bytes = (uint32_t)(count * sizeof(uint64_t));
	coordinator_ship(p->node, x);
}

void teach_answer(struct part *p, const struct parcel_pieced *x)
{
	struct copy *c = &p->copy;

	if (c->role != COPY_PRIMARY || x->snapshot != p->teach_id || x->term != c->term)
		return;
	for (uint32_t i = 0; i < c->count; i++) {
		if (!member_is(c->members[i].id, x->from) || !copy_wants_snapshot(c, i))
			continue;
		if (x->kind == PIECED_TAKE) {
			piece_send(p, x->ticket);
			return;
		}
		TRACE("node %u has taught %u p%u up to %lu", p->node->number, x->from.node,
		      p->partition, x->at.sequence);
		count(COUNT_TAUGHT);
		p->teach_id = 0;
		copy_taught(c, i, x->at, node_ms(p->node));
		return;
	}
}

/* ---- the copy ---- */

static void load(struct part *p, const struct parcel_piece *x)
{
	const uint64_t *ids = (const uint64_t *)(x + 1);
	struct disk *d = &p->node->disk;

	TRACE("node %u learns p%u anew up to %lu, had %lu, commit %lu", p->node->number,
	      p->partition, x->sequence, p->last, p->copy.commit);
	(void)disk_append(d, (struct disk_op){.load = DISK_LOAD_BEGINS, .partition = p->partition});
	p->last = p->synced = p->checked = p->applied = 0;
	p->learned_lsn = 0;
	copy_load(&p->copy);
	if (!world.calm && chance_ppm(20 * PERCENT))
		return; /* given up in the middle */
	for (uint32_t i = 0; i < x->bytes / sizeof(*ids); i++)
		(void)part_append(p, record_of(ids[i]));
	p->learned_lsn = disk_append(d, (struct disk_op){.load = DISK_LOAD_ENDS,
							 .commit = x->sequence,
							 .partition = p->partition});
	p->learned = answer_to(p, x, PIECED_DONE);
	sync_begin(p->node);
}

void teach_piece(struct part *p, const struct parcel_piece *x)
{
	struct parcel_pieced a = answer_to(p, x, PIECED_TAKE);

	if (!(x->flags & PIECE_OFFER)) {
		if (copy_may_load(&p->copy, x))
			load(p, x);
		return;
	}
	a.ticket = chance_u64() | 1;
	if (copy_offered(&p->copy, x, a.ticket))
		answer(p, &a);
}

void teach_synced(struct part *p)
{
	struct spans spans = {0};

	if (!p->learned_lsn || p->learned_lsn > p->node->disk.synced)
		return;
	p->learned_lsn = 0;
	for (uint64_t s = 1; s <= p->last; s += p->log[s].record->entry.count) {
		const struct parcel_entry *e = &p->log[s].record->entry;

		spans_append(&spans, e->term, e->sequence, e->count);
	}
	watch_commit(p, p->last);
	p->applied = p->last;
	p->synced = p->last;
	copy_loaded(&p->copy, &spans, p->last);
	p->learned.at = spans_last(&spans);
	answer(p, &p->learned);
}
