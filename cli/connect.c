/* Connecting to the node that a command is for, and asking it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/clock.h"
#include "include/wire.h"

#define WAIT_MS  200 /* between looks whether ^C was typed */
#define SPENT_MS 100 /* connecting that takes less is not taken off the request's time */

int cli_call(struct pail *p, const struct pail_request *q, struct pail_result **ret)
{
	struct pail_future *f;
	int r = pail_async(p, q, &f);

	*ret = NULL;
	if (r != PAIL_OK)
		return r;
	/* A signal ends a wait; one that came just before it is seen after it. */
	while (!pail_future_done(f)) {
		if (cli_interrupted()) {
			pail_future_free(&f);
			return PAIL_TIMEOUT;
		}
		(void)pail_wait(p, WAIT_MS);
	}
	return pail_await(&f, ret);
}

const char *cli_why(const struct pail *p)
{
	return cli_interrupted() ? "interrupted: it may or may not have taken effect" : pail_why(p);
}

/*
 * Why nobody answers at a socket in the file system: what connecting to it says at once.  Returns
 * PAIL_OK if that says nothing against it, or it is one of several.
 */
static int socket_look(const char *endpoint, char *why, size_t size)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const char *path = endpoint + 6;
	bool several = strstr(path, ",ipc://") || strstr(path, ",tcp://");
	int fd = *path == '@' || several
			 ? -1
			 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int e;

	if (fd < 0)
		return PAIL_OK;
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	e = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;
	(void)close(fd);
	switch (e) {
	case EACCES:
	case EPERM:
		(void)snprintf(why, size,
			       "no permission on the admin socket \"%.200s\": it is for the node's "
			       "user, its group and root",
			       path);
		return PAIL_DENIED;
	case ENOENT:
		(void)snprintf(why, size,
			       "there is no admin socket \"%.200s\": does the node run there?",
			       path);
		return PAIL_UNREACHABLE;
	case ECONNREFUSED:
		(void)snprintf(why, size, "nobody listens on \"%.200s\": the node does not run",
			       path);
		return PAIL_UNREACHABLE;
	default:
		return PAIL_OK;
	}
}

/* Sending again harms no command that does not ask for it, unless it is told not to. */
static bool suits(const struct session *s, const struct cli *c)
{
	return c->no_retry ? !s->retry : s->retry || !c->retry;
}

/* The time of a command is that of connecting and asking together. */
static void time_take(struct cli *c, uint64_t all_ms, uint64_t spent_ms)
{
	if (spent_ms >= SPENT_MS)
		c->q.timeout_ms = (uint32_t)(spent_ms < all_ms ? all_ms - spent_ms : 1);
}

int cli_connect(struct cli *c, struct pail **ret)
{
	uint64_t begun_ms = clock_ms();
	struct pail_options o = {.size = sizeof(o),
				 .timeout_ms = c->q.timeout_ms,
				 .batch = c->batch,
				 .retry = c->retry};
	struct session *s = c->session;
	char why[400];
	int r;

	if (s && s->p && !strcmp(s->node, c->node) && suits(s, c)) {
		*ret = s->p;
		return CLI_OK;
	}
	if (c->retry) /* a node that is not there yet may come */
		o.connect_ms = c->q.timeout_ms ? c->q.timeout_ms : WIRE_TIMEOUT_MS;
	r = strncmp(c->node, "ipc://", 6) != 0 ? PAIL_OK : socket_look(c->node, why, sizeof(why));
	if (r != PAIL_OK && !(c->retry && r == PAIL_UNREACHABLE))
		return cli_fail(c, r, why);
	r = pail_open(c->node, &o, ret);
	if (r == PAIL_OK && c->retry)
		time_take(c, o.connect_ms, clock_ms() - begun_ms);
	if (r == PAIL_OK && s) {
		pail_close(&s->p);
		s->p = *ret;
		s->retry = c->retry;
		(void)snprintf(s->node, sizeof(s->node), "%s", c->node);
	}
	if (r == PAIL_OK)
		return CLI_OK;
	if (pail_endpoint_why(c->node))
		(void)snprintf(why, sizeof(why), "\"%.200s\" is no endpoint: %s", c->node,
			       pail_endpoint_why(c->node));
	else
		(void)snprintf(why, sizeof(why),
			       "no node answers at \"%.200s\": is one running there?", c->node);
	return cli_fail(c, r, r == PAIL_UNREACHABLE || r == PAIL_BAD_ARGUMENT ? why : c->node);
}

void cli_disconnect(struct cli *c, struct pail **p)
{
	if (c->session)
		*p = NULL;
	else
		pail_close(p);
}

/* Connect, call, and hand over the result of a call that went well; else say why not. */
int cli_ask(struct cli *c, enum pail_method m, struct pail_result **ret)
{
	struct pail *p;
	int r = cli_connect(c, &p);

	*ret = NULL;
	if (r != CLI_OK)
		return r;
	c->q.method = m;
	r = cli_call(p, &c->q, ret);
	c->status = r;
	r = r == PAIL_OK ? CLI_OK : cli_fail(c, r, cli_why(p));
	if (r != CLI_OK)
		pail_result_free(ret);
	cli_disconnect(c, &p);
	return r;
}
