/*
 * A connection of libpail through everything that a node and its callbacks may do to it.  The node
 * is a ROUTER that the test itself reads and writes, step by step, in the same thread: so each test
 * says exactly what has come when.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "include/pail.h"
#include "ipc/codec.h"
#include "ipc/link.h"
#include "tests/unit/lib/unit.h"

#define GOT_MAX 40000u

/* ---- the node ---- */

struct got {
	char id[16]; /* the connection it came on */
	size_t id_n;
	uint64_t msgid;
	int method;
	char key[24];
	unsigned message; /* number of the message it came in */
	bool answered;
};

static struct link_context *context;
static struct link *server;
static char endpoint[LINK_ENDPOINT_MAX];
static struct got got[GOT_MAX];
static unsigned gots;
static unsigned messages;
static unsigned requests_most; /* of a message */
static uint64_t bytes_most;
static uint64_t message_max; /* what hello says; 0: nothing */

static void freed(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static void send_to(const struct got *g, const char *data, size_t n)
{
	char *copy = malloc(n);

	memcpy(copy, data, n);
	(void)link_send(server, (struct span){g->id, g->id_n}, false, copy, n, freed, NULL);
}

static char *reply(char *p, const struct got *g)
{
	p = write_reply_head(p, g->msgid);
	switch (g->method) {
	case WIRE_PING:
		return write_text(p, "pong");
	case WIRE_PUT:
		return write_uint(p, 7);
	case WIRE_HELLO:
		if (!message_max)
			return write_map(p, 0);
		p = write_map(write_text(write_map(p, 1), "limits"), 1);
		return write_uint(write_text(p, "message"), message_max);
	default:
		return write_nil(p);
	}
}

static void answer(unsigned i)
{
	char data[256];

	got[i].answered = true;
	send_to(&got[i], data, (size_t)(reply(data, &got[i]) - data));
}

static char *goaway(char *p)
{
	p = write_text(write_uint(write_array(p, 3), 2), "goaway");
	return write_text(write_array(p, 1), "test");
}

static void goaway_send(unsigned i)
{
	char data[64];

	send_to(&got[i], data, (size_t)(goaway(data) - data));
}

static void note_request(const struct link_message *m, const struct request *q)
{
	struct got *g = &got[gots++];
	struct span key = {"", 0};

	memset(g, 0, sizeof(*g));
	g->id_n = m->id.n;
	memcpy(g->id, m->id.p, m->id.n);
	g->msgid = q->msgid;
	g->method = q->method;
	g->message = messages;
	(void)request_bytes(q, 1, &key);
	if (key.n < sizeof(g->key))
		memcpy(g->key, key.p, key.n);
}

/* Take what has come; `hello` is answered at once. */
static void node_take(void)
{
	struct link_message *m;

	while (server && gots < GOT_MAX - 5000 && link_receive(server, 1 << 28, &m) == 0) {
		unsigned before = gots;

		messages++;
		bytes_most = m->bytes > bytes_most ? m->bytes : bytes_most;
		for (uint32_t i = 0; i < m->frames; i++)
			for (const char *at = m->frame[i].p; at < m->frame[i].p + m->frame[i].n;) {
				struct request q;
				const char *why;

				if (gots == GOT_MAX ||
				    request_walk(at, m->frame[i].p + m->frame[i].n, &q, &why) < 0)
					break;
				note_request(m, &q);
				at = q.end;
			}
		requests_most = gots - before > requests_most ? gots - before : requests_most;
		for (unsigned i = before; i < gots; i++)
			if (got[i].method == WIRE_HELLO)
				answer(i);
	}
}

static unsigned got_of(int method)
{
	unsigned n = 0;

	for (unsigned i = 0; i < gots; i++)
		n += got[i].method == method;
	return n;
}

static void node_start(void)
{
	const struct link_options o = {.linger_ms = 0};
	char bound[LINK_ENDPOINT_MAX];

	EQ(0, link_bind(context, *endpoint ? endpoint : "tcp://127.0.0.1:*", &o, &server, bound));
	(void)snprintf(endpoint, sizeof(endpoint), "%s", bound);
}

/* ---- the client ---- */

struct opening {
	const struct pail_options *options;
	struct pail *p;
	_Atomic bool done;
	int status;
};

static void *open_it(void *arg)
{
	struct opening *o = arg;

	o->status = pail_open(endpoint, o->options, &o->p);
	o->done = true;
	return NULL;
}

static struct pail *connection(uint32_t batch)
{
	const struct pail_options options = {3000, 3000, batch};
	struct opening o = {.options = &options};
	pthread_t t;

	EQ(0, pthread_create(&t, NULL, open_it, &o));
	while (!o.done) {
		node_take();
		(void)usleep(200);
	}
	EQ(0, pthread_join(t, NULL));
	EQ(PAIL_OK, o.status);
	return o.p;
}

static void node_begin(void)
{
	*endpoint = '\0';
	gots = 0;
	messages = 0;
	requests_most = 0;
	bytes_most = 0;
	message_max = 0;
	EQ(0, link_context_new(&context));
	node_start();
}

static struct pail *begin(uint32_t batch)
{
	node_begin();
	return connection(batch);
}

static void end(struct pail **p)
{
	pail_close(p);
	link_close(&server);
	link_context_free(&context);
}

/* Both sides go on until `condition` holds, at most so many ms. */
#define UNTIL(p, condition, ms)                                \
	do {                                                   \
		uint64_t end_ms_ = clock_ms() + (ms);          \
		while (!(condition) && clock_ms() < end_ms_) { \
			node_take();                           \
			if (p)                                 \
				(void)pail_wait(p, 1);         \
		}                                              \
		TRUE_(condition);                              \
	} while (0)

/* What has become of a request: its callback has run so often, the last time with that status. */
struct fate {
	int calls;
	int status;
	uint64_t number;
	struct pail **close; /* to be closed by the callback */
	struct pail *more;   /* to be submitted to by the callback */
	int count;
	int submitted;
	struct fate *then;
	char text[64];
};

static int ping(struct pail *p, struct fate *f, uint32_t timeout_ms);

static void happen(void *arg, const struct pail_result *r)
{
	struct fate *f = arg;

	f->calls++;
	f->status = r->status;
	if (f->close)
		pail_close(f->close);
	for (int i = 0; f->more && i < f->count; i++)
		f->submitted += ping(f->more, &f->then[i], 0) == PAIL_OK;
	f->number = r->number; /* it lives until the callback ends */
	(void)snprintf(f->text, sizeof(f->text), "%s", r->text);
}

static int ping(struct pail *p, struct fate *f, uint32_t timeout_ms)
{
	struct pail_request q = {.method = PAIL_PING, .timeout_ms = timeout_ms};

	return pail_submit(p, &q, happen, f);
}

static int put(struct pail *p, const char *key, struct fate *f, uint32_t timeout_ms)
{
	struct pail_request q = {.method = PAIL_PUT, .timeout_ms = timeout_ms};

	q.bucket = pail_str("b");
	q.key = pail_str(key);
	q.value = pail_str("v");
	return pail_submit(p, &q, happen, f);
}

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
	UNTIL(p, got_of(WIRE_PING) == 2, 3000);
	f[1].more = p; /* by then nothing is on the wire, and whole frames are to be sent */
	f[1].count = 8;
	f[1].then = then;
	at = goaway(at);
	at = reply(reply(at, &got[1]), &got[2]);
	at = write_text(write_reply_head(at, 12345), "nobody's");
	send_to(&got[1], data, (size_t)(at - data));
	UNTIL(p, f[0].calls && f[1].calls, 3000);
	EQ(8, f[1].submitted);
	UNTIL(p, got_of(WIRE_PING) == 10, 3000);
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
	UNTIL(p, got_of(WIRE_PING) == 3, 3000);
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
	struct pail_request q = {.method = PAIL_PING};
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
	struct pail_request q = {.method = PAIL_PING, .timeout_ms = 300};
	struct inner in = {.p = p};
	struct pail_result *r = NULL;

	EQ(PAIL_OK, pail_submit(p, &q, wait_within, &in));
	EQ(PAIL_OK, pail_async(p, &q, &in.future));
	UNTIL(p, got_of(WIRE_PING) == 2, 3000);
	answer(1);
	UNTIL(p, in.ran, 3000);
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
	struct pail_request q = {.method = PAIL_PING, .timeout_ms = 100};
	struct cancel c = {{NULL}, 0};
	char data[512];
	char *at = data;

	EQ(PAIL_OK, pail_async(p, &q, &c.f[0]));
	EQ(PAIL_OK, pail_submit(p, &q, cancel_others, &c));
	EQ(PAIL_OK, pail_async(p, &q, &c.f[1]));
	EQ(PAIL_OK, pail_async(p, &q, &c.f[2]));
	UNTIL(p, got_of(WIRE_PING) == 4, 3000);
	for (unsigned i = 1; i < 4; i++)
		at = reply(at, &got[i]);
	send_to(&got[1], data, (size_t)(at - data));
	UNTIL(p, !pail_in_flight(p), 3000);
	EQ(1, c.calls);
	end(&p);
}

static void a_future_may_be_awaited_after_closing(void)
{
	struct pail *p = begin(16);
	struct pail_request q = {.method = PAIL_COUNT, .bucket = pail_str("b")};
	struct pail_future *f[3] = {NULL};
	struct pail_result *r = NULL;
	char data[256];

	for (int i = 0; i < 3; i++)
		EQ(PAIL_OK, pail_async(p, &q, &f[i]));
	UNTIL(p, got_of(WIRE_COUNT) == 3, 3000);
	send_to(&got[1], data,
		(size_t)(write_error(data, got[1].msgid, true, WIRE_E_NO_BUCKET, "no bucket") -
			 data));
	UNTIL(p, pail_future_done(f[0]), 3000);
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
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	goaway_send(1);
	UNTIL(p, wire.calls || (pail_wait(p, 20), 1), 3000);
	EQ(PAIL_OK, ping(p, &unsent, 400));
	(void)pail_dispatch(p);
	link_close(&server);
	UNTIL(p, wire.calls && unsent.calls, 3000);
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
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	goaway_send(1);
	(void)usleep(20000);
	(void)pail_wait(p, 20);
	begin_ms = clock_ms();
	EQ(PAIL_OK, put(p, "1", &f[0], 100));
	EQ(PAIL_OK, put(p, "2", &f[1], 0));
	EQ(PAIL_OK, put(p, "3", &f[2], 100));
	EQ(PAIL_OK, put(p, "4", &f[3], 0));
	EQ(PAIL_OK, put(p, "5", &f[4], 100));
	UNTIL(p, f[0].calls && f[2].calls && f[4].calls, 2000);
	TRUE_(clock_ms() - begin_ms < 1500);
	EQ(PAIL_EXPIRED, f[0].status);
	EQ(PAIL_EXPIRED, f[4].status);
	EQ(0, got_of(WIRE_PUT));
	answer(1);
	UNTIL(p, got_of(WIRE_PUT) == 2, 3000);
	for (unsigned i = 2; i < gots; i++)
		if (got[i].method == WIRE_PUT) {
			EQ(0, strcmp(got[i].key, got_of(WIRE_PUT) && i + 1 < gots ? "2" : "4"));
			answer(i);
		}
	UNTIL(p, f[1].calls && f[3].calls, 3000);
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
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	(void)usleep(700000);
	EQ(PAIL_OK, ping(p, &young, 200));
	UNTIL(p, got_of(WIRE_PING) == 2, 3000);
	answer(2);
	UNTIL(p, young.calls, 3000);
	EQ(PAIL_OK, young.status);
	answer(1);
	UNTIL(p, old.calls, 3000);
	end(&p);
}

/* A msgid that comes again would give the late reply to somebody else. */
static void a_late_reply_is_nobodys(void)
{
	struct pail *p = begin(1);
	struct fate late = {0};
	unsigned done = 0;

	EQ(PAIL_OK, put(p, "k", &late, 20));
	UNTIL(p, late.calls, 3000);
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

/* ---- goaway ---- */

static void a_backlog_leaves_in_frames_that_a_node_takes(void)
{
	static struct fate f[10000];
	struct pail *p = begin(256);
	struct fate wire = {0};
	unsigned first;

	memset(f, 0, sizeof(f));
	EQ(PAIL_OK, ping(p, &wire, 0));
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	goaway_send(1);
	(void)usleep(20000);
	(void)pail_wait(p, 20);
	for (int i = 0; i < 10000; i++)
		EQ(PAIL_OK, put(p, "k", &f[i], 20000));
	EQ(0, got_of(WIRE_PUT));
	answer(1);
	first = gots;
	UNTIL(p, got_of(WIRE_PUT) == 10000, 5000);
	TRUE_(requests_most <= 256);
	for (unsigned i = first; i < gots; i++)
		if (got[i].method == WIRE_PUT)
			answer(i);
	UNTIL(p, !pail_in_flight(p), 5000);
	for (int i = 0; i < 10000; i++) {
		EQ(1, f[i].calls);
		EQ(PAIL_OK, f[i].status);
	}
	end(&p);
}

/* As long as it cannot be sent, it must not take memory without end. */
static void a_backlog_is_bounded(void)
{
	static char value[1 << 20];
	struct pail *p = begin(256);
	struct fate wire = {0};
	struct fate f[100] = {{0}};
	struct pail_request q = {.method = PAIL_PUT, .timeout_ms = 10000};
	int taken = 0;

	q.bucket = pail_str("b");
	q.key = pail_str("k");
	q.value = (struct pail_bytes){value, sizeof(value)};
	EQ(PAIL_OK, ping(p, &wire, 10000));
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	goaway_send(1);
	(void)usleep(20000);
	(void)pail_wait(p, 20);
	while (taken < 100 && pail_submit(p, &q, happen, &f[taken]) == PAIL_OK)
		taken++;
	TRUE_(taken >= 32 && taken < 80);
	EQ(PAIL_BUSY, pail_submit(p, &q, happen, &f[taken]));
	answer(1);
	UNTIL(p, got_of(WIRE_PUT) == (unsigned)taken, 5000);
	for (unsigned i = 2; i < gots; i++)
		answer(i);
	UNTIL(p, !pail_in_flight(p), 5000);
	end(&p);
}

/* Without a descriptor no new connection can be made: the old one stays until it can. */
static void a_connection_that_cannot_be_made_is_tried_again(void)
{
	struct pail *p = begin(16);
	struct fate f = {0};
	struct rlimit was;
	struct rlimit none;
	unsigned messages_before;

	EQ(PAIL_OK, ping(p, &f, 0));
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	answer(1);
	UNTIL(p, f.calls, 3000);
	EQ(0, getrlimit(RLIMIT_NOFILE, &was));
	none = was;
	none.rlim_cur = 3;
	goaway_send(1);
	(void)usleep(20000);
	messages_before = messages;
	EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	for (int i = 0; i < 5; i++) {
		(void)pail_wait(p, 10);
		(void)pail_fd(p);
	}
	EQ(0, setrlimit(RLIMIT_NOFILE, &was));
	EQ(PAIL_OK, ping(p, &f, 0));
	UNTIL(p, got_of(WIRE_PING) == 2, 3000);
	TRUE_(messages > messages_before);
	for (unsigned i = 2; i < gots; i++)
		if (got[i].method == WIRE_PING && i > 1 && !got[i].answered)
			answer(i);
	UNTIL(p, f.calls == 2, 3000);
	EQ(PAIL_OK, f.status);
	end(&p);
}

/* What timed out while the node was away is not run when it is back. */
static void what_timed_out_is_not_run_later(void)
{
	struct pail *p = begin(16);
	struct fate f = {0};
	struct fate later = {0};

	link_close(&server);
	EQ(PAIL_OK, put(p, "stale", &f, 4800));
	UNTIL(p, f.calls, 8000);
	EQ(PAIL_TIMEOUT, f.status);
	node_start();
	EQ(PAIL_OK, put(p, "fresh", &later, 0));
	UNTIL(p, got_of(WIRE_PUT) >= 1, 3000);
	(void)usleep(50000);
	node_take();
	EQ(1, got_of(WIRE_PUT));
	EQ(0, strcmp("fresh", got[gots - 1].key));
	answer(gots - 1);
	UNTIL(p, later.calls, 3000);
	end(&p);
}

/* ---- limits ---- */

static void what_can_never_fit_is_refused_at_once(void)
{
	static char value[5000];
	struct pail *p;
	struct fate f[64] = {{0}};
	struct pail_request q = {.method = PAIL_PUT};
	unsigned first;

	node_begin();
	message_max = 4096;
	p = connection(256);
	q.bucket = pail_str("b");
	q.key = pail_str("k");
	q.value = (struct pail_bytes){value, 4096 - 33}; /* with its 33 bytes around it */
	EQ(PAIL_OK, pail_submit(p, &q, happen, &f[0]));
	UNTIL(p, got_of(WIRE_PUT) == 1, 3000);
	EQ(4096, bytes_most);
	q.value.size += 5; /* one more; a fresh slot has a msgid that is 4 bytes shorter */
	EQ(PAIL_TOO_LARGE, pail_submit(p, &q, happen, &f[1]));
	TRUE_(strstr(pail_why(p), "4097 bytes, the node takes messages of 4096"));
	q.value.size = 5000;
	EQ(PAIL_TOO_LARGE, pail_submit(p, &q, happen, &f[1]));
	EQ(PAIL_TOO_LARGE, pail_put(p, q.bucket, q.key, q.value, NULL, NULL));
	/* Many small ones are packed so that they fit. */
	q.value.size = 500;
	first = gots;
	for (int i = 1; i < 64; i++)
		EQ(PAIL_OK, pail_submit(p, &q, happen, &f[i]));
	UNTIL(p, got_of(WIRE_PUT) == 64, 3000);
	EQ(4096, bytes_most);
	answer(1);
	for (unsigned i = first; i < gots; i++)
		answer(i);
	UNTIL(p, !pail_in_flight(p), 3000);
	EQ(0, f[63].status);
	/* The node may have another limit by now: refusing asks again. */
	message_max = 8192;
	q.value.size = 5000;
	EQ(PAIL_TOO_LARGE, pail_submit(p, &q, happen, &f[1]));
	UNTIL(p, pail_submit(p, &q, happen, &f[1]) == PAIL_OK, 3000);
	end(&p);
}

static void nonsense_is_refused(void)
{
	struct pail *p = begin(16);
	struct pail_request q = {.method = PAIL_WORKER};
	struct pail_result *r = NULL;
	struct fate f = {0};

	EQ(PAIL_BAD_ARGUMENT, pail_submit(p, &q, happen, &f));
	EQ(PAIL_BAD_ARGUMENT, pail_worker(p, NULL, 0, &r));
	TRUE_(!r);
	TRUE_(strstr(pail_why(p), "action"));
	q.method = (enum pail_method)99;
	EQ(PAIL_UNKNOWN_METHOD, pail_submit(p, &q, happen, &f));
	q.method = PAIL_GET;
	q.bucket = (struct pail_bytes){NULL, 5};
	EQ(PAIL_BAD_ARGUMENT, pail_submit(p, &q, happen, &f));
	q.bucket = (struct pail_bytes){"b", SIZE_MAX - 100};
	EQ(PAIL_BAD_ARGUMENT, pail_submit(p, &q, happen, &f));
	EQ(0, f.calls);
	EQ(0, pail_in_flight(p));
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
	UNTIL(p, got_of(WIRE_PING) == 1, 3000);
	while (pail_dispatch(p))
		;
	answer(1);
	(void)usleep(100000); /* it is there */
	EQ(PAIL_OK, ping(p, &f[1], 0));
	EQ(PAIL_OK, pail_flush(p));
	poll_fd.fd = pail_fd(p);
	ms = pail_next_ms(p);
	TRUE_(ms == 0 || poll(&poll_fd, 1, 300) == 1);
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
	struct pail_request q = {.method = PAIL_PING};
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
		uint64_t end_ms = clock_ms() + 3000;

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
	link_close(&server);
	link_context_free(&context);
}

UNIT_MAIN(T(a_callback_may_submit_after_a_goaway), T(a_callback_may_close),
	  T(closing_takes_nothing_more), T(a_callback_cannot_wait),
	  T(a_callback_may_give_up_futures), T(a_future_may_be_awaited_after_closing),
	  T(no_request_loses_its_deadline), T(unsent_requests_expire),
	  T(a_request_has_all_its_time), T(a_late_reply_is_nobodys),
	  T(a_backlog_leaves_in_frames_that_a_node_takes), T(a_backlog_is_bounded),
	  T(a_connection_that_cannot_be_made_is_tried_again), T(what_timed_out_is_not_run_later),
	  T(what_can_never_fit_is_refused_at_once), T(nonsense_is_refused),
	  T(a_reply_is_not_slept_over), T(everything_is_answered_once))
