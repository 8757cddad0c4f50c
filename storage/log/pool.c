/* Files that are ready to become segments. */
#include "storage/log/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/fault.h"
#include "common/file.h"
#include "storage/log/log_impl.h"

#define THROTTLE_BYTES    (1u << 20)
#define THROTTLE_SLEEP_NS 1000000

void wal_spare_path(const struct wal *w, uint64_t n, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/spare-%016" PRIx64, w->dir, n);
}

/* With the lock held, or before there are threads: a file goes into the pool, or leaves it. */
static void pool_push(struct wal *w, uint64_t number)
{
	uint32_t n = atomic_fetch_add(&w->recycled_count, 1);

	check(n < WAL_POOL_MAX);
	w->recycled[n] = number;
}

static uint64_t pool_pop(struct wal *w)
{
	uint32_t n = atomic_fetch_sub(&w->recycled_count, 1);

	check(n > 0 && n <= WAL_POOL_MAX);
	return w->recycled[n - 1];
}

/*
 * A file of the pool, full of zeros and synced, so that later syncs write data only.  Throttled:
 * piece by piece, since one large sync holds up those of the log for many milliseconds.
 */
static int pool_file_make(struct wal *w, uint64_t n, bool throttled)
{
	static const char zeros[1 << 16];
	const struct timespec pause = {0, THROTTLE_SLEEP_NS};
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
		r = wal_file_write(fd, zeros, k, at, "wal.stock");
		at += k;
		if (r == 0 && throttled && at % THROTTLE_BYTES == 0) {
			r = fdatasync(fd) < 0 ? -errno : 0;
			(void)nanosleep(&pause, NULL);
			if (r == 0 && atomic_load(&w->pool_stop))
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
		r = pool_file_make(w, n, true);
		atomic_store(&w->pool_failed, r < 0 && r != -ECANCELED);
		if (r < 0)
			return r;
		(void)pthread_mutex_lock(&w->lock);
		pool_push(w, n);
		(void)pthread_mutex_unlock(&w->lock);
	}
	atomic_store(&w->pool_failed, false);
	return 0;
}

void wal_pool_stop(struct wal *w)
{
	atomic_store(&w->pool_stop, true);
}

bool wal_pool_low(const struct wal *w)
{
	return atomic_load(&w->recycled_count) < WAL_POOL_MIN;
}

bool wal_disk_full(const struct wal *w)
{
	/* Files that came back since are as good as one that was made. */
	return atomic_load(&w->pool_failed) && wal_pool_low(w);
}

int wal_pool_take(struct wal *w, char *path, size_t size)
{
	uint64_t n = 0;
	bool found = false;
	int r = 0;

	(void)pthread_mutex_lock(&w->lock);
	if (atomic_load(&w->recycled_count)) {
		n = pool_pop(w);
		found = true;
	} else {
		n = w->recycled_next++;
	}
	(void)pthread_mutex_unlock(&w->lock);
	if (!found)
		r = pool_file_make(w, n, false);
	wal_spare_path(w, n, path, size);
	return r;
}

void wal_pool_adopt(struct wal *w, uint64_t number)
{
	uint32_t n = atomic_load(&w->recycled_count);
	char path[1100];
	struct stat st;

	wal_spare_path(w, number, path, sizeof(path));
	if (number >= w->recycled_next)
		w->recycled_next = number + 1;
	if (n < WAL_POOL_MAX && file_check(path) == 0 && stat(path, &st) == 0 &&
	    (uint64_t)st.st_size == w->config.segment_bytes &&
	    (uint64_t)st.st_blocks * 512 >= w->config.segment_bytes) {
		pool_push(w, number);
	} else {
		(void)unlink(path);
	}
}

bool wal_pool_number(struct wal *w, unsigned more, uint64_t *ret)
{
	bool room;

	(void)pthread_mutex_lock(&w->lock);
	room = atomic_load(&w->recycled_count) + more < WAL_POOL_MAX;
	if (room)
		*ret = w->recycled_next++;
	(void)pthread_mutex_unlock(&w->lock);
	return room;
}

int wal_pool_add(struct wal *w, const uint64_t *number, unsigned n)
{
	int r;

	(void)fault_at("wal.before_retired");
	r = file_sync_dir(w->dir);
	(void)pthread_mutex_lock(&w->lock);
	for (unsigned i = 0; i < n && r == 0 && atomic_load(&w->recycled_count) < WAL_POOL_MAX; i++)
		pool_push(w, number[i]);
	(void)pthread_mutex_unlock(&w->lock);
	return r;
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
			number = pool_pop(w);
		(void)pthread_mutex_unlock(&w->lock);
		if (!more)
			return n;
		wal_spare_path(w, number, path, sizeof(path));
		n += unlink(path) == 0;
	}
}
