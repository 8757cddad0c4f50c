/* The agent as paild's child: asked, killed, started again.  Against an etcd of one line. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "coordinator/cluster/agent.h"
#include "tests/unit/lib/unit.h"

#define WAIT_MS 20000u

/* ---- an etcd that is empty and at some revision, or silent ---- */

static int listener = -1;
static char endpoint[64];
static _Atomic unsigned revision;
static _Atomic bool silent;
static _Atomic unsigned asked;

static bool request_read(int fd)
{
	char b[8192];
	size_t n = 0;

	while (n < sizeof(b) - 1) {
		ssize_t k = read(fd, b + n, sizeof(b) - 1 - n);
		const char *body;
		const char *length;

		if (k <= 0)
			return false;
		n += (size_t)k;
		b[n] = '\0';
		body = strstr(b, "\r\n\r\n");
		length = strstr(b, "Content-Length: ");
		if (body && length && n >= (size_t)(body + 4 - b) + strtoul(length + 16, NULL, 10))
			return true;
	}
	return false;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;

	while (request_read(fd)) {
		char body[200];
		char all[400];
		int n;

		asked++;
		if (silent)
			continue;
		n = snprintf(body, sizeof(body),
			     "{\"header\":{\"cluster_id\":\"77\",\"revision\":\"%u\"}}", revision);
		n = snprintf(all, sizeof(all), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n,
			     body);
		if (write(fd, all, (size_t)n) < 0)
			break;
	}
	(void)close(fd);
	return NULL;
}

static void *accept_all(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t t;

		if (fd < 0)
			return NULL;
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)fd))
			abort();
		(void)pthread_detach(t);
	}
}

static void etcd_start(unsigned at, bool hang)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(in);
	pthread_t t;

	revision = at;
	silent = hang;
	asked = 0;
	if (listener >= 0)
		return;
	(void)signal(SIGPIPE, SIG_IGN);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	EQ(0, bind(listener, (struct sockaddr *)&in, sizeof(in)));
	EQ(0, listen(listener, 128));
	EQ(0, getsockname(listener, (struct sockaddr *)&in, &n));
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", ntohs(in.sin_port));
	EQ(0, pthread_create(&t, NULL, accept_all, NULL));
	(void)pthread_detach(t);
}

/* ---- who asks ---- */

struct seen {
	unsigned answers;
	unsigned unknown;
	unsigned changes;
	unsigned states;
	unsigned by_tag[200];
	uint64_t revision;
	enum agent_state state;
};

static void on_answer(void *arg, uint64_t tag, const struct agent_message *m)
{
	struct seen *s = arg;

	s->answers++;
	s->unknown += m->kind == AGENT_MESSAGE_UNKNOWN;
	s->by_tag[tag]++;
	s->revision = m->revision;
}

static void on_change(void *arg, const struct agent_message *m)
{
	struct seen *s = arg;

	s->changes++;
	s->revision = m->revision;
}

static void on_state(void *arg, const struct agent_message *m)
{
	struct seen *s = arg;

	s->states++;
	s->state = m->state;
}

static struct agent *agent_make(struct seen *s, const char *endpoints, uint64_t floor)
{
	struct agent_settings set = {
		.prefix = "/pail/demo/", .endpoints = endpoints, .floor = floor};
	const struct agent_events e = {on_answer, on_change, on_state, s};
	struct agent *a = NULL;
	char path[1024];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);

	TRUE_(n > 0);
	path[n] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	(void)snprintf(path + strlen(path), 64, "/pail-agent");
	set.program = path;
	memset(s, 0, sizeof(*s));
	EQ(0, agent_new(&set, &e, &a));
	return a;
}

/* Until *count is at least `n`. */
static void run_until(struct agent *a, const unsigned *count, unsigned n)
{
	uint64_t end = clock_ms() + WAIT_MS;

	while (*count < n) {
		struct pollfd p[2];

		TRUE_(clock_ms() < end);
		(void)agent_tick(a, clock_ms());
		p[0] = (struct pollfd){.fd = agent_fd(a), .events = POLLIN};
		p[1] = (struct pollfd){.fd = agent_pidfd(a), .events = POLLIN};
		(void)poll(p, 2, 20);
		agent_look(a, clock_ms());
	}
}

static struct agent_status status_of(const struct agent *a)
{
	struct agent_status s;

	agent_status(a, &s);
	return s;
}

static void requests_are_answered(void)
{
	struct seen s;
	struct agent *a;

	etcd_start(5, false);
	a = agent_make(&s, endpoint, 0);
	EQ(-ENOTCONN, agent_get(a, 1, "/pail/demo/config"));
	EQ(UINT64_MAX, agent_tick(a, clock_ms()));
	EQ(0, agent_get(a, 1, "/pail/demo/config"));
	EQ(0, agent_list(a, 2, "/pail/demo/", 3));
	run_until(a, &s.answers, 2);
	EQ(1, s.by_tag[1]);
	EQ(1, s.by_tag[2]);
	EQ(0, s.unknown);
	EQ(5, s.revision);
	EQ(AGENT_UP, s.state);
	EQ(77, status_of(a).cluster);
	EQ(5, status_of(a).revision);
	EQ(0, agent_cas(a, 3, "/pail/demo/config", 9, (struct span){NULL, 0},
			(struct span){"\x80", 1}));
	run_until(a, &s.answers, 3);
	EQ(0, s.unknown); /* not done: nothing is there */
	agent_free(&a);
}

static void what_has_no_answer_is_unknown_once_it_is_killed(void)
{
	struct seen s;
	struct agent *a;
	pid_t first;

	etcd_start(5, true);
	a = agent_make(&s, endpoint, 0);
	(void)agent_tick(a, clock_ms());
	for (unsigned i = 0; i < AGENT_REQUESTS_MAX; i++)
		EQ(0, agent_get(a, i, "/pail/demo/config"));
	EQ(-EAGAIN, agent_get(a, 100, "/pail/demo/config"));
	for (uint64_t end = clock_ms() + WAIT_MS; !asked && clock_ms() < end;)
		(void)usleep(1000);
	first = status_of(a).pid;
	EQ(0, kill(first, SIGKILL));
	run_until(a, &s.unknown, AGENT_REQUESTS_MAX);
	EQ(AGENT_REQUESTS_MAX, s.answers);
	for (unsigned i = 0; i < AGENT_REQUESTS_MAX; i++)
		EQ(1, s.by_tag[i]);
	EQ(AGENT_AWAY, s.state);
	EQ(-ENOTCONN, agent_get(a, 100, "/pail/demo/config"));
	silent = false;
	EQ(0, agent_follow(a, "/pail/demo/", 0));
	run_until(a, &s.changes, 2); /* the next child is told to follow */
	EQ(AGENT_UP, s.state);
	TRUE_(status_of(a).pid != first);
	EQ(1, status_of(a).restarts);
	EQ(0, agent_get(a, 101, "/pail/demo/config"));
	run_until(a, &s.by_tag[101], 1);
	EQ(AGENT_REQUESTS_MAX, s.unknown);
	agent_free(&a);
}

static void what_others_have_seen_is_said_first(void)
{
	struct seen s;
	struct agent *a;

	etcd_start(5, false);
	a = agent_make(&s, endpoint, 5);
	(void)agent_tick(a, clock_ms());
	EQ(0, agent_get(a, 1, "/pail/demo/config"));
	run_until(a, &s.answers, 1);
	EQ(0, s.unknown);
	agent_floor(a, 6);
	EQ(0, agent_get(a, 2, "/pail/demo/config"));
	run_until(a, &s.answers, 2);
	EQ(1, s.unknown);
	EQ(AGENT_SET_BACK, s.state);
	EQ(0, kill(status_of(a).pid, SIGKILL));
	run_until(a, &s.states, 3);
	while (agent_get(a, 3, "/pail/demo/config") == -ENOTCONN)
		(void)agent_tick(a, clock_ms());
	run_until(a, &s.answers, 3);
	EQ(2, s.unknown); /* the next one is begun with it */
	EQ(AGENT_SET_BACK, s.state);
	agent_free(&a);
}

static void settings_that_cannot_be_end_it_for_good(void)
{
	const struct agent_events e = {on_answer, on_change, on_state, NULL};
	struct agent_settings set = {.prefix = "/pail/demo/", .endpoints = "http://a:1"};
	struct seen s;
	struct agent *a = agent_make(&s, "ftp://127.0.0.1:1", 0);

	(void)agent_tick(a, clock_ms());
	run_until(a, &s.states, 1);
	EQ(true, status_of(a).failed);
	EQ(UINT64_MAX, agent_tick(a, clock_ms() + 100000));
	EQ(0, status_of(a).pid);
	agent_free(&a);
	EQ(-ENOENT, agent_new(&set, &e, &a)); /* it is not beside this program */
	set.program = "/bin/true";
	set.endpoints = "http://a:1,,http://b:1";
	EQ(-EINVAL, agent_new(&set, &e, &a));
	set.endpoints = NULL;
	EQ(-EINVAL, agent_new(&set, &e, &a));
	set.endpoints = "http://a:1";
	set.prefix = "";
	EQ(-EINVAL, agent_new(&set, &e, &a));
}

static void a_child_that_will_not_run_is_tried_less_and_less(void)
{
	struct seen s;
	const struct agent_events e = {on_answer, on_change, on_state, &s};
	struct agent_settings set = {
		.prefix = "/p/", .endpoints = "http://a:1", .program = "/bin/true"};
	struct agent *a = NULL;
	uint64_t now = 1000;
	uint64_t next;

	memset(&s, 0, sizeof(s));
	EQ(0, agent_new(&set, &e, &a));
	for (unsigned i = 0; i < 12; i++) {
		(void)agent_tick(a, now);
		for (uint64_t end = clock_ms() + WAIT_MS; status_of(a).pid && clock_ms() < end;)
			agent_look(a, now);
		EQ(0, status_of(a).pid);
		next = agent_tick(a, now);
		if (i == 0)
			continue; /* the first time it is tried at once */
		if (status_of(a).pid == 0) {
			TRUE_(next > now && next <= now + 5000);
			now = next;
		}
	}
	TRUE_(now > 1000 + 10000);
	agent_free(&a);
}

UNIT_MAIN(T(requests_are_answered), T(what_has_no_answer_is_unknown_once_it_is_killed),
	  T(what_others_have_seen_is_said_first), T(settings_that_cannot_be_end_it_for_good),
	  T(a_child_that_will_not_run_is_tried_less_and_less))
