/*
 * Who is connected, on whichever of the node's sockets, and what goes back to them.  A client's
 * routing id is interned as a small number with a generation, which is what travels with its
 * requests; replies gather here during a round and leave packed, one frame a client.
 *
 * Memory is bounded by counting what each client has not taken yet, and all of them together: every
 * frame carries a credit that comes back when the network has it.  What goes back: outgoing.h.
 */
#ifndef PAIL_CLIENTS_H
#define PAIL_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "coordinator/node/reply.h"
#include "ipc/net/net_ops.h"

struct clients;
struct rights_client;
struct security;

struct clients_config {
	uint32_t clients_max;
	uint64_t unread_max; /* bytes */
	uint64_t unread_ms;
	uint64_t unread_total; /* bytes, of all clients together */
};

/* `net` sends what goes back. */
int clients_new(const struct clients_config *config, const struct net_ops *net,
		struct clients **ret);
void clients_free(struct clients **c);
/* Whose keys the clients of sockets with keys have. */
void clients_secure(struct clients *c, const struct security *security);
/* Other limits from now on; clients_max stays. */
/* From now on it counts whom it cuts off. */
struct figures;
void clients_count(struct clients *c, struct figures *f);
void clients_configure(struct clients *c, const struct clients_config *config);

/*
 * The client a message of `link` came from, made if new.  Returns false if the table is full of
 * clients that wait for replies: the message must be dropped.
 */
bool clients_intern(struct clients *c, struct socket *link, const struct socket_message *m,
		    uint64_t now_ms, struct reply_to *ret);

/*
 * Whose key a client has proved, and the key ("": its socket asks for none).  NULL: no client's, not
 * any more, or no keys at all.
 */
const struct rights_client *clients_who(const struct clients *c, struct reply_to client);
struct span clients_key(const struct clients *c, struct reply_to client);
/*
 * Who may what has changed: find everybody anew, and cut off whoever is not known any more, at the
 * socket for clients and at that for nodes (either may be NULL).  Returns how many were.  One that
 * has said nothing yet is not among the clients: its first message tells.
 */
uint32_t clients_identify(struct clients *c, const struct socket *link, const struct socket *nodes);
/* Close the connection of a client and forget it: it gets nothing more. */
void clients_cut(struct clients *c, struct reply_to client);

/* A number of the caller's that stays with a client; 0 for a new one.  NULL: it is gone. */
uint32_t *clients_tag(struct clients *c, struct reply_to client);

/* What a client has not taken yet, beside what it may leave: */
enum backlog {
	BACKLOG_NONE, /* no more */
	BACKLOG_OVER, /* more: answer busy */
	BACKLOG_FAR   /* far more: do not answer at all */
};
#define CLIENTS_OVER    "this client leaves its replies unread"
#define CLIENTS_CROWDED "clients leave too many replies unread: try again later"

/* Has it left so much unread that it gets no more?  One that is gone gets nothing: BACKLOG_FAR. */
enum backlog clients_unread(const struct clients *c, struct reply_to client);
/* The same because of what all clients leave together; FAR only for one that has its part. */
enum backlog clients_crowded(const struct clients *c, struct reply_to client);

/* Now and then: cut off clients that do not read. */
void clients_tick(struct clients *c, uint64_t now_ms);

/* Send a notification to every client of `link` that can read one and has got none.  Returns how
 * many. */
uint32_t clients_notify(struct clients *c, const struct socket *link, const char *data, size_t n);

/* Whether anything sent is still on its way. */
bool clients_sending(const struct clients *c);

#endif
