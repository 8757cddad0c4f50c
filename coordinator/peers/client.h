/* Requests on their way to other nodes: sending them, and what is known of them until they are
 * answered. */
#ifndef PAIL_PEER_CLIENT_H
#define PAIL_PEER_CLIENT_H

#include "coordinator/node/item.h"
#include "coordinator/peers/peers.h"

/*
 * Send items of `m`, from `first` on, to a peer, for `o`, together with the nodes that the message
 * has been at.  Those that cannot be sent are answered.
 */
void peer_client_items(struct peers *s, struct peer *p, const struct items *m, struct reply_to o,
		       uint32_t first);
/* Answer what is overdue.  Returns when to look again. */
uint64_t peer_client_overdue(struct peers *s);
/* The highest id given out, and whether a batch up to it has not been answered throughout. */
uint64_t peer_client_last_id(const struct peers *s);
bool peer_client_waits(const struct peers *s, const struct peer *p, uint64_t id);
/*
 * The peer does not serve that partition of the cluster any more, and what it runs of it now is told
 * to nobody: what it was sent for it is answered `timeout`, or, if it is a read, is to be sent again,
 * unless its client had sent a write behind it.
 */
void peer_client_deposed(struct peers *s, struct peer *p, uint32_t partition);

#endif
