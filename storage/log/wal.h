/*
 * The log: where a write is first made safe.  This header is the whole of it: what is in a record
 * (entry.h), the files (segment.h, pool.h), appending (writer.h), reading (reader.h, replay.h), and
 * what may be recycled (retain.h).
 *
 * Threads: functions marked (serving) belong to the one thread that appends, (background) to the
 * one that checkpoints; the rest may be called from either.
 */
#ifndef PAIL_WAL_H
#define PAIL_WAL_H

#include <stdint.h>

#include "storage/log/entry.h"
#include "storage/log/pool.h"
#include "storage/log/reader.h"
#include "storage/log/replay.h"
#include "storage/log/retain.h"
#include "storage/log/segment.h"
#include "storage/log/writer.h"

struct wal;

struct wal_config {
	const char *dir;
	uint64_t segment_bytes; /* of a file: log_size says how large it must be */
	uint64_t limit_bytes;   /* of all live files together, LOG_FILES_LEAST at least */
	uint64_t record_max;    /* the largest record; one that fits into no file gets its own */
	uint64_t generation;    /* goes into headers */
	/*
	 * Called on the sync thread when everything up to `lsn` is on disk, with the `mark` that
	 * was submitted with it.
	 */
	void (*synced)(void *arg, uint64_t mark, uint64_t lsn);
	void *arg;
	/* Likewise, with each sync: of how many bytes of records.  May be NULL. */
	void (*wrote)(void *arg, uint64_t bytes);
	uint64_t put_max; /* the largest record that is common; 0: all are */
};

/* A log that has neither been read nor written yet; the caller owns it.  0 or negative errno. */
int wal_new(const struct wal_config *config, struct wal **ret);

/* Stop the thread (everything appended is synced first) and free.  Sets *w to NULL. */
void wal_free(struct wal **w);

#endif
