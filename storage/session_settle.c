/*
 * What a checkpoint settles of sessions.  The list is made when the log is frozen, of those that
 * changed since the last one: their floors, and the outcomes that base does not have, held and not
 * copied.  What happens behind that waits for the next list; one that did not come into base is made
 * again, from what is then in memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/fault.h"
#include "storage/engine.h"
#include "storage/session_table.h"

void session_change(struct session_table *t, struct session *x)
{
	if (x->changed)
		return;
	x->changed = true;
	x->changed_next = t->changed;
	t->changed = x;
	t->changes++;
}

/* ---- the list ---- */

static void settle_free(struct settle *l)
{
	free(l->session);
	free(l->outcome);
	free(l->forgotten);
	memset(l, 0, sizeof(*l));
}

/* Has the partition forgotten some, and may base know of it? */
static bool forgets_settle(const struct session_table *t, const struct marks *marks, uint32_t i)
{
	return t->forgotten[i] != t->forgotten_settled[i] &&
	       (!marks || t->forgotten_at[i] <= marks->at[i]);
}

static int settle_make(const struct session_table *t, const struct marks *marks, struct settle *l)
{
	uint32_t forgets = 0;

	for (uint32_t i = 0; i < t->partitions; i++)
		forgets += forgets_settle(t, marks, i);
	memset(l, 0, sizeof(*l));
	if (fault_at("session.freeze") < 0)
		return -ENOMEM;
	l->session = t->changes ? malloc(t->changes * sizeof(*l->session)) : NULL;
	l->outcome = t->changed_outcomes ? malloc(t->changed_outcomes * sizeof(void *)) : NULL;
	l->forgotten = forgets ? malloc(forgets * sizeof(*l->forgotten)) : NULL;
	if ((l->session || !t->changes) && (l->outcome || !t->changed_outcomes) &&
	    (l->forgotten || !forgets))
		return 0;
	settle_free(l);
	return -ENOMEM;
}

/* How many of its outcomes must wait. */
static uint32_t session_freeze(struct settle *l, struct session *x, const struct marks *marks)
{
	uint32_t wait = 0;

	struct settle_session *s = &l->session[l->sessions++];

	*s = (struct settle_session){.gone = x->gone ? x : NULL,
				     .partition = x->partition,
				     .floor = x->floor,
				     .outcome = l->outcome ? l->outcome + l->outcomes : NULL};
	memcpy(s->id, x->id, sizeof(s->id));
	for (uint32_t i = 0; i < x->count; i++) {
		struct outcome *o = x->outcome[x->first + i];

		if (o->settled)
			continue;
		if (marks && o->sequence > marks->at[x->partition]) {
			wait++;
			continue;
		}
		o->holders++;
		s->outcome[s->count++] = o;
	}
	l->outcomes += s->count;
	return wait;
}

/* Must all of it wait?  That it is gone was said by a record that is later than the marks. */
static bool session_waits(const struct session_table *t, const struct session *x,
			  const struct marks *marks)
{
	return marks && x->gone && t->forgotten_at[x->partition] > marks->at[x->partition];
}

int sessions_freeze(struct session_table *t, const struct marks *marks)
{
	struct settle *l = &t->settle;
	struct session *x = t->changed;
	uint64_t outcomes = t->changed_outcomes;
	uint64_t changes = t->changes;

	check(!l->sessions && !l->forgets);
	if (settle_make(t, marks, l) < 0)
		return -ENOMEM;
	t->changed = NULL;
	t->changes = 0;
	t->changed_outcomes = 0;
	while (x) {
		struct session *next = x->changed_next;
		bool waits = session_waits(t, x, marks);
		uint32_t wait = waits ? 0 : session_freeze(l, x, marks);

		x->changed = false;
		if (waits || wait)
			session_change(t, x);
		t->changed_outcomes += wait;
		session_work(t, WORK_REQUEST + x->count);
		x = next;
	}
	check(l->sessions <= changes && l->outcomes + t->changed_outcomes <= outcomes);
	t->unlogged_bytes = 0;
	t->gone_bytes = 0;
	for (uint32_t i = 0; i < t->partitions; i++)
		if (forgets_settle(t, marks, i))
			l->forgotten[l->forgets++] = (struct settle_forgotten){i, t->forgotten[i]};
	return 0;
}

static void outcomes_leave(struct session_table *t, bool settled)
{
	struct settle *l = &t->settle;

	for (uint64_t i = 0; i < l->outcomes; i++) {
		struct outcome *o = l->outcome[i];

		session_work(t, 2);
		o->settled |= settled;
		if (!--o->holders)
			free(o);
	}
}

void sessions_settled(struct session_table *t)
{
	struct settle *l = &t->settle;

	outcomes_leave(t, true);
	for (uint64_t i = 0; i < l->sessions; i++) {
		session_work(t, 1);
		free(l->session[i].gone);
	}
	for (uint32_t i = 0; i < l->forgets; i++)
		t->forgotten_settled[l->forgotten[i].partition] = l->forgotten[i].made_ms;
	settle_free(l);
}

/* It is to be on the next list, whatever it is by then. */
static void session_again(struct session_table *t, const struct settle_session *s)
{
	struct session *x = s->gone ? s->gone : session_find(t, s->partition, s->id);

	if (x)
		session_change(t, x);
}

void sessions_unsettled(struct session_table *t)
{
	struct settle *l = &t->settle;

	t->changed_outcomes += l->outcomes;
	outcomes_leave(t, false);
	for (uint64_t i = 0; i < l->sessions; i++) {
		session_work(t, WORK_REQUEST);
		session_again(t, &l->session[i]);
	}
	settle_free(l);
}

/* ---- into base ---- */

static int order(const void *a, const void *b)
{
	const struct settle_session *x = a;
	const struct settle_session *y = b;

	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return memcmp(x->id, y->id, sizeof(x->id));
}

static int session_merge(const struct settle_session *s, struct engine *base)
{
	int r;

	if (s->gone)
		return engine_session_delete(base, s->partition, s->id);
	r = engine_session_put(base, s->partition, s->id, s->floor);
	for (uint32_t i = 0; i < s->count && r == 0; i++) {
		const struct outcome *o = s->outcome[i];
		const struct engine_outcome row = {
			.number = o->number,
			.fingerprint = o->fingerprint,
			.sequence = o->sequence,
			.ruled_out = o->ruled_out,
			.result = {o->result, o->size}
                };

		r = engine_outcome_put(base, s->partition, s->id, &row);
	}
	return r;
}

int sessions_merge(struct settle *l, struct engine *base)
{
	int r = 0;

	if (l->sessions)
		qsort(l->session, l->sessions, sizeof(*l->session), order);
	for (uint64_t i = 0; i < l->sessions && r == 0; i++)
		r = session_merge(&l->session[i], base);
	for (uint32_t i = 0; i < l->forgets && r == 0; i++)
		r = engine_forgotten_put(base, l->forgotten[i].partition, l->forgotten[i].made_ms);
	return r;
}
