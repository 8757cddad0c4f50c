/*
 * The dirty keys of one bucket in byte order, for scans.  Built when a bucket is first scanned,
 * kept up by writes while scans pay for it.  It points at cache entries: whoever moves or frees an
 * entry that is in here says so first.  One thread.
 */
#ifndef PAIL_ORDER_H
#define PAIL_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/cache.h"
#include "storage/work.h"

struct order;

int order_new(struct order **ret);
void order_free(struct order **o);

/* Before anything else: append in any order, then sort once.  0 or -ENOMEM. */
int order_add(struct order *o, struct entry *e);
int order_sort(struct order *o, struct work *work);

/*
 * A key was written: point at its entry, in place of one that had the same key.  Returns 0 or
 * -ENOMEM, upon which the order is incomplete and must be freed.
 */
int order_put(struct order *o, struct entry *e);

/* Leave out entries at or below `settled`, before the cache may evict them. */
void order_settle(struct order *o, uint64_t settled, struct work *work);

/* A place in the order; good until it is changed. */
struct order_place {
	uint64_t block;
	uint32_t index;
};

/*
 * Forward: the first entry at or behind `key`.  Reverse: the last one at or before it, or the very
 * last if the key is empty.  Returns NULL if there is none.
 */
struct entry *order_seek(const struct order *o, struct span key, bool reverse,
			 struct order_place *ret);
struct entry *order_next(const struct order *o, bool reverse, struct order_place *place);

#endif
