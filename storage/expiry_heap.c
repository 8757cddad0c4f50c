/* A binary heap in an array. */
#include "storage/expiry_heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

void expiry_heap_init(struct expiry_heap *x)
{
	memset(x, 0, sizeof(*x));
}

void expiry_heap_fini(struct expiry_heap *x)
{
	free(x->node);
	expiry_heap_init(x);
}

int expiry_heap_reserve(struct expiry_heap *x, uint64_t n)
{
	uint64_t room = x->room ? 2 * x->room : 64;
	struct expiry_node *p;

	if (x->count + n <= x->room)
		return 0;
	while (x->count + n > room)
		room *= 2;
	p = realloc(x->node, room * sizeof(*p));
	if (!p)
		return -ENOMEM;
	x->node = p;
	x->room = room;
	return 0;
}

void expiry_heap_add(struct expiry_heap *x, struct expiry_node n)
{
	uint64_t i = x->count++;

	check(i < x->room); /* expiry_heap_reserve was asked */
	while (i && x->node[(i - 1) / 2].at_ms > n.at_ms) {
		x->node[i] = x->node[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	x->node[i] = n;
}

/* Let the node at `i` sink to its place. */
static void sink(struct expiry_heap *x, uint64_t i)
{
	struct expiry_node n = x->node[i];

	for (;;) {
		uint64_t child = 2 * i + 1;

		if (child >= x->count)
			break;
		if (child + 1 < x->count && x->node[child + 1].at_ms < x->node[child].at_ms)
			child++;
		if (x->node[child].at_ms >= n.at_ms)
			break;
		x->node[i] = x->node[child];
		i = child;
	}
	x->node[i] = n;
}

bool expiry_heap_pop(struct expiry_heap *x, uint64_t now_ms, struct expiry_node *ret)
{
	if (!x->count || x->node[0].at_ms > now_ms)
		return false;
	*ret = x->node[0];
	x->node[0] = x->node[--x->count];
	if (x->count)
		sink(x, 0);
	return true;
}

void expiry_heap_each_due(const struct expiry_heap *x, uint64_t now_ms,
			  void (*each)(void *arg, const struct expiry_node *n), void *arg)
{
	/* Due nodes are a tree at the root: go down each way until one is not due. */
	uint64_t i = 0;

	if (!x->count || x->node[0].at_ms > now_ms)
		return;
	for (;;) {
		each(arg, &x->node[i]);
		if (2 * i + 1 < x->count && x->node[2 * i + 1].at_ms <= now_ms) {
			i = 2 * i + 1;
			continue;
		}
		if (2 * i + 2 < x->count && x->node[2 * i + 2].at_ms <= now_ms) {
			i = 2 * i + 2;
			continue;
		}
		/* Up until a right sibling is due and not seen yet. */
		for (;;) {
			if (!i)
				return;
			if (i % 2 && i + 1 < x->count && x->node[i + 1].at_ms <= now_ms) {
				i++;
				break;
			}
			i = (i - 1) / 2;
		}
	}
}

/* The first `n` are left: a heap of them. */
static void keep(struct expiry_heap *x, uint64_t n, struct work *work)
{
	x->count = n;
	for (uint64_t i = n / 2; i-- > 0;) {
		work_done(work, 1);
		sink(x, i);
	}
}

void expiry_heap_settle(struct expiry_heap *x, const struct marks *settled, struct work *work)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < x->count; i++) {
		work_done(work, 1);
		if (!marks_cover_stamp(settled, x->node[i].stamp))
			x->node[n++] = x->node[i];
	}
	keep(x, n, work);
}

void expiry_heap_remove(struct expiry_heap *x, uint32_t partition, struct work *work)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < x->count; i++) {
		work_done(work, 1);
		if (bucket_partition(x->node[i].stamp) != partition)
			x->node[n++] = x->node[i];
	}
	keep(x, n, work);
}
