/*
 * News to the service manager, sockets from it.  News is only news: if it cannot be sent, the node
 * goes on.
 */
#include "coordinator/process/notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (!n || n >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@')
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	(void)close(fd);
}

uint64_t notify_watchdog_ms(void)
{
	const char *us = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");

	if (!us || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	/* Half of the limit, as sd_watchdog_enabled(3) advises. */
	return strtoull(us, NULL, 10) / 2000;
}

/* The i-th of the names in the colon-separated list, compared. */
static int named(const char *names, int i, const char *name)
{
	size_t n = strlen(name);

	while (i-- > 0 && names) {
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	return names && strcspn(names, ":") == n && !strncmp(names, name, n);
}

void notify_listeners(int *ret_client, int *ret_node)
{
	const char *pid = getenv("LISTEN_PID");
	const char *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	int n = pid && fds && strtol(pid, NULL, 10) == (long)getpid() ? (int)strtol(fds, NULL, 10)
								      : 0;

	*ret_client = 0;
	*ret_node = 0;
	for (int i = 0; i < n && i < 64; i++) {
		int fd = 3 + i;

		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		if (named(names, i, "node") || (i == 1 && !named(names, i, "client")))
			*ret_node = fd;
		else if (named(names, i, "client") || i == 0)
			*ret_client = fd;
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}
