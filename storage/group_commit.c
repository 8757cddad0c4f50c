/*
 * The end of a group.  All that can fail comes first: admission, room in the log for the record with
 * its result, memory for each entry of the cache, for the heap, for a bucket.  Behind that nothing
 * waits and nothing fails: the record is appended, and all of it takes effect.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/check.h"
#include "storage/group_impl.h"

static void memory_free(struct group *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		free(g->change[i].made);
		g->change[i].made = NULL;
	}
}

/* Of each key only what is left of it goes into the cache. */
static int entries_make(struct store *s, struct group *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct staged *x = &g->change[i];
		struct span key = staged_key(g, x);
		struct entry *old;

		x->made = NULL;
		if (!key.n || !x->last)
			continue;
		old = cache_find(s->cache, x->hash, g->id, key);
		if (old && old->value_len == x->value_len)
			continue; /* it is written over */
		x->made = cache_entry_new(key.n, x->value_len);
		if (!x->made) {
			memory_free(g);
			return -ENOMEM;
		}
	}
	return 0;
}

static int memory_make(struct store *s, struct group *g)
{
	int r = expiry_heap_reserve(&s->expiry, g->expiring);

	if (r == 0)
		r = entries_make(s, g);
	if (r < 0 || !g->created)
		return r;
	g->key.bucket = directory_add(s->directory, g->key.name, s->head.own, g->id, 0);
	if (g->key.bucket)
		return 0;
	memory_free(g);
	return -ENOMEM;
}

/* The value that a key is left with. */
static struct span value_left(struct store *s, struct group *g, const struct staged *x,
			      const struct entry *old)
{
	static const struct span nothing = {"", 0};
	struct engine_item item;
	int r;

	if (!x->alive)
		return nothing;
	if (x->value != VALUE_BELOW)
		return staged_value(g, x);
	if (old)
		return entry_value(old);
	r = engine_get(s->base, g->id, staged_key(g, x), &item);
	check(r == 0); /* as when it was staged */
	return item.value;
}

static void change_take_effect(struct store *s, struct group *g, struct staged *x, uint64_t lsn)
{
	struct span key = staged_key(g, x);
	struct entry *old;

	if (!key.n) {
		directory_changed(s, g->partition, staged_version(g, x), lsn);
		return;
	}
	if (!x->last)
		return;
	old = cache_find(s->cache, x->hash, g->id, key);
	check((x->made != NULL) == (!old || old->value_len != x->value_len));
	entry_write_made(s, g->key.bucket, old, x->hash, key, value_left(s, g, x, old),
			 staged_version(g, x), x->expiry, !x->alive, x->made);
	x->made = NULL;
}

static void take_effect(struct store *s, struct group *g, uint64_t lsn)
{
	struct bucket *b = g->key.bucket;

	for (uint32_t i = 0; i < g->count; i++)
		change_take_effect(s, g, &g->change[i], lsn);
	check(g->counted >= 0 || b->count >= (uint64_t)-g->counted);
	b->count += (uint64_t)g->counted;
	s->keys += (uint64_t)g->counted;
	s->log.active += g->owed;
	check_slow(b->written == g->first + g->count - 1);
}

/* May it be logged, if it does not delete alone? */
static int admit(struct store *s, uint64_t size, uint64_t owed)
{
	/* If all is settled there will never be more room. */
	if (!wal_has_room(s->wal, size) && s->log.frozen + s->log.active) {
		s->room_wanted = true; /* a file of its own is there only after a checkpoint */
		return store_fail(s, -EBUSY, "writes outrun the disk: try again later");
	}
	return store_admit(s, size + owed);
}

/* All that can fail.  The record's room. */
static struct log_frame *commit_begin(struct store *s, struct group *g, uint64_t size,
				      struct span result, int *ret_error)
{
	struct log_frame *f;

	if (size > s->group_max) {
		*ret_error =
			store_fail(s, -E2BIG, "its writes and its reply have more than %llu bytes",
				   (unsigned long long)s->group_max);
		return NULL;
	}
	*ret_error = g->admit ? admit(s, size, g->owed) : 0;
	if (*ret_error == 0 && s->head.session)
		*ret_error = session_outcome_begin(s, result);
	if (*ret_error < 0)
		return NULL;
	f = record_room(s, g->partition, size, false, ret_error);
	if (!f)
		return NULL;
	*ret_error = memory_make(s, g);
	if (*ret_error == 0)
		return f;
	(void)store_fail(s, *ret_error, "no memory");
	return NULL;
}

static int commit(struct store *s, struct group *g, struct span result)
{
	uint64_t size = group_bytes(s) + log_result_size(result);
	struct log_frame *f;
	int r = 0;
	char *p;

	check(g->now_ms == s->pace.now_ms && g->first == version_next(s, g->partition));
	f = commit_begin(s, g, size, result, &r);
	if (!f)
		return r;
	p = entry_begin(s, f, LOG_CHANGE, g->partition, g->first, g->count);
	p = session_write(s, f, p);
	memcpy(p, g->bytes, g->size);
	log_entry_end(f, log_result_write(f, p + g->size, result));
	check(log_record_size(f) == size);
	(void)change_append(s, f);
	take_effect(s, g, wal_lsn(s->wal));
	return 0;
}

int group_commit(struct store *s, struct span result)
{
	struct group *g = group_of(s);
	int r = g->count ? commit(s, g, result) : 0;

	group_end(g);
	return r;
}
