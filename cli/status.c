/* pail status: one screen for people, what is wrong first; for programs what the node says. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/human.h"
#include "cli/status.h"

#define LABEL       12u /* columns before a fact */
#define METHODS_FEW 6u  /* shown of what was asked */

struct pail_value screen_field(struct pail_value v, const char *name)
{
	return pail_value_field(v, name);
}

uint64_t screen_number(struct pail_value v, const char *name)
{
	return pail_value_number(screen_field(v, name));
}

bool screen_is(struct pail_value v, const char *name, const char *text)
{
	struct pail_bytes t = pail_value_bytes(screen_field(v, name));

	return t.data && t.size == strlen(text) && !memcmp(t.data, text, t.size);
}

bool screen_is_empty(struct pail_value v, const char *name)
{
	return !pail_value_bytes(screen_field(v, name)).size;
}

struct pail_value screen_family(const struct screen *s, const char *name)
{
	for (size_t i = 0; i < pail_value_count(s->families); i++)
		if (screen_is(pail_value_item(s->families, i), "name", name))
			return screen_field(pail_value_item(s->families, i), "samples");
	return (struct pail_value){NULL};
}

uint64_t screen_sample(const struct screen *s, const char *name, const char *worker)
{
	struct pail_value samples = screen_family(s, name);

	for (size_t i = 0; i < pail_value_count(samples); i++) {
		struct pail_value one = pail_value_item(samples, i);

		if (!worker || screen_is(pail_value_item(one, 0), "worker", worker))
			return pail_value_number(pail_value_item(one, 1));
	}
	return 0;
}

/* ---- tables ---- */

static void text_cell(struct screen *s, struct pail_value v, size_t columns)
{
	human_cell(&s->out, pail_value_bytes(v), columns);
}

/* Reasons and deaths stand under their row. */
static void note(struct screen *s, const char *before, struct pail_value v)
{
	struct buf b;

	buf_init(&b);
	buf_text(&b, before);
	(void)cli_text(&b, pail_value_bytes(v), 2 * SCREEN_COLUMNS);
	if (b.failed)
		s->out.failed = true;
	else {
		buf_text(&s->out, "        ");
		human_wrap(&s->out, b.data, b.len, 8, 8, SCREEN_COLUMNS);
	}
	buf_fini(&b);
}

static void worker_row(struct screen *s, struct pail_value w)
{
	bool up = screen_is(w, "state", "up");
	char t[6][HUMAN_MAX];

	buf_fmt(&s->out, "%6" PRIu64 "  ", screen_number(w, "id"));
	text_cell(s, screen_field(w, "state"), 8);
	buf_fmt(&s->out, "  %-11s  %8s  %8s  %8s  %7s  %6s\n",
		up ? human_ms(screen_number(w, "uptime_ms"), t[0]) : "-",
		human_count(screen_number(w, "restarts"), t[1]),
		human_bytes(screen_number(w, "queue"), t[2]),
		human_count(screen_number(w, "requests"), t[3]),
		human_count(screen_number(w, "buckets"), t[4]),
		human_count(screen_number(w, "keys"), t[5]));
	if (up && !screen_is_empty(w, "last_death") && screen_number(w, "restarts"))
		note(s, "died last: ", screen_field(w, "last_death"));
}

static void peer_row(struct screen *s, struct pail_value p)
{
	struct pail_value seen = screen_field(p, "last_seen_ms");
	char t[4][HUMAN_MAX];

	text_cell(s, screen_field(p, "name"), 16);
	buf_text(&s->out, "  ");
	text_cell(s, screen_field(p, "state"), 7);
	buf_fmt(&s->out, "  %12s  %9" PRIu64 "  %8s  %9s  %5s\n",
		pail_value_type(seen) == PAIL_VALUE_NUMBER ? human_ms(pail_value_number(seen), t[0])
							   : "never",
		screen_number(p, "in_flight"), human_bytes(screen_number(p, "queue"), t[1]),
		human_count(screen_number(p, "forwarded"), t[2]),
		human_count(screen_number(p, "broke"), t[3]));
	if (!screen_is(p, "state", "up") && !screen_is_empty(p, "reason"))
		note(s, "", screen_field(p, "reason"));
}

static void tables(struct screen *s)
{
	struct pail_value workers = screen_field(s->status, "workers");
	struct pail_value peers = screen_field(s->status, "peers");

	if (pail_value_count(workers))
		buf_text(&s->out, "\nworker  state     for          restarts     queue  requests  "
				  "buckets    keys\n");
	for (size_t i = 0; i < pail_value_count(workers); i++)
		worker_row(s, pail_value_item(workers, i));
	if (pail_value_count(peers))
		buf_text(&s->out, "\npeer              state      last heard  in flight     queue  "
				  "forwarded  broke\n");
	for (size_t i = 0; i < pail_value_count(peers); i++)
		peer_row(s, pail_value_item(peers, i));
}

/* ---- facts, a line each ---- */

static void fact(struct screen *s, const char *label, struct buf *b)
{
	buf_fmt(&s->out, "%-*s", (int)LABEL, label);
	if (b->failed)
		s->out.failed = true;
	else
		human_wrap(&s->out, b->data, b->len, LABEL, LABEL, SCREEN_COLUMNS);
	b->len = 0;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void requests(struct screen *s, struct buf *b)
{
	struct pail_value totals = screen_field(s->status, "totals");
	struct pail_value by = screen_field(totals, "by_method");
	uint64_t below = UINT64_MAX;
	uint64_t errors = screen_number(totals, "errors");
	char t[HUMAN_MAX];

	buf_fmt(b, "%s, ", human_count(screen_number(totals, "requests"), t));
	buf_fmt(b, "%s error%s", errors ? human_count(errors, t) : "no", plural(errors));
	/* The most frequent ones; those that are equally frequent in the node's order. */
	for (unsigned shown = 0; shown < METHODS_FEW;) {
		uint64_t next = 0;

		for (size_t i = 0; i < pail_value_count(by); i++) {
			uint64_t n = pail_value_number(pail_value_item(by, i));

			next = n < below && n > next ? n : next;
		}
		for (size_t i = 0; next && i < pail_value_count(by) && shown < METHODS_FEW; i++) {
			if (pail_value_number(pail_value_item(by, i)) != next)
				continue;
			buf_fmt(b, "%s%s ", shown++ ? ", " : ": ", human_count(next, t));
			(void)cli_text(b, pail_value_bytes(pail_value_name(by, i)), 20);
		}
		if (!next)
			break;
		below = next;
	}
	fact(s, "requests", b);
}

static void clients(struct screen *s, struct buf *b)
{
	struct pail_value files = screen_field(s->status, "files");
	struct pail_value security = screen_field(s->status, "security");
	char t[HUMAN_MAX];

	buf_fmt(b, "%" PRIu64 " connected, %s unread", screen_number(s->status, "clients"),
		human_bytes(screen_number(s->status, "unread"), t));
	if (files.at)
		buf_fmt(b, "; %" PRIu64 " of %" PRIu64 " file descriptors in use",
			screen_number(files, "used"), screen_number(files, "limit"));
	fact(s, "clients", b);
	if (pail_value_bool(screen_field(security, "keys")))
		buf_fmt(b, "%" PRIu64 " in the file of clients, %s refused",
			screen_number(security, "clients"),
			human_count(screen_number(security, "refused"), t));
	else
		buf_text(b, "no keys: whoever reaches a port may do all that it can");
	fact(s, "security", b);
}

static void data(struct screen *s, struct buf *b)
{
	struct pail_value workers = screen_field(s->status, "workers");
	struct pail_value v = screen_field(s->status, "storage");
	uint64_t buckets = 0;
	uint64_t keys = 0;
	uint64_t cached = 0;
	char t[3][HUMAN_MAX];

	for (size_t i = 0; i < pail_value_count(workers); i++) {
		buckets += screen_number(pail_value_item(workers, i), "buckets");
		keys += screen_number(pail_value_item(workers, i), "keys");
		cached += screen_number(pail_value_item(workers, i), "cache_bytes");
	}
	buf_fmt(b, "%s bucket%s, %s key%s, %s in the cache", human_count(buckets, t[0]),
		plural(buckets), human_count(keys, t[1]), plural(keys), human_bytes(cached, t[2]));
	fact(s, "data", b);
	buf_fmt(b, "%" PRIu64 " partitions, store ", screen_number(v, "partitions"));
	(void)cli_text(b, pail_value_bytes(screen_field(v, "store")), 40);
	fact(s, "folder", b);
}

static void storage(struct screen *s, struct buf *b)
{
	struct pail_value v = screen_field(s->status, "storage");
	uint64_t last_ms = screen_number(v, "last_checkpoint");
	uint64_t done = screen_number(v, "checkpoints");
	uint64_t recent = screen_number(v, "recent_keys");
	char t[3][HUMAN_MAX];

	if (!pail_value_count(screen_field(s->status, "workers")))
		return;
	buf_fmt(b, "%s; %s written, %s syncs", human_bytes(screen_number(v, "log_bytes"), t[0]),
		human_bytes(screen_number(v, "log_written_bytes"), t[1]),
		human_count(screen_number(v, "log_syncs"), t[2]));
	fact(s, "log", b);
	buf_fmt(b, "%s of %s, %s checkpoint%s", human_bytes(screen_number(v, "bytes"), t[0]),
		human_bytes(screen_number(v, "map_bytes"), t[1]), human_count(done, t[2]),
		plural(done));
	fact(s, "base", b);
	/* That of several workers is the oldest one; a worker without writes makes none. */
	if (last_ms)
		buf_fmt(b, "%s (%s ago), took %s; ", human_date(last_ms, t[0]),
			human_ms(s->now_ms > last_ms ? s->now_ms - last_ms : 0, t[1]),
			human_ms(screen_number(v, "last_checkpoint_ms"), t[2]));
	else
		buf_text(b, "none yet; ");
	buf_fmt(b, "%s write%s since", human_count(recent, t[0]), plural(recent));
	fact(s, "checkpoint", b);
	data(s, b);
}

static void gateway(struct screen *s, struct buf *b)
{
	struct pail_value v = screen_field(s->status, "gateway");
	uint64_t restarts = screen_number(v, "restarts");

	if (screen_is(v, "state", "none")) {
		buf_text(b, "none");
	} else {
		(void)cli_text(b, pail_value_bytes(screen_field(v, "state")), 16);
		for (int http = 0; http < 2; http++) {
			struct pail_bytes at =
				pail_value_bytes(screen_field(v, http ? "http" : "endpoint"));

			if (!at.size)
				continue;
			buf_text(b, http ? ", HTTP on " : ", text on ");
			(void)cli_text(b, at, 60);
		}
		if (screen_number(v, "pid"))
			buf_fmt(b, ", pid %" PRIu64, screen_number(v, "pid"));
		if (restarts)
			buf_fmt(b, ", %" PRIu64 " restart%s", restarts, plural(restarts));
		if (restarts && !screen_is_empty(v, "last_death") && screen_is(v, "state", "up")) {
			buf_text(b, ": ");
			(void)cli_text(b, pail_value_bytes(screen_field(v, "last_death")),
				       2 * SCREEN_COLUMNS);
		}
	}
	fact(s, "gateway", b);
}

static void functions(struct screen *s, struct buf *b)
{
	struct pail_value v = screen_field(s->status, "functions");
	uint64_t n = screen_number(v, "modules");

	if (n) {
		buf_fmt(b, "%" PRIu64 " module%s, digest ", n, plural(n));
		(void)cli_text(b, pail_value_bytes(screen_field(v, "digest")), 20);
	} else {
		buf_text(b, "none");
	}
	fact(s, "functions", b);
}

static void routes(struct screen *s, struct buf *b)
{
	struct pail_value v = screen_field(s->status, "routes");

	if (!pail_value_count(v))
		return;
	for (size_t i = 0; i < pail_value_count(v); i++) {
		buf_text(b, i ? ", " : "");
		(void)cli_text(b, pail_value_bytes(screen_field(pail_value_item(v, i), "entry")),
			       20);
		buf_text(b, " = ");
		(void)cli_text(b, pail_value_bytes(screen_field(pail_value_item(v, i), "node")),
			       63);
	}
	fact(s, "routes", b);
}

static void cluster(struct screen *s, struct buf *b)
{
	uint64_t all = screen_sample(s, "pail_cluster_partitions", NULL);

	if (!all)
		return;
	buf_fmt(b, "leads %" PRIu64 " of %" PRIu64 " partitions; pail cluster status tells more",
		screen_sample(s, "pail_cluster_partitions_leading", NULL), all);
	fact(s, "cluster", b);
}

static void head(struct screen *s, struct buf *b)
{
	uint64_t reloads = screen_number(s->status, "reloads");
	uint64_t upgrades = screen_number(s->status, "upgrades");
	char t[2][HUMAN_MAX];

	(void)cli_text(b, pail_value_bytes(screen_field(s->status, "node")), 63);
	buf_text(b, ", Pail ");
	(void)cli_text(b, pail_value_bytes(screen_field(s->status, "version")), 30);
	buf_fmt(b, ", pid %" PRIu64, screen_number(s->status, "pid"));
	if (!screen_is(s->status, "role", "all")) {
		buf_text(b, ", ");
		(void)cli_text(b, pail_value_bytes(screen_field(s->status, "role")), 16);
	}
	fact(s, "node", b);
	buf_fmt(b, "%s (%s ago)", human_date(screen_number(s->status, "started"), t[0]),
		human_ms(screen_number(s->status, "uptime_ms"), t[1]));
	if (upgrades)
		buf_fmt(b, ", upgraded %" PRIu64 " time%s", upgrades, plural(upgrades));
	if (reloads)
		buf_fmt(b, ", reloaded %" PRIu64 " time%s", reloads, plural(reloads));
	fact(s, "started", b);
}

static void print(struct screen *s)
{
	struct buf b;

	buf_init(&b);
	screen_judge(s);
	buf_text(&s->out, "\n");
	head(s, &b);
	tables(s);
	buf_text(&s->out, "\n");
	requests(s, &b);
	clients(s, &b);
	storage(s, &b);
	gateway(s, &b);
	functions(s, &b);
	routes(s, &b);
	cluster(s, &b);
	buf_fini(&b);
}

/* Figures that status does not have; a node of an older version has none at all. */
static struct pail_result *figures(struct cli *c, struct pail *p)
{
	struct pail_result *r = NULL;

	c->q.method = PAIL_METRICS;
	if (cli_call(p, &c->q, &r) != PAIL_OK)
		pail_result_free(&r);
	return r;
}

int run_status(struct cli *c)
{
	bool json = c->output == OUTPUT_JSON || c->output == OUTPUT_RAW;
	struct screen s = {.wrong = 0};
	struct pail_result *r = NULL;
	struct pail_result *more = NULL;
	struct pail *p = NULL;
	int e = cli_connect(c, &p);

	if (e != CLI_OK)
		return e;
	c->q.method = PAIL_STATUS;
	c->status = cli_call(p, &c->q, &r);
	if (c->status != PAIL_OK)
		e = cli_fail(c, c->status, cli_why(p));
	else if (!json)
		more = figures(c, p);
	cli_disconnect(c, &p);
	buf_init(&s.out);
	if (e == CLI_OK && json) {
		buf_fmt(&s.out, "%s\n", r->json);
	} else if (e == CLI_OK) {
		s.status = pail_result_value(r);
		s.families = more ? screen_field(pail_result_value(more), "families")
				  : (struct pail_value){NULL};
		s.now_ms =
			screen_number(s.status, "started") + screen_number(s.status, "uptime_ms");
		print(&s);
	}
	pail_result_free(&more);
	pail_result_free(&r);
	if (e == CLI_OK)
		return cli_buf_out(&s.out);
	buf_fini(&s.out);
	return e;
}
