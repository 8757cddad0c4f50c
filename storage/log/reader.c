/* Reading the records of one segment in order. */
#include "storage/log/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "storage/log/segment.h"

int wal_reader_open(struct wal_reader *rd, const char *dir, uint64_t epoch, uint64_t size,
		    uint64_t first_seq)
{
	char path[1100];
	struct stat st;
	void *p;
	int fd;

	check(!rd->map);
	wal_path(dir, epoch, path, sizeof(path));
	fd = file_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < size) {
		(void)close(fd); /* bytes behind its end cannot be mapped */
		rd->at = (uint64_t)st.st_size;
		return -EBADMSG;
	}
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p == MAP_FAILED)
		return -errno;
	*rd = (struct wal_reader){p, size, epoch, WAL_HEADER_BYTES, first_seq};
	return 0;
}

const struct wal_record *wal_reader_next(struct wal_reader *rd)
{
	const struct wal_record *r = (const void *)(rd->map + rd->at);

	check(rd->at <= rd->size);
	if (!wal_record_valid(r, rd->size - rd->at, rd->epoch) || r->seq != rd->seq)
		return NULL;
	rd->at += r->size;
	rd->seq++;
	return r;
}

bool wal_reader_was_synced(const struct wal_reader *rd)
{
	for (uint64_t at = rd->at + 8; at + sizeof(struct wal_record) <= rd->size; at += 8) {
		const struct wal_record *r = (const void *)(rd->map + at);

		if (r->seq > rd->seq && r->seq - rd->seq < UINT32_MAX &&
		    r->seq - r->unsynced >= rd->seq &&
		    wal_record_valid(r, rd->size - at, rd->epoch))
			return true;
	}
	return false;
}

void wal_reader_close(struct wal_reader *rd)
{
	if (rd->map)
		(void)munmap((void *)(uintptr_t)rd->map, rd->size);
	rd->map = NULL;
}
