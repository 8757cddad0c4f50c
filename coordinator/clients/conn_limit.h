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
#ifndef PAIL_CONN_LIMIT_H
#define PAIL_CONN_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct conn_limit;

/* Bytes of unfinished messages: */
struct conn_limit_limits {
	uint64_t one;   /* of a connection */
	uint64_t small; /* of all together, if they swell in memory */
	uint64_t all;   /* of all together */
};

int conn_limit_new(const struct conn_limit_limits *limits, struct conn_limit **ret);
void conn_limit_free(struct conn_limit **g);
/* Other limits from now on. */
/* From now on it counts what it cuts off. */
struct figures;
void conn_limit_count(struct conn_limit *g, struct figures *f);
void conn_limit_configure(struct conn_limit *g, const struct conn_limit_limits *limits);
/* Connections accepted at this endpoint are watched (TCP; others are of this machine's own users).
 */
void conn_limit_watch(struct conn_limit *g, const char *endpoint);
/* A message has come from the connection `fd`; -1: nobody knows from which. */
void conn_limit_saw(struct conn_limit *g, int fd);
/* All messages that were whole at `now_ms` have been seen. */
void conn_limit_drained(struct conn_limit *g, uint64_t now_ms);
/*
 * Look at some connections; `waiting` bytes of replies are not taken yet.  Returns whether to come
 * again in CONN_LIMIT_MS, though nothing else happens.
 */
bool conn_limit_tick(struct conn_limit *g, uint64_t waiting, uint64_t now_ms);
#define CONN_LIMIT_MS 100u

#endif
