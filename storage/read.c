/* Reads of one key, and what every operation on one looks up first. */
#include "storage/read.h"

#include <errno.h>

#include "storage/store_impl.h"

#define CACHED_VALUE_MAX(s) \
	((s)->config.cache_bytes / 16) /* larger ones are read from base each time */

void store_locate(struct store *s, struct span name, struct span key, struct store_key *ret)
{
	ret->name = name;
	ret->key = key;
	ret->bucket = directory_find(s->directory, name, s->head.own);
	ret->directory = s->directory_state;
	ret->hash = 0;
	if (ret->bucket && key.n) {
		ret->hash = cache_hash(s->cache, ret->bucket->id, key);
		cache_prefetch_slot(s->cache, ret->hash);
	}
}

void store_prefetch(const struct store *s, const struct store_key *k)
{
	if (k->bucket)
		cache_prefetch_entry(s->cache, k->hash);
}

static int lookup_base(struct store *s, const struct store_key *k, struct lookup *l)
{
	int r;

	if (!bucket_is_settled(s, k->bucket))
		return 0;
	store_work(s, WORK_BASE);
	s->cache_misses++;
	r = engine_get(s->base, k->bucket->id, k->key, &l->item);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return store_fail(s, r, "damaged value in base of \"%.150s\"", s->dir);
	l->stored = true;
	l->alive = !is_expired(s, l->item.expiry);
	l->version = l->alive ? l->item.version : 0;
	return l->alive ? 0 : clock_tell(s, bucket_partition(k->bucket->id), l->item.expiry);
}

int store_lookup(struct store *s, const struct store_key *k, struct lookup *l)
{
	struct entry *e = cache_find(s->cache, k->hash, k->bucket->id, k->key);

	l->entry = e;
	l->stored = false;
	l->alive = false;
	l->version = 0;
	if (!e)
		return lookup_base(s, k, l);
	s->cache_hits++;
	observe(s, e->bucket, e->version);
	if (e->tombstone)
		return 0;
	l->stored = true;
	if (is_expired(s, e->expiry))
		return clock_tell(s, bucket_partition(e->bucket), e->expiry);
	l->alive = true;
	l->version = e->version;
	return 0;
}

void lookup_keep(struct store *s, const struct store_key *k, const struct lookup *l)
{
	struct entry *none; /* it was not in the cache, so nothing is replaced */

	if (l->item.value.n > CACHED_VALUE_MAX(s))
		return;
	/* No memory for it is no fault: it is read from base the next time. */
	(void)cache_put(s->cache, k->hash, k->bucket->id, k->key, l->item.value, l->item.version,
			l->item.expiry, false, NULL, &none);
	if (cache_bytes(s->cache) > cache_budget(s->cache))
		cache_evict(s->cache, s->settled);
}

int store_get(struct store *s, struct store_key *k, struct store_item *ret)
{
	struct bucket *b = key_bucket(s, k);
	struct lookup l;
	int r;

	if (!b)
		return -ENXIO;
	r = store_lookup(s, k, &l);
	if (r < 0)
		return r;
	if (!l.alive)
		return -ENOENT;
	ret->key = k->key;
	ret->version = l.version;
	ret->ttl_ms = left_ms(s, l.entry ? l.entry->expiry : l.item.expiry);
	if (l.entry) {
		ret->value = entry_value(l.entry);
		return 0;
	}
	ret->value = l.item.value;
	lookup_keep(s, k, &l);
	return 0;
}
