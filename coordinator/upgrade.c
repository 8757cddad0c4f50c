/* Checking the new program, draining, exec. */
#include "coordinator/upgrade.h"

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
#include "common/log.h"
#include "coordinator/coord.h"
#include "ipc/wire/codec.h"
#include "coordinator/peers/server.h"
#include "coordinator/process/notify.h"
#include "coordinator/resume.h"
#include "coordinator/process/settings.h"
#include "coordinator/workers/spawn.h"

#define CHECK_MS 10000u /* for the new program to look at everything */
#define DRAIN_MS 2000u  /* for clients to take their leave */
#define QUIET_MS 100u   /* without a request: who stays connected has nothing in flight */
#define TALK_MS                                                                                    \
	200u           /* for those who go on as if they had not been told, REQ sockets among them \
			*/
#define COUNT_MS    3u /* between counts of connections */
#define HOLD_MS     5000u /* that other nodes keep requests for us */
#define LINGER_MS   100u  /* for replies to clients that ignore the goaway */
#define READY       "pail-upgrade ready "
#define EXIT_CONFIG 78

extern char **environ;

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void upgrade_init(struct upgrade *u)
{
	ssize_t n = readlink("/proc/self/exe", u->program, sizeof(u->program) - 1);

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

static void refuse(struct coord *c, struct reply_to o, uint64_t msgid, enum wire_error e,
		   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void refuse(struct coord *c, struct reply_to o, uint64_t msgid, enum wire_error e,
		   const char *fmt, ...)
{
	char text[1500];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_error(&c->sink, o, msgid, true, e, text);
}

/* The check has failed: everything is as it was. */
static void give_up(struct coord *c, enum wire_error e, const char *why)
{
	struct upgrade *u = &c->upgrade;

	log_warn("upgrade refused: %s; nothing has changed", why);
	refuse(c, u->reply_to, u->msgid, e, "%s; nothing has changed", why);
	close_fd(&u->program_fd);
	close_fd(&u->state_fd);
	u->step = UPGRADE_NONE;
	notify("READY=1");
}

/* ---- the check ---- */

static void keep_over_exec(const struct coord *c, int memfd)
{
	const struct upgrade *u = &c->upgrade;
	int fd[RESUME_FDS];
	unsigned n = resume_fds(c, u->client_fd, u->node_fd, memfd, fd);

	for (unsigned i = 0; i < n; i++)
		(void)fcntl(fd[i], F_SETFD, 0);
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
static _Noreturn void check_run(struct coord *c, char *const *argv, char *const *env, int output)
{
	static const char no[] = "the program on disk cannot be executed";
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	keep_over_exec(c, c->upgrade.state_fd);
	(void)fexecve(c->upgrade.program_fd, argv, env);
	(void)!write(STDERR_FILENO, no, sizeof(no) - 1);
	_exit(1);
}

static int check_spawn(struct coord *c)
{
	struct upgrade *u = &c->upgrade;
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
		check_run(c, c->source->argv, env, output[1]);
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

static int check_begin(struct coord *c)
{
	struct upgrade *u = &c->upgrade;
	int r;

	u->text_len = 0;
	u->client_fd = 0;
	u->node_fd = 0;
	u->begun_us = clock_us();
	u->program_fd = open(u->program, O_RDONLY | O_CLOEXEC);
	if (u->program_fd < 0)
		return -errno;
	r = resume_write(c, 0, 0, &u->state_fd);
	if (r == 0)
		r = check_spawn(c);
	if (r < 0)
		return r;
	u->step = UPGRADE_CHECKING;
	u->until_ms = c->node.now_ms + CHECK_MS;
	c->node.changed = true;
	return 0;
}

void upgrade_ask(void *arg, struct reply_to o, const struct request *q)
{
	struct coord *c = arg;
	struct upgrade *u = &c->upgrade;
	char text[80];
	int r;

	if (c->node.stopping || u->step || c->handoff.step || !handoff_idle(&c->handoff) ||
	    handoff_awaited(&c->handoff) || !c->announced) {
		refuse(c, o, q->msgid, WIRE_E_BUSY, "upgrade: %s: try again later",
		       c->node.stopping ? "the node stops"
		       : u->step        ? "another one is under way"
		       : !c->announced  ? "the node starts"
					: "a worker is being restarted, started or stopped");
		return;
	}
	u->reply_to = o;
	u->msgid = q->msgid;
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		       (unsigned long long)clock_us());
	notify(text);
	r = check_begin(c);
	if (r < 0) {
		char why[1300];

		(void)snprintf(why, sizeof(why), "run \"%s\": %s", u->program, strerror(-r));
		give_up(c, WIRE_E_BAD_ARGUMENT, why);
	}
}

/* ---- draining ---- */

static void accepted(struct coord *c, const char *version)
{
	struct upgrade *u = &c->upgrade;
	char reply[256];
	char *p = write_map(write_reply_head(reply, u->msgid), 3);

	p = write_uint(write_text(p, "pid"), (uint64_t)getpid());
	p = write_text(write_text(p, "version"), version);
	p = write_uint(write_text(p, "upgrades"), c->node.upgrades);
	reply_send(&c->sink, u->reply_to, reply, (size_t)(p - reply));
}

static void release(struct socket *l, int *ret_fd)
{
	int r = l ? socket_detach(l, ret_fd) : 0;

	if (r < 0 && r != -ENOENT)
		log_warn("keep a listening socket: %s; it will be bound again", strerror(-r));
}

static void drain_begin(struct coord *c)
{
	struct upgrade *u = &c->upgrade;

	u->step = UPGRADE_DRAINING;
	u->until_ms = c->node.now_ms + DRAIN_MS;
	u->counted_ms = 0;
	u->alone = false;
	c->quiet_ms = c->node.now_ms;
	release(c->link, &u->client_fd);
	release(c->node_link, &u->node_fd);
	peer_server_goaway(c->peer_server, "it is upgraded", HOLD_MS);
	log_info("upgrade: told %u clients to go away", coord_goaway(c, "upgrading"));
}

static void check_end(struct coord *c)
{
	struct upgrade *u = &c->upgrade;
	siginfo_t info = {0};
	char *ready;

	if (waitid(P_PIDFD, (id_t)u->pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	upgrade_look(c); /* what it has said last */
	close_fd(&u->pidfd);
	close_fd(&u->output);
	u->text[u->text_len] = '\0';
	ready = strstr(u->text, READY);
	if (c->node.stopping) {
		give_up(c, WIRE_E_BUSY, "the node stops");
		return;
	}
	if (info.si_code == CLD_EXITED && !info.si_status && ready) {
		ready += sizeof(READY) - 1;
		ready[strcspn(ready, "\n")] = '\0';
		accepted(c, ready);
		close_fd(&u->state_fd);
		drain_begin(c);
		return;
	}
	while (u->text_len && u->text[u->text_len - 1] == '\n')
		u->text[--u->text_len] = '\0';
	if (!u->text_len)
		(void)snprintf(u->text, sizeof(u->text),
			       "\"%.1000s\" is no paild: it ended with %s %d", u->program,
			       info.si_code == CLD_EXITED ? "exit status" : "signal",
			       info.si_status);
	give_up(c, WIRE_E_BAD_ARGUMENT, u->text);
}

bool upgrade_under_way(void *arg)
{
	const struct coord *c = arg;

	return c->upgrade.step != UPGRADE_NONE;
}

void upgrade_look(struct coord *c)
{
	struct upgrade *u = &c->upgrade;
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

uint64_t upgrade_tick(struct coord *c)
{
	struct upgrade *u = &c->upgrade;

	if (u->step == UPGRADE_CHECKING && u->pidfd >= 0)
		check_end(c);
	if (u->step == UPGRADE_CHECKING && c->node.now_ms >= u->until_ms) {
		(void)kill(u->pid, SIGKILL);
		u->until_ms = UINT64_MAX; /* its end is the answer */
	}
	if (u->step == UPGRADE_DRAINING) {
		(void)coord_goaway(c, "upgrading"); /* to those that spoke up meanwhile */
		return c->node.now_ms + 1;
	}
	return u->step ? u->until_ms : UINT64_MAX;
}

/* Has everybody left who was connected? */
static bool alone(struct coord *c)
{
	struct upgrade *u = &c->upgrade;

	if (c->node.now_ms - u->counted_ms >= COUNT_MS) {
		u->counted_ms = c->node.now_ms;
		u->alone = (!c->link || !socket_connections(c->link)) &&
			   (!c->node_link || !socket_connections(c->node_link));
	}
	return u->alone;
}

bool upgrade_due(struct coord *c, bool quiet)
{
	struct upgrade *u = &c->upgrade;

	if (u->step != UPGRADE_DRAINING ||
	    c->node.stopping) /* who is told to stop does not go on */
		return false;
	if (c->node.now_ms >= u->until_ms)
		return true;
	if (!quiet || coord_waits(c) || clients_sending(c->clients))
		return false;
	return c->node.now_ms - c->quiet_ms >= QUIET_MS || alone(c) ||
	       c->node.now_ms >= u->until_ms - DRAIN_MS + TALK_MS;
}

/* ---- exec ---- */

void upgrade_exec(struct coord *c)
{
	struct upgrade *u = &c->upgrade;
	char variable[64];
	char **env;
	int memfd = -1;
	int r;

	for (uint32_t i = 0; i < c->supervisor.count; i++)
		queue_disown(&c->supervisor.worker[i].queue);
	u->closed_us = clock_us();
	coord_disconnect(c, LINGER_MS);
	r = resume_write(c, u->client_fd, u->node_fd, &memfd);
	(void)snprintf(variable, sizeof(variable), RESUME_VARIABLE "=serve %d", memfd);
	env = environment(variable);
	if (r == 0 && env) {
		keep_over_exec(c, memfd);
		(void)fexecve(u->program_fd, c->source->argv, env);
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

int upgrade_rehearse(const struct resume *x, struct conf *conf)
{
	char path[1100];
	struct route_table routes = {0};
	struct buf kept;
	int r;

	buf_init(&kept);
	(void)conf_keep(conf, x->conf, &kept);
	buf_fini(&kept);
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
