/*
 * A checkpoint: read the frozen segments, sort their changes by key, fold those of one key, and
 * merge them in a few large sorted transactions.  Counts of buckets and what is settled change only
 * in the last transaction, so a checkpoint that is cut short is simply done again: every step is
 * idempotent.
 *
 * A group of changes is taken whole: it is one record, and a segment ends behind one.  Its keys may
 * lie in several transactions, and base hold some of them and not others when the power fails.
 * Nobody sees that: what is settled says that base has nothing of it, so the log is replayed from
 * before it, and what the cache has goes before base.
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
#include "storage/marks.h"
#include "storage/session_table.h"

#define PARTS          16u /* transactions of a large checkpoint: more stall writers, fewer the log */
#define PART_MIN       8192u /* keys */
#define PART_BYTES_MAX (32u << 20)

/* ---- collecting ---- */

static struct change *change_of(struct changes *s, uint64_t id)
{
	uint64_t i = bucket_hash(id) & s->mask;

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

static int change_add(struct changes *s, const struct log_change *r)
{
	struct change *c;

	if (changes_grow(s) < 0)
		return -ENOMEM;
	c = change_of(s, r->bucket);
	if (!c->id) {
		c->id = r->bucket;
		c->name = r->name;
		s->count++;
	}
	c->delta += r->delta;
	c->created |= r->op == LOG_CREATE;
	c->dropped |= r->op == LOG_DROP;
	s->any_drop |= r->op == LOG_DROP;
	return 0;
}

static int item_add(struct checkpoint *c, const struct log_changes *i)
{
	if (c->count == c->room) {
		uint64_t room = c->room ? 2 * c->room : 65536;
		struct sort_item *p = realloc(c->items, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->items = p;
		c->room = room;
	}
	c->items[c->count++] = (struct sort_item){{0}, i->bucket, i->sequence, i->head};
	return 0;
}

/* What was whole when it was synced is not any more. */
static int damaged(struct checkpoint *c, const struct wal_segment *s, uint64_t at, uint64_t lsn)
{
	char path[1100];

	wal_path(c->dir, s->epoch, path, sizeof(path));
	(void)snprintf(c->why, sizeof(c->why),
		       "%.150s: damaged record at offset %llu (lsn %llu): it is not what was "
		       "written",
		       path, (unsigned long long)at, (unsigned long long)lsn);
	return -EBADMSG;
}

/* How far its partition is settled when this entry is in base; does it follow what is there? */
static bool part_collect(struct checkpoint *c, const struct log_entry *e)
{
	struct engine_part *p = &c->part_next[e->partition];
	struct log_clock clock;

	if (e->partition >= c->partitions || e->sequence != p->settled + !!e->count)
		return false;
	p->settled = e->count ? e->sequence + e->count - 1 : p->settled;
	if (e->kind == LOG_CLOCK) {
		log_clock_read(e, &clock);
		p->clock_ms = clock.clock_ms > p->clock_ms ? clock.clock_ms : p->clock_ms;
	}
	return true;
}

int record_collect(struct checkpoint *c, const struct log_entry *e)
{
	struct log_changes i;
	struct log_change x;
	int r = 0;

	log_changes_begin(&i, e);
	while (r == 0 && log_changes_next(&i, &x) == 1) {
		r = change_add(&c->changes, &x);
		if (r == 0 && x.key.n)
			r = item_add(c, &i);
	}
	return r;
}

/* Map a segment and take its records behind `after`; they stay mapped until run_done. */
static int segment_collect(struct checkpoint *c, unsigned i, uint64_t after)
{
	const struct wal_segment *s = &c->segment[i];
	struct wal_reader *rd = &c->file[i];
	int r = wal_reader_open(rd, c->dir, s->epoch, s->size, s->first_lsn);

	if (r == -EBADMSG)
		return damaged(c, s, rd->at, s->last_lsn);
	if (r == 0)
		(void)madvise((void *)(uintptr_t)rd->map, rd->size,
			      MADV_POPULATE_READ); /* only faster */
	while (r == 0 && rd->lsn <= s->last_lsn) {
		struct log_record rec;

		/* Base would give rotten bytes a checksum of their own. */
		if (wal_reader_next(rd, &rec) != 1)
			return damaged(c, s, rd->at, rd->lsn);
		if (rec.lsn <= after)
			continue;
		if (c->spans)
			r = copies_collect(c, &rec);
		else
			r = part_collect(c, rec.entry) ? record_collect(c, rec.entry) : -EBADMSG;
		if (r == -EBADMSG)
			return damaged(c, s, rd->at, rd->lsn);
	}
	return r;
}

static void run_done(struct checkpoint *c)
{
	for (unsigned i = 0; i < c->segments; i++)
		wal_reader_close(&c->file[i]);
	memset(c->file, 0, sizeof(c->file));
	if (c->spans)
		copies_done(c);
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

static bool same_key(const struct sort_item *a, const struct sort_item *b)
{
	return a->bucket == b->bucket && span_equal(log_head_key(a->head), log_head_key(b->head));
}

/* The change that has the value which a key has after `x`, if it had that of `before` until then.
 */
static const struct log_change_head *value_after(const struct sort_item *x,
						 const struct log_change_head *before)
{
	switch (log_head_op(x->head)) {
	case LOG_PUT:
		return x->head;
	case LOG_TOUCH:
		return before; /* NULL: what is in base */
	default:
		return NULL;
	}
}

/*
 * Keep the last change of each key, with the value that it leaves there, and none of buckets that
 * were dropped meanwhile.
 */
static void items_unique(struct checkpoint *c)
{
	const struct log_change_head *value = NULL;
	uint64_t n = 0;

	for (uint64_t i = 0; i < c->count; i++) {
		struct sort_item *x = &c->items[i];

		if (i + 8 < c->count)
			__builtin_prefetch(c->items[i + 8].head);
		value = value_after(x, value);
		if (i + 1 < c->count && same_key(x, x + 1))
			continue;
		x->value = value;
		value = NULL;
		if (c->changes.any_drop && change_of(&c->changes, x->bucket)->dropped)
			continue;
		check_slow(!n || c->items[n - 1].bucket <= x->bucket);
		c->items[n++] = *x;
	}
	c->count = n;
}

/* *bytes grows by what goes into base, about. */
static int item_merge(struct checkpoint *c, const struct sort_item *x, uint64_t *bytes)
{
	enum log_op op = log_head_op(x->head);
	struct engine_item item;
	uint64_t touched = 0;
	int r;

	item.key = log_head_key(x->head);
	item.version = x->version;
	item.expiry = log_head_expiry(x->head);
	*bytes += item.key.n;
	if (x->value) {
		item.value = log_head_value(x->value);
		*bytes += item.value.n;
		return engine_put(c->base, x->bucket, &item);
	}
	if (op != LOG_TOUCH)
		return engine_delete(c->base, x->bucket, item.key);
	r = engine_touch(c->base, x->bucket, item.key, item.version, item.expiry, &touched);
	*bytes += touched;
	if (r != -ENOENT && r != -EBADMSG)
		return r;
	(void)snprintf(c->why, sizeof(c->why),
		       "the value in base that version %llu of partition %u touches is %s",
		       (unsigned long long)x->version, bucket_partition(x->bucket),
		       r == -ENOENT ? "not there" : "damaged");
	return -EBADMSG;
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

static int parts_merge(struct checkpoint *c)
{
	int r = 0;

	for (uint32_t i = 0; i < c->partitions && r == 0; i++)
		if (c->part_next[i].settled != c->part[i].settled ||
		    (c->spans && copies_differ(c, i)))
			r = engine_part_put(c->base, i, &c->part_next[i]);
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
				__builtin_prefetch(c->items[i + 4].head);
			r = item_merge(c, &c->items[i], &bytes);
		}
		if (r == 0 && i == c->count)
			r = changes_merge(c);
		if (r == 0 && i == c->count)
			r = parts_merge(c);
		if (r == 0 && i == c->count && c->spans)
			r = copies_merge(c);
		if (r == 0 && i == c->count)
			r = sessions_merge(c->sessions, c->base);
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
	memcpy(c->part_next, c->part, c->partitions * sizeof(*c->part));
	if (c->spans)
		r = copies_begin(c);
	for (unsigned i = 0; i < c->segments && r == 0; i++)
		r = segment_collect(c, i, meta.settled_lsn);
	if (r == 0 && c->spans)
		r = copies_decide(c);
	if (r == 0 && c->count) {
		c->scratch = malloc(c->count * sizeof(*c->scratch));
		if (!c->scratch)
			r = -ENOMEM;
	}
	if (r == 0) {
		sort_changes(c->items, c->scratch, c->count);
		items_unique(c);
		meta.settled_lsn = c->segment[c->segments - 1].last_lsn;
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
	if (c->spans)
		copies_settled(c);
	else
		memcpy(c->part, c->part_next, c->partitions * sizeof(*c->part));
	(void)fault_at("checkpoint.before_recycle");
	return wal_settled(c->wal, meta.settled_lsn, meta.epoch_min);
}
