/*
 * What moves bytes, as a table of functions: ZeroMQ's sockets, or in a test links that are
 * simulated, so that several nodes run in one process and on one clock.  What each function does is
 * told in socket.h; the sockets of a table are given to no other's functions.
 */
#ifndef PAIL_NET_OPS_H
#define PAIL_NET_OPS_H

#include "ipc/net/socket.h"

struct net_ops {
	int (*connect)(struct socket_context *c, const char *endpoint,
		       const struct socket_options *o, struct socket **ret);
	void (*close)(struct socket **l);
	enum socket_event (*event)(struct socket *l);
	bool (*maybe_readable)(const struct socket *l);
	bool (*ready)(struct socket *l, bool *ret_writable);
	int (*receive)(struct socket *l, uint64_t bytes_max, struct socket_message **ret);
	struct span (*message_key)(const struct socket *l); /* NULL: no socket of it has keys */
	int (*send)(struct socket *l, struct span id, bool delimiter, void *data, size_t n,
		    void (*done)(void *data, void *arg), void *arg);
	int (*reply)(struct socket *l, struct span id, const struct span *envelope, uint32_t count,
		     void *data, size_t n, void (*done)(void *data, void *arg), void *arg);
};

/* The real one. */
extern const struct net_ops net_zmq;

#endif
