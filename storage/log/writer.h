/*
 * Appending: by the serving thread into a staging buffer, which the sync thread writes and syncs:
 * whatever gathered while the last sync ran goes with the next (group commit without a timer).
 */
#ifndef PAIL_LOG_WRITER_H
#define PAIL_LOG_WRITER_H

#include <stdint.h>

#include "storage/log/entry.h"

struct wal;

/*
 * Begin appending, after wal_replay.  What must be written again goes into a new segment, which is
 * on disk before this returns; then the sync thread starts.  Returns 0 or negative errno.
 */
int wal_start(struct wal *w, uint64_t clock_ms);

/* (serving) The lsn of the last record appended. */
uint64_t wal_lsn(const struct wal *w);

/*
 * (serving) Room for a record of `size` bytes in the staging buffer, or NULL: the sync thread is
 * behind, or has failed; wal_submit, wal_wait, and try again; but if
 * wal_files_left is 0, that may be for ever.
 */
struct log_frame *wal_reserve(struct wal *w, uint64_t size);

/*
 * (serving) Append the record reserved last, whose entry has ended and whose commit_back is set, for
 * the request `request_id` (0: nobody's).  Returns its lsn.
 */
uint64_t wal_append(struct wal *w, struct log_frame *f, uint64_t request_id);

/* (serving) Give everything appended to the sync thread; `mark` comes back with it. */
void wal_submit(struct wal *w, uint64_t mark);

/* (serving) Wait until the staging buffer has drained a little, at most `ms`. */
void wal_wait(struct wal *w, unsigned ms);

/* The highest lsn on disk. */
uint64_t wal_synced(const struct wal *w);

/* 0, or the negative errno that ended the sync thread: the process must end and say so. */
int wal_error(const struct wal *w);

/* (serving) Close the segment being written, if anything is in it: the next record opens another.
 */
void wal_rotate(struct wal *w);

#endif
