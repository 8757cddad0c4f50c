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

/* ---- what the node says ---- */

static uint64_t field_number(struct pail_value v, const char *name)
{
	return pail_value_number(pail_value_field(v, name));
}

/* A short text, such as a state. */
static void field_text(struct pail_value v, const char *name, char *out, size_t size)
{
	struct pail_bytes b = pail_value_bytes(pail_value_field(v, name));

	(void)snprintf(out, size, "%.*s", (int)b.size, b.data ? (const char *)b.data : "");
}

static void add_json(struct buf *b, struct pail_value v)
{
	size_t n = pail_value_json(v, NULL, 0);
	char *p = buf_room(b, n + 1);

	if (p)
		b->len += pail_value_json(v, p, n + 1);
}

static bool wants_json(const struct cli *c)
{
	return c->output == OUTPUT_JSON || c->output == OUTPUT_RAW;
}

/* ---- reload ---- */

/* One a line. */
static void changes(struct buf *b, struct pail_value list)
{
	for (size_t i = 0; i < pail_value_count(list); i++) {
		struct pail_bytes line = pail_value_bytes(pail_value_item(list, i));

		buf_add(b, line.data, line.size);
		buf_text(b, "\n");
	}
}

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
		changes(&b, pail_value_field(pail_result_value(r), "changed"));
	if (!b.len)
		buf_text(&b, "nothing to change\n");
	pail_result_free(&r);
	return cli_buf_out(&b);
}

/* ---- worker ---- */

static void worker_row(struct buf *b, struct pail_value w)
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
	struct pail_value workers;
	struct buf b;
	int e = cli_ask(c, PAIL_STATUS, &r);

	if (e != CLI_OK)
		return e;
	buf_init(&b);
	workers = pail_value_field(pail_result_value(r), "workers");
	if (wants_json(c)) {
		buf_text(&b, "{\"workers\":");
		add_json(&b, workers);
		buf_text(&b, "}\n");
	} else {
		buf_text(&b, "id  state          pid        uptime  restarts      requests        "
			     "keys\n");
		for (size_t i = 0; i < pail_value_count(workers); i++)
			worker_row(&b, pail_value_item(workers, i));
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}

/* How many workers the node has, or -1: said why not. */
static int worker_count(struct cli *c, int *ret_error)
{
	struct pail_result *r;
	int n;

	*ret_error = cli_ask(c, PAIL_STATUS, &r);
	if (*ret_error != CLI_OK)
		return -1;
	n = (int)pail_value_count(pail_value_field(pail_result_value(r), "workers"));
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
			id, field_number(pail_result_value(r), "pid"),
			field_number(pail_result_value(r), "took_ms"),
			(double)field_number(pail_result_value(r), "pause_us") / 1000);
	else if (!strcmp(action, "start"))
		buf_fmt(&b, "worker %u is up: pid %" PRIu64 "\n", id,
			field_number(pail_result_value(r), "pid"));
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
	struct pail_options o = {.size = sizeof(o), .connect_ms = LOOK_MS, .timeout_ms = LOOK_MS};
	struct pail_result *r = NULL;
	struct pail *p = NULL;
	int n = -1;

	if (cli_open(c, &o, &p) != PAIL_OK)
		return -1;
	if (pail_node_status(p, &r) == PAIL_OK)
		n = field_number(pail_result_value(r), "upgrades") > before;
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
	field_text(pail_result_value(r), "version", version, sizeof(version));
	if (c->wait)
		e = upgrade_wait(c, field_number(pail_result_value(r), "upgrades"), begin_ms);
	buf_init(&b);
	if (wants_json(c))
		buf_fmt(&b, "%s\n", r->json);
	else
		buf_fmt(&b, "%s version %s, pid %" PRIu64 ", %" PRIu64 " ms\n",
			c->wait ? "upgraded:" : "checked, and being replaced:", version,
			field_number(pail_result_value(r), "pid"), clock_ms() - begin_ms);
	pail_result_free(&r);
	if (e == CLI_OK)
		return cli_buf_out(&b);
	buf_fini(&b);
	return e;
}
