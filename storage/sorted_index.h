/*
 * The dirty keys of one bucket in byte order, for scans.  Built when a bucket is first scanned,
 * kept up by writes while scans pay for it.  It points at cache entries: whoever moves or frees an
 * entry that is in here says so first.  One thread.
 */
#ifndef PAIL_SORTED_INDEX_H
#define PAIL_SORTED_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/cache.h"
#include "storage/work.h"

struct sorted_index;

int sorted_index_new(struct sorted_index **ret);
void sorted_index_free(struct sorted_index **o);

/* Before anything else: append in any order, then sort once.  0 or -ENOMEM. */
int sorted_index_add(struct sorted_index *o, struct entry *e);
int sorted_index_sort(struct sorted_index *o, struct work *work);

/*
 * A key was written: point at its entry, in place of one that had the same key.  Returns 0 or
 * -ENOMEM, upon which the order is incomplete and must be freed.
 */
int sorted_index_put(struct sorted_index *o, struct entry *e);

/* Leave out entries that `settled` covers, before the cache may evict them. */
void sorted_index_settle(struct sorted_index *o, const struct marks *settled, struct work *work);

/* A place in the order; good until it is changed. */
struct sorted_index_place {
	uint64_t block;
	uint32_t index;
};

/*
 * Forward: the first entry at or behind `key`.  Reverse: the last one at or before it, or the very
 * last if the key is empty.  Returns NULL if there is none.
 */
struct entry *sorted_index_seek(const struct sorted_index *o, struct span key, bool reverse,
				struct sorted_index_place *ret);
struct entry *sorted_index_next(const struct sorted_index *o, bool reverse,
				struct sorted_index_place *place);

#endif
