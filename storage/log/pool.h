/*
 * The pool: files filled with zeros or recycled, ready to become segments.  Zeros are written
 * before the first use, since syncing an append to merely allocated space takes twice as long.
 */
#ifndef PAIL_LOG_POOL_H
#define PAIL_LOG_POOL_H

#include <stdbool.h>

struct wal;

/* Whether the background thread should call wal_pool_fill. */
bool wal_pool_low(const struct wal *w);

/* No further file could be made: what there is must be left to deletes. */
bool wal_disk_full(const struct wal *w);

/* (background) Keep the pool filled.  Returns 0, -ENOSPC, or negative errno. */
int wal_pool_fill(struct wal *w);
/* (any thread) A wal_pool_fill that runs, and any later one, ends soon: -ECANCELED. */
void wal_pool_stop(struct wal *w);

/*
 * (background) The disk is nearly full: remove the files of the pool beyond the few that it must
 * have.  Returns how many.
 */
unsigned wal_pool_trim(struct wal *w);

#endif
