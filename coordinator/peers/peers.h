/*
 * The links to other nodes, and the requests on them.
 *
 * A link is one connection that is never made anew: when it breaks, everything on it is judged, and
 * the next one is a new link with a higher epoch.  So nothing is ever sent twice, and what comes
 * late on an old link is known to be old.
 *
 *	DOWN        no connection; one is tried when its time has come
 *	CONNECTING  tried; nobody has said welcome
 *	UP          requests go out
 *	LEAVING     the other node closes: what is on the way is awaited, nothing more is sent
 *
 * Requests wait in a bounded queue of frames until ZeroMQ takes them.  What has not been handed to
 * it when the link breaks is answered `node_down` (it never left), the rest `timeout` (nobody
 * knows).
 */
#ifndef PAIL_PEERS_H
#define PAIL_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/key.h"
#include "coordinator/node/node.h"
#include "coordinator/node/reply.h"
#include "include/wire.h"
#include "ipc/wire/peer_message.h"
#include "ipc/net/net_ops.h"

struct conf;
struct peer_requests;

#define PEER_STATES(X)            \
	X(DOWN, down)             \
	X(CONNECTING, connecting) \
	X(UP, up)                 \
	X(LEAVING, leaving)

enum peer_state {
#define X(id, name) PEER_##id,
	PEER_STATES(X)
#undef X
};

/* A frame that waits to be sent. */
struct outgoing {
	struct outgoing *next;
	char *data;
	size_t n;
	uint64_t first_id; /* of the batches in it */
	uint64_t last_id;
};

struct peer {
	char name[PEER_MESSAGE_NODE_MAX + 1];
	char endpoint[SOCKET_ENDPOINT_MAX];
	char key[2][KEY_TEXT + 1]; /* with keys: it must have one of them, */
	unsigned keys;             /* of so many; 0: it is asked for none */
	unsigned key_turn;         /* the one that the next connection insists on */
	enum peer_state state;
	bool retired; /* in no table any more: it goes when its last request is answered */
	struct socket *link;
	uint64_t epoch;
	uint64_t since_ms;      /* of this state */
	uint64_t next_ms;       /* DOWN: when to try; CONNECTING: when to give up */
	uint64_t delay_ms;      /* until the try after the next */
	uint64_t hold_ms;       /* until then requests wait for the link instead of being refused */
	uint64_t seen_ms;       /* when something came from it last; 0: never */
	uint64_t pinged_ms;     /* the oldest ping that nothing has come after; 0: none */
	uint64_t ping_ms;       /* when the last ping went out */
	uint64_t ping_us;       /* likewise; 0: none that was not answered */
	uint64_t round_trip_us; /* of the last one that was answered; 0: none was */
	uint64_t protocol;      /* the version that is spoken: UP, LEAVING; else 0 */
	uint64_t frame_max;     /* of the other node */
	uint64_t broke;         /* how often a link that was up has broken */
	char reason[256];       /* why it is not up */
	bool open;              /* connected, a hello is to be sent */
	bool told;              /* that it is not up has been logged */
	uint64_t told_of;       /* hash of the reason that was */
	struct buf building;    /* the frame that gathers this round's batches */
	uint64_t building_first; /* batches in it */
	uint64_t building_last;
	struct outgoing *out_first;
	struct outgoing *out_last;
	uint64_t queued;  /* bytes in `building` and the queue */
	uint64_t sent_id; /* batches up to this one have been handed to ZeroMQ */
	/* batches without all their replies, oldest first; see client.c */
	uint32_t batch_first;
	uint32_t batch_last;
	uint32_t batches;
	uint32_t requests;
	uint64_t forwarded; /* requests, ever */
	uint64_t given;     /* back, on this link */
	uint64_t due_ms;    /* none of them is overdue before */
	/* digests of functions: its own, as it told it last ("": it has not), and ours, as this
	 * link's last hello told it */
	char functions[PEER_MESSAGE_DIGEST + 1];
	char said[PEER_MESSAGE_DIGEST + 1];
	/* items of the message in hand */
	uint32_t item_first;
	uint32_t item_last;
};

/*
 * A request for a bucket of the cluster that may be sent again: it reads, or was not sent yet, and whom
 * it was for will not answer it, or (`elsewhere`) that one has not run it, since another node serves its
 * partition.
 */
struct unanswered {
	struct reply_to reply_to;
	struct span request;
	uint8_t method;
	uint64_t msgid;
	uint32_t partition;
	uint32_t left_ms; /* of its time */
	bool elsewhere;
	const struct peer *peer; /* whom it was for */
	uint64_t order;          /* of what went to that one: the higher went later */
};

#define PEERS_MAX 1024u /* those of the table and those that are retiring */

struct peers {
	struct node *node;
	struct reply_sink *sink;
	struct socket_context *zmq;
	struct peer *peer[PEERS_MAX];
	uint32_t count;
	struct peer *of_conf[512]; /* by index in the configuration's [peers]; NULL: it only asks */
	struct peer_requests *requests; /* on their way; see client.h */
	uint64_t epoch;
	uint64_t jitter;
	uint64_t asleep_ms; /* how long this machine had been suspended, at the last look */
	/* the maker's, set before peers_open */
	enum peer_link
		use; /* what its connections are for: but for requests, [peers] has no part */
	/* What is of copies, of a connection that is up; NULL: nothing of the kind is for us. */
	void (*on_message)(void *arg, struct peer *p, const struct peer_message *h);
	/* NULL: it is answered with an error. */
	void (*on_unanswered)(void *arg, const struct unanswered *x);
	void *arg;
	struct conf_pair *found; /* peers that no configuration names: see peers_found */
	uint32_t found_count;
};

/* Links as node->conf says; replies go to `sink`. */
int peers_open(struct peers *s, struct node *node, struct reply_sink *sink,
	       struct socket_context *zmq);
void peers_close(struct peers *s);
/*
 * The peers of `conf` from now on: those that are there already with the same endpoint and keys stay, the
 * others are made, and those not named any more retire.  0, or -ENOMEM / -ENOSPC with nothing
 * changed.
 */
int peers_configure(struct peers *s, const struct conf *conf);
/*
 * The same with peers that were found elsewhere, `n` of them from now on; one whose name is in the
 * configuration is the configuration's.
 */
int peers_found(struct peers *s, const struct conf_pair *found, uint32_t n);
/* The one of that name that has not retired, or NULL. */
struct peer *peers_named(const struct peers *s, const char *name);
/* Send a message by itself, now or not at all: false. */
bool peer_send(struct peers *s, struct peer *p, const char *data, size_t n);
/* Take in what has come from one.  Returns how many frames. */
unsigned peer_receive(struct peers *s, struct peer *p);
/* Send what waits, as far as ZeroMQ takes it. */
void peers_flush(struct peers *s);
/* Connects, pings, deadlines.  Returns when to look again. */
uint64_t peers_tick(struct peers *s);
/* Whether anything can be received or sent right now. */
bool peers_ready(const struct peers *s);
/* Another node has said hello: if it is a peer whose link is down, this is the time to try. */
void peers_kick(struct peers *s, struct span name);
const char *peer_state_name(enum peer_state s);

#endif
