/* The loop, and stopping everything in order. */
#include "coordinator/coord.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/clients/conn_limit.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/front/collect.h"
#include "coordinator/front/fanout.h"
#include "coordinator/front/parked.h"
#include "coordinator/peers/client.h"
#include "coordinator/peers/server.h"
#include "coordinator/process/notify.h"
#include "coordinator/security/security.h"

#define MESSAGES_ROUND   64u   /* taken in before replies get their turn */
#define HANDSHAKES_ROUND 64u   /* judged before what others have sent gets its turn */
#define LOOK_MS          1u    /* between looks at the descriptors under load */
#define TICK_MS          100u  /* between looks at clients */
#define DRAIN_MS         3000u /* stopping: so long partitions may take to be handed over */
#define QUIET_MS         200u  /* stopping: so long without a request, and the clients are done */

/* ---- stopping ---- */

uint32_t coord_goaway(struct coord *c, const char *why)
{
	char note[128];
	char *p = note;

	p = write_array(p, 3);
	p = write_uint(p, 2);
	p = write_text(p, "goaway");
	p = write_text(write_array(p, 1), why);
	return clients_notify(c->clients, c->link, note, (size_t)(p - note));
}

static void stop_begin(struct coord *c)
{
	int r;

	if (c->node.stopping) { /* asked twice: at once */
		c->stop_until_ms = c->node.now_ms;
		return;
	}
	c->node.stopping = true;
	c->stop_until_ms = c->node.now_ms + c->supervisor.stop_ms;
	c->drain_until_ms = c->node.now_ms + DRAIN_MS;
	c->quiet_ms = c->node.now_ms;
	notify("STOPPING=1\nSTATUS=stopping: serving what clients still wait for");
	/* A service manager's sockets stay open: who connects waits there for the next start. */
	r = !c->link       ? 0
	    : c->activated ? socket_detach(c->link, &c->client_fd)
			   : socket_pause_accept(c->link);
	if (r < 0)
		log_debug("take no more connections on \"%s\": %s", c->endpoint, strerror(-r));
	helper_drain(&c->gateway);
	handoff_stop(&c->handoff);
	peer_server_goaway(c->peer_server, "it stops", 0);
	figures_event(c->node.figures, EVENT_OF_STOP, EVENT_INFO, "",
		      "stopping: told %u clients to go away", coord_goaway(c, "stopping"));
}

bool coord_waits(const struct coord *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++)
		if (c->peers.peer[i]->batches)
			return true;
	return fence_busy(c->fence) || collect_awaited(&c->front) || parked_any(&c->front) ||
	       fanout_any(&c->front);
}

/* Stopping: when clients are quiet and the rings are empty, or time is up, the workers go. */
static bool stop_step(struct coord *c)
{
	bool late = c->node.now_ms >= c->stop_until_ms;

	/* What it leads is handed over first; workers and links go on meanwhile. */
	if (c->membership && c->node.now_ms < c->drain_until_ms && !membership_drain(c->membership))
		return false;
	(void)coord_goaway(c, "stopping"); /* to those that spoke up meanwhile */
	if (!late && (coord_waits(c) || c->node.now_ms - c->quiet_ms < QUIET_MS))
		return false;
	helper_stop(&c->gateway);
	if (!late && c->gateway.pid)
		return false;
	for (uint32_t i = c->supervisor.count; i-- > 0;)
		supervisor_event(&c->supervisor, &c->supervisor.worker[i], EVENT_STOP);
	return supervisor_all_down(&c->supervisor) && handoff_idle(&c->handoff);
}

/* ---- the loop ---- */

static void wake_workers(struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		queue_wake(&c->supervisor.worker[i].queue);
}

static void signals_read(struct coord *c)
{
	struct signalfd_siginfo s;

	while (read(c->signal_fd, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo == SIGHUP)
			c->reload = true;
		else
			stop_begin(c);
	}
}

/* Everything that can be waited for. */
struct poll_set {
	struct pollfd fd[8 + HANDOFF_FDS + UPGRADE_FDS + MEMBERSHIP_FDS + 2 * 64 + 4 * PEERS_MAX];
	nfds_t n;
	nfds_t handoff; /* where they begin */
	nfds_t upgrade;
	nfds_t workers; /* where they begin: control and pidfd of each */
	nfds_t peers;   /* likewise: events and messages of each */
	nfds_t logs;    /* likewise */
	nfds_t cluster; /* the agent's, if there is one */
	nfds_t links;   /* likewise: clients, nodes, operators */
};

static void poll_add(struct poll_set *p, int fd)
{
	p->fd[p->n++] = (struct pollfd){fd, POLLIN, 0};
}

static void poll_make(const struct coord *c, struct poll_set *p)
{
	int handoff[HANDOFF_FDS];
	int upgrade[UPGRADE_FDS];

	p->n = 0;
	poll_add(p, c->supervisor.wake);
	poll_add(p, c->signal_fd);
	poll_add(p, c->gateway.pidfd);
	poll_add(p, c->gateway.ready);
	poll_add(p, security_door(c->security) ? door_fd(security_door(c->security)) : -1);
	p->handoff = p->n;
	handoff_fds(&c->handoff, handoff);
	for (uint32_t i = 0; i < HANDOFF_FDS; i++)
		poll_add(p, handoff[i]);
	p->upgrade = p->n;
	upgrade_fds(&c->upgrade, upgrade);
	for (uint32_t i = 0; i < UPGRADE_FDS; i++)
		poll_add(p, upgrade[i]);
	p->workers = p->n;
	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		poll_add(p, c->supervisor.worker[i].control);
		poll_add(p, c->supervisor.worker[i].pidfd);
	}
	p->peers = p->n;
	for (uint32_t i = 0; i < c->peers.count; i++) {
		poll_add(p, c->peers.peer[i]->link ? socket_event_fd(c->peers.peer[i]->link) : -1);
		poll_add(p, c->peers.peer[i]->link ? socket_fd(c->peers.peer[i]->link) : -1);
	}
	p->logs = p->n;
	for (uint32_t i = 0; i < c->logs.count; i++) {
		poll_add(p, c->logs.peer[i]->link ? socket_event_fd(c->logs.peer[i]->link) : -1);
		poll_add(p, c->logs.peer[i]->link ? socket_fd(c->logs.peer[i]->link) : -1);
	}
	p->cluster = p->n;
	if (c->membership) {
		int fd[MEMBERSHIP_FDS];

		membership_fds(c->membership, fd);
		for (uint32_t i = 0; i < MEMBERSHIP_FDS; i++)
			poll_add(p, fd[i]);
	}
	p->links = p->n;
	poll_add(p, c->link ? socket_fd(c->link) : -1);
	poll_add(p, c->node_link ? socket_fd(c->node_link) : -1);
	poll_add(p, c->admin_link ? socket_fd(c->admin_link) : -1);
}

static void stir(struct socket *l, const struct pollfd *f)
{
	if (l && f->revents)
		socket_mark_readable(l);
}

static bool any(const struct pollfd *f, uint32_t n)
{
	while (n--)
		if (f[n].revents)
			return true;
	return false;
}

/* Wait at most `ms` for anything at all, and see to everything but messages. */
static void look(struct coord *c, int ms)
{
	static struct poll_set p;
	uint64_t drop;

	poll_make(c, &p);
	(void)poll(p.fd, p.n, ms);
	(void)node_clock(&c->node);
	c->looked_ms = c->node.now_ms;
	if (p.fd[0].revents)
		(void)!read(c->supervisor.wake, &drop, sizeof(drop)); /* only empties it */
	if (p.fd[1].revents)
		signals_read(c);
	if (p.fd[2].revents || p.fd[3].revents) {
		helper_look(&c->gateway, c->node.now_ms);
		c->node.changed = true;
	}
	c->asked |= p.fd[4].revents != 0;
	if (any(&p.fd[p.handoff], HANDOFF_FDS)) {
		handoff_look(&c->handoff);
		c->node.changed = true;
	}
	if (any(&p.fd[p.upgrade], UPGRADE_FDS)) {
		upgrade_look(&c->upgrade);
		c->node.changed = true;
	}
	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		const struct pollfd *f = &p.fd[p.workers + 2 * i];

		c->node.changed |= f[0].revents || f[1].revents;
		if (f[0].revents)
			supervisor_control(&c->supervisor, &c->supervisor.worker[i]);
		if (f[1].revents)
			supervisor_reap(&c->supervisor, &c->supervisor.worker[i]);
	}
	for (uint32_t i = 0; i < c->peers.count; i++) {
		c->node.changed |= p.fd[p.peers + 2 * i].revents || c->peers.peer[i]->open;
		stir(c->peers.peer[i]->link, &p.fd[p.peers + 2 * i + 1]);
	}
	for (uint32_t i = 0; i < c->logs.count; i++) {
		c->node.changed |= p.fd[p.logs + 2 * i].revents || c->logs.peer[i]->open;
		stir(c->logs.peer[i]->link, &p.fd[p.logs + 2 * i + 1]);
	}
	if (c->membership && any(&p.fd[p.cluster], MEMBERSHIP_FDS))
		membership_look(c->membership);
	stir(c->link, &p.fd[p.links]);
	stir(c->node_link, &p.fd[p.links + 1]);
	stir(c->admin_link, &p.fd[p.links + 2]);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Deadlines of all kinds.  Returns when the next one is. */
static uint64_t tick(struct coord *c)
{
	uint64_t next = supervisor_tick(&c->supervisor, c->node.now_ms);
	struct buf out;

	c->node.changed = false;
	if (c->reload) {
		c->reload = false;
		buf_init(&out);
		(void)reload(c, &out); /* it has said what there is to say */
		buf_fini(&out);
	}
	next = least(next, collect_tick(&c->front));
	next = least(next, handoff_tick(&c->handoff));
	next = least(next, upgrade_tick(&c->upgrade));
	next = least(next, peers_tick(&c->peers));
	if (c->membership) {
		next = least(next, peers_tick(&c->logs));
		next = least(next, membership_tick(c->membership));
		next = least(next, parked_step(&c->front));
		next = least(next, fanout_step(&c->front));
	}
	next = least(next, peer_client_overdue(&c->peers));
	next = least(next, fence_step(c->fence));
	if (c->announced)
		next = least(next, helper_tick(&c->gateway, c->node.now_ms));
	peers_flush(&c->peers);
	clients_flush(c->clients);
	if (c->node.now_ms - c->ticked_ms >= TICK_MS) {
		if (!c->node.stopping)
			files_tick(&c->files,
				   (struct socket *const[FILES_LINKS]){c->link, c->node_link},
				   c->node.now_ms);
		clients_tick(c->clients, c->node.now_ms);
		peer_server_tick(c->peer_server);
		security_tick(c->security);
		c->guarding =
			conn_limit_tick(c->conn_limit, clients_waiting(c->clients), c->node.now_ms);
		c->ticked_ms = c->node.now_ms;
	}
	if (c->guarding)
		next = least(next, c->node.now_ms + CONN_LIMIT_MS);
	if (c->watchdog_ms) {
		if (c->node.now_ms >= c->watched_ms + c->watchdog_ms) {
			c->watched_ms = c->node.now_ms;
			notify("WATCHDOG=1");
		}
		next = least(next, c->watched_ms + c->watchdog_ms);
	}
	if (c->node.stopping)
		next = least(next, c->node.now_ms + 20);
	return c->node.changed ? c->node.now_ms : next;
}

static bool replies_any(const struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		if (queue_ready(&c->supervisor.worker[i].queue))
			return true;
	return false;
}

static bool ready(struct socket *l)
{
	return l && socket_maybe_readable(l) && socket_ready(l, NULL);
}

/* Going to sleep: whoever has something for us will have to wake us.  Returns for how many ms. */
static int doze_begin(struct coord *c, uint64_t until)
{
	uint64_t ms;

	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		uint64_t due = c->supervisor.worker[i].queue.due_ms;

		if (due < until - OVERDUE_GRACE_MS) /* a request that came since the last tick */
			until = due + OVERDUE_GRACE_MS;
		sleep_begin(&c->supervisor.worker[i].queue.segment->status->coordinator_sleeps);
	}
	for (uint32_t i = 0; i < c->peers.count; i++)
		if (c->peers.peer[i]->due_ms < until - OVERDUE_GRACE_MS)
			until = c->peers.peer[i]->due_ms + OVERDUE_GRACE_MS;
	c->next_ms = least(c->next_ms, until);
	ms = until > c->node.now_ms ? until - c->node.now_ms : 0;
	if ((c->asked && security_door(c->security)) || replies_any(c) || ready(c->link) ||
	    ready(c->node_link) || ready(c->admin_link) || peers_ready(&c->peers) ||
	    (c->membership && peers_ready(&c->logs)))
		ms = 0;
	return (int)(ms > 1000 ? 1000 : ms);
}

static void doze_end(struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		sleep_end(&c->supervisor.worker[i].queue.segment->status->coordinator_sleeps);
}

static void where_write(const struct coord *c, char *out, size_t size)
{
	if (c->link && c->node_link)
		(void)snprintf(out, size, "listens on %s, for nodes on %s", c->endpoint,
			       c->node_endpoint);
	else if (c->link)
		(void)snprintf(out, size, "listens on %s", c->endpoint);
	else
		(void)snprintf(out, size, "listens for nodes on %s", c->node_endpoint);
}

static void announce(struct coord *c)
{
	char where[600];
	char text[700];

	where_write(c, where, sizeof(where));
	figures_event(c->node.figures, EVENT_OF_START, EVENT_INFO, "",
		      "node %s %s, data in %s, %u workers", conf_text(c->node.conf, CONF_node_name),
		      where, conf_text(c->node.conf, CONF_node_data), c->supervisor.count);
	(void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), where);
	notify(text);
	(void)printf("ready: node %s %s\n", conf_text(c->node.conf, CONF_node_name), where);
	(void)fflush(stdout);
	c->announced = true;
	c->node.changed = true;
}

/* Serving again, as the program before did. */
static void go_on(struct coord *c)
{
	char where[600];
	char text[700];

	where_write(c, where, sizeof(where));
	figures_event(
		c->node.figures, EVENT_OF_UPGRADE, EVENT_INFO, "",
		"upgraded to version %s: %llu us since it was asked for, %llu us of them without "
		"a connection",
		WIRE_VERSION, (unsigned long long)(clock_us() - c->begun_us),
		(unsigned long long)(clock_us() - c->closed_us));
	(void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), where);
	notify(text);
	c->announced = true;
	c->node.changed = true;
}

/* Have all workers come up, or failed? */
static bool started_all(const struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		if (c->supervisor.worker[i].state != WORKER_UP &&
		    c->supervisor.worker[i].state != WORKER_FAILED)
			return false;
	return true;
}

/* Whether a link is worth a look: after a sleep what poll has told counts alone. */
static bool worth(const struct socket *l, bool slept)
{
	return l && (socket_maybe_readable(l) || (!slept && socket_recently_active(l)));
}

/* One round of everything that comes in.  Returns how many messages there were. */
static unsigned take_in(struct coord *c, bool slept)
{
	unsigned n = 0;

	/* Whatever happened there may be a connection that has to be watched. */
	c->guarding |= (c->link && socket_maybe_readable(c->link)) ||
		       (c->node_link && socket_maybe_readable(c->node_link));
	if (c->asked && security_door(c->security))
		c->asked = door_answer(security_door(c->security), HANDSHAKES_ROUND) ==
			   HANDSHAKES_ROUND;
	if (worth(c->link, slept))
		n += front_messages(&c->front, c->link, false, MESSAGES_ROUND);
	c->quiet_ms = n ? c->node.now_ms : c->quiet_ms;
	if (worth(c->node_link, slept))
		n += peer_server_receive(c->peer_server, c->node_link, MESSAGES_ROUND);
	if (worth(c->admin_link, slept))
		n += front_messages(&c->front, c->admin_link, true, MESSAGES_ROUND);
	for (uint32_t i = 0; i < c->peers.count; i++)
		if (worth(c->peers.peer[i]->link, slept))
			n += peer_receive(&c->peers, c->peers.peer[i]);
	for (uint32_t i = 0; i < c->logs.count; i++)
		if (worth(c->logs.peer[i]->link, slept))
			n += peer_receive(&c->logs, c->logs.peer[i]);
	peers_flush(&c->peers);
	/* Both are empty: what poll had told of then has been taken. */
	if (!(c->link && socket_maybe_readable(c->link)) &&
	    !(c->node_link && socket_maybe_readable(c->node_link)))
		conn_limit_drained(c->conn_limit, c->looked_ms);
	return n;
}

void coord_start(struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count && !c->resumed; i++)
		supervisor_event(&c->supervisor, &c->supervisor.worker[i], EVENT_START);
	if (c->resumed)
		go_on(c);
	c->next_ms = c->node.now_ms;
	c->asked = true; /* its descriptor tells of what comes from now on */
}

int coord_round_begin(struct coord *c)
{
	unsigned in = take_in(c, c->slept);
	unsigned out;

	c->took_in = in;
	wake_workers(c);
	if (in)
		(void)node_clock(&c->node); /* what came may have taken its time */
	out = collect_replies(&c->front);
	if (c->membership)
		membership_flush(c->membership);
	c->slept = !in && !out;
	if (c->guarding)
		c->next_ms = least(c->next_ms, c->node.now_ms + CONN_LIMIT_MS);
	if (c->slept)
		return doze_begin(c, c->node.changed ? c->node.now_ms : c->next_ms);
	(void)node_clock(&c->node);
	return c->node.now_ms - c->looked_ms > LOOK_MS ? 0 : -1;
}

int coord_round_end(struct coord *c, int ms)
{
	if (ms >= 0)
		look(c, ms);
	if (c->slept)
		doze_end(c);
	if (c->node.changed || c->node.now_ms >= c->next_ms ||
	    c->node.now_ms - c->ticked_ms >= TICK_MS || c->node.stopping)
		c->next_ms = tick(c);
	if (upgrade_due(&c->upgrade, !c->took_in, c->quiet_ms)) {
		upgrade_exec(&c->upgrade);
		return 1;
	}
	if (!c->announced && started_all(c))
		announce(c);
	if (!c->node.stopping || !stop_step(c))
		return -1;
	(void)collect_replies(&c->front);
	log_info("stopped");
	return 0;
}

int coord_run(struct coord *c)
{
	int r;

	coord_start(c);
	do
		r = coord_round_end(c, coord_round_begin(c));
	while (r < 0);
	return r;
}
