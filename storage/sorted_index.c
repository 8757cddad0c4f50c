/*
 * A sorted array in blocks of bounded size: a block that fills is split, so an insertion moves at
 * most one block's pointers and the array of blocks.
 */
#include "storage/sorted_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAX  512u
#define BLOCK_FILL 384u /* after sorting: leaves room for insertions */

struct block {
	uint32_t count; /* never 0 */
	struct entry *entry[BLOCK_MAX];
};

struct sorted_index {
	struct block **block;
	uint64_t blocks;
	uint64_t room;
	struct entry **loose; /* before sorted_index_sort */
	uint64_t loose_count;
	uint64_t loose_room;
};

int sorted_index_new(struct sorted_index **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void sorted_index_free(struct sorted_index **op)
{
	struct sorted_index *o = *op;

	if (!o)
		return;
	for (uint64_t i = 0; i < o->blocks; i++)
		free(o->block[i]);
	free(o->block);
	free(o->loose);
	free(o);
	*op = NULL;
}

int sorted_index_add(struct sorted_index *o, struct entry *e)
{
	if (o->loose_count == o->loose_room) {
		uint64_t room = o->loose_room ? 2 * o->loose_room : 256;
		struct entry **p = realloc(o->loose, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		o->loose = p;
		o->loose_room = room;
	}
	o->loose[o->loose_count++] = e;
	return 0;
}

static int entry_compare(const void *a, const void *b, void *work)
{
	const struct entry *x = *(struct entry *const *)a;
	const struct entry *y = *(struct entry *const *)b;

	work_done(work, 2);
	return span_compare(entry_key(x), entry_key(y));
}

/* A new block at index `at`. */
static struct block *block_insert(struct sorted_index *o, uint64_t at)
{
	struct block *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	if (o->blocks == o->room) {
		uint64_t room = o->room ? 2 * o->room : 16;
		struct block **p = realloc(o->block, room * sizeof(*p));

		if (!p) {
			free(b);
			return NULL;
		}
		o->block = p;
		o->room = room;
	}
	memmove(&o->block[at + 1], &o->block[at], (o->blocks - at) * sizeof(*o->block));
	o->block[at] = b;
	o->blocks++;
	b->count = 0;
	return b;
}

int sorted_index_sort(struct sorted_index *o, struct work *work)
{
	if (o->loose_count)
		qsort_r(o->loose, o->loose_count, sizeof(*o->loose), entry_compare, work);
	for (uint64_t i = 0; i < o->loose_count;) {
		struct block *b = block_insert(o, o->blocks);
		uint64_t n = o->loose_count - i;

		if (!b)
			return -ENOMEM;
		b->count = n < BLOCK_FILL ? (uint32_t)n : BLOCK_FILL;
		memcpy(b->entry, &o->loose[i], b->count * sizeof(*b->entry));
		i += b->count;
	}
	free(o->loose);
	o->loose = NULL;
	o->loose_count = 0;
	o->loose_room = 0;
	return 0;
}

/* The last block whose first key is at or before `key`, or block 0. */
static uint64_t block_find(const struct sorted_index *o, struct span key)
{
	uint64_t low = 0;
	uint64_t high = o->blocks;

	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;

		if (span_compare(entry_key(o->block[mid]->entry[0]), key) <= 0)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* Place of the first entry of the block at or behind `key`. */
static uint32_t place_find(const struct block *b, struct span key)
{
	uint32_t low = 0;
	uint32_t high = b->count;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (span_compare(entry_key(b->entry[mid]), key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int sorted_index_put(struct sorted_index *o, struct entry *e)
{
	struct span key = entry_key(e);
	uint64_t at = block_find(o, key);
	struct block *b = o->blocks ? o->block[at] : block_insert(o, 0);
	uint32_t i;

	if (!b)
		return -ENOMEM;
	i = place_find(b, key);
	if (i < b->count && span_equal(entry_key(b->entry[i]), key)) {
		b->entry[i] = e;
		return 0;
	}
	if (b->count == BLOCK_MAX) {
		struct block *right = block_insert(o, at + 1);

		if (!right)
			return -ENOMEM;
		right->count = BLOCK_MAX / 2;
		b->count = BLOCK_MAX / 2;
		memcpy(right->entry, &b->entry[BLOCK_MAX / 2], right->count * sizeof(*b->entry));
		if (i > b->count) {
			i -= b->count;
			b = right;
		}
	}
	memmove(&b->entry[i + 1], &b->entry[i], (b->count - i) * sizeof(*b->entry));
	b->entry[i] = e;
	b->count++;
	return 0;
}

void sorted_index_settle(struct sorted_index *o, const struct marks *settled, struct work *work)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < o->blocks; i++) {
		struct block *b = o->block[i];
		uint32_t n = 0;

		work_done(work, 2 * b->count);
		for (uint32_t k = 0; k < b->count; k++)
			if (!marks_cover(settled, b->entry[k]->bucket, b->entry[k]->version))
				b->entry[n++] = b->entry[k];
		b->count = n;
		if (n)
			o->block[kept++] = b;
		else
			free(b);
	}
	o->blocks = kept;
}

struct entry *sorted_index_seek(const struct sorted_index *o, struct span key, bool reverse,
				struct sorted_index_place *ret)
{
	struct block *b;

	if (!o->blocks)
		return NULL;
	if (reverse && !key.n) {
		ret->block = o->blocks - 1;
		ret->index = o->block[ret->block]->count - 1;
		return o->block[ret->block]->entry[ret->index];
	}
	ret->block = block_find(o, key);
	b = o->block[ret->block];
	ret->index = place_find(b, key);
	if (ret->index < b->count && (!reverse || span_equal(entry_key(b->entry[ret->index]), key)))
		return b->entry[ret->index];
	if (reverse)
		return sorted_index_next(o, true, ret);
	ret->index = b->count - 1;
	return sorted_index_next(o, false, ret);
}

struct entry *sorted_index_next(const struct sorted_index *o, bool reverse,
				struct sorted_index_place *place)
{
	if (reverse) {
		if (place->index > 0) {
			place->index--;
		} else {
			if (!place->block)
				return NULL;
			place->block--;
			place->index = o->block[place->block]->count - 1;
		}
	} else if (++place->index >= o->block[place->block]->count) {
		if (++place->block >= o->blocks)
			return NULL;
		place->index = 0;
	}
	return o->block[place->block]->entry[place->index];
}
