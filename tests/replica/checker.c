/*
 * The checker checked: histories of a register of two values that does one thing at a time are
 * linearizable, and are not when a read is told what was there long before.
 */
#include <string.h>

#include "tests/replica/run.h"
#include "tests/replica/history.h"

#define STEPS     120u
#define ACTORS    5u
#define HISTORIES 200u

/* Returns how many steps.  `stale`: one read tells of the state some writes ago. */
static uint32_t history_make(uint64_t *chance, struct step *step, bool stale)
{
	uint64_t free_at[ACTORS] = {0}, at = 0;
	uint32_t value[2] = {0}, old[STEPS][2], writes = 0, n = 0, broken = 0;

	while (n < STEPS) {
		uint32_t who = (uint32_t)(chance_next(chance) % ACTORS);
		uint32_t mask = 1 + (uint32_t)(chance_next(chance) % 3);
		struct step s = {0};

		at += 1 + chance_next(chance) % 50; /* it happens now, between its begin and end */
		if (free_at[who] >= at)
			continue;
		s.begin = free_at[who] + 1 + chance_next(chance) % (at - free_at[who]);
		s.end = at + chance_next(chance) % 100;
		free_at[who] = s.end;
		if (chance_next(chance) % 2) {
			memcpy(old[writes++], value, sizeof(value));
			for (uint32_t i = 0; i < 2; i++)
				if (mask >> i & 1u)
					value[i] = s.post[i] = 1 + n;
			s.post_mask = mask;
			if (!stale && who && chance_next(chance) % 10 == 0)
				s.end = NEVER;
		} else {
			s.pre_mask = 3;
			memcpy(s.pre, value, sizeof(value));
			if (stale && writes > 20 && !broken++)
				memcpy(s.pre, old[writes - 15], sizeof(value));
		}
		step[n++] = s;
	}
	return n;
}

bool checker_holds(void)
{
	struct step step[STEPS];
	uint64_t chance = 1;

	for (uint32_t i = 0; i < HISTORIES; i++) {
		bool stale = i % 2;
		uint32_t n = history_make(&chance, step, stale);

		if (steps_linear(step, n) != (stale ? LINEAR_NO : LINEAR_YES))
			return false;
	}
	return true;
}
