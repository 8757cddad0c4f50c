/* Starting and watching the gateway. */
#include "coordinator/process/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/workers/spawn.h"

#define DELAY_FIRST_MS 100u
#define DELAY_MOST_MS  30000u
#define SERVED_MS      1000u /* up for so long, and its end is no failure to start */
#define EXIT_HOPELESS  2

int helper_init(struct helper *x, const char *name, const char *const *argv)
{
	char path[1100];
	uint32_t i = 0;

	memset(x, 0, sizeof(*x));
	x->pidfd = -1;
	x->ready = -1;
	x->name = name;
	if (!argv)
		return 0;
	if (spawn_find(argv[0], path, sizeof(path)) < 0)
		return -ENOENT;
	x->argv[0] = strdup(path);
	for (i = 1; argv[i] && i + 1 < HELPER_ARGS_MAX; i++)
		x->argv[i] = strdup(argv[i]);
	while (i-- > 0)
		if (!x->argv[i])
			return -ENOMEM;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void helper_fini(struct helper *x)
{
	if (x->pid) {
		(void)kill(x->pid, SIGKILL);
		(void)waitpid(x->pid, NULL, 0);
	}
	close_fd(&x->pidfd);
	close_fd(&x->ready);
	for (uint32_t i = 0; i < HELPER_ARGS_MAX; i++)
		free(x->argv[i]);
	memset(x, 0, sizeof(*x));
	x->pidfd = -1;
	x->ready = -1;
}

void helper_resume(struct helper *x, const struct helper *from)
{
	struct helper all = *from;

	memcpy(all.argv, x->argv, sizeof(all.argv));
	all.name = x->name;
	all.figures = x->figures;
	*x = all;
}

static void again_later(struct helper *x, uint64_t now_ms)
{
	x->next_ms = now_ms + x->delay_ms;
	x->delay_ms = x->delay_ms ? 2 * x->delay_ms : DELAY_FIRST_MS;
	if (x->delay_ms > DELAY_MOST_MS)
		x->delay_ms = DELAY_MOST_MS;
}

static void start(struct helper *x, uint64_t now_ms)
{
	struct spawned s;
	int pipe_fd[2];
	int r = pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;

	if (r == 0) {
		r = spawn_program(x->argv, pipe_fd[1], &s);
		(void)close(pipe_fd[1]);
		if (r < 0)
			(void)close(pipe_fd[0]);
	}
	if (r < 0) {
		log_error("start the %s: %s", x->name, strerror(-r));
		again_later(x, now_ms);
		return;
	}
	x->pid = s.pid;
	x->pidfd = s.pidfd;
	x->ready = pipe_fd[0];
	x->started_ms = now_ms;
}

uint64_t helper_tick(struct helper *x, uint64_t now_ms)
{
	if (!x->argv[0] || x->pid || x->failed || x->stopping)
		return UINT64_MAX;
	if (now_ms >= x->next_ms)
		start(x, now_ms);
	return x->pid ? UINT64_MAX : x->next_ms;
}

/* A word of the line, from *at on, into `out`. */
static void word_take(const char **at, char out[256])
{
	size_t n = strcspn(*at, " \n");

	(void)snprintf(out, 256, "%.*s", (int)n, *at);
	if (!strcmp(out, "-"))
		out[0] = '\0';
	*at += n + ((*at)[n] == ' ');
}

static void line_read(struct helper *x)
{
	char line[sizeof(x->endpoint) + sizeof(x->http)];
	const char *at = line;
	ssize_t n = read(x->ready, line, sizeof(line) - 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close_fd(&x->ready);
	if (n <= 0)
		return; /* it ends; the pidfd tells */
	line[n] = '\0';
	word_take(&at, x->endpoint);
	word_take(&at, x->http);
	x->up = true;
	figures_event(x->figures, EVENT_OF_HELPER_UP, EVENT_INFO, x->name,
		      "%s is up, pid %d, listens on %s%s%s", x->name, (int)x->pid, x->endpoint,
		      !*x->http      ? ""
		      : *x->endpoint ? ", for HTTP on "
				     : "",
		      x->http);
}

void helper_look(struct helper *x, uint64_t now_ms)
{
	siginfo_t info = {0};

	if (x->ready >= 0)
		line_read(x);
	if (x->pidfd < 0 || waitid(P_PIDFD, (id_t)x->pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    !info.si_pid)
		return;
	if (info.si_code == CLD_EXITED)
		(void)snprintf(x->reason, sizeof(x->reason), "it ended with exit status %d",
			       info.si_status);
	else
		(void)snprintf(x->reason, sizeof(x->reason), "killed by signal %d (%s)",
			       info.si_status, strsignal(info.si_status));
	/* If another TERM came, to the whole group, it may have met it on its way out. */
	if (x->stopping &&
	    (info.si_code == CLD_EXITED ? !info.si_status : info.si_status == SIGTERM))
		log_info("%s, pid %d, has ended", x->name, (int)x->pid);
	else
		figures_event(x->figures, EVENT_OF_HELPER_DIED, EVENT_WARNING, x->name,
			      "%s, pid %d, ended: %s", x->name, (int)x->pid, x->reason);
	close_fd(&x->pidfd);
	close_fd(&x->ready);
	x->pid = 0;
	x->failed = info.si_code == CLD_EXITED && info.si_status == EXIT_HOPELESS;
	x->restarts++;
	if (x->up && now_ms - x->started_ms >= SERVED_MS)
		x->delay_ms = 0;
	x->up = false;
	again_later(x, now_ms);
}

void helper_drain(struct helper *x)
{
	x->stopping = true;
	if (!*x->http) /* it has nothing else to do */
		helper_stop(x);
	else if (x->pid)
		(void)kill(x->pid, SIGUSR1);
}

void helper_stop(struct helper *x)
{
	x->stopping = true;
	if (x->pid && !x->told)
		(void)kill(x->pid, SIGTERM);
	x->told = true;
}
