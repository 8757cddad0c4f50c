/*
 * The engine: what keeps base, where writes settle.  One environment per worker, fully synced,
 * written only by the checkpoint thread in large sorted transactions, read by the serving thread
 * through one read transaction that is renewed when a checkpoint has committed.
 *
 * Everything that a partition has (keys, buckets, expiry index, how far it is settled) lies under
 * the partition's number, so that it is contiguous and can be walked or taken out as a whole.  A
 * bucket's id says its partition (common/partition.h), so functions that take an id take no
 * partition besides.
 *
 * Every row carries a checksum over its key and its content and is verified when it is read.
 * Errors are negative errno: -ENOENT no such row, -ENOSPC the map or the disk is full, -EBADMSG
 * damaged, -ENOMEM, -EIO.
 *
 * It is LMDB: the files lmdb_*.c know it, and nobody else.  Sub-databases:
 * `meta` (format, partitions, settled lsn, clock, oldest log segment), `parts` (partition ->
 * settled sequence, clock), `directory` (partition, name -> id, count), `keys` (id, key -> version,
 * expiry, checksums, value), `ttl` (partition, expiry, id, key -> version), `drops` (ids of dropped
 * buckets whose keys are still to be deleted), `sessions` (partition -> what is forgotten there;
 * partition, session -> floor; partition, session, number -> outcome), `tail` (partition,
 * sequence -> entry of the log).
 */
#ifndef PAIL_ENGINE_H
#define PAIL_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/log/entry.h"

struct engine;
struct engine_cursor;

struct engine_meta {
	uint64_t settled_lsn; /* every entry of the log up to this one is in base */
	uint64_t clock_ms;    /* the store's clock then */
	uint64_t epoch_min;   /* the oldest log segment that is needed; 0: none yet */
};

struct engine_part {
	uint64_t settled;  /* every change of the partition up to this sequence is in base */
	uint64_t clock_ms; /* the partition's clock then */
	/* Of a partition that has copies elsewhere: */
	uint64_t load_lsn;             /* what the log has of it up to this lsn is void */
	bool broken;                   /* what is here is not all of it: see snapshot.h */
	const struct log_spans *spans; /* of all that the settled log has; NULL: it has no copies */
};

struct engine_item {
	struct span key;
	struct span value;
	uint64_t version;
	uint64_t expiry; /* unix ms; 0: never */
};

/* ---- opening, and what is known of the whole: any thread ---- */

/*
 * Open, and make if missing, the environment in `dir`.  It is made for so many `partitions` (a
 * power of two, at most PARTITIONS_MAX) and never opens for another number.  If PARTITIONS_MAX
 * allows, there may be rows of so many more behind them, for a bucket's name the same one of them:
 * a node's own beside those that have copies (see store_own).  Only who holds the
 * folder's lock may make or write it; others may read beside.
 *
 * Returns 0; -EPROTO: whole, but not for us (made by an older or a newer version of Pail, or for
 * another number of partitions); -EBADMSG; or what the system says.  `why` (at least 256 bytes)
 * then says what is wrong and what to do.
 */
int engine_open(const char *dir, uint64_t map_bytes, uint32_t partitions, struct engine **ret,
		char *why, size_t why_size);
void engine_close(struct engine **e);

/* The environment's row: what engine_open has found, or engine_commit has written since. */
void engine_meta(const struct engine *e, struct engine_meta *ret);

/* See what another process has committed since; *ret is what the meta row says now. */
int engine_refresh(struct engine *e, struct engine_meta *ret);

/* Bytes of pages in use, of the file, and of the map; as of the last commit. */
uint64_t engine_used(const struct engine *e);
uint64_t engine_file_bytes(const struct engine *e);
uint64_t engine_map_bytes(const struct engine *e);

/*
 * ---- reading: the serving thread ----
 *
 * All of it is as of the last engine_renew, and what it points to holds until the next.  A function
 * `row` is called until it returns other than 0, which is then returned; it must not call
 * engine_renew.
 */

/* See what has been committed since.  Pointers from before are void. */
int engine_renew(struct engine *e);
/* When what is read was renewed last (CLOCK_MONOTONIC). */
uint64_t engine_read_us(const struct engine *e);

/* Each partition of which something is settled, in order of their numbers. */
int engine_parts(struct engine *e,
		 int (*row)(void *arg, uint32_t partition, const struct engine_part *part),
		 void *arg);

/*
 * Each entry that is set aside, by partition and in it by sequence.  (By either thread; it sees what
 * is committed when it is called.)
 */
int engine_tails(struct engine *e, int (*row)(void *arg, const struct log_entry *x), void *arg);
/* Is there any? */
bool engine_has_tails(const struct engine *e);

/*
 * Each bucket of the directory, by partition and in it by name.  The partition is the one that its
 * id says, and its name says the same.
 */
int engine_buckets(struct engine *e,
		   int (*row)(void *arg, struct span name, uint64_t id, uint64_t count), void *arg);

/* The item of a key.  Returns 0, -ENOENT, or -EBADMSG. */
int engine_get(struct engine *e, uint64_t bucket, struct span key, struct engine_item *ret);

/*
 * A cursor over one bucket's keys; good until engine_renew.  `seek` goes to the first key at or
 * behind `key` (reverse: at or before it; an empty key means the end of that side).  Both return 0,
 * -ENOENT (no more), or -EBADMSG.
 */
int engine_cursor_open(struct engine *e, uint64_t bucket, bool reverse, struct engine_cursor **ret);
int engine_cursor_seek(struct engine_cursor *c, struct span key, struct engine_item *ret);
int engine_cursor_next(struct engine_cursor *c, struct engine_item *ret);
void engine_cursor_close(struct engine_cursor **c);

/*
 * The expiry index has a row for each item in base that has an expiry, and no others: a row goes
 * with the item, or the item's expiry, that it stands for.
 */
struct engine_due {
	uint64_t expiry;
	uint64_t bucket;
	uint64_t version;
	struct span key;
};

/*
 * Rows of a partition's expiry index from *from on (zeroed: the first) up to the clock `now_ms`, in
 * the order of expiry, bucket, key.
 */
int engine_due(struct engine *e, uint32_t partition, const struct engine_due *from, uint64_t now_ms,
	       int (*row)(void *arg, const struct engine_due *d), void *arg);

/*
 * The first partition at or behind `from` that has rows in its expiry index, and the earliest
 * expiry in it: one step of a walk over the partitions that have any, however few these are.
 * Returns 0, -ENOENT (no more), or -EBADMSG.
 */
int engine_due_partition(struct engine *e, uint32_t from, uint32_t *ret_partition,
			 uint64_t *ret_expiry);

/* What is kept of a request of a session; see session.h. */
struct engine_outcome {
	uint64_t number;
	uint64_t fingerprint;
	uint64_t sequence; /* of its record in the partition */
	bool ruled_out;
	struct span result;
};

struct engine_session_row {
	enum { ENGINE_FORGOTTEN, ENGINE_FLOOR, ENGINE_OUTCOME } kind;
	uint32_t partition;
	uint8_t id[16];                /* but of ENGINE_FORGOTTEN */
	uint64_t made_ms;              /* ENGINE_FORGOTTEN */
	uint64_t floor;                /* ENGINE_FLOOR */
	struct engine_outcome outcome; /* ENGINE_OUTCOME */
};

/* All rows of sessions: a partition's before its sessions', a session's before its outcomes'. */
int engine_sessions(struct engine *e, int (*row)(void *arg, const struct engine_session_row *r),
		    void *arg);

/*
 * ---- writing: the checkpoint thread ----
 *
 * From engine_begin to engine_commit or engine_abort; readers see nothing before the commit.  After
 * an error the transaction must be aborted.
 */

int engine_begin(struct engine *e);
void engine_abort(struct engine *e);

/*
 * Commit; it is on disk when this returns.  With `meta`, that becomes the environment's: then every
 * version that was put since the last such commit must be settled in its partition, as
 * engine_part_put has said by now, and nothing goes backwards.
 */
int engine_commit(struct engine *e, const struct engine_meta *meta);

/*
 * Set an entry aside: it is in the log up to the settled lsn, but may not go into base yet.  And
 * take it out: 0 if there is none.
 */
int engine_tail_put(struct engine *e, const struct log_entry *x);
int engine_tail_delete(struct engine *e, uint32_t partition, uint64_t sequence);

/* How far a partition is settled.  Neither its sequence nor its clock goes backwards. */
int engine_part_put(struct engine *e, uint32_t partition, const struct engine_part *part);

/*
 * Put an item, or delete one (0 if there is none); an older row of the expiry index goes with it.
 * Sorted by (bucket, key) these are cheap.
 */
int engine_put(struct engine *e, uint64_t bucket, const struct engine_item *item);
int engine_delete(struct engine *e, uint64_t bucket, struct span key);

/*
 * The item's version and expiry change, its value stays.  Returns 0, -ENOENT (no such item), or
 * -EBADMSG (the value is damaged: it gets no new checksum).  With 0, *ret_bytes is the value's
 * size: so much the transaction writes again.
 */
int engine_touch(struct engine *e, uint64_t bucket, struct span key, uint64_t version,
		 uint64_t expiry, uint64_t *ret_bytes);

/*
 * A bucket's count changes by `delta`; `create` makes its row first, in place of an earlier
 * bucket's of that name.  Without `create` a bucket that is not there, or whose name another has
 * now, is passed over.
 */
int engine_bucket_add(struct engine *e, struct span name, uint64_t id, int64_t delta, bool create);
/* The bucket leaves the directory; its keys are left to engine_purge. */
int engine_bucket_drop(struct engine *e, struct span name, uint64_t id);

/* A session's floor; outcomes below it go. */
int engine_session_put(struct engine *e, uint32_t partition, const uint8_t id[16], uint64_t floor);
/* Its outcome, which is settled with its record's sequence, as a version is. */
int engine_outcome_put(struct engine *e, uint32_t partition, const uint8_t id[16],
		       const struct engine_outcome *o);
/* All that there is of it goes. */
int engine_session_delete(struct engine *e, uint32_t partition, const uint8_t id[16]);
/* The latest making of a session that the partition has forgotten. */
int engine_forgotten_put(struct engine *e, uint32_t partition, uint64_t made_ms);

/* Delete up to `max` keys of dropped buckets.  Returns how many (0: nothing is left), or an error.
 */
int engine_purge(struct engine *e, unsigned max);

#endif
