/*
 * Links between nodes of one process, on a simulated clock: net.now_ms is the time.  Included by the
 * test program of the links.
 */
#ifndef PAIL_SIMULATED_LINKS_H
#define PAIL_SIMULATED_LINKS_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/net/net_ops.h"
#include "tests/unit/lib/unit.h"

#define DEALERS_MAX 4096u

struct flight {
	struct flight *next;
	uint64_t at_ms; /* when it arrives */
	uint32_t id;    /* of the dealer that it is from */
	size_t n;
	char data[];
};

struct socket {
	struct flight *first;
	struct flight *last;
	struct flight *taken; /* what the last message that was received lies in */
	uint32_t id;          /* a dealer's; 0: a router */
	uint64_t open_ms;     /* a dealer's: when it is connected */
	bool open_told;
	bool broken;
	bool broken_told;
};

static struct {
	uint64_t now_ms;
	uint64_t delay_ms;
	bool cut; /* what is sent vanishes, and nobody can connect */
	struct socket router;
	struct socket *dealer[DEALERS_MAX]; /* by id; NULL: closed */
	uint32_t dealers;
} net;

static void flights_drop(struct socket *l, uint64_t after_ms)
{
	struct flight **link = &l->first;

	l->last = NULL;
	while (*link) {
		struct flight *f = *link;

		if (f->at_ms > after_ms) {
			*link = f->next;
			free(f);
		} else {
			l->last = f;
			link = &f->next;
		}
	}
}

static void deliver(struct socket *to, uint32_t id, const void *data, size_t n)
{
	struct flight *f;

	if (net.cut)
		return;
	f = malloc(sizeof(*f) + n);
	TRUE_(f);
	f->next = NULL;
	f->at_ms = net.now_ms + net.delay_ms;
	if (to->last && to->last->at_ms > f->at_ms)
		f->at_ms = to->last->at_ms; /* a connection keeps the order */
	f->id = id;
	f->n = n;
	memcpy(f->data, data, n);
	*(to->last ? &to->last->next : &to->first) = f;
	to->last = f;
}

static int sim_connect(struct socket_context *c, const char *endpoint,
		       const struct socket_options *o, struct socket **ret)
{
	struct socket *l = calloc(1, sizeof(*l));

	(void)c;
	(void)endpoint;
	(void)o;
	TRUE_(l && net.dealers + 1 < DEALERS_MAX);
	l->id = ++net.dealers;
	l->open_ms = net.cut ? UINT64_MAX : net.now_ms + net.delay_ms;
	net.dealer[l->id] = l;
	*ret = l;
	return 0;
}

static void sim_close(struct socket **lp)
{
	struct socket *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	net.dealer[l->id] = NULL;
	flights_drop(l, 0);
	free(l->taken);
	free(l);
}

static enum socket_event sim_event(struct socket *l)
{
	if (!l->open_told && net.now_ms >= l->open_ms) {
		l->open_told = true;
		return SOCKET_OPEN;
	}
	if (l->broken && !l->broken_told) {
		l->broken_told = true;
		return SOCKET_CLOSED;
	}
	return SOCKET_NOTHING;
}

static bool sim_maybe_readable(const struct socket *l)
{
	return l->first && l->first->at_ms <= net.now_ms;
}

static bool sim_ready(struct socket *l, bool *ret_writable)
{
	if (ret_writable)
		*ret_writable = net.now_ms >= l->open_ms && !l->broken;
	return sim_maybe_readable(l);
}

static int sim_receive(struct socket *l, uint64_t bytes_max, struct socket_message **ret)
{
	static struct socket_message m;
	struct flight *f = l->first;

	(void)bytes_max;
	free(l->taken);
	l->taken = NULL;
	if (!sim_maybe_readable(l))
		return -EAGAIN;
	l->first = f->next;
	if (!l->first)
		l->last = NULL;
	l->taken = f;
	m.id = (struct span){(const char *)&f->id, sizeof(f->id)};
	m.frames = 1;
	m.frame[0] = (struct span){f->data, f->n};
	m.bytes = f->n;
	m.source_fd = -1;
	*ret = &m;
	return 0;
}

static int sim_send(struct socket *l, struct span id, bool delimiter, void *data, size_t n,
		    void (*done)(void *data, void *arg), void *arg)
{
	struct socket *to = &net.router;
	uint32_t from = l->id;
	int r = 0;

	(void)delimiter;
	if (!l->id) {
		memcpy(&from, id.p, sizeof(from));
		to = net.dealer[from];
		r = to && !to->broken ? 0 : -EHOSTUNREACH;
	} else if (l->broken || net.now_ms < l->open_ms) {
		r = -EAGAIN;
	}
	if (r == 0)
		deliver(to, from, data, n);
	done(data, arg);
	return r;
}

static int sim_reply(struct socket *l, struct span id, const struct span *envelope, uint32_t count,
		     void *data, size_t n, void (*done)(void *data, void *arg), void *arg)
{
	(void)envelope;
	(void)count;
	return sim_send(l, id, true, data, n, done, arg);
}

static const struct net_ops simulated = {
	.connect = sim_connect,
	.close = sim_close,
	.event = sim_event,
	.maybe_readable = sim_maybe_readable,
	.ready = sim_ready,
	.receive = sim_receive,
	.send = sim_send,
	.reply = sim_reply,
};

/* Every connection is reset: what is on its way is lost. */
static void net_break(void)
{
	flights_drop(&net.router, net.now_ms);
	for (uint32_t i = 1; i <= net.dealers; i++)
		if (net.dealer[i]) {
			net.dealer[i]->broken = true;
			flights_drop(net.dealer[i], net.now_ms);
		}
}

#endif
