/*
 * A checkpoint: read the frozen segments, sort their records last-wins by key, and merge them in a
 * few large sorted transactions.  Counts of buckets and the settled sequence change only in the
 * last transaction, so a checkpoint that is cut short is simply done again: every step is
 * idempotent.
 */
#include "storage/checkpoint_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/check.h"
#include "common/fault.h"

#define PARTS          16u /* transactions of a large checkpoint: more stall writers, fewer the log */
#define PART_MIN       8192u /* keys */
#define PART_BYTES_MAX (32u << 20)

/* ---- collecting ---- */

static struct change *change_of(struct changes *s, uint64_t id)
{
	uint64_t i = id * 0x9e3779b97f4a7c15u >> 20 & s->mask;

	while (s->slot[i].id && s->slot[i].id != id)
		i = (i + 1) & s->mask;
	return &s->slot[i];
}

static int changes_grow(struct changes *s)
{
	struct changes old = *s;
	uint64_t n = old.slot ? 2 * (old.mask + 1) : 64;

	if (old.slot && 2 * old.count < old.mask)
		return 0;
	s->slot = calloc(n, sizeof(*s->slot));
	if (!s->slot) {
		s->slot = old.slot;
		return -ENOMEM;
	}
	s->mask = n - 1;
	for (uint64_t i = 0; old.slot && i <= old.mask; i++)
		if (old.slot[i].id)
			*change_of(s, old.slot[i].id) = old.slot[i];
	free(old.slot);
	return 0;
}

static int change_add(struct changes *s, const struct wal_record *r)
{
	struct change *c;

	if (changes_grow(s) < 0)
		return -ENOMEM;
	c = change_of(s, r->bucket);
	if (!c->id) {
		c->id = r->bucket;
		c->name = wal_record_name(r);
		s->count++;
	}
	c->delta += r->delta;
	c->created |= r->op == WAL_CREATE;
	c->dropped |= r->op == WAL_DROP;
	s->any_drop |= r->op == WAL_DROP;
	return 0;
}

static int item_add(struct checkpoint *c, const struct wal_record *r)
{
	if (c->count == c->room) {
		uint64_t room = c->room ? 2 * c->room : 65536;
		struct sort_item *p = realloc(c->items, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->items = p;
		c->room = room;
	}
	c->items[c->count++].record = r;
	return 0;
}

/* What was whole when it was synced is not any more. */
static int damaged(struct checkpoint *c, const struct wal_segment *s, uint64_t at, uint64_t seq)
{
	char path[1100];

	wal_path(c->dir, s->epoch, path, sizeof(path));
	(void)snprintf(c->why, sizeof(c->why),
		       "%.150s: damaged record at offset %llu (sequence %llu): it is not what was "
		       "written",
		       path, (unsigned long long)at, (unsigned long long)seq);
	return -EBADMSG;
}

/* Map a segment and take its records behind `after`; they stay mapped until run_done. */
static int segment_collect(struct checkpoint *c, unsigned i, uint64_t after)
{
	const struct wal_segment *s = &c->segment[i];
	struct wal_reader *rd = &c->file[i];
	int r = wal_reader_open(rd, c->dir, s->epoch, s->size, s->first_seq);

	if (r == -EBADMSG)
		return damaged(c, s, rd->at, s->last_seq);
	if (r == 0)
		(void)madvise((void *)(uintptr_t)rd->map, rd->size,
			      MADV_POPULATE_READ); /* only faster */
	while (r == 0 && rd->seq <= s->last_seq) {
		const struct wal_record *rec = wal_reader_next(rd);

		/* Base would give rotten bytes a checksum of their own. */
		if (!rec)
			return damaged(c, s, rd->at, rd->seq);
		if (rec->seq <= after || rec->op == WAL_OUTCOME || rec->op == WAL_CLOCK)
			continue;
		r = change_add(&c->changes, rec);
		if (r == 0 && rec->op != WAL_CREATE && rec->op != WAL_DROP)
			r = item_add(c, rec);
	}
	return r;
}

static void run_done(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->segments; i++)
		wal_reader_close(&c->file[i]);
	memset(c->file, 0, sizeof(c->file));
	free(c->items);
	free(c->scratch);
	free(c->changes.slot);
	c->items = NULL;
	c->scratch = NULL;
	c->count = 0;
	c->room = 0;
	memset(&c->changes, 0, sizeof(c->changes));
}

/* ---- merging ---- */

static bool same_key(const struct wal_record *a, const struct wal_record *b)
{
	return a->bucket == b->bucket && span_equal(wal_record_key(a), wal_record_key(b));
}

/* Keep the last record of each key, and none of buckets that were dropped meanwhile. */
static void items_unique(struct checkpoint *c)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < c->count; i++) {
		const struct wal_record *r = c->items[i].record;

		if (i + 8 < c->count)
			__builtin_prefetch(c->items[i + 8].record);
		if (i + 1 < c->count && same_key(r, c->items[i + 1].record))
			continue;
		if (c->changes.any_drop && change_of(&c->changes, r->bucket)->dropped)
			continue;
		check_slow(!n || c->items[n - 1].record->bucket <= r->bucket);
		c->items[n++] = c->items[i];
	}
	c->count = n;
}

static int record_merge(struct checkpoint *c, const struct wal_record *r)
{
	struct engine_item item;

	if (r->op != WAL_PUT)
		return engine_delete(c->base, r->bucket, wal_record_key(r));
	item.key = wal_record_key(r);
	item.value = wal_record_value(r);
	item.version = r->seq;
	item.expiry = r->expiry;
	return engine_put(c->base, r->bucket, &item);
}

/*
 * A bucket may be dropped and made again under the same name in one checkpoint: drops go first, so
 * that the row that is left is the new one's.
 */
static int changes_merge(struct checkpoint *c)
{
	int r = 0;

	for (int drops = 1; drops >= 0; drops--)
		for (uint64_t i = 0; c->changes.slot && i <= c->changes.mask && r == 0; i++) {
			struct change *x = &c->changes.slot[i];

			if (!x->id || x->dropped != drops)
				continue;
			if (drops)
				r = engine_bucket_drop(c->base, x->name, x->id);
			else
				r = engine_bucket_add(c->base, x->name, x->id, x->delta,
						      x->created);
		}
	c->purge |= c->changes.any_drop;
	return r;
}

static int merge(struct checkpoint *c, const struct engine_meta *meta)
{
	uint64_t part = c->count / PARTS < PART_MIN ? PART_MIN : c->count / PARTS + 1;
	uint64_t i = 0;
	int r;

	for (;;) {
		uint64_t bytes = 0;
		uint64_t end = i + part;

		r = engine_begin(c->base);
		if (r < 0)
			return r;
		for (; r == 0 && i < c->count && i < end && bytes < PART_BYTES_MAX; i++) {
			if (i + 4 < c->count)
				__builtin_prefetch(c->items[i + 4].record);
			bytes += c->items[i].record->size;
			r = record_merge(c, c->items[i].record);
		}
		if (r == 0 && i == c->count)
			r = changes_merge(c);
		if (r < 0) {
			engine_abort(c->base);
			return r;
		}
		(void)fault_at("checkpoint.before_commit");
		if (i == c->count)
			return checkpoint_commit(c, meta);
		r = checkpoint_commit(c, NULL);
		if (r < 0)
			return r;
		if (atomic_load(&c->stop))
			return -ECANCELED;
		(void)usleep(1000); /* let the log's syncs through */
	}
}

int checkpoint_run(struct checkpoint *c)
{
	struct engine_meta meta;
	int r = 0;

	engine_meta(c->base, &meta);
	c->why[0] = '\0';
	for (unsigned i = 0; i < c->segments && r == 0; i++)
		r = segment_collect(c, i, meta.settled);
	if (r == 0 && c->count) {
		c->scratch = malloc(c->count * sizeof(*c->scratch));
		if (!c->scratch)
			r = -ENOMEM;
	}
	if (r == 0) {
		sort_records(c->items, c->scratch, c->count);
		items_unique(c);
		meta.settled = c->segment[c->segments - 1].last_seq;
		/* The next segment may not have reached the disk yet; this one has, and stays. */
		meta.epoch_min = c->segment[c->segments - 1].epoch;
		if (c->clock_ms > meta.clock_ms)
			meta.clock_ms = c->clock_ms;
		r = merge(c, &meta);
	}
	if (checkpoint_is_full(c, r))
		r = -ENOSPC;
	run_done(c);
	if (r < 0)
		return r;
	(void)fault_at("checkpoint.before_recycle");
	return wal_settled(c->wal, meta.epoch_min);
}
