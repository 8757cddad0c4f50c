/* Beats, grants, and the leases that follow from them. */
#include <string.h>

#include "common/check.h"
#include "replica/clerk.h"
#include "replica/clerk_impl.h"

#define APART_MS 5000u /* how long what was heard of a clock counts */

/* ---- the lease ---- */

void lease_write(struct clerk *c, struct part *p)
{
	struct member needed[REPLICA_MEMBERS_MAX];
	struct copy_lease l = {0, 0, MOMENT_BEFORE};
	uint32_t n;

	if (is_primary(c, p) && p->known && !is_behind(p) && !p->damaged &&
	    (p->led || !RULE(LEASEEPOCH)) && (!is_handing(c, p) || !RULE(STOP))) {
		l.epoch = p->view.epoch;
		l.until = MOMENT_NEVER;
		n = needed_members(c, p, needed);
		for (uint32_t i = 0; i < n; i++) {
			const struct partner *x = partner_of(p, needed[i]);
			struct moment g = x ? x->granted : MOMENT_BEFORE;

			if (g.boot_us || g.raw_us)
				g = moment_after(g, c->config.lease_ms * 1000ull);
			l.until = moment_least(l.until, g);
		}
	}
	if (l.epoch == p->lease.epoch && !memcmp(&l.until, &p->lease.until, sizeof(l.until)))
		return;
	p->lease = l;
	c->ops.lease(c->arg, p->number, &l);
}

/* ---- wall clocks ---- */

void clerk_wall(struct clerk *c, uint64_t wall_ms, struct moment now)
{
	c->wall_ms = wall_ms;
	c->wall_at = now;
}

static uint64_t wall_now(const struct clerk *c, struct moment now)
{
	return c->wall_at.boot_us ? c->wall_ms + elapsed_ms(now, c->wall_at) : 0;
}

static void wall_heard(const struct clerk *c, struct node *n, uint64_t wall_ms, struct moment now)
{
	if (!wall_ms || !c->wall_at.boot_us)
		return;
	n->apart_ms = (int64_t)(wall_ms - wall_now(c, now));
	n->apart_at = now;
}

static bool is_compared(const struct node *n, struct moment now)
{
	return n && lately(now, n->apart_at, APART_MS);
}

/*
 * By how much the median is ahead of this node's clock.  Of two in the middle the nearer one counts,
 * so of two nodes nobody's is wrong.
 */
static int64_t median_ms(const struct clerk *c, struct moment now)
{
	int64_t apart[REPLICA_NODES_MAX];
	uint32_t count = 1;

	apart[0] = 0; /* this node's own */
	for (uint32_t i = 0; i < c->known_count; i++) {
		const struct node *n = c->nodes[c->known[i]];
		uint32_t k;

		if (!is_compared(n, now))
			continue;
		for (k = count++; k && apart[k - 1] > n->apart_ms; k--)
			apart[k] = apart[k - 1];
		apart[k] = n->apart_ms;
	}
	if (count % 2)
		return apart[count / 2];
	return apart[count / 2 - 1] >= 0 ? apart[count / 2 - 1]
	       : apart[count / 2] <= 0   ? apart[count / 2]
					 : 0;
}

int64_t clerk_clock_ahead_ms(const struct clerk *c, struct moment now)
{
	return -median_ms(c, now);
}

static bool is_apart(int64_t ms)
{
	return ms > (int64_t)CLERK_APART_MS || ms < -(int64_t)CLERK_APART_MS;
}

bool is_right(const struct clerk *c, uint32_t node, struct moment now)
{
	int64_t median = median_ms(c, now);
	const struct node *n = node < REPLICA_NODES_MAX ? c->nodes[node] : NULL;

	if (node == c->config.self.node)
		return !is_apart(median);
	return is_compared(n, now) && !is_apart(n->apart_ms - median);
}

/* ---- asking for it ---- */

static bool is_claimed(const struct clerk *c, const struct part *p)
{
	return is_primary(c, p) && p->known && p->led && !is_behind(p) && !p->damaged;
}

/* It is to lead, and does not yet: others are asked to wait for it. */
static bool is_coming(const struct clerk *c, const struct part *p)
{
	return is_primary(c, p) && p->known && !p->led && !is_behind(p) && !p->damaged &&
	       worker_of(c, p)->up && p->life_number && !c->set_back && !c->draining;
}

static void claim_add(struct clerk *c, const struct part *p, struct member m, uint32_t flags)
{
	struct node *n = node_get(c, m.node);

	if (!n)
		return;
	if (!(flags & CLAIM_COMING))
		n->rounds[c->round % CLERK_ROUNDS].claimed[p->number / 64] |= 1ull
									      << p->number % 64;
	n->beat->claims[n->beat->count++] =
		(struct claim){p->number, flags, term_make(p->view.epoch, 0)};
}

/* One claim a partition for each node: several members of one would be one too many. */
static void claims_add(struct clerk *c, const struct part *p, uint32_t flags)
{
	for (uint32_t k = 0; k < p->partners; k++) {
		bool again = false;

		for (uint32_t j = 0; j < k; j++)
			again = again || p->partner[j].id.node == p->partner[k].id.node;
		if (!again)
			claim_add(c, p, p->partner[k].id, flags);
	}
}

static void round_begin(struct clerk *c, struct moment now)
{
	size_t words = (c->config.partitions + 63) / 64;

	c->round++;
	c->beaten = now;
	c->beat_now = false;
	for (uint32_t i = 0; i < c->known_count; i++) {
		struct node *n = c->nodes[c->known[i]];
		struct round *r = &n->rounds[c->round % CLERK_ROUNDS];

		memset(r->claimed, 0, words * sizeof(uint64_t));
		r->number = c->round;
		r->sent = now;
		n->beat->count = 0;
	}
}

void beats_send(struct clerk *c, struct moment now)
{
	round_begin(c, now);
	for (uint32_t i = 0; i < c->config.partitions; i++) {
		const struct part *p = &c->parts[i];

		if (is_coming(c, p))
			claims_add(c, p, CLAIM_COMING);
		else if (is_claimed(c, p))
			claims_add(c, p,
				   RULE(YIELD) && p->change.kind &&
						   elapsed_ms(now, p->change.first) >=
							   CLERK_YIELD_MS
					   ? CLAIM_YIELD
					   : 0);
	}
	for (uint32_t i = 0; i < c->known_count; i++) {
		struct node *n = c->nodes[c->known[i]];

		if (!n->beat->count)
			continue;
		n->beat->incarnation = c->config.incarnation;
		n->beat->store = c->config.self.store;
		n->beat->round = c->round;
		n->beat->revision = c->revision;
		n->beat->wall_ms = wall_now(c, now);
		c->ops.beat(c->arg, c->known[i], n->beat);
	}
}

/* ---- granting it ---- */

/* A primary that has lost the agreement asks to be taken over from by one that has it. */
static bool is_yielded(struct clerk *c, struct part *p, const struct claim *x, struct moment now)
{
	const struct worker *w = worker_of(c, p);

	if (!(x->flags & CLAIM_YIELD))
		return false;
	part_get(c, p, CLERK_BEAT_MS, now);
	return lately(now, p->fresh, CLERK_FRESH_MS) && w->up && p->life_number && !p->damaged &&
	       !c->draining && !c->set_back && elapsed_ms(now, w->sync) < CLERK_SHRINK_MS &&
	       view_has(&p->view, c->config.self);
}

static bool is_granted(struct clerk *c, struct part *p, const struct claim *x, struct moment now)
{
	if (RULE(CLAIMS) && term_epoch(x->term) < p->seen)
		return false;
	part_hear(c, p, term_epoch(x->term), now);
	if (RULE(CLAIMS) && is_primary(c, p))
		return false;
	if (!p->known)
		return false;
	/* It is about to take over.  Later it grants again: who leads waits out what it granted. */
	if (p->change.kind && elapsed_ms(now, p->change.first) < CLERK_FRESH_MS)
		return false;
	return !is_yielded(c, p, x, now);
}

/* Who leads is known from the one who does, too, though the agreement may be out of reach. */
static void leader_told(struct clerk *c, struct part *p, uint32_t epoch, uint32_t node)
{
	if (epoch <= p->told_epoch)
		return;
	p->told_epoch = epoch;
	p->told_node = node;
	if (epoch > p->view.epoch)
		c->ops.changed(c->arg, p->number);
}

/* That is neither granted nor refused. */
static void coming_take(struct clerk *c, struct part *p, uint32_t node, const struct claim *x,
			struct moment now)
{
	part_hear(c, p, term_epoch(x->term), now);
	if (p->view.primary.node == node && term_epoch(x->term) >= p->view.epoch)
		p->coming = now;
}

void clerk_beat(struct clerk *c, uint32_t node, const struct beat *b, struct moment now)
{
	struct node *n = node_get(c, node);
	struct grant *g = c->grant;

	/* Whoever has no copies must not stand for any: they may be those of its folder's past. */
	if (!n || !c->config.self.node)
		return;
	n->heard = now;
	wall_heard(c, n, b->wall_ms, now);
	clerk_revision_known(c, b->revision);
	*g = (struct grant){.incarnation = b->incarnation,
			    .store = c->config.self.store,
			    .round = b->round,
			    .revision = c->revision,
			    .wall_ms = wall_now(c, now),
			    .flags = (c->draining ? GRANT_DRAINING : 0u) |
				     (c->leaving ? GRANT_LEAVING : 0u)};
	for (uint32_t i = 0; i < b->count; i++) {
		const struct claim *x = &b->claims[i];
		struct part *p;

		if (x->partition >= c->config.partitions)
			continue;
		p = &c->parts[x->partition];
		leader_told(c, p, term_epoch(x->term), node);
		if (x->flags & CLAIM_COMING)
			coming_take(c, p, node, x, now);
		else if (is_granted(c, p, x, now))
			p->granted = now;
		else if (g->count < c->config.partitions)
			g->refused[g->count++] =
				(struct claim){x->partition, 0, term_make(p->seen, 0)};
	}
	c->ops.grant(c->arg, node, g);
}

/* ---- being granted it ---- */

static struct round *round_of(struct node *n, uint64_t number)
{
	struct round *r = &n->rounds[number % CLERK_ROUNDS];

	return number && r->number == number ? r : NULL;
}

static void grant_take(struct clerk *c, struct part *p, struct member from, const struct round *r,
		       struct moment now)
{
	struct partner *x = partner_of(p, from);

	if (!x || !is_primary(c, p) || (RULE(CLAIMS) && r->number < p->claim_round))
		return;
	x->granted = moment_most(x->granted, RULE(SENDTIME) ? r->sent : now);
	lease_write(c, p);
}

void clerk_grant(struct clerk *c, uint32_t node, const struct grant *g, struct moment now)
{
	struct node *n = node_get(c, node);
	struct member from = {g->store, node, 0};
	struct round *r;

	if (!n)
		return;
	n->heard = now;
	n->draining = g->flags & GRANT_DRAINING;
	n->leaving = g->flags & GRANT_LEAVING;
	wall_heard(c, n, g->wall_ms, now);
	clerk_revision_known(c, g->revision);
	if (g->incarnation != c->config.incarnation)
		return;
	n->answered = now;
	r = round_of(n, g->round);
	if (!r)
		return;
	for (uint32_t i = 0; i < g->count; i++) {
		const struct claim *x = &g->refused[i];

		if (x->partition >= c->config.partitions)
			continue;
		r->claimed[x->partition / 64] &= ~(1ull << x->partition % 64);
		part_hear(c, &c->parts[x->partition], term_epoch(x->term), now);
	}
	for (uint32_t i = 0; i < (c->config.partitions + 63) / 64; i++)
		for (uint64_t w = r->claimed[i]; w; w &= w - 1)
			grant_take(c, &c->parts[i * 64 + (uint32_t)__builtin_ctzll(w)], from, r,
				   now);
}
