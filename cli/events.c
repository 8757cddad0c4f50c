/* pail events. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/watch.h"
#include "common/clock.h"

#define LIMIT_MOST 256u
#define LOOK_MS    500u
#define TEXT_MOST  400u

struct ask {
	uint64_t after;
	uint32_t limit;
	struct pail_result *r;
};

static int ask(struct pail *p, void *arg)
{
	struct ask *a = arg;

	return pail_events(p, a->after, a->limit, &a->r);
}

static uint64_t number(struct pail_value v, const char *name)
{
	return pail_value_number(pail_value_field(v, name));
}

/* "2026-11-26 22:01:05.123  warning  worker 3  ..." */
static void event_line(struct buf *b, struct pail_value e)
{
	uint64_t ms = number(e, "unix_ms");
	time_t s = (time_t)(ms / 1000);
	char clock[WATCH_TIME];
	char day[16] = "";
	struct tm tm = {0};
	size_t columns;

	if (localtime_r(&s, &tm))
		(void)strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	buf_fmt(b, "%s %s  ", day, watch_time(ms, true, clock));
	columns = cli_text(b, pail_value_bytes(pail_value_field(e, "level")), 16);
	buf_fmt(b, "%*s", (int)(columns < 9 ? 9 - columns : 1), "");
	(void)cli_text(b, pail_value_bytes(pail_value_field(e, "text")), TEXT_MOST);
	buf_text(b, "\n");
}

static void event_json(struct buf *b, struct pail_value e)
{
	size_t n = pail_value_json(e, NULL, 0);
	char *p = buf_room(b, n + 1);

	if (p)
		b->len += pail_value_json(e, p, n + 1);
}

/* False: it cannot be written. */
static bool show(const struct cli *c, struct pail_value events, bool follow)
{
	bool json = c->output == OUTPUT_JSON || c->output == OUTPUT_RAW;
	size_t n = pail_value_count(events);
	struct buf b;

	buf_init(&b);
	if (json && !follow)
		buf_text(&b, "[");
	for (size_t i = 0; i < n; i++) {
		struct pail_value e = pail_value_item(events, i);

		if (!json) {
			event_line(&b, e);
			continue;
		}
		if (i && !follow)
			buf_text(&b, ",\n ");
		event_json(&b, e);
		if (follow)
			buf_text(&b, "\n");
	}
	if (json && !follow)
		buf_text(&b, "]\n");
	return cli_buf_out(&b) == CLI_OK && fflush(stdout) == 0;
}

/* Over restarts of the node: what it says is told on stderr, the events are not mixed with that. */
static int follow(struct watch *w, struct ask *a)
{
	bool away = false;
	int r = PAIL_OK;

	cli_catch(true);
	while (!cli_interrupted()) {
		uint64_t last = number(pail_result_value(a->r), "last");

		if (last < a->after) { /* it was started anew, and counts from 1 */
			a->after = 0;
			pail_result_free(&a->r);
			r = watch_ask(w, ask, a);
			continue;
		}
		if (a->r && !show(w->c, pail_value_field(pail_result_value(a->r), "events"), true))
			break;
		if (a->r)
			a->after = last;
		pail_result_free(&a->r);
		a->limit = LIMIT_MOST;
		do {
			watch_wait(LOOK_MS, -1);
			r = cli_interrupted() ? PAIL_OK : watch_ask(w, ask, a);
			if (r == PAIL_UNREACHABLE && !away)
				(void)fprintf(stderr,
					      "pail: the node does not answer: waiting for it\n");
			away = r == PAIL_UNREACHABLE;
		} while (away && !cli_interrupted());
		if (r != PAIL_OK)
			break;
	}
	cli_catch(false);
	pail_result_free(&a->r);
	return r == PAIL_OK || r == PAIL_UNREACHABLE
		       ? CLI_OK
		       : cli_fail(w->c, r, w->p ? pail_why(w->p) : "");
}

int run_events(struct cli *c)
{
	struct ask a = {.limit = c->q.limit ? c->q.limit : LIMIT_MOST};
	struct watch w;
	int e;

	if (a.limit > LIMIT_MOST) {
		(void)fprintf(stderr, "pail events: --limit is 1 to %u: a node keeps no more\n",
			      LIMIT_MOST);
		return CLI_USAGE;
	}
	e = watch_open(&w, c);
	if (e != CLI_OK)
		return e;
	c->status = watch_ask(&w, ask, &a);
	if (c->status != PAIL_OK) {
		e = cli_fail(c, c->status, w.p ? pail_why(w.p) : "the node does not answer");
	} else if (c->follow) {
		e = follow(&w, &a);
	} else {
		e = show(c, pail_value_field(pail_result_value(a.r), "events"), false) ? CLI_OK
										       : CLI_FAILED;
		pail_result_free(&a.r);
	}
	watch_close(&w);
	return e;
}
