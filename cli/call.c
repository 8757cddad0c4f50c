/* pail call and pail functions: what runs where the bucket is. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/json_args.h"
#include "common/json.h"

#define FIRST_ARGUMENT 3 /* behind bucket, module and function */

/* ---- results as JSON ---- */

static void value_json(struct buf *b, struct pail_value v);

static bool is_text(struct pail_bytes v)
{
	return json_is_text((struct span){v.data, v.size});
}

/* A map's member: bytes that are no text change its name, as everywhere. */
static void member_json(struct buf *b, struct pail_bytes name, struct pail_value v)
{
	bool coded = pail_value_type(v) == PAIL_VALUE_BYTES && !is_text(pail_value_bytes(v));

	json_string(b, (struct span){name.data, name.size});
	if (coded) {
		b->len -= !b->failed; /* the quote */
		buf_text(b, "_base64\"");
	}
	buf_text(b, ":");
	if (coded)
		json_base64(b, (struct span){pail_value_bytes(v).data, pail_value_bytes(v).size});
	else
		value_json(b, v);
}

/* As pail_value_json, but bytes that are no text are {"base64":"..."}. */
static void value_json(struct buf *b, struct pail_value v)
{
	enum pail_type type = pail_value_type(v);
	size_t n = pail_value_count(v);
	char scalar[64];

	switch (type) {
	case PAIL_VALUE_MAP:
	case PAIL_VALUE_LIST:
		buf_text(b, type == PAIL_VALUE_MAP ? "{" : "[");
		for (size_t i = 0; i < n; i++) {
			buf_text(b, i ? "," : "");
			if (type == PAIL_VALUE_MAP)
				member_json(b, pail_value_bytes(pail_value_name(v, i)),
					    pail_value_item(v, i));
			else
				value_json(b, pail_value_item(v, i));
		}
		buf_text(b, type == PAIL_VALUE_MAP ? "}" : "]");
		return;
	case PAIL_VALUE_BYTES:
		if (is_text(pail_value_bytes(v))) {
			json_string(b, (struct span){pail_value_bytes(v).data,
						     pail_value_bytes(v).size});
			return;
		}
		buf_text(b, "{\"base64\":");
		json_base64(b, (struct span){pail_value_bytes(v).data, pail_value_bytes(v).size});
		buf_text(b, "}");
		return;
	default:
		(void)pail_value_json(v, scalar, sizeof(scalar));
		buf_text(b, scalar);
		return;
	}
}

/* ---- call ---- */

static int arguments_add(struct cli *c, struct pail_args *a)
{
	char why[200] = "";
	int r = PAIL_OK;

	for (int i = FIRST_ARGUMENT; i < c->args && r == PAIL_OK; i++) {
		r = c->raw ? pail_args_bytes(a, c->bytes[i])
			   : json_args_add(a, c->bytes[i], why, sizeof(why));
		if (r != PAIL_OK)
			return cli_usage(command_find("call"),
					 "argument %d, %.60s: %s; --raw takes strings as they are "
					 "typed",
					 i + 1 - FIRST_ARGUMENT, c->arg[i],
					 *why ? why : pail_args_why(a));
	}
	return CLI_OK;
}

static int called(struct cli *c)
{
	struct pail_result *r;
	struct pail_value v;
	struct buf b;
	int e = cli_ask(c, PAIL_CALL, &r);

	if (e != CLI_OK)
		return e;
	v = pail_result_value(r);
	buf_init(&b);
	if (c->output == OUTPUT_JSON) {
		buf_text(&b, "{");
		member_json(&b, pail_str("result"), v);
		buf_text(&b, "}\n");
	} else if (c->output == OUTPUT_RAW && pail_value_type(v) == PAIL_VALUE_BYTES) {
		buf_add(&b, pail_value_bytes(v).data, pail_value_bytes(v).size);
		if (c->session)
			buf_text(&b, "\n");
	} else {
		value_json(&b, v);
		buf_text(&b, "\n");
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}

int run_call(struct cli *c)
{
	struct pail_args *a;
	int e;

	if (pail_args_new(&a) != PAIL_OK)
		return cli_fail(c, PAIL_NO_MEMORY, "no memory");
	e = arguments_add(c, a);
	if (e == CLI_OK) {
		c->q.bucket = c->bytes[0];
		c->q.module = c->bytes[1];
		c->q.function = c->bytes[2];
		c->q.args = pail_args_packed(a);
		e = called(c);
	}
	pail_args_free(&a);
	return e;
}

/* ---- functions ---- */

static void text_add(struct buf *b, struct pail_value v)
{
	(void)cli_text(b, pail_value_bytes(v), SIZE_MAX);
}

static void modules_add(struct buf *b, struct pail_value modules)
{
	size_t width = 0;

	for (size_t i = 0; i < pail_value_count(modules); i++) {
		struct pail_value name = pail_value_field(pail_value_item(modules, i), "name");

		width = pail_value_bytes(name).size > width ? pail_value_bytes(name).size : width;
	}
	for (size_t i = 0; i < pail_value_count(modules); i++) {
		struct pail_value m = pail_value_item(modules, i);
		struct pail_value functions = pail_value_field(m, "functions");
		size_t n;

		buf_text(b, "  ");
		n = cli_text(b, pail_value_bytes(pail_value_field(m, "name")), SIZE_MAX);
		buf_fmt(b, "%*s", n < width ? (int)(width - n) : 0, "");
		buf_text(b, pail_value_count(functions) ? " " : "  none");
		for (size_t k = 0; k < pail_value_count(functions); k++) {
			buf_text(b, " ");
			text_add(b, pail_value_item(functions, k));
		}
		buf_text(b, "\n");
	}
}

/* A line for each peer, as far as it has told, so that nodes with other modules stand out. */
static void peers_add(struct buf *b, struct pail_value peers)
{
	for (size_t i = 0; i < pail_value_count(peers); i++) {
		struct pail_value p = pail_value_item(peers, i);
		struct pail_value digest = pail_value_field(p, "digest");
		struct pail_bytes state = pail_value_bytes(pail_value_field(p, "state"));
		bool told = pail_value_type(digest) == PAIL_VALUE_BYTES;
		bool up = span_equal((struct span){state.data, state.size}, span_of("up"));

		buf_text(b, "node ");
		text_add(b, pail_value_field(p, "name"));
		buf_text(b, "  digest ");
		if (told)
			text_add(b, digest);
		buf_text(b, !told                                          ? "unknown"
			    : pail_value_bool(pail_value_field(p, "same")) ? "  same"
									   : "  different");
		if (!up) {
			buf_text(b, told ? ", when it was last heard: it is " : ": it is ");
			text_add(b, pail_value_field(p, "state"));
		}
		buf_text(b, "\n");
	}
}

int run_functions(struct cli *c)
{
	struct pail_result *r;
	struct pail_value v;
	struct buf b;
	int e = cli_ask(c, PAIL_FUNCTIONS, &r);

	if (e != CLI_OK)
		return e;
	buf_init(&b);
	v = pail_result_value(r);
	if (c->output == OUTPUT_JSON || c->output == OUTPUT_RAW) {
		buf_fmt(&b, "%s\n", r->json);
	} else {
		buf_text(&b, "node ");
		text_add(&b, pail_value_field(v, "node"));
		buf_text(&b, "  digest ");
		text_add(&b, pail_value_field(v, "digest"));
		buf_text(&b, "\n");
		modules_add(&b, pail_value_field(v, "modules"));
		peers_add(&b, pail_value_field(v, "peers"));
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}
