/* Cutting off connections that receive without end. */
#include "coordinator/guard.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"

#define PORTS_MAX   2u
#define LOOK_MOST   4096u /* descriptors looked at in one tick */
#define FD_MOST     (1u << 20)
#define PATIENCE_MS 200u  /* under load a message may wait for its turn for a while */
#define FEW         1024  /* descriptors that are counted anew in each tick */
#define COUNT_MS    1000u /* between counts of more */

struct watched {
	uint64_t received; /* when a message was last seen, or it was first looked at */
	uint64_t since_ms;
	bool saw; /* a message since the last look */
};

struct guard {
	uint64_t limit;
	uint16_t port[PORTS_MAX];
	unsigned ports;
	struct watched *fd;
	int room;  /* entries in fd */
	int count; /* descriptors are below it */
	int next;
	uint64_t counted_ms;
	uint64_t cut_ms; /* when the last one was cut off; 0: its memory has been given back */
};

int guard_new(uint64_t limit, struct guard **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->limit = limit;
	return 0;
}

void guard_free(struct guard **g)
{
	if (*g)
		free((*g)->fd);
	free(*g);
	*g = NULL;
}

void guard_watch(struct guard *g, const char *endpoint)
{
	const char *colon = strrchr(endpoint, ':');

	if (g->ports < PORTS_MAX && !strncmp(endpoint, "tcp://", 6) && colon)
		g->port[g->ports++] = (uint16_t)atoi(colon + 1);
}

void guard_saw(struct guard *g, int fd)
{
	if (fd >= 0 && fd < g->room)
		g->fd[fd].saw = true;
}

/* How far the numbers of open descriptors go. */
static void count(struct guard *g)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	struct watched *more;
	int top = 0;

	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);

		top = fd > top ? fd : top;
	}
	if (d)
		(void)closedir(d);
	top = top < (int)FD_MOST ? top + 1 : (int)FD_MOST;
	if (top > g->room) {
		more = realloc(g->fd, (size_t)top * 2 * sizeof(*more));
		if (!more)
			return;
		memset(more + g->room, 0, (size_t)(2 * top - g->room) * sizeof(*more));
		g->fd = more;
		g->room = 2 * top;
	}
	g->count = top;
}

/* Was it accepted at one of the ports? */
static bool accepted(const struct guard *g, int fd)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	uint16_t port = 0;

	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return false;
	if (a.ss_family == AF_INET)
		port = ntohs(((const struct sockaddr_in *)&a)->sin_port);
	else if (a.ss_family == AF_INET6)
		port = ntohs(((const struct sockaddr_in6 *)&a)->sin6_port);
	for (unsigned i = 0; i < g->ports; i++)
		if (port && port == g->port[i])
			return true;
	return false;
}

static void look(struct guard *g, int fd, uint64_t now_ms)
{
	static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	struct watched *w = &g->fd[fd];
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 || !info.tcpi_bytes_received) {
		w->since_ms = 0; /* no connection, or one that has sent nothing */
		return;
	}
	/* Fewer than before: another connection has got the number. */
	if (w->saw || !w->since_ms || info.tcpi_bytes_received < w->received) {
		w->saw = false;
		w->received = info.tcpi_bytes_received;
		w->since_ms = now_ms;
		return;
	}
	if (info.tcpi_bytes_received - w->received <= g->limit ||
	    now_ms - w->since_ms < PATIENCE_MS || !accepted(g, fd))
		return;
	log_warn("cut off a connection: it has sent %llu bytes that make no message",
		 (unsigned long long)(info.tcpi_bytes_received - w->received));
	/* Closing it in order would wait for the end of what is still coming. */
	(void)connect(fd, &nowhere, sizeof(nowhere));
	w->since_ms = 0;
	g->cut_ms = now_ms;
}

/* Is there any that must be looked at again soon? */
static bool connections(const struct guard *g)
{
	for (int i = 0; i < g->count; i++)
		if (g->fd[i].since_ms)
			return true;
	return false;
}

bool guard_tick(struct guard *g, uint64_t now_ms)
{
	if (!g->ports)
		return false;
	if (g->cut_ms && now_ms - g->cut_ms >= COUNT_MS) {
		g->cut_ms = 0;
		(void)malloc_trim(0);
	}
	if (g->count < FEW || now_ms - g->counted_ms >= COUNT_MS) {
		g->counted_ms = now_ms;
		count(g);
	}
	for (unsigned i = 0; i < LOOK_MOST && i < (unsigned)g->count; i++) {
		if (g->next >= g->count)
			g->next = 0;
		look(g, g->next++, now_ms);
	}
	return g->cut_ms || g->count >= FEW || connections(g);
}
