/* Cutting off connections that receive without end. */
#include "coordinator/clients/conn_limit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/node/figures.h"

#define PORTS_MAX    2u
#define LOOK_MOST    4096u /* descriptors looked at in one tick */
#define FD_MOST      (1u << 20)
#define PATIENCE_MS  2000u       /* the queue is never seen empty: by then it was this one's turn */
#define FEW          1024        /* descriptors that are counted anew in each tick */
#define COUNT_MS     1000u       /* between counts of more */
#define QUEUED_FROM  (64u << 10) /* unfinished bytes from which it is asked what was not read yet */
#define HANDSHAKE    1024u       /* bytes that a connection begins with, at most */
#define SWELLS       4u          /* bytes of memory for one received: more is small frames */
#define TRIM_FROM    (1u << 20)  /* unfinished bytes that were, from which memory is given back */
#define TRIM_REPLIES (64u << 20) /* likewise bytes of replies */
#define TRIM_MS      1000u       /* after they have gone */

struct watched {
	uint64_t received; /* when a message was last seen, or it was first looked at */
	uint64_t since_ms;
	uint64_t unfinished; /* bytes, at the last look */
	uint64_t over_ms;    /* since when that is too much; 0: it is not */
	bool saw;            /* a message since the last look */
};

struct conn_limit {
	struct conn_limit_limits limits;
	struct figures *figures; /* NULL: nobody counts */
	uint16_t port[PORTS_MAX];
	unsigned ports;
	struct watched *fd;
	int room;  /* entries in fd */
	int count; /* descriptors are below it */
	int next;
	bool missed; /* a message of a connection that there was no room for in fd */
	uint64_t counted_ms;
	uint64_t drained_ms;
	uint64_t unfinished; /* bytes of all */
	uint64_t over_ms;    /* since when that is too much; 0: it is not */
	uint64_t high;       /* most of them since memory was last given back */
	uint64_t high_waiting;
	uint64_t high_ms; /* when there was last more than a quarter of that */
};

int conn_limit_new(const struct conn_limit_limits *limits, struct conn_limit **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->limits = *limits;
	return 0;
}

void conn_limit_free(struct conn_limit **g)
{
	if (*g)
		free((*g)->fd);
	free(*g);
	*g = NULL;
}

void conn_limit_watch(struct conn_limit *g, const char *endpoint)
{
	const char *colon = strrchr(endpoint, ':');

	if (g->ports < PORTS_MAX && !strncmp(endpoint, "tcp://", 6) && colon)
		g->port[g->ports++] = (uint16_t)atoi(colon + 1);
}

void conn_limit_saw(struct conn_limit *g, int fd)
{
	if (fd >= 0 && fd < g->room)
		g->fd[fd].saw = true;
	else if (fd >= 0)
		g->missed = true;
}

void conn_limit_drained(struct conn_limit *g, uint64_t now_ms)
{
	g->drained_ms = now_ms;
}

static void unfinished_set(struct conn_limit *g, struct watched *w, uint64_t n)
{
	g->unfinished += n - w->unfinished;
	w->unfinished = n;
	if (!n)
		w->over_ms = 0;
}

void conn_limit_configure(struct conn_limit *g, const struct conn_limit_limits *limits)
{
	g->limits = *limits;
}

/* How far the numbers of open descriptors go. */
static void count(struct conn_limit *g)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	struct watched *more;
	int top = 0;

	if (!d)
		return; /* without descriptors: as many as before */
	while ((e = readdir(d))) {
		int fd = atoi(e->d_name);

		top = fd > top ? fd : top;
	}
	(void)closedir(d);
	top = top < (int)FD_MOST ? top + 1 : (int)FD_MOST;
	if (top > g->room) {
		more = realloc(g->fd, (size_t)top * 2 * sizeof(*more));
		if (!more)
			return;
		memset(more + g->room, 0, (size_t)(2 * top - g->room) * sizeof(*more));
		for (int i = g->room; i < 2 * top; i++)
			more[i].saw = g->missed;
		g->missed = false;
		g->fd = more;
		g->room = 2 * top;
	}
	for (int i = top; i < g->count; i++) { /* closed since */
		unfinished_set(g, &g->fd[i], 0);
		g->fd[i].since_ms = 0;
	}
	g->count = top;
}

/* Was it accepted at one of the ports? */
static bool accepted(const struct conn_limit *g, int fd)
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

/* ---- unfinished messages ---- */

/* Has everything been seen that was whole at that time?  Under steady load it may never be sure. */
void conn_limit_count(struct conn_limit *g, struct figures *f)
{
	g->figures = f;
}

static bool drained(const struct conn_limit *g, uint64_t since_ms, uint64_t now_ms)
{
	return g->drained_ms > since_ms || now_ms - since_ms >= PATIENCE_MS;
}

static void cut(struct conn_limit *g, int fd, const char *why)
{
	static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	struct watched *w = &g->fd[fd];

	figures_event(g->figures, EVENT_OF_CLIENTS, EVENT_WARNING, "",
		      "cut off a connection: it has sent %llu bytes that make no message%s",
		      (unsigned long long)w->unfinished, why);
	if (g->figures)
		g->figures->cut_off_message++;
	/* Closing it in order would wait for the end of what is still coming. */
	(void)connect(fd, &nowhere, sizeof(nowhere));
	unfinished_set(g, w, 0);
	w->since_ms = 0;
}

/* Bytes that a connection has sent and that ZeroMQ has read, of which no message was seen. */
static uint64_t unfinished(const struct watched *w, int fd, uint64_t received)
{
	uint64_t n = received - w->received;
	int queued = 0;

	if (n < QUEUED_FROM || ioctl(fd, SIOCINQ, &queued) < 0)
		return n;
	return n > (uint64_t)queued ? n - (uint64_t)queued : 0;
}

static void look(struct conn_limit *g, int fd, uint64_t now_ms)
{
	struct watched *w = &g->fd[fd];
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0 || !info.tcpi_bytes_received) {
		unfinished_set(g, w, 0);
		w->since_ms = 0; /* no connection, or one that has sent nothing */
		w->saw = false;
		return;
	}
	if (w->saw) {
		w->saw = false;
		w->received = info.tcpi_bytes_received;
		w->since_ms = now_ms;
		unfinished_set(g, w, 0);
		return;
	}
	/* A new one; with fewer than before, another connection has got the number.  Much may have
	 * come already: all of it is unfinished, but for the handshake. */
	if (!w->since_ms || info.tcpi_bytes_received < w->received) {
		w->received =
			info.tcpi_bytes_received < HANDSHAKE ? info.tcpi_bytes_received : HANDSHAKE;
		w->since_ms = now_ms;
		unfinished_set(g, w, 0);
	}
	if (info.tcpi_bytes_received == w->received || (!w->unfinished && !accepted(g, fd)))
		return;
	unfinished_set(g, w, unfinished(w, fd, info.tcpi_bytes_received));
	if (w->unfinished <= g->limits.one)
		w->over_ms = 0;
	else if (!w->over_ms)
		w->over_ms = now_ms;
	else if (drained(g, w->over_ms, now_ms))
		cut(g, fd, "");
}

/* ---- all together ---- */

/* Memory of this process that is no file's and not shared with workers. */
static uint64_t memory_own(void)
{
	unsigned long long all;
	unsigned long long shared;
	uint64_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%*u %llu %llu", &all, &shared) == 2 && all > shared)
		pages = all - shared;
	if (f)
		(void)fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What all together may have unfinished. */
static uint64_t bound(const struct conn_limit *g, uint64_t waiting)
{
	uint64_t own = memory_own();

	return own > waiting && own - waiting > SWELLS * g->unfinished ? g->limits.small
								       : g->limits.all;
}

static int largest(const struct conn_limit *g)
{
	int at = 0;

	for (int i = 1; i < g->room; i++)
		if (g->fd[i].unfinished > g->fd[at].unfinished)
			at = i;
	return at;
}

static void look_at_all(struct conn_limit *g, uint64_t waiting, uint64_t now_ms)
{
	uint64_t most;

	if (g->unfinished <= g->limits.small && g->unfinished <= g->limits.all) {
		g->over_ms = 0;
		return;
	}
	most = bound(g, waiting);
	if (g->unfinished <= most)
		g->over_ms = 0;
	else if (!g->over_ms)
		g->over_ms = now_ms;
	else if (drained(g, g->over_ms, now_ms))
		while (g->unfinished > most)
			cut(g, largest(g), ", more than any other, and all together too many");
}

/* ---- giving memory back ---- */

/*
 * The allocator keeps what is freed: after a time of much it is given back once, so that a single
 * flood is not paid for ever.
 */
static bool trim(struct conn_limit *g, uint64_t waiting, uint64_t now_ms)
{
	bool much;

	g->high = g->unfinished > g->high ? g->unfinished : g->high;
	g->high_waiting = waiting > g->high_waiting ? waiting : g->high_waiting;
	much = g->high >= TRIM_FROM || g->high_waiting >= TRIM_REPLIES;
	if (!much || g->unfinished > g->high / 4 || waiting > g->high_waiting / 4) {
		g->high_ms = now_ms;
		return much;
	}
	if (now_ms - g->high_ms < TRIM_MS)
		return true;
	g->high = 0;
	g->high_waiting = 0;
	(void)malloc_trim(0);
	return false;
}

/* ---- the tick ---- */

/* Is there any that must be looked at again soon? */
static bool connections(const struct conn_limit *g)
{
	for (int i = 0; i < g->count; i++)
		if (g->fd[i].since_ms)
			return true;
	return false;
}

bool conn_limit_tick(struct conn_limit *g, uint64_t waiting, uint64_t now_ms)
{
	bool again = trim(g, waiting, now_ms);

	if (!g->ports)
		return again;
	if (g->count < FEW || now_ms - g->counted_ms >= COUNT_MS) {
		g->counted_ms = now_ms;
		count(g);
	}
	for (unsigned i = 0; i < LOOK_MOST && i < (unsigned)g->count; i++) {
		if (g->next >= g->count)
			g->next = 0;
		look(g, g->next++, now_ms);
	}
	look_at_all(g, waiting, now_ms);
	return again || g->count >= FEW || connections(g);
}
