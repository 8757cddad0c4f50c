/* Connections of libpail with keys: each way in which its keys and the node's do not fit, and that a
 * change of the node's key, a restart and a lost connection are overcome. */
#include <poll.h>

#include "common/key.h"
#include "tests/unit/lib/fake_nodes.h"

#define CONNECT_MS 1500u
#define BUSY_MS    5000u /* that a machine which others load may take besides */
#define LONG_MS    20000u
#define SOON_MS    5000u /* well before a long time to connect is over */

static struct pair {
	char public[KEY_TEXT + 1];
	char secret[KEY_TEXT + 1];
	struct socket_keys keys; /* of a node that has it */
} node_pair[2], ours, stranger;

static void pair_make(struct pair *p)
{
	EQ(0, curve_pair(p->public, p->secret));
	p->keys = (struct socket_keys){p->public, p->secret, NULL, "clients"};
}

/* A key file of that pair, believing those. */
static const char *key_file(const struct pair *p, const char *server, const char *next)
{
	static char path[300];
	static unsigned number;
	char why[300];
	struct key_file k = {.name = "shop"};

	(void)snprintf(path, sizeof(path), "%s/%u.key", unit_folder(), number++);
	memcpy(k.public, p->public, sizeof(k.public));
	memcpy(k.secret, p->secret, sizeof(k.secret));
	if (server)
		memcpy(k.server[k.servers++], server, sizeof(k.server[0]));
	if (next)
		memcpy(k.server[k.servers++], next, sizeof(k.server[0]));
	EQ(0, key_file_write(path, &k, why, sizeof(why)));
	return path;
}

static void begin(int n, bool keys)
{
	(void)unsetenv("PAIL_KEY");
	(void)unsetenv("PAIL_CONTEXT");
	pair_make(&node_pair[0]);
	pair_make(&node_pair[1]);
	pair_make(&ours);
	pair_make(&stranger);
	memcpy(fake_known, ours.public, sizeof(fake_known));
	fakes_begin_with(n, keys ? &node_pair[0].keys : NULL);
}

static uint32_t connect_ms = CONNECT_MS;

static int open_with(int n, const char *key, const char *node_key, uint32_t retry,
		     struct pail **ret)
{
	const struct pail_options o = {.size = sizeof(o),
				       .connect_ms = connect_ms,
				       .timeout_ms = 3000,
				       .retry = retry,
				       .key_file = key,
				       .node_key = node_key};
	char list[NODES_MAX * SOCKET_ENDPOINT_MAX] = "";

	for (int i = 0; i < n; i++) {
		(void)strcat(list, i ? "," : "");
		(void)strcat(list, fake[i].endpoint);
	}
	return pail_open(list, &o, ret);
}

static int put(struct pail *p, const char *key)
{
	return pail_put(p, pail_str("b"), pail_str(key), pail_str("v"), NULL, NULL);
}

static bool why_has(const char *text)
{
	bool has = strstr(pail_open_why(), text) != NULL;

	if (!has)
		(void)printf("it says: %s\n", pail_open_why());
	return has;
}

/* ---- opening: one node, several, with retry ---- */

static const struct way {
	int nodes;
	uint32_t retry;
} ways[] = {
	{1, 0},
        {2, 0},
        {1, 1},
        {3, 1}
};

#define EACH_WAY(w) for (const struct way *w = ways; w < ways + sizeof(ways) / sizeof(ways[0]); w++)

static void keys_that_fit_open(void)
{
	EACH_WAY(w)
	{
		struct pail *p;

		begin(w->nodes, true);
		EQ(PAIL_OK, open_with(w->nodes, key_file(&ours, node_pair[0].public, NULL), NULL,
				      w->retry, &p));
		EQ(0, strcmp("", pail_open_why()));
		EQ(PAIL_OK, put(p, "a"));
		EQ(1, runs);
		pail_close(&p);
		fakes_end();
	}
}

static void a_key_that_the_node_does_not_know_is_denied_at_once(void)
{
	connect_ms = LONG_MS;
	EACH_WAY(w)
	{
		uint64_t begin_ms;
		struct pail *p;

		begin(w->nodes, true);
		begin_ms = clock_ms();
		EQ(PAIL_DENIED, open_with(w->nodes, key_file(&stranger, node_pair[0].public, NULL),
					  NULL, w->retry, &p));
		TRUE_(clock_ms() - begin_ms < SOON_MS);
		TRUE_(!p);
		TRUE_(why_has("does not know this key"));
		TRUE_(why_has(stranger.public));
		TRUE_(!strstr(pail_open_why(), stranger.secret));
		EQ(0, seens);
		fakes_end();
	}
	connect_ms = CONNECT_MS;
}

static void another_key_of_the_node_is_told_within_the_time(void)
{
	EACH_WAY(w)
	{
		uint64_t begin_ms;
		struct pail *p;

		begin(w->nodes, true);
		begin_ms = clock_ms();
		EQ(PAIL_UNREACHABLE,
		   open_with(w->nodes, key_file(&ours, node_pair[1].public, stranger.public), NULL,
			     w->retry, &p));
		TRUE_(clock_ms() - begin_ms < CONNECT_MS + BUSY_MS);
		TRUE_(why_has("another key"));
		fakes_end();
	}
}

/*
 * At once, but for chance: on one machine a node may close before it has sent what it asks for, and
 * is then tried again.
 */
static void a_node_without_keys_is_told(void)
{
	EACH_WAY(w)
	{
		uint64_t begin_ms;
		struct pail *p;

		begin(w->nodes, false);
		begin_ms = clock_ms();
		EQ(PAIL_UNREACHABLE, open_with(w->nodes, key_file(&ours, node_pair[0].public, NULL),
					       NULL, w->retry, &p));
		TRUE_(clock_ms() - begin_ms < CONNECT_MS + BUSY_MS);
		TRUE_(why_has("has no keys"));
		EQ(0, seens);
		fakes_end();
	}
}

static void a_node_with_keys_tells_who_has_none(void)
{
	EACH_WAY(w)
	{
		uint64_t begin_ms;
		struct pail *p;

		begin(w->nodes, true);
		begin_ms = clock_ms();
		EQ(PAIL_UNREACHABLE, open_with(w->nodes, NULL, NULL, w->retry, &p));
		TRUE_(clock_ms() - begin_ms < CONNECT_MS + BUSY_MS);
		TRUE_(why_has("asks for keys"));
		EQ(0, seens);
		fakes_end();
	}
}

/* Whichever of the two the node has. */
static void either_of_two_keys_of_the_node_opens(void)
{
	connect_ms = LONG_MS;
	EACH_WAY(w)
	{
		for (int second = 0; second < 2; second++) {
			char both[128];
			uint64_t begin_ms;
			struct pail *p;

			begin(w->nodes, true);
			(void)snprintf(both, sizeof(both), "%.40s %.40s", node_pair[second].public,
				       node_pair[1 - second].public);
			begin_ms = clock_ms();
			EQ(PAIL_OK,
			   open_with(w->nodes, key_file(&ours, NULL, NULL), both, w->retry, &p));
			TRUE_(clock_ms() - begin_ms < SOON_MS);
			EQ(PAIL_OK, put(p, "a"));
			pail_close(&p);
			fakes_end();
		}
	}
	connect_ms = CONNECT_MS;
}

/* Of several nodes one is enough. */
static void a_node_that_takes_the_key_is_found(void)
{
	for (uint32_t retry = 0; retry < 2; retry++) {
		struct pail *p;

		begin(3, true);
		for (int i = 0; i < 2; i++) { /* one that has no keys, and one that has others */
			(void)pthread_mutex_lock(&fake_lock);
			socket_close(&fake[i].socket);
			fake[i].keys = i ? &stranger.keys : NULL;
			(void)pthread_mutex_unlock(&fake_lock);
		}
		EQ(PAIL_OK,
		   open_with(3, key_file(&ours, node_pair[0].public, NULL), NULL, retry, &p));
		EQ(PAIL_OK, put(p, "a"));
		EQ(2, nth(WIRE_PUT, 0).node);
		pail_close(&p);
		fakes_end();
	}
}

/* ---- what happens later ---- */

/* It goes down and comes back with those keys. */
static void come_back(int i, const struct socket_keys *keys)
{
	(void)pthread_mutex_lock(&fake_lock);
	socket_close(&fake[i].socket);
	fake[i].keys = keys;
	(void)pthread_mutex_unlock(&fake_lock);
}

static void a_restart_with_keys_is_no_error_with_retry(void)
{
	struct pail *p;

	begin(1, true);
	EQ(PAIL_OK, open_with(1, key_file(&ours, node_pair[0].public, NULL), NULL, 1, &p));
	for (int i = 0; i < 5; i++) {
		EQ(PAIL_OK, put(p, "a"));
		come_back(0, &node_pair[0].keys);
		EQ(PAIL_OK, put(p, "b"));
	}
	EQ(10, runs);
	pail_close(&p);
	fakes_end();
}

/* There and back again. */
static void a_changed_key_is_no_error_with_retry(void)
{
	struct pail *p;

	begin(1, true);
	EQ(PAIL_OK,
	   open_with(1, key_file(&ours, node_pair[0].public, node_pair[1].public), NULL, 1, &p));
	for (int i = 1; i < 6; i++) {
		EQ(PAIL_OK, put(p, "a"));
		come_back(0, &node_pair[i % 2].keys);
		EQ(PAIL_OK, put(p, "b"));
	}
	EQ(10, runs);
	pail_close(&p);
	fakes_end();
}

/* Until so many ms have gone: what is in between may fail. */
static void serves_within(struct pail *p, unsigned ms)
{
	const struct pail_request o = {.size = sizeof(o), .timeout_ms = 500};
	uint64_t end_ms = clock_ms() + ms;
	int r;

	do
		r = pail_put(p, pail_str("b"), pail_str("k"), pail_str("v"), &o, NULL);
	while (r != PAIL_OK && clock_ms() < end_ms);
	EQ(PAIL_OK, r);
}

static void a_restart_is_overcome_without_retry(void)
{
	struct pail *p;

	begin(1, true);
	EQ(PAIL_OK, open_with(1, key_file(&ours, node_pair[0].public, NULL), NULL, 0, &p));
	EQ(PAIL_OK, put(p, "a"));
	come_back(0, &node_pair[0].keys);
	serves_within(p, 20000);
	pail_close(&p);
	fakes_end();
}

/* A connection that nobody told to go away is given up when it has been silent for 5 s. */
static void a_changed_key_is_overcome_without_retry(void)
{
	struct pail *p;

	begin(1, true);
	EQ(PAIL_OK,
	   open_with(1, key_file(&ours, node_pair[0].public, node_pair[1].public), NULL, 0, &p));
	for (int i = 1; i < 3; i++) {
		EQ(PAIL_OK, put(p, "a"));
		come_back(0, &node_pair[i % 2].keys);
		serves_within(p, 20000);
	}
	pail_close(&p);
	fakes_end();
}

static void a_node_that_goes_away_comes_back_with_its_other_key(void)
{
	struct pail *p;

	begin(1, true);
	EQ(PAIL_OK,
	   open_with(1, key_file(&ours, node_pair[0].public, node_pair[1].public), NULL, 0, &p));
	plan(0, AWAY);
	EQ(PAIL_OK, put(p, "a"));
	come_back(0, &node_pair[1].keys);
	serves_within(p, 10000);
	pail_close(&p);
	fakes_end();
}

/* Our key is taken out of the node's file, and comes back into it. */
static void a_key_that_is_taken_out_is_denied_until_it_is_back(void)
{
	struct pail *p;

	begin(2, true);
	EQ(PAIL_OK, open_with(2, key_file(&ours, node_pair[0].public, NULL), NULL, 0, &p));
	EQ(PAIL_OK, put(p, "a"));
	(void)pthread_mutex_lock(&fake_lock);
	fake_known[0] ^= 1;
	for (int i = 0; i < 2; i++)
		socket_close(&fake[i].socket);
	(void)pthread_mutex_unlock(&fake_lock);
	for (int r = PAIL_OK, i = 0; r != PAIL_DENIED && i < 50; i++) {
		r = put(p, "b");
		EQ(1, r == PAIL_DENIED || r == PAIL_TIMEOUT);
		EQ(1, i < 49);
	}
	TRUE_(strstr(pail_why(p), "does not know this key"));
	(void)pthread_mutex_lock(&fake_lock);
	fake_known[0] ^= 1;
	(void)pthread_mutex_unlock(&fake_lock);
	serves_within(p, 20000);
	pail_close(&p);
	fakes_end();
}

/* ---- options ---- */

static void what_is_wrong_with_keys_is_a_bad_argument(void)
{
	const char *fits;
	char path[300];
	struct pail *p;
	struct pair mixed;

	begin(1, true);
	(void)snprintf(path, sizeof(path), "%s", key_file(&ours, node_pair[0].public, NULL));
	fits = path;
	EQ(PAIL_BAD_ARGUMENT, open_with(1, "/nowhere/x.key", NULL, 0, &p));
	TRUE_(why_has("/nowhere/x.key"));
	EQ(PAIL_BAD_ARGUMENT, open_with(1, key_file(&ours, NULL, NULL), NULL, 0, &p));
	TRUE_(why_has("server = PUBLIC"));
	EQ(PAIL_BAD_ARGUMENT, open_with(1, fits, "short", 0, &p));
	TRUE_(why_has("40 characters"));
	EQ(PAIL_BAD_ARGUMENT, open_with(1, NULL, node_pair[0].public, 0, &p));
	TRUE_(why_has("no key file"));
	mixed = ours;
	memcpy(mixed.secret, stranger.secret, sizeof(mixed.secret));
	EQ(PAIL_BAD_ARGUMENT,
	   open_with(1, key_file(&mixed, node_pair[0].public, NULL), NULL, 0, &p));
	TRUE_(why_has("public is not"));
	TRUE_(!strstr(pail_open_why(), mixed.secret));
	EQ(PAIL_OK, open_with(1, fits, NULL, 0, &p));
	pail_close(&p);
	fakes_end();
}

static void the_environment_gives_a_key_and_an_option_takes_it_back(void)
{
	struct pail *p;

	begin(1, true);
	EQ(0, setenv("PAIL_KEY", key_file(&ours, node_pair[0].public, NULL), 1));
	EQ(PAIL_OK, open_with(1, NULL, NULL, 0, &p));
	pail_close(&p);
	EQ(PAIL_UNREACHABLE, open_with(1, "", NULL, 0, &p));
	TRUE_(why_has("asks for keys"));
	EQ(PAIL_DENIED, open_with(1, key_file(&stranger, node_pair[0].public, NULL), NULL, 0, &p));
	fakes_end();
}

static void new_keys_are_pairs(void)
{
	char public[PAIL_KEY_SIZE];
	char secret[PAIL_KEY_SIZE];
	char again[PAIL_KEY_SIZE];

	EQ(PAIL_OK, pail_key_new(public, secret));
	TRUE_(key_text_is(public, strlen(public)));
	EQ(0, curve_public(secret, again));
	EQ(0, strcmp(public, again));
	EQ(PAIL_OK, pail_key_new(again, secret));
	TRUE_(strcmp(public, again) != 0);
}

UNIT_MAIN(T(keys_that_fit_open), T(a_key_that_the_node_does_not_know_is_denied_at_once),
	  T(another_key_of_the_node_is_told_within_the_time), T(a_node_without_keys_is_told),
	  T(a_node_with_keys_tells_who_has_none), T(either_of_two_keys_of_the_node_opens),
	  T(a_node_that_takes_the_key_is_found), T(a_restart_with_keys_is_no_error_with_retry),
	  T(a_changed_key_is_no_error_with_retry), T(a_restart_is_overcome_without_retry),
	  T(a_changed_key_is_overcome_without_retry),
	  T(a_node_that_goes_away_comes_back_with_its_other_key),
	  T(a_key_that_is_taken_out_is_denied_until_it_is_back),
	  T(what_is_wrong_with_keys_is_a_bad_argument),
	  T(the_environment_gives_a_key_and_an_option_takes_it_back), T(new_keys_are_pairs))
