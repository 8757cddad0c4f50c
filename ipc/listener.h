/*
 * A listening socket that libzmq accepts connections on, handled from outside.  libzmq's own unbind
 * takes down the connections that came in through a listener, and nothing of it lets a listener
 * rest; both are needed where one process serves what it has while another will accept.
 */
#ifndef PAIL_LISTENER_H
#define PAIL_LISTENER_H

/*
 * Drop what asks for a new connection at a TCP endpoint.  Who asks is not refused but goes on
 * trying, and reaches whoever listens there next.  0, -ENOENT: nothing listens there, or it is no
 * TCP endpoint; or negative errno.
 */
int listener_deafen(const char *endpoint);

/*
 * Take the listener of a TCP endpoint away from libzmq, which goes on with one that nobody knows.
 * Connections are still made and wait in the kernel's queue for who accepts next.  *ret_fd is the
 * listener, the caller's, not blocking.  0, -ENOENT, or negative errno.
 */
int listener_take(const char *endpoint, int *ret_fd);

/* How many connections accepted at an endpoint (TCP or ipc) are open in this process. */
unsigned listener_connections(const char *endpoint);

#endif
