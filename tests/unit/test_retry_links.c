/* Connections of a client that sends again: what waiting costs, who is left, and in which order. */
#include <time.h>

#include "tests/unit/lib/fake_nodes.h"

static int put_within(struct pail *p, const char *key, uint32_t timeout_ms)
{
	const struct pail_request o = {.size = sizeof(o), .timeout_ms = timeout_ms};

	return pail_put(p, pail_str("b"), pail_str(key), pail_str("v"), &o, NULL);
}

/* What this thread has computed; the nodes are another. */
static uint64_t cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void end(struct pail **p)
{
	pail_close(p);
	fakes_end();
}

/* It takes connections and says nothing: who waits for it sleeps. */
static void waiting_for_a_silent_node_computes_nothing(void)
{
	struct pail_options o = {.size = sizeof(o), .connect_ms = 1500, .retry = 1};
	struct pail *p;
	uint64_t begin_ms;

	fakes_begin(1);
	p = client(1, 5000, 1);
	EQ(PAIL_OK, put_within(p, "a", 2000));
	fake[0].silent = true;
	begin_ms = cpu_ms();
	EQ(PAIL_TIMEOUT, put_within(p, "b", 3000));
	TRUE_(cpu_ms() - begin_ms < 400);
	pail_close(&p);
	begin_ms = cpu_ms();
	EQ(PAIL_UNREACHABLE, pail_open(fake[0].endpoint, &o, &p));
	TRUE_(cpu_ms() - begin_ms < 400);
	end(&p);
}

/* Also by requests whose whole time is less than a share of others'. */
static void a_silent_node_is_left_by_short_requests(void)
{
	struct pail *p;
	uint64_t end_ms;
	int status = PAIL_TIMEOUT;

	fakes_begin(2);
	p = client(2, 2000, 0);
	EQ(PAIL_OK, put_within(p, "a", 2000));
	fake[0].silent = true;
	for (end_ms = clock_ms() + 30000; status != PAIL_OK && clock_ms() < end_ms;)
		status = put_within(p, "b", 10);
	EQ(PAIL_OK, status);
	end(&p);
}

static void what_operators_ask_is_sent_once(void)
{
	struct pail *p;
	struct pail_result *r;

	fakes_begin(1);
	p = client(1, 1000, 1);
	plan(0, REFUSE + (int)WIRE_E_BUSY);
	EQ(PAIL_BUSY, pail_worker(p, "start", 0, &r));
	EQ(1, seen_of(WIRE_WORKER));
	end(&p);
}

/* Nodes whose clocks are apart take no session of each other. */
static void sessions_that_nobody_knows_are_taken_with_pauses(void)
{
	struct pail *p;

	fakes_begin(1);
	p = client(1, 1000, 1);
	known_from = 127;
	EQ(PAIL_NO_SESSION, put_within(p, "a", 1000));
	TRUE_(seen_of(WIRE_SESSION) > 2);
	TRUE_(seen_of(WIRE_SESSION) < 20);
	known_from = 0;
	EQ(PAIL_OK, put_within(p, "b", 5000));
	end(&p);
}

/* ---- the order ---- */

static void count(void *arg, const struct pail_result *r)
{
	*(unsigned *)arg += r->status == PAIL_OK;
}

/* From that key on, when each came first: how many there are, and whether they rise. */
static unsigned firsts_from(int key, bool *ret_rise)
{
	static bool met[SEQ_MAX];
	unsigned n = 0;

	memset(met, 0, sizeof(met));
	*ret_rise = true;
	for (unsigned i = 0; i < seens; i++) {
		if (seen[i].method != WIRE_PUT || met[seen[i].seq] || atoi(seen[i].key) < key)
			continue;
		met[seen[i].seq] = true;
		*ret_rise &= atoi(seen[i].key) == key + (int)n;
		n++;
	}
	return n;
}

/*
 * Submitted to a connection that is lost, which nobody has seen yet: the first frame is lost with
 * it, and its 16 requests are sent again; what comes behind them was not sent yet.
 */
static void a_lost_connection_keeps_the_order(void)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT};
	struct pail *p;
	unsigned done = 0;
	bool rise;
	char key[16];

	fakes_begin(2);
	p = client(2, 20000, 1);
	EQ(PAIL_OK, put_within(p, "0", 2000));
	fake[0].down = true;
	(void)usleep(1000000);
	q.bucket = pail_str("b");
	q.value = pail_str("v");
	for (int i = 1; i <= 30; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		q.key = pail_str(key);
		EQ(PAIL_OK, pail_submit(p, &q, count, &done));
	}
	for (uint64_t end_ms = clock_ms() + 20000; done < 30 && clock_ms() < end_ms;)
		(void)pail_wait(p, 20);
	EQ(30, done);
	EQ(14, firsts_from(17, &rise));
	TRUE_(rise);
	end(&p);
}

UNIT_MAIN(T(waiting_for_a_silent_node_computes_nothing), T(a_silent_node_is_left_by_short_requests),
	  T(what_operators_ask_is_sent_once), T(sessions_that_nobody_knows_are_taken_with_pauses),
	  T(a_lost_connection_keeps_the_order))
