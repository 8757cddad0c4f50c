/* Writes: into the log, the cache, and everything that follows it. */
#include "storage/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/store_impl.h"

#define FILES_KEPT 64u /* for what must be logged: refusals, the clock, what has expired */

int store_writable(struct store *s)
{
	if (wal_files_left(s->wal) < FILES_KEPT)
		return store_fail(s, -EBUSY, "writes outrun the disk: try again later");
	return 0;
}

struct wal_record *record_new(struct store *s, enum wal_op op, uint64_t bucket, struct span name,
			      struct span key, struct span value, int *ret_error)
{
	uint64_t size = wal_record_size(name.n, key.n, value.n);
	bool must = op == WAL_OUTCOME || op == WAL_CLOCK || op == WAL_SWEEP;
	struct wal_record *r;
	char *p;

	store_work(s, work_bytes(size)); /* before there is anything half done */
	/* Not even into the open file: each checkpoint that is tried would close it. */
	*ret_error = must && wal_files_left(s->wal) ? 0 : store_writable(s);
	if (*ret_error < 0)
		return NULL;
	r = wal_reserve(s->wal, size);
	while (!r) {
		if (!wal_files_left(s->wal)) {
			*ret_error = store_writable(s);
			return NULL;
		}
		if (wal_error(s->wal) < 0) {
			*ret_error = store_fail(s, -EIO, "write the log in \"%.150s\": %s", s->dir,
						strerror(-wal_error(s->wal)));
			return NULL;
		}
		s->config.on_wait(s->config.arg);
		wal_wait(s->wal, 10);
		r = wal_reserve(s->wal, size);
	}
	r->size = (uint32_t)size;
#ifdef PAIL_BREAK_POSITION /* for a test of the tests: do not remember whose it is */
	r->request_id = 0;
#else
	r->request_id = s->head.request_id;
#endif
	r->bucket = bucket;
	r->expiry = 0;
	r->value_len = (uint32_t)value.n;
	r->key_len = (uint16_t)key.n;
	r->name_len = (uint8_t)name.n;
	r->op = (uint8_t)op;
	r->delta = 0;
	memset(r->zero, 0, sizeof(r->zero));
	p = r->data;
	memcpy(p, name.p, name.n);
	p += name.n;
	if (key.n)
		memcpy(p, key.p, key.n);
	p += key.n;
	if (value.n)
		memcpy(p, value.p, value.n);
	p += value.n;
	memset(p, 0, (size_t)((char *)r + size - p));
	return r;
}

uint64_t record_append(struct store *s, struct wal_record *r)
{
	uint64_t size = r->size;

	if (!s->log.active)
		s->oldest_ms = clock_ms();
	s->log.active += size;
	return wal_append(s->wal, r);
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
	uint64_t was_dirty = old && old->version > s->settled ? was : 0;
	uint64_t was_active = old && old->version > frozen ? was : 0;
	struct entry *moved = NULL;
	struct entry *e;

	if (expiry && !tombstone && expiry_heap_reserve(&s->expiry) < 0)
		return -ENOMEM;
	e = cache_put(s->cache, hash, b->id, key, value, version, expiry, tombstone, &moved);
	if (!e)
		return -ENOMEM;
	check_slow(s->dirty >= s->active && s->dirty >= was_dirty && s->active >= was_active);
	s->dirty += entry_weight(key.n, value.n) - was_dirty;
	s->active += entry_weight(key.n, value.n) - was_active;
	if (expiry && !tombstone)
		expiry_heap_add(&s->expiry, (struct expiry_node){expiry, hash, version});
	b->written = version;
	if (b->index && sorted_index_put(b->index, e) < 0)
		sorted_index_free(&b->index); /* the next scan builds it again */
	free(moved);
	return 0;
}

static void weigh(void *arg, struct entry *e)
{
	*(uint64_t *)arg += entry_weight(e->key_len, e->value_len);
}

bool store_counts_agree(struct store *s)
{
	uint64_t frozen = s->checkpoint_wanted || s->checkpoint_runs ? s->freeze : s->settled;
	uint64_t dirty = 0;
	uint64_t active = 0;
	uint64_t keys = 0;

	cache_each_dirty(s->cache, s->settled, &s->head.work, weigh, &dirty);
	cache_each_dirty(s->cache, frozen, &s->head.work, weigh, &active);
	for (uint64_t i = 0; i < directory_count(s->directory); i++) {
		store_work(s, 1);
		keys += directory_at(s->directory, i)->count;
	}
	return dirty == s->dirty && active == s->active && keys == s->keys;
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
