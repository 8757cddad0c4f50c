/*
 * The background thread of a store: merges closed log segments into base, fills the pool of log
 * files, deletes the keys of dropped buckets, and looks at the disk's free space.
 */
#ifndef PAIL_CHECKPOINT_H
#define PAIL_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/engine.h"
#include "storage/log/wal.h"

struct checkpoint;
struct marks;
struct settle;

/*
 * Starts the thread.  `dir`, `base`, which is for so many `partitions`, and `wal` must outlive it.
 * `copies`: partitions have copies elsewhere.
 * With less than `tight_bytes` free on the disk the log keeps no more spare files than it needs.
 */
int checkpoint_start(const char *dir, struct engine *base, struct wal *wal, uint32_t partitions,
		     bool copies, uint64_t tight_bytes, struct checkpoint **ret);

/* Stop and join; a checkpoint that runs ends at its next transaction.  Sets *c to NULL. */
void checkpoint_stop(struct checkpoint **c);

/*
 * Merge `n` segments, oldest first and without a gap behind what is settled.  One at a time:
 * the last one must have been fetched.  `sessions` (session_table.h) is written in the same
 * transaction in which the segments' last entries settle; it is the checkpoint's until then.
 * `commit`, with copies: what of each partition goes into base; it must not change until then.
 */
void checkpoint_post(struct checkpoint *c, const struct wal_segment *segments, unsigned n,
		     struct settle *sessions, const struct marks *commit, uint64_t clock_ms);

/*
 * Has the checkpoint ended?  False: it still runs.  True, once: *ret_error is 0, -ENOSPC (base or
 * disk is full, nothing is lost, try again later), or what makes this store unusable; *ret_settled
 * is the lsn up to which all is in base now.
 */
bool checkpoint_fetch(struct checkpoint *c, int *ret_error, uint64_t *ret_settled);

/* After an error was fetched: the place of the damage, or "". */
const char *checkpoint_why(const struct checkpoint *c);

/*
 * ---- copies that come, and go; see snapshot.h ----
 *
 * One job at a time, none while a checkpoint has been posted and not fetched.  checkpoint_load_void:
 * base says that nothing is settled of the partition, and its rows are deleted.
 * checkpoint_load_end: when all rows that were offered are written, base says that they are whole, as
 * `part` does, which must not change until then, nor `tail`, entries that are set aside.
 */
void checkpoint_load_void(struct checkpoint *c, uint32_t partition, uint64_t load_lsn);
void checkpoint_load_end(struct checkpoint *c, uint32_t partition, const struct engine_part *part,
			 struct span tail);
/* Has the job ended?  True, once: *ret_error is 0, or -ENOSPC or -ENOMEM: try again later. */
bool checkpoint_load_fetch(struct checkpoint *c, int *ret_error);

/* Have all rows been deleted? */
bool checkpoint_load_empty(const struct checkpoint *c, uint32_t partition);

/* Would so many bytes of rows be taken?  As checkpoint_load_offer says. */
int checkpoint_load_ready(struct checkpoint *c, size_t size);

/*
 * Rows of snapshot_piece.h, which have been checked, of one partition, which is void and empty, to
 * be written some time.  0; -EAGAIN: there are many already; -ENOSPC: those could not be written;
 * -ENOMEM.
 */
int checkpoint_load_offer(struct checkpoint *c, uint32_t partition, struct span rows);
/* Bytes of rows that are still to be written. */
uint64_t checkpoint_load_owed(struct checkpoint *c);
/* Those that are not written need not be: the partition is about to be void. */
void checkpoint_load_drop(struct checkpoint *c);

/* Transactions committed so far: when it has changed, engine_renew is worth while. */
uint64_t checkpoint_commits(const struct checkpoint *c);

/* Bytes free on the data folder's file system, as last seen. */
uint64_t checkpoint_disk_free(const struct checkpoint *c);

/* Look for maintenance (the pool, dropped buckets) now. */
void checkpoint_wake(struct checkpoint *c);

#endif
