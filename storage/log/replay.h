/*
 * Going through the whole log: at start, or beside the process that appends.  A segment ends where
 * the next one's first lsn begins; the last one ends at its first bad record, which is a torn
 * tail, unless a later valid record says that it had been on disk: then it is damage.
 */
#ifndef PAIL_LOG_REPLAY_H
#define PAIL_LOG_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/log/entry.h"

struct wal;

/*
 * Read the folder's segments and call `apply` for each record behind `base_lsn`, and for each
 * of LOG_CLOCK, in order; it returns 0 to go on, or a negative errno, which is passed on.  `synced`
 * is the highest lsn that the caller knows to be on disk from a worker of the same generation (0:
 * nothing is known): what lies behind it may be in the page cache only and will be written again by
 * wal_start.  `epoch_min` is the oldest segment that must be there (0: none must); those before
 * it are not looked into.
 *
 * Returns 0, or -EBADMSG: the log is damaged where it had been safe, a segment is missing, or this
 * version cannot read what is there; `why` (at least 256 bytes) names file and offset.
 * *ret_clock_ms is the highest clock found.
 */
int wal_replay(struct wal *w, uint64_t base_lsn, uint64_t synced, uint64_t epoch_min,
	       int (*apply)(void *arg, const struct log_record *r, bool same_generation), void *arg,
	       uint64_t *ret_clock_ms, char *why, size_t why_size);

/*
 * Read, beside the process that appends, what is new up to `synced`, which that process has told to
 * be on disk.  It must not recycle segments meanwhile.  Called again and again; wal_replay then
 * goes on where the last call ended.  The rest is as with wal_replay.
 */
int wal_tail(struct wal *w, uint64_t base_lsn, uint64_t synced, uint64_t epoch_min,
	     int (*apply)(void *arg, const struct log_record *r, bool same_generation), void *arg,
	     char *why, size_t why_size);

#endif
