/*
 * Who has a partition, and who may say so.  A partition's copies lie on several nodes; the view
 * names the one that serves (the primary) and those that have all that was ever acknowledged (the
 * set in sync).  A view is changed by a compare-and-set on one key of the agreement, and by nothing
 * else; its revision orders what nodes know of it.
 *
 * The scheme is primary-backup with a log, where each member of the set acknowledges (PacificA:
 * Lin, Yang, Zhang, Zhou, MSR-TR-2008-25), with leases between the nodes themselves.
 */
#ifndef PAIL_REPLICA_VIEW_H
#define PAIL_REPLICA_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#define REPLICA_MEMBERS_MAX 8u   /* of a view; and of those that are to become members */
#define REPLICA_NODES_MAX   256u /* numbers of nodes are below it, and at least 1 */

/* A copy is a data folder, not a name: a node that comes back with an empty disk is a stranger. */
struct member {
	uint64_t store; /* the folder's random id */
	uint32_t node;  /* its number; 0: nobody */
	uint32_t zero;
};
_Static_assert(sizeof(struct member) == 16, "told between processes and nodes");

/*
 * A term is one primary's rule: the view's epoch (it grows with every change of primary), and the
 * life of the worker that leads in it (it grows with each start of that worker since its
 * coordinator's).  In one term no two records have one sequence, so two logs that both hold
 * (term, sequence) are equal up to there.
 */
#define TERM_LIFE_BITS 16u

static inline uint64_t term_make(uint32_t epoch, uint32_t life)
{
	return (uint64_t)epoch << TERM_LIFE_BITS | (life & 0xffffu);
}

static inline uint32_t term_epoch(uint64_t term)
{
	return (uint32_t)(term >> TERM_LIFE_BITS);
}

/* Where a record is in its partition's log; {0, 0}: before all. */
struct place {
	uint64_t term;
	uint64_t sequence;
};

static inline bool place_is(struct place a, struct place b)
{
	return a.term == b.term && a.sequence == b.sequence;
}

/*
 * A moment by two clocks, in microseconds.  CLOCK_BOOTTIME goes on while the machine is suspended
 * but is slewed by time daemons; CLOCK_MONOTONIC_RAW is not slewed but stands still in suspend.  So
 * whoever may do something until a moment stops when either has reached it, and whoever waits for
 * one waits until both have.  Their pace is trusted to within the drift.
 */
struct moment {
	uint64_t boot_us;
	uint64_t raw_us;
};
#define MOMENT_NEVER  ((struct moment){UINT64_MAX, UINT64_MAX})
#define MOMENT_BEFORE ((struct moment){0, 0})

static inline struct moment moment_after(struct moment m, uint64_t us)
{
	return (struct moment){m.boot_us > UINT64_MAX - us ? UINT64_MAX : m.boot_us + us,
			       m.raw_us > UINT64_MAX - us ? UINT64_MAX : m.raw_us + us};
}

/* May what is allowed until `until` still be done at `now`? */
static inline bool moment_holds(struct moment now, struct moment until)
{
	return now.boot_us < until.boot_us && now.raw_us < until.raw_us;
}

/* Is what is to be waited for until `until` over at `now`? */
static inline bool moment_passed(struct moment now, struct moment until)
{
	return now.boot_us >= until.boot_us && now.raw_us >= until.raw_us;
}

/* The earlier of the two, by each clock. */
static inline struct moment moment_least(struct moment a, struct moment b)
{
	return (struct moment){a.boot_us < b.boot_us ? a.boot_us : b.boot_us,
			       a.raw_us < b.raw_us ? a.raw_us : b.raw_us};
}

/* The later of the two, by each clock. */
static inline struct moment moment_most(struct moment a, struct moment b)
{
	return (struct moment){a.boot_us > b.boot_us ? a.boot_us : b.boot_us,
			       a.raw_us > b.raw_us ? a.raw_us : b.raw_us};
}

struct view {
	uint64_t revision; /* of its key in the agreement; 0: none is known */
	uint32_t epoch;
	uint32_t isr_count;
	struct member primary;
	struct member isr[REPLICA_MEMBERS_MAX]; /* the set in sync, the primary among it */
	/*
	 * Fewer copies than min_copies are in sync since the log ended here; {0, 0}: it is not so.
	 */
	struct place frozen;
	/*
	 * Of that log, so much was known to be committed then: what replies may consult until there
	 * are enough copies again.
	 */
	uint64_t frozen_commit;
	uint64_t by;   /* which compare-and-set wrote it: random, never used twice */
	bool released; /* the primary before it had stopped: its lease need not be waited out */
};

static inline bool member_is(struct member a, struct member b)
{
	return a.node == b.node && a.store == b.store;
}

/* Is `m` in the set in sync? */
static inline bool view_has(const struct view *v, struct member m)
{
	for (uint32_t i = 0; i < v->isr_count; i++)
		if (member_is(v->isr[i], m))
			return true;
	return false;
}

#endif
