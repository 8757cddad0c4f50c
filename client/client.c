/*
 * The connection: requests packed into frames, replies matched by msgid, deadlines, goaway.  Every
 * call is built on pail_submit.
 */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"

#define NONE            UINT32_MAX
#define FRAME_BYTES     (256u << 10) /* a frame with so much is sent, however few its requests */
#define FRAME_FIRST     (16u << 10)
#define CONNECT_MS      2000u
#define BATCH           256u
#define GRACE_MS        500u   /* beyond a request's own time, for its reply's way */
#define GOAWAY_MS       30000u /* for the replies still awaited */
#define REPLY_BYTES_MAX (UINT64_C(1) << 30)

_Static_assert(PAIL_INTERNAL == (int)WIRE_E_INTERNAL, "statuses are the wire's error codes");
_Static_assert(PAIL_UPGRADE == (int)WIRE_UPGRADE, "methods are the wire's");

int client_fail(struct pail *p, int status, const char *why)
{
	(void)snprintf(p->why, sizeof(p->why), "%s", why);
	return status;
}

const char *pail_why(const struct pail *p)
{
	return p->why;
}

/* ---- slots ---- */

static int slots_grow(struct pail *p)
{
	uint32_t n = p->slots ? 2 * p->slots : 256;
	struct slot_in *s;
	uint32_t *u;

	if (n > 1u << SLOTS_BITS)
		return client_fail(p, PAIL_BUSY, "a million requests are in flight: await some");
	s = realloc(p->slot, n * sizeof(*s));
	if (!s)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	p->slot = s;
	u = realloc(p->unsent, n * sizeof(*u));
	if (!u)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	p->unsent = u;
	for (uint32_t i = n; i-- > p->slots;) {
		memset(&s[i], 0, sizeof(s[i]));
		s[i].next_free = p->free_slot;
		p->free_slot = i;
	}
	p->slots = n;
	return PAIL_OK;
}

static uint64_t slot_msgid(const struct pail *p, uint32_t i)
{
	return (uint64_t)(p->slot[i].uses & 0xfff) << SLOTS_BITS | i;
}

static struct slot_in *slot_find(struct pail *p, uint64_t msgid)
{
	uint32_t i = (uint32_t)(msgid & ((1u << SLOTS_BITS) - 1));

	if (i >= p->slots || !p->slot[i].busy || slot_msgid(p, i) != msgid)
		return NULL;
	return &p->slot[i];
}

/* Free the slot, then tell its owner: the callback may submit again. */
static void slot_finish(struct pail *p, struct slot_in *s, const struct pail_result *r)
{
	pail_done *done = s->done;
	void *arg = s->arg;

	p->in_flight--;
	p->on_wire -= s->sent;
	s->busy = false;
	s->uses++;
	s->next_free = p->free_slot;
	p->free_slot = (uint32_t)(s - p->slot);
	done(arg, r);
}

static void slot_fail(struct pail *p, struct slot_in *s, int status, const char *text)
{
	struct pail_result r;

	memset(&r, 0, sizeof(r));
	r.status = status;
	r.text = text;
	slot_finish(p, s, &r);
}

/* ---- connecting ---- */

/* One ZeroMQ context, and so one I/O thread, for all connections of the process. */
static pthread_mutex_t context_lock = PTHREAD_MUTEX_INITIALIZER;
static struct link_context *context_shared;
static unsigned context_users;

static int context_take(struct link_context **ret)
{
	int r = 0;

	(void)pthread_mutex_lock(&context_lock);
	if (!context_users)
		r = link_context_new(&context_shared);
	if (r == 0) {
		context_users++;
		*ret = context_shared;
	}
	(void)pthread_mutex_unlock(&context_lock);
	return r;
}

static unsigned receive(struct pail *p);

static void context_drop(void)
{
	(void)pthread_mutex_lock(&context_lock);
	if (!--context_users)
		link_context_free(&context_shared);
	(void)pthread_mutex_unlock(&context_lock);
}

static int reconnect(struct pail *p)
{
	const struct link_options o = {.linger_ms = 0};
	int r;

	link_close(&p->link);
	r = link_connect(p->context, p->endpoint, &o, &p->link);
	p->goaway = false;
	/* What was on the old connection is answered no more. */
	for (uint32_t i = 0; i < p->slots; i++)
		if (p->slot[i].busy && p->slot[i].sent)
			slot_fail(p, &p->slot[i], PAIL_TIMEOUT,
				  "the node went away without a reply");
	return r;
}

/* How large a message may be: a larger one would end the connection without a word. */
static void limits_take(struct pail *p, const char *hello)
{
	const char *limits = hello ? strstr(hello, "\"limits\":{") : NULL;
	const char *message = limits ? strstr(limits, "\"message\":") : NULL;

	p->message_max = message ? strtoull(message + 10, NULL, 10) : 0;
}

int pail_open(const char *endpoint, const struct pail_options *options, struct pail **ret)
{
	static const struct pail_request hello = {.method = PAIL_HELLO};
	struct pail *p = calloc(1, sizeof(*p));
	struct pail_request q = hello;
	struct pail_result *result = NULL;
	int r;

	*ret = NULL;
	if (!p)
		return PAIL_NO_MEMORY;
	if (options)
		p->options = *options;
	if (!p->options.connect_ms)
		p->options.connect_ms = CONNECT_MS;
	if (!p->options.timeout_ms)
		p->options.timeout_ms = WIRE_TIMEOUT_MS;
	if (!p->options.batch || p->options.batch > WIRE_REQUESTS_MAX)
		p->options.batch = p->options.batch ? WIRE_REQUESTS_MAX : BATCH;
	p->free_slot = NONE;
	p->due_ms = UINT64_MAX;
	p->now_ms = clock_ms();
	(void)snprintf(p->endpoint, sizeof(p->endpoint), "%s", endpoint);
	r = context_take(&p->context);
	if (r < 0 || (r = reconnect(p)) < 0) {
		pail_close(&p);
		return r == -EINVAL || r == -EPROTONOSUPPORT || r == -ENODEV ? PAIL_BAD_ARGUMENT
		       : r == -ENOMEM                                        ? PAIL_NO_MEMORY
									     : PAIL_UNREACHABLE;
	}
	q.timeout_ms = p->options.connect_ms;
	r = pail_call(p, &q, &result);
	if (r == PAIL_OK)
		limits_take(p, result->json);
	pail_result_free(&result);
	if (r != PAIL_OK) {
		pail_close(&p);
		return r == PAIL_TIMEOUT ? PAIL_UNREACHABLE : r;
	}
	*ret = p;
	return PAIL_OK;
}

void pail_close(struct pail **pp)
{
	struct pail *p = *pp;

	if (!p)
		return;
	for (uint32_t i = 0; i < p->slots; i++)
		if (p->slot[i].busy)
			slot_fail(p, &p->slot[i], PAIL_CLOSED, "the connection was closed");
	link_close(&p->link);
	if (p->context)
		context_drop();
	free(p->frame);
	free(p->slot);
	free(p->unsent);
	free(p);
	*pp = NULL;
}

/* ---- sending ---- */

static void frame_done(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static int frame_send(struct pail *p)
{
	static const struct span none = {NULL, 0};
	char *frame = p->frame;
	size_t n = p->frame_len;
	int r;

	p->frame = NULL;
	p->frame_len = 0;
	p->frame_size = 0;
	r = link_send(p->link, none, false, frame, n, frame_done, NULL);
	for (uint32_t i = 0; i < p->frame_requests; i++) {
		struct slot_in *s = &p->slot[p->unsent[i]];

		s->sent = true;
		p->on_wire++;
	}
	p->frame_requests = 0;
	return r < 0 ? client_fail(p, PAIL_UNREACHABLE, strerror(-r)) : PAIL_OK;
}

/*
 * A node knows a connection, and can tell it to go away, only once something has come from it.  The
 * reply is nobody's.
 */
static void make_known(struct pail *p)
{
	const struct span none = {NULL, 0};
	char *ping = malloc(CODEC_HEAD_MAX + 32);

	if (ping)
		(void)link_send(p->link, none, false, ping,
				(size_t)(write_request_head(ping, UINT64_MAX, WIRE_PING, 0) - ping),
				frame_done, NULL);
}

/* Told to go away, and nothing is awaited any more (or for too long): connect again. */
static void goaway_obey(struct pail *p)
{
	if (!p->goaway || (p->on_wire && p->now_ms - p->goaway_ms <= GOAWAY_MS))
		return;
	if (reconnect(p) == 0)
		make_known(p);
	p->now_ms = clock_ms();
}

int pail_flush(struct pail *p)
{
	if (!p->frame_requests)
		return PAIL_OK;
	/* A connection that lay idle may have been told to go away since. */
	if (!p->on_wire) {
		(void)receive(p);
		goaway_obey(p);
	}
	return p->goaway || !p->frame_requests ? PAIL_OK : frame_send(p);
}

static int frame_room(struct pail *p, size_t n)
{
	size_t size = p->frame_size ? p->frame_size : FRAME_FIRST;
	char *f;

	if (p->frame_len + n <= p->frame_size)
		return PAIL_OK;
	while (size < p->frame_len + n)
		size *= 2;
	f = realloc(p->frame, size);
	if (!f)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	p->frame = f;
	p->frame_size = size;
	return PAIL_OK;
}

static int too_large(struct pail *p, size_t n)
{
	(void)snprintf(p->why, sizeof(p->why),
		       "the request has %zu bytes, the node's limit for a message is %llu", n,
		       (unsigned long long)p->message_max);
	return PAIL_TOO_LARGE;
}

int pail_submit(struct pail *p, const struct pail_request *q, pail_done *done, void *arg)
{
	uint32_t timeout_ms = q->timeout_ms ? q->timeout_ms : p->options.timeout_ms;
	size_t n = request_size(q);
	struct slot_in *s;
	uint32_t i;
	int r;

	if (n > UINT32_MAX / 2)
		return client_fail(p, PAIL_TOO_LARGE, "the request is larger than any node takes");
	if (p->message_max && n > p->message_max)
		return too_large(p, n);
	if ((unsigned)q->method >= WIRE_METHOD_COUNT)
		return client_fail(p, PAIL_UNKNOWN_METHOD, "there is no such method");
	if (p->frame_requests &&
	    (p->frame_requests >= p->options.batch || p->frame_len + n > FRAME_BYTES)) {
		r = pail_flush(p);
		if (r != PAIL_OK)
			return r;
	}
	r = frame_room(p, n);
	if (r == PAIL_OK && p->free_slot == NONE)
		r = slots_grow(p);
	if (r != PAIL_OK)
		return r;
	i = p->free_slot;
	s = &p->slot[i];
	p->free_slot = s->next_free;
	if (!p->in_flight)
		p->now_ms = clock_ms();
	s->done = done;
	s->arg = arg;
	s->method = (uint8_t)q->method;
	s->busy = true;
	s->sent = false;
	s->deadline_ms = p->now_ms + timeout_ms + (timeout_ms < GRACE_MS ? timeout_ms : GRACE_MS);
	if (s->deadline_ms < p->due_ms)
		p->due_ms = s->deadline_ms;
	p->frame_len =
		(size_t)(request_write(p->frame + p->frame_len, slot_msgid(p, i), q, timeout_ms) -
			 p->frame);
	p->unsent[p->frame_requests++] = i;
	p->in_flight++;
	return PAIL_OK;
}

/* ---- receiving ---- */

static unsigned frame_take(struct pail *p, struct span f, struct buf *items, struct buf *json)
{
	const char *at = f.p;
	const char *end = f.p + f.n;
	unsigned n = 0;

	while (at < end) {
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
		s = r.msgid_known ? slot_find(p, r.msgid) : NULL;
		if (!s)
			continue; /* came after its deadline */
		n++;
		if (result_read(s->method, &r, &result, items, json))
			slot_finish(p, s, &result);
		else
			slot_fail(p, s, PAIL_PROTOCOL, "the node sent a reply of another shape");
	}
	return n;
}

static unsigned receive(struct pail *p)
{
	struct link_message *m;
	struct buf items;
	struct buf json;
	unsigned n = 0;

	buf_init(&items);
	buf_init(&json);
	while (link_receive(p->link, REPLY_BYTES_MAX, &m) == 0)
		for (uint32_t i = 0; i < m->frames; i++)
			n += frame_take(p, m->frame[i], &items, &json);
	buf_fini(&items);
	buf_fini(&json);
	return n;
}

/* Requests whose time is over. */
static unsigned deadlines(struct pail *p)
{
	uint64_t next = UINT64_MAX;
	unsigned n = 0;

	if (p->now_ms < p->due_ms)
		return 0;
	p->due_ms = UINT64_MAX;
	for (uint32_t i = 0; i < p->slots; i++) {
		struct slot_in *s = &p->slot[i];

		if (!s->busy || !s->sent)
			continue;
		if (s->deadline_ms <= p->now_ms) {
			n++;
			slot_fail(p, s, PAIL_TIMEOUT,
				  "no reply in time: it may or may not have taken effect");
		} else if (s->deadline_ms < next) {
			next = s->deadline_ms;
		}
	}
	if (next < p->due_ms)
		p->due_ms = next;
	return n;
}

unsigned pail_dispatch(struct pail *p)
{
	unsigned n;

	p->now_ms = clock_ms();
	(void)pail_flush(p);
	n = receive(p);
	goaway_obey(p);
	(void)pail_flush(p); /* what callbacks sent */
	return n + deadlines(p);
}

int pail_fd(const struct pail *p)
{
	return link_fd(p->link);
}

int pail_next_ms(const struct pail *p)
{
	uint64_t now = clock_ms();

	if (p->due_ms == UINT64_MAX)
		return -1;
	return p->due_ms <= now ? 0 : (int)(p->due_ms - now < 60000 ? p->due_ms - now : 60000);
}

size_t pail_in_flight(const struct pail *p)
{
	return p->in_flight;
}

unsigned pail_wait(struct pail *p, int ms)
{
	struct pollfd f = {link_fd(p->link), POLLIN, 0};
	unsigned n = pail_dispatch(p);
	int next = pail_next_ms(p);

	if (n || !ms)
		return n;
	if (next >= 0 && (ms < 0 || next < ms))
		ms = next;
	f.fd = link_fd(p->link); /* dispatch may have connected anew */
	if (!link_ready(p->link, NULL))
		(void)poll(&f, 1, ms);
	return pail_dispatch(p);
}
