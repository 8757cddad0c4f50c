/* The agent's beginning, loop and end. */
#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/agent_impl.h"
#include "common/clock.h"
#include "common/log.h"

#define CONNECT_MS 1000u
#define ANSWER_MS  2000u /* etcd itself gives up after 7 s */

static char *text_of(struct span s)
{
	return s.n ? strndup(s.p, s.n) : NULL;
}

/* The first line of the file, or NULL, and it is said why. */
static char *password_read(const char *path)
{
	char line[1024];
	FILE *f = path ? fopen(path, "re") : NULL;
	char *got = f ? fgets(line, sizeof(line), f) : NULL;

	if (!got)
		log_error("read the password for etcd from \"%s\": %s", path ? path : "",
			  f      ? "it is empty"
			  : path ? strerror(errno)
				 : "no file is named");
	if (f)
		(void)fclose(f);
	if (!got)
		return NULL;
	line[strcspn(line, "\r\n")] = '\0';
	got = strdup(line);
	explicit_bzero(line, sizeof(line));
	return got;
}

static bool file_readable(const char *what, const char *path)
{
	FILE *f = path ? fopen(path, "re") : NULL;

	if (path && !f)
		log_error("read %s for etcd from \"%s\": %s", what, path, strerror(errno));
	if (f)
		(void)fclose(f);
	return !path || f;
}

/* http://HOST:PORT or https://…, nothing behind it; a slash at the end is dropped. */
static char *endpoint_of(struct span s)
{
	bool ok = span_begins(s, span_of("http://")) || span_begins(s, span_of("https://"));
	char *text;

	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	text = text_of(s);
	ok = ok && text && !strpbrk(strstr(text, "://") + 3, "/?#@ ");
	if (!ok) {
		log_error("\"%.*s\" is no endpoint of etcd such as http://127.0.0.1:2379", (int)s.n,
			  s.p);
		free(text);
		return NULL;
	}
	return text;
}

/* 0, or the exit status. */
static int begin(struct agent *a, const struct agent_message *m)
{
	struct calls *c = &a->calls;
	char *path = text_of(m->password);
	bool ok = true;

	for (uint32_t i = 0; ok && i < m->endpoint_count; i++) {
		c->endpoint[i] = endpoint_of(m->endpoint[i]);
		c->endpoint_count++;
		ok = c->endpoint[i] != NULL;
	}
	c->cluster = m->cluster;
	c->highest = m->revision;
	a->http = (struct http_options){.ca = text_of(m->ca),
					.cert = text_of(m->cert),
					.cert_key = text_of(m->cert_key),
					.connect_ms = CONNECT_MS,
					.answer_ms = ANSWER_MS};
	ok = ok && file_readable("the authorities", a->http.ca) &&
	     file_readable("the certificate", a->http.cert) &&
	     file_readable("the certificate's key", a->http.cert_key);
	if (ok && m->user.n) {
		c->user = text_of(m->user);
		c->password = password_read(path);
		ok = c->user && c->password;
	}
	free(path);
	a->begun = true;
	if (!ok)
		return 2;
	return http_new(&a->http, &c->http) < 0 ? 1 : 0;
}

static void message(struct agent *a, const struct agent_message *m)
{
	int r;

	if (a->begun != (m->kind != AGENT_MESSAGE_BEGIN)) {
		log_error("the node sends message %d %s it has begun", m->kind,
			  a->begun ? "though" : "before");
		a->exit = 1;
		return;
	}
	switch (m->kind) {
	case AGENT_MESSAGE_BEGIN:
		r = begin(a, m);
		a->exit = r ? r : a->exit;
		return;
	case AGENT_MESSAGE_FOLLOW:
		follow_set(a, m);
		return;
	case AGENT_MESSAGE_LIVE:
		live_set(a, m);
		return;
	case AGENT_MESSAGE_FLOOR:
		if (m->revision > a->calls.highest)
			a->calls.highest = m->revision;
		return;
	default:
		asked_start(a, m);
	}
}

/* One packet.  False: there is none now. */
static bool packet(struct agent *a)
{
	ssize_t n = recv(a->fd, a->packet, sizeof(a->packet), a->begun ? MSG_DONTWAIT : 0);
	struct agent_message m;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		a->exit = n == 0 || errno == ECONNRESET ? 0 : 1;
		return false;
	}
	if (agent_message_read(a->packet, (size_t)n, &m) < 0 || m.kind >= AGENT_MESSAGE_VALUE) {
		log_error("a message of %zd bytes from the node is none", n);
		a->exit = 1;
		return false;
	}
	message(a, &m);
	return a->exit < 0;
}

static void loop(struct agent *a)
{
	while (a->exit < 0) {
		uint64_t now;
		uint64_t next;

		/* Not more at a time: what is on its way must get on. */
		for (unsigned i = 0; i < AGENT_REQUESTS_MAX && packet(a); i++)
			continue;
		if (!a->begun || a->exit >= 0)
			continue;
		now = clock_ms();
		next = own_tick(a, now);
		state_tell(a);
		if (next > now + ANSWER_MS)
			next = now + ANSWER_MS;
		http_step(a->calls.http, a->fd, next > now ? (int)(next - now) : 0);
		state_tell(a);
	}
}

static void agent_free(struct agent *a)
{
	struct calls *c = &a->calls;

	http_free(&c->http);
	for (uint32_t i = 0; i < AGENT_REQUESTS_MAX; i++)
		asked_fini(&a->asked[i]);
	own_fini(a);
	for (uint32_t i = 0; i < c->endpoint_count; i++)
		free(c->endpoint[i]);
	free(c->login.body);
	free(c->user);
	free(c->password);
	free(c->token);
	free((char *)(uintptr_t)a->http.ca);
	free((char *)(uintptr_t)a->http.cert);
	free((char *)(uintptr_t)a->http.cert_key);
	free(a);
}

int agent_run(int fd)
{
	struct agent *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return 1;
	a->fd = fd;
	a->exit = -1;
	a->calls.state = AGENT_STATE_COUNT; /* none yet */
	a->calls.told = true;
	loop(a);
	r = a->exit;
	agent_free(a);
	return r;
}
