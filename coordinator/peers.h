/*
 * The links to other nodes, and the requests on them.
 *
 * A link is one connection that is never made anew: when it breaks, everything on it is judged, and
 * the next one is a new link with a higher epoch.  So nothing is ever sent twice, and what comes
 *late on an old link is known to be old.
 *
 *	DOWN        no connection; one is tried when its time has come
 *	CONNECTING  tried; nobody has said welcome
 *	UP          requests go out
 *	LEAVING     the other node closes: what is on the way is awaited, nothing more is sent
 *
 * Requests wait in a bounded queue of frames until ZeroMQ takes them.  What has not been handed to
 *it when the link breaks is answered `node_down` (it never left), the rest `timeout` (nobody
 *knows).
 */
#ifndef PAIL_PEERS_H
#define PAIL_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "coordinator/clients/clients.h"
#include "include/wire.h"
#include "ipc/wire/peer_message.h"
#include "ipc/net/socket.h"

struct coord;
struct conf;
struct item;

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
	enum peer_state state;
	bool retired; /* in no table any more: it goes when its last request is answered */
	struct socket *link;
	uint64_t epoch;
	uint64_t since_ms;   /* of this state */
	uint64_t next_ms;    /* DOWN: when to try; CONNECTING: when to give up */
	uint64_t delay_ms;   /* until the try after the next */
	uint64_t hold_ms;    /* until then requests wait for the link instead of being refused */
	uint64_t seen_ms;    /* when something came from it last; 0: never */
	uint64_t pinged_ms;  /* the oldest ping that nothing has come after; 0: none */
	uint64_t ping_ms;    /* when the last ping went out */
	uint64_t frame_max;  /* of the other node */
	uint64_t broke;      /* how often a link that was up has broken */
	char reason[256];    /* why it is not up */
	bool open;           /* CONNECTING: connected, a hello is to be sent */
	bool told;           /* that it is not up has been logged */
	struct buf building; /* the frame that reply_groups this round's batches */
	uint64_t building_first; /* batches in it */
	uint64_t building_last;
	struct outgoing *out_first;
	struct outgoing *out_last;
	uint64_t queued;  /* bytes in `building` and the queue */
	uint64_t sent_id; /* batches up to this one have been handed to ZeroMQ */
	/* batches without all their replies, oldest first; see forward.c */
	uint32_t batch_first;
	uint32_t batch_last;
	uint32_t batches;
	uint32_t requests;
	uint64_t forwarded; /* requests, ever */
	uint64_t due_ms;    /* none of them is overdue before */
	/* items of the message in hand */
	uint32_t item_first;
	uint32_t item_last;
};

#define PEERS_MAX 1024u /* those of the table and those that are retiring */

struct peers {
	struct peer *peer[PEERS_MAX];
	uint32_t count;
	struct peer *of_conf[512]; /* by index in the configuration's [peers]; NULL: it only asks */
	struct peer_requests *forwards;
	uint64_t epoch;
	uint64_t jitter;
};

/* ---- peers.c: the links ---- */

int peers_open(struct coord *c);
void peers_close(struct coord *c);
/*
 * The peers of c->conf from now on: those that are there already with the same endpoint stay, the
 * others are made, and those not named any more retire.  0, or -ENOMEM / -ENOSPC with nothing
 * changed.
 */
int peers_configure(struct coord *c, const struct conf *conf);
/* Take in what has come from one.  Returns how many frames. */
unsigned peer_receive(struct coord *c, struct peer *p);
/* Send what waits, as far as ZeroMQ takes it. */
void peers_flush(struct coord *c);
/* Connects, pings, deadlines.  Returns when to look again. */
uint64_t peers_tick(struct coord *c);
/* Whether anything can be received or sent right now. */
bool peers_ready(const struct coord *c);
/* Another node has said hello: if it is a peer whose link is down, this is the time to try. */
void peers_kick(struct coord *c, struct span name);
/* Whether requests can be given to a peer now, be it to wait for its link. */
bool peer_takes(const struct coord *c, const struct peer *p);
/* Room for `n` bytes of batch `id` in the frame that is being built, or NULL: no memory. */
char *peer_room(struct peer *p, uint64_t id, size_t n);
void peer_wrote(struct peer *p, const char *end);
const char *peer_state_name(enum peer_state s);

/* ---- forward.c: the requests on them ---- */

int peer_client_new(struct peer_requests **ret);
void peer_client_free(struct peer_requests **f);
/*
 * Send `count` items from `first` on to a peer, for `o`, together with the nodes that they have
 * been at (c->hand).  Those that cannot be sent are answered.
 */
void peer_client_items(struct coord *c, struct peer *p, struct reply_to o, uint32_t first);
/* Replies of a peer.  False: they make no sense, the link cannot be trusted. */
bool peer_client_replies(struct coord *c, struct peer *p, const struct peer_message *h);
/* Answer what has not been handed over, from batch `from` to `to`, with an error. */
void peer_client_refuse(struct coord *c, struct peer *p, uint64_t from, uint64_t to,
			enum wire_error e, const char *text);
/* The link has broken: answer what had been handed to it.  Returns how many requests. */
uint32_t peer_client_broken(struct coord *c, struct peer *p);
/* Answer what is overdue.  Returns when to look again. */
uint64_t peer_client_overdue(struct coord *c);
/* The highest id given out, and whether a batch up to it has not been answered throughout. */
uint64_t peer_client_last_id(const struct coord *c);
bool peer_client_waits(const struct coord *c, const struct peer *p, uint64_t id);

#endif
