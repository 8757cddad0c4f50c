/* What needs no worker, or all of them. */
#include "ipc/wire/reply.h"
#include "coordinator/front/methods.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/cluster/cluster.h"
#include "coordinator/front/cluster_methods.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/front/fanout.h"
#include "coordinator/front/metrics.h"
#include "coordinator/front/status.h"
#include "coordinator/node/figures.h"

static void answer_buf(struct front *front, struct reply_to o, struct buf *b)
{
	if (!b->failed)
		reply_send(front->sink, o, b->data, b->len);
	else
		log_error("answer a request: no memory");
	buf_fini(b);
}

static char *place_write(char *p, const struct cluster_place *at)
{
	p = write_uint(write_text(p, "partition"), at->partition);
	p = write_uint(write_text(p, "epoch"), at->epoch);
	p = write_array(write_text(p, "copies"), at->copies);
	for (uint32_t i = 0; i < at->copies; i++)
		p = write_text(p, at->copy[i]);
	return p;
}

void method_route(struct front *front, struct message *m, struct reply_to o,
		  const struct request *q, const struct route *route,
		  const struct cluster_place *at)
{
	struct buf b;
	char *p;

	buf_init(&b);
	p = buf_room(&b, 512 + CLUSTER_COPIES_MAX * (PEER_MESSAGE_NODE_MAX + CODEC_HEAD_MAX));
	if (p) {
		p = write_map(write_reply_head(p, q->msgid), at ? 6 : 3);
		p = write_text(write_text(p, "node"),
			       at ? conf_text(front->node->conf, CONF_node_name) : route->node);
		p = write_text(write_text(p, "entry"), route->entry);
		p = write_uint(write_text(p, "hops"), m->routed.visited_count);
		if (at)
			p = place_write(p, at);
		b.len = (size_t)(p - b.data);
	}
	answer_buf(front, o, &b);
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

static void answer_reload(struct front *front, struct message *m, struct reply_to o,
			  const struct request *q)
{
	struct buf text;
	struct buf b;
	enum wire_error e;

	buf_init(&text);
	buf_init(&b);
	dispatch_end(front, m); /* what came before it in the message goes the old way */
	dispatch_begin(front, m);
	e = front->hooks.reload(front->hooks.arg, &text);
	/* Rights that were found before are gone. */
	m->who = m->keys ? clients_who(front->clients, clients_of(front->clients, m->reply_to))
			 : NULL;
	if (e == WIRE_OK)
		changes_write(&b, q->msgid, &text);
	buf_add(&text, "", 1);
	if (e == WIRE_OK && !text.failed)
		answer_buf(front, o, &b);
	else
		reply_error(front->sink, o, q->method, q->msgid, true,
			    e == WIRE_OK ? WIRE_E_INTERNAL : e,
			    text.failed ? "no memory" : text.data);
	buf_fini(&b);
	buf_fini(&text);
}

static void answer_worker(struct front *front, struct reply_to o, const struct request *q)
{
	if (front->node->stopping || front->hooks.upgrading(front->hooks.arg))
		reply_error(front->sink, o, q->method, q->msgid, true, WIRE_E_BUSY,
			    front->node->stopping ? "the node stops: try again later"
						  : "the node is being upgraded: try again later");
	else
		handoff_ask(front->handoff, o, q);
}

/* A session's id: when it was made, by the wall clock, and what nobody can guess. */
static void answer_session(struct front *front, struct reply_to o, const struct request *q)
{
	char reply[CODEC_REPLY_MAX + WIRE_SESSION_BYTES];
	uint8_t id[WIRE_SESSION_BYTES];
	uint64_t made_ms = clock_wall_ms();
	char *end;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
		reply_error(front->sink, o, q->method, q->msgid, true, WIRE_E_INTERNAL,
			    "session: the system gives no random bytes");
		return;
	}
	for (unsigned i = 0; i < 6; i++)
		id[i] = (uint8_t)(made_ms >> (40 - 8 * i));
	end = write_bin(write_reply_head(reply, q->msgid), id, sizeof(id));
	reply_send(front->sink, o, reply, (size_t)(end - reply));
}

static void answer_events(struct front *front, struct reply_to o, const struct request *q)
{
	struct buf b;

	buf_init(&b);
	if (metrics_events(front, q, &b))
		answer_buf(front, o, &b);
	else
		reply_error(
			front->sink, o, q->method, q->msgid, true, WIRE_E_BAD_ARGUMENT,
			"events: give the number behind which to begin, and how many at most, 1 to "
			"256");
}

static void run(struct front *front, struct message *m, struct reply_to o, const struct request *q,
		struct item *it)
{
	struct buf b;
	char small[CODEC_REPLY_MAX];
	char *end;

	buf_init(&b);
	switch (q->method) {
	case WIRE_PING:
		end = write_text(write_reply_head(small, q->msgid), "pong");
		reply_send(front->sink, o, small, (size_t)(end - small));
		return;
	case WIRE_SESSION:
		answer_session(front, o, q);
		return;
	case WIRE_HELLO:
		status_hello(front, m->who, q->msgid, &b);
		answer_buf(front, o, &b);
		return;
	case WIRE_STATUS:
		status_status(front, q->msgid, &b);
		answer_buf(front, o, &b);
		return;
	case WIRE_METRICS:
		metrics_write(front, q->msgid, &b);
		answer_buf(front, o, &b);
		return;
	case WIRE_EVENTS:
		answer_events(front, o, q);
		return;
	case WIRE_FUNCTIONS:
		status_functions(front, q->msgid, &b);
		answer_buf(front, o, &b);
		return;
	case WIRE_RELOAD:
		answer_reload(front, m, o, q);
		return;
	case WIRE_WORKER:
		answer_worker(front, o, q);
		return;
	case WIRE_CLUSTER_CREATE:
	case WIRE_CLUSTER_STATUS:
	case WIRE_CLUSTER_DRAIN:
		cluster_method(front, o, q);
		return;
	case WIRE_UPGRADE:
		front->hooks.upgrade(front->hooks.arg, o, q);
		return;
	default:
		fanout_buckets(front, m, o, it);
		return;
	}
}

void method_run(struct front *front, struct message *m, struct reply_to o, const struct request *q,
		struct item *it)
{
	uint64_t begun_us = front->node->now_us;

	run(front, m, o, q, it);
	if (method_is(q->method,
		      METHOD_LOCAL)) /* some are answered later: how long that takes says status */
		figures_duration(front->node->figures, (unsigned)q->method, begun_us, clock_us());
}
