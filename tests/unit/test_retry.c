/* Requests that are sent again: each has run once, and the caller is told what is so. */
#include "tests/unit/lib/fake_nodes.h"

/* Of a request whose copies are counted: a share of it is the longest, a second, so that a machine which
 * others load rarely stands still for one. */
#define LONG_MS 8000u

static int put_it(struct pail *p, const char *key, uint64_t *version)
{
	return pail_put(p, pail_str("b"), pail_str(key), pail_str("v"), NULL, version);
}

static void end(struct pail **p)
{
	pail_close(p);
	fakes_end();
}

/* ---- one node ---- */

static void a_lost_reply_is_asked_for_again(void)
{
	struct pail *p;
	uint64_t version = 0;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	plan(0, LOSE);
	EQ(PAIL_OK, put_it(p, "k", &version));
	EQ(1, version);
	EQ(1, runs);
	EQ(2, seen_of(WIRE_PUT));
	TRUE_(nth(WIRE_PUT, 0).has_session);
	EQ(nth(WIRE_PUT, 0).seq, nth(WIRE_PUT, 1).seq);
	EQ(nth(WIRE_PUT, 0).session, nth(WIRE_PUT, 1).session);
	TRUE_(nth(WIRE_PUT, 1).timeout_ms < LONG_MS);
	end(&p);
}

static void every_write_carries_a_number_of_its_own(void)
{
	struct pail *p;
	bool yes;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	for (int i = 0; i < 5; i++)
		EQ(PAIL_OK, put_it(p, "k", NULL));
	EQ(PAIL_PROTOCOL, pail_delete(p, pail_str("b"), pail_str("k"), NULL, &yes));
	EQ(1, seen_of(WIRE_SESSION));
	for (unsigned i = 0; i < 5; i++) {
		EQ(i + 1, nth(WIRE_PUT, i).seq);
		EQ(i + 1, nth(WIRE_PUT, i).ack); /* all below have ended */
	}
	EQ(6, nth(WIRE_DELETE, 0).seq);
	end(&p);
}

/* Returns how long it took. */
static uint64_t close_and_put(void)
{
	struct pail *p;
	uint64_t version = 0;
	uint64_t begin_ms;
	uint64_t took_ms;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	EQ(PAIL_OK, put_it(p, "a", &version));
	plan(0, RUN_CLOSE);
	plan(0, CLOSE);
	fake[0].back = true;
	begin_ms = clock_ms();
	EQ(PAIL_OK, put_it(p, "b", &version));
	took_ms = clock_ms() - begin_ms;
	EQ(2, version);
	EQ(2, runs);
	EQ(4, seen_of(WIRE_PUT));
	end(&p);
	return took_ms;
}

/*
 * Told to be closed once, the node is there again at once: in less than a share, the loss itself was
 * seen.  One of a few times, as a machine that others load may be slow in the others.
 */
static void a_closed_connection_is_made_again(void)
{
	uint64_t best_ms = UINT64_MAX;

	for (int i = 0; i < 8 && best_ms >= 600; i++) {
		uint64_t took_ms = close_and_put();

		best_ms = took_ms < best_ms ? took_ms : best_ms;
	}
	TRUE_(best_ms < 600);
}

static void what_is_busy_is_tried_again(void)
{
	struct pail *p;
	uint64_t version = 0;
	uint64_t begin_ms;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	for (int i = 0; i < 4; i++)
		plan(0, REFUSE + (i % 2 ? WIRE_E_BUSY : WIRE_E_EXPIRED));
	begin_ms = clock_ms();
	EQ(PAIL_OK, put_it(p, "k", &version));
	EQ(5, seen_of(WIRE_PUT));
	EQ(1, runs);
	TRUE_(clock_ms() - begin_ms < 5000);
	for (unsigned i = 1; i < 5; i++) /* 10, 20, 40, 80, and between half of it and all */
		TRUE_(nth(WIRE_PUT, i).at_ms - nth(WIRE_PUT, i - 1).at_ms + 1 >= 5ull << (i - 1));
	end(&p);
}

/* What passes is tried until the end, and is then what is told. */
static void busy_to_the_end_is_busy(void)
{
	static const int passing[] = {WIRE_E_BUSY, WIRE_E_TOO_FEW};

	for (unsigned i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		struct pail *p;
		uint64_t begin_ms;

		fakes_begin(1);
		p = client(1, 2000, 1);
		fake[0].always = REFUSE + passing[i];
		begin_ms = clock_ms();
		EQ(passing[i], put_it(p, "k", NULL));
		TRUE_(clock_ms() - begin_ms >= 1990 && clock_ms() - begin_ms < 7000);
		TRUE_(seen_of(WIRE_PUT) > 3);
		EQ(0, runs);
		EQ(0, strcmp("refused", pail_why(p)));
		end(&p);
	}
}

/* One copy may have run, all others are refused: nobody knows. */
static void one_unknown_makes_it_a_timeout(void)
{
	static const int refusals[] = {WIRE_E_BUSY,  WIRE_E_FULL,       WIRE_E_DENIED,
				       WIRE_E_STALE, WIRE_E_NO_SESSION, WIRE_E_TOO_FEW};

	for (unsigned i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct pail *p;

		fakes_begin(1);
		p = client(1, 2000, 1);
		plan(0, SWALLOW);
		fake[0].always = REFUSE + refusals[i];
		EQ(PAIL_TIMEOUT, put_it(p, "k", NULL));
		TRUE_(seen_of(WIRE_PUT) > 1);
		end(&p);
	}
}

static void a_refusal_of_the_only_copy_is_told_at_once(void)
{
	static const int refusals[] = {WIRE_E_FULL,     WIRE_E_DENIED,       WIRE_E_STALE,
				       WIRE_E_NO_ROUTE, WIRE_E_BAD_ARGUMENT, WIRE_E_INTERNAL};

	for (unsigned i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct pail *p;
		uint64_t begin_ms;

		fakes_begin(1);
		p = client(1, LONG_MS, 1);
		plan(0, REFUSE + WIRE_E_BUSY);
		plan(0, REFUSE + refusals[i]);
		begin_ms = clock_ms();
		EQ(refusals[i], put_it(p, "k", NULL));
		TRUE_(clock_ms() - begin_ms < 5000);
		EQ(2, seen_of(WIRE_PUT));
		end(&p);
	}
}

static void silence_ends_at_the_deadline(void)
{
	struct pail *p;
	uint64_t begin_ms;

	fakes_begin(1);
	p = client(1, 2000, 1);
	fake[0].always = SWALLOW;
	begin_ms = clock_ms();
	EQ(PAIL_TIMEOUT, put_it(p, "k", NULL));
	TRUE_(clock_ms() - begin_ms >= 1990 && clock_ms() - begin_ms < 7000);
	TRUE_(seen_of(WIRE_PUT) > 1);
	for (unsigned i = 1; i < seen_of(WIRE_PUT); i++)
		TRUE_(nth(WIRE_PUT, i).timeout_ms < nth(WIRE_PUT, i - 1).timeout_ms);
	end(&p);
}

static void an_unknown_session_is_taken_anew(void)
{
	struct pail *p;
	uint64_t version = 0;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	EQ(PAIL_OK, put_it(p, "a", &version));
	known_from = 2;
	EQ(PAIL_OK, put_it(p, "b", &version));
	EQ(2, version);
	EQ(2, runs);
	EQ(2, seen_of(WIRE_SESSION));
	EQ(2, nth(WIRE_PUT, 2).session);
	EQ(1, nth(WIRE_PUT, 2).seq);
	end(&p);
}

static void a_reply_twice_is_one(void)
{
	struct pail *p;
	uint64_t version = 0;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	plan(0, TWICE);
	EQ(PAIL_OK, put_it(p, "a", &version));
	EQ(PAIL_OK, put_it(p, "b", &version));
	EQ(2, version);
	EQ(0, pail_in_flight(p));
	end(&p);
}

static void reads_are_sent_again_without_a_session(void)
{
	struct pail *p;
	struct pail_result *r = NULL;

	fakes_begin(1);
	p = client(1, LONG_MS, 1);
	plan(0, SWALLOW);
	EQ(PAIL_OK, pail_get(p, pail_str("b"), pail_str("k"), &r));
	pail_result_free(&r);
	EQ(2, seen_of(WIRE_GET));
	EQ(0, seen_of(WIRE_SESSION));
	TRUE_(!nth(WIRE_GET, 1).has_session);
	end(&p);
}

static void without_retry_nothing_is_sent_twice(void)
{
	struct pail *p;

	fakes_begin(2);
	p = client(2, 2000, 0);
	fake[0].always = LOSE;
	fake[1].always = LOSE;
	EQ(PAIL_TIMEOUT, put_it(p, "k", NULL));
	EQ(1, seen_of(WIRE_PUT));
	TRUE_(!nth(WIRE_PUT, 0).has_session);
	fake[0].always = fake[1].always = REFUSE + WIRE_E_BUSY;
	EQ(PAIL_BUSY, put_it(p, "k", NULL));
	EQ(2, seen_of(WIRE_PUT));
	end(&p);
}

/* ---- nodes without sessions ---- */

static void a_node_without_sessions_gets_nothing_twice(void)
{
	struct pail *p;
	uint64_t version = 0;

	fakes_begin(1);
	fake[0].plain = true;
	p = client(1, 3000, 1);
	plan(0, REFUSE + WIRE_E_BUSY);
	plan(0, REFUSE + WIRE_E_NODE_DOWN);
	EQ(PAIL_OK, put_it(p, "k", &version));
	EQ(3, seen_of(WIRE_PUT));
	plan(0, LOSE);
	EQ(PAIL_TIMEOUT, put_it(p, "k", &version));
	EQ(4, seen_of(WIRE_PUT));
	EQ(2, runs);
	EQ(0, seen_of(WIRE_SESSION));
	end(&p);
}

/* ---- two nodes ---- */

static void another_endpoint_is_tried(void)
{
	struct pail *p;
	uint64_t version = 0;

	fakes_begin(2);
	p = client(2, LONG_MS, 1);
	EQ(PAIL_OK, put_it(p, "a", &version));
	EQ(0, nth(WIRE_PUT, 0).node);
	plan(0, LOSE);
	EQ(PAIL_OK, put_it(p, "b", &version)); /* its outcome is known there, too */
	EQ(2, runs);
	EQ(1, nth(WIRE_PUT, 2).node);
	fake[0].down = true;
	for (int i = 0; i < 5; i++)
		EQ(PAIL_OK, put_it(p, "c", &version));
	EQ(7, runs);
	fake[0].down = false;
	end(&p);
}

static void a_dead_endpoint_is_stepped_over(void)
{
	const struct pail_options o = {.size = sizeof(o), .connect_ms = 2000, .retry = 1};
	char list[2 * SOCKET_ENDPOINT_MAX];
	struct pail *p = NULL;

	fakes_begin(1);
	(void)snprintf(list, sizeof(list), "127.0.0.1:1,%s", fake[0].endpoint);
	EQ(PAIL_OK, pail_open(list, &o, &p));
	EQ(PAIL_OK, put_it(p, "a", NULL));
	end(&p);
}

/* It takes connections and says nothing: only its share of the time is lost with it. */
static void a_silent_endpoint_does_not_eat_the_time(void)
{
	struct pail *p;
	uint64_t begin_ms;

	fakes_begin(2);
	p = client(2, LONG_MS, 1);
	EQ(PAIL_OK, put_it(p, "a", NULL));
	fake[0].silent = true;
	begin_ms = clock_ms();
	EQ(PAIL_OK, put_it(p, "b", NULL));
	TRUE_(clock_ms() - begin_ms < 5000);
	EQ(1, nth(WIRE_PUT, 1).node);
	fake[0].silent = false;
	end(&p);
}

static void goaway_goes_to_the_next(void)
{
	struct pail *p;

	fakes_begin(2);
	p = client(2, LONG_MS, 1);
	plan(0, AWAY);
	EQ(PAIL_OK, put_it(p, "a", NULL));
	for (int i = 0; i < 5; i++)
		EQ(PAIL_OK, put_it(p, "b", NULL));
	EQ(6, runs);
	EQ(1, nth(WIRE_PUT, 5).node);
	EQ(6, seen_of(WIRE_PUT));
	end(&p);
}

static void lists_of_endpoints_are_checked(void)
{
	struct pail *p = NULL;
	const struct pail_options o = {.size = sizeof(o), .retry = 2};

	TRUE_(!pail_endpoint_why("127.0.0.1:1,tcp://127.0.0.1:2,ipc:///tmp/a"));
	TRUE_(!pail_endpoint_why("ipc:///tmp/a,b,127.0.0.1:99999999")); /* all of it is a path */
	TRUE_(pail_endpoint_why("ipc:///tmp/a,tcp://127.0.0.1:99999"));
	TRUE_(pail_endpoint_why("127.0.0.1:1,"));
	TRUE_(pail_endpoint_why(",127.0.0.1:1"));
	TRUE_(pail_endpoint_why(""));
	EQ(PAIL_BAD_ARGUMENT, pail_open("127.0.0.1:1,x", NULL, &p));
	EQ(PAIL_BAD_ARGUMENT, pail_open("127.0.0.1:1", &o, &p));
	TRUE_(!p);
}

UNIT_MAIN(T(a_lost_reply_is_asked_for_again), T(every_write_carries_a_number_of_its_own),
	  T(a_closed_connection_is_made_again), T(what_is_busy_is_tried_again),
	  T(busy_to_the_end_is_busy), T(one_unknown_makes_it_a_timeout),
	  T(a_refusal_of_the_only_copy_is_told_at_once), T(silence_ends_at_the_deadline),
	  T(an_unknown_session_is_taken_anew), T(a_reply_twice_is_one),
	  T(reads_are_sent_again_without_a_session), T(without_retry_nothing_is_sent_twice),
	  T(a_node_without_sessions_gets_nothing_twice), T(another_endpoint_is_tried),
	  T(a_dead_endpoint_is_stepped_over), T(a_silent_endpoint_does_not_eat_the_time),
	  T(goaway_goes_to_the_next), T(lists_of_endpoints_are_checked))
