/* One node's clerk, whose agreement, peers and workers are played by the test. */
#ifndef PAIL_TEST_CLERK_FIXTURE_H
#define PAIL_TEST_CLERK_FIXTURE_H

#include <errno.h>
#include <stdlib.h>

#include "replica/clerk.h"
#include "tests/unit/lib/unit.h"

#define PARTS  4u
#define NODES  6u
#define LETTER 4096u

struct letters { /* the newest, and how many */
	uint32_t n;
	union {
		struct beat beat;
		struct grant grant;
		char bytes[LETTER];
	} u;
};

static struct clerk *clerk;
static struct clerk_config config;
static struct moment at;
static struct letters beats[NODES], grants[NODES];
static uint32_t gets[PARTS], changes[PARTS], casses[PARTS];
static uint64_t known_at_get[PARTS];
static struct view asked[PARTS]; /* the newest compare-and-set */
static uint64_t asked_base[PARTS];
static struct copy_lease leases[PARTS];
static struct parcel_order orders[512];
static uint32_t order_count;
static uint64_t tokens;
static int64_t apart_ms[NODES];  /* by how much each one's wall clock is ahead */
static uint64_t reported_commit; /* what the worker's reports say is committed */
static uint64_t revision = 100;  /* of the played store */

static inline struct member copy_of(uint32_t node)
{
	return (struct member){0x1000u + node, node, 0};
}

static void on_beat(void *arg, uint32_t node, const struct beat *b)
{
	(void)arg;
	beats[node].n++;
	memcpy(beats[node].u.bytes, b, sizeof(*b) + b->count * sizeof(b->claims[0]));
}

static void on_grant(void *arg, uint32_t node, const struct grant *g)
{
	(void)arg;
	grants[node].n++;
	memcpy(grants[node].u.bytes, g, sizeof(*g) + g->count * sizeof(g->refused[0]));
}

static void on_get(void *arg, uint32_t partition, uint64_t known)
{
	(void)arg;
	gets[partition]++;
	known_at_get[partition] = known;
}

static void on_cas(void *arg, uint32_t partition, uint64_t base, uint64_t known,
		   const struct view *v)
{
	(void)arg;
	(void)known;
	casses[partition]++;
	asked_base[partition] = base;
	asked[partition] = *v;
}

static void on_order(void *arg, uint32_t partition, struct parcel_order *o)
{
	(void)arg;
	EQ(partition, o->head.partition);
	CU_ASSERT_FATAL(order_count < 512);
	TRUE_(!order_count || o->number > orders[order_count - 1].number);
	orders[order_count++] = *o;
}

static void on_lease(void *arg, uint32_t partition, const struct copy_lease *l)
{
	(void)arg;
	leases[partition] = *l;
}

static void on_changed(void *arg, uint32_t partition)
{
	(void)arg;
	changes[partition]++;
}

static uint64_t on_token(void *arg)
{
	(void)arg;
	return ++tokens;
}

static const struct clerk_ops clerk_ops = {
	.beat = on_beat,
	.grant = on_grant,
	.get = on_get,
	.cas = on_cas,
	.order = on_order,
	.lease = on_lease,
	.changed = on_changed,
	.token = on_token,
};

/* Forget what has been sent. */
static inline void forget(void)
{
	memset(beats, 0, sizeof(beats));
	memset(grants, 0, sizeof(grants));
	memset(gets, 0, sizeof(gets));
	memset(casses, 0, sizeof(casses));
	memset(changes, 0, sizeof(changes));
	order_count = 0;
}

/* A coordinator of node 1 begins, of which nothing is known. */
static inline uint64_t wall_of(uint32_t node)
{
	return (uint64_t)((int64_t)(1700000000000u + at.boot_us / 1000) + apart_ms[node]);
}

static inline void start(uint32_t min_copies)
{
	clerk_free(&clerk);
	memset(apart_ms, 0, sizeof(apart_ms));
	config = (struct clerk_config){
		.self = copy_of(1),
		.incarnation = ++tokens,
		.partitions = PARTS,
		.workers = 2,
		.factor = 3,
		.min_copies = min_copies,
		.lease_ms = CLERK_LEASE_MS,
		.drift_ppm = CLERK_DRIFT_PPM,
	};
	at.boot_us += 100000000;
	at.raw_us += 100000000;
	memset(leases, 0, sizeof(leases));
	reported_commit = 0;
	forget();
	EQ(0, clerk_new(&config, &clerk_ops, NULL, at, &clerk));
}

/* Time passes, by both clocks. */
static inline void pass(uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 5) {
		at.boot_us += 5000;
		at.raw_us += 5000;
		if (i % 25)
			continue;
		clerk_wall(clerk, wall_of(1), at);
		clerk_tick(clerk, at);
	}
}

static inline struct view view_make(uint32_t epoch, uint32_t primary, uint32_t isr, bool released)
{
	struct view v = {.epoch = epoch, .primary = copy_of(primary), .released = released};

	for (uint32_t i = 1; i < NODES; i++)
		if (isr >> i & 1u)
			v.isr[v.isr_count++] = copy_of(i);
	v.by = ++tokens;
	return v;
}

/* The store's view of the partition becomes this one, and a fresh read shows it. */
static inline void view_is(uint32_t partition, struct view v)
{
	v.revision = ++revision;
	clerk_view(clerk, partition, &v, true, revision - 1, revision, at);
}

/* A fresh read shows what was there already. */
static inline void view_again(uint32_t partition)
{
	const struct view *v = clerk_view_of(clerk, partition);
	struct view copy = *v;

	clerk_view(clerk, partition, &copy, true, revision, revision, at);
}

/* What was asked for last has happened, and is known. */
static inline void cas_done(uint32_t partition)
{
	EQ(asked_base[partition], clerk_view_of(clerk, partition)->revision);
	view_is(partition, asked[partition]);
}

static inline void worker_up(uint32_t worker, uint32_t life, uint64_t term)
{
	uint64_t seen[PARTS];

	for (uint32_t i = 0; i < PARTS; i++)
		seen[i] = term;
	clerk_worker_up(clerk, worker, life, seen, at);
}

/* The last order of that kind for the partition; NULL: none. */
static inline const struct parcel_order *ordered(uint32_t partition, enum order_kind kind)
{
	for (uint32_t i = order_count; i-- > 0;)
		if (orders[i].head.partition == partition && orders[i].kind == (uint32_t)kind)
			return &orders[i];
	return NULL;
}

/* The worker says it, having obeyed all orders. */
static inline void report(uint32_t partition, enum report_kind kind, struct place place,
			  uint32_t member)
{
	struct parcel_report r = {
		.head = {sizeof(r), PARCEL_REPORT, (uint16_t)partition, 0, 0},
		.number = order_count ? orders[order_count - 1].number : UINT32_MAX,
		.commit = reported_commit,
		.kind = (uint32_t)kind,
		.at = place,
	};

	if (member)
		r.member = copy_of(member);
	clerk_report(clerk, &r, at);
}

/* The worker leads as it was told to. */
static inline void leads(uint32_t partition)
{
	const struct parcel_order *o = ordered(partition, ORDER_LEAD);

	CU_ASSERT_FATAL(o != NULL);
	report(partition, REPORT_LEADING, (struct place){o->term, 10}, 0);
}

/* The node grants all of the newest beat to it. */
static inline void granted(uint32_t node)
{
	struct grant g = {.incarnation = beats[node].u.beat.incarnation,
			  .store = copy_of(node).store,
			  .round = beats[node].u.beat.round,
			  .wall_ms = wall_of(node)};

	clerk_grant(clerk, node, &g, at);
}

/* Both happen for so long: beats are granted by these nodes. */
static inline void pass_granted(uint64_t ms, uint32_t nodes)
{
	uint32_t seen[NODES] = {0};

	for (uint64_t i = 0; i < ms; i += 25) {
		pass(25);
		for (uint32_t k = 1; k < NODES; k++) {
			if (!(nodes >> k & 1u) || beats[k].n == seen[k])
				continue;
			seen[k] = beats[k].n;
			granted(k);
		}
	}
}

/* A beat of another node, for one partition. */
static inline void claimed(uint32_t node, uint32_t partition, uint32_t epoch, uint32_t flags)
{
	union {
		struct beat b;
		char bytes[sizeof(struct beat) + sizeof(struct claim)];
	} u = {
		.b = {.incarnation = node,
		      .store = copy_of(node).store,
		      .round = ++tokens,
		      .revision = 0,
		      .wall_ms = wall_of(node),
		      .count = 1}
        };
	struct claim c = {partition, flags, term_make(epoch, 0)};

	memcpy(u.bytes + sizeof(struct beat), &c, sizeof(c));
	clerk_beat(clerk, node, &u.b, at);
}

/* Was the last claim of that node granted? */
static inline bool was_granted(uint32_t node)
{
	CU_ASSERT_FATAL(grants[node].n > 0);
	return grants[node].u.grant.count == 0;
}

static inline int64_t lease_ms(uint32_t partition)
{
	if (leases[partition].until.boot_us == UINT64_MAX)
		return INT64_MAX;
	if (leases[partition].until.boot_us < at.boot_us)
		return 0;
	return (int64_t)(leases[partition].until.boot_us - at.boot_us) / 1000;
}

#endif
