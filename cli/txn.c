/* pail txn: a script to a transaction, and its results as the commands alone would show them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/script.h"

#define LABEL_COLUMNS 40u /* of an operation and its key, before what it came to */
#define VALUE_COLUMNS 100u

static struct cli_shown shown(const struct script_op *o)
{
	return (struct cli_shown){false, o->keys_only, o->with_ttl};
}

/* ---- for programs ---- */

static void items_json(struct buf *b, const struct script_op *o, struct pail_op *r)
{
	struct pail_item item;
	const char *between = "";

	buf_text(b, "{\"items\":[");
	while (pail_op_item(r, &item)) {
		buf_text(b, between);
		cli_item_json(b, &item, shown(o));
		between = ",";
	}
	buf_fmt(b, "],\"more\":%s}", r->more ? "true" : "false");
}

static void op_json(struct buf *b, const struct script_op *o, struct pail_op *r)
{
	unsigned long long n = r->number;

	switch (o->kind) {
	case SCRIPT_DELETE:
		buf_fmt(b, "{\"deleted\":%s}", r->yes ? "true" : "false");
		return;
	case SCRIPT_SCAN:
		items_json(b, o, r);
		return;
	case SCRIPT_COUNT:
		buf_fmt(b, "{\"count\":%llu}", n);
		return;
	default:
		break;
	}
	if (!r->yes) {
		buf_text(b, "null");
		return;
	}
	buf_text(b, "{");
	if (o->kind == SCRIPT_GET) {
		cli_json_field(b, "value", r->value);
		buf_text(b, ",");
	}
	buf_fmt(b, "\"version\":%llu}", n);
}

static void op_raw(struct buf *b, const struct script_op *o, struct pail_op *r)
{
	struct pail_item item;

	if (o->kind == SCRIPT_DELETE) {
		buf_text(b, r->yes ? "true\n" : "false\n");
		return;
	}
	if (o->kind == SCRIPT_SCAN) {
		buf_fmt(b, "%zu%s\n", r->item_count, r->more ? " more" : "");
		while (pail_op_item(r, &item))
			cli_item_raw(b, &item, shown(o));
		return;
	}
	if (!r->yes) {
		buf_text(b, "-\n");
		return;
	}
	buf_fmt(b, "%llu", (unsigned long long)r->number);
	if (o->kind == SCRIPT_GET) {
		buf_text(b, "\t");
		buf_add(b, r->value.data, r->value.size);
	}
	buf_text(b, "\n");
}

/* ---- for people ---- */

static void items_text(struct buf *b, const struct script_op *o, struct pail_op *r)
{
	struct pail_item item;

	buf_fmt(b, "%zu keys%s", r->item_count, r->more ? ", and there are more" : "");
	while (pail_op_item(r, &item)) {
		size_t n;

		buf_text(b, "\n  ");
		n = cli_text(b, item.key, LABEL_COLUMNS - 4);
		buf_fmt(b, "%*s  version %llu",
			n < LABEL_COLUMNS - 4 ? (int)(LABEL_COLUMNS - 4 - n) : 0, "",
			(unsigned long long)item.version);
		if (o->with_ttl && item.ttl_ms)
			buf_fmt(b, "  %llu ms", (unsigned long long)item.ttl_ms);
		if (o->keys_only)
			continue;
		buf_text(b, "  ");
		(void)cli_text(b, item.value, VALUE_COLUMNS);
	}
}

static void op_text(struct buf *b, const struct script_op *o, struct pail_op *r)
{
	size_t n = strlen(script_name(o->kind));

	buf_text(b, script_name(o->kind));
	if (o->key.data) {
		buf_text(b, " ");
		n += 1 + cli_text(b, o->key, LABEL_COLUMNS - n - 4);
	}
	buf_fmt(b, "%*s", n + 2 < LABEL_COLUMNS / 2 ? (int)(LABEL_COLUMNS / 2 - n) : 2, "");
	if (o->kind == SCRIPT_DELETE)
		buf_text(b, r->yes ? "deleted" : "there was no such key");
	else if (o->kind == SCRIPT_SCAN)
		items_text(b, o, r);
	else if (o->kind == SCRIPT_COUNT)
		buf_fmt(b, "%llu", (unsigned long long)r->number);
	else if (!r->yes)
		buf_text(b, "there is no such key");
	else
		buf_fmt(b, "version %llu", (unsigned long long)r->number);
	if (o->kind == SCRIPT_GET && r->yes) {
		buf_text(b, "  ");
		(void)cli_text(b, r->value, VALUE_COLUMNS);
	}
	buf_text(b, "\n");
}

/* ---- all of it ---- */

static void results_add(struct buf *b, const struct cli *c, const struct script *s,
			const struct pail_result *r)
{
	const struct script_op *ops = s->op[r->yes ? PAIL_THEN : PAIL_ELSE];

	if (c->output == OUTPUT_JSON)
		buf_fmt(b, "{\"ok\":%s,\"results\":[", r->yes ? "true" : "false");
	else if (c->output == OUTPUT_RAW)
		buf_text(b, r->yes ? "true\n" : "false\n");
	else if (s->has_conditions)
		buf_text(b, r->yes ? "the conditions held\n" : "the conditions did not hold\n");
	for (size_t i = 0; i < r->op_count; i++) {
		struct pail_op op = {.size = sizeof(op)};

		(void)pail_result_op(r, i, &op);
		if (c->output == OUTPUT_JSON) {
			buf_text(b, i ? "," : "");
			op_json(b, &ops[i], &op);
		} else if (c->output == OUTPUT_RAW) {
			op_raw(b, &ops[i], &op);
		} else {
			op_text(b, &ops[i], &op);
		}
	}
	if (c->output == OUTPUT_JSON)
		buf_text(b, "]}\n");
}

/* Run it and show what came of it. */
static int run(struct cli *c, struct script *s)
{
	struct pail_result *r;
	struct buf b;
	int e;

	c->q.bucket = c->bytes[0];
	c->q.txn = s->txn;
	e = cli_ask(c, PAIL_TXN, &r);
	if (e != CLI_OK)
		return e;
	if (r->op_count != s->count[r->yes ? PAIL_THEN : PAIL_ELSE]) {
		pail_result_free(&r);
		return cli_fail(c, PAIL_PROTOCOL, "the node sent another number of results");
	}
	buf_init(&b);
	results_add(&b, c, s, r);
	e = r->yes ? CLI_OK : CLI_CONFLICT;
	pail_result_free(&r);
	return cli_buf_out(&b) == CLI_OK ? e : CLI_FAILED;
}

/* The lines of `b`, whose last byte is a line's end. */
static bool lines_take(struct script *s, struct buf *b)
{
	char *stop = b->data + b->len;

	for (char *line = b->data; line < stop;) {
		char *end = memchr(line, '\n', (size_t)(stop - line));

		if (!script_line(s, line, (size_t)(end - line)))
			return false;
		line = end + 1;
	}
	return true;
}

/* The script, from the arguments behind the bucket or else from stdin, as lines. */
static bool script_read(const struct cli *c, struct buf *b)
{
	for (int i = 1; i < c->args; i++) {
		buf_add(b, c->bytes[i].data, c->bytes[i].size);
		buf_text(b, "\n");
	}
	if (c->args == 1 && !cli_stdin(b, "script"))
		return false;
	buf_text(b, "\n");
	if (b->failed)
		(void)fprintf(stderr, "pail: no memory\n");
	return !b->failed;
}

int run_txn(struct cli *c)
{
	const struct command *command = command_find("txn");
	struct script s;
	struct buf b;
	int e = CLI_FAILED;

	if (c->args == 1 && c->session)
		return cli_usage(command, "in a shell the lines must be given");
	if (script_init(&s) < 0)
		return cli_fail(c, PAIL_NO_MEMORY, "no memory");
	buf_init(&b);
	if (script_read(c, &b))
		e = lines_take(&s, &b) ? run(c, &s) : cli_usage(command, "%s", s.why);
	script_fini(&s);
	buf_fini(&b);
	return e;
}
