/*
 * What other nodes ask of this one.  Each says hello on a connection of its own; its newest one
 * counts, what comes on an older one is dropped.  A batch of requests is taken as a message of a
 * client is, and its replies go back with the indexes of their requests.
 *
 * Whoever says hello must be in [peers], be it as one that only asks (NAME = -).  With keys it must
 * have proved the key of that name, and nobody else gets as far as to say anything; without, the
 * name is all that can be asked for.
 *
 * Times are the sender's: each batch says when it was written, by the sender's clock, and how long
 * each request had left then.  The smallest difference seen between that clock and ours stands for
 * a prompt delivery; what comes later than that has used up so much of its time on the way.
 */
#ifndef PAIL_PEER_SERVER_H
#define PAIL_PEER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "coordinator/node/reply.h"

struct conn_limit;
struct node;
struct peer_message;
struct peer_place;
struct peer_server;
struct peers;
struct security;
struct socket;

/* What it reaches, all of which lives longer. */
struct peer_server_parts {
	struct node *node;
	struct clients *clients;
	struct conn_limit *conn_limit;
	struct peers *peers;             /* links to those who say hello are tried at once */
	const struct security *security; /* NULL: no keys */
	const char *endpoint;            /* where nodes connect, for messages */
};

/* Whom it hands over what was asked for. */
struct peer_events {
	/*
	 * Begin the requests of a batch, which took `late_ms` on its way; its replies are `o`'s.
	 * `busy`: why all of them are to be refused, or NULL.  False: it holds something else than
	 * requests, and nothing has been begun.
	 */
	bool (*batch)(void *arg, struct reply_to o, const struct peer_message *h, uint64_t late_ms,
		      const char *busy);
	void *arg;
};

/* The same of what concerns copies; NULL where the node has none. */
struct peer_copies {
	/* Is that a node of the cluster, though the configuration does not name it? */
	bool (*knows)(void *arg, struct span name);
	/* What `name` says on its connection for that. */
	void (*message)(void *arg, const char *name, const struct peer_message *h);
	void *arg;
};

int peer_server_new(const struct peer_server_parts *parts, const struct peer_events *events,
		    struct peer_server **ret);
void peer_server_free(struct peer_server **n);
/* It outlives the server; from now on. */
void peer_server_copies(struct peer_server *s, const struct peer_copies *c);
/* Room for an answer of `n` bytes at most on that node's connection for copies; NULL: there is none,
 * or its replies are not read.  Then peer_server_told. */
char *peer_server_room(struct peer_server *s, const char *name, size_t n);
void peer_server_told(struct peer_server *s, const char *name, const char *end);
/* Take up to `most` messages in.  Returns how many there were. */
unsigned peer_server_receive(struct peer_server *s, struct socket *link, unsigned most);
/* Replies to requests of a batch: `count` of them, in the order of their indexes. */
void peer_server_answer(struct peer_server *s, struct reply_to o, const uint16_t *index,
			uint32_t count, const char *replies, size_t n);
/*
 * A request of a batch has not been run: its partition is served as `place` says.  False: whoever sent
 * it left it to this node to find out who serves it.
 */
bool peer_server_elsewhere(struct peer_server *s, struct reply_to o,
			   const struct peer_place *place);
/*
 * Was a request of the partition given back to the node that a routed batch is of, which it did not know
 * of yet when it sent this?  Then those that stand behind that one must be given back too.
 */
bool peer_server_behind(struct peer_server *s, struct reply_to o, uint32_t partition);
/* The connection that a batch came on, for its unread limit.  False: it is gone. */
bool peer_server_client(struct peer_server *s, struct reply_to o, struct reply_to *ret);
/* Batches that have not been answered throughout. */
uint32_t peer_server_waits(const struct peer_server *s);
/* [peers] has changed: who is not there any more is turned away. */
void peer_server_configure(struct peer_server *s);
/* What a node of that name has let this one hear; texts are valid until the next call here. */
struct peer_heard {
	bool linked;
	uint64_t seen_ms;      /* when it was last; 0: never */
	uint64_t protocol;     /* the version that is spoken */
	const char *refused;   /* why its last hello was; "": it was not */
	const char *functions; /* the digest that it has told last; "": none */
};
struct peer_heard peer_server_heard(const struct peer_server *s, const char *name);
/* node->functions is another digest: the nodes that have told theirs are told. */
void peer_server_functions(struct peer_server *s);
/* Now and then: say what was not said at once. */
void peer_server_tick(struct peer_server *s);
/*
 * Tell every node that this one closes its socket, and within how many ms it will be back; 0: not
 * soon.  They send no more requests; what is told of copies goes on, for others wait for this node's
 * acknowledgements and grants, until its links are told as well, at the very end.
 */
void peer_server_goaway(struct peer_server *s, const char *why, uint64_t hold_ms);
void peer_server_goaway_copies(struct peer_server *s, const char *why, uint64_t hold_ms);

#endif
