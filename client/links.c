/* The endpoints of a failover: which of them is connected to, when, and when no more. */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "client/failover.h"
#include "common/clock.h"
#include "common/endpoint.h"

#define TURN_MS   250u  /* another endpoint is not tried before, while one is connected to */
#define HELLO_MS  2000u /* then it is given up */
#define ANSWER_MS 500u  /* a node that has been asked whether it is there is given up */
/* A node that goes away answers what it was asked before; whoever asks again waits less for it. */
#define LEAVE_MS       30000u
#define LEAVE_RETRY_MS 1000u
#define PAUSE_MS       10u
#define PAUSE_MAX_MS   1000u

/* ---- lists of endpoints ---- */

/* Where the endpoint that begins there ends: a path may have commas of its own. */
static size_t endpoint_length(const char *s)
{
	size_t n = strcspn(s, ",");

	while (!strncmp(s, "ipc://", 6) && s[n] && strncmp(s + n + 1, "ipc://", 6) != 0 &&
	       strncmp(s + n + 1, "tcp://", 6) != 0)
		n += 1 + strcspn(s + n + 1, ",");
	return n;
}

const char *endpoints_split(const char *text, struct endpoints *ret)
{
	const char *why = NULL;

	ret->count = 0;
	if (!text)
		return "it is empty";
	for (const char *s = text;; s++) {
		char one[SOCKET_ENDPOINT_MAX];
		size_t n = endpoint_length(s);

		if (n >= sizeof(one))
			return "it is longer than 255 bytes";
		if (ret->count == ENDPOINTS_MAX)
			return "there are more than 16 of them";
		(void)snprintf(one, sizeof(one), "%.*s", (int)n, s);
		if (endpoint_check(one, ENDPOINT_CONNECT, ret->endpoint[ret->count], &why) < 0)
			return why;
		ret->count++;
		s += n;
		if (!*s)
			return NULL;
	}
}

const char *pail_endpoint_why(const char *endpoint)
{
	struct endpoints e;

	return endpoints_split(endpoint, &e);
}

/* ---- connections ---- */

/* Look at links again at that time. */
static void link_by(struct failover *f, uint64_t ms)
{
	if (ms < f->link_ms)
		f->link_ms = ms;
}

/* Have the poll descriptor be readable when a link may have something. */
static void place_watch(struct failover *f, const struct place *a, int operation)
{
	struct epoll_event e = {.events = EPOLLIN};

	(void)epoll_ctl(f->poll_fd, operation, socket_fd(a->link->link), &e);
	(void)epoll_ctl(f->poll_fd, operation, socket_event_fd(a->link->link), &e);
}

static void place_pause(struct failover *f, struct place *a)
{
	a->pause_ms = !a->pause_ms                     ? PAUSE_MS
		      : 2 * a->pause_ms < PAUSE_MAX_MS ? 2 * a->pause_ms
						       : PAUSE_MAX_MS;
	a->again_ms = f->now_ms + jitter(f, a->pause_ms);
}

/* When it is tried again, and with which of the node's keys. */
static void place_judge(struct failover *f, struct place *a, const struct pail *l)
{
	unsigned servers = l->key ? l->key->servers : 0;

	if (l->ready) {
		a->end = SOCKET_NOTHING;
		a->pause_ms = 0; /* it has served: at once */
		a->again_ms = f->now_ms;
		return;
	}
	/* Who closes early hides what it would have told: what it has told before stands. */
	if (is_final(l->end) || (l->end == SOCKET_BROKEN && !is_final(a->end)))
		a->end = l->end;
	if (a->end == SOCKET_BROKEN && servers > 1)
		a->server = (a->server + 1) % servers;
	if (a->end == SOCKET_BROKEN && servers > 1 && a->server)
		a->again_ms = f->now_ms;
	else
		place_pause(f, a);
}

static void place_close(struct failover *f, struct place *a)
{
	struct pail *l = a->link;

	place_watch(f, a, EPOLL_CTL_DEL);
	a->link = NULL;
	a->asked_ms = 0;
	if (f->current == (uint32_t)(a - f->place))
		f->current = (f->current + 1) % f->places;
	place_judge(f, a, l);
	f->returned = f->returned_last = NULL;
	f->returning = true; /* nothing new goes before them */
	pail_close(&l);      /* what it had ends, or comes back */
	if (f->returned_last) {
		f->returned_last->todo = f->todo;
		if (!f->todo)
			f->todo_last = f->returned_last;
		f->todo = f->returned;
	}
	f->returned = f->returned_last = NULL;
	f->returning = false;
	due_by(f, 0);
}

/* Begin to connect, if that may be. */
static void place_open(struct failover *f, struct place *a)
{
	if (a->link || f->now_ms < a->again_ms)
		return;
	if (link_open(a->endpoint, f->owner, a->server, &a->link) < 0) {
		place_pause(f, a);
		return;
	}
	a->begun_ms = f->now_ms;
	place_watch(f, a, EPOLL_CTL_ADD);
}

uint32_t link_pick(struct failover *f, uint32_t from, bool once, bool patient)
{
	for (uint32_t k = 0; k < f->places; k++) {
		uint32_t i = (from + k) % f->places;
		struct place *a = &f->place[i];
		const struct pail *l;

		place_open(f, a);
		l = a->link;
		if (!l) {
			link_by(f, a->again_ms);
			continue;
		}
		if (l->closed || l->gone)
			continue;
		if (!l->ready) {
			if (f->now_ms - a->begun_ms < TURN_MS) {
				link_by(f, a->begun_ms + TURN_MS);
				return NONE;
			}
		} else if (l->goaway) {
			if (patient)
				return NONE;
		} else if (l->has_sessions || !once) {
			return i;
		}
	}
	return NONE;
}

void link_suspect(struct failover *f, uint32_t place, uint64_t since_ms)
{
	struct place *a = &f->place[place];

	if (!a->link || !a->link->ready || a->asked_ms || a->link->heard_ms > since_ms)
		return;
	note_send(a->link);
	a->asked_ms = f->now_ms;
	link_by(f, f->now_ms + ANSWER_MS);
}

/* Is it of no more use?  Else, when to look again. */
static bool place_over(struct failover *f, struct place *a)
{
	const struct pail *l = a->link;
	uint64_t begin = !l->ready ? a->begun_ms : l->goaway ? l->goaway_ms : a->asked_ms;
	uint64_t leave = f->retry && l->has_sessions ? LEAVE_RETRY_MS : LEAVE_MS;
	uint64_t most = !l->ready ? HELLO_MS : l->goaway ? leave : ANSWER_MS;

	if (l->gone || (l->goaway && !l->on_wire))
		return true;
	if (!begin)
		return false;
	if (f->now_ms - begin >= most)
		return true;
	link_by(f, begin + most);
	return false;
}

/* Its requests that were not sent before it was told to go away go elsewhere. */
static unsigned place_dispatch(struct failover *f, struct place *a)
{
	unsigned n = pail_dispatch(a->link);

	if (f->stopped)
		return n;
	if (a->link->gone)
		n += pail_dispatch(a->link); /* what came just before it closed */
	if (!a->link->noted || a->link->heard_ms > a->asked_ms)
		a->asked_ms = 0;
	if (a->link->ready && a == &f->place[f->current])
		f->owner->message_max = a->link->message_max;
	if (!f->stopped && place_over(f, a))
		place_close(f, a);
	return n;
}

unsigned links_dispatch(struct failover *f)
{
	unsigned n = 0;

	f->link_ms = UINT64_MAX;
	for (uint32_t i = 0; i < f->places && !f->stopped; i++)
		if (f->place[i].link)
			n += place_dispatch(f, &f->place[i]);
	return n;
}

bool links_refused(const struct failover *f, const struct place **ret)
{
	uint32_t n = 0;

	*ret = NULL;
	for (uint32_t i = 0; i < f->places; i++) {
		const struct place *a = &f->place[i];

		n += is_final(a->end);
		if (a->end != SOCKET_NOTHING &&
		    (!*ret || (a->end == SOCKET_REFUSED && (*ret)->end != SOCKET_REFUSED)))
			*ret = a;
	}
	return n == f->places;
}

void links_close(struct failover *f)
{
	for (uint32_t i = 0; i < f->places; i++)
		if (f->place[i].link)
			place_close(f, &f->place[i]);
}
