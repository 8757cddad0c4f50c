/* Connecting to the node that a command is for, and asking it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- whom a command is for ---- */

static int whom_fail(const struct cli *c, const char *why)
{
	(void)cli_fail(c, PAIL_BAD_ARGUMENT, why);
	return CLI_CONFIG;
}

/* What the environment and contexts add to what the line says. */
static int whom_find(struct cli *c)
{
	const struct pail_options o = {
		.size = sizeof(o), .key_file = c->admin ? "" : c->key, .context = c->context};
	const char *variable = getenv("PAIL_NODE");
	const char *node = c->node;
	char why[1200];

	if (!node && !c->context && variable && *variable)
		node = variable;
	if (node == variable && node && !cli_endpoint(node, NULL, 0, why, sizeof(why)))
		return cli_usage(NULL, "PAIL_NODE: %s", why);
	if (identity_find(node, &o, &c->whom, why, sizeof(why)) != PAIL_OK)
		return whom_fail(c, why);
	if (*c->whom.node_key && !*c->whom.key_file) {
		(void)snprintf(why, sizeof(why),
			       "context \"%s\" has a node's key and no key file to go with it: "
			       "which one? (--key, PAIL_KEY)",
			       c->whom.context);
		return whom_fail(c, why);
	}
	if (!*c->whom.endpoint)
		(void)snprintf(c->whom.endpoint, sizeof(c->whom.endpoint), "%s",
			       WIRE_ENDPOINT_DEFAULT);
	return CLI_OK;
}

int cli_whom(struct cli *c)
{
	const struct session *s = c->session;
	char endpoint[CLI_NODE_MAX];
	char why[200];
	int r = CLI_OK;

	if (s && !c->node && c->context == s->context) {
		c->whom = s->whom;
		if (c->key) /* the shell's own, or the line's */
			(void)snprintf(c->whom.key_file, sizeof(c->whom.key_file), "%s", c->key);
	} else {
		r = whom_find(c);
	}
	if (r != CLI_OK)
		return r;
	if (!cli_endpoint(c->whom.endpoint, endpoint, sizeof(endpoint), why, sizeof(why)))
		return cli_usage(NULL, "%s: %s", c->config ? c->config : "the endpoint", why);
	memcpy(c->whom.endpoint, endpoint, sizeof(endpoint));
	return CLI_OK;
}

int cli_open(const struct cli *c, struct pail_options *o, struct pail **ret)
{
	o->key_file = c->whom.key_file;
	o->node_key = *c->whom.node_key ? c->whom.node_key : NULL;
	return pail_open(c->whom.endpoint, o, ret);
}

/* ---- connecting ---- */

/* Is that connection the one that the command wants? */
static bool is_same(const struct identity *a, const struct identity *b)
{
	return !strcmp(a->endpoint, b->endpoint) && !strcmp(a->key_file, b->key_file) &&
	       !strcmp(a->node_key, b->node_key);
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
	const char *node = c->whom.endpoint;
	char why[400];
	int r;

	if (s && s->p && is_same(&s->of, &c->whom) && suits(s, c)) {
		*ret = s->p;
		return CLI_OK;
	}
	if (c->retry) /* a node that is not there yet may come */
		o.connect_ms = c->q.timeout_ms ? c->q.timeout_ms : WIRE_TIMEOUT_MS;
	r = strncmp(node, "ipc://", 6) != 0 ? PAIL_OK : socket_look(node, why, sizeof(why));
	if (r != PAIL_OK && !(c->retry && r == PAIL_UNREACHABLE))
		return cli_fail(c, r, why);
	r = cli_open(c, &o, ret);
	if (r == PAIL_OK && c->retry)
		time_take(c, o.connect_ms, clock_ms() - begun_ms);
	if (r == PAIL_OK && s) {
		pail_close(&s->p);
		s->p = *ret;
		s->retry = c->retry;
		s->of = c->whom;
	}
	if (r == PAIL_OK)
		return CLI_OK;
	/* The endpoint is one: what is bad is a key. */
	return r == PAIL_BAD_ARGUMENT ? whom_fail(c, pail_open_why())
				      : cli_fail(c, r, pail_open_why());
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
