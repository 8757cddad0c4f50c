/*
 * What goes back to clients.  Replies gather during a round and leave packed, one frame a client.
 * What gathers for a message with a delimiter counts as unread from the moment it comes, though it
 * cannot be taken before it is whole.
 */
#ifndef PAIL_OUTGOING_H
#define PAIL_OUTGOING_H

#include "coordinator/clients/clients.h"

/* The client that an owner of its kind or a gather belongs to; any other owner as it is. */
struct reply_to clients_of(const struct clients *c, struct reply_to o);

/* Why the client gets no more that a reply is about to be sent to for `o`, or NULL. */
const char *clients_over(const struct clients *c, struct reply_to o);

/* Bytes that wait to be taken, of all clients. */
uint64_t clients_waiting(const struct clients *c);

/*
 * A message with a delimiter is answered by one message in the same envelope: begin to gather
 * `count` replies to `m`.  False: too many are being gathered.
 */
bool clients_group(struct clients *c, struct reply_to client, const struct socket_message *m,
		   uint32_t count, struct reply_to *ret);

/*
 * The reply to a write cannot be refused once it has run, so it has its room, `bytes`, in what
 * gathers before.  False: there is none.  True for replies that do not gather.
 */
bool clients_reserve(struct clients *c, struct reply_to o, uint64_t bytes);

/*
 * `count` replies of `n` bytes for `o`.  With `stays`, the bytes stay where they are until
 * clients_flush; else they are copied.  Replies to clients that are gone vanish.
 */
void clients_answer(struct clients *c, struct reply_to o, const char *replies, size_t n,
		    uint32_t count, bool stays);

/* Room for `n` bytes to a client that may be written into, then clients_wrote. */
char *clients_room(struct clients *c, struct reply_to client, size_t n);
void clients_wrote(struct clients *c, struct reply_to client, const char *end);

/* Bytes gathered in this round. */
uint64_t clients_gathered(const struct clients *c);
/* Send everything gathered.  Afterwards bytes that stayed may go. */
void clients_flush(struct clients *c);

/* Whether more pieces fit before a flush is due. */
bool clients_must_flush(const struct clients *c);

#endif
