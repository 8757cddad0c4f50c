/* Cuts, delays, kills, restarts, reloads, one at a time, as chance has it. */
#include "tests/sim/nemesis.h"

#include <string.h>

#include "tests/sim/client.h"
#include "tests/sim/net.h"
#include "tests/sim/node.h"
#include "tests/sim/process.h"
#include "tests/sim/world.h"

#define FAULT_LEAST_US (20 * WORLD_MS) /* between faults */
#define FAULT_MOST_US  (400 * WORLD_MS)

static struct faults faults;
static bool over;

static void fault(void *arg);

/* ---- tables ---- */

static uint8_t someone(void)
{
	return (uint8_t)world_random(cluster.nodes);
}

void nemesis_tables(void)
{
	for (uint32_t b = 0; b < SIM_BYTES; b++) {
		uint8_t owner = someone();

		for (uint32_t i = 0; i < cluster.nodes; i++)
			cluster.node[i].asked.target[b] = world_chance(80)   ? owner
							  : world_chance(80) ? someone()
									     : SIM_NOBODY;
	}
}

static void reroute(void)
{
	struct sim_node *n = &cluster.node[someone()];

	for (uint32_t i = 1 + (uint32_t)world_random(3); i--;)
		n->asked.target[client_byte()] = someone();
	if (n->tables + 4 < SIM_TABLES)
		node_reload(n);
}

/* ---- links ---- */

/* Two hosts: two nodes, or a client and a node. */
static void pair(uint32_t *a, uint32_t *b)
{
	*a = someone();
	*b = (*a + 1 + (uint32_t)world_random(cluster.nodes - 1)) % cluster.nodes;
	if (world_chance(20))
		*b = client_host((uint32_t)world_random(SIM_CLIENTS));
}

/* A fault between two hosts that ends by itself. */
struct between {
	uint32_t a, b;
};

static void heal(void *arg)
{
	const struct between *x = arg;

	world_note("%u and %u: healed", x->a, x->b);
	net_cut(x->a, x->b, false);
	net_cut(x->b, x->a, false);
	links_trouble(x->a, x->b);
}

static void cut(void)
{
	struct between *x = world_alloc(sizeof(*x));

	pair(&x->a, &x->b);
	links_trouble(x->a, x->b);
	if (world_chance(20)) {
		world_note("%u and %u: reset", x->a, x->b);
		net_reset(x->a, x->b);
		return;
	}
	net_cut(x->a, x->b, true);
	if (world_chance(60))
		net_cut(x->b, x->a, true);
	world_note("%u and %u: cut%s", x->a, x->b, net_is_cut(x->b, x->a) ? "" : ", one way");
	world_at(world.now_us + world_between(5 * WORLD_MS, 2000 * WORLD_MS), heal, x);
}

static void quicken(void *arg)
{
	const struct between *x = arg;

	world_note("%u and %u: quick again", x->a, x->b);
	links_trouble(x->a, x->b);
	net_delay(x->a, x->b, 20, 200);
	net_delay(x->b, x->a, 20, 200);
}

static void delay(void)
{
	struct between *x = world_alloc(sizeof(*x));
	uint64_t most = world_chance(50) ? world_between(WORLD_MS, 30 * WORLD_MS)
					 : world_between(30 * WORLD_MS, 900 * WORLD_MS);

	pair(&x->a, &x->b);
	world_note("%u and %u: %llu us", x->a, x->b, (unsigned long long)most);
	links_trouble(x->a, x->b);
	net_delay(x->a, x->b, world_random(most), most);
	if (world_chance(50))
		net_delay(x->b, x->a, world_random(most), most);
	world_at(world.now_us + world_between(50 * WORLD_MS, 2000 * WORLD_MS), quicken, x);
}

/* ---- workers ---- */

static struct process *anyone(void)
{
	struct process *found = NULL;
	uint64_t n = 0;

	for (struct process *p = processes(); p; p = p->next)
		if (p->state != PROCESS_DEAD && world_random(++n) == 0)
			found = p;
	return found;
}

static void hurt(void)
{
	struct process *p = anyone();

	if (!p)
		return;
	switch (world_random(6)) {
	case 0:
		process_kill(p);
		return;
	case 1:
		world_note("%s worker %u hangs", p->node->name, p->worker);
		p->hung = true;
		return;
	case 2:
		world_note("%s worker %u will be poisoned", p->node->name, p->worker);
		p->poisoned = true;
		return;
	case 3:
		world_note("%s worker %u will crash often", p->node->name, p->worker);
		p->store->crashes_until_us = world.now_us + world_between(100, 1500) * WORLD_MS;
		p->doom = 1 + (uint32_t)world_random(60);
		return;
	default:
		p->doom = 1 + (uint32_t)world_random(60);
		return;
	}
}

static void strain(void)
{
	struct process *p = anyone();

	if (!p)
		return;
	if (world_chance(50))
		p->slow_us = world_random(2) ? world_random(8 * WORLD_MS) : 0;
	else
		p->store->sync_most_us =
			world_random(2) ? world_between(WORLD_MS, 200 * WORLD_MS) : 3 * WORLD_MS;
}

/* ---- nodes ---- */

static void start(void *arg)
{
	struct sim_node *n = arg;

	if (!n->coord)
		node_start(n);
	else
		world_at(world.now_us + 50 * WORLD_MS, start, n); /* it has not ended yet */
}

static void restart(void)
{
	struct sim_node *n = &cluster.node[someone()];

	if (!n->coord || n->wanted || (n->stopping_us && world_chance(90)))
		return;
	n->wanted = true;
	if (world_chance(40))
		node_stop(n);
	else
		node_kill(n, world_chance(40));
	world_at(world.now_us + world_between(10 * WORLD_MS, 2500 * WORLD_MS), start, n);
}

/* ---- in turn ---- */

static void next(void)
{
	world_at(world.now_us + world_between(FAULT_LEAST_US, FAULT_MOST_US), fault, NULL);
}

static void fault(void *arg)
{
	static void (*const all[])(void) = {cut, delay, strain, hurt, restart, reroute};
	const bool on[] = {faults.cuts,  faults.delays,   faults.strains,
			   faults.kills, faults.restarts, faults.reloads};
	uint64_t which = world_random(sizeof(on) / sizeof(on[0]));

	(void)arg;
	if (over)
		return;
	for (uint32_t i = 0; i < cluster.nodes; i++)
		if (cluster.node[i].coord)
			cluster.node[i].wanted = false;
	while (!on[which])
		which = (which + 1) % (sizeof(on) / sizeof(on[0]));
	all[which]();
	next();
}

void nemesis_open(const struct faults *f)
{
	faults = *f;
	over = false;
	if (f->cuts || f->delays || f->strains || f->kills || f->restarts || f->reloads)
		next();
}

void nemesis_end(void)
{
	over = true;
	for (uint32_t i = 0; i < cluster.nodes; i++)
		for (uint32_t w = 0; w < SIM_WORKERS; w++)
			cluster.node[i].store[w]->crashes_until_us = 0;
	for (struct process *p = processes(); p; p = p->next) {
		p->doom = 0;
		p->poisoned = false;
		p->slow_us = 0;
	}
}
