#include "tests/replica/node.h"

#include <string.h>

#include "common/check.h"
#include "replica/rules.h"
#include "tests/replica/agreement.h"
#include "tests/replica/net.h"

struct node node[NODES + 1];
struct setup setup;

/* ---- clocks, processes ---- */

static uint64_t paced(uint64_t us, int32_t ppm)
{
	return (uint64_t)((int64_t)us + (int64_t)us * ppm / 1000000);
}

struct moment node_clock(const struct node *n)
{
	uint64_t awake = world.now - n->suspended_us;
	uint64_t boot = RULE(BOOTTIME) ? world.now : awake;

	return (struct moment){n->boot_zero + paced(boot, n->boot_ppm),
			       n->raw_zero + paced(awake, n->raw_ppm)};
}

uint64_t node_ms(const struct node *n)
{
	return node_clock(n).boot_us / 1000;
}

bool node_awake(struct node *n, enum process p, uint64_t inc, event_run *run, void *bytes)
{
	if (!n->up || (inc != LIFE_ANY && inc != n->inc[p])) {
		if (bytes)
			give(bytes);
		return false;
	}
	if (n->paused_until[p] > world.now) {
		world_at(n->paused_until[p] + chance_range(0, 200), run, n, inc, bytes);
		return false;
	}
	return true;
}

/* ---- lives ---- */

static void worker_up_told(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;
	uint64_t seen[PARTITIONS];

	if (!node_awake(n, COORDINATOR, inc, worker_up_told, bytes))
		return;
	if (!n->ready || n->worker_known)
		return;
	for (uint32_t p = 0; p < PARTITIONS; p++)
		seen[p] = n->part[p].copy.seen;
	n->worker_known = true;
	clerk_worker_up(n->clerk, 0, n->worker_life, seen, node_clock(n));
}

void node_worker_ready(struct node *n)
{
	world_after(chance_range(100, 2 * MS), worker_up_told, n, n->inc[COORDINATOR], NULL);
}

static void spawn(struct node *n, uint64_t us)
{
	if (RULE(LIFE) || !n->worker_life)
		n->worker_life++;
	n->inc[WORKER]++;
	world_after(us, worker_start, n, n->inc[WORKER], NULL);
}

/* The coordinator has seen that its worker is dead. */
static void reaped(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, COORDINATOR, inc, reaped, bytes))
		return;
	if (n->alive)
		return;
	if (chance_ppm(50 * PERCENT))
		coordinator_ship_take(n);
	else
		queue_drop(&n->ship);
	n->worker_known = false;
	clerk_worker_down(n->clerk, 0, node_clock(n));
	spawn(n, n->respawn_us);
}

static void worker_dies(struct node *n, uint64_t us)
{
	n->alive = n->ready = n->leaving = false;
	n->inc[WORKER]++;
	n->paused_until[WORKER] = 0;
	worker_end(n);
	queue_drop(&n->arrive);
	queue_drop(&n->line);
	serve_died(n);
	n->respawn_us = us;
	world_after(chance_range(500, 8 * MS), reaped, n, n->inc[COORDINATOR], NULL);
}

void node_kill(struct node *n, uint64_t us)
{
	if (!n->up || !n->alive)
		return;
	count(COUNT_KILLS);
	TRACE("node %u: worker killed, for %lu ms", n->number, us / MS);
	disk_tear(&n->disk);
	worker_dies(n, us);
}

/* It has left off and syncs all, and is not there any more when that is done. */
static void leave(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, WORKER, inc, leave, bytes))
		return;
	if (n->disk.synced < n->disk.count) {
		world_after(500, leave, n, inc, NULL);
		return;
	}
	count(COUNT_HANDOVERS);
	TRACE("node %u: worker handed over", n->number);
	worker_dies(n, chance_range(1 * MS, 20 * MS));
}

void node_handover(struct node *n)
{
	if (!n->up || !n->ready || n->leaving)
		return;
	n->leaving = true;
	world_after(100, leave, n, n->inc[WORKER], NULL);
}

void node_boot(void *who, uint64_t a, void *bytes)
{
	struct node *n = who;

	(void)a;
	(void)bytes;
	if (n->up)
		return;
	TRACE("node %u is there", n->number);
	n->up = true;
	n->inc[COORDINATOR]++;
	n->paused_until[COORDINATOR] = n->paused_until[WORKER] = 0;
	n->worker_known = n->ship_waking = false;
	memset(n->lease, 0, sizeof(n->lease));
	coordinator_begin(n);
	clerk_revision_known(n->clerk, n->revision);
	if (RULE(ETCDREAD))
		n->worker_life = 0;
	else if (n->saved_size) /* roles as they were remembered, not as they are */
		check(!clerk_restore(n->clerk, n->saved, n->saved_size, node_clock(n)));
	if (n->saved_size && !RULE(ETCDREAD))
		clerk_worker_down(n->clerk, 0, node_clock(n));
	spawn(n, chance_range(1 * MS, 40 * MS));
	coordinator_run(n, 40 * MS);
}

void node_crash(struct node *n, bool wipe)
{
	if (!n->up)
		return;
	count(wipe ? COUNT_WIPES : COUNT_CRASHES);
	TRACE("node %u %s", n->number, wipe ? "has lost its disk" : "crashes");
	disk_tear(&n->disk);
	n->up = n->alive = n->ready = n->leaving = false;
	n->inc[COORDINATOR]++;
	n->inc[WORKER]++;
	worker_end(n);
	queue_drop(&n->arrive);
	queue_drop(&n->line);
	queue_drop(&n->ship);
	serve_forget(n);
	if (!wipe)
		return;
	disk_wipe(&n->disk);
	n->revision = n->saved_size = 0;
	if (RULE(SID))
		n->store = chance_u64() | 1;
}

static void reexec(void *who, uint64_t inc, void *bytes)
{
	static uint64_t saved[1u << 15];
	struct node *n = who;
	size_t size;

	if (!node_awake(n, COORDINATOR, inc, reexec, bytes))
		return;
	count(COUNT_REEXECS);
	size = clerk_save(n->clerk, NULL, 0);
	check(size <= sizeof(saved));
	check(clerk_save(n->clerk, saved, size) == size);
	n->inc[COORDINATOR]++; /* what it had asked the agreement for is not answered */
	queue_drop(&n->line);  /* nor does the new one have the orders that waited for room */
	n->ship_waking = false;
	coordinator_begin(n);
	check(!clerk_restore(n->clerk, saved, size, node_clock(n)));
	TRACE("node %u: another coordinator goes on", n->number);
	coordinator_run(n, 1 * MS);
	coordinator_wake(n);
	if (!n->alive)
		world_after(100, reaped, n, n->inc[COORDINATOR], NULL);
	else if (!n->worker_known)
		node_worker_ready(n);
}

static void reexec_begin(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, COORDINATOR, inc, reexec_begin, bytes) || !n->alive || !n->worker_known)
		return;
	n->paused_until[COORDINATOR] = world.now + chance_range(10 * MS, 80 * MS);
	world_at(n->paused_until[COORDINATOR], reexec, n, n->inc[COORDINATOR], NULL);
}

void node_reexec(struct node *n)
{
	uint64_t us = chance_range(0, 150 * MS);

	if (!n->up || n->paused_until[COORDINATOR] > world.now)
		return;
	if (chance_ppm(50 * PERCENT))
		n->ring_full_until = world.now + 300 * MS; /* what is ordered until then is lost */
	world_after(us, reexec_begin, n, n->inc[COORDINATOR], NULL);
}

void node_pause(struct node *n, bool coordinator, bool worker, uint64_t us, bool suspend)
{
	if (!n->up || n->paused_until[COORDINATOR] > world.now ||
	    n->paused_until[WORKER] > world.now)
		return;
	count(COUNT_PAUSES);
	TRACE("node %u pauses%s%s%s, for %lu ms", n->number, coordinator ? " coordinator" : "",
	      worker ? " worker" : "", suspend ? " (suspended)" : "", us / MS);
	if (coordinator)
		n->paused_until[COORDINATOR] = world.now + us;
	if (worker)
		n->paused_until[WORKER] = world.now + us;
	if (suspend) {
		n->suspended_us += us; /* nobody looks at its clock until then */
		n->suspended_until = world.now + us;
	}
}

void node_unpause(struct node *n)
{
	if (n->suspended_until > world.now)
		n->suspended_us -= n->suspended_until - world.now;
	n->suspended_until = 0;
	n->paused_until[COORDINATOR] = n->paused_until[WORKER] = 0;
}

bool node_staged(const struct node *n)
{
	return n->disk.count > n->disk.synced;
}

/* ---- the run ---- */

void nodes_free(void)
{
	for (uint32_t i = 1; i <= NODES; i++)
		clerk_free(&node[i].clerk);
}

void nodes_begin(void)
{
	nodes_free();
	for (uint32_t i = 1; i <= NODES; i++) {
		struct node *n = &node[i];
		int32_t drift = (int32_t)setup.drift_ppm;

		memset(n, 0, sizeof(*n));
		n->number = i;
		n->store = chance_u64() | 1;
		n->boot_ppm = (int32_t)chance_range(0, 2 * (uint64_t)drift) - drift;
		n->raw_ppm = (int32_t)chance_range(0, 2 * (uint64_t)drift) - drift;
		if (chance_ppm(60 * PERCENT)) /* the ends break more */
			n->boot_ppm = n->raw_ppm = chance_ppm(50 * PERCENT) ? drift : -drift;
		if (setup.slewed && chance_ppm(40 * PERCENT))
			n->boot_ppm = chance_ppm(50 * PERCENT) ? 200000 : -200000;
		n->boot_zero = chance_range(1 * SEC, 1000 * SEC);
		n->raw_zero = chance_range(1 * SEC, 1000 * SEC);
		n->wall_zero = 1000000 * SEC + chance_range(0, 600 * MS);
		disk_init(&n->disk);
		agreement.store[i] = n->store;
	}
}
