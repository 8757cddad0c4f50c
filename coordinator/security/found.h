/* Keys of nodes that the configuration does not name: who else knows them. */
#ifndef PAIL_FOUND_H
#define PAIL_FOUND_H

#include <stdbool.h>

#include "common/span.h"

struct security;

struct security_found {
	/* Is it the key of that node; is it any node's? */
	bool (*is_peer)(void *arg, struct span key, struct span name);
	bool (*is_node)(void *arg, struct span key);
	void *arg;
};

/* From now on they are asked about whom [peers] does not name; it lives as long as it is set.  NULL:
 * there are no others. */
void security_find(struct security *s, const struct security_found *found);

#endif
