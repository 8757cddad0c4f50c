/* What has expired: the clock as the log knows it, counts, the sweep. */
#include <errno.h>
#include <string.h>

#include "include/wire.h"
#include "storage/store_impl.h"

#define SWEEP_MS   10u /* between sweeps that find little */
#define SWEEP_ROWS 4u  /* of base's index for each key that may be deleted */

int clock_note_now(struct store *s)
{
	struct log_clock note;
	int r;

	pace_note(&s->pace, &note);
	r = clock_append(s, &note, &s->clock_seq);
	if (r < 0) {
		s->pace.noted_ms = 0; /* it is still to be made */
		return r;
	}
	s->clock_told = note.clock_ms;
	return 0;
}

int clock_note(struct store *s)
{
	return pace_must_note(&s->pace) ? clock_note_now(s) : 0;
}

int clock_tell(struct store *s, uint64_t expiry)
{
	int r = 0;

	if (!s->checkpoint) { /* the log is still being read */
		s->tell_clock = true;
		return 0;
	}
	if (expiry > s->clock_told)
		r = clock_note_now(s);
	observe(s, s->clock_seq);
	return r;
}

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
	expiry_heap_each_due(&s->expiry, s->pace.now_ms, due_node, &d);
	r = engine_due(s->base, 0, &s->sweep_from, s->pace.now_ms, due_row, &d);
	if (r < 0)
		return store_fail(s, r, "read base's expiry index: %s", strerror(-r));
	if (d.count)
		r = clock_tell(s, d.latest);
	*ret = b->count - d.count;
	return r;
}

static int sweep_key(struct store *s, struct bucket *b, struct entry *e, uint64_t hash,
		     struct span key)
{
	char copy[WIRE_KEY_MAX];

	memcpy(copy, key.p, key.n); /* the entry it lies in is about to be replaced */
	return key_remove(s, b, e, hash, (struct span){copy, key.n}, LOG_SWEEP);
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
	uint64_t hash;
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
	hash = cache_hash(s->cache, b->id, row->key);
	r = sweep_key(s, b, cache_find(s->cache, hash, b->id, row->key), hash, row->key);
	return r < 0 ? r : 0;
}

int store_sweep(struct store *s, unsigned max)
{
	struct sweep w = {s, max, SWEEP_ROWS * max};
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
	while (w.left && expiry_heap_pop(&s->expiry, s->pace.now_ms, &n)) {
		struct entry *e = cache_find_version(s->cache, n.hash, n.version);
		struct bucket *b = e ? directory_find_id(s->directory, e->bucket) : NULL;

		w.left--;
		if (!b || e->tombstone)
			continue;
		r = sweep_key(s, b, e, n.hash, entry_key(e));
		if (r < 0)
			return r;
	}
	r = w.left ? engine_due(s->base, 0, &s->sweep_from, s->pace.now_ms, sweep_row, &w) : 0;
	s->sweep_more = !w.left || !w.rows;
	return r < 0 ? r : 0;
}
