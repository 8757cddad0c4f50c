/* A node that goes away, says nothing, comes back, or takes less than it is sent. */
#include <sys/resource.h>

#include "tests/unit/lib/played_node.h"

/* ---- goaway ---- */

static void a_backlog_leaves_in_frames_that_a_node_takes(void)
{
	static struct fate f[10000];
	struct pail *p = begin(256);
	struct fate wire = {0};
	unsigned first;

	memset(f, 0, sizeof(f));
	EQ(PAIL_OK, ping(p, &wire, 0));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	goaway_send(1);
	goaway_await(p);
	for (int i = 0; i < 10000; i++)
		EQ(PAIL_OK, put(p, "k", &f[i], 20000));
	EQ(0, got_of(WIRE_PUT));
	answer(1);
	first = gots;
	UNTIL(p, got_of(WIRE_PUT) == 10000, 20000);
	TRUE_(requests_most <= 256);
	for (unsigned i = first; i < gots; i++)
		if (got[i].method == WIRE_PUT)
			answer(i);
	UNTIL(p, !pail_in_flight(p), 20000);
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
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT, .timeout_ms = 10000};
	int taken = 0;

	q.bucket = pail_str("b");
	q.key = pail_str("k");
	q.value = (struct pail_bytes){value, sizeof(value)};
	EQ(PAIL_OK, ping(p, &wire, 10000));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	goaway_send(1);
	goaway_await(p);
	while (taken < 100 && pail_submit(p, &q, happen, &f[taken]) == PAIL_OK)
		taken++;
	TRUE_(taken >= 32 && taken < 80);
	EQ(PAIL_BUSY, pail_submit(p, &q, happen, &f[taken]));
	answer(1);
	UNTIL(p, got_of(WIRE_PUT) == (unsigned)taken, 20000);
	for (unsigned i = 2; i < gots; i++)
		answer(i);
	UNTIL(p, !pail_in_flight(p), 20000);
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
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	answer(1);
	UNTIL(p, f.calls, 20000);
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
	UNTIL(p, got_of(WIRE_PING) == 2, 20000);
	TRUE_(messages > messages_before);
	for (unsigned i = 2; i < gots; i++)
		if (got[i].method == WIRE_PING && i > 1 && !got[i].answered)
			answer(i);
	UNTIL(p, f.calls == 2, 20000);
	EQ(PAIL_OK, f.status);
	end(&p);
}

/* What timed out while the node was away is not run when it is back. */
static void what_timed_out_is_not_run_later(void)
{
	struct pail *p = begin(16);
	struct fate f = {0};
	struct fate later = {0};

	socket_close(&server);
	EQ(PAIL_OK, put(p, "stale", &f, 4800));
	UNTIL(p, f.calls, 20000);
	EQ(PAIL_TIMEOUT, f.status);
	node_start();
	EQ(PAIL_OK, put(p, "fresh", &later, 0));
	UNTIL(p, got_of(WIRE_PUT) >= 1, 20000);
	(void)usleep(50000);
	node_take();
	EQ(1, got_of(WIRE_PUT));
	EQ(0, strcmp("fresh", got[gots - 1].key));
	answer(gots - 1);
	UNTIL(p, later.calls, 20000);
	end(&p);
}

/* The same where something is always under way, so that no moment is good for a new connection. */
static void a_stream_into_silence_ends(void)
{
	static struct fate f[200];
	static uint64_t put_ms[200];
	uint64_t begin_ms = clock_ms();
	struct pail *p = begin(16);
	char key[16];
	int sent = 0;

	memset(f, 0, sizeof(f));
	socket_close(&server);
	for (; clock_ms() - begin_ms < 7000; sent++) {
		put_ms[sent] = clock_ms();
		(void)snprintf(key, sizeof(key), "%d", sent);
		EQ(PAIL_OK, put(p, key, &f[sent], 300));
		for (uint64_t end_ms = clock_ms() + 50; clock_ms() < end_ms;)
			(void)pail_wait(p, 10);
	}
	TRUE_(sent < 200);
	node_start();
	UNTIL(p, got_of(WIRE_PUT) || got_of(WIRE_HELLO) > 1, 20000);
	UNTIL(p, !pail_in_flight(p), 20000);
	for (unsigned i = 0; i < gots; i++)
		if (got[i].method == WIRE_PUT)
			TRUE_(put_ms[atoi(got[i].key)] >
			      begin_ms + 3000); /* the first 3 s are long over */
	for (int i = 0; i < sent; i++)
		EQ(1, f[i].calls);
	end(&p);
}

/* A long request holds nobody up: the node is asked whether it is there, and it is. */
static void a_node_that_is_slow_is_not_silent(void)
{
	struct pail *p = begin(16);
	struct fate slow = {0};
	struct fate lost = {0};
	struct fate next = {0};

	EQ(PAIL_OK, put(p, "slow", &slow, 20000));
	UNTIL(p, got_of(WIRE_PUT) == 1, 20000);
	EQ(PAIL_OK, put(p, "lost", &lost, 4800));
	UNTIL(p, lost.calls, 20000);
	EQ(PAIL_TIMEOUT, lost.status);
	EQ(PAIL_OK, ping(p, &next, 1000));
	UNTIL(p, got_of(WIRE_PING) == 1, 20000);
	answer(gots - 1);
	answer(1);
	UNTIL(p, next.calls && slow.calls, 20000);
	EQ(PAIL_OK, next.status);
	EQ(PAIL_OK, slow.status);
	end(&p);
}

/* ---- limits ---- */

static void what_can_never_fit_is_refused_at_once(void)
{
	static char value[5000];
	struct pail *p;
	struct fate f[64] = {{0}};
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT};
	unsigned first;

	node_begin();
	message_max = 4096;
	p = connection(256);
	q.bucket = pail_str("b");
	q.key = pail_str("k");
	q.value = (struct pail_bytes){value, 4096 - 33}; /* with its 33 bytes around it */
	EQ(PAIL_OK, pail_submit(p, &q, happen, &f[0]));
	UNTIL(p, got_of(WIRE_PUT) == 1, 20000);
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
	UNTIL(p, got_of(WIRE_PUT) == 64, 20000);
	EQ(4096, bytes_most);
	answer(1);
	for (unsigned i = first; i < gots; i++)
		answer(i);
	UNTIL(p, !pail_in_flight(p), 20000);
	EQ(0, f[63].status);
	/* The node may have another limit by now: refusing asks again. */
	message_max = 8192;
	q.value.size = 5000;
	EQ(PAIL_TOO_LARGE, pail_submit(p, &q, happen, &f[1]));
	UNTIL(p, pail_submit(p, &q, happen, &f[1]) == PAIL_OK, 20000);
	end(&p);
}

static void nonsense_is_refused(void)
{
	struct pail *p = begin(16);
	struct pail_request q = {.size = sizeof(q), .method = PAIL_WORKER};
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

UNIT_MAIN(T(a_backlog_leaves_in_frames_that_a_node_takes), T(a_backlog_is_bounded),
	  T(a_connection_that_cannot_be_made_is_tried_again), T(what_timed_out_is_not_run_later),
	  T(a_stream_into_silence_ends), T(a_node_that_is_slow_is_not_silent),
	  T(what_can_never_fit_is_refused_at_once), T(nonsense_is_refused))
