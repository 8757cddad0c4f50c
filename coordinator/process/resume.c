/* From the coordinator's state to lines, and back. */
#include "coordinator/process/resume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

#define STATE_MAX (1u << 20)

static const char *const settings[CONF_KEY_COUNT] = {
#define X(section, key, ...) [CONF_##section##_##key] = #section "." #key,
	CONF_KEYS(X)
#undef X
};

/* ---- writing ---- */

static void number(struct buf *b, const char *name, uint64_t v)
{
	buf_fmt(b, "%s %llu\n", name, (unsigned long long)v);
}

/* A descriptor or an exit status: may be negative. */
static void integer(struct buf *b, const char *name, int v)
{
	buf_fmt(b, "%s %d\n", name, v);
}

/* Text to the line's end: a line end in it becomes a blank. */
static void text(struct buf *b, const char *name, const char *v)
{
	size_t from;

	buf_fmt(b, "%s ", name);
	from = b->len;
	buf_text(b, v);
	for (size_t i = from; i < b->len; i++)
		if (b->data[i] == '\n')
			b->data[i] = ' ';
	buf_text(b, "\n");
}

static void gateway_write(const struct helper *g, struct buf *b)
{
	number(b, "gateway.pid", (uint64_t)g->pid);
	integer(b, "gateway.pidfd", g->pidfd);
	integer(b, "gateway.ready", g->ready);
	number(b, "gateway.up", g->up);
	number(b, "gateway.failed", g->failed);
	number(b, "gateway.restarts", g->restarts);
	number(b, "gateway.started_ms", g->started_ms);
	number(b, "gateway.next_ms", g->next_ms);
	number(b, "gateway.delay_ms", g->delay_ms);
	text(b, "gateway.endpoint", g->endpoint);
	text(b, "gateway.http", g->http);
	text(b, "gateway.reason", g->reason);
}

/* "worker" begins a worker; what follows is its. */
static void worker_write(const struct worker *w, struct buf *b)
{
	number(b, "worker", w->id);
	integer(b, "segment", w->queue.segment->fd);
	integer(b, "wake", w->queue.wake);
	integer(b, "control", w->control);
	integer(b, "pidfd", w->pidfd);
	number(b, "pid", (uint64_t)w->pid);
	text(b, "state", supervisor_state_name(w->state));
	number(b, "wanted", w->wanted);
	number(b, "restarts", w->restarts);
	number(b, "up_ms", w->up_ms);
	number(b, "started_ms", w->started_ms);
	number(b, "delay_ms", w->delay_ms);
	number(b, "deadline_ms", w->deadline_ms);
	integer(b, "exit_status", w->exit_status);
	number(b, "poison_candidate", w->queue.poison_candidate);
	number(b, "started", w->queue.started);
	text(b, "reason", w->reason);
}

static void state_write(const struct resume *x, struct buf *b)
{
	number(b, "pail-state", RESUME_VERSION);
	text(b, "data", x->data);
	number(b, "temporary", x->temporary);
	integer(b, "lock", x->lock_fd);
	integer(b, "coordinator-wake", x->wake);
	integer(b, "functions", x->functions);
	integer(b, "client-listener", x->client_fd);
	integer(b, "node-listener", x->node_fd);
	number(b, "activated", x->activated);
	text(b, "endpoint", x->endpoint);
	text(b, "node-endpoint", x->node_endpoint);
	number(b, "node-started-ms", x->started_ms);
	number(b, "node-started-wall-ms", x->started_wall_ms);
	number(b, "begun-us", x->begun_us);
	number(b, "closed-us", x->closed_us);
	number(b, "reloads", x->reloads);
	number(b, "upgrades", x->upgrades);
	if (x->figures)
		integer(b, "figures", x->figures);
	number(b, "peers-epoch", x->peers_epoch);
	number(b, "errors", x->local_errors);
	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
		buf_fmt(b, "requests %s %llu\n", wire_method_name((enum wire_method)m),
			(unsigned long long)x->local_requests[m]);
	gateway_write(&x->gateway, b);
	if (x->clustered) { /* also if there is nothing: who does not know the lines must refuse them */
		integer(b, "cluster", x->cluster_fd);
		number(b, "logs-epoch", x->logs_epoch);
	}
	for (unsigned i = 0; i < CONF_KEY_COUNT; i++)
		if (x->conf->value[i].text[0])
			buf_fmt(b, "setting %s %s\n", settings[i], x->conf->value[i].text);
	for (uint32_t i = 0; i < x->workers; i++)
		worker_write(&x->worker[i], b);
	buf_text(b, "end\n");
}

int resume_write(const struct resume *x, int *ret_fd)
{
	struct buf b;
	int fd = memfd_create("pail-state", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : 0;

	buf_init(&b);
	if (r == 0)
		state_write(x, &b);
	if (r == 0 && b.failed)
		r = -ENOMEM;
	if (r == 0 && pwrite(fd, b.data, b.len, 0) != (ssize_t)b.len)
		r = errno ? -errno : -EIO;
	buf_fini(&b);
	if (r < 0 && fd >= 0)
		(void)close(fd);
	else
		*ret_fd = fd;
	return r;
}

unsigned resume_fds(const struct resume *x, int memfd, int fd[RESUME_FDS])
{
	const int own[] = {memfd,         x->lock_fd, x->wake,          x->functions,
			   x->client_fd,  x->node_fd, x->gateway.pidfd, x->gateway.ready,
			   x->cluster_fd, x->figures};
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i] > 0)
			fd[n++] = own[i];
	for (uint32_t i = 0; i < x->workers; i++) {
		const struct worker *w = &x->worker[i];
		const int its[] = {w->queue.segment->fd, w->queue.wake, w->control, w->pidfd};

		for (unsigned k = 0; k < sizeof(its) / sizeof(its[0]); k++)
			if (its[k] > 0)
				fd[n++] = its[k];
	}
	return n;
}

/* ---- reading ---- */

enum kind { KIND_U64, KIND_U32, KIND_INT, KIND_BOOL, KIND_TEXT };

struct row {
	const char *name;
	enum kind kind;
	size_t at;   /* in the struct */
	size_t size; /* of a text */
};

#define ROW(type, name, kind, field)                                                \
	{                                                                           \
		name, kind, offsetof(type, field), sizeof(((const type *)0)->field) \
	}

static const struct row node_rows[] = {
	ROW(struct resume, "data", KIND_TEXT, data),
	ROW(struct resume, "temporary", KIND_BOOL, temporary),
	ROW(struct resume, "lock", KIND_INT, lock_fd),
	ROW(struct resume, "coordinator-wake", KIND_INT, wake),
	ROW(struct resume, "functions", KIND_INT, functions),
	ROW(struct resume, "client-listener", KIND_INT, client_fd),
	ROW(struct resume, "node-listener", KIND_INT, node_fd),
	ROW(struct resume, "activated", KIND_BOOL, activated),
	ROW(struct resume, "endpoint", KIND_TEXT, endpoint),
	ROW(struct resume, "node-endpoint", KIND_TEXT, node_endpoint),
	ROW(struct resume, "node-started-ms", KIND_U64, started_ms),
	ROW(struct resume, "node-started-wall-ms", KIND_U64, started_wall_ms),
	ROW(struct resume, "begun-us", KIND_U64, begun_us),
	ROW(struct resume, "closed-us", KIND_U64, closed_us),
	ROW(struct resume, "reloads", KIND_U64, reloads),
	ROW(struct resume, "upgrades", KIND_U64, upgrades),
	ROW(struct resume, "figures", KIND_INT, figures),
	ROW(struct resume, "peers-epoch", KIND_U64, peers_epoch),
	ROW(struct resume, "errors", KIND_U64, local_errors),
	ROW(struct resume, "gateway.pid", KIND_INT, gateway.pid),
	ROW(struct resume, "gateway.pidfd", KIND_INT, gateway.pidfd),
	ROW(struct resume, "gateway.ready", KIND_INT, gateway.ready),
	ROW(struct resume, "gateway.up", KIND_BOOL, gateway.up),
	ROW(struct resume, "gateway.failed", KIND_BOOL, gateway.failed),
	ROW(struct resume, "gateway.restarts", KIND_U32, gateway.restarts),
	ROW(struct resume, "gateway.started_ms", KIND_U64, gateway.started_ms),
	ROW(struct resume, "gateway.next_ms", KIND_U64, gateway.next_ms),
	ROW(struct resume, "gateway.delay_ms", KIND_U64, gateway.delay_ms),
	ROW(struct resume, "gateway.endpoint", KIND_TEXT, gateway.endpoint),
	ROW(struct resume, "gateway.http", KIND_TEXT, gateway.http),
	ROW(struct resume, "gateway.reason", KIND_TEXT, gateway.reason),
	ROW(struct resume, "cluster", KIND_INT, cluster_fd),
	ROW(struct resume, "logs-epoch", KIND_U64, logs_epoch),
	{NULL, KIND_INT, 0, 0},
};

static const struct row worker_rows[] = {
	ROW(struct worker, "wake", KIND_INT, queue.wake),
	ROW(struct worker, "control", KIND_INT, control),
	ROW(struct worker, "pidfd", KIND_INT, pidfd),
	ROW(struct worker, "pid", KIND_INT, pid),
	ROW(struct worker, "wanted", KIND_BOOL, wanted),
	ROW(struct worker, "restarts", KIND_U32, restarts),
	ROW(struct worker, "up_ms", KIND_U64, up_ms),
	ROW(struct worker, "started_ms", KIND_U64, started_ms),
	ROW(struct worker, "delay_ms", KIND_U64, delay_ms),
	ROW(struct worker, "deadline_ms", KIND_U64, deadline_ms),
	ROW(struct worker, "exit_status", KIND_INT, exit_status),
	ROW(struct worker, "poison_candidate", KIND_U64, queue.poison_candidate),
	ROW(struct worker, "started", KIND_U64, queue.started),
	ROW(struct worker, "reason", KIND_TEXT, reason),
	{NULL, KIND_INT, 0, 0},
};

/* One of the rows into `base`.  False: there is no such row. */
static bool row_read(const struct row *rows, void *base, const char *name, const char *v)
{
	for (; rows->name; rows++) {
		char *to = (char *)base + rows->at;

		if (strcmp(rows->name, name) != 0)
			continue;
		switch (rows->kind) {
		case KIND_U64:
			*(uint64_t *)(void *)to = strtoull(v, NULL, 10);
			break;
		case KIND_U32:
			*(uint32_t *)(void *)to = (uint32_t)strtoull(v, NULL, 10);
			break;
		case KIND_INT:
			*(int *)(void *)to = (int)strtol(v, NULL, 10);
			break;
		case KIND_BOOL:
			*(bool *)(void *)to = *v == '1';
			break;
		case KIND_TEXT:
			(void)snprintf(to, rows->size, "%s", v);
			break;
		}
		return true;
	}
	return false;
}

static bool state_find(const char *name, enum supervisor_state *ret)
{
	for (int s = 0; s < WORKER_STATE_COUNT; s++)
		if (!strcmp(supervisor_state_name((enum supervisor_state)s), name)) {
			*ret = (enum supervisor_state)s;
			return true;
		}
	return false;
}

/* The lines of a worker, or of the node's counters by name. */
static bool special_read(struct resume *x, const char *name, char *v)
{
	struct worker *w = x->workers ? &x->worker[x->workers - 1] : NULL;
	char *value = strchr(v, ' ');

	if (!strcmp(name, "worker")) {
		if (x->workers == RESUME_WORKERS || strtoul(v, NULL, 10) != x->workers)
			return false;
		x->worker[x->workers].id = x->workers;
		x->workers++;
		return true;
	}
	if (!strcmp(name, "segment") && w)
		return (x->segment_fd[w->id] = (int)strtol(v, NULL, 10)) > 0;
	if (!strcmp(name, "state") && w)
		return state_find(v, &w->state);
	if (!value)
		return false;
	*value++ = '\0';
	if (!strcmp(name, "setting")) {
		conf_set(x->conf, v, value, "the running node");
		return true; /* one that there is no more is no error */
	}
	if (strcmp(name, "requests") != 0)
		return false;
	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
		if (!strcmp(wire_method_name((enum wire_method)m), v))
			x->local_requests[m] = strtoull(value, NULL, 10);
	return true;
}

static int line_read(struct resume *x, char *line, unsigned number_of, char *why, size_t why_size)
{
	char *v = strchr(line, ' ');

	if (v)
		*v++ = '\0';
	if (number_of == 0) {
		if (!v || strcmp(line, "pail-state") != 0 ||
		    strtoul(v, NULL, 10) != RESUME_VERSION) {
			(void)snprintf(why, why_size,
				       "the running coordinator's state is of version %.20s, this "
				       "program knows %u: stop the node and start it again",
				       v ? v : "none", RESUME_VERSION);
			return -EPROTO;
		}
		return 0;
	}
	if (v && ((x->workers && row_read(worker_rows, &x->worker[x->workers - 1], line, v)) ||
		  row_read(node_rows, x, line, v) || special_read(x, line, v)))
		return 0;
	(void)snprintf(why, why_size, "the running coordinator's state has a line \"%.60s\"", line);
	return -EBADMSG;
}

int resume_read(int fd, struct resume *x, char *why, size_t why_size)
{
	char *state = calloc(1, STATE_MAX);
	ssize_t n = state ? pread(fd, state, STATE_MAX - 1, 0) : -1;
	unsigned i = 0;
	bool whole = false;
	int r = !state ? -ENOMEM : n < 0 ? -errno : conf_new(&x->conf);

	(void)snprintf(why, why_size, "read the running coordinator's state: %s", strerror(-r));
	for (char *line = state; r == 0 && !whole && *line; i++) {
		char *end = strchr(line, '\n');

		if (!end)
			break;
		*end = '\0';
		whole = !strcmp(line, "end");
		if (!whole)
			r = line_read(x, line, i, why, why_size);
		line = end + 1;
	}
	if (r == 0 && !whole) {
		(void)snprintf(why, why_size, "the running coordinator's state is cut short");
		r = -EBADMSG;
	}
	free(state);
	return r;
}
