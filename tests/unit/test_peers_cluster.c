/* Links between nodes of a cluster: requests that are given back or lost, and what is of copies. */
#include "tests/unit/lib/linked_nodes.h"

static uint32_t handed_back; /* requests, and the last one's id */
static uint64_t handed_back_id;
static bool handed_elsewhere;

static void hand_back(void *arg, const struct unanswered *x)
{
	struct request q;
	const char *why;

	(void)arg;
	EQ(0, request_walk(x->request.p, x->request.p + x->request.n, &q, &why));
	EQ(x->msgid, q.msgid);
	EQ(ask_partition, x->partition);
	TRUE_(x->left_ms && x->left_ms <= 60000);
	TRUE_(x->peer == peer_of_foo());
	handed_back++;
	handed_back_id = x->msgid;
	handed_elsewhere = x->elsewhere;
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
	TRUE_(!handed_elsewhere);
	EQ(0, request_of[1].answers);
	EQ(0, request_of[1].runs);
	nodes_close();
}

static struct job *job_of(uint64_t msgid)
{
	for (struct job *j = bar.jobs; j; j = j->next)
		if (j->msgid == msgid)
			return j;
	return NULL;
}

static struct job *job_comes(uint64_t msgid)
{
	for (uint32_t ms = 0; ms < 1000 && !job_of(msgid); ms++)
		step();
	TRUE_(job_of(msgid));
	return job_of(msgid);
}

static void ask_in(uint16_t partition)
{
	ask_partition = partition;
	ask(1, 60000);
}

static bool is_behind(uint64_t msgid, uint32_t partition)
{
	return peer_server_behind(bar.server, job_comes(msgid)->reply_to, partition);
}

static void given_back(uint64_t msgid, uint32_t partition)
{
	const struct peer_place place = {.partition = partition, .epoch = 1, .node = 1};

	TRUE_(peer_server_elsewhere(bar.server, job_comes(msgid)->reply_to, &place));
}

/* What was sent before it was known that something is given back stands behind that, and must not be run. */
static void what_is_sent_behind_something_given_back_is_told_apart(void)
{
	nodes_open();
	bar.node.partitions = 16;
	handed_back = 0;
	foo.peers.on_unanswered = hand_back;
	asks_cluster = true;
	bar.serves_ms = 1u << 30;
	steps_until_up(900);
	net.delay_ms = 20;
	ask_epoch = 300000;
	ask_in(3); /* 0 */
	steps(10);
	ask_epoch = 7;
	ask_in(3); /* 1 */
	ask_in(4); /* 2 */
	TRUE_(!is_behind(0, 3));
	EQ(300000, batch_epoch);
	given_back(0, 3);
	ask_in(3); /* 3: foo has not heard of it */
	TRUE_(is_behind(1, 3));
	TRUE_(!is_behind(2, 4)); /* of another partition */
	TRUE_(is_behind(3, 3));
	given_back(1, 3);
	given_back(3, 3);
	for (uint32_t ms = 0; ms < 1000 && handed_back < 3; ms++)
		step();
	EQ(3, handed_back);
	TRUE_(handed_elsewhere);
	ask_in(3); /* 4 */
	TRUE_(!is_behind(4, 3));
	/* A new link begins anew, on both sides. */
	given_back(4, 3);
	net_break();
	steps(10);
	steps_until_up(4000);
	ask_in(3); /* 5 */
	TRUE_(!is_behind(5, 3));
	given_back(5, 3);
	ask_in(3); /* 6 */
	TRUE_(is_behind(6, 3));
	nodes_close();
	ask_partition = 0;
}

static void get_in(uint16_t partition, uint32_t client)
{
	asks_reads = true;
	ask_client = client;
	ask_in(partition);
	asks_reads = false;
}

static void put_in(uint16_t partition, uint32_t client, uint32_t timeout_ms)
{
	ask_client = client;
	ask_partition = partition;
	ask(1, timeout_ms);
}

static void hand_back_any(void *arg, const struct unanswered *x)
{
	(void)arg;
	request_of[x->msgid].outcome = OTHER;
}

static void reads_open(void)
{
	nodes_open();
	foo.peers.on_unanswered = hand_back_any;
	asks_cluster = true;
	bar.serves_ms = 1u << 30;
	steps_until_up(900);
}

/* Whoever sends it again would read what its client wrote behind it. */
static void a_read_is_not_sent_again_behind_a_write_that_may_have_been_done(void)
{
	reads_open();
	get_in(3, 1);        /* 0 */
	get_in(4, 1);        /* 1: of another partition */
	get_in(3, 2);        /* 2: of another client */
	put_in(3, 1, 60000); /* 3 */
	get_in(3, 1);        /* 4: behind it */
	steps(20);
	net_break();
	steps(2);
	EQ(TIMEOUT, request_of[3].outcome);
	EQ(TIMEOUT, request_of[0].outcome);
	EQ(OTHER, request_of[1].outcome);
	EQ(OTHER, request_of[2].outcome);
	EQ(OTHER, request_of[4].outcome);
	nodes_close();
}

static void a_read_of_a_replaced_node_neither(void)
{
	reads_open();
	get_in(3, 1);        /* 0 */
	put_in(3, 1, 60000); /* 1 */
	get_in(4, 1);        /* 2 */
	put_in(4, 1, 60000); /* 3 */
	steps(20);
	peer_client_deposed(&foo.peers, peer_of_foo(), 3);
	EQ(TIMEOUT, request_of[0].outcome);
	EQ(TIMEOUT, request_of[1].outcome);
	EQ(WAITS, request_of[2].outcome);
	EQ(WAITS, request_of[3].outcome);
	nodes_close();
}

/* Its write was given up before, when its time was over. */
static void a_read_that_has_more_time_than_the_write_behind_it_neither(void)
{
	reads_open();
	get_in(3, 1);      /* 0 */
	get_in(3, 2);      /* 1 */
	put_in(3, 1, 100); /* 2 */
	steps(200);
	EQ(TIMEOUT, request_of[2].outcome);
	EQ(WAITS, request_of[0].outcome);
	net_break();
	steps(2);
	EQ(TIMEOUT, request_of[0].outcome);
	EQ(OTHER, request_of[1].outcome);
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

UNIT_MAIN(T(a_write_that_was_not_sent_waits_for_another_node),
	  T(what_is_sent_behind_something_given_back_is_told_apart),
	  T(a_read_is_not_sent_again_behind_a_write_that_may_have_been_done),
	  T(a_read_of_a_replaced_node_neither),
	  T(a_read_that_has_more_time_than_the_write_behind_it_neither),
	  T(nobody_is_told_on_a_connection_that_is_gone),
	  T(a_link_for_copies_stays_when_requests_are_told_to_go_away))
