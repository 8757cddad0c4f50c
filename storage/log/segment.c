/* A segment's header and bytes. */
#include "storage/log/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fault.h"
#include "common/file.h"
#include "common/hash.h"
#include "storage/log/log_impl.h"

void wal_path(const char *dir, uint64_t epoch, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/wal-%016" PRIx64, dir, epoch);
}

uint32_t wal_header_crc(const struct wal_header *h)
{
	struct wal_header copy = *h;

	copy.crc = 0;
	return crc32c(0, &copy, sizeof(copy));
}

/* The header has lain alike in all versions, what is behind it has not. */
static int version_check(uint32_t version, const char *path, char *why, size_t why_size)
{
	if (version == WAL_VERSION)
		return 0;
	if (version > WAL_VERSION)
		(void)snprintf(why, why_size,
			       "%.120s: written by a newer version of Pail (log %u, this is %u)",
			       path, version, WAL_VERSION);
	else
		(void)snprintf(
			why, why_size,
			"%.90s: made by an older version of Pail. Bring the data over: start "
			"that version, `pail export`; start this one on a new folder, `pail "
			"import`",
			path);
	return -EBADMSG;
}

int wal_header_read(const char *dir, uint64_t epoch, struct wal_header *ret,
		    uint64_t *ret_file_bytes, char *why, size_t why_size)
{
	char path[1100];
	struct stat st;
	ssize_t n;
	int fd;

	wal_path(dir, epoch, path, sizeof(path));
	fd = file_open(path, O_RDONLY, 0);
	if (fd < 0) {
		(void)snprintf(why, why_size, "open \"%.150s\": %s", path, file_reason(fd));
		return fd;
	}
	n = pread(fd, ret, sizeof(*ret), 0);
	if (n < 0 || fstat(fd, &st) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	(void)close(fd);
	*ret_file_bytes = (uint64_t)st.st_size;
	if ((size_t)n < sizeof(*ret) || ret->magic != WAL_MAGIC || ret->epoch != epoch ||
	    ret->crc != wal_header_crc(ret) || *ret_file_bytes < WAL_HEADER_BYTES) {
		(void)snprintf(why, why_size, "%.150s: damaged header at offset 0", path);
		return -EBADMSG;
	}
	return version_check(ret->version, path, why, why_size);
}

int wal_file_write(int fd, const char *data, uint64_t n, uint64_t offset, const char *point)
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

int wal_file_sync(int fd)
{
	int f = fault_at("wal.sync");

	if (f < 0)
		return f;
	return fdatasync(fd) < 0 ? -errno : 0;
}

int wal_segment_make(struct wal *w, const struct wal_segment *s, uint64_t clock_ms,
		     const char *data, uint64_t n)
{
	struct wal_header h;
	char spare[1100];
	char path[1100];
	int r = wal_pool_take(w, spare, sizeof(spare));

	if (r < 0)
		return r;
	memset(&h, 0, sizeof(h));
	h.magic = WAL_MAGIC;
	h.version = WAL_VERSION;
	h.epoch = s->epoch;
	h.generation = w->config.generation;
	h.first_lsn = s->first_lsn;
	h.clock_ms = clock_ms;
	h.size = s->size;
	h.crc = wal_header_crc(&h);
	wal_path(w->dir, s->epoch, path, sizeof(path));
	w->fd = file_open(spare, O_RDWR, 0);
	if (w->fd < 0)
		return w->fd;
	r = wal_file_write(w->fd, (const char *)&h, sizeof(h), 0, "wal.write");
	if (r == 0 && n)
		r = wal_file_write(w->fd, data, n, WAL_HEADER_BYTES, "wal.write");
	if (r == 0)
		r = wal_file_sync(w->fd);
	if (r == 0 && rename(spare, path) < 0)
		r = -errno;
	if (r == 0)
		r = file_sync_dir(w->dir);
	return r;
}
