/*
 * Two nodes in one process, on simulated links and a simulated clock: foo asks, bar serves.  What
 * would take minutes on real links takes a moment, and each run can be had again by its seed.
 */
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
static bool asks_cluster; /* puts to buckets of the cluster, instead of gets */
static uint64_t late_ms;  /* of the last batch */

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
		.replies = foo_replies, .over = over_none, .full = full_never};
	const struct peer_events events = {bar_batch, NULL};

	log_level_set(LOG_ERROR);
	memset(&net, 0, sizeof(net));
	memset(request_of, 0, sizeof(request_of));
	requests = 0;
	asks_cluster = false;
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
	enum wire_method method = asks_cluster ? WIRE_PUT : WIRE_GET;
	static struct items m;
	static char data[MESSAGE_MOST][64];

	TRUE_(requests + count <= REQUESTS_MAX && count <= MESSAGE_MOST);
	m.visited_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		char *p = write_request_head(data[i], requests, method, asks_cluster ? 3 : 2);

		p = write_bin(write_bin(p, "bucket", 6), "k", 1);
		if (asks_cluster)
			p = write_bin(p, "v", 1);
		m.item[i] = (struct item){.data = data[i],
					  .size = (uint32_t)(p - data[i]),
					  .timeout_ms = timeout_ms,
					  .next = i + 1 < count ? i + 1 : ITEM_NONE,
					  .msgid = requests,
					  .index = (uint16_t)i,
					  .of_cluster = asks_cluster,
					  .method = (uint8_t)method};
		request_of[requests].sent_ms = net.now_ms;
		request_of[requests].timeout_ms = timeout_ms;
		requests++;
	}
	peer_client_items(&foo.peers, peer_of_foo(), &m,
			  (struct reply_to){reply_to_id(REPLY_TO_CLIENT, 0), 0, 1}, 0);
}

/* ---- tests ---- */

static void requests_cross_a_slow_link_and_come_back(void)
{
	nodes_open();
	net.delay_ms = 200;
	steps_until_up(2000);
	ask(3, 5000);
	steps(399);
	EQ(0, request_of[2].answers);
	steps(10);
	for (uint32_t i = 0; i < 3; i++) {
		EQ(1, request_of[i].answers);
		EQ(DONE, request_of[i].outcome);
		EQ(1, request_of[i].runs);
	}
	nodes_close();
}

static void time_on_the_way_counts(void)
{
	nodes_open();
	net.delay_ms = 10;
	steps_until_up(2000);
	ask(1, 60000);
	steps(50);
	TRUE_(late_ms <= 1);
	net.delay_ms = 810;
	ask(1, 60000);
	steps(850);
	TRUE_(late_ms >= 799 && late_ms <= 801);
	nodes_close();
}

static void a_silent_link_is_given_up_and_made_again(void)
{
	uint64_t dead_ms;
	uint64_t ping_ms;

	nodes_open();
	dead_ms = conf_number(foo.node.conf, CONF_links_dead_ms);
	ping_ms = conf_number(foo.node.conf, CONF_links_ping_ms);
	steps_until_up(2000);
	steps(20000);
	EQ(PEER_UP, peer_of_foo()->state); /* nothing is asked for, and it stays */
	EQ(0, peer_of_foo()->broke);
	net.cut = true;
	ask(1, 60000);
	steps(dead_ms + ping_ms + 10);
	EQ(1, peer_of_foo()->broke);
	EQ(TIMEOUT, request_of[0].outcome); /* it was sent: nobody knows */
	steps(20000);
	ask(1, 60000);
	step();
	EQ(NODE_DOWN, request_of[1].outcome);
	net.cut = false;
	steps_until_up(5000);
	ask(1, 60000);
	steps(10);
	EQ(DONE, request_of[2].outcome);
	nodes_close();
}

/* It was handed over, so that nobody may say that it did not take effect. */
static void what_was_sent_is_awaited_when_the_hold_for_others_ends(void)
{
	nodes_open();
	steps_until_up(900);
	bar.serves_ms = 1u << 30;
	ask(1, 60000);
	steps(5);
	TRUE_(request_of[0].runs == 1 && bar.jobs);
	bar.jobs->due_ms = net.now_ms + 3000;
	peer_server_goaway(bar.server, "it stops", 0);
	steps(3);
	EQ(PEER_LEAVING, peer_of_foo()->state);
	TRUE_(net.now_ms < peer_of_foo()->hold_ms);
	ask(1, 60000); /* waits: the link may be there again in time */
	steps(1500);
	EQ(0, request_of[0].answers);
	EQ(NODE_DOWN, request_of[1].outcome);
	EQ(0, request_of[1].runs);
	steps(2000);
	EQ(DONE, request_of[0].outcome);
	EQ(1, request_of[0].answers);
	nodes_close();
}

static uint32_t handed_back; /* requests, and the last one's id */
static uint64_t handed_back_id;

static void hand_back(void *arg, const struct unanswered *x)
{
	struct request q;
	const char *why;

	(void)arg;
	EQ(0, request_walk(x->request.p, x->request.p + x->request.n, &q, &why));
	EQ(x->msgid, q.msgid);
	EQ(0, x->partition);
	TRUE_(x->left_ms && x->left_ms <= 60000 && !x->elsewhere);
	TRUE_(x->peer == peer_of_foo());
	handed_back++;
	handed_back_id = x->msgid;
}

/* A bucket of the cluster: another node may take over, and nothing has been done here. */
static void a_write_that_was_not_sent_waits_for_another_node(void)
{
	nodes_open();
	handed_back = 0;
	foo.peers.on_unanswered = hand_back;
	asks_cluster = true;
	steps_until_up(900);
	bar.serves_ms = 1u << 30;
	ask(1, 60000);
	steps(5);
	EQ(1, request_of[0].runs);
	peer_server_goaway(bar.server, "it stops", 0);
	steps(3);
	EQ(PEER_LEAVING, peer_of_foo()->state);
	ask(1, 60000);
	steps(1500);
	net_break();
	steps(1);
	EQ(TIMEOUT, request_of[0].outcome); /* it was sent, and may have been done */
	EQ(1, handed_back);
	EQ(1, handed_back_id);
	EQ(0, request_of[1].answers);
	EQ(0, request_of[1].runs);
	nodes_close();
}

/* Half an hour of cuts, resets and delays that come and go. */
static void each_request_is_answered_once_whatever_links_do(void)
{
	uint64_t s = unit_seed();
	uint32_t outcomes[OTHER + 1] = {0};

	nodes_open();
	bar.random = s;
	bar.serves_ms = 400;
	for (uint64_t t = 0; t < 30u * 60 * 1000; t++) {
		step();
		if (unit_random(&s) % 100 == 0 && requests + MESSAGE_MOST <= REQUESTS_MAX)
			ask(1 + (uint32_t)(unit_random(&s) % 3),
			    50 + (uint32_t)(unit_random(&s) % 3000));
		if (unit_random(&s) % 5000 == 0)
			net.delay_ms = unit_random(&s) % (unit_random(&s) % 4 ? 20 : 1500);
		if (unit_random(&s) % 8000 == 0)
			net_break();
		if (unit_random(&s) % 4000 == 0)
			net.cut = !net.cut && unit_random(&s) % 2;
	}
	net.cut = false;
	steps(4000);
	for (uint32_t i = 0; i < requests; i++) {
		EQ(1, request_of[i].answers);
		TRUE_(request_of[i].runs <= 1); /* nothing is ever sent twice */
		if (request_of[i].outcome == DONE)
			EQ(1, request_of[i].runs);
		if (request_of[i].outcome == NODE_DOWN)
			EQ(0, request_of[i].runs); /* it never left */
		TRUE_(request_of[i].answered_ms <=
		      request_of[i].sent_ms + request_of[i].timeout_ms + OVERDUE_GRACE_MS + 1);
		outcomes[request_of[i].outcome]++;
	}
	TRUE_(outcomes[DONE] > requests / 4 && outcomes[TIMEOUT] > 100 &&
	      outcomes[NODE_DOWN] > 100);
	EQ(0, outcomes[OTHER]);
	EQ(0, peer_of_foo()->requests);
	EQ(0, peer_of_foo()->batches);
	nodes_close();
}

/* foo speaks one range of versions, bar another. */
static void nodes_open_speaking(struct peer_versions foos, struct peer_versions bars)
{
	nodes_open();
	foo.node.peer_versions = foos;
	bar.node.peer_versions = bars;
}

static void two_nodes_speak_the_highest_common_version(void)
{
	struct peer_heard h;

	nodes_open_speaking((struct peer_versions){2, 4}, (struct peer_versions){3, 5});
	steps_until_up(2000);
	EQ(4, peer_of_foo()->protocol);
	h = peer_server_heard(bar.server, "foo");
	TRUE_(h.linked);
	EQ(4, h.protocol);
	SAME(h.refused, strlen(h.refused), "");
	ask(1, 5000);
	steps(10);
	EQ(DONE, request_of[0].outcome);
	nodes_close();
}

/* `what` to do, and both ranges; tried now and then, and linked once there is one in common. */
static void refused_until_upgraded(struct peer_versions foos, struct peer_versions bars,
				   const char *what, const char *ranges)
{
	struct peer_heard h;
	uint32_t dealers;

	nodes_open_speaking(foos, bars);
	steps(20000);
	dealers = net.dealers;
	steps(60000);
	TRUE_(net.dealers - dealers >= 60000 / 4000);
	TRUE_(net.dealers - dealers <= 60000 / 1000);
	EQ(PEER_DOWN, peer_of_foo()->state);
	EQ(0, peer_of_foo()->protocol);
	TRUE_(strstr(peer_of_foo()->reason, what) == peer_of_foo()->reason);
	TRUE_(strstr(peer_of_foo()->reason, ranges));
	h = peer_server_heard(bar.server, "foo");
	TRUE_(!h.linked);
	EQ(0, strncmp(h.refused, peer_of_foo()->reason, 250)); /* both say the same */
	ask(1, 5000);
	steps(10);
	EQ(NODE_DOWN, request_of[0].outcome);
	foo.node.peer_versions = bar.node.peer_versions;
	steps_until_up(4000);
	EQ(bar.node.peer_versions.max, peer_of_foo()->protocol);
	SAME(peer_of_foo()->reason, strlen(peer_of_foo()->reason), "");
	h = peer_server_heard(bar.server, "foo");
	TRUE_(h.linked);
	SAME(h.refused, strlen(h.refused), "");
	nodes_close();
}

static void nodes_without_a_common_version_say_who_must_be_upgraded(void)
{
	refused_until_upgraded((struct peer_versions){2, 3}, (struct peer_versions){4, 6},
			       "upgrade \"foo\": ",
			       "speaks 2 to 3; \"bar\", Pail " WIRE_VERSION ", speaks 4 to 6");
	refused_until_upgraded((struct peer_versions){7, 9}, (struct peer_versions){4, 6},
			       "upgrade \"bar\": ",
			       "speaks 7 to 9; \"bar\", Pail " WIRE_VERSION ", speaks 4 to 6");
}

static void digest_set(struct node *node, const char *digest)
{
	(void)snprintf(node->functions, sizeof(node->functions), "%s", digest);
}

static const char *bar_heard(void)
{
	return peer_server_heard(bar.server, "foo").functions;
}

/* Each has the other's at once, and again when it changes, on the same link. */
static void nodes_tell_which_functions_they_have(void)
{
	static const char *const digest[] = {"0123456789abcdef", "fedcba9876543210"};
	uint64_t epoch;
	uint64_t changed_ms;

	nodes_open();
	digest_set(&foo.node, digest[0]);
	digest_set(&bar.node, digest[1]);
	steps_until_up(2000);
	SAME(peer_of_foo()->functions, strlen(peer_of_foo()->functions), digest[1]);
	SAME(bar_heard(), strlen(bar_heard()), digest[0]);
	epoch = peer_of_foo()->epoch;
	net.delay_ms = 40;
	for (unsigned i = 0; i < 5; i++) {
		/* Requests that are on their way have nothing to do with it. */
		ask(3, 5000);
		digest_set(&foo.node, digest[(i + 1) % 2]);
		digest_set(&bar.node, digest[i % 2]);
		peer_server_functions(bar.server);
		changed_ms = net.now_ms;
		while (strcmp(bar_heard(), foo.node.functions) != 0 ||
		       strcmp(peer_of_foo()->functions, bar.node.functions) != 0) {
			step();
			TRUE_(net.now_ms - changed_ms <= 50);
		}
	}
	steps(200);
	for (uint32_t i = 0; i < requests; i++)
		EQ(DONE, request_of[i].outcome);
	EQ(epoch, peer_of_foo()->epoch);
	EQ(PEER_UP, peer_of_foo()->state);
	/* Of one that is gone it is known what it told. */
	net.cut = true;
	net_break();
	steps(2000);
	TRUE_(peer_of_foo()->state != PEER_UP);
	SAME(peer_of_foo()->functions, strlen(peer_of_foo()->functions), bar.node.functions);
	SAME(bar_heard(), strlen(bar_heard()), foo.node.functions);
	/* It comes back with others, and then with a version that does not tell. */
	net.cut = false;
	digest_set(&bar.node, digest[0]);
	steps_until_up(4000);
	SAME(peer_of_foo()->functions, strlen(peer_of_foo()->functions), digest[0]);
	digest_set(&foo.node, "");
	digest_set(&bar.node, "");
	net_break();
	steps(10);
	steps_until_up(4000);
	SAME(peer_of_foo()->functions, strlen(peer_of_foo()->functions), "");
	SAME(bar_heard(), strlen(bar_heard()), "");
	nodes_close();
}

/* A change that falls between hello and welcome is told, too. */
static void a_change_while_a_link_is_made_is_told(void)
{
	nodes_open();
	net.delay_ms = 50;
	digest_set(&foo.node, "0123456789abcdef");
	digest_set(&bar.node, "0123456789abcdef");
	while (!*peer_of_foo()->said)
		step();
	digest_set(&foo.node, "fedcba9876543210");
	steps_until_up(2000);
	steps(100);
	SAME(bar_heard(), strlen(bar_heard()), "fedcba9876543210");
	nodes_close();
}

/* One that tells none may be of a version that would take a second hello for another link's. */
static void what_does_not_tell_its_functions_is_not_told_again(void)
{
	nodes_open();
	digest_set(&foo.node, "0123456789abcdef");
	steps_until_up(2000);
	SAME(bar_heard(), strlen(bar_heard()), "0123456789abcdef");
	digest_set(&foo.node, "fedcba9876543210");
	steps(5000);
	SAME(bar_heard(), strlen(bar_heard()), "0123456789abcdef");
	digest_set(&foo.node, "");
	net_break();
	steps(10);
	steps_until_up(4000);
	digest_set(&bar.node, "0123456789abcdef");
	peer_server_functions(bar.server);
	steps(100);
	SAME(peer_of_foo()->functions, strlen(peer_of_foo()->functions), "");
	nodes_close();
}

/* A node that closes answers a hello that is said again with nothing: what it owes still comes. */
static void a_hello_said_again_to_a_node_that_closes_breaks_nothing(void)
{
	nodes_open();
	digest_set(&foo.node, "0123456789abcdef");
	digest_set(&bar.node, "0123456789abcdef");
	steps_until_up(2000);
	net.delay_ms = 20;
	bar.serves_ms = 1u << 30;
	ask(1, 5000);
	steps(40);
	TRUE_(bar.jobs);
	bar.jobs->due_ms = net.now_ms + 300;
	bar.node.stopping = true;
	peer_server_goaway(bar.server, "it stops", 0);
	digest_set(&foo.node, "fedcba9876543210");
	steps(1000);
	for (uint32_t i = 0; i < requests; i++)
		EQ(DONE, request_of[i].outcome);
	nodes_close();
}

/* ---- links for copies ---- */

static uint32_t beats;

static bool knows_all(void *arg, struct span name)
{
	(void)arg;
	(void)name;
	return true;
}

static void beat_count(void *arg, const char *name, const struct peer_message *h)
{
	(void)arg;
	TRUE_(!strcmp(name, "foo"));
	beats += h->kind == PEER_MESSAGE_BEAT;
}

static const struct peer_copies copies = {knows_all, beat_count, NULL};

/* foo's link to bar is one for copies. */
static void copies_open(void)
{
	struct conf_pair pair = {.key = "bar", .value = "tcp://bar:1"};

	nodes_open();
	beats = 0;
	peer_server_copies(bar.server, &copies);
	foo.peers.use = PEER_LINK_LOG;
	EQ(0, peers_found(&foo.peers, &pair, 1));
	steps_until_up(900);
}

static bool beat_send(void)
{
	const struct peer_message h = {.kind = PEER_MESSAGE_BEAT, .round = 1};
	char *data = malloc(PEER_CLUSTER_ROOM);
	bool sent;

	TRUE_(data);
	sent = peer_send(&foo.peers, peer_of_foo(), data,
			 (size_t)(peer_message_beat(data, &h, 0) - data));
	free(data);
	return sent;
}

/* Its name is still among the sessions when the connection has been forgotten. */
static void nobody_is_told_on_a_connection_that_is_gone(void)
{
	copies_open();
	TRUE_(peer_server_room(bar.server, "foo", 100));
	clients_cut(bar.clients, (struct reply_to){reply_to_id(REPLY_TO_CLIENT, 0), 0, 1});
	EQ(0, clients_waiting(bar.clients));
	TRUE_(!peer_server_room(bar.server, "foo", 100));
	nodes_close();
}

/* Others wait for its acknowledgements while it is drained. */
static void a_link_for_copies_stays_when_requests_are_told_to_go_away(void)
{
	copies_open();
	peer_server_goaway(bar.server, "it is upgraded", 5000);
	steps(100);
	EQ(PEER_UP, peer_of_foo()->state);
	TRUE_(beat_send());
	steps(10);
	EQ(1, beats);
	peer_server_goaway_copies(bar.server, "it is upgraded", 5000);
	steps(2);
	TRUE_(peer_of_foo()->state != PEER_UP);
	nodes_close();
}

UNIT_MAIN(T(nobody_is_told_on_a_connection_that_is_gone),
	  T(a_link_for_copies_stays_when_requests_are_told_to_go_away),
	  T(requests_cross_a_slow_link_and_come_back), T(time_on_the_way_counts),
	  T(a_silent_link_is_given_up_and_made_again),
	  T(what_was_sent_is_awaited_when_the_hold_for_others_ends),
	  T(a_write_that_was_not_sent_waits_for_another_node),
	  T(each_request_is_answered_once_whatever_links_do),
	  T(two_nodes_speak_the_highest_common_version), T(nodes_tell_which_functions_they_have),
	  T(a_change_while_a_link_is_made_is_told),
	  T(what_does_not_tell_its_functions_is_not_told_again),
	  T(a_hello_said_again_to_a_node_that_closes_breaks_nothing),
	  T(nodes_without_a_common_version_say_who_must_be_upgraded))
