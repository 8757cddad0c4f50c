/*
 * The store of one shard: log + cache + base behind one interface.  A write lands in the log, shows
 * in the cache at once, and settles in base at a checkpoint.
 *
 * One thread, the serving thread, calls everything here.  Operations never wait for the disk (but
 * for the log's staging buffer when it is full): they take effect in memory and in the log, where
 * they have a number (lsn), and the owner tells nobody before that number is synced.  Reads too say
 * how new the newest thing is that they looked at: store_observed_lsn.  A reply must wait until
 * store_synced has reached it (store_committed), or a power cut could take back what somebody was
 * told.
 *
 * A bucket belongs to a partition (common/partition.h), and each partition has its own sequence:
 * the version of a key is the number of its write in its partition.
 *
 * Errors: -ENXIO no such bucket, -ENOENT no such key, -EEXIST a condition did not hold, -ENOSPC
 * full, -EBUSY writers outrun the disk, -ENOMEM, -EBADMSG damaged data, -EIO the log cannot be
 * written: the process must end.  Unless said otherwise nothing has changed when one is returned.
 */
#ifndef PAIL_STORE_H
#define PAIL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/group.h"
#include "storage/maintain.h"
#include "storage/open.h"
#include "storage/read.h"
#include "storage/replica.h"
#include "storage/scan.h"
#include "storage/session.h"
#include "storage/snapshot.h"
#include "storage/work.h"
#include "storage/write.h"

struct store;

/* The lsn of the newest record of the log, and of the newest that is on disk. */
uint64_t store_lsn(const struct store *s);
uint64_t store_synced(const struct store *s);
uint64_t store_clock(const struct store *s);

/*
 * By how many ms the system's clock has jumped, of its own accord or while nothing ran here; 0: it
 * has not since this was last asked.  *ret_behind: it was found to be behind the store's at start.
 */
int64_t store_jump(struct store *s, bool *ret_behind);

/* How far writers are ahead of the checkpoint, in percent: at 100 puts get -EBUSY. */
unsigned store_pressure(const struct store *s);

/*
 * What the operation since store_begin has looked at is all in the log up to this lsn.  May what it
 * found be told now?  Committed is what is synced here, or, with copies, what
 * store_commit has said.
 */
uint64_t store_observed_lsn(const struct store *s);
bool store_committed(const struct store *s);

struct store_stats {
	uint64_t buckets, keys, cache_bytes, recent_keys, log_bytes, base_bytes, map_bytes;
	uint64_t checkpoint_wall_ms, checkpoints, checkpoint_ms, last_checkpoint_ms;
	uint64_t sessions, outcome_bytes;
	uint64_t cache_hits, cache_misses, checkpoint_entries;
	uint64_t reader_us; /* for how long base has been read as it was */
	bool full;
};

void store_stats(const struct store *s, struct store_stats *ret);

/* Why the last call failed, as text.  Never NULL. */
const char *store_why(const struct store *s);

/* The head of struct store, so that store_begin costs nothing. */
struct store_head {
	uint64_t request_id;
	uint64_t observed_lsn;
	uint64_t observed_stamp;           /* partition and sequence; see replica.h */
	const struct log_session *session; /* see store_session; NULL: there is none */
	bool own;                          /* see store_own */
	uint32_t own_first;                /* the first partition of those that are meant */
	struct work work;
};

/* Who asks: identity of the request plus 1, or 0.  Clears store_observed_lsn,
 * and what store_session has said. */
static inline void store_begin(struct store *s, uint64_t position)
{
	struct store_head *h = (struct store_head *)s;

	h->request_id = position;
	h->observed_lsn = 0;
	h->observed_stamp = 0;
	h->session = NULL;
}

/*
 * A store of a node of a cluster (store_config.replicated) has as many partitions again behind those
 * that have copies, if PARTITIONS_MAX allows: for buckets that are this node's alone.  They are its
 * to write at any time, in term 0, and what is written there is committed when it is on disk; what
 * replica.h says is not about them.
 *
 * Of which buckets are names and sessions meant from now on: its own, or those that have copies?
 * There may be two of one name.  Returns false, and nothing changes: it has no own ones.
 */
bool store_own(struct store *s, bool own);

/* The owner's own work counts too. */
static inline void store_work(struct store *s, uint64_t units)
{
	work_done(&((struct store_head *)s)->work, units);
}

#endif
