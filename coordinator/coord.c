/* The loop, and starting and stopping everything in order. */
#include "coordinator/coord.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/folder.h"
#include "coordinator/notify.h"
#include "coordinator/spawn.h"

#define MESSAGES_ROUND 64u   /* taken in before replies get their turn */
#define LOOK_MS        10u   /* between looks at the descriptors under load */
#define TICK_MS        100u  /* between looks at clients */
#define QUIET_MS       200u  /* stopping: so long without a request, and the clients are done */
#define LINGER_MS      1000u /* for replies that are on their way at the very end */
#define RECEIVE_QUEUE  1000u /* messages of one client in ZeroMQ's queue */
#define REQUEST_SPARE  (64u << 10) /* bytes of a request beside its value */
#define REPLY_SPARE    (2u << 20)  /* bytes of a scan's reply beside its first item */
#define EXIT_CONFIG    78

/* ---- opening ---- */

static uint64_t power_of_two(uint64_t n)
{
	uint64_t p = 65536;

	while (p < n)
		p *= 2;
	return p;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static int worker_open(struct coord *c, struct worker *w, uint32_t id)
{
	const struct conf *f = c->conf;
	uint64_t value = conf_number(f, CONF_limits_value);
	uint64_t queue = conf_number(f, CONF_limits_queue);
	uint32_t n = c->super.count;
	struct settings s = {
		.worker = id,
		.workers = n,
		.cache_bytes = conf_number(f, CONF_limits_cache) / n,
		.log_bytes = conf_number(f, CONF_limits_log) / n,
		.log_segment_bytes = conf_number(f, CONF_storage_segment),
		.map_bytes = conf_number(f, CONF_storage_map) / n / 4096 * 4096,
		.value_max = value,
		.buckets_max = most(conf_number(f, CONF_limits_buckets) / n, 1),
		.disk_reserve_bytes = conf_number(f, CONF_storage_reserve),
		.lock_wait_ms = 10000,
		.checkpoint_ms = (uint32_t)conf_number(f, CONF_storage_checkpoint_ms),
		.log_level = (uint32_t)conf_number(f, CONF_node_log),
	};
	int r;

	(void)snprintf(s.dir, sizeof(s.dir), "%.900s/worker-%u", conf_text(f, CONF_node_data), id);
	(void)snprintf(s.node, sizeof(s.node), "%.63s", conf_text(f, CONF_node_name));
	w->id = id;
	w->pidfd = -1;
	w->control = -1;
	w->due_ms = UINT64_MAX;
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->wake < 0
		    ? -errno
		    : segment_create(&s, power_of_two(most(queue, 2 * c->request_max)),
				     power_of_two(most(queue, value + REPLY_SPARE)), &w->segment);
	if (r < 0)
		log_error("make the shared memory of worker %u: %s", id, strerror(-r));
	return r;
}

static int workers_open(struct coord *c)
{
	struct super *s = &c->super;

	if (spawn_find(s->path, sizeof(s->path)) < 0) {
		log_error("pail-worker is not beside paild, nor in ../libexec/pail");
		return 1;
	}
	s->worker = calloc(s->count, sizeof(*s->worker));
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->start_ms = conf_number(c->conf, CONF_supervisor_start_ms);
	s->hang_ms = conf_number(c->conf, CONF_supervisor_hang_ms);
	s->stop_ms = conf_number(c->conf, CONF_supervisor_stop_ms);
	s->on_death = collect_death;
	s->arg = c;
	if (!s->worker || s->wake < 0) {
		log_error("make the workers' table: no memory or descriptors");
		s->count = 0;
		return 1;
	}
	for (uint32_t i = 0; i < s->count; i++)
		if (worker_open(c, &s->worker[i], i) < 0)
			return 1;
	return 0;
}

static int socket_open(struct coord *c)
{
	const struct conf *f = c->conf;
	const struct link_options o = {conf_number(f, CONF_limits_message), RECEIVE_QUEUE,
				       LINGER_MS};
	const struct clients_config cc = {(uint32_t)conf_number(f, CONF_limits_clients),
					  conf_number(f, CONF_limits_unread),
					  conf_number(f, CONF_limits_unread_ms), fanout_reply, c};
	int r = link_context_new(&c->zmq);

	if (r == 0)
		r = link_bind(c->zmq, conf_text(f, CONF_node_client), &o, &c->link, c->endpoint);
	if (r < 0) {
		log_error("listen for clients on \"%s\": %s", conf_text(f, CONF_node_client),
			  r == -EADDRINUSE ? "the address is in use: is another node running? "
					     "set node.client or PAIL_PORT to another"
					   : strerror(-r));
		return 1;
	}
	r = clients_new(&cc, c->link, &c->clients);
	if (r == 0)
		r = fanouts_new(&c->fanouts);
	if (r < 0)
		log_error("make the table of clients: %s", strerror(-r));
	return r < 0;
}

static int signals_open(struct coord *c)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->signal_fd < 0;
}

int coord_open(struct coord *c, struct conf *conf, bool temporary)
{
	char why[512];
	int r;

	memset(c, 0, sizeof(*c));
	c->conf = conf;
	c->lock_fd = -1;
	c->signal_fd = -1;
	c->super.wake = -1;
	c->temporary = temporary;
	c->now_ms = clock_ms();
	c->started_ms = c->now_ms;
	c->started_wall_ms = clock_wall_ms();
	c->request_max = conf_number(conf, CONF_limits_value) + REQUEST_SPARE;
	if (routes_make(conf, &c->routes) < 0 || conf->error_count)
		return EXIT_CONFIG;
	if (signals_open(c) != 0)
		return 1;
	r = folder_take(conf_text(conf, CONF_node_data),
			(uint32_t)conf_number(conf, CONF_node_workers), &c->lock_fd,
			&c->super.count, why, sizeof(why));
	if (r < 0) {
		c->temporary = false; /* not ours to remove */
		log_error("%s", why);
		return r == -EINVAL ? EXIT_CONFIG : 1;
	}
	r = workers_open(c);
	return r ? r : socket_open(c);
}

void coord_close(struct coord *c)
{
	struct super *s = &c->super;

	clients_free(&c->clients);
	fanouts_free(&c->fanouts);
	link_close(&c->link);
	link_context_free(&c->zmq);
	for (uint32_t i = 0; s->worker && i < s->count; i++) {
		segment_free(&s->worker[i].segment);
		if (s->worker[i].wake >= 0)
			(void)close(s->worker[i].wake);
	}
	free(s->worker);
	if (s->wake >= 0)
		(void)close(s->wake);
	routes_fini(&c->routes);
	if (c->temporary)
		(void)folder_remove(conf_text(c->conf, CONF_node_data));
	if (c->signal_fd >= 0)
		(void)close(c->signal_fd);
	if (c->lock_fd >= 0)
		(void)close(c->lock_fd);
}

/* ---- stopping ---- */

/* Tell the clients that have not been told yet. */
static uint32_t say_goaway(struct coord *c)
{
	char note[64];
	char *p = note;

	p = write_array(p, 3);
	p = write_uint(p, 2);
	p = write_text(p, "goaway");
	p = write_text(write_array(p, 1), "stopping");
	return clients_notify(c->clients, note, (size_t)(p - note));
}

static void stop_begin(struct coord *c)
{
	int r;

	if (c->stopping) { /* asked twice: at once */
		c->stop_until_ms = c->now_ms;
		return;
	}
	c->stopping = true;
	c->stop_until_ms = c->now_ms + c->super.stop_ms;
	c->quiet_ms = c->now_ms;
	notify("STOPPING=1\nSTATUS=stopping: serving what clients still wait for");
	r = link_deafen(c->link);
	if (r < 0)
		log_debug("take no more connections on \"%s\": %s", c->endpoint, strerror(-r));
	log_info("stopping: told %u clients to go away", say_goaway(c));
}

static bool waiting_any(const struct coord *c)
{
	for (uint32_t i = 0; i < c->super.count; i++)
		if (collect_waiting(c, &c->super.worker[i]) &&
		    c->super.worker[i].state != SUPER_FAILED)
			return true;
	return false;
}

/* Stopping: when clients are quiet and the rings are empty, or time is up, the workers go. */
static bool stop_step(struct coord *c)
{
	bool late = c->now_ms >= c->stop_until_ms;

	(void)say_goaway(c); /* to those that spoke up meanwhile */
	if (!late && (waiting_any(c) || c->now_ms - c->quiet_ms < QUIET_MS))
		return false;
	for (uint32_t i = c->super.count; i-- > 0;)
		super_event(&c->super, &c->super.worker[i], EVENT_STOP);
	return super_all_down(&c->super);
}

/* ---- the loop ---- */

static void wake_workers(struct coord *c)
{
	const uint64_t one = 1;

	for (uint32_t i = 0; i < c->super.count; i++) {
		struct worker *w = &c->super.worker[i];

		if (!w->pushed)
			continue;
		w->pushed = false;
		if (sleep_must_wake(&w->segment->slot->worker_sleeps))
			(void)!write(w->wake, &one, sizeof(one)); /* full means awake anyhow */
	}
}

static void signals_read(struct coord *c)
{
	struct signalfd_siginfo s;

	while (read(c->signal_fd, &s, sizeof(s)) == sizeof(s)) {
		if (s.ssi_signo == SIGHUP)
			log_info("got SIGHUP: settings are read at the start only; restart to "
				 "change them");
		else
			stop_begin(c);
	}
}

/* Wait at most `ms` for anything at all, and see to everything but the client socket. */
static void look(struct coord *c, int ms)
{
	struct pollfd p[3 + 2 * 64];
	nfds_t n = 3;
	uint64_t drop;

	p[0] = (struct pollfd){link_fd(c->link), POLLIN, 0};
	p[1] = (struct pollfd){c->super.wake, POLLIN, 0};
	p[2] = (struct pollfd){c->signal_fd, POLLIN, 0};
	for (uint32_t i = 0; i < c->super.count; i++) {
		p[n++] = (struct pollfd){c->super.worker[i].control, POLLIN, 0};
		p[n++] = (struct pollfd){c->super.worker[i].pidfd, POLLIN, 0};
	}
	(void)poll(p, n, ms);
	c->now_ms = clock_ms();
	c->looked_ms = c->now_ms;
	if (p[1].revents)
		(void)!read(c->super.wake, &drop, sizeof(drop)); /* only empties it */
	if (p[2].revents)
		signals_read(c);
	for (uint32_t i = 0; i < c->super.count; i++) {
		c->changed |= p[3 + 2 * i].revents || p[4 + 2 * i].revents;
		if (p[3 + 2 * i].revents)
			super_control(&c->super, &c->super.worker[i]);
		if (p[4 + 2 * i].revents)
			super_reap(&c->super, &c->super.worker[i]);
	}
}

/* Deadlines of all kinds.  Returns when the next one is. */
static uint64_t tick(struct coord *c)
{
	uint64_t next = super_tick(&c->super, c->now_ms);
	uint64_t due = collect_overdue(c);

	c->changed = false;
	collect_free(c);
	for (uint32_t i = 0; i < c->super.count; i++)
		if (c->super.worker[i].state == SUPER_FAILED &&
		    collect_waiting(c, &c->super.worker[i]))
			collect_failed(c, &c->super.worker[i]);
	clients_flush(c->clients);
	if (c->now_ms - c->ticked_ms >= TICK_MS) {
		clients_tick(c->clients, c->now_ms);
		c->ticked_ms = c->now_ms;
	}
	if (c->stopping && c->now_ms + 20 < next)
		next = c->now_ms + 20;
	return due < next ? due : next;
}

static bool replies_any(const struct coord *c)
{
	for (uint32_t i = 0; i < c->super.count; i++) {
		const struct worker *w = &c->super.worker[i];

		if (ring_head(&w->segment->now) != w->now_read ||
		    ring_head(&w->segment->synced) != w->synced_read)
			return true;
	}
	return false;
}

static void doze(struct coord *c, uint64_t until)
{
	uint64_t ms;

	for (uint32_t i = 0; i < c->super.count; i++) {
		uint64_t due = c->super.worker[i].due_ms;

		if (due < until - OVERDUE_GRACE_MS) /* a request that came since the last tick */
			until = due + OVERDUE_GRACE_MS;
		sleep_begin(&c->super.worker[i].segment->slot->coordinator_sleeps);
	}
	ms = until > c->now_ms ? until - c->now_ms : 0;
	if (replies_any(c) || link_ready(c->link, NULL))
		ms = 0;
	look(c, (int)(ms > 1000 ? 1000 : ms));
	for (uint32_t i = 0; i < c->super.count; i++)
		sleep_end(&c->super.worker[i].segment->slot->coordinator_sleeps);
}

static void announce(struct coord *c)
{
	char text[512];

	log_info("node %s serves clients on %s, data in %s, %u workers",
		 conf_text(c->conf, CONF_node_name), c->endpoint,
		 conf_text(c->conf, CONF_node_data), c->super.count);
	(void)snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=serving clients on %s",
		       (int)getpid(), c->endpoint);
	notify(text);
	(void)printf("ready: node %s listens on %s\n", conf_text(c->conf, CONF_node_name),
		     c->endpoint);
	(void)fflush(stdout);
}

/* Have all workers come up, or failed? */
static bool started_all(const struct coord *c)
{
	for (uint32_t i = 0; i < c->super.count; i++)
		if (c->super.worker[i].state != SUPER_UP &&
		    c->super.worker[i].state != SUPER_FAILED)
			return false;
	return true;
}

int coord_run(struct coord *c)
{
	bool announced = false;
	uint64_t next;

	for (uint32_t i = 0; i < c->super.count; i++)
		super_event(&c->super, &c->super.worker[i], EVENT_START);
	next = c->now_ms;
	for (;;) {
		unsigned in = dispatch_messages(c, MESSAGES_ROUND);
		unsigned out;

		wake_workers(c);
		out = collect_replies(c);
		if (in)
			c->quiet_ms = c->now_ms;
		if (!in && !out)
			doze(c, c->changed ? c->now_ms : next);
		else if ((c->now_ms = clock_ms()) - c->looked_ms > LOOK_MS)
			look(c, 0);
		if (c->changed || c->now_ms >= next || c->now_ms - c->ticked_ms >= TICK_MS ||
		    c->stopping)
			next = tick(c);
		if (!announced && started_all(c)) {
			announced = true;
			announce(c);
		}
		if (c->stopping && stop_step(c))
			break;
	}
	(void)collect_replies(c);
	log_info("stopped");
	return 0;
}
