/* Requests that were found right, on their way to a ring or a peer. */
#ifndef PAIL_ITEM_H
#define PAIL_ITEM_H

#include <stdint.h>

#include "common/span.h"
#include "include/wire.h"
#include "ipc/wire/peer_message.h"
#include "ipc/wire/request.h"

struct item {
	const char *data; /* as it came: what another node gets */
	uint32_t size;
	uint32_t timeout_ms; /* from now on */
	uint32_t next;       /* of the same worker or peer, or ITEM_NONE */
	uint64_t msgid;
	uint16_t index; /* in its message */
	uint8_t method;
	bool of_cluster; /* of a bucket with copies on several nodes; `partition` is known */
	const struct options *options; /* NULL: none but `timeout`, neither session nor parts */
	/* What a worker gets of it, set on the way there; all lie in `data`. */
	uint16_t partition;
	uint8_t gate; /* of a partition with copies: see entry_gate */
	uint32_t
		epoch; /* likewise: in which whoever routed it thinks that it is served; 0: nobody has */
	struct span bucket; /* .n 0: it takes none */
	struct span key;    /* likewise */
	struct span value;  /* .p NULL: it takes none */
};

#define ITEM_NONE UINT32_MAX

/* Whether it may change something; of a txn that is in what was found of its operations. */
static inline bool item_writes(const struct item *it)
{
	return method_is(it->method, METHOD_WRITES) &&
	       (it->method != WIRE_TXN || (it->options && it->options->writes));
}

/* Whether its finished reply may still become `busy`. */
static inline bool item_droppable(const struct item *it)
{
	return method_is(it->method, METHOD_DROPPABLE) && !item_writes(it);
}

/* Those of one message, and the nodes that it has been at, this one not among them. */
struct items {
	struct item item[WIRE_REQUESTS_MAX + 1]; /* one for a request of our own making */
	uint32_t count;
	uint32_t visited_count;
	struct span visited[HOPS_MAX];
};

/* A live worker, or node, finds expired ones itself, and says it better: it is given so long. */
#define OVERDUE_GRACE_MS 20u

#endif
