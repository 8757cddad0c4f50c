/* Scans and lists. */
#ifndef PAIL_STORE_SCAN_H
#define PAIL_STORE_SCAN_H

#include <stdbool.h>

#include "common/span.h"
#include "storage/read.h"

struct store_range {
	struct span prefix;
	struct span from;  /* inclusive */
	struct span to;    /* exclusive */
	struct span after; /* strictly behind it in the direction of the scan */
	bool has_to;
	bool has_after;
	bool reverse;
};

/* Call `item` for each live key of the range, in order, until it returns false. */
int store_scan(struct store *s, struct store_key *k, const struct store_range *range,
	       bool (*item)(void *arg, const struct store_item *i), void *arg);

/* Names of buckets at or behind `from` in order, until `name` returns false. */
void store_buckets(struct store *s, struct span from, bool (*name)(void *arg, struct span n),
		   void *arg);

#endif
