/*
 * Scans and lists.  A scan merges the bucket's dirty keys, in order, with a cursor over base; at
 * one key the dirty one wins.
 */
#include "storage/scan.h"

#include <errno.h>
#include <string.h>

#include "include/wire.h"
#include "storage/store_impl.h"

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
	struct sorted_index *index;
	uint64_t bucket;
	bool failed;
};

static void collect_entry(void *arg, struct entry *e)
{
	struct collect *c = arg;

	if (e->bucket == c->bucket && !c->failed)
		c->failed = sorted_index_add(c->index, e) < 0;
}

/* The bucket's dirty keys in order: made when first wanted, kept while scans come. */
static int sorted_index_want(struct store *s, struct bucket *b)
{
	struct collect c = {NULL, b->id, false};

	b->sorted_index_idle = 0;
	if (b->index || is_settled(s, b->id, b->written))
		return 0;
	if (sorted_index_new(&c.index) < 0)
		return -ENOMEM;
	cache_each_dirty(s->cache, s->settled, &s->head.work, collect_entry, &c);
	if (c.failed || sorted_index_sort(c.index, &s->head.work) < 0) {
		sorted_index_free(&c.index);
		return -ENOMEM;
	}
	b->index = c.index;
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
	if (m->b->index)
		m->dirty = sorted_index_seek(m->b->index, start, m->range->reverse, &m->place);
	if (!bucket_is_settled(m->s, m->b))
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
		m->dirty = sorted_index_next(m->b->index, m->range->reverse, &m->place);
	} else {
		ret->key = m->settled.key;
		ret->value = m->settled.value;
		ret->version = m->settled.version;
		expiry = m->settled.expiry;
		*ret_alive = true;
	}
	ret->ttl_ms = left_ms(m->s, expiry);
	if (side >= 0)
		r = base_step(m, engine_cursor_next(m->cursor, &m->settled));
	if (r == 0 && *ret_alive && is_expired(m->s, expiry)) {
		*ret_alive = false;
		r = clock_tell(m->s, bucket_partition(m->b->id), expiry);
	}
	return r < 0 ? r : 1;
}

enum where range_where(const struct store_range *g, struct span key)
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
	observe(s, m.b->id, m.b->written);
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

void store_buckets(struct store *s, struct span from, bool (*name)(void *arg, struct span n),
		   void *arg)
{
	uint64_t i = directory_seek(s->directory, from);

	observe_lsn(s, s->directory_lsn);
	for (; i < directory_count(s->directory); i++) {
		struct bucket *b = directory_at(s->directory, i);

		store_work(s, 2);
		if (b->own == s->head.own && !name(arg, (struct span){b->name, b->name_len}))
			return;
	}
}
