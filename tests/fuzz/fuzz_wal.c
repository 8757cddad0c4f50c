/*
 * A log as a crash, a bad disk or a later version may leave it.  The input is a list of chunks: two
 * bytes of flags and length, then bytes that become a record.  Flags make what random bytes never
 * would: right sizes, lsns and checksums, so that what lies behind those checks is reached
 * too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/hash.h"
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

/* Lengths that fit. */
static void change_mend_lengths(struct log_change_head *h, size_t room)
{
	size_t numbers = 8 * (size_t)(!!h->name_len + !!(h->op_flags & LOG_HAS_EXPIRY));

	room = room < sizeof(*h) + numbers ? 0 : room - sizeof(*h) - numbers;
	h->name_len = (uint8_t)(h->name_len % (room + 1));
	h->key_len = (uint16_t)(h->key_len % (room - h->name_len + 1));
	h->value_len = (uint32_t)(room - h->name_len - h->key_len);
}

/* Lengths that fit, an op that there is. */
static void change_mend(struct log_change_head *h, size_t room)
{
	h->op_flags =
		(uint8_t)((h->op_flags & ~LOG_OP_MASK) | (1 + h->op_flags % (LOG_OP_END - 1)));
	change_mend_lengths(h, room);
}

/* A group: perhaps a session, some changes of the same size, a result of that size too. */
static void group_mend(struct log_entry *e, size_t room)
{
	char *p = e->data;
	unsigned n = 1 + e->count % 4;
	size_t share;

	e->kind = LOG_CHANGE;
	e->count = n;
	e->flags = LOG_HAS_RESULT | (e->flags & LOG_HAS_SESSION);
	if (e->flags & LOG_HAS_SESSION && room >= sizeof(struct log_session)) {
		p += sizeof(struct log_session);
		room -= sizeof(struct log_session);
	}
	share = room / (n + 1) & ~(size_t)7;
	if (share < 32)
		return;
	for (unsigned i = 0; i < n; i++, p += share) {
		struct log_change_head *h = (void *)p;

		h->name_len = (uint8_t)(i ? h->name_len : h->name_len | 1);
		if (h->op_flags & 4) { /* half of them puts, half deletes */
			h->op_flags = (uint8_t)((h->op_flags & LOG_COUNTS_ONE) | LOG_PUT);
			change_mend_lengths(h, share);
		} else {
			h->op_flags = (uint8_t)((h->op_flags & LOG_COUNTS_LESS) | LOG_DELETE);
			change_mend_lengths(h, share);
			h->key_len = (uint16_t)(h->key_len + h->value_len);
			h->value_len = 0;
		}
		if (h->name_len)
			h->number[0] = (uint64_t)e->partition << PARTITION_SHIFT;
		room -= share;
	}
	*(struct log_result_head *)p =
		(struct log_result_head){(uint32_t)(room - sizeof(struct log_result_head)), 0};
}

static void record_put(char *file, size_t *at, uint64_t epoch, uint64_t *lsn, unsigned flags,
		       const uint8_t *data, size_t n)
{
	struct log_frame *f = (void *)(file + *at);
	struct log_entry *e = (void *)(f + 1);
	size_t size = LOG_RECORD_BYTES + ((n + 7) & ~(size_t)7);

	if (*at + size > FILE_BYTES)
		return;
	memcpy(&f->request_id, data, n < size - 8 ? n : size - 8);
	f->lsn = (uint32_t)(flags & 2 ? (*lsn)++ : n);
	if (flags & 1)
		e->size = (uint32_t)(size - sizeof(*f));
	if (flags & 4) { /* what this version writes */
		e->term = 0;
		e->kind = (uint8_t)(1 + e->kind % (LOG_KIND_END - 1));
		e->partition %= PARTITIONS_MAX;
		e->count = e->kind == LOG_OUTCOME || e->kind > LOG_TERM ? 0 : 1;
		e->flags = e->kind == LOG_OUTCOME     ? LOG_HAS_RESULT
			   : e->kind == LOG_RULED_OUT ? LOG_HAS_SESSION
						      : 0;
	}
	if ((flags & 16) && size >= LOG_RECORD_BYTES + sizeof(struct log_change_head))
		change_mend((void *)e->data, size - LOG_RECORD_BYTES);
	if ((flags & 32) && size >= LOG_RECORD_BYTES + 16) /* the bucket is of the partition */
		((struct log_change_head *)e->data)->number[0] = (uint64_t)e->partition
								 << PARTITION_SHIFT;
	if (flags & 64)
		group_mend(e, size - LOG_RECORD_BYTES);
	if ((flags & 8) && e->size >= sizeof(*e) && e->size <= FILE_BYTES - *at - sizeof(*f)) {
		e->crc = crc32c(0, &e->size, e->size - offsetof(struct log_entry, size));
		f->crc = log_frame_crc(f, log_epoch_crc(epoch));
	}
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

static int apply(void *arg, const struct log_record *r, bool same)
{
	unsigned *sum = arg;
	struct span result = log_result_read(r->entry);
	const struct log_session *session = log_session_read(r->entry);
	struct log_changes i;
	struct log_change c;
	int more;

	log_changes_begin(&i, r->entry);
	while ((more = log_changes_next(&i, &c)) == 1)
		*sum += touch(c.name.p, c.name.n) + touch(c.key.p, c.key.n) +
			touch(c.value.p, c.value.n);
	if (more < 0 || i.left) /* it has been checked */
		abort();
	*sum += touch(result.p, result.n);
	if (session)
		*sum += touch((const char *)session, sizeof(*session));
	if (result.n && result.p + result.n > (const char *)r->entry + r->entry->size)
		abort();
	(void)same;
	return 0;
}

static void segment_make(const uint8_t **data, size_t *size, uint64_t epoch, uint64_t *lsn)
{
	static char file[FILE_BYTES];
	struct wal_header *h = (void *)file;
	size_t at = WAL_HEADER_BYTES;

	memset(file, 0, sizeof(file));
	*h = (struct wal_header){.magic = WAL_MAGIC,
				 .version = WAL_VERSION,
				 .epoch = epoch,
				 .generation = GENERATION,
				 .first_lsn = *lsn,
				 .size = FILE_BYTES};
	while (*size >= 2) {
		unsigned flags = (*data)[0];
		size_t n = (*data)[1];

		*data += 2;
		*size -= 2;
		if (flags & 0x80)
			break; /* the next segment */
		n = n < *size ? n : *size;
		record_put(file, &at, epoch, lsn, flags, *data, n);
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
	uint64_t lsn = 1;
	uint64_t clock_ms;
	unsigned sum = 0;
	char why[300];
	char path[200];

	datadir_make();
	for (uint64_t epoch = 1; epoch <= 3; epoch++)
		segment_make(&data, &size, epoch, &lsn);
	if (wal_new(&config, &w) == 0) {
		(void)wal_replay(w, 0, lsn / 2, 1, apply, &sum, &clock_ms, why, sizeof(why));
		wal_free(&w);
	}
	for (uint64_t epoch = 1; epoch <= 3; epoch++) {
		wal_path(dir, epoch, path, sizeof(path));
		(void)unlink(path);
	}
	return 0;
}
