/* What operators ask for and an upgrade needs of all the parts together. */
#include "coordinator/coord.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/process/resume.h"
#include "ipc/shm/modules.h"

#define HOLD_MS 5000u /* that other nodes keep requests for us */

/* ---- for the upgrade ---- */

static void state(void *arg, struct resume *x)
{
	const struct coord *c = arg;
	const struct supervisor *s = &c->supervisor;

	(void)snprintf(x->data, sizeof(x->data), "%s", conf_text(c->node.conf, CONF_node_data));
	x->temporary = c->temporary;
	x->lock_fd = c->lock_fd;
	x->wake = s->wake;
	x->functions = c->functions->fd;
	x->activated = c->activated;
	(void)snprintf(x->endpoint, sizeof(x->endpoint), "%s", c->endpoint);
	(void)snprintf(x->node_endpoint, sizeof(x->node_endpoint), "%s", c->node_endpoint);
	x->started_ms = c->node.started_ms;
	x->started_wall_ms = c->node.started_wall_ms;
	x->reloads = c->node.reloads;
	x->figures = c->figures_fd;
	x->peers_epoch = c->peers.epoch;
	x->logs_epoch = c->logs.epoch;
	x->local_errors = c->sink.errors;
	memcpy(x->local_requests, c->front.requests, sizeof(x->local_requests));
	x->gateway = c->gateway;
	x->workers = s->count;
	memcpy(x->worker, s->worker, s->count * sizeof(s->worker[0]));
	x->clustered = c->node.replicated;
	x->cluster_fd = c->cluster_fd;
	x->conf = c->node.conf;
}

static const char *hinders(void *arg)
{
	const struct coord *c = arg;

	if (!c->announced)
		return "the node starts";
	if (c->handoff.step || !handoff_idle(&c->handoff) || handoff_awaited(&c->handoff))
		return "a worker is being restarted, started or stopped";
	return c->membership ? membership_hinders(c->membership) : NULL;
}

static void release(struct socket *l, int *ret_fd)
{
	int r = l ? socket_detach(l, ret_fd) : 0;

	if (r < 0 && r != -ENOENT)
		log_warn("keep a listening socket: %s; it will be bound again", strerror(-r));
}

static void drain(void *arg, int *ret_client_fd, int *ret_node_fd)
{
	struct coord *c = arg;

	c->quiet_ms = c->node.now_ms;
	release(c->link, ret_client_fd);
	release(c->node_link, ret_node_fd);
	peer_server_goaway(c->peer_server, "it is upgraded", HOLD_MS);
	log_info("upgrade: told %u clients to go away", coord_goaway(c, "upgrading"));
}

static void remind(void *arg)
{
	(void)coord_goaway(arg, "upgrading");
}

static bool connected(void *arg)
{
	const struct coord *c = arg;

	return (c->link && socket_connections(c->link)) ||
	       (c->node_link && socket_connections(c->node_link));
}

static bool waits(void *arg)
{
	const struct coord *c = arg;

	return coord_waits(c) || clients_sending(c->clients);
}

static void disconnect(void *arg, unsigned linger_ms)
{
	struct coord *c = arg;
	int r;

	peer_server_goaway_copies(c->peer_server, "it is upgraded", HOLD_MS);
	clients_flush(c->clients);
	coord_disconnect(c, linger_ms);
	r = c->membership ? membership_leave(c->membership, &c->cluster_fd) : 0;
	if (r < 0)
		log_warn("leave what is known of the cluster to the next program: %s",
			 strerror(-r));
}

struct upgrade_hooks coord_upgrade_hooks(struct coord *c)
{
	return (struct upgrade_hooks){state,     hinders, drain,      remind,
				      connected, waits,   disconnect, c};
}

/* ---- for the front ---- */

static void upgrade(void *arg, struct reply_to o, const struct request *q)
{
	struct coord *c = arg;

	upgrade_ask(&c->upgrade, o, q);
}

static bool upgrading(void *arg)
{
	const struct coord *c = arg;

	return c->upgrade.step != UPGRADE_NONE;
}

struct front_hooks coord_front_hooks(struct coord *c)
{
	return (struct front_hooks){reload, upgrade, upgrading, c};
}
