/* The background thread: checkpoints when they are posted, and maintenance. */
#include "storage/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/checkpoint_impl.h"

#define PURGE_CHUNK 4096u      /* keys of dropped buckets a transaction */
#define PURGE_MIN   16u        /* when base is full */
#define RETRY_MS    1000u      /* to purges of a base that is full */
#define FULL_BYTES  (1u << 20) /* free on the disk: less than a large write has */
#define IDLE_MS     200u       /* between looks at the disk */

int checkpoint_commit(struct checkpoint *c, const struct engine_meta *meta)
{
	int r = engine_commit(c->base, meta);

	if (r == 0)
		atomic_fetch_add(&c->commits, 1);
	return r;
}

static void look_at_disk(struct checkpoint *c)
{
	struct statvfs v;

	if (statvfs(c->dir, &v) == 0)
		atomic_store(&c->disk_free, (uint64_t)v.f_bavail * v.f_frsize);
}

bool checkpoint_is_full(struct checkpoint *c, int error)
{
	look_at_disk(c);
	return error == -ENOSPC || (error == -EIO && atomic_load(&c->disk_free) < FULL_BYTES);
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
	return checkpoint_commit(c, NULL);
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
	if (checkpoint_is_full(c, r)) {
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
	r = wal_release(c->wal, atomic_load(&c->disk_free) < c->tight_bytes);
	if (r < 0)
		return r;
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
		bool loads;
		int r;

		if (!posted && !c->wake && !purge_is_due(c) &&
		    (maintenance_error || !loads_due(c))) {
			(void)clock_gettime(CLOCK_MONOTONIC, &until);
			until.tv_nsec += (long)IDLE_MS * 1000000;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
			(void)pthread_cond_timedwait(&c->more, &c->lock, &until);
			posted = c->posted;
		}
		c->wake = false;
		loads = loads_due(c);
		(void)pthread_mutex_unlock(&c->lock);
		r = posted ? checkpoint_run(c) : 0;
		if (maintenance_error == 0)
			maintenance_error = maintain(c);
		if (maintenance_error == 0 && loads)
			maintenance_error = loads_run(c);
		(void)pthread_mutex_lock(&c->lock);
		if (posted || maintenance_error) {
			struct engine_meta meta;

			engine_meta(c->base, &meta);
			c->posted = false;
			c->purge &= !maintenance_error;
			c->ended = true;
			c->error = maintenance_error ? maintenance_error : r;
			c->settled = meta.settled_lsn;
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int part_load(void *arg, uint32_t partition, const struct engine_part *part)
{
	struct checkpoint *c = arg;

	check(partition < c->partitions);
	c->part[partition] = *part;
	if (c->spans)
		copies_load(c, partition, part);
	if (c->spans && part->broken)
		loads_found(c, partition);
	return 0;
}

int checkpoint_start(const char *dir, struct engine *base, struct wal *wal, uint32_t partitions,
		     bool copies, uint64_t tight_bytes, struct checkpoint **ret)
{
	struct checkpoint *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return -ENOMEM;
	c->partitions = partitions;
	c->part = calloc(partitions, sizeof(*c->part));
	c->part_next = calloc(partitions, sizeof(*c->part_next));
	if (!c->part || !c->part_next || (copies && copies_make(c) < 0) || loads_make(c) < 0)
		r = -ENOMEM;
	if (r == 0) /* before the thread begins: reading is the caller's */
		r = engine_parts(base, part_load, c);
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
	if (r == 0)
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
	copies_free(c);
	loads_free(c);
	free(c->part);
	free(c->part_next);
	free(c);
	*cp = NULL;
}

void checkpoint_post(struct checkpoint *c, const struct wal_segment *segments, unsigned n,
		     struct settle *sessions, const struct marks *commit, uint64_t clock_ms)
{
	check(n > 0 && n <= WAL_SEGMENTS_MAX);
	(void)pthread_mutex_lock(&c->lock);
	check(!c->posted);
	memcpy(c->segment, segments, n * sizeof(*segments));
	c->segments = n;
	c->sessions = sessions;
	c->commit = commit;
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
