/*
 * What the front asks of the cluster that the node belongs to.  Who answers lies above the front
 * (it needs links, workers and the agreement), so it hands over a table of functions; without one
 * the node has not joined, or belongs to none, and says so.
 */
#ifndef PAIL_CLUSTER_H
#define PAIL_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"
#include "coordinator/node/reply.h"

#define CLUSTER_NODES_MAX  255u /* of one cluster; numbers 1 to 255 */
#define CLUSTER_COPIES_MAX 8u   /* of a partition */

/* What operators ask for, as it came: checked for nothing but its form. */
struct cluster_create {
	struct span node[CLUSTER_NODES_MAX];
	uint32_t count;
	uint32_t factor;
	uint32_t min_copies; /* 0: not said */
	struct span keep;    /* whose data is kept; p NULL: nobody's */
};

/* Each answers `o`, now or later, once; the spans are the request's, gone when it returns. */
struct cluster_ops {
	void (*create)(void *arg, struct reply_to o, uint64_t msgid,
		       const struct cluster_create *x);
	void (*status)(void *arg, struct reply_to o, uint64_t msgid);
	/* This node hands over what it leads, and takes nothing over until it is told `on` = false. */
	void (*drain)(void *arg, struct reply_to o, uint64_t msgid, bool on);
	void *arg;
};

/* Where a bucket of the cluster is served, as the node that serves it says. */
struct cluster_place {
	uint32_t partition;
	uint32_t epoch;
	uint32_t copies;
	const char *copy[CLUSTER_COPIES_MAX]; /* names of the nodes in sync, itself first */
};

/* Why a node without cluster_ops has nothing to say of a cluster, into `out`. */
void cluster_explain(const struct conf *conf, char *out, size_t size);

/* The files that etcd asks for can be read, or errors of `conf` say which cannot. */
void cluster_files_check(struct conf *conf);

#endif
