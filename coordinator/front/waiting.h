/* Requests that wait for a partition's primary, in lists. */
#ifndef PAIL_WAITING_H
#define PAIL_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/node/reply.h"
#include "ipc/wire/peer_message.h"

struct waiting {
	struct waiting *next;
	struct reply_to reply_to;
	uint64_t due_ms;
	uint64_t since_us;
	uint32_t partition;
	uint32_t visited_count;
	char visited[HOPS_MAX][PEER_MESSAGE_NODE_MAX + 1];
	bool from_node;
	bool routed_here;
	uint32_t epoch;  /* see struct item */
	uint64_t number; /* of the way that it had gone; */
	uint64_t order;  /* and of what went that way: the higher went later */
	uint32_t size;
	char data[]; /* the request */
};

struct waiting_list {
	struct waiting *first;
	struct waiting *last;
};

void waiting_add(struct waiting_list *l, struct waiting *w);
/* The first, which is the caller's from then on; NULL: there is none. */
struct waiting *waiting_take(struct waiting_list *l);
/* `l` behind `front`, which then has both. */
void waiting_join(struct waiting_list *front, struct waiting_list *l);
/* In the order in which they must go, of each partition: by the last way first, since what went that way
 * had been let go before. */
void waiting_sort(struct waiting_list *l);

#endif
