/* One loop for all that the gateway serves. */
#include "gateway/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>

#include "gateway/http.h"
#include "gateway/server.h"

#define STOP_S  2
#define TICK_MS 1000
#define NODES   2
#define SIGNALS 3

/* A connection to the node whose descriptor is looked at. */
struct watched {
	struct pail *node;
	struct event *event;
	int fd;
};

struct loop {
	struct event_base *base;
	struct loop_parts parts;
	struct watched nodes[NODES];
	struct event *tick;
	struct event *signals[SIGNALS];
	bool stopping;
};

static void on_node(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg; /* loop_run does it all, after every round */
}

/* Whoever has sent or received may have connected anew: then another descriptor counts. */
static void watch(struct loop *l, struct watched *w)
{
	if (!w->node || (w->event && pail_fd(w->node) == w->fd))
		return;
	if (w->event)
		event_free(w->event);
	w->fd = pail_fd(w->node);
	w->event = event_new(l->base, w->fd, EV_READ | EV_PERSIST, on_node, l);
	if (w->event)
		(void)event_add(w->event, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	if (l->parts.text)
		server_tick(l->parts.text);
}

static void tick_set(struct loop *l)
{
	int ms = TICK_MS;
	struct timeval t;

	for (int i = 0; i < NODES; i++) {
		int next = l->nodes[i].node ? pail_next_ms(l->nodes[i].node) : -1;

		if (next >= 0 && next < ms)
			ms = next;
	}
	t = (struct timeval){ms / 1000, ms % 1000 * 1000};
	(void)event_add(l->tick, &t);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	struct loop *l = arg;
	const struct timeval limit = {STOP_S, 0};

	(void)what;
	if (l->parts.text)
		server_stop(l->parts.text);
	if (l->parts.http)
		http_stopping(l->parts.http);
	if (number == SIGUSR1 || l->stopping)
		return;
	l->stopping = true;
	(void)event_base_loopexit(l->base, &limit);
}

int loop_run(struct event_base *base, const struct loop_parts *parts)
{
	static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGUSR1};
	struct loop l = {
		.base = base,
		.parts = *parts,
		.nodes = {{parts->node, NULL, -1}, {parts->admin, NULL, -1}},
	};
	int r = 0;

	l.tick = event_new(base, -1, 0, on_tick, &l);
	for (int i = 0; i < SIGNALS; i++) {
		l.signals[i] = evsignal_new(base, numbers[i], on_signal, &l);
		if (!l.signals[i] || event_add(l.signals[i], NULL) < 0)
			r = -ENOMEM;
	}
	if (!l.tick)
		r = -ENOMEM;
	while (r == 0 && !(l.stopping && (!parts->text || server_ended(parts->text)))) {
		if (parts->text)
			server_step(parts->text);
		if (parts->http)
			http_step(parts->http);
		for (int i = 0; i < NODES; i++)
			watch(&l, &l.nodes[i]);
		tick_set(&l);
		if (event_base_loop(base, EVLOOP_ONCE) != 0 || event_base_got_exit(base))
			break;
	}
	for (int i = 0; i < SIGNALS; i++)
		if (l.signals[i])
			event_free(l.signals[i]);
	for (int i = 0; i < NODES; i++)
		if (l.nodes[i].event)
			event_free(l.nodes[i].event);
	if (l.tick)
		event_free(l.tick);
	return r;
}
