/* Clients: what they ask, on which connection, and what they make of what comes. */
#include "tests/sim/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "ipc/wire/request.h"
#include "tests/sim/history.h"
#include "tests/sim/links.h"
#include "tests/sim/node.h"
#include "tests/sim/world.h"

#define FLIGHT_MAX  64u
#define KEYS        3u
#define VERSIONS    64u
#define PATIENCE_US (1200 * WORLD_MS) /* for a reply, behind its request's time */
#define DRAIN_US    (3000 * WORLD_MS) /* for what is in flight after a goaway */
#define MESSAGE_MAX 8000u
#define VALUE_MAX   1000u
#define LOOK_US     (50 * WORLD_MS)

struct sim_client {
	uint32_t index;
	struct socket_context context;
	struct sim_node *node;
	struct socket *socket;
	uint32_t connection;
	bool req; /* one message at a time, with a delimiter, and no notifications */
	bool open;
	bool answered; /* something, on this connection */
	bool draining;
	uint64_t drained_us; /* when it gives up waiting for what is in flight */
	uint64_t next_us;    /* message, or connection */
	uint64_t wake_us;
	uint64_t flight[FLIGHT_MAX]; /* msgids */
	uint32_t flights;
	uint64_t incarnation; /* of the node that it has connected to */
};

static struct sim_client client[SIM_CLIENTS];
static struct client_habits habits;
static bool hushed;
static uint64_t version_seen[VERSIONS]; /* of some keys, for conditions */

static void step(void *arg);

uint32_t client_host(uint32_t i)
{
	return SIM_NODES_MAX + i;
}

bool client_is_req(uint32_t i)
{
	return client[i].req;
}

uint32_t client_byte(void)
{
	return (uint32_t)world_random(habits.bytes);
}

static void wake_at(struct sim_client *c, uint64_t at_us)
{
	if (at_us >= c->wake_us && c->wake_us >= world.now_us)
		return;
	c->wake_us = at_us;
	world_at(at_us, step, c);
}

static void wake(void *arg)
{
	wake_at(arg, world.now_us + 1);
}

/* ---- connections ---- */

static void connect_to(struct sim_client *c)
{
	const struct socket_options o = {.once = true};
	char endpoint[64];

	c->node = &cluster.node[world_chance(70) ? c->index % cluster.nodes
						 : world_random(cluster.nodes)];
	(void)snprintf(endpoint, sizeof(endpoint), "ipc:///sim/%s-clients", c->node->name);
	(void)socket_connect(&c->context, endpoint, &o, &c->socket);
	c->connection++;
	c->open = false;
	c->answered = false;
	c->draining = false;
	world_note("client %u connects to %s", c->index, c->node->name);
}

static void disconnect(struct sim_client *c)
{
	socket_close(&c->socket);
	for (uint32_t i = 0; i < c->flights; i++)
		history_lost(c->flight[i]);
	c->flights = 0;
	c->open = false;
	c->next_us = world.now_us + world_between(WORLD_MS, 50 * WORLD_MS);
}

/* ---- asking ---- */

static const struct {
	int method;
	unsigned weight;
} kinds[] = {
	{WIRE_PUT,     34},
        {WIRE_GET,     34},
        {WIRE_DELETE,  8 },
        {WIRE_CREATE,  10},
        {WIRE_DROP,    1 },
	{WIRE_COUNT,   5 },
        {WIRE_ROUTE,   4 },
        {WIRE_PING,    2 },
        {WIRE_BUCKETS, 2 },
};

static int method_choose(void)
{
	uint64_t at = world_random(100);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (at < kinds[i].weight)
			return kinds[i].method;
		at -= kinds[i].weight;
	}
	return WIRE_GET;
}

static uint64_t *seen_of(const struct ask *a)
{
	return &version_seen[((unsigned)a->bucket[0] * 7 + (unsigned)a->bucket[1] * 3 +
			      (unsigned)a->key[0]) %
			     VERSIONS];
}

static void ask_choose(struct ask *a)
{
	a->method = method_choose();
	a->timeout_ms = (uint32_t)(world_chance(habits.short_percent) ? world_between(1, 300)
								      : world_between(700, 3000));
	if (!method_is(a->method, METHOD_BUCKET))
		return;
	(void)snprintf(a->bucket, sizeof(a->bucket), "%c%u", 'a' + (char)client_byte(),
		       (unsigned)world_random(habits.buckets));
	if (!method_is(a->method, METHOD_KEY))
		return;
	(void)snprintf(a->key, sizeof(a->key), "%u", (unsigned)world_random(KEYS));
	if (a->method == WIRE_PUT && world_chance(15))
		a->if_absent = true;
	else if (a->method != WIRE_GET && world_chance(20)) {
		a->conditional = true;
		a->if_version = world_chance(80) ? *seen_of(a) : 0;
	}
}

/* Which put it was, and then some bytes that only take room. */
static char *value_write(char *p, const struct ask *a)
{
	size_t more = world_chance(habits.large_percent) ? world_random(VALUE_MAX) : 0;

	p = write_bin_head(p, sizeof(a->value) + more);
	memcpy(p, &a->value, sizeof(a->value));
	memset(p + sizeof(a->value), 0xc1, more);
	return p + sizeof(a->value) + more;
}

static char *ask_write(char *p, const struct ask *a, uint64_t msgid)
{
	unsigned options = 1u + a->if_absent + a->conditional;

	p = write_request_head(p, msgid, (enum wire_method)a->method,
			       1u + (a->bucket[0] != 0) + (a->key[0] != 0) +
				       (a->method == WIRE_PUT));
	if (a->bucket[0])
		p = write_bin(p, a->bucket, strlen(a->bucket));
	if (a->key[0])
		p = write_bin(p, a->key, strlen(a->key));
	if (a->method == WIRE_PUT)
		p = value_write(p, a);
	p = write_uint(write_text(write_map(p, options), "timeout"), a->timeout_ms);
	if (a->if_absent)
		p = write_bool(write_text(p, "if_absent"), true);
	if (a->conditional)
		p = write_uint(write_text(p, "if_version"), a->if_version);
	return p;
}

static void sent(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static void message_send(struct sim_client *c)
{
	uint32_t n = 1 + (uint32_t)world_random(habits.requests_max);
	char *data = malloc(MESSAGE_MAX);
	char *p = data;

	check(data);
	while (n-- && c->flights < habits.flight_max && c->flights < FLIGHT_MAX) {
		uint64_t msgid;
		struct ask *a = history_new(&msgid);

		if (!a)
			break;
		ask_choose(a);
		a->client = c->index;
		a->connection = c->connection;
		a->node = c->node;
		a->incarnation = c->incarnation;
		a->sent_us = world.now_us;
		a->value = a->method == WIRE_PUT ? msgid + 1 : 0;
		world_note("client %u #%llu to %s: %s %s %s, %u ms", c->index,
			   (unsigned long long)msgid, c->node->name,
			   wire_method_name((enum wire_method)a->method), a->bucket, a->key,
			   a->timeout_ms);
		p = ask_write(p, a, msgid);
		c->flight[c->flights++] = msgid;
	}
	if (p == data)
		free(data);
	else
		(void)socket_send(c->socket, (struct span){NULL, 0}, c->req, data,
				  (size_t)(p - data), sent, NULL);
}

/* ---- what comes ---- */

static void reply_take(struct sim_client *c, const struct reply *r)
{
	const struct ask *a;

	if (r->notification) {
		if (c->req)
			world_fail("a REQ client got a notification");
		world_note("client %u is told to go away", c->index);
		if (!c->draining)
			c->drained_us = world.now_us + DRAIN_US;
		c->draining = true;
		return;
	}
	c->answered = true;
	history_reply(c->index, r);
	for (uint32_t i = 0; i < c->flights; i++)
		if (c->flight[i] == r->msgid) {
			c->flight[i] = c->flight[--c->flights];
			break;
		}
	a = history_of(r->msgid);
	if (a && a->version && method_is(a->method, METHOD_KEY))
		*seen_of(a) = a->version;
}

static void message_take(struct sim_client *c, const struct socket_message *m)
{
	const char *p = m->frame[0].p;
	const char *end = p + m->frame[0].n;

	if (m->delimiter != c->req)
		world_fail("client %u got a message with the other envelope", c->index);
	while (p < end && !world.failed) {
		struct reply r;

		if (reply_walk(p, end, &r) < 0) {
			world_fail("client %u got what is no reply", c->index);
			return;
		}
		reply_take(c, &r);
		p = r.end;
	}
	if (c->req && c->flights)
		world_fail("a REQ client's message was answered in part");
}

static uint64_t due_of(const struct ask *a)
{
	return a->sent_us + (uint64_t)a->timeout_ms * WORLD_MS + PATIENCE_US;
}

/* When the last one in flight should have been answered: a REQ's come together. */
static uint64_t last_due(const struct sim_client *c)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < c->flights; i++)
		if (due_of(history_of(c->flight[i])) > last)
			last = due_of(history_of(c->flight[i]));
	return last;
}

/* Requests that nobody will answer any more. */
static bool waits_too_long(const struct sim_client *c)
{
	for (uint32_t i = 0; i < c->flights; i++) {
		const struct ask *a = history_of(c->flight[i]);
		char text[400];

		if (world.now_us < (c->req ? last_due(c) : due_of(a)))
			continue;
		if (links_answer_due(a, c->context.host) && a->node->incarnation == a->incarnation)
			world_fail("no answer in its time: %s", ask_text(a, text, sizeof(text)));
		return true;
	}
	return c->draining && c->flights && world.now_us >= c->drained_us;
}

/* Its node has ended in order: then it was told so, and got its replies. */
static void stop_check(const struct sim_client *c)
{
	if (!links_are_quick())
		return;
	if (c->node->orderly == c->incarnation && c->flights)
		world_fail("client %u lost %u requests by an orderly stop of %s", c->index,
			   c->flights, c->node->name);
	if (c->node->stopped == c->incarnation && c->answered && !c->draining && !c->req)
		world_fail("client %u was not told that %s stops", c->index, c->node->name);
}

static void receive(struct sim_client *c)
{
	struct socket_message *m;
	enum socket_event e;

	while (c->socket && socket_receive(c->socket, UINT64_MAX, &m) == 0 && !world.failed)
		message_take(c, m);
	while (c->socket && (e = socket_event(c->socket)) != SOCKET_NOTHING) {
		if (e == SOCKET_OPEN) {
			c->open = true;
			c->incarnation = c->node->incarnation;
		} else {
			stop_check(c);
			world_note("client %u has lost its connection", c->index);
			disconnect(c);
		}
	}
	if (c->socket && (waits_too_long(c) || (c->draining && !c->flights)))
		disconnect(c);
}

static void step(void *arg)
{
	struct sim_client *c = arg;

	if (world.now_us < c->wake_us)
		return;
	c->wake_us = WORLD_NEVER;
	receive(c);
	if (hushed && !c->flights)
		return;
	if (world.now_us >= c->next_us && !hushed) {
		if (!c->socket)
			connect_to(c);
		else if (c->open && !c->draining && !(c->req && c->flights))
			message_send(c);
		c->next_us = world.now_us + 1 + world_random(2 * habits.pause_us);
	}
	wake_at(c, c->next_us > world.now_us && c->next_us < world.now_us + LOOK_US
			   ? c->next_us
			   : world.now_us + LOOK_US);
}

void clients_open(const struct client_habits *h)
{
	habits = *h;
	hushed = false;
	memset(client, 0, sizeof(client));
	memset(version_seen, 0, sizeof(version_seen));
	for (uint32_t i = 0; i < SIM_CLIENTS; i++) {
		struct sim_client *c = &client[i];

		c->index = i;
		c->req = i == SIM_CLIENTS - 1;
		c->context =
			(struct socket_context){.host = client_host(i), .wake = wake, .arg = c};
		c->wake_us = WORLD_NEVER;
		wake_at(c, world.now_us + world_random(10 * WORLD_MS));
	}
}

void clients_close(void)
{
	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		socket_close(&client[i].socket);
}

void clients_hush(void)
{
	hushed = true;
}

uint32_t clients_wait(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SIM_CLIENTS; i++)
		n += client[i].flights;
	return n;
}
