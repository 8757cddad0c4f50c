/*
 * When dirty keys with a ttl expire: a heap by time.  A node names a write, not an entry (hash and
 * stamp), so a key that was written again leaves a stale node that is thrown away when met.  What
 * has settled is in base's own index and leaves the heap.  One thread.
 */
#ifndef PAIL_EXPIRY_HEAP_H
#define PAIL_EXPIRY_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/marks.h"
#include "storage/work.h"

struct expiry_node {
	uint64_t at_ms;
	uint64_t hash;
	uint64_t stamp;
};

struct expiry_heap {
	struct expiry_node *node;
	uint64_t count;
	uint64_t room;
};

void expiry_heap_init(struct expiry_heap *x);
void expiry_heap_fini(struct expiry_heap *x);

/* Make room for `n` more, so that expiry_heap_add cannot fail.  0 or -ENOMEM. */
int expiry_heap_reserve(struct expiry_heap *x, uint64_t n);
void expiry_heap_add(struct expiry_heap *x, struct expiry_node n);

/* When the earliest node is due; UINT64_MAX: there is none. */
static inline uint64_t expiry_heap_first_ms(const struct expiry_heap *x)
{
	return x->count ? x->node[0].at_ms : UINT64_MAX;
}

/* Take the earliest node if it is due at `now_ms`. */
bool expiry_heap_pop(struct expiry_heap *x, uint64_t now_ms, struct expiry_node *ret);

/* Call `each` for every due node, in no order. */
void expiry_heap_each_due(const struct expiry_heap *x, uint64_t now_ms,
			  void (*each)(void *arg, const struct expiry_node *n), void *arg);

/* Leave out nodes whose write has settled. */
void expiry_heap_settle(struct expiry_heap *x, const struct marks *settled, struct work *work);

/* Leave out those of a partition. */
void expiry_heap_remove(struct expiry_heap *x, uint32_t partition, struct work *work);

#endif
