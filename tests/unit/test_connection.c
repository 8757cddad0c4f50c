/* A connection of libpail through everything that its callbacks, its deadlines and chance may do to
 * it. */
#include <poll.h>
#include <signal.h>
#include <time.h>

#include "tests/unit/lib/played_node.h"

/* ---- callbacks ---- */

/* The message being read holds goaway, two replies, and a third behind them. */
static void a_callback_may_submit_after_a_goaway(void)
{
	struct pail *p = begin(2);
	struct fate then[8] = {{0}};
	struct fate f[3] = {{0}};
	char data[512];
	char *at = data;

	EQ(PAIL_OK, ping(p, &f[0], 0));
	EQ(PAIL_OK, ping(p, &f[1], 0));
	UNTIL(p, got_of(WIRE_PING) == 2, 20000);
	f[1].more = p; /* by then nothing is on the wire, and whole frames are to be sent */
	f[1].count = 8;
	f[1].then = then;
	at = goaway(at);
	at = reply(reply(at, &got[1]), &got[2]);
	at = write_text(write_reply_head(at, 12345), "nobody's");
	send_to(&got[1], data, (size_t)(at - data));
	UNTIL(p, f[0].calls && f[1].calls, 20000);
	EQ(8, f[1].submitted);
	UNTIL(p, got_of(WIRE_PING) == 10, 20000);
	for (unsigned i = 0; i < gots; i++)
		if (!got[i].answered && got[i].method == WIRE_PING && i > 2)
			answer(i);
	for (int i = 0; i < 8; i++) {
		UNTIL(p, then[i].calls, 3000);
		EQ(PAIL_OK, then[i].status);
		EQ(1, then[i].calls);
	}
	end(&p);
}

static void a_callback_may_close(void)
{
	struct pail *p = begin(16);
	struct pail *mine = p;
	struct fate f[3] = {{0}};
	struct fate then[1] = {{0}};
	char data[512];
	char *at = data;

	for (int i = 0; i < 3; i++)
		EQ(PAIL_OK, ping(p, &f[i], 0));
	UNTIL(p, got_of(WIRE_PING) == 3, 20000);
	f[0].close = &mine;
	f[2].more = p; /* in the middle of it nothing more is taken */
	f[2].count = 1;
	f[2].then = then;
	for (unsigned i = 1; i < 4; i++)
		at = reply(at, &got[i]);
	send_to(&got[1], data, (size_t)(at - data));
	while (mine)
		(void)pail_wait(p, 1);
	EQ(PAIL_OK, f[0].status);
	EQ(0, strcmp("", f[0].text));
	for (int i = 1; i < 3; i++) {
		EQ(1, f[i].calls);
		EQ(PAIL_CLOSED, f[i].status);
	}
	EQ(0, f[2].submitted);
	EQ(0, then[0].calls);
	p = NULL;
	end(&p);
}

static void closing_takes_nothing_more(void)
{
	struct pail *p = begin(16);
	struct fate f[2] = {{0}};
	struct fate then[4] = {{0}};

	EQ(PAIL_OK, ping(p, &f[0], 0));
	EQ(PAIL_OK, ping(p, &f[1], 0));
	f[1].more = p;
	f[1].count = 4;
	f[1].then = then;
	pail_close(&p);
	EQ(PAIL_CLOSED, f[0].status);
	EQ(PAIL_CLOSED, f[1].status);
	EQ(0, f[1].submitted);
	for (int i = 0; i < 4; i++)
		EQ(0, then[i].calls);
	end(&p);
}

struct inner {
	struct pail *p;
	struct pail_future *future;
	int waited;
	int called;
	bool ran;
};

static void wait_within(void *arg, const struct pail_result *r)
{
	struct inner *in = arg;
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING};
	struct pail_result *result = NULL;

	(void)r;
	in->waited = pail_await(&in->future, &result);
	pail_result_free(&result);
	in->called = pail_call(in->p, &q, &result);
	pail_result_free(&result);
	EQ(0, pail_dispatch(in->p));
	EQ(0, pail_wait(in->p, 5));
	in->ran = true;
}

static void a_callback_cannot_wait(void)
{
	struct pail *p = begin(16);
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING, .timeout_ms = 3000};
	struct inner in = {.p = p};
	struct pail_result *r = NULL;

	EQ(PAIL_OK, pail_submit(p, &q, wait_within, &in));
	EQ(PAIL_OK, pail_async(p, &q, &in.future));
	UNTIL(p, got_of(WIRE_PING) == 2, 20000);
	answer(1);
	UNTIL(p, in.ran, 20000);
	EQ(PAIL_BUSY, in.waited);
	EQ(PAIL_BUSY, in.called);
	TRUE_(in.future);
	answer(2);
	EQ(PAIL_OK, pail_await(&in.future, &r));
	pail_result_free(&r);
	end(&p);
}

struct cancel {
	struct pail_future *f[3];
	int calls;
};

static void cancel_others(void *arg, const struct pail_result *r)
{
	struct cancel *c = arg;

	(void)r;
	c->calls++;
	for (int i = 0; i < 3; i++)
		pail_future_free(&c->f[i]);
}

/* One of them is done, one is in the same message, one is never answered. */
static void a_callback_may_give_up_futures(void)
{
	struct pail *p = begin(16);
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING, .timeout_ms = 2000};
	struct cancel c = {{NULL}, 0};
	char data[512];
	char *at = data;

	EQ(PAIL_OK, pail_async(p, &q, &c.f[0]));
	EQ(PAIL_OK, pail_submit(p, &q, cancel_others, &c));
	EQ(PAIL_OK, pail_async(p, &q, &c.f[1]));
	EQ(PAIL_OK, pail_async(p, &q, &c.f[2]));
	UNTIL(p, got_of(WIRE_PING) == 4, 20000);
	for (unsigned i = 1; i < 4; i++)
		at = reply(at, &got[i]);
	send_to(&got[1], data, (size_t)(at - data));
	UNTIL(p, !pail_in_flight(p), 20000);
	EQ(1, c.calls);
	end(&p);
}

static void a_future_may_be_awaited_after_closing(void)
{
	struct pail *p = begin(16);
	struct pail_request q = {.size = sizeof(q), .method = PAIL_COUNT, .bucket = pail_str("b")};
	struct pail_future *f[3] = {NULL};
	struct pail_result *r = NULL;
	char data[256];

	for (int i = 0; i < 3; i++)
		EQ(PAIL_OK, pail_async(p, &q, &f[i]));
	UNTIL(p, got_of(WIRE_COUNT) == 3, 20000);
	send_to(&got[1], data,
		(size_t)(write_error(data, got[1].msgid, true, WIRE_E_NO_BUCKET, "no bucket") -
			 data));
	UNTIL(p, pail_future_done(f[0]), 20000);
	end(&p);
	EQ(PAIL_NO_BUCKET, pail_await(&f[0], &r));
	pail_result_free(&r);
	EQ(PAIL_CLOSED, pail_await(&f[1], &r));
	pail_result_free(&r);
	pail_future_free(&f[2]);
}

/* ---- deadlines ---- */

/* Told to go away; one request on the wire times out, another waits unsent, and nobody comes. */
static void no_request_loses_its_deadline(void)
{
	struct pail *p = begin(16);
	struct fate wire = {0};
	struct fate unsent = {0};

	EQ(PAIL_OK, ping(p, &wire, 100));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	goaway_send(1);
	UNTIL(p, wire.calls || (pail_wait(p, 20), 1), 20000);
	EQ(PAIL_OK, ping(p, &unsent, 400));
	(void)pail_dispatch(p);
	socket_close(&server);
	UNTIL(p, wire.calls && unsent.calls, 20000);
	EQ(PAIL_TIMEOUT, wire.status);
	TRUE_(unsent.status == PAIL_TIMEOUT || unsent.status == PAIL_EXPIRED);
	EQ(1, unsent.calls);
	end(&p);
}

/* What waits unsent is given up in its time, and those around it are not. */
static void unsent_requests_expire(void)
{
	struct pail *p = begin(16);
	struct fate wire = {0};
	struct fate f[5] = {{0}};
	uint64_t begin_ms;

	EQ(PAIL_OK, ping(p, &wire, 0));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	goaway_send(1);
	goaway_await(p);
	begin_ms = clock_ms();
	EQ(PAIL_OK, put(p, "1", &f[0], 100));
	EQ(PAIL_OK, put(p, "2", &f[1], 0));
	EQ(PAIL_OK, put(p, "3", &f[2], 100));
	EQ(PAIL_OK, put(p, "4", &f[3], 0));
	EQ(PAIL_OK, put(p, "5", &f[4], 100));
	UNTIL(p, f[0].calls && f[2].calls && f[4].calls, 20000);
	TRUE_(clock_ms() - begin_ms < 5000);
	EQ(PAIL_EXPIRED, f[0].status);
	EQ(PAIL_EXPIRED, f[4].status);
	EQ(0, got_of(WIRE_PUT));
	answer(1);
	UNTIL(p, got_of(WIRE_PUT) == 2, 20000);
	for (unsigned i = 2; i < gots; i++)
		if (got[i].method == WIRE_PUT) {
			EQ(0, strcmp(got[i].key, got_of(WIRE_PUT) && i + 1 < gots ? "2" : "4"));
			answer(i);
		}
	UNTIL(p, f[1].calls && f[3].calls, 20000);
	EQ(PAIL_OK, wire.status);
	EQ(PAIL_OK, f[1].status);
	EQ(PAIL_OK, f[3].status);
	end(&p);
}

/* Its time begins when it is submitted, however long the connection was not looked after. */
static void a_request_has_all_its_time(void)
{
	struct pail *p = begin(16);
	struct fate old = {0};
	struct fate young = {0};

	EQ(PAIL_OK, ping(p, &old, 10000));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	(void)usleep(2500000);
	EQ(PAIL_OK, ping(p, &young, 2000));
	UNTIL(p, got_of(WIRE_PING) == 2, 20000);
	answer(2);
	UNTIL(p, young.calls, 20000);
	EQ(PAIL_OK, young.status);
	answer(1);
	UNTIL(p, old.calls, 20000);
	end(&p);
}

/* One request of many times out, while others are answered: nobody need be asked whether he is
 * there. */
static void one_that_times_out_is_no_silence(void)
{
	struct pail *p = begin(16);
	struct fate f[5] = {{0}};

	EQ(PAIL_OK, ping(p, &f[0], 10000));
	EQ(PAIL_OK, ping(p, &f[1], 1500));
	EQ(PAIL_OK, ping(p, &f[2], 0));
	UNTIL(p, got_of(WIRE_PING) == 3, 20000);
	answer(3);
	UNTIL(p, f[2].calls && f[1].calls, 20000);
	EQ(PAIL_OK, f[2].status);
	EQ(PAIL_TIMEOUT, f[1].status);
	(void)usleep(5000);
	for (int i = 3; i < 5; i++) {
		EQ(PAIL_OK, ping(p, &f[i], 0));
		EQ(PAIL_OK, pail_flush(p));
	}
	UNTIL(p, got_of(WIRE_PING) == 5, 20000);
	EQ(1, got_of(WIRE_HELLO));
	for (unsigned i = 1; i < gots; i++)
		if (!got[i].answered && i != 2)
			answer(i);
	UNTIL(p, f[0].calls && f[3].calls && f[4].calls, 20000);
	EQ(PAIL_OK, f[0].status);
	end(&p);
}

/* A msgid that comes again would give the late reply to somebody else. */
static void a_late_reply_is_nobodys(void)
{
	struct pail *p = begin(1);
	struct fate late = {0};
	unsigned done = 0;

	EQ(PAIL_OK, put(p, "k", &late, 1500));
	UNTIL(p, late.calls, 20000);
	EQ(PAIL_TIMEOUT, late.status);
	node_take();
	for (int i = 0; i < 4200; i++) {
		struct fate f = {0};
		unsigned before = gots;

		EQ(PAIL_OK, put(p, "k", &f, 0));
		UNTIL(p, gots > before, 3000);
		if (got[gots - 1].msgid == got[1].msgid)
			answer(1); /* the reply to the first, so late */
		else
			answer(gots - 1);
		UNTIL(p, f.calls, 3000);
		done += got[gots - 1].msgid == got[1].msgid;
	}
	EQ(0, done);
	end(&p);
}

/* ---- event loops ---- */

/* Sending may swallow the signal that a reply is there: who asks before sleeping is told. */
static void a_reply_is_not_slept_over(void)
{
	struct pail *p = begin(16);
	struct fate f[2] = {{0}};
	struct pollfd poll_fd = {-1, POLLIN, 0};
	int ms;

	EQ(PAIL_OK, ping(p, &f[0], 0));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	while (pail_dispatch(p))
		;
	answer(1);
	(void)usleep(100000); /* it is there */
	EQ(PAIL_OK, ping(p, &f[1], 0));
	EQ(PAIL_OK, pail_flush(p));
	poll_fd.fd = pail_fd(p);
	ms = pail_next_ms(p);
	TRUE_(ms == 0 || poll(&poll_fd, 1, 5000) == 1);
	(void)pail_dispatch(p);
	EQ(1, f[0].calls);
	end(&p);
}

/* ---- everything at once ---- */

#define LANES  24
#define ROUNDS 3000

struct lane {
	struct pail *p;
	int inside;
};

struct ticket {
	struct lane *lane;
	int calls;
	bool taken;
};

static struct lane lane[LANES];
static struct ticket ticket[60000];
static unsigned tickets;
static uint64_t dice;

static void lane_submit(struct lane *l);

static void lane_done(void *arg, const struct pail_result *r)
{
	struct ticket *t = arg;
	struct lane *l = t->lane;

	t->calls++;
	EQ(1, t->calls);
	TRUE_(r->status == PAIL_OK || r->status == PAIL_TIMEOUT || r->status == PAIL_EXPIRED ||
	      r->status == PAIL_CLOSED);
	if (!l->p || r->status == PAIL_CLOSED)
		return;
	switch (unit_random(&dice) % 64) {
	case 0:
		pail_close(&l->p);
		return;
	case 1:
	case 2:
	case 3:
		for (int i = 0; i < 20; i++)
			lane_submit(l);
		return;
	case 4:
		(void)pail_flush(l->p);
		return;
	default:
		return;
	}
}

static void lane_submit(struct lane *l)
{
	struct ticket *t = &ticket[tickets];
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING};
	struct pail_future *f;

	if (tickets == sizeof(ticket) / sizeof(ticket[0]))
		return;
	q.timeout_ms = 1 + (uint32_t)(unit_random(&dice) % 200);
	if (unit_random(&dice) % 16 == 0) {
		if (pail_async(l->p, &q, &f) == PAIL_OK)
			pail_future_free(&f);
		return;
	}
	tickets++;
	t->lane = l;
	t->calls = 0;
	t->taken = pail_submit(l->p, &q, lane_done, t) == PAIL_OK;
}

/* The node answers, forgets, sends two replies at once, says goaway, and all of it out of order. */
static void node_play(void)
{
	static unsigned from;
	char data[4096];
	char *at = data;
	unsigned n;

	node_take();
	if (from > gots)
		from = 0;
	for (n = 0; from < gots && n < 64; from++, n++) {
		struct got *g = &got[from];

		if (g->method != WIRE_PING)
			continue;
		if (at != data &&
		    (unit_random(&dice) % 4 == 0 || at - data > 3000 ||
		     g->id_n != got[from - 1].id_n || memcmp(g->id, got[from - 1].id, g->id_n))) {
			send_to(&got[from - 1], data, (size_t)(at - data));
			at = data;
		}
		if (unit_random(&dice) % 40 == 0)
			at = goaway(at);
		if (unit_random(&dice) % 10)
			at = reply(at, g);
		if (unit_random(&dice) % 30 == 0)
			at = reply(at, g); /* twice */
	}
	if (at != data)
		send_to(&got[from - 1], data, (size_t)(at - data));
	if (gots > GOT_MAX - 10000) {
		gots = 0;
		from = 0;
	}
}

static void everything_is_answered_once(void)
{
	dice = unit_seed();
	tickets = 0;
	node_begin();
	for (int i = 0; i < LANES; i++)
		lane[i].p = connection(1 + (uint32_t)(unit_random(&dice) % 8));
	for (int round = 0; round < ROUNDS; round++) {
		struct lane *l = &lane[unit_random(&dice) % LANES];
		unsigned n = (unsigned)(unit_random(&dice) % 12);

		if (!l->p)
			l->p = connection(1 + (uint32_t)(unit_random(&dice) % 8));
		for (unsigned i = 0; i < n; i++)
			lane_submit(l);
		node_play();
		(void)pail_dispatch(l->p);
	}
	for (int i = 0; i < LANES; i++) {
		/* Left alone, everything ends by its deadline. */
		uint64_t end_ms = clock_ms() + 20000;

		while (lane[i].p && pail_in_flight(lane[i].p) && clock_ms() < end_ms) {
			node_play();
			(void)pail_wait(lane[i].p, 1);
		}
		EQ(0, lane[i].p ? pail_in_flight(lane[i].p) : 0);
		pail_close(&lane[i].p);
	}
	for (unsigned i = 0; i < tickets; i++)
		EQ(ticket[i].taken, ticket[i].calls);
	TRUE_(tickets > 5000);
	socket_close(&server);
	socket_context_free(&context);
}

static void on_signal(int signal)
{
	(void)signal;
}

/* A program with a timer, say: no connection fails because a signal came while it was begun. */
static void signals_hinder_no_connect(void)
{
	const struct itimerspec often = {.it_interval.tv_nsec = 300000, .it_value.tv_nsec = 300000};
	const struct sigaction action = {.sa_handler = on_signal};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct sigaction before;
	struct socket_context *c;
	timer_t timer;

	EQ(0, socket_context_new(&c));
	EQ(0, sigaction(SIGUSR1, &action, &before));
	EQ(0, timer_create(CLOCK_MONOTONIC, &event, &timer));
	EQ(0, timer_settime(timer, 0, &often, NULL));
	for (unsigned i = 0; i < 1000; i++) {
		const struct socket_options o = {
			.receive_queue = 10, .send_queue = 10, .once = i & 1, .watched = !(i & 1)};
		struct socket *s = NULL;

		EQ(0, socket_connect(c, "tcp://127.0.0.1:1", &o, &s));
		socket_close(&s);
	}
	EQ(0, timer_delete(timer));
	EQ(0, sigaction(SIGUSR1, &before, NULL));
	socket_context_free(&c);
}

UNIT_MAIN(T(signals_hinder_no_connect), T(a_callback_may_submit_after_a_goaway),
	  T(a_callback_may_close), T(closing_takes_nothing_more), T(a_callback_cannot_wait),
	  T(a_callback_may_give_up_futures), T(a_future_may_be_awaited_after_closing),
	  T(no_request_loses_its_deadline), T(unsent_requests_expire),
	  T(a_request_has_all_its_time), T(one_that_times_out_is_no_silence),
	  T(a_late_reply_is_nobodys), T(a_reply_is_not_slept_over), T(everything_is_answered_once))
