/* Starting workers. */
#include "coordinator/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "ipc/segment.h"

#define FD_ABOVE 64 /* out of the way of the numbers to be given */

int spawn_find(char *out, size_t size)
{
	static const char *const places[] = {"%.*s/pail-worker",
					     "%.*s/../libexec/pail/pail-worker"};
	char self[1024];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(out, size, places[i], (int)(slash - self), self);
#pragma GCC diagnostic pop
		if (access(out, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static _Noreturn void child(const char *path, const int *fd)
{
	char *const argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t) "--serve", NULL};
	sigset_t none;
	int high[FD_COUNT];

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 0; i < FD_COUNT; i++) {
		high[i] = fcntl(fd[i], F_DUPFD, FD_ABOVE);
		if (high[i] < 0)
			_exit(1);
	}
	for (int i = 0; i < FD_COUNT; i++)
		if (dup2(high[i], FD_CONTROL + i) < 0)
			_exit(1);
	(void)close_range(FD_CONTROL + FD_COUNT, ~0u, 0);
	(void)execv(path, argv);
	_exit(1);
}

int spawn_worker(const char *path, const int *fd, struct spawned *ret)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(path, fd);
	ret->pid = pid;
	ret->pidfd = pidfd_open(pid, 0);
	if (ret->pidfd < 0) {
		int r = -errno;

		(void)kill(pid, SIGKILL);
		return r;
	}
	return 0;
}
