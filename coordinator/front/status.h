/* Whole replies to the methods that tell of the node, appended to `out`. */
#ifndef PAIL_STATUS_H
#define PAIL_STATUS_H

#include "coordinator/front/front.h"

/* `who`: whom the client is known as, or NULL. */
void status_hello(struct front *front, const struct rights_client *who, uint64_t msgid,
		  struct buf *out);
/* The functions that this node's workers have, module by module, and what its peers have told of
 * theirs. */
void status_functions(struct front *front, uint64_t msgid, struct buf *out);
void status_status(struct front *front, uint64_t msgid, struct buf *out);

/* "starting", "serving" (all workers have come up, or failed for good), "stopping". */
const char *status_state(const struct front *front);
/* Clients that are connected, as counted a moment ago. */
uint32_t status_connected(struct front *front);

#endif
