/* Their parameters, and who has the answers. */
#include "coordinator/front/cluster_methods.h"

#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "coordinator/cluster/cluster.h"
#include "ipc/wire/msgpack.h"

/* Each reads one parameter.  False: it is of another type, or too much. */

static bool number_read(const char *p, uint32_t *ret)
{
	uint64_t n;

	if (read_type(p) != TYPE_UINT)
		return false;
	n = read_uint(&p);
	*ret = (uint32_t)n;
	return n <= UINT32_MAX;
}

static bool text_read(const char **p, struct span *ret)
{
	if (read_type(*p) != TYPE_BYTES)
		return false;
	*ret = read_bytes(p);
	return true;
}

static bool nodes_read(const char *p, struct cluster_create *x)
{
	uint32_t n;

	if (read_type(p) != TYPE_ARRAY)
		return false;
	n = read_array(&p);
	if (!n || n > CLUSTER_NODES_MAX)
		return false;
	for (x->count = 0; x->count < n; x->count++)
		if (!text_read(&p, &x->node[x->count]))
			return false;
	return true;
}

/* What is wrong with them, or NULL. */
static const char *create_read(const struct request *q, struct cluster_create *x)
{
	const char *p = q->param[3];

	if (!nodes_read(q->param[0], x))
		return "nodes must be a list of 1 to 255 names";
	if (!number_read(q->param[1], &x->factor))
		return "factor must be a number";
	if (!number_read(q->param[2], &x->min_copies))
		return "min_copies must be a number, 0 for the usual one";
	if (!text_read(&p, &x->keep))
		return "keep must be a node's name, \"\" for none";
	if (!x->keep.n)
		x->keep.p = NULL;
	return NULL;
}

/* A node is drained by itself: what it leads is its own to hand over. */
static bool drain_read(const struct front *front, const struct request *q, bool *ret_on, char *text,
		       size_t size)
{
	const char *self = conf_text(front->node->conf, CONF_node_name);
	const char *p = q->param[0];
	const char *on = q->param[1];
	struct span node;
	char name[129];

	if (!text_read(&p, &node) || read_type(on) != TYPE_BOOL) {
		(void)snprintf(text, size, "cluster_drain: takes a node's name, and true or false");
		return false;
	}
	*ret_on = read_bool(&on);
	if (span_equal(node, span_of(self)))
		return true;
	(void)buf_printable(name, sizeof(name), node.p, node.n);
	(void)snprintf(text, size,
		       "cluster_drain: this node is \"%.63s\": ask \"%s\" itself, by its own admin "
		       "socket",
		       self, name);
	return false;
}

static void bad_argument(struct front *front, struct reply_to o, const struct request *q,
			 const char *text)
{
	reply_error(front->sink, o, q->method, q->msgid, true, WIRE_E_BAD_ARGUMENT, text);
}

static void create(struct front *front, struct reply_to o, const struct request *q)
{
	struct cluster_create x;
	const char *why = create_read(q, &x);
	char text[200];

	(void)snprintf(text, sizeof(text), "cluster_create: %s", why ? why : "");
	if (why)
		bad_argument(front, o, q, text);
	else
		front->cluster->create(front->cluster->arg, o, q->msgid, &x);
}

static void drain(struct front *front, struct reply_to o, const struct request *q)
{
	char text[400];
	bool on;

	if (drain_read(front, q, &on, text, sizeof(text)))
		front->cluster->drain(front->cluster->arg, o, q->msgid, on);
	else
		bad_argument(front, o, q, text);
}

void cluster_method(struct front *front, struct reply_to o, const struct request *q)
{
	char text[160];

	if (!front->cluster) {
		cluster_explain(front->node->conf, text, sizeof(text));
		reply_error(front->sink, o, q->method, q->msgid, true,
			    conf_in_cluster(front->node->conf) ? WIRE_E_NODE_DOWN
							       : WIRE_E_BAD_ARGUMENT,
			    text);
	} else if (q->method == WIRE_CLUSTER_CREATE) {
		create(front, o, q);
	} else if (q->method == WIRE_CLUSTER_DRAIN) {
		drain(front, o, q);
	} else {
		front->cluster->status(front->cluster->arg, o, q->msgid);
	}
}
