/*
 * The engine: what keeps base, where writes settle.  One environment per worker, fully synced,
 * written only by the checkpoint thread in large sorted transactions, read by the serving thread
 * through one read transaction that is renewed when a checkpoint has committed.  Errors are
 * negative errno: -ENOENT no such key, -ENOSPC the map is full, -EBADMSG damaged.
 *
 * It is LMDB: lmdb_open.c, lmdb_read.c and lmdb_write.c know it, and nobody else.  Sub-databases:
 * `meta` (settled sequence, clock, oldest log segment, format), `dir` (bucket name -> id, count),
 * `keys` (id, key -> version, expiry, checksum, value), `ttl` (expiry, id, key -> version), `drops`
 * (ids of dropped buckets whose keys are still to be deleted).
 */
#ifndef PAIL_ENGINE_H
#define PAIL_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

struct engine;
struct engine_cursor;

struct engine_meta {
	uint64_t settled;   /* every record up to this sequence is in base */
	uint64_t clock_ms;  /* the store's clock then */
	uint64_t epoch_min; /* the oldest log segment that is needed; 0: none yet */
};

struct engine_item {
	struct span key;
	struct span value;
	uint64_t version;
	uint64_t expiry; /* unix ms; 0: never */
};

/*
 * Open, and make if missing, the environment in `dir`.  Only who holds the folder's lock may write.
 `why` (at least 256 bytes) says what is wrong.
 */
int engine_open(const char *dir, uint64_t map_bytes, struct engine **ret, char *why,
		size_t why_size);
void engine_close(struct engine **b);

void engine_meta(const struct engine *b, struct engine_meta *ret);

/* See what another process has committed since; *ret is what the meta row says now. */
int engine_refresh(struct engine *b, struct engine_meta *ret);

/* Bytes of pages in use, of the file, and of the map; as of the last commit. */
uint64_t engine_used(const struct engine *b);
uint64_t engine_file_bytes(const struct engine *b);
uint64_t engine_map_bytes(const struct engine *b);

/* ---- reading: the serving thread ---- */

/* See what has been committed since.  Pointers from before are void. */
int engine_renew(struct engine *b);

/*
 * The item of a key, verified.  Pointers hold until engine_renew.  Returns 0, -ENOENT, or -EBADMSG
 * (its checksum is wrong).
 */
int engine_get(struct engine *b, uint64_t bucket, struct span key, struct engine_item *ret);

/* Call `row` for each bucket of the directory until it returns not 0. */
int engine_buckets(struct engine *b,
		   int (*row)(void *arg, struct span name, uint64_t id, uint64_t count), void *arg);

/*
 * A cursor over one bucket's keys; good until engine_renew.  `seek` goes to the first key at or
 * behind `key` (reverse: at or before it; an empty key means the end of that side).  Both return 0,
 * -ENOENT (no more), or -EBADMSG.
 */
int engine_cursor_open(struct engine *b, uint64_t bucket, bool reverse, struct engine_cursor **ret);
int engine_cursor_seek(struct engine_cursor *c, struct span key, struct engine_item *ret);
int engine_cursor_next(struct engine_cursor *c, struct engine_item *ret);
void engine_cursor_close(struct engine_cursor **c);

struct engine_due {
	uint64_t expiry;
	uint64_t bucket;
	uint64_t version;
	struct span key;
};

/* Rows of the expiry index from *from on (zeroed: the first) up to the clock `now_ms`, in order. */
int engine_due(struct engine *b, const struct engine_due *from, uint64_t now_ms,
	       int (*row)(void *arg, const struct engine_due *d), void *arg);

/* ---- writing: the checkpoint thread ---- */

int engine_begin(struct engine *b);
void engine_abort(struct engine *b);
/* Commit; with `meta`, that becomes the environment's.  The environment is synced when it returns.
 */
int engine_commit(struct engine *b, const struct engine_meta *meta);

/* Sorted by (bucket, key) these are cheap.  An older row of the expiry index goes with its item. */
int engine_put(struct engine *b, uint64_t bucket, const struct engine_item *item);
int engine_delete(struct engine *b, uint64_t bucket, struct span key);

/* A bucket's count changes by `delta`; `create` makes its row first. */
int engine_bucket_add(struct engine *b, struct span name, uint64_t id, int64_t delta, bool create);
/* The bucket leaves the directory; its keys are left to engine_purge. */
int engine_bucket_drop(struct engine *b, struct span name, uint64_t id);

/* Delete up to `max` keys of dropped buckets.  Returns how many (0: nothing is left), or an error.
 */
int engine_purge(struct engine *b, unsigned max);

#endif
