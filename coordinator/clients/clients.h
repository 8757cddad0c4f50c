/*
 * Who is connected, on whichever of the node's sockets, and what goes back to them.  A client's
 * routing id is interned as a small number with a generation, which is what travels with its
 * requests; replies gather here during a round and leave packed, one frame a client.
 *
 * Memory is bounded by counting what each client has not taken yet, and all of them together: every
 * frame carries a credit that comes back when the network has it.  What reply_groups for a message
 * with a delimiter counts from the moment it comes, though it cannot be taken before it is whole.
 */
#ifndef PAIL_CLIENTS_H
#define PAIL_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "coordinator/node/reply.h"
#include "ipc/net/socket.h"

struct clients;

struct clients_config {
	uint32_t clients_max;
	uint64_t unread_max; /* bytes */
	uint64_t unread_ms;
	uint64_t unread_total; /* bytes, of all clients together */
};

int clients_new(const struct clients_config *config, struct clients **ret);
void clients_free(struct clients **c);
/* Other limits from now on; clients_max stays. */
void clients_configure(struct clients *c, const struct clients_config *config);

/*
 * The client a message of `link` came from, made if new.  Returns false if the table is full of
 * clients that wait for replies: the message must be dropped.
 */
bool clients_intern(struct clients *c, struct socket *link, const struct socket_message *m,
		    uint64_t now_ms, struct reply_to *ret);

/* A number of the caller's that stays with a client; 0 for a new one.  NULL: it is gone. */
uint32_t *clients_tag(struct clients *c, struct reply_to client);

/* The client that an owner of its kind or a gather belongs to; any other owner as it is. */
struct reply_to clients_of(const struct clients *c, struct reply_to o);

/* Has it left so much unread that it gets no more?  1: answer busy; 2: do not answer at all. */
int clients_unread(const struct clients *c, struct reply_to client);

/* The same because of what all clients together leave unread; 2 only for one that has its part. */
int clients_crowded(const struct clients *c, struct reply_to client);

/*
 * The same for a reply that is about to be answered to `o`.  Returns why its client gets no more,
 * or NULL.
 */
const char *clients_over(const struct clients *c, struct reply_to o);
#define CLIENTS_OVER    "this client leaves its replies unread"
#define CLIENTS_CROWDED "clients leave too many replies unread: try again later"

/* Bytes that wait to be taken, of all clients. */
uint64_t clients_waiting(const struct clients *c);

/*
 * A message with a delimiter is answered by one message in the same envelope: begin to gather
 * `count` replies to `m`.  False: too many are being gathered.
 */
bool clients_group(struct clients *c, struct reply_to client, const struct socket_message *m,
		   uint32_t count, struct reply_to *ret);

/*
 * The reply to a write cannot be refused once it has run, so it has its room in what reply_groups
 * before. False: there is none.  True for replies that do not gather.
 */
bool clients_reserve(struct clients *c, struct reply_to o);

/*
 * `count` replies of `n` bytes for `o`.  With `stays`, the bytes stay where they are until
 * clients_flush; else they are copied.  Replies to clients that are gone vanish.
 */
void clients_answer(struct clients *c, struct reply_to o, const char *replies, size_t n,
		    uint32_t count, bool stays);

/* Room for `n` bytes to a client that may be written into, then clients_wrote. */
char *clients_room(struct clients *c, struct reply_to client, size_t n);
void clients_wrote(struct clients *c, struct reply_to client, const char *end);

/* Send everything gathered.  Afterwards bytes that stayed may go. */
void clients_flush(struct clients *c);

/* Whether more pieces fit before a flush is due. */
bool clients_must_flush(const struct clients *c);

/* Now and then: cut off clients that do not read. */
void clients_tick(struct clients *c, uint64_t now_ms);

/* Send a notification to every client of `link` that can read one and has got none.  Returns how
 * many. */
uint32_t clients_notify(struct clients *c, const struct socket *link, const char *data, size_t n);

/* Whether anything sent is still on its way. */
bool clients_sending(const struct clients *c);

#endif
