/*
 * Fair turns in a worker's queue.  A worker runs what is in its ring in order, so how long a
 * request waits is what lies before it there.  So the ring gets little at a time: work of some
 * milliseconds, by what the requests of each client have taken lately (the stamps of reply blocks).
 * What a client has beyond that waits here, in its order, and clients take turns: a slice each,
 * whenever the worker has got on.  A client none of whose requests is before the worker gets its
 * first slice into the ring at once.
 *
 * What waits has not been started: it can be expired or refused without a doubt, and outlives the
 * death of a worker.  It counts with the ring's size: a queue holds no more than before, the ring
 * has room for all that waits, and one client leaves a part of it to others.
 *
 * One client's requests keep their order.  Clients whose numbers are equal modulo TURNS_MAX share a
 * turn, and their order.
 */
#ifndef PAIL_TURNS_H
#define PAIL_TURNS_H

#include "coordinator/queue/queue.h"

#define TURNS_MAX 4096u /* a power of two */

struct turns;

int turns_new(struct turns **ret);
void turns_free(struct turns **t);

/*
 * The `count` items from item[first] on, which take `bytes` at most in a record, for `client`:
 * into the ring, or behind what waits.  `o` gets the replies.  0, or -EAGAIN: there is no room, and
 * none of them was taken.
 */
int turns_push(struct queue *q, struct reply_to client, struct reply_to o, const struct item *item,
	       uint32_t first, uint32_t count, uint64_t bytes);
/* The worker may have got on: into the ring with what may go there now. */
void turns_step(struct queue *q);
/* Whether turns_step would do anything. */
bool turns_ready(const struct queue *q);
/* All that waits goes into the ring, whoever waits behind it. */
void turns_flush(struct queue *q);

/* Bytes that wait, as they count. */
uint64_t turns_waiting(const struct queue *q);
/* A number that grows with what is put behind others, and whether anything up to it waits. */
uint64_t turns_last(const struct queue *q);
bool turns_waits(const struct queue *q, uint64_t number);

#endif
