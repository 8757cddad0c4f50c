/* The ways that requests went before a change of the routing table, and what then waits. */
#ifndef PAIL_OLD_WAYS_H
#define PAIL_OLD_WAYS_H

#include "coordinator/front/front.h"

/*
 * The table has changed for the bytes in `set`, whose requests went the ways of `old` so far: note
 * them, so that the fence can be told when those requests are answered.
 */
void old_ways_note(struct front *front, const char *set, const struct route_table *old,
		   struct peer *const *old_peers);
/* What the fence asks: about them, and for the new way. */
struct fence_events old_ways_events(struct front *front);

#endif
