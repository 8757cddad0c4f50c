/*
 * After a change of the routing table: requests for buckets that go another way now wait here until
 * those on the old ways are answered, so that none overtakes.
 */
#ifndef PAIL_FENCE_H
#define PAIL_FENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/node/item.h"
#include "coordinator/node/node.h"
#include "coordinator/node/reply.h"

struct fence;
struct request;

/* A request that comes to the fence, or is let go: valid during the call. */
struct fenced {
	struct reply_to reply_to;
	bool from_node; /* forwarded to here */
	const struct request *request;
	const struct item *item; /* its data, and what is left of its time */
	const struct span *visited;
	uint32_t visited_count;
	bool routed_here; /* see struct message; such a one never waits here */
};

struct fence_events {
	/* Are requests that went the old ways still unanswered? */
	bool (*in_use)(void *arg);
	/* This one may go the way that the table says now. */
	void (*let_go)(void *arg, const struct fenced *f);
	void *arg;
};

int fence_new(const struct node *node, struct reply_sink *sink, const struct fence_events *events,
	      struct fence **ret);
void fence_free(struct fence **s);
/* The table has changed for the bytes in `set` (a bit each): what comes for them waits. */
void fence_begin(struct fence *s, const char *set);
/* Whether an earlier change is still settling. */
bool fence_busy(const struct fence *s);
/* Has a request to wait?  Then keep it; if there is no room it is answered. */
bool fence_holds(struct fence *s, const struct fenced *f);
/* If the old ways are empty, let go what waits; answer what is overdue.  Returns when to look
 * again. */
uint64_t fence_step(struct fence *s);

#endif
