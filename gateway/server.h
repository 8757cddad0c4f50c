/*
 * TCP connections that speak the text dialogue, over one connection to a node.  Answers leave in
 * the order of their lines, however many are in flight.  Everything is bounded: a connection that
 * does not read its answers is read no more, and after a while cut off.
 */
#ifndef PAIL_SERVER_H
#define PAIL_SERVER_H

#include <stddef.h>

#include "include/pail.h"

struct server_config {
	const char *listen;   /* HOST:PORT, numbers; port 0: any free one */
	unsigned connections; /* at a time; more wait to be accepted */
	size_t line_max;      /* bytes; a longer line is answered with an error */
};

struct server;

/*
 * Listen.  0, -EINVAL: `listen` is no address, or negative errno.  `bound` (size >= 64) tells
 * where. The connection to the node stays the caller's.
 */
int server_new(const struct server_config *config, struct pail *node, struct server **ret,
	       char *bound, size_t size);
/* Serve until TERM or INT; then finish what is in flight. */
void server_run(struct server *s);
void server_free(struct server **s);

#endif
