/*
 * A connection of libpail, and a node that is a ROUTER which the test itself reads and writes, step
 * by step, in the same thread: so each test says exactly what has come when.  Included by the test
 * programs of the connection.
 */
#ifndef PAIL_PLAYED_NODE_H
#define PAIL_PLAYED_NODE_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "include/pail.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "ipc/net/socket.h"
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

static struct socket_context *context;
static struct socket *server;
static char endpoint[SOCKET_ENDPOINT_MAX];
static struct got got[GOT_MAX];
static unsigned gots;
static unsigned messages;
static unsigned requests_most; /* of a message */
static uint64_t bytes_most;
static uint64_t message_max; /* what hello says; 0: nothing */

__attribute__((unused)) static void freed(void *data, void *arg)
{
	(void)arg;
	free(data);
}

__attribute__((unused)) static void send_to(const struct got *g, const char *data, size_t n)
{
	char *copy = malloc(n);

	memcpy(copy, data, n);
	(void)socket_send(server, (struct span){g->id, g->id_n}, false, copy, n, freed, NULL);
}

__attribute__((unused)) static char *reply(char *p, const struct got *g)
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

__attribute__((unused)) static void answer(unsigned i)
{
	char data[256];

	got[i].answered = true;
	send_to(&got[i], data, (size_t)(reply(data, &got[i]) - data));
}

__attribute__((unused)) static char *goaway(char *p)
{
	p = write_text(write_uint(write_array(p, 3), 2), "goaway");
	return write_text(write_array(p, 1), "test");
}

__attribute__((unused)) static void goaway_send(unsigned i)
{
	char data[64];

	send_to(&got[i], data, (size_t)(goaway(data) - data));
}

__attribute__((unused)) static void note_request(const struct socket_message *m,
						 const struct request *q)
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
__attribute__((unused)) static void node_take(void)
{
	struct socket_message *m;

	while (server && gots < GOT_MAX - 5000 && socket_receive(server, 1 << 28, &m) == 0) {
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

__attribute__((unused)) static unsigned got_of(int method)
{
	unsigned n = 0;

	for (unsigned i = 0; i < gots; i++)
		n += got[i].method == method;
	return n;
}

__attribute__((unused)) static void node_start(void)
{
	const struct socket_options o = {.linger_ms = 0};
	char bound[SOCKET_ENDPOINT_MAX];

	EQ(0, socket_bind(context, *endpoint ? endpoint : "tcp://127.0.0.1:*", &o, &server, bound));
	(void)snprintf(endpoint, sizeof(endpoint), "%s", bound);
}

/* ---- the client ---- */

struct opening {
	const struct pail_options *options;
	struct pail *p;
	_Atomic bool done;
	int status;
};

__attribute__((unused)) static void *open_it(void *arg)
{
	struct opening *o = arg;

	o->status = pail_open(endpoint, o->options, &o->p);
	o->done = true;
	return NULL;
}

__attribute__((unused)) static struct pail *connection(uint32_t batch)
{
	const struct pail_options options = {
		.size = sizeof(options), .connect_ms = 3000, .timeout_ms = 3000, .batch = batch};
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

__attribute__((unused)) static void node_begin(void)
{
	*endpoint = '\0';
	gots = 0;
	messages = 0;
	requests_most = 0;
	bytes_most = 0;
	message_max = 0;
	EQ(0, socket_context_new(&context));
	node_start();
}

__attribute__((unused)) static struct pail *begin(uint32_t batch)
{
	node_begin();
	return connection(batch);
}

__attribute__((unused)) static void end(struct pail **p)
{
	pail_close(p);
	socket_close(&server);
	socket_context_free(&context);
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

/* What says goaway has been sent, and nothing shows when it came: more than a loaded machine stands
 * still for. */
__attribute__((unused)) static void goaway_await(struct pail *p)
{
	for (uint64_t end_ms = clock_ms() + 1000; clock_ms() < end_ms;)
		(void)pail_wait(p, 20);
}

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

__attribute__((unused)) static int ping(struct pail *p, struct fate *f, uint32_t timeout_ms);

__attribute__((unused)) static void happen(void *arg, const struct pail_result *r)
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

__attribute__((unused)) static int ping(struct pail *p, struct fate *f, uint32_t timeout_ms)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PING, .timeout_ms = timeout_ms};

	return pail_submit(p, &q, happen, f);
}

__attribute__((unused)) static int put(struct pail *p, const char *key, struct fate *f,
				       uint32_t timeout_ms)
{
	struct pail_request q = {.size = sizeof(q), .method = PAIL_PUT, .timeout_ms = timeout_ms};

	q.bucket = pail_str("b");
	q.key = pail_str(key);
	q.value = pail_str("v");
	return pail_submit(p, &q, happen, f);
}

#endif
