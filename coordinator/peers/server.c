/* Batches of other nodes, and their replies. */
#include "coordinator/peers/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/clients/clients.h"
#include "coordinator/clients/conn_limit.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/peers/peers.h"
#include "coordinator/peers/strangers.h"
#include "coordinator/peers/versions.h"
#include "coordinator/peers/warning.h"
#include "coordinator/security/security.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

#define SESSIONS_MAX 1024u  /* nodes that ask this one */
#define BATCHES_MAX  65536u /* of all of them, without all their replies */
#define WINDOW_MS    30000u /* clocks are compared anew so often: no two run alike for ever */
#define SILENT_MS \
	3000u /* a node that restarted with its clock set back is believed after so long */
#define NONE UINT32_MAX

/* A node that has said hello. */
struct session {
	char name[PEER_MESSAGE_NODE_MAX + 1];
	struct reply_to connection; /* generation 0: none */
	enum peer_link use;
	uint64_t started;
	uint64_t epoch;
	uint64_t seen_ms;
	int64_t offset[2]; /* least of ours minus its clock, in the window before and in this one */
	uint64_t window_ms;
	uint64_t protocol;                       /* the version that is spoken */
	char refused[PEER_MESSAGE_TEXT_MAX + 1]; /* why its last hello was, or empty */
	char functions[PEER_MESSAGE_DIGEST + 1]; /* the digest that it has told last, or empty */
	uint64_t given; /* requests that were given back to it on this connection, */
	uint64_t *
		given_at; /* and how many when one of a partition was; NULL: for lack of memory, any */
};

struct batch {
	uint64_t generation; /* 0: free */
	struct reply_to connection;
	uint64_t id;
	bool routed;    /* what is not served here is given back */
	uint64_t given; /* how much of that its sender knew of */
	uint32_t left;
	uint32_t next_free;
};

struct peer_server {
	struct node *node;
	struct clients *clients;
	struct conn_limit *conn_limit;
	struct peers *peers;
	const struct security *security;
	const char *endpoint;
	struct peer_events events;
	const struct peer_copies *copies;
	struct warning stranger;
	struct strangers strangers;
	struct warning impostor;
	struct warning nonsense;
	struct warning versions;
	struct session session[SESSIONS_MAX];
	uint32_t sessions;
	struct batch batch[BATCHES_MAX];
	uint32_t used;
	uint32_t free_list;
	uint64_t generation;
};

int peer_server_new(const struct peer_server_parts *parts, const struct peer_events *events,
		    struct peer_server **ret)
{
	struct peer_server *s = calloc(1, sizeof(*s));

	*ret = s;
	if (!s)
		return -ENOMEM;
	s->node = parts->node;
	s->clients = parts->clients;
	s->conn_limit = parts->conn_limit;
	s->peers = parts->peers;
	s->security = parts->security;
	s->endpoint = parts->endpoint;
	s->events = *events;
	s->free_list = NONE;
	return 0;
}

void peer_server_free(struct peer_server **n)
{
	for (uint32_t i = 0; *n && i < (*n)->sessions; i++)
		free((*n)->session[i].given_at);
	free(*n);
	*n = NULL;
}

static void small_answer(struct peer_server *s, struct reply_to connection, const char *data,
			 const char *end)
{
	clients_answer(s->clients, connection, data, (size_t)(end - data), 1, false);
}

static void turn_away(struct peer_server *s, struct reply_to connection, const char *why)
{
	char data[PEER_MESSAGE_SMALL_MAX];

	small_answer(s, connection, data, peer_message_goaway(data, why, 0));
}

void peer_server_tick(struct peer_server *s)
{
	warning_tick(&s->stranger, s->node->now_ms);
	warning_tick(&s->impostor, s->node->now_ms);
	warning_tick(&s->nonsense, s->node->now_ms);
	warning_tick(&s->versions, s->node->now_ms);
}

/* ---- callers ---- */

static bool named(const struct peer_server *s, struct span name)
{
	for (uint32_t i = 0; i < s->node->conf->peers.count; i++)
		if (span_equal(name, span_of(s->node->conf->peers.pair[i].key)))
			return true;
	return s->copies && s->copies->knows(s->copies->arg, name);
}

/* Has the connection the key of that name? */
static bool proved(const struct peer_server *s, struct reply_to connection, struct span name)
{
	return !s->security ||
	       security_is_peer(s->security, clients_key(s->clients, connection), name);
}

static bool same(struct reply_to a, struct reply_to b)
{
	return a.id == b.id && a.generation == b.generation;
}

/* Whose newest connection this is, or NULL. */
static struct session *session_of(struct peer_server *s, struct reply_to connection)
{
	uint32_t *tag = clients_tag(s->clients, connection);
	struct session *x = tag && *tag ? &s->session[*tag - 1] : NULL;

	return x && same(x->connection, connection) ? x : NULL;
}

static struct session *session_named(struct peer_server *n, struct span name, enum peer_link use)
{
	struct session *oldest = &n->session[0];

	for (uint32_t i = 0; i < n->sessions; i++) {
		if (n->session[i].use == use && span_equal(name, span_of(n->session[i].name)))
			return &n->session[i];
		if (n->session[i].seen_ms < oldest->seen_ms)
			oldest = &n->session[i];
	}
	if (n->sessions < SESSIONS_MAX)
		oldest = &n->session[n->sessions++];
	free(oldest->given_at);
	memset(oldest, 0, sizeof(*oldest));
	(void)snprintf(oldest->name, sizeof(oldest->name), "%.*s", (int)name.n, name.p);
	oldest->use = use;
	return oldest;
}

static void given_forget(struct session *x)
{
	free(x->given_at);
	x->given_at = NULL;
	x->given = 0;
}

static void given_note(struct session *x, uint32_t partition, uint32_t partitions)
{
	x->given++;
	if (!x->given_at)
		x->given_at = calloc(partitions, sizeof(*x->given_at));
	if (x->given_at && partition < partitions)
		x->given_at[partition] = x->given;
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

/* The version to speak with it, or 0: it is turned away, and why is kept for `status`. */
static uint64_t versions_agree(struct peer_server *s, struct reply_to connection, struct session *x,
			       const struct peer_message *h)
{
	uint64_t protocol = peer_versions_agree(s->node->peer_versions, h->versions);

	x->refused[0] = '\0';
	if (protocol)
		return protocol;
	versions_explain(s->node, h, x->refused, sizeof(x->refused));
	warn(&s->versions, s->node->now_ms, "turned away node \"%s\": %s", x->name, x->refused);
	turn_away(s, connection, x->refused);
	return 0;
}

static void functions_take(struct session *x, const struct peer_message *h)
{
	(void)snprintf(x->functions, sizeof(x->functions), "%.*s", (int)h->functions.n,
		       h->functions.n ? h->functions.p : "");
}

/*
 * The hello of a link that is there, said again because its functions are others.  Nothing else is
 * new, so it is not judged and not answered: a goaway to it would be the second of a link on which
 * one is on its way.
 */
static bool hello_again(struct peer_server *s, struct reply_to connection,
			const struct peer_message *h)
{
	struct session *x = session_of(s, connection);

	if (!x || h->started != x->started || h->epoch != x->epoch || h->link != x->use ||
	    !span_equal(h->node, span_of(x->name)))
		return false;
	x->seen_ms = s->node->now_ms;
	(void)lateness(x, s->node->now_ms, h->stamp_ms);
	functions_take(x, h);
	return true;
}

static void welcome(struct peer_server *s, const struct session *x)
{
	const struct peer_message answer = {
		.protocol = x->protocol,
		.node = span_of(conf_text(s->node->conf, CONF_node_name)),
		.version = span_of(WIRE_VERSION),
		.frame_max = s->node->frame_max,
		.functions = span_of(s->node->functions),
	};
	char data[PEER_MESSAGE_SMALL_MAX];

	small_answer(s, x->connection, data, peer_message_welcome(data, &answer));
}

void peer_server_functions(struct peer_server *s)
{
	for (uint32_t i = 0; i < s->sessions; i++)
		if (s->session[i].connection.generation && *s->session[i].functions)
			welcome(s, &s->session[i]);
}

static const char *stranger_text(const struct peer_server *s)
{
	return s->copies ? "this node has that one neither in its [peers] nor in its cluster"
			 : "this node does not have that one in its [peers]";
}

static void stranger_take(struct peer_server *s, struct reply_to connection, struct span node)
{
	char name[4 * PEER_MESSAGE_NODE_MAX + 1];

	if (!s->copies || stranger_stays(&s->strangers, node, s->node->now_ms))
		warn(&s->stranger, s->node->now_ms,
		     "turned away node \"%.100s\", which is not in [peers]%s",
		     buf_printable(name, sizeof(name), node.p, node.n),
		     s->copies ? ", nor has it registered in the cluster" : "");
	turn_away(s, connection, stranger_text(s));
}

static void hello(struct peer_server *s, struct reply_to connection, const struct peer_message *h)
{
	struct session *x;
	uint64_t protocol;
	bool older;

	if (hello_again(s, connection, h))
		return;
	if (s->node->stopping) {
		turn_away(s, connection, "it stops");
		return;
	}
	if (span_equal(h->node, span_of(conf_text(s->node->conf, CONF_node_name)))) {
		turn_away(s, connection, "two nodes have the same name");
		return;
	}
	if (!named(s, h->node)) {
		stranger_take(s, connection, h->node);
		return;
	}
	if (!proved(s, connection, h->node)) {
		warn(&s->impostor, s->node->now_ms,
		     "turned away a node that says it is \"%.*s\" with a key that is not that "
		     "one's in [peers]: %.*s",
		     (int)h->node.n, h->node.p, (int)clients_key(s->clients, connection).n,
		     clients_key(s->clients, connection).p);
		turn_away(s, connection, "the key is not the one of that name");
		return;
	}
	x = session_named(s, h->node, h->link);
	protocol = versions_agree(s, connection, x, h);
	if (!protocol)
		return;
	older = h->started < x->started || (h->started == x->started && h->epoch <= x->epoch);
	if (x->connection.generation && !same(x->connection, connection)) {
		if (older && s->node->now_ms - x->seen_ms < SILENT_MS) {
			turn_away(s, connection, "a newer link of that name is there");
			return;
		}
		turn_away(s, x->connection, "a newer link of that name has come");
	}
	x->connection = connection;
	given_forget(x);
	x->protocol = protocol;
	x->started = h->started;
	x->epoch = h->epoch;
	x->seen_ms = s->node->now_ms;
	x->window_ms = s->node->now_ms;
	x->offset[0] = x->offset[1] = (int64_t)(s->node->now_ms - h->stamp_ms);
	functions_take(x, h);
	*clients_tag(s->clients, connection) = (uint32_t)(x - s->session) + 1;
	welcome(s, x);
	log_debug("node %s has linked up, epoch %llu, version %llu", x->name,
		  (unsigned long long)h->epoch, (unsigned long long)x->protocol);
	peers_kick(s->peers, h->node);
}

void peer_server_configure(struct peer_server *s)
{
	for (uint32_t i = 0; i < s->sessions; i++) {
		struct session *x = &s->session[i];

		if (!x->connection.generation ||
		    (named(s, span_of(x->name)) && proved(s, x->connection, span_of(x->name))))
			continue;
		turn_away(s, x->connection, stranger_text(s));
		x->connection.generation = 0;
	}
}

struct peer_heard peer_server_heard(const struct peer_server *s, const char *name)
{
	const uint64_t dead_ms = conf_number(s->node->conf, CONF_links_dead_ms);

	for (uint32_t i = 0; i < s->sessions; i++) {
		const struct session *x = &s->session[i];

		if (strcmp(x->name, name) != 0 || x->use != PEER_LINK_REQUESTS)
			continue;
		return (struct peer_heard){
			.linked =
				x->connection.generation && s->node->now_ms - x->seen_ms < dead_ms,
			.seen_ms = x->seen_ms,
			.protocol = x->protocol,
			.refused = x->refused,
			.functions = x->functions,
		};
	}
	return (struct peer_heard){.refused = "", .functions = ""};
}

static void goaway(struct peer_server *s, bool copies, const char *why, uint64_t hold_ms)
{
	char data[PEER_MESSAGE_SMALL_MAX];
	char *end = peer_message_goaway(data, why, hold_ms);

	for (uint32_t i = 0; i < s->sessions; i++)
		if (s->session[i].connection.generation &&
		    (s->session[i].use != PEER_LINK_REQUESTS) == copies)
			small_answer(s, s->session[i].connection, data, end);
}

void peer_server_goaway(struct peer_server *s, const char *why, uint64_t hold_ms)
{
	goaway(s, false, why, hold_ms);
}

void peer_server_goaway_copies(struct peer_server *s, const char *why, uint64_t hold_ms)
{
	goaway(s, true, why, hold_ms);
}

/* ---- batches ---- */

static struct batch *batch_of(struct peer_server *s, struct reply_to o)
{
	struct batch *b = &s->batch[reply_to_index(o)];

	return b->generation == o.generation ? b : NULL;
}

static void batch_free(struct peer_server *s, struct batch *b)
{
	check(b->generation);
	b->generation = 0;
	b->next_free = s->free_list;
	s->free_list = (uint32_t)(b - s->batch);
}

/* Replies as a message to the node; the batch counts them. */
static void replies_send(struct peer_server *s, struct reply_to connection, uint64_t id,
			 const uint16_t *index, uint32_t count, const char *replies, size_t n)
{
	char *p = clients_room(s->clients, connection, n + peer_message_replies_room(count));

	if (!p)
		return; /* the node is gone */
	p = peer_message_replies(p, id, count);
	for (uint32_t i = 0; i < count; i++) {
		check_slow(!i || index[i] > index[i - 1]); /* the other node insists on it */
		p = peer_message_index(p, index[i]);
	}
	p = peer_message_bytes(p, n);
	memcpy(p, replies, n);
	clients_wrote(s->clients, connection, p + n);
}

void peer_server_answer(struct peer_server *s, struct reply_to o, const uint16_t *index,
			uint32_t count, const char *replies, size_t n)
{
	struct batch *b = batch_of(s, o);

	if (!b)
		return;
	replies_send(s, b->connection, b->id, index, count, replies, n);
	check(b->left >= count);
	b->left -= count;
	if (b->left)
		return;
	batch_free(s, b);
}

bool peer_server_elsewhere(struct peer_server *s, struct reply_to o, const struct peer_place *place)
{
	struct batch *b = batch_of(s, o);
	char *p;

	if (!b)
		return true; /* nobody waits for it */
	if (!b->routed)
		return false;
	p = clients_room(s->clients, b->connection, PEER_CLUSTER_ROOM + PEER_PLACE_BYTES);
	if (p) {
		struct session *x = session_of(s, b->connection);

		if (x)
			given_note(x, place->partition, s->node->partitions);
		p = peer_message_index(peer_message_elsewhere(p, b->id, 1), o.index);
		p = peer_message_place(peer_message_places(p, 1), place);
		clients_wrote(s->clients, b->connection, p);
	}
	check(b->left);
	if (!--b->left)
		batch_free(s, b);
	return true;
}

bool peer_server_behind(struct peer_server *s, struct reply_to o, uint32_t partition)
{
	const struct batch *b = batch_of(s, o);
	const struct session *x = b && b->routed ? session_of(s, b->connection) : NULL;

	return x && b->given < (x->given_at ? x->given_at[partition] : x->given);
}

bool peer_server_client(struct peer_server *s, struct reply_to o, struct reply_to *ret)
{
	const struct batch *b = batch_of(s, o);

	if (b)
		*ret = b->connection;
	return b != NULL;
}

uint32_t peer_server_waits(const struct peer_server *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->used; i++)
		n += s->batch[i].generation != 0;
	return n;
}

static bool batch_new(struct peer_server *s, struct reply_to connection,
		      const struct peer_message *h, struct reply_to *ret)
{
	uint32_t i = s->free_list;
	struct batch *b;

	if (i == NONE && s->used == BATCHES_MAX)
		return false;
	if (i == NONE)
		i = s->used++;
	else
		s->free_list = s->batch[i].next_free;
	b = &s->batch[i];
	b->generation = ++s->generation;
	b->connection = connection;
	b->id = h->id;
	b->routed = h->kind == PEER_MESSAGE_ROUTED;
	b->given = h->given;
	b->left = h->count;
	*ret = (struct reply_to){reply_to_id(REPLY_TO_SESSION, i), 0, b->generation};
	return true;
}

/* Too many are open: `busy` to each, without keeping anything.  False: it is no batch. */
static bool batch_refuse(struct peer_server *s, struct reply_to connection,
			 const struct peer_message *h)
{
	const char *p = h->bytes.p;
	const char *end = p + h->bytes.n;

	for (uint32_t i = 0; i < h->count; i++) {
		uint16_t index = (uint16_t)i;
		char reply[WIRE_REPLY_ERROR_MAX];
		struct request q;
		const char *bad;
		char *reply_end;

		if (request_walk(p, end, &q, &bad) < 0)
			return false;
		p = q.end;
		reply_end = write_error(reply, q.msgid, true, WIRE_E_BUSY,
					"this node's queue is full: try again later");
		replies_send(s, connection, h->id, &index, 1, reply, (size_t)(reply_end - reply));
	}
	return p == end;
}

static bool batch_take(struct peer_server *s, struct reply_to connection,
		       const struct peer_message *h)
{
	struct session *x = session_of(s, connection);
	struct reply_to o;
	enum backlog unread = clients_unread(s->clients, connection);
	enum backlog crowded = clients_crowded(s->clients, connection);
	uint64_t late_ms;

	if (!x) {
		turn_away(s, connection, "say hello first, and once for each connection");
		return true;
	}
	x->seen_ms = s->node->now_ms;
	late_ms = lateness(x, s->node->now_ms, h->stamp_ms);
	if (!batch_new(s, connection, h, &o))
		return batch_refuse(s, connection, h);
	if (s->events.batch(s->events.arg, o, h, late_ms,
			    unread    ? CLIENTS_OVER
			    : crowded ? CLIENTS_CROWDED
				      : NULL))
		return true;
	batch_free(s, batch_of(s, o));
	return false;
}

/* ---- messages ---- */

static bool peer_message_take(struct peer_server *s, struct reply_to connection,
			      const struct peer_message *h)
{
	struct session *x;
	char data[PEER_MESSAGE_SMALL_MAX];

	switch (h->kind) {
	case PEER_MESSAGE_HELLO:
		if (h->link != PEER_LINK_REQUESTS && (h->link != PEER_LINK_LOG || !s->copies))
			return false;
		hello(s, connection, h);
		return true;
	case PEER_MESSAGE_PING:
		x = session_of(s, connection);
		if (x) {
			x->seen_ms = s->node->now_ms;
			(void)lateness(x, s->node->now_ms, h->stamp_ms);
			small_answer(s, connection, data, peer_message_pong(data));
		}
		return true;
	case PEER_MESSAGE_BATCH:
	case PEER_MESSAGE_ROUTED:
		return batch_take(s, connection, h);
	case PEER_MESSAGE_BEAT:
	case PEER_MESSAGE_APPEND:
		if (!s->copies)
			return false;
		x = session_of(s, connection);
		if (!x || x->use != PEER_LINK_LOG) {
			turn_away(s, connection, "say hello first, and once for each connection");
			return true;
		}
		x->seen_ms = s->node->now_ms;
		s->copies->message(s->copies->arg, x->name, h);
		return true;
	default:
		return false;
	}
}

void peer_server_copies(struct peer_server *s, const struct peer_copies *c)
{
	s->copies = c;
}

/* The connection of its log link; NULL: there is none, or it was forgotten with its silent node. */
static struct session *log_session(struct peer_server *s, const char *name)
{
	for (uint32_t i = 0; i < s->sessions; i++) {
		struct session *x = &s->session[i];

		if (x->use == PEER_LINK_LOG && x->connection.generation && !strcmp(x->name, name))
			return clients_tag(s->clients, x->connection) ? x : NULL;
	}
	return NULL;
}

char *peer_server_room(struct peer_server *s, const char *name, size_t n)
{
	struct session *x = log_session(s, name);

	if (!x || clients_unread(s->clients, x->connection) != BACKLOG_NONE)
		return NULL;
	return clients_room(s->clients, x->connection, n);
}

void peer_server_told(struct peer_server *s, const char *name, const char *end)
{
	struct session *x = log_session(s, name);

	if (x)
		clients_wrote(s->clients, x->connection, end);
}

static void nonsense(struct peer_server *s, struct reply_to connection, const char *why)
{
	char text[PEER_MESSAGE_TEXT_MAX];

	warn(&s->nonsense, s->node->now_ms, "what is no message between nodes came to %s: %s",
	     s->endpoint, why);
	(void)snprintf(text, sizeof(text), "it got what is no message between nodes: %s", why);
	turn_away(s, connection, text);
}

/* Let in before its key was taken out, it has said its first word after that. */
static bool outdated(struct peer_server *s, struct reply_to connection)
{
	return s->security && !session_of(s, connection) &&
	       !security_is_node(s->security, clients_key(s->clients, connection));
}

static void message_take(struct peer_server *s, struct socket *link, const struct socket_message *m)
{
	struct reply_to connection;

	if (!clients_intern(s->clients, link, m, s->node->now_ms, &connection))
		return; /* the node finds out by its own deadlines */
	if (outdated(s, connection)) {
		clients_cut(s->clients, connection);
		return;
	}
	if (clients_unread(s->clients, connection) == BACKLOG_FAR)
		return;
	for (uint32_t i = 0; i < m->frames; i++) {
		const char *at = m->frame[i].p;
		const char *end = at + m->frame[i].n;

		while (at < end) {
			struct peer_message h;
			const char *why = NULL;

			if (m->cut)
				why = "it is larger than a frame may be";
			else if (peer_message_read(at, end, &h) < 0)
				why = h.why;
			else if (!peer_message_take(s, connection, &h))
				why = "it is not for this node to read, or has other requests in "
				      "it "
				      "than it says";
			if (why) {
				nonsense(s, connection, why);
				return;
			}
			at = h.end;
		}
	}
}

unsigned peer_server_receive(struct peer_server *s, struct socket *link, unsigned most)
{
	struct socket_message *m;
	unsigned n = 0;

	while (n < most && s->node->net->receive(link, s->node->frame_max, &m) == 0) {
		n++;
		conn_limit_saw(s->conn_limit, m->source_fd);
		message_take(s, link, m);
	}
	return n;
}
