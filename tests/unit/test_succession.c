/* What a node's membership leaves to the next program in its process: all of it, or nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/cluster/membership_impl.h"
#include "tests/unit/lib/unit.h"

#define PARTITIONS 16u
#define WORKERS    2u

static struct node node_a;
static struct supervisor supervisor_a;

static void begin(struct membership *m)
{
	memset(m, 0, sizeof(*m));
	node_a.partitions = PARTITIONS;
	supervisor_a.count = WORKERS;
	m->parts.node = &node_a;
	m->parts.supervisor = &supervisor_a;
	m->store = 0xabcdef;
	m->now = (struct moment){5000000, 5000000};
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		m->of_number[i] = NODE_NONE;
}

static void end(struct membership *m)
{
	clerk_free(&m->clerk);
	for (uint32_t i = 0; i < WORKERS; i++)
		orders_drop(m, i);
	free(m->table);
	free(m->asked);
	free(m->asked_known);
}

static void order_add(struct membership *m, uint32_t partition, uint64_t number)
{
	struct waiting_order *x = calloc(1, sizeof(*x));

	TRUE_(x);
	x->order.head.partition = (uint16_t)partition;
	x->order.number = number;
	order_wait(&m->line[partition % WORKERS], x);
}

/* A node that takes part: three nodes, a target, views, orders that wait for worker 1. */
static void fill(struct membership *m)
{
	struct view v = {.epoch = 3, .isr_count = 1, .by = 9, .revision = 40};

	m->config = (struct cluster_config){77, PARTITIONS, 3, 2, 1000, 10000};
	m->number = 2;
	m->etcd = 123;
	m->nodes = 3;
	for (uint32_t i = 0; i < 3; i++) {
		m->node[i] = (struct cluster_node){.number = 3 - i, .store = 100 + i};
		(void)snprintf(m->node[i].name, sizeof(m->node[i].name), "n%u", i);
		m->of_number[3 - i] = i;
	}
	m->copies = 3;
	m->table = calloc(PARTITIONS, 3);
	TRUE_(m->table);
	m->table[7] = 2;
	m->line[1].up = true;
	order_add(m, 5, 1);
	order_add(m, 3, 2);
	EQ(0, clerk_make(m));
	v.primary = (struct member){5, 3, 0};
	v.isr[0] = v.primary;
	clerk_view(m->clerk, 4, &v, false, 0, 41, m->now);
}

static void what_one_leaves_another_goes_on_from(void)
{
	static struct membership a, b;
	struct buf left;
	const struct waiting_order *o;

	begin(&a);
	fill(&a);
	buf_init(&left);
	EQ(0, succession_write(&a, &left));
	begin(&b);
	EQ(0, succession_read(&b, (struct span){left.data, left.len}));
	EQ(0, memcmp(&a.config, &b.config, sizeof(a.config)));
	EQ(2, b.number);
	EQ(123, b.etcd);
	EQ(3, b.nodes);
	EQ(0, memcmp(a.node, b.node, 3 * sizeof(a.node[0])));
	EQ(0, memcmp(a.of_number, b.of_number, sizeof(a.of_number)));
	EQ(3, b.copies);
	EQ(0, memcmp(a.table, b.table, PARTITIONS * 3));
	TRUE_(!b.line[0].up && b.line[1].up && !b.line[0].first);
	o = b.line[1].first;
	TRUE_(o && o->next && !o->next->next && b.line[1].last == o->next);
	EQ(1, o->order.number);
	EQ(2, o->next->order.number);
	EQ(clerk_revision(a.clerk), clerk_revision(b.clerk));
	TRUE_(clerk_view_of(b.clerk, 4));
	EQ(3, clerk_view_of(b.clerk, 4)->epoch);
	TRUE_(!b.listed); /* it asks for all anew */
	buf_fini(&left);
	end(&a);
	end(&b);
}

static void a_node_without_a_cluster_leaves_that(void)
{
	static struct membership a, b;
	struct buf left;

	begin(&a);
	a.line[0].up = true;
	buf_init(&left);
	EQ(0, succession_write(&a, &left));
	begin(&b);
	EQ(0, succession_read(&b, (struct span){left.data, left.len}));
	TRUE_(!b.clerk && !b.config.id && !b.nodes && !b.table && b.line[0].up);
	buf_fini(&left);
	end(&a);
	end(&b);
}

/* A door has neither workers nor a number, and goes on all the same. */
static void a_door_goes_on_from_what_it_knew(void)
{
	static struct membership a, b;
	struct view v = {.epoch = 3, .isr_count = 1, .by = 9, .revision = 40};
	struct buf left;
	uint32_t node = 0;

	begin(&a);
	supervisor_a.count = 0;
	a.store = 0;
	a.config = (struct cluster_config){77, PARTITIONS, 3, 2, 1000, 10000};
	a.nodes = 2;
	a.node[0] = (struct cluster_node){.number = 1, .store = 100, .name = "a"};
	a.node[1] = (struct cluster_node){.door = true, .name = "b"};
	a.of_number[1] = 0;
	EQ(0, clerk_make(&a));
	v.isr[0] = v.primary = (struct member){100, 1, 0};
	clerk_view(a.clerk, 4, &v, true, 0, 40, a.now);
	buf_init(&left);
	EQ(0, succession_write(&a, &left));
	begin(&b);
	supervisor_a.count = 0;
	b.store = 0;
	EQ(0, succession_read(&b, (struct span){left.data, left.len}));
	EQ(2, b.nodes);
	TRUE_(b.node[1].door && !b.number);
	EQ(0, b.of_number[1]);
	EQ(CLERK_THERE, clerk_serves(b.clerk, 4, &node));
	EQ(1, node);
	buf_fini(&left);
	end(&a);
	end(&b);
}

static void untouched(const struct membership *m)
{
	TRUE_(!m->clerk && !m->table && !m->nodes && !m->number && !m->config.id);
	TRUE_(!m->line[0].first && !m->line[1].first && !m->line[1].up);
	for (uint32_t i = 0; i < REPLICA_NODES_MAX; i++)
		EQ(NODE_NONE, m->of_number[i]);
}

static void what_is_damaged_is_not_taken(void)
{
	static struct membership a, b;
	struct buf left;

	begin(&a);
	fill(&a);
	buf_init(&left);
	EQ(0, succession_write(&a, &left));
	begin(&b);
	for (size_t n = 0; n < left.len; n += n < 200 ? 1 : 997) {
		TRUE_(succession_read(&b, (struct span){left.data, n}) < 0);
		untouched(&b);
	}
	for (size_t i = 0; i < left.len; i += i < 200 ? 1 : 499) {
		left.data[i] ^= 0x40;
		TRUE_(succession_read(&b, (struct span){left.data, left.len}) < 0);
		untouched(&b);
		left.data[i] ^= 0x40;
	}
	EQ(0, succession_read(&b, (struct span){left.data, left.len}));
	buf_fini(&left);
	end(&a);
	end(&b);
}

static void what_is_anothers_is_not_taken(void)
{
	static struct membership a, b;
	struct buf left;
	struct span in;

	begin(&a);
	fill(&a);
	buf_init(&left);
	EQ(0, succession_write(&a, &left));
	in = (struct span){left.data, left.len};
	begin(&b);
	b.store++;
	EQ(-EPROTO, succession_read(&b, in));
	b.store--;
	node_a.partitions *= 2;
	EQ(-EPROTO, succession_read(&b, in));
	node_a.partitions /= 2;
	supervisor_a.count++;
	EQ(-EPROTO, succession_read(&b, in));
	supervisor_a.count--;
	untouched(&b);
	/* The clerk has the last word: it was this node's with another number. */
	a.number = 1;
	left.len = 0;
	EQ(0, succession_write(&a, &left));
	EQ(-EPROTO, succession_read(&b, (struct span){left.data, left.len}));
	untouched(&b);
	buf_fini(&left);
	end(&a);
	end(&b);
}

UNIT_MAIN(T(what_one_leaves_another_goes_on_from), T(a_node_without_a_cluster_leaves_that),
	  T(a_door_goes_on_from_what_it_knew), T(what_is_damaged_is_not_taken),
	  T(what_is_anothers_is_not_taken))
