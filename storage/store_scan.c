/*
 * Scans, counts, lists, and the sweep of expired keys: whatever looks at more than one key.  A scan
 * merges the bucket's dirty keys, in order, with a cursor over base; at one key the dirty one wins.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/wire.h"
#include "storage/store_impl.h"

#define SWEEP_MS   10u /* between sweeps that find little */
#define SWEEP_ROWS 4u  /* of base's index for each key that may be deleted */

/* ---- scan ---- */

struct merge {
	struct store *s;
	struct bucket *b;
	const struct store_range *range;
	struct sorted_index_place place;
	struct entry *dirty; /* next of the dirty keys, or NULL */
	struct engine_cursor *cursor;
	struct engine_item settled; /* next of base's, if has_settled */
	bool has_settled;
};

struct collect {
	struct sorted_index *order;
	uint64_t bucket;
	bool failed;
};

static void collect_entry(void *arg, struct entry *e)
{
	struct collect *c = arg;

	if (e->bucket == c->bucket && !c->failed)
		c->failed = sorted_index_add(c->order, e) < 0;
}

/* The bucket's dirty keys in order: made when first wanted, kept while scans come. */
static int sorted_index_want(struct store *s, struct bucket *b)
{
	struct collect c = {NULL, b->id, false};

	b->sorted_index_idle = 0;
	if (b->order || b->written <= s->settled)
		return 0;
	if (sorted_index_new(&c.order) < 0)
		return -ENOMEM;
	cache_each_dirty(s->cache, s->settled, &s->head.work, collect_entry, &c);
	if (c.failed || sorted_index_sort(c.order, &s->head.work) < 0) {
		sorted_index_free(&c.order);
		return -ENOMEM;
	}
	b->order = c.order;
	return 0;
}

static int base_step(struct merge *m, int r)
{
	m->has_settled = r == 0;
	if (r < 0 && r != -ENOENT)
		return store_fail(m->s, r, "damaged value in base of \"%.150s\"", m->s->dir);
	return 0;
}

static int merge_begin(struct merge *m, struct span start)
{
	int r = sorted_index_want(m->s, m->b);

	if (r < 0)
		return store_fail(m->s, r, "no memory");
	if (m->b->order)
		m->dirty = sorted_index_seek(m->b->order, start, m->range->reverse, &m->place);
	if (m->b->id > m->s->settled)
		return 0;
	r = engine_cursor_open(m->s->base, m->b->id, m->range->reverse, &m->cursor);
	if (r < 0)
		return store_fail(m->s, r, "open a cursor: %s", strerror(-r));
	return base_step(m, engine_cursor_seek(m->cursor, start, &m->settled));
}

/* The next key in order, dead or alive.  1: *ret is filled; 0: the end; negative errno. */
static int merge_next(struct merge *m, struct store_item *ret, bool *ret_alive)
{
	int side = 0; /* <0: dirty is next, >0: base, 0: the same key */
	uint64_t expiry;
	int r = 0;

	if (!m->dirty && !m->has_settled)
		return 0;
	store_work(m->s, 2 + (m->has_settled ? work_bytes(m->settled.value.n) : 0));
	if (!m->dirty)
		side = 1;
	else if (!m->has_settled)
		side = -1;
	else
		side = span_compare(entry_key(m->dirty), m->settled.key) *
		       (m->range->reverse ? -1 : 1);
	if (side <= 0) {
		ret->key = entry_key(m->dirty);
		ret->value = entry_value(m->dirty);
		ret->version = m->dirty->version;
		expiry = m->dirty->expiry;
		*ret_alive = !m->dirty->tombstone;
		m->dirty = sorted_index_next(m->b->order, m->range->reverse, &m->place);
	} else {
		ret->key = m->settled.key;
		ret->value = m->settled.value;
		ret->version = m->settled.version;
		expiry = m->settled.expiry;
		*ret_alive = true;
	}
	ret->ttl_ms = expiry > m->s->pace.now_ms ? expiry - m->s->pace.now_ms : 0;
	if (side >= 0)
		r = base_step(m, engine_cursor_next(m->cursor, &m->settled));
	if (r == 0 && *ret_alive && is_expired(m->s, expiry)) {
		*ret_alive = false;
		r = clock_tell(m->s, expiry);
	}
	return r < 0 ? r : 1;
}

enum where { BEFORE, INSIDE, BEHIND };

/* Where a key lies, in the direction of the scan. */
static enum where range_where(const struct store_range *g, struct span key)
{
	bool low = span_compare(key, g->from) < 0 ||
		   (span_compare(key, g->prefix) < 0 && !span_begins(key, g->prefix));
	bool high = (g->has_to && span_compare(key, g->to) >= 0) ||
		    (span_compare(key, g->prefix) > 0 && !span_begins(key, g->prefix));

	if (low || high)
		return low == !g->reverse ? BEFORE : BEHIND;
	if (!g->has_after)
		return INSIDE;
	if (g->reverse)
		return span_compare(key, g->after) >= 0 ? BEFORE : INSIDE;
	return span_compare(key, g->after) <= 0 ? BEFORE : INSIDE;
}

/* The smallest key behind all that begin with `prefix`, into `out`.  Empty: there is none. */
static struct span prefix_end(struct span prefix, char *out)
{
	size_t n = prefix.n;

	while (n && (unsigned char)prefix.p[n - 1] == 0xff)
		n--;
	if (!n)
		return (struct span){"", 0};
	memcpy(out, prefix.p, n);
	out[n - 1] = (char)((unsigned char)out[n - 1] + 1);
	return (struct span){out, n};
}

/* Bounds may be longer than any key: one cut to a key's length, and a byte, sorts alike enough. */
static struct span clip(struct span s)
{
	return (struct span){s.p, s.n < WIRE_KEY_MAX ? s.n : WIRE_KEY_MAX};
}

/* Where the scan begins: the strictest bound on its near side. */
static struct span range_start(const struct store_range *g, char *scratch)
{
	struct span at = {"", 0};

	if (!g->reverse) {
		at = g->from;
		if (span_compare(g->prefix, at) > 0)
			at = g->prefix;
		if (g->has_after && span_compare(g->after, at) > 0)
			at = g->after;
		return clip(at);
	}
	if (g->has_to)
		at = g->to;
	if (g->prefix.n && g->prefix.n <= WIRE_KEY_MAX) {
		struct span end = prefix_end(g->prefix, scratch);

		if (end.n && (!at.n || span_compare(end, at) < 0))
			at = end;
	}
	if (g->has_after && (!at.n || span_compare(g->after, at) < 0))
		at = g->after;
	/* A bound cut short would begin too early: take the last key instead. */
	return at.n > WIRE_KEY_MAX ? (struct span){"", 0} : at;
}

int store_scan(struct store *s, struct store_key *k, const struct store_range *range,
	       bool (*item)(void *arg, const struct store_item *i), void *arg)
{
	char scratch[WIRE_KEY_MAX];
	struct merge m = {.s = s, .b = key_bucket(s, k), .range = range};
	struct store_item i;
	bool alive;
	int r;

	if (!m.b)
		return -ENXIO;
	observe(s, m.b->written);
	if (range->reverse &&
	    ((range->has_to && !range->to.n) || (range->has_after && !range->after.n)))
		return 0; /* nothing is before the empty key */
	r = merge_begin(&m, range_start(range, scratch));
	while (r == 0) {
		enum where w;

		r = merge_next(&m, &i, &alive);
		if (r <= 0)
			break;
		r = 0;
		w = range_where(range, i.key);
		if (w == BEHIND)
			break;
		if (w == INSIDE && alive && !item(arg, &i))
			break;
	}
	engine_cursor_close(&m.cursor);
	return r;
}

/* ---- lists ---- */

void store_buckets(struct store *s, struct span from, bool (*name)(void *arg, struct span n),
		   void *arg)
{
	uint64_t i = directory_seek(s->directory, from);

	observe(s, s->directory_seq);
	for (; i < directory_count(s->directory); i++) {
		struct bucket *b = directory_at(s->directory, i);

		store_work(s, 2);
		if (!name(arg, (struct span){b->name, b->name_len}))
			return;
	}
}

/* ---- expiry ---- */

struct due {
	struct store *s;
	uint64_t bucket;
	uint64_t count;
	uint64_t latest; /* expiry */
};

static void due_node(void *arg, const struct expiry_node *n)
{
	struct due *d = arg;
	struct entry *e = cache_find_version(d->s->cache, n->hash, n->version);

	store_work(d->s, 4);

	if (!e || e->tombstone || e->bucket != d->bucket)
		return;
	d->count++;
	if (n->at_ms > d->latest)
		d->latest = n->at_ms;
}

/* Does a row of base's index still speak of the key's newest write? */
static bool due_is_current(struct store *s, const struct engine_due *row)
{
	uint64_t hash = cache_hash(s->cache, row->bucket, row->key);
	struct entry *e = cache_find(s->cache, hash, row->bucket, row->key);

	store_work(s, 8);
	/* Above the settled sequence it is the heap's: a checkpoint is half done. */
	return row->version <= s->settled && (!e || e->version == row->version);
}

static int due_row(void *arg, const struct engine_due *row)
{
	struct due *d = arg;

	if (row->bucket == d->bucket && due_is_current(d->s, row)) {
		d->count++;
		if (row->expiry > d->latest)
			d->latest = row->expiry;
	}
	return 0;
}

int store_count(struct store *s, struct store_key *k, uint64_t *ret)
{
	struct bucket *b = key_bucket(s, k);
	struct due d = {s, b ? b->id : 0, 0, 0};
	int r;

	if (!b)
		return -ENXIO;
	observe(s, b->written);
	expiry_each_due(&s->expiry, s->pace.now_ms, due_node, &d);
	r = engine_due(s->base, &s->sweep_from, s->pace.now_ms, due_row, &d);
	if (r < 0)
		return store_fail(s, r, "read base's expiry index: %s", strerror(-r));
	if (d.count)
		r = clock_tell(s, d.latest);
	*ret = b->count - d.count;
	return r;
}

/* Log and apply the deletion of one expired key. */
static int sweep_key(struct store *s, struct bucket *b, uint64_t hash, struct span key)
{
	static const struct span nothing = {"", 0};
	char copy[WIRE_KEY_MAX];
	struct wal_record *rec;
	int r = 0;

	memcpy(copy, key.p, key.n); /* the entry it lies in is about to be replaced */
	key.p = copy;
	rec = record_new(s, WAL_SWEEP, b->id, (struct span){b->name, b->name_len}, key, nothing,
			 &r);
	if (!rec)
		return r;
	rec->delta = -1;
	r = entry_write(s, b, hash, key, nothing, wal_seq(s->wal) + 1, 0, true);
	if (r < 0)
		return store_fail(s, r, "no memory");
	b->count--;
	s->keys--;
	(void)record_append(s, rec);
	return 0;
}

struct sweep {
	struct store *s;
	unsigned left; /* keys to be deleted */
	unsigned rows; /* of base's index to be looked at: many may be of writes that are no more */
};

static int sweep_row(void *arg, const struct engine_due *row)
{
	struct sweep *w = arg;
	struct store *s = w->s;
	struct bucket *b = directory_find_id(s->directory, row->bucket);
	int r;

	if (!w->left || !w->rows)
		return 1;
	w->rows--;
	s->sweep_from = *row;
	memcpy(s->sweep_key, row->key.p, row->key.n);
	s->sweep_from.key.p = s->sweep_key;
	if (!b || !due_is_current(s, row))
		return 0;
	w->left--;
	r = sweep_key(s, b, cache_hash(s->cache, b->id, row->key), row->key);
	return r < 0 ? r : 0;
}

int store_sweep(struct store *s, unsigned most)
{
	struct sweep w = {s, most, SWEEP_ROWS * most};
	struct expiry_node n;
	int r;

	s->head.request_id = 0; /* nobody asked for it */
	if (!s->sweep_more && s->pace.now_ms - s->swept_ms < SWEEP_MS)
		return 0;
	s->swept_ms = s->pace.now_ms;
	if (wal_over_limit(s->wal)) {
		s->sweep_more = false;
		return 0; /* they are invisible anyhow; let the checkpoint catch up */
	}
	while (w.left && expiry_pop(&s->expiry, s->pace.now_ms, &n)) {
		struct entry *e = cache_find_version(s->cache, n.hash, n.version);
		struct bucket *b = e ? directory_find_id(s->directory, e->bucket) : NULL;

		w.left--;
		if (!b || e->tombstone)
			continue;
		r = sweep_key(s, b, n.hash, entry_key(e));
		if (r < 0)
			return r;
	}
	r = w.left ? engine_due(s->base, &s->sweep_from, s->pace.now_ms, sweep_row, &w) : 0;
	s->sweep_more = !w.left || !w.rows;
	return r < 0 ? r : 0;
}
