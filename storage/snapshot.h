/*
 * A copy of a whole partition, for a node whose own is older than the log of any other reaches, or
 * that has none.
 *
 *	sender		store_copy_open, store_copy_next until it says 0, store_copy_close
 *	receiver	store_load_begin, store_load_piece for each piece, store_load_end
 *
 * A copy is what base has, as of one moment; what came later is sent as records of the log, as
 * always.  Its pieces are numbered and carry checksums: one that is lost, doubled, of another copy or
 * damaged is found.  A load that breaks off is begun anew.
 *
 * Between store_load_begin and store_load_end there is no copy of the partition at the receiver: it
 * is not whole (store_whole), neither leads nor follows (-ENODATA), has nothing that could be read,
 * and so it is after a restart.  Its rows are written and deleted by the store's own thread, a
 * bounded transaction at a time; other partitions go on beside it.
 *
 * Errors are those of store.h.
 */
#ifndef PAIL_STORE_SNAPSHOT_H
#define PAIL_STORE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/span.h"

#define STORE_PIECE_BYTES (256u << 10) /* of a piece, if no row is larger */

struct store;
struct store_copy;

/* ---- sending ---- */

/*
 * (serving thread) Begin to take a copy of a partition: what base has of it now, in one read
 * transaction.  While it is open base's file may grow, since pages that are freed are not used
 * again: so there is one at a time, and whoever has it gives it up when it has been open for long.
 *
 * *ret_sequence: it has everything up to there; the last of it need not be committed yet.  What is
 * behind must come from the log, which the caller keeps: store_retain(s, store_lsn_before(s,
 * partition, *ret_sequence + 1)) before the next store_tick.
 *
 * 0; -EAGAIN: base is being written, or was not all written the last time: a checkpoint has been
 * asked for if that helps, try again later; -EBUSY: there is one already; -ENODATA: the copy here
 * is not whole; -EBADMSG, -ENOMEM, -EIO.
 */
int store_copy_open(struct store *s, uint32_t partition, struct store_copy **ret,
		    uint64_t *ret_sequence);

/*
 * (any thread, one at a time, beside the serving thread) The next piece is put at the end of *out:
 * at most `room` bytes, STORE_PIECE_BYTES say, but for a single larger row.
 *
 * 1; 0: that was all, nothing was put; -EBADMSG: a row of base is damaged; -ENOMEM, -EIO.  After an
 * error it is of no use any more.
 */
int store_copy_next(struct store_copy *c, struct buf *out, size_t room);

/* When it was opened, on the clock of clock_ms(). */
uint64_t store_copy_opened_ms(const struct store_copy *c);

/* (serving thread, when no other uses it; before the store is closed)  Sets *c to NULL. */
void store_copy_close(struct store_copy **c);

/* ---- receiving: all of it is the serving thread's ---- */

/*
 * (backup) All that is here of the partition is void from now on, and the log says so; a copy from
 * another node is to come.  One at a time: one that is under way breaks off, and if it is of the same
 * partition begins anew.
 *
 * 0; -EBUSY: not now: the log is full, or a copy is just about to be whole; -EINVAL: the partition is
 * not followed here; -EINPROGRESS: not before a restart, see store_cut; -ENOMEM, -EIO.
 */
int store_load_begin(struct store *s, uint32_t partition);

/*
 * The next piece, as store_copy_next made it; its bytes are the caller's again.
 *
 * 0; -EAGAIN: what was here is being deleted, or earlier pieces are being written: offer it again;
 * -ENOSPC: there is no room for it now: offer it again later, or give up; -EBADMSG: it is not the
 * next piece of this copy: if it is damaged, or of another, nothing has changed, and the right one
 * may still come; if its rows make no sense, no other is taken and the load must be begun anew;
 * -EINVAL: none has begun; -ENOMEM.
 */
int store_load_piece(struct store *s, uint32_t partition, struct span piece);

/*
 * The last piece has come.  0: the copy is whole, on disk and readable: a backup's, which goes on
 * with what follows store_last.  -EAGAIN: being written, ask again; -EBADMSG: pieces are missing;
 * -ENOSPC: no room now; -EINVAL: none has begun; -ENOMEM.
 */
int store_load_end(struct store *s, uint32_t partition);

/*
 * The partition leaves this node: all that is here of it is void from now on, and is deleted; the
 * log says so.  It has no role afterwards, and its copy is not whole until one is loaded.  A load of
 * it that has begun has ended.
 *
 * 0, also if there is nothing of it; -EINVAL: it is led here; -EBUSY, -EINPROGRESS, -EIO: as with
 * store_load_begin.
 */
int store_forget(struct store *s, uint32_t partition);

/* Is what is here of the partition all of it?  A new, empty one is whole. */
bool store_whole(const struct store *s, uint32_t partition);

#endif
