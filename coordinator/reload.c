/* Changing a running node's configuration, all of it that can change, or nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/coord.h"
#include "coordinator/clients/conn_limit.h"
#include "coordinator/front/old_ways.h"
#include "coordinator/peers/server.h"
#include "coordinator/process/functions_folder.h"
#include "coordinator/process/notify.h"
#include "coordinator/process/settings.h"
#include "coordinator/security/security.h"

#define TEXT_MAX 1400u /* of errors; more does not fit a reply */

/* Where a first byte leads, so that two tables can be compared. */
struct way {
	enum target_kind kind;
	const char *name;
	const char *endpoint;
	bool none;
};

static struct way way_of(const struct route_table *r, const struct conf *conf, unsigned byte)
{
	const struct route *e = route_table_find(r, (uint8_t)byte);
	struct way w = {TARGET_SELF, "", "", !e};

	if (e && e->target.kind == TARGET_RING)
		w.kind = TARGET_RING;
	if (e && e->target.kind == TARGET_PEER) {
		w.kind = TARGET_PEER;
		w.name = conf->peers.pair[e->target.peer].key;
		w.endpoint = conf->peers.pair[e->target.peer].value;
	}
	return w;
}

/* The bytes whose way differs.  Returns how many. */
static unsigned ways_differ(const struct coord *c, const struct conf *conf,
			    const struct route_table *routes, char *set)
{
	unsigned n = 0;

	memset(set, 0, CODEC_SET_BYTES);
	for (unsigned b = 0; b < 256; b++) {
		struct way old = way_of(&c->routes, c->node.conf, b);
		struct way new = way_of(routes, conf, b);

		if (old.none == new.none && old.kind == new.kind && !strcmp(old.name, new.name) &&
		    !strcmp(old.endpoint, new.endpoint))
			continue;
		set_add(set, (uint8_t)b);
		n++;
	}
	return n;
}

static bool pairs_differ(const struct conf_pairs *a, const struct conf_pairs *b)
{
	if (a->count != b->count)
		return true;
	for (uint32_t i = 0; i < a->count; i++)
		if (!conf_pair_same(&a->pair[i], &b->pair[i]))
			return true;
	return false;
}

static void pairs_add(struct buf *out, const char *what, const struct conf_pairs *p)
{
	buf_fmt(out, "%s:", what);
	for (uint32_t i = 0; i < p->count; i++) {
		buf_text(out, i ? ", " : " ");
		conf_pair_print(&p->pair[i], out);
	}
	buf_text(out, p->count ? "\n" : " none\n");
}

static void settings_apply(struct coord *c)
{
	const struct conf *f = c->node.conf;
	const struct clients_config cc = coord_clients_config(f);
	const struct conn_limit_limits gl = coord_guard_limits(f);

	clients_configure(c->clients, &cc);
	conn_limit_configure(c->conn_limit, &gl);
	c->supervisor.start_ms = conf_number(f, CONF_supervisor_start_ms);
	c->supervisor.hang_ms = conf_number(f, CONF_supervisor_hang_ms);
	c->supervisor.stop_ms = conf_number(f, CONF_supervisor_stop_ms);
	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker *w = &c->supervisor.worker[i];
		const uint64_t one = 1;

		w->queue.segment->header->settings.log_level = /* for its next worker */
			(uint32_t)conf_number(f, CONF_node_log);
		/* It may be asleep for longer than it now may be. */
		w->queue.segment->header->settings.hang_ms = (uint32_t)c->supervisor.hang_ms;
		status_set(&w->queue.segment->status->heartbeat_ms, clock_ms());
		(void)!write(w->queue.wake, &one, sizeof(one)); /* full means awake anyhow */
	}
	log_level_set((enum log_level)conf_number(f, CONF_node_log));
}

/* All that a configuration says, before it counts. */
struct next {
	struct conf *conf;
	struct route_table routes;
	struct modules *functions;
	struct security_files files;
};

static void next_fini(struct next *n)
{
	route_table_fini(&n->routes);
	modules_free(&n->functions);
	security_files_fini(&n->files);
	conf_free(&n->conf);
}

static enum wire_error refuse(struct next *n, struct buf *out, const char *why)
{
	if (why)
		buf_text(out, why);
	if (n->conf && n->conf->error_count) {
		size_t size = n->conf->errors.len < TEXT_MAX ? n->conf->errors.len : TEXT_MAX;

		buf_add(out, n->conf->errors.data, size);
	}
	while (out->len && out->data[out->len - 1] == '\n')
		out->len--;
	buf_text(out, "; nothing has changed");
	log_warn("reload refused: %.*s", (int)out->len, out->data ? out->data : "");
	next_fini(n);
	return WIRE_E_BAD_ARGUMENT;
}

/* What of the modules' set is another one; the generation aside. */
static bool functions_differ(const struct modules *a, const struct modules *b)
{
	return a->header->digest != b->header->digest ||
	       memcmp(&a->header->limits, &b->header->limits, sizeof(a->header->limits)) != 0;
}

static void functions_add(struct buf *out, const struct modules *m, const struct modules *was)
{
	char digest[MODULES_DIGEST_LEN + 1];
	char before[MODULES_DIGEST_LEN + 1];

	modules_digest(m, digest);
	modules_digest(was, before);
	if (strcmp(digest, before) != 0)
		buf_fmt(out, "functions: %u modules, %s (was %u, %s)\n", m->header->count, digest,
			was->header->count, before);
}

/* All workers go on with them, each between two calls. */
static void functions_swap(struct coord *c, struct modules *m)
{
	if (functions_differ(m, c->functions)) {
		struct modules *old = c->functions;

		c->functions = m;
		m = old;
		modules_digest(c->functions, c->node.functions);
		if (old->header->digest != c->functions->header->digest)
			peer_server_functions(c->peer_server);
		supervisor_functions(&c->supervisor, c->functions->fd,
				     (uint32_t)c->functions->header->generation);
	}
	modules_free(&m);
}

/*
 * Who is not known any more is cut off; what the others may counts from their next request on.  A
 * line in `out` for what has changed.
 */
static void security_apply(struct coord *c, struct security_files *files, struct buf *out)
{
	struct rights_changes changes = security_swap(c->security, files);
	uint32_t cut = clients_identify(c->clients, c->link, c->node_link);

	if (changes.added || changes.removed || changes.changed || cut)
		buf_fmt(out,
			"clients: %u, of them %u new and %u with another name or other rights; %u "
			"are gone; connections cut off: %u\n",
			security_clients(c->security), changes.added, changes.changed,
			changes.removed, cut);
}

/* From here on nothing can fail: the new configuration takes the old one's place. */
static void swap(struct coord *c, struct next *n, struct peer *const *old_peers, struct buf *out)
{
	char set[CODEC_SET_BYTES];
	bool differ = ways_differ(c, n->conf, &n->routes, set) != 0;
	struct route_table old = c->routes;
	struct conf *old_conf = c->node.conf;

	c->routes = n->routes;
	if (differ) {
		old_ways_note(&c->front, set, &old, old_peers);
		fence_begin(c->fence, set);
	}
	n->routes = old;
	c->node.conf = n->conf;
	n->conf = old_conf;
	peer_server_configure(c->peer_server);
	security_apply(c, &n->files, out);
	c->node.reloads++;
	c->node.changed = true;
	settings_apply(c);
	functions_swap(c, n->functions);
	n->functions = NULL;
	next_fini(n);
}

/* Read all of it.  0; or negative errno, or with conf->error_count, it cannot be used. */
static int next_read(struct coord *c, struct next *n, struct buf *restart)
{
	int r = settings_read(c->source, &n->conf);

	if (r < 0)
		return r;
	if (!n->conf->error_count)
		r = functions_folder_accept(n->conf, c->functions->header->generation + 1,
					    FUNCTIONS_RELOAD_MS, &n->functions);
	if (r < 0 || n->conf->error_count)
		return n->conf->error_count ? 0 : r;
	(void)conf_keep(n->conf, c->node.conf, restart);
	if (!n->conf->error_count)
		r = security_read(n->conf, &n->files);
	if (r == 0 && !n->conf->error_count && n->files.on &&
	    strcmp(n->files.own.public, security_own(c->security)->public) != 0)
		buf_fmt(restart, "security.key: there is another pair in %s (an upgrade will do)\n",
			conf_text(n->conf, CONF_security_key));
	return r == 0 && !n->conf->error_count ? route_table_make(n->conf, &n->routes) : r;
}

static enum wire_error reload_all(struct coord *c, struct buf *out)
{
	static struct peer *old_peers[512];
	struct next n = {.conf = NULL};
	struct buf restart;
	int r;

	memcpy(old_peers, c->peers.of_conf, sizeof(old_peers));
	if (fence_busy(c->fence)) {
		buf_text(out, "the change before is still settling: requests on the old ways are "
			      "not all answered; try again later");
		return WIRE_E_BUSY;
	}
	buf_init(&restart);
	r = next_read(c, &n, &restart);
	if (r == 0 && !n.conf->error_count && conf_wants_nodes(n.conf)) {
		r = coord_listen_nodes(c, n.conf);
		if (r < 0)
			buf_fmt(out, "listen for nodes on \"%s\" (node.peer): ",
				conf_text(n.conf, CONF_node_peer));
	}
	if (r == 0 && !n.conf->error_count)
		r = peers_configure(&c->peers, n.conf);
	if (r < 0 || n.conf->error_count) {
		buf_fini(&restart);
		return refuse(&n, out, r < 0 ? strerror(-r) : NULL);
	}
	(void)conf_differences(n.conf, c->node.conf, out);
	if (pairs_differ(&n.conf->peers, &c->node.conf->peers))
		pairs_add(out, "peers", &n.conf->peers);
	if (pairs_differ(&n.conf->routes, &c->node.conf->routes))
		pairs_add(out, "routes", &n.conf->routes);
	functions_add(out, n.functions, c->functions);
	if (restart.len)
		buf_fmt(out, "a restart is needed for:\n%.*s", (int)restart.len, restart.data);
	buf_fini(&restart);
	swap(c, &n, old_peers, out);
	figures_event(c->node.figures, EVENT_OF_RELOAD, EVENT_INFO, "", "reloaded: %.*s",
		      out->len ? (int)out->len - 1 : 7, out->len ? out->data : "nothing to change");
	return WIRE_OK;
}

enum wire_error reload(void *arg, struct buf *out)
{
	struct coord *c = arg;
	char text[80];
	enum wire_error e;

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)clock_us());
	notify(text);
	e = reload_all(c, out);
	notify("READY=1");
	return e;
}
