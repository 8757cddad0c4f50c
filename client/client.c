/*
 * The connection: closing, sending, receiving, goaway.  Every call is built on pail_submit.
 *
 * Callbacks may submit, give up futures and close the connection.  So nothing that is being read or
 * walked is freed while one runs: p->inside counts the calls that are under way; within a callback
 * nothing is received, and what was closed goes when the outermost call ends.
 */
#include "client/client.h"
#include "client/failover.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

#define GRACE_MS        500u        /* beyond a request's own time, for its reply's way */
#define GOAWAY_MS       30000u      /* for the replies still awaited */
#define PROVE_MS        20u         /* between looks how a handshake fares */
#define OUTBOX_MAX      (64u << 20) /* bytes that wait to be sent; one request may be larger */
#define SPARE_BYTES     512u        /* at most, of request_size beyond what is written */
#define REPLY_BYTES_MAX (UINT64_C(1) << 30)

_Static_assert(PAIL_INTERNAL == (int)WIRE_E_INTERNAL && PAIL_TOO_FEW == (int)WIRE_E_TOO_FEW,
	       "statuses are the wire's error codes");
#define X(id, ...) _Static_assert(PAIL_##id == (int)WIRE_##id, "methods are the wire's");
WIRE_METHODS(X)
#undef X

int client_fail(struct pail *p, int status, const char *why)
{
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
	return status;
}

const char *pail_why(const struct pail *p)
{
	return p->why;
}

/* ---- the context ---- */

/* One ZeroMQ context, and so one I/O thread, for all connections of the process. */
static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;
static struct socket_context *context_shared;
static unsigned context_users;

int context_take(struct socket_context **ret)
{
	int r = 0;

	(void)pthread_mutex_lock(&context_lock);
	if (!context_users)
		r = socket_context_new(&context_shared);
	if (r == 0) {
		context_users++;
		*ret = context_shared;
	}
	(void)pthread_mutex_unlock(&context_lock);
	return r;
}

static void context_drop(void)
{
	(void)pthread_mutex_lock(&context_lock);
	if (!--context_users)
		socket_context_free(&context_shared);
	(void)pthread_mutex_unlock(&context_lock);
}

/*
 * Connect again: told to go away, with nothing awaited any more (or for too long), or nothing has
 * come for long although a request was waited for in vain.  What ZeroMQ still holds of those that
 * timed out is dropped with the connection: it must not be run when the node comes back.
 */
static void connection_renew(struct pail *p)
{
	bool leave = p->goaway && (!p->on_wire || p->now_ms - p->goaway_ms > GOAWAY_MS);
	bool silent = !p->on_wire && is_silent(p);
	bool failed = p->proving && p->end != SOCKET_NOTHING;

	if (!p->closed && !p->is_link && (leave || silent || failed) && p->now_ms >= p->retry_ms)
		(void)reconnect(p);
}

/* ---- calls that callbacks run within, and the end ---- */

void client_release(struct pail *p)
{
	if (p->closed && !p->inside && !p->holds)
		free(p);
}

static void enter(struct pail *p)
{
	p->inside++;
}

static void leave(struct pail *p)
{
	if (--p->inside || !p->closed)
		return;
	failover_free(&p->failover);
	socket_close(&p->link);
	if (p->context)
		context_drop();
	p->context = NULL;
	if (p->key && !p->is_link) {
		key_file_forget(p->key);
		free(p->key);
	}
	p->key = NULL;
	free(p->out.data);
	p->out.data = NULL;
	free(p->slot);
	p->slot = NULL;
	p->slots = 0;
	client_release(p);
}

void pail_close(struct pail **pp)
{
	struct pail *p = *pp;

	if (!p)
		return;
	*pp = NULL;
	if (p->closed)
		return;
	p->closed = true;
	enter(p);
	if (p->is_link)
		outbox_return(p);
	p->out.count = 0;
	slots_abandon(p, true, PAIL_CLOSED, "the connection was closed");
	if (p->failover)
		failover_abandon(p->failover);
	leave(p);
}

/* ---- sending ---- */

static unsigned receive(struct pail *p);

static int flush(struct pail *p)
{
	if (p->failover)
		return failover_flush(p->failover);
	if (!p->out.count || p->closed)
		return PAIL_OK;
	/* A connection that lay idle may have been told to go away since. */
	if (!p->is_link && !p->on_wire && p->inside == 1) {
		p->now_ms = clock_ms();
		(void)receive(p);
		connection_renew(p);
	}
	return outbox_send(p);
}

int pail_flush(struct pail *p)
{
	int r;

	enter(p);
	r = flush(p);
	leave(p);
	return r;
}

/* Nothing is sent twice, so what can never be taken is refused before it is sent at all. */
int submit_refuse(struct pail *p, const struct pail_request *q, size_t *ret_n)
{
	const char *why = NULL;
	int r = request_refuse(q, &why);

	if (p->closed)
		return client_fail(p, PAIL_CLOSED, "the connection was closed");
	if (r != PAIL_OK)
		return client_fail(p, r, why);
	*ret_n = request_size(q);
	return *ret_n > p->message_max + SPARE_BYTES ? outbox_too_large(p, *ret_n) : PAIL_OK;
}

const struct pail_request *request_take(const struct pail_request *q, struct pail_request *ours)
{
	if (q->size == sizeof(*q))
		return q;
	(void)struct_take(ours, sizeof(*ours), q); /* if not: refused by its size, 0 */
	return ours;
}

uint32_t grace_ms(uint32_t timeout_ms)
{
	return timeout_ms < GRACE_MS ? timeout_ms : GRACE_MS;
}

int client_send(struct pail *p, const struct sending *q, size_t n, pail_done *done, void *arg)
{
	struct slot_in *s;
	uint32_t i;
	int r = PAIL_OK;

	if (p->out.count &&
	    (p->out.count >= p->options.batch || outbox_bytes(p) + n > outbox_frame_max(p)))
		r = flush(p);
	if (r != PAIL_OK)
		return r;
	if (p->out.count && outbox_bytes(p) + n > OUTBOX_MAX)
		return client_fail(p, PAIL_BUSY,
				   "64 MiB wait to be sent: the node is going away or silent");
	i = slot_take(p, &r);
	if (i == NONE)
		return r;
	s = &p->slot[i];
	r = outbox_add(p, i, q, n);
	if (r != PAIL_OK) {
		s->next = p->free_slot;
		p->free_slot = i;
		return r;
	}
	s->done = done;
	s->arg = arg;
	s->method = q->method;
	s->busy = true;
	s->deadline_ms = clock_ms() + q->timeout_ms + grace_ms(q->timeout_ms);
	if (s->deadline_ms < p->due_ms)
		p->due_ms = s->deadline_ms;
	p->in_flight++;
	return PAIL_OK;
}

static int submit(struct pail *p, const struct pail_request *q, pail_done *done, void *arg)
{
	struct sending x = {.q = q, .method = (uint8_t)q->method};
	size_t n;
	int r = submit_refuse(p, q, &n);

	if (r != PAIL_OK)
		return r;
	x.timeout_ms = q->timeout_ms ? q->timeout_ms : p->options.timeout_ms;
	return p->failover ? failover_submit(p->failover, q, x.timeout_ms, done, arg)
			   : client_send(p, &x, n, done, arg);
}

int pail_submit(struct pail *p, const struct pail_request *q, pail_done *done, void *arg)
{
	struct pail_request ours;
	int r;

	enter(p);
	r = submit(p, request_take(q, &ours), done, arg);
	leave(p);
	return r;
}

/* ---- receiving ---- */

/* The reply to a note: the largest message, from `hello`. */
static void note_take(struct pail *p, const struct reply *r)
{
	uint64_t max;

	p->noted = false;
	if (r->code.p)
		return;
	max = hello_message_max(r->result);
	if (max)
		p->message_max = max;
	p->has_sessions = hello_has_feature(r->result, "sessions");
	p->ready = true;
}

static unsigned frame_take(struct pail *p, struct span f, struct buf *items, struct buf *json)
{
	const char *at = f.p;
	const char *end = f.p + f.n;
	unsigned n = 0;

	while (at < end && !p->closed) {
		struct reply r;
		struct pail_result result;
		struct slot_in *s;

		if (reply_walk(at, end, &r) < 0)
			return n; /* no reply: those it may have held run into their deadlines */
		at = r.end;
		if (r.notification) {
			if (span_equal(r.method, span_of("goaway")) && !p->goaway) {
				p->goaway = true;
				p->goaway_ms = p->now_ms;
			}
			continue;
		}
		if (!r.msgid_known)
			continue;
		if (r.msgid == NOTE_MSGID)
			note_take(p, &r);
		s = slot_find(p, r.msgid);
		if (!s)
			continue; /* came after its deadline */
		n++;
		if (s->method == WIRE_HELLO)
			note_take(p, &r);
		if (result_read(s->method, &r, &result, items, json))
			slot_finish(p, s, &result);
		else
			slot_fail(p, s, PAIL_PROTOCOL, "the node sent a reply of another shape");
	}
	return n;
}

/* All that has come.  Not within a callback: what it was given is still being read. */
static unsigned receive(struct pail *p)
{
	struct socket_message *m;
	struct buf items;
	struct buf json;
	unsigned n = 0;

	buf_init(&items);
	buf_init(&json);
	while (!p->closed && socket_receive(p->link, REPLY_BYTES_MAX, &m) == 0) {
		p->unheard = 0;
		p->lost = false;
		p->heard_ms = p->now_ms;
		for (uint32_t i = 0; i < m->frames; i++)
			n += frame_take(p, m->frame[i], &items, &json);
	}
	buf_fini(&items);
	buf_fini(&json);
	return n;
}

/* What has become of a link's connection; it says hello as soon as it can. */
static void link_events(struct pail *p)
{
	bool writable = false;

	for (enum socket_event e; (e = socket_event(p->link)) != SOCKET_NOTHING;) {
		p->open = e == SOCKET_OPEN;
		p->gone |= e != SOCKET_OPEN;
		if (e != SOCKET_OPEN && e != SOCKET_CLOSED)
			p->end = e;
	}
	/* The socket may learn a moment later than we do that it is connected. */
	if (!p->open || p->ready || p->noted)
		return;
	(void)socket_ready(p->link, &writable);
	if (writable)
		note_send(p);
}

/*
 * Receive before sending: a goaway may be among it.  What is sent may swallow the signal that
 * something has come, so whoever has sent looks again.
 */
static unsigned dispatch(struct pail *p)
{
	unsigned n = 0;

	if (p->failover)
		return failover_dispatch(p->failover);
	p->now_ms = clock_ms();
	do {
		n += receive(p);
		if (p->is_link && !p->closed)
			link_events(p);
		if (p->proving && !p->closed)
			prove(p);
		n += slots_expire(p);
		connection_renew(p);
		if (!p->closed)
			(void)outbox_send(p);
	} while (!n && !p->closed && socket_maybe_readable(p->link));
	return n;
}

unsigned pail_dispatch(struct pail *p)
{
	unsigned n;

	if (p->inside || p->closed)
		return 0;
	enter(p);
	n = dispatch(p);
	leave(p);
	return n;
}

int pail_fd(const struct pail *p)
{
	return p->failover ? failover_fd(p->failover) : socket_fd(p->link);
}

/* When something is to be done if nothing comes. */
static uint64_t wake_ms(const struct pail *p)
{
	uint64_t wake = p->due_ms;
	uint64_t renew = UINT64_MAX;

	if (p->is_link)
		return wake;              /* its end is seen to by links.c */
	if (p->proving && p->in_flight) { /* pail_fd does not tell of handshakes */
		uint64_t look = clock_ms() + PROVE_MS;

		wake = look < wake ? look : wake;
	}
	if (p->goaway)
		renew = p->on_wire ? p->goaway_ms + GOAWAY_MS + 1 : 0;
	else if (p->lost && !p->on_wire)
		renew = p->unheard_ms + SILENT_MS;
	if (renew < p->retry_ms)
		renew = p->retry_ms;
	return renew < wake ? renew : wake;
}

int pail_next_ms(const struct pail *p)
{
	uint64_t now = clock_ms();
	uint64_t wake = p->failover ? failover_wake_ms(p->failover) : wake_ms(p);

	if (!p->failover && socket_maybe_readable(p->link) && socket_ready(p->link, NULL))
		return 0;
	if (wake == UINT64_MAX)
		return -1;
	return wake <= now ? 0 : (int)(wake - now < 60000 ? wake - now : 60000);
}

size_t pail_in_flight(const struct pail *p)
{
	return p->in_flight;
}

unsigned pail_wait(struct pail *p, int ms)
{
	struct pollfd f = {-1, POLLIN, 0};
	unsigned n;
	int next;

	if (p->inside || p->closed)
		return 0;
	enter(p);
	n = dispatch(p);
	if (!n && ms && !p->closed) {
		next = pail_next_ms(p);
		if (next >= 0 && (ms < 0 || next < ms))
			ms = next;
		f.fd = pail_fd(p);
		if (ms)
			(void)poll(&f, 1, ms);
		n = dispatch(p);
	}
	leave(p);
	return n;
}
