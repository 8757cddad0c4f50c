/* What the files of a copy share. */
#ifndef PAIL_REPLICA_COPY_IMPL_H
#define PAIL_REPLICA_COPY_IMPL_H

#include "replica/copy.h"
#include "replica/rules.h"

/* ---- copy.c ---- */

void copy_report(const struct copy *c, enum report_kind kind, struct place at,
		 const struct member *whom, uint32_t told_by);
/* Tell the owner how far is committed, as far as replies may consult it. */
void copy_tell_commit(struct copy *c);
/* A term was heard of: a primary of an older epoch is one no more. */
void copy_hear(struct copy *c, uint64_t term);
/* An order that was obeyed while it was primary, and what waits, are void. */
void copy_depose(struct copy *c);

/* Where what is known to be committed ends. */
static inline struct place copy_commit_place(const struct copy *c)
{
	struct place at = {0, 0};

	(void)spans_at(&c->spans, c->commit, &at);
	return at;
}

/* Terms grow in a log.  (With rules taken out they would not; what a log holds is wrong then.) */
static inline uint64_t term_after(const struct copy *c, uint64_t term)
{
	uint64_t last = spans_last(&c->spans).term;

	return RULE(TRUNCATE) && RULE(NEWEPOCH) && RULE(FENCE) ? term : term > last ? term : last;
}

static inline bool copy_is_frozen(const struct copy *c)
{
	return c->held || c->too_few;
}

/*
 * A copy that contradicts its primary may be the one that is right: then that primary has handed
 * over.  So it is said of one epoch, and is to be found out again in the next.
 */
static inline void copy_damage_of(struct copy *c, uint64_t term)
{
	if (term_epoch(term) > term_epoch(c->term))
		c->damaged = false;
}

/* ---- copy_backup.c ---- */

/* What the node sent in `term` came too late: a higher one is known. */
void copy_refuse(struct copy *c, uint32_t node, uint64_t term);

/* ---- copy_primary.c ---- */

void primary_members(struct copy *c, const struct parcel_order *o, uint64_t now_ms);
/* Begin to lead in c->lead, if the log takes it. */
void primary_lead(struct copy *c, uint64_t now_ms);
void primary_advance(struct copy *c);
void primary_drained(struct copy *c);
void primary_tick(struct copy *c, uint64_t now_ms);

#endif
