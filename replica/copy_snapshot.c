/*
 * Copies that learn anew.  The danger is in what goes with the first piece: if the copy has come to
 * count meanwhile, by the log, it has been told of as having what is then lost.  So
 *
 *	the primary sends a snapshot only to a copy that does not count, and hears no
 *	acknowledgement of it until it has taken the snapshot in, or is another member;
 *	what it acknowledged before then is late (copy_member.after), however long it takes;
 *	the copy takes a first piece only with the ticket that it gave last, for this term,
 *	and if it has acknowledged nothing since.
 */
#include "common/check.h"
#include "replica/copy.h"
#include "replica/copy_impl.h"

/* ---- the copy ---- */

static void emptied(struct copy *c)
{
	c->spans = (struct spans){0};
	c->commit = c->told = c->synced = c->match = 0;
	c->ticket = 0;
	c->full = c->damaged = false;
}

void copy_broken(struct copy *c)
{
	check(c->role == COPY_NONE);
	emptied(c);
	c->broken = true;
}

bool copy_offered(struct copy *c, const struct parcel_piece *p, uint64_t ticket)
{
	check(ticket);
	if (!c->may_append || c->role != COPY_BACKUP)
		return false;
	if (p->term < c->seen) {
		copy_refuse(c, p->from.node, p->term);
		return false;
	}
	copy_hear(c, p->term);
	c->ticket = ticket;
	c->ticket_term = p->term;
	return true;
}

bool copy_may_load(const struct copy *c, const struct parcel_piece *p)
{
	if (!c->may_append || c->role != COPY_BACKUP || c->lead || p->term != c->seen)
		return false;
	return !RULE(TICKET) || (c->ticket && p->ticket == c->ticket && p->term == c->ticket_term);
}

void copy_load(struct copy *c)
{
	check(c->role == COPY_BACKUP);
	emptied(c);
	c->broken = true;
}

void copy_loaded(struct copy *c, const struct spans *spans, uint64_t commit)
{
	bool was = c->broken;

	check(c->role != COPY_PRIMARY && commit <= spans_last(spans).sequence);
	emptied(c);
	c->broken = false;
	c->spans = *spans;
	c->commit = c->told = commit;
	c->synced = spans_last(spans).sequence;
	if (spans_last(spans).term > c->seen)
		c->seen = spans_last(spans).term;
	if (was)
		copy_report(c, REPORT_WHOLE, spans_last(spans), &c->self, 0);
}

void copy_forgotten(struct copy *c)
{
	check(c->role == COPY_NONE);
	emptied(c);
	c->broken = true;
}

/* ---- the primary ---- */

void copy_lost(struct copy *c, uint32_t i)
{
	check(i < c->count && c->role == COPY_PRIMARY);
	c->members[i].anew = true;
}

void copy_taught(struct copy *c, uint32_t i, struct place at, uint64_t now_ms)
{
	struct copy_member *m = &c->members[i];

	check(i < c->count && c->role == COPY_PRIMARY);
	if (!m->anew || !spans_hold(&c->spans, at))
		return;
	m->anew = m->full = m->told_caught = false;
	m->known = true;
	m->after = m->acked_stamp = m->back_stamp = c->stamp;
	m->acked = m->next = at.sequence;
	m->heard_ms = m->progress_ms = now_ms;
	m->told_ms = 0;
	copy_report(c, REPORT_WHOLE, at, &m->id, 0);
	c->ops->ship(c->arg, c, i, true);
}
