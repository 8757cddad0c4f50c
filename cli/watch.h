/* A node that is asked over and over, over its restarts too. */
#ifndef PAIL_CLI_WATCH_H
#define PAIL_CLI_WATCH_H

#include "cli/cli.h"

struct watch {
	struct cli *c;
	struct pail *p;   /* NULL: it is to be connected to */
	uint64_t away_ms; /* since when it does not answer; 0: it does */
};

/*
 * Connect for the first time, as other commands do.  CLI_OK, or an exit status with the reason said.
 * watch_close gives it back.
 */
int watch_open(struct watch *w, struct cli *c);
void watch_close(struct watch *w);

/*
 * Ask by a call of libpail: `call` is given w->p and `arg`, and returns enum pail_status.  What it says is
 * returned; when the node is not there that is PAIL_UNREACHABLE, and the next one tries to connect again.
 */
int watch_ask(struct watch *w, int (*call)(struct pail *p, void *arg), void *arg);

/* Wait so long, or until ^C, a signal, or something can be read from `fd` (-1: no such). */
void watch_wait(uint64_t ms, int fd);

/* The wall clock's time of day, "22:01:05", with milliseconds ".123" if asked for. */
#define WATCH_TIME 16
const char *watch_time(uint64_t unix_ms, bool ms, char out[WATCH_TIME]);

#endif
