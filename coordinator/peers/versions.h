/* Why two nodes cannot speak to each other. */
#ifndef PAIL_PEERS_VERSIONS_H
#define PAIL_PEERS_VERSIONS_H

#include <stddef.h>

#include "ipc/wire/peer_message.h"

struct node;

#define VERSIONS_TEXT_MAX 45u

/* "2", or "2 to 4", into VERSIONS_TEXT_MAX bytes at most. */
void versions_print(struct peer_versions v, char *out, size_t size);

/*
 * The node that says hello `h`, whose name is known here, and `node` have no version of the
 * protocol between nodes in common: what to do, and both ranges, into `out`.  It is for the logs
 * and the `status` of both, so neither is called "this one".
 */
void versions_explain(const struct node *node, const struct peer_message *h, char *out,
		      size_t size);

#endif
