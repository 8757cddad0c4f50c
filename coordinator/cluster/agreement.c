/* What stands in the agreement, and this node's own part of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/key.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/cluster/membership_impl.h"
#include "ipc/shm/metrics.h"
#include "ipc/wire/msgpack.h"

#define AGAIN_MS 500u /* between tries of what was not answered */
#define FRESH_MS 300u /* a change asked for longer ago tells nothing of what is so now */

/* ---- nodes ---- */

struct cluster_node *node_named(struct membership *m, struct span name)
{
	for (uint32_t i = 0; i < m->nodes; i++)
		if (span_equal(name, span_of(m->node[i].name)))
			return &m->node[i];
	return NULL;
}

static bool is_self(const struct membership *m, const char *name)
{
	return !strcmp(name, conf_text(m->parts.node->conf, CONF_node_name));
}

void links_make(struct membership *m)
{
	struct conf_pair *pair = calloc(CLUSTER_NODES_MAX, sizeof(*pair));
	uint32_t n = 0;

	if (!pair) {
		log_error("links to the cluster's nodes: no memory");
		return;
	}
	for (uint32_t i = 0; i < m->nodes; i++) {
		const struct cluster_node *x = &m->node[i];

		if (is_self(m, x->name) || !x->node[0] || (m->parts.node->key && !x->key[0]))
			continue;
		(void)snprintf(pair[n].key, sizeof(pair[n].key), "%s", x->name);
		(void)snprintf(pair[n].value, sizeof(pair[n].value), "%.255s", x->node);
		if (x->key[0] && m->parts.node->key) {
			(void)snprintf(pair[n].public[0], sizeof(pair[n].public[0]), "%s", x->key);
			pair[n].publics = 1;
		}
		n++;
	}
	if (peers_found(m->parts.peers, pair, n) < 0 || peers_found(m->parts.logs, pair, n) < 0)
		log_error("links to the cluster's nodes: no memory");
	peer_server_configure(m->parts.peer_server); /* who came with a key of before goes */
	m->parts.node->changed = true;
	free(pair);
}

/* What stands at a key is not what it should be: it is left out. */
static void wrong(struct span what, const char *why)
{
	char shown[4 * PEER_MESSAGE_NODE_MAX];

	log_error("what the agreement has at \"%s\" is left out: %s",
		  buf_printable(shown, sizeof(shown), what.p, what.n), why);
}

/* NULL, or why no node has that name. */
static const char *name_check(struct span name)
{
	if (!name.n || name.n > PEER_MESSAGE_NODE_MAX)
		return "a node's name has 1 to 63 characters";
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~')
			return "a node's name has no such characters";
	return NULL;
}

/* NULL, or why nobody can be that node. */
static const char *number_check(const struct membership *m, struct span name, uint32_t number)
{
	uint32_t i = number ? m->of_number[number] : NODE_NONE;

	return i != NODE_NONE && !span_equal(name, span_of(m->node[i].name))
		       ? "another node has its number"
		       : NULL;
}

static void node_take(struct membership *m, struct span what, uint64_t revision, struct span value)
{
	struct span name = {what.p + 5, what.n - 5};
	struct cluster_node got;
	struct cluster_node *x;
	const char *why = name_check(name);
	bool other;

	if (!why && views_node_read(value, &got, &why) == 0) {
		why = number_check(m, name, got.number);
		if (got.key[0] && !key_text_is(got.key, strlen(got.key)))
			why = "key: none";
	}
	if (why) {
		wrong(what, why);
		return;
	}
	(void)snprintf(got.name, sizeof(got.name), "%.*s", (int)name.n, name.p);
	got.revision = revision;
	x = node_named(m, name);
	if (x && x->revision >= revision)
		return;
	if (!x && m->nodes == CLUSTER_NODES_MAX) {
		log_warn("the cluster has more than %u nodes: \"%s\" is left out",
			 CLUSTER_NODES_MAX, got.name);
		return;
	}
	other = !x || strcmp(x->node, got.node) != 0 || strcmp(x->key, got.key) != 0;
	x = x ? x : &m->node[m->nodes++];
	if (x->number && x->number != got.number)
		m->of_number[x->number] = NODE_NONE;
	*x = got;
	if (got.number)
		m->of_number[got.number] = (uint32_t)(x - m->node);
	if (is_self(m, got.name) && got.store == m->store && !is_door(m))
		m->number = got.number;
	if (m->clerk && got.number)
		(void)clerk_node(m->clerk, got.number, got.store);
	if (other)
		links_make(m);
}

/* As far as its workers have said. */
static bool buckets_any(const struct membership *m)
{
	for (uint32_t i = 0; i < m->parts.supervisor->count; i++)
		if (metric_get(&metrics[METRIC_buckets],
			       m->parts.supervisor->worker[i].queue.segment->status))
			return true;
	return false;
}

/* What this node has to say of itself is there; else it is written. */
static void node_register(struct membership *m)
{
	const struct cluster_node *have =
		node_named(m, span_of(conf_text(m->parts.node->conf, CONF_node_name)));
	const struct key_file *own = m->parts.node->key;
	struct cluster_node want = {
		.store = m->store, .partitions = m->parts.node->partitions, .door = is_door(m)};
	char value[VIEWS_VALUE_MAX];
	char key[PREFIX_MAX + 80];
	char what[PEER_MESSAGE_NODE_MAX + 8];
	char *end;

	(void)snprintf(want.node, sizeof(want.node), "%s", m->parts.node_endpoint);
	(void)snprintf(want.client, sizeof(want.client), "%s", m->parts.client_endpoint);
	(void)snprintf(want.key, sizeof(want.key), "%s", own ? own->public : "");
	want.data = buckets_any(m);
	if (have) {
		want.number = have->number;
		want.leaving = have->leaving;
		if (want.door && have->number)
			want.store = have->store; /* its copies are away, not lost */
		if (m->config.id && have->store == want.store)
			want.data = have->data; /* it is of interest to who creates it alone */
		if (have->store == want.store && !strcmp(have->node, want.node) &&
		    !strcmp(have->client, want.client) && !strcmp(have->key, want.key) &&
		    have->partitions == want.partitions && have->data == want.data &&
		    have->door == want.door)
			return;
		if (want.door && have->number)
			log_warn("node.role = router, but this node is number %u of the cluster: "
				 "its copies are away until it has workers again",
				 have->number);
	}
	end = views_node_write(value, &want);
	(void)snprintf(what, sizeof(what), "node/%.63s",
		       conf_text(m->parts.node->conf, CONF_node_name));
	key_of(m, what, key, sizeof(key));
	if (agent_cas(m->agent, tag_make(ASKED_REGISTER, 0), key, have ? have->revision : 0,
		      (struct span){NULL, 0}, (struct span){value, (size_t)(end - value)}) == 0)
		m->registering = true;
}

/* ---- the clerk ---- */

static void targets_set(struct membership *m)
{
	uint32_t numbers[REPLICA_MEMBERS_MAX];

	if (!m->clerk || !m->table)
		return;
	for (uint32_t p = 0; p < m->config.partitions; p++) {
		for (uint32_t i = 0; i < m->copies; i++)
			numbers[i] = m->table[p * m->copies + i];
		clerk_target(m->clerk, p, numbers, m->copies);
	}
}

int clerk_make(struct membership *m)
{
	struct clerk_config c = {
		.self = {m->store, m->number, 0}, /* a door's number is 0, its workers are none */
		.partitions = m->config.partitions,
		.workers = m->parts.supervisor->count,
		.factor = m->config.factor,
		.min_copies = m->config.min_copies,
		.lease_ms = m->config.lease_ms,
		.drift_ppm = m->config.drift_ppm,
	};

	check(getrandom(&c.incarnation, sizeof(c.incarnation), 0) == sizeof(c.incarnation));
	free(m->asked);
	free(m->asked_known);
	m->asked = calloc(c.partitions, sizeof(*m->asked));
	m->asked_known = calloc(c.partitions, sizeof(*m->asked_known));
	if (!m->asked || !m->asked_known)
		return -ENOMEM;
	return clerk_new(&c, &actions, m, m->now, &m->clerk);
}

/* All that it needs is known: from now on this node takes part. */
static void clerk_begin(struct membership *m)
{
	if (m->config.partitions != m->parts.node->partitions) {
		log_error("the cluster \"%s\" has %u partitions, this node%s %u: a node with "
			  "another number cannot take part; begin with %sstorage.partitions = %u",
			  conf_text(m->parts.node->conf, CONF_cluster_name), m->config.partitions,
			  m->store ? "'s folder" : "", m->parts.node->partitions,
			  m->store ? "an empty folder and " : "", m->config.partitions);
		m->unfit = true;
		return;
	}
	if (clerk_make(m) < 0) {
		log_error("take part in the cluster: no memory");
		return;
	}
	if (m->kept_revision)
		clerk_revision_known(m->clerk, m->kept_revision);
	for (uint32_t i = 0; i < m->parts.supervisor->count; i++)
		atomic_store(
			&m->parts.supervisor->worker[i].queue.segment->header->settings.member_node,
			m->number);
	for (uint32_t i = 0; i < m->nodes; i++)
		if (m->node[i].number)
			(void)clerk_node(m->clerk, m->node[i].number, m->node[i].store);
	targets_set(m);
	m->relist = true; /* of all views it is told by a list */
	if (is_door(m))
		log_info("cluster %s: this node is a door to it, to %u partitions",
			 conf_text(m->parts.node->conf, CONF_cluster_name), m->config.partitions);
	else
		log_info("cluster %s: this node is number %u of it, with %u partitions of %u "
			 "copies each",
			 conf_text(m->parts.node->conf, CONF_cluster_name), m->number,
			 m->config.partitions, m->config.factor);
}

/* ---- keys ---- */

static void config_take(struct membership *m, struct span value)
{
	struct cluster_config got;
	const char *why;

	if (views_config_read(value, &got, &why) < 0) {
		wrong(span_of("config"), why);
	} else if (m->config.id && m->config.id != got.id) {
		why = "it is another cluster's now";
		wrong(span_of("config"), why);
	} else {
		why = NULL;
		m->config = got;
	}
	m->config_wrong = why;
}

static void view_take(struct membership *m, uint32_t partition, uint64_t revision,
		      struct span value, bool fresh, uint64_t known, uint64_t header)
{
	struct view v;
	const char *why;

	if (!m->clerk || partition >= m->config.partitions)
		return;
	if (views_view_read(value, &v, &why) < 0) {
		char key[16];

		(void)snprintf(key, sizeof(key), "part/%04x", partition);
		wrong(span_of(key), why);
		return;
	}
	v.revision = revision;
	clerk_view(m->clerk, partition, &v, fresh, known, header, m->now);
}

static void target_take(struct membership *m, struct span value)
{
	uint8_t *table;
	const char *why = "no memory";
	uint32_t copies;

	if (!m->clerk) /* it is listed again when there is one */
		return;
	table = malloc((size_t)m->parts.node->partitions * REPLICA_MEMBERS_MAX);
	if (!table ||
	    views_target_read(value, m->parts.node->partitions, table, &copies, &why) < 0) {
		wrong(span_of("target"), why);
		free(table);
		return;
	}
	free(m->table);
	m->table = table;
	m->copies = copies;
	targets_set(m);
}

void key_take(struct membership *m, struct span key, uint64_t revision, struct span value,
	      bool fresh, uint64_t known, uint64_t header)
{
	size_t n = strlen(m->prefix);
	struct span what;
	char hex[5] = "";

	if (key.n < n || memcmp(key.p, m->prefix, n) != 0)
		return;
	what = (struct span){key.p + n, key.n - n};
	if (span_equal(what, span_of("config"))) {
		config_take(m, value);
	} else if (span_equal(what, span_of("target"))) {
		target_take(m, value);
	} else if (what.n > 5 && !memcmp(what.p, "node/", 5)) {
		node_take(m, what, revision, value);
	} else if (what.n == 9 && !memcmp(what.p, "part/", 5)) {
		memcpy(hex, what.p + 5, 4);
		if (strspn(hex, "0123456789abcdef") == 4)
			view_take(m, (uint32_t)strtoul(hex, NULL, 16), revision, value, fresh,
				  known, header);
		else
			wrong(what, "a partition is written as four hexadecimal digits");
	}
}

static void items_take(struct membership *m, const struct agent_message *a, bool fresh,
		       uint64_t known)
{
	struct agent_item it;

	for (const char *p = a->items.p; agent_item_next(a, &p, &it);)
		key_take(m, it.key, it.mod_revision, it.value, fresh, known, a->revision);
}

/* ---- what the agent tells ---- */

static void list_take(struct membership *m, const struct agent_message *a)
{
	char prefix[PREFIX_MAX];

	if (a->kind != AGENT_MESSAGE_ITEMS) {
		m->listing = false;
		m->retry_ms = m->parts.node->now_ms + AGAIN_MS;
		return;
	}
	items_take(m, a, true, m->known);
	if (a->more)
		return;
	m->listing = false;
	m->listed = true;
	if (m->clerk)
		clerk_listed(m->clerk, m->known, a->revision, m->now);
	key_of(m, "", prefix, sizeof(prefix));
	if (!m->followed && agent_follow(m->agent, prefix, a->revision) == 0)
		m->followed = true;
}

/* A view as a get or a cas has found it. */
static void value_take(struct membership *m, uint64_t tag, const struct agent_message *a)
{
	uint32_t partition = (uint32_t)tag;

	if (!m->clerk)
		return;
	check(m->asked[partition]);
	m->asked[partition]--; /* each question has one answer, an unknown one too */
	if (a->kind != AGENT_MESSAGE_UNKNOWN && a->mod_revision)
		view_take(m, partition, a->mod_revision, a->value, true, m->asked_known[partition],
			  a->revision);
}

static void answer(void *arg, uint64_t tag, const struct agent_message *a)
{
	struct membership *m = arg;

	switch ((enum asked)(tag >> 56)) {
	case ASKED_LIST:
		list_take(m, a);
		break;
	case ASKED_GET:
	case ASKED_CAS:
		value_take(m, tag, a);
		break;
	case ASKED_REGISTER:
		m->registering = false;
		m->retry_ms = m->parts.node->now_ms + AGAIN_MS;
		break; /* the change will tell */
	case ASKED_CREATE:
		create_answer(m, a);
		break;
	}
}

static void changed(void *arg, const struct agent_message *a)
{
	struct membership *m = arg;

	items_take(m, a, false, 0);
	if (m->clerk && !a->more && a->age_ms < FRESH_MS && m->listed && !m->relist && !m->listing)
		clerk_listed(m->clerk, 0, a->revision, m->now);
}

static void state(void *arg, const struct agent_message *a)
{
	struct membership *m = arg;

	figures_event(m->parts.node->figures, EVENT_OF_CLUSTER,
		      a->state == AGENT_UP ? EVENT_INFO : EVENT_WARNING, "agreement",
		      "cluster %s: agreement %s%s%.*s",
		      conf_text(m->parts.node->conf, CONF_cluster_name), agent_state_name(a->state),
		      a->text.n ? ": " : "", (int)a->text.n, a->text.p);
	if (a->cluster)
		m->etcd = a->cluster;
	m->agreement_ms = m->parts.node->now_ms;
	m->parts.node->changed = true;
}

int agreement_open(struct membership *m)
{
	const struct conf *conf = m->parts.node->conf;
	const struct agent_settings s = {.prefix = m->prefix,
					 .endpoints = conf_text(conf, CONF_cluster_etcd),
					 .ca = conf_text(conf, CONF_cluster_etcd_ca),
					 .cert = conf_text(conf, CONF_cluster_etcd_cert),
					 .cert_key = conf_text(conf, CONF_cluster_etcd_cert_key),
					 .user = conf_text(conf, CONF_cluster_etcd_user),
					 .password = conf_text(conf, CONF_cluster_etcd_password),
					 .cluster = m->etcd,
					 .floor = m->clerk ? clerk_revision(m->clerk)
							   : m->kept_revision};
	const struct agent_events e = {answer, changed, state, m};
	int r = agent_new(&s, &e, &m->agent);

	if (r == -ENOENT)
		log_error("pail-agent is not beside paild, nor in ../libexec/pail");
	else if (r < 0)
		log_error("cluster.etcd: %s", strerror(-r));
	return r;
}

void agreement_tick(struct membership *m)
{
	char prefix[PREFIX_MAX];

	if (m->parts.node->now_ms < m->retry_ms)
		return;
	if ((!m->listed || m->relist) && !m->listing) {
		key_of(m, "", prefix, sizeof(prefix));
		m->known = m->clerk ? clerk_revision(m->clerk) : 0;
		if (agent_list(m->agent, tag_make(ASKED_LIST, 0), prefix, 0) == 0) {
			m->listing = true;
			m->relist = false;
		}
		return;
	}
	if (!m->listed || m->listing)
		return;
	if (!m->registering)
		node_register(m);
	if (!m->clerk && m->config.id && takes_part(m)) {
		clerk_begin(m);
		for (uint32_t i = 0; m->clerk && i < m->parts.supervisor->count; i++)
			if (m->line[i].up)
				membership_worker_up(m, &m->parts.supervisor->worker[i]);
	}
}
