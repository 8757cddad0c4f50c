/* The agent's child and what it is asked. */
#include "coordinator/cluster/agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/workers/spawn.h"

#define DELAY_FIRST_MS 100u
#define DELAY_MOST_MS  5000u /* without it no partition changes its primary */
#define SERVED_MS      1000u /* up for so long, and its end is no failure to start */
#define EXIT_HOPELESS  2
#define PAIR_BYTES     (1 << 20) /* of what is not read yet, each way */
#define SLOTS          AGENT_REQUESTS_MAX

enum setting { PREFIX, CA, CERT, CERT_KEY, USER, PASSWORD, SETTINGS };

struct slot {
	bool used;
	uint64_t id;
	uint64_t tag;
};

struct agent {
	char *program;
	char *setting[SETTINGS];
	char *endpoints; /* NULs between */
	uint32_t endpoint_count;
	const char *endpoint[AGENT_MESSAGE_ENDPOINTS];
	struct agent_events events;
	pid_t pid;
	int pidfd;
	int fd;
	bool up; /* it has said a state */
	bool failed;
	uint32_t restarts;
	uint64_t started_ms;
	uint64_t next_ms;
	uint64_t delay_ms;
	struct slot slot[SLOTS];
	uint32_t used;
	uint64_t ids; /* given; never again, over all children */
	enum agent_state state;
	char text[AGENT_MESSAGE_TEXT_MAX + 1];
	uint64_t revision;
	bool floor_due; /* others have seen `revision`, and this child has not been told */
	uint64_t cluster;
	char *live_key;
	char *live_value;
	size_t live_n;
	char *follow;
	uint64_t since;
	char packet[AGENT_MESSAGE_MAX];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

/* ---- its life ---- */

static int endpoints_split(struct agent *a)
{
	char *rest = a->endpoints;

	for (char *e = strsep(&rest, ","); e; e = strsep(&rest, ",")) {
		if (!*e || strlen(e) > AGENT_MESSAGE_PATH_MAX ||
		    a->endpoint_count == AGENT_MESSAGE_ENDPOINTS)
			return -EINVAL;
		a->endpoint[a->endpoint_count++] = e;
	}
	return 0;
}

static int settings_copy(struct agent *a, const struct agent_settings *s)
{
	const char *const from[SETTINGS] = {s->prefix,   s->ca,   s->cert,
					    s->cert_key, s->user, s->password};
	char path[1100];

	if (!s->prefix || !*s->prefix || !s->endpoints)
		return -EINVAL;
	if (!s->program && spawn_find("pail-agent", path, sizeof(path)) < 0)
		return -ENOENT;
	a->program = strdup(s->program ? s->program : path);
	a->endpoints = strdup(s->endpoints);
	if (!a->program || !a->endpoints)
		return -ENOMEM;
	for (unsigned i = 0; i < SETTINGS; i++) {
		a->setting[i] = strdup(from[i] ? from[i] : "");
		if (!a->setting[i])
			return -ENOMEM;
		if (strlen(a->setting[i]) > (i == PREFIX ? 256 : AGENT_MESSAGE_PATH_MAX))
			return -EINVAL;
	}
	return endpoints_split(a);
}

int agent_new(const struct agent_settings *s, const struct agent_events *e, struct agent **ret)
{
	struct agent *a = calloc(1, sizeof(*a));
	int r = a ? 0 : -ENOMEM;

	if (a) {
		a->pidfd = a->fd = -1;
		a->events = *e;
		a->cluster = s->cluster;
		a->revision = s->floor;
		a->state = AGENT_AWAY;
		(void)snprintf(a->text, sizeof(a->text), "nobody has asked yet");
		r = settings_copy(a, s);
	}
	if (r < 0)
		agent_free(&a);
	*ret = a;
	return r;
}

static void child_end(struct agent *a)
{
	close_fd(&a->fd);
	if (a->pid) {
		(void)kill(a->pid, SIGKILL);
		(void)waitpid(a->pid, NULL, 0);
	}
	a->pid = 0;
	close_fd(&a->pidfd);
}

void agent_free(struct agent **x)
{
	struct agent *a = *x;

	*x = NULL;
	if (!a)
		return;
	child_end(a);
	free(a->program);
	for (unsigned i = 0; i < SETTINGS; i++)
		free(a->setting[i]);
	free(a->endpoints);
	free(a->live_key);
	free(a->live_value);
	free(a->follow);
	free(a);
}

static int message_send(struct agent *a, const struct agent_message *m)
{
	size_t n;
	ssize_t sent;

	if (a->fd < 0)
		return -ENOTCONN;
	n = agent_message_write(a->packet, sizeof(a->packet), m);
	if (!n)
		return -EMSGSIZE;
	do
		sent = send(a->fd, a->packet, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return 0;
	/* Its end is noticed in agent_look. */
	return errno == EPIPE || errno == ECONNRESET ? -ENOTCONN : -EAGAIN;
}

static void live_say(struct agent *a)
{
	struct agent_message m = {.kind = AGENT_MESSAGE_LIVE};

	if (!a->live_key)
		return;
	m.key = span_of(a->live_key);
	m.value = (struct span){a->live_value, a->live_n};
	(void)message_send(a, &m); /* for status only */
}

static void follow_say(struct agent *a)
{
	struct agent_message m = {.kind = AGENT_MESSAGE_FOLLOW, .revision = a->since};

	if (!a->follow)
		return;
	m.key = span_of(a->follow);
	(void)message_send(a,
			   &m); /* it has just been started, or is asked again and again anyway */
}

static int floor_say(struct agent *a)
{
	struct agent_message m = {.kind = AGENT_MESSAGE_FLOOR, .revision = a->revision};
	int r = a->floor_due ? message_send(a, &m) : 0;

	a->floor_due &= r < 0;
	return r;
}

static int begin(struct agent *a)
{
	struct agent_message m = {.kind = AGENT_MESSAGE_BEGIN,
				  .revision = a->revision,
				  .cluster = a->cluster,
				  .endpoint_count = a->endpoint_count};
	int r;

	for (uint32_t i = 0; i < a->endpoint_count; i++)
		m.endpoint[i] = span_of(a->endpoint[i]);
	m.key = span_of(a->setting[PREFIX]);
	m.ca = span_of(a->setting[CA]);
	m.cert = span_of(a->setting[CERT]);
	m.cert_key = span_of(a->setting[CERT_KEY]);
	m.user = span_of(a->setting[USER]);
	m.password = span_of(a->setting[PASSWORD]);
	r = message_send(a, &m);
	if (r == 0) {
		a->floor_due = false;
		live_say(a);
		follow_say(a);
	}
	return r;
}

static void again_later(struct agent *a, uint64_t now_ms)
{
	a->next_ms = now_ms + a->delay_ms;
	a->delay_ms = a->delay_ms ? 2 * a->delay_ms : DELAY_FIRST_MS;
	if (a->delay_ms > DELAY_MOST_MS)
		a->delay_ms = DELAY_MOST_MS;
}

static int start(struct agent *a, uint64_t now_ms)
{
	char *const argv[] = {a->program, NULL};
	const int bytes = PAIR_BYTES;
	struct spawned s;
	int pair[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	/* As much as the system allows. */
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	r = spawn_program(argv, pair[1], &s);
	(void)close(pair[1]);
	if (r < 0) {
		(void)close(pair[0]);
		return r;
	}
	a->fd = pair[0];
	a->pid = s.pid;
	a->pidfd = s.pidfd;
	a->started_ms = now_ms;
	r = begin(a);
	if (r < 0)
		child_end(a);
	return r;
}

uint64_t agent_tick(struct agent *a, uint64_t now_ms)
{
	int r;

	if (a->pid || a->failed)
		return UINT64_MAX;
	if (now_ms < a->next_ms)
		return a->next_ms;
	r = start(a, now_ms);
	if (r == 0)
		return UINT64_MAX;
	log_error("start pail-agent: %s", strerror(-r));
	again_later(a, now_ms);
	return a->next_ms;
}

int agent_fd(const struct agent *a)
{
	return a->fd;
}

int agent_pidfd(const struct agent *a)
{
	return a->pidfd;
}

/* ---- what comes back ---- */

static void state_say(struct agent *a, const struct agent_message *m)
{
	a->state = m->state;
	(void)snprintf(a->text, sizeof(a->text), "%.*s", (int)m->text.n, m->text.p);
	if (a->events.state)
		a->events.state(a->events.arg, m);
}

static void seen(struct agent *a, uint64_t revision)
{
	if (revision > a->revision)
		a->revision = revision;
}

static bool answered(struct agent *a, const struct agent_message *m)
{
	struct slot *s = &a->slot[m->id % SLOTS];
	uint64_t tag = s->tag;

	if (!s->used || s->id != m->id)
		return false;
	if (!(m->kind == AGENT_MESSAGE_ITEMS && m->more)) {
		s->used = false;
		a->used--;
	}
	if (m->kind != AGENT_MESSAGE_UNKNOWN)
		seen(a, m->revision);
	a->events.answer(a->events.arg, tag, m);
	return true;
}

/* False: it is nothing that an agent says. */
static bool take(struct agent *a, const struct agent_message *m)
{
	switch (m->kind) {
	case AGENT_MESSAGE_VALUE:
	case AGENT_MESSAGE_OUTCOME:
	case AGENT_MESSAGE_ITEMS:
	case AGENT_MESSAGE_UNKNOWN:
		return answered(a, m);
	case AGENT_MESSAGE_CHANGED:
		seen(a, m->revision);
		if (!m->more)
			a->since = m->revision;
		if (a->events.changed)
			a->events.changed(a->events.arg, m);
		return true;
	case AGENT_MESSAGE_STATE:
		a->up = true;
		a->cluster = m->cluster;
		if (m->state == AGENT_UP)
			seen(a, m->revision);
		state_say(a, m);
		return true;
	default:
		return false;
	}
}

/* All that have no answer: whether etcd has done it nobody knows. */
static void pending_end(struct agent *a, const char *why)
{
	struct slot all[SLOTS];

	memcpy(all, a->slot, sizeof(all));
	memset(a->slot, 0, sizeof(a->slot));
	a->used = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		if (all[i].used)
			a->events.answer(a->events.arg, all[i].tag,
					 &(struct agent_message){.kind = AGENT_MESSAGE_UNKNOWN,
								 .id = all[i].id,
								 .text = span_of(why)});
}

static void ended(struct agent *a, uint64_t now_ms)
{
	char why[128] = "pail-agent said what it may not";
	siginfo_t info = {0};

	/* The pair ends a moment before the process. */
	close_fd(&a->fd);
	(void)kill(a->pid, SIGKILL);
	if (waitid(P_PIDFD, (id_t)a->pidfd, &info, WEXITED) == 0 && info.si_code == CLD_EXITED)
		(void)snprintf(why, sizeof(why), "pail-agent ended with exit status %d",
			       info.si_status);
	else
		(void)snprintf(why, sizeof(why), "pail-agent was killed by signal %d",
			       info.si_status);
	log_warn("%s, pid %d", why, (int)a->pid);
	a->failed = info.si_code == CLD_EXITED && info.si_status == EXIT_HOPELESS;
	a->pid = 0;
	close_fd(&a->pidfd);
	a->restarts++;
	if (a->up && now_ms - a->started_ms >= SERVED_MS)
		a->delay_ms = 0;
	a->up = false;
	again_later(a, now_ms);
	pending_end(a, why);
	state_say(a, &(struct agent_message){.kind = AGENT_MESSAGE_STATE,
					     .state = AGENT_AWAY,
					     .revision = a->revision,
					     .cluster = a->cluster,
					     .text = span_of(why)});
}

void agent_look(struct agent *a, uint64_t now_ms)
{
	static char packet[AGENT_MESSAGE_MAX + 1];
	struct agent_message m;

	/* Not more at a time: there are others in the loop. */
	for (unsigned i = 0; i < SLOTS && a->fd >= 0; i++) {
		ssize_t n = recv(a->fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || agent_message_read(packet, (size_t)n, &m) < 0 || !take(a, &m)) {
			if (n > 0)
				log_error("pail-agent sent %zd bytes that are none of its messages",
					  n);
			ended(a, now_ms);
			return;
		}
	}
}

/* ---- asking ---- */

static int ask(struct agent *a, uint64_t tag, struct agent_message *m)
{
	struct slot *s = NULL;
	int r;

	if (a->fd < 0)
		return -ENOTCONN;
	if (a->used == SLOTS)
		return -EAGAIN;
	do
		s = &a->slot[++a->ids % SLOTS];
	while (s->used);
	m->id = a->ids;
	r = floor_say(a);
	if (r == 0)
		r = message_send(a, m);
	if (r < 0)
		return r;
	*s = (struct slot){.used = true, .id = m->id, .tag = tag};
	a->used++;
	return 0;
}

int agent_get(struct agent *a, uint64_t tag, const char *key)
{
	struct agent_message m = {.kind = AGENT_MESSAGE_GET, .key = span_of(key)};

	return ask(a, tag, &m);
}

int agent_cas(struct agent *a, uint64_t tag, const char *key, uint64_t compared, struct span old,
	      struct span value)
{
	struct agent_message m = {.kind = AGENT_MESSAGE_CAS,
				  .key = span_of(key),
				  .compared = compared,
				  .old = old,
				  .value = value};

	return ask(a, tag, &m);
}

int agent_list(struct agent *a, uint64_t tag, const char *prefix, uint64_t since)
{
	struct agent_message m = {
		.kind = AGENT_MESSAGE_LIST, .key = span_of(prefix), .revision = since};

	return ask(a, tag, &m);
}

int agent_create(struct agent *a, uint64_t tag, const struct agent_message *m)
{
	struct agent_message copy = *m;

	copy.kind = AGENT_MESSAGE_CREATE;
	return ask(a, tag, &copy);
}

int agent_live(struct agent *a, const char *key, struct span value)
{
	char *k = strdup(key);
	char *v = malloc(value.n + 1);

	if (!k || !v) {
		free(k);
		free(v);
		return -ENOMEM;
	}
	memcpy(v, value.p, value.n);
	free(a->live_key);
	free(a->live_value);
	a->live_key = k;
	a->live_value = v;
	a->live_n = value.n;
	live_say(a);
	return 0;
}

int agent_follow(struct agent *a, const char *prefix, uint64_t since)
{
	char *p = strdup(prefix);

	if (!p)
		return -ENOMEM;
	free(a->follow);
	a->follow = p;
	a->since = since;
	follow_say(a);
	return 0;
}

void agent_floor(struct agent *a, uint64_t revision)
{
	if (revision <= a->revision)
		return;
	a->revision = revision;
	a->floor_due = true;
	(void)floor_say(a); /* if it cannot be said now, then before the next request */
}

void agent_status(const struct agent *a, struct agent_status *ret)
{
	*ret = (struct agent_status){.pid = a->pid,
				     .state = a->state,
				     .failed = a->failed,
				     .restarts = a->restarts,
				     .requests = a->used,
				     .revision = a->revision,
				     .cluster = a->cluster,
				     .text = a->text};
}
