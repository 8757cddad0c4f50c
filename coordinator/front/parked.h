/*
 * Requests for buckets of the cluster that cannot go anywhere now: nobody is known to serve their
 * partition, or what went the way before must be answered first, so that none overtakes.  They go
 * when the partition's view has changed, or are answered when their time is over.
 */
#ifndef PAIL_PARKED_H
#define PAIL_PARKED_H

#include "coordinator/front/front.h"

struct parked;
struct queue;
struct request_record;
struct unanswered;

int parked_new(uint32_t partitions, struct parked **ret);
void parked_free(struct parked **p);

/* The partition may be served elsewhere now: parked_step looks. */
void parked_changed(struct front *front, uint32_t partition);
/* Send the request its way; false: there is none now, and it was parked, or answered busy. */
bool parked_route(struct front *front, struct message *m, const struct request *q, struct item *it,
		  uint32_t partition, struct peer **ret_peer);
/* What an item of the partition has for its worker: see entry_gate. */
uint8_t parked_gate(const struct front *front, uint32_t partition);
/* queue_events: a worker has not run it.  It goes before what waits for its partition. */
void parked_elsewhere(void *arg, const struct request_record *rec, uint32_t i, uint64_t order);
/*
 * struct peers' on_unanswered: it was sent to a node that will not answer it, or has given it back.  It
 * goes before what waits for its partition.
 */
void parked_unanswered(void *arg, const struct unanswered *x);
/* Does any request wait? */
bool parked_any(const struct front *front);
/* Let go what can go, answer what is overdue.  Returns when to look again. */
uint64_t parked_step(struct front *front);

#endif
