/* Schedules that random faults do not find, each the control of a rule. */
#include <string.h>

#include "tests/replica/agreement.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"
#include "tests/replica/run.h"

#define AT_US    (5 * SEC) /* when it begins */
#define FOR_EVER (100 * SEC)

static void agreement_lost(uint32_t n)
{
	net_cut(n, AT_AGREEMENT, FOR_EVER);
	net_cut(AT_AGREEMENT, n, FOR_EVER);
}

/* From `since` on, is something written? */
static void writes_go_on(uint64_t since)
{
	uint32_t writes, reads, before;

	clients_answered(3 * SEC, AT_US, &before, &reads);
	clients_answered(since, RUN_CASE_US, &writes, &reads);
	if (before && writes < 20)
		violate("only %u writes were answered after %lu ms, and %u in 2 s before", writes,
			since / MS, before);
}

/* ---- yield: the primary alone has lost the agreement, and a backup dies ---- */

static void yield_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	agreement_lost(1);
	node_crash(&node[2], false);
}

static void yield_prepare(void)
{
	world_at(AT_US, yield_begin, NULL, 0, NULL);
}

static void after_4s(void)
{
	writes_go_on(AT_US + 4 * SEC);
}

/* ---- hung: the primary's disk hangs, and its beats go on ---- */

static void hang_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	node[1].disk.hung_until = NEVER;
}

static void hang_prepare(void)
{
	world_at(AT_US, hang_begin, NULL, 0, NULL);
}

/* ---- full: a backup has no room ---- */

static void full_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	node[2].disk.full_until = NEVER;
}

static void full_prepare(void)
{
	world_at(AT_US, full_begin, NULL, 0, NULL);
}

/* ---- set back: the agreement is restored from a backup within an epoch ---- */

static struct agreement saved;

static void setback_save(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	saved = agreement;
	net_island(2, 5 * SEC);
}

static void setback_restore(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	TRACE("the agreement is set back");
	memcpy(agreement.view, saved.view, sizeof(saved.view));
	agreement.revision = saved.revision;
	net_heal(); /* links are made anew, and say what was known at each end */
	clerk_revision_known(node[2].clerk, clerk_revision(node[3].clerk));
	net_cut(1, 2, 2 * SEC); /* so that node 2 hears of no beat */
	net_cut(2, 1, 2 * SEC);
}

static void setback_prepare(void)
{
	world_at(AT_US, setback_save, NULL, 0, NULL);
	world_at(8 * SEC, setback_restore, NULL, 0, NULL);
}

/*
 * The same, and no answer reaches it for a while: the changes that it has asked for before, if it
 * asked again, would lift the store's revision to what it has been told of.
 */
static void again_restore(void *who, uint64_t a, void *bytes)
{
	setback_restore(who, a, bytes);
	net_cut(AT_AGREEMENT, 2, 600 * MS);
}

static void again_prepare(void)
{
	world_at(AT_US, setback_save, NULL, 0, NULL);
	world_at(8 * SEC, again_restore, NULL, 0, NULL);
}

/*
 * ---- honest: a late change makes a node primary that has granted the old one meanwhile ----
 *
 * The primary is cut off from the backups and for ever from the agreement.  When a backup asks to
 * take over, the links between the nodes are whole again, and the change lands 1.6 s later; its
 * worker dies, and so it resigns: to somebody who need not wait if `released` is written.
 */
static uint64_t honest_asked_at;

static void honest_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	for (uint32_t i = 2; i <= NODES; i++) {
		net_cut(1, i, 1150 * MS);
		net_cut(i, 1, 1150 * MS);
	}
	agreement_lost(1);
}

static void honest_kill(void *who, uint64_t a, void *bytes)
{
	(void)a;
	(void)bytes;
	node_kill(who, 4 * SEC);
}

static bool honest_asked(struct node *n, uint32_t partition, const struct view *v)
{
	if (world.now < AT_US + 100 * MS || n->number == 1 || partition)
		return true;
	if (!honest_asked_at && v->epoch > agreement.view[partition].epoch) {
		honest_asked_at = world.now;
		net_heal();
		agreement_lost(1);
		agreement_cas_late(n, partition, agreement.view[partition].revision, v, 1600 * MS);
		world_after(5 * MS, honest_kill, n, 0, NULL);
		return false;
	}
	return !honest_asked_at || world.now > honest_asked_at + 1600 * MS;
}

static void honest_prepare(void)
{
	honest_asked_at = 0;
	agreement.asked = honest_asked;
	world_at(AT_US, honest_begin, NULL, 0, NULL);
}

/*
 * ---- leaseepoch: the lease word is ahead of the worker ----
 *
 * The primary is alone and does not know that another has taken over; its lease word says that it
 * has the lease of an epoch still later.  (No clerk writes that: who is to lead again is a member,
 * and has acknowledged what came between.  It is the worker's own rule that is tried.)
 */
static void leaseepoch_word(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	for (uint32_t p = 0; p < PARTITIONS; p++)
		node[1].lease[p] = (struct copy_lease){.epoch = agreement.view[p].epoch + 1,
						       .until = MOMENT_NEVER};
}

static void leaseepoch_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	net_island(1, 6 * SEC);
}

static void leaseepoch_prepare(void)
{
	world_at(AT_US, leaseepoch_begin, NULL, 0, NULL);
	world_at(AT_US + 2500 * MS, leaseepoch_word, NULL, 0, NULL);
}

/*
 * ---- latelook: the clock is read, the worker stalls, takes requests, and answers ----
 */
static void latelook_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	net_island(1, 6 * SEC);
	node[1].stall_us = 2800 * MS; /* of its next round */
}

static void latelook_prepare(void)
{
	world_at(AT_US, latelook_begin, NULL, 0, NULL);
}

/* ---- what is promised of the agreement's absence ---- */

static void away_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	agreement.down_until = RUN_CASE_US;
	node_kill(&node[1], 60 * MS);
}

static void away_prepare(void)
{
	world_at(AT_US, away_begin, NULL, 0, NULL);
}

static void after_1s(void)
{
	writes_go_on(AT_US + 1 * SEC);
}

/*
 * ---- sole: what the only copy holds back, it holds back after its restart too ----
 *
 * Both backups' disks hang, so that what is written last lies on one disk.
 */
static void sole_begin(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	node[2].disk.hung_until = node[3].disk.hung_until = NEVER;
}

static void sole_restart(void *who, uint64_t a, void *bytes)
{
	(void)a;
	(void)bytes;
	/* (In one of them there may have been nothing to write.) */
	if (agreement.view[0].isr_count != 1 && agreement.view[1].isr_count != 1)
		violate("both have still more than one copy");
	node_crash(who, false);
	world_after(300 * MS, node_boot, who, 0, NULL);
}

static void sole_prepare(void)
{
	world_at(AT_US, sole_begin, NULL, 0, NULL);
	world_at(AT_US + 2 * SEC, sole_restart, &node[1], 0, NULL);
	world_at(AT_US + 4 * SEC, sole_restart, &node[1], 0, NULL);
}

static void after_2s(void)
{
	writes_go_on(AT_US + 2 * SEC);
}

/* ---- one dies for good ---- */

static void die_begin(void *who, uint64_t a, void *bytes)
{
	(void)a;
	(void)bytes;
	node_crash(who, false);
}

static void primary_dies_prepare(void)
{
	world_at(AT_US, die_begin, &node[1], 0, NULL);
}

static void backup_dies_prepare(void)
{
	world_at(AT_US, die_begin, &node[2], 0, NULL);
}

/*
 * ---- reads: a backup's node dies, and the lease never ends ----
 *
 * It leaves the set before what it has granted is over.
 */
static void reads_look(void *who, uint64_t a, void *bytes)
{
	const struct node *n = who;

	(void)a;
	(void)bytes;
	for (uint32_t p = 0; p < PARTITIONS; p++)
		if (!moment_holds(node_clock(n), n->lease[p].until))
			violate("the lease of p%u has ended", p);
	if (world.now < AT_US + 3 * SEC)
		world_after(1 * MS, reads_look, who, 0, NULL);
}

static void reads_begin(void *who, uint64_t a, void *bytes)
{
	world.calm = true;
	die_begin(who, a, bytes);
}

static bool reads_asked(struct node *n, uint32_t partition, const struct view *v)
{
	if (world.now < AT_US)
		return true;
	agreement_cas_late(n, partition, agreement.view[partition].revision, v, 150 * MS);
	return false;
}

static void reads_prepare(void)
{
	agreement.asked = reads_asked;
	world_at(AT_US + chance_range(0, 200 * MS), reads_begin, &node[2], 0, NULL);
	world_at(AT_US, reads_look, &node[1], 0, NULL);
}

/* ---- clock: the primary dies, and the first in line has a clock that is wrong ---- */

static void clock_prepare(void)
{
	if (chance_range(0, 1))
		node[2].wall_zero += 5 * SEC;
	else
		node[2].wall_zero -= 5 * SEC;
	world.calm = true;
	world_at(AT_US, die_begin, &node[1], 0, NULL);
}

static void clock_judge(void)
{
	after_2s();
	if (agreement.view[0].primary.node != 3)
		violate("p0 is led by node %u", agreement.view[0].primary.node);
}

/*
 * ---- orders: the coordinator goes on as another program while orders wait for room ----
 *
 * They are those of a change that it has just learned of: a backup has left the set.
 */
static void orders_end(void *who, uint64_t a, void *bytes)
{
	(void)a;
	(void)bytes;
	node_reexec(who);
}

static void orders_reexec(void *who, uint64_t a, void *bytes)
{
	struct node *n = who;

	(void)a;
	(void)bytes;
	n->ring_full_until = world.now + 600 * MS;
	world_after(chance_range(0, 400 * MS), orders_end, n, 0, NULL);
}

static void orders_prepare(void)
{
	world_at(AT_US, die_begin, &node[2], 0, NULL);
	world_at(AT_US + 600 * MS, orders_reexec, &node[1], 0, NULL);
}

/*
 * ---- made: nodes hear of new partitions one after the other, and the agreement is slow ----
 *
 * The named primary is the last to read the views, and each of its changes takes more than a second.
 */
static bool made_asked(struct node *n, uint32_t partition, const struct view *v)
{
	agreement_cas_late(n, partition, agreement.view[partition].revision, v,
			   chance_range(900 * MS, 1700 * MS));
	return false;
}

static void made_begin(void *who, uint64_t a, void *bytes)
{
	(void)a;
	(void)bytes;
	node_crash(who, false);
	world_after(chance_range(300 * MS, 1100 * MS), node_boot, who, 0, NULL);
}

static void made_prepare(void)
{
	agreement.asked = made_asked;
	world_at(1, made_begin, &node[1], 0, NULL);
}

static void as_wanted(void)
{
	for (uint32_t p = 0; p < PARTITIONS; p++)
		if (agreement.view[p].primary.node != agreement.target[p].node[0])
			violate("p%u is led by node %u, and wanted at node %u", p,
				agreement.view[p].primary.node, agreement.target[p].node[0]);
}

/* clang-format off */
#define CASE(id, of, prepares, judges, times, stands, ...) \
	{.name = #id, .rule = RULE_##of, .prepare = prepares, .judge = judges, .runs = times, .stuck = stands, .what = __VA_ARGS__},

const struct directed directed[] = {
	CASE(yield, YIELD, yield_prepare, after_4s, 40, true,
	     "the primary alone loses the agreement, a backup dies: goes on in 4 s")
	CASE(hung, HUNG, hang_prepare, after_4s, 40, false,
	     "the primary's disk hangs, beats go on: goes on in 4 s")
	CASE(full, FULL, full_prepare, after_4s, 40, false,
	     "a backup has no room: goes on in 4 s")
	CASE(setback, SETBACK, setback_prepare, NULL, 60, true,
	     "the agreement is set back within an epoch: nothing is lost")
	CASE(again, SETBACK, again_prepare, NULL, 60, true,
	     "the same, and changes were asked for before: none is asked for again")
	CASE(honest, HONEST, honest_prepare, NULL, 60, false,
	     "a late change, grants meanwhile, a worker's death: one lease")
	CASE(leaseepoch, LEASEEPOCH, leaseepoch_prepare, NULL, 20, false,
	     "a lease word of a later epoch than the worker's: no lease")
	CASE(latelook, LATELOOK, latelook_prepare, NULL, 20, false,
	     "a worker stalls between its look at the clock and its requests")
	CASE(away, COUNT, away_prepare, after_1s, 40, false,
	     "no agreement, the primary's worker is killed: goes on in 1 s")
	CASE(primary, COUNT, primary_dies_prepare, after_2s, 40, true,
	     "the primary's node dies: goes on in 2 s")
	CASE(backup, COUNT, backup_dies_prepare, after_2s, 40, true,
	     "a backup's node dies: goes on in 2 s")
	CASE(reads, COUNT, reads_prepare, after_2s, 40, true,
	     "a backup's node dies, a change takes 150 ms: the lease goes on")
	CASE(clock, COUNT, clock_prepare, clock_judge, 40, true,
	     "the primary dies: who has a right clock takes over", .spread = true)
	CASE(orders, COUNT, orders_prepare, after_4s, 40, true,
	     "an upgrade while orders wait for room in the worker's ring: they are given again")
	CASE(sole, TOOFEW, sole_prepare, NULL, 40, true,
	     "the only copy is started anew: it holds back what it held back", .min_copies = 2)
	CASE(made, COUNT, made_prepare, as_wanted, 40, false,
	     "partitions are made, all is slow: their named primary leads")
};
/* clang-format on */
const uint32_t directed_count = sizeof(directed) / sizeof(directed[0]);
