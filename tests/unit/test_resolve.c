/*
 * Names with several addresses.  The machine's own resolver is not asked: getaddrinfo is this
 * program's, for libzmq too, and gives what the test says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "include/pail.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "ipc/net/socket.h"
#include "tests/unit/lib/unit.h"

static const char *const *addresses; /* of the name "many" */
static _Atomic unsigned slow_ms;     /* the resolver takes its time */
static _Atomic unsigned asked;

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **ret);
void freeaddrinfo(struct addrinfo *list);

static struct addrinfo *one(const char *host, const char *port, int family)
{
	struct addrinfo *i = calloc(1, sizeof(*i) + sizeof(struct sockaddr_in6));
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(i + 1);
	struct sockaddr_in *v4 = (struct sockaddr_in *)(i + 1);
	in_port_t number = htons((in_port_t)(port ? atoi(port) : 0));

	i->ai_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	i->ai_socktype = SOCK_STREAM;
	i->ai_addr = (struct sockaddr *)(i + 1);
	if (i->ai_family == AF_INET6) {
		*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = number};
		i->ai_addrlen = sizeof(*v6);
		if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 && family != AF_INET)
			return i;
	} else if (family == AF_INET6) { /* as a mapped one */
		char mapped[64];

		free(i);
		(void)snprintf(mapped, sizeof(mapped), "::ffff:%s", host);
		return one(mapped, port, family);
	} else {
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = number};
		i->ai_addrlen = sizeof(*v4);
		if (inet_pton(AF_INET, host, &v4->sin_addr) == 1)
			return i;
	}
	free(i);
	return NULL;
}

/* As glibc's with AI_V4MAPPED: IPv4 only if there is no IPv6. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int family = hints ? hints->ai_family : AF_UNSPEC;
	struct addrinfo *first = NULL;
	struct addrinfo **end = &first;
	bool any6 = false;

	if (strcmp(host, "many") != 0) {
		*ret = one(host, port, family);
		return *ret ? 0 : EAI_NONAME;
	}
	asked++;
	if (slow_ms)
		(void)usleep(1000 * slow_ms);
	for (unsigned k = 0; addresses[k]; k++)
		any6 |= strchr(addresses[k], ':') != NULL;
	for (unsigned k = 0; addresses[k]; k++) {
		if (family == AF_INET6 && any6 && !strchr(addresses[k], ':'))
			continue;
		*end = one(addresses[k], port, family);
		if (*end)
			end = &(*end)->ai_next;
	}
	*ret = first;
	return first ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
	for (struct addrinfo *next; list; list = next) {
		next = list->ai_next;
		free(list);
	}
}

/* ---- a node that says hello ---- */

static struct socket_context *context;
static struct socket *server;
static char bound[SOCKET_ENDPOINT_MAX];
static _Atomic bool stop;
static pthread_t thread;

static void freed(void *data, void *arg)
{
	(void)arg;
	free(data);
}

static void *serve(void *arg)
{
	struct socket_message *m;

	(void)arg;
	while (!stop) {
		struct request q;
		const char *why;
		char *out;
		char *p;

		if (socket_receive(server, 1 << 20, &m) < 0) {
			(void)usleep(500);
			continue;
		}
		if (!m->frames ||
		    request_walk(m->frame[0].p, m->frame[0].p + m->frame[0].n, &q, &why) < 0)
			continue;
		out = malloc(64);
		p = write_reply_head(out, q.msgid);
		p = q.method == WIRE_PING ? write_text(p, "pong") : write_map(p, 0);
		(void)socket_send(server, m->id, m->delimiter, out, (size_t)(p - out), freed, NULL);
	}
	return NULL;
}

/* Listens on 127.0.0.1 alone; `name` (64 bytes) reaches it if its addresses do. */
static void begin(const char *const *list, char *name)
{
	const struct socket_options o = {.linger_ms = 0};

	addresses = list;
	stop = false;
	slow_ms = 0;
	EQ(0, socket_context_new(&context));
	EQ(0, socket_bind(context, "tcp://127.0.0.1:*", &o, &server, bound));
	EQ(0, pthread_create(&thread, NULL, serve, NULL));
	(void)snprintf(name, 64, "tcp://many%s", strrchr(bound, ':'));
}

static void end(void)
{
	stop = true;
	EQ(0, pthread_join(thread, NULL));
	socket_close(&server);
	socket_context_free(&context);
}

static void each_address_of_a_name_is_tried(void)
{
	static const char *const list[] = {"::1", "127.0.0.2", "127.0.0.1", NULL};
	struct pail *p = NULL;
	char name[64];

	begin(list, name);
	EQ(PAIL_OK, pail_open(name, NULL, &p));
	EQ(PAIL_OK, pail_ping(p));
	pail_close(&p);
	EQ(PAIL_OK, pail_open(name + 6, NULL, &p)); /* tcp:// is meant */
	EQ(PAIL_OK, pail_ping(p));
	pail_close(&p);
	end();
}

/* Nothing answers there, not even with a refusal: the next one is not far. */
static void an_address_that_is_silent_costs_little(void)
{
	static const char *const list[] = {"192.0.2.1", "127.0.0.1", NULL}; /* RFC 5737 */
	struct pail *p = NULL;
	char name[64];

	begin(list, name);
	EQ(PAIL_OK, pail_open(name, NULL, &p));
	EQ(PAIL_OK, pail_ping(p));
	pail_close(&p);
	end();
}

static void nobody_there_is_unreachable_in_time(void)
{
	static const char *const list[] = {"::1", "127.0.0.1", NULL};
	const struct pail_options o = {.size = sizeof(o), .connect_ms = 300};
	struct pail *p = NULL;
	uint64_t begin_ms;
	char name[64];

	begin(list, name);
	end(); /* nobody listens */
	begin_ms = clock_ms();
	EQ(PAIL_UNREACHABLE, pail_open(name, &o, &p));
	TRUE_(clock_ms() - begin_ms >= 250 && clock_ms() - begin_ms < 5300);
	addresses = list + 2; /* no such name */
	EQ(PAIL_UNREACHABLE, pail_open("tcp://many:1", &o, &p));
}

/* Links between nodes: a connection that fails is closed, and the next one is to the next address.
 */
static void links_take_the_addresses_in_turn(void)
{
	static const char *const list[] = {"::1", "127.0.0.1", NULL};
	const struct socket_options o = {.once = true};
	unsigned open = 0;
	char name[64];

	begin(list, name);
	for (int round = 0; round < 4; round++) {
		struct socket *l = NULL;
		enum socket_event e = SOCKET_NOTHING;
		uint64_t end_ms = clock_ms() + 20000;
		int r;

		while ((r = socket_connect(context, name, &o, &l)) == -EAGAIN &&
		       clock_ms() < end_ms)
			(void)usleep(1000);
		EQ(0, r);
		while (e == SOCKET_NOTHING && clock_ms() < end_ms) {
			e = socket_event(l);
			(void)usleep(1000);
		}
		open += e == SOCKET_OPEN;
		socket_close(&l);
	}
	EQ(2, open);
	end();
}

/* The thread that asks is not kept waiting, and finds the answer later. */
static void a_slow_resolver_keeps_no_loop_waiting(void)
{
	static const char *const list[] = {"127.0.0.1", NULL};
	const struct socket_options o = {.once = true};
	struct socket *l = NULL;
	uint64_t begin_ms;
	unsigned tries = 0;
	int r;

	begin(list, bound);
	addresses = list;
	slow_ms = 4000;
	asked = 0;
	for (begin_ms = clock_ms(); clock_ms() - begin_ms < 30000; tries++) {
		uint64_t before_ms = clock_ms();

		r = socket_connect(context, "tcp://many:9", &o, &l);
		TRUE_(clock_ms() - before_ms < 3000);
		if (r != -EAGAIN)
			break;
		(void)usleep(1000);
	}
	EQ(0, r);
	EQ(1, asked);
	TRUE_(tries >= 2);
	socket_close(&l);
	slow_ms = 0;
	while ((r = socket_connect(context, "tcp://no-such-name:9", &o, &l)) == -EAGAIN)
		(void)usleep(1000);
	EQ(-ENOENT, r);
	end();
}

UNIT_MAIN(T(each_address_of_a_name_is_tried), T(an_address_that_is_silent_costs_little),
	  T(nobody_there_is_unreachable_in_time), T(links_take_the_addresses_in_turn),
	  T(a_slow_resolver_keeps_no_loop_waiting))
