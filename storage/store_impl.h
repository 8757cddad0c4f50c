/* What the store's files share.  Nobody else includes this. */
#ifndef PAIL_STORE_IMPL_H
#define PAIL_STORE_IMPL_H

#include "storage/engine.h"
#include "storage/cache.h"
#include "storage/checkpoint.h"
#include "storage/directory.h"
#include "storage/expiry_heap.h"
#include "storage/sorted_index.h"
#include "storage/pace.h"
#include "storage/store.h"
#include "storage/log/wal.h"

/* Amounts since the last checkpoint: what it is taking now, and what came after. */
struct unsettled {
	uint64_t frozen;
	uint64_t active;
};

struct store {
	struct store_head head; /* first */
	struct store_config config;
	char dir[1024];
	int lock_fd;
	struct wal *wal;
	struct cache *cache;
	struct engine *base;
	struct checkpoint *checkpoint;
	struct directory *directory;
	struct expiry_heap expiry;
	uint64_t directory_state; /* changes with each create and drop */
	uint64_t directory_seq;   /* the sequence of the last of them */
	uint64_t buckets_elsewhere;
	uint64_t keys; /* sum of the buckets' counts */

	struct pace pace;    /* the clock */
	uint64_t clock_told; /* the highest clock that the log knows to have been told */
	uint64_t clock_seq;  /* the record that says so */
	bool tell_clock;     /* a read during the replay saw something expired */

	uint64_t settled;
	uint64_t freed;  /* requests below are answered */
	uint64_t freeze; /* the last sequence that the running checkpoint takes */
	uint64_t commits_seen;
	uint64_t dirty;         /* bytes of cache entries that base does not have yet */
	uint64_t active;        /* of these, what the running checkpoint does not take either */
	struct unsettled log;   /* bytes of records */
	bool checkpoint_wanted; /* rotated; waits for syncs and replies */
	bool checkpoint_runs;
	bool room_wanted; /* a put waits for what a checkpoint may make free */
	bool hold;        /* begin no checkpoint */
	bool follower;    /* another process serves: only its log is read */
	bool base_full;   /* the last checkpoint did not fit */
	uint64_t retry_ms;
	uint64_t oldest_ms; /* when the oldest unsettled record was written */
	uint64_t checkpoint_wall_ms;
	uint64_t checkpoint_begun_ms;
	uint64_t checkpoint_ms; /* of all of them */
	uint64_t last_checkpoint_ms;
	uint64_t checkpoints;

	uint64_t room; /* bytes that puts may still add before it is looked at again */
	struct engine_due sweep_from; /* rows of base's expiry index before this are swept */
	char sweep_key[512];
	uint64_t swept_ms;
	bool sweep_more; /* the last sweep stopped at its limit */
	char why[256];
	struct wal_segment closed[WAL_SEGMENTS_MAX]; /* scratch of checkpoint_begin */
};

/* The version of the next change. */
static inline uint64_t version_next(const struct store *s)
{
	return wal_lsn(s->wal) + 1;
}

/* A change as a record for which there is room, complete.  NULL: *ret_error. */
struct log_frame *change_new(struct store *s, const struct log_change *c, int *ret_error);
/* Append it for this request, and account for it.  Its version. */
uint64_t change_append(struct store *s, struct log_frame *f);
/* Log what the time is.  0 or an error. */
int clock_append(struct store *s, const struct log_clock *c, uint64_t *ret_lsn);

/* Log and apply that a key which is stored is no more; `old` as with entry_write. */
int key_remove(struct store *s, struct bucket *b, struct entry *old, uint64_t hash, struct span key,
	       enum log_op op);

/* Bytes of the cache that may be dirty before writers must wait. */
uint64_t store_budget(const struct store *s);

/* May a put add `bytes` of log?  0, -ENOSPC or -EBUSY. */
int store_admit(struct store *s, uint64_t bytes);

/*
 * Put a value or a tombstone into the cache and everything that follows it.  `old` is the key's
 * entry as it is, or NULL.
 */
int entry_write(struct store *s, struct bucket *b, struct entry *old, uint64_t hash,
		struct span key, struct span value, uint64_t version, uint64_t expiry,
		bool tombstone);

/*
 * For assertions: does what is counted one by one agree with what is there?  The dirty entries with
 * their bytes, the buckets' counts with the number of keys.
 */
bool store_counts_agree(struct store *s);

/* What is there now, dead or alive. */
struct lookup {
	struct entry *entry;     /* in the cache */
	struct engine_item item; /* in base, if not in the cache */
	bool stored;             /* counted: alive, or expired and not swept */
	bool alive;
	uint64_t version; /* of what is alive; 0: no such key */
};

int store_lookup(struct store *s, const struct store_key *k, struct lookup *ret);

static inline void observe(struct store *s, uint64_t seq)
{
	if (seq > s->head.observed_lsn)
		s->head.observed_lsn = seq;
}

/* Look the bucket up again if the directory has changed since.  Returns it, or NULL. */
static inline struct bucket *key_bucket(struct store *s, struct store_key *k)
{
	if (k->directory != s->directory_state)
		store_locate(s, k->name, k->key, k);
	/* That it is not there is known since the directory last changed; that it is, since its
	 * making. */
	observe(s, k->bucket ? k->bucket->id : s->directory_seq);
	return k->bucket;
}

/* Something has been seen to be gone since `expiry`: the log must know before it is told. */
int clock_tell(struct store *s, uint64_t expiry);
/* What is about to be logged depends on the time: have that in the log first. */
int clock_note(struct store *s);
int clock_note_now(struct store *s); /* whether it must be or not */

/* Delete expired keys, at most `max`. */
int store_sweep(struct store *s, unsigned max);

static inline bool is_expired(const struct store *s, uint64_t expiry)
{
	return expiry && expiry <= s->pace.now_ms;
}

/* What is left to live of what is not expired; 0: for ever. */
static inline uint64_t left_ms(const struct store *s, uint64_t expiry)
{
	return expiry > s->pace.now_ms ? expiry - s->pace.now_ms : 0;
}

/* Remember why, return the error. */
int store_fail(struct store *s, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
