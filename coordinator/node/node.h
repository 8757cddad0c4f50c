/*
 * What every part of the coordinator may know of its node: the settings in force, the time, the
 * limits.  Parts have it as a pointer to const, but for `changed`, which any of them may set; each
 * other field has the one writer that is named with it.
 */
#ifndef PAIL_NODE_H
#define PAIL_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "ipc/wire/peer_message.h"

struct conf;
struct key_file;
struct net_ops;
struct figures;

struct node {
	/* setup's, then reload's: a reload puts another one in its place */
	struct conf *conf;
	/* setup's */
	const struct net_ops *net;  /* what moves bytes */
	const struct key_file *key; /* the node's own pair; NULL: no keys are asked for */
	uint64_t started_ms;
	uint64_t started_wall_ms;
	uint64_t request_max; /* bytes of one request that can be right, if it has no parts */
	uint64_t queue_max;   /* bytes that may wait for a peer, or for a reload to settle */
	uint64_t frame_max;   /* bytes of a frame between nodes */
	struct peer_versions peer_versions; /* that it speaks with other nodes */
	uint64_t upgrades;                  /* of this process */
	uint32_t partitions;                /* of the data folder */
	bool replicated;                    /* they may have copies on other nodes */
	uint32_t
		own_first; /* where those of own buckets begin, beside such; 0: there are no such */
	char store[33];    /* the data folder's id; "" without a folder */
	struct figures *figures; /* coordinator/node/figures.h; NULL: nobody counts */
	/* reload's */
	uint64_t reloads; /* that were carried out */
	/* setup's, then reload's: the digest of the functions' modules, which other nodes are told;
	 * "": they are told none */
	char functions[PEER_MESSAGE_DIGEST + 1];
	/* the loop's */
	uint64_t now_ms; /* when this round began, or a moment later */
	uint64_t now_us; /* the same moment */
	bool stopping;
	/* the front's: what a byte of a reply takes on its way from a ring to ZeroMQ, about */
	uint64_t copy_ps;
	/* anybody's: a worker's or a peer's state may have changed, deadlines are to be looked at
	 * anew; the loop takes it back */
	bool changed;
};

/* Look at the clock.  Returns now_ms. */
static inline uint64_t node_clock(struct node *node)
{
	node->now_us = clock_us();
	node->now_ms = node->now_us / 1000;
	return node->now_ms;
}

#endif
