/* Connections of HTTP, and what each path is answered with. */
#include "gateway/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "gateway/feed.h"
#include "gateway/history.h"
#include "gateway/http_head.h"
#include "gateway/listen.h"
#include "gateway/page.h"
#include "gateway/prometheus.h"

#define CONNECTIONS 64u
#define BACKLOG     64
#define IDLE_MS     60000u /* a whole head must be there so long after the last answer */
#define READ_MS     20000u /* and an answer must have been read */
#define TICK_MS     1000

enum path { PATH_METRICS, PATH_READY, PATH_STATUS };

struct connection {
	struct http *http;
	struct connection *prev;
	struct connection *next;
	struct bufferevent *bev;
	struct http_head head;
	enum path path;
	unsigned wants; /* bits of enum feed_what that it waits for; 0: for a head */
	bool closing;   /* once its answer has been read */
	uint64_t at_ms; /* since when it reads, or is to send */
};

struct http {
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *tick;
	struct pail *admin;
	struct feed *feed;
	struct history *history;
	struct page page;
	uint64_t sampled_ms;
	bool sampling;
	bool in_cluster; /* as its figures say: a node that is in none would count a refusal each time */
	struct connection *connections;
	unsigned count;
	bool stopping;
};

/* ---- connections ---- */

static void connection_free(struct connection *c)
{
	struct http *h = c->http;

	if (h->connections == c)
		h->connections = c->next;
	else
		c->prev->next = c->next;
	if (c->next)
		c->next->prev = c->prev;
	bufferevent_free(c->bev);
	free(c);
	h->count--;
}

static size_t unread(const struct connection *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} all[] = {
		{200, "OK"			     },
		{400, "Bad Request"                    },
		{404, "Not Found"                      },
		{405, "Method Not Allowed"             },
		{413, "Content Too Large"              },
		{414, "URI Too Long"                   },
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"          },
		{503, "Service Unavailable"            },
		{505, "HTTP Version Not Supported"     },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (all[i].status == status)
			return all[i].reason;
	return "";
}

static void answer(struct connection *c, int status, const char *type, const char *more,
		   const void *body, size_t n)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	c->wants = 0;
	c->closing = !c->head.keep;
	c->at_ms = clock_ms();
	if (evbuffer_add_printf(out,
				"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
				"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
				"Referrer-Policy: no-referrer\r\n%s%s\r\n",
				status, reason(status), type, n, more,
				c->closing ? "Connection: close\r\n" : "") < 0 ||
	    (!c->head.head_only && evbuffer_add(out, body, n) < 0))
		c->closing = true; /* no memory: half an answer is cut off */
}

static void answer_text(struct connection *c, int status, const char *more, const char *text)
{
	answer(c, status, "text/plain; charset=utf-8", more, text, strlen(text));
}

static void answer_buf(struct connection *c, int status, const char *type, const struct buf *b)
{
	if (b->failed)
		answer_text(c, 500, "", "no memory\n");
	else
		answer(c, status, type, "", b->data, b->len);
}

/* ---- what is answered ---- */

static void metrics_answer(struct connection *c)
{
	const struct feed *f = c->http->feed;
	struct buf b;

	buf_init(&b);
	if (feed_status(f, FEED_METRICS) == PAIL_OK) {
		prometheus_write(feed_value(f, FEED_METRICS), c->head.openmetrics, &b);
		answer_buf(c, 200, c->head.openmetrics ? OPENMETRICS_TYPE : PROMETHEUS_TYPE, &b);
	} else {
		buf_fmt(&b, "the node has told no figures: %s\n", feed_why(f, FEED_METRICS));
		answer_buf(c, 503, "text/plain; charset=utf-8", &b);
	}
	buf_fini(&b);
}

static bool same(struct pail_bytes s, const char *word)
{
	return s.size == strlen(word) && !memcmp(s.data, word, s.size);
}

static void ready_answer(struct connection *c)
{
	const struct feed *f = c->http->feed;
	struct pail_bytes state =
		pail_value_bytes(pail_value_field(feed_value(f, FEED_STATUS), "state"));
	struct buf b;
	bool ready = false;

	buf_init(&b);
	if (c->http->stopping)
		buf_text(&b, "stopping\n");
	else if (feed_status(f, FEED_STATUS) != PAIL_OK)
		buf_fmt(&b, "the node does not answer: %s\n", feed_why(f, FEED_STATUS));
	else if (!(ready = same(state, "serving")))
		buf_fmt(&b, "%.*s\n", (int)state.size, (const char *)state.data);
	else
		buf_text(&b, "serving\n");
	answer_buf(c, ready ? 200 : 503, "text/plain; charset=utf-8", &b);
	buf_fini(&b);
}

static void json_add(struct buf *b, struct pail_value v)
{
	size_t n = pail_value_json(v, NULL, 0);
	char *p = buf_room(b, n + 1);

	if (!p)
		return;
	(void)pail_value_json(v, p, n + 1);
	b->len += n;
}

static void value_or_null(struct buf *b, const struct feed *f, enum feed_what what,
			  const char *field)
{
	if (feed_status(f, what) == PAIL_OK)
		json_add(b, field ? pail_value_field(feed_value(f, what), field)
				  : feed_value(f, what));
	else
		buf_text(b, "null");
}

static void status_answer(struct connection *c)
{
	const struct feed *f = c->http->feed;
	const bool answers = feed_status(f, FEED_STATUS) == PAIL_OK;
	struct pail_value status = feed_value(f, FEED_STATUS);
	struct buf b;

	buf_init(&b);
	buf_fmt(&b, "{\"asked_unix_ms\":%" PRIu64, clock_wall_ms());
	for (size_t i = 0; answers && i < pail_value_count(status); i++) {
		struct pail_bytes name = pail_value_bytes(pail_value_name(status, i));

		if (same(name, "events") || same(name, "history") || same(name, "cluster"))
			continue;
		buf_text(&b, ",");
		json_string(&b, (struct span){name.data, (uint32_t)name.size});
		buf_text(&b, ":");
		json_add(&b, pail_value_item(status, i));
	}
	if (!answers) {
		const char *why = feed_why(f, FEED_STATUS);

		buf_fmt(&b,
			",\"silent_since_unix_ms\":%" PRIu64 ",\"error\":", feed_silent_since(f));
		json_string(&b, (struct span){why, (uint32_t)strlen(why)});
	}
	buf_text(&b, ",\"events\":");
	value_or_null(&b, f, FEED_EVENTS, "events");
	buf_text(&b, ",\"history\":");
	history_json(c->http->history, c->head.since, &b);
	buf_text(&b, ",\"cluster\":");
	if (c->http->in_cluster)
		value_or_null(&b, f, FEED_CLUSTER, NULL);
	else
		buf_text(&b, "null");
	buf_text(&b, "}\n");
	answer_buf(c, answers ? 200 : 503, "application/json", &b);
	buf_fini(&b);
}

static void path_answer(struct connection *c)
{
	switch (c->path) {
	case PATH_METRICS:
		metrics_answer(c);
		break;
	case PATH_READY:
		ready_answer(c);
		break;
	case PATH_STATUS:
		status_answer(c);
		break;
	}
}

static void path_take(struct connection *c)
{
	static const struct {
		const char *name;
		enum path path;
		unsigned wants;
	} paths[] = {
		{"/metrics",     PATH_METRICS, 1u << FEED_METRICS          },
		{"/readyz",      PATH_READY,   1u << FEED_STATUS           },
		{"/status.json", PATH_STATUS,
		 1u << FEED_STATUS | 1u << FEED_EVENTS | 1u << FEED_CLUSTER},
	};
	const struct page *page = &c->http->page;
	size_t i = 0;

	if (!strcmp(c->head.path, "/")) {
		answer(c, 200, "text/html; charset=utf-8", page->policy, page->data, page->size);
		return;
	}
	if (!strcmp(c->head.path, "/healthz")) {
		answer_text(c, 200, "", "alive\n");
		return;
	}
	while (i < sizeof(paths) / sizeof(*paths) && strcmp(c->head.path, paths[i].name) != 0)
		i++;
	if (i == sizeof(paths) / sizeof(*paths)) {
		answer_text(c, 404, "", "there is nothing of that name\n");
		return;
	}
	c->path = paths[i].path;
	c->wants = c->path == PATH_READY && c->http->stopping ? 0 : paths[i].wants;
	if (!c->http->in_cluster)
		c->wants &= ~(1u << FEED_CLUSTER);
	for (int w = 0; w < FEED_COUNT; w++)
		if (c->wants & 1u << w && feed_ask(c->http->feed, (enum feed_what)w))
			c->wants &= ~(1u << w);
	if (!c->wants)
		path_answer(c);
}

static bool has_family(struct pail_value metrics, const char *name)
{
	struct pail_value all = pail_value_field(metrics, "families");
	size_t n = pail_value_count(all);

	for (size_t i = 0; i < n; i++)
		if (same(pail_value_bytes(pail_value_field(pail_value_item(all, i), "name")), name))
			return true;
	return false;
}

static void on_feed(void *arg, enum feed_what what)
{
	struct http *h = arg;
	struct connection *next;

	if (what == FEED_METRICS && feed_status(h->feed, what) == PAIL_OK)
		h->in_cluster = has_family(feed_value(h->feed, what), "pail_cluster_agreement_up");
	if (what == FEED_METRICS && h->sampling) {
		h->sampling = false;
		if (feed_status(h->feed, FEED_METRICS) == PAIL_OK)
			history_add(h->history, feed_value(h->feed, FEED_METRICS), clock_ms(),
				    clock_wall_ms());
	}
	for (struct connection *c = h->connections; c; c = next) {
		next = c->next; /* NOLINT(clang-analyzer-unix.Malloc): those that were freed are not in the list */
		if (!(c->wants & 1u << what))
			continue;
		c->wants &= ~(1u << what);
		if (!c->wants)
			path_answer(c);
	}
}

/* ---- bytes ---- */

/* Take the heads that are there, one after the other: the next when the answer has been read. */
static void heads_take(struct connection *c)
{
	static const char end[] = "\r\n\r\n";
	struct evbuffer *in = bufferevent_get_input(c->bev);

	while (!c->wants && !unread(c)) {
		struct evbuffer_ptr at;
		char data[HTTP_HEAD_MOST];
		size_t n;
		int status;

		if (c->closing) {
			connection_free(c);
			return;
		}
		at = evbuffer_search(in, end, sizeof(end) - 1, NULL);
		n = at.pos < 0 ? evbuffer_get_length(in) : (size_t)at.pos + sizeof(end) - 1;
		if (at.pos < 0 && n < sizeof(data))
			return;
		if (n > sizeof(data) || at.pos < 0) {
			memset(&c->head, 0, sizeof(c->head));
			status = 431;
		} else {
			(void)evbuffer_remove(in, data, n);
			status = http_head_read(data, n, &c->head);
		}
		if (status) {
			c->head.keep = false; /* where the next one begins is not known */
			answer_text(c, status, status == 405 ? "Allow: GET, HEAD\r\n" : "",
				    status == 405 ? "only GET and HEAD are answered\n"
						  : "that is no request that is answered\n");
		} else {
			path_take(c);
		}
	}
}

static void on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	heads_take(arg);
}

/* All of the answer has left. */
static void on_written(struct bufferevent *bev, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	c->at_ms = clock_ms();
	heads_take(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	/* it sends no more, and may read its answer yet */
	if (what & BEV_EVENT_EOF && (c->wants || unread(c))) {
		c->head.keep = false;
		c->closing = true;
		return;
	}
	connection_free(c);
}

/* The one that has been idle for longest makes room: nobody can keep all others out by saying
 * nothing. */
static bool room_make(struct http *h)
{
	struct connection *oldest = NULL;

	for (struct connection *c = h->connections; c; c = c->next)
		if (!c->wants && !unread(c) && (!oldest || c->at_ms < oldest->at_ms))
			oldest = c;
	if (oldest)
		connection_free(oldest);
	return oldest != NULL;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
		      void *arg)
{
	struct http *h = arg;
	struct connection *c = NULL;
	int on = 1;

	(void)l;
	(void)a;
	(void)n;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (h->count < CONNECTIONS || room_make(h))
		c = calloc(1, sizeof(*c));
	if (c)
		c->bev = bufferevent_socket_new(h->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c || !c->bev) {
		free(c);
		(void)close(fd);
		return;
	}
	c->http = h;
	c->at_ms = clock_ms();
	c->next = h->connections;
	if (c->next)
		c->next->prev = c;
	h->connections = c;
	h->count++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_HEAD_MOST);
	(void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Out of descriptors, most likely: the next try is a tick away, not at once. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
	(void)room_make(arg);
	(void)evconnlistener_disable(l);
}

/* ---- the loop ---- */

static void sweep(struct http *h, uint64_t now)
{
	struct connection *next;

	for (struct connection *c = h->connections; c; c = next) {
		next = c->next;
		if (!c->wants && now - c->at_ms > (unread(c) ? READ_MS : IDLE_MS))
			connection_free(c);
	}
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	uint64_t now = clock_ms();

	(void)fd;
	(void)what;
	sweep(h, now);
	(void)evconnlistener_enable(h->listener);
	if (now - h->sampled_ms < HISTORY_EVERY_MS)
		return;
	h->sampled_ms = now;
	h->sampling = true;
	if (feed_ask(h->feed, FEED_METRICS))
		on_feed(h, FEED_METRICS); /* what a scrape was answered with just now will do */
}

void http_step(struct http *h)
{
	while (pail_dispatch(h->admin))
		;
	(void)pail_flush(h->admin);
}

void http_stopping(struct http *h)
{
	h->stopping = true;
}

int http_new(const char *listen, struct event_base *base, struct pail *admin, struct http **ret,
	     char *bound, size_t size)
{
	static const struct timeval tick = {TICK_MS / 1000, 0};
	struct http *h = calloc(1, sizeof(*h));
	int r;

	*ret = NULL;
	if (!h)
		return -ENOMEM;
	h->base = base;
	h->admin = admin;
	h->feed = feed_new(admin, on_feed, h);
	h->history = history_new();
	r = page_init(&h->page);
	h->tick = event_new(base, -1, EV_PERSIST, on_tick, h);
	if (r == 0 && !(h->feed && h->history && h->tick && event_add(h->tick, &tick) == 0))
		r = -ENOMEM;
	if (r == 0)
		r = listen_on(base, listen, BACKLOG, on_accept, h, &h->listener, bound, size);
	if (r == 0)
		evconnlistener_set_error_cb(h->listener, on_accept_error);
	else
		http_free(&h);
	*ret = h;
	return r;
}

void http_free(struct http **hp)
{
	struct http *h = *hp;

	if (!h)
		return;
	while (h->connections)
		connection_free(h->connections); /* NOLINT(clang-analyzer-unix.Malloc): likewise */
	if (h->listener)
		evconnlistener_free(h->listener);
	if (h->tick)
		event_free(h->tick);
	feed_free(&h->feed);
	history_free(&h->history);
	page_fini(&h->page);
	free(h);
	*hp = NULL;
}
