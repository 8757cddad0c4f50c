/* Excuses: what a reply that is no result may be due to. */
#include "tests/sim/links.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/node/item.h"
#include "tests/sim/client.h"
#include "tests/sim/world.h"

#define EXCUSE_US (5000 * WORLD_MS) /* links need so long at most to be whole again */
#define SLOW_END_US \
	(1000 * WORLD_MS)         /* what was on its way when a link was slow has come by then */
#define HELLO_US (300 * WORLD_MS) /* links.connect_ms: a hello that takes longer makes no link */
#define CALM_US  (30 * WORLD_MS)
#define LATE_US  (15 * WORLD_MS) /* of a reply, beside the grace that workers and nodes have */

static struct faults faults;
static uint64_t trouble_us[NET_HOSTS_MAX][NET_HOSTS_MAX]; /* until when */

void links_open(const struct faults *f)
{
	faults = *f;
	memset(trouble_us, 0, sizeof(trouble_us));
}

bool links_are_quick(void)
{
	return !faults.cuts && !faults.delays;
}

void links_trouble(uint32_t a, uint32_t b)
{
	trouble_us[a][b] = world.now_us;
	trouble_us[b][a] = world.now_us;
}

void links_trouble_node(const struct sim_node *n)
{
	for (uint32_t i = 0; i < NET_HOSTS_MAX; i++)
		links_trouble(n->index, i);
}

static bool troubled(uint32_t a, uint32_t b, uint64_t since_us)
{
	return net_is_cut(a, b) || net_is_cut(b, a) || net_is_slow(a, b) || net_is_slow(b, a) ||
	       trouble_us[a][b] >= since_us || (a < cluster.nodes && !cluster.node[a].coord) ||
	       (b < cluster.nodes && !cluster.node[b].coord);
}

/* ---- tables ---- */

static bool leads_to(const struct sim_node *n, uint8_t byte, uint64_t since_us, uint8_t target)
{
	for (uint32_t i = n->tables; i-- > 0;) {
		if (n->table[i].target[byte] == target)
			return true;
		if (n->table[i].since_us < since_us)
			return false; /* that one was in force when it was sent */
	}
	return false;
}

bool links_may_run(const struct ask *a, const struct sim_node *at)
{
	return leads_to(at, (uint8_t)(a->bucket[0] - 'a'), a->sent_us, (uint8_t)at->index);
}

enum way { WAY_SELF, WAY_LOOP, WAY_NONE };

/* Where tables that do not change lead, and whether a link on the way was in trouble. */
static enum way follow(const struct ask *a, uint32_t *ret_node, bool *ret_troubled)
{
	uint8_t byte = (uint8_t)(a->bucket[0] - 'a');
	bool been[SIM_NODES_MAX] = {false};
	uint32_t at = a->node->index;

	*ret_troubled = false;
	for (;;) {
		uint8_t next = node_table(&cluster.node[at])->target[byte];

		*ret_node = at;
		if (next == SIM_NOBODY)
			return WAY_NONE;
		if (next == at)
			return WAY_SELF;
		been[at] = true;
		if (been[next])
			return WAY_LOOP;
		*ret_troubled |= troubled(at, next, world.now_us - EXCUSE_US);
		at = next;
	}
}

/* With tables that change, any link may have been on the way. */
static bool any_troubled(void)
{
	for (uint32_t a = 0; a < cluster.nodes; a++)
		for (uint32_t b = 0; b < cluster.nodes; b++)
			if (a != b && troubled(a, b, world.now_us - EXCUSE_US))
				return true;
	return false;
}

static void unexcused(const struct ask *a, const char *what)
{
	char text[400];

	world_fail("%s: %s: \"%s\"", what, ask_text(a, text, sizeof(text)), a->text);
}

/* A reply of a node whose tables stay: it must come from where they lead. */
static void way_check(const struct ask *a, enum way way, uint32_t end)
{
	bool routed =
		a->code == WIRE_OK || a->code == WIRE_E_CONFLICT || a->code == WIRE_E_NO_BUCKET;

	if ((a->code == WIRE_E_ROUTE_LOOP && way != WAY_LOOP) ||
	    (a->code == WIRE_E_NO_ROUTE && way != WAY_NONE) || (routed && way != WAY_SELF))
		unexcused(a, "the tables lead elsewhere");
	else if (routed && a->method == WIRE_ROUTE && strcmp(a->text, cluster.node[end].name) != 0)
		unexcused(a, "another node serves it");
	else if (routed && a->ran && a->ran_at != &cluster.node[end])
		unexcused(a, "run at another node");
}

/*
 * Time counts from when the first node has it.  How long it was on its way between nodes is
 * measured against the most prompt message of the link, which may be a hello that was held up
 * itself, as long as one may be.
 */
bool links_too_late(const struct ask *a)
{
	return !faults.delays && links_answer_due(a, client_host(a->client)) &&
	       world.now_us > a->sent_us + (uint64_t)a->timeout_ms * WORLD_MS +
				      (faults.cuts ? (cluster.nodes - 1) * HELLO_US : 0) +
				      5 * WORLD_MS;
}

/* Where nothing goes wrong, nothing waits: not for its time to be over, and not for a wake-up. */
static void calm_check(const struct ask *a)
{
	if (a->timeout_ms >= 1000 && (a->code == WIRE_E_TIMEOUT || a->code == WIRE_E_EXPIRED))
		unexcused(a, "nothing kept it from being answered");
	if (!client_is_req(a->client) && world.now_us - a->sent_us > CALM_US)
		unexcused(a, "answered late, and nothing kept it");
}

void links_check_reply(const struct ask *a)
{
	uint64_t due_us = a->sent_us + (uint64_t)a->timeout_ms * WORLD_MS;
	uint32_t host = client_host(a->client);
	bool has_bucket = method_is(a->method, METHOD_BUCKET);
	bool calm = links_are_quick() && !faults.restarts && !faults.strains && !faults.kills &&
		    !faults.reloads;
	bool excused = any_troubled();
	uint32_t end = 0;
	enum way way = WAY_SELF;

	if (has_bucket && !faults.reloads) {
		way = follow(a, &end, &excused);
		way_check(a, way, end);
	}
	switch (a->code) {
	case WIRE_OK:
	case WIRE_E_CONFLICT:
	case WIRE_E_NO_BUCKET:
		break;
	case WIRE_E_NO_ROUTE:
	case WIRE_E_ROUTE_LOOP:
		if (!has_bucket)
			unexcused(a, "an error that nothing explains");
		break;
	case WIRE_E_NODE_DOWN:
		if (!excused)
			unexcused(a, "no node on its way was down");
		break;
	case WIRE_E_EXPIRED:
		if (world.now_us + 2 * WORLD_MS < due_us)
			unexcused(a, "its time was not over");
		break;
	case WIRE_E_TIMEOUT:
		if (world.now_us + 2 * WORLD_MS < due_us && !excused)
			unexcused(a, "its time was not over, and no link on its way broke");
		break;
	case WIRE_E_BUSY:
		if (calm)
			unexcused(a, "nothing kept the node busy");
		break;
	case WIRE_E_INTERNAL:
		if (a->deaths < 2 || !strstr(a->text, "two workers died"))
			unexcused(a, "an error that nothing explains");
		break;
	default:
		unexcused(a, "an error that nothing explains");
	}
	if (calm)
		calm_check(a);
	if (!client_is_req(a->client) && links_answer_due(a, host) &&
	    world.now_us > due_us + OVERDUE_GRACE_MS * WORLD_MS + LATE_US)
		unexcused(a, "answered long after its time");
}

bool links_answer_due(const struct ask *a, uint32_t host)
{
	return !troubled(host, a->node->index, a->sent_us - SLOW_END_US);
}
