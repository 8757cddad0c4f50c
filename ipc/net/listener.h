/*
 * A listening socket that libzmq accepts connections on, handled from outside.  libzmq's own unbind
 * takes down the connections that came in through a listener, and nothing of it lets a listener
 * rest; both are needed where one process serves what it has while another will accept.
 */
#ifndef PAIL_LISTENER_H
#define PAIL_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Drop what asks for a new connection at a TCP endpoint.  Who asks is not refused but goes on
 * trying, and reaches whoever listens there next.  0, -ENOENT: nothing listens there, or it is no
 * TCP endpoint; or negative errno.
 */
int listener_pause_accept(const char *endpoint);

/*
 * Take the listener of a TCP endpoint away from libzmq, which goes on with one that nobody knows.
 * Connections are still made and wait in the kernel's queue for who accepts next.  *ret_fd is the
 * listener, the caller's, not blocking.  0, -ENOENT, or negative errno.
 */
int listener_detach(const char *endpoint, int *ret_fd);

/* Where the listener of an endpoint is entered. */
struct listener_entry {
	int epoll; /* the instance; -1: none has been found */
	int fd;
	uint32_t events;
	uint64_t data;
};

/* Find it: needs two descriptors for a moment.  0, -ENOENT, or negative errno. */
int listener_find(const char *endpoint, struct listener_entry *ret);

/*
 * Have libzmq accept nothing until told to go on: who connects waits in the kernel's queue.  Needs
 * no descriptor.  0 or negative errno.
 */
int listener_pause(const struct listener_entry *x, bool on);

/* How many connections accepted at an endpoint (TCP or ipc) are open in this process. */
unsigned listener_connections(const char *endpoint);

#endif
