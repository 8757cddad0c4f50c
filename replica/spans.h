/*
 * What a copy's log holds, term by term: sequences first..last of each term, in order.  Two logs
 * agree up to the newest (term, sequence) that both have.
 */
#ifndef PAIL_REPLICA_SPANS_H
#define PAIL_REPLICA_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/view.h"

#define SPANS_MAX  64u /* terms; the oldest are forgotten, and what lies in them is settled */
#define SPANS_TOLD 8u  /* of the newest, in an answer that says where two logs part */

struct span_term {
	uint64_t term;
	uint64_t first;
	uint64_t last;
};
_Static_assert(sizeof(struct span_term) == 24, "told between nodes, and on disk");

struct spans {
	uint32_t count;
	struct span_term at[SPANS_MAX];
};

/* The place of the last record; {0, 0}: there is none. */
struct place spans_last(const struct spans *s);
/* Is the record of that place in the log?  {0, 0} always is. */
bool spans_hold(const struct spans *s, struct place p);
/* The place of the record that has `sequence`, 0 included.  False: it is not known (any more). */
bool spans_at(const struct spans *s, uint64_t sequence, struct place *ret);
/*
 * `count` sequences of the term, which is not lower than the last one's, follow from `first` on: the
 * last one's plus 1; with no spans, anything.
 */
void spans_append(struct spans *s, uint64_t term, uint64_t first, uint64_t count);
/* Everything above `sequence` is gone. */
void spans_cut(struct spans *s, uint64_t sequence);
/*
 * The newest place that both logs have.  `other` are the last `count` spans of the other one, oldest
 * first, and what is before them is not known: if they have nothing in common, that is {0, 0}.
 */
struct place spans_common(const struct spans *s, const struct span_term *other, uint32_t count);

#endif
