/* The coordinator of a node: what its clerk does, and what comes to it. */
#include <string.h>

#include "common/check.h"
#include "replica/rules.h"
#include "tests/replica/agreement.h"
#include "tests/replica/fault.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"

#define TICK_US (40 * MS)
#define IDLE_US (120 * MS) /* where there is no copy */
#define POLL_US (250 * MS)

/* What goes from node to node. */
struct packet {
	uint32_t from;
	uint32_t size;
	void (*arrive)(struct node *n, uint32_t from, void *bytes);
	uint64_t bytes[];
};

/* ---- between nodes ---- */

static void arrive(void *who, uint64_t a, void *bytes)
{
	struct packet *p = bytes;

	if (!node_awake(who, COORDINATOR, a, arrive, bytes))
		return;
	p->arrive(who, p->from, p->bytes);
	give(p);
}

static void send(struct node *n, uint32_t to, const void *bytes, size_t size,
		 void (*run)(struct node *n, uint32_t from, void *bytes))
{
	uint32_t times = net.slow && chance_ppm(5 * PERCENT) ? 2 : 1;

	check(to >= 1 && to <= NODES && to != n->number);
	for (uint32_t i = 0; i < times; i++) {
		struct packet *p = take(sizeof(*p) + size);

		p->from = n->number;
		p->size = (uint32_t)size;
		p->arrive = run;
		memcpy(p->bytes, bytes, size);
		net_send(n->number, to, arrive, &node[to], LIFE_ANY, p);
	}
}

/* ---- what the clerk does ---- */

static void beat_arrive(struct node *n, uint32_t from, void *bytes)
{
	clerk_beat(n->clerk, from, bytes, node_clock(n));
}

static void grant_arrive(struct node *n, uint32_t from, void *bytes)
{
	clerk_grant(n->clerk, from, bytes, node_clock(n));
}

static void on_beat(void *arg, uint32_t to, const struct beat *b)
{
	send(arg, to, b, sizeof(*b) + b->count * sizeof(b->claims[0]), beat_arrive);
}

static void on_grant(void *arg, uint32_t to, const struct grant *g)
{
	send(arg, to, g, sizeof(*g) + g->count * sizeof(g->refused[0]), grant_arrive);
}

static void on_get(void *arg, uint32_t partition, uint64_t known)
{
	agreement_get(arg, partition, known);
}

static void on_cas(void *arg, uint32_t partition, uint64_t revision, uint64_t known,
		   const struct view *v)
{
	agreement_cas(arg, partition, revision, known, v);
}

/* Those that wait, if there is room. */
static void orders_flush(struct node *n)
{
	while (n->line.head != n->line.tail && world.now >= n->ring_full_until)
		(void)worker_push(n, n->line.at[n->line.head++ % QUEUE_MAX]);
}

static void on_order(void *arg, uint32_t partition, struct parcel_order *o)
{
	static const char *const name[] = {"?", "view", "lead", "stop", "go on", "hold", "forget"};
	struct node *n = arg;
	struct parcel_order *copy = take(sizeof(*copy));

	*copy = *o;
	TRACE("node %u orders p%u: %s %lx, number %lu, members %u", n->number, partition,
	      name[o->kind], o->term, o->number, o->count);
	if (!n->ready) {
		give(copy);
		return;
	}
	if (chance_ppm(aimed(AIM_STALL) ? 20000 : 2000))
		n->ring_full_until = world.now + chance_range(1 * MS, 100 * MS);
	check(n->line.tail - n->line.head < QUEUE_MAX);
	n->line.at[n->line.tail++ % QUEUE_MAX] = copy;
	orders_flush(n);
}

static void on_lease(void *arg, uint32_t partition, const struct copy_lease *l)
{
	struct node *n = arg;

	n->lease[partition] = *l;
	if (n->order_count && n->ready)
		worker_wake(n);
}

static void on_changed(void *arg, uint32_t partition)
{
	struct node *n = arg;

	(void)partition;
	if (n->order_count && n->ready)
		worker_wake(n);
}

static void on_note(void *arg, uint32_t partition, const char *text)
{
	const struct node *n = arg;

	TRACE("node %u notes p%u: %s", n->number, partition, text);
}

static uint64_t on_token(void *arg)
{
	(void)arg;
	return chance_u64() | 1;
}

static const struct clerk_ops clerk_ops = {.beat = on_beat,
					   .grant = on_grant,
					   .get = on_get,
					   .cas = on_cas,
					   .order = on_order,
					   .lease = on_lease,
					   .changed = on_changed,
					   .note = on_note,
					   .token = on_token};

void coordinator_begin(struct node *n)
{
	struct clerk_config config = {
		.self = {.store = n->store, .node = n->number},
		.incarnation = chance_u64() | 1,
		.partitions = PARTITIONS,
		.workers = 1,
		.factor = setup.factor,
		.min_copies = setup.min_copies,
		.lease_ms = CLERK_LEASE_MS,
		.drift_ppm = setup.drift_ppm
        };

	clerk_free(&n->clerk);
	check(!clerk_new(&config, &clerk_ops, n, node_clock(n), &n->clerk));
}

/* ---- what comes to the coordinator ---- */

static void targets_tell(struct node *n)
{
	for (uint32_t i = 1; i <= NODES; i++)
		if (agreement.store[i])
			check(!clerk_node(n->clerk, i, agreement.store[i]));
	for (uint32_t p = 0; p < PARTITIONS; p++)
		clerk_target(n->clerk, p, agreement.target[p].node, agreement.target[p].count);
}

void node_viewed(struct node *n, uint32_t partition, const struct view *v, bool fresh,
		 uint64_t known, uint64_t header)
{
	clerk_view(n->clerk, partition, v, fresh, known, header, node_clock(n));
}

void node_listed(struct node *n, uint64_t known, uint64_t header)
{
	targets_tell(n);
	clerk_listed(n->clerk, known, header, node_clock(n));
}

static void hello_arrive(struct node *n, uint32_t from, void *bytes)
{
	(void)from;
	clerk_revision_known(n->clerk, *(uint64_t *)bytes);
}

/* As links are made anew now and then: what each end knows of the agreement's revision. */
static void node_hello(struct node *n, uint32_t to)
{
	uint64_t revision;

	if (!n->up || to == n->number)
		return;
	revision = clerk_revision(n->clerk);
	send(n, to, &revision, sizeof(revision), hello_arrive);
}

/* With that rule taken out: what a restart takes its roles from. */
static void remember(struct node *n)
{
	size_t size = clerk_save(n->clerk, NULL, 0);

	if (size > n->saved_capacity) {
		n->saved_capacity = 2 * size;
		n->saved = keep(n->saved_capacity);
	}
	n->saved_size = clerk_save(n->clerk, n->saved, n->saved_capacity);
}

/* The agent lists what has changed. */
static void poll(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, COORDINATOR, inc, poll, bytes))
		return;
	n->revision = clerk_revision(n->clerk); /* it lies on disk */
	if (!RULE(ETCDREAD))
		remember(n);
	agreement_list(n, n->revision);
	if (chance_ppm(20 * PERCENT))
		node_hello(n, 1 + chance_below(NODES));
	world_after(POLL_US, poll, n, inc, NULL);
}

static void frame_arrive(void *who, uint64_t a, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, COORDINATOR, a, frame_arrive, bytes))
		return;
	if (n->line.head == n->line.tail)
		(void)worker_push(n, bytes);
	else
		give(bytes); /* nothing overtakes an order; it is sent again */
}

static void frame_send(struct node *n, struct parcel *p)
{
	uint32_t to = p->node;

	check(to >= 1 && to <= NODES && to != n->number);
	p->node = n->number;
	if (net.slow && chance_ppm(5 * PERCENT)) {
		struct parcel *twice = take(p->size);

		memcpy(twice, p, p->size);
		net_send(n->number, to, frame_arrive, &node[to], LIFE_ANY, twice);
	}
	net_send(n->number, to, frame_arrive, &node[to], LIFE_ANY, p);
}

/* What the worker has put into its queue. */
void coordinator_ship_take(struct node *n)
{
	while (n->ship.head != n->ship.tail) {
		struct parcel *p = n->ship.at[n->ship.head++ % QUEUE_MAX];

		if (p->kind != PARCEL_REPORT) {
			frame_send(n, p);
			continue;
		}
		clerk_report(n->clerk, (struct parcel_report *)p, node_clock(n));
		give(p);
	}
}

static void ship_wake(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, COORDINATOR, inc, ship_wake, bytes))
		return;
	n->ship_waking = false;
	coordinator_ship_take(n);
}

void coordinator_wake(struct node *n)
{
	if (n->ship_waking)
		return;
	n->ship_waking = true;
	world_after(chance_range(5, 30), ship_wake, n, n->inc[COORDINATOR], NULL);
}

void coordinator_ship(struct node *n, void *parcel)
{
	struct parcel *p = parcel;

	/* A frame has far to go: it need not wait for a coordinator that is there. */
	if (p->kind != PARCEL_REPORT && n->ship.head == n->ship.tail &&
	    n->paused_until[COORDINATOR] <= world.now) {
		frame_send(n, p);
		return;
	}
	check(n->ship.tail - n->ship.head < QUEUE_MAX);
	n->ship.at[n->ship.tail++ % QUEUE_MAX] = parcel;
	coordinator_wake(n);
}

void queue_drop(struct queue *q)
{
	while (q->head != q->tail)
		give(q->at[q->head++ % QUEUE_MAX]);
	q->head = q->tail = 0;
}

static bool is_idle(const struct node *n)
{
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		const struct view *v = clerk_view_of(n->clerk, p);

		if (!v || view_has(v, (struct member){n->store, n->number, 0}))
			return false;
	}
	return n->line.head == n->line.tail;
}

static void tick(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;
	struct moment now;

	if (!node_awake(n, COORDINATOR, inc, tick, bytes))
		return;
	now = node_clock(n);
	clerk_worker_sync(n->clerk, 0, n->disk.wanted && n->alive ? n->sync_since : MOMENT_NEVER);
	orders_flush(n);
	clerk_wall(n->clerk, (n->wall_zero + world.now) / MS, now);
	clerk_tick(n->clerk, now);
	world_after(is_idle(n) ? IDLE_US : TICK_US, tick, n, inc, NULL);
}

void coordinator_run(struct node *n, uint64_t within_us)
{
	world_after(chance_range(100, within_us), tick, n, n->inc[COORDINATOR], NULL);
	world_after(chance_range(100, within_us), poll, n, n->inc[COORDINATOR], NULL);
}
