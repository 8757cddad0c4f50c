/* A message comes in: whose it is, what is in it, whether it is taken at all. */
#include "coordinator/front/front.h"

#include <stdio.h>
#include <string.h>

#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/clients/conn_limit.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/security/security.h"

#define DROPPED_MS     1000u                   /* between warnings */
#define ROUND_REQUESTS (4 * WIRE_REQUESTS_MAX) /* taken in before replies get their turn */
#define ROUND_BYTES    (32u << 20)

/* Walk a frame's requests into m->parsed.  False: the message holds more than may be. */
static bool frame_walk(struct message *m, struct span frame)
{
	const char *p = frame.p;
	const char *end = frame.p + frame.n;

	while (p < end) {
		struct parsed *x = &m->parsed[m->parsed_count];

		if (m->parsed_count == WIRE_REQUESTS_MAX)
			return false;
		m->parsed_count++;
		x->begin = p;
		x->bad = NULL;
		x->left_ms = UINT64_MAX;
		if (request_walk(p, end, &x->request, &x->bad) < 0)
			return true; /* it is answered too, the rest of the frame is not */
		p = x->request.end;
	}
	return true;
}

/* The same for a message: its requests are in m->parsed.  False: it is over a limit. */
static bool message_walk(struct front *front, struct message *m, const struct socket_message *in)
{
	m->parsed_count = 0;
	if (in->cut || in->bytes > conf_number(front->node->conf, CONF_limits_message))
		return false;
	for (uint32_t i = 0; i < in->frames; i++)
		if (!frame_walk(m, in->frame[i]))
			return false;
	return true;
}

/*
 * Too much is unread: why a client's requests are refused, or NULL.  False: far too much, it is not
 * even told.
 */
static bool crowd_check(const struct front *front, struct reply_to client, bool admin,
			const char **ret)
{
	enum backlog unread = clients_unread(front->clients, client);
	enum backlog crowded = admin ? BACKLOG_NONE : clients_crowded(front->clients, client);

	*ret = unread ? CLIENTS_OVER : crowded ? CLIENTS_CROWDED : NULL;
	return unread < BACKLOG_FAR && crowded < BACKLOG_FAR;
}

/* At most once a second: whoever is dropped may come again and again. */
static void message_drop(struct front *front, const char *why)
{
	front->dropped++;
	if (front->node->now_ms - front->dropped_ms < DROPPED_MS)
		return;
	log_warn("dropped %llu messages: %s", (unsigned long long)front->dropped, why);
	front->dropped = 0;
	front->dropped_ms = front->node->now_ms;
}

/* Its requests are in m->parsed: answer those that are not right, begin the others. */
static void message_begin(struct front *front, struct message *m, bool whole)
{
	struct reply_to o = m->reply_to;
	char text[160];

	if (!whole) {
		(void)snprintf(
			text, sizeof(text),
			"a message may hold %u requests and %llu bytes; nothing of it was run",
			WIRE_REQUESTS_MAX,
			(unsigned long long)conf_number(front->node->conf, CONF_limits_message));
		reply_error(front->sink, o, -1, 0, false, WIRE_E_TOO_LARGE, text);
	} else if (!m->parsed_count) {
		reply_error(front->sink, o, -1, 0, false, WIRE_E_BAD_REQUEST,
			    "a message without a request");
	} else {
		dispatch_parsed(front, m);
	}
}

static void message_take(struct front *front, struct message *m, struct socket *link, bool admin,
			 const struct socket_message *in)
{
	const char *busy;
	struct reply_to o;
	bool whole;
	uint32_t n;

	if (!clients_intern(front->clients, link, in, front->node->now_ms, &o)) {
		message_drop(front, "as many clients as limits.clients says wait for replies");
		return;
	}
	m->keys = !admin && security_on(front->security);
	m->who = m->keys ? clients_who(front->clients, o) : NULL;
	/* Let in before its key was taken out, it has said its first word after that. */
	if (m->keys && !m->who) {
		clients_cut(front->clients, o);
		return;
	}
	if (!crowd_check(front, o, admin, &busy))
		return;
	whole = message_walk(front, m, in);
	n = whole && m->parsed_count ? m->parsed_count : 1;
	if (in->delimiter && !clients_group(front->clients, o, in, n, &o)) {
		message_drop(front, "too many are being answered");
		return;
	}
	m->reply_to = o;
	m->busy = busy;
	m->from_node = false;
	m->routed_here = false;
	m->admin = admin;
	m->routed.visited_count = 0;
	message_begin(front, m, whole);
}

/* Walk the requests of a batch into m->parsed, each with what is left of its time. */
static bool batch_walk(struct message *m, const struct peer_message *h, uint64_t late_ms)
{
	const char *p = h->bytes.p;
	const char *end = p + h->bytes.n;
	const char *times = h->times;
	const char *epochs = h->kind == PEER_MESSAGE_ROUTED ? h->epochs : NULL;

	m->parsed_count = 0;
	for (uint32_t i = 0; i < h->count; i++) {
		struct parsed *x = &m->parsed[m->parsed_count++];
		uint64_t left = read_uint(&times);

		x->begin = p;
		x->bad = NULL;
		x->epoch = epochs ? (uint32_t)read_uint(&epochs) : 0;
		x->left_ms = left > late_ms ? left - late_ms : 0;
		if (request_walk(p, end, &x->request, &x->bad) < 0)
			return false;
		p = x->request.end;
	}
	return p == end;
}

static bool batch(void *arg, struct reply_to o, const struct peer_message *h, uint64_t late_ms,
		  const char *busy)
{
	struct front *front = arg;
	struct message *m = &front->message;

	if (!batch_walk(m, h, late_ms))
		return false;
	m->reply_to = o;
	m->busy = busy;
	m->from_node = true;
	m->routed_here = h->kind == PEER_MESSAGE_ROUTED;
	m->admin = false;
	m->keys = false;
	m->who = NULL;
	m->routed.visited_count = h->visited_count;
	memcpy(m->routed.visited, h->visited, h->visited_count * sizeof(h->visited[0]));
	dispatch_parsed(front, m);
	return true;
}

struct peer_events front_peer_events(struct front *front)
{
	return (struct peer_events){batch, front};
}

unsigned front_messages(struct front *front, struct socket *link, bool admin, unsigned most)
{
	struct message *m = &front->message;
	uint64_t bytes_max = conf_number(front->node->conf, CONF_limits_message);
	struct socket_message *in;
	uint64_t bytes = 0;
	uint32_t requests = 0;
	unsigned n = 0;

	while (link && n < most && requests < ROUND_REQUESTS && bytes < ROUND_BYTES &&
	       front->node->net->receive(link, bytes_max, &in) == 0) {
		n++;
		conn_limit_saw(front->conn_limit, in->source_fd);
		m->parsed_count = 0;
		message_take(front, m, link, admin, in);
		requests += m->parsed_count;
		bytes += in->bytes;
	}
	return n;
}
