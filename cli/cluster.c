/* pail cluster: what operators do with several nodes that have copies of each other. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define CREATE_MS 60000u /* for all partitions' keys, if --timeout does not say it */
#define DRAIN_MS  30000u /* for others to have taken over */

static int usage(const char *what)
{
	(void)fprintf(stderr, "pail cluster: %s; try pail cluster --help\n", what);
	return CLI_USAGE;
}

static uint64_t number(struct pail_value v, const char *name)
{
	return pail_value_number(pail_value_field(v, name));
}

static bool wants_json(const struct cli *c)
{
	return c->output == OUTPUT_JSON || c->output == OUTPUT_RAW;
}

/* A text of the node's, as people can read it; "-" where there is none. */
static size_t text_add(struct buf *b, struct pail_value v, size_t columns)
{
	struct pail_bytes t = pail_value_bytes(v);

	if (!t.data) {
		buf_text(b, "-");
		return 1;
	}
	return cli_text(b, t, columns);
}

/* ---- create ---- */

static int create(struct cli *c)
{
	struct pail_result *r = NULL;
	struct pail *p = NULL;
	struct buf b;
	int e;

	if (c->args < 2)
		return usage("which nodes? create NODE...");
	if (!c->factor)
		return usage("how many copies of each partition? --factor N");
	if (c->off)
		return usage("--off goes with drain");
	e = cli_connect(c, &p);
	if (e != CLI_OK)
		return e;
	c->status = pail_cluster_create(p, c->arg + 1, (size_t)c->args - 1, c->factor,
					c->min_copies, c->keep_node, &r);
	if (c->status != PAIL_OK)
		e = cli_fail(c, c->status, pail_why(p));
	cli_disconnect(c, &p);
	if (e != CLI_OK)
		return e;
	buf_init(&b);
	if (wants_json(c)) {
		buf_fmt(&b, "%s\n", r->json);
	} else {
		struct pail_value v = pail_result_value(r);

		buf_text(&b, "cluster ");
		(void)text_add(&b, pail_value_field(v, "name"), 63);
		buf_fmt(&b,
			" created: %" PRIu64 " partitions, %" PRIu64 " copies of each on %d "
			"nodes, writes need %" PRIu64 "\n",
			number(v, "partitions"), number(v, "factor"), c->args - 1,
			number(v, "min_copies"));
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}

/* ---- status ---- */

/* A number of up to `width` columns and two blanks; "-" where it is not known. */
static void column(struct buf *b, struct pail_value v, int width)
{
	if (pail_value_type(v) == PAIL_VALUE_NUMBER)
		buf_fmt(b, "  %*" PRIu64, width, pail_value_number(v));
	else
		buf_fmt(b, "  %*s", width, "-");
}

static void node_row(struct buf *b, struct pail_value n)
{
	size_t columns = text_add(b, pail_value_field(n, "name"), 63);

	for (; columns < 16; columns++)
		buf_text(b, " ");
	buf_text(b, "  ");
	columns = text_add(b, pail_value_field(n, "state"), 16);
	for (; columns < 7; columns++)
		buf_text(b, " ");
	column(b, pail_value_field(n, "leading"), 7);
	column(b, pail_value_field(n, "copies"), 6);
	column(b, pail_value_field(n, "in_sync"), 7);
	column(b, pail_value_field(n, "learning"), 8);
	column(b, pail_value_field(n, "lag_ms"), 6);
	buf_text(b, pail_value_bool(pail_value_field(n, "door")) ? "  door\n" : "\n");
}

static void table(struct buf *b, struct pail_value v)
{
	struct pail_value nodes = pail_value_field(v, "nodes");
	struct pail_value agreement = pail_value_field(v, "agreement");

	(void)text_add(b, pail_value_field(v, "verdict"), 300);
	buf_text(b, "\n\nnode              state    leading  copies  in sync  learning  lag ms\n");
	for (size_t i = 0; i < pail_value_count(nodes); i++)
		node_row(b, pail_value_item(nodes, i));
	buf_text(b, "\ncluster: ");
	(void)text_add(b, pail_value_field(v, "name"), 63);
	buf_fmt(b,
		", %" PRIu64 " partitions, %" PRIu64 " copies of each, writes need %" PRIu64
		"\nwithout primary: %" PRIu64 "; below what writes need: %" PRIu64 "\nagreement: ",
		number(v, "partitions"), number(v, "factor"), number(v, "min_copies"),
		number(v, "without_primary"), number(v, "too_few"));
	(void)text_add(b, pail_value_field(agreement, "state"), 16);
	buf_fmt(b, ", revision %" PRIu64, number(agreement, "revision"));
	if (pail_value_bytes(pail_value_field(agreement, "text")).size) {
		buf_text(b, ": ");
		(void)text_add(b, pail_value_field(agreement, "text"), 300);
	}
	buf_text(b, "\n");
}

static int status(struct cli *c)
{
	struct pail_result *r;
	struct buf b;
	int e;

	if (c->args != 1 || c->factor || c->min_copies || c->keep_node || c->off)
		return usage("status takes nothing");
	e = cli_ask(c, PAIL_CLUSTER_STATUS, &r);
	if (e != CLI_OK)
		return e;
	buf_init(&b);
	if (wants_json(c))
		buf_fmt(&b, "%s\n", r->json);
	else
		table(&b, pail_result_value(r));
	pail_result_free(&r);
	return cli_buf_out(&b);
}

/* ---- drain ---- */

static int drain(struct cli *c)
{
	struct pail_result *r = NULL;
	struct pail *p = NULL;
	struct buf b;
	int e;

	if (c->args != 2)
		return usage("which node? drain NODE");
	if (c->factor || c->min_copies || c->keep_node)
		return usage("--factor, --min-copies and --keep go with create");
	e = cli_connect(c, &p);
	if (e != CLI_OK)
		return e;
	c->status = pail_cluster_drain(p, c->arg[1], !c->off, &r);
	if (c->status != PAIL_OK)
		e = cli_fail(c, c->status, pail_why(p));
	cli_disconnect(c, &p);
	if (e != CLI_OK)
		return e;
	buf_init(&b);
	if (wants_json(c))
		buf_fmt(&b, "%s\n", r->json);
	else if (c->off)
		buf_fmt(&b, "%s may lead again\n", c->arg[1]);
	else
		buf_fmt(&b, "%s is drained: it leads %" PRIu64 " partitions\n", c->arg[1],
			number(pail_result_value(r), "leading"));
	pail_result_free(&r);
	return cli_buf_out(&b);
}

int run_cluster(struct cli *c)
{
	const char *action = c->arg[0];

	if (!strcmp(action, "status"))
		return status(c);
	if (!c->q.timeout_ms)
		c->q.timeout_ms = !strcmp(action, "create") ? CREATE_MS : DRAIN_MS;
	if (!strcmp(action, "create"))
		return create(c);
	if (!strcmp(action, "drain"))
		return drain(c);
	return usage("create, status or drain?");
}
