/*
 * Nodes that this one does not know.  In a cluster they may be about to be known: a node says hello as
 * soon as it has registered, and the others read of it a moment later.  So one is a stranger when it
 * still is after a while.  Pure: no I/O, no clock.
 */
#ifndef PAIL_PEERS_STRANGERS_H
#define PAIL_PEERS_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "ipc/wire/peer_message.h"

#define STRANGERS_MAX      8u    /* of them are told apart; another takes the place of the oldest */
#define STRANGER_KNOWN_MS  3000u /* within so long a node that has registered is known everywhere */
#define STRANGER_FORGET_MS 60000u /* one that has not come again for so long comes anew */

struct stranger {
	char name[PEER_MESSAGE_NODE_MAX + 1];
	uint64_t first_ms;
	uint64_t last_ms; /* 0: nobody */
};

/* Begins as zeros. */
struct strangers {
	struct stranger stranger[STRANGERS_MAX];
};

/* The node `name` came at now_ms (not 0) and was not known: has that been so for STRANGER_KNOWN_MS? */
bool stranger_stays(struct strangers *s, struct span name, uint64_t now_ms);

#endif
