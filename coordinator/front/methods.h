/* Methods that are answered here, or by everybody at once. */
#ifndef PAIL_METHODS_H
#define PAIL_METHODS_H

#include "coordinator/front/front.h"

struct cluster_place;

/* Answer `o`, now or later, to a request without a bucket. */
void method_run(struct front *front, struct message *m, struct reply_to o, const struct request *q,
		struct item *it);
/* `route` of a bucket whose way ends here; with a route to the cluster, `at` says where that is. */
void method_route(struct front *front, struct message *m, struct reply_to o,
		  const struct request *q, const struct route *route,
		  const struct cluster_place *at);

#endif
