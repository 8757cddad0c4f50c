/*
 * The routing table: ranges of a bucket name's first byte, first match wins, each with a target.  A
 * node without a table serves everything itself.
 */
#ifndef PAIL_TABLE_H
#define PAIL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "common/span.h"

enum target_kind {
	TARGET_SELF,
	TARGET_PEER,
	TARGET_RING /* whichever node of the cluster has the bucket's partition: no other table decides */
};

struct target {
	enum target_kind kind;
	uint32_t peer; /* index in the configuration's peers */
};

struct route {
	uint8_t low;
	uint8_t high;
	struct target target;
	char entry[16];   /* as a person writes it */
	const char *node; /* or CONF_RING */
};

struct route_table {
	struct route *route;
	uint32_t count;
	uint16_t of_byte[256]; /* which entry a first byte finds; ROUTE_NONE: none */
};

#define ROUTE_NONE UINT16_MAX

/*
 * Make the table of a configuration, which must outlive it.  Mistakes are added to conf->errors,
 * with their places.  0 or -ENOMEM.
 */
int route_table_make(struct conf *conf, struct route_table *ret);
void route_table_fini(struct route_table *r);

/* The entry for a bucket's first byte, or NULL. */
static inline const struct route *route_table_find(const struct route_table *r, uint8_t first)
{
	return r->of_byte[first] == ROUTE_NONE ? NULL : &r->route[r->of_byte[first]];
}

/* The text of a no_route error. */
void route_table_explain(const struct route_table *r, struct span bucket, char *out, size_t size);

#endif
