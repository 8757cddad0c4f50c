/*
 * The simulated world: one clock, one list of what is to happen, one source of chance.  Everything
 * in a run follows from its seed, so each run can be had again.  Time passes between events only,
 * and the real clock is never read (system.c sees to it).
 */
#ifndef PAIL_SIM_WORLD_H
#define PAIL_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORLD_NEVER UINT64_MAX
#define WORLD_MS    1000u /* microseconds */

struct world {
	uint64_t seed;
	uint64_t now_us;
	uint64_t hash;   /* of all that was noted: equal runs have equal ones */
	uint64_t events; /* that have happened */
	bool trace;      /* show what is noted */
	bool failed;
	char failure[600]; /* the first one */
};
extern struct world world;

void world_open(uint64_t seed, bool trace);
void world_close(void);

/* `run(arg)` at that time; what is due at one time happens in the order in which it was asked for.
 * It cannot be taken back: who is called looks whether it is still wanted. */
void world_at(uint64_t at_us, void (*run)(void *arg), void *arg);
/* Let things happen until `until_us`, or until something has failed. */
void world_run(uint64_t until_us);

/* Memory, zeroed, that lives until world_close. */
void *world_alloc(size_t n);

/* A number below `below`, which is at least 1; one from `least` to `most`; true `percent` of the
 * time. */
uint64_t world_random(uint64_t below);
uint64_t world_between(uint64_t least, uint64_t most);
bool world_chance(unsigned percent);

/* Write down what happens: it is part of the hash, and shown with `trace`. */
void world_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A promise is broken: the run ends, and the first of these is what it says. */
void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
