/* What the live segments take, and which of them may be recycled. */
#ifndef PAIL_LOG_RETAIN_H
#define PAIL_LOG_RETAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log/segment.h"

struct wal;

/* (serving) Bytes of live segments. */
uint64_t wal_bytes(const struct wal *w);

/* (serving) Bytes of files, the pool too, that a nearly full disk gets back when all is settled.
 */
uint64_t wal_bytes_beyond_min(const struct wal *w);

/* (serving) So many that puts must wait for a checkpoint: what is left is for deletes. */
bool wal_over_limit(const struct wal *w);

/* (serving) If a record of `size` bytes gets a file of its own, is that within the limit? */
bool wal_has_room(const struct wal *w, uint64_t size);

/* (serving) How many more there may be before a checkpoint, whose beginning needs one, not counted.
 */
unsigned wal_files_left(const struct wal *w);

/* (serving) So many that a checkpoint is due, however little is in them. */
bool wal_half_full(const struct wal *w);

/*
 * (serving) Copy the live segments that are safe, oldest first, into `ret` (at most `max`). Returns
 * how many; stops at the first that is not safe.
 */
unsigned wal_closed(struct wal *w, struct wal_segment *ret, unsigned max);

/*
 * From which lsn on copies of partitions elsewhere may still have to be sent what the log has;
 * UINT64_MAX, as at the start: none have.  It is kept for them as long as all files together take no
 * more than half of the limit.
 */
void wal_retain(struct wal *w, uint64_t lsn);

/*
 * The oldest lsn that somebody still needs from the log.  Recycling asks here and nowhere else.
 * It is what base does not have yet; a checkpoint takes only what has been answered, so that need
 * not be asked for.  And it is what copies elsewhere need, see wal_retain.
 */
uint64_t wal_oldest_needed(const struct wal *w);

/* The first lsn of the oldest file. */
uint64_t wal_first(struct wal *w);

/*
 * Copy the live segment in which `lsn` is or will be.  0; -ENODATA: it is older than all of them.
 */
int wal_segment_of(struct wal *w, uint64_t lsn, struct wal_segment *ret);

/* (background) Forget what was kept for copies and may be no more, or, with `all`, all of that. */
int wal_release(struct wal *w, bool all);

/*
 * (background; or before its thread is begun) Everything up to `lsn` is in base, and base says so:
 * forget the segments before `epoch_min` that nobody needs, keep their files for reuse.  That
 * segment, the newest of which all is in base, stays, so that a log which begins too late is told
 * from one that lost a file.
 *
 * A power cut may undo the removal of some and not of others: wal_replay passes over those.
 */
int wal_settled(struct wal *w, uint64_t lsn, uint64_t epoch_min);

#endif
