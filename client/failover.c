/* A client of several endpoints, or one whose requests are sent again: its calls. */
#include "client/failover.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/clock.h"

#define BYTES_MAX    (64u << 20) /* of requests without an outcome; one may be larger */
#define REQUESTS_MAX (1u << SLOTS_BITS)
#define CLOSE_MS     500u /* for acknowledgements at the end */

/* Wait for anything, at most until `end_ms`. */
static void failover_poll(struct failover *f, uint64_t end_ms)
{
	struct pollfd d = {.fd = f->poll_fd, .events = POLLIN};
	uint64_t now = clock_ms();
	uint64_t wake = failover_wake_ms(f);

	wake = wake < end_ms ? wake : end_ms;
	if (wake > now)
		(void)poll(&d, 1, (int)(wake - now));
	(void)failover_dispatch(f);
}

/* Nobody serves us.  Why not: of one, or if none has said it, of all. */
static int unreachable(struct failover *f)
{
	struct pail *p = f->owner;
	const struct place *a;
	size_t n = 0;
	char all[1200] = "";

	(void)links_refused(f, &a);
	if (a) {
		handshake_why(p, a->end, a->endpoint);
		return a->end == SOCKET_REFUSED ? PAIL_DENIED : PAIL_UNREACHABLE;
	}
	for (uint32_t i = 0; i < f->places && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? "," : "",
				      f->place[i].endpoint);
	handshake_why(p, SOCKET_NOTHING, all);
	return PAIL_UNREACHABLE;
}

int failover_open(struct pail *owner, const struct endpoints *e)
{
	struct failover *f = calloc(1, sizeof(*f));
	const struct place *refused;
	uint64_t end_ms = owner->now_ms + owner->options.connect_ms;
	uint32_t place;

	if (!f)
		return PAIL_NO_MEMORY;
	f->owner = owner;
	f->retry = owner->options.retry;
	f->due_ms = f->link_ms = UINT64_MAX;
	f->now_ms = owner->now_ms;
	f->chance = (uint32_t)clock_ms() ^ (uint32_t)(uintptr_t)f ^ (uint32_t)getpid() << 16;
	f->places = e->count;
	for (uint32_t i = 0; i < e->count; i++)
		memcpy(f->place[i].endpoint, e->endpoint[i], sizeof(f->place[i].endpoint));
	owner->failover = f;
	f->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (f->poll_fd < 0)
		return PAIL_UNREACHABLE;
	while ((place = link_pick(f, f->current, false, true)) == NONE) {
		if (clock_ms() >= end_ms || links_refused(f, &refused))
			return unreachable(f);
		failover_poll(f, end_ms);
	}
	f->current = place;
	owner->message_max = f->place[place].link->message_max;
	return PAIL_OK;
}

int failover_submit(struct failover *f, const struct pail_request *q, uint32_t timeout_ms,
		    pail_done *done, void *arg)
{
	struct pail *p = f->owner;
	struct form form;

	if (p->in_flight >= REQUESTS_MAX)
		return client_fail(p, PAIL_BUSY, "a million requests are in flight: await some");
	if (!form_make(&form, q))
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	if (f->first && f->bytes + form.size > BYTES_MAX) {
		free(form.data);
		return client_fail(p, PAIL_BUSY, "64 MiB of requests are in flight: await some");
	}
	if (!waiting_new(f, &form, timeout_ms, done, arg))
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	todo_send(f);
	return PAIL_OK;
}

int failover_flush(struct failover *f)
{
	if (f->stopped)
		return PAIL_OK;
	f->now_ms = clock_ms();
	todo_send(f);
	for (uint32_t i = 0; i < f->places; i++)
		if (f->place[i].link)
			(void)pail_flush(f->place[i].link); /* what is lost is sent again */
	return PAIL_OK;
}

static bool is_readable(const struct failover *f)
{
	for (uint32_t i = 0; i < f->places; i++)
		if (f->place[i].link && socket_maybe_readable(f->place[i].link->link) &&
		    socket_ready(f->place[i].link->link, NULL))
			return true;
	return false;
}

unsigned failover_dispatch(struct failover *f)
{
	unsigned n = 0;

	do {
		f->now_ms = clock_ms();
		n += links_dispatch(f);
		n += waiting_tend(f);
		(void)failover_flush(f);
	} while (!n && !f->stopped && is_readable(f));
	return n;
}

uint64_t failover_wake_ms(const struct failover *f)
{
	uint64_t wake = f->due_ms < f->link_ms ? f->due_ms : f->link_ms;
	uint64_t now = clock_ms();

	for (uint32_t i = 0; i < f->places; i++) {
		int next = f->place[i].link ? pail_next_ms(f->place[i].link) : -1;

		if (next >= 0 && now + (unsigned)next < wake)
			wake = now + (unsigned)next;
	}
	return wake;
}

int failover_fd(const struct failover *f)
{
	return f->poll_fd;
}

void failover_note(struct failover *f)
{
	struct pail *l = f->place[f->current].link;

	if (l && l->ready)
		note_send(l);
}

void failover_abandon(struct failover *f)
{
	f->stopped = true;
	while (f->first)
		waiting_fail(f->first, PAIL_CLOSED, "the connection was closed");
}

/* Tell every bucket that nothing is asked for any more; whoever does not answer soon is left. */
static void farewell(struct failover *f)
{
	const struct place *a = &f->place[f->current];
	uint64_t end_ms = clock_ms() + CLOSE_MS;

	if (!a->link || !a->link->ready || a->link->gone || !session_acknowledge(f))
		return;
	f->stopped = false;
	(void)failover_dispatch(f);
	while (f->first && clock_ms() < end_ms)
		failover_poll(f, end_ms);
}

void failover_free(struct failover **fp)
{
	struct failover *f = *fp;

	if (!f)
		return;
	farewell(f);
	failover_abandon(f);
	links_close(f);
	while (f->todo)
		waiting_unqueue(f);
	session_free(f);
	if (f->poll_fd >= 0)
		(void)close(f->poll_fd);
	free(f);
	*fp = NULL;
}
