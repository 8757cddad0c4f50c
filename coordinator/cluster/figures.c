/* What operators are told of the cluster. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "coordinator/cluster/membership_impl.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/reply.h"

#define BEHIND_MAX  256u /* copies that are told of */
#define BEHIND_ROOM (160u + PEER_MESSAGE_NODE_MAX)

/* Of one node, from the views as this one knows them. */
struct node_figures {
	uint32_t leading; /* partitions whose primary it is */
	uint32_t copies;  /* that it is to have, or has */
	uint32_t in_sync; /* of these, in the set in sync */
};

#define LAG_HELD_MS  1500u /* the longest of all workers' */
#define LAG_KNOWN_MS 4000u /* then it is that of nobody's copies */

struct cluster_figures {
	struct node_figures node[REPLICA_NODES_MAX];
	uint32_t known;           /* partitions with a view */
	uint32_t without_primary; /* whose primary is away, or does not serve yet */
	uint32_t fewer;           /* with fewer copies in sync than the factor says */
	uint32_t too_few;         /* with fewer than writes need */
	int64_t clock_ahead_ms;   /* of the other nodes' */
};

static bool is_wanted(const struct membership *m, uint32_t partition, uint32_t number)
{
	for (uint32_t i = 0; m->table && i < m->copies; i++)
		if (m->table[partition * m->copies + i] == number)
			return true;
	return false;
}

bool node_is_up(const struct membership *m, const struct cluster_node *n)
{
	const struct peer *p = peers_named(m->parts.logs, n->name);

	return !strcmp(n->name, conf_text(m->parts.node->conf, CONF_node_name)) ||
	       (p && p->state == PEER_UP);
}

/* With its copies: a node that has become a door has left them behind. */
static bool is_up(const struct membership *m, uint32_t number)
{
	uint32_t i = number < REPLICA_NODES_MAX ? m->of_number[number] : NODE_NONE;

	return number == m->number ||
	       (i != NODE_NONE && !m->node[i].door && node_is_up(m, &m->node[i]));
}

/* Workers tell it each second, each of its own partitions. */
void figures_lag(struct membership *m, uint32_t node, uint64_t ms)
{
	uint64_t now_ms = m->parts.node->now_ms;
	struct lag *x = &m->lag[node % REPLICA_NODES_MAX];

	if (ms < x->ms && now_ms - x->told_ms < LAG_HELD_MS)
		return;
	*x = (struct lag){now_ms, ms};
}

static char *lag_write(const struct membership *m, uint32_t node, char *p)
{
	const struct lag *x = &m->lag[node];

	p = write_text(p, "lag_ms");
	return x->told_ms && m->parts.node->now_ms - x->told_ms < LAG_KNOWN_MS
		       ? write_uint(p, x->ms)
		       : write_nil(p);
}

static void view_count(const struct membership *m, uint32_t partition, const struct view *v,
		       struct cluster_figures *f)
{
	bool isr[REPLICA_NODES_MAX] = {false};

	f->known++;
	f->node[v->primary.node].leading++;
	f->without_primary += !is_up(m, v->primary.node);
	f->fewer += v->isr_count < m->config.factor;
	f->too_few += v->isr_count < m->config.min_copies;
	for (uint32_t i = 0; i < v->isr_count; i++)
		isr[v->isr[i].node] = true;
	for (uint32_t n = 1; n < REPLICA_NODES_MAX; n++) {
		f->node[n].in_sync += isr[n];
		f->node[n].copies += isr[n] || is_wanted(m, partition, n);
	}
}

static void figures_count(const struct membership *m, struct cluster_figures *f)
{
	struct clerk_figures own;

	memset(f, 0, sizeof(*f));
	if (!m->clerk)
		return;
	for (uint32_t p = 0; p < m->config.partitions; p++) {
		const struct view *v = clerk_view_of(m->clerk, p);

		if (v)
			view_count(m, p, v, f);
	}
	clerk_figures(m->clerk, m->now, &own);
	f->without_primary += own.without_primary;
	f->clock_ahead_ms = own.clock_ahead_ms;
}

/* For how long the agreement has been as it is. */
static unsigned long long since_ms(const struct membership *m)
{
	return m->agreement_ms ? m->parts.node->now_ms - m->agreement_ms : 0;
}

/* What is wrong, the worst first.  Whether nothing is. */
static bool verdict(const struct membership *m, const struct cluster_figures *f, char *out,
		    size_t size)
{
	struct agent_status a;
	uint32_t away = 0;

	agent_status(m->agent, &a);
	for (uint32_t i = 0; i < m->nodes; i++)
		away += m->node[i].number && !is_up(m, m->node[i].number);
	if (!m->clerk)
		membership_explain(m, out, size);
	else if (f->known < m->config.partitions)
		(void)snprintf(out, size, "%u of %u partitions are not known yet",
			       m->config.partitions - f->known, m->config.partitions);
	else if (f->without_primary)
		(void)snprintf(out, size,
			       "%u partitions are without a primary: nobody can use them",
			       f->without_primary);
	else if (f->too_few)
		(void)snprintf(
			out, size,
			"%u partitions have fewer than %u copies in sync: they refuse writes",
			f->too_few, m->config.min_copies);
	else if (clerk_set_back(m->clerk) || a.state == AGENT_SET_BACK)
		(void)snprintf(out, size,
			       "all partitions are served; the agreement was set back: nothing can "
			       "be changed");
	else if (a.state != AGENT_UP)
		(void)snprintf(out, size,
			       "all partitions are served; the agreement is %s since %llu s, and "
			       "the next fault will wait for it",
			       agent_state_name(a.state), since_ms(m) / 1000);
	else if (f->fewer)
		(void)snprintf(out, size,
			       "all partitions are served; %u have a copy that is not in sync",
			       f->fewer);
	else if (away)
		(void)snprintf(out, size, "all partitions are served; %u nodes are not connected",
			       away);
	else if (llabs(f->clock_ahead_ms) > CLERK_APART_MS)
		(void)snprintf(out, size,
			       "all partitions are served; this node's clock is %lld ms %s that of "
			       "the others",
			       llabs(f->clock_ahead_ms),
			       f->clock_ahead_ms > 0 ? "ahead of" : "behind");
	else
		return snprintf(out, size,
				"all is well: all partitions are served, all copies in sync") > 0;
	return false;
}

static char *id_write(const struct membership *m, char *p)
{
	char id[17];

	if (!m->config.id)
		return write_nil(p);
	(void)snprintf(id, sizeof(id), "%016" PRIx64, m->config.id);
	return write_text(p, id);
}

static char *number_write(char *p, const char *name, uint64_t n)
{
	return write_uint(write_text(p, name), n);
}

static const char *state_of(const struct membership *m, const struct cluster_node *x)
{
	const char *leaves = m->clerk && x->number ? clerk_leaves(m->clerk, x->number) : NULL;
	bool up = x->number ? is_up(m, x->number) : node_is_up(m, x);

	return !x->number && !x->door ? "new" : !up ? "away" : leaves ? leaves : "up";
}

static char *node_write(const struct membership *m, const struct cluster_node *x,
			const struct cluster_figures *f, char *p)
{
	const struct node_figures *n = &f->node[x->number];

	p = write_map(p, 10);
	p = write_text(write_text(p, "name"), x->name);
	p = number_write(p, "number", x->number);
	p = write_text(write_text(p, "state"), state_of(m, x));
	p = write_bool(write_text(p, "door"), x->door);
	p = write_text(write_text(p, "client"), x->client);
	p = number_write(p, "leading", n->leading);
	p = number_write(p, "copies", n->copies);
	p = number_write(p, "in_sync", n->in_sync);
	p = number_write(p, "learning", n->copies - n->in_sync);
	return lag_write(m, x->number, p);
}

/* Copies that are not in sync, of partitions whose primary is here, and why. */
static char *behind_write(const struct membership *m, char *p)
{
	uint32_t n = 0;
	char *count = p;

	p = write_array32(p, 0);
	for (uint32_t part = 0; m->clerk && part < m->config.partitions; part++) {
		const char *why;
		uint32_t node;

		for (uint32_t i = 0;
		     n < BEHIND_MAX && (why = clerk_why(m->clerk, part, i, m->now, &node));
		     i++, n++) {
			uint32_t k = node < REPLICA_NODES_MAX ? m->of_number[node] : NODE_NONE;

			p = number_write(write_map(p, 3), "partition", part);
			p = write_text(write_text(p, "node"),
				       k == NODE_NONE ? "?" : m->node[k].name);
			p = write_text(write_text(p, "why"), why);
		}
	}
	(void)write_array32(count, n);
	return p;
}

void figures_status(void *arg, struct reply_to o, uint64_t msgid)
{
	struct membership *m = arg;
	struct cluster_figures f;
	struct agent_status a;
	char text[300];
	struct buf b;
	bool ok;
	char *p;

	moments_read(m);
	figures_count(m, &f);
	ok = verdict(m, &f, text, sizeof(text));
	agent_status(m->agent, &a);
	buf_init(&b);
	p = buf_room(&b, 2048 + BEHIND_MAX * BEHIND_ROOM +
				 (size_t)m->nodes *
					 (256 + PEER_MESSAGE_NODE_MAX + SOCKET_ENDPOINT_MAX));
	if (!p) {
		reply_error(m->parts.sink, o, WIRE_CLUSTER_STATUS, msgid, true, WIRE_E_INTERNAL,
			    "no memory");
		return;
	}
	p = write_map(write_reply_head(p, msgid), 16);
	p = write_text(write_text(p, "verdict"), text);
	p = write_bool(write_text(p, "ok"), ok);
	p = write_text(write_text(p, "name"), conf_text(m->parts.node->conf, CONF_cluster_name));
	p = id_write(m, write_text(p, "id"));
	p = number_write(p, "partitions", m->config.id ? m->config.partitions : 0);
	p = number_write(p, "factor", m->config.factor);
	p = number_write(p, "min_copies", m->config.min_copies);
	p = number_write(p, "known", f.known);
	p = number_write(p, "without_primary", f.without_primary);
	p = number_write(p, "in_sync", f.known - f.fewer);
	p = number_write(p, "not_in_sync", f.fewer);
	p = number_write(p, "too_few", f.too_few);
	p = write_int(write_text(p, "clock_ahead_ms"), f.clock_ahead_ms);
	p = write_array(write_text(p, "nodes"), m->nodes);
	for (uint32_t i = 0; i < m->nodes; i++)
		p = node_write(m, &m->node[i], &f, p);
	p = behind_write(m, write_text(p, "behind"));
	p = write_map(write_text(p, "agreement"), 4);
	p = number_write(p, "since_ms", since_ms(m));
	p = write_text(write_text(p, "state"), agent_state_name(a.state));
	p = number_write(p, "revision", a.revision);
	p = write_text(write_text(p, "text"), a.text ? a.text : "");
	reply_send(m->parts.sink, o, b.data, (size_t)(p - b.data));
	buf_fini(&b);
}

void membership_figures(struct membership *m, struct membership_figures *ret)
{
	struct cluster_figures f;
	struct agent_status a;

	moments_read(m);
	figures_count(m, &f);
	agent_status(m->agent, &a);
	*ret = (struct membership_figures){
		.partitions = m->config.id ? m->config.partitions : 0,
		.leading = f.node[m->number].leading,
		.in_sync = f.node[m->number].in_sync,
		.learning = f.node[m->number].copies - f.node[m->number].in_sync,
		.without_primary = f.without_primary,
		.not_in_sync = f.fewer,
		.too_few = f.too_few,
		.agreement_up = a.state == AGENT_UP,
		.agent = a.pid,
	};
}
