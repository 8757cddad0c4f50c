/*
 * What goes wrong in a run: a list that is made of the seed alone, so that each fault can be taken
 * out of it and the rest stays.  Whom a fault hits is decided when it happens: mostly the primary,
 * or a member of the set.
 */
#ifndef PAIL_TESTS_REPLICA_FAULT_H
#define PAIL_TESTS_REPLICA_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/replica/world.h"

struct node;

#define FAULTS_MAX 64u

/* What runs are aimed at besides; a bit each. */
#define AIMS(X)                                                                                   \
	X(HINT, "hint", "a primary may begin to send below the common point")                     \
	X(KILLACK, "killack", "acks are late; kills of workers are followed by cuts and crashes") \
	X(LATEKILL, "latekill", "a killed worker's successor may come late")                      \
	X(REFUSE, "refuse", "requests that a dead worker had begun may be refused at once")       \
	X(SLOWDISK, "slowdisk", "disks are slow, and then the worker is killed")                  \
	X(STALL, "stall", "workers stall, and queues to them are long")                           \
	X(TIGHT, "tight", "two copies must have it; members come and go")

enum aim {
#define X(id, name, text) AIM_##id,
	AIMS(X)
#undef X
		AIM_COUNT
};
extern const char *const aim_name[AIM_COUNT];
extern uint32_t aims; /* of this run */

static inline bool aimed(enum aim a)
{
	return aims >> a & 1u;
}

struct plan {
	uint64_t without; /* faults that are left out, a bit each */
	bool no_evil;     /* nothing breaks just when a change is asked for */
	uint32_t jitter;  /* another course of the same faults */
};

/* Plan the run's faults, which end at `end`. */
void faults_begin(const struct plan *p, uint64_t end);
uint32_t faults_planned(void);
/* Something breaks just as n asks for a change that would take `us`.  Returns what it takes now. */
uint64_t fault_evil(struct node *n, uint64_t us);
/* Everything is whole again. */
void faults_heal(void);

#endif
