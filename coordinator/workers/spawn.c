/* Starting workers and helpers. */
#include "coordinator/workers/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ipc/shm/segment.h"

#define FD_ABOVE 64 /* out of the way of the numbers to be given */

int spawn_find(const char *name, char *out, size_t size)
{
	static const char *const places[] = {"", "../libexec/pail/"};
	char self[1024];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		(void)snprintf(out, size, "%.*s/%s%s", (int)(slash - self), self, places[i], name);
		if (access(out, X_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static _Noreturn void child(const char *path, const char *how, const int *fd)
{
	char *const argv[] = {(char *)(uintptr_t)path, (char *)(uintptr_t)how, NULL};
	sigset_t none;
	int high[FD_COUNT];

	/*
	 * What is sent to the whole process group, as ^C is, and TERM by many a script, is for the
	 * coordinator: a worker's life hangs on its control socket.
	 */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
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

static int spawned(pid_t pid, struct spawned *ret)
{
	ret->pid = pid;
	ret->pidfd = pidfd_open(pid, 0);
	if (ret->pidfd < 0) {
		int r = -errno;

		(void)kill(pid, SIGKILL);
		return r;
	}
	return 0;
}

int spawn_worker(const char *path, const char *how, const int *fd, struct spawned *ret)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(path, how, fd);
	return spawned(pid, ret);
}

static _Noreturn void program(char *const *argv, int fd, pid_t parent)
{
	sigset_t none;

	(void)signal(SIGHUP, SIG_IGN); /* to the whole group it means the coordinator's file */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	if (fd == 3 ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, 3) < 0)
		_exit(1);
	(void)close_range(4, ~0u, 0);
	(void)execv(argv[0], argv);
	_exit(1);
}

int spawn_program(char *const *argv, int fd, struct spawned *ret)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		program(argv, fd, parent);
	return spawned(pid, ret);
}
