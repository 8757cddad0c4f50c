/* What the coordinator tells of its node: hello and status. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config/config.h"
#include "ipc/wire/reply.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/clients/files.h"
#include "coordinator/front/status.h"
#include "coordinator/peers/server.h"
#include "coordinator/process/helper.h"
#include "coordinator/security/security.h"
#include "ipc/shm/modules.h"

#define CONNECTED_FEW 256u  /* connections that are counted anew each time, but for a moment */
#define COUNTED_MS    20u   /* that moment: a message may ask 4,096 times */
#define CONNECTED_MS  1000u /* between counts of more */

/* Each adds to the buf; a failure sticks there. */

static void add(struct buf *b, const char *end)
{
	if (!b->failed)
		b->len = (size_t)(end - b->data);
}

static char *room(struct buf *b, size_t n)
{
	static char nowhere[2048]; /* what is written here after a failure is never sent */
	char *p = buf_room(b, n);

	return p ? p : nowhere;
}

static void add_map(struct buf *b, const char *key, uint32_t n)
{
	add(b, write_map(write_text(room(b, 80), key), n));
}

static void add_array(struct buf *b, const char *key, uint32_t n)
{
	add(b, write_array(write_text(room(b, 80), key), n));
}

static void add_uint(struct buf *b, const char *key, uint64_t v)
{
	add(b, write_uint(write_text(room(b, 80), key), v));
}

static void add_bool(struct buf *b, const char *key, bool v)
{
	add(b, write_bool(write_text(room(b, 80), key), v));
}

static void add_text(struct buf *b, const char *key, const char *v)
{
	add(b, write_text(write_text(room(b, 80 + strlen(v)), key), v));
}

/* What a client may, as it stands in the file of clients. */
static void add_rights(const struct rights_client *who, struct buf *out)
{
	struct buf text;

	add_text(out, "client", who->name);
	add_array(out, "rights", who->grants);
	for (uint32_t i = 0; i < who->grants; i++) {
		buf_init(&text);
		rights_print(&who->grant[i], &text);
		if (text.failed)
			out->failed = true;
		else
			add(out,
			    write_str(room(out, text.len + CODEC_HEAD_MAX), text.data, text.len));
		buf_fini(&text);
	}
}

void status_hello(struct front *front, const struct rights_client *who, uint64_t msgid,
		  struct buf *out)
{
	static const char *const features[] = {"ttl",    "if_version", "if_absent", "goaway",
					       "routes", "txn",        "call",      "sessions"};
	uint32_t n = sizeof(features) / sizeof(features[0]);
	bool cluster = conf_in_cluster(front->node->conf);

	add(out, write_map(write_reply_head(room(out, 64), msgid), who ? 9 : 7));
	add_text(out, "server", "pail");
	add_text(out, "version", WIRE_VERSION);
	add_uint(out, "protocol", WIRE_PROTOCOL);
	add_text(out, "node", conf_text(front->node->conf, CONF_node_name));
	add_text(out, "role", conf_text(front->node->conf, CONF_node_role));
	add_map(out, "limits", 7);
	add_uint(out, "bucket", WIRE_BUCKET_MAX);
	add_uint(out, "key", WIRE_KEY_MAX);
	add_uint(out, "value", conf_number(front->node->conf, CONF_limits_value));
	add_uint(out, "message", conf_number(front->node->conf, CONF_limits_message));
	add_uint(out, "requests", WIRE_REQUESTS_MAX);
	add_uint(out, "result", conf_number(front->node->conf, CONF_limits_result));
	add_uint(out, "entries", WIRE_TXN_ENTRIES_MAX);
	add_array(out, "features", n + cluster);
	for (uint32_t i = 0; i < n; i++)
		add(out, write_text(room(out, 80), features[i]));
	if (cluster)
		add(out, write_text(room(out, 80), "cluster"));
	if (who)
		add_rights(who, out);
}

static void add_routes(struct front *front, struct buf *out)
{
	add_array(out, "routes", front->routes->count);
	for (uint32_t i = 0; i < front->routes->count; i++) {
		add(out, write_map(room(out, 16), 2));
		add_text(out, "entry", front->routes->route[i].entry);
		add_text(out, "node", front->routes->route[i].node);
	}
}

static void add_nil(struct buf *b, const char *key)
{
	add(b, write_nil(write_text(room(b, 80), key)));
}

/* The version that is spoken with it; nil: none is. */
static void add_peer_protocol(struct buf *out, uint64_t protocol)
{
	if (protocol)
		add_uint(out, "protocol", protocol);
	else
		add_nil(out, "protocol");
}

static const char *peer_state(const struct peer *p)
{
	if (p->state == PEER_UP)
		return "up";
	if (!p->seen_ms && !p->told)
		return "unknown";
	return p->state == PEER_LEAVING ? "leaving" : "down";
}

/* Of one that only asks. */
static const char *asker_state(const struct peer_heard *h)
{
	return h->linked ? "up" : h->seen_ms || *h->refused ? "down" : "unknown";
}

static void add_peer(const struct front *front, const struct peer *p, struct buf *out)
{
	add(out, write_map(room(out, 16), 10));
	add_text(out, "name", p->name);
	add_text(out, "endpoint", p->endpoint);
	add_text(out, "state", peer_state(p));
	if (p->seen_ms)
		add_uint(out, "last_seen_ms", front->node->now_ms - p->seen_ms);
	else
		add_nil(out, "last_seen_ms");
	add_uint(out, "in_flight", p->requests);
	add_uint(out, "queue", p->queued);
	add_uint(out, "forwarded", p->forwarded);
	add_uint(out, "broke", p->broke);
	add_peer_protocol(out, p->protocol);
	add_text(out, "reason", p->state == PEER_UP ? "" : p->reason);
}

/* One that only asks: all that is known of it is whether it does. */
static void add_asker(const struct front *front, const char *name, struct buf *out)
{
	const struct peer_heard h = peer_server_heard(front->peer_server, name);

	add(out, write_map(room(out, 16), 10));
	add_text(out, "name", name);
	add_text(out, "endpoint", "-");
	add_text(out, "state", asker_state(&h));
	if (h.seen_ms)
		add_uint(out, "last_seen_ms", front->node->now_ms - h.seen_ms);
	else
		add_nil(out, "last_seen_ms");
	add_uint(out, "in_flight", 0);
	add_uint(out, "queue", 0);
	add_uint(out, "forwarded", 0);
	add_uint(out, "broke", 0);
	add_peer_protocol(out, h.linked ? h.protocol : 0);
	add_text(out, "reason",
		 h.linked     ? ""
		 : *h.refused ? h.refused
			      : "it only asks, and has not done so for a while");
}

static void add_peers(struct front *front, struct buf *out)
{
	add_array(out, "peers", front->node->conf->peers.count);
	for (uint32_t i = 0; i < front->node->conf->peers.count; i++)
		if (front->peers->of_conf[i])
			add_peer(front, front->peers->of_conf[i], out);
		else
			add_asker(front, front->node->conf->peers.pair[i].key, out);
}

static void add_gateway(const struct front *front, struct buf *out)
{
	const struct helper *g = front->gateway;

	add_map(out, "gateway", 6);
	add_text(out, "state",
		 g->up         ? "up"
		 : !g->argv[0] ? "none"
		 : g->failed   ? "failed"
		 : g->pid      ? "starting"
			       : "backoff");
	add_text(out, "endpoint", g->endpoint);
	add_text(out, "http", g->http);
	add_uint(out, "pid", (uint64_t)g->pid);
	add_uint(out, "restarts", g->restarts);
	add_text(out, "last_death", g->reason);
}

/* How many figures a map of status shows. */
static uint32_t figures(enum metric_map map)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < METRIC_COUNT; i++)
		n += metrics[i].map == map;
	return n;
}

static void add_worker(struct front *front, struct worker *w, struct buf *out)
{
	add(out, write_map(room(out, 16), 7 + figures(METRIC_WORKERS)));
	add_uint(out, "id", w->id);
	add_uint(out, "pid", (uint64_t)w->pid);
	add_text(out, "state", supervisor_state_name(w->state));
	add_uint(out, "restarts", w->restarts);
	add_uint(out, "uptime_ms", w->up_ms ? front->node->now_ms - w->up_ms : 0);
	add_uint(out, "queue", queue_waiting(&w->queue));
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (metrics[i].map == METRIC_WORKERS)
			add_uint(out, metrics[i].key,
				 metric_get(&metrics[i], w->queue.segment->status));
	add_text(out, "last_death", w->reason);
}

/* The figures of one map, of all workers together and of what the coordinator does itself. */
static void add_figures(struct front *front, enum metric_map map, struct buf *out)
{
	for (unsigned m = 0; m < METRIC_COUNT; m++) {
		uint64_t all = m == METRIC_errors ? front->sink->errors : 0;

		if (metrics[m].map != map)
			continue;
		for (uint32_t i = 0; i < front->supervisor->count; i++)
			all = metric_merge(
				&metrics[m], all,
				metric_get(&metrics[m],
					   front->supervisor->worker[i].queue.segment->status));
		add_uint(out, metrics[m].key, all);
	}
}

static void add_totals(struct front *front, struct buf *out)
{
	uint64_t method[WIRE_METHOD_COUNT];
	uint64_t requests = 0;

	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++) {
		method[m] = front->requests[m];
		for (uint32_t i = 0;
		     i < front->supervisor->count && method_is((int)m, METHOD_BUCKET); i++)
			method[m] += status_get(
				&front->supervisor->worker[i].queue.segment->status->by_method[m]);
		requests += method[m];
	}
	add_map(out, "totals", 2 + figures(METRIC_TOTALS));
	add_uint(out, "requests", requests);
	add_figures(front, METRIC_TOTALS, out);
	add_map(out, "by_method", WIRE_METHOD_COUNT);
	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
		add_uint(out, wire_method_name((enum wire_method)m), method[m]);
}

static void add_functions(const struct front *front, struct buf *out)
{
	const struct modules *m = *front->functions;
	char digest[MODULES_DIGEST_LEN + 1];

	modules_digest(m, digest);
	add_map(out, "functions", 2);
	add_uint(out, "modules", m->header->count);
	add_text(out, "digest", digest);
}

/* The functions of the module that begins the list: how many. */
static uint32_t functions_of(struct span list)
{
	struct span first;
	struct span module;
	struct span function;
	uint32_t n = 0;

	if (!modules_list_next(&list, &first, &function))
		return 0;
	do
		n++;
	while (modules_list_next(&list, &module, &function) && span_equal(module, first));
	return n;
}

static void add_module(const char *name, struct span *list, struct buf *out)
{
	struct span of = *list;
	struct span module = {"", 0};
	struct span function;
	uint32_t n = 0;

	add(out, write_map(room(out, 16), 2));
	add_text(out, "name", name);
	/* One that has no functions is in no list. */
	if (modules_list_next(&of, &module, &function) && span_equal(module, span_of(name)))
		n = functions_of(*list);
	add_array(out, "functions", n);
	for (; n && modules_list_next(list, &module, &function); n--)
		add(out, write_str(room(out, function.n + 16), function.p, function.n));
}

/* The digest that a peer has told last, if it has, and whether it is this node's. */
static void add_told(const struct front *front, const char *name, const char *state,
		     const char *digest, struct buf *out)
{
	add(out, write_map(room(out, 16), 4));
	add_text(out, "name", name);
	add_text(out, "state", state);
	if (*digest) {
		add_text(out, "digest", digest);
		add_bool(out, "same", !strcmp(digest, front->node->functions));
	} else {
		add_nil(out, "digest");
		add_nil(out, "same");
	}
}

/* A node's welcome tells its digest, and the hello of one that only asks. */
static void add_peers_functions(const struct front *front, struct buf *out)
{
	const struct conf_pairs *peers = &front->node->conf->peers;

	add_array(out, "peers", peers->count);
	for (uint32_t i = 0; i < peers->count; i++) {
		const struct peer *p = front->peers->of_conf[i];
		const struct peer_heard h =
			peer_server_heard(front->peer_server, peers->pair[i].key);

		add_told(front, peers->pair[i].key, p ? peer_state(p) : asker_state(&h),
			 p ? p->functions : h.functions, out);
	}
}

void status_functions(struct front *front, uint64_t msgid, struct buf *out)
{
	const struct modules *m = *front->functions;
	struct span list = modules_list(m);
	char digest[MODULES_DIGEST_LEN + 1];

	modules_digest(m, digest);
	add(out, write_map(write_reply_head(room(out, 64), msgid), 5));
	add_text(out, "node", conf_text(front->node->conf, CONF_node_name));
	add_text(out, "dir", conf_text(front->node->conf, CONF_functions_dir));
	add_text(out, "digest", digest);
	add_array(out, "modules", m->header->count);
	for (uint32_t i = 0; i < m->header->count; i++)
		add_module(modules_get(m, i).name, &list, out);
	add_peers_functions(front, out);
}

static void add_storage(struct front *front, struct buf *out)
{
	add_map(out, "storage", 2 + figures(METRIC_STORAGE));
	add_uint(out, "partitions", front->node->partitions);
	add_text(out, "store", front->node->store);
	add_figures(front, METRIC_STORAGE, out);
}

/*
 * Clients that are connected, whether they have sent anything or not.  Only the kernel knows; to
 * ask it about very many takes a while, so that is done once a second at most.
 */
uint32_t status_connected(struct front *front)
{
	const struct socket *link = *front->link;
	uint32_t fresh_ms = front->connected < CONNECTED_FEW ? COUNTED_MS : CONNECTED_MS;

	if (!front->connected_ms || front->node->now_ms - front->connected_ms >= fresh_ms) {
		front->connected = link ? socket_connections(link) : 0;
		front->connected_ms = front->node->now_ms;
	}
	return front->connected;
}

const char *status_state(const struct front *front)
{
	return front->node->stopping ? "stopping" : *front->announced ? "serving" : "starting";
}

void status_status(struct front *front, uint64_t msgid, struct buf *out)
{
	add(out, write_map(write_reply_head(room(out, 64), msgid), 21));
	add_text(out, "node", conf_text(front->node->conf, CONF_node_name));
	add_text(out, "state", status_state(front));
	add_text(out, "role", conf_text(front->node->conf, CONF_node_role));
	add_text(out, "version", WIRE_VERSION);
	add_uint(out, "pid", (uint64_t)getpid());
	add_uint(out, "started", front->node->started_wall_ms);
	add_uint(out, "uptime_ms", clock_ms() - front->node->started_ms);
	add_uint(out, "protocol", WIRE_PROTOCOL);
	add_uint(out, "clients", status_connected(front));
	add_uint(out, "unread", clients_waiting(front->clients));
	add_map(out, "files", 4);
	add_uint(out, "used", front->files->used);
	add_uint(out, "limit", front->files->limit);
	add_bool(out, "accepting", !front->files->paused);
	add_uint(out, "pauses", front->files->pauses);
	add_uint(out, "reloads", front->node->reloads);
	add_uint(out, "upgrades", front->node->upgrades);
	add_routes(front, out);
	add_peers(front, out);
	add_gateway(front, out);
	add_array(out, "workers", front->supervisor->count);
	for (uint32_t i = 0; i < front->supervisor->count; i++)
		add_worker(front, &front->supervisor->worker[i], out);
	add_totals(front, out);
	add_storage(front, out);
	add_functions(front, out);
	add_map(out, "security", 3);
	add_bool(out, "keys", security_on(front->security));
	add_uint(out, "clients", security_clients(front->security));
	add_uint(out, "refused", security_refused(front->security));
}
