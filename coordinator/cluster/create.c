/*
 * A cluster is created: by the node that an operator asked, in the steps that agent.h tells.  Who
 * takes part has registered itself before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/cluster/membership_impl.h"
#include "ipc/wire/msgpack.h"
#include "ipc/wire/reply.h"

#define CREATE_MS 30000u /* for all of it */
#define ITEMS_MAX 50u    /* keys of one request: well below what etcd takes */

static void refuse(struct membership *m, enum wire_error e, const char *text)
{
	struct creation *c = &m->creation;

	reply_error(m->parts.sink, c->reply_to, WIRE_CLUSTER_CREATE, c->msgid, true, e, text);
	free(c->table);
	c->table = NULL;
	c->step = CREATE_NONE;
}

/* Whether it was sent; else it is over. */
static void sent(struct membership *m, int r, enum create_step step)
{
	m->creation.step = step;
	if (r < 0)
		refuse(m, WIRE_E_NODE_DOWN,
		       "the agreement cannot be asked now: see pail cluster status");
}

static void ask_get(struct membership *m, const char *what, enum create_step step)
{
	char key[PREFIX_MAX + 16];

	key_of(m, what, key, sizeof(key));
	sent(m, agent_get(m->agent, tag_make(ASKED_CREATE, 0), key), step);
}

/* ---- what is wanted ---- */

/* Can that node be one of the cluster, as it has registered? */
static bool node_fits(const struct membership *m, const struct cluster_create *x,
		      const struct cluster_node *n, char *text, size_t size)
{
	uint32_t own = m->parts.node->partitions;

	if (n->door)
		(void)snprintf(text, size,
			       "node \"%s\" has no workers (node.role = router), so it cannot have "
			       "copies: it is a door to what the others have",
			       n->name);
	else if (!node_is_up(m, n))
		(void)snprintf(text, size,
			       "node \"%s\" has registered, but is not connected: is it running? "
			       "see pail peers",
			       n->name);
	else if (n->partitions && n->partitions != own)
		(void)snprintf(text, size,
			       "node \"%s\" has %u partitions, this one %u: storage.partitions is "
			       "to be the same on all, from the first start on",
			       n->name, n->partitions, own);
	else if (n->data && !(x->keep.p && span_equal(x->keep, span_of(n->name))))
		(void)snprintf(text, size,
			       "node \"%s\" has buckets, which would be lost: begin it with an "
			       "empty folder, or keep what it has: --keep %s",
			       n->name, n->name);
	else
		return true;
	return false;
}

/* The nodes that are named, with their numbers: those that they have, else the next ones. */
static const char *nodes_choose(struct membership *m, const struct cluster_create *x, char *text,
				size_t size)
{
	struct creation *c = &m->creation;
	uint32_t next = 1;
	char shown[100];

	for (uint32_t i = 0; i < m->nodes; i++)
		if (m->node[i].number >= next)
			next = m->node[i].number + 1;
	for (c->count = 0; c->count < x->count; c->count++) {
		const struct cluster_node *n = node_named(m, x->node[c->count]);

		(void)buf_printable(shown, sizeof(shown), x->node[c->count].p, x->node[c->count].n);
		if (!n) {
			(void)snprintf(text, size,
				       "node \"%s\" has not registered: is it running, with "
				       "cluster.name = %.63s and the same cluster.etcd?",
				       shown, conf_text(m->parts.node->conf, CONF_cluster_name));
			return text;
		}
		for (uint32_t k = 0; k < c->count; k++)
			if (!strcmp(c->node[k].name, n->name)) {
				(void)snprintf(text, size, "node \"%s\" is named twice", shown);
				return text;
			}
		if (!node_fits(m, x, n, text, size))
			return text;
		c->node[c->count] = *n;
		if (!n->number)
			c->node[c->count].number = next++;
		if (next > REPLICA_NODES_MAX) {
			(void)snprintf(text, size, "all numbers of nodes have been given");
			return text;
		}
	}
	return NULL;
}

static const char *create_check(struct membership *m, const struct cluster_create *x, char *text,
				size_t size)
{
	struct creation *c = &m->creation;
	const char *why = nodes_choose(m, x, text, size);

	c->keep = 0;
	if (why)
		return why;
	if (x->factor < 1 || x->factor > REPLICA_MEMBERS_MAX - 1 || x->factor > x->count) {
		(void)snprintf(text, size,
			       "factor %u: 1 to %u copies, and no more than there are nodes (%u)",
			       x->factor, REPLICA_MEMBERS_MAX - 1, x->count);
		return text;
	}
	c->config.factor = x->factor;
	c->config.min_copies = x->min_copies ? x->min_copies : x->factor > 2 ? 2 : 1;
	if (c->config.min_copies > x->factor) {
		(void)snprintf(text, size, "min_copies %u: at most the factor, %u", x->min_copies,
			       x->factor);
		return text;
	}
	if (x->keep.p) {
		for (uint32_t i = 0; i < c->count; i++)
			if (span_equal(x->keep, span_of(c->node[i].name)))
				c->keep = c->node[i].number;
		if (!c->keep)
			return "the node whose data is kept is not among the nodes";
	}
	return NULL;
}

void create_begin(void *arg, struct reply_to o, uint64_t msgid, const struct cluster_create *x)
{
	struct membership *m = arg;
	struct creation *c = &m->creation;
	uint32_t numbers[CLUSTER_NODES_MAX];
	char text[300];
	const char *why;

	if (c->step != CREATE_NONE || !m->listed) {
		reply_error(
			m->parts.sink, o, WIRE_CLUSTER_CREATE, msgid, true, WIRE_E_BUSY,
			m->listed ? "a cluster is being created here"
				  : "the agreement has not been read yet: see pail cluster status");
		return;
	}
	if (m->config.id || m->config_wrong) {
		reply_error(m->parts.sink, o, WIRE_CLUSTER_CREATE, msgid, true, WIRE_E_BAD_ARGUMENT,
			    m->config.id ? "the cluster has been created already"
					 : "the agreement has a config that is none: see pail "
					   "cluster status");
		return;
	}
	free(c->table);
	memset(c, 0, sizeof(*c));
	c->reply_to = o;
	c->msgid = msgid;
	c->due_ms = m->parts.node->now_ms + CREATE_MS;
	why = create_check(m, x, text, sizeof(text));
	if (why) {
		refuse(m, WIRE_E_BAD_ARGUMENT, why);
		return;
	}
	c->config.id = actions.token(m);
	c->config.partitions = m->parts.node->partitions;
	c->config.lease_ms = CLERK_LEASE_MS;
	c->config.drift_ppm = CLERK_DRIFT_PPM;
	c->table = malloc((size_t)c->config.partitions * c->config.factor);
	if (!c->table) {
		refuse(m, WIRE_E_INTERNAL, "no memory");
		return;
	}
	for (uint32_t i = 0; i < c->count; i++)
		numbers[i] = c->node[i].number;
	views_table_make(numbers, c->count, c->config.partitions, c->config.factor, c->table);
	ask_get(m, "config", CREATE_GET);
}

/* ---- writing it ---- */

static struct member member_of(const struct creation *c, uint32_t number)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->node[i].number == number)
			return (struct member){c->node[i].store, number, 0};
	return (struct member){0, 0, 0};
}

static char *first_view_write(const struct membership *m, uint32_t partition, char *p)
{
	const struct creation *c = &m->creation;
	const uint8_t *row = &c->table[partition * c->config.factor];
	struct view v = {.epoch = 1, .released = true, .by = c->config.id};

	if (c->keep) { /* the others learn from it */
		v.primary = member_of(c, c->keep);
		v.isr[v.isr_count++] = v.primary;
	} else {
		v.primary = member_of(c, row[0]);
		for (uint32_t i = 0; i < c->config.factor; i++)
			v.isr[v.isr_count++] = member_of(c, row[i]);
	}
	return views_view_write(p, &v);
}

/* The i-th of all keys but config: nodes, the target, the views. */
static char *item_write(const struct membership *m, uint32_t i, char *p)
{
	const struct creation *c = &m->creation;
	char what[PEER_MESSAGE_NODE_MAX + 16];
	char key[PREFIX_MAX + sizeof(what)];

	if (i < c->count)
		(void)snprintf(what, sizeof(what), "node/%s", c->node[i].name);
	else if (i == c->count)
		(void)snprintf(what, sizeof(what), "target");
	else
		(void)snprintf(what, sizeof(what), "part/%04x", i - c->count - 1);
	key_of(m, what, key, sizeof(key));
	p = write_text(p, key);
	if (i < c->count)
		return views_node_write(p, &c->node[i]);
	if (i == c->count)
		return views_target_write(p, c->table, c->config.partitions, c->config.factor);
	return first_view_write(m, i - c->count - 1, p);
}

static char *guards_write(const struct membership *m, char *p)
{
	char key[PREFIX_MAX + 16];

	key_of(m, "creating", key, sizeof(key));
	p = write_uint(write_text(p, key), m->creation.mark);
	key_of(m, "config", key, sizeof(key));
	return write_uint(write_text(p, key), 0);
}

/* The next keys, or config when all of them are there. */
static void keys_send(struct membership *m)
{
	static char items[AGENT_MESSAGE_MAX];
	struct creation *c = &m->creation;
	char guards[2 * (PREFIX_MAX + 40)];
	struct agent_message a = {
		.guards = {guards, 0},
                  .guard_count = 4, .items = {items,  0}
        };
	uint32_t all = c->count + 1 + c->config.partitions;
	char key[PREFIX_MAX + 16];
	char *p = items;
	uint32_t n = 0;

	a.guards.n = (size_t)(guards_write(m, guards) - guards);
	if (c->done < all) {
		size_t target = views_target_bytes(c->config.partitions, c->config.factor);

		while (c->done < all && n < ITEMS_MAX &&
		       (size_t)(p - items) + target + 2 * VIEWS_VALUE_MAX < sizeof(items)) {
			p = item_write(m, c->done++, p);
			n++;
		}
	} else {
		key_of(m, "config", key, sizeof(key));
		p = views_config_write(write_text(p, key), &c->config);
		n = 1;
	}
	a.items.n = (size_t)(p - items);
	a.item_count = 2 * n;
	sent(m, agent_create(m->agent, tag_make(ASKED_CREATE, 0), &a), CREATE_KEYS);
}

static void created(struct membership *m)
{
	struct creation *c = &m->creation;
	char reply[400];
	char *p = write_map(write_reply_head(reply, c->msgid), 4);

	p = write_text(write_text(p, "name"), conf_text(m->parts.node->conf, CONF_cluster_name));
	p = write_uint(write_text(p, "partitions"), c->config.partitions);
	p = write_uint(write_text(p, "factor"), c->config.factor);
	p = write_uint(write_text(p, "min_copies"), c->config.min_copies);
	reply_send(m->parts.sink, c->reply_to, reply, (size_t)(p - reply));
	log_info("cluster %s: created, %u nodes, %u copies of each of %u partitions",
		 conf_text(m->parts.node->conf, CONF_cluster_name), c->count, c->config.factor,
		 c->config.partitions);
	free(c->table);
	c->table = NULL;
	c->step = CREATE_NONE;
}

static void mark_send(struct membership *m, uint64_t compared)
{
	struct creation *c = &m->creation;
	char key[PREFIX_MAX + 16];
	char value[40];
	char text[17];
	char *end;

	views_id_write(text, c->config.id);
	end = write_text(value, text);
	key_of(m, "creating", key, sizeof(key));
	sent(m,
	     agent_cas(m->agent, tag_make(ASKED_CREATE, 0), key, compared, (struct span){NULL, 0},
		       (struct span){value, (size_t)(end - value)}),
	     CREATE_MARK);
}

/* What was asked was answered: the next step. */
void create_answer(struct membership *m, const struct agent_message *a)
{
	struct creation *c = &m->creation;
	uint32_t all = c->count + 1 + c->config.partitions;
	struct cluster_config there;
	const char *why;

	if (c->step == CREATE_NONE)
		return;
	if (a->kind == AGENT_MESSAGE_UNKNOWN && c->step == CREATE_KEYS && c->done > all) {
		ask_get(m, "config", CREATE_CHECK); /* it may be there */
		return;
	}
	if (a->kind == AGENT_MESSAGE_UNKNOWN) {
		refuse(m, WIRE_E_TIMEOUT,
		       "the agreement did not answer; nothing of a cluster is believed before its "
		       "config is there: try again");
		return;
	}
	switch (c->step) {
	case CREATE_GET:
		if (a->mod_revision)
			refuse(m, WIRE_E_BAD_ARGUMENT, "the cluster has been created already");
		else
			ask_get(m, "creating", CREATE_MARK_GET);
		break;
	case CREATE_MARK_GET:
		mark_send(m, a->mod_revision);
		break;
	case CREATE_MARK:
		if (!a->done) {
			refuse(m, WIRE_E_BUSY, "another node is creating it at this moment");
			break;
		}
		c->mark = a->mod_revision;
		keys_send(m);
		break;
	case CREATE_KEYS:
		if (!a->done) {
			refuse(m, WIRE_E_BUSY, "another node is creating it at this moment");
			break;
		}
		if (c->done > all) {
			created(m);
			break;
		}
		if (c->done == all)
			c->done++; /* config is the last one */
		keys_send(m);
		break;
	case CREATE_CHECK:
		if (a->mod_revision && views_config_read(a->value, &there, &why) == 0 &&
		    there.id == c->config.id)
			created(m);
		else
			refuse(m, WIRE_E_BUSY, "another node has created it");
		break;
	default:
		break;
	}
}

void create_tick(struct membership *m)
{
	if (m->creation.step != CREATE_NONE && m->parts.node->now_ms >= m->creation.due_ms)
		refuse(m, WIRE_E_TIMEOUT,
		       "the agreement did not answer in time; nothing of a cluster is believed "
		       "before its config is there: try again");
}
