/* Handing a worker's place to its successor, and what else operators do to workers. */
#include "coordinator/handoff.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/coord.h"
#include "coordinator/workers/spawn.h"
#include "ipc/shm/control.h"

#define HOLD_MS   20000u /* for the old one's last checkpoint */
#define FOLLOW_MS 60000u /* for reading base's directory and the log */
#define LEAVE_MS  2000u  /* for a request and a sync: well within the time that clients give */

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void handoff_init(struct handoff *h)
{
	memset(h, 0, sizeof(*h));
	h->pidfd = -1;
	h->control = -1;
	h->zombie = -1;
}

bool handoff_idle(const struct handoff *h)
{
	return h->pidfd < 0 && h->zombie < 0;
}

void handoff_fds(const struct handoff *h, int fd[HANDOFF_FDS])
{
	fd[0] = h->pidfd;
	fd[1] = h->control;
	fd[2] = h->zombie;
}

/* ---- answers ---- */

static void ask_error(struct coord *c, struct worker_ask *a, enum wire_error e, const char *fmt,
		      ...) __attribute__((format(printf, 4, 5)));

static void ask_error(struct coord *c, struct worker_ask *a, enum wire_error e, const char *fmt,
		      ...)
{
	char text[600];
	va_list ap;

	if (!a->open)
		return;
	a->open = false;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_error(&c->sink, a->reply_to, a->msgid, true, e, text);
}

/* `{id, pid, state, took_ms, pause_us}` */
static void ask_done(struct coord *c, struct worker_ask *a, const struct worker *w,
		     uint64_t took_ms, uint64_t pause_us)
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
	reply_send(&c->sink, a->reply_to, reply, (size_t)(p - reply));
}

/* ---- giving up ---- */

static void successor_kill(struct handoff *h)
{
	if (h->pid)
		(void)kill(h->pid, SIGKILL); /* the pidfd tells when it is gone */
	close_fd(&h->control);
}

/* Nothing more is handed over.  The old one, if it lives and has not been told to leave, goes on.
 */
static void give_up(struct coord *c, enum wire_error e, const char *why)
{
	struct handoff *h = &c->handoff;
	struct worker *w = h->worker;
	bool serves = h->step <= HANDOFF_FOLLOWING && w->pid == h->old_pid &&
		      w->state == WORKER_UP && w->control >= 0;

	if (serves)
		(void)control_send(w->control, CONTROL_RESUME);
	successor_kill(h);
	log_warn("restart of worker %u given up: %s%s", w->id, why,
		 serves ? "; the old one goes on" : "");
	ask_error(c, &h->ask, e, "worker %u was not restarted: %s%s", w->id, why,
		  serves ? "; the old one goes on" : "");
	h->step = HANDOFF_NONE;
	c->node.changed = true;
}

/* ---- the steps ---- */

static void follow_begin(struct coord *c)
{
	struct handoff *h = &c->handoff;
	struct spawned child;
	char why[1300];
	int r;

	h->reason[0] = '\0';
	memset(h->worker->queue.segment->status->successor_exit_reason, 0,
	       sizeof(h->worker->queue.segment->status->successor_exit_reason));
	r = supervisor_spawn(&c->supervisor, h->worker, "--follow", &child, &h->control);
	if (r < 0) {
		(void)snprintf(why, sizeof(why), "start \"%s\": %s", c->supervisor.path,
			       strerror(-r));
		give_up(c, WIRE_E_INTERNAL, why);
		return;
	}
	h->pid = child.pid;
	h->pidfd = child.pidfd;
	h->step = HANDOFF_FOLLOWING;
	h->deadline_ms = c->node.now_ms + FOLLOW_MS;
}

static void leave_begin(struct coord *c)
{
	struct handoff *h = &c->handoff;
	const uint64_t one = 1;

	h->step = HANDOFF_LEAVING;
	h->deadline_ms = c->node.now_ms + LEAVE_MS;
	h->left_us = clock_us();
	if (control_send(h->worker->control, CONTROL_LEAVE) < 0)
		give_up(c, WIRE_E_INTERNAL, "it died meanwhile");
	(void)!write(h->worker->queue.wake, &one, sizeof(one)); /* full means awake anyhow */
}

/* The old one has left: its last replies, and then the successor is the worker. */
static void take_begin(struct coord *c)
{
	struct handoff *h = &c->handoff;
	struct worker *w = h->worker;
	struct spawned child = {h->pid, h->pidfd};
	int control = h->control;

	h->zombie = w->pidfd;
	h->pid = 0;
	h->pidfd = -1;
	h->control = -1;
	collect_left(c, w);
	supervisor_adopt(&c->supervisor, w, &child, control);
	h->step = HANDOFF_TAKING;
	if (control_send(w->control, CONTROL_GO) < 0)
		log_warn("the successor of worker %u is gone: another one will be started", w->id);
}

void handoff_message(void *arg, struct worker *w, int message)
{
	struct coord *c = arg;
	struct handoff *h = &c->handoff;

	if (!h->step || w != h->worker)
		return;
	if (message == CONTROL_HELD && h->step == HANDOFF_HOLDING)
		follow_begin(c);
	else if (message == CONTROL_UNHELD &&
		 h->step <= HANDOFF_LEAVING) /* then it does not leave */
		give_up(c, WIRE_E_BUSY,
			"writes outrun the disk and checkpoints cannot wait: try again when there "
			"are fewer");
	else if (message == CONTROL_LEFT && h->step == HANDOFF_LEAVING && h->pidfd >= 0 &&
		 w->state == WORKER_UP)
		take_begin(c);
}

void handoff_death(void *arg, struct worker *w)
{
	struct coord *c = arg;
	struct handoff *h = &c->handoff;
	char why[400];

	if (h->step && w == h->worker) {
		(void)snprintf(why, sizeof(why),
			       "%s died (%.250s) and was replaced as after any death",
			       h->step == HANDOFF_TAKING ? "the successor" : "it", w->reason);
		give_up(c, WIRE_E_INTERNAL, why);
	}
	collect_death(c, w);
}

static void successor_reap(struct coord *c)
{
	struct handoff *h = &c->handoff;
	const char *words = h->worker->queue.segment->status->successor_exit_reason;
	siginfo_t info = {0};
	char why[400];

	if (waitid(P_PIDFD, (id_t)h->pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	close_fd(&h->pidfd);
	close_fd(&h->control);
	h->pid = 0;
	if (h->step != HANDOFF_FOLLOWING && h->step != HANDOFF_LEAVING)
		return; /* killed by us */
	if (info.si_code == CLD_EXITED)
		(void)snprintf(why, sizeof(why), "its successor ended with exit status %d%s%.255s",
			       info.si_status, *words ? ": " : "", words);
	else
		(void)snprintf(why, sizeof(why),
			       "its successor was killed by signal %d (%s)%s%.255s", info.si_status,
			       strsignal(info.si_status), *words ? ": " : "", words);
	give_up(c, WIRE_E_INTERNAL, why);
}

void handoff_look(struct coord *c)
{
	struct handoff *h = &c->handoff;
	siginfo_t info = {0};
	int m;

	if (h->zombie >= 0 && waitid(P_PIDFD, (id_t)h->zombie, &info, WEXITED | WNOHANG) == 0 &&
	    info.si_pid)
		close_fd(&h->zombie);
	if (h->control >= 0) {
		m = control_receive(h->control);
		if (m == CONTROL_CAUGHT_UP && h->step == HANDOFF_FOLLOWING)
			leave_begin(c);
		else if (m < 0)
			close_fd(&h->control); /* it is dying; the pidfd tells the rest */
	}
	if (h->pidfd >= 0)
		successor_reap(c);
}

static void late(struct coord *c)
{
	struct handoff *h = &c->handoff;
	char why[100];

	if (h->step == HANDOFF_LEAVING) {
		log_warn("worker %u does not leave: killing it", h->worker->id);
		h->deadline_ms = UINT64_MAX;
		supervisor_kill(&c->supervisor, h->worker);
		return;
	}
	(void)snprintf(why, sizeof(why), "%s in %u s",
		       h->step == HANDOFF_HOLDING ? "its last checkpoint did not end"
						  : "its successor did not catch up",
		       (h->step == HANDOFF_HOLDING ? HOLD_MS : FOLLOW_MS) / 1000);
	give_up(c, WIRE_E_TIMEOUT, why);
}

/* The successor serves.  The next handoff begins when nothing is left of the old one. */
static void taken(struct coord *c)
{
	struct handoff *h = &c->handoff;
	struct worker *w = h->worker;

	if (!h->pause_us)
		h->pause_us = clock_us() - h->left_us;
	if (h->zombie >= 0)
		return;
	h->step = HANDOFF_NONE;
	log_info("worker %u restarted: pid %d after %d, %llu ms in all, %llu us between them",
		 w->id, (int)w->pid, (int)h->old_pid,
		 (unsigned long long)(c->node.now_ms - h->begun_ms),
		 (unsigned long long)h->pause_us);
	ask_done(c, &h->ask, w, c->node.now_ms - h->begun_ms, h->pause_us);
}

/* Those who wait for a start or a stop. */
static void ask_look(struct coord *c, struct worker_ask *a)
{
	struct worker *w = &c->supervisor.worker[a->worker];

	if (a->stop && w->state == WORKER_DOWN)
		ask_done(c, a, w, 0, 0);
	else if (!a->stop && w->state == WORKER_UP)
		ask_done(c, a, w, c->node.now_ms - w->started_ms, 0);
	else if (!a->stop && w->state == WORKER_FAILED)
		ask_error(c, a, WIRE_E_INTERNAL, "worker %u has failed: %s", w->id, w->reason);
	else if (!a->stop && w->restarts != a->restarts)
		ask_error(c, a, WIRE_E_INTERNAL,
			  "worker %u died at its start: %s; it is tried again", w->id, w->reason);
}

static void asks_look(struct coord *c)
{
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++)
		if (c->handoff.waiting[i].open)
			ask_look(c, &c->handoff.waiting[i]);
}

bool handoff_awaited(const struct handoff *h)
{
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++)
		if (h->waiting[i].open)
			return true;
	return false;
}

/* It is answered when the worker is there.  False: too many wait, this one has been told. */
static bool ask_keep(struct coord *c, const struct worker *w, struct worker_ask *a, bool stop)
{
	a->worker = w->id;
	a->stop = stop;
	a->restarts = w->restarts;
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++)
		if (!c->handoff.waiting[i].open) {
			c->handoff.waiting[i] = *a;
			return true;
		}
	ask_error(c, a, WIRE_E_BUSY, "too many wait for workers already: try again later");
	return false;
}

/* Nobody can wait for worker `id`, or for any (UINT32_MAX), to come up any more. */
static void starts_refuse(struct coord *c, uint32_t id, const char *why)
{
	for (uint32_t i = 0; i < HANDOFF_ASKS_MAX; i++) {
		struct worker_ask *a = &c->handoff.waiting[i];

		if (a->open && !a->stop && (a->worker == id || id == UINT32_MAX))
			ask_error(c, a, WIRE_E_BUSY, "worker %u was not started: %s", a->worker,
				  why);
	}
}

uint64_t handoff_tick(struct coord *c)
{
	struct handoff *h = &c->handoff;

	asks_look(c);
	if (h->step == HANDOFF_TAKING && h->worker->state == WORKER_UP)
		taken(c);
	if (!h->step || h->step == HANDOFF_TAKING)
		return UINT64_MAX;
	if (c->node.now_ms >= h->deadline_ms)
		late(c);
	return h->deadline_ms;
}

void handoff_stop(struct coord *c)
{
	struct handoff *h = &c->handoff;

	if (h->step == HANDOFF_HOLDING || h->step == HANDOFF_FOLLOWING)
		give_up(c, WIRE_E_BUSY, "the node stops");
	starts_refuse(c, UINT32_MAX, "the node stops");
}

/* ---- what is asked for ---- */

static void restart_begin(struct coord *c, struct worker *w, struct worker_ask *a)
{
	struct handoff *h = &c->handoff;

	if (h->step || !handoff_idle(h)) {
		ask_error(c, a, WIRE_E_BUSY, "worker %u is being restarted: one at a time",
			  h->worker->id);
		return;
	}
	if (w->state != WORKER_UP) {
		ask_error(c, a, WIRE_E_BUSY,
			  "worker %u is %s, only one that is up can be restarted%s", w->id,
			  supervisor_state_name(w->state),
			  w->state == WORKER_DOWN || w->state == WORKER_FAILED
				  ? ": start it instead"
				  : ": try again later");
		return;
	}
	h->ask = *a;
	h->worker = w;
	h->old_pid = w->pid;
	h->begun_ms = c->node.now_ms;
	h->pause_us = 0;
	h->deadline_ms = c->node.now_ms + HOLD_MS;
	h->step = HANDOFF_HOLDING;
	c->node.changed = true;
	if (control_send(w->control, CONTROL_HOLD) < 0)
		give_up(c, WIRE_E_INTERNAL, "it died meanwhile");
}

static void start_begin(struct coord *c, struct worker *w, struct worker_ask *a)
{
	if (w->state == WORKER_STOPPING) {
		ask_error(c, a, WIRE_E_BUSY, "worker %u is stopping: try again later", w->id);
		return;
	}
	if (!ask_keep(c, w, a, false))
		return;
	w->wanted = true;
	if (w->state == WORKER_DOWN || w->state == WORKER_FAILED)
		supervisor_event(&c->supervisor, w, EVENT_START);
	c->node.changed = true;
}

static void stop_begin(struct coord *c, struct worker *w, struct worker_ask *a)
{
	if (c->handoff.step && c->handoff.worker == w) {
		ask_error(c, a, WIRE_E_BUSY, "worker %u is being restarted: try again later",
			  w->id);
		return;
	}
	if (!ask_keep(c, w, a, true))
		return;
	w->wanted = false;
	starts_refuse(c, w->id, "it is being stopped, as was asked for later");
	supervisor_event(&c->supervisor, w, EVENT_STOP);
	c->node.changed = true;
}

static bool worker_id(const struct coord *c, const struct request *q, struct worker **ret)
{
	const char *p = q->param_count > 1 ? q->param[1] : NULL;
	uint64_t id;

	if (!p || read_type(p) != TYPE_UINT)
		return false;
	id = read_uint(&p);
	if (id >= c->supervisor.count)
		return false;
	*ret = &c->supervisor.worker[id];
	return true;
}

void handoff_ask(struct coord *c, struct reply_to o, const struct request *q)
{
	struct worker_ask a = {.open = true, .reply_to = o, .msgid = q->msgid};
	struct span action = {"", 0};
	struct worker *w = NULL;

	(void)request_bytes(q, 0, &action);
	if (!c->hand.admin)
		ask_error(c, &a, WIRE_E_DENIED,
			  "worker: only through the node's admin socket: pail --config FILE worker "
			  "...");
	else if (c->node.stopping || c->upgrade.step)
		ask_error(c, &a, WIRE_E_BUSY, "the node %s: try again later",
			  c->node.stopping ? "stops" : "is being upgraded");
	else if (!worker_id(c, q, &w))
		ask_error(c, &a, WIRE_E_BAD_ARGUMENT,
			  "worker: there is no such worker: this node has %u, counted from 0",
			  c->supervisor.count);
	else if (span_equal(action, span_of("restart")))
		restart_begin(c, w, &a);
	else if (span_equal(action, span_of("start")))
		start_begin(c, w, &a);
	else if (span_equal(action, span_of("stop")))
		stop_begin(c, w, &a);
	else
		ask_error(c, &a, WIRE_E_BAD_ARGUMENT,
			  "worker: unknown action \"%.*s\": restart, start or stop",
			  (int)(action.n < 32 ? action.n : 32), action.p);
}
