#include "tests/replica/fault.h"

#include "tests/replica/agreement.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"

enum kind {
	CRASH,
	KILL,
	PAUSE,
	SUSPEND,
	PAUSE_WORKER,
	PAUSE_COORDINATOR,
	CUT,
	ONEWAY,
	ISLAND,
	SLOW,
	LOSSY,
	AGREEMENT_OUT,
	AGREEMENT_CUT,
	AGREEMENT_LOST,
	WIPE,
	POWER,
	SLOW_DISK,
	HANG,
	FULL,
	REEXEC,
	HANDOVER,
	DRAIN,
	STOP,
	RETARGET,
	KINDS
};

static const char *const kind_name[KINDS] = {"crash",
					     "kill",
					     "pause",
					     "suspend",
					     "pause of the worker",
					     "pause of the coordinator",
					     "cut",
					     "cut one way",
					     "island",
					     "slow links",
					     "lossy links",
					     "agreement out",
					     "agreement cut off",
					     "agreement lost",
					     "disk lost",
					     "power cut",
					     "slow disk",
					     "hung disk",
					     "full disk",
					     "re-exec",
					     "handover",
					     "drain",
					     "stop",
					     "retarget"};

/* How often each comes, beside the others. */
static const uint8_t weight[KINDS] = {
	[CRASH] = 4,         [KILL] = 6,           [PAUSE] = 3,
	[SUSPEND] = 2,       [PAUSE_WORKER] = 2,   [PAUSE_COORDINATOR] = 2,
	[CUT] = 4,           [ONEWAY] = 4,         [ISLAND] = 4,
	[SLOW] = 2,          [LOSSY] = 2,          [AGREEMENT_OUT] = 2,
	[AGREEMENT_CUT] = 2, [AGREEMENT_LOST] = 1, [WIPE] = 2,
	[POWER] = 2,         [SLOW_DISK] = 2,      [HANG] = 1,
	[FULL] = 1,          [REEXEC] = 2,         [HANDOVER] = 2,
	[DRAIN] = 1,         [STOP] = 2,
};

struct fault {
	uint64_t at;
	uint64_t for_us;
	uint64_t state; /* of its own chance */
	enum kind kind;
};

const char *const aim_name[AIM_COUNT] = {
#define X(id, name, text) name,
	AIMS(X)
#undef X
};
uint32_t aims;

static struct fault faults[FAULTS_MAX];
static uint32_t faults_count;
static uint64_t faults_end;

/* ---- whom it hits ---- */

static uint32_t below(uint64_t *state, uint32_t n)
{
	return (uint32_t)((chance_next(state) >> 32) * n >> 32);
}

/* Mostly the primary, or a member, of a partition. */
static struct node *victim(struct fault *f)
{
	const struct view *v = &agreement.view[below(&f->state, 4) ? 0 : 1];
	uint32_t r = below(&f->state, 100);

	if (r < 48)
		return &node[v->primary.node];
	if (r < 80)
		return &node[v->isr[below(&f->state, v->isr_count)].node];
	return &node[1 + below(&f->state, NODES)];
}

/* No fault lasts beyond the time of faults. */
static uint64_t until_end(uint64_t us)
{
	uint64_t left = faults_end > world.now ? faults_end - world.now : 1;

	return us < left ? us : left;
}

/* ---- what it does ---- */

static void crash(struct node *n, uint64_t us)
{
	if (!n->up)
		return;
	node_crash(n, false);
	world_after(until_end(us), node_boot, n, 0, NULL);
}

static void crash_event(void *who, uint64_t us, void *bytes)
{
	(void)bytes;
	crash(who, us);
}

static void kill_worker(struct node *n)
{
	static const uint64_t soon[] = {15 * MS, 60 * MS, 200 * MS};
	static const uint64_t late[] = {1200 * MS, 1500 * MS, 2000 * MS, 2500 * MS};
	static const uint64_t then[] = {30 * MS, 120 * MS, 300 * MS, 600 * MS, 900 * MS};
	uint64_t us = chance_of(soon);

	if (!n->up || !n->alive)
		return;
	if (aimed(AIM_LATEKILL) && chance_ppm(40 * PERCENT))
		us = chance_of(late);
	node_kill(n, until_end(us));
	if (!aimed(AIM_KILLACK) || !chance_ppm(50 * PERCENT))
		return;
	for (uint32_t i = 1; i <= NODES; i++)
		if (i != n->number)
			net_cut(n->number, i, 2500 * MS);
	world_after(us + chance_of(then), crash_event, n, 3 * SEC, NULL);
}

/* Best when something is in memory, and on its way, but not on disk: a while is waited for that. */
static void when_staged(void *who, uint64_t a, void *bytes)
{
	struct node *n = who;
	uint64_t tries = a & 0xff, us = a >> 9;
	bool kill = a >> 8 & 1u;

	(void)bytes;
	if (!node_staged(n) && tries) {
		world_after(2 * MS, when_staged, n, a - 1, NULL);
		return;
	}
	if (kill)
		kill_worker(n);
	else
		crash(n, us);
}

static void calm(void *who, uint64_t a, void *bytes)
{
	uint32_t *going_on = who;

	(void)a;
	(void)bytes;
	if (*going_on)
		--*going_on;
}

static void power(struct fault *f)
{
	for (uint32_t i = 1; i <= NODES; i++)
		if (below(&f->state, 10) < 7)
			crash(&node[i], 20 * MS + chance_next(&f->state) % f->for_us);
}

/* The folder of one member is lost, while another has all: else it would be right to stand still. */
static void wipe(struct node *n, uint64_t us)
{
	if (agreement.on_way || !n->up)
		return;
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		const struct view *v = &agreement.view[p];

		if (v->isr_count < 2)
			return;
		for (uint32_t i = 0; i < v->isr_count; i++)
			if (node[v->isr[i].node].store != v->isr[i].store ||
			    world.now < node[v->isr[i].node].wiped_until)
				return;
	}
	node_crash(n, true);
	n->wiped_until = world.now + 2 * SEC;
	world_after(until_end(us), node_boot, n, 0, NULL);
}

static void cut(struct fault *f, struct node *n)
{
	for (uint32_t i = 1; i <= NODES; i++) {
		if (i == n->number || below(&f->state, 10) >= 8)
			continue;
		net_cut(n->number, i, f->for_us);
		net_cut(i, n->number, f->for_us);
	}
	if (below(&f->state, 10) < 4) {
		net_cut(n->number, AT_AGREEMENT, f->for_us);
		net_cut(AT_AGREEMENT, n->number, f->for_us);
	}
}

static void cut_oneway(struct fault *f, const struct node *n)
{
	for (uint32_t i = 1; i <= NODES; i++) {
		if (i == n->number || below(&f->state, 10) >= 6)
			continue;
		if (below(&f->state, 2))
			net_cut(n->number, i, f->for_us);
		else
			net_cut(i, n->number, f->for_us);
	}
}

static void drain_end(void *who, uint64_t a, void *bytes)
{
	struct node *n = who;

	(void)a;
	(void)bytes;
	if (n->up)
		clerk_drain(n->clerk, false, node_clock(n));
}

static void drain(struct node *n, uint64_t us)
{
	if (!n->up || n->paused_until[COORDINATOR] > world.now)
		return;
	count(COUNT_DRAINS);
	clerk_drain(n->clerk, true, node_clock(n));
	world_after(us, drain_end, n, 0, NULL);
}

static void stop_end(void *who, uint64_t us, void *bytes)
{
	struct node *n = who;

	(void)bytes;
	if (!n->up)
		return;
	node_crash(n, false);
	world_after(until_end(us), node_boot, n, 0, NULL);
}

/* On purpose: it hands over and leaves, and is gone a second later. */
static void stop(struct node *n, uint64_t us)
{
	if (!n->up || n->paused_until[COORDINATOR] > world.now)
		return;
	count(COUNT_STOPS);
	clerk_leave(n->clerk, node_clock(n));
	world_after(chance_range(200 * MS, 1200 * MS), stop_end, n, us, NULL);
}

static void retarget(struct fault *f)
{
	uint32_t p = below(&f->state, PARTITIONS), n = below(&f->state, 3) ? 3 : 2;
	struct target *t = &agreement.target[p];

	count(COUNT_RETARGETS);
	t->count = 0;
	while (t->count < n) {
		uint32_t one = 1 + below(&f->state, NODES);
		bool there = false;

		for (uint32_t i = 0; i < t->count; i++)
			there |= t->node[i] == one;
		if (!there)
			t->node[t->count++] = one;
	}
}

static void hit(struct fault *f, struct node *n)
{
	uint64_t us = until_end(f->for_us);
	bool both = f->kind == PAUSE || f->kind == SUSPEND;

	switch (f->kind) {
	case CRASH:
		when_staged(n, us << 9 | 80, NULL);
		break;
	case KILL:
		when_staged(n, 1u << 8 | 80, NULL);
		break;
	case PAUSE:
	case SUSPEND:
	case PAUSE_WORKER:
	case PAUSE_COORDINATOR:
		node_pause(n, both || f->kind == PAUSE_COORDINATOR, both || f->kind == PAUSE_WORKER,
			   us, f->kind == SUSPEND);
		break;
	case CUT:
		cut(f, n);
		break;
	case ONEWAY:
		cut_oneway(f, n);
		break;
	case ISLAND:
		net_island(n->number, us);
		break;
	case SLOW:
		net.slow++;
		world_after(us, calm, &net.slow, 0, NULL);
		break;
	case LOSSY:
		net.lossy++;
		world_after(us, calm, &net.lossy, 0, NULL);
		break;
	case AGREEMENT_OUT:
		agreement.down_until = world.now + us;
		break;
	case AGREEMENT_LOST:
	case AGREEMENT_CUT:
		if (f->kind == AGREEMENT_LOST)
			us = faults_end - world.now;
		if (f->kind == AGREEMENT_LOST || below(&f->state, 2))
			net_cut(n->number, AT_AGREEMENT, us);
		else
			net_cut(AT_AGREEMENT, n->number, us);
		break;
	case WIPE:
		wipe(n, us);
		break;
	case POWER:
		power(f);
		break;
	case SLOW_DISK:
		n->disk.slow_until = world.now + us;
		break;
	case HANG:
		count(COUNT_HANGS);
		n->disk.hung_until = world.now + us;
		break;
	case FULL:
		count(COUNT_FULLS);
		n->disk.full_until = world.now + us;
		break;
	case REEXEC:
		node_reexec(n);
		break;
	case HANDOVER:
		node_handover(n);
		break;
	case DRAIN:
		drain(n, us);
		break;
	case STOP:
		stop(n, us);
		break;
	case RETARGET:
		retarget(f);
		break;
	case KINDS:
		break;
	}
}

static void happen(void *who, uint64_t a, void *bytes)
{
	struct fault *f = who;
	struct node *n = victim(f);

	(void)a;
	(void)bytes;
	count(COUNT_FAULTS);
	TRACE("FAULT %u: %s, node %u, %lu ms", (uint32_t)(f - faults), kind_name[f->kind],
	      n->number, f->for_us / MS);
	if (aimed(AIM_SLOWDISK) && f->kind != RETARGET && below(&f->state, 10) < 3) {
		n->disk.slow_until = world.now + 1500 * MS;
		world_after(chance_range(5 * MS, 300 * MS), when_staged, n, 1u << 8 | 80, NULL);
		return;
	}
	hit(f, n);
}

uint64_t fault_evil(struct node *n, uint64_t us)
{
	static const uint64_t short_us[] = {30 * MS, 120 * MS, 400 * MS};
	static const uint64_t deaf_us[] = {250 * MS, 700 * MS, 2500 * MS};

	if (world.now >= faults_end)
		return us;
	count(COUNT_EVIL);
	TRACE("FAULT at node %u as it asks for a change", n->number);
	switch (chance_below(6)) {
	case 0:
		return chance_range(200 * MS, 3000 * MS);
	case 1:
	case 2:
		world_after(chance_range(0, 12 * MS), crash_event, n, chance_of(short_us), NULL);
		return chance_ppm(60 * PERCENT) ? chance_range(100 * MS, 2500 * MS) : us;
	case 3:
	case 4:
		net_cut(AT_AGREEMENT, n->number, until_end(chance_of(deaf_us)));
		return us;
	default:
		net_island(n->number, until_end(2500 * MS));
		return chance_ppm(50 * PERCENT) ? chance_range(1 * MS, 2 * MS) : us;
	}
}

/* ---- the plan ---- */

static enum kind kind_choose(uint64_t *state)
{
	uint32_t sum = 0, r;
	enum kind k = CRASH;

	for (uint32_t i = 0; i < KINDS; i++)
		sum += weight[i];
	for (r = below(state, sum); r >= weight[k]; k++)
		r -= weight[k];
	return k;
}

static void plan_add(uint64_t *state, uint64_t at, enum kind kind, uint64_t without)
{
	static const uint32_t lengths[] = {30, 120, 400, 900, 1300, 2500, 4000, 6000};
	uint64_t us = lengths[below(state, 8)] * MS, own = chance_next(state);
	uint32_t i = faults_count++;

	if (setup.slewed && kind == SUSPEND)
		kind = PAUSE; /* with such a clock beside it, RAW must not stand still */
	faults[i] = (struct fault){at, us, own, kind};
	if (!(without >> i & 1u))
		world_at(at, happen, &faults[i], 0, NULL);
}

static uint64_t plan_time(uint64_t *state)
{
	return 200 * MS + chance_next(state) % (faults_end - 200 * MS);
}

void faults_begin(const struct plan *p, uint64_t end)
{
	static const uint32_t clusters[] = {1, 2, 3, 5, 7}, sizes[] = {1, 1, 2, 3, 4};
	static const uint32_t evils[] = {0, 0, 100000, 300000}, spread[] = {0, 1, 10, 100, 500};
	uint64_t state = world.seed * 0xe7037ed1a0b428dbu + 7;
	uint32_t retargets = below(&state, 4);

	faults_count = 0;
	faults_end = end;
	agreement.evil_ppm = evils[below(&state, 4)];
	if (p->no_evil)
		agreement.evil_ppm = 0;
	for (uint32_t n = clusters[below(&state, 5)]; n; n--) {
		uint64_t at = plan_time(&state);

		for (uint32_t k = sizes[below(&state, 5)]; k; k--) {
			uint64_t later = chance_next(&state) % (spread[below(&state, 5)] * MS + 1);
			enum kind kind = kind_choose(&state);

			if (at + later < end && faults_count < FAULTS_MAX - 4)
				plan_add(&state, at + later, kind, p->without);
		}
	}
	while (retargets--)
		plan_add(&state, plan_time(&state), RETARGET, p->without);
}

uint32_t faults_planned(void)
{
	return faults_count;
}

void faults_heal(void)
{
	TRACE("all is whole again");
	net_heal();
	agreement.down_until = 0;
	for (uint32_t i = 1; i <= NODES; i++) {
		struct node *n = &node[i];

		n->disk.hung_until = n->disk.full_until = n->disk.slow_until = 0;
		if (!n->up)
			continue;
		node_unpause(n);
		clerk_drain(n->clerk, false, node_clock(n));
	}
}
