/*
 * Nodes that keep outcomes of sessions, as the wire contract says, and lose, refuse, double and
 * close what the test tells them to.  They share one store, so that whichever is asked knows what
 * was done: how often each request has really run is what the tests are about.  A thread serves
 * them all.
 */
#ifndef PAIL_FAKE_NODES_H
#define PAIL_FAKE_NODES_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "include/pail.h"
#include "ipc/net/curve.h"
#include "ipc/net/socket.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

#define NODES_MAX 3
#define SEEN_MAX  60000u
#define SEQ_MAX   20000u

/* What becomes of a request that is neither hello nor session. */
enum act {
	RUN,         /* run it, answer */
	LOSE,        /* run it, say nothing */
	SWALLOW,     /* neither */
	TWICE,       /* run it, answer twice */
	CLOSE,       /* neither, and close all connections */
	RUN_CLOSE,   /* run it, say nothing, and close all connections */
	AWAY,        /* run it, answer, and say goaway */
	REFUSE = 100 /* and a wire error: refuse it with that */
};

struct seen {
	int node;
	int method;
	bool has_session;
	char session; /* its first byte: the first is 1 */
	uint64_t seq;
	uint64_t ack;
	uint64_t timeout_ms;
	uint64_t at_ms;
	char bucket[8];
	char key[24];
};

static struct socket_context *fake_context;
static struct fake {
	struct socket *socket;
	char endpoint[SOCKET_ENDPOINT_MAX];
	_Atomic bool silent;                    /* takes nothing, says nothing */
	_Atomic bool down;                      /* to be closed */
	_Atomic bool back;                      /* and to be there again at once */
	_Atomic int always;                     /* what becomes of all that has no plan */
	_Atomic bool plain;                     /* it knows no sessions */
	const struct socket_keys *_Atomic keys; /* NULL: none; taken when it comes up */
	int plan[64];                           /* what becomes of the next ones */
	unsigned plans, done;
} fake[NODES_MAX];
static int fakes;
static pthread_t fake_thread;
static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool fake_stop;
static _Atomic bool stuck; /* what has that key is swallowed */

/* Who is let in where nodes have keys. */
static struct door *fake_door;
static char fake_known[KEY_TEXT + 1];

/* The store: what was run under which number, and how often anything ran. */
static struct seen seen[SEEN_MAX];
static unsigned seens;
static uint64_t versions[8][SEQ_MAX]; /* by session and number; 0: not run */
static unsigned runs;                 /* of requests that write */
static uint64_t sessions;             /* given out */
static uint64_t known_from;           /* sessions below are not known */

static void fake_freed(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static char *fake_run(char *p, const struct request *q, const struct seen *s)
{
	uint64_t once = 0;
	uint64_t *version = &once;

	if (q->method == WIRE_GET)
		return write_value_reply(p, q->msgid, (struct span){"v", 1}, 3);
	if (q->method == WIRE_PING)
		return write_text(write_reply_head(p, q->msgid), "pong");
	if (q->method == WIRE_ACK)
		return write_bool(write_reply_head(p, q->msgid), true);
	if (s->has_session)
		version = &versions[s->session & 7][s->seq % SEQ_MAX];
	if (!*version)
		*version = ++runs;
	return write_uint(write_reply_head(p, q->msgid), *version);
}

static char *fake_hello(char *p, const struct fake *n, uint64_t msgid)
{
	p = write_map(write_reply_head(p, msgid), 1);
	p = write_array(write_text(p, "features"), n->plain ? 1 : 2);
	p = write_text(p, "ttl");
	return n->plain ? p : write_text(p, "sessions");
}

static struct seen *fake_see(const struct fake *n, const struct request *q)
{
	struct seen *s = &seen[seens++];
	struct options o = {0};
	struct span key = {"", 0};
	char why[200];

	memset(s, 0, sizeof(*s));
	s->node = (int)(n - fake);
	s->method = q->method;
	s->at_ms = clock_ms();
	(void)request_check(q, &o, why, sizeof(why));
	s->timeout_ms = o.timeout_ms;
	s->has_session = (o.given & OPT_ONCE) != 0;
	if (s->has_session) {
		s->session = o.session.p[0];
		s->seq = o.seq;
		s->ack = o.ack;
	}
	if (q->method == WIRE_ACK) {
		const char *p = q->param[1];

		s->session = read_bytes(&p).p[0];
		s->ack = read_uint(&p);
	} else {
		(void)request_bytes(q, 1, &key);
	}
	if (q->bucket.p)
		memcpy(s->bucket, q->bucket.p, q->bucket.n < 7 ? q->bucket.n : 7);
	memcpy(s->key, key.p, key.n < 23 ? key.n : 23);
	return s;
}

/* The reply to one, or nothing of it. */
static char *fake_take(struct fake *n, char *p, const struct request *q, bool *away)
{
	char id[WIRE_SESSION_BYTES] = {0};
	const struct seen *s;
	char *begin = p;
	int act;

	if (q->method == WIRE_HELLO)
		return fake_hello(p, n, q->msgid);
	s = fake_see(n, q);
	if (q->method == WIRE_SESSION && !n->plain) {
		id[0] = (char)++sessions;
		return write_bin(write_reply_head(p, q->msgid), id, sizeof(id));
	}
	act = q->method == WIRE_ACK ? RUN : n->done < n->plans ? n->plan[n->done++] : n->always;
	if (stuck && !strcmp(s->key, "stuck"))
		act = SWALLOW;
	if (act >= REFUSE)
		return write_error(p, q->msgid, true, (enum wire_error)(act - REFUSE), "refused");
	if (s->has_session && (uint64_t)s->session < known_from)
		return write_error(p, q->msgid, true, WIRE_E_NO_SESSION, "not known");
	n->down = n->down || act == CLOSE || act == RUN_CLOSE;
	*away |= act == AWAY;
	if (act == SWALLOW || act == CLOSE)
		return p;
	p = fake_run(p, q, s);
	if (act == TWICE) {
		memcpy(p, begin, (size_t)(p - begin));
		p += p - begin;
	}
	return act == LOSE || act == RUN_CLOSE ? begin : p;
}

static bool fake_serve(struct fake *n)
{
	struct socket_message *m;
	bool away = false;
	static char out[1 << 20];
	char *p;

	if (n->silent || socket_receive(n->socket, 1 << 28, &m) < 0)
		return false;
	p = out;
	for (uint32_t i = 0; i < m->frames; i++)
		for (const char *at = m->frame[i].p; at < m->frame[i].p + m->frame[i].n;) {
			struct request q;
			const char *why;

			if (seens + 2 >= SEEN_MAX ||
			    request_walk(at, m->frame[i].p + m->frame[i].n, &q, &why) < 0)
				break;
			p = fake_take(n, p, &q, &away);
			at = q.end;
		}
	if (away)
		p = write_text(
			write_array(write_text(write_uint(write_array(p, 3), 2), "goaway"), 1),
			"test");
	if (p != out) {
		char *copy = malloc((size_t)(p - out));

		memcpy(copy, out, (size_t)(p - out));
		(void)socket_send(n->socket, m->id, m->delimiter, copy, (size_t)(p - out),
				  fake_freed, NULL);
	}
	return true;
}

static void fake_bind(struct fake *n)
{
	const struct socket_options o = {.linger_ms = 100, .keys = n->keys};
	char bound[SOCKET_ENDPOINT_MAX];

	if (socket_bind(fake_context, *n->endpoint ? n->endpoint : "tcp://127.0.0.1:*", &o,
			&n->socket, bound) == 0)
		memcpy(n->endpoint, bound, sizeof(bound));
}

static bool fake_allows(void *arg, const char *domain, const char *key)
{
	(void)arg;
	return !strcmp(domain, "clients") && !strcmp(key, fake_known);
}

static void *fake_loop(void *arg)
{
	(void)arg;
	while (!fake_stop) {
		bool any = false;

		(void)pthread_mutex_lock(&fake_lock);
		if (fake_door)
			any |= door_answer(fake_door, 100) > 0;
		for (int i = 0; i < fakes; i++) {
			struct fake *n = &fake[i];

			if (n->socket)
				any |= fake_serve(n);
			if (n->down && n->socket)
				socket_close(&n->socket), n->down = n->down && !n->back;
			else if (!n->down && !n->socket)
				fake_bind(n);
		}
		(void)pthread_mutex_unlock(&fake_lock);
		if (!any)
			(void)usleep(200);
	}
	return NULL;
}

/* ---- for tests ---- */

/* Each with those keys, which let in who is fake_known; NULL: without. */
static void fakes_begin_with(int n, const struct socket_keys *keys)
{
	memset(fake, 0, sizeof(fake));
	seens = runs = 0;
	memset(versions, 0, sizeof(versions));
	sessions = known_from = 0;
	fakes = n;
	fake_stop = false;
	EQ(0, socket_context_new(&fake_context));
	if (keys)
		EQ(0, door_open(fake_context, fake_allows, NULL, &fake_door));
	for (int i = 0; i < n; i++) {
		fake[i].keys = keys;
		fake_bind(&fake[i]);
		TRUE_(fake[i].socket);
	}
	EQ(0, pthread_create(&fake_thread, NULL, fake_loop, NULL));
}

__attribute__((unused)) static void fakes_begin(int n)
{
	fakes_begin_with(n, NULL);
}

static void fakes_end(void)
{
	fake_stop = true;
	EQ(0, pthread_join(fake_thread, NULL));
	for (int i = 0; i < fakes; i++)
		if (fake[i].socket)
			socket_close(&fake[i].socket);
	door_close(&fake_door);
	socket_context_free(&fake_context);
}

__attribute__((unused)) static void plan(int node, int act)
{
	(void)pthread_mutex_lock(&fake_lock);
	fake[node].plan[fake[node].plans++] = act;
	(void)pthread_mutex_unlock(&fake_lock);
}

/* How many requests of that method came, and the i-th of them. */
__attribute__((unused)) static unsigned seen_of(int method)
{
	unsigned n = 0;

	(void)pthread_mutex_lock(&fake_lock);
	for (unsigned i = 0; i < seens; i++)
		n += seen[i].method == method;
	(void)pthread_mutex_unlock(&fake_lock);
	return n;
}

__attribute__((unused)) static struct seen nth(int method, unsigned k)
{
	struct seen s = {.node = -1};

	(void)pthread_mutex_lock(&fake_lock);
	for (unsigned i = 0; i < seens; i++)
		if (seen[i].method == method && !k--) {
			s = seen[i];
			break;
		}
	(void)pthread_mutex_unlock(&fake_lock);
	return s;
}

/* A client of the first n, or of that list. */
__attribute__((unused)) static struct pail *client(int n, uint32_t timeout_ms, uint32_t retry)
{
	const struct pail_options o = {.size = sizeof(o),
				       .connect_ms = 3000,
				       .timeout_ms = timeout_ms,
				       .batch = 16,
				       .retry = retry};
	char list[NODES_MAX * SOCKET_ENDPOINT_MAX] = "";
	struct pail *p = NULL;

	for (int i = 0; i < n; i++) {
		(void)strcat(list, i ? "," : "");
		(void)strcat(list, fake[i].endpoint);
	}
	EQ(PAIL_OK, pail_open(list, &o, &p));
	return p;
}

#endif
