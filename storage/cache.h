/*
 * The cache: hash of (bucket, key) -> newest value.  It holds every write that base does not have
 * yet (those entries are dirty: what is settled does not cover their version) and, within a memory
 * budget, what has been read from base.  Clean entries are evicted by a clock hand; dirty ones
 * stay. One thread.
 */
#ifndef PAIL_CACHE_H
#define PAIL_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/marks.h"
#include "storage/work.h"

struct entry {
	struct entry *next; /* in its chain */
	uint64_t hash;
	uint64_t bucket;  /* id */
	uint64_t version; /* the sequence of its partition that wrote it, tombstones too */
	uint64_t expiry;  /* unix ms; 0: never */
	uint32_t value_len;
	uint16_t key_len;
	uint8_t tombstone; /* there is no such key, whatever base says */
	uint8_t used;      /* since the hand last came by */
	char data[];       /* key, value */
};

struct cache;

static inline struct span entry_key(const struct entry *e)
{
	return (struct span){e->data, e->key_len};
}

static inline struct span entry_value(const struct entry *e)
{
	return (struct span){e->data + e->key_len, e->value_len};
}

/*
 * `budget_bytes` sizes the table for good, which takes memory only as it fills; entries may exceed
 * it only by being dirty.
 */
int cache_new(uint64_t budget_bytes, struct cache **ret);
void cache_free(struct cache **c);

uint64_t cache_hash(const struct cache *c, uint64_t bucket, struct span key);

/* Two steps ahead of cache_find: bring in the slot, then the first entry of its chain. */
void cache_prefetch_slot(const struct cache *c, uint64_t hash);
void cache_prefetch_entry(const struct cache *c, uint64_t hash);

/* The entry of a key, or NULL.  Good until the next cache_put or cache_evict. */
struct entry *cache_find(struct cache *c, uint64_t hash, uint64_t bucket, struct span key);

static inline uint64_t entry_stamp(const struct entry *e)
{
	return stamp_make(bucket_partition(e->bucket), e->version);
}

/* Any entry with this hash and stamp, or NULL. */
struct entry *cache_find_stamp(struct cache *c, uint64_t hash, uint64_t stamp);

/*
 * Make or overwrite a key's entry.  The value may be the one that is in it.  An existing one whose
 * value has another length is replaced: then *ret_moved is the old one, which the caller frees when
 * nothing points at it any more; else NULL.  Where another entry is needed it is `made`, or one
 * that is made now if that is NULL.  Returns the entry, or NULL without memory: nothing changed.
 */
struct entry *cache_put(struct cache *c, uint64_t hash, uint64_t bucket, struct span key,
			struct span value, uint64_t version, uint64_t expiry, bool tombstone,
			struct entry *made, struct entry **ret_moved);

/* Memory for cache_put's `made`, to be freed if it is not put.  NULL: there is none. */
struct entry *cache_entry_new(size_t key_len, size_t value_len);

/* Bytes of all entries with what malloc adds. */
uint64_t cache_bytes(const struct cache *c);
uint64_t cache_budget(const struct cache *c);

/* Evict entries that `settled` covers until within the budget, or a bounded effort. */
void cache_evict(struct cache *c, const struct marks *settled);

/* Call `each` for every entry that `settled` does not cover. */
void cache_each_dirty(struct cache *c, const struct marks *settled, struct work *work,
		      void (*each)(void *arg, struct entry *e), void *arg);

/* Free those that `which` says, who must know of nobody that still points at them. */
void cache_remove(struct cache *c, struct work *work,
		  bool (*which)(void *arg, const struct entry *e), void *arg);

#endif
