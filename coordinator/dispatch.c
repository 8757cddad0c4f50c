/*
 * From a message to the workers' rings, or on to other nodes.  The requests of a message are walked
 * once, where they lie; those of one worker become one record of its ring, those of one peer one
 * batch of its link: that copy is the only one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "coordinator/coord.h"
#include "coordinator/clients/conn_limit.h"

#define DROPPED_MS     1000u                   /* between warnings */
#define ROUND_REQUESTS (4 * WIRE_REQUESTS_MAX) /* taken in before replies get their turn */
#define ROUND_BYTES    (32u << 20)

static uint32_t worker_of(const struct coord *c, struct span bucket)
{
	return (uint32_t)(hash64(0, bucket.p, bucket.n) % c->supervisor.count);
}

/* ---- into a ring ---- */

/* A bucket is going to be created: tell each worker how many the others have. */
static void buckets_tell(struct coord *c)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < c->supervisor.count; i++)
		all += status_get(&c->supervisor.worker[i].queue.segment->status->buckets);
	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker_status *s = c->supervisor.worker[i].queue.segment->status;
		uint64_t own = status_get(&s->buckets);

		status_set(&s->buckets_elsewhere, all > own ? all - own : 0);
	}
}

static void items_refuse(struct coord *c, struct reply_to o, uint32_t first, uint32_t count,
			 enum wire_error e, const char *text)
{
	for (uint32_t i = first; count--; i = c->items.item[i].next) {
		o.index = c->items.item[i].index;
		reply_error(&c->sink, o, c->items.item[i].msgid, true, e, text);
	}
}

/* The items of one worker, in records that its ring can hold. */
static void items_push(struct coord *c, struct worker *w, struct reply_to o, uint32_t first)
{
	uint64_t most = w->queue.segment->request.size / 2;
	char text[400];

	while (first != ITEM_NONE) {
		uint64_t bytes = 0;
		uint32_t count = 0;
		uint32_t i = first;
		bool creates = false;

		while (i != ITEM_NONE &&
		       (!count ||
			queue_record_bytes(count + 1, bytes + c->items.item[i].size) <= most)) {
			creates |= c->items.item[i].method == WIRE_CREATE;
			bytes += c->items.item[i].size;
			count++;
			i = c->items.item[i].next;
		}
		if (creates)
			buckets_tell(c);
		if (w->state == WORKER_FAILED) {
			(void)snprintf(text, sizeof(text), "worker %u has failed: %s", w->id,
				       w->reason);
			items_refuse(c, o, first, count, WIRE_E_INTERNAL, text);
		} else if (!w->wanted) {
			(void)snprintf(text, sizeof(text),
				       "worker %u is stopped: pail worker start %u", w->id, w->id);
			items_refuse(c, o, first, count, WIRE_E_BUSY, text);
		} else if (queue_push(&w->queue, o, c->items.item, first, count, bytes) < 0) {
			items_refuse(c, o, first, count, WIRE_E_BUSY,
				     "this node's queue is full: try again later");
		}
		first = i;
	}
}

int dispatch_one(struct coord *c, struct worker *w, struct reply_to owner, const struct item *it)
{
	if (w->state == WORKER_FAILED || !w->wanted)
		return -EIO;
	return queue_push(&w->queue, owner, c->items.item, (uint32_t)(it - c->items.item), 1,
			  it->size);
}

/* ---- what is answered here ---- */

static void answer_buf(struct coord *c, struct reply_to o, struct buf *b)
{
	if (!b->failed)
		reply_send(&c->sink, o, b->data, b->len);
	else
		log_error("answer a request: no memory");
	buf_fini(b);
}

static void answer_route(struct coord *c, struct reply_to o, const struct request *q,
			 const struct route *route)
{
	struct buf b;
	char *p;

	buf_init(&b);
	p = buf_room(&b, 512);
	if (p) {
		p = write_map(write_reply_head(p, q->msgid), 3);
		p = write_text(write_text(p, "node"), route->node);
		p = write_text(write_text(p, "entry"), route->entry);
		p = write_uint(write_text(p, "hops"), c->items.visited_count);
		b.len = (size_t)(p - b.data);
	}
	answer_buf(c, o, &b);
}

/* `{changed: [line…]}` of lines. */
static void changes_write(struct buf *b, uint64_t msgid, struct buf *text)
{
	char *p = buf_room(b, CODEC_HEAD_MAX * text->len + 64);
	uint32_t n = 0;

	if (!p)
		return;
	for (size_t i = 0; i < text->len; i++)
		n += text->data[i] == '\n';
	p = write_array(write_text(write_map(write_reply_head(p, msgid), 1), "changed"), n);
	for (char *line = text->data; n--;) {
		char *end = strchr(line, '\n');

		p = write_str(p, line, (size_t)(end - line));
		line = end + 1;
	}
	b->len = (size_t)(p - b->data);
}

static void answer_reload(struct coord *c, struct reply_to o, const struct request *q)
{
	struct buf text;
	struct buf b;
	enum wire_error e;

	if (!c->hand.admin) {
		reply_error(&c->sink, o, q->msgid, true, WIRE_E_DENIED,
			    "reload: only through the node's admin socket: pail --config FILE "
			    "reload");
		return;
	}
	buf_init(&text);
	buf_init(&b);
	dispatch_end(c); /* what came before it in the message goes the old way */
	dispatch_begin(c);
	e = reload(c, &text);
	if (e == WIRE_OK)
		changes_write(&b, q->msgid, &text);
	buf_add(&text, "", 1);
	if (e == WIRE_OK && !text.failed)
		answer_buf(c, o, &b);
	else
		reply_error(&c->sink, o, q->msgid, true, e == WIRE_OK ? WIRE_E_INTERNAL : e,
			    text.failed ? "no memory" : text.data);
	buf_fini(&b);
	buf_fini(&text);
}

static void answer_worker(struct coord *c, struct reply_to o, const struct request *q)
{
	if (!c->hand.admin)
		reply_error(
			&c->sink, o, q->msgid, true, WIRE_E_DENIED,
			"worker: only through the node's admin socket: pail --config FILE worker "
			"...");
	else if (c->node.stopping || c->upgrade.step)
		reply_error(&c->sink, o, q->msgid, true, WIRE_E_BUSY,
			    c->node.stopping ? "the node stops: try again later"
					     : "the node is being upgraded: try again later");
	else
		handoff_ask(&c->handoff, o, q);
}

/* A request that needs no worker, or all of them. */
static void answer_here(struct coord *c, struct reply_to o, const struct request *q,
			struct item *it)
{
	struct buf b;
	char small[CODEC_REPLY_MAX];
	char *end;

	buf_init(&b);
	switch (q->method) {
	case WIRE_PING:
		end = write_text(write_reply_head(small, q->msgid), "pong");
		reply_send(&c->sink, o, small, (size_t)(end - small));
		return;
	case WIRE_HELLO:
		status_hello(c, q->msgid, &b);
		answer_buf(c, o, &b);
		return;
	case WIRE_STATUS:
		status_status(c, q->msgid, &b);
		answer_buf(c, o, &b);
		return;
	case WIRE_RELOAD:
		answer_reload(c, o, q);
		return;
	case WIRE_WORKER:
		answer_worker(c, o, q);
		return;
	case WIRE_UPGRADE:
		upgrade_ask(c, o, q);
		return;
	default:
		fanout_buckets(c, o, it);
		return;
	}
}

/* ---- the ways ---- */

static struct reply_to reply_to_of(const struct coord *c, const struct item *it)
{
	struct reply_to o = c->hand.reply_to;

	o.index = it->index;
	return o;
}

/* Where a request has been, for the text of a route_loop. */
static void loop_explain(const struct coord *c, const char *next, const char *what, char *out,
			 size_t size)
{
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "%s: ", what);
	for (uint32_t i = 0; i < c->items.visited_count; i++)
		buf_fmt(&b, "%.*s -> ", (int)c->items.visited[i].n, c->items.visited[i].p);
	buf_fmt(&b, "%s -> %s", conf_text(c->node.conf, CONF_node_name), next);
	(void)snprintf(out, size, "%.*s", (int)b.len, b.data ? b.data : "");
	buf_fini(&b);
}

bool dispatch_loops(const struct coord *c, const char *next, char *text, size_t size)
{
	for (uint32_t i = 0; i < c->items.visited_count; i++)
		if (span_equal(c->items.visited[i], span_of(next))) {
			loop_explain(c, next, "the routing tables send it in a circle", text, size);
			return true;
		}
	if (c->items.visited_count + 1 > HOPS_MAX) {
		loop_explain(c, next, "more than 8 hops", text, size);
		return true;
	}
	return false;
}

static void to_worker(struct coord *c, struct span bucket, uint32_t index)
{
	uint32_t w = worker_of(c, bucket);

	if (c->first[w] == ITEM_NONE)
		c->first[w] = index;
	else
		c->items.item[c->last[w]].next = index;
	c->last[w] = index;
}

static void to_peer(struct coord *c, struct peer *p, uint32_t index)
{
	if (p->item_first == ITEM_NONE) {
		p->item_first = index;
		c->target[c->targets++] = p;
	} else {
		c->items.item[p->item_last].next = index;
	}
	p->item_last = index;
}

void dispatch_begin(struct coord *c)
{
	c->items.count = 0;
	c->targets = 0;
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		c->first[i] = ITEM_NONE;
}

void dispatch_item(struct coord *c, const struct request *q, struct item *it)
{
	const struct route *route = route_table_find(&c->routes, (uint8_t)q->bucket.p[0]);
	char text[WIRE_REPLY_ERROR_MAX];
	uint32_t index = (uint32_t)(it - c->items.item);

	it->next = ITEM_NONE;
	if (!route) {
		route_table_explain(&c->routes, q->bucket, text, sizeof(text));
		reply_error(&c->sink, reply_to_of(c, it), q->msgid, true, WIRE_E_NO_ROUTE, text);
	} else if (route->target.kind == TARGET_PEER) {
		if (!dispatch_loops(c, route->node, text, sizeof(text))) {
			to_peer(c, c->peers.of_conf[route->target.peer], index);
			c->items.count++;
		} else {
			reply_error(&c->sink, reply_to_of(c, it), q->msgid, true, WIRE_E_ROUTE_LOOP,
				    text);
		}
	} else if (q->method == WIRE_ROUTE) {
		answer_route(c, reply_to_of(c, it), q, route);
	} else {
		to_worker(c, q->bucket, index);
		c->items.count++;
		return;
	}
	c->local_requests[q->method]++;
}

void dispatch_end(struct coord *c)
{
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		if (c->first[i] != ITEM_NONE)
			items_push(c, &c->supervisor.worker[i], c->hand.reply_to, c->first[i]);
	for (uint32_t i = 0; i < c->targets; i++) {
		uint32_t first = c->target[i]->item_first;

		c->target[i]->item_first = ITEM_NONE;
		peer_client_items(&c->peers, c->target[i], &c->items, c->hand.reply_to, first);
	}
}

/* ---- from a message ---- */

static bool writes(int method)
{
	return method == WIRE_PUT || method == WIRE_DELETE || method == WIRE_CREATE ||
	       method == WIRE_DROP;
}

/* Is there room for its reply?  Replies to reads of a worker are judged when they come. */
static enum wire_error room_check(struct coord *c, int method, char *text, size_t size)
{
	const char *over = NULL;

	if (writes(method) && !clients_reserve(c->clients, c->hand.reply_to))
		over = CLIENTS_OVER;
	else if (!wire_method_has_bucket((enum wire_method)method) && !c->hand.admin)
		over = reply_over(&c->sink, c->hand.reply_to);
	if (!over)
		return WIRE_OK;
	(void)snprintf(text, size, "%s", over);
	return WIRE_E_BUSY;
}

/* What is wrong with a request whose bytes are sound, or WIRE_OK. */
static enum wire_error item_check(struct coord *c, const struct walked *x, struct options *options,
				  char *text, size_t size)
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
	if ((options->given & OPT_SET) && !c->hand.from_node) {
		(void)snprintf(text, size, "buckets: unknown option \"set\"");
		return WIRE_E_BAD_ARGUMENT;
	}
	if (c->hand.busy) {
		(void)snprintf(text, size, "%s", c->hand.busy);
		return WIRE_E_BUSY;
	}
	if (n > c->node.request_max) {
		(void)snprintf(text, size, "%s: request has %zu bytes, a value may have %llu",
			       wire_method_name((enum wire_method)q->method), n,
			       (unsigned long long)conf_number(c->node.conf, CONF_limits_value));
		return WIRE_E_TOO_LARGE;
	}
	if (!x->left_ms) {
		(void)snprintf(text, size, "its time was over before it was started");
		return WIRE_E_EXPIRED;
	}
	return room_check(c, q->method, text, size);
}

/* Has it to wait until the routing table's last change has settled? */
static bool held(struct coord *c, const struct request *q, const struct item *it)
{
	return fence_holds(c->fence, &(struct fenced){reply_to_of(c, it), c->hand.from_node, q, it,
						      c->items.visited, c->items.visited_count});
}

static void item_take(struct coord *c, const struct walked *x, uint16_t index)
{
	const struct request *q = &x->request;
	struct item *it = &c->items.item[c->items.count];
	struct options options;
	char text[256];
	enum wire_error e;

	it->index = index;
	e = item_check(c, x, &options, text, sizeof(text));
	if (e != WIRE_OK) {
		if (q->method >= 0)
			c->local_requests[q->method]++;
		reply_error(&c->sink, reply_to_of(c, it), q->msgid, true, e, text);
		return;
	}
	it->data = x->begin;
	it->size = (uint32_t)(q->end - x->begin);
	it->msgid = q->msgid;
	it->method = (uint8_t)q->method;
	it->timeout_ms =
		(uint32_t)(x->left_ms < options.timeout_ms ? x->left_ms : options.timeout_ms);
	it->next = ITEM_NONE;
	if (!q->bucket.p) {
		c->local_requests[q->method]++;
		answer_here(c, reply_to_of(c, it), q, it);
	} else if (!fence_busy(c->fence) || !held(c, q, it)) {
		dispatch_item(c, q, it);
	}
}

void dispatch_walked(struct coord *c)
{
	dispatch_begin(c);
	for (uint32_t i = 0; i < c->walked_count; i++) {
		const struct walked *x = &c->walked[i];

		if (x->bad)
			reply_error(&c->sink, c->hand.reply_to, x->request.msgid,
				    x->request.msgid_known, WIRE_E_BAD_REQUEST, x->bad);
		else
			item_take(c, x, (uint16_t)i);
	}
	dispatch_end(c);
}

/* Walk a frame's requests into c->walked.  False: the message holds more than may be. */
static bool frame_walk(struct coord *c, struct span f)
{
	const char *p = f.p;
	const char *end = f.p + f.n;

	while (p < end) {
		struct walked *x = &c->walked[c->walked_count];

		if (c->walked_count == WIRE_REQUESTS_MAX)
			return false;
		c->walked_count++;
		x->begin = p;
		x->bad = NULL;
		x->left_ms = UINT64_MAX;
		if (request_walk(p, end, &x->request, &x->bad) < 0)
			return true; /* it is answered too, the rest of the frame is not */
		p = x->request.end;
	}
	return true;
}

/* The same for a message: its requests are in c->walked.  False: it is over a limit. */
static bool message_walk(struct coord *c, const struct socket_message *m)
{
	c->walked_count = 0;
	if (m->cut || m->bytes > conf_number(c->node.conf, CONF_limits_message))
		return false;
	for (uint32_t i = 0; i < m->frames; i++)
		if (!frame_walk(c, m->frame[i]))
			return false;
	return true;
}

/*
 * Too much is unread: why a client's requests are refused, or NULL.  False: far too much, it is not
 * even told.
 */
static bool crowd_check(const struct coord *c, struct reply_to client, bool admin, const char **ret)
{
	int unread = clients_unread(c->clients, client);
	int crowded = admin ? 0 : clients_crowded(c->clients, client);

	*ret = unread ? CLIENTS_OVER : crowded ? CLIENTS_CROWDED : NULL;
	return unread < 2 && crowded < 2;
}

/* At most once a second: whoever is dropped may come again and again. */
static void message_drop(struct coord *c, const char *why)
{
	c->dropped++;
	if (c->node.now_ms - c->dropped_ms < DROPPED_MS)
		return;
	log_warn("dropped %llu messages: %s", (unsigned long long)c->dropped, why);
	c->dropped = 0;
	c->dropped_ms = c->node.now_ms;
}

/* Its requests are in c->walked: answer those that are not right, begin the others. */
static void message_begin(struct coord *c, bool whole)
{
	struct reply_to o = c->hand.reply_to;
	char text[160];

	if (!whole) {
		(void)snprintf(
			text, sizeof(text),
			"a message may hold %u requests and %llu bytes; nothing of it was run",
			WIRE_REQUESTS_MAX,
			(unsigned long long)conf_number(c->node.conf, CONF_limits_message));
		reply_error(&c->sink, o, 0, false, WIRE_E_TOO_LARGE, text);
	} else if (!c->walked_count) {
		reply_error(&c->sink, o, 0, false, WIRE_E_BAD_REQUEST,
			    "a message without a request");
	} else {
		dispatch_walked(c);
	}
}

static void message_take(struct coord *c, struct socket *link, const struct socket_message *m)
{
	bool admin = link == c->admin_link;
	const char *busy;
	struct reply_to o;
	bool whole;
	uint32_t n;

	if (!clients_intern(c->clients, link, m, c->node.now_ms, &o)) {
		message_drop(c, "as many clients as limits.clients says wait for replies");
		return;
	}
	if (!crowd_check(c, o, admin, &busy))
		return;
	whole = message_walk(c, m);
	n = whole && c->walked_count ? c->walked_count : 1;
	if (m->delimiter && !clients_group(c->clients, o, m, n, &o)) {
		message_drop(c, "too many are being answered");
		return;
	}
	c->hand = (struct hand){.reply_to = o, .busy = busy, .admin = admin};
	c->items.visited_count = 0;
	message_begin(c, whole);
}

/* Walk the requests of a batch into c->walked, each with what is left of its time. */
static bool batch_walk(struct coord *c, const struct peer_message *h, uint64_t late_ms)
{
	const char *p = h->bytes.p;
	const char *end = p + h->bytes.n;
	const char *times = h->times;

	c->walked_count = 0;
	for (uint32_t i = 0; i < h->count; i++) {
		struct walked *x = &c->walked[c->walked_count++];
		uint64_t left = read_uint(&times);

		x->begin = p;
		x->bad = NULL;
		x->left_ms = left > late_ms ? left - late_ms : 0;
		if (request_walk(p, end, &x->request, &x->bad) < 0)
			return false;
		p = x->request.end;
	}
	return p == end;
}

bool dispatch_batch(void *arg, struct reply_to o, const struct peer_message *h, uint64_t late_ms,
		    const char *busy)
{
	struct coord *c = arg;

	if (!batch_walk(c, h, late_ms))
		return false;
	c->hand = (struct hand){.reply_to = o, .busy = busy, .from_node = true};
	c->items.visited_count = h->visited_count;
	memcpy(c->items.visited, h->visited, h->visited_count * sizeof(h->visited[0]));
	dispatch_walked(c);
	return true;
}

unsigned dispatch_messages(struct coord *c, struct socket *link, unsigned most)
{
	uint64_t bytes_max = conf_number(c->node.conf, CONF_limits_message);
	struct socket_message *m;
	uint64_t bytes = 0;
	uint32_t requests = 0;
	unsigned n = 0;

	while (link && n < most && requests < ROUND_REQUESTS && bytes < ROUND_BYTES &&
	       socket_receive(link, bytes_max, &m) == 0) {
		n++;
		conn_limit_saw(c->conn_limit, m->source_fd);
		c->walked_count = 0;
		message_take(c, link, m);
		requests += c->walked_count;
		bytes += m->bytes;
	}
	return n;
}
