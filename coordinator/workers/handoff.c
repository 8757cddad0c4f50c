/* Handing a worker's place to its successor. */
#include "coordinator/workers/handoff.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/workers/handoff_impl.h"
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

void handoff_init(struct handoff *h, struct node *node, struct reply_sink *sink,
		  struct supervisor *supervisor, const struct handoff_hooks *hooks)
{
	memset(h, 0, sizeof(*h));
	h->node = node;
	h->sink = sink;
	h->supervisor = supervisor;
	h->hooks = *hooks;
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

/* ---- giving up ---- */

static void successor_kill(struct handoff *h)
{
	if (h->pid)
		(void)kill(h->pid, SIGKILL); /* the pidfd tells when it is gone */
	close_fd(&h->control);
}

/* Nothing more is handed over.  The old one, if it lives and has not been told to leave, goes on.
 */
static void give_up(struct handoff *h, enum wire_error e, const char *why)
{
	struct worker *w = h->worker;
	bool serves = h->step <= HANDOFF_FOLLOWING && w->pid == h->old_pid &&
		      w->state == WORKER_UP && w->control >= 0;

	if (serves)
		(void)control_send(w->control, CONTROL_RESUME);
	successor_kill(h);
	log_warn("restart of worker %u given up: %s%s", w->id, why,
		 serves ? "; the old one goes on" : "");
	ask_error(h, &h->ask, e, "worker %u was not restarted: %s%s", w->id, why,
		  serves ? "; the old one goes on" : "");
	h->step = HANDOFF_NONE;
	h->node->changed = true;
}

/* ---- the steps ---- */

static void follow_begin(struct handoff *h)
{
	struct spawned child;
	char why[1300];
	int r;

	h->reason[0] = '\0';
	memset(h->worker->queue.segment->status->successor_exit_reason, 0,
	       sizeof(h->worker->queue.segment->status->successor_exit_reason));
	r = supervisor_spawn(h->supervisor, h->worker, "--follow", &child, &h->control);
	if (r < 0) {
		(void)snprintf(why, sizeof(why), "start \"%s\": %s", h->supervisor->path,
			       strerror(-r));
		give_up(h, WIRE_E_INTERNAL, why);
		return;
	}
	h->pid = child.pid;
	h->pidfd = child.pidfd;
	h->step = HANDOFF_FOLLOWING;
	h->deadline_ms = h->node->now_ms + FOLLOW_MS;
}

static void leave_begin(struct handoff *h)
{
	const uint64_t one = 1;

	h->step = HANDOFF_LEAVING;
	h->deadline_ms = h->node->now_ms + LEAVE_MS;
	h->left_us = clock_us();
	if (control_send(h->worker->control, CONTROL_LEAVE) < 0)
		give_up(h, WIRE_E_INTERNAL, "it died meanwhile");
	(void)!write(h->worker->queue.wake, &one, sizeof(one)); /* full means awake anyhow */
}

/* The old one has left: its last replies, and then the successor is the worker. */
static void take_begin(struct handoff *h)
{
	struct worker *w = h->worker;
	struct spawned child = {h->pid, h->pidfd};
	int control = h->control;

	h->zombie = w->pidfd;
	h->pid = 0;
	h->pidfd = -1;
	h->control = -1;
	h->hooks.left(h->hooks.arg, w);
	supervisor_adopt(h->supervisor, w, &child, control);
	h->step = HANDOFF_TAKING;
	if (control_send(w->control, CONTROL_GO) < 0)
		log_warn("the successor of worker %u is gone: another one will be started", w->id);
	supervisor_functions_tell(h->supervisor, w); /* those it was born with may be old */
}

void handoff_message(void *arg, struct worker *w, int message)
{
	struct handoff *h = arg;

	if (!h->step || w != h->worker)
		return;
	if (message == CONTROL_HELD && h->step == HANDOFF_HOLDING)
		follow_begin(h);
	else if (message == CONTROL_UNHELD &&
		 h->step <= HANDOFF_LEAVING) /* then it does not leave */
		give_up(h, WIRE_E_BUSY,
			"writes outrun the disk and checkpoints cannot wait: try again when there "
			"are fewer");
	else if (message == CONTROL_LEFT && h->step == HANDOFF_LEAVING && h->pidfd >= 0 &&
		 w->state == WORKER_UP)
		take_begin(h);
}

void handoff_death(void *arg, struct worker *w)
{
	struct handoff *h = arg;
	char why[400];

	if (h->step && w == h->worker) {
		(void)snprintf(why, sizeof(why),
			       "%s died (%.250s) and was replaced as after any death",
			       h->step == HANDOFF_TAKING ? "the successor" : "it", w->reason);
		give_up(h, WIRE_E_INTERNAL, why);
	}
	h->hooks.died(h->hooks.arg, w);
}

static void successor_reap(struct handoff *h)
{
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
	give_up(h, WIRE_E_INTERNAL, why);
}

void handoff_look(struct handoff *h)
{
	siginfo_t info = {0};
	int m;

	if (h->zombie >= 0 && waitid(P_PIDFD, (id_t)h->zombie, &info, WEXITED | WNOHANG) == 0 &&
	    info.si_pid)
		close_fd(&h->zombie);
	if (h->control >= 0) {
		m = control_receive(h->control);
		if (m == CONTROL_CAUGHT_UP && h->step == HANDOFF_FOLLOWING)
			leave_begin(h);
		else if (m < 0)
			close_fd(&h->control); /* it is dying; the pidfd tells the rest */
	}
	if (h->pidfd >= 0)
		successor_reap(h);
}

static void late(struct handoff *h)
{
	char why[100];

	if (h->step == HANDOFF_LEAVING) {
		log_warn("worker %u does not leave: killing it", h->worker->id);
		h->deadline_ms = UINT64_MAX;
		supervisor_kill(h->supervisor, h->worker);
		return;
	}
	(void)snprintf(why, sizeof(why), "%s in %u s",
		       h->step == HANDOFF_HOLDING ? "its last checkpoint did not end"
						  : "its successor did not catch up",
		       (h->step == HANDOFF_HOLDING ? HOLD_MS : FOLLOW_MS) / 1000);
	give_up(h, WIRE_E_TIMEOUT, why);
}

/* The successor serves.  The next handoff begins when nothing is left of the old one. */
static void taken(struct handoff *h)
{
	struct worker *w = h->worker;
	char subject[WORKER_SUBJECT];

	if (!h->pause_us)
		h->pause_us = clock_us() - h->left_us;
	if (h->zombie >= 0)
		return;
	h->step = HANDOFF_NONE;
	status_add(&w->queue.segment->status->handover_pause_us, h->pause_us);
	figures_event(h->supervisor->figures, EVENT_OF_WORKER_HANDOVER, EVENT_INFO,
		      worker_subject(w, subject),
		      "worker %u restarted: pid %d after %d, %llu ms in all, %llu us between them",
		      w->id, (int)w->pid, (int)h->old_pid,
		      (unsigned long long)(h->node->now_ms - h->begun_ms),
		      (unsigned long long)h->pause_us);
	ask_done(h, &h->ask, w, h->node->now_ms - h->begun_ms, h->pause_us);
}

uint64_t handoff_tick(struct handoff *h)
{
	asks_look(h);
	if (h->step == HANDOFF_TAKING && h->worker->state == WORKER_UP)
		taken(h);
	if (!h->step || h->step == HANDOFF_TAKING)
		return UINT64_MAX;
	if (h->node->now_ms >= h->deadline_ms)
		late(h);
	return h->deadline_ms;
}

void handoff_stop(struct handoff *h)
{
	if (h->step == HANDOFF_HOLDING || h->step == HANDOFF_FOLLOWING)
		give_up(h, WIRE_E_BUSY, "the node stops");
	starts_refuse(h, UINT32_MAX, "the node stops");
}

/* ---- what is asked for ---- */

void restart_begin(struct handoff *h, struct worker *w, struct worker_ask *a)
{
	if (h->step || !handoff_idle(h)) {
		ask_error(h, a, WIRE_E_BUSY, "worker %u is being restarted: one at a time",
			  h->worker->id);
		return;
	}
	if (w->state != WORKER_UP) {
		ask_error(h, a, WIRE_E_BUSY,
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
	h->begun_ms = h->node->now_ms;
	h->pause_us = 0;
	h->deadline_ms = h->node->now_ms + HOLD_MS;
	h->step = HANDOFF_HOLDING;
	h->node->changed = true;
	if (control_send(w->control, CONTROL_HOLD) < 0)
		give_up(h, WIRE_E_INTERNAL, "it died meanwhile");
}
