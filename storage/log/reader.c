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
		    uint64_t first_lsn)
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
	*rd = (struct wal_reader){p, size, log_epoch_crc(epoch), WAL_HEADER_BYTES, first_lsn, ""};
	return 0;
}

int wal_reader_next(struct wal_reader *rd, struct log_record *ret)
{
	const struct log_frame *f = (const void *)(rd->map + rd->at);
	int r;

	check(rd->at <= rd->size);
	if (!log_record_valid(f, rd->size - rd->at, rd->epoch_crc) || f->lsn != (uint32_t)rd->lsn)
		return 0;
	r = log_entry_check(log_frame_entry(f), &rd->why);
	if (r < 0)
		return r;
	*ret = (struct log_record){rd->lsn, f, log_frame_entry(f)};
	rd->at += log_record_size(f);
	rd->lsn++;
	return 1;
}

bool wal_reader_was_synced(const struct wal_reader *rd)
{
	for (uint64_t at = rd->at + 8; at + LOG_RECORD_BYTES <= rd->size; at += 8) {
		const struct log_frame *f = (const void *)(rd->map + at);
		uint32_t ahead = f->lsn - (uint32_t)rd->lsn;

		if (ahead && ahead <= INT32_MAX && f->unsynced <= ahead &&
		    log_record_valid(f, rd->size - at, rd->epoch_crc))
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
