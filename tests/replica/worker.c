/* The worker: its rounds, its beginning and end. */
#include "replica/copy.h"
#include "tests/replica/fault.h"
#include "tests/replica/node.h"

#define TICK_US    (50 * MS)
#define IDLE_US    (200 * MS) /* where no partition is led and no request is there */
#define FRAMES_MAX 600u

/* ---- rounds ---- */

static void look(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, WORKER, inc, look, bytes))
		return;
	if (!n->leaving)
		serve_judge(n, node_clock(n));
}

static void obey(struct node *n, struct parcel *parcel)
{
	struct part *p = &n->part[parcel->partition];

	if (parcel->kind == PARCEL_APPEND)
		copy_append(&p->copy, (struct parcel_append *)parcel, node_ms(n));
	else if (parcel->kind == PARCEL_ACK)
		copy_ack(&p->copy, (struct parcel_ack *)parcel, node_ms(n));
	else if (parcel->kind == PARCEL_PIECE)
		teach_piece(p, (struct parcel_piece *)parcel);
	else if (parcel->kind == PARCEL_PIECED)
		teach_answer(p, (struct parcel_pieced *)parcel);
	else
		copy_order(&p->copy, (struct parcel_order *)parcel, node_ms(n));
	part_flush(p);
	give(parcel);
}

static void arrive_take(struct node *n)
{
	while (n->arrive.head != n->arrive.tail && !world.over)
		obey(n, n->arrive.at[n->arrive.head++ % QUEUE_MAX]);
	n->arrive.head = n->arrive.tail = 0; /* the same few lines of the processor's cache */
}

static uint64_t stall_us(void)
{
	uint32_t ppm = aimed(AIM_STALL) ? 20000 : 1000;

	if (world.calm || !chance_ppm(ppm))
		return 0;
	return chance_ppm(80 * PERCENT) ? chance_range(1 * MS, 200 * MS)
					: chance_range(200 * MS, 1500 * MS);
}

static void round_run(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, WORKER, inc, round_run, bytes))
		return;
	if (!n->stalled) {
		uint64_t us = n->stall_us ? n->stall_us : stall_us();

		n->stall_us = 0;
		n->early = node_clock(n);
		if (us) {
			n->stalled = true;
			n->stalled_until = world.now + us;
			world_after(us, round_run, n, inc, NULL);
			return;
		}
	}
	n->stalled = n->waking = false;
	arrive_take(n);
	if (n->leaving || world.over)
		return;
	if (n->order_count) {
		serve_run(n, node_clock(n));
		serve_judge(n, n->early);
	}
	if (n->order_count && n->reads)
		world_after(chance_range(5, 30), look, n, inc, NULL);
}

static bool is_busy(const struct node *n)
{
	for (uint32_t i = 0; i < PARTITIONS; i++)
		if (n->part[i].copy.role == COPY_PRIMARY || n->part[i].copy.lead)
			return true;
	return n->order_count > 0;
}

static void tick(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, WORKER, inc, tick, bytes))
		return;
	if (n->stalled) {
		world_at((n->stalled_until > world.now ? n->stalled_until : world.now) + 1 * MS,
			 tick, n, inc, NULL);
		return;
	}
	arrive_take(n); /* what has come is looked at before it is said that nothing has */
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		if (n->part[i].copy.full && world.now >= n->disk.full_until)
			copy_room(&n->part[i].copy);
		copy_tick(&n->part[i].copy, node_ms(n));
		teach_tick(&n->part[i]);
		part_flush(&n->part[i]);
	}
	if (n->order_count)
		worker_wake(n);
	if (n->restart && chance_ppm(5 * PERCENT)) {
		n->restart = false;
		node_handover(n);
	}
	world_after(is_busy(n) ? TICK_US : IDLE_US, tick, n, inc, NULL);
}

void worker_wake(struct node *n)
{
	if (n->waking || !n->ready)
		return;
	n->waking = true;
	world_after(chance_range(5, 40), round_run, n, n->inc[WORKER], NULL);
}

bool worker_push(struct node *n, void *parcel)
{
	struct parcel *p = parcel;
	uint32_t max = p->kind == PARCEL_ORDER ? QUEUE_MAX : FRAMES_MAX;

	if (!n->ready || n->arrive.tail - n->arrive.head >= max) {
		give(parcel);
		return false;
	}
	n->arrive.at[n->arrive.tail++ % QUEUE_MAX] = parcel;
	worker_wake(n);
	return true;
}

/* ---- its life ---- */

void worker_end(struct node *n)
{
	for (uint32_t i = 0; i < n->ack_count; i++)
		give(n->ack[i].ack);
	n->ack_count = 0;
	n->waking = n->stalled = n->restart = n->judging = false;
	n->disk.wanted = 0;
}

void worker_start(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (!node_awake(n, WORKER, inc, worker_start, bytes))
		return;
	n->alive = n->ready = true;
	n->disk.synced = n->disk.count;
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		n->part[i].node = n;
		n->part[i].partition = i;
		part_replay(&n->part[i]);
		if (world.over)
			return;
	}
	TRACE("node %u: a worker is there, logs %lu %lu", n->number, n->part[0].last,
	      n->part[1].last);
	world_after(TICK_US, tick, n, inc, NULL);
	node_worker_ready(n);
}
