/*
 * Names of hosts to addresses.  ZeroMQ looks a name up by itself, but in its I/O thread, where all
 * connections of the process wait meanwhile, and takes one address of it, an IPv6 one if there is
 * any: `localhost` is then unreachable on a node that listens on 127.0.0.1.
 *
 * Here a thread of its own looks a name up, so that nobody waits longer than he wants to; what it
 * finds is kept.  Any thread may ask.
 */
#ifndef PAIL_RESOLVE_H
#define PAIL_RESOLVE_H

#include <sys/socket.h>

#include "ipc/net/socket.h"

#define RESOLVE_ADDRESSES_MAX 8u

struct addresses {
	char endpoint[RESOLVE_ADDRESSES_MAX][SOCKET_ENDPOINT_MAX];
	struct sockaddr_storage address[RESOLVE_ADDRESSES_MAX]; /* of those of a name */
	unsigned count;                                         /* at least 1 */
	unsigned turn; /* how often this name has been asked for */
};

/*
 * The endpoints that `endpoint` stands for: itself, if its host is no name.  Waits at most wait_ms.
 * 0, -EAGAIN (not known yet: ask again), -ENOENT (there is no such name), or negative errno.
 */
int resolve(const char *endpoint, unsigned wait_ms, struct addresses *ret);

/*
 * Which address of a name takes a connection: each is tried for at most ms.  Its index, or
 * -ECONNREFUSED: none.
 */
int resolve_probe(const struct addresses *a, unsigned ms);

#endif
