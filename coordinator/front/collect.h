/*
 * The round of all workers' queues: replies are taken and sent, deaths judged, what is overdue or
 * without hope answered.
 */
#ifndef PAIL_COLLECT_H
#define PAIL_COLLECT_H

#include "coordinator/front/front.h"

/* Take what is in the reply rings and send it.  Returns how many blocks there were. */
unsigned collect_replies(struct front *front);
/*
 * Answer requests whose time is over or that nobody will serve; free those that workers have passed
 * since (replies do it too, but none may come).  Returns when to look again.
 */
uint64_t collect_tick(struct front *front);
/* Does anybody wait for a reply of a worker that may give it? */
bool collect_awaited(const struct front *front);
/* What becomes of the queues of workers that are no more. */
struct handoff_hooks collect_hooks(struct front *front);

#endif
