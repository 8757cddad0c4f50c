/*
 * Two nodes in one process, on simulated links and a simulated clock: foo asks, bar serves.  What
 * would take minutes on real links takes a moment, and each run can be had again by its seed.
 */
#ifndef PAIL_UNIT_LINKED_NODES_H
#define PAIL_UNIT_LINKED_NODES_H

#include <stdio.h>
#include <stdlib.h>

#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/clients/clients.h"
#include "coordinator/clients/conn_limit.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/peers/client.h"
#include "coordinator/peers/peers.h"
#include "coordinator/peers/server.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/simulated_links.h"
#include "tests/unit/lib/unit.h"

#define REQUESTS_MAX 60000u
#define MESSAGE_MOST 20u /* requests of one message */

/* ---- the two nodes ---- */

enum outcome { WAITS, DONE, TIMEOUT, NODE_DOWN, OTHER };

/* What became of each request, by its msgid. */
static struct {
	uint64_t sent_ms;
	uint64_t answered_ms;
	uint32_t timeout_ms;
	uint32_t answers;
	uint32_t runs; /* at bar */
	enum outcome outcome;
} request_of[REQUESTS_MAX];
static uint32_t requests;
static bool asks_cluster;      /* puts to buckets of the cluster, instead of gets */
static uint16_t ask_partition; /* then */
static bool asks_reads;        /* gets of those */
static uint32_t ask_client;
static uint32_t ask_epoch;
static uint32_t batch_epoch; /* of the first in the last batch */
static uint64_t late_ms;     /* of the last batch */

/* A request at bar that is to be answered. */
struct job {
	struct job *next;
	struct reply_to reply_to;
	uint64_t due_ms;
	uint64_t msgid;
};

static struct {
	struct node node;
	struct reply_sink sink;
	struct peers peers;
} foo;

static struct {
	struct node node;
	struct reply_sink sink;
	struct peers peers;
	struct clients *clients;
	struct conn_limit *conn_limit;
	struct peer_server *server;
	struct job *jobs;
	uint64_t serves_ms; /* at most, for one request */
	uint64_t random;
} bar;

static void foo_replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
			const char *replies, size_t n, bool stays)
{
	const char *p = replies;

	(void)arg;
	(void)o;
	(void)index;
	(void)stays;
	for (uint32_t i = 0; i < count; i++) {
		struct reply r;

		EQ(0, reply_walk(p, replies + n, &r));
		p = r.end;
		TRUE_(r.msgid < requests);
		request_of[r.msgid].answers++;
		request_of[r.msgid].answered_ms = net.now_ms;
		request_of[r.msgid].outcome = !r.code.p                                  ? DONE
					      : span_equal(r.code, span_of("timeout"))   ? TIMEOUT
					      : span_equal(r.code, span_of("node_down")) ? NODE_DOWN
											 : OTHER;
	}
}

static const char *over_none(void *arg, struct reply_to o)
{
	(void)arg;
	(void)o;
	return NULL;
}

static uint32_t asker_is(void *arg, struct reply_to o)
{
	(void)arg;
	return o.id;
}

static bool full_never(void *arg)
{
	(void)arg;
	return false;
}

static bool bar_batch(void *arg, struct reply_to o, const struct peer_message *h, uint64_t late,
		      const char *busy)
{
	const char *p = h->bytes.p;

	(void)arg;
	(void)busy;
	late_ms = late;
	batch_epoch = h->kind == PEER_MESSAGE_ROUTED
			      ? (uint32_t)read_uint(&(const char *){h->epochs})
			      : 0;
	for (uint32_t i = 0; i < h->count; i++) {
		struct job *j = calloc(1, sizeof(*j));
		struct request q;
		const char *why;

		TRUE_(j);
		EQ(0, request_walk(p, h->bytes.p + h->bytes.n, &q, &why));
		p = q.end;
		TRUE_(q.msgid < requests);
		request_of[q.msgid].runs++;
		j->reply_to = o;
		j->reply_to.index = i;
		j->msgid = q.msgid;
		j->due_ms =
			net.now_ms + (bar.serves_ms ? unit_random(&bar.random) % bar.serves_ms : 0);
		j->next = bar.jobs;
		bar.jobs = j;
	}
	return true;
}

static struct conf *conf_make(const char *name, const char *text)
{
	char path[600];
	struct conf *c;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s.conf", unit_folder(), name);
	f = fopen(path, "w");
	TRUE_(f && fputs(text, f) >= 0 && fclose(f) == 0);
	EQ(0, conf_new(&c));
	conf_read_file(c, path);
	EQ(0, c->error_count);
	return c;
}

static void nodes_open(void)
{
	const struct clients_config cc = {64, 1u << 30, 1u << 30, 1u << 30};
	const struct conn_limit_limits gl = {1u << 30, 1u << 30, 1u << 30};
	const struct reply_sink sink = {
		.replies = foo_replies, .over = over_none, .asker = asker_is, .full = full_never};
	const struct peer_events events = {bar_batch, NULL};

	log_level_set(LOG_ERROR);
	memset(&net, 0, sizeof(net));
	memset(request_of, 0, sizeof(request_of));
	requests = 0;
	asks_cluster = asks_reads = false;
	ask_client = 0;
	net.now_ms = 1000000;
	net.delay_ms = 1;
	memset(&foo, 0, sizeof(foo));
	memset(&bar, 0, sizeof(bar));
	foo.node = (struct node){
		.net = &simulated,
		.now_ms = net.now_ms,
		.started_wall_ms = 1,
		.peer_versions = {PEER_VERSION_MIN, PEER_VERSION_MAX},
		.queue_max = 1u << 20,
		.frame_max = 1u << 20
        };
	bar.node = foo.node;
	foo.node.conf = conf_make("foo", "[node]\nname = foo\n[peers]\nbar = tcp://bar:1\n");
	bar.node.conf = conf_make("bar", "[node]\nname = bar\n[peers]\nfoo = -\n");
	foo.sink = sink;
	bar.sink = sink;
	EQ(0, peers_open(&foo.peers, &foo.node, &foo.sink, NULL));
	EQ(0, peers_open(&bar.peers, &bar.node, &bar.sink, NULL));
	EQ(0, clients_new(&cc, &simulated, &bar.clients));
	EQ(0, conn_limit_new(&gl, &bar.conn_limit));
	EQ(0, peer_server_new(&(struct peer_server_parts){&bar.node, bar.clients, bar.conn_limit,
							  &bar.peers, NULL, "tcp://bar:1"},
			      &events, &bar.server));
}

static void nodes_close(void)
{
	struct job *next;

	peers_close(&foo.peers);
	peers_close(&bar.peers);
	peer_server_free(&bar.server);
	clients_free(&bar.clients);
	conn_limit_free(&bar.conn_limit);
	for (struct job *j = bar.jobs; j; j = next) {
		next = j->next;
		free(j);
	}
	flights_drop(&net.router, 0);
	free(net.router.taken);
	conf_free(&foo.node.conf);
	conf_free(&bar.node.conf);
}

static void bar_answer(void)
{
	struct job **link = &bar.jobs;

	while (*link) {
		struct job *j = *link;
		char reply[CODEC_REPLY_MAX];
		uint16_t index = (uint16_t)j->reply_to.index;
		char *end;

		if (j->due_ms > net.now_ms) {
			link = &j->next;
			continue;
		}
		end = write_text(write_reply_head(reply, j->msgid), "pong");
		peer_server_answer(bar.server, j->reply_to, &index, 1, reply,
				   (size_t)(end - reply));
		*link = j->next;
		free(j);
	}
}

/* A millisecond passes. */
static void step(void)
{
	net.now_ms++;
	foo.node.now_ms = net.now_ms;
	bar.node.now_ms = net.now_ms;
	(void)peer_server_receive(bar.server, &net.router, 64);
	bar_answer();
	clients_flush(bar.clients);
	for (uint32_t i = 0; i < foo.peers.count; i++)
		if (foo.peers.peer[i]->link)
			(void)peer_receive(&foo.peers, foo.peers.peer[i]);
	(void)peers_tick(&foo.peers);
	(void)peer_client_overdue(&foo.peers);
	peers_flush(&foo.peers);
}

static void steps(uint64_t ms)
{
	while (ms--)
		step();
}

static struct peer *peer_of_foo(void)
{
	return foo.peers.peer[0];
}

/* Until the link is up, for `ms` at most. */
static void steps_until_up(uint64_t ms)
{
	while (peer_of_foo()->state != PEER_UP && ms--)
		step();
	EQ(PEER_UP, peer_of_foo()->state);
}

/* A message of `count` requests to bar. */
static void ask(uint32_t count, uint32_t timeout_ms)
{
	bool puts = asks_cluster && !asks_reads;
	enum wire_method method = puts ? WIRE_PUT : WIRE_GET;
	static struct items m;
	static char data[MESSAGE_MOST][64];

	TRUE_(requests + count <= REQUESTS_MAX && count <= MESSAGE_MOST);
	m.visited_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		char *p = write_request_head(data[i], requests, method, puts ? 3 : 2);

		p = write_bin(write_bin(p, "bucket", 6), "k", 1);
		if (puts)
			p = write_bin(p, "v", 1);
		m.item[i] = (struct item){.data = data[i],
					  .size = (uint32_t)(p - data[i]),
					  .timeout_ms = timeout_ms,
					  .next = i + 1 < count ? i + 1 : ITEM_NONE,
					  .msgid = requests,
					  .index = (uint16_t)i,
					  .of_cluster = asks_cluster,
					  .partition = ask_partition,
					  .epoch = ask_epoch,
					  .method = (uint8_t)method};
		request_of[requests].sent_ms = net.now_ms;
		request_of[requests].timeout_ms = timeout_ms;
		requests++;
	}
	peer_client_items(&foo.peers, peer_of_foo(), &m,
			  (struct reply_to){reply_to_id(REPLY_TO_CLIENT, ask_client), 0, 1}, 0);
}

#endif
