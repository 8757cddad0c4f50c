/*
 * The memory of a sandbox: small blocks from slabs, large ones one by one, all of it thrown away at
 * once.  It may be left in the middle of a call, by the hard stop, and then only be thrown away:
 * what that needs is changed only while *busy says that nobody may interrupt.
 */
#ifndef PAIL_FUNCTIONS_ARENA_H
#define PAIL_FUNCTIONS_ARENA_H

#include <signal.h>
#include <stddef.h>

#define ARENA_SMALL_MAX 512u /* bytes; above it a block is malloc's */
#define ARENA_STEP      16u

struct arena {
	void *free[ARENA_SMALL_MAX / ARENA_STEP +
		   1]; /* by size in steps; linked through the blocks */
	char *bump;    /* the rest of the newest slab */
	char *bump_end;
	struct arena_slab *slabs;
	struct arena_block *blocks;
	volatile sig_atomic_t *busy;
	size_t used; /* bytes of blocks that are in use, with what each costs besides */
};

void arena_init(struct arena *a, volatile sig_atomic_t *busy);
void arena_drop(struct arena *a); /* all of it; it may be used again */

/* As realloc, for a block of `old` bytes (0: none yet); `size` 0 frees.  NULL: no memory. */
void *arena_resize(struct arena *a, void *p, size_t old, size_t size);

/* What a block of so many bytes adds to `used`. */
size_t arena_cost(size_t size);

#endif
