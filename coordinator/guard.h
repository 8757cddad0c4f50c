/*
 * ZeroMQ limits the size of a frame, but not of a message: a client that sends frames without end,
 * each said to be followed by another, fills memory, and nothing of it is ever seen here.  So the
 * kernel is asked how much each accepted connection has received since its last message: those are
 * bytes of an unfinished one.  A connection that has more of them than a message may have is cut
 * off.
 *
 * The smallest frames take 31 bytes of memory for a byte on the wire, so all connections together
 * have a bound too, above which those with the most are cut off.  Large frames take no more than
 * what they are, and many clients may send large values at a time: where memory has not grown by
 * far more than what was received, the bound is a share of the memory there is.
 *
 * No connection is judged before all messages that were whole by then have been seen.
 */
#ifndef PAIL_GUARD_H
#define PAIL_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct guard;

/* Bytes of unfinished messages: */
struct guard_limits {
	uint64_t one;   /* of a connection */
	uint64_t small; /* of all together, if they swell in memory */
	uint64_t all;   /* of all together */
};

int guard_new(const struct guard_limits *limits, struct guard **ret);
void guard_free(struct guard **g);
/* Other limits from now on. */
void guard_configure(struct guard *g, const struct guard_limits *limits);
/* Connections accepted at this endpoint are watched (TCP; others are of this machine's own users).
 */
void guard_watch(struct guard *g, const char *endpoint);
/* A message has come from the connection `fd`; -1: nobody knows from which. */
void guard_saw(struct guard *g, int fd);
/* All messages that were whole at `now_ms` have been seen. */
void guard_drained(struct guard *g, uint64_t now_ms);
/*
 * Look at some connections; `waiting` bytes of replies are not taken yet.  Returns whether to come
 * again in GUARD_MS, though nothing else happens.
 */
bool guard_tick(struct guard *g, uint64_t waiting, uint64_t now_ms);
#define GUARD_MS 100u

#endif
