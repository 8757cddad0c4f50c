/*
 * What clients saw, and whether one copy that does one thing at a time could have shown it.
 *
 * Each partition has a few keys; those that groups write together make one object, so an object is
 * at most two values.  An operation is what it found (`pre`) and what it left (`post`); that is all
 * the checker knows of gets, puts, puts with a condition, and groups.
 *
 * The search is Wing and Gong's with Lowe's memo of (what is done, state); object by object, which
 * is enough (Herlihy and Wing: linearizability is local).
 */
#ifndef PAIL_TESTS_REPLICA_HISTORY_H
#define PAIL_TESTS_REPLICA_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/replica/world.h"

enum { KEY_ALONE, KEY_FIRST, KEY_SECOND, KEY_TTL, KEYS };
enum { OBJECT_ALONE, OBJECT_PAIR, OBJECT_TTL, OBJECTS };

struct step {
	uint64_t begin, end;          /* NEVER: nobody knows whether it happened, or when */
	uint32_t pre_mask, post_mask; /* of the object's two values */
	uint32_t pre[2], post[2];     /* 0: there is none */
	bool expired; /* it found none where there may have been a value whose time was over */
};

/* One object's steps, in any order; steps_linear keeps them. */
enum linear { LINEAR_YES, LINEAR_NO, LINEAR_UNDECIDED };
enum linear steps_linear(const struct step *step, uint32_t count);

void history_begin(void);
void history_add(uint32_t partition, uint32_t object, const struct step *s);
/* A write was told this version; `what` is of that write alone. */
void history_version(uint32_t partition, uint64_t version, uint32_t what, uint64_t begin,
		     uint64_t end);
/* Says what is wrong by violate(). */
void history_check(void);

#endif
