/*
 * What operators do to workers: restart one without a pause that anybody notices, stop it, start
 * it.
 *
 * A restart is a handoff.  The old worker holds its checkpoints, so that its log only grows; a
 * successor is started beside it from the program on disk, reads base and follows the log; when it
 * has caught up the old one stops behind the request that it is at, has everything on disk and
 * answered, and lets go of the store; the successor reads what little is left and goes on.  Until
 * the old one is told to leave it serves, and whatever goes wrong with the successor leaves it
 * serving.  If it dies in between, or does not leave in time, the rules for a killed worker hold.
 *
 *	NONE       nothing is being handed over
 *	HOLDING    the old one was told to hold its checkpoints
 *	FOLLOWING  the successor reads
 *	LEAVING    the old one was told to leave
 *	TAKING     the successor was told to go on; it is the worker now
 */
#ifndef PAIL_HANDOFF_H
#define PAIL_HANDOFF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "coordinator/node/node.h"
#include "coordinator/node/reply.h"
#include "coordinator/workers/supervisor.h"

struct request;

enum handoff_step {
	HANDOFF_NONE,
	HANDOFF_HOLDING,
	HANDOFF_FOLLOWING,
	HANDOFF_LEAVING,
	HANDOFF_TAKING
};

/* Somebody who waits for a worker to have come to a state. */
struct worker_ask {
	bool open;
	struct reply_to reply_to;
	uint64_t msgid;
	uint32_t worker;
	bool stop;         /* else start */
	uint32_t restarts; /* of the worker when it was asked */
};

#define HANDOFF_ASKS_MAX 128u /* that wait; more are answered busy */

/* What is done to the queue of a worker that is no more. */
struct handoff_hooks {
	/* It has left its place to a successor: take its last replies. */
	void (*left)(void *arg, struct worker *w);
	/* It has died: take its last replies, judge what it left. */
	void (*died)(void *arg, struct worker *w);
	void *arg;
};

struct handoff {
	struct node *node;
	struct reply_sink *sink;
	struct supervisor *supervisor;
	struct handoff_hooks hooks;
	enum handoff_step step;
	struct worker *worker;
	struct worker_ask ask;
	pid_t old_pid;
	pid_t pid; /* of the successor, until it is the worker */
	int pidfd; /* -1: none */
	int control;
	int zombie; /* pidfd of an old one that has left and is not reaped, or -1 */
	uint64_t begun_ms;
	uint64_t deadline_ms;
	uint64_t left_us;  /* when the old one was told to leave */
	uint64_t pause_us; /* from then until the successor served; 0: not yet */
	char reason[256];  /* why the successor ended */
	struct worker_ask waiting[HANDOFF_ASKS_MAX]; /* starts and stops that were asked for */
};

void handoff_init(struct handoff *h, struct node *node, struct reply_sink *sink,
		  struct supervisor *supervisor, const struct handoff_hooks *hooks);

/*
 * `worker [action, id]`, of an operator, while the node goes on: begin it, and answer `o` when it
 * is done; or answer at once why not.  Actions: restart, start, stop.
 */
void handoff_ask(struct handoff *h, struct reply_to o, const struct request *q);

/* What workers say that the supervisor has no ear for; supervisor's hook, `arg` the handoff. */
void handoff_message(void *arg, struct worker *w, int message);
/* A worker has died; supervisor's hook.  Takes its last replies, judges what it left. */
void handoff_death(void *arg, struct worker *w);

/* Descriptors to be watched, -1 for none; then, when one is readable, handoff_look. */
#define HANDOFF_FDS 3u
void handoff_fds(const struct handoff *h, int fd[HANDOFF_FDS]);
void handoff_look(struct handoff *h);

/* Deadlines, and answers to who waits.  Returns when to look again. */
uint64_t handoff_tick(struct handoff *h);

/* Does anybody wait for a worker to have started or stopped? */
bool handoff_awaited(const struct handoff *h);

/* The node stops: no handoff is begun any more, one that has not got far is given up; who waits
 * for a start is told. */
void handoff_stop(struct handoff *h);
/* No process of a handoff is left, but for the workers themselves. */
bool handoff_idle(const struct handoff *h);

#endif
