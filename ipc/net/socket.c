/* ZeroMQ, and nothing but. */
#include "ipc/net/socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zmq.h>

#include "common/key.h"
#include "ipc/net/listener.h"
#include "ipc/net/resolve.h"
#include "ipc/net/socket_impl.h"

#define HANDSHAKE_MS     5000 /* a connection that says nothing is closed */
#define BACKLOG          4096 /* the kernel has its own limit, net.core.somaxconn */
#define SOCKETS_MAX      16384
#define FRAMES_ROUND     16384u /* taken in one call: some ms, however small they are */
#define RECONNECT_MS     20
#define RESOLVE_MS       20 /* an event loop waits meanwhile */
#define HEAT             4
#define RECONNECT_MAX_MS 1000
/* zmq.h declares it among drafts, which Debian's leaves out; the library takes it all the same. */
#define ZAP_ENFORCE_DOMAIN 93

struct socket_context {
	void *zmq;
};

struct socket {
	void *socket;
	void *monitor; /* of a watched connection: where its events come */
	bool router;
	bool keys; /* it asks for them */
	bool stirred;
	unsigned heat; /* looks in vain that are left */
	int fd;
	int monitor_fd;
	char bound[SOCKET_ENDPOINT_MAX];
	struct listener_entry listener; /* epoll 0: not looked for yet */
	struct socket_message message;
	zmq_msg_t id;
	zmq_msg_t frame[SOCKET_ENVELOPE_MAX + SOCKET_FRAMES_MAX];
	uint32_t kept;          /* of frame: the envelope's first, then the body's */
	char key[KEY_TEXT + 1]; /* of the message's sender, or "" */
	bool has_id;
	bool came;       /* the first frame behind the id */
	bool partial;    /* the message has begun and is not whole */
	bool enveloping; /* a delimiter may still come */
};

int socket_context_new(struct socket_context **ret)
{
	struct socket_context *c = calloc(1, sizeof(*c));
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

void socket_context_free(struct socket_context **cp)
{
	struct socket_context *c = *cp;

	if (!c)
		return;
	while (zmq_ctx_term(c->zmq) < 0 && errno == EINTR)
		;
	free(c);
	*cp = NULL;
}

void *socket_context_zmq(const struct socket_context *c)
{
	return c->zmq;
}

/* A signal may end these before they have done anything: then once more.  0 or negative errno. */
static int bind_to(void *socket, const char *endpoint)
{
	int r;

	do
		r = zmq_bind(socket, endpoint) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

static int connect_to(void *socket, const char *endpoint)
{
	int r;

	do
		r = zmq_connect(socket, endpoint) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

static int monitor_at(void *socket, const char *endpoint, int events)
{
	int r;

	do
		r = zmq_socket_monitor(socket, endpoint, events) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

static int set_int(struct socket *l, int option, int value)
{
	return zmq_setsockopt(l->socket, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int set_text(struct socket *l, int option, const char *text)
{
	return zmq_setsockopt(l->socket, option, text, strlen(text)) < 0 ? -errno : 0;
}

/*
 * CURVE and nothing else.  A listener has to ask the door: if that is not there, or no domain is
 * set, libzmq would let everybody in, and with ZAP_ENFORCE_DOMAIN nobody.
 */
static int keys_set(struct socket *l, const struct socket_keys *k)
{
	int r = set_text(l, ZMQ_CURVE_SECRETKEY, k->secret);

	if (r == 0 && l->router)
		r = set_int(l, ZMQ_CURVE_SERVER, 1);
	if (r == 0 && l->router)
		r = set_text(l, ZMQ_ZAP_DOMAIN, k->domain);
	if (r == 0 && l->router)
		r = set_int(l, ZAP_ENFORCE_DOMAIN, 1);
	if (r == 0 && !l->router)
		r = set_text(l, ZMQ_CURVE_PUBLICKEY, k->public);
	if (r == 0 && !l->router)
		r = set_text(l, ZMQ_CURVE_SERVERKEY, k->server);
	return r;
}

static int options_set(struct socket *l, const struct socket_options *o)
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
	if (r == 0 && o->keys)
		r = keys_set(l, o->keys);
	return r;
}

/* However many events wait: else the I/O thread would wait for them to be taken. */
static int set_monitor(struct socket *l)
{
	int none = 0;

	return zmq_setsockopt(l->monitor, ZMQ_LINGER, &none, sizeof(none)) < 0
		       ? -1
		       : zmq_setsockopt(l->monitor, ZMQ_RCVHWM, &none, sizeof(none));
}

/* Have the events of a connection sent to a socket of ours. */
static int watch(struct socket_context *c, struct socket *l, bool once)
{
	const int handshakes =
		ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
		ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
	static _Atomic unsigned number;
	char name[64];
	size_t n = sizeof(l->monitor_fd);
	int r;

	(void)snprintf(name, sizeof(name), "inproc://events-%u", atomic_fetch_add(&number, 1));
	r = monitor_at(l->socket, name,
		       handshakes | (once ? ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED : 0));
	if (r < 0)
		return r;
	l->monitor = zmq_socket(c->zmq, ZMQ_PAIR);
	if (!l->monitor || set_monitor(l) < 0)
		return -errno;
	r = connect_to(l->monitor, name);
	if (r == 0 && zmq_getsockopt(l->monitor, ZMQ_FD, &l->monitor_fd, &n) < 0)
		r = -errno;
	if (r < 0)
		return r;
	(void)socket_event(l); /* the descriptor tells only whoever has asked in vain before */
	return 0;
}

static int socket_new(struct socket_context *c, int type, const struct socket_options *o,
		      struct socket **ret)
{
	struct socket *l = calloc(1, sizeof(*l));
	size_t n = sizeof(l->fd);
	int r;

	if (!l)
		return -ENOMEM;
	l->router = type == ZMQ_ROUTER;
	l->keys = o->keys;
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
		socket_close(&l);
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
		(void)snprintf(to, SOCKET_ENDPOINT_MAX, "%s", from);
	else
		(void)snprintf(to, SOCKET_ENDPOINT_MAX, "tcp://%.*s%s", (int)(end - from - (long)n),
			       from + n, end + 1);
}

int socket_bind(struct socket_context *c, const char *endpoint, const struct socket_options *o,
		struct socket **ret, char *bound)
{
	struct socket *l = NULL;
	size_t n = SOCKET_ENDPOINT_MAX;
	int r = socket_new(c, ZMQ_ROUTER, o, &l);

	if (r < 0)
		return r;
	r = bind_to(l->socket, endpoint);
	if (r == 0 && zmq_getsockopt(l->socket, ZMQ_LAST_ENDPOINT, l->bound, &n) < 0)
		r = -errno;
	if (r < 0) {
		socket_close(&l);
		return r;
	}
	endpoint_write(l->bound, bound);
	*ret = l;
	return 0;
}

int socket_connect(struct socket_context *c, const char *endpoint, const struct socket_options *o,
		   struct socket **ret)
{
	struct socket *l = NULL;
	struct addresses a;
	int r = o->once ? resolve(endpoint, RESOLVE_MS, &a) : 0;

	if (r < 0)
		return r;
	if (o->once)
		endpoint = a.endpoint[a.turn % a.count];
	r = socket_new(c, ZMQ_DEALER, o, &l);
	if (r < 0)
		return r;
	if (o->once || o->watched)
		r = watch(c, l, o->once);
	if (r == 0)
		r = connect_to(l->socket, endpoint);
	if (r < 0) {
		socket_close(&l);
		return r;
	}
	*ret = l;
	return 0;
}

int socket_pause_accept(struct socket *l)
{
	return listener_pause_accept(l->bound);
}

int socket_detach(struct socket *l, int *ret_fd)
{
	return listener_detach(l->bound, ret_fd);
}

int socket_pause(struct socket *l, bool on)
{
	int r = l->listener.epoll ? 0 : listener_find(l->bound, &l->listener);

	return r < 0 ? r : listener_pause(&l->listener, on);
}

unsigned socket_connections(const struct socket *l)
{
	return listener_connections(l->bound);
}

const char *socket_why(int error)
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

void socket_linger(struct socket *l, unsigned ms)
{
	(void)set_int(l, ZMQ_LINGER, (int)ms);
}

static void message_drop(struct socket *l)
{
	if (l->has_id)
		(void)zmq_msg_close(&l->id);
	l->has_id = false;
	for (uint32_t i = 0; i < l->kept; i++)
		(void)zmq_msg_close(&l->frame[i]);
	l->kept = 0;
	l->partial = false;
}

/* The I/O thread waits for ever to tell an event to nobody: first no more events. */
void socket_unwatch(struct socket *l)
{
	if (!l->monitor)
		return;
	(void)zmq_socket_monitor(l->socket, NULL, 0);
	(void)zmq_close(l->monitor);
	l->monitor = NULL;
	l->monitor_fd = -1;
}

void socket_close(struct socket **lp)
{
	struct socket *l = *lp;

	if (!l)
		return;
	message_drop(l);
	socket_unwatch(l);
	if (l->socket)
		(void)zmq_close(l->socket);
	free(l);
	*lp = NULL;
}

int socket_fd(const struct socket *l)
{
	return l->fd;
}

bool socket_maybe_readable(const struct socket *l)
{
	return l->stirred;
}

void socket_mark_readable(struct socket *l)
{
	l->stirred = true;
}

bool socket_recently_active(const struct socket *l)
{
	return l->heat != 0;
}

bool socket_ready(struct socket *l, bool *ret_writable)
{
	int events = 0;
	size_t n = sizeof(events);

	(void)zmq_getsockopt(l->socket, ZMQ_EVENTS, &events, &n);
	if (ret_writable)
		*ret_writable = events & ZMQ_POLLOUT;
	l->stirred = events & ZMQ_POLLIN; /* what had happened has been taken note of */
	return l->stirred;
}

int socket_event_fd(const struct socket *l)
{
	return l->monitor_fd;
}

static enum socket_event event_of(uint16_t number, uint32_t value)
{
	switch (number) {
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		return SOCKET_OPEN;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		return SOCKET_REFUSED;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? SOCKET_UNLIKE
									   : SOCKET_BROKEN;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		return SOCKET_BROKEN;
	case ZMQ_EVENT_MONITOR_STOPPED:
		return SOCKET_NOTHING;
	default:
		return SOCKET_CLOSED;
	}
}

/* An event is two frames: a number and a value, and the endpoint. */
enum socket_event socket_event(struct socket *l)
{
	while (l->monitor) {
		enum socket_event e = SOCKET_NOTHING;
		uint16_t number = 0;
		uint32_t value = 0;
		zmq_msg_t m;
		int more = 1;

		for (int i = 0; more; i++) {
			(void)zmq_msg_init(&m);
			if (zmq_msg_recv(&m, l->monitor, ZMQ_DONTWAIT) < 0) {
				(void)zmq_msg_close(&m);
				return SOCKET_NOTHING;
			}
			if (i == 0 && zmq_msg_size(&m) >= sizeof(number) + sizeof(value)) {
				memcpy(&number, zmq_msg_data(&m), sizeof(number));
				memcpy(&value, (const char *)zmq_msg_data(&m) + sizeof(number),
				       sizeof(value));
			}
			more = zmq_msg_more(&m);
			(void)zmq_msg_close(&m);
		}
		e = event_of(number, value);
		if (e != SOCKET_NOTHING)
			return e;
	}
	return SOCKET_NOTHING;
}

static struct span frame_span(zmq_msg_t *f)
{
	return (struct span){zmq_msg_data(f), zmq_msg_size(f)};
}

/* The next frame into `f`.  0, or negative errno with nothing to close. */
static int frame_receive(struct socket *l, zmq_msg_t *f)
{
	int r;

	(void)zmq_msg_init(f);
	do
		r = zmq_msg_recv(f, l->socket, ZMQ_DONTWAIT);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* Begin with the next message: its id, at a ROUTER.  0 or negative errno. */
static int message_begin(struct socket *l)
{
	struct socket_message *m = &l->message;
	int r;

	message_drop(l);
	m->delimiter = false;
	m->envelopes = 0;
	m->frames = 0;
	m->bytes = 0;
	m->cut = false;
	m->source_fd = -1;
	l->key[0] = '\0';
	l->came = false;
	l->enveloping = true;
	if (!l->router)
		return 0;
	r = frame_receive(l, &l->id);
	if (r < 0)
		return r;
	l->has_id = true;
	l->partial = true;
	m->id = frame_span(&l->id);
	return 0;
}

/* Is this the delimiter?  Then the frames so far were no body. */
static bool delimits(struct socket *l, size_t n)
{
	struct socket_message *m = &l->message;

	if (!l->enveloping)
		return false;
	if (n) {
		l->enveloping = n <= SOCKET_ENVELOPE_FRAME_MAX && m->frames < SOCKET_ENVELOPE_MAX;
		return false;
	}
	l->enveloping = false;
	m->delimiter = true;
	m->envelopes = m->frames;
	memcpy(m->envelope, m->frame, m->frames * sizeof(m->frame[0]));
	m->frames = 0;
	m->bytes = 0;
	return true;
}

/* The frame that has been received behind those that are kept. */
static void frame_take(struct socket *l, uint64_t bytes_max)
{
	struct socket_message *m = &l->message;
	zmq_msg_t *f = &l->frame[l->kept];
	size_t n = zmq_msg_size(f);

	m->bytes += n;
	if (delimits(l, n)) {
		(void)zmq_msg_close(f);
	} else if (m->frames + 1 == SOCKET_FRAMES_MAX || m->bytes > bytes_max) {
		m->cut = true;
		(void)zmq_msg_close(f);
	} else {
		m->frame[m->frames++] = frame_span(f);
		l->kept++;
	}
}

/* Whose message it is: any of its frames tells, and the first is not always kept. */
static void origin_take(struct socket *l, zmq_msg_t *f)
{
	const char *key = l->keys ? zmq_msg_gets(f, "User-Id") : NULL;

	if (key)
		(void)snprintf(l->key, sizeof(l->key), "%s", key);
	l->message.source_fd = zmq_msg_get(f, ZMQ_SRCFD);
}

int socket_receive(struct socket *l, uint64_t bytes_max, struct socket_message **ret)
{
	struct socket_message *m = &l->message;
	int r = l->partial ? 0 : message_begin(l);
	bool more = !l->has_id || zmq_msg_more(&l->id);

	for (unsigned i = 0; r == 0 && more; i++) {
		zmq_msg_t *f = &l->frame[l->kept];

		if (l->router && i == FRAMES_ROUND)
			return -EAGAIN; /* stirred: others have their turn first */
		r = frame_receive(l, f);
		if (r < 0)
			break;
		l->stirred = true;
		l->heat = HEAT;
		l->partial = true;
		more = zmq_msg_more(f);
		if (l->router && !l->came)
			origin_take(l, f);
		l->came = true;
		frame_take(l, bytes_max);
	}
	if (r < 0) {
		l->stirred = false;
		l->heat -= l->heat != 0;
		return r;
	}
	l->partial = false;
	*ret = m;
	return 0;
}

struct span socket_message_key(const struct socket *l)
{
	return span_of(l->key);
}

static int send_frame(struct socket *l, struct span f)
{
	return zmq_send(l->socket, f.p, f.n, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ? -errno : 0;
}

/* The frames in front of the body, then the body. */
static int send_all(struct socket *l, const struct span *front, uint32_t count, void *data,
		    size_t n, void (*done)(void *data, void *arg), void *arg)
{
	zmq_msg_t body;
	int r = 0;

	if (zmq_msg_init_data(&body, data, n, done, arg) < 0) {
		done(data, arg);
		return -ENOMEM;
	}
	l->stirred = true;
	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = send_frame(l, front[i]);
	if (r == 0 && zmq_msg_send(&body, l->socket, ZMQ_DONTWAIT) < 0)
		r = -errno;
	if (r < 0)
		(void)zmq_msg_close(&body); /* calls done */
	return r;
}

int socket_reply(struct socket *l, struct span id, const struct span *envelope, uint32_t count,
		 void *data, size_t n, void (*done)(void *data, void *arg), void *arg)
{
	struct span front[1 + SOCKET_ENVELOPE_MAX + 1];
	uint32_t fronts = 0;

	if (l->router)
		front[fronts++] = id;
	for (uint32_t i = 0; i < count; i++)
		front[fronts++] = envelope[i];
	front[fronts++] = (struct span){"", 0};
	return send_all(l, front, fronts, data, n, done, arg);
}

int socket_send(struct socket *l, struct span id, bool delimiter, void *data, size_t n,
		void (*done)(void *data, void *arg), void *arg)
{
	if (delimiter)
		return socket_reply(l, id, NULL, 0, data, n, done, arg);
	return send_all(l, &id, l->router, data, n, done, arg);
}
