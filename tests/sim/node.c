/* Making, stepping, killing and starting nodes. */
#include "tests/sim/node.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/check.h"
#include "common/log.h"
#include "coordinator/clients/clients_impl.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/peers/server.h"
#include "tests/sim/links.h"
#include "tests/sim/process.h"
#include "tests/sim/system.h"
#include "tests/sim/world.h"

#define ROUND_LEAST_US 3u /* of work */
#define ROUND_MOST_US  40u
#define STOP_US        (1400 * WORLD_MS) /* a little less than supervisor.stop_ms */
#define BUSY_MAX       20000u            /* rounds without a pause: it spins */

struct sim_cluster cluster;

/* ---- configuration ---- */

static const char settings[] = "client = ipc:///sim/%s-clients\n"
			       "peer = ipc:///sim/%s-nodes\n"
			       "admin = ipc:///sim/%s-admin\n"
			       "data = %s\n"
			       "workers = 2\n"
			       "log = %s\n"
			       "[limits]\n"
			       "value = 1024\n"
			       "message = 8192\n"
			       "queue = 65536\n"
			       "clients = 64\n"
			       "unread_total = 16M\n"
			       "cache = 1M\n"
			       "log = 64M\n"
			       "[supervisor]\n"
			       "start_ms = 2000\n"
			       "hang_ms = 600\n"
			       "stop_ms = 1500\n"
			       "[links]\n"
			       "ping_ms = 100\n"
			       "dead_ms = 500\n"
			       "connect_ms = 300\n"
			       "hold_ms = 300\n";

static void config_write(const struct sim_node *n)
{
	FILE *f = fopen(n->config, "w");

	check(f);
	(void)fprintf(f, "[node]\nname = %s\n", n->name);
	(void)fprintf(f, settings, n->name, n->name, n->name, n->data,
		      world.trace ? "info" : "error");
	(void)fprintf(f, "[peers]\n");
	for (uint32_t i = 0; i < cluster.nodes; i++)
		if (i != n->index)
			(void)fprintf(f, "%s = ipc:///sim/%s-nodes\n", cluster.node[i].name,
				      cluster.node[i].name);
	(void)fprintf(f, "[routes]\n");
	for (uint32_t b = 0; b < SIM_BYTES; b++)
		if (n->asked.target[b] != SIM_NOBODY)
			(void)fprintf(f, "%c = %s\n", 'a' + (char)b,
				      cluster.node[n->asked.target[b]].name);
	(void)fprintf(f, "z = %s\n", n->name); /* an empty table would serve everything */
	check(fclose(f) == 0);
}

static void table_take(struct sim_node *n)
{
	struct sim_table *t = &n->table[n->tables++];

	check(n->tables <= SIM_TABLES);
	*t = n->asked;
	t->since_us = world.now_us;
}

void nodes_open(const char *folder, uint32_t count)
{
	memset(&cluster, 0, sizeof(cluster));
	cluster.nodes = count;
	for (uint32_t i = 0; i < count; i++) {
		struct sim_node *n = &cluster.node[i];

		n->index = i;
		n->wake_us = WORLD_NEVER;
		(void)snprintf(n->name, sizeof(n->name), "n%u", i);
		(void)snprintf(n->data, sizeof(n->data), "%.200s/%s", folder, n->name);
		(void)snprintf(n->config, sizeof(n->config), "%.200s/%s.conf", folder, n->name);
		n->clock_offset_us = world_random(1000 * 1000 * 1000);
		for (uint32_t w = 0; w < SIM_WORKERS; w++)
			n->store[w] = store_new();
	}
}

/* ---- a life ---- */

static void round_(void *arg);

static void wake_at(struct sim_node *n, uint64_t at_us)
{
	if (at_us >= n->wake_us && n->wake_us >= world.now_us)
		return;
	n->wake_us = at_us;
	world_at(at_us, round_, n);
}

void node_wake(void *arg)
{
	struct sim_node *n = arg;

	if (!n->coord)
		return;
	n->woken = true;
	wake_at(n, world.now_us + ROUND_LEAST_US);
}

void node_start(struct sim_node *n)
{
	static char name[] = "paild";
	static char *no_argv[] = {name, NULL};
	struct conf *conf;

	check(!n->coord);
	n->source = (struct settings_source){1, no_argv, n->config, NULL};
	config_write(n);
	n->coord = calloc(1, sizeof(*n->coord));
	check(n->coord);
	n->incarnation++;
	n->reloads = 0;
	n->busy = 0;
	n->waits = false;
	n->stopping_us = 0;
	world_note("%s starts, life %llu", n->name, (unsigned long long)n->incarnation);
	system_node = n;
	check(settings_read(&n->source, &conf) == 0);
	if (conf->error_count)
		(void)fprintf(stderr, "%.*s", (int)conf->errors.len, conf->errors.data);
	check(!conf->error_count);
	log_level_set((enum log_level)conf_number(conf, CONF_node_log));
	if (coord_open(n->coord, conf, &n->source, false, NULL) != 0)
		world_fail("%s did not start", n->name);
	else
		coord_start(n->coord);
	system_node = NULL;
	table_take(n);
	net_host(n->index, true);
	n->wake_us = WORLD_NEVER;
	links_trouble_node(n);
	node_wake(n);
}

/* Its memory is gone, and what it had open is closed. */
static void gone(struct sim_node *n)
{
	system_node = n;
	coord_close(n->coord);
	system_node = NULL;
	free(n->coord);
	n->coord = NULL;
	n->wake_us = WORLD_NEVER;
	links_trouble_node(n);
}

void node_kill(struct sim_node *n, bool silent)
{
	if (!n->coord)
		return;
	world_note("%s is killed%s", n->name, silent ? " with its machine" : "");
	n->context->dead = true;
	n->context->silent = silent;
	if (silent)
		net_host(n->index, false);
	for (struct process *p = processes(); p; p = p->next)
		if (p->node == n && p->state != PROCESS_DEAD && (silent || p->hung)) {
			p->orphan = true;
			process_kill(p);
		}
	for (uint32_t i = 0; i < n->coord->supervisor.count; i++)
		if (n->coord->supervisor.worker[i].control >= 0)
			(void)close(n->coord->supervisor.worker[i].control);
	gone(n);
}

void node_stop(struct sim_node *n)
{
	if (!n->coord || n->stopping_us) /* a second time would mean: at once */
		return;
	world_note("%s is told to stop", n->name);
	links_trouble_node(n);
	n->stopping_us = world.now_us;
	system_signal(n, SIGTERM);
}

void node_reload(struct sim_node *n)
{
	if (!n->coord)
		return;
	world_note("%s is told to reload", n->name);
	config_write(n);
	system_signal(n, SIGHUP);
}

static void reloads_see(struct sim_node *n)
{
	if (n->coord->node.reloads == n->reloads)
		return;
	n->reloads = n->coord->node.reloads;
	world_note("%s has another table", n->name);
	table_take(n);
}

/* The second half of its round, when something has come or its wait is over. */
static bool half_end(struct sim_node *n, int ms)
{
	int status;

	n->waits = false;
	n->woken = false;
	status = coord_round_end(n->coord, ms);
	system_node = NULL;
	reloads_see(n);
	if (status < 0)
		return true;
	world_note("%s ends with %d", n->name, status);
	n->stopped = n->incarnation;
	if (world.now_us - n->stopping_us < STOP_US)
		n->orderly = n->incarnation;
	gone(n);
	return false;
}

static void round_(void *arg)
{
	struct sim_node *n = arg;
	int ms;

	if (!n->coord || world.now_us < n->wake_us)
		return;
	n->wake_us = WORLD_NEVER;
	system_node = n;
	if (!n->waits) {
		ms = coord_round_begin(n->coord);
		if (ms > 0) {
			system_node = NULL;
			n->waits = true;
			n->busy = 0;
			wake_at(n, world.now_us + (n->woken ? 0 : (uint64_t)ms * WORLD_MS));
			return;
		}
	} else {
		ms = 0;
	}
	if (!half_end(n, ms))
		return;
	if (++n->busy > BUSY_MAX)
		world_fail("%s spins: %u rounds without a pause", n->name, BUSY_MAX);
	wake_at(n, world.now_us + world_between(ROUND_LEAST_US, ROUND_MOST_US));
}

void nodes_close(void)
{
	for (uint32_t i = 0; i < cluster.nodes; i++)
		node_kill(&cluster.node[i], false);
}

/* ---- what is left ---- */

static uint32_t groups_open(const struct clients *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->reply_groups; i++)
		n += c->reply_group[i].generation != 0;
	return n;
}

bool node_quiet(struct sim_node *n, char *why, size_t size)
{
	struct coord *c = n->coord;
	uint64_t waiting = 0;
	uint64_t batches = 0;
	uint64_t requests = 0;
	uint64_t queued = 0;

	for (uint32_t i = 0; i < c->supervisor.count; i++)
		waiting += queue_waiting(&c->supervisor.worker[i].queue);
	for (uint32_t i = 0; i < c->peers.count; i++) {
		batches += c->peers.peer[i]->batches;
		requests += c->peers.peer[i]->requests;
		queued += c->peers.peer[i]->queued;
	}
	(void)snprintf(
		why, size,
		"%s keeps %llu bytes in rings, %llu batches, %llu requests and %llu bytes for "
		"peers, %u batches of peers, %u reply groups, %llu bytes for clients, fence "
		"%d",
		n->name, (unsigned long long)waiting, (unsigned long long)batches,
		(unsigned long long)requests, (unsigned long long)queued,
		peer_server_waits(c->peer_server), groups_open(c->clients),
		(unsigned long long)clients_waiting(c->clients), fence_busy(c->fence));
	return !waiting && !batches && !requests && !queued && !peer_server_waits(c->peer_server) &&
	       !groups_open(c->clients) && !clients_waiting(c->clients) && !fence_busy(c->fence);
}
