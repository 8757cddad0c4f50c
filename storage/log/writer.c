/*
 * The serving thread owns `append`, the sync thread `written`; between them lie the staged bytes.
 * A segment boundary is an entry in `segment[]` whose `start` is the stream position at which the
 * new file begins; the sync thread changes files when it gets there.
 */
#include "storage/log/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/fault.h"
#include "common/file.h"
#include "storage/log/log_impl.h"

/* ---- the sync thread ---- */

static void sync_fail(struct wal *w, int error)
{
	atomic_store(&w->error, error);
	(void)pthread_mutex_lock(&w->lock);
	(void)pthread_cond_broadcast(&w->drained_more);
	(void)pthread_mutex_unlock(&w->lock);
}

/*
 * The segment that holds stream position `at`, and where it ends: at the next one's start, or
 * nowhere yet.
 */
static struct wal_segment segment_at(struct wal *w, uint64_t at, uint64_t *ret_end,
				     uint64_t *ret_clock)
{
	struct wal_segment s;
	uint32_t i;

	(void)pthread_mutex_lock(&w->lock);
	i = atomic_load(&w->segment_count);
	*ret_end = UINT64_MAX;
	while (i-- > 0 && w->segment[i].start > at)
		*ret_end = w->segment[i].start;
	check(i < WAL_SEGMENTS_MAX);
	s = w->segment[i];
	*ret_clock = w->clock_ms;
	(void)pthread_mutex_unlock(&w->lock);
	return s;
}

static void segment_mark_safe(struct wal *w, uint64_t end)
{
	(void)pthread_mutex_lock(&w->lock);
	for (uint32_t i = 0; i + 1 < atomic_load(&w->segment_count); i++)
		if (w->segment[i + 1].start <= end)
			w->segment[i].safe = true;
	(void)pthread_mutex_unlock(&w->lock);
}

/* Write the staged bytes up to `target`, changing files where segments begin.  Syncs each. */
static int drain_to(struct wal *w, uint64_t target)
{
	while (w->written < target) {
		uint64_t end;
		uint64_t clock_ms;
		struct wal_segment s = segment_at(w, w->written, &end, &clock_ms);
		const char *data = w->stage + (w->written & (w->stage_size - 1));
		uint64_t n = (end < target ? end : target) - w->written;
		int r;

		check(s.start <= w->written && w->written < end && n <= w->stage_size);

		if (s.epoch != w->write_epoch) {
			if (w->fd >= 0)
				(void)close(w->fd);
			w->fd = -1;
			r = wal_segment_make(w, &s, clock_ms, data, n);
			w->write_epoch = s.epoch;
		} else {
			r = wal_file_write(w->fd, data, n,
					   WAL_HEADER_BYTES + (w->written - s.start), "wal.write");
			if (r == 0)
				r = wal_file_sync(w->fd);
		}
		if (r < 0)
			return r;
		w->written += n;
		if (w->config.wrote)
			w->config.wrote(w->config.arg, n);
	}
	return 0;
}

/*
 * Handed over, written, synced, told: one round for all that gathered while the last one ran.
 * Everything is synced before the thread ends.
 */
static void *sync_main(void *arg)
{
	struct wal *w = arg;

	for (;;) {
		uint64_t target;
		uint64_t lsn;
		uint64_t mark;
		int r;

		(void)pthread_mutex_lock(&w->lock);
		while (w->submitted == w->written && w->submitted_mark == w->marked && !w->stop) {
			w->sync_waits = true;
			(void)pthread_cond_wait(&w->submitted_more, &w->lock);
		}
		w->sync_waits = false;
		target = w->submitted;
		lsn = w->submitted_lsn;
		mark = w->submitted_mark;
		(void)pthread_mutex_unlock(&w->lock);
		if (target == w->written && mark == w->marked)
			return NULL;
		check(target >= w->written && lsn >= atomic_load(&w->synced));
		(void)fault_at("wal.before_write");
		r = drain_to(w, target);
		if (r < 0) {
			sync_fail(w, r);
			return NULL;
		}
		(void)fault_at("wal.after_sync");
		check(w->written == target);
		atomic_store_explicit(&w->synced, lsn, memory_order_release);
		atomic_store_explicit(&w->drained, target, memory_order_release);
		segment_mark_safe(w, target);
		w->config.synced(w->config.arg, mark, lsn);
		w->marked = mark;
		(void)fault_at("wal.after_publish");
		(void)pthread_mutex_lock(&w->lock);
		(void)pthread_cond_broadcast(&w->drained_more);
		(void)pthread_mutex_unlock(&w->lock);
	}
}

/* ---- the serving thread ---- */

/* The file of a segment that begins with a record of `size` bytes: its own, if it must be. */
static uint64_t file_size(const struct wal *w, uint64_t size)
{
	uint64_t own = WAL_HEADER_BYTES + size; /* it grows to that with its first write */

	return own > w->config.segment_bytes ? own : w->config.segment_bytes;
}

static int segment_open(struct wal *w, uint64_t first_lsn, uint64_t size)
{
	struct wal_segment *s;
	uint32_t n = atomic_load(&w->segment_count);

	if (n == WAL_SEGMENTS_MAX)
		return -ENOSPC;
	(void)pthread_mutex_lock(&w->lock);
	n = atomic_load(&w->segment_count);   /* the background thread may have removed some */
	if (n && !w->segment[n - 1].closed) { /* else it is one of an incarnation before */
		check(w->open_any || w->open_made); /* or it would never get a file */
		w->segment[n - 1].closed = true;
		w->segment[n - 1].last_lsn = first_lsn - 1;
		w->segment[n - 1].last_request_id = w->open_request_id;
		/* If all is on disk the sync thread has no more reason to look at it. */
		w->segment[n - 1].safe = atomic_load(&w->drained) >= w->append;
	}
	check(n < WAL_SEGMENTS_MAX && w->append >= w->open_start);
	s = &w->segment[n];
	memset(s, 0, sizeof(*s));
	s->epoch = w->epoch_next++;
	s->first_lsn = first_lsn;
	s->size = size;
	s->start = w->append;
	atomic_store(&w->segment_count, n + 1);
	atomic_fetch_add(&w->live_bytes, s->size);
	w->open_start = w->append;
	w->open_size = size;
	w->open_epoch = s->epoch;
	w->open_epoch_crc = log_epoch_crc(s->epoch);
	w->open_any = false;
	w->open_made = false;
	w->open_request_id = 0;
	check_slow(wal_segments_agree(w));
	(void)pthread_mutex_unlock(&w->lock);
	return 0;
}

/*
 * The open segment has neither a record nor a file: the file will be begun with the first record,
 * and gets the size that this one needs.  Another segment in its place would leave one behind that
 * never gets a file; and a file that is larger than what is written to it has not that size.
 */
static void segment_fit(struct wal *w, uint64_t size)
{
	struct wal_segment *s;

	if (size == w->open_size)
		return;
	(void)pthread_mutex_lock(&w->lock);
	s = &w->segment[atomic_load(&w->segment_count) - 1];
	check(s->epoch == w->open_epoch && s->start == w->append && !s->closed);
	atomic_fetch_add(&w->live_bytes, size - s->size); /* less, too */
	s->size = size;
	w->open_size = size;
	check_slow(wal_segments_agree(w));
	(void)pthread_mutex_unlock(&w->lock);
}

/*
 * Incarnations in which nothing was written leave a file each; those between the first, which base
 * knows of, and the open one go.  Only now, when a later epoch is on disk: no epoch is ever used
 * twice.
 */
static void empties_drop(struct wal *w)
{
	uint32_t n = atomic_load(&w->segment_count);
	char path[1100];

	for (uint32_t i = n - 1; i-- > 1;) {
		const struct wal_segment *s = &w->segment[i];

		if (s->last_lsn >= s->first_lsn)
			continue;
		wal_path(w->dir, s->epoch, path, sizeof(path));
		if (unlink(path) < 0)
			continue; /* it does no harm */
		atomic_fetch_sub(&w->live_bytes, s->size);
		memmove(&w->segment[i], &w->segment[i + 1], (n - i - 1) * sizeof(*s));
		n--;
	}
	atomic_store(&w->segment_count, n);
	check_slow(wal_segments_agree(w));
}

int wal_start(struct wal *w, uint64_t clock_ms)
{
	struct wal_segment *s;
	int r;

	check(!w->thread_runs && w->rewrite_first <= w->lsn + 1);
	w->clock_ms = clock_ms;
	w->append = 0;
	/* The incarnation before may have been killed before it had synced the pool's names. */
	r = atomic_load(&w->recycled_count) ? file_sync_dir(w->dir) : 0;
	if (r == 0)
		r = segment_open(w, w->rewrite_first, w->config.segment_bytes);
	if (r < 0)
		return r;
	s = &w->segment[atomic_load(&w->segment_count) - 1];
	/* Files may have been larger in the incarnation before: the one with the tail grows with
	 * it. */
	if (s->size < WAL_HEADER_BYTES + w->rewrite.len) {
		atomic_fetch_add(&w->live_bytes, WAL_HEADER_BYTES + w->rewrite.len - s->size);
		s->size = WAL_HEADER_BYTES + w->rewrite.len;
	}
	r = wal_segment_make(w, s, clock_ms, w->rewrite.data, w->rewrite.len);
	if (r < 0)
		return r;
	empties_drop(w);
	/* The tail lies in the file, not in the stage: the stream goes on behind it. */
	w->write_epoch = w->open_epoch;
	w->open_request_id = w->rewrite_request_id;
	w->append = w->rewrite.len;
	w->open_any = w->rewrite.len > 0;
	w->open_made = true;
	w->written = w->append;
	w->submitted = w->append;
	atomic_store(&w->drained, w->append);
	atomic_store(&w->synced, w->lsn);
	buf_fini(&w->rewrite);
	r = -pthread_create(&w->thread, NULL, sync_main, w);
	w->thread_runs = r == 0;
	return r;
}

uint64_t wal_lsn(const struct wal *w)
{
	return w->lsn;
}

uint64_t wal_synced(const struct wal *w)
{
	return atomic_load_explicit(&w->synced, memory_order_acquire);
}

int wal_error(const struct wal *w)
{
	return atomic_load(&w->error);
}

struct log_frame *wal_reserve(struct wal *w, uint64_t size)
{
	uint64_t drained = atomic_load_explicit(&w->drained, memory_order_acquire);
	uint64_t used = w->append - w->open_start + WAL_HEADER_BYTES;

	if (atomic_load(&w->error) || w->append + size - drained > w->stage_size)
		return NULL;
	if (!w->open_any && !w->open_made)
		segment_fit(w, file_size(w, size));
	else if (used + size > w->open_size)
		if (!wal_files_left(w) || segment_open(w, w->lsn + 1, file_size(w, size)) < 0)
			return NULL;
	return (struct log_frame *)(w->stage + (w->append & (w->stage_size - 1)));
}

uint64_t wal_append(struct wal *w, struct log_frame *f, uint64_t request_id)
{
	uint64_t synced = wal_synced(w);
	uint64_t size = log_record_size(f);
	uint64_t lsn = ++w->lsn;

	check_slow((char *)f == w->stage + (w->append & (w->stage_size - 1)) && size % 8 == 0);
	check_slow(w->append + size - atomic_load(&w->drained) <= w->stage_size);
	check_slow(synced < lsn);
	f->lsn = (uint32_t)lsn;
	f->request_id = request_id;
	f->unsynced = lsn - synced > UINT32_MAX ? UINT32_MAX : (uint32_t)(lsn - synced);
	f->crc = log_frame_crc(f, w->open_epoch_crc);
	w->append += size;
	w->open_any = true;
	if (request_id > w->open_request_id)
		w->open_request_id = request_id;
	return lsn;
}

void wal_submit(struct wal *w, uint64_t mark)
{
	(void)pthread_mutex_lock(&w->lock);
	check_slow(w->append >= w->submitted && w->lsn >= w->submitted_lsn);
	w->submitted = w->append;
	w->submitted_lsn = w->lsn;
	w->submitted_mark = mark;
	if (w->sync_waits)
		(void)pthread_cond_signal(&w->submitted_more);
	(void)pthread_mutex_unlock(&w->lock);
}

void wal_wait(struct wal *w, unsigned ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&w->lock);
	(void)pthread_cond_timedwait(&w->drained_more, &w->lock, &until);
	(void)pthread_mutex_unlock(&w->lock);
}

void wal_rotate(struct wal *w)
{
	if (w->open_any)
		(void)segment_open(w, w->lsn + 1, w->config.segment_bytes);
}
