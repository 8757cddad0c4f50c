/* The operations on one key, and on the directory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/wire.h"
#include "storage/store_impl.h"

#define CACHED_VALUE_MAX(s) \
	((s)->config.cache_bytes / 16) /* larger ones are read from base each time */

void store_locate(struct store *s, struct span name, struct span key, struct store_key *ret)
{
	ret->name = name;
	ret->key = key;
	ret->bucket = directory_find(s->directory, name);
	ret->directory = s->directory_state;
	ret->hash = 0;
	if (ret->bucket && key.n) {
		ret->hash = cache_hash(s->cache, ret->bucket->id, key);
		cache_prefetch_slot(s->cache, ret->hash);
	}
}

void store_touch(const struct store *s, const struct store_key *k)
{
	if (k->bucket)
		cache_prefetch_entry(s->cache, k->hash);
}

struct bucket *key_bucket(struct store *s, struct store_key *k)
{
	if (k->directory != s->directory_state)
		store_locate(s, k->name, k->key, k);
	/* That it is not there is known since the directory last changed; that it is, since its
	 * making. */
	observe(s, k->bucket ? k->bucket->id : s->directory_seq);
	return k->bucket;
}

int clock_note_now(struct store *s)
{
	static const struct span nothing = {"", 0};
	uint64_t position = s->head.request_id;
	struct wal_clock note;
	struct wal_record *r;
	int error = 0;

	pace_note(&s->pace, &note);
	s->head.request_id = 0; /* nobody asked for it */
	r = record_new(s, WAL_CLOCK, 0, nothing, nothing,
		       (struct span){(char *)&note, sizeof(note)}, &error);
	s->head.request_id = position;
	if (!r) {
		s->pace.noted_ms = 0; /* it is still to be made */
		return error;
	}
	r->expiry = s->pace.now_ms;
	s->clock_seq = record_append(s, r);
	s->clock_told = s->pace.now_ms;
	return 0;
}

int clock_note(struct store *s)
{
	return pace_must_note(&s->pace) ? clock_note_now(s) : 0;
}

int clock_tell(struct store *s, uint64_t expiry)
{
	int r = 0;

	if (!s->checkpoint) { /* the log is still being read */
		s->tell_clock = true;
		return 0;
	}
	if (expiry > s->clock_told)
		r = clock_note_now(s);
	observe(s, s->clock_seq);
	return r;
}

static int lookup_base(struct store *s, const struct store_key *k, struct lookup *l)
{
	int r;

	/* Nothing of a bucket younger than the settled sequence is in base, but what the cache has.
	 */
	if (k->bucket->id > s->settled)
		return 0;
	store_work(s, WORK_BASE);
	r = engine_get(s->base, k->bucket->id, k->key, &l->item);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return store_fail(s, r, "damaged value in base of \"%.150s\"", s->dir);
	l->stored = true;
	l->alive = !is_expired(s, l->item.expiry);
	l->version = l->alive ? l->item.version : 0;
	return l->alive ? 0 : clock_tell(s, l->item.expiry);
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
	observe(s, e->version);
	if (e->tombstone)
		return 0;
	l->stored = true;
	if (is_expired(s, e->expiry))
		return clock_tell(s, e->expiry);
	l->alive = true;
	l->version = e->version;
	return 0;
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
	if (l.entry) {
		ret->value = entry_value(l.entry);
		return 0;
	}
	ret->value = l.item.value;
	if (l.item.value.n <= CACHED_VALUE_MAX(s)) {
		struct entry *none; /* it was not in the cache, so nothing is replaced */

		/* No memory for it is no fault: it is read from base the next time. */
		(void)cache_put(s->cache, k->hash, b->id, k->key, l.item.value, l.item.version,
				l.item.expiry, false, &none);
		if (cache_bytes(s->cache) > cache_budget(s->cache))
			cache_evict(s->cache, s->settled);
	}
	return 0;
}

/* Bytes of an entry, about, with what malloc adds. */
static uint64_t entry_weight(size_t key_len, size_t value_len)
{
	return sizeof(struct entry) + key_len + value_len + 24;
}

int entry_write(struct store *s, struct bucket *b, uint64_t hash, struct span key,
		struct span value, uint64_t version, uint64_t expiry, bool tombstone)
{
	uint64_t frozen = s->checkpoint_wanted || s->checkpoint_runs ? s->freeze : s->settled;
	struct entry *old = cache_find(s->cache, hash, b->id, key);
	uint64_t was = old ? entry_weight(key.n, old->value_len) : 0;
	uint64_t was_pinned = old && old->version > s->settled ? was : 0;
	uint64_t was_fresh = old && old->version > frozen ? was : 0;
	struct entry *moved = NULL;
	struct entry *e;

	if (expiry && !tombstone && expiry_reserve(&s->expiry) < 0)
		return -ENOMEM;
	e = cache_put(s->cache, hash, b->id, key, value, version, expiry, tombstone, &moved);
	if (!e)
		return -ENOMEM;
	s->dirty += entry_weight(key.n, value.n) - was_pinned;
	s->fresh += entry_weight(key.n, value.n) - was_fresh;
	if (expiry && !tombstone)
		expiry_add(&s->expiry, (struct expiry_node){expiry, hash, version});
	b->written = version;
	if (b->order && sorted_index_put(b->order, e) < 0)
		sorted_index_free(&b->order); /* the next scan builds it again */
	free(moved);
	return 0;
}

/* Does the condition hold against `version`, the key's or 0?  0 or -EEXIST. */
static int condition_check(struct store *s, const struct store_condition *c, uint64_t version)
{
	uint64_t want = c->if_absent ? 0 : c->version;

	if ((c->if_absent || c->if_version) && want != version)
		return store_fail(s, -EEXIST, "the version is %llu now",
				  (unsigned long long)version);
	return 0;
}

int store_put(struct store *s, struct store_key *k, struct span value, uint64_t ttl_ms,
	      const struct store_condition *c, uint64_t *ret_version)
{
	struct bucket *b = key_bucket(s, k);
	struct wal_record *rec;
	struct lookup l;
	int r;

	if (!b)
		return -ENXIO;
	r = store_lookup(s, k, &l);
	if (r < 0)
		return r;
	*ret_version = l.version;
	r = condition_check(s, c, l.version);
	if (r == 0)
		r = store_admit(s, wal_record_size(b->name_len, k->key.n, value.n));
	if (r == 0 && ttl_ms)
		r = clock_note(s);
	if (r < 0)
		return r;
	rec = record_new(s, WAL_PUT, b->id, (struct span){b->name, b->name_len}, k->key, value, &r);
	if (!rec)
		return r;
	if (ttl_ms)
		rec->expiry =
			ttl_ms > UINT64_MAX - s->pace.now_ms ? UINT64_MAX : s->pace.now_ms + ttl_ms;
	rec->delta = !l.stored;
	r = entry_write(s, b, k->hash, k->key, value, wal_seq(s->wal) + 1, rec->expiry, false);
	if (r < 0)
		return store_fail(s, r, "no memory");
	b->count += (uint64_t)rec->delta;
	s->keys += (uint64_t)rec->delta;
	*ret_version = record_append(s, rec);
	observe(s, *ret_version);
	return 0;
}

int store_delete(struct store *s, struct store_key *k, const struct store_condition *c,
		 bool *ret_deleted, uint64_t *ret_version)
{
	struct bucket *b = key_bucket(s, k);
	static const struct span nothing = {"", 0};
	struct wal_record *rec;
	struct lookup l;
	int r;

	if (!b)
		return -ENXIO;
	r = store_lookup(s, k, &l);
	if (r < 0)
		return r;
	*ret_version = l.version;
	r = condition_check(s, c, l.version);
	if (r < 0)
		return r;
	*ret_deleted = l.alive;
	if (!l.alive)
		return 0;
	rec = record_new(s, WAL_DELETE, b->id, (struct span){b->name, b->name_len}, k->key, nothing,
			 &r);
	if (!rec)
		return r;
	rec->delta = -1;
	r = entry_write(s, b, k->hash, k->key, nothing, wal_seq(s->wal) + 1, 0, true);
	if (r < 0)
		return store_fail(s, r, "no memory");
	b->count--;
	s->keys--;
	observe(s, record_append(s, rec));
	return 0;
}

void store_elsewhere(struct store *s, uint64_t buckets)
{
	s->buckets_elsewhere = buckets;
}

int store_create(struct store *s, struct span name, bool *ret_created)
{
	static const struct span nothing = {"", 0};
	struct wal_record *rec;
	struct bucket *b = directory_find(s->directory, name);
	int r;

	*ret_created = false;
	observe(s, b ? b->id : s->directory_seq);
	if (b)
		return 0;
	if (directory_count(s->directory) + s->buckets_elsewhere >= s->config.buckets_max)
		return store_fail(s, -ENOSPC, "the limit of %llu buckets is reached",
				  (unsigned long long)s->config.buckets_max);
	r = store_admit(s, wal_record_size(name.n, 0, 0));
	if (r < 0)
		return r;
	rec = record_new(s, WAL_CREATE, wal_seq(s->wal) + 1, name, nothing, nothing, &r);
	if (!rec)
		return r;
	if (!directory_add(s->directory, name, wal_seq(s->wal) + 1, 0))
		return store_fail(s, -ENOMEM, "no memory");
	s->directory_state++;
	s->directory_seq = record_append(s, rec);
	*ret_created = true;
	observe(s, s->directory_seq);
	return 0;
}

int store_drop(struct store *s, struct span name, bool *ret_dropped)
{
	static const struct span nothing = {"", 0};
	struct bucket *b = directory_find(s->directory, name);
	struct wal_record *rec;
	int r = 0;

	*ret_dropped = false;
	observe(s, b ? b->id : s->directory_seq);
	if (!b)
		return 0;
	rec = record_new(s, WAL_DROP, b->id, name, nothing, nothing, &r);
	if (!rec)
		return r;
	s->keys -= b->count;
	directory_remove(s->directory, b);
	s->directory_state++;
	s->directory_seq = record_append(s, rec);
	*ret_dropped = true;
	observe(s, s->directory_seq);
	return 0;
}

int store_outcome(struct store *s, struct span name, struct span reply)
{
	static const struct span nothing = {"", 0};
	int r = 0;
	struct wal_record *rec = record_new(s, WAL_OUTCOME, 0, name, nothing, reply, &r);

	if (!rec)
		return r;
	observe(s, record_append(s, rec));
	return 0;
}
