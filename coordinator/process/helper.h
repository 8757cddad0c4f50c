/*
 * A helper program that the coordinator keeps running: the gateway.  It is a client of the node
 * like any other and holds nothing, so all there is to do is to start it, notice its end, and start
 * it again after a delay.  It writes one line to descriptor 3 when it serves: where it listens, for text
 * and for HTTP, each HOST:PORT or "-".
 */
#ifndef PAIL_HELPER_H
#define PAIL_HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct figures;

#define HELPER_ARGS_MAX 24u

struct helper {
	char *argv[HELPER_ARGS_MAX]; /* NULL: there is no such child */
	const char *name;
	struct figures *figures; /* that its events are told; NULL: nobody's */
	pid_t pid;               /* 0: not running */
	int pidfd;               /* -1 */
	int ready;               /* where its line comes from, or -1 */
	bool up;
	bool failed;   /* it said that starting it again is no use */
	bool stopping; /* the node stops: it is not started again */
	bool told;     /* to finish */
	uint32_t restarts;
	uint64_t started_ms;
	uint64_t next_ms; /* not running: when to start it */
	uint64_t delay_ms;
	char endpoint[256]; /* where it listens, for text; "": nowhere */
	char http[256];     /* likewise for HTTP */
	char reason[128];   /* of its last end */
};

/* `argv` ends in NULL and is copied. -ENOENT: the program argv[0] is not to be found. */
int helper_init(struct helper *x, const char *name, const char *const *argv);
void helper_fini(struct helper *x);
/* It runs, or does not, as `from` says, which another program of this process knew. */
void helper_resume(struct helper *x, const struct helper *from);
/* Start it if that is due.  Returns when to look again. */
uint64_t helper_tick(struct helper *x, uint64_t now_ms);
/* Its pidfd or its line can be read. */
void helper_look(struct helper *x, uint64_t now_ms);
/*
 * The node stops: it serves no more text than it has begun with, and is not started again.  HTTP, which
 * tells so, goes on until helper_stop.
 */
void helper_drain(struct helper *x);
/* Tell it to finish, once; it is not started again. */
void helper_stop(struct helper *x);

#endif
