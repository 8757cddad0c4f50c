/*
 * Admitting and ticking.  Opening and closing are in store_open.c, the operations in store_ops.c
 * and store_scan.c.
 */
#include "storage/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "storage/store_impl.h"

#define SWEEP_TICK     256u /* expired keys deleted a tick, at most */
#define ORDER_IDLE_MAX 8u   /* checkpoints that an unused order survives */
#define RETRY_MS       1000u
#define FILES_KEPT     64u /* for what must be logged: refusals, the clock, what has expired */
#define HOLD_SETTLE    (8u << 20) /* bytes of log that are replayed in no time */
#define SLACK_SHARE    8u         /* of base's file */
#define BASE_SHARE     80u /* percent of the map that puts may fill: deletes need free pages */

int store_fail(struct store *s, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return error;
}

const char *store_why(const struct store *s)
{
	return s->why;
}

/* ---- admission ---- */

static uint64_t budget(const struct store *s)
{
	/* Values of the largest size must get through however small the cache is. */
	uint64_t least = 4 * s->config.value_max;

	return s->config.cache_bytes > least ? s->config.cache_bytes : least;
}

unsigned store_pressure(const struct store *s)
{
	uint64_t share = s->dirty / (budget(s) / 100);

	if (wal_over_limit(s->wal) || share > 100)
		return 100;
	return (unsigned)share;
}

/* What base, and a disk with so much free, have room for if base is still to take `owed`. */
static uint64_t room_beyond(const struct store *s, uint64_t owed, uint64_t disk)
{
	uint64_t used = engine_used(s->base) + owed;
	uint64_t most = engine_map_bytes(s->base) / 100 * BASE_SHARE;
	uint64_t file = engine_file_bytes(s->base);
	uint64_t left;

	if (s->base_full || used >= most)
		return 0;
	left = most - used;
	/*
	 * Base's file does not shrink: after deletes there may be room in it though the disk is as
	 * full as before.  Not all of it is in one piece, so the file may still grow a little.
	 */
	if (disk < s->config.disk_reserve_bytes) {
		uint64_t slack = used + file / SLACK_SHARE; /* what transactions leave behind */
		uint64_t inside = slack < file ? (file - slack) / 2 : 0;

		if (disk < s->config.disk_reserve_bytes / 2)
			return 0;
		return left < inside ? left : inside;
	}
	disk -= s->config.disk_reserve_bytes;
	/* Free pages inside base's file count as room; beyond them it must grow. */
	if (used > file)
		disk = disk > used - file ? disk - (used - file) : 0;
	else
		disk = disk > UINT64_MAX - (file - used) ? UINT64_MAX : disk + (file - used);
	return left < disk ? left : disk;
}

/* What is unsettled counts at its worst, which is twice its log. */
static uint64_t room_left(const struct store *s)
{
	if (wal_disk_full(s->wal))
		return 0;
	return room_beyond(s, 2 * (s->log.frozen + s->log.fresh),
			   checkpoint_disk_free(s->checkpoint));
}

/*
 * What there will be at best when all is settled: base may need nothing more, and files of the log
 * are removed if the disk is short.
 */
static uint64_t room_settled(const struct store *s)
{
	uint64_t disk = checkpoint_disk_free(s->checkpoint);
	uint64_t back = s->log.frozen + s->log.fresh ? wal_bytes_beyond_min(s->wal) : 0;

	return room_beyond(s, 0, disk > UINT64_MAX - back ? UINT64_MAX : disk + back);
}

int store_admit(struct store *s, uint64_t bytes)
{
	if (store_pressure(s) == 100)
		return store_fail(s, -EBUSY, "writes outrun the disk: try again later");
	bytes *= 2;
	if (s->room < bytes)
		s->room = room_left(s);
	if (s->room >= bytes) {
		s->room -= bytes;
		return 0;
	}
	if (s->log.frozen + s->log.fresh && room_settled(s) >= bytes) {
		s->room_wanted = true;
		return store_fail(s, -EBUSY,
				  "there may be room when earlier writes are settled: try again "
				  "later");
	}
	return store_fail(s, -ENOSPC, "no room left on disk: delete something");
}

int store_writable(struct store *s)
{
	if (wal_files_left(s->wal) < FILES_KEPT)
		return store_fail(s, -EBUSY, "writes outrun the disk: try again later");
	return 0;
}

struct wal_record *record_new(struct store *s, enum wal_op op, uint64_t bucket, struct span name,
			      struct span key, struct span value, int *ret_error)
{
	uint64_t size = wal_record_size(name.n, key.n, value.n);
	bool must = op == WAL_OUTCOME || op == WAL_CLOCK || op == WAL_SWEEP;
	struct wal_record *r;
	char *p;

	store_work(s, work_bytes(size)); /* before there is anything half done */
	/* Not even into the open file: each checkpoint that is tried would close it. */
	*ret_error = must && wal_files_left(s->wal) ? 0 : store_writable(s);
	if (*ret_error < 0)
		return NULL;
	r = wal_reserve(s->wal, size);
	while (!r) {
		if (!wal_files_left(s->wal)) {
			*ret_error = store_writable(s);
			return NULL;
		}
		if (wal_error(s->wal) < 0) {
			*ret_error = store_fail(s, -EIO, "write the log in \"%.150s\": %s", s->dir,
						strerror(-wal_error(s->wal)));
			return NULL;
		}
		s->config.on_wait(s->config.arg);
		wal_wait(s->wal, 10);
		r = wal_reserve(s->wal, size);
	}
	r->size = (uint32_t)size;
#ifdef PAIL_BREAK_POSITION /* for a test of the tests: do not remember whose it is */
	r->request_id = 0;
#else
	r->request_id = s->head.request_id;
#endif
	r->bucket = bucket;
	r->expiry = 0;
	r->value_len = (uint32_t)value.n;
	r->key_len = (uint16_t)key.n;
	r->name_len = (uint8_t)name.n;
	r->op = (uint8_t)op;
	r->delta = 0;
	memset(r->zero, 0, sizeof(r->zero));
	p = r->data;
	memcpy(p, name.p, name.n);
	p += name.n;
	if (key.n)
		memcpy(p, key.p, key.n);
	p += key.n;
	if (value.n)
		memcpy(p, value.p, value.n);
	p += value.n;
	memset(p, 0, (size_t)((char *)r + size - p));
	return r;
}

uint64_t record_append(struct store *s, struct wal_record *r)
{
	uint64_t size = r->size;

	if (!s->log.fresh)
		s->oldest_ms = clock_ms();
	s->log.fresh += size;
	return wal_append(s->wal, r);
}

/* ---- checkpoints, as the serving thread sees them ---- */

static bool checkpoint_due(const struct store *s)
{
	if (s->checkpoint_runs || s->checkpoint_wanted || s->hold || !s->log.fresh)
		return false;
	if (s->retry_ms && clock_ms() < s->retry_ms)
		return false;
	return s->log.fresh >= s->config.log_bytes / 4 || s->fresh >= budget(s) / 2 ||
	       s->base_full || s->room_wanted || wal_half_full(s->wal) ||
	       clock_ms() - s->oldest_ms >= s->config.checkpoint_ms;
}

/* Close the open segment: what is in the closed ones is what the checkpoint will take. */
static void checkpoint_freeze(struct store *s)
{
	s->room_wanted = false;
	/*
	 * The last file whose records have settled stays: let it tell the time.  If the last try
	 * found no room and nothing has come since, it does already: a file more with each try
	 * would fill the disk.
	 */
	if (wal_seq(s->wal) != s->freeze)
		(void)clock_note_now(s);
	wal_rotate(s->wal);
	s->freeze = wal_seq(s->wal);
	s->fresh = 0;
	s->log.frozen += s->log.fresh;
	s->log.fresh = 0;
	s->checkpoint_wanted = true;
}

/*
 * Begin, once all that was frozen is on disk and every request in it has been answered: a record
 * that is gone from the log cannot tell a successor that its request has been run.
 */
static void checkpoint_begin(struct store *s)
{
	struct wal_segment *closed = s->closed;
	unsigned n = wal_closed(s->wal, closed, WAL_SEGMENTS_MAX);
	unsigned skip = 0;
	unsigned take = 0;

	while (skip < n && closed[skip].last_seq <= s->settled)
		skip++;
	while (skip + take < n && closed[skip + take].last_seq <= s->freeze &&
	       closed[skip + take].last_position <= s->freed)
		take++;
	if (!take || closed[skip + take - 1].last_seq != s->freeze)
		return;
	checkpoint_post(s->checkpoint, closed + skip, take, s->pace.now_ms);
	s->checkpoint_wanted = false;
	s->checkpoint_runs = true;
}

static void settle_memory(struct store *s, uint64_t settled)
{
	s->settled = settled;
	s->dirty = s->fresh;
	s->log.frozen = 0;
	s->oldest_ms = clock_ms();
	for (uint64_t i = 0; i < directory_count(s->directory); i++) {
		struct bucket *b = directory_at(s->directory, i);

		store_work(s, 1);
		if (!b->order)
			continue;
		if (++b->sorted_index_idle > ORDER_IDLE_MAX)
			sorted_index_free(&b->order);
		else
			sorted_index_settle(b->order, settled, &s->head.work);
	}
	expiry_settle(&s->expiry, settled, &s->head.work);
	memset(&s->sweep_from, 0, sizeof(s->sweep_from));
	s->checkpoint_wall_ms = s->pace.now_ms;
	s->checkpoints++;
}

static int checkpoint_finish(struct store *s, int error, uint64_t settled)
{
	int r;

	s->checkpoint_runs = false;
	s->room = 0;
	if (error == -ENOSPC || error == -ENOMEM) {
		/* Nothing is lost: the log has it.  Try again when something may have been freed.
		 */
		s->base_full = error == -ENOSPC;
		s->log.fresh += s->log.frozen;
		s->fresh = s->dirty;
		s->log.frozen = 0;
		s->retry_ms = clock_ms() + RETRY_MS;
		return 0;
	}
	if (error < 0) {
		const char *place = checkpoint_why(s->checkpoint);

		return store_fail(s, error == -EBADMSG ? error : -EIO,
				  "checkpoint in \"%.150s\": %s", s->dir,
				  *place ? place : strerror(-error));
	}
	s->base_full = false;
	s->retry_ms = 0;
	/* First see what was committed, then call entries clean: else an evicted one is read old.
	 */
	r = engine_renew(s->base);
	if (r < 0)
		return store_fail(s, r, "renew the read transaction: %s", strerror(-r));
	settle_memory(s, settled);
	return 0;
}

static int checkpoint_step(struct store *s)
{
	uint64_t commits;
	uint64_t settled;
	int error;

	if (wal_pool_low(s->wal) && !wal_disk_full(s->wal))
		checkpoint_kick(s->checkpoint);
	if (checkpoint_due(s))
		checkpoint_freeze(s);
	if (s->checkpoint_wanted)
		checkpoint_begin(s);
	commits = checkpoint_commits(s->checkpoint);
	if (commits != s->commits_seen) {
		s->commits_seen = commits;
		if (engine_renew(s->base) < 0)
			return store_fail(s, -EIO, "renew the read transaction");
	}
	if (checkpoint_fetch(s->checkpoint, &error, &settled))
		return checkpoint_finish(s, error, settled);
	return 0;
}

int store_tick(struct store *s, uint64_t wall_ms)
{
	int r;

	pace_tick(&s->pace, wall_ms);
	if (wal_error(s->wal) < 0)
		return store_fail(s, -EIO, "write the log in \"%.150s\": %s", s->dir,
				  strerror(-wal_error(s->wal)));
	r = checkpoint_step(s);
	if (r == 0)
		r = store_sweep(s, SWEEP_TICK);
	if (cache_bytes(s->cache) > cache_budget(s->cache))
		cache_evict(s->cache, s->settled);
	s->room = 0;
	return r;
}

void store_checkpoint(struct store *s)
{
	if (!s->checkpoint_runs && !s->checkpoint_wanted && s->log.fresh)
		checkpoint_freeze(s);
}

void store_hold(struct store *s, bool hold)
{
	/* What is settled first need not be followed. */
	if (hold && !s->hold && (s->log.fresh >= HOLD_SETTLE || wal_half_full(s->wal)))
		store_checkpoint(s);
	s->hold = hold;
}

bool store_held(const struct store *s)
{
	return s->hold && !s->checkpoint_wanted && !s->checkpoint_runs;
}

unsigned store_idle_ms(const struct store *s)
{
	if (s->checkpoint_wanted || s->checkpoint_runs || s->sweep_more)
		return 2;
	return s->log.fresh ? 100 : 1000;
}

int store_settle(struct store *s, uint64_t limit_ms)
{
	uint64_t until = clock_ms() + limit_ms;
	int r = 0;

	s->base_full = false; /* try again, whatever was found before */
	while (r == 0 && s->settled < wal_seq(s->wal)) {
		if (!s->checkpoint_runs && !s->checkpoint_wanted)
			checkpoint_freeze(s);
		s->config.on_wait(s->config.arg);
		r = store_tick(s, s->pace.source->wall_ms());
		if (r == 0 && s->base_full)
			return store_fail(s, -ENOSPC, "no room to checkpoint");
		if (clock_ms() >= until)
			return store_fail(s, -ETIMEDOUT, "checkpoint took too long");
		if (s->settled < wal_seq(s->wal))
			wal_wait(s->wal, 2);
	}
	return r;
}

/* ---- figures ---- */

void store_submit(struct store *s, uint64_t mark)
{
	wal_submit(s->wal, mark);
}

void store_freed(struct store *s, uint64_t position)
{
	s->freed = position;
}

uint64_t store_seq(const struct store *s)
{
	return wal_seq(s->wal);
}

uint64_t store_synced(const struct store *s)
{
	return wal_synced(s->wal);
}

uint64_t store_clock(const struct store *s)
{
	return s->pace.now_ms;
}

int64_t store_jump(struct store *s, bool *ret_behind)
{
	int64_t ms = s->pace.jump_ms;

	*ret_behind = s->pace.behind;
	s->pace.jump_ms = 0;
	return ms;
}

uint64_t store_observed_seq(const struct store *s)
{
	return s->head.observed_seq;
}

void store_stats(const struct store *s, struct store_stats *ret)
{
	ret->buckets = directory_count(s->directory);
	ret->keys = s->keys;
	ret->cache_bytes = cache_bytes(s->cache);
	ret->recent_keys = wal_seq(s->wal) - s->settled;
	ret->log_bytes = wal_bytes(s->wal);
	ret->base_bytes = engine_used(s->base);
	ret->map_bytes = engine_map_bytes(s->base);
	ret->checkpoint_wall_ms = s->checkpoint_wall_ms;
	ret->checkpoints = s->checkpoints;
	ret->full = !room_left(s) && !room_settled(s);
}
