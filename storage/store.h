/*
 * The store of one shard: log + cache + base behind one interface.  A write lands in the log, shows
 * in the cache at once, and settles in base at a checkpoint.
 *
 * One thread, the serving thread, calls everything here.  Operations never wait for the disk (but
 * for the log's staging buffer when it is full): they take effect in memory and get a sequence
 * number, and the owner tells nobody before that number is synced.  Reads too say how new the
 * newest thing is that they looked at: store_observed_seq.  A reply must wait until store_synced
 * has reached it, or a power cut could take back what somebody was told.
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
#include "storage/log/entry.h"
#include "storage/work.h"

struct store;
struct bucket;

struct pace_source;

struct store_config {
	const char *dir; /* made if missing; locked while open */
	uint64_t cache_bytes;
	uint64_t log_bytes;
	uint64_t log_segment_bytes;
	uint64_t map_bytes;
	uint64_t value_max;
	uint64_t buckets_max;
	uint64_t disk_reserve_bytes; /* to be left free on the file system by puts */
	uint32_t lock_wait_ms;
	uint32_t checkpoint_ms; /* settle what is older, even if it is little */
	uint64_t generation;    /* of request positions; 0: there are no requests */
	uint64_t synced;        /* known to be on disk of that generation; 0: nothing is */
	uint64_t clock_ms;      /* what store_clock once was; 0: not known */
	const struct pace_source *source; /* of the time, see pace.h; NULL: the system */
	void *arg;
	/* Sync thread: everything up to `seq` is on disk; `mark` is what store_submit was given. */
	void (*on_synced)(void *arg, uint64_t mark, uint64_t seq);
	/* The log's staging buffer is full: hand over (store_submit), show signs of life. */
	void (*on_wait)(void *arg);
	/* So much work has been done, perhaps in the middle of an operation, see work.h.  May be
	 * NULL. */
	void (*on_work)(void *arg);
	/* While opening: around each record that is applied.  May be NULL. */
	int (*before_apply)(void *arg, const struct wal_record *r, bool same_generation);
	int (*after_apply)(void *arg, const struct wal_record *r, bool same_generation);
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

/* Begin no checkpoint from now on, or go on with them.  Held: the last one has ended. */
void store_hold(struct store *s, bool hold);
bool store_held(const struct store *s);

/*
 * Sync everything and let go of the folder, so that another may take it, without the time that
 * store_close takes.  The process must end now.
 */
void store_release(struct store *s);

/* Checkpoint everything, so that the next start has nothing to replay.  At most `limit_ms`. */
int store_settle(struct store *s, uint64_t limit_ms);

/* Begin a checkpoint at the next tick, though none is due. */
void store_checkpoint(struct store *s);

/* Sync everything, stop the threads, let go of the folder.  Sets *s to NULL. */
void store_close(struct store **s);

/* ---- once a batch ---- */

/* Advance the clock (it never goes back, and goes on when the system's does), fetch checkpoints'
 * results, sweep, evict. */
int store_tick(struct store *s, uint64_t wall_ms);

/* How long the owner may sleep before the next tick, if nothing else is to be done. */
unsigned store_idle_ms(const struct store *s);

/* Everything appended so far goes to the sync thread; on_synced gets `mark`. */
void store_submit(struct store *s, uint64_t mark);

/* All requests whose identity is below `position` have been answered and forgotten. */
void store_freed(struct store *s, uint64_t position);

uint64_t store_seq(const struct store *s);
uint64_t store_synced(const struct store *s);
uint64_t store_clock(const struct store *s);

/*
 * By how many ms the system's clock has jumped, of its own accord or while nothing ran here; 0: it
 * has not since this was last asked.  *ret_behind: it was found to be behind the store's at start.
 */
int64_t store_jump(struct store *s, bool *ret_behind);

/* How far writers are ahead of the checkpoint, in percent: at 100 puts get -EBUSY. */
unsigned store_pressure(const struct store *s);

/* ---- one operation ---- */

/* Who asks: identity of the request plus 1, or 0.  Clears store_observed_seq. */
static inline void store_begin(struct store *s, uint64_t position);
uint64_t store_observed_seq(const struct store *s);

/* A key on its way: two steps to bring its memory near, then the operation. */
struct store_key {
	struct bucket *bucket; /* NULL: none of that name */
	struct span name;
	struct span key;
	uint64_t hash;
	uint64_t directory; /* the directory's state when `bucket` was looked up */
};

/* Look up the bucket, start fetching the key's slot.  `key` may be empty for whole-bucket
 * operations. */
void store_locate(struct store *s, struct span name, struct span key, struct store_key *ret);
/* Start fetching the key's entry. */
void store_touch(const struct store *s, const struct store_key *k);

struct store_item {
	struct span key;
	struct span value; /* good until the next call */
	uint64_t version;
	uint64_t ttl_ms; /* of a scan: left to live; 0: for ever */
};

struct store_condition {
	bool if_absent;
	bool if_version;
	uint64_t version;
};

/* Other stores have so many buckets, which count for the limit too. */
void store_elsewhere(struct store *s, uint64_t buckets);
int store_create(struct store *s, struct span name, bool *ret_created);
int store_drop(struct store *s, struct span name, bool *ret_dropped);
int store_get(struct store *s, struct store_key *k, struct store_item *ret);
/* *ret_version: the new version, or with -EEXIST the one there is (0: no such key). */
int store_put(struct store *s, struct store_key *k, struct span value, uint64_t ttl_ms,
	      const struct store_condition *c, uint64_t *ret_version);
int store_delete(struct store *s, struct store_key *k, const struct store_condition *c,
		 bool *ret_deleted, uint64_t *ret_version);
int store_count(struct store *s, struct store_key *k, uint64_t *ret);

struct store_range {
	struct span prefix;
	struct span from;  /* inclusive */
	struct span to;    /* exclusive */
	struct span after; /* strictly behind it in the direction of the scan */
	bool has_to;
	bool has_after;
	bool reverse;
};

/* Call `item` for each live key of the range, in order, until it returns false. */
int store_scan(struct store *s, struct store_key *k, const struct store_range *range,
	       bool (*item)(void *arg, const struct store_item *i), void *arg);

/* Names of buckets at or behind `from` in order, until `name` returns false. */
void store_buckets(struct store *s, struct span from, bool (*name)(void *arg, struct span n),
		   void *arg);

/* Can writes be logged at all?  0, or -EBUSY: not before the next checkpoint. */
int store_writable(struct store *s);

/*
 * The request changed nothing but its reply must wait: log the reply, so that after a kill it is
 * not judged anew.
 */
int store_outcome(struct store *s, struct span name, struct span reply);

struct store_stats {
	uint64_t buckets, keys, cache_bytes, recent_keys, log_bytes, base_bytes, map_bytes;
	uint64_t checkpoint_wall_ms, checkpoints;
	bool full;
};

void store_stats(const struct store *s, struct store_stats *ret);

/* Why the last call failed, as text.  Never NULL. */
const char *store_why(const struct store *s);

/* The head of struct store, so that store_begin costs nothing. */
struct store_head {
	uint64_t request_id;
	uint64_t observed_seq;
	struct work work;
};

static inline void store_begin(struct store *s, uint64_t position)
{
	struct store_head *h = (struct store_head *)s;

	h->request_id = position;
	h->observed_seq = 0;
}

/* The owner's own work counts too. */
static inline void store_work(struct store *s, uint64_t units)
{
	work_done(&((struct store_head *)s)->work, units);
}

#endif
