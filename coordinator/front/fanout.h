/* Questions to every worker and every node of the table at once. */
#ifndef PAIL_FANOUT_H
#define PAIL_FANOUT_H

#include "coordinator/front/front.h"

int fanouts_new(struct fanouts **ret);
void fanouts_free(struct fanouts **f);
/* Ask every worker and every node of the table for its buckets, answer `o` with all of them. */
void fanout_buckets(struct front *front, struct message *m, struct reply_to o,
		    const struct item *it);
/* A worker's or a peer's reply to a fan-out; `index` is that of its request. */
void fanout_reply(struct front *front, struct reply_to o, uint16_t index, const char *reply,
		  size_t n);
/* A worker has not run a fan-out's request: what it asks for is not served here any more. */
void fanout_elsewhere(struct front *front, struct reply_to o);
/* Some partition may be served elsewhere now: fanout_step looks. */
void fanout_changed(struct front *front);
/* Is any under way? */
bool fanout_any(const struct front *front);
/* Ask on, answer what is overdue.  Returns when to look again. */
uint64_t fanout_step(struct front *front);

#endif
