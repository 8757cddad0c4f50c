/* Making everything the loop needs, in order, and taking it down. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "common/log_size.h"
#include "common/partition.h"
#include "common/memory.h"
#include "coordinator/coord.h"
#include "coordinator/queue/turns.h"
#include "coordinator/process/datadir.h"
#include "coordinator/clients/conn_limit.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/cluster/views.h"
#include "coordinator/front/collect.h"
#include "coordinator/front/fanout.h"
#include "coordinator/front/old_ways.h"
#include "coordinator/front/parked.h"
#include "coordinator/peers/server.h"
#include "coordinator/process/functions_folder.h"
#include "coordinator/process/listeners.h"
#include "coordinator/process/notify.h"
#include "coordinator/process/resume.h"
#include "coordinator/process/settings.h"
#include "coordinator/process/shares.h"
#include "coordinator/security/security.h"
#include "coordinator/workers/spawn.h"

#define LINGER_MS     1000u /* for replies that are on their way at the very end */
#define RECEIVE_QUEUE 1000u /* messages of one client in ZeroMQ's queue */
/* Of what is told of copies, either way; twice the largest record if that is more. */
#define COPIES_BYTES  (16u << 20)
#define REPLY_SPARE   (2u << 20) /* bytes of a scan's reply beside its first item */
#define REQUEST_SPARE 4096u      /* of a request in the ring, beside its own */
/* A part of the largest message that an unfinished one may have more, for its frames. */
#define CONN_LIMIT_SPARE 8u
#define UNREAD_SHARE     8u /* of the memory there is, for replies that nobody reads */
#define EXIT_CONFIG      78

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
	const struct conf *f = c->node.conf;
	uint64_t value = conf_number(f, CONF_limits_value);
	uint64_t queue = conf_number(f, CONF_limits_queue);
	uint64_t segment = conf_number(f, CONF_storage_segment);
	uint32_t n = c->supervisor.count;
	uint64_t log = conf_number(f, CONF_limits_log) / n;
	uint64_t group = shares_group_max(f);
	struct log_size size = log_size(value, group, segment, log);
	/* A txn may be a message by itself, and then has its heads in the ring besides. */
	uint64_t requests =
		most(2 * c->node.request_max, conf_number(f, CONF_limits_message) + REQUEST_SPARE);
	struct settings s = {
		.worker = id,
		.workers = n,
		.cache_bytes = conf_number(f, CONF_limits_cache) / n,
		.log_bytes = most(log, size.limit_least),
		.log_segment_bytes = segment,
		.map_bytes = conf_number(f, CONF_storage_map) / n / 4096 * 4096,
		.value_max = value,
		.buckets_max = conf_number(f, CONF_limits_buckets),
		.result_max = conf_number(f, CONF_limits_result),
		.session_ms = conf_number(f, CONF_limits_session_ms),
		.session_bytes_max = conf_number(f, CONF_limits_outcomes),
		.disk_reserve_bytes =
			most(conf_number(f, CONF_storage_reserve), n * size.reserve_bytes),
		.lock_wait_ms = 10000,
		.checkpoint_ms = (uint32_t)conf_number(f, CONF_storage_checkpoint_ms),
		.log_level = (uint32_t)conf_number(f, CONF_node_log),
		.partitions = c->node.partitions,
		.hang_ms = (uint32_t)conf_number(f, CONF_supervisor_hang_ms),
		.functions = (uint32_t)c->functions->header->generation,
		.group_max = group,
		.replicated = c->node.replicated,
	};
	const struct segment_room room = {
		.request = power_of_two(most(queue, requests)),
		.reply = power_of_two(most(queue, most(value, s.result_max) + REPLY_SPARE)),
		.copies = c->node.replicated
				  ? power_of_two(most(COPIES_BYTES, 2 * most(group, value)))
				  : 0,
		.leases = c->node.replicated ? c->node.partitions : 0,
	};
	int r;

	(void)snprintf(s.dir, sizeof(s.dir), "%.900s/worker-%u", conf_text(f, CONF_node_data), id);
	(void)snprintf(s.node, sizeof(s.node), "%.63s", conf_text(f, CONF_node_name));
	(void)views_id_read((struct span){c->node.store, 16}, &s.member_store);
	w->queue = (struct queue){.node = &c->node,
				  .sink = &c->sink,
				  .due_ms = UINT64_MAX,
				  .events = c->node.replicated ? &c->queue_events : NULL};
	w->id = id;
	w->wanted = true;
	w->pidfd = -1;
	w->control = -1;
	w->queue.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = w->queue.wake < 0 ? -errno : segment_create(&s, &room, &w->queue.segment);
	if (r == 0)
		r = turns_new(&w->queue.turns);
	if (r < 0)
		log_error("make the shared memory of worker %u: %s", id, strerror(-r));
	return r;
}

/* A worker that lives on, or is to be started as the program before would have. */
static int worker_resume(struct coord *c, struct worker *w, const struct resume *x, uint32_t id)
{
	int r;

	*w = x->worker[id];
	w->queue.node = &c->node;
	w->queue.sink = &c->sink;
	w->queue.events = c->node.replicated ? &c->queue_events : NULL;
	r = segment_attach(x->segment_fd[id], &w->queue.segment);
	if (r < 0) {
		log_error("map the shared memory of worker %u: %s", id, strerror(-r));
		return r;
	}
	if (turns_new(&w->queue.turns) < 0)
		return -ENOMEM;
	w->queue.immediate_read = ring_tail(&w->queue.segment->immediate);
	w->queue.durable_read = ring_tail(&w->queue.segment->durable);
	w->queue.ship_read = ring_tail(&w->queue.segment->ship);
	w->queue.pushed = true;
	sleep_end(&w->queue.segment->status->coordinator_sleeps);
	return 0;
}

static int workers_open(struct coord *c, const struct resume *x)
{
	struct supervisor *s = &c->supervisor;

	if (spawn_find("pail-worker", s->path, sizeof(s->path)) < 0) {
		log_error("pail-worker is not beside paild, nor in ../libexec/pail");
		return 1;
	}
	s->worker = calloc(s->count ? s->count : 1, sizeof(*s->worker));
	s->wake = x ? x->wake : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->functions = c->functions->fd;
	s->start_ms = conf_number(c->node.conf, CONF_supervisor_start_ms);
	s->hang_ms = conf_number(c->node.conf, CONF_supervisor_hang_ms);
	s->stop_ms = conf_number(c->node.conf, CONF_supervisor_stop_ms);
	s->on_death = handoff_death;
	s->on_message = handoff_message;
	s->arg = &c->handoff;
	if (!s->worker || s->wake < 0) {
		log_error("make the workers' table: no memory or descriptors");
		s->count = 0;
		return 1;
	}
	for (uint32_t i = 0; i < s->count; i++)
		if ((x ? worker_resume(c, &s->worker[i], x, i) : worker_open(c, &s->worker[i], i)) <
		    0)
			return 1;
	return 0;
}

/* `listener`: a socket that listens already, or 0; `domain`: who decides who is let in with keys, or
 * NULL: they are not asked for. */
static int listen_on(struct coord *c, const char *endpoint, int listener, const char *whom,
		     const char *setting, uint64_t frame_max, const char *domain,
		     struct socket **ret, char *bound)
{
	const struct key_file *own = domain ? security_own(c->security) : NULL;
	const struct socket_keys keys = {.secret = own ? own->secret : NULL, .domain = domain};
	const struct socket_options o = {.frame_max = frame_max,
					 .receive_queue = RECEIVE_QUEUE,
					 .linger_ms = LINGER_MS,
					 .listener_fd = listener,
					 .keys = own ? &keys : NULL};
	bool socket_file = !strncmp(endpoint, "ipc://", 6) && endpoint[6] != '@';
	int r = socket_file ? datadir_socket(endpoint + 6) : 0;

	/* Whatever lies at a socket file's path is unlinked by the library. */
	if (r == 0)
		r = socket_bind(c->zmq, endpoint, &o, ret, bound);
	if (r == -EEXIST)
		log_error("listen for %s on \"%s\" (%s): there is something that is no socket",
			  whom, endpoint, setting);
	else if (r == -EADDRINUSE)
		log_error("listen for %s on \"%s\": the address is in use: is another node "
			  "running? set %s to another",
			  whom, endpoint, setting);
	else if (r < 0)
		log_error("listen for %s on \"%s\" (%s): %s", whom, endpoint, setting,
			  strerror(-r));
	return r;
}

int coord_listen_nodes(struct coord *c, const struct conf *conf)
{
	int r;

	if (c->node_link)
		return 0;
	r = listen_on(c, conf_text(conf, CONF_node_peer), c->node_fd, "nodes", "node.peer",
		      c->node.frame_max, SECURITY_NODES, &c->node_link, c->node_endpoint);
	if (r == 0 && c->conn_limit)
		conn_limit_watch(c->conn_limit, c->node_endpoint);
	return r;
}

static int admin_open(struct coord *c)
{
	char endpoint[1100];
	mode_t mask;
	int r;

	conf_admin(c->node.conf, endpoint, sizeof(endpoint));
	if (!*endpoint)
		return 0;   /* a router without a folder: there is no place for it */
	mask = umask(0117); /* nobody may be quick enough to find it open */
	r = listen_on(c, endpoint, 0, "operators", "node.admin", 0, NULL, &c->admin_link,
		      c->admin_endpoint);
	(void)umask(mask);
	if (r == -ENAMETOOLONG)
		log_error("a socket's path may have about 100 characters: set node.admin to a "
			  "shorter one, such as ipc:///run/pail/NAME.sock");
	/* Only the node's own user and group may do what operators do. */
	if (r == 0 && !strncmp(endpoint, "ipc://", 6) && chmod(endpoint + 6, 0660) < 0)
		log_warn("chmod \"%s\": %s", endpoint + 6, strerror(errno));
	return r;
}

/* Where clients connect; resumed with a wildcard port, the port that was chosen then. */
static const char *client_endpoint(const struct coord *c)
{
	return c->resumed ? c->endpoint : conf_text(c->node.conf, CONF_node_client);
}

static int sockets_open(struct coord *c)
{
	const struct conf *f = c->node.conf;
	int r = socket_context_new(&c->zmq);

	if (r < 0)
		log_error("start ZeroMQ: %s", strerror(-r));
	if (r == 0)
		r = security_open_door(c->security, c->zmq);
	if (r < 0 && c->zmq)
		log_error("have handshakes judged: %s", strerror(-r));
	if (r == 0 && conf_number(f, CONF_node_role) != ROLE_STORAGE)
		r = listen_on(c, client_endpoint(c), c->client_fd, "clients",
			      "node.client or PAIL_PORT", conf_number(f, CONF_limits_message),
			      SECURITY_CLIENTS, &c->link, c->endpoint);
	if (r == 0 && conf_wants_nodes(f))
		r = coord_listen_nodes(c, f);
	return r < 0 ? r : admin_open(c);
}

struct clients_config coord_clients_config(const struct conf *f)
{
	uint64_t total = conf_number(f, CONF_limits_unread_total);

	return (struct clients_config){
		.clients_max = (uint32_t)conf_number(f, CONF_limits_clients),
		.unread_max = conf_number(f, CONF_limits_unread),
		.unread_ms = conf_number(f, CONF_limits_unread_ms),
		.unread_total = total ? total
				      : most(memory_total_bytes() / UNREAD_SHARE,
					     2 * conf_number(f, CONF_limits_message))};
}

struct conn_limit_limits coord_guard_limits(const struct conf *f)
{
	uint64_t message = conf_number(f, CONF_limits_message);

	return (struct conn_limit_limits){
		.one = message + message / CONN_LIMIT_SPARE,
		.small = 2 * message,
		.all = most(coord_clients_config(f).unread_total, 2 * message)};
}

static int tables_open(struct coord *c)
{
	const struct conf *f = c->node.conf;
	const struct clients_config cc = coord_clients_config(f);
	const struct peer_events peers = front_peer_events(&c->front);
	const struct fence_events ways = old_ways_events(&c->front);
	const struct conn_limit_limits gl = coord_guard_limits(f);
	int r = clients_new(&cc, c->node.net, &c->clients);

	if (r == 0)
		clients_secure(c->clients, c->security);
	if (r == 0)
		r = conn_limit_new(&gl, &c->conn_limit);
	if (r == 0) {
		conn_limit_watch(c->conn_limit, c->endpoint);
		conn_limit_watch(c->conn_limit, c->node_endpoint);
		r = fanouts_new(&c->front.fanouts);
	}
	if (r == 0)
		r = peer_server_new(&(struct peer_server_parts){&c->node, c->clients, c->conn_limit,
								&c->peers, c->security,
								c->node_endpoint},
				    &peers, &c->peer_server);
	if (r == 0)
		r = fence_new(&c->node, &c->sink, &ways, &c->fence);
	if (r == 0)
		r = peers_open(&c->peers, &c->node, &c->sink, c->zmq);
	c->logs.use = PEER_LINK_LOG;
	if (r == 0 && c->node.replicated)
		r = peers_open(&c->logs, &c->node, &c->sink, c->zmq);
	if (r < 0)
		log_error("make the tables of clients and peers: %s", strerror(-r));
	return r;
}

static void parcels(void *arg, struct queue *q, const char *bytes, uint32_t n)
{
	struct front *front = arg;

	(void)q;
	membership_parcels(front->membership, bytes, n);
}

/* All parts are there: the front is told of them. */
static void front_open(struct coord *c)
{
	struct front *f = &c->front;

	f->node = &c->node;
	f->sink = &c->sink;
	f->routes = &c->routes;
	f->supervisor = &c->supervisor;
	f->handoff = &c->handoff;
	f->peers = &c->peers;
	f->peer_server = c->peer_server;
	f->clients = c->clients;
	f->security = c->security;
	f->conn_limit = c->conn_limit;
	f->fence = c->fence;
	f->files = &c->files;
	f->functions = &c->functions;
	f->gateway = &c->gateway;
	f->link = &c->link;
	f->hooks = coord_front_hooks(c);
	f->announced = &c->announced;
	clients_count(c->clients, c->node.figures);
	conn_limit_count(c->conn_limit, c->node.figures);
}

void coord_connectable(const char *endpoint, char *out, size_t size)
{
	const char *port = strrchr(endpoint, ':');

	if (port &&
	    (!strncmp(endpoint, "tcp://0.0.0.0:", 14) || !strncmp(endpoint, "tcp://[::]:", 11)))
		(void)snprintf(out, size, "tcp://127.0.0.1%s", port);
	else
		(void)snprintf(out, size, "%s", endpoint);
}

/* A setting of the gateway as text. */
static const char *number_text(const struct coord *c, enum conf_key k, char text[32])
{
	(void)snprintf(text, 32, "%llu", (unsigned long long)conf_number(c->node.conf, k));
	return text;
}

/* It serves text as a client of the node, and figures through the admin socket; either, or both. */
static int gateway_open(struct coord *c, const struct resume *x)
{
	const struct conf *f = c->node.conf;
	const struct key_file *own = security_own(c->security);
	const bool text = conf_text(f, CONF_gateway_text)[0];
	const bool http = conf_text(f, CONF_metrics_http)[0];
	const char *argv[HELPER_ARGS_MAX] = {"pail-gateway", "--ready-fd", "3"};
	char node[SOCKET_ENDPOINT_MAX];
	char connections[32];
	char line[32];
	unsigned n = 3;
	int r;

	coord_connectable(c->endpoint, node, sizeof(node));
	if (http) {
		argv[n++] = "--http";
		argv[n++] = conf_text(f, CONF_metrics_http);
		argv[n++] = "--admin";
		argv[n++] = c->admin_endpoint;
	}
	if (text) {
		const char *const more[] = {
			"--node",        node,
			"--text",        conf_text(f, CONF_gateway_text),
			"--connections", number_text(c, CONF_gateway_connections, connections),
			"--line",        number_text(c, CONF_gateway_line, line),
			"--key",         conf_text(f, CONF_gateway_key)};

		memcpy(argv + n, more, sizeof(more));
		n += sizeof(more) / sizeof(more[0]);
		if (own) {
			argv[n++] = "--node-key";
			argv[n++] = own->public;
		}
	}
	check(n < HELPER_ARGS_MAX);
	r = helper_init(&c->gateway, "gateway", text || http ? argv : NULL);
	c->gateway.figures = c->node.figures;
	if (r == -ENOENT)
		log_error("pail-gateway is not beside paild, nor in ../libexec/pail");
	if (r == 0 && x)
		helper_resume(&c->gateway, &x->gateway);
	return r;
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

/* What the program before knew of itself. */
static void figures_resume(struct coord *c, const struct resume *x)
{
	c->resumed = true;
	c->activated = x->activated;
	c->client_fd = x->client_fd;
	c->node_fd = x->node_fd;
	c->cluster_fd = x->cluster_fd;
	(void)snprintf(c->endpoint, sizeof(c->endpoint), "%s", x->endpoint);
	(void)snprintf(c->node_endpoint, sizeof(c->node_endpoint), "%s", x->node_endpoint);
	c->node.started_ms = x->started_ms;
	c->node.started_wall_ms = x->started_wall_ms;
	c->begun_us = x->begun_us;
	c->closed_us = x->closed_us;
	c->node.reloads = x->reloads;
	c->node.upgrades = x->upgrades;
	c->sink.errors = x->local_errors;
	memcpy(c->front.requests, x->local_requests, sizeof(c->front.requests));
	c->lock_fd = x->lock_fd;
	c->supervisor.count = x->workers;
}

/* Settings that cannot change in a running node stay, others are the new ones. */
static void settings_resume(struct conf *conf, const struct resume *x)
{
	struct buf kept;

	buf_init(&kept);
	if (conf_keep(conf, x->conf, &kept) && !kept.failed)
		log_warn("a restart is needed for: %.*s", (int)kept.len - 1, kept.data);
	buf_fini(&kept);
}

static void shape_apply(struct coord *c, const struct datadir_shape *shape)
{
	_Static_assert(sizeof(c->node.store) == sizeof(shape->store), "one id");
	c->supervisor.count = shape->workers;
	c->node.partitions = shape->partitions;
	c->node.own_first = c->node.replicated ? shape->partitions : 0;
	(void)snprintf(c->node.store, sizeof(c->node.store), "%s", shape->store);
}

/* Of the folder that the program before has taken: nobody has changed it since. */
static int datadir_resume(struct coord *c, const char *data)
{
	struct datadir_shape shape = {
		.partitions = (uint32_t)conf_number(c->node.conf, CONF_storage_partitions)};
	uint32_t workers = c->supervisor.count;
	char why[512];
	int r = *data ? datadir_shape(data, &shape, why, sizeof(why)) : 0;

	if (r < 0) {
		log_error("%s", why);
		return 1;
	}
	shape_apply(c, &shape);
	c->supervisor.count = workers; /* a router has none */
	return 0;
}

static int datadir_open(struct coord *c, const char *data)
{
	char why[512];
	struct datadir_shape shape = {
		.workers = (uint32_t)conf_number(c->node.conf, CONF_node_workers),
		.partitions = (uint32_t)conf_number(c->node.conf, CONF_storage_partitions)};
	int r = *data ? datadir_take(data, &shape, &c->lock_fd, why, sizeof(why)) : 0;

	shape_apply(c, &shape);
	if (r < 0)
		c->temporary = false; /* not ours to remove */
	else if (*data && conf_number(c->node.conf, CONF_node_role) != ROLE_ROUTER &&
		 datadir_is_new(data)) {
		r = shares_disk(c->node.conf, c->supervisor.count, why, sizeof(why));
		if (r < 0)
			datadir_untake(data);
	}
	if (r == 0)
		return 0;
	log_error("%s", why);
	return r == -EINVAL ? EXIT_CONFIG : 1;
}

/* The modules that calls run: of the folder, or those that the program before had accepted. */
static int functions_open(struct coord *c, const struct resume *x)
{
	int r = x && x->functions > 0 ? modules_attach(x->functions, &c->functions)
				      : functions_folder_accept(c->node.conf, 1, FUNCTIONS_START_MS,
								&c->functions);

	if (r == 0) {
		modules_digest(c->functions, c->node.functions);
		return 0;
	}
	if (x && x->functions > 0)
		log_error("take up the functions' modules: %s", strerror(-r));
	else
		log_error("%.*s", (int)c->node.conf->errors.len - 1, c->node.conf->errors.data);
	return x ? 1 : EXIT_CONFIG;
}

/* The files have been read once, when the configuration was; now they count. */
static int security_setup(struct coord *c)
{
	struct security_files files;
	int r = security_read(c->node.conf, &files);

	cluster_files_check(c->node.conf);
	if (r == 0 && c->node.conf->error_count) {
		log_error("%.*s", (int)c->node.conf->errors.len - 1, c->node.conf->errors.data);
		security_files_fini(&files);
		return EXIT_CONFIG;
	}
	if (r == 0)
		r = security_new(&c->node, &files, &c->security);
	if (r == 0)
		c->node.key = security_own(c->security);
	return r < 0;
}

/* The service manager's sockets, if it has any for this node. */
static int listeners_take(struct coord *c)
{
	char why[512];
	int r;

	notify_listeners(&c->client_fd, &c->node_fd);
	r = listeners_check(c->node.conf, c->client_fd, c->node_fd, why, sizeof(why));
	if (r < 0)
		log_error("%s", why);
	return r;
}

/* The figures of the program before, or new ones. */
static int figures_begin(struct coord *c, const struct resume *x)
{
	int r = x && x->figures > 0 ? figures_open(x->figures, &c->node.figures) : -ENOENT;

	if (r == 0)
		c->figures_fd = x->figures;
	else if (x && x->figures > 0)
		(void)close(x->figures); /* of another layout: they begin anew */
	if (r < 0)
		r = figures_new(&c->node.figures, &c->figures_fd);
	if (r < 0)
		log_error("make the node's figures: %s", strerror(-r));
	c->sink.figures = c->node.figures;
	c->supervisor.figures = c->node.figures;
	c->gateway.figures = c->node.figures;
	return r;
}

int coord_open(struct coord *c, struct conf *conf, const struct settings_source *source,
	       bool temporary, const struct resume *x)
{
	const char *data = conf_text(conf, CONF_node_data);
	uint64_t message = conf_number(conf, CONF_limits_message);
	bool router = conf_number(conf, CONF_node_role) == ROLE_ROUTER;
	const struct handoff_hooks hooks = collect_hooks(&c->front);
	const struct upgrade_hooks upgrade = coord_upgrade_hooks(c);
	int r;

	memset(c, 0, sizeof(*c));
	c->sink = front_sink(&c->front);
	c->node.net = &net_zmq;
	c->node.conf = conf;
	c->source = source;
	c->lock_fd = -1;
	c->figures_fd = -1;
	c->signal_fd = -1;
	c->supervisor.wake = -1;
	handoff_init(&c->handoff, &c->node, &c->sink, &c->supervisor, &hooks);
	upgrade_init(&c->upgrade, &c->node, &c->sink, &c->supervisor, source->argv, &upgrade);
	(void)helper_init(&c->gateway, "gateway", NULL);
	c->temporary = temporary;
	if (figures_begin(c, x) < 0)
		return 1;
	(void)node_clock(&c->node);
	c->node.started_ms = c->node.now_ms;
	c->node.started_wall_ms = clock_wall_ms();
	c->watchdog_ms = notify_watchdog_ms();
	c->node.request_max = shares_request_max(conf);
	c->node.queue_max = most(conf_number(conf, CONF_limits_queue), 2 * c->node.request_max);
	c->node.frame_max = message + peer_message_batch_room(WIRE_REQUESTS_MAX);
	c->node.replicated = conf_in_cluster(conf);
	c->node.peer_versions = (struct peer_versions){
		PEER_VERSION_MIN,
		conf_in_cluster(conf) ? PEER_VERSION_MAX : PEER_VERSION_CLUSTER - 1};
	if (x)
		settings_resume(conf, x);
	if (route_table_make(conf, &c->routes) < 0 || conf->error_count)
		return EXIT_CONFIG;
	r = functions_open(c, x);
	if (r == 0)
		r = security_setup(c);
	if (r != 0)
		return r;
	if (signals_open(c) != 0)
		return 1;
	if (x)
		figures_resume(c, x);
	else if (listeners_take(c) < 0)
		return EXIT_CONFIG;
	c->activated |= c->client_fd && !x;
	r = x ? datadir_resume(c, data) : datadir_open(c, data);
	if (r != 0)
		return r;
	if (router)
		c->supervisor.count = 0; /* it stores nothing; the folder is for the admin socket */
	c->queue_events = (struct queue_events){parked_elsewhere, parcels, &c->front};
	if (workers_open(c, x) != 0 || sockets_open(c) < 0 || tables_open(c) < 0 ||
	    gateway_open(c, x) < 0)
		return 1;
	front_open(c);
	if (coord_join(c) < 0)
		return 1;
	files_init(&c->files);
	if (x) {
		c->peers.epoch = x->peers_epoch;
		c->logs.epoch = x->logs_epoch;
	}
	return 0;
}

void coord_disconnect(struct coord *c, unsigned linger_ms)
{
	struct socket **link[] = {&c->link, &c->node_link, &c->admin_link};

	peers_close(&c->peers);
	if (c->node.replicated)
		peers_close(&c->logs);
	for (unsigned i = 0; i < sizeof(link) / sizeof(link[0]); i++) {
		if (*link[i])
			socket_linger(*link[i], linger_ms);
		socket_close(link[i]);
	}
	security_close_door(c->security);
	socket_context_free(&c->zmq);
}

void coord_close(struct coord *c)
{
	struct supervisor *s = &c->supervisor;

	helper_fini(&c->gateway);
	membership_free(&c->membership);
	parked_free(&c->front.parked);
	coord_disconnect(c, LINGER_MS);
	clients_free(&c->clients);
	conn_limit_free(&c->conn_limit);
	fanouts_free(&c->front.fanouts);
	peer_server_free(&c->peer_server);
	fence_free(&c->fence);
	security_free(&c->security);
	for (uint32_t i = 0; s->worker && i < s->count; i++) {
		turns_free(&s->worker[i].queue.turns);
		segment_free(&s->worker[i].queue.segment);
		if (s->worker[i].queue.wake >= 0)
			(void)close(s->worker[i].queue.wake);
	}
	free(s->worker);
	modules_free(&c->functions);
	if (s->wake >= 0)
		(void)close(s->wake);
	route_table_fini(&c->routes);
	if (c->temporary)
		(void)datadir_remove(conf_text(c->node.conf, CONF_node_data));
	files_fini(&c->files);
	if (c->signal_fd >= 0)
		(void)close(c->signal_fd);
	if (c->lock_fd >= 0)
		(void)close(c->lock_fd);
	figures_free(&c->node.figures);
	if (c->figures_fd >= 0)
		(void)close(c->figures_fd);
	conf_free(&c->node.conf);
}
