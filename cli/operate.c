/* The commands of operators: reload, worker, upgrade. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/clock.h"

#define WAIT_MS    120000u /* for a worker to be restarted, if --timeout does not say it */
#define UPGRADE_MS 60000u  /* for the new coordinator to serve */
#define LOOK_MS    100u    /* for one look whether it does */
#define NAP_MS     5       /* between looks */

/* ---- what the node says, as JSON ---- */

/* Behind the JSON string that begins at `p`. */
static const char *string_end(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		p += *p == '\\' && p[1];
	return *p ? p + 1 : p;
}

/* The value of `name` in the object at `p`, at its own depth; NULL: it has none. */
static const char *field(const char *p, const char *name)
{
	size_t n = strlen(name);
	int depth = 0;

	while (*p) {
		if (*p == '"') {
			const char *end = string_end(p);

			if (depth == 1 && (size_t)(end - p) == n + 2 && !strncmp(p + 1, name, n) &&
			    *end == ':')
				return end + 1;
			p = end;
			continue;
		}
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		if (!depth)
			break;
		p++;
	}
	return NULL;
}

static uint64_t field_number(const char *p, const char *name)
{
	const char *v = field(p, name);

	return v ? strtoull(v, NULL, 10) : 0;
}

/* A short string without escapes, such as a state. */
static void field_text(const char *p, const char *name, char *out, size_t size)
{
	const char *v = field(p, name);

	(void)snprintf(out, size, "%.*s", v && *v == '"' ? (int)strcspn(v + 1, "\"") : 0,
		       v ? v + 1 : "");
}

/* Behind the array or object that begins at `p`. */
static const char *bracket_end(const char *p)
{
	int depth = 0;

	for (; *p; p++) {
		if (*p == '"') {
			p = string_end(p) - 1;
			continue;
		}
		depth += *p == '{' || *p == '[';
		depth -= *p == '}' || *p == ']';
		if (!depth)
			return p + 1;
	}
	return p;
}

/* The object behind the one at `p` in an array, or NULL. */
static const char *next_object(const char *p)
{
	p = bracket_end(p);
	return *p == ',' ? p + 1 : NULL;
}

/* The strings of a JSON array, one a line. */
static void lines(struct buf *b, const char *json)
{
	bool quoted = false;

	for (const char *p = strchr(json, '['); p && *p; p++) {
		if (*p == '"') {
			quoted = !quoted;
			if (!quoted)
				buf_text(b, "\n");
		} else if (quoted) {
			p += *p == '\\' && p[1];
			buf_add(b, p, 1);
		}
	}
}

static bool wants_json(const struct cli *c)
{
	return c->output == OUTPUT_JSON || c->output == OUTPUT_RAW;
}

/* ---- reload ---- */

int run_reload(struct cli *c)
{
	struct pail_result *r;
	struct buf b;
	int e = cli_ask(c, PAIL_RELOAD, &r);

	if (e != CLI_OK)
		return c->status == PAIL_BAD_ARGUMENT ? CLI_CONFIG : e;
	buf_init(&b);
	if (wants_json(c))
		buf_fmt(&b, "%s\n", r->json);
	else
		lines(&b, r->json);
	if (!b.len)
		buf_text(&b, "nothing to change\n");
	pail_result_free(&r);
	return cli_buf_out(&b);
}

/* ---- worker ---- */

static void worker_row(struct buf *b, const char *w)
{
	char state[32];

	field_text(w, "state", state, sizeof(state));
	buf_fmt(b,
		"%2" PRIu64 "  %-8s  %8" PRIu64 "  %10.1f s  %8" PRIu64 "  %12" PRIu64
		"  %10" PRIu64 "\n",
		field_number(w, "id"), state, field_number(w, "pid"),
		(double)field_number(w, "uptime_ms") / 1000, field_number(w, "restarts"),
		field_number(w, "requests"), field_number(w, "keys"));
}

static int worker_list(struct cli *c)
{
	struct pail_result *r;
	const char *workers;
	struct buf b;
	int e = cli_ask(c, PAIL_STATUS, &r);

	if (e != CLI_OK)
		return e;
	buf_init(&b);
	workers = field(r->json, "workers");
	if (wants_json(c)) {
		const char *end = workers ? bracket_end(workers) : "";

		buf_fmt(&b, "{\"workers\":%.*s}\n", workers ? (int)(end - workers) : 2,
			workers ? workers : "[]");
	} else {
		buf_text(&b, "id  state          pid        uptime  restarts      requests        "
			     "keys\n");
		for (const char *w = workers && workers[1] == '{' ? workers + 1 : NULL; w;
		     w = next_object(w))
			worker_row(&b, w);
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}

/* How many workers the node has, or -1: said why not. */
static int worker_count(struct cli *c, int *ret_error)
{
	struct pail_result *r;
	const char *workers;
	int n = 0;

	*ret_error = cli_ask(c, PAIL_STATUS, &r);
	if (*ret_error != CLI_OK)
		return -1;
	workers = field(r->json, "workers");
	for (const char *w = workers && workers[1] == '{' ? workers + 1 : NULL; w;
	     w = next_object(w))
		n++;
	pail_result_free(&r);
	return n;
}

/* One action on one worker; a line, or with JSON the reply as it is. */
static int worker_act(struct cli *c, const char *action, uint32_t id)
{
	struct pail_result *r;
	struct buf b;
	int e;

	c->q.action = action;
	c->q.worker = id;
	e = cli_ask(c, PAIL_WORKER, &r);
	if (e != CLI_OK)
		return c->status == PAIL_TIMEOUT ? CLI_UNKNOWN : CLI_FAILED;
	buf_init(&b);
	if (wants_json(c))
		buf_fmt(&b, "%s\n", r->json);
	else if (!strcmp(action, "restart"))
		buf_fmt(&b,
			"worker %u restarted: pid %" PRIu64 ", %" PRIu64
			" ms in all, %.1f ms between old and new\n",
			id, field_number(r->json, "pid"), field_number(r->json, "took_ms"),
			(double)field_number(r->json, "pause_us") / 1000);
	else if (!strcmp(action, "start"))
		buf_fmt(&b, "worker %u is up: pid %" PRIu64 "\n", id, field_number(r->json, "pid"));
	else
		buf_fmt(&b, "worker %u is down\n", id);
	pail_result_free(&r);
	return cli_buf_out(&b);
}

static int restart_all(struct cli *c)
{
	int e;
	int n = worker_count(c, &e);

	if (n == 0)
		(void)fprintf(stderr, "pail: this node has no workers\n");
	for (int i = 0; i < n && e == CLI_OK; i++) {
		e = worker_act(c, "restart", (uint32_t)i);
		if (e != CLI_OK && i + 1 < n)
			(void)fprintf(stderr,
				      "pail: stopped here: workers %d to %d were not touched\n",
				      i + 1, n - 1);
	}
	return n == 0 ? CLI_FAILED : e;
}

static int worker_usage(const char *what)
{
	(void)fprintf(stderr, "pail worker: %s; try pail worker --help\n", what);
	return CLI_USAGE;
}

int run_worker(struct cli *c)
{
	const char *action = c->arg[0];
	bool restart = !strcmp(action, "restart");
	char *end = NULL;
	unsigned long id = 0;

	if (!c->q.timeout_ms)
		c->q.timeout_ms = WAIT_MS;
	if (!strcmp(action, "list"))
		return c->args == 1 && !c->all ? worker_list(c)
					       : worker_usage("list takes nothing");
	if (!restart && strcmp(action, "stop") != 0 && strcmp(action, "start") != 0)
		return worker_usage("list, restart, stop or start?");
	if (c->all && (!restart || c->args > 1))
		return worker_usage("--all goes with restart, without an ID");
	if (restart && c->args == 1)
		return restart_all(c);
	if (c->args == 1)
		return worker_usage("which one? give its ID");
	errno = 0;
	id = strtoul(c->arg[1], &end, 10);
	if (c->arg[1][0] < '0' || c->arg[1][0] > '9' || *end || errno || id > UINT32_MAX)
		return worker_usage("an ID is a number, as worker list shows it");
	return worker_act(c, action, (uint32_t)id);
}

/* ---- upgrade ---- */

/* One look whether the node has been upgraded more than `before` times.  -1: it cannot be asked. */
static int upgraded(const struct cli *c, uint64_t before)
{
	const struct pail_options o = {
		.size = sizeof(o), .connect_ms = LOOK_MS, .timeout_ms = LOOK_MS};
	struct pail_result *r = NULL;
	struct pail *p = NULL;
	int n = -1;

	if (pail_open(c->node, &o, &p) != PAIL_OK)
		return -1;
	if (pail_node_status(p, &r) == PAIL_OK)
		n = field_number(r->json, "upgrades") > before;
	pail_result_free(&r);
	pail_close(&p);
	return n;
}

static int upgrade_wait(const struct cli *c, uint64_t before, uint64_t begin_ms)
{
	uint64_t limit = c->q.timeout_ms ? c->q.timeout_ms : UPGRADE_MS;
	const struct timespec nap = {0, NAP_MS * 1000000};

	while (upgraded(c, before) != 1) {
		if (clock_ms() - begin_ms > limit)
			return cli_fail(c, PAIL_TIMEOUT,
					"the new program does not answer: see the node's log");
		(void)nanosleep(&nap, NULL);
	}
	return CLI_OK;
}

int run_upgrade(struct cli *c)
{
	uint64_t begin_ms = clock_ms();
	struct pail_result *r;
	char version[64];
	struct buf b;
	int e;

	if (!c->q.timeout_ms)
		c->q.timeout_ms = UPGRADE_MS;
	e = cli_ask(c, PAIL_UPGRADE, &r);
	if (e != CLI_OK)
		return c->status == PAIL_BAD_ARGUMENT ? CLI_CONFIG : e;
	field_text(r->json, "version", version, sizeof(version));
	if (c->wait)
		e = upgrade_wait(c, field_number(r->json, "upgrades"), begin_ms);
	buf_init(&b);
	if (wants_json(c))
		buf_fmt(&b, "%s\n", r->json);
	else
		buf_fmt(&b, "%s version %s, pid %" PRIu64 ", %" PRIu64 " ms\n",
			c->wait ? "upgraded:" : "checked, and being replaced:", version,
			field_number(r->json, "pid"), clock_ms() - begin_ms);
	pail_result_free(&r);
	if (e == CLI_OK)
		return cli_buf_out(&b);
	buf_fini(&b);
	return e;
}
