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
	uint64_t epoch;
	uint64_t at;  /* offset of the next record */
	uint64_t seq; /* and its sequence */
};

/*
 * Map the first `size` bytes of a segment's file and stand before its first record, which has the
 * sequence `first_seq`.  Returns 0; -EBADMSG: the file is shorter, and ends at `at`; or negative
 * errno.  Zero the reader before its first use.
 */
int wal_reader_open(struct wal_reader *rd, const char *dir, uint64_t epoch, uint64_t size,
		    uint64_t first_seq);

/*
 * The next record, good until wal_reader_close; or NULL, and the reader stays: what lies at `at` is
 * not a whole record of that sequence.
 */
const struct wal_record *wal_reader_next(struct wal_reader *rd);

/* Does a whole record behind `at` say that the sequence `seq` had been on disk? */
bool wal_reader_was_synced(const struct wal_reader *rd);

void wal_reader_close(struct wal_reader *rd);

#endif
