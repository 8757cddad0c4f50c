/*
 * What a copy of a partition has in its log, term by term: the sequences from `first` to `last`
 * were written in `term`.  Two copies agree up to the newest (term, sequence) that both have.
 */
#ifndef PAIL_LOG_SPANS_H
#define PAIL_LOG_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_SPANS_MAX  64u /* terms; beyond, the oldest are forgotten */
#define LOG_SPANS_KEPT 16u /* so many stay, however far base has come */

/* The place of a record. */
struct log_place {
	uint64_t term; /* epoch << 16 | life; 0: it was written without replicas */
	uint64_t sequence;
};
_Static_assert(sizeof(struct log_place) == 16, "layout on disk");

struct log_span {
	uint64_t term;
	uint64_t first;
	uint64_t last;
};
_Static_assert(sizeof(struct log_span) == 24, "layout on disk, told between nodes");

struct log_spans {
	uint32_t count;
	struct log_span at[LOG_SPANS_MAX]; /* oldest first; terms grow, sequences are contiguous */
};

/* The last record's place; zeros: there is none. */
static inline struct log_place spans_end(const struct log_spans *s)
{
	const struct log_span *x = s->count ? &s->at[s->count - 1] : 0;

	return x ? (struct log_place){x->term, x->last} : (struct log_place){0, 0};
}

/* `count` sequences of the term follow, from `first` on, which is behind the last one. */
void spans_add(struct log_spans *s, uint64_t term, uint64_t first, uint64_t count);
/* What is above `sequence` is no more. */
void spans_trim(struct log_spans *s, uint64_t sequence);
/* Forget those that end at or before `settled`, but for the last ones. */
void spans_prune(struct log_spans *s, uint64_t settled);
/* Is the record of this term and sequence one of them? */
bool spans_have(const struct log_spans *s, uint64_t term, uint64_t sequence);
/* Terms grow, sequences are contiguous, none is empty. */
bool spans_are_sane(const struct log_spans *s);

#endif
