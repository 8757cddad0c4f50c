#include "replica/clerk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "replica/clerk_impl.h"

#define CLERK_STALL_MS 300u /* between ticks: others cannot have been heard meanwhile */

/* ---- making and freeing ---- */

int clerk_new(const struct clerk_config *config, const struct clerk_ops *ops, void *arg,
	      struct moment now, struct clerk **ret)
{
	struct clerk *c = calloc(1, sizeof(*c));
	size_t claims = sizeof(struct claim) * config->partitions;

	check(config->partitions && config->self.node < REPLICA_NODES_MAX);
	check(config->workers || !config->self.node);
	if (!c)
		return -ENOMEM;
	c->config = *config;
	if (!config->workers)
		c->config.workers = 1; /* as if it had one that never begins */
	c->ops = *ops;
	c->arg = arg;
	/* What a worker says of orders that it had from an earlier coordinator is of none of these. */
	c->number = now.boot_us;
	c->parts = calloc(config->partitions, sizeof(*c->parts));
	c->workers = calloc(c->config.workers, sizeof(*c->workers));
	c->grant = calloc(1, sizeof(*c->grant) + claims);
	if (!c->parts || !c->workers || !c->grant) {
		clerk_free(&c);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < config->partitions; i++) {
		struct part *p = &c->parts[i];

		p->number = i;
		p->held_commit = ORDER_COMMIT_NOW;
		p->asked = now;
		if (RULE(BOOT))
			p->granted = now;
	}
	for (uint32_t i = 0; i < c->config.workers; i++)
		c->workers[i] = (struct worker){.down = now, .sync = MOMENT_NEVER};
	*ret = c;
	return 0;
}

static void node_free(struct node *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; i < CLERK_ROUNDS; i++)
		free(n->rounds[i].claimed);
	free(n->beat);
	free(n);
}

void clerk_free(struct clerk **cp)
{
	struct clerk *c = *cp;

	if (!c)
		return;
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		node_free(c->nodes[i]);
	free(c->parts);
	free(c->workers);
	free(c->grant);
	free(c);
	*cp = NULL;
}

struct node *node_get(struct clerk *c, uint32_t number)
{
	uint32_t words = (c->config.partitions + 63) / 64;
	struct node *n;
	bool made;

	if (!number || number >= REPLICA_NODES_MAX)
		return NULL;
	if (c->nodes[number])
		return c->nodes[number];
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->beat = calloc(1, sizeof(*n->beat) + sizeof(struct claim) * c->config.partitions);
	made = n->beat;
	for (uint32_t i = 0; i < CLERK_ROUNDS; i++) {
		n->rounds[i].claimed = calloc(words, sizeof(uint64_t));
		made = made && n->rounds[i].claimed;
	}
	if (!made) {
		node_free(n);
		return NULL;
	}
	c->nodes[number] = n;
	c->known[c->known_count++] = (uint8_t)number;
	return n;
}

int clerk_node(struct clerk *c, uint32_t node, uint64_t store)
{
	struct node *n;

	if (!node || node >= REPLICA_NODES_MAX)
		return -EINVAL;
	n = node_get(c, node);
	if (!n)
		return -ENOMEM;
	if (n->store == store)
		return 0;
	n->store = store;
	for (uint32_t i = 0; i < c->config.partitions; i++)
		c->parts[i].stale = true;
	return 0;
}

void clerk_target(struct clerk *c, uint32_t partition, const uint32_t *nodes, uint32_t count)
{
	struct part *p = &c->parts[partition];

	check(partition < c->config.partitions && count <= REPLICA_MEMBERS_MAX);
	if (p->targets == count && (!count || !memcmp(p->target, nodes, count * sizeof(*nodes))))
		return;
	if (count)
		memcpy(p->target, nodes, count * sizeof(*nodes));
	p->targets = count;
	p->stale = true;
}

/* ---- members ---- */

struct partner *partner_of(struct part *p, struct member id)
{
	for (uint32_t i = 0; i < p->partners; i++)
		if (RULE(SID) ? member_is(p->partner[i].id, id) : p->partner[i].id.node == id.node)
			return &p->partner[i];
	return NULL;
}

static uint32_t member_add(const struct clerk *c, struct member *set, uint32_t n, struct member m)
{
	if (is_self(c, m))
		return n;
	for (uint32_t i = 0; i < n; i++)
		if (member_is(set[i], m))
			return n;
	check(n < REPLICA_MEMBERS_MAX); /* views that are taken have room for it */
	set[n] = m;
	return n + 1;
}

uint32_t needed_members(const struct clerk *c, const struct part *p,
			struct member ret[REPLICA_MEMBERS_MAX])
{
	const struct view *asked = &p->change.view;
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->view.isr_count; i++) {
		/* Until it is known that a change has happened, who is to leave counts. */
		if (!RULE(CASFIRST) && p->change.kind == CHANGE_SHRINK &&
		    !view_has(asked, p->view.isr[i]))
			continue;
		n = member_add(c, ret, n, p->view.isr[i]);
	}
	if (!RULE(JOINT))
		return n;
	/* From before a change is asked for, who is to come counts too. */
	if (p->extra.node)
		n = member_add(c, ret, n, p->extra);
	for (uint32_t i = 0; p->change.kind && i < asked->isr_count; i++)
		n = member_add(c, ret, n, asked->isr[i]);
	return n;
}

bool is_needed(const struct clerk *c, const struct part *p, struct member m)
{
	struct member set[REPLICA_MEMBERS_MAX];
	uint32_t n = needed_members(c, p, set);

	for (uint32_t i = 0; i < n; i++)
		if (member_is(set[i], m))
			return true;
	return false;
}

/* ---- what is known of the agreement ---- */

void part_note(struct clerk *c, struct part *p, const char *text)
{
	if (c->ops.note)
		c->ops.note(c->arg, p->number, text);
}

void part_get(struct clerk *c, struct part *p, uint64_t ms, struct moment now)
{
	if (elapsed_ms(now, p->asked) < ms)
		return;
	p->asked = now;
	c->ops.get(c->arg, p->number, c->revision);
}

void part_hear(struct clerk *c, struct part *p, uint32_t epoch, struct moment now)
{
	if (epoch <= p->seen)
		return;
	p->seen = epoch;
	if (epoch <= p->view.epoch)
		return;
	p->stale = true;
	part_get(c, p, CLERK_ASK_MS, now);
	part_look(c, p, now);
}

void clerk_revision_known(struct clerk *c, uint64_t header)
{
	if (header > c->revision)
		c->revision = header;
}

uint64_t clerk_revision(const struct clerk *c)
{
	return c->revision;
}

bool clerk_set_back(const struct clerk *c)
{
	return c->set_back;
}

/* A store that was read after `known` was in it cannot be at less, and keeps what it had. */
static bool went_back(struct clerk *c, const struct part *p, const struct view *v, uint64_t known,
		      uint64_t header)
{
	if (!RULE(SETBACK) || c->set_back || !header)
		return c->set_back;
	if (header < known || (p && header >= p->view.revision && v->revision < p->view.revision)) {
		c->set_back = true;
		if (c->ops.note)
			c->ops.note(c->arg, p ? p->number : 0, "the agreement was set back");
	}
	return c->set_back;
}

static void answered(struct clerk *c, uint64_t header)
{
	if (header > c->answered)
		c->answered = header;
}

/* Another primary, or the same one anew: nothing that was going on is. */
static void reign_begin(struct clerk *c, struct part *p)
{
	order_forget(p);
	p->led = false;
	p->froze = p->freezing = p->freeze = false;
	p->damaged = false;
	p->held_commit = ORDER_COMMIT_NOW;
	p->claim_round = c->round + 1;
	p->partners = 0;
	p->led_at = MOMENT_BEFORE;
}

static void view_adopt(struct clerk *c, struct part *p, const struct view *v, struct moment now)
{
	bool other = v->epoch != p->view.epoch || !member_is(v->primary, p->view.primary);

	if (!member_is(v->primary, p->view.primary))
		p->coming = MOMENT_BEFORE;
	for (uint32_t i = 0; i < v->isr_count; i++)
		(void)node_get(c, v->isr[i].node);
	p->view = *v;
	p->changed = now;
	if (v->epoch > p->seen)
		p->seen = v->epoch;
	if (other)
		reign_begin(c, p);
	if (!is_too_few(c, v) && !p->held)
		p->held_commit = ORDER_COMMIT_NOW;
	if (v->revision > c->revision)
		c->revision = v->revision;
}

static void view_known(struct part *p, const struct view *v, struct moment now)
{
	if (!p->known) {
		p->known = true;
		p->first_epoch = p->view.epoch;
	}
	if (v->revision >= p->view.revision)
		p->fresh = now;
}

void clerk_view(struct clerk *c, uint32_t partition, const struct view *v, bool fresh,
		uint64_t known, uint64_t header, struct moment now)
{
	struct part *p = &c->parts[partition];
	bool newer = v->revision > p->view.revision;
	bool froze = false;

	check(partition < c->config.partitions);
	if (went_back(c, p, v, fresh ? known : 0, fresh ? header : 0))
		return;
	clerk_revision_known(c, header);
	if (fresh)
		answered(c, header);
	if (!v->revision || v->isr_count > REPLICA_MEMBERS_MAX || !view_has(v, v->primary))
		return;
	if (p->change.kind && v->revision > p->change.base) {
		froze = p->change.kind == CHANGE_TAKEOVER && !is_too_few(c, &p->view) &&
			v->by == p->change.view.by;
		change_end(c, p, v->by == p->change.view.by);
	}
	if (newer) {
		view_adopt(c, p, v, now);
		p->froze = froze;
	}
	if (fresh || !RULE(ETCDREAD))
		view_known(p, v, now);
	p->stale = true;
	part_look(c, p, now);
	if (newer)
		c->ops.changed(c->arg, partition);
}

void clerk_listed(struct clerk *c, uint64_t known, uint64_t header, struct moment now)
{
	if (went_back(c, NULL, NULL, known, header))
		return;
	clerk_revision_known(c, header);
	answered(c, header);
	for (uint32_t i = 0; i < c->config.partitions; i++) {
		struct part *p = &c->parts[i];

		if (!p->view.revision || p->view.revision > header)
			continue;
		if (!p->known)
			p->stale = true;
		view_known(p, &p->view, now);
		if (p->stale)
			part_look(c, p, now);
	}
}

/* ---- what is due ---- */

void part_look(struct clerk *c, struct part *p, struct moment now)
{
	if (p->change.kind && !c->set_back)
		change_resend(c, p, now);
	if (p->repeat)
		orders_repeat(c, p, now);
	/* The view is the first of all orders, and who counts is known before anything is asked. */
	if (p->stale)
		part_settle(c, p, now);
	if (!p->known || is_behind(p)) {
		part_get(c, p, CLERK_AGAIN_MS, now);
	} else if (is_primary(c, p)) {
		primary_look(c, p, now);
	} else if (!p->change.kind) {
		member_look(c, p, now);
	}
	if (p->stale)
		part_settle(c, p, now);
}

static void parts_look(struct clerk *c, struct moment now)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->config.partitions; i++) {
		part_look(c, &c->parts[i], now);
		n += c->parts[i].switch_to.node != 0;
	}
	c->switching = n;
}

void clerk_tick(struct clerk *c, struct moment now)
{
	if (elapsed_ms(now, c->ticked) > CLERK_STALL_MS)
		c->woken = now;
	c->ticked = now;
	parts_look(c, now);
	if (c->beat_now || elapsed_ms(now, c->beaten) >= CLERK_BEAT_MS)
		beats_send(c, now);
}

void clerk_drain(struct clerk *c, bool on, struct moment now)
{
	c->draining = on;
	for (uint32_t i = 0; i < c->config.partitions; i++)
		c->parts[i].given_up = MOMENT_BEFORE;
	parts_look(c, now);
}

void clerk_leave(struct clerk *c, struct moment now)
{
	c->leaving = true;
	clerk_drain(c, true, now);
}

/* ---- what others ask ---- */

enum clerk_serves clerk_serves(const struct clerk *c, uint32_t partition, uint32_t *ret_node)
{
	const struct part *p = &c->parts[partition];

	check(partition < c->config.partitions);
	if (p->told_epoch > p->view.epoch) {
		*ret_node = p->told_node;
		return CLERK_THERE;
	}
	if (!p->view.revision || !p->view.primary.node)
		return CLERK_NOBODY;
	if (is_primary(c, p))
		return p->known && !is_behind(p) && p->led && !p->switch_to.node &&
				       !is_handing(c, p)
			       ? CLERK_HERE
			       : CLERK_NOBODY;
	/* An earlier folder of this node: nobody has what it had. */
	if (p->view.primary.node == c->config.self.node)
		return CLERK_NOBODY;
	*ret_node = p->view.primary.node;
	return CLERK_THERE;
}

const struct view *clerk_view_of(const struct clerk *c, uint32_t partition)
{
	check(partition < c->config.partitions);
	return c->parts[partition].view.revision ? &c->parts[partition].view : NULL;
}

static int64_t lease_left_ms(const struct part *p, struct moment now)
{
	struct moment u = p->lease.until;
	uint64_t boot = u.boot_us > now.boot_us ? u.boot_us - now.boot_us : 0;
	uint64_t raw = u.raw_us > now.raw_us ? u.raw_us - now.raw_us : 0;
	uint64_t least = boot < raw ? boot : raw;

	return least / 1000 > INT64_MAX ? INT64_MAX : (int64_t)(least / 1000);
}

static void figures_add(const struct clerk *c, const struct part *p, struct moment now,
			struct clerk_figures *f)
{
	struct member set[REPLICA_MEMBERS_MAX];
	int64_t left;

	f->unknown += !p->known;
	f->damaged += p->damaged;
	f->copies += p->view.revision && view_has(&p->view, c->config.self);
	if (p->change.kind) {
		int64_t ms = (int64_t)elapsed_ms(now, p->change.first);

		f->pending++;
		f->pending_ms = ms > f->pending_ms ? ms : f->pending_ms;
	}
	if (!is_primary(c, p))
		return;
	if (!p->leading) {
		f->without_primary++;
		return;
	}
	left = lease_left_ms(p, now);
	if (!f->leading || left < f->lease_ms_left)
		f->lease_ms_left = left;
	f->leading++;
	f->in_sync += p->view.isr_count >= c->config.factor;
	f->too_few += is_too_few(c, &p->view);
	f->learning += p->partners - needed_members(c, p, set);
}

void clerk_figures(const struct clerk *c, struct moment now, struct clerk_figures *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->clock_ahead_ms = clerk_clock_ahead_ms(c, now);
	for (uint32_t i = 0; i < c->config.partitions; i++)
		figures_add(c, &c->parts[i], now, ret);
}
