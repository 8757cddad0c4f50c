/*
 * Where a node listens by what it was given, and not by its settings: sockets of the service
 * manager's, and those of the program before it.  What they are bound to is what counts.
 */
#ifndef PAIL_LISTENERS_H
#define PAIL_LISTENERS_H

#include <stddef.h>

#include "common/config/config.h"

/*
 * Without keys nobody but this machine may reach a node, unless security.open says so.  Sockets for
 * clients and for nodes, 0: there is none.  0, or -EACCES with `why`, which says what to do.
 */
int listeners_check(const struct conf *c, int client_fd, int node_fd, char *why, size_t why_size);

/* Likewise, of the places where a running node listens; "": nowhere. */
int listeners_keep_check(const struct conf *c, const struct conf *old, const char *client,
			 const char *node, char *why, size_t why_size);

#endif
