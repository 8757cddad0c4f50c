#include "tests/replica/run.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "tests/replica/agreement.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"

_Noreturn void __wrap_check_failed(const char *expr, const char *file, int line);

static jmp_buf failed;

/* An assertion of what is simulated does not hold: the run is bad, and the next one may begin. */
_Noreturn void __wrap_check_failed(const char *expr, const char *file, int line)
{
	violate("check failed: %s at %s:%d", expr, file, line);
	longjmp(failed, 1);
}

static void boot_all(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	for (uint32_t i = 1; i <= NODES; i++)
		node_boot(&node[i], 0, NULL);
}

static void heal(void *who, uint64_t a, void *bytes)
{
	(void)who;
	(void)a;
	(void)bytes;
	faults_heal();
}

/* The first views: one after the other leads, or all partitions have one primary. */
static void views_make(bool one)
{
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		struct view *v = &agreement.view[p];
		struct target *t = &agreement.target[p];

		v->revision = ++agreement.revision;
		v->epoch = 1;
		v->released = true;
		v->by = 1 + p;
		for (uint32_t i = 0; i < setup.first_count; i++) {
			uint32_t k = 1 + (one ? i : (i + p) % setup.first_count);

			v->isr[v->isr_count++] = (struct member){.store = node[k].store, .node = k};
			t->node[t->count++] = k;
		}
		v->primary = v->isr[0];
	}
}

static void begin(uint64_t seed)
{
	world_begin(seed);
	net_begin();
	agreement_begin();
	records_begin();
	watch_begin();
	history_begin();
	nodes_begin();
}

static void outcome_make(struct outcome *ret)
{
	ret->bad = world.bad_count > 0;
	ret->faults = faults_planned();
	(void)snprintf(ret->what, sizeof(ret->what), "%s", world.bad[0]);
	memcpy(ret->count, world.count, sizeof(ret->count));
}

static uint32_t aims_of(uint64_t seed)
{
	uint64_t state = seed * 0x8ebc6af09c88c6e3u + 3;
	uint32_t first, second;

	if (chance_next(&state) % 2)
		return 0;
	first = (uint32_t)(chance_next(&state) % AIM_COUNT);
	second = (uint32_t)(chance_next(&state) % AIM_COUNT);
	return 1u << first | (chance_next(&state) % 3 ? 0 : 1u << second);
}

static void setup_make(uint64_t seed)
{
	uint64_t state = seed * 0x2d358dccaa6c78a5u + 5;

	setup.drift_ppm = 50000;
	setup.first_count = chance_next(&state) % 4 ? 3 : 2;
	setup.factor = setup.first_count;
	setup.min_copies = chance_next(&state) % (setup.factor == 3 ? 2 : 5) == 0 ? 2 : 1;
	if (aimed(AIM_TIGHT))
		setup.factor = setup.first_count = 3, setup.min_copies = 2;
	setup.slewed = chance_next(&state) % 6 == 0;
}

/* Is a partition where it is wanted, and served, and nothing of it on its way? */
static bool is_settled(uint32_t partition)
{
	const struct view *v = &agreement.view[partition];
	const struct target *t = &agreement.target[partition];
	const struct node *n = &node[v->primary.node];
	const struct copy *c = &n->part[partition].copy;

	if (v->isr_count != t->count || !n->up || !n->ready || c->role != COPY_PRIMARY ||
	    copy_takes(c) != COPY_TAKES || term_epoch(c->term) != v->epoch || c->commit < c->floor)
		return false;
	for (uint32_t i = 0; i < t->count; i++) {
		const struct node *m = &node[t->node[i]];

		if (!m->up || !m->ready || !view_has(v, (struct member){m->store, m->number, 0}))
			return false;
	}
	return !agreement.on_way;
}

/* All is whole: until all is well again, and a little longer, but not for ever. */
static void heal_run(void)
{
	uint64_t end = world.now + RUN_HEAL_US;
	bool settled = false;

	while (world.now < end && !world.over && !settled) {
		world_run(world.now + 200 * MS);
		settled = true;
		for (uint32_t p = 0; p < PARTITIONS; p++)
			settled = settled && is_settled(p);
	}
	if (!world.over && settled)
		world_run(world.now + 400 * MS);
}

/* Until the last ones are answered. */
static void last_run(void)
{
	uint64_t end = world.now + RUN_LAST_US;

	while (world.now < end && !world.over && clients_wait())
		world_run(world.now + 20 * MS);
}

static void seed_go(uint64_t seed, const struct plan *p)
{
	begin(seed);
	views_make(chance_ppm(30 * PERCENT));
	chance_stir(p->jitter);
	world_at(0, boot_all, NULL, 0, NULL);
	clients_begin(4 + chance_below(3), 20 * MS);
	faults_begin(p, RUN_FAULTS_US);
	world_at(RUN_FAULTS_US, heal, NULL, 0, NULL);
	world_run(RUN_FAULTS_US);
	if (!world.over)
		heal_run();
	if (!world.over) {
		clients_end();
		clients_last();
		last_run();
	}
	clients_end();
	history_check();
}

void run_seed(uint64_t seed, const struct plan *p, uint32_t with, struct outcome *ret)
{
	aims = with == AIMS_BY_SEED ? aims_of(seed) : with;
	setup_make(seed);
	if (!setjmp(failed))
		seed_go(seed, p);
	outcome_make(ret);
}

static void directed_go(const struct directed *d, uint64_t seed)
{
	static const struct plan none = {.without = UINT64_MAX, .no_evil = true};

	begin(seed);
	views_make(!d->spread);
	world_at(0, boot_all, NULL, 0, NULL);
	clients_begin(4, 20 * MS);
	faults_begin(&none, RUN_CASE_US);
	d->prepare();
	world_run(RUN_CASE_US + RUN_HEAL_US);
	if (!world.over && !d->stuck) {
		clients_end();
		faults_heal();
		world_run(world.now + RUN_HEAL_US);
		clients_last();
		last_run();
	}
	clients_end();
	history_check();
	if (d->judge)
		d->judge();
}

void run_directed(const struct directed *d, uint64_t seed, struct outcome *ret)
{
	aims = 0;
	setup = (struct setup){.drift_ppm = 10000,
			       .factor = 3,
			       .min_copies = d->min_copies ? d->min_copies : 1,
			       .first_count = 3};
	if (!setjmp(failed))
		directed_go(d, seed);
	outcome_make(ret);
}
