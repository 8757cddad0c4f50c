/* ZeroMQ, and nothing but. */
#include "ipc/link.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "ipc/listener.h"
#include "ipc/resolve.h"

#define HANDSHAKE_MS     5000 /* a connection that says nothing is closed */
#define BACKLOG          4096 /* the kernel has its own limit, net.core.somaxconn */
#define SOCKETS_MAX      16384
#define RECONNECT_MS     20
#define RESOLVE_MS       20 /* an event loop waits meanwhile */
#define HEAT             4
#define RECONNECT_MAX_MS 1000

struct link_context {
	void *zmq;
};

struct link {
	void *socket;
	void *monitor; /* of a watched connection: where its events come */
	bool router;
	bool stirred;
	unsigned heat; /* looks in vain that are left */
	int fd;
	int monitor_fd;
	char bound[LINK_ENDPOINT_MAX];
	struct link_message message;
	zmq_msg_t id;
	zmq_msg_t frame[LINK_FRAMES_MAX];
	bool has_id;
};

int link_context_new(struct link_context **ret)
{
	struct link_context *c = calloc(1, sizeof(*c));
	unsigned seed;

	if (!c)
		return -ENOMEM;
	/* libzmq draws its routing ids from rand(); unseeded they would be the same in every
	 * process. */
	if (getrandom(&seed, sizeof(seed), 0) == sizeof(seed))
		srand(seed);
	c->zmq = zmq_ctx_new();
	if (!c->zmq) {
		free(c);
		return -ENOMEM;
	}
	(void)zmq_ctx_set(c->zmq, ZMQ_IO_THREADS, 1);
	(void)zmq_ctx_set(c->zmq, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
	*ret = c;
	return 0;
}

void link_context_free(struct link_context **cp)
{
	struct link_context *c = *cp;

	if (!c)
		return;
	while (zmq_ctx_term(c->zmq) < 0 && errno == EINTR)
		;
	free(c);
	*cp = NULL;
}

static int set_int(struct link *l, int option, int value)
{
	return zmq_setsockopt(l->socket, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int options_set(struct link *l, const struct link_options *o)
{
	int64_t frame_max = o->frame_max ? (int64_t)o->frame_max : -1;
	int r = 0;

	if (zmq_setsockopt(l->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) < 0)
		return -errno;
	r = set_int(l, ZMQ_LINGER, (int)o->linger_ms);
	if (r == 0)
		r = set_int(l, ZMQ_SNDHWM, (int)o->send_queue);
	if (r == 0)
		r = set_int(l, ZMQ_RCVHWM, (int)o->receive_queue);
	if (r == 0)
		r = set_int(l, ZMQ_IPV6, 1);
	if (r == 0)
		r = set_int(l, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
	if (r == 0)
		r = set_int(l, ZMQ_TCP_KEEPALIVE, 1);
	if (r == 0 && l->router)
		r = set_int(l, ZMQ_ROUTER_MANDATORY, 1);
	if (r == 0 && l->router)
		r = set_int(l, ZMQ_BACKLOG, BACKLOG);
	if (r == 0 && o->listener_fd > 0)
		r = set_int(l, ZMQ_USE_FD, o->listener_fd);
	if (r == 0 && !l->router)
		r = set_int(l, ZMQ_RECONNECT_IVL, o->once ? -1 : RECONNECT_MS);
	if (r == 0 && !l->router && !o->once)
		r = set_int(l, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
	if (r == 0 && o->once)
		r = set_int(l, ZMQ_IMMEDIATE, 1);
	return r;
}

static int set_monitor(struct link *l)
{
	int linger = 0;

	return zmq_setsockopt(l->monitor, ZMQ_LINGER, &linger, sizeof(linger));
}

/* Have the events of a connection sent to a socket of ours. */
static int watch(struct link_context *c, struct link *l)
{
	static _Atomic unsigned number;
	char name[64];
	size_t n = sizeof(l->monitor_fd);

	(void)snprintf(name, sizeof(name), "inproc://events-%u", atomic_fetch_add(&number, 1));
	if (zmq_socket_monitor(l->socket, name,
			       ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
				       ZMQ_EVENT_CLOSED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
				       ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) < 0)
		return -errno;
	l->monitor = zmq_socket(c->zmq, ZMQ_PAIR);
	if (!l->monitor || set_monitor(l) < 0 || zmq_connect(l->monitor, name) < 0 ||
	    zmq_getsockopt(l->monitor, ZMQ_FD, &l->monitor_fd, &n) < 0)
		return -errno;
	return 0;
}

static int link_new(struct link_context *c, int type, const struct link_options *o,
		    struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));
	size_t n = sizeof(l->fd);
	int r;

	if (!l)
		return -ENOMEM;
	l->router = type == ZMQ_ROUTER;
	l->monitor_fd = -1;
	l->stirred = true;
	l->socket = zmq_socket(c->zmq, type);
	if (!l->socket) {
		r = -errno;
		free(l);
		return r;
	}
	r = options_set(l, o);
	if (r == 0 && zmq_getsockopt(l->socket, ZMQ_FD, &l->fd, &n) < 0)
		r = -errno;
	if (r < 0)
		link_close(&l);
	else
		*ret = l;
	return r;
}

/* An IPv4 address that an IPv6 socket reports is written as people write it. */
static void endpoint_write(const char *from, char *to)
{
	static const char mapped[] = "tcp://[::ffff:";
	size_t n = sizeof(mapped) - 1;
	const char *end = strchr(from, ']');

	if (strncmp(from, mapped, n) != 0 || !end)
		(void)snprintf(to, LINK_ENDPOINT_MAX, "%s", from);
	else
		(void)snprintf(to, LINK_ENDPOINT_MAX, "tcp://%.*s%s", (int)(end - from - (long)n),
			       from + n, end + 1);
}

int link_bind(struct link_context *c, const char *endpoint, const struct link_options *o,
	      struct link **ret, char *bound)
{
	struct link *l = NULL;
	size_t n = LINK_ENDPOINT_MAX;
	int r = link_new(c, ZMQ_ROUTER, o, &l);

	if (r < 0)
		return r;
	if (zmq_bind(l->socket, endpoint) < 0 ||
	    zmq_getsockopt(l->socket, ZMQ_LAST_ENDPOINT, l->bound, &n) < 0) {
		r = -errno;
		link_close(&l);
		return r;
	}
	endpoint_write(l->bound, bound);
	*ret = l;
	return 0;
}

int link_connect(struct link_context *c, const char *endpoint, const struct link_options *o,
		 struct link **ret)
{
	struct link *l = NULL;
	struct addresses a;
	int r = o->once ? resolve(endpoint, RESOLVE_MS, &a) : 0;

	if (r < 0)
		return r;
	if (o->once)
		endpoint = a.endpoint[a.turn % a.count];
	r = link_new(c, ZMQ_DEALER, o, &l);
	if (r < 0)
		return r;
	if (o->once)
		r = watch(c, l);
	if (r == 0 && zmq_connect(l->socket, endpoint) < 0)
		r = -errno;
	if (r < 0) {
		link_close(&l);
		return r;
	}
	*ret = l;
	return 0;
}

int link_deafen(struct link *l)
{
	return listener_deafen(l->bound);
}

int link_release(struct link *l, int *ret_fd)
{
	return listener_take(l->bound, ret_fd);
}

unsigned link_connections(const struct link *l)
{
	return listener_connections(l->bound);
}

const char *link_why(int error)
{
	switch (error) {
	case -ENOENT:
		return "there is no host of that name";
	case -EAGAIN:
		return "the host's name is being looked up";
	default:
		return strerror(-error);
	}
}

void link_linger(struct link *l, unsigned ms)
{
	(void)set_int(l, ZMQ_LINGER, (int)ms);
}

static void message_drop(struct link *l)
{
	if (l->has_id)
		(void)zmq_msg_close(&l->id);
	l->has_id = false;
	for (uint32_t i = 0; i < l->message.frames; i++)
		(void)zmq_msg_close(&l->frame[i]);
	l->message.frames = 0;
}

void link_close(struct link **lp)
{
	struct link *l = *lp;

	if (!l)
		return;
	message_drop(l);
	/* The I/O thread waits for ever to tell an event to nobody: first no more events. */
	if (l->monitor) {
		(void)zmq_socket_monitor(l->socket, NULL, 0);
		(void)zmq_close(l->monitor);
	}
	if (l->socket)
		(void)zmq_close(l->socket);
	free(l);
	*lp = NULL;
}

int link_fd(const struct link *l)
{
	return l->fd;
}

bool link_stirred(const struct link *l)
{
	return l->stirred;
}

void link_stir(struct link *l)
{
	l->stirred = true;
}

bool link_hot(const struct link *l)
{
	return l->heat != 0;
}

bool link_ready(struct link *l, bool *ret_writable)
{
	int events = 0;
	size_t n = sizeof(events);

	(void)zmq_getsockopt(l->socket, ZMQ_EVENTS, &events, &n);
	if (ret_writable)
		*ret_writable = events & ZMQ_POLLOUT;
	l->stirred = events & ZMQ_POLLIN; /* what had happened has been taken note of */
	return l->stirred;
}

int link_event_fd(const struct link *l)
{
	return l->monitor_fd;
}

/* An event is two frames: a number and a value, and the endpoint. */
enum link_event link_event(struct link *l)
{
	while (l->monitor) {
		enum link_event e = LINK_NOTHING;
		uint16_t number = 0;
		zmq_msg_t m;
		int more = 1;

		for (int i = 0; more; i++) {
			(void)zmq_msg_init(&m);
			if (zmq_msg_recv(&m, l->monitor, ZMQ_DONTWAIT) < 0) {
				(void)zmq_msg_close(&m);
				return LINK_NOTHING;
			}
			if (i == 0 && zmq_msg_size(&m) >= sizeof(number))
				memcpy(&number, zmq_msg_data(&m), sizeof(number));
			more = zmq_msg_more(&m);
			(void)zmq_msg_close(&m);
		}
		e = number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED ? LINK_OPEN : LINK_CLOSED;
		if (number != ZMQ_EVENT_MONITOR_STOPPED)
			return e;
	}
	return LINK_NOTHING;
}

static struct span frame_span(zmq_msg_t *f)
{
	return (struct span){zmq_msg_data(f), zmq_msg_size(f)};
}

/* The next frame into `f`.  0, or negative errno with nothing to close. */
static int frame_receive(struct link *l, zmq_msg_t *f)
{
	int r;

	(void)zmq_msg_init(f);
	do
		r = zmq_msg_recv(f, l->socket, ZMQ_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int link_receive(struct link *l, uint64_t bytes_max, struct link_message **ret)
{
	struct link_message *m = &l->message;
	zmq_msg_t *f = &l->frame[0];
	bool first = true;
	int r;

	message_drop(l);
	m->delimiter = false;
	m->bytes = 0;
	m->cut = false;
	m->source_fd = -1;
	r = frame_receive(l, l->router ? &l->id : f);
	if (r < 0) {
		l->stirred = false;
		l->heat -= l->heat != 0;
		return r;
	}
	l->stirred = true;
	l->heat = HEAT;
	if (l->router) {
		l->has_id = true;
		m->id = frame_span(&l->id);
		if (!zmq_msg_more(&l->id))
			goto out;
		r = frame_receive(l, f);
		if (r < 0)
			return r;
		m->source_fd = zmq_msg_get(f, ZMQ_SRCFD);
	}
	for (;;) {
		bool more = zmq_msg_more(f);
		size_t n = zmq_msg_size(f);

		m->bytes += n;
		if (first && n == 0 && !m->delimiter) {
			m->delimiter = true;
			(void)zmq_msg_close(f);
		} else if (m->frames + 1 == LINK_FRAMES_MAX || m->bytes > bytes_max) {
			m->cut = true;
			(void)zmq_msg_close(f);
		} else {
			m->frame[m->frames++] = frame_span(f);
			f = &l->frame[m->frames];
		}
		first = false;
		if (!more)
			break;
		r = frame_receive(l, f);
		if (r < 0)
			return r;
	}
out:
	*ret = m;
	return 0;
}

int link_send(struct link *l, struct span id, bool delimiter, void *data, size_t n,
	      void (*done)(void *data, void *arg), void *arg)
{
	zmq_msg_t body;
	int r;

	if (zmq_msg_init_data(&body, data, n, done, arg) < 0) {
		done(data, arg);
		return -ENOMEM;
	}
	r = 0;
	l->stirred = true;
	if (l->router && zmq_send(l->socket, id.p, id.n, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
		r = -errno;
	if (r == 0 && delimiter && zmq_send(l->socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
		r = -errno;
	if (r == 0 && zmq_msg_send(&body, l->socket, ZMQ_DONTWAIT) < 0)
		r = -errno;
	if (r < 0)
		(void)zmq_msg_close(&body); /* calls done */
	return r;
}
