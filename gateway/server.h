/*
 * TCP connections that speak the text dialogue, over one connection to a node.  Answers leave in
 * the order of their lines, however many are in flight.  Everything is bounded: a connection that
 * does not read its answers is read no more, and after a while cut off.
 */
#ifndef PAIL_SERVER_H
#define PAIL_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "include/pail.h"

struct server_config {
	const char *listen;   /* HOST:PORT, numbers; port 0: any free one */
	unsigned connections; /* at a time; more wait to be accepted */
	size_t line_max;      /* bytes; a longer line is answered with an error */
};

struct event_base;
struct server;

/*
 * Listen.  0, -EINVAL: `listen` is no address, or negative errno.  `bound` (size >= 64) tells
 * where. The loop and the connection to the node stay the caller's.
 */
int server_new(const struct server_config *config, struct event_base *base, struct pail *node,
	       struct server **ret, char *bound, size_t size);
/* Before the loop sleeps, and about once a second. */
void server_step(struct server *s);
void server_tick(struct server *s);
/* Take no more; what is in flight is finished.  Is it? */
void server_stop(struct server *s);
bool server_ended(const struct server *s);
void server_free(struct server **s);

#endif
