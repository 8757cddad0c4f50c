/*
 * ZeroMQ limits the size of a frame, but not of a message: a client that sends frames without end,
 * each said to be followed by another, fills memory, and nothing of it is ever seen here.  So the
 * kernel is asked how much each accepted connection has received: one that has received far more
 * than a message may have, while none came out of it, is cut off.
 */
#ifndef PAIL_GUARD_H
#define PAIL_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct guard;

/* `limit`: bytes that a connection may receive while no message of it is seen. */
int guard_new(uint64_t limit, struct guard **ret);
void guard_free(struct guard **g);
/* Connections accepted at this endpoint are watched (TCP; others are of this machine's own users).
 */
void guard_watch(struct guard *g, const char *endpoint);
/* A message has come from the connection `fd`; -1: nobody knows from which. */
void guard_saw(struct guard *g, int fd);
/* Look at some connections.  Returns whether to come again in GUARD_MS, though nothing else
 * happens. */
bool guard_tick(struct guard *g, uint64_t now_ms);
#define GUARD_MS 100u

#endif
