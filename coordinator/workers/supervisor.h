/*
 * The supervisor: workers as a table of state x event.  Wanted state is apart from actual state; a
 * death is judged by the slot's dead-man switch and the exit status; restarts back off.
 *
 *	DOWN      no process, none wanted: not started yet, or stopped
 *	STARTING  forked; it has not said that it is ready
 *	UP        serving
 *	KILLING   hung or late, killed; its death has not been seen
 *	STOPPING  told to finish
 *	BACKOFF   dead; to be started when its delay is over
 *	FAILED    it said that starting it again is no use, or has not come up many times in a row
 */
#ifndef PAIL_SUPERVISOR_H
#define PAIL_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "coordinator/queue/queue.h"
#include "ipc/shm/segment.h"

#define WORKER_STATES(X)      \
	X(DOWN, down)         \
	X(STARTING, starting) \
	X(UP, up)             \
	X(KILLING, killing)   \
	X(STOPPING, stopping) \
	X(BACKOFF, backoff)   \
	X(FAILED, failed)

enum supervisor_state {
#define X(id, name) WORKER_##id,
	WORKER_STATES(X)
#undef X
		WORKER_STATE_COUNT
};

enum supervisor_event {
	EVENT_START,
	EVENT_READY,
	EVENT_EXIT,
	EVENT_TIMEOUT,
	EVENT_STOP,
	EVENT_COUNT
};

struct worker {
	uint32_t id;
	struct queue queue; /* which outlives its processes */
	enum supervisor_state state;
	pid_t pid;
	int pidfd;   /* -1: no process */
	int control; /* our end of its control socket, or -1 */
	bool wanted; /* false: an operator has stopped it */
	uint32_t restarts;
	uint32_t failed_starts; /* in a row */
	uint64_t up_ms;         /* when it became UP */
	uint64_t started_ms;    /* when it was forked */
	uint64_t delay_ms;      /* of the next restart */
	uint64_t
		deadline_ms; /* BACKOFF: when to start; STARTING, STOPPING: when to kill; 0: none */
	int exit_status;     /* of the last death, as waitid tells; -signal if it was killed */
	char reason[256];    /* of the last death */
};

struct figures;

/* What an event of it is about: "worker 3", written into `subject`. */
#define WORKER_SUBJECT 24
const char *worker_subject(const struct worker *w, char subject[WORKER_SUBJECT]);

struct supervisor {
	struct worker *worker;
	uint32_t count;
	char path[1100];         /* of pail-worker */
	int wake;                /* the coordinator's eventfd */
	int functions;           /* the modules that workers begin with: see supervisor_functions */
	struct figures *figures; /* that its events are told; NULL: nobody's */
	uint64_t start_ms;
	uint64_t hang_ms;
	uint64_t stop_ms;
	/* Called when a worker has died and nobody writes to its rings any more. */
	void (*on_death)(void *arg, struct worker *w);
	/* Called with what a worker says beside CONTROL_READY. */
	void (*on_message)(void *arg, struct worker *w, int message);
	void *arg;
	/* Called when a worker has said CONTROL_READY; may be NULL. */
	void (*on_ready)(void *arg, struct worker *w);
	void *ready_arg;
};

/* Feed one event to one worker. */
void supervisor_event(struct supervisor *s, struct worker *w, enum supervisor_event e);

struct spawned;

/*
 * Start a process on w's segment with `how` as its argument.  0, with our end of its control socket
 * in *ret_control; or negative errno.
 */
int supervisor_spawn(const struct supervisor *s, const struct worker *w, const char *how,
		     struct spawned *ret, int *ret_control);

/*
 * The worker has left its segment to a successor that was started beside it: from now on that one
 * is the worker, STARTING.  The pidfd of the old one is the caller's to reap.
 */
void supervisor_adopt(struct supervisor *s, struct worker *w, const struct spawned *child,
		      int control);

/* Send w the modules there are: it may have begun with others. */
void supervisor_functions_tell(struct supervisor *s, struct worker *w);
/* The modules from now on are those behind `fd`, of so high a generation: tell all workers. */
void supervisor_functions(struct supervisor *s, int fd, uint32_t generation);

/* It cannot be trusted any more: kill it, if it lives. */
void supervisor_kill(struct supervisor *s, struct worker *w);

/* Its pidfd or control socket is readable. */
void supervisor_reap(struct supervisor *s, struct worker *w);
void supervisor_control(struct supervisor *s, struct worker *w);

/* Deadlines, heartbeats, restarts that are due.  Returns when to look again at the latest. */
uint64_t supervisor_tick(struct supervisor *s, uint64_t now_ms);

/* Are all in one of the states that need no more waiting for (DOWN, FAILED)? */
bool supervisor_all_down(const struct supervisor *s);

const char *supervisor_state_name(enum supervisor_state s);

#endif
