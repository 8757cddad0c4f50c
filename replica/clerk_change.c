/* Which changes of a view are asked for, when, and by whom; and who becomes primary. */
#include <string.h>

#include "common/check.h"
#include "replica/clerk.h"
#include "replica/clerk_impl.h"

struct moment grace_end(const struct clerk *c, struct moment granted)
{
	uint64_t us = c->config.lease_ms * 1000ull;
	uint64_t ppm = c->config.drift_ppm;

	if (!RULE(WAIT))
		return moment_after(granted, 300000);
	if (RULE(MARGIN))
		us = us * (1000000 + ppm) / (1000000 - ppm) + 1 + 1000;
	return moment_after(granted, us);
}

bool is_fresh(const struct part *p, struct moment now)
{
	return lately(now, p->fresh, CLERK_FRESH_MS);
}

/* ---- asking ---- */

/*
 * A store that was set back takes a change whose base has long been replaced.  So one is asked for
 * only when the store has answered with all that anybody has told of, and again only when it has
 * been read since.
 */
static void change_send(struct clerk *c, struct part *p, struct moment now)
{
	bool told_more = c->answered < c->revision;
	bool again = p->change.sent.boot_us;

	if (RULE(SETBACK) && (told_more || (again && p->fresh.boot_us <= p->change.sent.boot_us))) {
		part_get(c, p, again ? CLERK_AGAIN_MS : CLERK_ASK_MS, now);
		return;
	}
	p->change.sent = now;
	c->ops.cas(c->arg, p->number, p->change.base, c->revision, &p->change.view);
}

void change_begin(struct clerk *c, struct part *p, enum change_kind kind, const struct view *v,
		  struct moment now)
{
	static const char *const texts[] = {
		[CHANGE_SHRINK] = "asks for fewer copies",
		[CHANGE_GROW] = "asks for a copy more",
		[CHANGE_TAKEOVER] = "asks to take over",
		[CHANGE_RECLAIM] = "asks for a new epoch after its restart",
		[CHANGE_SWITCH] = "asks another to be primary",
		[CHANGE_RESIGN] = "resigns",
		[CHANGE_FREEZE] = "asks to note where the log ends",
	};

	if (c->set_back)
		return;
	p->change = (struct change){.kind = kind,
				    .base = p->view.revision,
				    .first = now,
				    .sent = MOMENT_BEFORE,
				    .view = *v};
	p->change.view.revision = 0;
	p->change.view.by = c->ops.token(c->arg);
	part_note(c, p, texts[kind]);
	/* The worker counts, and reads under a lease of, both sets from before it is asked for. */
	part_settle(c, p, now);
	change_send(c, p, now);
}

void change_resend(struct clerk *c, struct part *p, struct moment now)
{
	if (elapsed_ms(now, p->change.sent) < CLERK_AGAIN_MS)
		return;
	if (!RULE(UNKNOWN) && p->change.sent.boot_us) {
		change_end(c, p, false);
		return;
	}
	change_send(c, p, now);
}

void change_end(struct clerk *c, struct part *p, bool done)
{
	enum change_kind kind = p->change.kind;

	part_note(c, p, done ? "the change is done" : "the change has not come");
	p->change.kind = CHANGE_NONE;
	p->extra = (struct member){0};
	p->extra_number = 0;
	if (kind == CHANGE_SWITCH || kind == CHANGE_RESIGN)
		p->switch_to = (struct member){0};
	p->go_on = p->held || p->stopped;
	p->stale = true;
}

void members_drop(struct view *v, const struct member *who, uint32_t n)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < v->isr_count; i++) {
		bool drop = false;

		for (uint32_t j = 0; j < n; j++)
			drop = drop || member_is(v->isr[i], who[j]);
		if (!drop)
			v->isr[k++] = v->isr[i];
	}
	v->isr_count = k;
	memset(&v->isr[k], 0, (REPLICA_MEMBERS_MAX - k) * sizeof(v->isr[0]));
}

/*
 * A change that leaves too few copies says where the log ends: who has been removed before and has
 * the log up to there has all that was ever told.  A primary runs no more writes from then on.
 * False: that is not known yet.
 */
bool frozen_set(struct clerk *c, struct part *p, struct view *v)
{
	if (!is_too_few(c, v) || !RULE(TOOFEW))
		return true;
	if (is_too_few(c, &p->view) && p->view.frozen.sequence)
		return true;
	if (!p->held) {
		p->held = true;
		p->held_told = false;
		p->hold_number = order_send(c, p, ORDER_HOLD);
	}
	if (p->held_told) {
		v->frozen = p->held_at;
		v->frozen_commit = p->held_commit;
	}
	return p->held_told;
}

/* ---- another node is the primary ---- */

static bool worker_ready(const struct clerk *c, const struct part *p, struct moment now)
{
	const struct worker *w = worker_of(c, p);

	return w->up && p->life_number && !p->damaged && elapsed_ms(now, w->sync) < CLERK_SHRINK_MS;
}

/* Which of those that may take over this node is, by the order of the set. */
static uint32_t place_in_line(const struct clerk *c, const struct view *v)
{
	uint32_t place = 0;

	for (uint32_t i = 0; i < v->isr_count && !is_self(c, v->isr[i]); i++)
		place += !member_is(v->isr[i], v->primary);
	return place;
}

/*
 * Is whoever the view names to be given time yet?  The view of a partition that was just made is read
 * by one node before the other; and to begin to lead in many partitions, at the start of all nodes
 * say, takes the agreement a while.
 */
static bool is_awaited(const struct part *p, struct moment now)
{
	uint64_t ms = elapsed_ms(now, p->changed);

	if (lately(now, p->coming, CLERK_SHRINK_MS) && ms < CLERK_COMING_MS)
		return true;
	return ms < (p->view.epoch == 1 ? CLERK_FIRST_MS : CLERK_SETTLED_MS);
}

/* Is there a member whose clock is right, unlike this node's, that could take over? */
static bool is_another_right(const struct clerk *c, const struct part *p, struct moment now)
{
	if (is_right(c, c->config.self.node, now))
		return false;
	for (uint32_t i = 0; i < p->view.isr_count; i++) {
		struct member m = p->view.isr[i];
		const struct node *n = m.node < REPLICA_NODES_MAX ? c->nodes[m.node] : NULL;

		if (!is_self(c, m) && !member_is(m, p->view.primary) && n && !n->draining &&
		    lately(now, n->heard, CLERK_SHRINK_MS) && is_right(c, m.node, now))
			return true;
	}
	return false;
}

void member_look(struct clerk *c, struct part *p, struct moment now)
{
	struct moment due = moment_after(grace_end(c, p->granted),
					 CLERK_PLACE_MS * 1000ull * place_in_line(c, &p->view));
	struct view v;

	if (elapsed_ms(now, p->granted) < c->config.lease_ms / 2) {
		p->held = false;
		return;
	}
	if (!view_has(&p->view, c->config.self))
		return;
	/* Whoever is to take over knows then that the agreement is there. */
	if (!lately(now, p->fresh, CLERK_AGAIN_MS))
		part_get(c, p, CLERK_AGAIN_MS, now);
	if (!moment_passed(now, due) || is_awaited(p, now))
		return;
	if (!moment_passed(now, moment_after(due, CLERK_WRONG_MS * 1000ull)) &&
	    is_another_right(c, p, now))
		return;
	if (c->draining || c->set_back || !worker_ready(c, p, now) || !is_fresh(p, now))
		return;
	v = p->view;
	members_drop(&v, &p->view.primary, 1);
	v.epoch++;
	v.primary = c->config.self;
	v.released = false;
	if (frozen_set(c, p, &v))
		change_begin(c, p, CHANGE_TAKEOVER, &v, now);
}

/* ---- this node is the primary ---- */

/* A member that is there, to be the next primary; node 0: none is. */
struct member member_there(const struct clerk *c, struct part *p, struct moment now)
{
	for (uint32_t i = 0; i < p->view.isr_count; i++) {
		struct member m = p->view.isr[i];
		const struct node *n = m.node < REPLICA_NODES_MAX ? c->nodes[m.node] : NULL;
		const struct partner *x = partner_of(p, m);

		if (is_self(c, m) || !n || n->draining || !lately(now, n->heard, CLERK_SHRINK_MS))
			continue;
		if (x && (x->damaged || lately(now, x->stuck, LATELY_MS) ||
			  lately(now, x->full, LATELY_MS)))
			continue;
		return m;
	}
	return (struct member){0};
}

/* Its worker is down, or hangs, or cannot lead: is it to be another's? */
static bool is_unfit(const struct clerk *c, const struct part *p, struct moment now)
{
	const struct worker *w = worker_of(c, p);

	if (!w->up)
		return elapsed_ms(now, w->down) >= CLERK_RESIGN_MS;
	if (RULE(HUNG) && elapsed_ms(now, w->sync) >= CLERK_RESIGN_MS)
		return true;
	if (p->lead_number && !p->leading && elapsed_ms(now, p->lead_sent) >= CLERK_RESIGN_MS)
		return true;
	return p->damaged;
}

static bool resign(struct clerk *c, struct part *p, struct moment now)
{
	struct view v = p->view;
	struct member to;

	if (p->change.kind || c->set_back || !is_unfit(c, p, now))
		return false;
	to = member_there(c, p, now);
	if (p->damaged && p->knows.node && view_has(&p->view, p->knows))
		to = p->knows;
	if (!to.node)
		return false;
	members_drop(&v, &c->config.self, 1);
	v.epoch++;
	v.primary = to;
	/* Whoever has granted another one the lease may not give away what that one still has. */
	v.released = !RULE(HONEST) || p->led || p->view.released ||
		     moment_passed(now, grace_end(c, p->granted));
	if (!is_too_few(c, &p->view))
		frozen_clear(&v); /* the next one says it */
	if (worker_of(c, p)->up && p->leading && !p->stopped) {
		p->stopped = true;
		p->stop_number = order_send(c, p, ORDER_STOP);
	}
	p->switch_to = to;
	change_begin(c, p, CHANGE_RESIGN, &v, now);
	return true;
}

/* To begin to lead: what must be waited for? */
static void lead_begin(struct clerk *c, struct part *p, struct moment now)
{
	bool own = p->log_epoch == p->view.epoch; /* it has led in this epoch: only it can have */
	struct view v = p->view;

	/* An earlier life of this node may have led in this epoch, and shipped what is lost here. */
	if (RULE(NEWEPOCH) && !p->led && (own || p->view.epoch <= p->first_epoch)) {
		if (p->change.kind)
			return;
		v.epoch++;
		v.released = own || p->view.released;
		change_begin(c, p, CHANGE_RECLAIM, &v, now);
		c->beat_now = true; /* it says that it is coming */
		return;
	}
	if (p->change.kind && (!p->led || is_handing(c, p)))
		return;
	if (RULE(ACTIVATE) && !p->led && !p->view.released &&
	    !moment_passed(now, grace_end(c, p->granted)))
		return;
	p->lead_sent = now;
	partners_set(c, p);
	p->lead_number = order_send(c, p, ORDER_LEAD);
}

void primary_look(struct clerk *c, struct part *p, struct moment now)
{
	if (resign(c, p, now) || !worker_of(c, p)->up || !p->life_number || p->damaged)
		return;
	if (!p->lead_number)
		lead_begin(c, p, now);
	else if (p->leading && !p->change.kind && !c->set_back)
		lead_look(c, p, now);
}
