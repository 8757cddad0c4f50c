/* Checks across settings, and what may change while a node runs. */
#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "common/config/config_impl.h"

static void peers_check(struct conf *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct conf_pair *p = &c->peers.pair[i];

		if (!strcmp(p->key, conf_text(c, CONF_node_name)))
			conf_error(c, p->origin, "peer \"%.60s\" is this node itself", p->key);
		else if (!strcmp(p->value, conf_text(c, CONF_node_peer)))
			conf_error(c, p->origin, "peer %s = %s is this node's own node.peer",
				   p->key, p->value);
		for (uint32_t k = 0; k < i && !conf_asks_only(p); k++)
			if (!strcmp(p->value, c->peers.pair[k].value))
				conf_error(c, p->origin,
					   "peer %s = %s is where %s is already, from %s", p->key,
					   p->value, c->peers.pair[k].key, c->peers.pair[k].origin);
	}
}

bool conf_any_host(const char *host, size_t n)
{
	return (n == 1 && *host == '*') || (n == 7 && !memcmp(host, "0.0.0.0", 7)) ||
	       (n == 4 && !memcmp(host, "[::]", 4));
}

/* Can only one of two sockets listen?  `a` and `b`: endpoints, or HOST:PORT. */
static bool collide(const char *a, const char *b)
{
	const char *port[2];
	size_t n[2];

	if (!strcmp(a, b))
		return !strstr(a, ":0") && !strstr(a, ":*");
	a += !strncmp(a, "tcp://", 6) ? 6 : 0;
	b += !strncmp(b, "tcp://", 6) ? 6 : 0;
	port[0] = strrchr(a, ':');
	port[1] = strrchr(b, ':');
	if (!port[0] || !port[1] || strcmp(port[0], port[1]) != 0 || !strcmp(port[0], ":0") ||
	    !strcmp(port[0], ":*"))
		return false;
	n[0] = (size_t)(port[0] - a);
	n[1] = (size_t)(port[1] - b);
	return (n[0] == n[1] && !memcmp(a, b, n[0])) || conf_any_host(a, n[0]) ||
	       conf_any_host(b, n[1]);
}

/* Where this node listens, each at a place of its own. */
static void endpoints_check(struct conf *c)
{
	static const enum conf_key keys[] = {CONF_node_client, CONF_node_peer, CONF_node_admin,
					     CONF_gateway_text, CONF_metrics_http};
	bool used[] = {conf_number(c, CONF_node_role) != ROLE_STORAGE, conf_wants_nodes(c), true,
		       true, true};

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		for (unsigned k = i + 1; k < sizeof(keys) / sizeof(keys[0]); k++) {
			const struct conf_value *a = &c->value[keys[i]];
			const struct conf_value *b = &c->value[keys[k]];

			if (!used[i] || !used[k] || !*a->text || !*b->text ||
			    !collide(a->text, b->text))
				continue;
			conf_error(c, strcmp(b->origin, "default") != 0 ? b->origin : a->origin,
				   "%s.%s = %s and %s.%s = %s are one place, only one can listen "
				   "there",
				   conf_rows[keys[i]].section, conf_rows[keys[i]].key, a->text,
				   conf_rows[keys[k]].section, conf_rows[keys[k]].key, b->text);
		}
}

/* What a request may answer is logged with it.  What is set by nobody follows. */
static void result_check(struct conf *c)
{
	const struct conf_value *result = &c->value[CONF_limits_result];
	uint64_t most = c->value[CONF_limits_message].number;

	if (result->number <= most)
		return;
	if (conf_is_default(c, CONF_limits_result))
		conf_settle(c, CONF_limits_result, most, "default: as limits.message");
	else
		conf_error(c, result->origin,
			   "limits.result = %s must be at most limits.message = %s", result->text,
			   c->value[CONF_limits_message].text);
}

/* A worker in a call must not count as hung.  What is set by nobody follows. */
static void functions_check(struct conf *c)
{
	const struct conf_value *time = &c->value[CONF_functions_time_ms];
	uint64_t most = c->value[CONF_supervisor_hang_ms].number / 10;

	if (time->number <= most)
		return;
	if (conf_is_default(c, CONF_functions_time_ms))
		conf_settle(c, CONF_functions_time_ms, most,
			    "default: a tenth of supervisor.hang_ms");
	else
		conf_error(c, time->origin,
			   "functions.time_ms = %s must be at most a tenth of "
			   "supervisor.hang_ms = %s",
			   time->text, c->value[CONF_supervisor_hang_ms].text);
}

void conf_check(struct conf *c)
{
	const struct conf_value *v = c->value;

	if (v[CONF_limits_message].number < 2 * v[CONF_limits_value].number)
		conf_error(c, v[CONF_limits_message].origin,
			   "limits.message = %s must be at least twice limits.value = %s",
			   v[CONF_limits_message].text, v[CONF_limits_value].text);
	functions_check(c);
	result_check(c);
	if (v[CONF_storage_partitions].number & (v[CONF_storage_partitions].number - 1))
		conf_error(c, v[CONF_storage_partitions].origin,
			   "storage.partitions = %s is no power of two",
			   v[CONF_storage_partitions].text);
	if (!v[CONF_node_data].text[0] && v[CONF_node_role].number != ROLE_ROUTER && !c->incomplete)
		conf_error(c, v[CONF_node_data].origin,
			   "node.data is not set: where shall the data lie? (or use --dev)");
	peers_check(c);
	endpoints_check(c);
	conf_cluster_check(c);
	conf_security_check(c);
	if (v[CONF_gateway_text].text[0] && v[CONF_node_role].number == ROLE_STORAGE)
		conf_error(c, v[CONF_gateway_text].origin,
			   "gateway.text is set, but node.role = storage serves no clients");
	if (v[CONF_metrics_http].text[0] && !v[CONF_node_data].text[0] &&
	    !v[CONF_node_admin].text[0] && !c->incomplete)
		conf_error(c, v[CONF_metrics_http].origin,
			   "metrics.http is set, but a node without node.data has no admin socket, "
			   "through which figures are asked for: set node.admin");
	if (v[CONF_links_dead_ms].number < 2 * v[CONF_links_ping_ms].number)
		conf_error(c, v[CONF_links_dead_ms].origin,
			   "links.dead_ms = %s must be at least twice links.ping_ms = %s",
			   v[CONF_links_dead_ms].text, v[CONF_links_ping_ms].text);
	if (c->error_count > CONF_ERRORS_MAX)
		buf_fmt(&c->errors, "and %u more\n", c->error_count - CONF_ERRORS_MAX);
}

/* Set by nobody: it follows from the machine, and from other settings, which are named. */
static bool follows(const struct conf_value *v)
{
	return !strncmp(v->origin, "default", 7);
}

static unsigned compare(struct conf *c, const struct conf *old, bool reload, struct buf *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CONF_KEY_COUNT; i++) {
		if (conf_rows[i].reload != reload || !strcmp(c->value[i].text, old->value[i].text))
			continue;
		if (!reload && follows(&c->value[i]) && follows(&old->value[i])) {
			c->value[i] = old->value[i];
			continue;
		}
		n++;
		buf_fmt(out, "%s.%s = %s (was %s)\n", conf_rows[i].section, conf_rows[i].key,
			c->value[i].text, old->value[i].text);
		if (!reload)
			c->value[i] = old->value[i];
	}
	return n;
}

/* The settings and the peers of a node with keys, and of one without, do not go together. */
static void keys_keep(struct conf *c, const struct conf *old)
{
	const struct conf_value *new = &c->value[CONF_security_key];
	const struct conf_value *was = &old->value[CONF_security_key];

	if (*new->text && !*was->text)
		conf_error(
			c, new->origin,
			"security.key = %s: this node runs without keys, only a restart gives it "
			"some",
			new->text);
	else if (!*new->text && * was->text)
		conf_error(c, was->origin,
			   "security.key = %s is gone: this node runs with keys, only a restart "
			   "ends that",
			   was->text);
}

/* Whose buckets it has, and what it may say of them, is not changed under a node that serves. */
static void cluster_keep(struct conf *c, const struct conf *old)
{
	const struct conf_value *new = &c->value[CONF_cluster_name];
	const struct conf_value *was = &old->value[CONF_cluster_name];

	if (!strcmp(new->text, was->text))
		return;
	if (!*was->text)
		conf_error(c, new->origin,
			   "cluster.name = %s: this node runs outside of any cluster, only a "
			   "restart takes it into one",
			   new->text);
	else
		conf_error(c, *new->text ? new->origin : was->origin,
			   "cluster.name = %s: this node runs in the cluster %s, only a restart "
			   "changes that",
			   new->text, was->text);
}

unsigned conf_keep(struct conf *c, const struct conf *old, struct buf *out)
{
	keys_keep(c, old);
	cluster_keep(c, old);
	return compare(c, old, false, out);
}

unsigned conf_differences(const struct conf *c, const struct conf *old, struct buf *out)
{
	return compare((struct conf *)(uintptr_t)c, old, true, out);
}
