/*
 * The simulated world of one run: its time, its chance, what is to happen, and memory that is given
 * back all at once.  A run is a function of its seed and of the faults that were taken out of it.
 * There is one world; it is begun anew for each run and keeps its memory.
 */
#ifndef PAIL_TESTS_REPLICA_WORLD_H
#define PAIL_TESTS_REPLICA_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MS    ((uint64_t)1000) /* of the world's time, which is in microseconds */
#define SEC   ((uint64_t)1000000)
#define NEVER UINT64_MAX

#define NODES      5u /* their numbers are 1 .. NODES */
#define PARTITIONS 2u /* both in the log of a node's one worker */

/* What happens; `a` and `bytes` are as world_at was given them. */
typedef void event_run(void *who, uint64_t a, void *bytes);

/* What a run counts, and what is summed up over runs. */
#define COUNTS(X)                     \
	X(RUNS, "runs")               \
	X(EVENTS, "events")           \
	X(ANSWERED, "answered")       \
	X(UNKNOWN, "unknown")         \
	X(REFUSED, "refused")         \
	X(TOO_FEW, "too few")         \
	X(ELSEWHERE, "elsewhere")     \
	X(FAULTS, "faults")           \
	X(EVIL, "faults at a change") \
	X(CRASHES, "crashes")         \
	X(WIPES, "disks lost")        \
	X(KILLS, "workers killed")    \
	X(HANDOVERS, "handovers")     \
	X(REEXECS, "re-execs")        \
	X(PAUSES, "pauses")           \
	X(HANGS, "disks hung")        \
	X(FULLS, "disks full")        \
	X(CUTS, "cuts of links")      \
	X(RETARGETS, "retargets")     \
	X(DRAINS, "drains")           \
	X(STOPS, "stops")             \
	X(VIEWS, "views")             \
	X(TAKEOVERS, "takeovers")     \
	X(SWITCHES, "switches")       \
	X(GROWS, "grows")             \
	X(SHRINKS, "shrinks")         \
	X(LEADS, "leads")             \
	X(DEPOSED, "deposed")         \
	X(TRUNCATED, "cuts of logs")  \
	X(TAUGHT, "learned anew")     \
	X(GROUPS, "groups")           \
	X(EXPIRED, "expired keys")    \
	X(UNDECIDED, "undecided")

enum count {
#define X(id, text) COUNT_##id,
	COUNTS(X)
#undef X
		COUNT_END
};
extern const char *const count_name[COUNT_END];

#define BAD_MAX 4u

struct world {
	uint64_t seed;
	uint64_t now; /* us since the run began */
	bool calm;    /* the network and the disks at their best */
	bool over;    /* something is wrong: the run ends */
	uint64_t count[COUNT_END];
	uint32_t bad_count;
	char bad[BAD_MAX][160];
	bool trace;      /* lines are made */
	bool trace_tell; /* and printed at once; else the last ones are kept */
};

extern struct world world;

/* Begin a run.  What the one before had allocated is gone. */
void world_begin(uint64_t seed);
/* Let everything happen that is to happen before `until`, or until something is wrong. */
void world_run(uint64_t until);
void world_at(uint64_t at, event_run *run, void *who, uint64_t a, void *bytes);
void world_after(uint64_t us, event_run *run, void *who, uint64_t a, void *bytes);
/* All that is to happen is forgotten. */
void world_forget(void);

/* ---- chance ---- */

uint64_t chance_u64(void);
/* Another course of chance from here on; 0: the seed's own. */
void chance_stir(uint32_t jitter);
/* One of 0 .. n - 1. */
uint32_t chance_below(uint32_t n);
/* From lo to hi, both included. */
uint64_t chance_range(uint64_t lo, uint64_t hi);
/* True so many times in a million. */
bool chance_ppm(uint32_t ppm);
#define PERCENT          10000u
#define chance_of(array) ((array)[chance_below((uint32_t)(sizeof(array) / sizeof((array)[0])))])

/* The same from a state of its own: what is planned does not depend on what has happened. */
uint64_t chance_next(uint64_t *state);

/* ---- memory ---- */

/* Kept until the run's end. */
void *keep(size_t size);
/* Until it is given back, at the latest until the run's end. */
void *take(size_t size);
void give(void *p);

/* ---- what is found ---- */

/* Something is wrong: the run is bad. */
__attribute__((format(printf, 1, 2))) void violate(const char *text, ...);
__attribute__((format(printf, 1, 2))) void trace_line(const char *text, ...);
#define TRACE(...)                               \
	do {                                     \
		if (world.trace)                 \
			trace_line(__VA_ARGS__); \
	} while (0)
/* Print the last lines, at most so many. */
void trace_print(uint32_t lines);

static inline void count(enum count what)
{
	world.count[what]++;
}

#endif
