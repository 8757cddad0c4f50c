/*
 * A checkpoint: read the frozen segments, sort their records last-wins by key, and merge them in a
 * few large sorted transactions.  Counts of buckets and the settled sequence change only in the
 * last transaction, so a checkpoint that is cut short is simply done again: every step is
 * idempotent.
 */
#include "storage/checkpoint.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "storage/sort.h"

#define PARTS          16u /* transactions of a large checkpoint: more stall writers, fewer the log */
#define PART_MIN       8192u /* keys */
#define PART_BYTES_MAX (32u << 20)
#define PURGE_CHUNK    4096u      /* keys of dropped buckets a transaction */
#define PURGE_MIN      16u        /* when base is full */
#define RETRY_MS       1000u      /* to purges of a base that is full */
#define FULL_BYTES     (1u << 20) /* free on the disk: less than a large write has */
#define IDLE_MS        200u       /* between looks at the disk */

/* What a checkpoint does to one bucket. */
struct change {
	uint64_t id;
	int64_t delta;
	struct span name;
	bool created;
	bool dropped;
};

struct changes {
	struct change *slot; /* open addressing by id */
	uint64_t mask;
	uint64_t count;
	bool any_drop;
};

struct checkpoint {
	char dir[1024];
	struct engine *base;
	struct wal *wal;
	uint64_t tight_bytes;
	pthread_t thread;
	bool runs;

	pthread_mutex_t lock;
	pthread_cond_t more;
	struct wal_segment segment[WAL_SEGMENTS_MAX];
	unsigned segments;
	uint64_t clock_ms;
	bool posted;
	bool ended;
	int error;
	char why[256]; /* "", or what `error` does not say */
	uint64_t settled;
	bool wake;

	_Atomic bool stop;
	_Atomic uint64_t commits;
	_Atomic uint64_t disk_free;
	bool purge; /* there may be dropped buckets with keys left */
	unsigned purge_chunk;
	uint64_t purge_ms; /* not before */
	uint64_t pool_ms;  /* not before */

	/* a run's own */
	struct wal_reader file[WAL_SEGMENTS_MAX];
	struct sort_item *items;
	struct sort_item *scratch;
	uint64_t count;
	uint64_t room;
	struct changes changes;
};

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

static int commit(struct checkpoint *c, const struct engine_meta *meta)
{
	int r = engine_commit(c->base, meta);

	if (r == 0)
		atomic_fetch_add(&c->commits, 1);
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
			return commit(c, meta);
		r = commit(c, NULL);
		if (r < 0)
			return r;
		if (atomic_load(&c->stop))
			return -ECANCELED;
		(void)usleep(1000); /* let the log's syncs through */
	}
}

static void look_at_disk(struct checkpoint *c)
{
	struct statvfs v;

	if (statvfs(c->dir, &v) == 0)
		atomic_store(&c->disk_free, (uint64_t)v.f_bavail * v.f_frsize);
}

/* LMDB calls a write that the disk had no room for an input/output error. */
static bool is_full(struct checkpoint *c, int error)
{
	look_at_disk(c);
	return error == -ENOSPC || (error == -EIO && atomic_load(&c->disk_free) < FULL_BYTES);
}

static int run(struct checkpoint *c)
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
	if (is_full(c, r))
		r = -ENOSPC;
	run_done(c);
	if (r < 0)
		return r;
	(void)fault_at("checkpoint.before_recycle");
	return wal_settled(c->wal, meta.epoch_min);
}

/* ---- maintenance ---- */

/* One transaction.  *ret_more: it found something. */
static int purge_some(struct checkpoint *c, bool *ret_more)
{
	int n;
	int r = engine_begin(c->base);

	if (r < 0)
		return r;
	n = engine_purge(c->base, c->purge_chunk);
	*ret_more = n > 0;
	if (n <= 0) {
		engine_abort(c->base);
		return n;
	}
	return commit(c, NULL);
}

/*
 * Even a deletion needs free pages.  Where they are short, few keys at a time may get through, and
 * what the last transaction freed can be used by the next but one; else wait for others to make
 * room.
 */
static int purge(struct checkpoint *c)
{
	bool more = true;
	int r = purge_some(c, &more);

	c->purge = r < 0 || more;
	if (is_full(c, r)) {
		if (c->purge_chunk == PURGE_MIN)
			c->purge_ms = clock_ms() + RETRY_MS;
		c->purge_chunk = c->purge_chunk / 4 > PURGE_MIN ? c->purge_chunk / 4 : PURGE_MIN;
		return 0;
	}
	if (c->purge_chunk < PURGE_CHUNK)
		c->purge_chunk *= 2;
	return r;
}

static bool purge_is_due(const struct checkpoint *c)
{
	return c->purge && clock_ms() >= c->purge_ms;
}

/* Returns 0 or what makes the store unusable. */
static int maintain(struct checkpoint *c)
{
	int r = 0;

	look_at_disk(c);
	if (wal_pool_low(c->wal) && clock_ms() >= c->pool_ms && wal_pool_fill(c->wal) < 0)
		c->pool_ms = clock_ms() + IDLE_MS; /* what is wrong shows in wal_disk_full */
	if (atomic_load(&c->disk_free) < c->tight_bytes && wal_pool_trim(c->wal))
		look_at_disk(c);
	if (purge_is_due(c))
		r = purge(c);
	return r;
}

static void *checkpoint_main(void *arg)
{
	struct checkpoint *c = arg;
	int maintenance_error = 0;

	(void)pthread_mutex_lock(&c->lock);
	while (!atomic_load(&c->stop)) {
		struct timespec until;
		bool posted = c->posted;
		int r;

		if (!posted && !c->wake && !purge_is_due(c)) {
			(void)clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_nsec += (long)IDLE_MS * 1000000;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
			(void)pthread_cond_timedwait(&c->more, &c->lock, &until);
			posted = c->posted;
		}
		c->wake = false;
		(void)pthread_mutex_unlock(&c->lock);
		r = posted ? run(c) : 0;
		if (maintenance_error == 0)
			maintenance_error = maintain(c);
		(void)pthread_mutex_lock(&c->lock);
		if (posted || maintenance_error) {
			struct engine_meta meta;

			engine_meta(c->base, &meta);
			c->posted = false;
			c->purge &= !maintenance_error;
			c->ended = true;
			c->error = maintenance_error ? maintenance_error : r;
			c->settled = meta.settled;
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

int checkpoint_start(const char *dir, struct engine *base, struct wal *wal, uint64_t tight_bytes,
		     struct checkpoint **ret)
{
	struct checkpoint *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	(void)snprintf(c->dir, sizeof(c->dir), "%s", dir);
	c->base = base;
	c->wal = wal;
	c->tight_bytes = tight_bytes;
	c->purge = true; /* a drop from before a restart */
	c->purge_chunk = PURGE_CHUNK;
	c->wake = true;
	(void)pthread_mutex_init(&c->lock, NULL);
	clock_cond_init(&c->more);
	atomic_store(&c->disk_free, UINT64_MAX);
	look_at_disk(c);
	r = -pthread_create(&c->thread, NULL, checkpoint_main, c);
	c->runs = r == 0;
	if (r < 0)
		checkpoint_stop(&c);
	else
		*ret = c;
	return r;
}

void checkpoint_stop(struct checkpoint **cp)
{
	struct checkpoint *c = *cp;

	if (!c)
		return;
	atomic_store(&c->stop, true);
	wal_pool_stop(c->wal);
	if (c->runs) {
		(void)pthread_mutex_lock(&c->lock);
		(void)pthread_cond_signal(&c->more);
		(void)pthread_mutex_unlock(&c->lock);
		(void)pthread_join(c->thread, NULL);
	}
	(void)pthread_cond_destroy(&c->more);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
	*cp = NULL;
}

void checkpoint_post(struct checkpoint *c, const struct wal_segment *segments, unsigned n,
		     uint64_t clock_ms)
{
	check(n > 0);
	(void)pthread_mutex_lock(&c->lock);
	check(!c->posted);
	memcpy(c->segment, segments, n * sizeof(*segments));
	c->segments = n;
	c->clock_ms = clock_ms;
	c->posted = true;
	c->ended = false;
	(void)pthread_cond_signal(&c->more);
	(void)pthread_mutex_unlock(&c->lock);
}

bool checkpoint_fetch(struct checkpoint *c, int *ret_error, uint64_t *ret_settled)
{
	bool ended;

	(void)pthread_mutex_lock(&c->lock);
	ended = c->ended;
	if (ended) {
		*ret_error = c->error;
		*ret_settled = c->settled;
		c->ended = false;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return ended;
}

const char *checkpoint_why(const struct checkpoint *c)
{
	return c->why;
}

uint64_t checkpoint_commits(const struct checkpoint *c)
{
	return atomic_load(&c->commits);
}

uint64_t checkpoint_disk_free(const struct checkpoint *c)
{
	return atomic_load(&c->disk_free);
}

void checkpoint_wake(struct checkpoint *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->wake = true;
	(void)pthread_cond_signal(&c->more);
	(void)pthread_mutex_unlock(&c->lock);
}
