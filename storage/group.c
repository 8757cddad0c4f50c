/*
 * What is staged: the bytes of the changes as the log will have them, and an order of their keys,
 * in which the group's reads look first.
 */
#include "storage/group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/fault.h"
#include "storage/group_impl.h"

#define CHANGES_FIRST 64u         /* room for so many from the first group on */
#define BYTES_FIRST   (16u << 10) /* likewise */
#define BYTES_KEPT    (1u << 20)  /* of room for one group that stay for the next */

/* ---- begin and end ---- */

static int room_first(struct group *g)
{
	g->change = malloc(CHANGES_FIRST * sizeof(*g->change));
	g->order = malloc(CHANGES_FIRST * sizeof(*g->order));
	g->bytes = malloc(BYTES_FIRST);
	g->room = CHANGES_FIRST;
	g->bytes_room = BYTES_FIRST;
	return g->change && g->order && g->bytes ? 0 : -ENOMEM;
}

void group_free(struct group **gp)
{
	struct group *g = *gp;

	if (!g)
		return;
	free(g->change);
	free(g->order);
	free(g->bytes);
	free(g->bytes_before);
	free(g);
	*gp = NULL;
}

static int group_want(struct store *s)
{
	if (s->group)
		return 0;
	s->group = calloc(1, sizeof(*s->group));
	if (s->group && room_first(s->group) == 0)
		return 0;
	group_free(&s->group);
	return store_fail(s, -ENOMEM, "no memory");
}

int group_begin(struct store *s, const struct store_key *k)
{
	struct bucket *b;
	struct group *g;
	int r = group_want(s);

	if (r < 0)
		return r;
	g = s->group;
	check(!g->open && !g->count && !g->size);
	g->open = true;
	g->key = *k;
	g->key.key = (struct span){"", 0};
	b = key_bucket(s, &g->key);
	g->partition = name_partition(s, k->name);
	g->id = b ? b->id : 0;
	g->first = 0;
	g->now_ms = s->pace.now_ms;
	return 0;
}

void group_end(struct group *g)
{
	g->open = false;
	g->created = false;
	g->count = 0;
	g->keys = 0;
	g->size = 0;
	g->counted = 0;
	g->living = 0;
	g->owed = 0;
	g->expiring = 0;
	g->admit = false;
	free(g->bytes_before);
	g->bytes_before = NULL;
	if (g->bytes_room > BYTES_KEPT) {
		char *less = realloc(g->bytes, BYTES_KEPT);

		g->bytes = less ? less : g->bytes;
		g->bytes_room = less ? BYTES_KEPT : g->bytes_room;
	}
}

void group_abort(struct store *s)
{
	if (s->group && s->group->open)
		group_end(s->group);
}

bool group_exists(const struct store *s)
{
	return group_of(s)->id != 0;
}

uint32_t group_changes(const struct store *s)
{
	return group_of(s)->count;
}

uint64_t group_bytes(const struct store *s)
{
	return LOG_RECORD_BYTES + session_bytes(s) + group_of(s)->size;
}

bool group_is_open(const struct store *s)
{
	return s->group && s->group->open;
}

bool group_has_versions(const struct store *s, uint32_t partition)
{
	return group_is_open(s) && s->group->count && s->group->partition == partition;
}

/* ---- reading ---- */

uint32_t group_place(const struct group *g, struct span key, bool *ret_there)
{
	uint32_t low = 0;
	uint32_t high = g->keys;

	*ret_there = false;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int c = span_compare(staged_key(g, &g->change[g->order[mid]]), key);

		if (!c) {
			*ret_there = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int view_stored(struct store *s, struct span key, uint64_t hash, struct view *v)
{
	struct group *g = s->group;
	struct lookup *l = &v->stored;
	int r;

	if (!g->key.bucket)
		return 0; /* it is made by this group, and empty */
	g->key.key = key;
	g->key.hash = hash;
	r = store_lookup(s, &g->key, l);
	if (r < 0)
		return r;
	v->counted = l->stored;
	v->alive = l->alive;
	v->version = l->version;
	if (!l->alive)
		return 0;
	v->value = l->entry ? entry_value(l->entry) : l->item.value;
	v->expiry = l->entry ? l->entry->expiry : l->item.expiry;
	return 0;
}

int group_view(struct store *s, struct span key, uint64_t hash, struct view *ret)
{
	struct group *g = group_of(s);
	bool there;
	uint32_t at = group_place(g, key, &there);

	check_slow(g->now_ms == s->pace.now_ms);
	memset(ret, 0, sizeof(*ret));
	store_work(s, 2);
	if (!there)
		return view_stored(s, key, hash, ret);
	ret->staged = &g->change[g->order[at]];
	if (!ret->staged->alive)
		return 0;
	ret->counted = true;
	ret->alive = true;
	ret->version = staged_version(g, ret->staged);
	ret->expiry = ret->staged->expiry;
	if (ret->staged->value == VALUE_BELOW) { /* that of the key as it is stored, and alive */
		struct view below = {.staged = NULL};
		int r = view_stored(s, key, hash, &below);

		check(r < 0 || below.alive);
		ret->value = below.value;
		return r;
	}
	ret->value = staged_value(g, ret->staged);
	return 0;
}

static uint64_t key_hash(const struct store *s, struct span key)
{
	return cache_hash(s->cache, s->group->id, key);
}

int group_get(struct store *s, struct span key, struct store_item *ret)
{
	struct view v;
	int r;

	if (!group_exists(s))
		return -ENXIO;
	r = group_view(s, key, key_hash(s, key), &v);
	if (r < 0)
		return r;
	if (!v.alive)
		return -ENOENT;
	*ret = (struct store_item){key, v.value, v.version, left_ms(s, v.expiry)};
	if (!v.staged && !v.stored.entry)
		lookup_keep(s, &s->group->key, &v.stored);
	return 0;
}

int group_count(struct store *s, uint64_t *ret)
{
	struct group *g = group_of(s);
	int r;

	*ret = 0;
	if (!g->id)
		return -ENXIO;
	r = g->key.bucket ? store_count(s, &g->key, ret) : 0;
	*ret += (uint64_t)g->living;
	return r;
}

/* ---- staging ---- */

/* Room for `size` bytes more.  Where they were stays until the change is staged. */
static int bytes_want(struct group *g, uint64_t size)
{
	uint64_t room = g->bytes_room;
	char *p;

	if (g->size + size <= room)
		return 0;
	while (g->size + size > room)
		room *= 2;
	p = fault_at("group.alloc") < 0 ? NULL : malloc(room);
	if (!p)
		return -ENOMEM;
	memcpy(p, g->bytes, g->size);
	g->bytes_before = g->bytes;
	g->bytes = p;
	g->bytes_room = room;
	return 0;
}

static int changes_want(struct group *g)
{
	uint32_t room = 2 * g->room;
	void *p;

	check(g->room >= CHANGES_FIRST && g->count <= g->room);
	if (g->count < g->room)
		return 0;
	p = fault_at("group.alloc") < 0 ? NULL : realloc(g->change, room * sizeof(*g->change));
	if (!p)
		return -ENOMEM;
	g->change = p;
	p = realloc(g->order, room * sizeof(*g->order));
	if (!p)
		return -ENOMEM;
	g->order = p;
	g->room = room;
	return 0;
}

/*
 * The first version is about to be told: whatever else could take one in the partition until the
 * commit does so now.  That is what the time is: before a ttl is logged, and before something is
 * seen to have expired, which can be only what is due by now.
 */
static int versions_begin(struct store *s, struct group *g)
{
	uint64_t now_ms = s->pace.now_ms;
	bool due = expiry_heap_first_ms(&s->expiry) <= now_ms || s->due_ms[g->partition] <= now_ms;
	int r = 0;

	if (pace_must_note(&s->pace) || (due && s->part[g->partition].clock_told < now_ms))
		r = clock_note_now(s, g->partition);
	g->first = version_next(s, g->partition);
	return r;
}

/* Room for the change, and its version. */
static int stage_begin(struct store *s, struct log_change *c)
{
	struct group *g = s->group;
	uint64_t size;
	int r = 0;

	if (g->count == GROUP_CHANGES_MAX)
		return store_fail(s, -E2BIG, "more than %u writes", GROUP_CHANGES_MAX);
	if (!g->count)
		c->name = g->key.name; /* those that follow are of the same bucket */
	size = log_change_size(c);
	if (group_bytes(s) + size > s->group_max)
		return store_fail(s, -E2BIG, "its writes have more than %llu bytes",
				  (unsigned long long)s->group_max);
	if (changes_want(g) < 0 || bytes_want(g, size) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	if (!g->count)
		r = versions_begin(s, g);
	return r;
}

/* The change is the last one of its key. */
static void order_put(struct group *g, struct span key)
{
	bool there;
	uint32_t at = group_place(g, key, &there);

	if (there) {
		g->change[g->order[at]].last = false;
	} else {
		memmove(&g->order[at + 1], &g->order[at], (g->keys - at) * sizeof(*g->order));
		g->keys++;
	}
	g->order[at] = g->count;
}

/* There is room.  `x` says what the key is after it.  Returns its version. */
static uint64_t stage(struct store *s, struct log_change *c, struct staged x)
{
	struct group *g = s->group;
	uint64_t size = log_change_size(c);

	x.at = g->size;
	x.last = true;
	(void)log_change_write(g->bytes + g->size, c);
	g->size += size;
	if (c->op == LOG_PUT)
		x.value = (uint64_t)(log_head_value((void *)(g->bytes + x.at)).p - g->bytes);
	if (c->key.n)
		order_put(g, c->key);
	free(g->bytes_before);
	g->bytes_before = NULL;
	g->change[g->count++] = x;
	g->counted += c->delta;
	g->expiring += c->expiry != 0;
	g->admit |= c->op != LOG_DELETE;
	store_work(s, WORK_REQUEST + work_bytes(size));
	return g->first + g->count - 1;
}

int group_create(struct store *s, bool *ret_created)
{
	struct group *g = group_of(s);
	struct log_change c = {.op = LOG_CREATE};
	int r;

	*ret_created = false;
	if (g->id)
		return 0;
	check(!g->count); /* what else could there be to write to? */
	r = create_allowed(s);
	if (r == 0)
		r = stage_begin(s, &c);
	if (r < 0)
		return r;
	c.bucket = stamp_make(g->partition, g->first);
	(void)stage(s, &c, (struct staged){.alive = false});
	g->id = c.bucket;
	g->created = true;
	*ret_created = true;
	return 0;
}

/* What each write begins with. */
static int write_begin(struct store *s, struct span key, const struct store_condition *c,
		       struct log_change *change, struct view *v, uint64_t *ret_version)
{
	int r;

	if (!group_exists(s))
		return -ENXIO;
	change->bucket = s->group->id;
	change->key = key;
	r = group_view(s, key, key_hash(s, key), v);
	if (r < 0)
		return r;
	*ret_version = v->version;
	return condition_check(s, c, v->version);
}

int group_put(struct store *s, struct span key, struct span value, uint64_t ttl_ms,
	      const struct store_condition *c, uint64_t *ret_version)
{
	struct log_change change = {.op = LOG_PUT, .value = value};
	struct view v;
	int r = write_begin(s, key, c, &change, &v, ret_version);

	if (r < 0)
		return r;
	change.delta = !v.counted;
	change.expiry = expiry_of(s, ttl_ms);
	r = stage_begin(s, &change);
	if (r < 0)
		return r;
	s->group->living += !v.alive;
	*ret_version = stage(s, &change,
			     (struct staged){.hash = key_hash(s, key),
					     .expiry = change.expiry,
					     .value_len = (uint32_t)value.n,
					     .alive = true});
	return 0;
}

int group_touch(struct store *s, struct span key, uint64_t ttl_ms, const struct store_condition *c,
		uint64_t *ret_version)
{
	struct log_change change = {.op = LOG_TOUCH};
	struct staged x;
	struct view v;
	int r = write_begin(s, key, c, &change, &v, ret_version);

	if (r == 0 && !v.alive)
		r = -ENOENT;
	if (r < 0)
		return r;
	change.expiry = expiry_of(s, ttl_ms);
	x = (struct staged){.value = v.staged ? v.staged->value : VALUE_BELOW,
			    .hash = key_hash(s, key),
			    .expiry = change.expiry,
			    .value_len = (uint32_t)v.value.n,
			    .alive = true};
	r = stage_begin(s, &change);
	if (r < 0)
		return r;
	/* As a put of its value: base will write it again, unless it does anyhow. */
	if (!v.staged && !(v.stored.entry && value_is_owed(s, v.stored.entry)))
		s->group->owed += v.value.n;
	*ret_version = stage(s, &change, x);
	return 0;
}

int group_delete(struct store *s, struct span key, const struct store_condition *c,
		 bool *ret_deleted, uint64_t *ret_version)
{
	struct log_change change = {.op = LOG_DELETE, .delta = -1};
	struct view v;
	int r;

	*ret_deleted = false;
	r = write_begin(s, key, c, &change, &v, ret_version);
	if (r < 0 || !v.alive)
		return r;
	r = stage_begin(s, &change);
	if (r < 0)
		return r;
	s->group->living--;
	(void)stage(s, &change, (struct staged){.hash = key_hash(s, key)});
	*ret_deleted = true;
	return 0;
}
