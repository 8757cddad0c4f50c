/* Opening a store, alone or beside the process that still serves it, and closing it. */
#ifndef PAIL_STORE_OPEN_H
#define PAIL_STORE_OPEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/log/entry.h"

struct store;
struct pace_source;

struct store_config {
	const char *dir; /* made if missing; locked while open */
	uint64_t cache_bytes;
	uint64_t log_bytes;
	uint64_t log_segment_bytes;
	uint64_t map_bytes;
	uint64_t value_max;
	uint64_t group_max; /* bytes of a group's largest record; 0: those of the largest put */
	uint64_t buckets_max;
	uint64_t session_ms;         /* see session.h; 0: SESSION_MS */
	uint64_t session_bytes;      /* of outcomes, in memory; 0: SESSION_BYTES */
	bool replicated;             /* partitions have copies elsewhere, see replica.h; beside
				      * them are own ones, see store_own */
	uint32_t partitions;         /* of the data folder, a power of two up to PARTITIONS_MAX */
	uint64_t disk_reserve_bytes; /* to be left free on the file system by puts */
	uint32_t lock_wait_ms;
	uint32_t checkpoint_ms; /* settle what is older, even if it is little */
	uint64_t generation;    /* of request positions; 0: there are no requests */
	uint64_t synced;        /* known to be on disk of that generation; 0: nothing is */
	uint64_t clock_ms;      /* what store_clock once was; 0: not known */
	const struct pace_source *source; /* of the time, see pace.h; NULL: the system */
	void *arg;
	/* Sync thread: everything up to `lsn` is on disk; `mark` is what store_submit was given. */
	void (*on_synced)(void *arg, uint64_t mark, uint64_t lsn);
	/* Sync thread: so many bytes of records were written and synced.  May be NULL. */
	void (*on_wrote)(void *arg, uint64_t bytes);
	/* The log's staging buffer is full: store_submit, show signs of life. */
	void (*on_wait)(void *arg);
	/* So much work has been done, perhaps in the middle of an operation, see work.h.  May be
	 * NULL. */
	void (*on_work)(void *arg);
	/* A record of a partition that is led (replica.h) has been appended, by whatever did it:
	 * what copies must be sent.  May be NULL. */
	void (*on_append)(void *arg, const struct log_record *r);
	/* While opening: around each record that is applied.  May be NULL. */
	int (*before_apply)(void *arg, const struct log_record *r, bool same_generation);
	int (*after_apply)(void *arg, const struct log_record *r, bool same_generation);
};

/*
 * Open the store, replay its log, and have everything on disk that was not known to be.  `*ret` is
 * set before the first call of before_apply, so that reads can run in between.  `why` (256 bytes)
 * says what failed: -EWOULDBLOCK another process has the folder; -ENOSPC there is no room now,
 * -EFBIG nor can there ever be, the disk being as small as it is; -EINVAL settings that cannot
 * work.
 */
int store_open(const struct store_config *config, struct store **ret, char *why, size_t why_size);

/*
 * Handing over.  The process that serves holds its checkpoints; another opens the store beside it,
 * follows its log, and takes the store over when the first has left.
 *
 * store_open_follower: reads base and locks nothing; only store_tail, store_promote and store_close
 * may follow.  store_tail: take in the log up to `synced`, which the serving process has told to be
 * on disk; 0 or a negative errno, store_why says which.  store_promote: the other has left; lock
 * the folder, read the rest, begin a log of our own; from then on as after store_open.  -ESTALE:
 * there has been a checkpoint meanwhile.
 */
int store_open_follower(const struct store_config *config, struct store **ret, char *why,
			size_t why_size);
int store_tail(struct store *s, uint64_t synced);
int store_promote(struct store *s, uint64_t synced);

/*
 * Sync everything and let go of the folder, so that another may take it, without the time that
 * store_close takes.  The process must end now.
 */
void store_release(struct store *s);

/* Sync everything, stop the threads, let go of the folder.  Sets *s to NULL. */
void store_close(struct store **s);

#endif
