/* What has expired: the clock as the log knows it, counts, the sweep. */
#include <errno.h>
#include <string.h>

#include "include/wire.h"
#include "storage/store_impl.h"

#define SWEEP_MS       10u /* between sweeps that find little */
#define SWEEP_ROWS     4u  /* of base's index for each key that may be deleted */
#define SWEEP_PRESSURE 50u /* percent of what may wait for copies: the rest is for clients */

int clock_note_now(struct store *s, uint32_t partition)
{
	struct partition *p = &s->part[partition];
	struct log_clock note;
	int r;

	pace_note(&s->pace, &note);
	r = clock_append(s, partition, &note);
	if (r < 0) {
		s->pace.noted_ms = 0; /* it is still to be made */
		return r;
	}
	p->clock_told = note.clock_ms;
	p->clock_version = s->newest->at[partition];
	return 0;
}

int clock_note(struct store *s, uint32_t partition)
{
	return pace_must_note(&s->pace) ? clock_note_now(s, partition) : 0;
}

int clock_tell(struct store *s, uint32_t partition, uint64_t expiry)
{
	struct partition *p = &s->part[partition];
	int r = 0;

	/* The log is still being read, or another node writes it. */
	if (!s->checkpoint || !is_led(s, partition)) {
		p->tell_clock = true;
		return 0;
	}
	if (expiry > p->clock_told) {
		/* A group has the time logged before it tells a version; see versions_begin. */
		if (group_has_versions(s, partition))
			return store_fail(s, -EBUSY, "the clock must be logged first: try again");
		r = clock_note_now(s, partition);
	}
	observe(s, stamp_make(partition, 0), p->clock_version);
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
	struct entry *e = cache_find_stamp(d->s->cache, n->hash, n->stamp);

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
	/* What is not settled yet is the heap's: a checkpoint is half done. */
	return is_settled(s, row->bucket, row->version) && (!e || e->version == row->version);
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

/* The first row of a partition's index that may not have been swept. */
static struct engine_due sweep_begin(const struct store *s, uint32_t partition)
{
	if (s->sweep_inside && s->sweep_partition == partition)
		return s->sweep_from;
	return (struct engine_due){
		.expiry = s->due_ms[partition], .key = {"", 0}
        };
}

int store_count(struct store *s, struct store_key *k, uint64_t *ret)
{
	struct bucket *b = key_bucket(s, k);
	struct due d = {s, b ? b->id : 0, 0, 0};
	uint32_t partition;
	int r = 0;

	if (!b)
		return -ENXIO;
	observe(s, b->id, b->written);
	partition = bucket_partition(b->id);
	expiry_heap_each_due(&s->expiry, s->pace.now_ms, due_node, &d);
	if (s->due_ms[partition] <= s->pace.now_ms) {
		struct engine_due from = sweep_begin(s, partition);

		r = engine_due(s->base, partition, &from, s->pace.now_ms, due_row, &d);
	}
	if (r < 0)
		return store_fail(s, r, "read base's expiry index: %s", strerror(-r));
	if (d.count)
		r = clock_tell(s, partition, d.latest);
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
	uint64_t next_ms; /* the expiry of the first row that is not due */
	bool stopped;     /* at one of these limits, in the middle of a partition */
};

static int sweep_row(void *arg, const struct engine_due *row)
{
	struct sweep *w = arg;
	struct store *s = w->s;
	struct bucket *b = directory_find_id(s->directory, row->bucket);
	uint64_t hash;
	int r;

	if (row->expiry > s->pace.now_ms) {
		w->next_ms = row->expiry;
		return 1;
	}
	w->stopped = !w->left || !w->rows;
	if (w->stopped)
		return 1;
	w->rows--;
	s->sweep_inside = true;
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

/* Is it ours to delete from, and is there room for what waits for copies? */
static bool may_sweep(const struct store *s, uint32_t partition)
{
	return partition >= s->copied ||
	       (is_led(s, partition) && store_tail_pressure(s, partition) < SWEEP_PRESSURE);
}

void sweep_look(struct store *s)
{
	s->due_first_ms = UINT64_MAX;
	for (uint32_t i = 0; i < s->partitions; i++)
		if (s->due_ms[i] < s->due_first_ms && is_led(s, i))
			s->due_first_ms = s->due_ms[i];
}

/* The rows of one partition: all that are due, or as far as the sweep may go. */
static int sweep_rows(struct store *s, struct sweep *w, uint32_t partition)
{
	struct engine_due from = sweep_begin(s, partition);
	int r;

	s->sweep_partition = partition;
	w->next_ms = UINT64_MAX;
	w->stopped = false;
	r = engine_due(s->base, partition, &from, UINT64_MAX, sweep_row, w);
	if (r < 0)
		return r;
	if (w->stopped)
		return 0;
	s->due_ms[partition] = w->next_ms;
	s->sweep_inside = false;
	return 0;
}

/* Base's index, partition by partition, from where the last sweep stopped. */
static int sweep_base(struct store *s, struct sweep *w)
{
	uint32_t n = s->partitions;
	uint32_t first = s->sweep_partition;
	int r = 0;

	if (s->due_first_ms > s->pace.now_ms)
		return 0;
	for (uint32_t i = 0; i < n && w->left && w->rows && r == 0; i++) {
		uint32_t partition = (first + i) % n;

		if (s->due_ms[partition] <= s->pace.now_ms && may_sweep(s, partition))
			r = sweep_rows(s, w, partition);
	}
	sweep_look(s);
	return r;
}

int sweep_reset(struct store *s)
{
	uint32_t from = 0;
	int r = 0;

	for (uint32_t i = 0; i < s->partitions; i++)
		s->due_ms[i] = UINT64_MAX;
	s->sweep_inside = false;
	while (r == 0 && from < s->partitions) {
		uint64_t expiry;
		uint32_t p;

		store_work(s, WORK_BASE);
		r = engine_due_partition(s->base, from, &p, &expiry);
		if (r < 0 || p >= s->partitions)
			break;
		if (!s->replica || !s->replica[p].broken) /* else they mean nothing */
			s->due_ms[p] = expiry;
		from = p + 1;
	}
	sweep_look(s);
	return r == -ENOENT ? 0 : r;
}

int store_sweep(struct store *s, unsigned max)
{
	struct sweep w = {s, max, SWEEP_ROWS * max, 0, false};
	struct expiry_node n;
	int r;

	s->head.request_id = 0; /* nobody asked for it */
	s->head.session = NULL;
	if (!s->sweep_more && s->pace.now_ms - s->swept_ms < SWEEP_MS)
		return 0;
	s->swept_ms = s->pace.now_ms;
	if (wal_over_limit(s->wal)) {
		s->sweep_more = false;
		return 0; /* they are invisible anyhow; let the checkpoint catch up */
	}
	while (w.left && expiry_heap_pop(&s->expiry, s->pace.now_ms, &n)) {
		struct entry *e = cache_find_stamp(s->cache, n.hash, n.stamp);
		struct bucket *b = e ? directory_find_id(s->directory, e->bucket) : NULL;

		w.left--;
		if (!b || e->tombstone)
			continue;
		if (!is_led(s, bucket_partition(b->id))) {
			r = replica_park(s, n);
			if (r < 0)
				return store_fail(s, r, "no memory");
			continue;
		}
		if (!may_sweep(s, bucket_partition(b->id))) {
			expiry_heap_add(&s->expiry, n); /* later; there is room for it */
			w.left = 0;
			break;
		}
		r = sweep_key(s, b, e, n.hash, entry_key(e));
		if (r < 0)
			return r;
	}
	r = w.left ? sweep_base(s, &w) : 0;
	s->sweep_more = !w.left || !w.rows;
	return r;
}
