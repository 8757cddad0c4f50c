/*
 * What lies between nodes, clients and the agreement: late, lost, twice, out of order without limit,
 * cut in one direction or both.
 */
#ifndef PAIL_TESTS_REPLICA_NET_H
#define PAIL_TESTS_REPLICA_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/replica/world.h"

#define AT_AGREEMENT 0u           /* nodes are 1 .. NODES */
#define AT_CLIENTS   (NODES + 1u) /* never cut off: they are where they reach somebody */
#define PLACES       (NODES + 2u)

struct net {
	uint64_t cut_until[PLACES][PLACES];
	uint32_t slow, lossy; /* so many faults of that kind go on */
};

extern struct net net;

void net_begin(void);
/* Nothing goes from a to b for so long. */
void net_cut(uint32_t a, uint32_t b, uint64_t us);
/* Neither from nor to it; the agreement too. */
void net_island(uint32_t node, uint64_t us);
void net_heal(void);
bool net_is_cut(uint32_t a, uint32_t b);
uint64_t net_delay(void);
/* `run` happens at b, if it arrives; else `bytes` are given back.  NULL bytes may arrive twice. */
void net_send(uint32_t a, uint32_t b, event_run *run, void *who, uint64_t arg, void *bytes);

#endif
