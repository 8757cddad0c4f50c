/* Connections, what is on its way in them, and the sockets at their ends. */
#include "tests/sim/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "ipc/net/socket_impl.h"
#include "tests/sim/system.h"
#include "tests/sim/world.h"

#define CONNS_MAX    16384u
#define SYN_AGAIN    (200 * WORLD_MS) /* between attempts to connect through a cut */
#define KERNEL_HAS   4u               /* messages beside those that ZeroMQ may hold for a dealer */
#define SLOW_US      (5 * WORLD_MS)
#define ENVELOPE_MAX 64u /* bytes */

enum flight_kind { FLIGHT_DATA, FLIGHT_END };
enum end { DEALER, ROUTER };

struct flight {
	struct flight *next;
	enum flight_kind kind;
	uint64_t at_us;
	uint32_t conn;
	void *sent; /* the sender's memory and whom to tell that it is free; NULL: told */
	void (*done)(void *data, void *arg);
	void *arg;
	bool delimiter;
	uint32_t envelopes;
	uint8_t envelope_size[SOCKET_ENVELOPE_MAX];
	char envelope[ENVELOPE_MAX];
	size_t n;
	char data[];
};

struct queue_of {
	struct flight *first;
	struct flight *last;
	uint32_t count;
};

/* One direction of a connection. */
struct lane {
	uint32_t conn;
	enum end to;
	struct queue_of flights;
};

struct conn {
	struct socket *end[2]; /* NULL: closed there, or its end is known there */
	uint32_t host[2];
	bool open;
	struct lane lane[2]; /* by the end that it leads to */
	char endpoint[64];
};

struct socket {
	struct socket *next; /* of all routers */
	struct socket_context *context;
	bool router;
	bool listens;
	char endpoint[64]; /* a router's */
	uint32_t conn;     /* a dealer's */
	uint32_t send_queue;
	unsigned linger_ms;
	bool open, open_told, closed, closed_told;
	struct queue_of inbox;
	struct flight *taken;
	struct socket_message message;
	int fd, event_fd;
};

static struct {
	struct conn *conn[CONNS_MAX];
	uint32_t conns;
	struct socket *routers;
	bool cut[NET_HOSTS_MAX][NET_HOSTS_MAX];
	uint64_t least_us[NET_HOSTS_MAX][NET_HOSTS_MAX];
	uint64_t most_us[NET_HOSTS_MAX][NET_HOSTS_MAX];
	bool down[NET_HOSTS_MAX];
} net;

/* ---- flights ---- */

static void push(struct queue_of *q, struct flight *f)
{
	f->next = NULL;
	*(q->last ? &q->last->next : &q->first) = f;
	q->last = f;
	q->count++;
}

static struct flight *take(struct queue_of *q)
{
	struct flight *f = q->first;

	if (!f)
		return NULL;
	q->first = f->next;
	if (!q->first)
		q->last = NULL;
	q->count--;
	return f;
}

static void settle(struct flight *f)
{
	if (f->sent)
		f->done(f->sent, f->arg);
	f->sent = NULL;
}

static void drop(struct queue_of *q)
{
	struct flight *f;

	while ((f = take(q))) {
		settle(f);
		free(f);
	}
}

static uint64_t arrival(const struct conn *c, enum end to)
{
	uint32_t a = c->host[!to];
	uint32_t b = c->host[to];

	return world.now_us + world_between(net.least_us[a][b], net.most_us[a][b]);
}

static void lane_run(void *arg);

static void fly(struct conn *c, enum end to, struct flight *f)
{
	struct lane *l = &c->lane[to];

	f->conn = l->conn;
	f->at_us = arrival(c, to);
	if (l->flights.last && l->flights.last->at_us > f->at_us)
		f->at_us = l->flights.last->at_us; /* a connection keeps the order */
	push(&l->flights, f);
	world_at(f->at_us, lane_run, l);
}

static void fly_end(struct conn *c, enum end to)
{
	struct flight *f = calloc(1, sizeof(*f));

	check(f);
	f->kind = FLIGHT_END;
	fly(c, to, f);
}

/* The end `to` learns that the connection is no more. */
static void ended(struct conn *c, enum end to)
{
	struct socket *s = c->end[to];

	c->end[to] = NULL;
	if (!s)
		return;
	if (!s->router) {
		s->closed = true;
		s->context->wake(s->context->arg);
	}
}

static void arrive(struct conn *c, enum end to, struct flight *f)
{
	struct socket *s = c->end[to];

	settle(f);
	if (f->kind == FLIGHT_END) {
		free(f);
		ended(c, to);
	} else if (!s) {
		free(f);
		if (!net.down[c->host[to]] && c->end[!to])
			fly_end(c, !to); /* nobody knows it there: a reset comes back */
	} else {
		push(&s->inbox, f);
		s->context->wake(s->context->arg);
	}
}

static void lane_run(void *arg)
{
	struct lane *l = arg;
	struct conn *c = net.conn[l->conn];

	while (l->flights.first && l->flights.first->at_us <= world.now_us) {
		if (net.cut[c->host[!l->to]][c->host[l->to]])
			return; /* it stays until the cut is healed */
		arrive(c, l->to, take(&l->flights));
	}
}

/* ---- what happens to links ---- */

void net_open(void)
{
	memset(&net, 0, sizeof(net));
	for (uint32_t a = 0; a < NET_HOSTS_MAX; a++)
		for (uint32_t b = 0; b < NET_HOSTS_MAX; b++)
			net_delay(a, b, 20, 200);
}

void net_close(void)
{
	for (uint32_t i = 1; i <= net.conns; i++) {
		drop(&net.conn[i]->lane[0].flights);
		drop(&net.conn[i]->lane[1].flights);
		free(net.conn[i]);
	}
	net.conns = 0;
}

void net_delay(uint32_t from, uint32_t to, uint64_t least_us, uint64_t most_us)
{
	net.least_us[from][to] = least_us;
	net.most_us[from][to] = most_us;
}

bool net_is_cut(uint32_t from, uint32_t to)
{
	return net.cut[from][to];
}

bool net_is_slow(uint32_t from, uint32_t to)
{
	return net.most_us[from][to] >= SLOW_US;
}

/* What was held up is sent again, and comes in its order. */
static void lane_heal(struct conn *c, enum end to)
{
	struct lane *l = &c->lane[to];
	uint64_t at = arrival(c, to);

	for (struct flight *f = l->flights.first; f; f = f->next) {
		if (f->at_us < at)
			f->at_us = at;
		at = f->at_us;
		world_at(f->at_us, lane_run, l);
	}
}

void net_cut(uint32_t from, uint32_t to, bool cut)
{
	bool was = net.cut[from][to];

	net.cut[from][to] = cut;
	if (!was || cut)
		return;
	for (uint32_t i = 1; i <= net.conns; i++)
		for (enum end to_end = DEALER; to_end <= ROUTER; to_end++)
			if (net.conn[i]->host[!to_end] == from && net.conn[i]->host[to_end] == to)
				lane_heal(net.conn[i], to_end);
}

void net_host(uint32_t host, bool up)
{
	net.down[host] = !up;
}

void net_reset(uint32_t a, uint32_t b)
{
	for (uint32_t i = 1; i <= net.conns; i++) {
		struct conn *c = net.conn[i];

		if (!((c->host[0] == a && c->host[1] == b) || (c->host[0] == b && c->host[1] == a)))
			continue;
		for (enum end to = DEALER; to <= ROUTER; to++) {
			drop(&c->lane[to].flights);
			if (c->end[to])
				fly_end(c, to);
		}
	}
}

/* ---- sockets ---- */

static struct socket *socket_new(struct socket_context *c)
{
	struct socket *s = calloc(1, sizeof(*s));

	check(s);
	s->context = c;
	s->fd = system_fd_socket(s, false);
	s->event_fd = system_fd_socket(s, true);
	return s;
}

/* One end is closed by its process: the other learns of it, if anything can tell it. */
static void end_close(struct conn *c, enum end at, bool lingers, bool silent)
{
	struct queue_of *out = &c->lane[!at].flights;
	uint32_t kept = lingers ? out->count : (uint32_t)world_random(out->count + 1);
	struct queue_of left = {0};
	struct flight *f;

	while ((f = take(out))) {
		settle(f); /* the sender's memory goes; what the kernel has is a copy */
		if (silent || left.count == kept)
			free(f);
		else
			push(&left, f);
	}
	*out = left;
	c->end[at] = NULL;
	if (!silent && c->end[!at])
		fly_end(c, !at);
}

int socket_context_new(struct socket_context **ret)
{
	*ret = system_context_new();
	return 0;
}

void socket_context_free(struct socket_context **c)
{
	*c = NULL;
}

/* Nobody asks for keys here. */
void *socket_context_zmq(const struct socket_context *c)
{
	(void)c;
	return NULL;
}

struct span socket_message_key(const struct socket *l)
{
	(void)l;
	return span_of("");
}

int socket_bind(struct socket_context *c, const char *endpoint, const struct socket_options *o,
		struct socket **ret, char *bound)
{
	struct socket *s;

	for (s = net.routers; s; s = s->next)
		if (!strcmp(s->endpoint, endpoint))
			return -EADDRINUSE;
	s = socket_new(c);
	s->router = true;
	s->listens = true;
	s->linger_ms = o->linger_ms;
	(void)snprintf(s->endpoint, sizeof(s->endpoint), "%s", endpoint);
	if (bound)
		(void)snprintf(bound, SOCKET_ENDPOINT_MAX, "%s", endpoint);
	s->next = net.routers;
	net.routers = s;
	*ret = s;
	return 0;
}

/* A connection is asked for: it has come to the other machine, and the answer back. */
static void connected(void *arg)
{
	struct conn *c = arg;
	uint32_t a = c->host[DEALER];
	uint32_t b = c->host[ROUTER];
	struct socket *s;

	if (!c->end[DEALER] || c->open)
		return;
	for (s = net.routers; s && strcmp(s->endpoint, c->endpoint) != 0; s = s->next)
		;
	if (net.cut[a][b] || net.cut[b][a] || net.down[b]) {
		world_at(world.now_us + SYN_AGAIN, connected, c);
		return;
	}
	if (!s || !s->listens) {
		ended(c, DEALER); /* refused */
		return;
	}
	c->end[ROUTER] = s;
	c->open = true;
	c->end[DEALER]->open = true;
	c->end[DEALER]->context->wake(c->end[DEALER]->context->arg);
}

int socket_connect(struct socket_context *context, const char *endpoint,
		   const struct socket_options *o, struct socket **ret)
{
	struct socket *s = socket_new(context);
	struct conn *c = calloc(1, sizeof(*c));

	check(c && net.conns + 1 < CONNS_MAX);
	s->conn = ++net.conns;
	s->send_queue = o->send_queue;
	net.conn[s->conn] = c;
	c->end[DEALER] = s;
	c->host[DEALER] = context->host;
	c->host[ROUTER] = system_host_of(endpoint);
	(void)snprintf(c->endpoint, sizeof(c->endpoint), "%s", endpoint);
	for (enum end to = DEALER; to <= ROUTER; to++)
		c->lane[to] = (struct lane){.conn = s->conn, .to = to};
	world_at(arrival(c, ROUTER), connected, c);
	*ret = s;
	return 0;
}

void socket_linger(struct socket *s, unsigned ms)
{
	s->linger_ms = ms;
}

void socket_close(struct socket **sp)
{
	struct socket *s = *sp;
	const struct socket_context *x;

	*sp = NULL;
	if (!s)
		return;
	x = s->context;
	for (struct socket **link = &net.routers; *link; link = &(*link)->next)
		if (*link == s) {
			*link = s->next;
			break;
		}
	for (uint32_t i = s->router ? 1 : s->conn; i <= (s->router ? net.conns : s->conn); i++) {
		enum end at = s->router ? ROUTER : DEALER;

		if (net.conn[i]->end[at] == s)
			end_close(net.conn[i], at, s->linger_ms && !x->dead, x->silent);
	}
	drop(&s->inbox);
	free(s->taken);
	system_fd_free(s->fd);
	system_fd_free(s->event_fd);
	free(s);
}

enum socket_event socket_event(struct socket *s)
{
	if (s->open && !s->open_told) {
		s->open_told = true;
		return SOCKET_OPEN;
	}
	if (s->closed && !s->closed_told) {
		s->closed_told = true;
		return SOCKET_CLOSED;
	}
	return SOCKET_NOTHING;
}

int socket_fd(const struct socket *s)
{
	return s->fd;
}

int socket_event_fd(const struct socket *s)
{
	return s->event_fd;
}

bool net_readable(const struct socket *s)
{
	return s->inbox.first;
}

bool net_event_pending(const struct socket *s)
{
	return (s->open && !s->open_told) || (s->closed && !s->closed_told);
}

bool socket_maybe_readable(const struct socket *s)
{
	return s->inbox.first;
}

void socket_mark_readable(struct socket *s)
{
	(void)s;
}

bool socket_recently_active(const struct socket *s)
{
	return s->inbox.first;
}

bool socket_ready(struct socket *s, bool *ret_writable)
{
	if (ret_writable && !s->router) {
		const struct lane *l = &net.conn[s->conn]->lane[ROUTER];

		*ret_writable = s->open && !s->closed &&
				(!s->send_queue || l->flights.count < s->send_queue + KERNEL_HAS);
	}
	return s->inbox.first;
}

int socket_receive(struct socket *s, uint64_t bytes_max, struct socket_message **ret)
{
	struct socket_message *m = &s->message;
	struct flight *f = take(&s->inbox);
	const char *p;

	free(s->taken);
	s->taken = f;
	if (!f)
		return -EAGAIN;
	p = f->envelope;
	*ret = m;
	m->id = (struct span){(const char *)&f->conn, sizeof(f->conn)};
	m->delimiter = f->delimiter;
	m->envelopes = f->envelopes;
	for (uint32_t i = 0; i < f->envelopes; i++) {
		m->envelope[i] = (struct span){p, f->envelope_size[i]};
		p += f->envelope_size[i];
	}
	m->frames = 1;
	m->frame[0] = (struct span){f->data, f->n < bytes_max ? f->n : (size_t)bytes_max};
	m->bytes = f->n;
	m->cut = f->n > bytes_max;
	m->source_fd = -1;
	return 0;
}

/* The connection that a message is to leave by, or 0. */
static uint32_t way_out(const struct socket *s, struct span id)
{
	uint32_t i = s->conn;

	if (s->router) {
		check(id.n == sizeof(i));
		memcpy(&i, id.p, sizeof(i));
	}
	return net.conn[i]->end[s->router ? ROUTER : DEALER] == s ? i : 0;
}

static int dispatch(struct socket *s, struct span id, bool delimiter, const struct span *envelope,
		    uint32_t count, void *data, size_t n, void (*done)(void *data, void *arg),
		    void *arg)
{
	uint32_t i = way_out(s, id);
	struct flight *f;
	char *p;

	if (!i || s->context->dead || (!s->router && (!s->open || s->closed))) {
		done(data, arg);
		return s->router ? -EHOSTUNREACH : -EAGAIN;
	}
	f = calloc(1, sizeof(*f) + n);
	check(f && count <= SOCKET_ENVELOPE_MAX);
	f->sent = data;
	f->done = done;
	f->arg = arg;
	f->delimiter = delimiter;
	p = f->envelope;
	for (uint32_t k = 0; k < count; k++) {
		check(p + envelope[k].n <= f->envelope + ENVELOPE_MAX);
		f->envelope_size[k] = (uint8_t)envelope[k].n;
		memcpy(p, envelope[k].p, envelope[k].n);
		p += envelope[k].n;
	}
	f->envelopes = count;
	f->n = n;
	memcpy(f->data, data, n);
	fly(net.conn[i], s->router ? DEALER : ROUTER, f);
	return 0;
}

int socket_send(struct socket *s, struct span id, bool delimiter, void *data, size_t n,
		void (*done)(void *data, void *arg), void *arg)
{
	return dispatch(s, id, delimiter, NULL, 0, data, n, done, arg);
}

int socket_reply(struct socket *s, struct span id, const struct span *envelope, uint32_t count,
		 void *data, size_t n, void (*done)(void *data, void *arg), void *arg)
{
	return dispatch(s, id, true, envelope, count, data, n, done, arg);
}

/* ---- listening ---- */

int socket_pause_accept(struct socket *s)
{
	s->listens = false;
	return 0;
}

int socket_detach(struct socket *s, int *ret_fd)
{
	(void)s;
	(void)ret_fd;
	return -ENOENT;
}

int socket_pause(struct socket *s, bool on)
{
	s->listens = !on;
	return 0;
}

unsigned socket_connections(const struct socket *s)
{
	unsigned n = 0;

	for (uint32_t i = 1; i <= net.conns; i++)
		n += net.conn[i]->end[ROUTER] == s;
	return n;
}

const char *socket_why(int error)
{
	return strerror(-error);
}
