/*
 * What operators do to workers: restart one without a pause that anybody notices, stop it, start
 * it.
 *
 * A restart is a handover.  The old worker holds its checkpoints, so that its log only grows; a
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
#ifndef PAIL_HANDOVER_H
#define PAIL_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "coordinator/clients.h"
#include "coordinator/super.h"

struct coord;
struct request;

enum handover_step {
	HANDOVER_NONE,
	HANDOVER_HOLDING,
	HANDOVER_FOLLOWING,
	HANDOVER_LEAVING,
	HANDOVER_TAKING
};

/* Somebody who waits for a worker to have come to a state. */
struct worker_ask {
	bool open;
	struct owner owner;
	uint64_t msgid;
	uint32_t worker;
	bool stop;         /* else start */
	uint32_t restarts; /* of the worker when it was asked */
};

#define HANDOVER_ASKS_MAX 128u /* that wait; more are answered busy */

struct handover {
	enum handover_step step;
	struct worker *worker;
	struct worker_ask ask;
	pid_t old_pid;
	pid_t pid; /* of the successor, until it is the worker */
	int pidfd; /* -1: none */
	int control;
	int corpse; /* pidfd of an old one that has left and is not reaped, or -1 */
	uint64_t begun_ms;
	uint64_t deadline_ms;
	uint64_t left_us;  /* when the old one was told to leave */
	uint64_t pause_us; /* from then until the successor served; 0: not yet */
	char reason[256];  /* why the successor ended */
	struct worker_ask waiting[HANDOVER_ASKS_MAX]; /* starts and stops that were asked for */
};

void handover_init(struct handover *h);

/*
 * `worker [action, id]`: begin it, and answer `o` when it is done; or answer at once why not.
 * Actions: restart, start, stop.
 */
void handover_ask(struct coord *c, struct owner o, const struct request *q);

/* What workers say that the supervisor has no ear for; supervisor's hook. */
void handover_message(void *arg, struct worker *w, int message);
/* A worker has died; supervisor's hook.  Takes its last replies, judges what it left. */
void handover_death(void *arg, struct worker *w);

/* Descriptors to be watched, -1 for none; then, when one is readable, handover_look. */
#define HANDOVER_FDS 3u
void handover_fds(const struct handover *h, int fd[HANDOVER_FDS]);
void handover_look(struct coord *c);

/* Deadlines, and answers to who waits.  Returns when to look again. */
uint64_t handover_tick(struct coord *c);

/* Does anybody wait for a worker to have started or stopped? */
bool handover_awaited(const struct handover *h);

/* The node stops: no handover is begun any more, one that has not got far is given up; who waits
 * for a start is told. */
void handover_stop(struct coord *c);
/* No process of a handover is left, but for the workers themselves. */
bool handover_idle(const struct handover *h);

#endif
