/* Checking the new program, draining, exec. */
#include "coordinator/process/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config/config.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "coordinator/process/listeners.h"
#include "coordinator/process/notify.h"
#include "coordinator/process/resume.h"
#include "coordinator/routing/table.h"
#include "coordinator/workers/spawn.h"

#define CHECK_MS    10000u /* for the new program to look at everything */
#define DRAIN_MS    2000u  /* for clients to take their leave */
#define QUIET_MS    100u   /* without a request: who stays connected has nothing in flight */
#define TALK_MS     200u /* for those who go on as if they had not been told, REQ sockets among them */
#define COUNT_MS    3u   /* between counts of connections */
#define LINGER_MS   100u /* for replies to clients that ignore the goaway */
#define READY       "pail-upgrade ready "
#define EXIT_CONFIG 78

extern char **environ;

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void upgrade_init(struct upgrade *u, struct node *node, struct reply_sink *sink,
		  struct supervisor *supervisor, char *const *argv,
		  const struct upgrade_hooks *hooks)
{
	ssize_t n = readlink("/proc/self/exe", u->program, sizeof(u->program) - 1);

	u->node = node;
	u->sink = sink;
	u->supervisor = supervisor;
	u->argv = argv;
	u->hooks = *hooks;
	u->program[n > 0 ? n : 0] = '\0';
	u->program_fd = -1;
	u->state_fd = -1;
	u->pidfd = -1;
	u->output = -1;
}

void upgrade_fds(const struct upgrade *u, int fd[UPGRADE_FDS])
{
	fd[0] = u->pidfd;
	fd[1] = u->output;
}

/* ---- refusing ---- */

static void refuse(struct upgrade *u, struct reply_to o, uint64_t msgid, enum wire_error e,
		   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void refuse(struct upgrade *u, struct reply_to o, uint64_t msgid, enum wire_error e,
		   const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_error(u->sink, o, WIRE_UPGRADE, msgid, true, e, text);
}

/* The check has failed: everything is as it was. */
static void give_up(struct upgrade *u, enum wire_error e, const char *why)
{
	figures_event(u->node->figures, EVENT_OF_UPGRADE, EVENT_WARNING, "",
		      "upgrade refused: %s; nothing has changed", why);
	if (u->node->figures)
		u->node->figures->upgrades_refused++;
	refuse(u, u->reply_to, u->msgid, e, "%s; nothing has changed", why);
	close_fd(&u->program_fd);
	close_fd(&u->state_fd);
	u->step = UPGRADE_NONE;
	notify("READY=1");
}

/* ---- the check ---- */

/* Descriptors that are to survive exec. */
struct kept {
	int fd[RESUME_FDS];
	unsigned count;
};

static void keep_over_exec(const struct kept *k)
{
	for (unsigned i = 0; i < k->count; i++)
		(void)fcntl(k->fd[i], F_SETFD, 0);
}

/* Write down what the next program must know, and which descriptors.  0 or negative errno. */
static int state_make(struct upgrade *u, int *ret_fd, struct kept *ret_kept)
{
	static struct resume x; /* large */
	int r;

	memset(&x, 0, sizeof(x));
	u->hooks.state(u->hooks.arg, &x);
	x.begun_us = u->begun_us;
	x.closed_us = u->closed_us;
	x.client_fd = u->client_fd;
	x.node_fd = u->node_fd;
	x.upgrades = u->node->upgrades + 1;
	r = resume_write(&x, ret_fd);
	ret_kept->count = r == 0 ? resume_fds(&x, *ret_fd, ret_kept->fd) : 0;
	return r;
}

/* The environment with our variable in it.  NULL: no memory; the caller frees it. */
static char **environment(char *variable)
{
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 2, sizeof(*env));
	if (!env)
		return NULL;
	memcpy(env, environ, n * sizeof(*env));
	env[n] = variable;
	return env;
}

/* In the child, which must not allocate: `env` was made before. */
static _Noreturn void check_run(const struct upgrade *u, char *const *env, const struct kept *kept,
				int output)
{
	static const char no[] = "the program on disk cannot be executed";
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	keep_over_exec(kept);
	(void)fexecve(u->program_fd, u->argv, env);
	(void)!write(STDERR_FILENO, no, sizeof(no) - 1);
	_exit(1);
}

static int check_spawn(struct upgrade *u, const struct kept *kept)
{
	char variable[64];
	int output[2];
	char **env;
	int r = 0;

	(void)snprintf(variable, sizeof(variable), RESUME_VARIABLE "=check %d", u->state_fd);
	env = environment(variable);
	if (!env)
		return -ENOMEM;
	if (pipe2(output, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(env);
		return -errno;
	}
	u->pid = fork();
	if (u->pid == 0)
		check_run(u, env, kept, output[1]);
	(void)close(output[1]);
	free(env);
	if (u->pid < 0)
		r = -errno;
	else if ((u->pidfd = pidfd_open(u->pid, 0)) < 0)
		r = -errno;
	u->output = output[0];
	if (r < 0)
		close_fd(&u->output);
	return r;
}

static int check_begin(struct upgrade *u)
{
	struct kept kept;
	int r;

	u->text_len = 0;
	u->client_fd = 0;
	u->node_fd = 0;
	u->begun_us = clock_us();
	u->program_fd = open(u->program, O_RDONLY | O_CLOEXEC);
	if (u->program_fd < 0)
		return -errno;
	r = state_make(u, &u->state_fd, &kept);
	if (r == 0)
		r = check_spawn(u, &kept);
	if (r < 0)
		return r;
	u->step = UPGRADE_CHECKING;
	u->until_ms = u->node->now_ms + CHECK_MS;
	u->node->changed = true;
	return 0;
}

void upgrade_ask(struct upgrade *u, struct reply_to o, const struct request *q)
{
	const char *hinders;
	char text[80];
	int r;

	hinders = u->node->stopping ? "the node stops"
		  : u->step         ? "another one is under way"
				    : u->hooks.hinders(u->hooks.arg);
	if (hinders) {
		refuse(u, o, q->msgid, WIRE_E_BUSY, "upgrade: %s: try again later", hinders);
		return;
	}
	u->reply_to = o;
	u->msgid = q->msgid;
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)clock_us());
	notify(text);
	r = check_begin(u);
	if (r < 0) {
		char why[1300];

		(void)snprintf(why, sizeof(why), "run \"%s\": %s", u->program, strerror(-r));
		give_up(u, WIRE_E_BAD_ARGUMENT, why);
	}
}

/* ---- draining ---- */

static void accepted(struct upgrade *u, const char *version)
{
	char reply[256];
	char *p = write_map(write_reply_head(reply, u->msgid), 3);

	p = write_uint(write_text(p, "pid"), (uint64_t)getpid());
	p = write_text(write_text(p, "version"), version);
	p = write_uint(write_text(p, "upgrades"), u->node->upgrades);
	reply_send(u->sink, u->reply_to, reply, (size_t)(p - reply));
}

static void drain_begin(struct upgrade *u)
{
	u->step = UPGRADE_DRAINING;
	u->until_ms = u->node->now_ms + DRAIN_MS;
	u->counted_ms = 0;
	u->alone = false;
	u->hooks.drain(u->hooks.arg, &u->client_fd, &u->node_fd);
}

static void check_end(struct upgrade *u)
{
	siginfo_t info = {0};
	char *ready;

	if (waitid(P_PIDFD, (id_t)u->pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	upgrade_look(u); /* what it has said last */
	close_fd(&u->pidfd);
	close_fd(&u->output);
	u->text[u->text_len] = '\0';
	ready = strstr(u->text, READY);
	if (u->node->stopping) {
		give_up(u, WIRE_E_BUSY, "the node stops");
		return;
	}
	if (info.si_code == CLD_EXITED && !info.si_status && ready) {
		ready += sizeof(READY) - 1;
		ready[strcspn(ready, "\n")] = '\0';
		accepted(u, ready);
		close_fd(&u->state_fd);
		drain_begin(u);
		return;
	}
	while (u->text_len && u->text[u->text_len - 1] == '\n')
		u->text[--u->text_len] = '\0';
	if (!u->text_len)
		(void)snprintf(u->text, sizeof(u->text),
			       "\"%.1000s\" is no paild: it ended with %s %d", u->program,
			       info.si_code == CLD_EXITED ? "exit status" : "signal",
			       info.si_status);
	give_up(u, WIRE_E_BAD_ARGUMENT, u->text);
}

void upgrade_look(struct upgrade *u)
{
	ssize_t n;

	while (u->output >= 0) {
		char drop[512];
		size_t room = sizeof(u->text) - 1 - u->text_len;

		n = read(u->output, room ? u->text + u->text_len : drop,
			 room ? room : sizeof(drop));
		if (n < 0)
			break;
		if (n == 0)
			close_fd(&u->output); /* it ends; the pidfd tells */
		else if (room)
			u->text_len += (size_t)n;
	}
}

uint64_t upgrade_tick(struct upgrade *u)
{
	if (u->step == UPGRADE_CHECKING && u->pidfd >= 0)
		check_end(u);
	if (u->step == UPGRADE_CHECKING && u->node->now_ms >= u->until_ms) {
		(void)kill(u->pid, SIGKILL);
		u->until_ms = UINT64_MAX; /* its end is the answer */
	}
	if (u->step == UPGRADE_DRAINING) {
		u->hooks.remind(u->hooks.arg);
		return u->node->now_ms + 1;
	}
	return u->step ? u->until_ms : UINT64_MAX;
}

/* Has everybody left who was connected? */
static bool alone(struct upgrade *u)
{
	if (u->node->now_ms - u->counted_ms >= COUNT_MS) {
		u->counted_ms = u->node->now_ms;
		u->alone = !u->hooks.connected(u->hooks.arg);
	}
	return u->alone;
}

bool upgrade_due(struct upgrade *u, bool quiet, uint64_t quiet_ms)
{
	if (u->step != UPGRADE_DRAINING ||
	    u->node->stopping) /* who is told to stop does not go on */
		return false;
	if (u->node->now_ms >= u->until_ms)
		return true;
	if (!quiet || u->hooks.waits(u->hooks.arg))
		return false;
	return u->node->now_ms - quiet_ms >= QUIET_MS || alone(u) ||
	       u->node->now_ms >= u->until_ms - DRAIN_MS + TALK_MS;
}

/* ---- exec ---- */

void upgrade_exec(struct upgrade *u)
{
	struct kept kept;
	char variable[64];
	char **env;
	int memfd = -1;
	int r;

	for (uint32_t i = 0; i < u->supervisor->count; i++)
		queue_disown(&u->supervisor->worker[i].queue);
	u->closed_us = clock_us();
	u->hooks.disconnect(u->hooks.arg, LINGER_MS);
	r = state_make(u, &memfd, &kept);
	(void)snprintf(variable, sizeof(variable), RESUME_VARIABLE "=serve %d", memfd);
	env = environment(variable);
	if (r == 0 && env) {
		keep_over_exec(&kept);
		(void)fexecve(u->program_fd, u->argv, env);
		r = -errno;
	}
	free(env);
	log_error("upgrade: execute \"%s\": %s: this node ends", u->program, strerror(-r));
}

/* ---- in the new program ---- */

static int segment_try(const struct resume *x, uint32_t i)
{
	struct segment *s = NULL;
	int fd = fcntl(x->segment_fd[i], F_DUPFD_CLOEXEC, 3);
	int r = fd < 0 ? -errno : segment_attach(fd, &s);

	segment_free(&s);
	if (r == -EPROTO)
		(void)fprintf(stderr,
			      "the running workers' shared memory is of another version than this "
			      "program's (%u): stop the node and start it again\n",
			      SEGMENT_VERSION);
	else if (r < 0)
		(void)fprintf(stderr, "map the shared memory of worker %u: %s\n", i, strerror(-r));
	return r;
}

int upgrade_rehearse(const struct resume *x, struct conf *conf,
		     void (*files_check)(struct conf *conf))
{
	char path[1100];
	struct route_table routes = {0};
	struct buf kept;
	char why[512];
	int r;

	if (listeners_keep_check(conf, x->conf, x->endpoint, x->node_endpoint, why, sizeof(why)) <
	    0)
		conf_error(conf, "listeners", "%s", why);
	buf_init(&kept);
	(void)conf_keep(conf, x->conf, &kept);
	buf_fini(&kept);
	files_check(conf);
	r = route_table_make(conf, &routes);
	route_table_fini(&routes);
	if (r < 0 || conf->error_count) {
		(void)fprintf(stderr, "%.*s", (int)conf->errors.len, conf->errors.data);
		return EXIT_CONFIG;
	}
	for (uint32_t i = 0; i < x->workers; i++)
		if (segment_try(x, i) < 0)
			return 1;
	if (x->workers && spawn_find("pail-worker", path, sizeof(path)) < 0) {
		(void)fprintf(stderr, "pail-worker is not beside paild, nor in ../libexec/pail\n");
		return 1;
	}
	(void)printf("%s%s\n", READY, WIRE_VERSION);
	return fflush(stdout) == 0 ? 0 : 1;
}
