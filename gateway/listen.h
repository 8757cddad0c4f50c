/* Where the gateway listens. */
#ifndef PAIL_LISTEN_H
#define PAIL_LISTEN_H

#include <event2/listener.h>
#include <stddef.h>

/*
 * Listen on HOST:PORT, HOST a number, port 0: any free one.  0, -EINVAL: that is no address, or
 * negative errno.  `bound` (size >= 64) tells where.  What *ret is then is the caller's to free, also
 * behind an error.
 */
int listen_on(struct event_base *base, const char *address, int backlog,
	      evconnlistener_cb on_accept, void *arg, struct evconnlistener **ret, char *bound,
	      size_t size);

#endif
