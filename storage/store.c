/* How much may be written, and figures. */
#include "storage/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "storage/store_impl.h"

#define SLACK_SHARE 8u  /* of base's file */
#define BASE_SHARE  80u /* percent of the map that puts may fill: deletes need free pages */

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

uint64_t store_budget(const struct store *s)
{
	/* Values of the largest size must get through however small the cache is. */
	uint64_t min = 4 * s->config.value_max;

	return s->config.cache_bytes > min ? s->config.cache_bytes : min;
}

unsigned store_pressure(const struct store *s)
{
	uint64_t share = s->dirty / (store_budget(s) / 100);

	if (wal_over_limit(s->wal) || share > 100)
		return 100;
	return (unsigned)share;
}

/* What base, and a disk with so much free, have room for if base is still to take `owed`. */
static uint64_t room_beyond(const struct store *s, uint64_t owed, uint64_t disk)
{
	uint64_t used = engine_used(s->base) + owed;
	uint64_t max = engine_map_bytes(s->base) / 100 * BASE_SHARE;
	uint64_t file = engine_file_bytes(s->base);
	uint64_t left;

	if (s->base_full || used >= max)
		return 0;
	left = max - used;
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
	return room_beyond(s, 2 * (s->log.frozen + s->log.active + s->tails_bytes),
			   checkpoint_disk_free(s->checkpoint));
}

/*
 * What there will be at best when all is settled: base may need nothing more, and files of the log
 * are removed if the disk is short.
 */
static uint64_t room_settled(const struct store *s)
{
	uint64_t disk = checkpoint_disk_free(s->checkpoint);
	uint64_t back = s->log.frozen + s->log.active ? wal_bytes_beyond_min(s->wal) : 0;

	return room_beyond(s, 0, disk > UINT64_MAX - back ? UINT64_MAX : disk + back);
}

uint64_t store_room(const struct store *s)
{
	return room_left(s);
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
	if (s->log.frozen + s->log.active && room_settled(s) >= bytes) {
		s->room_wanted = true;
		return store_fail(s, -EBUSY,
				  "there may be room when earlier writes are settled: try again "
				  "later");
	}
	return store_fail(s, -ENOSPC, "no room left on disk: delete something");
}

/* ---- figures ---- */

void store_submit(struct store *s, uint64_t mark)
{
	wal_submit(s->wal, mark);
}

void partition_advance(struct store *s, uint32_t partition, uint64_t sequence, uint64_t lsn)
{
	struct partition *p = &s->part[partition];

	check_slow(!s->replica);
	check_slow(sequence > s->newest->at[partition] && lsn > p->last_lsn);
	check_slow(p->synced <= p->mark && p->mark_lsn <= p->last_lsn);
	if (p->mark_lsn <= wal_synced(s->wal)) {
		p->synced = p->mark;
		p->mark = s->newest->at[partition];
		p->mark_lsn = p->last_lsn;
	}
	s->newest->at[partition] = sequence;
	p->last_lsn = lsn;
	s->last_partition = partition;
}

void observe_absence(struct store *s, struct span name)
{
	uint32_t partition = name_partition(s, name);

	observe(s, stamp_make(partition, 0), s->part[partition].directory_version);
}

void store_freed(struct store *s, uint64_t position)
{
	s->freed = position;
}

uint64_t store_lsn(const struct store *s)
{
	return wal_lsn(s->wal);
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

uint64_t store_observed_lsn(const struct store *s)
{
	return s->head.observed_lsn;
}

bool store_own(struct store *s, bool own)
{
	if (own && (!s->replica || s->partitions == s->copied))
		return false;
	s->head.own = own;
	s->head.own_first = own ? s->copied : 0;
	return true;
}

bool store_committed(const struct store *s)
{
	uint64_t stamp = s->head.observed_stamp;

	if (s->replica && stamp &&
	    stamp_sequence(stamp) > s->replica[bucket_partition(stamp)].commit)
		return false;
	return s->head.observed_lsn <= wal_synced(s->wal);
}

void store_stats(const struct store *s, struct store_stats *ret)
{
	ret->buckets = directory_count(s->directory);
	ret->keys = s->keys;
	ret->cache_bytes = cache_bytes(s->cache);
	ret->recent_keys = wal_lsn(s->wal) - s->settled_lsn;
	ret->log_bytes = wal_bytes(s->wal);
	ret->base_bytes = engine_used(s->base);
	ret->map_bytes = engine_map_bytes(s->base);
	ret->checkpoint_wall_ms = s->checkpoint_wall_ms;
	ret->checkpoints = s->checkpoints;
	ret->checkpoint_ms = s->checkpoint_ms;
	ret->last_checkpoint_ms = s->last_checkpoint_ms;
	ret->sessions = s->sessions->count;
	ret->outcome_bytes = s->sessions->keeping_bytes;
	ret->cache_hits = s->cache_hits;
	ret->cache_misses = s->cache_misses;
	ret->checkpoint_entries = s->checkpoint_entries;
	ret->reader_us = clock_us() - engine_read_us(s->base);
	ret->full = !room_left(s) && !room_settled(s);
}
