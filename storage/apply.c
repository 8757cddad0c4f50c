/* Entries of the log into memory: as it is read, and as what a backup has is committed. */
#include <errno.h>

#include "storage/store_impl.h"

/*
 * The value that a touch is folded onto lies in the cache, written by the log so far or settled, or
 * in base.  A checkpoint that was cut short may have taken it out of base already: then what comes
 * behind in the log says so, and the touch means nothing.
 */
static int touch_apply(struct store *s, struct bucket *b, const struct log_change *c,
		       uint64_t version)
{
	uint64_t hash = cache_hash(s->cache, b->id, c->key);
	struct entry *e = cache_find(s->cache, hash, b->id, c->key);
	struct engine_item item;
	int r;

	if (e && e->tombstone)
		return store_fail(s, -EBADMSG,
				  "log in \"%.150s\": version %llu touches a key that is not there",
				  s->dir, (unsigned long long)version);
	if (e) {
		item.value = entry_value(e);
	} else {
		if (!bucket_is_settled(s, b))
			return 0;
		r = engine_get(s->base, b->id, c->key, &item);
		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return store_fail(s, r, "damaged value in base of \"%.150s\"", s->dir);
		store_work(s, WORK_BASE + work_bytes(item.value.n));
	}
	s->log.active += e && value_is_owed(s, e) ? 0 : item.value.n;
	return entry_write(s, b, e, hash, c->key, item.value, version, c->expiry, false);
}

/* One change of the log into memory, as the operation that wrote it did. */
static int change_apply(struct store *s, const struct log_change *c, uint64_t version, uint64_t lsn)
{
	struct bucket *b = directory_find_id(s->directory, c->bucket);
	uint64_t hash;

	switch (c->op) {
	case LOG_CREATE:
		directory_changed(s, bucket_partition(c->bucket), version, lsn);
		return b || directory_add(s->directory, c->name, id_is_own(s, c->bucket), c->bucket,
					  0)
			       ? 0
			       : -ENOMEM;
	case LOG_DROP:
		directory_changed(s, bucket_partition(c->bucket), version, lsn);
		if (b) {
			s->keys -= b->count;
			directory_remove(s->directory, b);
		}
		return 0;
	case LOG_TOUCH:
		return b ? touch_apply(s, b, c, version) : 0;
	default:
		if (!b)
			return 0; /* of a bucket dropped since */
		b->count += (uint64_t)(int64_t)c->delta;
		s->keys += (uint64_t)(int64_t)c->delta;
		hash = cache_hash(s->cache, b->id, c->key);
		return entry_write(s, b, cache_find(s->cache, hash, b->id, c->key), hash, c->key,
				   c->value, version, c->expiry, c->op != LOG_PUT);
	}
}

void clock_apply(struct store *s, const struct log_entry *e)
{
	struct partition *p = &s->part[e->partition];
	struct log_clock note;

	log_clock_read(e, &note);
	if (note.clock_ms > p->clock_told)
		p->clock_told = note.clock_ms;
	p->clock_version = e->sequence;
}

int record_apply(struct store *s, const struct log_record *r)
{
	struct log_changes i;
	struct log_change c;
	int e = 0;

	store_work(s, WORK_REQUEST + work_bytes(r->entry->size));
	if (r->entry->kind == LOG_CLOCK)
		clock_apply(s, r->entry);
	log_changes_begin(&i, r->entry);
	while (e == 0 && log_changes_next(&i, &c) == 1)
		e = change_apply(s, &c, i.sequence, r->lsn);
	return e == 0 ? session_apply(s, r->entry) : e;
}
