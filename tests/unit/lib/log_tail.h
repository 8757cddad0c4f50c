/* The end of a store's log, to be damaged.  Included by test programs, behind store_fixture.h. */
#ifndef PAIL_LOG_TAIL_H
#define PAIL_LOG_TAIL_H

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "storage/log/wal.h"
#include "tests/unit/lib/store_fixture.h"

static char newest[400];

/* The segment that was begun last, whole; its path is in `newest`. */
__attribute__((unused)) static char *newest_read(size_t *ret_size)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;
	char name[32] = "";
	char *data;
	int fd;

	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "wal-", 4) && strcmp(e->d_name, name) > 0)
			(void)snprintf(name, sizeof(name), "%.20s", e->d_name);
	(void)closedir(d);
	(void)snprintf(newest, sizeof(newest), "%s/%s", dir, name);
	fd = open(newest, O_RDONLY);
	EQ(0, fstat(fd, &st));
	data = malloc((size_t)st.st_size);
	EQ(st.st_size, read(fd, data, (size_t)st.st_size));
	(void)close(fd);
	*ret_size = (size_t)st.st_size;
	return data;
}

/* Where its last record begins and ends. */
__attribute__((unused)) static void last_record(const char *data, size_t size, size_t *ret_from,
						size_t *ret_to)
{
	uint64_t epoch = ((const struct wal_header *)(const void *)data)->epoch;
	size_t at = WAL_HEADER_BYTES;

	*ret_to = 0;
	while (log_record_valid(data + at, size - at, log_epoch_crc(epoch))) {
		*ret_from = at;
		at += log_record_size((const void *)(data + at));
		*ret_to = at;
	}
	TRUE_(*ret_to > 0);
}

#endif
