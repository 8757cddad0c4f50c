/* The links to other nodes: making, watching and feeding them. */
#include "coordinator/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"
#include "coordinator/coord.h"

#define FRAME_TARGET   (256u << 10) /* bytes: a frame that has so much is complete */
#define SEND_QUEUE     16u /* frames in ZeroMQ's hands: the rest waits here, where it is counted */
#define RECEIVE_QUEUE  1000u
#define FRAMES_ROUND   64u
#define DELAY_FIRST_MS 50u
#define HOLD_MOST_MS   60000u /* however long a peer says that it will be away */
#define DELAY_MOST_MS  2000u

const char *peer_state_name(enum peer_state s)
{
	static const char *const names[] = {
#define X(id, name) [PEER_##id] = #name,
		PEER_STATES(X)
#undef X
	};
	return names[s];
}

static void state_set(struct coord *c, struct peer *p, enum peer_state s)
{
	p->state = s;
	p->since_ms = c->node.now_ms;
	c->node.changed = true;
}

/* ---- frames ---- */

static void frame_done(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static bool small_send(struct peer *p, const char *data, const char *end)
{
	static const struct span none = {NULL, 0};
	bool writable = false;
	size_t n = (size_t)(end - data);
	char *copy;

	(void)socket_ready(p->link, &writable);
	copy = writable ? malloc(n) : NULL;
	if (!copy)
		return false;
	memcpy(copy, data, n);
	return socket_send(p->link, none, false, copy, n, frame_done, NULL) == 0;
}

/* The frame that is being built goes into the queue. */
static void building_close(struct peer *p)
{
	struct outgoing *o;

	if (!p->building.len)
		return;
	o = calloc(1, sizeof(*o));
	if (!o)
		return; /* it stays in `building` */
	o->data = p->building.data;
	o->n = p->building.len;
	o->first_id = p->building_first;
	o->last_id = p->building_last;
	buf_init(&p->building);
	if (p->out_last)
		p->out_last->next = o;
	else
		p->out_first = o;
	p->out_last = o;
}

char *peer_room(struct peer *p, uint64_t id, size_t n)
{
	uint64_t target = p->frame_max < FRAME_TARGET ? p->frame_max : FRAME_TARGET;
	size_t before;
	char *room;

	if (p->building.len && p->building.len + n > target) {
		building_close(p);
		if (p->building.len)
			return NULL;
	}
	before = p->building.len;
	room = buf_room(&p->building, n);
	p->building.failed = false;
	if (room && !before)
		p->building_first = id;
	if (room)
		p->building_last = id;
	return room;
}

void peer_wrote(struct peer *p, const char *end)
{
	size_t before = p->building.len;

	p->building.len = (size_t)(end - p->building.data);
	p->queued += p->building.len - before;
}

static void queue_drop(struct peer *p)
{
	struct outgoing *next;

	for (struct outgoing *o = p->out_first; o; o = next) {
		next = o->next;
		free(o->data);
		free(o);
	}
	p->out_first = NULL;
	p->out_last = NULL;
	p->building.len = 0;
	p->queued = 0;
}

static void peer_flush(struct coord *c, struct peer *p)
{
	static const struct span none = {NULL, 0};

	building_close(p);
	while (p->out_first && p->state == PEER_UP) {
		struct outgoing *o = p->out_first;
		bool writable = false;

		(void)socket_ready(p->link, &writable);
		if (!writable)
			return;
		p->out_first = o->next;
		if (!o->next)
			p->out_last = NULL;
		p->queued -= o->n;
		if (o->n > p->frame_max) { /* queued before it had told its limit */
			peer_client_refuse(c, p, o->first_id, o->last_id, WIRE_E_TOO_LARGE,
					   "larger than the node it belongs to takes");
			free(o->data);
		} else if (socket_send(p->link, none, false, o->data, o->n, frame_done, NULL) ==
			   0) {
			p->sent_id = o->last_id;
		}
		free(o);
	}
}

void peers_flush(struct coord *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++)
		if (c->peers.peer[i]->queued)
			peer_flush(c, c->peers.peer[i]);
}

/* ---- coming and going ---- */

static void retry_later(struct coord *c, struct peer *p)
{
	uint64_t spread;

	p->delay_ms = p->delay_ms ? 2 * p->delay_ms : DELAY_FIRST_MS;
	if (p->delay_ms > DELAY_MOST_MS)
		p->delay_ms = DELAY_MOST_MS;
	/* Nodes that lost a peer at the same time should not come back at the same time. */
	c->peers.jitter = hash64(c->peers.jitter, &p->epoch, sizeof(p->epoch));
	spread = c->peers.jitter % (p->delay_ms / 2 + 1);
	p->next_ms = c->node.now_ms + p->delay_ms - p->delay_ms / 4 + spread;
}

/* Refuse what waits for a link that will not be there in time. */
static void queue_refuse(struct coord *c, struct peer *p)
{
	char text[400];

	if (!p->batches && !p->queued)
		return;
	(void)snprintf(text, sizeof(text), "node \"%s\" is not connected: %s", p->name,
		       *p->reason ? p->reason : "its link is being made");
	queue_drop(p);
	peer_client_refuse(c, p, 0, UINT64_MAX, WIRE_E_NODE_DOWN, text);
}

/* The link is no more; `reason` says why. */
static void peer_break(struct coord *c, struct peer *p, const char *reason)
{
	bool was_up = p->state == PEER_UP || p->state == PEER_LEAVING;
	uint32_t lost;

	if (reason != p->reason)
		(void)snprintf(p->reason, sizeof(p->reason), "%s", reason);
	socket_close(&p->link);
	state_set(c, p, PEER_DOWN);
	p->pinged_ms = 0;
	lost = peer_client_broken(c, p);
	if (was_up) {
		p->broke++;
		p->delay_ms = 0;
		p->told = false;
	}
	retry_later(c, p);
	if (!p->told && !p->retired)
		log_warn("peer %s at %s is down: %s%s", p->name, p->endpoint, reason,
			 lost ? "; requests that were there got timeout" : "");
	p->told = true;
	if (c->node.now_ms >= p->hold_ms)
		queue_refuse(c, p);
}

static void peer_connect(struct coord *c, struct peer *p)
{
	const struct socket_options o = {
		.receive_queue = RECEIVE_QUEUE, .send_queue = SEND_QUEUE, .once = true};
	char why[200];
	int r = socket_connect(c->zmq, p->endpoint, &o, &p->link);

	p->epoch = ++c->peers.epoch;
	if (r < 0) {
		(void)snprintf(why, sizeof(why), "connect: %s", socket_why(r));
		peer_break(c, p, why);
		return;
	}
	state_set(c, p, PEER_CONNECTING);
	p->open = false;
	p->next_ms = c->node.now_ms + conf_number(c->node.conf, CONF_links_connect_ms);
}

static void hello_send(struct coord *c, struct peer *p)
{
	const struct peer_message h = {
		.stamp_ms = c->node.now_ms,
		.node = span_of(conf_text(c->node.conf, CONF_node_name)),
		.version = span_of(WIRE_VERSION),
		.started = c->node.started_wall_ms,
		.epoch = p->epoch,
	};
	char data[PEER_MESSAGE_SMALL_MAX];

	/* The socket may learn a moment later than we do that it is connected: then once more. */
	p->open = !small_send(p, data, peer_message_hello(data, &h));
}

static void welcome(struct coord *c, struct peer *p, const struct peer_message *h)
{
	char why[200];

	if (p->state != PEER_CONNECTING)
		return;
	if (h->protocol != PEER_MESSAGE_PROTOCOL) {
		(void)snprintf(why, sizeof(why), "it speaks version %llu between nodes, this is %u",
			       (unsigned long long)h->protocol, PEER_MESSAGE_PROTOCOL);
		peer_break(c, p, why);
		return;
	}
	if (!span_equal(h->node, span_of(p->name))) {
		(void)snprintf(why, sizeof(why), "the node there is named \"%.*s\"", (int)h->node.n,
			       h->node.p);
		peer_break(c, p, why);
		return;
	}
	p->frame_max = h->frame_max;
	p->delay_ms = 0;
	p->told = false;
	p->reason[0] = '\0';
	p->ping_ms = c->node.now_ms;
	log_info("peer %s at %s is up", p->name, p->endpoint);
	state_set(c, p, PEER_UP);
	peer_flush(c, p);
}

static void goaway(struct coord *c, struct peer *p, const struct peer_message *h)
{
	char why[PEER_MESSAGE_TEXT_MAX + 1];

	(void)snprintf(why, sizeof(why), "%.*s", (int)h->text.n, h->text.p);
	/* Only one that has said who it is may have requests wait for it. */
	if (h->hold_ms && p->state != PEER_CONNECTING)
		p->hold_ms =
			c->node.now_ms + (h->hold_ms < HOLD_MOST_MS ? h->hold_ms : HOLD_MOST_MS);
	if (p->state != PEER_UP) {
		peer_break(c, p, why);
		return;
	}
	(void)snprintf(p->reason, sizeof(p->reason), "%.250s", why);
	log_info("peer %s at %s goes away: %s", p->name, p->endpoint, p->reason);
	state_set(c, p, PEER_LEAVING);
	if (c->node.now_ms >= p->hold_ms) {
		/* Only what was sent is awaited. */
		queue_drop(p);
		peer_client_refuse(c, p, p->sent_id + 1, UINT64_MAX, WIRE_E_NODE_DOWN, p->reason);
	}
}

/* ---- receiving ---- */

/* False: the link is gone, or cannot be trusted any more. */
static bool frame_take(struct coord *c, struct peer *p, struct span f)
{
	const char *at = f.p;

	while (at < f.p + f.n) {
		struct peer_message h;

		if (peer_message_read(at, f.p + f.n, &h) < 0 ||
		    (h.kind == PEER_MESSAGE_REPLIES && !peer_client_replies(c, p, &h))) {
			log_error("peer %s at %s sent what is no message between nodes", p->name,
				  p->endpoint);
			peer_break(c, p, "it sent what is no message between nodes");
			return false;
		}
		at = h.end;
		if (h.kind == PEER_MESSAGE_WELCOME)
			welcome(c, p, &h);
		else if (h.kind == PEER_MESSAGE_GOAWAY)
			goaway(c, p, &h);
		if (!p->link)
			return false;
	}
	return true;
}

unsigned peer_receive(struct coord *c, struct peer *p)
{
	struct socket_message *m;
	unsigned n = 0;

	while (n < FRAMES_ROUND && p->link && socket_receive(p->link, UINT64_MAX, &m) == 0) {
		n++;
		p->seen_ms = c->node.now_ms;
		p->pinged_ms = 0;
		for (uint32_t i = 0; i < m->frames; i++)
			if (!frame_take(c, p, m->frame[i]))
				return n;
	}
	return n;
}

bool peers_ready(const struct coord *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++) {
		const struct peer *p = c->peers.peer[i];
		bool writable = false;

		if (!p->link || (!socket_maybe_readable(p->link) && !p->queued))
			continue;
		if (socket_ready(p->link, &writable) ||
		    (writable && p->queued && p->state == PEER_UP))
			return true;
	}
	return false;
}

/* ---- now and then ---- */

static void events_take(struct coord *c, struct peer *p)
{
	enum socket_event e;

	while (p->link && (e = socket_event(p->link)) != SOCKET_NOTHING) {
		if (e == SOCKET_OPEN) {
			p->open = true;
			continue;
		}
		/* What had come before the end still counts. */
		while (peer_receive(c, p))
			;
		if (p->link)
			peer_break(c, p,
				   p->state == PEER_CONNECTING ? "nobody listens there"
				   : p->state == PEER_LEAVING  ? p->reason
							       : "its connection broke");
	}
	if (p->link && p->open)
		hello_send(c, p);
}

static void watch(struct coord *c, struct peer *p)
{
	uint64_t dead_ms = conf_number(c->node.conf, CONF_links_dead_ms);
	char data[PEER_MESSAGE_SMALL_MAX];
	char why[100];

	if (p->state == PEER_CONNECTING && c->node.now_ms >= p->next_ms) {
		peer_break(c, p, "nobody answered in time");
		return;
	}
	if (p->state != PEER_UP && p->state != PEER_LEAVING)
		return;
	if (p->pinged_ms && c->node.now_ms - p->pinged_ms >= dead_ms) {
		(void)snprintf(why, sizeof(why), "nothing has come from it for %llu ms",
			       (unsigned long long)(c->node.now_ms - p->pinged_ms));
		peer_break(c, p, why);
		return;
	}
	if (c->node.now_ms - p->ping_ms < conf_number(c->node.conf, CONF_links_ping_ms))
		return;
	p->ping_ms = c->node.now_ms;
	if (!p->pinged_ms)
		p->pinged_ms = c->node.now_ms;
	(void)small_send(
		p, data,
		peer_message_ping(data, c->node.now_ms)); /* full: what waits there is a ping too */
}

static void peer_free(struct peer *p)
{
	socket_close(&p->link);
	queue_drop(p);
	buf_fini(&p->building);
	free(p);
}

/* When a peer must be looked at again. */
static uint64_t peer_next(const struct coord *c, const struct peer *p)
{
	uint64_t next = UINT64_MAX;

	if (p->state == PEER_DOWN && (c->node.stopping || p->retired))
		next = UINT64_MAX; /* it is not tried again */
	else if (p->state == PEER_DOWN || p->state == PEER_CONNECTING)
		next = p->next_ms;
	else
		next = p->ping_ms + conf_number(c->node.conf, CONF_links_ping_ms);
	if (p->state != PEER_UP && p->queued && p->hold_ms < next)
		next = p->hold_ms;
	return next;
}

uint64_t peers_tick(struct coord *c)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.peer[i];
		uint64_t at;

		events_take(c, p);
		watch(c, p);
		if (p->state == PEER_LEAVING && !peer_client_waits(c, p, p->sent_id))
			peer_break(c, p, p->reason);
		if (p->state == PEER_DOWN && c->node.now_ms >= p->next_ms && !p->retired &&
		    !c->node.stopping)
			peer_connect(c, p);
		if (p->state != PEER_UP && p->queued && c->node.now_ms >= p->hold_ms)
			queue_refuse(c, p);
		if (p->retired && !p->batches) {
			log_info("peer %s at %s is no more", p->name, p->endpoint);
			peer_free(p);
			c->peers.peer[i--] = c->peers.peer[--c->peers.count];
			continue;
		}
		at = peer_next(c, p);
		next = at < next ? at : next;
	}
	return next;
}

void peers_kick(struct coord *c, struct span name)
{
	for (uint32_t i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.peer[i];

		if (p->state == PEER_DOWN && span_equal(name, span_of(p->name))) {
			p->next_ms = c->node.now_ms;
			c->node.changed = true;
		}
	}
}

bool peer_takes(const struct coord *c, const struct peer *p)
{
	return p->state == PEER_UP || c->node.now_ms < p->hold_ms;
}

/* ---- the table ---- */

static struct peer *peer_new(struct coord *c, const struct conf_pair *pair)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	(void)snprintf(p->name, sizeof(p->name), "%.63s", pair->key);
	(void)snprintf(p->endpoint, sizeof(p->endpoint), "%.255s", pair->value);
	buf_init(&p->building);
	p->item_first = ITEM_NONE;
	p->batch_first = UINT32_MAX;
	p->batch_last = UINT32_MAX;
	p->due_ms = UINT64_MAX;
	p->frame_max = UINT64_MAX;
	p->since_ms = c->node.now_ms;
	p->next_ms = c->node.now_ms;
	p->hold_ms = c->node.now_ms + conf_number(c->node.conf, CONF_links_hold_ms);
	return p;
}

static struct peer *peer_find(const struct coord *c, const struct conf_pair *pair)
{
	for (uint32_t i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.peer[i];

		if (!strcmp(p->name, pair->key) && !strcmp(p->endpoint, pair->value))
			return p;
	}
	return NULL;
}

int peers_configure(struct coord *c, const struct conf *conf)
{
	static struct peer *made[512];
	uint32_t n = 0;

	for (uint32_t i = 0; i < conf->peers.count; i++) {
		if (conf_asks_only(&conf->peers.pair[i]) || peer_find(c, &conf->peers.pair[i]))
			continue;
		made[n] = c->peers.count + n < PEERS_MAX ? peer_new(c, &conf->peers.pair[i]) : NULL;
		if (!made[n]) {
			int r = c->peers.count + n < PEERS_MAX ? -ENOMEM : -ENOSPC;

			while (n)
				peer_free(made[--n]);
			return r;
		}
		n++;
	}
	for (uint32_t i = 0; i < c->peers.count; i++) {
		struct peer *p = c->peers.peer[i];

		p->retired = true;
		for (uint32_t k = 0; k < conf->peers.count; k++)
			if (!strcmp(p->name, conf->peers.pair[k].key) &&
			    !strcmp(p->endpoint, conf->peers.pair[k].value))
				p->retired = false;
	}
	for (uint32_t i = 0; i < n; i++)
		c->peers.peer[c->peers.count++] = made[i];
	for (uint32_t i = 0; i < conf->peers.count; i++)
		c->peers.of_conf[i] = peer_find(c, &conf->peers.pair[i]);
	return 0;
}

int peers_open(struct coord *c)
{
	int r = peer_client_new(&c->peers.forwards);

	return r < 0 ? r : peers_configure(c, c->node.conf);
}

void peers_close(struct coord *c)
{
	for (uint32_t i = 0; i < c->peers.count; i++)
		peer_free(c->peers.peer[i]);
	c->peers.count = 0;
	peer_client_free(&c->peers.forwards);
}
