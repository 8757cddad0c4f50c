/*
 * A log as a crash, a bad disk or a later version may leave it.  The input is a list of chunks: two
 * bytes of flags and length, then bytes that become a record.  Flags make what random bytes never
 * would: right sizes, sequences and checksums, so that what lies behind those checks is reached
 * too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "storage/log/wal.h"
#include "tests/fuzz/fuzz.h"

#define FILE_BYTES 65536u
#define GENERATION 7u

static char dir[64];

static void datadir_remove(void)
{
	(void)rmdir(dir);
}

static void datadir_make(void)
{
	if (dir[0])
		return;
	(void)snprintf(dir, sizeof(dir), "%s/pail-fuzz-%d",
		       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
	(void)mkdir(dir, 0700);
	(void)atexit(datadir_remove);
}

static void record_put(char *file, size_t *at, uint64_t epoch, uint64_t *seq, unsigned flags,
		       const uint8_t *data, size_t n)
{
	struct wal_record *r = (void *)(file + *at);
	size_t size = (sizeof(*r) + n + 7) & ~(size_t)7;

	if (*at + size > FILE_BYTES)
		return;
	memcpy((char *)r + 4, data, n < size - 4 ? n : size - 4);
	if (flags & 1)
		r->size = (uint32_t)size;
	if (flags & 2)
		r->seq = (*seq)++;
	if (flags & 4) { /* lengths that fit */
		r->name_len = (uint8_t)(r->name_len % (n + 1));
		r->key_len = (uint16_t)(r->key_len % (n - r->name_len + 1));
		r->value_len = (uint32_t)(n - r->name_len - r->key_len);
		r->op = (uint8_t)(1 + r->op % (WAL_OP_END - 1));
	}
	if (flags & 16) /* a size that fits the lengths, be they larger than the file */
		r->size = (uint32_t)wal_record_size(r->name_len, r->key_len, r->value_len);
	if ((flags & 8) && r->size >= sizeof(*r) && r->size <= FILE_BYTES - *at)
		r->crc = wal_record_crc(r, epoch);
	*at += size;
}

static void file_write(uint64_t epoch, const char *file)
{
	char path[200];
	int fd;

	wal_path(dir, epoch, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0) {
		(void)!write(fd, file, FILE_BYTES);
		(void)close(fd);
	}
}

static int apply(void *arg, const struct wal_record *r, bool same)
{
	unsigned *sum = arg;
	struct span part[3] = {wal_record_name(r), wal_record_key(r), wal_record_value(r)};

	for (int i = 0; i < 3; i++)
		*sum += touch(part[i].p, part[i].n);
	(void)same;
	return 0;
}

static void segment_make(const uint8_t **data, size_t *size, uint64_t epoch, uint64_t *seq)
{
	static char file[FILE_BYTES];
	struct wal_header *h = (void *)file;
	size_t at = WAL_HEADER_BYTES;

	memset(file, 0, sizeof(file));
	*h = (struct wal_header){.magic = WAL_MAGIC,
				 .version = WAL_VERSION,
				 .epoch = epoch,
				 .generation = GENERATION,
				 .first_seq = *seq,
				 .size = FILE_BYTES};
	while (*size >= 2) {
		unsigned flags = (*data)[0];
		size_t n = (*data)[1];

		*data += 2;
		*size -= 2;
		if (flags & 0x80)
			break; /* the next segment */
		n = n < *size ? n : *size;
		record_put(file, &at, epoch, seq, flags, *data, n);
		*data += n;
		*size -= n;
	}
	h->crc = wal_header_crc(h);
	file_write(epoch, file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct wal_config config = {.dir = dir,
					  .segment_bytes = FILE_BYTES,
					  .limit_bytes = 8 * FILE_BYTES,
					  .record_max = FILE_BYTES / 2,
					  .generation = GENERATION};
	struct wal *w = NULL;
	uint64_t seq = 1;
	uint64_t clock_ms;
	unsigned sum = 0;
	char why[300];
	char path[200];

	datadir_make();
	for (uint64_t epoch = 1; epoch <= 3; epoch++)
		segment_make(&data, &size, epoch, &seq);
	if (wal_new(&config, &w) == 0) {
		(void)wal_replay(w, 0, seq / 2, 1, apply, &sum, &clock_ms, why, sizeof(why));
		wal_free(&w);
	}
	for (uint64_t epoch = 1; epoch <= 3; epoch++) {
		wal_path(dir, epoch, path, sizeof(path));
		(void)unlink(path);
	}
	return 0;
}
