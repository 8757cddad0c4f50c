/* What operators ask of workers, and those who wait for it. */
#include <stdarg.h>
#include <stdio.h>

#include "coordinator/workers/handoff.h"
#include "coordinator/workers/handoff_impl.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

void ask_error(struct handoff *h, struct worker_ask *a, enum wire_error e, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	if (!a->open)
		return;
	a->open = false;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_error(h->sink, a->reply_to, WIRE_WORKER, a->msgid, true, e, text);
}

/* `{id, pid, state, took_ms, pause_us}` */
void ask_done(struct handoff *h, struct worker_ask *a, const struct worker *w, uint64_t took_ms,
	      uint64_t pause_us)
{
	char reply[256];
	char *p;

	if (!a->open)
		return;
	a->open = false;
	p = write_map(write_reply_head(reply, a->msgid), 5);
	p = write_uint(write_text(p, "id"), w->id);
	p = write_uint(write_text(p, "pid"), (uint64_t)w->pid);
	p = write_text(write_text(p, "state"), supervisor_state_name(w->state));
	p = write_uint(write_text(p, "took_ms"), took_ms);
	p = write_uint(write_text(p, "pause_us"), pause_us);
	reply_send(h->sink, a->reply_to, reply, (size_t)(p - reply));
}

/* Those who wait for a start or a stop. */
static void ask_look(struct handoff *h, struct worker_ask *a)
{
	struct worker *w = &h->supervisor->worker[a->worker];

	if (a->stop && w->state == WORKER_DOWN)
		ask_done(h, a, w, 0, 0);
	else if (!a->stop && w->state == WORKER_UP)
		ask_done(h, a, w, h->node->now_ms - w->started_ms, 0);
	else if (!a->stop && w->state == WORKER_FAILED)
		ask_error(h, a, WIRE_E_INTERNAL, "worker %u has failed: %s", w->id, w->reason);
	else if (!a->stop && w->restarts != a->restarts)
		ask_error(h, a, WIRE_E_INTERNAL,
			  "worker %u died at its start: %s; it is tried again", w->id, w->reason);
}

void asks_look(struct handoff *h)
{
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++)
		if (h->waiting[i].open)
			ask_look(h, &h->waiting[i]);
}

bool handoff_awaited(const struct handoff *h)
{
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++)
		if (h->waiting[i].open)
			return true;
	return false;
}

/* It is answered when the worker is there.  False: too many wait, this one has been told. */
static bool ask_keep(struct handoff *h, const struct worker *w, struct worker_ask *a, bool stop)
{
	a->worker = w->id;
	a->stop = stop;
	a->restarts = w->restarts;
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++)
		if (!h->waiting[i].open) {
			h->waiting[i] = *a;
			return true;
		}
	ask_error(h, a, WIRE_E_BUSY, "too many wait for workers already: try again later");
	return false;
}

/* Nobody can wait for worker `id`, or for any (UINT32_MAX), to come up any more. */
void starts_refuse(struct handoff *h, uint32_t id, const char *why)
{
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++) {
		struct worker_ask *a = &h->waiting[i];

		if (a->open && !a->stop && (a->worker == id || id == UINT32_MAX))
			ask_error(h, a, WIRE_E_BUSY, "worker %u was not started: %s", a->worker,
				  why);
	}
}

static void start_begin(struct handoff *h, struct worker *w, struct worker_ask *a)
{
	if (w->state == WORKER_STOPPING) {
		ask_error(h, a, WIRE_E_BUSY, "worker %u is stopping: try again later", w->id);
		return;
	}
	if (!ask_keep(h, w, a, false))
		return;
	w->wanted = true;
	if (w->state == WORKER_DOWN || w->state == WORKER_FAILED)
		supervisor_event(h->supervisor, w, EVENT_START);
	h->node->changed = true;
}

static void stop_begin(struct handoff *h, struct worker *w, struct worker_ask *a)
{
	if (h->step && h->worker == w) {
		ask_error(h, a, WIRE_E_BUSY, "worker %u is being restarted: try again later",
			  w->id);
		return;
	}
	if (!ask_keep(h, w, a, true))
		return;
	w->wanted = false;
	starts_refuse(h, w->id, "it is being stopped, as was asked for later");
	supervisor_event(h->supervisor, w, EVENT_STOP);
	h->node->changed = true;
}

static bool worker_id(const struct handoff *h, const struct request *q, struct worker **ret)
{
	const char *p = q->param_count > 1 ? q->param[1] : NULL;
	uint64_t id;

	if (!p || read_type(p) != TYPE_UINT)
		return false;
	id = read_uint(&p);
	if (id >= h->supervisor->count)
		return false;
	*ret = &h->supervisor->worker[id];
	return true;
}

void handoff_ask(struct handoff *h, struct reply_to o, const struct request *q)
{
	struct worker_ask a = {.open = true, .reply_to = o, .msgid = q->msgid};
	struct span action = {"", 0};
	struct worker *w = NULL;

	(void)request_bytes(q, 0, &action);
	if (!worker_id(h, q, &w))
		ask_error(h, &a, WIRE_E_BAD_ARGUMENT,
			  "worker: there is no such worker: this node has %u, counted from 0",
			  h->supervisor->count);
	else if (span_equal(action, span_of("restart")))
		restart_begin(h, w, &a);
	else if (span_equal(action, span_of("start")))
		start_begin(h, w, &a);
	else if (span_equal(action, span_of("stop")))
		stop_begin(h, w, &a);
	else
		ask_error(h, &a, WIRE_E_BAD_ARGUMENT,
			  "worker: unknown action \"%.*s\": restart, start or stop",
			  (int)(action.n < 32 ? action.n : 32), action.p);
}
