/*
 * A chained hash whose table grows by one slot with each entry (linear hashing), so that no request
 * ever pays for a rehash and a large budget costs nothing before there are entries: the table is
 * allocated whole, as its budget says, and touched from its begin on.
 */
#include "storage/cache.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/check.h"
#include "common/fault.h"
#include "common/hash.h"

#define ENTRY_TYPICAL 128u  /* bytes, to size the table */
#define SLOTS_FIRST   1024u /* of the table */
#define EVICT_STEPS   4096u /* chains a call looks at, at most */
#define AHEAD         16u   /* chains prefetched in a walk */

struct cache {
	struct entry **slot;
	uint64_t slots;     /* in use: the first so many */
	uint64_t slots_max; /* allocated, a power of two */
	uint64_t mask;      /* of the bits of a hash that tell its slot; see place */
	uint64_t entries;
	uint64_t seed;
	uint64_t budget;
	uint64_t bytes;
	uint64_t hand;
};

int cache_new(uint64_t budget_bytes, struct cache **ret)
{
	struct cache *c = calloc(1, sizeof(*c));
	uint64_t n = SLOTS_FIRST;

	if (!c)
		return -ENOMEM;
	while (n * ENTRY_TYPICAL < budget_bytes)
		n *= 2;
	c->slot = calloc(n, sizeof(struct entry *));
	if (!c->slot || getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed)) {
		cache_free(&c);
		return -ENOMEM;
	}
	c->slots = SLOTS_FIRST;
	c->slots_max = n;
	c->mask = SLOTS_FIRST - 1;
	c->budget = budget_bytes;
	*ret = c;
	return 0;
}

void cache_free(struct cache **cp)
{
	struct cache *c = *cp;

	if (!c)
		return;
	for (uint64_t i = 0; c->slot && i < c->slots; i++)
		for (struct entry *e = c->slot[i]; e;) {
			struct entry *next = e->next;

			free(e);
			e = next;
		}
	free(c->slot);
	free(c);
	*cp = NULL;
}

uint64_t cache_hash(const struct cache *c, uint64_t bucket, struct span key)
{
	return hash64(c->seed ^ bucket * 0x9e3779b97f4a7c15u, key.p, key.n);
}

/* From mask / 2 + 2 to mask + 1 slots are in use: what would lie behind them is in the lower half.
 */
static uint64_t place(const struct cache *c, uint64_t hash)
{
	uint64_t i = hash & c->mask;

	return i < c->slots ? i : i & c->mask >> 1;
}

/* One slot more; what belongs there comes out of the one in the lower half. */
static void grow(struct cache *c)
{
	struct entry **from;
	struct entry **to;

	if (c->slots == c->slots_max)
		return;
	if (c->slots == c->mask + 1)
		c->mask = 2 * c->mask + 1;
	from = &c->slot[c->slots & c->mask >> 1];
	to = &c->slot[c->slots];
	while (*from) {
		struct entry *e = *from;

		if ((e->hash & c->mask) != c->slots) {
			from = &e->next;
			continue;
		}
		*from = e->next;
		e->next = NULL;
		*to = e;
		to = &e->next;
	}
	c->slots++;
}

void cache_prefetch_slot(const struct cache *c, uint64_t hash)
{
	__builtin_prefetch(&c->slot[place(c, hash)]);
}

void cache_prefetch_entry(const struct cache *c, uint64_t hash)
{
	struct entry *e = c->slot[place(c, hash)];

	if (e) {
		__builtin_prefetch(e);
		__builtin_prefetch((const char *)e + 64);
		__builtin_prefetch((const char *)e + 128);
	}
}

static bool entry_is(const struct entry *e, uint64_t hash, uint64_t bucket, struct span key)
{
	return e->hash == hash && e->bucket == bucket && span_equal(entry_key(e), key);
}

struct entry *cache_find(struct cache *c, uint64_t hash, uint64_t bucket, struct span key)
{
	for (struct entry *e = c->slot[place(c, hash)]; e; e = e->next)
		if (entry_is(e, hash, bucket, key)) {
			e->used = 1;
			return e;
		}
	return NULL;
}

struct entry *cache_find_stamp(struct cache *c, uint64_t hash, uint64_t stamp)
{
	for (struct entry *e = c->slot[place(c, hash)]; e; e = e->next)
		if (e->hash == hash && entry_stamp(e) == stamp)
			return e;
	return NULL;
}

static uint64_t entry_cost(struct entry *e)
{
	return malloc_usable_size(e) + sizeof(size_t);
}

struct entry *cache_entry_new(size_t key_len, size_t value_len)
{
	return fault_at("cache.alloc") < 0 ? NULL
					   : malloc(sizeof(struct entry) + key_len + value_len);
}

struct entry *cache_put(struct cache *c, uint64_t hash, uint64_t bucket, struct span key,
			struct span value, uint64_t version, uint64_t expiry, bool tombstone,
			struct entry *made, struct entry **ret_moved)
{
	struct entry **link = &c->slot[place(c, hash)];
	struct entry *e;
	struct entry *old;
	uint64_t cost_old = 0;

	while (*link && !entry_is(*link, hash, bucket, key))
		link = &(*link)->next;
	old = *link;
	e = old;
	if (!old || old->value_len != value.n) {
		if (old)
			cost_old = entry_cost(old);
		e = made ? made : cache_entry_new(key.n, value.n);
		if (!e)
			return NULL;
		e->next = old ? old->next : NULL;
		e->hash = hash;
		e->bucket = bucket;
		e->key_len = (uint16_t)key.n;
		memcpy(e->data, key.p, key.n);
		c->bytes += entry_cost(e);
		c->bytes -= cost_old;
		*link = e;
		c->entries += !old;
	}
	e->value_len = (uint32_t)value.n;
	if (value.n && value.p != e->data + key.n)
		memcpy(e->data + key.n, value.p, value.n);
	e->version = version;
	e->expiry = expiry;
	e->tombstone = tombstone;
	e->used = 1;
	*ret_moved = e != old ? old : NULL;
	if (c->entries > c->slots)
		grow(c);
	return e;
}

uint64_t cache_bytes(const struct cache *c)
{
	return c->bytes;
}

uint64_t cache_budget(const struct cache *c)
{
	return c->budget;
}

void cache_evict(struct cache *c, const struct marks *settled)
{
	for (unsigned step = 0; step < EVICT_STEPS && c->bytes > c->budget; step++) {
		struct entry **link = &c->slot[c->hand];

		if (c->hand + AHEAD < c->slots)
			__builtin_prefetch(c->slot[c->hand + AHEAD]);
		while (*link) {
			struct entry *e = *link;

			if (e->used || !marks_cover(settled, e->bucket, e->version)) {
				e->used = 0;
				link = &e->next;
				continue;
			}
			*link = e->next;
			check_slow(c->bytes >= entry_cost(e));
			c->bytes -= entry_cost(e);
			c->entries--;
			free(e);
		}
		c->hand = c->hand + 1 < c->slots ? c->hand + 1 : 0;
	}
}

void cache_each_dirty(struct cache *c, const struct marks *settled, struct work *work,
		      void (*each)(void *arg, struct entry *e), void *arg)
{
	for (uint64_t i = 0; i < c->slots; i++) {
		if (i + AHEAD < c->slots)
			__builtin_prefetch(c->slot[i + AHEAD]);
		work_done(work, 1);
		for (struct entry *e = c->slot[i]; e; e = e->next)
			if (!marks_cover(settled, e->bucket, e->version))
				each(arg, e);
	}
}

void cache_remove(struct cache *c, struct work *work,
		  bool (*which)(void *arg, const struct entry *e), void *arg)
{
	for (uint64_t i = 0; i < c->slots; i++) {
		struct entry **link = &c->slot[i];

		if (i + AHEAD < c->slots)
			__builtin_prefetch(c->slot[i + AHEAD]);
		work_done(work, 1);
		while (*link) {
			struct entry *e = *link;

			if (!which(arg, e)) {
				link = &e->next;
				continue;
			}
			*link = e->next;
			c->bytes -= entry_cost(e);
			c->entries--;
			free(e);
		}
	}
}
