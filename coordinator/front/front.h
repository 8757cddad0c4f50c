/*
 * The front: from a message to the workers' queues or on to other nodes, and from replies back to
 * whoever waits.  It knows all parts and is the only one that does; they call it through the tables
 * of functions that it gives them: the sink, the server's events, the fence's, the handoff's.
 */
#ifndef PAIL_FRONT_H
#define PAIL_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "coordinator/clients/clients.h"
#include "coordinator/front/message.h"
#include "coordinator/node/node.h"
#include "coordinator/node/reply.h"
#include "coordinator/peers/peers.h"
#include "coordinator/peers/server.h"
#include "coordinator/routing/fence.h"
#include "coordinator/routing/table.h"
#include "coordinator/workers/handoff.h"
#include "coordinator/workers/supervisor.h"

struct cluster_ops;
struct membership;
struct parked;
struct conn_limit;
struct fanouts;
struct files;
struct helper;
struct modules;
struct security;

/* What operators ask for that changes all parts together. */
struct front_hooks {
	/* Read the configuration again; see reload.h. */
	enum wire_error (*reload)(void *arg, struct buf *out);
	/* Replace the program, or answer `o` why not. */
	void (*upgrade)(void *arg, struct reply_to o, const struct request *q);
	/* Whether that is under way. */
	bool (*upgrading)(void *arg);
	void *arg;
};

/* The ways before a change: how far each ring was filled, which batches were on their way. */
struct old_ways {
	bool rings;
	uint64_t written[64];
	uint64_t waiting[64]; /* what waited for its turn: turns_last */
	struct peer *peer[512];
	uint32_t peers;
	uint64_t last_id;
};

struct front {
	/* the parts, which its maker fills in */
	struct node *node;
	struct reply_sink *sink;
	const struct route_table *routes;
	struct supervisor *supervisor;
	struct handoff *handoff;
	struct peers *peers;
	struct peer_server *peer_server;
	struct clients *clients;
	const struct security *security;
	struct conn_limit *conn_limit;
	struct fence *fence;
	const struct files *files;
	const struct helper *gateway;
	struct modules *const *functions;
	const bool *announced;             /* all workers have come up, or failed */
	struct socket *const *link;        /* clients' */
	const struct cluster_ops *cluster; /* NULL: the node has not joined one */
	struct membership *membership;     /* likewise */
	struct parked *parked;             /* likewise */
	struct front_hooks hooks;
	/* its own */
	struct fanouts *fanouts;
	struct old_ways old_ways;
	struct message message;               /* in hand */
	uint64_t requests[WIRE_METHOD_COUNT]; /* answered here, forwarded, or refused */
	uint64_t dropped;                     /* messages since that was last said */
	uint64_t dropped_ms;
	uint32_t connected; /* clients, when that was counted last, for status */
	uint64_t connected_ms;
};

/* ---- message.c ---- */

/* Take up to `most` messages of a socket in, of operators' or clients'.  Returns how many there
 * were. */
unsigned front_messages(struct front *front, struct socket *link, bool admin, unsigned most);
/* What the server of other nodes hands over. */
struct peer_events front_peer_events(struct front *front);

/* ---- replies.c ---- */

/* Replies to whomever they belong to. */
struct reply_sink front_sink(struct front *front);
/* Has whoever waits for it gone?  Then it may as well be answered at once. */
bool front_forsaken(const struct front *front, struct reply_to o);

#endif
