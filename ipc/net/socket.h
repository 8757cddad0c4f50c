/*
 * ZeroMQ sockets: a node's ROUTERs, the DEALERs to its peers, a client's DEALER.  Only this
 * folder includes zmq.h.  A message is an optional envelope and then body frames; in front
 * of it, at a ROUTER, the peer's routing id.  An envelope is what REQ sockets and proxies put
 * before a request: all frames up to and with the first empty one.  Nothing here ever blocks.
 */
#ifndef PAIL_SOCKET_H
#define PAIL_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

#define SOCKET_FRAMES_MAX         4097u /* body frames kept of a message; one more than there may be */
#define SOCKET_ENVELOPE_MAX       8u    /* frames before an empty one that is a delimiter, */
#define SOCKET_ENVELOPE_FRAME_MAX 255u /* and bytes of each of them */
#define SOCKET_ENDPOINT_MAX       256u

struct socket_context;
struct socket;

/* One I/O thread.  After fork and exec, before any other thread.  0 or negative errno. */
int socket_context_new(struct socket_context **ret);
/* Blocks until sockets have lingered.  Accepts NULL. */
void socket_context_free(struct socket_context **c);

/* What a socket proves itself with, each KEY_TEXT characters of common/key.h; kept by socket_bind and
 * socket_connect no longer than they run. */
struct socket_keys {
	const char *public;
	const char *secret;
	const char *server; /* socket_connect: whom it believes; NULL at a socket that is bound */
	const char *domain; /* socket_bind: what the door is asked for, see curve.h */
};

struct socket_options {
	uint64_t frame_max;     /* a larger frame closes its connection; 0: no limit */
	unsigned receive_queue; /* messages a peer may have waiting here */
	unsigned linger_ms;     /* at close, for what has not been sent */
	unsigned send_queue;    /* messages that may wait to be sent; 0: no limit */
	int listener_fd; /* socket_bind: a socket that listens already, the link's from now on,
			    not blocking; 0: none */
	bool once;       /* socket_connect: one connection, watched, never made anew */
	bool watched;    /* socket_connect: its handshakes are events, until socket_unwatch */
	const struct socket_keys *keys; /* NULL: it trusts whoever is there */
};

/* Bind a ROUTER.  `bound` (SOCKET_ENDPOINT_MAX bytes) tells where, if the port was a wildcard. */
int socket_bind(struct socket_context *c, const char *endpoint, const struct socket_options *o,
		struct socket **ret, char *bound);
/*
 * Connect a DEALER.  Returns at once: connecting goes on behind.  With `once` a host's name is
 * looked up, which waits for a moment at most (-EAGAIN: try again, -ENOENT: there is no such name),
 * and if it has several addresses, each call takes the next one.
 */
int socket_connect(struct socket_context *c, const char *endpoint, const struct socket_options *o,
		   struct socket **ret);
/*
 * Take no more connections on a bound TCP endpoint; those there are live on.  0, -ENOENT (it is no
 * TCP endpoint), or negative errno.
 */
int socket_pause_accept(struct socket *l);
/*
 * The same, but connections are made and wait in the queue of the listener, which is the caller's
 * from now on (*ret_fd): for another socket_bind, here or in another program.
 */
int socket_detach(struct socket *l, int *ret_fd);
/*
 * Accept nothing for a while: who connects at a bound TCP endpoint waits in the kernel's queue. The
 * first call finds out how, which takes two descriptors.  0, -ENOENT (nothing accepts there, or not
 * yet), or negative errno.
 */
int socket_pause(struct socket *l, bool on);
/* Connections that are open on a bound endpoint. */
unsigned socket_connections(const struct socket *l);
/* What an error of these functions means. */
const char *socket_why(int error);
/* How long closing waits for what has not been sent. */
void socket_linger(struct socket *l, unsigned ms);
void socket_close(struct socket **l);

/*
 * What has become of the connection of a link made with `once`.  Nothing can be sent before it is
 * open, and nothing after it has closed: what was waiting then is dropped, while messages that had
 * come can still be received.  Of one that is `watched`, which connects again by itself, there is
 * no SOCKET_CLOSED, and none of its connections is made behind SOCKET_REFUSED or SOCKET_UNLIKE.
 */
enum socket_event {
	SOCKET_NOTHING,
	SOCKET_OPEN,
	SOCKET_CLOSED,
	/* The handshake has failed; SOCKET_CLOSED follows. */
	SOCKET_REFUSED, /* our key is not let in */
	SOCKET_UNLIKE,  /* one of the two asks for keys and the other does not */
	SOCKET_BROKEN   /* the other has closed in the midst of it: it has another key, say */
};

/* The next event.  Ask until it is SOCKET_NOTHING: the descriptor is edge-triggered. */
enum socket_event socket_event(struct socket *l);
/* Becomes readable when there may be one; -1 for other links. */
int socket_event_fd(const struct socket *l);
/* No more events, and nothing left of what they cost. */
void socket_unwatch(struct socket *l);

/* Becomes readable when something may have happened; edge-triggered: ask socket_ready afterwards.
 */
int socket_fd(const struct socket *l);
/*
 * To look into an empty socket is a system call, so the loop asks first whether it is worth one.
 * Stirred: something may have come that will not make socket_fd readable, since something was sent
 * meanwhile, or since socket_mark_readable told that it has been readable.  Hot: something has come
 * in one of the last rounds.
 */
bool socket_maybe_readable(const struct socket *l);
void socket_mark_readable(struct socket *l);
bool socket_recently_active(const struct socket *l);
/* Whether a message can be received; a DEALER: *ret_writable whether one can be sent (may be NULL).
 */
bool socket_ready(struct socket *l, bool *ret_writable);

/* A received message; the spans lead into it and hold until the next socket_receive. */
struct socket_message {
	struct span id; /* ROUTER: the peer's */
	bool delimiter;
	uint32_t envelopes; /* frames before the delimiter */
	struct span envelope[SOCKET_ENVELOPE_MAX];
	uint32_t frames;
	struct span frame[SOCKET_FRAMES_MAX];
	uint64_t bytes; /* of all body frames, those that were not kept too */
	bool cut;       /* there were more frames or bytes than are kept */
	int source_fd;  /* the connection it came in on, or -1 */
};

/*
 * Receive one whole message, keeping at most `bytes_max` of it.  Returns 0, -EAGAIN (none is
 * there), or negative errno.  A ROUTER takes some thousand frames in one call: of a message that
 * has more it returns -EAGAIN, stays stirred, and goes on with it in the next call.  (ZeroMQ gives
 * out nobody else's messages in between, but there are other things to do.)
 */
int socket_receive(struct socket *l, uint64_t bytes_max, struct socket_message **ret);

/*
 * The key of who sent the message that was received last, as the door has let it in; empty: its
 * socket asks for none.  Good until the next socket_receive.
 */
struct span socket_message_key(const struct socket *l);

/*
 * Send `n` bytes at `data`, which were malloc'ed and are the link's from now on, success or not: it
 * calls `done(data, arg)`, on any thread, when they have been handed to the network or dropped.  A
 * DEALER takes no id.  0, -EAGAIN (no room), -EHOSTUNREACH (that peer is gone), or negative errno.
 */
int socket_send(struct socket *l, struct span id, bool delimiter, void *data, size_t n,
		void (*done)(void *data, void *arg), void *arg);
/* The same with `count` frames and a delimiter before it: the envelope that a request came in. */
int socket_reply(struct socket *l, struct span id, const struct span *envelope, uint32_t count,
		 void *data, size_t n, void (*done)(void *data, void *arg), void *arg);

#endif
