/* What the parts of a link have of one another: its state, its outbox, the requests on it. */
#ifndef PAIL_PEERS_IMPL_H
#define PAIL_PEERS_IMPL_H

#include "coordinator/peers/client.h"
#include "coordinator/peers/peers.h"
#include "ipc/wire/peer_message.h"

/* ---- link_state.c ---- */

/* Whether requests can be given to a peer now, be it to wait for its link. */
bool peer_takes(const struct peers *s, const struct peer *p);

/* ---- outbox.c ---- */

/* Room for `n` bytes of batch `id` in the frame that is being built, or NULL: no memory. */
char *outbox_room(struct peer *p, uint64_t id, size_t n);
void outbox_wrote(struct peer *p, const char *end);
/* Hand over what waits, as far as ZeroMQ takes it. */
void outbox_send(struct peers *s, struct peer *p);
/* Forget what waits. */
void outbox_drop(struct peer *p);
/* A small message of its own, past what waits.  False: there is no room for it now. */
bool outbox_small(struct peers *s, struct peer *p, const char *data, const char *end);
/*
 * For assertions: `queued` is what waits, in the order of its batches, and none of it has been
 * handed over.
 */
bool outbox_agrees(const struct peer *p);

/* ---- client.c ---- */

int peer_client_new(struct peer_requests **ret);
void peer_client_free(struct peer_requests **f);
/* Replies of a peer.  False: they make no sense, the link cannot be trusted. */
bool peer_client_replies(struct peers *s, struct peer *p, const struct peer_message *h);
/* The same: it has not run those requests, since another node serves their partitions. */
bool peer_client_elsewhere(struct peers *s, struct peer *p, const struct peer_message *h);
/*
 * What has not been handed over, from batch `from` to `to`: what is of the cluster waits for who serves
 * it, the rest is answered with an error.
 */
void peer_client_refuse(struct peers *s, struct peer *p, uint64_t from, uint64_t to,
			enum wire_error e, const char *text);
/* The link has broken: answer what had been handed to it.  Returns how many requests. */
uint32_t peer_client_broken(struct peers *s, struct peer *p);
/*
 * For assertions: a peer's batches are as many as it counts, oldest first, and so are the requests
 * that are open in them.  Of very many not all are looked at.
 */
bool peer_client_agrees(const struct peers *s, const struct peer *p);

#endif
