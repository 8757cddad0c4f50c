/* The links to other nodes: making, watching and feeding them. */
#include "coordinator/peers/peers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "common/hash.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/node/item.h"
#include "coordinator/peers/peers_impl.h"
#include "coordinator/peers/versions.h"

#define SLEPT_MS       200u /* less than matters, and than two clocks are read apart */
#define SEND_QUEUE     16u  /* frames in ZeroMQ's hands: the rest waits here, where it is counted */
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

static void state_set(struct peers *s, struct peer *p, enum peer_state state)
{
	p->state = state;
	p->since_ms = s->node->now_ms;
	s->node->changed = true;
}

/* ---- coming and going ---- */

static void retry_later(struct peers *s, struct peer *p)
{
	uint64_t spread;

	p->delay_ms = p->delay_ms ? 2 * p->delay_ms : DELAY_FIRST_MS;
	if (p->delay_ms > DELAY_MOST_MS)
		p->delay_ms = DELAY_MOST_MS;
	/* Nodes that lost a peer at the same time should not come back at the same time. */
	s->jitter = hash64(s->jitter, &p->epoch, sizeof(p->epoch));
	spread = s->jitter % (p->delay_ms / 2 + 1);
	p->next_ms = s->node->now_ms + p->delay_ms - p->delay_ms / 4 + spread;
}

/* Refuse what waits for a link that will not be there in time; what was sent is awaited. */
static void queue_refuse(struct peers *s, struct peer *p)
{
	char text[400];

	if (!p->batches && !p->queued)
		return;
	(void)snprintf(text, sizeof(text), "node \"%s\" is not connected: %s", p->name,
		       *p->reason ? p->reason : "its link is being made");
	outbox_drop(p);
	peer_client_refuse(s, p, p->sent_id + 1, UINT64_MAX, WIRE_E_NODE_DOWN, text);
}

#define PEER_SUBJECT (PEER_MESSAGE_NODE_MAX + 6)

/* What an event of it is about. */
static const char *peer_subject(const struct peer *p, char subject[PEER_SUBJECT])
{
	(void)snprintf(subject, PEER_SUBJECT, "node %s", p->name);
	return subject;
}

/*
 * Said once as long as it is down, however often it is tried; and again when somebody is there and
 * says another reason.
 */
static void down_tell(const struct peers *s, struct peer *p, bool answered, uint32_t lost)
{
	char subject[PEER_SUBJECT];
	uint64_t reason = hash64(1, p->reason, strlen(p->reason));

	if (p->retired || (p->told && (!answered || reason == p->told_of)))
		return;
	figures_event(s->node->figures, EVENT_OF_PEER_DOWN, EVENT_WARNING, peer_subject(p, subject),
		      "peer %s at %s is down: %s%s", p->name, p->endpoint, p->reason,
		      lost ? "; requests that were there got timeout" : "");
	p->told = true;
	p->told_of = reason;
}

/* The link is no more; `reason` says why. */
static void peer_break(struct peers *s, struct peer *p, const char *reason)
{
	bool was_up = p->state == PEER_UP || p->state == PEER_LEAVING;
	bool answered = p->state == PEER_CONNECTING && p->seen_ms >= p->since_ms;
	uint32_t lost;

	if (reason != p->reason)
		(void)snprintf(p->reason, sizeof(p->reason), "%s", reason);
	s->node->net->close(&p->link);
	state_set(s, p, PEER_DOWN);
	p->pinged_ms = 0;
	p->protocol = 0;
	lost = peer_client_broken(s, p);
	if (was_up) {
		p->broke++;
		p->delay_ms = 0;
		p->told = false;
	}
	retry_later(s, p);
	down_tell(s, p, answered, lost);
	if (s->node->now_ms >= p->hold_ms)
		queue_refuse(s, p);
}

static void peer_connect(struct peers *s, struct peer *p)
{
	const struct key_file *own = s->node->key;
	const struct socket_keys keys = {.public = own ? own->public : NULL,
					 .secret = own ? own->secret : NULL,
					 .server = p->keys ? p->key[p->key_turn % p->keys] : ""};
	const struct socket_options o = {.receive_queue = RECEIVE_QUEUE,
					 .send_queue = SEND_QUEUE,
					 .once = true,
					 .keys = own ? &keys : NULL};
	char why[200];
	int r = s->node->net->connect(s->zmq, p->endpoint, &o, &p->link);

	p->epoch = ++s->epoch;
	p->given = 0;
	if (r < 0) {
		(void)snprintf(why, sizeof(why), "connect: %s", socket_why(r));
		peer_break(s, p, why);
		return;
	}
	state_set(s, p, PEER_CONNECTING);
	p->open = false;
	p->next_ms = s->node->now_ms + conf_number(s->node->conf, CONF_links_connect_ms);
}

static void hello_send(struct peers *s, struct peer *p)
{
	const struct peer_message h = {
		.stamp_ms = s->node->now_ms,
		.versions = s->node->peer_versions,
		.node = span_of(conf_text(s->node->conf, CONF_node_name)),
		.version = span_of(WIRE_VERSION),
		.started = s->node->started_wall_ms,
		.epoch = p->epoch,
		.functions = span_of(s->node->functions),
		.link = s->use,
	};
	char data[PEER_MESSAGE_SMALL_MAX];

	/* The socket may learn a moment later than we do that it is connected: then once more. */
	p->open = !outbox_small(s, p, data, peer_message_hello(data, &h));
	if (!p->open)
		memcpy(p->said, s->node->functions, sizeof(p->said));
}

/*
 * Whether the other node does not know which functions this one has by now.  One that does not tell
 * its own is of a version to which a second hello would be the begin of another link.
 */
static bool functions_untold(const struct peers *s, const struct peer *p)
{
	return p->state == PEER_UP && *p->functions && strcmp(p->said, s->node->functions) != 0;
}

static void pong(const struct peers *s, struct peer *p)
{
	if (p->ping_us)
		p->round_trip_us = s->node->now_us - p->ping_us;
	p->ping_us = 0;
}

static void functions_take(struct peer *p, const struct peer_message *h)
{
	(void)snprintf(p->functions, sizeof(p->functions), "%.*s", (int)h->functions.n,
		       h->functions.n ? h->functions.p : "");
}

static void welcome(struct peers *s, struct peer *p, const struct peer_message *h)
{
	const struct peer_versions *v = &s->node->peer_versions;
	char name[4 * PEER_MESSAGE_NODE_MAX + 1];
	char range[VERSIONS_TEXT_MAX];
	char subject[PEER_SUBJECT];
	char why[300];

	if (p->state != PEER_CONNECTING) {
		functions_take(p, h); /* said again: they have changed */
		return;
	}
	if (h->protocol < v->min || h->protocol > v->max) {
		versions_print(*v, range, sizeof(range));
		(void)snprintf(why, sizeof(why),
			       "it chose version %llu of the protocol between nodes, and this node "
			       "speaks %s",
			       (unsigned long long)h->protocol, range);
		peer_break(s, p, why);
		return;
	}
	if (!span_equal(h->node, span_of(p->name))) {
		(void)snprintf(why, sizeof(why), "the node there is named \"%s\"",
			       buf_printable(name, sizeof(name), h->node.p, h->node.n));
		peer_break(s, p, why);
		return;
	}
	p->protocol = h->protocol;
	p->frame_max = h->frame_max;
	functions_take(p, h);
	p->delay_ms = 0;
	p->told = false;
	p->reason[0] = '\0';
	p->ping_ms = s->node->now_ms;
	figures_event(s->node->figures, EVENT_OF_PEER_UP, EVENT_INFO, peer_subject(p, subject),
		      "peer %s at %s is up", p->name, p->endpoint);
	state_set(s, p, PEER_UP);
	outbox_send(s, p);
}

static void goaway(struct peers *s, struct peer *p, const struct peer_message *h)
{
	char subject[PEER_SUBJECT];
	char why[PEER_MESSAGE_TEXT_MAX + 1];

	(void)buf_printable(why, sizeof(why), h->text.p, h->text.n);
	/* Only one that has said who it is may have requests wait for it. */
	if (h->hold_ms && p->state != PEER_CONNECTING)
		p->hold_ms =
			s->node->now_ms + (h->hold_ms < HOLD_MOST_MS ? h->hold_ms : HOLD_MOST_MS);
	if (p->state != PEER_UP) {
		peer_break(s, p, why);
		return;
	}
	(void)snprintf(p->reason, sizeof(p->reason), "%.250s", why);
	figures_event(s->node->figures, EVENT_OF_PEER_DOWN, EVENT_INFO, peer_subject(p, subject),
		      "peer %s at %s goes away: %s", p->name, p->endpoint, p->reason);
	state_set(s, p, PEER_LEAVING);
	if (s->node->now_ms >= p->hold_ms) {
		/* Only what was sent is awaited. */
		outbox_drop(p);
		peer_client_refuse(s, p, p->sent_id + 1, UINT64_MAX, WIRE_E_NODE_DOWN, p->reason);
	}
}

/* ---- receiving ---- */

/* False: the link is gone, or cannot be trusted any more. */
static bool frame_take(struct peers *s, struct peer *p, struct span f)
{
	const char *at = f.p;

	while (at < f.p + f.n) {
		struct peer_message h;
		char why[200];
		bool whole = peer_message_read(at, f.p + f.n, &h) == 0;

		if (whole && h.kind > PEER_MESSAGE_REPLIES && h.kind != PEER_MESSAGE_ELSEWHERE &&
		    !s->on_message) {
			peer_break(s, p, "it sent what is not for this node to read");
			return false;
		}
		if (!whole || (h.kind == PEER_MESSAGE_REPLIES && !peer_client_replies(s, p, &h)) ||
		    (h.kind == PEER_MESSAGE_ELSEWHERE && !peer_client_elsewhere(s, p, &h))) {
			(void)snprintf(why, sizeof(why),
				       "it sent what is no message between nodes: %s",
				       whole ? "replies to what was not asked" : h.why);
			peer_break(s, p, why);
			return false;
		}
		at = h.end;
		if (h.kind == PEER_MESSAGE_WELCOME)
			welcome(s, p, &h);
		else if (h.kind == PEER_MESSAGE_GOAWAY)
			goaway(s, p, &h);
		else if (h.kind == PEER_MESSAGE_PONG)
			pong(s, p);
		else if (h.kind > PEER_MESSAGE_REPLIES && h.kind != PEER_MESSAGE_ELSEWHERE &&
			 p->state != PEER_CONNECTING)
			s->on_message(s->arg, p, &h);
		if (!p->link)
			return false;
	}
	return true;
}

void peers_flush(struct peers *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->peer[i]->queued)
			outbox_send(s, s->peer[i]);
}

unsigned peer_receive(struct peers *s, struct peer *p)
{
	struct socket_message *m;
	unsigned n = 0;

	while (n < FRAMES_ROUND && p->link && s->node->net->receive(p->link, UINT64_MAX, &m) == 0) {
		n++;
		p->seen_ms = s->node->now_ms;
		p->pinged_ms = 0;
		for (uint32_t i = 0; i < m->frames; i++)
			if (!frame_take(s, p, m->frame[i]))
				return n;
	}
	return n;
}

bool peers_ready(const struct peers *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		const struct peer *p = s->peer[i];
		bool writable = false;

		if (!p->link || (!s->node->net->maybe_readable(p->link) && !p->queued))
			continue;
		if (s->node->net->ready(p->link, &writable) ||
		    (writable && p->queued && p->state == PEER_UP))
			return true;
	}
	return false;
}

/* ---- now and then ---- */

/* Why there is no connection any more, or none came about. */
static const char *why_gone(const struct peer *p, enum socket_event e)
{
	if (p->state == PEER_LEAVING)
		return p->reason;
	if (p->state != PEER_CONNECTING)
		return "its connection broke";
	switch (e) {
	case SOCKET_REFUSED:
		return "it does not know this node's key";
	case SOCKET_UNLIKE:
		return p->keys ? "it has no keys, and this node asks for them"
			       : "it asks for keys, and this node has none";
	case SOCKET_BROKEN:
		return p->keys ? "it has not the key that [peers] says" : "its handshake broke";
	default:
		return "nobody listens there";
	}
}

static void events_take(struct peers *s, struct peer *p)
{
	enum socket_event e;

	while (p->link && (e = s->node->net->event(p->link)) != SOCKET_NOTHING) {
		if (e == SOCKET_OPEN) {
			p->open = true;
			continue;
		}
		/* What had come before the end still counts. */
		while (peer_receive(s, p))
			;
		if (p->link && p->state == PEER_CONNECTING)
			p->key_turn++;
		if (p->link)
			peer_break(s, p, why_gone(p, e));
	}
	if (p->link && (p->open || functions_untold(s, p)))
		hello_send(s, p);
}

static void watch(struct peers *s, struct peer *p)
{
	uint64_t dead_ms = conf_number(s->node->conf, CONF_links_dead_ms);
	char data[PEER_MESSAGE_SMALL_MAX];
	char why[100];

	if (p->state == PEER_CONNECTING && s->node->now_ms >= p->next_ms) {
		peer_break(s, p, "nobody answered in time");
		return;
	}
	if (p->state != PEER_UP && p->state != PEER_LEAVING)
		return;
	if (p->pinged_ms && s->node->now_ms - p->pinged_ms >= dead_ms) {
		(void)snprintf(why, sizeof(why), "nothing has come from it for %llu ms",
			       (unsigned long long)(s->node->now_ms - p->pinged_ms));
		peer_break(s, p, why);
		return;
	}
	if (s->node->now_ms - p->ping_ms < conf_number(s->node->conf, CONF_links_ping_ms))
		return;
	p->ping_ms = s->node->now_ms;
	p->ping_us = s->node->now_us;
	if (!p->pinged_ms)
		p->pinged_ms = s->node->now_ms;
	(void)outbox_small(
		s, p, data,
		peer_message_ping(data,
				  s->node->now_ms)); /* full: what waits there is a ping too */
}

static void peer_free(struct peers *s, struct peer *p)
{
	s->node->net->close(&p->link);
	outbox_drop(p);
	buf_fini(&p->building);
	free(p);
}

/* When a peer must be looked at again. */
static uint64_t peer_next(const struct peers *s, const struct peer *p)
{
	uint64_t next = UINT64_MAX;

	if (p->state == PEER_DOWN && (s->node->stopping || p->retired))
		next = UINT64_MAX; /* it is not tried again */
	else if (p->state == PEER_DOWN || p->state == PEER_CONNECTING)
		next = p->next_ms;
	else
		next = p->ping_ms + conf_number(s->node->conf, CONF_links_ping_ms);
	if (p->state != PEER_UP && p->queued && p->hold_ms < next)
		next = p->hold_ms;
	return next;
}

/* How long this machine has been suspended since it was booted, and more. */
static uint64_t asleep_ms(void)
{
	uint64_t now = clock_ms();

	return clock_boot_ms() - now; /* read later, so never less */
}

/*
 * While it was suspended the clock that messages are stamped with stood still: by their stamps all that
 * is sent on links of before would have been on its way for as long, and be over.
 */
static void sleep_look(struct peers *s)
{
	uint64_t now = asleep_ms();

	if (now > s->asleep_ms + SLEPT_MS)
		for (uint32_t i = 0; i < s->count; i++)
			if (s->peer[i]->link)
				peer_break(s, s->peer[i], "this machine was suspended");
	s->asleep_ms = now;
}

uint64_t peers_tick(struct peers *s)
{
	uint64_t next = UINT64_MAX;

	sleep_look(s);

	for (uint32_t i = 0; i < s->count; i++) {
		struct peer *p = s->peer[i];
		uint64_t at;

		events_take(s, p);
		watch(s, p);
		if (p->state == PEER_LEAVING && !peer_client_waits(s, p, p->sent_id))
			peer_break(s, p, p->reason);
		if (p->state == PEER_DOWN && s->node->now_ms >= p->next_ms && !p->retired &&
		    !s->node->stopping)
			peer_connect(s, p);
		if (p->state != PEER_UP && p->queued && s->node->now_ms >= p->hold_ms)
			queue_refuse(s, p);
		if (p->retired && !p->batches) {
			log_info("peer %s at %s is no more", p->name, p->endpoint);
			peer_free(s, p);
			s->peer[i--] = s->peer[--s->count];
			continue;
		}
		at = peer_next(s, p);
		next = at < next ? at : next;
	}
	return next;
}

void peers_kick(struct peers *s, struct span name)
{
	for (uint32_t i = 0; i < s->count; i++) {
		struct peer *p = s->peer[i];

		if (p->state == PEER_DOWN && span_equal(name, span_of(p->name))) {
			p->next_ms = s->node->now_ms;
			s->node->changed = true;
		}
	}
}

bool peer_takes(const struct peers *s, const struct peer *p)
{
	return p->state == PEER_UP || s->node->now_ms < p->hold_ms;
}

/* ---- the table ---- */

static struct peer *peer_new(struct peers *s, const struct conf_pair *pair)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	(void)snprintf(p->name, sizeof(p->name), "%.63s", pair->key);
	(void)snprintf(p->endpoint, sizeof(p->endpoint), "%.255s", pair->value);
	_Static_assert(sizeof(p->key) == sizeof(pair->public), "as many, as long");
	memcpy(p->key, pair->public, sizeof(p->key));
	p->keys = pair->publics;
	buf_init(&p->building);
	p->item_first = ITEM_NONE;
	p->batch_first = UINT32_MAX;
	p->batch_last = UINT32_MAX;
	p->due_ms = UINT64_MAX;
	p->frame_max = UINT64_MAX;
	p->since_ms = s->node->now_ms;
	p->next_ms = s->node->now_ms;
	p->hold_ms = s->node->now_ms + conf_number(s->node->conf, CONF_links_hold_ms);
	return p;
}

/* Is it the one that the line names, there and with these keys? */
static bool peer_is(const struct peer *p, const struct conf_pair *pair)
{
	if (strcmp(p->name, pair->key) != 0 || strcmp(p->endpoint, pair->value) != 0 ||
	    p->keys != pair->publics)
		return false;
	for (unsigned i = 0; i < p->keys; i++)
		if (strcmp(p->key[i], pair->public[i]) != 0)
			return false;
	return true;
}

static struct peer *peer_find(const struct peers *s, const struct conf_pair *pair)
{
	for (uint32_t i = 0; i < s->count; i++) {
		struct peer *p = s->peer[i];

		if (peer_is(p, pair))
			return p;
	}
	return NULL;
}

/* Does the configuration name it?  Only where it is asked. */
static bool conf_names(const struct peers *s, const struct conf *conf, const char *name)
{
	for (uint32_t i = 0; s->use == PEER_LINK_REQUESTS && i < conf->peers.count; i++)
		if (!strcmp(conf->peers.pair[i].key, name))
			return true;
	return false;
}

/* All that are wanted: those of the configuration, then those that were found. */
static const struct conf_pair *wanted(const struct peers *s, const struct conf *conf, uint32_t i)
{
	uint32_t named = s->use == PEER_LINK_REQUESTS ? conf->peers.count : 0;
	const struct conf_pair *pair;

	if (i < named)
		return &conf->peers.pair[i];
	pair = i - named < s->found_count ? &s->found[i - named] : NULL;
	return pair;
}

static bool is_wanted(const struct peers *s, const struct conf *conf, const struct peer *p)
{
	const struct conf_pair *pair;

	for (uint32_t i = 0; (pair = wanted(s, conf, i)); i++)
		if (peer_is(p, pair))
			return true;
	return false;
}

int peers_configure(struct peers *s, const struct conf *conf)
{
	static struct peer *made[1024];
	const struct conf_pair *pair;
	uint32_t n = 0;

	for (uint32_t i = 0; (pair = wanted(s, conf, i)); i++) {
		if (conf_asks_only(pair) || peer_find(s, pair))
			continue;
		made[n] = s->count + n < PEERS_MAX ? peer_new(s, pair) : NULL;
		if (!made[n]) {
			int r = s->count + n < PEERS_MAX ? -ENOMEM : -ENOSPC;

			while (n)
				peer_free(s, made[--n]);
			return r;
		}
		n++;
	}
	for (uint32_t i = 0; i < s->count; i++)
		s->peer[i]->retired = !is_wanted(s, conf, s->peer[i]);
	for (uint32_t i = 0; i < n; i++)
		s->peer[s->count++] = made[i];
	for (uint32_t i = 0; s->use == PEER_LINK_REQUESTS && i < conf->peers.count; i++)
		s->of_conf[i] = peer_find(s, &conf->peers.pair[i]);
	return 0;
}

int peers_found(struct peers *s, const struct conf_pair *found, uint32_t n)
{
	struct conf_pair *kept = calloc(n ? n : 1, sizeof(*kept));
	uint32_t count = 0;

	if (!kept)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (!conf_names(s, s->node->conf, found[i].key))
			kept[count++] = found[i];
	free(s->found);
	s->found = kept;
	s->found_count = count;
	return peers_configure(s, s->node->conf);
}

struct peer *peers_named(const struct peers *s, const char *name)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (!s->peer[i]->retired && !strcmp(s->peer[i]->name, name))
			return s->peer[i];
	return NULL;
}

bool peer_send(struct peers *s, struct peer *p, const char *data, size_t n)
{
	return p->state == PEER_UP && n <= p->frame_max && outbox_small(s, p, data, data + n);
}

int peers_open(struct peers *s, struct node *node, struct reply_sink *sink,
	       struct socket_context *zmq)
{
	int r = peer_client_new(&s->requests);

	s->node = node;
	s->sink = sink;
	s->zmq = zmq;
	s->asleep_ms = asleep_ms();
	return r < 0 ? r : peers_configure(s, node->conf);
}

void peers_close(struct peers *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		peer_free(s, s->peer[i]);
	s->count = 0;
	free(s->found);
	s->found = NULL;
	s->found_count = 0;
	peer_client_free(&s->requests);
}
