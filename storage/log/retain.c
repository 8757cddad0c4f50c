/* What the live segments take, and which of them may be recycled. */
#include "storage/log/retain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "common/fault.h"
#include "storage/log/log_impl.h"

uint64_t wal_bytes(const struct wal *w)
{
	return atomic_load(&w->live_bytes);
}

uint64_t wal_bytes_beyond_min(const struct wal *w)
{
	/* What stays: the settled one, the open one, and the smallest pool. */
	uint64_t min = (2 + WAL_POOL_MIN) * w->config.segment_bytes;
	uint64_t all = atomic_load(&w->live_bytes) +
		       atomic_load(&w->recycled_count) * w->config.segment_bytes;

	return all > min ? all - min : 0;
}

bool wal_over_limit(const struct wal *w)
{
	/*
	 * One segment below the limit stays for deletes, which make room again.  The settled one
	 * may be of an incarnation with larger files, and stays until the next checkpoint, which is
	 * begun only if something is written: with that one and the open one there is always room.
	 */
	return (atomic_load(&w->segment_count) > 2 &&
		atomic_load(&w->live_bytes) + 2 * w->config.segment_bytes >
			w->config.limit_bytes) ||
	       atomic_load(&w->segment_count) >= WAL_SEGMENTS_PUTS;
}

/* Bytes of live segments without those that are kept only for copies, and go when others need room. */
static uint64_t live_needed(const struct wal *w)
{
	uint64_t live = atomic_load(&w->live_bytes);
	uint64_t kept = atomic_load(&w->kept_bytes);

	return live > kept ? live - kept : 0;
}

bool wal_has_room(const struct wal *w, uint64_t size)
{
	uint64_t own = WAL_HEADER_BYTES + size;

	return own <= w->config.segment_bytes ||
	       live_needed(w) + 2 * w->config.segment_bytes + own <= w->config.limit_bytes;
}

bool wal_half_full(const struct wal *w)
{
	uint32_t files = atomic_load(&w->segment_count);
	uint32_t kept = atomic_load(&w->kept_count);

	return live_needed(w) > w->config.limit_bytes / 2 ||
	       (files > kept && files - kept >= WAL_SEGMENTS_PUTS / 2);
}

unsigned wal_files_left(const struct wal *w)
{
	uint32_t n = atomic_load(&w->segment_count);

	return n < WAL_SEGMENTS_OURS ? WAL_SEGMENTS_OURS - n : 0;
}

bool wal_segments_agree(const struct wal *w)
{
	uint32_t n = atomic_load(&w->segment_count);
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct wal_segment *s = &w->segment[i];
		const struct wal_segment *before = i ? s - 1 : NULL;

		bytes += s->size;
		if (before && (!before->closed || before->epoch >= s->epoch ||
			       before->start > s->start || before->last_lsn >= s->first_lsn))
			return false;
		if (s->safe && !s->closed)
			return false;
	}
	return n <= WAL_SEGMENTS_MAX && bytes == atomic_load(&w->live_bytes);
}

void wal_segment_keep(struct wal *w, const struct wal_segment *s)
{
	uint32_t n = atomic_load(&w->segment_count);

	check(n < WAL_SEGMENTS_MAX && s->closed && s->safe);
	check(!n || w->segment[n - 1].epoch < s->epoch);
	w->segment[n] = *s;
	atomic_store(&w->segment_count, n + 1);
	atomic_fetch_add(&w->live_bytes, s->size);
}

unsigned wal_closed(struct wal *w, struct wal_segment *ret, unsigned max)
{
	unsigned n = 0;

	(void)pthread_mutex_lock(&w->lock);
	while (n < max && n < atomic_load(&w->segment_count) && w->segment[n].safe) {
		ret[n] = w->segment[n];
		n++;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return n;
}

/*
 * A file whose records are all in base: into the pool if it has the size and there is room (its
 * number in *ret_number), else gone.  Returns 1, 0, or negative errno.
 */
static int segment_recycle(struct wal *w, const struct wal_segment *s, unsigned more,
			   uint64_t *ret_number)
{
	char path[1100];
	char spare[1100];

	wal_path(w->dir, s->epoch, path, sizeof(path));
	if (s->size != w->config.segment_bytes || !wal_pool_number(w, more, ret_number))
		return unlink(path) < 0 ? -errno : 0;
	wal_spare_path(w, *ret_number, spare, sizeof(spare));
	return rename(path, spare) < 0 ? -errno : 1;
}

void wal_retain(struct wal *w, uint64_t lsn)
{
	atomic_store(&w->retained, lsn);
}

uint64_t wal_oldest_needed(const struct wal *w)
{
	uint64_t settled = atomic_load(&w->base_lsn) + 1;
	uint64_t retained = atomic_load(&w->retained);

	if (retained >= settled || atomic_load(&w->live_bytes) > w->config.limit_bytes / 2 ||
	    atomic_load(&w->segment_count) > WAL_SEGMENTS_PUTS / 2)
		return settled;
	return retained;
}

uint64_t wal_first(struct wal *w)
{
	uint64_t lsn;

	(void)pthread_mutex_lock(&w->lock);
	lsn = w->segment[0].first_lsn;
	(void)pthread_mutex_unlock(&w->lock);
	return lsn;
}

int wal_segment_of(struct wal *w, uint64_t lsn, struct wal_segment *ret)
{
	uint32_t i;

	(void)pthread_mutex_lock(&w->lock);
	i = atomic_load(&w->segment_count);
	while (i > 0 && w->segment[i - 1].first_lsn > lsn)
		i--;
	if (i)
		*ret = w->segment[i - 1];
	(void)pthread_mutex_unlock(&w->lock);
	return i ? 0 : -ENODATA;
}

/* The bytes and files that are kept only for copies. */
static void kept_count(struct wal *w)
{
	uint64_t bytes = 0;
	uint32_t files = 0;

	(void)pthread_mutex_lock(&w->lock);
	while (files + 1 < atomic_load(&w->segment_count) &&
	       w->segment[files].epoch < w->epoch_min) {
		bytes += w->segment[files].size;
		files++;
	}
	(void)pthread_mutex_unlock(&w->lock);
	atomic_store(&w->kept_bytes, bytes);
	atomic_store(&w->kept_count, files);
}

/* Recycle the oldest files that are below `epoch_min` and not needed; `all`: not by base. */
static int recycle(struct wal *w, bool all)
{
	const uint64_t epoch_min = w->epoch_min;
	uint64_t number[WAL_POOL_MAX];
	unsigned n = 0;

	for (;;) {
		struct wal_segment s;
		bool gone;
		int r;

		(void)pthread_mutex_lock(&w->lock);
		s = w->segment[0];
		gone = atomic_load(&w->segment_count) > 1 && s.epoch < epoch_min &&
		       s.last_lsn < (all ? atomic_load(&w->base_lsn) + 1 : wal_oldest_needed(w));
		check_slow(gone || wal_segments_agree(w));
		(void)pthread_mutex_unlock(&w->lock);
		if (!gone || n == WAL_POOL_MAX) {
			kept_count(w);
			return wal_pool_add(w, number, n);
		}
		r = segment_recycle(w, &s, n, &number[n]);
		if (r < 0)
			return r;
		n += (unsigned)r;
		(void)pthread_mutex_lock(&w->lock);
		/* Others only add behind it. */
		check(w->segment[0].epoch == s.epoch && atomic_load(&w->segment_count) > 1);
		check(atomic_load(&w->live_bytes) >= s.size);
		memmove(&w->segment[0], &w->segment[1],
			(atomic_load(&w->segment_count) - 1) * sizeof(s));
		atomic_fetch_sub(&w->segment_count, 1);
		atomic_fetch_sub(&w->live_bytes, s.size);
		(void)pthread_mutex_unlock(&w->lock);
	}
}

int wal_settled(struct wal *w, uint64_t lsn, uint64_t epoch_min)
{
	check(lsn >= atomic_load(&w->base_lsn));
	atomic_store(&w->base_lsn, lsn);
	w->epoch_min = epoch_min;
	return recycle(w, false);
}

int wal_release(struct wal *w, bool all)
{
	return atomic_load(&w->kept_count) ? recycle(w, all) : 0;
}
