/*
 * Requests that wait for their outcome: the copies of them that are sent, and what follows from
 * each reply.  A copy ends in one of these ways:
 *	final		it has run, or a fault leaves it open: the request ends so
 *	passing		it has not run, and may go well a little later
 *	refused		it has not run, nor will another
 *	forgotten	it has not run, since its session is not known
 *	unknown		nobody tells
 *	unsent		it never left
 * A request that ends because of copies that have not run does so only if none is unknown.
 */
#include <stdlib.h>

#include "client/failover.h"
#include "common/clock.h"

/* A copy is waited for an eighth of the time, the next ones twice as long each, up to a quarter. */
#define SHARES       8u
#define SHARE_MIN_MS 20u
#define SHARE_MAX_MS 1000u /* of the first; of the others four times as much */
#define SHARE_GROWN  4u
#define PAUSE_MS     10u /* behind the first refusal, then twice as long each time */
#define PAUSE_MAX_MS 1000u
#define LOOK_MS      10u /* when no connection is there to be sent on */

/* ---- the list ---- */

static void list_append(struct failover *f, struct waiting *w)
{
	w->previous = f->last;
	*(f->last ? &f->last->next : &f->first) = w;
	f->last = w;
}

static void list_remove(struct failover *f, struct waiting *w)
{
	*(w->previous ? &w->previous->next : &f->first) = w->next;
	*(w->next ? &w->next->previous : &f->last) = w->previous;
}

static void todo_append(struct failover *f, struct waiting *w)
{
	w->queued = true;
	w->todo = NULL;
	*(f->todo ? &f->todo_last->todo : &f->todo) = w;
	f->todo_last = w;
}

static void todo_prepend(struct failover *f, struct waiting *w)
{
	w->queued = true;
	w->todo = f->todo;
	if (!f->todo)
		f->todo_last = w;
	f->todo = w;
}

/* A request that has ended may still be in it: it is kept until it is met there. */
static struct waiting *todo_take(struct failover *f)
{
	struct waiting *w = f->todo;

	f->todo = w->todo;
	w->queued = false;
	return w;
}

static void waiting_release(struct waiting *w)
{
	if (w->ended && !w->outstanding && !w->queued)
		free(w);
}

uint32_t jitter(struct failover *f, uint32_t ms)
{
	f->chance = f->chance * 1664525u + 1013904223u;
	return ms / 2 + (f->chance >> 8) % (ms / 2 + 1);
}

static uint32_t share_first(uint32_t timeout_ms)
{
	uint32_t ms = timeout_ms / SHARES;

	return ms < SHARE_MIN_MS ? SHARE_MIN_MS : ms < SHARE_MAX_MS ? ms : SHARE_MAX_MS;
}

static struct waiting *waiting_make(struct failover *f, struct form *form, uint32_t timeout_ms,
				    pail_done *done, void *arg)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w) {
		free(form->data);
		return NULL;
	}
	f->now_ms = clock_ms();
	w->of = f;
	w->done = done;
	w->arg = arg;
	w->form = *form;
	w->deadline_ms = f->now_ms + timeout_ms;
	w->end_ms = w->deadline_ms + grace_ms(timeout_ms);
	w->next_ms = UINT64_MAX;
	w->share_ms = share_first(timeout_ms);
	w->share_max_ms = timeout_ms / SHARE_GROWN < SHARE_GROWN * SHARE_MAX_MS
				  ? timeout_ms / SHARE_GROWN
				  : SHARE_GROWN * SHARE_MAX_MS;
	w->pause_ms = PAUSE_MS;
	f->bytes += form->size;
	list_append(f, w);
	due_by(f, w->deadline_ms);
	return w;
}

struct waiting *waiting_new(struct failover *f, struct form *form, uint32_t timeout_ms,
			    pail_done *done, void *arg)
{
	struct waiting *w = waiting_make(f, form, timeout_ms, done, arg);

	if (w) {
		f->owner->in_flight++;
		todo_append(f, w);
	}
	return w;
}

struct waiting *waiting_own(struct failover *f, struct form *form, uint32_t timeout_ms,
			    pail_done *done, void *arg)
{
	struct waiting *w = waiting_make(f, form, timeout_ms, done, arg);

	if (w) {
		w->own = true;
		if (done)
			todo_prepend(f, w); /* others wait for it */
		else
			todo_append(f, w);
	}
	return w;
}

void waiting_end(struct waiting *w, const struct pail_result *r)
{
	struct failover *f = w->of;
	pail_done *done = w->done;
	void *arg = w->arg;
	char *text = w->text; /* the result may lead to it */

	list_remove(f, w);
	f->bytes -= w->form.size;
	session_leave(w);
	free(w->form.data);
	w->form.data = NULL;
	w->text = NULL;
	w->ended = true;
	if (!w->own)
		f->owner->in_flight--;
	waiting_release(w);
	if (done)
		done(arg, r);
	free(text);
}

void waiting_fail(struct waiting *w, int status, const char *text)
{
	struct pail_result r = {.status = status, .text = text};

	waiting_end(w, &r);
}

/* ---- what follows from a copy's end ---- */

enum fate { FINAL, PASSING, REFUSED, FORGOTTEN, UNKNOWN, UNSENT };

static enum fate fate_of(int status)
{
	switch (status) {
	case STATUS_UNSENT:
		return UNSENT;
	case PAIL_TIMEOUT:
	case PAIL_CLOSED:
		return UNKNOWN;
	case PAIL_BUSY:
	case PAIL_EXPIRED:
	case PAIL_NODE_DOWN:
	case PAIL_TOO_FEW:
		return PASSING;
	case PAIL_BAD_REQUEST:
	case PAIL_UNKNOWN_METHOD:
	case PAIL_BAD_ARGUMENT:
	case PAIL_TOO_LARGE:
	case PAIL_NO_ROUTE:
	case PAIL_ROUTE_LOOP:
	case PAIL_FULL:
	case PAIL_DENIED:
	case PAIL_NO_FUNCTION:
	case PAIL_STALE:
		return REFUSED;
	case PAIL_NO_SESSION:
		return FORGOTTEN;
	default:
		return FINAL;
	}
}

static bool takes_session(const struct waiting *w)
{
	return (wire_methods[w->form.method].options & OPT_ONCE) != 0;
}

/* Whatever says that it has not run ends it. */
static bool is_sent_once(const struct waiting *w)
{
	return !w->of->retry || method_is(w->form.method, METHOD_ADMIN);
}

/* A read, or what the library asks by itself: it may be run as often as one likes. */
static bool is_repeatable(const struct waiting *w)
{
	return !takes_session(w) && !method_is(w->form.method, METHOD_ADMIN);
}

/* May another copy be sent, whatever has become of those before? */
static bool may_send(const struct waiting *w)
{
	if (w->final || w->of->now_ms >= w->deadline_ms)
		return false;
	if (!w->outstanding && !w->unknown)
		return true;
	return w->of->retry && (w->session || is_repeatable(w));
}

static void text_keep(struct waiting *w, int status, const char *text)
{
	free(w->text);
	w->text = strdup(text);
	w->refusal = status;
}

/* The next copy may be sent behind a pause. */
static void again_in(struct waiting *w, uint32_t ms)
{
	uint64_t at = w->of->now_ms + ms;

	if (at < w->next_ms || !w->outstanding)
		w->next_ms = at;
	due_by(w->of, w->next_ms);
}

static void pause_take(struct waiting *w)
{
	again_in(w, jitter(w->of, w->pause_ms));
	w->pause_ms = 2 * w->pause_ms < PAUSE_MAX_MS ? 2 * w->pause_ms : PAUSE_MAX_MS;
}

/* Nothing more is sent or waited for: it ends.  False: it goes on, as one of another session. */
static bool conclude(struct waiting *w)
{
	struct failover *f = w->of;
	const struct place *refused;

	if (w->unknown || w->outstanding) {
		/* One whose time is less than a share has not asked whether the node is there. */
		link_suspect(f, w->place, w->sent_ms);
		waiting_fail(w, PAIL_TIMEOUT,
			     "no outcome in time: it may or may not have taken effect");
	} else if (w->forgotten && w->session) {
		session_forget(f, w->session); /* no copy of it has run */
		session_leave(w);
		w->forgotten = w->final = false;
		pause_take(w); /* nodes whose clocks are apart know none of each other */
		return false;
	} else if (w->refusal) {
		waiting_fail(w, w->refusal, w->text ? w->text : "no memory");
	} else if (!w->copies && links_refused(f, &refused)) {
		handshake_why(f->owner, refused->end, refused->endpoint);
		waiting_fail(w, refused->end == SOCKET_REFUSED ? PAIL_DENIED : PAIL_UNREACHABLE,
			     f->owner->why);
	} else {
		waiting_fail(w, PAIL_EXPIRED,
			     *f->ask_why && takes_session(w)
				     ? f->ask_why
				     : "its time was over before it was sent");
	}
	return true;
}

/* It never left: as if it had not been sent. */
static void unsent(struct waiting *w)
{
	struct failover *f = w->of;

	w->copies--;
	if (w->copies) {
		again_in(w, 0);
		return;
	}
	w->next_ms = UINT64_MAX;
	w->queued = true;
	w->todo = NULL;
	*(f->returned ? &f->returned_last->todo : &f->returned) = w;
	f->returned_last = w;
}

static void copy_note(struct waiting *w, enum fate fate, const struct pail_result *r)
{
	switch (fate) {
	case UNKNOWN:
		w->unknown++;
		w->step = true;
		if (w->of->retry && (w->session || is_repeatable(w)))
			pause_take(w);
		else
			w->final = true;
		break;
	case PASSING:
		text_keep(w, r->status, r->text);
		w->step = r->status == PAIL_NODE_DOWN;
		pause_take(w);
		break;
	case REFUSED:
	case FORGOTTEN:
		text_keep(w, r->status, r->text);
		w->forgotten = fate == FORGOTTEN;
		w->final = true;
		break;
	default:
		break;
	}
}

static void copy_done(void *arg, const struct pail_result *r)
{
	struct waiting *w = arg;
	enum fate fate = fate_of(r->status);

	w->outstanding--;
	if (w->ended) {
		waiting_release(w);
		return;
	}
	w->of->now_ms = clock_ms();
	if (fate == UNSENT) {
		unsent(w);
		return;
	}
	if (fate == FINAL || (is_sent_once(w) && fate != UNKNOWN) ||
	    (fate != UNKNOWN && fate != PASSING && is_repeatable(w))) {
		if (w->copies > 1 && (w->outstanding || w->unknown))
			w->of->current = w->place; /* it has answered where another did not */
		waiting_end(w, r);
		return;
	}
	copy_note(w, fate, r);
	if (w->final && !w->outstanding)
		(void)conclude(w);
}

/* ---- sending ---- */

/* A copy on that link.  False: it could not be sent now. */
static bool copy_send(struct waiting *w, uint32_t place)
{
	struct failover *f = w->of;
	struct once once;
	struct sending x = {.form = &w->form, .timeout_ms = 1};
	int r;

	if (f->now_ms < w->deadline_ms) /* else it has passed just now */
		x.timeout_ms = (uint32_t)(w->deadline_ms - f->now_ms);
	x.method = w->form.method;
	if (w->session) {
		once = (struct once){w->session->id, w->seq, session_floor(w->session)};
		x.once = &once;
	}
	r = client_send(f->place[place].link, &x, form_size(&w->form), copy_done, w);
	if (r == PAIL_TOO_LARGE) {
		text_keep(w, r, f->place[place].link->why);
		w->final = true;
		again_in(w, 0); /* to end, but not within pail_submit */
		return true;
	}
	if (r != PAIL_OK)
		return false;
	w->copies++;
	w->outstanding++;
	w->place = place;
	w->step = false;
	w->sent_ms = f->now_ms;
	w->next_ms = f->now_ms + w->share_ms;
	if (2 * w->share_ms <= w->share_max_ms)
		w->share_ms *= 2;
	due_by(f, w->next_ms);
	return true;
}

/* It has a session, or needs none where it would be sent. */
static bool is_prepared(struct waiting *w, uint32_t place)
{
	struct failover *f = w->of;

	if (!f->retry || !takes_session(w))
		return true;
	if (f->place[place].link->has_sessions)
		return w->session || session_join(f, w);
	if (w->session)
		session_leave(w); /* none has run, or it would not be sent there */
	return true;
}

void waiting_unqueue(struct failover *f)
{
	waiting_release(todo_take(f));
}

void todo_send(struct failover *f)
{
	while (f->todo && !f->stopped && !f->returning) {
		struct waiting *w = f->todo;
		uint32_t place;

		if (w->ended) {
			waiting_unqueue(f);
			continue;
		}
		if (f->now_ms >= w->deadline_ms) {
			(void)todo_take(f); /* it ends when it is looked at */
			continue;
		}
		place = link_pick(f, f->current, false, true);
		if (place == NONE)
			return;
		f->current = place;
		if (!is_prepared(w, place)) {
			if (f->todo == w)
				return;
			continue;
		}
		(void)todo_take(f);
		if (!copy_send(w, place)) {
			todo_prepend(f, w); /* nothing behind it goes before it */
			due_by(f, f->now_ms + LOOK_MS);
			return;
		}
	}
}

/* Its share is over, or its pause: another copy, if that may be. */
static void send_again(struct waiting *w)
{
	struct failover *f = w->of;
	uint32_t from = w->place;
	uint32_t place;

	if (w->outstanding) {
		link_suspect(f, w->place, w->sent_ms);
		w->step = true;
	}
	if (!may_send(w)) {
		w->next_ms = w->outstanding ? f->now_ms + w->share_ms : UINT64_MAX;
		return;
	}
	from = w->step ? from + 1 : f->current;
	place = link_pick(f, from, w->session && (w->unknown || w->outstanding), false);
	if (place == NONE || !is_prepared(w, place) || !copy_send(w, place))
		w->next_ms = f->now_ms + LOOK_MS;
}

/* What is due of one.  Whether it has ended. */
static bool waiting_due(struct waiting *w)
{
	struct failover *f = w->of;

	if (f->now_ms >= w->end_ms ||
	    (!w->outstanding && (w->final || f->now_ms >= w->deadline_ms)))
		return conclude(w);
	if (f->now_ms >= w->next_ms)
		send_again(w);
	return false;
}

/* When to look at it next. */
static uint64_t due_of(const struct waiting *w)
{
	uint64_t end_ms = w->of->now_ms < w->deadline_ms ? w->deadline_ms : w->end_ms;

	return w->next_ms < end_ms ? w->next_ms : end_ms;
}

unsigned waiting_tend(struct failover *f)
{
	const struct place *one;
	bool refused = !f->retry && links_refused(f, &one);
	unsigned n = 0;

	f->now_ms = clock_ms();
	if (f->now_ms < f->due_ms)
		return 0;
	f->due_ms = UINT64_MAX;
	/* A callback may add some at the end, or end all. */
	for (struct waiting *w = f->first, *next; w && !f->stopped; w = next) {
		next = w->next;
		if (refused && w->queued && !w->copies)
			n += conclude(w);
		else if ((f->now_ms >= w->deadline_ms || f->now_ms >= w->next_ms) && waiting_due(w))
			n++;
		else
			due_by(f, due_of(w));
	}
	return n;
}
