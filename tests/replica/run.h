/*
 * One run: of a seed, or of a directed case, which is a schedule of what random faults do not find.
 */
#ifndef PAIL_TESTS_REPLICA_RUN_H
#define PAIL_TESTS_REPLICA_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/rules.h"
#include "tests/replica/fault.h"

#define RUN_FAULTS_US (9 * SEC)   /* of faults */
#define RUN_HEAL_US   (4500 * MS) /* for all to be well again */
#define RUN_CASE_US   (14 * SEC)  /* of a directed case */
#define RUN_LAST_US   (2 * SEC)   /* for what is asked for then */

#define AIMS_BY_SEED UINT32_MAX

struct outcome {
	bool bad;
	uint32_t faults; /* planned */
	char what[160];
	uint64_t count[COUNT_END];
};

/* `with`: bits of aims, or AIMS_BY_SEED: every other run has some. */
void run_seed(uint64_t seed, const struct plan *p, uint32_t with, struct outcome *ret);

struct directed {
	const char *name;
	enum replica_rule rule; /* that it is a control of; RULE_COUNT: of none */
	const char *what;
	void (*prepare)(void); /* the schedule; all nodes boot at 0 */
	void (*judge)(void);   /* at the end, besides what every run is checked for */
	uint32_t runs;         /* seeds 1 .. runs */
	bool stuck;            /* it may stand still at the end */
	uint32_t min_copies;   /* 0: 1 */
	bool spread;           /* each partition is led by another node, not all by node 1 */
};
extern const struct directed directed[];
extern const uint32_t directed_count;

/* The checker of histories finds what it is to find, and nothing else (checker.c). */
bool checker_holds(void);

void run_directed(const struct directed *d, uint64_t seed, struct outcome *ret);

#endif
