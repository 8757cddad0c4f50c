/*
 * `metrics` and `events`: the node's figures and what has happened, as docs/protocol.md, section 14,
 * says.  Figures that others count (coordinator/node/figures.h, ipc/shm/metrics.h) are put beside
 * those that are looked up when somebody asks.
 */
#ifndef PAIL_FRONT_METRICS_H
#define PAIL_FRONT_METRICS_H

#include "coordinator/front/front.h"

/* The reply to `metrics`, added to `out`; a failure sticks there. */
void metrics_write(struct front *front, uint64_t msgid, struct buf *out);

/* The same of `events`.  False: its parameters are wrong, and nothing was added. */
bool metrics_events(const struct front *front, const struct request *q, struct buf *out);

#endif
