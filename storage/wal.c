/*
 * Appending to the log.  The serving thread owns `append`, the sync thread `written`; between them
 * lie the staged bytes.  A segment boundary is an entry in `segment[]` whose `start` is the stream
 * position at which the new file begins; the sync thread changes files when it gets there.
 */
#include "storage/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/mirror.h"
#include "storage/wal_impl.h"

#define GENTLE_BYTES  (1u << 20)
#define GENTLE_NAP_NS 1000000

void wal_path(const char *dir, uint64_t epoch, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/wal-%016" PRIx64, dir, epoch);
}

void wal_spare_path(const struct wal *w, uint64_t n, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/spare-%016" PRIx64, w->dir, n);
}

int wal_new(const struct wal_config *config, struct wal **ret)
{
	struct wal *w = calloc(1, sizeof(*w));
	uint64_t size = 1u << 20;
	int r;

	if (!w)
		return -ENOMEM;
	w->config = *config;
	(void)snprintf(w->dir, sizeof(w->dir), "%s", config->dir);
	w->fd = -1;
	buf_init(&w->tail);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->handed_more, NULL);
	clock_cond_init(&w->drained_more);
	while (size < 2 * config->record_max)
		size *= 2;
	w->stage_size = size;
	r = mirror_new(size, (void **)&w->stage);
	if (r < 0) {
		wal_free(&w);
		return r;
	}
	*ret = w;
	return 0;
}

void wal_free(struct wal **wp)
{
	struct wal *w = *wp;

	if (!w)
		return;
	if (w->thread_runs) {
		(void)pthread_mutex_lock(&w->lock);
		w->handed = w->append;
		w->handed_seq = w->seq;
		w->stop = true;
		(void)pthread_cond_signal(&w->handed_more);
		(void)pthread_mutex_unlock(&w->lock);
		(void)pthread_join(w->thread, NULL);
	}
	if (w->fd >= 0)
		(void)close(w->fd);
	mirror_unmap(w->stage, w->stage_size);
	buf_fini(&w->tail);
	free(w->cursor);
	(void)pthread_cond_destroy(&w->drained_more);
	(void)pthread_cond_destroy(&w->handed_more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
	*wp = NULL;
}

/* ---- files ---- */

/* `point` names the fault point of tests. */
static int write_all(int fd, const char *data, uint64_t n, uint64_t offset, const char *point)
{
	(void)point; /* release builds have none */
	while (n) {
		ssize_t k;
		int f = fault_at(point);

		if (f < 0)
			return f;
		k = pwrite(fd, data, n, (off_t)offset);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		data += k;
		offset += (uint64_t)k;
		n -= (uint64_t)k;
	}
	return 0;
}

static int sync_data(int fd)
{
	int f = fault_at("wal.sync");

	if (f < 0)
		return f;
	return fdatasync(fd) < 0 ? -errno : 0;
}

/*
 * A spare file, full of zeros and synced, so that later syncs write data only.  Gently: piece by
 * piece, since one large sync holds up those of the log for many milliseconds.
 */
static int spare_make(struct wal *w, uint64_t n, bool gently)
{
	static const char zeros[1 << 16];
	const struct timespec nap = {0, GENTLE_NAP_NS};
	char path[1100];
	uint64_t at = 0;
	int fd;
	int r = 0;

	wal_spare_path(w, n, path, sizeof(path));
	fd = file_open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
	if (fd < 0)
		return fd;
	while (at < w->config.segment_bytes && r == 0) {
		uint64_t k = w->config.segment_bytes - at;

		if (k > sizeof(zeros))
			k = sizeof(zeros);
		r = write_all(fd, zeros, k, at, "wal.stock");
		at += k;
		if (r == 0 && gently && at % GENTLE_BYTES == 0) {
			r = fdatasync(fd) < 0 ? -errno : 0;
			(void)nanosleep(&nap, NULL);
			if (r == 0 && atomic_load(&w->stock_stop))
				r = -ECANCELED;
		}
	}
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	(void)close(fd);
	if (r < 0)
		(void)unlink(path);
	return r;
}

int wal_pool_fill(struct wal *w)
{
	uint64_t n;
	int r;

	while (atomic_load(&w->recycled_count) < WAL_POOL_MIN) {
		(void)pthread_mutex_lock(&w->lock);
		n = w->recycled_next++;
		(void)pthread_mutex_unlock(&w->lock);
		r = spare_make(w, n, true);
		atomic_store(&w->pool_failed, r < 0 && r != -ECANCELED);
		if (r < 0)
			return r;
		(void)pthread_mutex_lock(&w->lock);
		w->spare[atomic_fetch_add(&w->recycled_count, 1)] = n;
		(void)pthread_mutex_unlock(&w->lock);
	}
	atomic_store(&w->pool_failed, false);
	return 0;
}

void wal_stock_stop(struct wal *w)
{
	atomic_store(&w->stock_stop, true);
}

/* Take a spare, or make one on the spot; a wait of a tenth of a second is better than an error. */
static int spare_take(struct wal *w, char *path, size_t size)
{
	uint64_t n = 0;
	bool found = false;
	int r = 0;

	(void)pthread_mutex_lock(&w->lock);
	if (atomic_load(&w->recycled_count)) {
		n = w->spare[atomic_fetch_sub(&w->recycled_count, 1) - 1];
		found = true;
	} else {
		n = w->recycled_next++;
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (!found)
		r = spare_make(w, n, false);
	wal_spare_path(w, n, path, size);
	return r;
}

/*
 * Make segment `s` from a spare, with `n` bytes of records in it, and open it.  It gets its name
 * only when header and records are on disk: a file named wal-* always has a whole header.
 */
static int segment_make(struct wal *w, const struct wal_segment *s, uint64_t clock_ms,
			const char *data, uint64_t n)
{
	struct wal_header h;
	char spare[1100];
	char path[1100];
	int r = spare_take(w, spare, sizeof(spare));

	if (r < 0)
		return r;
	memset(&h, 0, sizeof(h));
	h.magic = WAL_MAGIC;
	h.version = WAL_VERSION;
	h.epoch = s->epoch;
	h.generation = w->config.generation;
	h.first_seq = s->first_seq;
	h.clock_ms = clock_ms;
	h.size = s->size;
	h.crc = wal_header_crc(&h);
	wal_path(w->dir, s->epoch, path, sizeof(path));
	w->fd = file_open(spare, O_RDWR, 0);
	if (w->fd < 0)
		return w->fd;
	r = write_all(w->fd, (const char *)&h, sizeof(h), 0, "wal.write");
	if (r == 0 && n)
		r = write_all(w->fd, data, n, WAL_HEADER_BYTES, "wal.write");
	if (r == 0)
		r = sync_data(w->fd);
	if (r == 0 && rename(spare, path) < 0)
		r = -errno;
	if (r == 0)
		r = file_sync_dir(w->dir);
	return r;
}

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

		if (s.epoch != w->write_epoch) {
			if (w->fd >= 0)
				(void)close(w->fd);
			w->fd = -1;
			r = segment_make(w, &s, clock_ms, data, n);
			w->write_epoch = s.epoch;
		} else {
			r = write_all(w->fd, data, n, WAL_HEADER_BYTES + (w->written - s.start),
				      "wal.write");
			if (r == 0)
				r = sync_data(w->fd);
		}
		if (r < 0)
			return r;
		w->written += n;
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
		uint64_t seq;
		uint64_t mark;
		int r;

		(void)pthread_mutex_lock(&w->lock);
		while (w->handed == w->written && w->handed_mark == w->marked && !w->stop) {
			w->sync_waits = true;
			(void)pthread_cond_wait(&w->handed_more, &w->lock);
		}
		w->sync_waits = false;
		target = w->handed;
		seq = w->handed_seq;
		mark = w->handed_mark;
		(void)pthread_mutex_unlock(&w->lock);
		if (target == w->written && mark == w->marked)
			return NULL;
		(void)fault_at("wal.before_write");
		r = drain_to(w, target);
		if (r < 0) {
			sync_fail(w, r);
			return NULL;
		}
		(void)fault_at("wal.after_sync");
		atomic_store_explicit(&w->synced, seq, memory_order_release);
		atomic_store_explicit(&w->drained, target, memory_order_release);
		segment_mark_safe(w, target);
		w->config.synced(w->config.arg, mark, seq);
		w->marked = mark;
		(void)fault_at("wal.after_publish");
		(void)pthread_mutex_lock(&w->lock);
		(void)pthread_cond_broadcast(&w->drained_more);
		(void)pthread_mutex_unlock(&w->lock);
	}
}

/* ---- the serving thread ---- */

static int segment_open(struct wal *w, uint64_t first_seq)
{
	struct wal_segment *s;
	uint32_t n = atomic_load(&w->segment_count);

	if (n == WAL_SEGMENTS_MAX)
		return -ENOSPC;
	(void)pthread_mutex_lock(&w->lock);
	n = atomic_load(&w->segment_count);   /* the background thread may have removed some */
	if (n && !w->segment[n - 1].closed) { /* else it is one of a life before */
		w->segment[n - 1].closed = true;
		w->segment[n - 1].last_seq = first_seq - 1;
		w->segment[n - 1].last_position = w->open_position;
		/* If all is on disk the sync thread has no more reason to look at it. */
		w->segment[n - 1].safe = atomic_load(&w->drained) >= w->append;
	}
	s = &w->segment[n];
	memset(s, 0, sizeof(*s));
	s->epoch = w->epoch_next++;
	s->first_seq = first_seq;
	s->size = w->config.segment_bytes;
	s->start = w->append;
	atomic_store(&w->segment_count, n + 1);
	atomic_fetch_add(&w->live_bytes, s->size);
	w->open_start = w->append;
	w->open_epoch = s->epoch;
	w->open_any = false;
	w->open_position = 0;
	(void)pthread_mutex_unlock(&w->lock);
	return 0;
}

/*
 * Lives in which nothing was written leave a file each; those between the first, which base knows
 * of, and the open one go.  Only now, when a later epoch is on disk: no epoch is ever used twice.
 */
static void empties_drop(struct wal *w)
{
	uint32_t n = atomic_load(&w->segment_count);
	char path[1100];

	for (uint32_t i = n - 1; i-- > 1;) {
		const struct wal_segment *s = &w->segment[i];

		if (s->last_seq >= s->first_seq)
			continue;
		wal_path(w->dir, s->epoch, path, sizeof(path));
		if (unlink(path) < 0)
			continue; /* it does no harm */
		atomic_fetch_sub(&w->live_bytes, s->size);
		memmove(&w->segment[i], &w->segment[i + 1], (n - i - 1) * sizeof(*s));
		n--;
	}
	atomic_store(&w->segment_count, n);
}

int wal_start(struct wal *w, uint64_t clock_ms)
{
	struct wal_segment *s;
	int r;

	w->clock_ms = clock_ms;
	w->append = 0;
	/* The life before may have been killed before it had synced the new names of its spares. */
	r = atomic_load(&w->recycled_count) ? file_sync_dir(w->dir) : 0;
	if (r == 0)
		r = segment_open(w, w->tail_first);
	if (r < 0)
		return r;
	s = &w->segment[atomic_load(&w->segment_count) - 1];
	/* Files may have been larger in the life before: the one with the tail grows with it. */
	if (s->size < WAL_HEADER_BYTES + w->tail.len) {
		atomic_fetch_add(&w->live_bytes, WAL_HEADER_BYTES + w->tail.len - s->size);
		s->size = WAL_HEADER_BYTES + w->tail.len;
	}
	r = segment_make(w, s, clock_ms, w->tail.data, w->tail.len);
	if (r < 0)
		return r;
	empties_drop(w);
	/* The tail lies in the file, not in the stage: the stream goes on behind it. */
	w->write_epoch = w->open_epoch;
	w->open_position = w->tail_position;
	w->append = w->tail.len;
	w->open_any = w->tail.len > 0;
	w->written = w->append;
	w->handed = w->append;
	atomic_store(&w->drained, w->append);
	atomic_store(&w->synced, w->seq);
	buf_fini(&w->tail);
	r = -pthread_create(&w->thread, NULL, sync_main, w);
	w->thread_runs = r == 0;
	return r;
}

uint64_t wal_seq(const struct wal *w)
{
	return w->seq;
}

uint64_t wal_synced(const struct wal *w)
{
	return atomic_load_explicit(&w->synced, memory_order_acquire);
}

int wal_error(const struct wal *w)
{
	return atomic_load(&w->error);
}

uint64_t wal_bytes(const struct wal *w)
{
	return atomic_load(&w->live_bytes);
}

uint64_t wal_bytes_beyond_least(const struct wal *w)
{
	/* What stays: the settled one, the open one, and the least stock. */
	uint64_t least = (2 + WAL_POOL_MIN) * w->config.segment_bytes;
	uint64_t all = atomic_load(&w->live_bytes) +
		       atomic_load(&w->recycled_count) * w->config.segment_bytes;

	return all > least ? all - least : 0;
}

bool wal_over_limit(const struct wal *w)
{
	/*
	 * One segment below the limit stays for deletes, which make room again.  The settled one
	 * may be of a life with larger files, and stays until the next checkpoint, which is begun
	 * only if something is written: with that one and the open one there is always room.
	 */
	return (atomic_load(&w->segment_count) > 2 &&
		atomic_load(&w->live_bytes) + 2 * w->config.segment_bytes >
			w->config.limit_bytes) ||
	       atomic_load(&w->segment_count) >= WAL_SEGMENTS_PUTS;
}

bool wal_half_full(const struct wal *w)
{
	return atomic_load(&w->live_bytes) > w->config.limit_bytes / 2 ||
	       atomic_load(&w->segment_count) >= WAL_SEGMENTS_PUTS / 2;
}

unsigned wal_files_left(const struct wal *w)
{
	uint32_t n = atomic_load(&w->segment_count);

	return n < WAL_SEGMENTS_OURS ? WAL_SEGMENTS_OURS - n : 0;
}

bool wal_disk_full(const struct wal *w)
{
	return atomic_load(&w->pool_failed);
}

bool wal_pool_low(const struct wal *w)
{
	return atomic_load(&w->recycled_count) < WAL_POOL_MIN;
}

struct wal_record *wal_reserve(struct wal *w, uint64_t size)
{
	uint64_t drained = atomic_load_explicit(&w->drained, memory_order_acquire);
	uint64_t used = w->append - w->open_start + WAL_HEADER_BYTES;

	if (atomic_load(&w->error) || w->append + size - drained > w->stage_size)
		return NULL;
	if (used + size > w->config.segment_bytes)
		if (!wal_files_left(w) || segment_open(w, w->seq + 1) < 0)
			return NULL;
	return (struct wal_record *)(w->stage + (w->append & (w->stage_size - 1)));
}

uint64_t wal_append(struct wal *w, struct wal_record *r)
{
	uint64_t synced = wal_synced(w);

	r->seq = ++w->seq;
	r->unsynced = r->seq - synced > UINT32_MAX ? UINT32_MAX : (uint32_t)(r->seq - synced);
	r->crc = wal_record_crc(r, w->open_epoch);
	w->append += r->size;
	w->open_any = true;
	if (r->request_id > w->open_position)
		w->open_position = r->request_id;
	return r->seq;
}

void wal_submit(struct wal *w, uint64_t mark)
{
	(void)pthread_mutex_lock(&w->lock);
	w->handed = w->append;
	w->handed_seq = w->seq;
	w->handed_mark = mark;
	if (w->sync_waits)
		(void)pthread_cond_signal(&w->handed_more);
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
		(void)segment_open(w, w->seq + 1);
}

/* ---- checkpoints ---- */

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
 * A file whose records are all in base: to be a spare if it has the size and we are short (its
 * number in *ret_spare), else gone.  Returns 1, 0, or negative errno.
 */
static int segment_retire(struct wal *w, const struct wal_segment *s, unsigned spares,
			  uint64_t *ret_spare)
{
	char path[1100];
	char spare[1100];
	bool keep;

	wal_path(w->dir, s->epoch, path, sizeof(path));
	(void)pthread_mutex_lock(&w->lock);
	keep = s->size == w->config.segment_bytes &&
	       atomic_load(&w->recycled_count) + spares < WAL_POOL_MAX;
	if (keep)
		*ret_spare = w->recycled_next++;
	(void)pthread_mutex_unlock(&w->lock);
	if (!keep)
		return unlink(path) < 0 ? -errno : 0;
	wal_spare_path(w, *ret_spare, spare, sizeof(spare));
	return rename(path, spare) < 0 ? -errno : 1;
}

/*
 * Only files whose new name is on disk may be written again: after a power cut one could be found
 * by its old name, with a header that is half another's.
 */
static int spares_add(struct wal *w, const uint64_t *number, unsigned n)
{
	int r;

	(void)fault_at("wal.before_retired");
	r = file_sync_dir(w->dir);
	(void)pthread_mutex_lock(&w->lock);
	for (unsigned i = 0; i < n && r == 0 && atomic_load(&w->recycled_count) < WAL_POOL_MAX; i++)
		w->spare[atomic_fetch_add(&w->recycled_count, 1)] = number[i];
	(void)pthread_mutex_unlock(&w->lock);
	return r;
}

int wal_settled(struct wal *w, uint64_t epoch_least)
{
	uint64_t number[WAL_POOL_MAX];
	unsigned n = 0;

	for (;;) {
		struct wal_segment s;
		bool gone;
		int r;

		(void)pthread_mutex_lock(&w->lock);
		s = w->segment[0];
		gone = atomic_load(&w->segment_count) > 1 && s.epoch < epoch_least;
		(void)pthread_mutex_unlock(&w->lock);
		if (!gone)
			return spares_add(w, number, n);
		r = segment_retire(w, &s, n, &number[n]);
		if (r < 0)
			return r;
		n += (unsigned)r;
		(void)pthread_mutex_lock(&w->lock);
		memmove(&w->segment[0], &w->segment[1],
			(atomic_load(&w->segment_count) - 1) * sizeof(s));
		atomic_fetch_sub(&w->segment_count, 1);
		atomic_fetch_sub(&w->live_bytes, s.size);
		(void)pthread_mutex_unlock(&w->lock);
	}
}

unsigned wal_pool_trim(struct wal *w)
{
	unsigned n = 0;

	for (;;) {
		char path[1100];
		uint64_t number = 0;
		bool more;

		(void)pthread_mutex_lock(&w->lock);
		more = atomic_load(&w->recycled_count) > WAL_POOL_MIN;
		if (more)
			number = w->spare[atomic_fetch_sub(&w->recycled_count, 1) - 1];
		(void)pthread_mutex_unlock(&w->lock);
		if (!more)
			return n;
		wal_spare_path(w, number, path, sizeof(path));
		n += unlink(path) == 0;
	}
}

uint64_t wal_oldest_epoch(struct wal *w)
{
	uint64_t epoch;

	(void)pthread_mutex_lock(&w->lock);
	epoch = w->segment[0].epoch;
	(void)pthread_mutex_unlock(&w->lock);
	return epoch;
}
