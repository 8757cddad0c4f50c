/* What workers are told, and what they say. */
#include <string.h>

#include "common/check.h"
#include "replica/clerk.h"
#include "replica/clerk_impl.h"

/* ---- orders ---- */

/* Does the worker lead, or was it told to? */
static bool is_led_by_worker(const struct clerk *c, const struct part *p)
{
	return is_primary(c, p) && !is_behind(p) && p->lead_number;
}

static bool partner_has(const struct part *p, struct member m)
{
	for (uint32_t i = 0; i < p->partners; i++)
		if (member_is(p->partner[i].id, m))
			return true;
	return false;
}

/* Whoever counts is told of, before all others. */
static void order_members(const struct clerk *c, const struct part *p, struct parcel_order *o)
{
	struct member set[REPLICA_MEMBERS_MAX];
	uint32_t n = needed_members(c, p, set);

	for (uint32_t i = 0; i < n; i++)
		check(partner_has(p, set[i]));
	for (uint32_t i = 0; i < p->partners; i++) {
		struct member m = p->partner[i].id;
		bool needed = is_needed(c, p, m);
		bool learner = !view_has(&p->view, m);

		o->member[o->count++] = (struct order_member){
			m, (needed ? MEMBER_NEEDED : 0u) | (learner ? MEMBER_LEARNER : 0u)};
	}
}

/* A copy that is wanted is not in the set: whoever leads when it comes back has to send it the log. */
static bool is_short(const struct part *p)
{
	for (uint32_t k = 0; k < p->targets; k++) {
		bool in = false;

		for (uint32_t i = 0; i < p->view.isr_count; i++)
			in = in || p->view.isr[i].node == p->target[k];
		if (!in)
			return true;
	}
	return false;
}

static void order_fill(const struct clerk *c, const struct part *p, enum order_kind kind,
		       struct parcel_order *o)
{
	bool frozen = is_too_few(c, &p->view) && p->view.frozen.sequence &&
		      p->held_commit == ORDER_COMMIT_NOW;
	uint32_t epoch = is_behind(p) ? p->seen : p->view.epoch;
	uint32_t life = kind == ORDER_LEAD ? worker_of(c, p)->life : 0;

	*o = (struct parcel_order){
		.head = {sizeof(*o), PARCEL_ORDER, (uint16_t)p->number, 0, 0},
		.term = term_make(epoch, life),
 /* A node that was started anew does not know it any more: the view does. */
		.frozen = frozen ? p->view.frozen_commit : p->held_commit,
		.kind = (uint32_t)kind,
		.may_append = p->known,
	};
	if (kind != ORDER_LEAD && kind != ORDER_VIEW)
		return;
	if (is_short(p))
		o->flags |= ORDER_KEEP;
	if (kind == ORDER_VIEW && !is_led_by_worker(c, p))
		return;
	order_members(c, p, o);
	/* While it is not known that there will not be too few, no write runs. */
	if (is_too_few(c, &p->view) ||
	    (p->change.kind && !is_handing(c, p) && RULE(TOOFEW) && is_too_few(c, &p->change.view)))
		o->flags |= ORDER_TOO_FEW;
}

static uint64_t order_put(struct clerk *c, struct part *p, struct parcel_order *o)
{
	o->number = ++c->number;
	if (o->kind == ORDER_VIEW || o->kind == ORDER_LEAD)
		p->sent = *o;
	/* The worker may have outlived an earlier coordinator: it may still lead, and count nobody. */
	if (!p->life_number) {
		p->life_number = o->number;
		o->flags |= ORDER_ANEW;
	}
	c->ops.order(c->arg, p->number, o);
	return o->number;
}

uint64_t order_send(struct clerk *c, struct part *p, enum order_kind kind)
{
	struct parcel_order o;

	order_fill(c, p, kind, &o);
	return order_put(c, p, &o);
}

static bool order_same(const struct parcel_order *a, const struct parcel_order *b)
{
	return a->number && term_epoch(a->term) == term_epoch(b->term) && a->flags == b->flags &&
	       a->count == b->count && a->may_append == b->may_append &&
	       !memcmp(a->member, b->member, sizeof(a->member));
}

void order_forget(struct part *p)
{
	p->lead_number = 0;
	p->leading = false;
	p->stopped = p->drained = p->held = p->held_told = p->go_on = false;
	p->counted = p->caught = false;
	p->extra = p->switch_to = (struct member){0};
	p->extra_number = 0;
}

static void go_on(struct clerk *c, struct part *p)
{
	p->go_on = false;
	if (is_handing(c, p))
		return;
	if (!p->lead_number) {
		p->held = p->held_told = p->stopped = false;
		return;
	}
	(void)order_send(c, p, ORDER_GO_ON);
	p->held = p->held_told = false;
	if (p->stopped && p->switch_to.node) {
		p->stop_number = order_send(c, p, ORDER_STOP);
		p->drained = false;
	} else {
		p->stopped = false;
	}
}

/* ---- partners ---- */

static void partner_add(struct part *p, const struct partner *old, uint32_t n, struct member m)
{
	struct partner *x = &p->partner[p->partners];

	for (uint32_t i = 0; i < p->partners; i++)
		if (member_is(p->partner[i].id, m))
			return;
	if (p->partners == REPLICA_MEMBERS_MAX)
		return;
	*x = (struct partner){.id = m};
	for (uint32_t i = 0; i < n; i++)
		if (member_is(old[i].id, m))
			*x = old[i];
	p->partners++;
}

/* Who counts, and who is to learn: nodes that are wanted and have no copy in the set. */
void partners_set(struct clerk *c, struct part *p)
{
	struct partner old[REPLICA_MEMBERS_MAX];
	struct member needed[REPLICA_MEMBERS_MAX];
	uint32_t n = p->partners;
	uint32_t k = needed_members(c, p, needed);

	memcpy(old, p->partner, sizeof(old));
	p->partners = 0;
	for (uint32_t i = 0; i < k; i++)
		partner_add(p, old, n, needed[i]);
	for (uint32_t i = 0; i < p->view.isr_count; i++)
		if (!is_self(c, p->view.isr[i]))
			partner_add(p, old, n, p->view.isr[i]);
	for (uint32_t i = 0; i < p->targets; i++) {
		uint32_t node = p->target[i];
		const struct node *x = node < REPLICA_NODES_MAX ? c->nodes[node] : NULL;
		bool in = node == c->config.self.node;

		for (uint32_t j = 0; j < p->view.isr_count; j++)
			in = in || p->view.isr[j].node == node;
		if (!in && x && x->store)
			partner_add(p, old, n, (struct member){x->store, node, 0});
	}
}

void part_settle(struct clerk *c, struct part *p, struct moment now)
{
	struct parcel_order o;

	(void)now;
	p->stale = false;
	if (is_primary(c, p))
		partners_set(c, p);
	lease_write(c, p);
	if (!p->known || !worker_of(c, p)->up)
		return;
	order_fill(c, p, ORDER_VIEW, &o);
	if (!order_same(&p->sent, &o)) {
		uint64_t number = order_put(c, p, &o);

		if (p->extra.node && !p->extra_number)
			p->extra_number = number;
	}
	if (p->go_on)
		go_on(c, p);
}

/*
 * Each says what is to be so, and may be obeyed twice.  What the worker says to those that it has
 * counts for these too: their numbers are lower, so none of them is waited for anew.
 */
void orders_repeat(struct clerk *c, struct part *p, struct moment now)
{
	p->repeat = false;
	if (!p->known || !worker_of(c, p)->up || !p->sent.number)
		return;
	memset(&p->sent, 0, sizeof(p->sent));
	part_settle(c, p, now);
	if (is_led_by_worker(c, p) && !is_handing(c, p)) {
		(void)order_send(c, p, ORDER_LEAD);
		/* Whoever has stopped must not begin again between two of these. */
		if (!p->stopped && !p->held)
			(void)order_send(c, p, ORDER_GO_ON);
	}
	if (p->held)
		(void)order_send(c, p, ORDER_HOLD);
	if (p->stopped)
		(void)order_send(c, p, ORDER_STOP);
}

/* ---- workers ---- */

/* All that was told to its last life, and what that has said, is void. */
static void life_end(struct part *p)
{
	order_forget(p);
	p->damaged = p->repeat = false;
	p->life_number = 0;
	memset(&p->sent, 0, sizeof(p->sent));
	for (uint32_t i = 0; i < p->partners; i++) {
		struct partner *x = &p->partner[i];

		x->near = x->stuck = x->full = MOMENT_BEFORE;
		x->damaged = false;
	}
	p->stale = true;
}

void clerk_worker_down(struct clerk *c, uint32_t worker, struct moment now)
{
	struct worker *w = &c->workers[worker];

	check(worker < c->config.workers);
	if (!w->up)
		return;
	w->up = false;
	w->down = now;
	w->sync = MOMENT_NEVER;
	for (uint32_t i = worker; i < c->config.partitions; i += c->config.workers)
		life_end(&c->parts[i]);
}

void clerk_worker_up(struct clerk *c, uint32_t worker, uint32_t life, const uint64_t *seen,
		     struct moment now)
{
	struct worker *w = &c->workers[worker];

	clerk_worker_down(c, worker, now);
	w->up = true;
	w->life = life;
	w->sync = MOMENT_NEVER;
	for (uint32_t i = worker; i < c->config.partitions; i += c->config.workers) {
		struct part *p = &c->parts[i];

		life_end(p);
		p->log_epoch = term_epoch(seen[i / c->config.workers]);
		part_hear(c, p, p->log_epoch, now);
		/* First the view, which says too that roles are known; then to lead, if it may. */
		part_settle(c, p, now);
		part_look(c, p, now);
	}
}

void clerk_worker_sync(struct clerk *c, uint32_t worker, struct moment since)
{
	check(worker < c->config.workers);
	c->workers[worker].sync = since;
}

/* ---- reports ---- */

/* The worker leads, with all that the last order says. */
static void leading_take(struct clerk *c, struct part *p, const struct parcel_report *r,
			 struct moment now)
{
	if (!p->lead_number || r->number < p->lead_number ||
	    term_epoch(r->at.term) != p->view.epoch)
		return;
	p->leading = true;
	p->stale = true;
	if (is_too_few(c, &p->view))
		p->held_commit = r->commit;
	if (!p->led) {
		p->led = true;
		p->led_at = now;
		/* No write has run since, where there were too few before. */
		p->freezing = is_too_few(c, &p->view) && RULE(TOOFEW) &&
			      (p->froze || !p->view.frozen.sequence);
		c->ops.changed(c->arg, p->number);
	}
	c->beat_now = true;
}

/*
 * Where the log ends: of a hold, or of a term that begins with too few copies.  A view that was made
 * without knowing that is set right.
 */
static void held_take(struct part *p, const struct parcel_report *r)
{
	if (p->held && r->number >= p->hold_number) {
		p->held_told = true;
		p->held_at = r->at;
		p->held_commit = r->commit;
	} else if (p->freezing) {
		p->freezing = false;
		p->held_at = r->at;
		p->freeze = !place_is(p->view.frozen, r->at);
	}
}

static void damaged_take(struct clerk *c, struct part *p, const struct parcel_report *r)
{
	struct partner *x = partner_of(p, r->member);

	if (is_self(c, r->member)) {
		p->damaged = true;
		p->stale = true;
		for (uint32_t i = 0; i < p->view.isr_count; i++)
			if (p->view.isr[i].node == r->head.node)
				p->knows = p->view.isr[i];
		part_note(c, p, "this copy has not what is committed");
	} else if (x) {
		x->damaged = true;
		part_note(c, p, "a member has not what it has acknowledged");
	}
}

static void whole_take(struct clerk *c, struct part *p, const struct parcel_report *r)
{
	struct partner *x = partner_of(p, r->member);

	if (is_self(c, r->member)) {
		p->damaged = false;
		p->stale = true;
		part_note(c, p, "this copy has learned all of it anew");
	} else if (x) {
		x->damaged = false;
		x->near = x->stuck = x->full = MOMENT_BEFORE;
		part_note(c, p, "a copy has learned all of it anew");
	}
}

static void report_take(struct clerk *c, struct part *p, const struct parcel_report *r,
			struct moment now)
{
	struct partner *x = partner_of(p, r->member);

	switch ((enum report_kind)r->kind) {
	case REPORT_COUNTED:
		p->counted = p->counted || (p->extra_number && r->number >= p->extra_number);
		break;
	case REPORT_LEADING:
		leading_take(c, p, r, now);
		break;
	case REPORT_NEAR:
		if (x)
			x->near = now;
		break;
	case REPORT_CAUGHT:
		if (p->extra_number && r->number >= p->extra_number &&
		    member_is(r->member, p->extra))
			p->caught = true;
		break;
	case REPORT_STUCK:
		if (x)
			x->stuck = now;
		break;
	case REPORT_MEMBER_FULL:
		if (x)
			x->full = now;
		break;
	case REPORT_DRAINED:
		p->drained = p->stopped && r->number >= p->stop_number;
		break;
	case REPORT_HELD:
		held_take(p, r);
		break;
	case REPORT_SEEN:
		part_hear(c, p, term_epoch(r->at.term), now);
		break;
	case REPORT_DAMAGED:
		damaged_take(c, p, r);
		break;
	case REPORT_WHOLE:
		whole_take(c, p, r);
		break;
	case REPORT_FLOOR:
	case REPORT_KIND_END:
		break;
	}
}

void clerk_report(struct clerk *c, const struct parcel_report *r, struct moment now)
{
	struct part *p;

	if (r->head.partition >= c->config.partitions)
		return;
	p = &c->parts[r->head.partition];
	if (!worker_of(c, p)->up || !p->life_number || r->number < p->life_number)
		return;
	report_take(c, p, r, now);
	part_look(c, p, now);
}
