/* pail: the command line. */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/config/config.h"
#include "include/wire.h"

/* ---- ^C ---- */

static volatile sig_atomic_t interrupted;
static struct sigaction before;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

void cli_catch(bool on)
{
	struct sigaction a;

	memset(&a, 0, sizeof(a));
	a.sa_handler = interrupt; /* no SA_RESTART: waits and writes are to end */
	interrupted = 0;
	if (on)
		(void)sigaction(SIGINT, &a, &before);
	else
		(void)sigaction(SIGINT, &before, NULL);
}

bool cli_interrupted(void)
{
	return interrupted;
}

/* ---- running ---- */

void cli_init(struct cli *c)
{
	*c = (struct cli){.q.size = sizeof(c->q),
			  .clients = 4,
			  .buckets = 1,
			  .in_flight = 256,
			  .batch = 16,
			  .keys = 100000,
			  .value_bytes = 100,
			  .read_percent = 50,
			  .seconds = 5,
			  .seed = 1,
			  .bucket = "bench"};
}

/* The endpoint of the admin socket of the node that a file configures.  False: said why not. */
static bool config_node(struct cli *c)
{
	static char endpoint[1100];
	struct conf *conf = NULL;

	endpoint[0] = '\0';
	if (conf_new(&conf) < 0)
		return false;
	conf_read_file(conf, c->config);
	conf_read_environment(conf);
	/* What else is wrong with the file is the node's to say: `reload` asks it. */
	conf_admin(conf, endpoint, sizeof(endpoint));
	if (!*endpoint && conf->error_count)
		(void)fprintf(stderr, "%.*s", (int)conf->errors.len, conf->errors.data);
	else if (!*endpoint)
		(void)fprintf(stderr, "pail: \"%s\" sets neither node.data nor node.admin\n",
			      c->config);
	c->node = endpoint;
	c->admin = true;
	conf_free(&conf);
	return *endpoint;
}

/* It asks no node. */
static bool is_local(const struct command *c)
{
	return c->run == run_help || c->run == run_key || c->run == run_context;
}

/* Writes are sent again unless they are told not to be. */
static bool sends_again(const struct command *c)
{
	return c->run == run_put || c->run == run_touch || c->run == run_delete ||
	       c->run == run_txn || c->run == run_call || c->run == run_create ||
	       c->run == run_drop;
}

int cli_run(struct words w, struct cli *c)
{
	const struct command *command = NULL;
	int r;

	c->words = w;
	r = cli_parse(c, &command);
	if (r >= 0)
		return r;
	if (is_local(command))
		return command->run(c);
	if (c->config && !config_node(c))
		return CLI_CONFIG;
	r = cli_whom(c);
	if (r != CLI_OK)
		return r;
	c->retry = (c->retry || sends_again(command)) && !c->no_retry;
	return command->run(c);
}

/* Text is UTF-8 unless the environment says that it is something else. */
static void locale_set(void)
{
	(void)setlocale(LC_CTYPE, "");
	if (!strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968"))
		(void)setlocale(LC_CTYPE, "C.UTF-8");
}

/* If one of the three was closed, no socket may come to be it: what is read or written then fails.
 */
static void descriptors_hold(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	struct words w = {argc > 0 ? argc - 1 : 0, argv + 1, NULL};
	struct cli c;
	int r;

	descriptors_hold();
	locale_set();
	cli_init(&c);
	r = cli_run(w, &c);
	if ((fflush(stdout) || ferror(stdout)) && r == CLI_OK) {
		(void)fprintf(stderr, "pail: write to stdout: %s\n", strerror(errno));
		r = CLI_FAILED;
	}
	return r;
}
