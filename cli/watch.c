/* Asking again and again. */
#include "cli/watch.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "common/clock.h"

#define CONNECT_MS 500u /* for one try while the node is away */

int watch_open(struct watch *w, struct cli *c)
{
	*w = (struct watch){.c = c};
	return cli_connect(c, &w->p);
}

void watch_close(struct watch *w)
{
	if (w->p)
		cli_disconnect(w->c, &w->p);
}

/* A connection of its own: a shell's goes on being the shell's. */
static int connect_again(struct watch *w)
{
	struct pail_options o = {.size = sizeof(o), .connect_ms = CONNECT_MS};

	return cli_open(w->c, &o, &w->p);
}

int watch_ask(struct watch *w, int (*call)(struct pail *p, void *arg), void *arg)
{
	int r = w->p ? PAIL_OK : connect_again(w);

	if (r == PAIL_OK)
		r = call(w->p, arg);
	if (r == PAIL_OK) {
		w->away_ms = 0;
		return r;
	}
	if (r == PAIL_UNREACHABLE || r == PAIL_TIMEOUT || r == PAIL_CLOSED || r == PAIL_PROTOCOL) {
		watch_close(w);
		w->p = NULL;
		if (!w->away_ms)
			w->away_ms = clock_ms();
		return PAIL_UNREACHABLE;
	}
	return r;
}

void watch_wait(uint64_t ms, int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	if (!cli_interrupted())
		(void)poll(&p, fd >= 0, (int)ms);
}

const char *watch_time(uint64_t unix_ms, bool ms, char out[WATCH_TIME])
{
	time_t s = (time_t)(unix_ms / 1000);
	struct tm tm = {0};

	(void)localtime_r(&s, &tm);
	(void)snprintf(out, WATCH_TIME, "%02d:%02d:%02d", tm.tm_hour % 100, tm.tm_min % 100,
		       tm.tm_sec % 100);
	if (ms)
		(void)snprintf(out + 8, WATCH_TIME - 8, ".%03u", (unsigned)(unix_ms % 1000));
	return out;
}
