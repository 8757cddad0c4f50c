/* A primary's set: who leaves it, who joins it, and to whom the partition is handed over. */
#include "replica/clerk.h"
#include "replica/clerk_impl.h"

#define DRAIN_MS   3000u /* a switch is given up when what waits is not committed by then */
#define BETWEEN_MS 1000u

static bool is_leaving(const struct clerk *c, struct member m)
{
	return m.node < REPLICA_NODES_MAX && c->nodes[m.node] && c->nodes[m.node]->leaving;
}

static bool is_lost(const struct clerk *c, const struct part *p, const struct partner *x,
		    uint64_t silent_ms, struct moment now)
{
	struct moment since = moment_most(moment_most(p->led_at, c->woken), x->granted);
	uint64_t silent = elapsed_ms(now, since);

	/* Who says nothing at all is not stuck: it may not hear, or not be heard. */
	bool stuck = lately(now, x->stuck, LATELY_MS) &&
		     (silent_ms == CLERK_SHRINK_MS || silent < LATELY_MS);

	return silent > silent_ms || x->damaged || is_leaving(c, x->id) || stuck ||
	       (RULE(FULL) && lately(now, x->full, LATELY_MS));
}

static void extra_drop(struct part *p)
{
	struct partner *x = p->extra.node ? partner_of(p, p->extra) : NULL;

	if (x)
		x->near = MOMENT_BEFORE;
	p->extra = (struct member){0};
	p->extra_number = 0;
	p->stale = true;
}

static void shrink(struct clerk *c, struct part *p, const struct member *who, uint32_t n,
		   struct moment now)
{
	struct view v = p->view;

	if (p->extra.node) {
		extra_drop(p);
		part_settle(c, p, now);
	}
	members_drop(&v, who, n);
	if (frozen_set(c, p, &v))
		change_begin(c, p, CHANGE_SHRINK, &v, now);
}

static uint32_t lost_find(const struct clerk *c, const struct part *p, uint64_t silent_ms,
			  struct member *lost, struct moment now)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->partners; i++)
		if (view_has(&p->view, p->partner[i].id) &&
		    is_lost(c, p, &p->partner[i], silent_ms, now))
			lost[n++] = p->partner[i].id;
	return n;
}

/* Does any other node hear this one? */
static bool is_answered(const struct clerk *c, struct moment now)
{
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		if (c->nodes[i] && lately(now, c->nodes[i]->answered, CLERK_SHRINK_MS))
			return true;
	return false;
}

/*
 * Members that are gone leave the set.  True: some are.  Too few would be left: it may be this node that
 * nobody hears.  Writes would be refused all the same, so the others have the time to take over first.
 */
static bool lost_drop(struct clerk *c, struct part *p, struct moment now)
{
	struct member lost[REPLICA_MEMBERS_MAX];
	uint32_t n = lost_find(c, p, CLERK_SHRINK_MS, lost, now);

	if (n && p->view.isr_count - n < c->config.min_copies && !is_too_few(c, &p->view) &&
	    !is_answered(c, now))
		n = lost_find(c, p, CLERK_ALONE_MS, lost, now);
	if (n)
		shrink(c, p, lost, n, now);
	return n;
}

/* ---- growing ---- */

static void grow(struct clerk *c, struct part *p, struct member m, struct moment now)
{
	struct view v = p->view;

	v.isr[v.isr_count++] = m;
	if (!is_too_few(c, &v))
		frozen_clear(&v);
	change_begin(c, p, CHANGE_GROW, &v, now);
}

/* The learner counts: is it there yet? */
static void grow_look(struct clerk *c, struct part *p, struct moment now)
{
	if ((p->counted && p->caught) || !RULE(COUNTED))
		grow(c, p, p->extra, now);
	else if (elapsed_ms(now, p->plan_at) > CLERK_SHRINK_MS)
		extra_drop(p);
}

static bool grow_begin(struct clerk *c, struct part *p, struct moment now)
{
	for (uint32_t i = 0; i < p->partners && p->view.isr_count < REPLICA_MEMBERS_MAX; i++) {
		const struct partner *x = &p->partner[i];

		if (view_has(&p->view, x->id) || !lately(now, x->near, NEAR_MS) || x->damaged ||
		    is_leaving(c, x->id) || !lately(now, x->granted, CLERK_SHRINK_MS) ||
		    lately(now, x->full, LATELY_MS))
			continue;
		if (!is_fresh(p, now)) {
			part_get(c, p, CLERK_BEAT_MS, now);
			return false;
		}
		if (!RULE(JOINT)) {
			grow(c, p, x->id, now);
			return true;
		}
		p->extra = x->id;
		p->extra_number = 0;
		p->counted = p->caught = false;
		p->plan_at = now;
		p->stale = true;
		part_settle(c, p, now);
		if (!RULE(COUNTED))
			grow_look(c, p, now);
		return true;
	}
	return false;
}

/* ---- where the partition is wanted ---- */

static bool is_wanted(const struct part *p, uint32_t node)
{
	for (uint32_t i = 0; i < p->targets; i++)
		if (p->target[i] == node)
			return true;
	return false;
}

static struct member member_on(const struct part *p, uint32_t node)
{
	for (uint32_t i = 0; i < p->view.isr_count; i++)
		if (p->view.isr[i].node == node)
			return p->view.isr[i];
	return (struct member){0};
}

static bool all_wanted_are_in(const struct part *p)
{
	for (uint32_t i = 0; i < p->targets; i++)
		if (!member_on(p, p->target[i]).node)
			return false;
	return p->targets;
}

/* Who is to be the primary in this node's place; node 0: nobody. */
static struct member wanted_primary(struct clerk *c, struct part *p, struct moment now)
{
	struct member none = {0};
	struct member m;
	const struct partner *x;

	if (c->draining)
		return member_there(c, p, now);
	if (!all_wanted_are_in(p) || p->target[0] == c->config.self.node)
		return none;
	if (is_wanted(p, c->config.self.node) &&
	    (elapsed_ms(now, p->changed) < CLERK_HOME_MS || elapsed_ms(now, c->home) < BETWEEN_MS))
		return none;
	for (uint32_t i = 0; i < p->targets; i++) {
		m = member_on(p, p->target[i]);
		x = partner_of(p, m);
		if (x && !is_self(c, m) && !c->nodes[m.node]->draining &&
		    lately(now, x->granted, CLERK_BEAT_MS * 2))
			return m;
		if (is_wanted(p, c->config.self.node))
			return none;
	}
	return none;
}

static void switch_begin(struct clerk *c, struct part *p, struct moment now)
{
	struct member to;

	if (lately(now, p->given_up, BETWEEN_MS) || c->switching >= CLERK_SWITCHES)
		return;
	to = wanted_primary(c, p, now);
	if (!to.node)
		return;
	if (!is_fresh(p, now)) {
		part_get(c, p, CLERK_BEAT_MS, now);
		return;
	}
	if (!c->draining && is_wanted(p, c->config.self.node))
		c->home = now;
	p->switch_to = to;
	c->switching++;
	p->plan_at = now;
	p->drained = !RULE(STOP);
	if (RULE(STOP)) {
		p->stopped = true;
		p->stop_number = order_send(c, p, ORDER_STOP);
	}
}

static void switch_look(struct clerk *c, struct part *p, struct moment now)
{
	struct view v = p->view;

	if (!view_has(&p->view, p->switch_to) || elapsed_ms(now, p->plan_at) > DRAIN_MS) {
		p->switch_to = (struct member){0};
		p->given_up = now;
		p->go_on = p->stale = true;
		return;
	}
	if (!p->drained)
		return;
	v.epoch++;
	v.primary = p->switch_to;
	v.released = true;
	change_begin(c, p, CHANGE_SWITCH, &v, now);
}

/* Members leave that are not wanted, when all that are wanted are in. */
static bool unwanted_drop(struct clerk *c, struct part *p, struct moment now)
{
	struct member who[REPLICA_MEMBERS_MAX];
	uint32_t n = 0;

	if (!all_wanted_are_in(p) || !is_wanted(p, c->config.self.node) || !is_fresh(p, now))
		return false;
	for (uint32_t i = 0; i < p->view.isr_count; i++)
		if (!is_wanted(p, p->view.isr[i].node))
			who[n++] = p->view.isr[i];
	if (n)
		shrink(c, p, who, n, now);
	return n;
}

void lead_look(struct clerk *c, struct part *p, struct moment now)
{
	struct view v = p->view;

	if (lost_drop(c, p, now) || unwanted_drop(c, p, now))
		return;
	if (p->held) {
		/* Whoever was to leave is there again. */
		p->go_on = p->stale = true;
		p->held = false;
	}
	if (p->freeze) {
		p->freeze = false;
		v.frozen = p->held_at;
		v.frozen_commit = p->held_commit;
		change_begin(c, p, CHANGE_FREEZE, &v, now);
		return;
	}
	if (p->extra.node)
		grow_look(c, p, now);
	else if (p->switch_to.node)
		switch_look(c, p, now);
	else if (!grow_begin(c, p, now))
		switch_begin(c, p, now);
}
