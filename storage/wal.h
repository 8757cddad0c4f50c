/*
 * The log: where a write is first made safe.  Appended by the serving thread into a staging buffer,
 * written and synced by a thread of its own: whatever gathered while the last sync ran goes with
 * the next (group commit without a timer).  Segment files are filled with zeros before their first
 * use, since syncing an append to merely allocated space takes twice as long.
 *
 * Threads: functions marked (serving) belong to the one thread that appends, (background) to the
 * one that checkpoints; the rest may be called from either.
 */
#ifndef PAIL_WAL_H
#define PAIL_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/wal_record.h"

/*
 * Live segments.  The log's limit allows about LOG_FILES_MOST, but files of lives with other
 * settings may be there, and deletes go on beyond it.  From WAL_SEGMENTS_PUTS on the log is over
 * its limit, however little is in them.
 */
#define WAL_SEGMENTS_MAX  2048u
#define WAL_SEGMENTS_PUTS 1024u
/* A life begins none beyond these; the rest is for those that follow when it is killed like that:
 * each needs a file of its own, and one more when a checkpoint begins. */
#define WAL_SEGMENTS_OURS (WAL_SEGMENTS_MAX - 128u)

struct wal;

struct wal_config {
	const char *dir;
	uint64_t segment_bytes; /* of a file: log_size says how large it must be */
	uint64_t limit_bytes;   /* of all live files together, LOG_FILES_LEAST at least */
	uint64_t record_max;    /* the largest record */
	uint64_t generation;    /* goes into headers */
	/*
	 * Called on the sync thread when everything up to `seq` is on disk, with the `mark` that
	 * was handed over with it.
	 */
	void (*synced)(void *arg, uint64_t mark, uint64_t seq);
	void *arg;
};

/* A closed segment, as the checkpoint takes it. */
struct wal_segment {
	uint64_t epoch;
	uint64_t first_seq;
	uint64_t last_seq;      /* closed ones */
	uint64_t last_position; /* highest request identity plus 1 in it; 0: none of this generation
				 */
	uint64_t size;          /* of the file */
	uint64_t start;         /* where it begins in the stream of staged bytes */
	bool closed;            /* no more is appended */
	bool safe;              /* closed, written and synced */
};

/* A log that has neither been read nor written yet; the caller owns it.  0 or negative errno. */
int wal_new(const struct wal_config *config, struct wal **ret);

/*
 * Read the folder's segments and call `apply` for each record behind `base_seq`, and for each
 * WAL_CLOCK, in order; it returns 0 to go on, or a negative errno, which is passed on.  `synced` is
 * the highest sequence that the caller knows to be on disk from a worker of the same generation (0:
 * nothing is known): what lies behind it may be in the page cache only and will be written again by
 * wal_start.  `epoch_least` is the oldest segment that must be there (0: none must); those before
 * it are not looked into.
 *
 * Returns 0, or -EBADMSG: the log is damaged where it had been safe, or a segment is missing; `why`
 * (at least 256 bytes) names file and offset.  *ret_clock_ms is the highest clock found.
 */
int wal_replay(struct wal *w, uint64_t base_seq, uint64_t synced, uint64_t epoch_least,
	       int (*apply)(void *arg, const struct wal_record *r, bool same_generation), void *arg,
	       uint64_t *ret_clock_ms, char *why, size_t why_size);

/*
 * Read, beside the process that appends, what is new up to `synced`, which that process has told to
 * be on disk.  It must not recycle segments meanwhile.  Called again and again; wal_replay then
 * goes on where the last call ended.  The rest is as with wal_replay.
 */
int wal_tail(struct wal *w, uint64_t base_seq, uint64_t synced, uint64_t epoch_least,
	     int (*apply)(void *arg, const struct wal_record *r, bool same_generation), void *arg,
	     char *why, size_t why_size);

/*
 * Begin appending, after wal_replay.  What must be written again goes into a new segment, which is
 * on disk before this returns; then the sync thread starts.  Returns 0 or negative errno.
 */
int wal_start(struct wal *w, uint64_t clock_ms);

/* Stop the thread (everything appended is synced first) and free.  Sets *w to NULL. */
void wal_free(struct wal **w);

/* (serving) Sequence of the last record appended. */
uint64_t wal_seq(const struct wal *w);

/*
 * (serving) Room for a record of `size` bytes in the staging buffer, or NULL: the sync thread is
 * behind, or has failed; hand over, wal_wait, and try again; but if
 * wal_files_left is 0, that may be for ever.
 */
struct wal_record *wal_reserve(struct wal *w, uint64_t size);

/* (serving) The record reserved last is complete but for seq, unsynced and crc: append it. */
uint64_t wal_append(struct wal *w, struct wal_record *r);

/* (serving) Give everything appended to the sync thread; `mark` comes back with it. */
void wal_submit(struct wal *w, uint64_t mark);

/* (serving) Wait until the staging buffer has drained a little, at most `ms`. */
void wal_wait(struct wal *w, unsigned ms);

/* Highest sequence on disk. */
uint64_t wal_synced(const struct wal *w);

/* 0, or the negative errno that ended the sync thread: the process must end and say so. */
int wal_error(const struct wal *w);

/* (serving) Close the segment being written, if anything is in it: the next record opens another.
 */
void wal_rotate(struct wal *w);

/* (serving) Bytes of live segments. */
uint64_t wal_bytes(const struct wal *w);

/* (serving) Bytes of files, spare ones too, that a nearly full disk gets back when all is settled.
 */
uint64_t wal_bytes_beyond_least(const struct wal *w);

/* (serving) So many that puts must wait for a checkpoint: what is left is for deletes. */
bool wal_over_limit(const struct wal *w);

/* (serving) How many more there may be before a checkpoint, whose beginning needs one, not counted.
 */
unsigned wal_files_left(const struct wal *w);

/* (serving) So many that a checkpoint is due, however little is in them. */
bool wal_half_full(const struct wal *w);

/* No further file could be made: what there is must be left to deletes. */
bool wal_disk_full(const struct wal *w);

/* Whether the background thread should call wal_pool_fill. */
bool wal_pool_low(const struct wal *w);

/*
 * (serving) Copy the live segments that are safe, oldest first, into `ret` (at most `max`). Returns
 * how many; stops at the first that is not safe.
 */
unsigned wal_closed(struct wal *w, struct wal_segment *ret, unsigned max);

/*
 * (background; or before its thread is begun) Everything before the segment `epoch_least` is in
 * base, and base says so: forget those segments, keep their files for reuse.  That segment, the
 * newest of which all is in base, stays, so that a log which begins too late is told from one that
 * lost a file.
 *
 * A power cut may undo the removal of some and not of others: wal_replay passes over those.
 */
int wal_settled(struct wal *w, uint64_t epoch_least);

/* (background) Keep the stock of zero-filled files.  Returns 0, -ENOSPC, or negative errno. */
int wal_pool_fill(struct wal *w);
/* (any thread) A wal_pool_fill that runs, and any later one, ends soon: -ECANCELED. */
void wal_stock_stop(struct wal *w);

/*
 * (background) The disk is nearly full: remove the files of the stock beyond the few that it must
 * have.  Returns how many.
 */
unsigned wal_pool_trim(struct wal *w);

/* The epoch of the oldest live segment. */
uint64_t wal_oldest_epoch(struct wal *w);

/* Path of a segment's file into `out`. */
void wal_path(const char *dir, uint64_t epoch, char *out, size_t size);

#endif
