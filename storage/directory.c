/* Two growing chained tables and one sorted array over the same buckets. */
#include "storage/directory.h"

#include <errno.h>
#include <stdlib.h>

#include "common/hash.h"
#include "storage/marks.h"
#include "storage/sorted_index.h"

struct directory {
	struct bucket **by_name;
	struct bucket **by_id;
	struct bucket **sorted;
	uint64_t mask;
	uint64_t count;
	uint64_t room; /* of sorted */
};

/* Two of one name differ in it, so that it and the name tell which is which. */
static uint64_t name_hash(struct span name, bool own)
{
	return hash64(0x6b756275, name.p, name.n) + own;
}

static uint64_t id_slot(const struct directory *d, uint64_t id)
{
	return hash64(0, &id, sizeof(id)) & d->mask;
}

static int tables_make(struct directory *d, uint64_t n)
{
	d->by_name = calloc(n, sizeof(struct bucket *));
	d->by_id = calloc(n, sizeof(struct bucket *));
	if (!d->by_name || !d->by_id) {
		free(d->by_name);
		free(d->by_id);
		return -ENOMEM;
	}
	d->mask = n - 1;
	return 0;
}

static void tables_link(struct directory *d, struct bucket *b)
{
	struct bucket **name = &d->by_name[b->hash & d->mask];
	struct bucket **id = &d->by_id[id_slot(d, b->id)];

	b->next_name = *name;
	*name = b;
	b->next_id = *id;
	*id = b;
}

int directory_new(struct directory **ret)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	if (tables_make(d, 64) < 0) {
		free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

static void bucket_free(struct bucket *b)
{
	sorted_index_free(&b->index);
	free(b);
}

void directory_free(struct directory **dp)
{
	struct directory *d = *dp;

	if (!d)
		return;
	for (uint64_t i = 0; i < d->count; i++)
		bucket_free(d->sorted[i]);
	free(d->sorted);
	free(d->by_name);
	free(d->by_id);
	free(d);
	*dp = NULL;
}

uint64_t directory_count(const struct directory *d)
{
	return d->count;
}

struct bucket *directory_find(struct directory *d, struct span name, bool own)
{
	uint64_t h = name_hash(name, own);
	struct bucket *b = d->by_name[h & d->mask];

	while (b && !(b->hash == h && span_equal((struct span){b->name, b->name_len}, name)))
		b = b->next_name;
	return b;
}

struct bucket *directory_find_id(struct directory *d, uint64_t id)
{
	struct bucket *b = d->by_id[id_slot(d, id)];

	while (b && b->id != id)
		b = b->next_id;
	return b;
}

struct bucket *directory_at(const struct directory *d, uint64_t i)
{
	return d->sorted[i];
}

uint64_t directory_seek(const struct directory *d, struct span name)
{
	uint64_t low = 0;
	uint64_t high = d->count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		const struct bucket *b = d->sorted[mid];

		if (span_compare((struct span){b->name, b->name_len}, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Room for one more in the array and the tables. */
static int grow(struct directory *d)
{
	struct directory old = *d;

	if (d->count == d->room) {
		uint64_t room = d->room ? 2 * d->room : 64;
		struct bucket **p = realloc(d->sorted, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->sorted = p;
		d->room = room;
	}
	if (d->count <= d->mask)
		return 0;
	if (tables_make(d, 2 * (d->mask + 1)) < 0) {
		d->by_name = old.by_name;
		d->by_id = old.by_id;
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < d->count; i++)
		tables_link(d, d->sorted[i]);
	free(old.by_name);
	free(old.by_id);
	return 0;
}

struct bucket *directory_add(struct directory *d, struct span name, bool own, uint64_t id,
			     uint64_t count)
{
	struct bucket *b = calloc(1, sizeof(*b) + name.n);
	uint64_t at;

	if (!b)
		return NULL;
	if (grow(d) < 0) {
		free(b);
		return NULL;
	}
	b->hash = name_hash(name, own);
	b->own = own;
	b->id = id;
	b->count = count;
	b->base_count = count;
	b->written = stamp_sequence(id);
	b->name_len = (uint8_t)name.n;
	memcpy(b->name, name.p, name.n);
	at = directory_seek(d, name);
	memmove(&d->sorted[at + 1], &d->sorted[at], (d->count - at) * sizeof(*d->sorted));
	d->sorted[at] = b;
	d->count++;
	tables_link(d, b);
	return b;
}

void directory_remove(struct directory *d, struct bucket *b)
{
	struct bucket **name = &d->by_name[b->hash & d->mask];
	struct bucket **id = &d->by_id[id_slot(d, b->id)];
	uint64_t at = directory_seek(d, (struct span){b->name, b->name_len});

	while (d->sorted[at] != b) /* the other one of that name */
		at++;
	while (*name != b)
		name = &(*name)->next_name;
	*name = b->next_name;
	while (*id != b)
		id = &(*id)->next_id;
	*id = b->next_id;
	d->count--;
	memmove(&d->sorted[at], &d->sorted[at + 1], (d->count - at) * sizeof(*d->sorted));
	bucket_free(b);
}
