/*
 * Base: where writes settle.  One LMDB environment per shard, fully synced, written only by the
 * checkpoint thread in large sorted transactions, read by the serving thread through one read
 * transaction that is renewed when a checkpoint has committed.  The only file that includes lmdb.h
 * is base.c; LMDB's codes become negative errno there: -ENOENT no such key, -ENOSPC the map is
 * full, -EBADMSG damaged.
 *
 * Sub-databases: `meta` (settled sequence, clock, oldest log segment, format), `dir` (bucket name
 * -> id, count), `keys` (id, key -> version, expiry, checksum, value), `ttl` (expiry, id, key ->
 * version), `drops` (ids of dropped buckets whose keys are still to be deleted).
 */
#ifndef PAIL_BASE_H
#define PAIL_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

struct base;
struct base_cursor;

struct base_meta {
	uint64_t settled;   /* every record up to this sequence is in base */
	uint64_t clock_ms;  /* the store's clock then */
	uint64_t epoch_min; /* the oldest log segment that is needed; 0: none yet */
};

struct base_item {
	struct span key;
	struct span value;
	uint64_t version;
	uint64_t expiry; /* unix ms; 0: never */
};

/*
 * Open, and make if missing, the environment in `dir`.  Only who holds the folder's lock may write.
 `why` (at least 256 bytes) says what is wrong.
 */
int base_open(const char *dir, uint64_t map_bytes, struct base **ret, char *why, size_t why_size);
void base_close(struct base **b);

void base_meta(const struct base *b, struct base_meta *ret);

/* See what another process has committed since; *ret is what the meta row says now. */
int base_refresh(struct base *b, struct base_meta *ret);

/* Bytes of pages in use, of the file, and of the map; as of the last commit. */
uint64_t base_used(const struct base *b);
uint64_t base_file_bytes(const struct base *b);
uint64_t base_map_bytes(const struct base *b);

/* ---- reading: the serving thread ---- */

/* See what has been committed since.  Pointers from before are void. */
int base_renew(struct base *b);

/*
 * The item of a key, verified.  Pointers hold until base_renew.  Returns 0, -ENOENT, or -EBADMSG
 * (its checksum is wrong).
 */
int base_get(struct base *b, uint64_t bucket, struct span key, struct base_item *ret);

/* Call `row` for each bucket of the directory until it returns not 0. */
int base_buckets(struct base *b,
		 int (*row)(void *arg, struct span name, uint64_t id, uint64_t count), void *arg);

/*
 * A cursor over one bucket's keys; good until base_renew.  `seek` goes to the first key at or
 * behind `key` (reverse: at or before it; an empty key means the end of that side).  Both return 0,
 * -ENOENT (no more), or -EBADMSG.
 */
int base_cursor_open(struct base *b, uint64_t bucket, bool reverse, struct base_cursor **ret);
int base_cursor_seek(struct base_cursor *c, struct span key, struct base_item *ret);
int base_cursor_next(struct base_cursor *c, struct base_item *ret);
void base_cursor_close(struct base_cursor **c);

struct base_due {
	uint64_t expiry;
	uint64_t bucket;
	uint64_t version;
	struct span key;
};

/* Rows of the expiry index from *from on (zeroed: the first) up to the clock `now_ms`, in order. */
int base_due(struct base *b, const struct base_due *from, uint64_t now_ms,
	     int (*row)(void *arg, const struct base_due *d), void *arg);

/* ---- writing: the checkpoint thread ---- */

int base_begin(struct base *b);
void base_abort(struct base *b);
/* Commit; with `meta`, that becomes the environment's.  The environment is synced when it returns.
 */
int base_commit(struct base *b, const struct base_meta *meta);

/* Sorted by (bucket, key) these are cheap.  An older row of the expiry index goes with its item. */
int base_put(struct base *b, uint64_t bucket, const struct base_item *item);
int base_delete(struct base *b, uint64_t bucket, struct span key);

/* A bucket's count changes by `delta`; `create` makes its row first. */
int base_bucket_add(struct base *b, struct span name, uint64_t id, int64_t delta, bool create);
/* The bucket leaves the directory; its keys are left to base_purge. */
int base_bucket_drop(struct base *b, struct span name, uint64_t id);

/* Delete up to `most` keys of dropped buckets.  Returns how many (0: nothing is left), or an error.
 */
int base_purge(struct base *b, unsigned most);

#endif
