/* Blocks of a sandbox: free lists by size, slabs behind them, and a list of what is large. */
#include "functions/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLAB_BYTES (256u * 1024)

/* Under ASan every block is malloc's, so that it is watched. */
#ifdef __SANITIZE_ADDRESS__
#define SMALL_MAX 0u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SMALL_MAX 0u
#endif
#endif
#ifndef SMALL_MAX
#define SMALL_MAX ARENA_SMALL_MAX
#endif

struct arena_slab {
	struct arena_slab *next;
	void *pad; /* blocks behind it are aligned to 16 */
};

struct arena_block {
	struct arena_block *next;
	struct arena_block *prev;
};

_Static_assert(sizeof(struct arena_slab) == ARENA_STEP, "blocks are aligned");
_Static_assert(sizeof(struct arena_block) == ARENA_STEP, "blocks are aligned");

void arena_init(struct arena *a, volatile sig_atomic_t *busy)
{
	memset(a, 0, sizeof(*a));
	a->busy = busy;
}

void arena_drop(struct arena *a)
{
	while (a->slabs) {
		struct arena_slab *s = a->slabs;

		a->slabs = s->next;
		(void)munmap(s, SLAB_BYTES);
	}
	while (a->blocks) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	arena_init(a, a->busy);
}

static size_t steps(size_t size)
{
	return (size + ARENA_STEP - 1) / ARENA_STEP;
}

size_t arena_cost(size_t size)
{
	if (!size)
		return 0;
	return size <= ARENA_SMALL_MAX ? steps(size) * ARENA_STEP
				       : size + sizeof(struct arena_block) + 16;
}

/* ---- large ---- */

static void block_link(struct arena *a, struct arena_block *b)
{
	b->prev = NULL;
	b->next = a->blocks;
	if (b->next)
		b->next->prev = b;
	a->blocks = b;
}

static void block_unlink(struct arena *a, struct arena_block *b)
{
	if (b->next)
		b->next->prev = b->prev;
	if (b->prev)
		b->prev->next = b->next;
	else
		a->blocks = b->next;
}

/* A block of `size` bytes out of `p`, which is NULL or one of ours; 0 frees. */
static void *large_resize(struct arena *a, void *p, size_t size)
{
	struct arena_block *b = p ? (struct arena_block *)p - 1 : NULL;
	struct arena_block *to = NULL;

	if (size > PTRDIFF_MAX - sizeof(*b))
		return NULL;
	++*a->busy;
	if (b)
		block_unlink(a, b);
	if (size) {
		to = realloc(b, sizeof(*b) + size);
		if (to || b)
			block_link(a, to ? to : b);
	} else {
		free(b);
	}
	--*a->busy;
	return to ? to + 1 : NULL;
}

/* ---- small ---- */

static void *small_new(struct arena *a, size_t n)
{
	void *p = a->free[n];
	struct arena_slab *s;

	if (p) {
		memcpy(&a->free[n], p, sizeof(void *));
		return p;
	}
	if ((size_t)(a->bump_end - a->bump) < n * ARENA_STEP) {
		++*a->busy;
		s = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			 0);
		if (s != MAP_FAILED) {
			s->next = a->slabs;
			a->slabs = s;
			a->bump = (char *)(s + 1);
			a->bump_end = (char *)s + SLAB_BYTES;
		}
		--*a->busy;
		if (s == MAP_FAILED)
			return NULL;
	}
	p = a->bump;
	a->bump += n * ARENA_STEP;
	return p;
}

static void small_free(struct arena *a, void *p, size_t n)
{
	memcpy(p, &a->free[n], sizeof(void *));
	a->free[n] = p;
}

static void *block_new(struct arena *a, size_t size)
{
	return size <= SMALL_MAX ? small_new(a, steps(size)) : large_resize(a, NULL, size);
}

static void block_free(struct arena *a, void *p, size_t size)
{
	if (size <= SMALL_MAX)
		small_free(a, p, steps(size));
	else
		(void)large_resize(a, p, 0);
}

void *arena_resize(struct arena *a, void *p, size_t old, size_t size)
{
	void *to = NULL;

	if (old && size && old <= SMALL_MAX && size <= SMALL_MAX && steps(old) == steps(size)) {
		to = p;
	} else if (old > SMALL_MAX && size > SMALL_MAX) {
		to = large_resize(a, p, size);
	} else if (size) {
		to = block_new(a, size);
		if (to && old)
			memcpy(to, p, old < size ? old : size);
	}
	if (size && !to)
		return NULL;
	if (old && (!size || (to != p && !(old > SMALL_MAX && size > SMALL_MAX))))
		block_free(a, p, old);
	a->used += arena_cost(size) - arena_cost(old);
	return to;
}
