/*
 * A message on its way through the front: who sent it, what he may, its requests as they were found
 * and as they go on.  One is in hand at a time; it is passed down to who works on it.
 */
#ifndef PAIL_MESSAGE_H
#define PAIL_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/node/item.h"
#include "coordinator/node/reply.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

struct peer;
struct rights_client;

/* A request as it lies in the message. */
struct parsed {
	struct request request;
	const char *begin;
	const char *bad;  /* what is wrong with its bytes, or NULL */
	uint32_t epoch;   /* see struct item */
	uint64_t left_ms; /* from a node: what is left of its time; else UINT64_MAX */
};

struct message {
	struct reply_to reply_to;
	const char *busy; /* why its requests are refused, or NULL */
	bool from_node;   /* forwarded to here */
	bool routed_here; /* by a node that takes this one for the primary of its partitions */
	bool admin;       /* through the admin socket */
	bool keys;        /* on a socket with keys: `who` tells what it may */
	const struct rights_client *who; /* NULL: nobody that is known, it may nothing */
	struct parsed parsed[WIRE_REQUESTS_MAX];
	uint32_t parsed_count;
	struct items routed; /* those that need a worker or a peer, and where it has been */
	struct options options[WIRE_REQUESTS_MAX + 1]; /* of those that have any, by index */
	uint32_t first[64];                            /* by worker: the first of its items */
	uint32_t last[64];
	uint32_t targets; /* peers that have items */
	struct peer *target[512];
};

#endif
