/* What the store's files share.  Nobody else includes this. */
#ifndef PAIL_STORE_IMPL_H
#define PAIL_STORE_IMPL_H

#include "storage/engine.h"
#include "storage/cache.h"
#include "storage/checkpoint.h"
#include "storage/directory.h"
#include "storage/expiry_heap.h"
#include "storage/marks.h"
#include "storage/session_table.h"
#include "storage/sorted_index.h"
#include "storage/pace.h"
#include "storage/replica_impl.h"
#include "storage/store.h"
#include "storage/log/wal.h"

/* Amounts since the last checkpoint: what it is taking now, and what came after. */
struct unsettled {
	uint64_t frozen;
	uint64_t active;
};

/* What the store knows of each partition. */
struct partition {
	/*
	 * What may be told: replies wait for an lsn, and an lsn is not kept for each version.  Up
	 * to `synced` all is on disk; up to `mark` when mark_lsn is; the newest when last_lsn is. A
	 * write moves the marks on.
	 */
	uint64_t synced;
	uint64_t mark;
	uint64_t mark_lsn;
	uint64_t last_lsn;
	uint64_t directory_version; /* of the last create or drop */
	uint64_t clock_told;        /* the highest clock that its log knows to have been told */
	uint64_t clock_version;     /* the entry that says so */
	bool tell_clock;            /* a read during the replay saw something expired */
};
_Static_assert(sizeof(struct partition) == 64, "a line of the processor's cache");

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
	uint64_t directory_lsn;   /* of the last of them */
	uint64_t buckets_elsewhere;
	uint64_t keys; /* sum of the buckets' counts */

	uint32_t partitions; /* all, own ones too: see store_own */
	uint32_t copied;     /* those below have copies elsewhere */

	struct partition *part;
	struct marks *newest;  /* the sequences given last */
	struct marks *settled; /* what is in base */
	struct marks *freeze;  /* what the running checkpoint takes */
	uint64_t settled_lsn;  /* the same of the whole log */
	uint64_t freeze_lsn;
	uint32_t last_partition; /* of the last entry that took a sequence */

	struct replica *replica; /* by partition, own ones too; NULL: there are no copies */
	struct marks *given; /* with copies: the highest ever given, since cuts give some anew */
	uint64_t tails_bytes;
	struct lsn_marks lsn_marks;
	bool asides;             /* base has records set aside */
	uint64_t commit_bytes;   /* of log.active: records that only say what is committed */
	bool undone;             /* a partition was cut below what had taken effect */
	struct load *load;       /* a copy that comes; NULL: none does */
	struct store_copy *copy; /* one that is sent; NULL: none is */
	bool base_exact;         /* no checkpoint has been cut short: see snapshot_send.c */
	uint32_t voids;          /* partitions that are void, and base does not say so yet */
	uint32_t void_posted;    /* the one that base is being told, plus 1 */
	uint64_t void_retry_ms;

	struct pace pace; /* the clock */

	struct session_table *sessions;

	struct group *group; /* NULL: there has been none */
	uint64_t group_max;  /* bytes of the largest record of one */

	uint64_t freed; /* requests below are answered */
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
	uint64_t checkpoint_entries; /* writes that checkpoints have taken into base */
	uint64_t cache_hits;         /* lookups that ended in the cache, */
	uint64_t cache_misses;       /* and those that went on to base */

	uint64_t room;         /* bytes that puts may still add before it is looked at again */
	uint64_t *due_ms;      /* by partition: the first expiry in base's index that is not swept;
				  UINT64_MAX: there is none */
	uint64_t due_first_ms; /* the earliest of them */
	uint32_t sweep_partition; /* where the last sweep stopped */
	bool sweep_inside;        /* within it: rows before sweep_from are swept */
	struct engine_due sweep_from;
	char sweep_key[512];
	uint64_t swept_ms;
	bool sweep_more; /* the last sweep stopped at its limit */
	char why[256];
	struct wal_segment closed[WAL_SEGMENTS_MAX]; /* scratch of checkpoint_begin */
};

/* Is what was written to the bucket with this version in base? */
static inline bool is_settled(const struct store *s, uint64_t bucket, uint64_t version)
{
	return marks_cover(s->settled, bucket, version);
}

/* Can base have anything of the bucket?  Not if its making is not there. */
static inline bool bucket_is_settled(const struct store *s, const struct bucket *b)
{
	return marks_cover_stamp(s->settled, b->id);
}

/* What is neither in base nor taken by the checkpoint that runs is not covered by these. */
static inline const struct marks *frozen_marks(const struct store *s)
{
	return s->checkpoint_wanted || s->checkpoint_runs ? s->freeze : s->settled;
}

/*
 * Does the next checkpoint write this entry's value anyhow?  Then it is in the amount of what came
 * since the last one, and however often it is touched base takes it once.
 */
static inline bool value_is_owed(const struct store *s, const struct entry *e)
{
	return !marks_cover(frozen_marks(s), e->bucket, e->version);
}

/* The version of the next change of a partition. */
static inline uint64_t version_next(const struct store *s, uint32_t partition)
{
	return s->newest->at[partition] + 1;
}

static inline uint32_t name_partition(const struct store *s, struct span name)
{
	return partition_of(name, s->config.partitions) + s->head.own_first;
}

/* Does the store have partitions of its own beside those that have copies? */
static inline bool partition_is_own(const struct store *s, uint32_t partition)
{
	return s->replica && partition >= s->copied;
}

static inline bool id_is_own(const struct store *s, uint64_t bucket)
{
	return partition_is_own(s, bucket_partition(bucket));
}

/* An entry of the log, written or replayed, took a partition's sequence up to `sequence`. */
void partition_advance(struct store *s, uint32_t partition, uint64_t sequence, uint64_t lsn);

/* May the partition be written here? */
static inline bool is_led(const struct store *s, uint32_t partition)
{
	return !s->replica || s->replica[partition].role == STORE_PRIMARY;
}

/*
 * Room for a record of `size` bytes in all; the log may be waited for.  NULL: *ret_error.  `must`:
 * it is wanted though puts would have to wait.
 */
struct log_frame *log_room(struct store *s, uint64_t size, bool must, int *ret_error);
/* The same for a record of the partition, which must be led if it has copies. */
static inline struct log_frame *record_room(struct store *s, uint32_t partition, uint64_t size,
					    bool must, int *ret_error)
{
	if (s->replica) {
		*ret_error = replica_room(s, partition, size, !must);
		if (*ret_error < 0)
			return NULL;
	}
	return log_room(s, size, must, ret_error);
}

/* Begin its entry there. */
static inline char *entry_begin(const struct store *s, struct log_frame *f, enum log_kind kind,
				uint32_t partition, uint64_t sequence, uint32_t count)
{
	char *p = log_entry_begin(f, kind, partition, sequence, count);

	if (s->replica)
		replica_entry(s, f);
	return p;
}
/* Append a record that is complete, for a request or (0) for nobody's.  Its lsn. */
uint64_t record_append(struct store *s, struct log_frame *f, uint64_t request_id);
/* A change as a record for which there is room, complete.  NULL: *ret_error. */
struct log_frame *change_new(struct store *s, const struct log_change *c, int *ret_error);
/* Append it for this request, account for it, observe it.  Its version. */
uint64_t change_append(struct store *s, struct log_frame *f);
/* Log, in a partition, what the time is.  0 or an error. */
int clock_append(struct store *s, uint32_t partition, const struct log_clock *c);

/* ---- apply.c ---- */

/* An entry takes effect in memory, as what wrote it did. */
int record_apply(struct store *s, const struct log_record *r);
/* The time that a partition's log has told. */
void clock_apply(struct store *s, const struct log_entry *e);

/* The directory has one bucket more, or less, in the partition. */
void directory_changed(struct store *s, uint32_t partition, uint64_t version, uint64_t lsn);

/* Log and apply that a key which is stored is no more; `old` as with entry_write. */
int key_remove(struct store *s, struct bucket *b, struct entry *old, uint64_t hash, struct span key,
	       enum log_op op);

/* Bytes of the cache that may be dirty before writers must wait. */
uint64_t store_budget(const struct store *s);

/* Bytes of an entry, about, with what malloc adds. */
uint64_t entry_weight(size_t key_len, size_t value_len);

/* Bytes that there is room for in base, when all that is unsettled has settled. */
uint64_t store_room(const struct store *s);

/* May a put add `bytes` of log?  0, -ENOSPC or -EBUSY. */
int store_admit(struct store *s, uint64_t bytes);

/*
 * Put a value or a tombstone into the cache and everything that follows it.  `old` is the key's
 * entry as it is, or NULL.
 */
int entry_write(struct store *s, struct bucket *b, struct entry *old, uint64_t hash,
		struct span key, struct span value, uint64_t version, uint64_t expiry,
		bool tombstone);

/* The same where nothing can fail: the heap has room, and `made` is the entry if `old` is none of
 * that size. */
void entry_write_made(struct store *s, struct bucket *b, struct entry *old, uint64_t hash,
		      struct span key, struct span value, uint64_t version, uint64_t expiry,
		      bool tombstone, struct entry *made);

/* May there be one bucket more?  0 or -ENOSPC. */
int create_allowed(struct store *s);

/* Does the condition hold against `version`, the key's or 0?  0 or -EEXIST. */
int condition_check(struct store *s, const struct store_condition *c, uint64_t version);

/* ---- session.c ---- */

/* Bytes that the request's session has in its record. */
static inline uint64_t session_bytes(const struct store *s)
{
	return s->head.session ? sizeof(*s->head.session) : 0;
}

/*
 * Make all that the outcome of the request, which has a session, needs before its record: with this
 * `result`, or empty.  0, -EBUSY, -ENOMEM; -E2BIG: more than outcomes may ever take.
 */
int session_outcome_begin(struct store *s, struct span result);

/* The session's part of a record; returns where the next goes. */
static inline char *session_write(const struct store *s, struct log_frame *f, char *p)
{
	return s->head.session ? log_session_write(f, p, s->head.session) : p;
}

/* The record has been appended: its outcome is known. */
void session_outcome_end(struct store *s, const struct log_entry *e);

/* What base, and an entry of the log, say of sessions. */
int sessions_load(struct store *s);
/* A partition's that came: memory has none of it. */
int sessions_load_of(struct store *s, uint32_t partition);
int session_apply(struct store *s, const struct log_entry *e);

/* Forget those that are too old. */
int sessions_tick(struct store *s);

/* ---- group.c ---- */

void group_free(struct group **g);
bool group_is_open(const struct store *s);
/* Has a group told somebody versions of the partition that it will take? */
bool group_has_versions(const struct store *s, uint32_t partition);

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
/* It was found in base, and is told: the next one may find it in the cache. */
void lookup_keep(struct store *s, const struct store_key *k, const struct lookup *l);

/* Where a key lies, in the direction of a scan. */
enum where { BEFORE, INSIDE, BEHIND };
enum where range_where(const struct store_range *g, struct span key);

static inline void observe_lsn(struct store *s, uint64_t lsn)
{
	if (lsn > s->head.observed_lsn)
		s->head.observed_lsn = lsn;
}

static inline void observe_stamp(struct store *s, uint64_t stamp)
{
	if (stamp > s->head.observed_stamp)
		s->head.observed_stamp = stamp;
}

/*
 * Something of this version was looked at, in a bucket: whoever is told of it waits for its lsn, or
 * for one a little later.
 */
static inline void observe(struct store *s, uint64_t bucket, uint64_t version)
{
	const struct partition *p = &s->part[bucket_partition(bucket)];

	if (version > p->synced) {
		observe_lsn(s, version <= p->mark ? p->mark_lsn : p->last_lsn);
		if (s->replica)
			observe_stamp(s, stamp_make(bucket_partition(bucket), version));
	}
}

/* That a bucket is not there is known since its partition's directory last changed. */
void observe_absence(struct store *s, struct span name);

/* Look the bucket up again if the directory has changed since.  Returns it, or NULL. */
static inline struct bucket *key_bucket(struct store *s, struct store_key *k)
{
	if (k->directory != s->directory_state)
		store_locate(s, k->name, k->key, k);
	if (k->bucket) /* that it is there is known since its making */
		observe(s, k->bucket->id, stamp_sequence(k->bucket->id));
	else
		observe_absence(s, k->name);
	return k->bucket;
}

/*
 * Something in the partition has been seen to be gone since `expiry`: its log must know before it
 * is told.
 */
int clock_tell(struct store *s, uint32_t partition, uint64_t expiry);
/* What is about to be logged there depends on the time: have that in the log first. */
int clock_note(struct store *s, uint32_t partition);
int clock_note_now(struct store *s, uint32_t partition); /* whether it must be or not */

/* Base has other rows in its expiry index than before: look when the first are due. */
int sweep_reset(struct store *s);

/* Of which partitions that are written here? */
void sweep_look(struct store *s);

/* Delete expired keys, at most `max`. */
int store_sweep(struct store *s, unsigned max);

static inline bool is_expired(const struct store *s, uint64_t expiry)
{
	return expiry && expiry <= s->pace.now_ms;
}

/* When what lives for `ttl_ms` from now on (0: for ever) expires. */
static inline uint64_t expiry_of(const struct store *s, uint64_t ttl_ms)
{
	if (!ttl_ms)
		return 0;
	return ttl_ms > UINT64_MAX - s->pace.now_ms ? UINT64_MAX : s->pace.now_ms + ttl_ms;
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
