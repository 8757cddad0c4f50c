/* Connections of the text dialogue, over libevent. */
#include "gateway/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/listen.h"
#include "gateway/text.h"

#define WINDOW_FIRST 16u           /* lines in flight of a new connection */
#define WINDOW_MOST  1024u         /* of one whose answers are small */
#define LARGE_BYTES  (64u << 10)   /* a larger answer narrows the window */
#define WINDOW_BYTES (4u << 20)    /* to so many bytes of answers */
#define OUTPUT_MOST  (1u << 20)    /* unread bytes of a connection that is read on */
#define HELD_MOST    (256ul << 20) /* unread bytes of all */
#define UNREAD_S     30            /* a connection that takes nothing for so long is cut off */
#define BACKLOG      1024

struct connection;

/* A line whose answer has not left. */
struct pending {
	struct connection *connection; /* NULL: it has gone */
	struct pending *next;
	struct buf out;
	enum pail_method method;
	bool done;
};

struct connection {
	struct server *server;
	struct connection *prev;
	struct connection *next;
	struct bufferevent *bev;
	struct pending *first;
	struct pending *last;
	unsigned lines; /* whose answers have not left, of whatever kind */
	unsigned window;
	bool paused;   /* not read for now */
	bool skipping; /* within a line that is too long */
	bool eof;      /* it sends no more */
};

struct server {
	struct server_config config;
	struct pail *node;
	struct event_base *base;
	struct evconnlistener *listener;
	struct connection *connections;
	unsigned count;
	unsigned paused;
	uint64_t held; /* bytes of answers that are waiting */
	bool stopping;
	bool full; /* the listener is off: there are as many connections as may be */
};

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
	struct server *s = c->server;
	struct pending *next;

	for (struct pending *p = c->first; p; p = next) {
		next = p->next;
		p->connection = NULL; /* its reply is still to come, then it goes */
		if (p->done) {
			s->held -= p->out.len;
			buf_fini(&p->out);
			free(p);
		}
	}
	s->held -= evbuffer_get_length(bufferevent_get_output(c->bev));
	s->paused -= c->paused;
	if (c->prev)
		c->prev->next = c->next;
	else
		s->connections = c->next;
	if (c->next)
		c->next->prev = c->prev;
	bufferevent_free(c->bev);
	free(c);
	s->count--;
	if (s->full && !s->stopping) {
		s->full = false;
		(void)evconnlistener_enable(s->listener);
	}
}

static bool may_read(const struct connection *c)
{
	return c->lines < c->window && c->server->held < HELD_MOST && !c->server->stopping &&
	       evbuffer_get_length(bufferevent_get_output(c->bev)) < OUTPUT_MOST;
}

/* Is there a whole line that has not been taken? */
static bool has_line(const struct connection *c)
{
	return evbuffer_search_eol(bufferevent_get_input(c->bev), NULL, NULL, EVBUFFER_EOL_LF)
		       .pos >= 0;
}

/* Answers that are complete leave, up to the first that is not.  False: that was the last. */
static bool connection_flush(struct connection *c)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	while (c->first && c->first->done) {
		struct pending *p = c->first;

		/* an answer that did not fit memory is no answer: that would shift all behind it */
		if (p->out.failed || evbuffer_add(out, p->out.data, p->out.len) < 0) {
			connection_free(c);
			return false;
		}
		c->lines--;
		c->first = p->next;
		if (!c->first)
			c->last = NULL;
		buf_fini(&p->out);
		free(p);
	}
	if (!c->first && !evbuffer_get_length(out) &&
	    (c->server->stopping || (c->eof && !has_line(c)))) {
		connection_free(c);
		return false;
	}
	return true;
}

static struct pending *pending_new(struct connection *c)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	buf_init(&p->out);
	p->connection = c;
	if (c->last)
		c->last->next = p;
	else
		c->first = p;
	c->last = p;
	c->lines++;
	return p;
}

static void pending_done(struct server *s, struct pending *p)
{
	p->done = true;
	s->held += p->out.len;
}

/* ---- lines ---- */

static void on_result(void *arg, const struct pail_result *r)
{
	struct pending *p = arg;
	struct connection *c = p->connection;
	size_t n;

	if (!c) {
		free(p);
		return;
	}
	text_answer(p->method, r, &p->out);
	pending_done(c->server, p);
	n = p->out.len;
	if (n > LARGE_BYTES)
		c->window = n < WINDOW_BYTES ? (unsigned)(WINDOW_BYTES / n) : 1;
	else if (c->window < WINDOW_MOST)
		c->window++;
	if (c->first == p)
		(void)connection_flush(c);
}

static bool line_take(struct connection *c, const char *line, size_t n)
{
	struct server *s = c->server;
	struct pending *p = pending_new(c);
	struct pail_request q;
	int r;

	if (!p)
		return false;
	if (!text_parse(line, n, &q)) {
		text_unknown(&p->out);
		pending_done(s, p);
		return true;
	}
	p->method = q.method;
	r = pail_submit(s->node, &q, on_result, p);
	if (r == PAIL_OK)
		return true;
	text_error(&p->out, pail_status_name(r), pail_why(s->node));
	pending_done(s, p);
	return true;
}

static bool line_too_long(struct connection *c)
{
	struct pending *p = pending_new(c);
	char why[80];

	if (!p)
		return false;
	(void)snprintf(why, sizeof(why), "a line may have %zu bytes", c->server->config.line_max);
	text_error(&p->out, "too_large", why);
	pending_done(c->server, p);
	return true;
}

/* Take the lines that are there.  False: the connection is gone. */
static bool lines_take(struct connection *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	bool ok = true;
	char *line = NULL;
	size_t n;

	while (ok && may_read(c) && (line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF))) {
		if (c->skipping)
			c->skipping = false; /* the end of the one that was too long */
		else if (n - (n && line[n - 1] == '\r') > c->server->config.line_max)
			ok = line_too_long(c);
		else
			ok = line_take(c, line, n);
		free(line);
		/* answers that need no node make room at once */
		if (ok && c->lines == c->window && c->first->done && !connection_flush(c))
			return false;
	}
	/* the CR may be there already, and the LF not yet */
	if (ok && may_read(c) && evbuffer_get_length(in) > c->server->config.line_max + 1) {
		if (!c->skipping)
			ok = line_too_long(c);
		c->skipping = true;
		(void)evbuffer_drain(in, evbuffer_get_length(in));
	}
	if (!ok) { /* no memory: better to say nothing than something wrong */
		connection_free(c);
		return false;
	}
	if (may_read(c) == c->paused) {
		c->paused = !c->paused;
		c->server->paused += c->paused ? 1 : -1u;
		if (c->paused)
			(void)bufferevent_disable(c->bev, EV_READ);
		else if (!c->eof)
			(void)bufferevent_enable(c->bev, EV_READ);
	}
	return connection_flush(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	(void)lines_take(arg);
}

/* Its output is empty. */
static void on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	(void)lines_take(arg);
}

/* Bytes have been taken from, or added to, an output. */
static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
	struct server *s = arg;

	(void)out;
	/* What is added was counted when its answer was complete. */
	s->held -= info->n_deleted;
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	if (!(what & BEV_EVENT_EOF)) {
		connection_free(c); /* broken, or nothing read for too long */
		return;
	}
	/* It sends no more, but may read on.  A line without its end may be half a line: it is not
	 * taken for one. */
	c->eof = true;
	(void)lines_take(c);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
		      void *arg)
{
	struct server *s = arg;
	struct connection *c = calloc(1, sizeof(*c));
	const struct timeval unread = {UNREAD_S, 0};
	int on = 1;

	(void)a;
	(void)n;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (c)
		c->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->bev) {
		free(c);
		(void)close(fd);
		return;
	}
	c->server = s;
	c->window = WINDOW_FIRST;
	c->next = s->connections;
	if (c->next)
		c->next->prev = c;
	s->connections = c;
	s->count++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, s->config.line_max + 4096);
	(void)bufferevent_set_timeouts(c->bev, NULL, &unread);
	(void)evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, s);
	(void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	if (s->count >= s->config.connections) {
		s->full = true;
		(void)evconnlistener_disable(l);
	}
}

/* Out of descriptors, most likely: the next try is a tick away, not at once. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
	struct server *s = arg;

	(void)fprintf(stderr, "pail-gateway: accept a connection: %s\n", strerror(errno));
	s->full = true;
	(void)evconnlistener_disable(l);
}

/* ---- the loop ---- */

void server_tick(struct server *s)
{
	if (s->full && s->count < s->config.connections && !s->stopping) {
		s->full = false;
		(void)evconnlistener_enable(s->listener);
	}
}

void server_stop(struct server *s)
{
	struct connection *next;

	if (s->stopping)
		return;
	s->stopping = true;
	(void)evconnlistener_disable(s->listener);
	for (struct connection *c = s->connections; c; c = next) {
		next = c->next;
		(void)connection_flush(c);
	}
}

bool server_ended(const struct server *s)
{
	return s->stopping && !s->connections;
}

static void resume(struct server *s)
{
	struct connection *next;

	for (struct connection *c = s->paused ? s->connections : NULL; c; c = next) {
		next = c->next;
		if (c->paused && may_read(c))
			(void)lines_take(c);
	}
}

void server_step(struct server *s)
{
	while (pail_dispatch(s->node))
		;
	resume(s);
	(void)pail_flush(s->node);
}

int server_new(const struct server_config *config, struct event_base *base, struct pail *node,
	       struct server **ret, char *bound, size_t size)
{
	struct server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->config = *config;
	s->node = node;
	s->base = base;
	r = listen_on(base, config->listen, BACKLOG, on_accept, s, &s->listener, bound, size);
	if (r == 0)
		evconnlistener_set_error_cb(s->listener, on_accept_error);
	else
		server_free(&s);
	*ret = s;
	return r;
}

void server_free(struct server **sp)
{
	struct server *s = *sp;
	struct connection *next;

	if (!s)
		return;
	s->stopping = true;
	for (struct connection *c = s->connections; c; c = next) {
		next = c->next;
		connection_free(c);
	}
	if (s->listener)
		evconnlistener_free(s->listener);
	free(s);
	*sp = NULL;
}
