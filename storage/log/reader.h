/*
 * Reading the records of one segment in order.  Recovery, a follower and the checkpoint are loops
 * over this.
 */
#ifndef PAIL_LOG_READER_H
#define PAIL_LOG_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log/entry.h"

struct wal_reader {
	const char *map; /* the file; NULL: not open */
	uint64_t size;
	uint32_t epoch_crc;
	uint64_t at;     /* offset of the next record */
	uint64_t lsn;    /* and its lsn */
	const char *why; /* after -EBADMSG of wal_reader_next */
};

/*
 * Map the first `size` bytes of a segment's file and stand before its first record, `first_lsn`.
 *  Returns 0; -EBADMSG: the file is shorter, and ends at `at`; or negative
 * errno.  Zero the reader before its first use.
 */
int wal_reader_open(struct wal_reader *rd, const char *dir, uint64_t epoch, uint64_t size,
		    uint64_t first_lsn);

/*
 * 1: *ret is the next record, good until wal_reader_close.  Else the reader stays; 0: what lies at
 * `at` is not a whole record of the lsn that it must have; -EBADMSG: it is whole, but rd->why says
 * what in it this version cannot read.
 */
int wal_reader_next(struct wal_reader *rd, struct log_record *ret);

/* Does a whole record behind `at` say that `lsn` had been on disk? */
bool wal_reader_was_synced(const struct wal_reader *rd);

void wal_reader_close(struct wal_reader *rd);

#endif
