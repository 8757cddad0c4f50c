/* Many requests at once that are sent again: numbers, acknowledgements, callbacks, chance. */
#include <poll.h>

#include "tests/unit/lib/fake_nodes.h"

static void end(struct pail **p)
{
	pail_close(p);
	fakes_end();
}

struct fate {
	int calls;
	int status;
	uint64_t number;
	char text[80];
	struct pail **close;
	struct pail *more;
	struct fate *then;
};

static int put_it(struct pail *p, const char *bucket, const char *key, struct fate *f);

static void happen(void *arg, const struct pail_result *r)
{
	struct fate *f = arg;

	f->calls++;
	f->status = r->status;
	f->number = r->number;
	(void)snprintf(f->text, sizeof(f->text), "%s", r->text);
	if (f->close)
		pail_close(f->close);
	else if (f->more)
		(void)put_it(f->more, "b", "more", f->then);
}

static int put_it(struct pail *p, const char *bucket, const char *key, struct fate *f)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT};

	q.bucket = pail_str(bucket);
	q.key = pail_str(key);
	q.value = pail_str("v");
	return pail_submit(p, &q, happen, f);
}

static void until_done(struct pail *p, unsigned ms)
{
	uint64_t end_ms = clock_ms() + ms;

	while (pail_in_flight(p) && clock_ms() < end_ms)
		(void)pail_wait(p, 20);
	EQ(0, pail_in_flight(p));
}

/*
 * A slow machine sees some sent again.  How many numbers came, each counted when it came first; and
 * whether the keys then were 0, 1, 2 and so on.
 */
static unsigned firsts(bool *ret_in_order)
{
	static bool met[SEQ_MAX];
	unsigned n = 0;

	memset(met, 0, sizeof(met));
	*ret_in_order = true;
	(void)pthread_mutex_lock(&fake_lock);
	for (unsigned i = 0; i < seens; i++) {
		if (seen[i].method != WIRE_PUT || met[seen[i].seq])
			continue;
		met[seen[i].seq] = true;
		*ret_in_order &= (unsigned)atoi(seen[i].key) == n;
		n++;
	}
	(void)pthread_mutex_unlock(&fake_lock);
	return n;
}

/* Buckets 0 to n - 1 whose last acknowledgement lets go of what was written to them. */
static unsigned acknowledged(unsigned n)
{
	static bool met[4096];
	unsigned count = 0;

	memset(met, 0, sizeof(met));
	for (unsigned i = 0; i < seens; i++) {
		unsigned b = (unsigned)atoi(seen[i].bucket);

		if (seen[i].method == WIRE_ACK && b < n && !met[b] && seen[i].ack > b + 1) {
			met[b] = true;
			count++;
		}
	}
	return count;
}

/* ---- acknowledgements ---- */

/* Returns how long closing took. */
static uint64_t close_two_buckets(void)
{
	struct pail *p;
	struct fate f[4] = {{0}};
	uint64_t begin_ms;

	fakes_begin(1);
	p = client(1, 8000, 1);
	EQ(PAIL_OK, put_it(p, "one", "k", &f[0]));
	EQ(PAIL_OK, put_it(p, "two", "k", &f[1]));
	EQ(PAIL_OK, put_it(p, "one", "k", &f[2]));
	until_done(p, 20000);
	EQ(0, seen_of(WIRE_ACK));
	begin_ms = clock_ms();
	pail_close(&p);
	begin_ms = clock_ms() - begin_ms;
	EQ(2, seen_of(WIRE_ACK));
	EQ(0, strcmp("two", nth(WIRE_ACK, 0).bucket));
	EQ(0, strcmp("one", nth(WIRE_ACK, 1).bucket));
	for (unsigned i = 0; i < 2; i++) {
		EQ(4, nth(WIRE_ACK, i).ack);
		EQ(1, nth(WIRE_ACK, i).session);
	}
	fakes_end();
	return begin_ms;
}

/* Answered, they are not waited for longer: seen in one of a few times, as a machine that others load
 * may stand still in the others. */
static void closing_acknowledges_every_bucket(void)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8 && best >= 400; i++) {
		uint64_t took = close_two_buckets();

		best = took < best ? took : best;
	}
	TRUE_(best < 400);
}

static void closing_waits_for_a_moment_only(void)
{
	struct pail *p;
	struct fate f = {0};
	uint64_t begin_ms;

	fakes_begin(1);
	p = client(1, 2000, 1);
	EQ(PAIL_OK, put_it(p, "b", "k", &f));
	until_done(p, 20000);
	fake[0].silent = true;
	begin_ms = clock_ms();
	pail_close(&p);
	TRUE_(clock_ms() - begin_ms >= 450 && clock_ms() - begin_ms < 5000);
	fake[0].silent = false;
	fakes_end();
}

static void who_has_written_nothing_acknowledges_nothing(void)
{
	struct pail *p;

	fakes_begin(1);
	p = client(1, 2000, 1);
	EQ(PAIL_OK, pail_ping(p));
	end(&p);
	EQ(0, seen_of(WIRE_ACK));
	EQ(0, seen_of(WIRE_SESSION));
}

/* The lowest number in flight is what is acknowledged, however far others are. */
static void nothing_in_flight_is_acknowledged(void)
{
	struct pail *p;
	struct fate slow = {0};
	struct fate f[50] = {{0}};

	fakes_begin(1);
	p = client(1, 8000, 1); /* a share of a second */
	plan(0, SWALLOW);
	EQ(PAIL_OK, put_it(p, "b", "slow", &slow));
	while (!seen_of(WIRE_PUT))
		(void)pail_wait(p, 10);
	for (int i = 0; i < 50; i++) {
		EQ(PAIL_OK, put_it(p, "b", "k", &f[i]));
		while (!f[i].calls)
			(void)pail_wait(p, 10);
	}
	for (unsigned i = 1; i <= 50; i++)
		EQ(1, nth(WIRE_PUT, i).ack);
	until_done(p, 20000);
	EQ(PAIL_OK, slow.status);
	EQ(PAIL_OK, put_it(p, "b", "k", &f[0]));
	until_done(p, 20000);
	EQ(52, nth(WIRE_PUT, 52).ack);
	EQ(52, runs);
	end(&p);
}

/* More buckets than are kept: the oldest are acknowledged before others are written to. */
static void buckets_beyond_what_is_kept_are_acknowledged_first(void)
{
	static struct fate f[3000];
	struct pail *p;
	char name[16];

	memset(f, 0, sizeof(f));
	fakes_begin(1);
	p = client(1, 20000, 1);
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		EQ(PAIL_OK, put_it(p, name, "k", &f[i]));
		if (i % 100 == 99)
			(void)pail_wait(p, 0);
	}
	until_done(p, 20000);
	for (uint64_t end_ms = clock_ms() + 20000; seen_of(WIRE_ACK) < 3000 - 1024;) {
		TRUE_(clock_ms() < end_ms);
		(void)pail_wait(p, 10);
	}
	pail_close(&p);
	fakes_end();
	EQ(3000, acknowledged(3000));
	for (unsigned i = 0; i < 3000; i++)
		EQ(PAIL_OK, f[i].status);
	EQ(3000, runs);
}

/* ---- many ---- */

static void at_most_4096_are_not_acknowledged(void)
{
	static struct fate f[10000];
	struct pail *p;
	bool in_order;

	memset(f, 0, sizeof(f));
	fakes_begin(1);
	p = client(1, 20000, 1);
	stuck = true;
	EQ(PAIL_OK, put_it(p, "b", "stuck", &f[0]));
	for (int i = 1; i < 10000; i++)
		EQ(PAIL_OK, put_it(p, "b", "k", &f[i]));
	EQ(10000, pail_in_flight(p));
	for (uint64_t end_ms = clock_ms() + 30000; pail_in_flight(p) > 10000 - 4095;) {
		TRUE_(clock_ms() < end_ms);
		(void)pail_wait(p, 20);
	}
	for (int i = 0; i < 10; i++)
		(void)pail_wait(p, 20);
	EQ(4096, firsts(&in_order));
	EQ(10000 - 4095, pail_in_flight(p));
	stuck = false;
	until_done(p, 20000);
	for (int i = 0; i < 10000; i++) {
		EQ(1, f[i].calls);
		EQ(PAIL_OK, f[i].status);
	}
	EQ(10000, runs);
	for (unsigned i = 0; i < seens; i++)
		TRUE_(seen[i].method != WIRE_PUT || seen[i].seq - seen[i].ack < 4096);
	end(&p);
}

/* In the order in which they were submitted, the session's making included. */
static void what_is_sent_once_keeps_its_order(void)
{
	static struct fate f[2000];
	struct pail *p;
	bool in_order;
	char key[16];

	memset(f, 0, sizeof(f));
	fakes_begin(1);
	p = client(1, 10000, 1);
	for (int i = 0; i < 2000; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		EQ(PAIL_OK, put_it(p, "b", key, &f[i]));
	}
	until_done(p, 10000);
	EQ(2000, firsts(&in_order));
	TRUE_(in_order);
	end(&p);
}

/* Also over a goaway: what was not sent before it goes behind what was. */
static void a_goaway_keeps_the_order(void)
{
	static struct fate f[400];
	struct pail *p;
	bool in_order;
	char key[16];

	memset(f, 0, sizeof(f));
	fakes_begin(2);
	p = client(2, 10000, 1);
	for (int i = 0; i <= 20; i++)
		plan(0, i == 20 ? AWAY : RUN);
	for (int i = 0; i < 400; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		EQ(PAIL_OK, put_it(p, "b", key, &f[i]));
		if (i % 7 == 0)
			(void)pail_wait(p, 1);
	}
	until_done(p, 10000);
	EQ(400, firsts(&in_order));
	TRUE_(in_order);
	EQ(1, nth(WIRE_PUT, 399).node);
	end(&p);
}

static void too_much_is_busy(void)
{
	static char value[1 << 20];
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT};
	struct fate f[80] = {{0}};
	struct pail *p;
	int taken = 0;

	fakes_begin(1);
	p = client(1, 500, 1);
	fake[0].silent = true;
	q.bucket = pail_str("b");
	q.key = pail_str("k");
	q.value = (struct pail_bytes){value, sizeof(value)};
	while (taken < 80 && pail_submit(p, &q, happen, &f[taken]) == PAIL_OK)
		taken++;
	EQ(63, taken);
	EQ(PAIL_BUSY, pail_submit(p, &q, happen, &f[taken]));
	until_done(p, 20000);
	EQ(PAIL_OK, pail_submit(p, &q, happen, &f[0]));
	fake[0].silent = false;
	end(&p);
	EQ(PAIL_CLOSED, f[0].status);
}

/* ---- callbacks ---- */

static void a_callback_may_submit(void)
{
	struct fate then = {0};
	struct fate f = {.then = &then};
	struct pail *p;

	fakes_begin(2);
	p = client(2, 3000, 1);
	f.more = p;
	plan(0, RUN_CLOSE);
	EQ(PAIL_OK, put_it(p, "b", "k", &f));
	until_done(p, 5000);
	EQ(1, f.calls);
	EQ(1, then.calls);
	EQ(PAIL_OK, then.status);
	EQ(2, then.number);
	end(&p);
}

/* Within the reply to the first, the others are in flight, never sent, or between two copies. */
static void a_callback_may_close(void)
{
	for (int round = 0; round < 20; round++) {
		static struct fate f[5000];
		struct pail *p;
		struct pail *mine;

		memset(f, 0, sizeof(f));
		fakes_begin(2);
		mine = p = client(2, 3000, 1);
		for (int i = 0; i < round % 5; i++)
			plan(0, REFUSE + WIRE_E_BUSY);
		plan(0, round % 3 == 0 ? LOSE : round % 3 == 1 ? RUN : RUN_CLOSE);
		f[round * 5].close = &mine;
		for (int i = 0; i < 5000; i++)
			EQ(PAIL_OK, put_it(p, "b", "k", &f[i]));
		while (mine)
			(void)pail_wait(p, 50);
		for (int i = 0; i < 5000; i++)
			EQ(1, f[i].calls);
		EQ(PAIL_CLOSED, f[4999].status);
		fakes_end();
	}
}

static void futures_outlive_the_connection(void)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT};
	struct pail_future *f[3] = {NULL};
	struct pail_result *r = NULL;
	struct pail *p;

	fakes_begin(1);
	p = client(1, 3000, 1);
	fake[0].always = SWALLOW;
	q.bucket = pail_str("b");
	q.key = pail_str("k");
	for (int i = 0; i < 3; i++)
		EQ(PAIL_OK, pail_async(p, &q, &f[i]));
	pail_future_free(&f[1]);
	(void)pail_wait(p, 50);
	end(&p);
	EQ(PAIL_CLOSED, pail_await(&f[0], &r));
	pail_result_free(&r);
	pail_future_free(&f[2]);
}

/* With nothing but the descriptor and the time to wait. */
static void an_event_loop_needs_no_more(void)
{
	struct fate f[20] = {{0}};
	struct pail *p;
	uint64_t end_ms = clock_ms() + 8000;
	unsigned turns = 0;

	fakes_begin(2);
	p = client(2, 4000, 1);
	plan(0, LOSE);
	plan(0, REFUSE + WIRE_E_BUSY);
	plan(0, RUN_CLOSE);
	for (int i = 0; i < 20; i++)
		EQ(PAIL_OK, put_it(p, "b", "k", &f[i]));
	(void)pail_flush(p);
	while (pail_in_flight(p) && clock_ms() < end_ms) {
		struct pollfd d = {.fd = pail_fd(p), .events = POLLIN};

		while (pail_dispatch(p))
			;
		if (pail_in_flight(p))
			(void)poll(&d, 1, pail_next_ms(p));
		turns++;
	}
	EQ(0, pail_in_flight(p));
	EQ(20, runs);
	TRUE_(turns < 2000); /* it has slept */
	end(&p);
}

/* ---- chance ---- */

static void whatever_happens_each_runs_once(void)
{
	static const int acts[] = {RUN,
				   RUN,
				   RUN,
				   LOSE,
				   SWALLOW,
				   TWICE,
				   CLOSE,
				   RUN_CLOSE,
				   AWAY,
				   REFUSE + WIRE_E_BUSY,
				   REFUSE + WIRE_E_EXPIRED,
				   REFUSE + WIRE_E_NODE_DOWN,
				   REFUSE + WIRE_E_TIMEOUT};
	const char *given = getenv("PAIL_SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)clock_ms();

	(void)printf("# seed %u\n", seed);
	for (int round = 0; round < 6; round++) {
		static struct fate f[300];
		struct pail *p;

		memset(f, 0, sizeof(f));
		fakes_begin(3);
		for (int n = 0; n < 3; n++) {
			fake[n].back = true;
			for (int i = 0; i < 60; i++)
				plan(n, acts[(unsigned)rand_r(&seed) %
					     (sizeof(acts) / sizeof(acts[0]))]);
		}
		p = client(3, 20000, 1);
		for (int i = 0; i < 300; i++) {
			EQ(PAIL_OK, put_it(p, i % 3 ? "b" : "c", "k", &f[i]));
			if (rand_r(&seed) % 4 == 0)
				(void)pail_wait(p, (int)(rand_r(&seed) % 3));
		}
		until_done(p, 30000);
		for (int i = 0; i < 300; i++) {
			EQ(1, f[i].calls);
			if (f[i].status != PAIL_OK)
				(void)printf("# request %d of round %d: %s\n", i, round, f[i].text);
			EQ(PAIL_OK, f[i].status);
		}
		EQ(300, runs);
		end(&p);
	}
}

UNIT_MAIN(T(closing_acknowledges_every_bucket), T(closing_waits_for_a_moment_only),
	  T(who_has_written_nothing_acknowledges_nothing), T(nothing_in_flight_is_acknowledged),
	  T(buckets_beyond_what_is_kept_are_acknowledged_first),
	  T(at_most_4096_are_not_acknowledged), T(what_is_sent_once_keeps_its_order),
	  T(a_goaway_keeps_the_order), T(too_much_is_busy), T(a_callback_may_submit),
	  T(a_callback_may_close), T(futures_outlive_the_connection),
	  T(an_event_loop_needs_no_more), T(whatever_happens_each_runs_once))
