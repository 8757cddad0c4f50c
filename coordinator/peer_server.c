/* Batches of other nodes, and their replies. */
#include "coordinator/peer_server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "coordinator/coord.h"
#include "coordinator/clients/conn_limit.h"

#define SESSIONS_MAX 1024u  /* nodes that ask this one */
#define BATCHES_MAX  65536u /* of all of them, without all their replies */
#define WINDOW_MS    30000u /* clocks are compared anew so often: no two run alike for ever */
#define SILENT_MS \
	3000u          /* a node that restarted with its clock set back is believed after so long */
#define WARN_MS 60000u /* between warnings of one kind */
#define NONE    UINT32_MAX

/* A node that has said hello. */
struct session {
	char name[PEER_MESSAGE_NODE_MAX + 1];
	struct reply_to connection; /* generation 0: none */
	uint64_t started;
	uint64_t epoch;
	uint64_t seen_ms;
	int64_t offset[2]; /* least of ours minus its clock, in the window before and in this one */
	uint64_t window_ms;
};

struct batch {
	uint64_t generation; /* 0: free */
	struct reply_to connection;
	uint64_t id;
	uint32_t left;
	uint32_t next_free;
};

/* Something that strangers can cause as often as they like: it is told once in a while. */
struct warning {
	uint64_t next_ms; /* not before */
	uint64_t held;    /* how often it was not told since */
	char text[200];   /* of the last one */
};

struct peer_server {
	struct warning stranger;
	struct warning nonsense;
	struct session session[SESSIONS_MAX];
	uint32_t sessions;
	struct batch batch[BATCHES_MAX];
	uint32_t used;
	uint32_t free_list;
	uint64_t generation;
};

int peer_server_new(struct peer_server **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->free_list = NONE;
	return 0;
}

void peer_server_free(struct peer_server **n)
{
	free(*n);
	*n = NULL;
}

static void small_answer(struct coord *c, struct reply_to connection, const char *data,
			 const char *end)
{
	clients_answer(c->clients, connection, data, (size_t)(end - data), 1, false);
}

static void turn_away(struct coord *c, struct reply_to connection, const char *why)
{
	char data[PEER_MESSAGE_SMALL_MAX];

	small_answer(c, connection, data, peer_message_goaway(data, why, 0));
}

static void warn(struct coord *c, struct warning *w, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void warn(struct coord *c, struct warning *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	if (c->node.now_ms < w->next_ms) {
		w->held++;
		return;
	}
	log_warn("%s", w->text);
	w->next_ms = c->node.now_ms + WARN_MS;
}

/* What was not told in the last minute is counted. */
static void warning_tick(struct coord *c, struct warning *w)
{
	if (!w->held || c->node.now_ms < w->next_ms)
		return;
	log_warn("%llu times more in the last minute, and last: %s", (unsigned long long)w->held,
		 w->text);
	w->held = 0;
	w->next_ms = c->node.now_ms + WARN_MS;
}

void peer_server_tick(struct coord *c)
{
	warning_tick(c, &c->peer_server->stranger);
	warning_tick(c, &c->peer_server->nonsense);
}

/* ---- callers ---- */

static bool named(const struct coord *c, struct span name)
{
	for (uint32_t i = 0; i < c->node.conf->peers.count; i++)
		if (span_equal(name, span_of(c->node.conf->peers.pair[i].key)))
			return true;
	return false;
}

static bool same(struct reply_to a, struct reply_to b)
{
	return a.id == b.id && a.generation == b.generation;
}

/* Whose newest connection this is, or NULL. */
static struct session *session_of(struct coord *c, struct reply_to connection)
{
	uint32_t *tag = clients_tag(c->clients, connection);
	struct session *x = tag && *tag ? &c->peer_server->session[*tag - 1] : NULL;

	return x && same(x->connection, connection) ? x : NULL;
}

static struct session *session_named(struct peer_server *n, struct span name)
{
	struct session *oldest = &n->session[0];

	for (uint32_t i = 0; i < n->sessions; i++) {
		if (span_equal(name, span_of(n->session[i].name)))
			return &n->session[i];
		if (n->session[i].seen_ms < oldest->seen_ms)
			oldest = &n->session[i];
	}
	if (n->sessions < SESSIONS_MAX)
		oldest = &n->session[n->sessions++];
	memset(oldest, 0, sizeof(*oldest));
	(void)snprintf(oldest->name, sizeof(oldest->name), "%.*s", (int)name.n, name.p);
	return oldest;
}

/* How late something is that was written at `stamp_ms`. */
static uint64_t lateness(struct session *x, uint64_t now_ms, uint64_t stamp_ms)
{
	int64_t offset = (int64_t)(now_ms - stamp_ms);
	int64_t least;

	if (now_ms - x->window_ms >= WINDOW_MS) {
		x->offset[0] = x->offset[1];
		x->offset[1] = offset;
		x->window_ms = now_ms;
	}
	if (offset < x->offset[1])
		x->offset[1] = offset;
	least = x->offset[0] < x->offset[1] ? x->offset[0] : x->offset[1];
	return (uint64_t)(offset - least);
}

static void hello(struct coord *c, struct reply_to connection, const struct peer_message *h)
{
	const struct peer_message answer = {
		.node = span_of(conf_text(c->node.conf, CONF_node_name)),
		.version = span_of(WIRE_VERSION),
		.frame_max = c->node.frame_max,
	};
	struct session *x;
	bool older;
	char data[PEER_MESSAGE_SMALL_MAX];

	if (h->protocol != PEER_MESSAGE_PROTOCOL || c->node.stopping) {
		turn_away(c, connection,
			  c->node.stopping ? "it stops" : "it speaks another version");
		return;
	}
	if (span_equal(h->node, answer.node)) {
		turn_away(c, connection, "two nodes have the same name");
		return;
	}
	if (!named(c, h->node)) {
		char name[4 * PEER_MESSAGE_NODE_MAX + 1];

		warn(c, &c->peer_server->stranger,
		     "turned away node \"%.100s\", which is not in [peers]",
		     buf_printable(name, sizeof(name), h->node.p, h->node.n));
		turn_away(c, connection, "this node does not have that one in its [peers]");
		return;
	}
	x = session_named(c->peer_server, h->node);
	older = h->started < x->started || (h->started == x->started && h->epoch <= x->epoch);
	if (x->connection.generation && !same(x->connection, connection)) {
		if (older && c->node.now_ms - x->seen_ms < SILENT_MS) {
			turn_away(c, connection, "a newer link of that name is there");
			return;
		}
		turn_away(c, x->connection, "a newer link of that name has come");
	}
	x->connection = connection;
	x->started = h->started;
	x->epoch = h->epoch;
	x->seen_ms = c->node.now_ms;
	x->window_ms = c->node.now_ms;
	x->offset[0] = x->offset[1] = (int64_t)(c->node.now_ms - h->stamp_ms);
	*clients_tag(c->clients, connection) = (uint32_t)(x - c->peer_server->session) + 1;
	small_answer(c, connection, data, peer_message_welcome(data, &answer));
	log_debug("node %s has linked up, epoch %llu", x->name, (unsigned long long)h->epoch);
	peers_kick(c, h->node);
}

void peer_server_configure(struct coord *c)
{
	for (uint32_t i = 0; i < c->peer_server->sessions; i++) {
		struct session *x = &c->peer_server->session[i];

		if (!x->connection.generation || named(c, span_of(x->name)))
			continue;
		turn_away(c, x->connection, "this node does not have that one in its [peers]");
		x->connection.generation = 0;
	}
}

bool peer_server_heard(const struct coord *c, const char *name, uint64_t *ret_seen_ms)
{
	const uint64_t dead_ms = conf_number(c->node.conf, CONF_links_dead_ms);

	*ret_seen_ms = 0;
	for (uint32_t i = 0; i < c->peer_server->sessions; i++) {
		const struct session *x = &c->peer_server->session[i];

		if (strcmp(x->name, name) != 0)
			continue;
		*ret_seen_ms = x->seen_ms;
		return x->connection.generation && c->node.now_ms - x->seen_ms < dead_ms;
	}
	return false;
}

void peer_server_goaway(struct coord *c, const char *why, uint64_t hold_ms)
{
	char data[PEER_MESSAGE_SMALL_MAX];
	char *end = peer_message_goaway(data, why, hold_ms);

	for (uint32_t i = 0; i < c->peer_server->sessions; i++)
		if (c->peer_server->session[i].connection.generation)
			small_answer(c, c->peer_server->session[i].connection, data, end);
}

/* ---- batches ---- */

static struct batch *batch_of(const struct coord *c, struct reply_to o)
{
	struct batch *b = &c->peer_server->batch[reply_to_index(o)];

	return b->generation == o.generation ? b : NULL;
}

/* Replies as a message to the node; the batch counts them. */
static void replies_send(struct coord *c, struct reply_to connection, uint64_t id,
			 const uint16_t *index, uint32_t count, const char *replies, size_t n)
{
	char *p = clients_room(c->clients, connection, n + peer_message_replies_room(count));

	if (!p)
		return; /* the node is gone */
	p = peer_message_replies(p, id, count);
	for (uint32_t i = 0; i < count; i++)
		p = peer_message_index(p, index[i]);
	p = peer_message_bytes(p, n);
	memcpy(p, replies, n);
	clients_wrote(c->clients, connection, p + n);
}

void peer_server_answer(struct coord *c, struct reply_to o, const uint16_t *index, uint32_t count,
			const char *replies, size_t n)
{
	struct batch *b = batch_of(c, o);

	if (!b)
		return;
	replies_send(c, b->connection, b->id, index, count, replies, n);
	check(b->left >= count);
	b->left -= count;
	if (b->left)
		return;
	b->generation = 0;
	b->next_free = c->peer_server->free_list;
	c->peer_server->free_list = (uint32_t)(b - c->peer_server->batch);
}

bool peer_server_client(const struct coord *c, struct reply_to o, struct reply_to *ret)
{
	const struct batch *b = batch_of(c, o);

	if (b)
		*ret = b->connection;
	return b != NULL;
}

static bool batch_new(struct coord *c, struct reply_to connection, const struct peer_message *h,
		      struct reply_to *ret)
{
	struct peer_server *n = c->peer_server;
	uint32_t i = n->free_list;
	struct batch *b;

	if (i == NONE && n->used == BATCHES_MAX)
		return false;
	if (i == NONE)
		i = n->used++;
	else
		n->free_list = n->batch[i].next_free;
	b = &n->batch[i];
	b->generation = ++n->generation;
	b->connection = connection;
	b->id = h->id;
	b->left = h->count;
	*ret = (struct reply_to){reply_to_id(REPLY_TO_SESSION, i), 0, b->generation};
	return true;
}

/* Too many are open: `busy` to each, without keeping anything. */
static void batch_refuse(struct coord *c, struct reply_to connection, const struct peer_message *h)
{
	for (uint32_t i = 0; i < c->walked_count; i++) {
		uint16_t index = (uint16_t)i;
		char reply[WIRE_REPLY_ERROR_MAX];
		char *end = write_error(reply, c->walked[i].request.msgid, true, WIRE_E_BUSY,
					"this node's queue is full: try again later");

		replies_send(c, connection, h->id, &index, 1, reply, (size_t)(end - reply));
	}
}

/* Walk the requests of a batch into c->walked, each with what is left of its time. */
static bool batch_walk(struct coord *c, const struct peer_message *h, uint64_t late)
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
		x->left_ms = left > late ? left - late : 0;
		if (request_walk(p, end, &x->request, &x->bad) < 0)
			return false;
		p = x->request.end;
	}
	return p == end;
}

static bool batch_take(struct coord *c, struct reply_to connection, const struct peer_message *h)
{
	struct session *x = session_of(c, connection);
	struct reply_to o;
	int unread = clients_unread(c->clients, connection);
	int crowded = clients_crowded(c->clients, connection);

	if (!x) {
		turn_away(c, connection, "say hello first, and once for each connection");
		return true;
	}
	x->seen_ms = c->node.now_ms;
	if (!batch_walk(c, h, lateness(x, c->node.now_ms, h->stamp_ms)))
		return false;
	if (!batch_new(c, connection, h, &o)) {
		batch_refuse(c, connection, h);
		return true;
	}
	c->hand = (struct hand){.reply_to = o,
				.busy = unread    ? CLIENTS_OVER
					: crowded ? CLIENTS_CROWDED
						  : NULL,
				.from_node = true,
				.visited_count = h->visited_count};
	memcpy(c->hand.visited, h->visited, h->visited_count * sizeof(h->visited[0]));
	dispatch_walked(c);
	return true;
}

/* ---- messages ---- */

static bool peer_message_take(struct coord *c, struct reply_to connection,
			      const struct peer_message *h)
{
	struct session *x;
	char data[PEER_MESSAGE_SMALL_MAX];

	switch (h->kind) {
	case PEER_MESSAGE_HELLO:
		hello(c, connection, h);
		return true;
	case PEER_MESSAGE_PING:
		x = session_of(c, connection);
		if (x) {
			x->seen_ms = c->node.now_ms;
			(void)lateness(x, c->node.now_ms, h->stamp_ms);
			small_answer(c, connection, data, peer_message_pong(data));
		}
		return true;
	case PEER_MESSAGE_BATCH:
		return batch_take(c, connection, h);
	default:
		return false;
	}
}

static void message_take(struct coord *c, const struct socket_message *m)
{
	struct reply_to connection;

	if (!clients_intern(c->clients, c->node_link, m, c->node.now_ms, &connection))
		return; /* the node finds out by its own deadlines */
	if (clients_unread(c->clients, connection) == 2)
		return;
	for (uint32_t i = 0; i < m->frames; i++) {
		const char *at = m->frame[i].p;
		const char *end = at + m->frame[i].n;

		while (at < end) {
			struct peer_message h;

			if (m->cut || peer_message_read(at, end, &h) < 0 ||
			    !peer_message_take(c, connection, &h)) {
				warn(c, &c->peer_server->nonsense,
				     "what is no message between nodes came to %s",
				     c->node_endpoint);
				turn_away(c, connection, "it got what is no message between nodes");
				return;
			}
			at = h.end;
		}
	}
}

unsigned peer_server_receive(struct coord *c, unsigned most)
{
	struct socket_message *m;
	unsigned n = 0;

	while (c->node_link && n < most &&
	       socket_receive(c->node_link, c->node.frame_max, &m) == 0) {
		n++;
		conn_limit_saw(c->conn_limit, m->source_fd);
		message_take(c, m);
	}
	return n;
}
