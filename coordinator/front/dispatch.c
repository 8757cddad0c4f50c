/*
 * From a message to the workers' rings, or on to other nodes.  The requests of a message are walked
 * once, where they lie; those of one worker become one record of its ring, those of one peer one
 * batch of its link: that copy is the only one.
 */
#include "coordinator/front/dispatch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/partition.h"
#include "coordinator/cluster/cluster.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/front/methods.h"
#include "coordinator/front/parked.h"
#include "coordinator/front/permission.h"
#include "coordinator/queue/turns.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/peers/client.h"
#include "ipc/wire/fingerprint.h"
#include "ipc/wire/names.h"

#define RUN_BYTES  (256u << 10)
#define REPLY_ROOM 128u /* for the reply of a plain write */

/* ---- into a ring ---- */

/* A bucket is going to be created: tell each worker how many the others have. */
static void buckets_tell(struct front *front)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < front->supervisor->count; i++)
		all += status_get(&front->supervisor->worker[i].queue.segment->status->buckets);
	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		struct worker_status *s = front->supervisor->worker[i].queue.segment->status;
		uint64_t own = status_get(&s->buckets);

		status_set(&s->buckets_elsewhere, all > own ? all - own : 0);
	}
}

static void items_refuse(struct front *front, struct message *m, struct reply_to o, uint32_t first,
			 uint32_t count, enum wire_error e, const char *text)
{
	for (uint32_t i = first; count--; i = m->routed.item[i].next) {
		o.index = m->routed.item[i].index;
		reply_error(front->sink, o, m->routed.item[i].method, m->routed.item[i].msgid, true,
			    e, text);
	}
}

/* Why a worker takes no requests, or WIRE_OK. */
static enum wire_error worker_check(const struct worker *w, char *text, size_t size)
{
	if (w->state == WORKER_FAILED) {
		(void)snprintf(text, size, "worker %u has failed: %s", w->id, w->reason);
		return WIRE_E_INTERNAL;
	}
	if (!w->wanted) {
		(void)snprintf(text, size, "worker %u is stopped: pail worker start %u", w->id,
			       w->id);
		return WIRE_E_BUSY;
	}
	return WIRE_OK;
}

/* Who takes turns with others: the client that waits, or the node that asks for its own. */
static struct reply_to client_of(const struct front *front, struct reply_to o)
{
	if (reply_to_kind(o) == REPLY_TO_SESSION && !peer_server_client(front->peer_server, o, &o))
		return (struct reply_to){0, 0, 0};
	return clients_of(front->clients, o);
}

/* The items of one worker, in runs that wait in one piece if they must. */
static void items_push(struct front *front, struct message *m, struct worker *w, struct reply_to o,
		       uint32_t first)
{
	char text[400];

	while (first != ITEM_NONE) {
		uint64_t bytes = 0;
		uint32_t count = 0;
		uint32_t i = first;
		bool creates = false;
		enum wire_error e;

		while (i != ITEM_NONE &&
		       (!count || bytes + queue_item_bytes(&m->routed.item[i]) <= RUN_BYTES)) {
			creates |= m->routed.item[i].method == WIRE_CREATE;
			bytes += queue_item_bytes(&m->routed.item[i]);
			count++;
			i = m->routed.item[i].next;
		}
		if (creates)
			buckets_tell(front);
		e = worker_check(w, text, sizeof(text));
		if (e == WIRE_OK && turns_push(&w->queue, client_of(front, o), o, m->routed.item,
					       first, count, bytes) < 0) {
			e = WIRE_E_BUSY;
			(void)snprintf(text, sizeof(text),
				       "this node's queue is full: try again later");
		}
		if (e != WIRE_OK)
			items_refuse(front, m, o, first, count, e, text);
		first = i;
	}
}

int dispatch_one(struct front *front, struct message *m, struct worker *w, struct reply_to owner,
		 const struct item *it)
{
	if (w->state == WORKER_FAILED || !w->wanted)
		return -EIO;
	return turns_push(&w->queue, client_of(front, m->reply_to), owner, m->routed.item,
			  (uint32_t)(it - m->routed.item), 1, queue_item_bytes(it));
}

/* ---- the ways ---- */

static struct reply_to reply_to_of(const struct message *m, const struct item *it)
{
	struct reply_to o = m->reply_to;

	o.index = it->index;
	return o;
}

/* Where a request has been, for the text of a route_loop. */
static void loop_explain(const struct front *front, const struct message *m, const char *next,
			 const char *what, char *out, size_t size)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "%s: ", what);
	for (uint32_t i = 0; i < m->routed.visited_count; i++)
		buf_fmt(&b, "%.*s -> ", (int)m->routed.visited[i].n, m->routed.visited[i].p);
	buf_fmt(&b, "%s -> %s", conf_text(front->node->conf, CONF_node_name), next);
	(void)snprintf(out, size, "%.*s", (int)b.len, b.data ? b.data : "");
	buf_fini(&b);
}

bool dispatch_loops(const struct front *front, const struct message *m, const char *next,
		    char *text, size_t size)
{
	for (uint32_t i = 0; i < m->routed.visited_count; i++)
		if (span_equal(m->routed.visited[i], span_of(next))) {
			loop_explain(front, m, next, "the routing tables send it in a circle", text,
				     size);
			return true;
		}
	if (m->routed.visited_count + 1 > HOPS_MAX) {
		loop_explain(front, m, next, "more than 8 hops", text, size);
		return true;
	}
	return false;
}

void dispatch_options(struct message *m, struct item *it, const struct options *o)
{
	struct options *kept = &m->options[it - m->routed.item];

	it->options = NULL;
	if (!(o->given & ~(unsigned)OPT_TIMEOUT) && !method_is(it->method, METHOD_PARTS))
		return;
	*kept = *o;
	it->options = kept;
}

/*
 * What a worker is to believe of a request is checked here, for the last time.  One that is wrong
 * is answered: if its worker takes none at all, by saying that, as to any other.
 */
static bool parts_check(struct front *front, struct message *m, const struct worker *w,
			const struct request *q, struct item *it)
{
	struct request_parts parts;
	char text[400];
	enum wire_error refused;
	enum wire_error e =
		request_parts(q, it->options, w->queue.segment->header->settings.value_max, &parts,
			      text, sizeof(text));

	it->bucket = q->bucket;
	it->key = parts.key;
	it->value = parts.value;
	if (e == WIRE_OK && it->options && (it->options->given & OPT_SESSION))
		m->options[it - m->routed.item].fingerprint = request_fingerprint(q);
	if (e == WIRE_OK)
		return true;
	refused = worker_check(w, text, sizeof(text));
	front->requests[q->method]++;
	reply_error(front->sink, reply_to_of(m, it), q->method, q->msgid, true,
		    refused != WIRE_OK ? refused : e, text);
	return false;
}

static void to_worker(struct front *front, struct message *m, const struct request *q,
		      struct item *it)
{
	uint32_t index = (uint32_t)(it - m->routed.item);
	uint32_t w;

	it->partition = (uint16_t)(partition_of(q->bucket, front->node->partitions) +
				   (it->of_cluster ? 0 : front->node->own_first));
	w = partition_worker(it->partition, front->supervisor->count);
	if (!parts_check(front, m, &front->supervisor->worker[w], q, it))
		return;
	m->routed.count++;
	if (m->first[w] == ITEM_NONE)
		m->first[w] = index;
	else
		m->routed.item[m->last[w]].next = index;
	m->last[w] = index;
}

static void to_peer(struct message *m, struct peer *p, uint32_t index)
{
	if (p->item_first == ITEM_NONE) {
		p->item_first = index;
		m->target[m->targets++] = p;
	} else {
		m->routed.item[p->item_last].next = index;
	}
	p->item_last = index;
}

void dispatch_begin(struct front *front, struct message *m)
{
	m->routed.count = 0;
	m->targets = 0;
	for (uint32_t i = 0; i < front->supervisor->count; i++)
		m->first[i] = ITEM_NONE;
}

/*
 * One for a bucket of the cluster: to the worker here, to the node that serves it, or it waits.
 * True: it is a worker's, which counts it.
 */
static bool to_cluster(struct front *front, struct message *m, const struct request *q,
		       struct item *it, const struct route *route)
{
	uint32_t partition = partition_of(q->bucket, front->node->partitions);
	struct cluster_place at;
	struct peer *peer;

	if (!front->parked) {
		char text[160];

		cluster_explain(front->node->conf, text, sizeof(text));
		reply_error(front->sink, reply_to_of(m, it), q->method, q->msgid, true,
			    WIRE_E_NODE_DOWN, text);
		return false;
	}
	it->of_cluster = true;
	it->gate = parked_gate(front, partition);
	it->partition = (uint16_t)partition;
	if (!parked_route(front, m, q, it, partition, &peer))
		return false;
	if (peer) {
		to_peer(m, peer, (uint32_t)(it - m->routed.item));
		m->routed.count++;
		return false;
	}
	if (q->method == WIRE_ROUTE) {
		membership_place(front->membership, partition, &at);
		method_route(front, m, reply_to_of(m, it), q, route, &at);
		return false;
	}
	to_worker(front, m, q, it);
	return true;
}

void dispatch_item(struct front *front, struct message *m, const struct request *q, struct item *it)
{
	static const struct route any = {.entry = "*", .node = "ring"};
	const struct route *route = route_table_find(front->routes, (uint8_t)q->bucket.p[0]);
	char text[WIRE_REPLY_ERROR_MAX];
	uint32_t index = (uint32_t)(it - m->routed.item);

	it->next = ITEM_NONE;
	it->of_cluster = false;
	it->gate = 0;
	if (m->routed_here) { /* the sender's table has decided */
		if (to_cluster(front, m, q, it, route ? route : &any))
			return;
	} else if (!route) {
		route_table_explain(front->routes, q->bucket, text, sizeof(text));
		reply_error(front->sink, reply_to_of(m, it), q->method, q->msgid, true,
			    WIRE_E_NO_ROUTE, text);
	} else if (route->target.kind == TARGET_PEER) {
		if (!dispatch_loops(front, m, route->node, text, sizeof(text))) {
			to_peer(m, front->peers->of_conf[route->target.peer], index);
			m->routed.count++;
		} else {
			reply_error(front->sink, reply_to_of(m, it), q->method, q->msgid, true,
				    WIRE_E_ROUTE_LOOP, text);
		}
	} else if (route->target.kind == TARGET_RING) {
		if (to_cluster(front, m, q, it, route))
			return;
	} else if (q->method == WIRE_ROUTE) {
		method_route(front, m, reply_to_of(m, it), q, route, NULL);
	} else {
		check(!method_is(q->method, METHOD_LOCAL)); /* no worker knows what to do with it */
		to_worker(front, m, q, it);
		return;
	}
	front->requests[q->method]++;
}

void dispatch_end(struct front *front, struct message *m)
{
	for (uint32_t i = 0; i < front->supervisor->count; i++)
		if (m->first[i] != ITEM_NONE)
			items_push(front, m, &front->supervisor->worker[i], m->reply_to,
				   m->first[i]);
	for (uint32_t i = 0; i < m->targets; i++) {
		uint32_t first = m->target[i]->item_first;

		m->target[i]->item_first = ITEM_NONE;
		peer_client_items(front->peers, m->target[i], &m->routed, m->reply_to, first);
	}
}

/* ---- from a message ---- */

/*
 * Bytes that its reply may have, if it writes; refusals may be longer.  A txn that only writes has a
 * version or a bool for each operation, of one list.
 */
static uint64_t reply_room(const struct front *front, int method, const struct options *o)
{
	bool parts = method_is(method, METHOD_PARTS);

	if (method == WIRE_OUTCOME || (parts && o->large))
		return conf_number(front->node->conf, CONF_limits_result);
	return REPLY_ROOM + (parts ? o->ops * CODEC_HEAD_MAX : 0);
}

/* Is there room for its reply?  Replies to reads of a worker are judged when they come. */
static enum wire_error room_check(struct front *front, struct message *m, int method,
				  const struct options *o, char *text, size_t size)
{
	const char *over = NULL;

	if (method_is(method, METHOD_WRITES) && (method != WIRE_TXN || o->writes)) {
		if (!clients_reserve(front->clients, m->reply_to, reply_room(front, method, o)))
			over = CLIENTS_OVER;
	} else if (!method_is(method, METHOD_BUCKET) && !m->admin) {
		over = reply_over(front->sink, m->reply_to);
	}
	if (!over)
		return WIRE_OK;
	(void)snprintf(text, size, "%s", over);
	return WIRE_E_BUSY;
}

/* What is wrong with a request whose bytes are sound, or WIRE_OK. */
static enum wire_error item_check(struct front *front, struct message *m, const struct parsed *x,
				  struct options *options, char *text, size_t size)
{
	const struct request *q = &x->request;
	size_t n = (size_t)(q->end - x->begin);
	enum wire_error e;

	if (q->method < 0) {
		char shown[129];

		(void)snprintf(
			text, size, "unknown method \"%s\"",
			buf_printable(shown, sizeof(shown), q->method_name.p, q->method_name.n));
		return WIRE_E_UNKNOWN_METHOD;
	}
	e = request_check(q, options, text, size);
	if (e != WIRE_OK)
		return e;
	if ((options->given & (OPT_SET | OPT_NAMES | OPT_PARTITIONS)) && !m->from_node) {
		(void)snprintf(text, size, "buckets: unknown option \"%s\"",
			       options->given & OPT_SET     ? "set"
			       : options->given & OPT_NAMES ? "names"
							    : "partitions");
		return WIRE_E_BAD_ARGUMENT;
	}
	if ((options->given & OPT_PARTITIONS) &&
	    (options->partitions.n != set_bytes(front->node->partitions) ||
	     !(options->given & OPT_SET))) {
		(void)snprintf(text, size, "buckets: this node has %u partitions",
			       front->node->partitions);
		return WIRE_E_BAD_ARGUMENT;
	}
	if ((options->given & OPT_NAMES) && !names_check(options->names)) {
		(void)snprintf(text, size, "buckets: option \"names\" is no list of ranges");
		return WIRE_E_BAD_ARGUMENT;
	}
	e = permission_check(m, q, options, text, size);
	if (e != WIRE_OK)
		return e;
	if (m->busy) {
		(void)snprintf(text, size, "%s", m->busy);
		return WIRE_E_BUSY;
	}
	if (n > front->node->request_max && !method_is(q->method, METHOD_PARTS)) {
		(void)snprintf(
			text, size, "%s: request has %zu bytes, a value may have %llu",
			wire_method_name((enum wire_method)q->method), n,
			(unsigned long long)conf_number(front->node->conf, CONF_limits_value));
		return WIRE_E_TOO_LARGE;
	}
	if (!x->left_ms) {
		(void)snprintf(text, size, "its time was over before it was started");
		return WIRE_E_EXPIRED;
	}
	return room_check(front, m, q->method, options, text, size);
}

/* Has it to wait until the routing table's last change has settled? */
static bool held(struct front *front, struct message *m, const struct request *q,
		 const struct item *it)
{
	return fence_holds(front->fence,
			   &(struct fenced){reply_to_of(m, it), m->from_node, q, it,
					    m->routed.visited, m->routed.visited_count, false});
}

static void item_take(struct front *front, struct message *m, const struct parsed *x,
		      uint16_t index)
{
	const struct request *q = &x->request;
	struct item *it = &m->routed.item[m->routed.count];
	struct options options;
	char text[WIRE_REPLY_ERROR_MAX];
	enum wire_error e;

	it->index = index;
	e = item_check(front, m, x, &options, text, sizeof(text));
	if (e != WIRE_OK) {
		if (q->method >= 0)
			front->requests[q->method]++;
		reply_error(front->sink, reply_to_of(m, it), q->method, q->msgid, true, e, text);
		return;
	}
	it->data = x->begin;
	it->size = (uint32_t)(q->end - x->begin);
	it->msgid = q->msgid;
	it->method = (uint8_t)q->method;
	it->epoch = m->routed_here ? x->epoch : 0;
	it->timeout_ms =
		(uint32_t)(x->left_ms < options.timeout_ms ? x->left_ms : options.timeout_ms);
	it->next = ITEM_NONE;
	dispatch_options(m, it, &options);
	if (!q->bucket.p) {
		front->requests[q->method]++;
		method_run(front, m, reply_to_of(m, it), q, it);
	} else if (m->routed_here || !fence_busy(front->fence) || !held(front, m, q, it)) {
		dispatch_item(front, m, q, it);
	}
}

void dispatch_parsed(struct front *front, struct message *m)
{
	dispatch_begin(front, m);
	for (uint32_t i = 0; i < m->parsed_count; i++) {
		const struct parsed *x = &m->parsed[i];

		if (x->bad)
			reply_error(front->sink, m->reply_to, x->request.method, x->request.msgid,
				    x->request.msgid_known, WIRE_E_BAD_REQUEST, x->bad);
		else
			item_take(front, m, x, (uint16_t)i);
	}
	dispatch_end(front, m);
}

void dispatch_again(struct front *front, const struct fenced *f)
{
	struct message *m = &front->message;
	struct item *it = &m->routed.item[0];
	struct options options;
	char text[8];

	m->reply_to = f->reply_to;
	m->busy = NULL;
	m->from_node = f->from_node;
	m->routed_here = f->routed_here;
	m->admin = false;
	m->keys = false; /* what it may was judged when it came */
	m->who = NULL;
	m->routed.visited_count = f->visited_count;
	for (uint32_t i = 0; i < f->visited_count; i++)
		m->routed.visited[i] = f->visited[i];
	dispatch_begin(front, m);
	*it = *f->item;
	/* It was found right when it came: this only reads its options once more. */
	(void)request_check(f->request, &options, text, sizeof(text));
	dispatch_options(m, it, &options);
	dispatch_item(front, m, f->request, it);
	dispatch_end(front, m);
}
