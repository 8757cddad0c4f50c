/* Writes: into the log, the cache, and everything that follows it. */
#include "storage/write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/clock.h"
#include "storage/store_impl.h"

#define OUTCOME_LARGE 4096u /* bytes of a result that does not go in everywhere */
#define FILES_KEPT    64u   /* for what must be logged: refusals, the clock, what has expired */

int store_writable(struct store *s)
{
	if (wal_files_left(s->wal) < FILES_KEPT)
		return store_fail(s, -EBUSY, "writes outrun the disk: try again later");
	return 0;
}

struct log_frame *log_room(struct store *s, uint64_t size, bool must, int *ret_error)
{
	struct log_frame *f;

	store_work(s, work_bytes(size)); /* before there is anything half done */
	/* Not even into the open file: each checkpoint that is tried would close it. */
	*ret_error = must && wal_files_left(s->wal) ? 0 : store_writable(s);
	if (*ret_error < 0)
		return NULL;
	f = wal_reserve(s->wal, size);
	while (!f) {
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
		f = wal_reserve(s->wal, size);
	}
	return f;
}

static inline uint64_t append(struct store *s, struct log_frame *f, uint64_t request_id)
{
	const struct log_entry *e = log_frame_entry(f);
	uint64_t lsn;

	if (s->replica)
		return replica_append(s, f, request_id);
	if (!s->log.active)
		s->oldest_ms = clock_ms();
	s->log.active += log_record_size(f);
#ifdef PAIL_BREAK_POSITION /* for a test of the tests: do not remember whose it is */
	request_id = 0;
#endif
	lsn = wal_append(s->wal, f, request_id);
	if (e->count)
		partition_advance(s, e->partition, e->sequence + e->count - 1, lsn);
	return lsn;
}

uint64_t record_append(struct store *s, struct log_frame *f, uint64_t request_id)
{
	return append(s, f, request_id);
}

struct log_frame *change_new(struct store *s, const struct log_change *c, int *ret_error)
{
	static const struct span none = {"", 0};
	uint32_t partition = bucket_partition(c->bucket);
	struct log_frame *f;
	char *p;

	*ret_error = s->head.session ? session_outcome_begin(s, none) : 0;
	if (*ret_error < 0)
		return NULL;
	f = record_room(s, partition, LOG_RECORD_BYTES + session_bytes(s) + log_change_size(c),
			c->op == LOG_SWEEP, ret_error);
	if (!f)
		return NULL;
	p = entry_begin(s, f, LOG_CHANGE, partition, version_next(s, partition), 1);
	log_entry_end(f, log_change_write(session_write(s, f, p), c));
	return f;
}

uint64_t change_append(struct store *s, struct log_frame *f)
{
	const struct log_entry *e = log_frame_entry(f);

	observe_lsn(s, append(s, f, s->head.request_id));
	if (s->replica)
		observe_stamp(s, stamp_make(e->partition, log_entry_last(e)));
	if (s->head.session)
		session_outcome_end(s, e);
	return e->sequence;
}

int clock_append(struct store *s, uint32_t partition, const struct log_clock *c)
{
	int r = 0;
	struct log_frame *f = record_room(s, partition, LOG_RECORD_BYTES + sizeof(*c), true, &r);
	char *p;

	if (!f)
		return r;
	p = entry_begin(s, f, LOG_CLOCK, partition, version_next(s, partition), 1);
	log_entry_end(f, log_clock_write(p, c));
	(void)record_append(s, f, 0); /* nobody asked for it */
	return 0;
}

uint64_t entry_weight(size_t key_len, size_t value_len)
{
	return sizeof(struct entry) + key_len + value_len + 24;
}

/* `made`: the entry to be taken if it must be another than `old`; NULL: one is made.  -ENOMEM. */
static inline int entry_put(struct store *s, struct bucket *b, struct entry *old, uint64_t hash,
			    struct span key, struct span value, uint64_t version, uint64_t expiry,
			    bool tombstone, struct entry *made)
{
	uint64_t was = old ? entry_weight(key.n, old->value_len) : 0;
	uint64_t was_dirty = old && !is_settled(s, b->id, old->version) ? was : 0;
	uint64_t was_active = old && !marks_cover(frozen_marks(s), b->id, old->version) ? was : 0;
	struct entry *moved = NULL;
	struct entry *e;

	check_slow(old == cache_find(s->cache, hash, b->id, key));
	e = cache_put(s->cache, hash, b->id, key, value, version, expiry, tombstone, made, &moved);
	if (!e)
		return -ENOMEM;
	check_slow(s->dirty >= s->active && s->dirty >= was_dirty && s->active >= was_active);
	s->dirty += entry_weight(key.n, value.n) - was_dirty;
	s->active += entry_weight(key.n, value.n) - was_active;
	if (expiry && !tombstone)
		expiry_heap_add(&s->expiry, (struct expiry_node){expiry, hash, entry_stamp(e)});
	b->written = version;
	if (b->index && sorted_index_put(b->index, e) < 0)
		sorted_index_free(&b->index); /* the next scan builds it again */
	free(moved);
	return 0;
}

int entry_write(struct store *s, struct bucket *b, struct entry *old, uint64_t hash,
		struct span key, struct span value, uint64_t version, uint64_t expiry,
		bool tombstone)
{
	if (expiry && !tombstone && expiry_heap_reserve(&s->expiry, 1) < 0)
		return -ENOMEM;
	return entry_put(s, b, old, hash, key, value, version, expiry, tombstone, NULL);
}

void entry_write_made(struct store *s, struct bucket *b, struct entry *old, uint64_t hash,
		      struct span key, struct span value, uint64_t version, uint64_t expiry,
		      bool tombstone, struct entry *made)
{
	int r;

	check(made || (old && old->value_len == value.n));
	r = entry_put(s, b, old, hash, key, value, version, expiry, tombstone, made);
	check(r == 0);
}

static void weigh(void *arg, struct entry *e)
{
	*(uint64_t *)arg += entry_weight(e->key_len, e->value_len);
}

bool store_counts_agree(struct store *s)
{
	uint64_t dirty = 0;
	uint64_t active = 0;
	uint64_t keys = 0;

	cache_each_dirty(s->cache, s->settled, &s->head.work, weigh, &dirty);
	cache_each_dirty(s->cache, frozen_marks(s), &s->head.work, weigh, &active);
	for (uint64_t i = 0; i < directory_count(s->directory); i++) {
		store_work(s, 1);
		keys += directory_at(s->directory, i)->count;
	}
	return dirty == s->dirty && active == s->active && keys == s->keys;
}

int condition_check(struct store *s, const struct store_condition *c, uint64_t version)
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
	struct log_change change;
	struct log_frame *f;
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
		r = store_admit(s, session_bytes(s) + log_put_size(b->name_len, k->key.n, value.n));
	if (r == 0 && ttl_ms)
		r = clock_note(s, bucket_partition(b->id));
	if (r < 0)
		return r;
	change = (struct log_change){LOG_PUT,        !l.stored, b->id, expiry_of(s, ttl_ms),
				     bucket_name(b), k->key,    value};
	f = change_new(s, &change, &r);
	if (!f)
		return r;
	r = entry_write(s, b, l.entry, k->hash, k->key, value,
			version_next(s, bucket_partition(b->id)), change.expiry, false);
	if (r < 0)
		return store_fail(s, r, "no memory");
	b->count += (uint64_t)change.delta;
	s->keys += (uint64_t)change.delta;
	*ret_version = change_append(s, f);
	return 0;
}

int store_touch(struct store *s, struct store_key *k, uint64_t ttl_ms,
		const struct store_condition *c, uint64_t *ret_version)
{
	struct bucket *b = key_bucket(s, k);
	struct log_change change;
	struct log_frame *f;
	struct span value;
	struct lookup l;
	bool counted;
	int r;

	if (!b)
		return -ENXIO;
	r = store_lookup(s, k, &l);
	if (r < 0)
		return r;
	*ret_version = l.version;
	r = condition_check(s, c, l.version);
	if (r == 0 && !l.alive)
		r = -ENOENT;
	if (r < 0)
		return r;
	/* As a put of its value: base will write it again, and until then the cache holds it. */
	value = l.entry ? entry_value(l.entry) : l.item.value;
	r = store_admit(s, session_bytes(s) + log_put_size(b->name_len, k->key.n, value.n));
	if (r == 0 && ttl_ms)
		r = clock_note(s, bucket_partition(b->id));
	if (r < 0)
		return r;
	change = (struct log_change){.op = LOG_TOUCH,
				     .bucket = b->id,
				     .expiry = expiry_of(s, ttl_ms),
				     .name = bucket_name(b),
				     .key = k->key};
	f = change_new(s, &change, &r);
	if (!f)
		return r;
	counted = l.entry && value_is_owed(s, l.entry);
	r = entry_write(s, b, l.entry, k->hash, k->key, value,
			version_next(s, bucket_partition(b->id)), change.expiry, false);
	if (r < 0)
		return store_fail(s, r, "no memory");
	*ret_version = change_append(s, f);
	s->log.active += counted ? 0 : value.n;
	return 0;
}

int key_remove(struct store *s, struct bucket *b, struct entry *old, uint64_t hash, struct span key,
	       enum log_op op)
{
	static const struct span nothing = {"", 0};
	const struct log_change change = {op, -1, b->id, 0, bucket_name(b), key, nothing};
	int r = 0;
	struct log_frame *f = change_new(s, &change, &r);

	if (!f)
		return r;
	r = entry_write(s, b, old, hash, key, nothing, version_next(s, bucket_partition(b->id)), 0,
			true);
	if (r < 0)
		return store_fail(s, r, "no memory");
	b->count--;
	s->keys--;
	(void)change_append(s, f);
	return 0;
}

int store_delete(struct store *s, struct store_key *k, const struct store_condition *c,
		 bool *ret_deleted, uint64_t *ret_version)
{
	struct bucket *b = key_bucket(s, k);
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
	return key_remove(s, b, l.entry, k->hash, k->key, LOG_DELETE);
}

void store_elsewhere(struct store *s, uint64_t buckets)
{
	s->buckets_elsewhere = buckets;
}

/* The bucket of this name, or NULL; either is observed. */
static struct bucket *bucket_find(struct store *s, struct span name)
{
	struct bucket *b = directory_find(s->directory, name, s->head.own);

	if (b)
		observe(s, b->id, stamp_sequence(b->id));
	else
		observe_absence(s, name);
	return b;
}

void directory_changed(struct store *s, uint32_t partition, uint64_t version, uint64_t lsn)
{
	s->directory_state++;
	s->directory_lsn = lsn;
	s->part[partition].directory_version = version;
}

int create_allowed(struct store *s)
{
	if (directory_count(s->directory) + s->buckets_elsewhere < s->config.buckets_max)
		return 0;
	return store_fail(s, -ENOSPC, "the limit of %llu buckets is reached",
			  (unsigned long long)s->config.buckets_max);
}

int store_create(struct store *s, struct span name, bool *ret_created)
{
	struct log_change change = {.op = LOG_CREATE, .name = name};
	uint32_t partition = name_partition(s, name);
	struct log_frame *f;
	uint64_t version;
	int r;

	*ret_created = false;
	if (bucket_find(s, name))
		return 0;
	r = create_allowed(s);
	if (r == 0)
		r = store_admit(s, session_bytes(s) + log_put_size(name.n, 0, 0));
	if (r < 0)
		return r;
	change.bucket = stamp_make(partition, version_next(s, partition));
	f = change_new(s, &change, &r);
	if (!f)
		return r;
	if (!directory_add(s->directory, name, s->head.own, change.bucket, 0))
		return store_fail(s, -ENOMEM, "no memory");
	version = change_append(s, f);
	directory_changed(s, partition, version, wal_lsn(s->wal));
	*ret_created = true;
	return 0;
}

int store_drop(struct store *s, struct span name, bool *ret_dropped)
{
	struct log_change change = {.op = LOG_DROP, .name = name};
	struct bucket *b = bucket_find(s, name);
	struct log_frame *f;
	uint64_t version;
	int r = 0;

	*ret_dropped = false;
	if (!b)
		return 0;
	change.bucket = b->id;
	f = change_new(s, &change, &r);
	if (!f)
		return r;
	s->keys -= b->count;
	directory_remove(s->directory, b);
	version = change_append(s, f);
	directory_changed(s, bucket_partition(change.bucket), version, wal_lsn(s->wal));
	*ret_dropped = true;
	return 0;
}

int store_outcome(struct store *s, struct span name, struct span result)
{
	uint64_t size = LOG_RECORD_BYTES + session_bytes(s) + log_result_size(result);
	bool kept = s->head.session;
	uint32_t partition = name_partition(s, name);
	struct log_frame *f;
	int r = 0;
	char *p;

	if (kept) {
		/* A large one is as a put; others are let in as deletes are. */
		r = result.n > OUTCOME_LARGE ? store_admit(s, size) : 0;
		if (r == 0)
			r = session_outcome_begin(s, result);
		if (r < 0)
			return r;
	}
	f = record_room(s, partition, size, !kept, &r);
	if (!f)
		return r;
	p = entry_begin(s, f, LOG_OUTCOME, partition,
			kept ? version_next(s, partition) : s->newest->at[partition], kept);
	p = session_write(s, f, p);
	log_entry_end(f, log_result_write(f, p, result));
	(void)change_append(s, f);
	return 0;
}
