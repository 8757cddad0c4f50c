/* Questions to every worker and every node of the table at once. */
#ifndef PAIL_FANOUT_H
#define PAIL_FANOUT_H

#include "coordinator/front/front.h"

int fanouts_new(struct fanouts **ret);
void fanouts_free(struct fanouts **f);
/* Ask every worker and every node of the table for its buckets, answer `o` with all of them. */
void fanout_buckets(struct front *front, struct message *m, struct reply_to o,
		    const struct item *it);
/* A worker's or a peer's reply to a fan-out. */
void fanout_reply(struct front *front, struct reply_to o, const char *reply, size_t n);

#endif
