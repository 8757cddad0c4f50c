/*
 * The entries that were appended last, of all partitions that are led here, in memory: what copies
 * are sent, while they keep up.  Each partition's are a chain.
 */
#ifndef PAIL_RECENT_H
#define PAIL_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log/entry.h"

struct recent;

struct recent_line {
	uint64_t last;  /* position of the newest; 0: there is none */
	uint64_t from;  /* the sequence of the oldest; good if there is one */
	uint64_t found; /* where recent_find ended last */
	uint32_t chain; /* grows when the line begins anew */
};

/* `bytes` is a power of two and a multiple of the page size.  0 or negative errno. */
int recent_new(uint64_t bytes, struct recent **ret);
void recent_free(struct recent **r);

/*
 * `line` gets a copy of the entry; the oldest ones, of whatever line, go: `lines` has them all, and
 * `number` says which one this is.
 */
void recent_add(struct recent *r, struct recent_line *lines, uint64_t stride, uint32_t number,
		const struct log_entry *e);
/* The line begins anew. */
void recent_clear(struct recent_line *l);

/* The entry whose first sequence this is; NULL: it is not there (any more). */
const struct log_entry *recent_find(const struct recent *r, struct recent_line *l,
				    uint64_t sequence);
/* The one behind it in its line; NULL: there is none. */
const struct log_entry *recent_next(const struct recent *r, const struct log_entry *e);

#endif
