/* Listeners, found among this process's descriptors. */
#include "ipc/net/listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define KEPT_ABOVE 64 /* out of the way of the numbers that programs are started with */

/* The port behind an endpoint such as tcp://[::]:4040, or 0. */
static unsigned endpoint_port(const char *endpoint)
{
	const char *colon = strrchr(endpoint, ':');

	return strncmp(endpoint, "tcp://", 6) == 0 && colon ? (unsigned)atoi(colon + 1) : 0;
}

/* Is the socket bound to the endpoint's port, or to its path? */
static bool bound_to(int fd, const char *endpoint)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	unsigned port = endpoint_port(endpoint);

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return false;
	if (a.ss_family == AF_INET)
		return port && ntohs(((const struct sockaddr_in *)&a)->sin_port) == port;
	if (a.ss_family == AF_INET6)
		return port && ntohs(((const struct sockaddr_in6 *)&a)->sin6_port) == port;
	return a.ss_family == AF_UNIX && !strncmp(endpoint, "ipc://", 6) &&
	       !strcmp(((const struct sockaddr_un *)&a)->sun_path, endpoint + 6);
}

/* The endpoint as libzmq names a TCP listener: with the address too. */
static bool named(int fd, const char *endpoint)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];
	char name[NI_MAXHOST + NI_MAXSERV + 16];

	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0 ||
	    getnameinfo((const struct sockaddr *)&a, n, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return false;
	(void)snprintf(name, sizeof(name),
		       a.ss_family == AF_INET6 ? "tcp://[%s]:%s" : "tcp://%s:%s", host, port);
	return !strcmp(name, endpoint);
}

static bool listens(int fd)
{
	int listening = 0;
	socklen_t n = sizeof(listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening;
}

/*
 * Call `f` for each open descriptor until it returns anything but 0, and return that; 0 if it never
 * does, or negative errno.
 */
static int each_fd(int (*f)(void *arg, int fd), void *arg)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d)))
		if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(d))
			r = f(arg, atoi(e->d_name));
	(void)closedir(d);
	return r;
}

static int deafen_one(void *arg, int fd)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {1, &drop};

	if (!listens(fd) || !named(fd, arg))
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno
											   : 1;
}

int listener_pause_accept(const char *endpoint)
{
	int r = endpoint_port(endpoint) ? each_fd(deafen_one, (void *)(uintptr_t)endpoint) : 0;

	return r < 0 ? r : r ? 0 : -ENOENT;
}

/* A listener as it is entered in an epoll instance. */
struct entry {
	const char *endpoint;
	int epoll;
	int fd;
	struct epoll_event event;
};

/*
 * Is `fd` an epoll instance that watches the listener?  Linux tells what an instance watches in
 * /proc/self/fdinfo, see proc(5).
 */
static int entry_find(void *arg, int fd)
{
	struct entry *x = arg;
	char path[64];
	char line[256];
	char kind[64];
	ssize_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, kind, sizeof(kind) - 1);
	if (n < 0 || strncmp(kind, "anon_inode:[eventpoll]", (size_t)n) != 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && x->epoll < 0 && fgets(line, sizeof(line), f)) {
		int watched;
		unsigned events;
		unsigned long long data;

		if (sscanf(line, "tfd: %d events: %x data: %llx", &watched, &events, &data) != 3 ||
		    !listens(watched) || !named(watched, x->endpoint))
			continue;
		x->epoll = fd;
		x->fd = watched;
		x->event.events = events;
		x->event.data.u64 = data;
	}
	if (f)
		(void)fclose(f);
	return x->epoll >= 0;
}

/* A listener that nobody can connect to, since nobody knows its name. */
static int nobodys(void)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX}; /* the kernel chooses, unix(7) */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&any, sizeof(sa_family_t)) == 0 && listen(fd, 1) == 0)
		return fd;
	r = -errno;
	(void)close(fd);
	return r;
}

/* Another file takes the number, and its place in the epoll instance. */
static int exchange(const struct entry *x, int other)
{
	struct epoll_event event = x->event;

	if (epoll_ctl(x->epoll, EPOLL_CTL_DEL, x->fd, NULL) < 0)
		return -errno;
	if (dup3(other, x->fd, O_CLOEXEC) < 0)
		return -errno;
	return epoll_ctl(x->epoll, EPOLL_CTL_ADD, x->fd, &event) < 0 ? -errno : 0;
}

int listener_detach(const char *endpoint, int *ret_fd)
{
	struct entry x = {.endpoint = endpoint, .epoll = -1, .fd = -1};
	int r = endpoint_port(endpoint) ? each_fd(entry_find, &x) : 0;
	int other;
	int kept;

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	other = nobodys();
	if (other < 0)
		return other;
	kept = fcntl(x.fd, F_DUPFD_CLOEXEC, KEPT_ABOVE);
	if (kept < 0) /* clients have them all */
		kept = fcntl(x.fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	r = kept < 0 || fcntl(kept, F_SETFL, O_NONBLOCK) < 0 ? -errno : exchange(&x, other);
	(void)close(other);
	if (r < 0 && kept >= 0)
		(void)close(kept);
	else if (r == 0)
		*ret_fd = kept;
	return r;
}

int listener_find(const char *endpoint, struct listener_entry *ret)
{
	struct entry x = {.endpoint = endpoint, .epoll = -1, .fd = -1};
	int r = endpoint_port(endpoint) ? each_fd(entry_find, &x) : 0;

	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret = (struct listener_entry){x.epoll, x.fd, x.event.events, x.event.data.u64};
	return 0;
}

int listener_pause(const struct listener_entry *x, bool on)
{
	struct epoll_event event = {.events = on ? 0 : x->events, .data = {.u64 = x->data}};

	return epoll_ctl(x->epoll, EPOLL_CTL_MOD, x->fd, &event) < 0 ? -errno : 0;
}

struct counted {
	const char *endpoint;
	unsigned n;
};

static int count_one(void *arg, int fd)
{
	struct counted *x = arg;

	x->n += bound_to(fd, x->endpoint) && !listens(fd);
	return 0;
}

unsigned listener_connections(const char *endpoint)
{
	struct counted x = {endpoint, 0};

	(void)each_fd(count_one, &x);
	return x.n;
}
