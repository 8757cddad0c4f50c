/*
 * Replacing the coordinator by the program on disk, in place: same process, same workers, same
 * listening sockets.  exec destroys ZeroMQ's connections, so clients are told to go away first, and
 * whoever connects meanwhile waits in the listeners' queues.
 *
 *	NONE
 *	CHECKING  the new program is run aside, with this one's state and the configuration on disk;
 *	          what it finds wrong is the answer, and nothing has changed
 *	DRAINING  clients and nodes are told; what they wait for is served; then exec, which is
 *	          final
 */
#ifndef PAIL_UPGRADE_H
#define PAIL_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "coordinator/node/reply.h"

struct conf;
struct node;
struct request;
struct resume;
struct supervisor;

enum upgrade_step { UPGRADE_NONE, UPGRADE_CHECKING, UPGRADE_DRAINING };

/* What an upgrade needs of all the parts. */
struct upgrade_hooks {
	/* Write down in `x` what the next program must know; what is the upgrade's own is not. */
	void (*state)(void *arg, struct resume *x);
	/* Why it cannot be begun now, or NULL. */
	const char *(*hinders)(void *arg);
	/*
	 * Begin to drain: tell clients and nodes to go away, and take the listening sockets, which
	 * accept no more; 0 where there is none.
	 */
	void (*drain)(void *arg, int *ret_client_fd, int *ret_node_fd);
	/* Tell those to go away that spoke up since. */
	void (*remind)(void *arg);
	/* Is anybody connected? */
	bool (*connected)(void *arg);
	/* Does anybody wait for a reply, or for one that has been sent? */
	bool (*waits)(void *arg);
	/* Close every ZeroMQ socket, waiting at most `linger_ms` for what has not been sent. */
	void (*disconnect)(void *arg, unsigned linger_ms);
	void *arg;
};

struct upgrade {
	struct node *node;
	struct reply_sink *sink;
	struct supervisor *supervisor;
	char *const *argv; /* of this program, and of the next */
	struct upgrade_hooks hooks;
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

/* Call first of all: where this program lies now is where its successor will be. */
void upgrade_init(struct upgrade *u, struct node *node, struct reply_sink *sink,
		  struct supervisor *supervisor, char *const *argv,
		  const struct upgrade_hooks *hooks);

/* `upgrade []` of an operator: begin it, or answer at once why not. */
void upgrade_ask(struct upgrade *u, struct reply_to o, const struct request *q);

/* Descriptors to be watched, -1 for none; then, when one is readable, upgrade_look. */
#define UPGRADE_FDS 2u
void upgrade_fds(const struct upgrade *u, int fd[UPGRADE_FDS]);
void upgrade_look(struct upgrade *u);

/* Deadlines.  Returns when to look again. */
uint64_t upgrade_tick(struct upgrade *u);

/*
 * Draining, and everything is drained, or its time is over: upgrade_exec is due.  `quiet`: nothing
 * has come in just now; `quiet_ms`: since when.
 */
bool upgrade_due(struct upgrade *u, bool quiet, uint64_t quiet_ms);

/* The last step.  Returns only if it fails, which nobody can mend. */
void upgrade_exec(struct upgrade *u);

/*
 * In the new program, run aside: would it be able to go on from `x` with this configuration?  Says
 * so on stdout, or what is wrong on stderr; returns the exit status.  `files_check` adds what is
 * wrong with files that the configuration names, as it will be: what only a restart changes stays.
 */
int upgrade_rehearse(const struct resume *x, struct conf *conf,
		     void (*files_check)(struct conf *conf));

#endif
