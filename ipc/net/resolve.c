/* A list of names, each with what was found, and a thread for each that is being looked up. */
#include "ipc/net/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define FRESH_MS  1000u /* what was found is not looked up again within */
#define NAMES_MAX 64u   /* peers and endpoints that one process names */

struct name {
	struct name *next;
	char host[SOCKET_ENDPOINT_MAX];
	char port[8];
	bool running;     /* a thread looks it up */
	unsigned waiting; /* who waits for it; then too it stays in the list */
	int error;        /* of the last time; 0: `found` holds */
	uint64_t at_ms;
	struct addresses found;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t looked_up = PTHREAD_COND_INITIALIZER;
static struct name *names;
static unsigned name_count;

/* Split "tcp://HOST:PORT".  False: it is no TCP endpoint, or HOST is an address or a wildcard. */
static bool name_split(const char *endpoint, char *host, char *port, size_t port_size)
{
	const char *from = endpoint + 6;
	const char *colon = strrchr(endpoint, ':');
	size_t n;

	if (strncmp(endpoint, "tcp://", 6) != 0 || !colon || colon < from)
		return false;
	n = (size_t)(colon - from);
	if (!n || n >= SOCKET_ENDPOINT_MAX || *from == '[' || *from == '*' ||
	    strspn(from, "0123456789.") == n || strlen(colon + 1) >= port_size)
		return false;
	memcpy(host, from, n);
	host[n] = '\0';
	memcpy(port, colon + 1, strlen(colon + 1) + 1);
	return true;
}

static void address_add(struct addresses *a, const struct addrinfo *i, const char *port)
{
	char host[NI_MAXHOST];
	char *to = a->endpoint[a->count];
	bool v6 = i->ai_family == AF_INET6;

	if (a->count == RESOLVE_ADDRESSES_MAX || (!v6 && i->ai_family != AF_INET) ||
	    getnameinfo(i->ai_addr, i->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST))
		return;
	if (strlen(host) > SOCKET_ENDPOINT_MAX - 32)
		return;
	(void)snprintf(to, SOCKET_ENDPOINT_MAX, v6 ? "tcp://[%.200s]:%s" : "tcp://%.200s:%s", host,
		       port);
	for (unsigned k = 0; k < a->count; k++)
		if (!strcmp(a->endpoint[k], to))
			return;
	memcpy(&a->address[a->count++], i->ai_addr, i->ai_addrlen);
}

static int look_up(const char *host, const char *port, struct addresses *ret)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	int r = getaddrinfo(host, port, &hints, &list);

	if (r)
		return r == EAI_MEMORY ? -ENOMEM : r == EAI_AGAIN ? -EHOSTUNREACH : -ENOENT;
	ret->count = 0;
	for (const struct addrinfo *i = list; i; i = i->ai_next)
		address_add(ret, i, port);
	freeaddrinfo(list);
	return ret->count ? 0 : -ENOENT;
}

static void *name_thread(void *arg)
{
	struct name *n = arg; /* stays in the list while it is running */
	struct addresses found;
	int r = look_up(n->host, n->port, &found);

	(void)pthread_mutex_lock(&lock);
	n->error = r;
	if (r == 0) {
		found.turn = n->found.turn;
		n->found = found;
	}
	n->at_ms = clock_ms();
	n->running = false;
	(void)pthread_cond_broadcast(&looked_up);
	(void)pthread_mutex_unlock(&lock);
	return NULL;
}

/* Signals are for the threads of the program. */
static int name_start(struct name *n)
{
	pthread_attr_t detached;
	pthread_t t;
	sigset_t all;
	sigset_t was;
	int r;

	(void)sigfillset(&all);
	(void)pthread_attr_init(&detached);
	(void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	(void)pthread_sigmask(SIG_SETMASK, &all, &was);
	r = pthread_create(&t, &detached, name_thread, n);
	(void)pthread_sigmask(SIG_SETMASK, &was, NULL);
	(void)pthread_attr_destroy(&detached);
	n->running = !r;
	return -r;
}

/* The entry of a name; one that nobody looks up gives way if there are too many.  NULL: none. */
static struct name *name_get(const char *host, const char *port)
{
	struct name **place = &names;
	struct name **idle = NULL;
	struct name *n;

	for (; *place; place = &(*place)->next) {
		if (!strcmp((*place)->host, host) && !strcmp((*place)->port, port))
			return *place;
		if (!(*place)->running && !(*place)->waiting &&
		    (!idle || (*place)->at_ms < (*idle)->at_ms))
			idle = place;
	}
	if (name_count == NAMES_MAX) {
		if (!idle)
			return NULL;
		n = *idle;
		*idle = n->next;
		free(n);
		name_count--;
	}
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	(void)snprintf(n->host, sizeof(n->host), "%s", host);
	(void)snprintf(n->port, sizeof(n->port), "%s", port);
	n->next = names;
	names = n;
	name_count++;
	return n;
}

static struct timespec moment_after(unsigned ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000l;
	if (t.tv_nsec >= 1000000000l) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000l;
	}
	return t;
}

static int name_ask(const char *host, const char *port, unsigned wait_ms, struct addresses *ret)
{
	const struct timespec end = moment_after(wait_ms);
	struct name *n = name_get(host, port);
	int r = n ? 0 : -EAGAIN;

	if (n && !n->running && (!n->at_ms || clock_ms() - n->at_ms > FRESH_MS))
		r = name_start(n);
	if (r < 0)
		return r;
	n->waiting++;
	while (n->running && pthread_cond_timedwait(&looked_up, &lock, &end) == 0)
		;
	n->waiting--;
	if (n->running && !n->found.count)
		return -EAGAIN;
	if (!n->running && n->error)
		return n->error;
	*ret = n->found;
	n->found.turn++;
	return 0;
}

int resolve(const char *endpoint, unsigned wait_ms, struct addresses *ret)
{
	char host[SOCKET_ENDPOINT_MAX];
	char port[8];
	int r;

	if (!name_split(endpoint, host, port, sizeof(port))) {
		(void)snprintf(ret->endpoint[0], sizeof(ret->endpoint[0]), "%s", endpoint);
		ret->count = 1;
		ret->turn = 0;
		return 0;
	}
	(void)pthread_mutex_lock(&lock);
	r = name_ask(host, port, wait_ms, ret);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

/* Does a connection to that address come about in `ms`? */
static bool probe(const struct sockaddr_storage *a, unsigned ms)
{
	int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd f = {fd, POLLOUT, 0};
	socklen_t size =
		a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int error = 0;
	socklen_t n = sizeof(error);
	bool ok;

	if (fd < 0)
		return false;
	ok = connect(fd, (const struct sockaddr *)a, size) == 0;
	if (!ok && errno == EINPROGRESS)
		ok = poll(&f, 1, (int)ms) == 1 &&
		     getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 && !error;
	(void)close(fd);
	return ok;
}

int resolve_probe(const struct addresses *a, unsigned ms)
{
	for (unsigned k = 0; k < a->count; k++)
		if (probe(&a->address[k], ms))
			return (int)k;
	return -ECONNREFUSED;
}
