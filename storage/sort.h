/*
 * Sort changes of the log by (bucket, key), those of one key in the order given: a radix sort over
 * eight bytes of the key at a time, which skips bytes that are all alike.
 */
#ifndef PAIL_SORT_H
#define PAIL_SORT_H

#include <stdint.h>

#include "storage/log/entry.h"

struct sort_item {
	union {
		uint64_t word;                       /* scratch of the sort */
		const struct log_change_head *value; /* the caller's, afterwards */
	};
	uint64_t bucket;
	uint64_t version;
	const struct log_change_head *head;
};

/* `scratch` has room for `n` items too.  Stable. */
void sort_changes(struct sort_item *items, struct sort_item *scratch, uint64_t n);

#endif
