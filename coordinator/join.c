/* A node of a cluster: its membership, and what waits for a partition's primary. */
#include "coordinator/cluster/membership.h"
#include "coordinator/coord.h"
#include "coordinator/front/fanout.h"
#include "coordinator/front/parked.h"

static void partition_changed(void *arg, uint32_t partition)
{
	parked_changed(arg, partition);
	fanout_changed(arg);
}

static void worker_ready(void *arg, struct worker *w)
{
	membership_worker_up(arg, w);
}

int coord_join(struct coord *c)
{
	static char node[SOCKET_ENDPOINT_MAX], client[SOCKET_ENDPOINT_MAX];
	const struct membership_parts parts = {.node = &c->node,
					       .sink = &c->sink,
					       .supervisor = &c->supervisor,
					       .peers = &c->peers,
					       .logs = &c->logs,
					       .peer_server = c->peer_server,
					       .security = c->security,
					       .node_endpoint = node,
					       .client_endpoint = client,
					       .resumed = c->resumed,
					       .left_fd = c->cluster_fd,
					       .changed = partition_changed,
					       .arg = &c->front};
	int r;

	if (!c->node.replicated)
		return 0;
	coord_connectable(c->node_endpoint, node, sizeof(node));
	coord_connectable(c->endpoint, client, sizeof(client));
	r = parked_new(c->node.partitions, &c->front.parked);
	if (r == 0)
		r = membership_new(&parts, &c->membership);
	c->cluster_fd = 0;
	if (r < 0)
		return r;
	c->peers.on_unanswered = parked_unanswered;
	c->peers.arg = &c->front;
	c->front.membership = c->membership;
	c->front.cluster = membership_ops(c->membership);
	c->supervisor.on_ready = worker_ready;
	c->supervisor.ready_arg = c->membership;
	return 0;
}
