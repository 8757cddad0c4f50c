/*
 * Replacing the coordinator by the program on disk, in place: same process, same workers, same
 * listening sockets.  exec destroys ZeroMQ's connections, so clients are told to go away first, and
 * whoever connects meanwhile waits in the listeners' queues.
 *
 *	NONE
 *	CHECKING  the new program is run aside, with this one's state and the configuration on disk;
 *	          what it finds wrong is the answer, and nothing has changed
 *	DRAINING  clients and nodes are told; what they wait for is served; then exec, which is
 *final
 */
#ifndef PAIL_UPGRADE_H
#define PAIL_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "coordinator/node/reply.h"

struct conf;
struct coord;
struct request;
struct resume;

enum upgrade_step { UPGRADE_NONE, UPGRADE_CHECKING, UPGRADE_DRAINING };

struct upgrade {
	enum upgrade_step step;
	struct reply_to reply_to; /* who asked */
	uint64_t msgid;
	char program[1100]; /* where this program was started from */
	int program_fd;     /* the one on disk now, -1 */
	int state_fd;       /* -1 */
	pid_t pid;          /* of the check */
	int pidfd;          /* -1 */
	int output;         /* what it says, -1 */
	char text[2048];
	size_t text_len;
	uint64_t begun_us;
	uint64_t closed_us;
	uint64_t until_ms; /* CHECKING, DRAINING: no longer */
	uint64_t counted_ms;
	bool alone;    /* no connection was left when they were counted */
	int client_fd; /* DRAINING: listeners; 0: none */
	int node_fd;
};

/* Call first of all in main: where this program lies now is where its successor will be. */
void upgrade_init(struct upgrade *u);

/* `upgrade []` of an operator: begin it, or answer at once why not.  These are the front's hooks.
 */
void upgrade_ask(void *arg, struct reply_to o, const struct request *q);
bool upgrade_under_way(void *arg);

/* Descriptors to be watched, -1 for none; then, when one is readable, upgrade_look. */
#define UPGRADE_FDS 2u
void upgrade_fds(const struct upgrade *u, int fd[UPGRADE_FDS]);
void upgrade_look(struct coord *c);

/* Deadlines.  Returns when to look again. */
uint64_t upgrade_tick(struct coord *c);

/*
 * Draining, and everything is drained, or its time is over: upgrade_exec is due.  `quiet`: nothing
 * has come in just now.
 */
bool upgrade_due(struct coord *c, bool quiet);

/* The last step.  Returns only if it fails, which nobody can mend. */
void upgrade_exec(struct coord *c);

/*
 * In the new program, run aside: would it be able to go on from `x` with this configuration?  Says
 * so on stdout, or what is wrong on stderr; returns the exit status.
 */
int upgrade_rehearse(const struct resume *x, struct conf *conf);

#endif
