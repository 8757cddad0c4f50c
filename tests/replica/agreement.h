/*
 * The agreement (etcd): a view a partition, changed by compare-and-set on its revision.  It is
 * linearizable; requests reach it late, or never, answers get lost, and whoever asked does not know
 * which.  What is there besides: whom copies shall be on, and the folders that nodes have
 * registered.
 */
#ifndef PAIL_TESTS_REPLICA_AGREEMENT_H
#define PAIL_TESTS_REPLICA_AGREEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/view.h"
#include "tests/replica/world.h"

struct node;

struct target {
	uint32_t node[NODES];
	uint32_t count;
};

struct agreement {
	struct view view[PARTITIONS];
	struct target target[PARTITIONS];
	uint64_t store[NODES + 1];
	uint64_t revision; /* of the whole store */
	uint64_t down_until;
	uint32_t on_way;   /* changes that may still happen */
	uint32_t evil_ppm; /* how often something breaks just when a change is asked for */
	/* A directed case's: called for each change that is asked for; false: it is the case's own. */
	bool (*asked)(struct node *n, uint32_t partition, const struct view *v);
};

extern struct agreement agreement;

void agreement_begin(void);
/* node_viewed is called with what is there; `known` comes back with it. */
void agreement_get(struct node *n, uint32_t partition, uint64_t known);
void agreement_cas(struct node *n, uint32_t partition, uint64_t revision, uint64_t known,
		   const struct view *v);
/* The same, landing after `us` for sure; the answer goes the usual way. */
void agreement_cas_late(struct node *n, uint32_t partition, uint64_t revision, const struct view *v,
			uint64_t us);
/* All views: node_viewed with each, then node_listed. */
void agreement_list(struct node *n, uint64_t known);
const char *view_text(const struct view *v); /* until the next call but three */

#endif
