/* The supervisor's table and its actions. */
#include "coordinator/workers/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/workers/spawn.h"
#include "ipc/shm/control.h"

#define DELAY_FIRST_MS 100u
#define DELAY_MOST_MS  30000u
#define SERVED_MS      50u /* up for so long, and it has served: no crash at the start */
#define EXIT_HOPELESS  2
#define STARTS_MOST    9u /* that fail in a row, over 12 s: what has to be mended is the operator's */

typedef void supervisor_act(struct supervisor *s, struct worker *w);

const char *supervisor_state_name(enum supervisor_state s)
{
	static const char *const names[WORKER_STATE_COUNT] = {
#define X(id, name) [WORKER_##id] = #name,
		WORKER_STATES(X)
#undef X
	};
	return names[s];
}

const char *worker_subject(const struct worker *w, char subject[WORKER_SUBJECT])
{
	(void)snprintf(subject, WORKER_SUBJECT, "worker %u", w->id);
	return subject;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* ---- actions ---- */

static void back_off(struct worker *w, uint64_t now)
{
	w->state = WORKER_BACKOFF;
	w->deadline_ms = now + w->delay_ms;
	w->delay_ms = w->delay_ms ? 2 * w->delay_ms : DELAY_FIRST_MS;
	if (w->delay_ms > DELAY_MOST_MS)
		w->delay_ms = DELAY_MOST_MS;
}

int supervisor_spawn(const struct supervisor *s, const struct worker *w, const char *how,
		     struct spawned *ret, int *ret_control)
{
	int pair[2];
	int r = control_pair(pair);

	if (r < 0)
		return r;
	r = spawn_worker(s->path, how,
			 (const int[FD_COUNT]){pair[1], w->queue.segment->fd, w->queue.wake,
					       s->wake, s->functions},
			 ret);
	(void)close(pair[1]);
	if (r < 0)
		(void)close(pair[0]);
	else
		*ret_control = pair[0];
	return r;
}

/* A process is on its way to serve the segment. */
static void starting(struct supervisor *s, struct worker *w, const struct spawned *child,
		     int control)
{
	w->control = control;
	w->pid = child->pid;
	w->pidfd = child->pidfd;
	w->started_ms = clock_ms();
	w->deadline_ms = w->started_ms + s->start_ms;
	w->state = WORKER_STARTING;
	status_set(&w->queue.segment->status->heartbeat_ms, w->started_ms);
}

static void start(struct supervisor *s, struct worker *w)
{
	struct spawned child;
	int control = -1;
	int r;

	/* It begins with the first request that is not freed, however far its predecessor came. */
	status_set(&w->queue.segment->status->reached, ring_tail(&w->queue.segment->request));
	r = supervisor_spawn(s, w, "--serve", &child, &control);
	if (r < 0) {
		log_error("start worker %u from \"%s\": %s", w->id, s->path, strerror(-r));
		back_off(w, clock_ms());
		return;
	}
	starting(s, w, &child, control);
}

void supervisor_adopt(struct supervisor *s, struct worker *w, const struct spawned *child,
		      int control)
{
	struct worker_status *status = w->queue.segment->status;

	close_fd(&w->control);
	atomic_store(&status->worker_sleeps, 0);
	atomic_store(&status->state, STATUS_UNUSED);
	atomic_fetch_add(&status->life, 1);
	status_set(&status->reached, ring_tail(&w->queue.segment->request));
	status_add(&status->handovers, 1);
	w->up_ms = 0;
	starting(s, w, child, control);
}

/* Who cannot be told must not go on with other modules: its successor begins with these. */
void supervisor_functions_tell(struct supervisor *s, struct worker *w)
{
	if (w->control >= 0 && control_send_fd(w->control, CONTROL_FUNCTIONS, s->functions) < 0)
		supervisor_kill(s, w);
}

void supervisor_functions(struct supervisor *s, int fd, uint32_t generation)
{
	s->functions = fd;
	for (uint32_t i = 0; i < s->count; i++) {
		struct worker *w = &s->worker[i];

		supervisor_functions_tell(s, w);
		/* Behind it: whoever sees this finds the message. */
		atomic_store_explicit(&w->queue.segment->header->settings.functions, generation,
				      memory_order_release);
	}
}

static void serve(struct supervisor *s, struct worker *w)
{
	char subject[WORKER_SUBJECT];

	w->state = WORKER_UP;
	w->up_ms = clock_ms();
	w->deadline_ms = 0;
	figures_event(s->figures, EVENT_OF_WORKER_UP, EVENT_INFO, worker_subject(w, subject),
		      "worker %u is up, pid %d, %llu ms after its start", w->id, (int)w->pid,
		      (unsigned long long)(w->up_ms - w->started_ms));
}

static void kill_now(struct supervisor *s, struct worker *w)
{
	(void)s;
	log_warn("worker %u, pid %d, is %s for too long: killing it", w->id, (int)w->pid,
		 w->state == WORKER_UP         ? "without a heartbeat"
		 : w->state == WORKER_STARTING ? "starting"
					       : "stopping");
	(void)kill(w->pid, SIGKILL);
	w->state = w->state == WORKER_STOPPING ? WORKER_STOPPING : WORKER_KILLING;
	w->deadline_ms = w->state == WORKER_STOPPING ? clock_ms() + s->stop_ms : 0;
}

static void stop(struct supervisor *s, struct worker *w)
{
	w->state = WORKER_STOPPING;
	w->deadline_ms = clock_ms() + s->stop_ms;
	if (control_send(w->control, CONTROL_STOP) < 0)
		(void)kill(w->pid, SIGKILL); /* it is dying; its death comes */
}

static void forget(struct supervisor *s, struct worker *w)
{
	(void)s;
	w->state = WORKER_DOWN;
	w->deadline_ms = 0;
}

/* Dead while wanted: again, after a delay, unless it is no use. */
static void again(struct supervisor *s, struct worker *w)
{
	struct worker_status *status = w->queue.segment->status;
	char subject[WORKER_SUBJECT];
	uint64_t now = clock_ms();

	if (w->exit_status == EXIT_HOPELESS) {
		figures_event(s->figures, EVENT_OF_WORKER_FAILED, EVENT_ERROR,
			      worker_subject(w, subject), "worker %u has failed for good: %s",
			      w->id, w->reason);
		w->state = WORKER_FAILED;
		w->deadline_ms = 0;
		return;
	}
	w->restarts++;
	status_add(w->state == WORKER_KILLING ? &status->restarts_hung
		   : w->exit_status < 0       ? &status->restarts_killed
					      : &status->restarts_failed,
		   1);
	check_slow(w->restarts == status_get(&status->restarts_hung) +
					  status_get(&status->restarts_killed) +
					  status_get(&status->restarts_failed));
	/* A worker that served is replaced at once; one that cannot start must not spin. */
	if (w->up_ms) {
		w->failed_starts = 0;
		w->delay_ms = now - w->up_ms >= SERVED_MS ? 0 : w->delay_ms;
	} else if (++w->failed_starts >= STARTS_MOST) {
		figures_event(s->figures, EVENT_OF_WORKER_FAILED, EVENT_ERROR,
			      worker_subject(w, subject),
			      "worker %u has failed for good, it did not start %u times: %s", w->id,
			      w->failed_starts, w->reason);
		w->state = WORKER_FAILED;
		w->deadline_ms = 0;
		w->failed_starts = 0;
		w->delay_ms = 0;
		return;
	}
	back_off(w, now);
}

static void late(struct supervisor *s, struct worker *w)
{
	(void)s;
	(void)w;
}

static supervisor_act *const act[WORKER_STATE_COUNT][EVENT_COUNT] = {
  /*                  START  READY  EXIT    TIMEOUT   STOP   */
	[WORKER_DOWN] = {start, NULL,  NULL,   NULL,     late  },
	[WORKER_STARTING] = {late,  serve, again,  kill_now, stop  },
	[WORKER_UP] = {late,  late,  again,  kill_now, stop  },
	[WORKER_KILLING] = {late,  late,  again,  late,     stop  },
	[WORKER_STOPPING] = {late,  late,  forget, kill_now, late  },
	[WORKER_BACKOFF] = {late,  NULL,  NULL,   start,    forget},
	[WORKER_FAILED] = {start, NULL,  NULL,   NULL,     forget},
};

void supervisor_event(struct supervisor *s, struct worker *w, enum supervisor_event e)
{
	supervisor_act *f = act[w->state][e];

	check(f);
	f(s, w);
}

void supervisor_kill(struct supervisor *s, struct worker *w)
{
	if (w->state == WORKER_STARTING || w->state == WORKER_UP)
		supervisor_event(s, w, EVENT_TIMEOUT);
}

/* ---- events ---- */

/* What a death was, from the exit status and the dead-man switch. */
static void exit_report(struct supervisor *s, struct worker *w, const siginfo_t *info)
{
	char subject[WORKER_SUBJECT];
	struct worker_status *status = w->queue.segment->status;
	bool goodbye = atomic_load(&status->state) == STATUS_GOODBYE;
	const char *words = status->exit_reason;

	if (info->si_code == CLD_EXITED) {
		w->exit_status = info->si_status;
		if (goodbye && !info->si_status)
			(void)snprintf(w->reason, sizeof(w->reason), "it finished");
		else
			(void)snprintf(w->reason, sizeof(w->reason), "%s%.180s (exit status %d)",
				       *words ? "" : "it ended without a goodbye", words,
				       info->si_status);
	} else {
		w->exit_status = -info->si_status;
		(void)snprintf(w->reason, sizeof(w->reason), "killed by signal %d (%s)%s%.160s",
			       info->si_status, strsignal(info->si_status), *words ? ": " : "",
			       words);
	}
	if (goodbye && w->state == WORKER_STOPPING)
		figures_event(s->figures, EVENT_OF_WORKER_DOWN, EVENT_INFO,
			      worker_subject(w, subject), "worker %u, pid %d, said goodbye", w->id,
			      (int)w->pid);
	else
		figures_event(s->figures, EVENT_OF_WORKER_DIED, EVENT_WARNING,
			      worker_subject(w, subject), "worker %u, pid %d, died: %s", w->id,
			      (int)w->pid, w->reason);
}

void supervisor_reap(struct supervisor *s, struct worker *w)
{
	siginfo_t info = {0};

	if (w->pidfd < 0)
		return;
	if (waitid(P_PIDFD, (id_t)w->pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	exit_report(s, w, &info);
	close_fd(&w->pidfd);
	close_fd(&w->control);
	atomic_store(&w->queue.segment->status->worker_sleeps, 0);
	s->on_death(s->arg, w);
	atomic_store(&w->queue.segment->status->state, STATUS_UNUSED);
	atomic_fetch_add(&w->queue.segment->status->life, 1);
	supervisor_event(s, w, EVENT_EXIT);
	w->up_ms = 0;
	w->pid = 0;
	if (w->state == WORKER_BACKOFF && w->deadline_ms <= clock_ms())
		supervisor_event(s, w, EVENT_TIMEOUT);
}

void supervisor_control(struct supervisor *s, struct worker *w)
{
	int m;

	if (w->control < 0)
		return;
	m = control_receive(w->control);
	if (m == CONTROL_READY) {
		supervisor_event(s, w, EVENT_READY);
		if (s->on_ready)
			s->on_ready(s->ready_arg, w);
	} else if (m > 0)
		s->on_message(s->arg, w, m);
	else if (m < 0)
		close_fd(&w->control); /* it is dying; the pidfd tells the rest */
}

static bool overdue(const struct supervisor *s, struct worker *w, uint64_t now)
{
	uint64_t beat = status_get(&w->queue.segment->status->heartbeat_ms);

	switch (w->state) {
	case WORKER_UP:
		return now > beat && now - beat > s->hang_ms;
	case WORKER_STARTING:
		return now > beat && now - beat > s->start_ms;
	case WORKER_STOPPING:
	case WORKER_BACKOFF:
		return now >= w->deadline_ms;
	default:
		return false;
	}
}

uint64_t supervisor_tick(struct supervisor *s, uint64_t now_ms)
{
	uint64_t next = now_ms + 1000;

	for (uint32_t i = 0; i < s->count; i++) {
		struct worker *w = &s->worker[i];

		if (overdue(s, w, now_ms))
			supervisor_event(s, w, EVENT_TIMEOUT);
		if (w->state == WORKER_BACKOFF && w->deadline_ms < next)
			next = w->deadline_ms;
	}
	return next;
}

bool supervisor_all_down(const struct supervisor *s)
{
	for (uint32_t i = 0; i < s->count; i++)
		if (s->worker[i].pidfd >= 0)
			return false;
	return true;
}
