/* Links between nodes: requests and replies, versions, functions. */
#include "tests/unit/lib/linked_nodes.h"

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

UNIT_MAIN(T(requests_cross_a_slow_link_and_come_back), T(time_on_the_way_counts),
	  T(a_silent_link_is_given_up_and_made_again),
	  T(what_was_sent_is_awaited_when_the_hold_for_others_ends),
	  T(each_request_is_answered_once_whatever_links_do),
	  T(two_nodes_speak_the_highest_common_version), T(nodes_tell_which_functions_they_have),
	  T(a_change_while_a_link_is_made_is_told),
	  T(what_does_not_tell_its_functions_is_not_told_again),
	  T(a_hello_said_again_to_a_node_that_closes_breaks_nothing),
	  T(nodes_without_a_common_version_say_who_must_be_upgraded))
