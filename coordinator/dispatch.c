/*
 * From a client's message to the workers' rings.  The requests of a message are walked once, where
 * they lie; those of one worker become one record of its ring: that copy is the only one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "coordinator/coord.h"

uint32_t dispatch_worker(const struct coord *c, struct span bucket)
{
	return (uint32_t)(hash64(0, bucket.p, bucket.n) % c->super.count);
}

void dispatch_error(struct coord *c, struct owner o, uint64_t msgid, bool msgid_known,
		    enum wire_error e, const char *text)
{
	char reply[WIRE_REPLY_ERROR_MAX];
	char *end = write_error(reply, msgid, msgid_known, e, text);

	c->local_errors++;
	clients_answer(c->clients, o, reply, (size_t)(end - reply), 1, false);
}

/* ---- into a ring ---- */

static uint64_t record_bytes(uint32_t count, uint64_t bytes)
{
	return sizeof(struct request_record) + count * sizeof(struct request_entry) + bytes;
}

/*
 * A record of the `count` items from `first` on, which have `bytes` in all.  Returns 0 or -EAGAIN:
 * there is no room.
 */
static int record_push(struct coord *c, struct worker *w, struct owner owner, uint32_t first,
		       uint32_t count, uint64_t bytes)
{
	struct ring *ring = &w->segment->request;
	uint64_t size = record_bytes(count, bytes);
	struct request_record *rec = ring_reserve(ring, size);
	uint64_t at = sizeof(*rec) + count * sizeof(struct request_entry);
	uint32_t i = first;

	if (!rec)
		return -EAGAIN;
	rec->size = (uint32_t)ring_round(size);
	rec->count = count;
	rec->open = count;
	rec->owner = owner.id;
	rec->owner_generation = owner.generation;
	rec->recv_ms = c->now_ms;
	for (uint32_t k = 0; k < count; k++, i = c->item[i].next) {
		const struct item *it = &c->item[i];
		struct request_entry *e = &rec->entry[k];
		uint64_t due = c->now_ms + it->timeout_ms;

		e->offset = (uint32_t)at;
		e->size = it->size;
		e->method = it->method;
		e->timeout_ms = it->timeout_ms;
		atomic_store_explicit(&e->state, ENTRY_OPEN, memory_order_relaxed);
		memcpy((char *)rec + at, it->data, it->size);
		at += it->size;
		if (due < w->due_ms)
			w->due_ms = due;
	}
	ring_commit(ring, size);
	ring_publish(ring, ring->write);
	w->pushed = true;
	return 0;
}

static void items_refuse(struct coord *c, struct owner o, uint32_t first, uint32_t count,
			 enum wire_error e, const char *text)
{
	for (uint32_t i = first; count--; i = c->item[i].next)
		dispatch_error(c, o, c->item[i].msgid, true, e, text);
}

/* The items of one worker, in records that its ring can hold. */
static void items_push(struct coord *c, struct worker *w, struct owner o, uint32_t first)
{
	uint64_t most = w->segment->request.size / 2;
	char text[400];

	while (first != ITEM_NONE) {
		uint64_t bytes = 0;
		uint32_t count = 0;
		uint32_t i = first;

		while (i != ITEM_NONE &&
		       (!count || record_bytes(count + 1, bytes + c->item[i].size) <= most)) {
			bytes += c->item[i].size;
			count++;
			i = c->item[i].next;
		}
		if (w->state == SUPER_FAILED) {
			(void)snprintf(text, sizeof(text), "worker %u has failed: %s", w->id,
				       w->reason);
			items_refuse(c, o, first, count, WIRE_E_INTERNAL, text);
		} else if (record_push(c, w, o, first, count, bytes) < 0) {
			items_refuse(c, o, first, count, WIRE_E_BUSY,
				     "this node's queue is full: try again later");
		}
		first = i;
	}
}

int dispatch_one(struct coord *c, struct worker *w, struct owner owner, const struct item *it)
{
	if (w->state == SUPER_FAILED)
		return -EIO;
	return record_push(c, w, owner, (uint32_t)(it - c->item), 1, it->size);
}

/* ---- what is answered here ---- */

static void answer_buf(struct coord *c, struct owner o, struct buf *b)
{
	if (!b->failed)
		clients_answer(c->clients, o, b->data, b->len, 1, false);
	else
		log_error("answer a request: no memory");
	buf_fini(b);
}

static void answer_route(struct coord *c, struct owner o, const struct request *q,
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
		p = write_uint(write_text(p, "hops"), 0);
		b.len = (size_t)(p - b.data);
	}
	answer_buf(c, o, &b);
}

/* A request that needs no worker, or all of them. */
static void answer_here(struct coord *c, struct owner o, const struct request *q, struct item *it)
{
	struct buf b;
	char small[CODEC_REPLY_MAX];
	char *end;

	buf_init(&b);
	switch (q->method) {
	case WIRE_PING:
		end = write_text(write_reply_head(small, q->msgid), "pong");
		clients_answer(c->clients, o, small, (size_t)(end - small), 1, false);
		return;
	case WIRE_HELLO:
		status_hello(c, q->msgid, &b);
		answer_buf(c, o, &b);
		return;
	case WIRE_STATUS:
		status_status(c, q->msgid, &b);
		answer_buf(c, o, &b);
		return;
	default:
		fanout_buckets(c, o, it);
		return;
	}
}

/* ---- from a message ---- */

/* Look where a request with a bucket belongs.  True: it is in the list of its worker. */
static void item_route(struct coord *c, struct owner o, const struct request *q, struct item *it)
{
	const struct route *route = routes_find(&c->routes, q->bucket);
	char text[WIRE_REPLY_ERROR_MAX];
	uint32_t index = (uint32_t)(it - c->item);
	uint32_t w;

	if (!route) {
		routes_explain(&c->routes, q->bucket, text, sizeof(text));
		dispatch_error(c, o, q->msgid, true, WIRE_E_NO_ROUTE, text);
	} else if (route->target.kind == TARGET_PEER) {
		(void)snprintf(text, sizeof(text), "node \"%.63s\" is not connected", route->node);
		dispatch_error(c, o, q->msgid, true, WIRE_E_NODE_DOWN, text);
	} else if (q->method == WIRE_ROUTE) {
		answer_route(c, o, q, route);
	} else {
		w = dispatch_worker(c, q->bucket);
		it->next = ITEM_NONE;
		if (c->first[w] == ITEM_NONE)
			c->first[w] = index;
		else
			c->item[c->last[w]].next = index;
		c->last[w] = index;
		c->items++;
		return;
	}
	c->local_requests[q->method]++;
}

/* One request whose bytes are sound. */
static void item_take(struct coord *c, struct owner o, const struct request *q, const char *data,
		      int unread)
{
	struct item *it = &c->item[c->items];
	struct options options;
	char text[256];
	enum wire_error e;

	if (q->method < 0) {
		(void)snprintf(text, sizeof(text), "unknown method \"%.*s\"",
			       (int)(q->method_name.n < 64 ? q->method_name.n : 64),
			       q->method_name.p);
		dispatch_error(c, o, q->msgid, true, WIRE_E_UNKNOWN_METHOD, text);
		return;
	}
	e = request_check(q, &options, text, sizeof(text));
	if (e == WIRE_OK && unread) {
		e = WIRE_E_BUSY;
		(void)snprintf(text, sizeof(text), "this client leaves its replies unread");
	}
	if (e == WIRE_OK && (uint64_t)(q->end - data) > c->request_max) {
		e = WIRE_E_TOO_LARGE;
		(void)snprintf(
			text, sizeof(text), "%s: request has %zu bytes, a value may have %llu",
			wire_method_name((enum wire_method)q->method), (size_t)(q->end - data),
			(unsigned long long)conf_number(c->conf, CONF_limits_value));
	}
	if (e != WIRE_OK) {
		c->local_requests[q->method]++;
		dispatch_error(c, o, q->msgid, true, e, text);
		return;
	}
	it->data = data;
	it->size = (uint32_t)(q->end - data);
	it->msgid = q->msgid;
	it->method = (uint8_t)q->method;
	it->timeout_ms = (uint32_t)options.timeout_ms;
	it->next = ITEM_NONE;
	if (q->bucket.p) {
		item_route(c, o, q, it);
	} else {
		c->local_requests[q->method]++;
		answer_here(c, o, q, it);
	}
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
		if (request_walk(p, end, &x->request, &x->bad) < 0)
			return true; /* it is answered too, the rest of the frame is not */
		p = x->request.end;
	}
	return true;
}

/* The same for a message: its requests are in c->walked.  False: it is over a limit. */
static bool message_walk(struct coord *c, const struct link_message *m)
{
	c->walked_count = 0;
	if (m->cut || m->bytes > conf_number(c->conf, CONF_limits_message))
		return false;
	for (uint32_t i = 0; i < m->frames; i++)
		if (!frame_walk(c, m->frame[i]))
			return false;
	return true;
}

static void message_take(struct coord *c, const struct link_message *m)
{
	struct owner o;
	bool whole;
	uint32_t n;
	int unread;
	char text[160];

	if (!clients_intern(c->clients, m, c->now_ms, &o)) {
		log_warn("dropped a message: more than %llu clients wait for replies",
			 (unsigned long long)conf_number(c->conf, CONF_limits_clients));
		return;
	}
	unread = clients_unread(c->clients, o);
	if (unread == 2)
		return;
	whole = message_walk(c, m);
	n = whole && c->walked_count ? c->walked_count : 1;
	if (m->delimiter && !clients_gather(c->clients, o, n, &o)) {
		log_warn("dropped a message: too many are being answered");
		return;
	}
	if (!whole) {
		(void)snprintf(
			text, sizeof(text),
			"a message may hold %u requests and %llu bytes; nothing of it was run",
			WIRE_REQUESTS_MAX,
			(unsigned long long)conf_number(c->conf, CONF_limits_message));
		dispatch_error(c, o, 0, false, WIRE_E_TOO_LARGE, text);
		return;
	}
	if (!c->walked_count) {
		dispatch_error(c, o, 0, false, WIRE_E_BAD_REQUEST, "a message without a request");
		return;
	}
	c->items = 0;
	for (uint32_t i = 0; i < c->super.count; i++)
		c->first[i] = ITEM_NONE;
	for (uint32_t i = 0; i < c->walked_count; i++) {
		struct walked *x = &c->walked[i];

		if (x->bad)
			dispatch_error(c, o, x->request.msgid, x->request.msgid_known,
				       WIRE_E_BAD_REQUEST, x->bad);
		else
			item_take(c, o, &x->request, x->begin, unread);
	}
	for (uint32_t i = 0; i < c->super.count; i++)
		if (c->first[i] != ITEM_NONE)
			items_push(c, &c->super.worker[i], o, c->first[i]);
}

unsigned dispatch_messages(struct coord *c, unsigned most)
{
	uint64_t bytes_max = conf_number(c->conf, CONF_limits_message);
	struct link_message *m;
	unsigned n = 0;

	while (n < most && link_receive(c->link, bytes_max, &m) == 0) {
		n++;
		message_take(c, m);
	}
	return n;
}
