/* What operators ask of the cluster. */
#ifndef PAIL_CLUSTER_METHODS_H
#define PAIL_CLUSTER_METHODS_H

#include "coordinator/front/front.h"

/* Answer `o`, now or later, to cluster_create, cluster_status or cluster_drain. */
void cluster_method(struct front *front, struct reply_to o, const struct request *q);

#endif
