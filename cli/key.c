/* key and whoami: pairs of keys, and what a node makes of one. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "common/json.h"

/* What a client may at first: operators choose. */
#define RIGHTS_FIRST "read:* write:*"

static void field(struct buf *b, const char *before, const char *name, const char *value)
{
	buf_text(b, before);
	cli_json_field(b, name, pail_str(value));
}

static int fail(const struct cli *c, int status, const char *why)
{
	(void)cli_fail(c, PAIL_BAD_ARGUMENT, why);
	return status;
}

/* ---- new ---- */

/* stdout has the line and nothing else, to be appended to a file. */
static int new_show(const struct cli *c, const struct key_file *k, const char *path)
{
	char line[KEY_NAME_MAX + KEY_TEXT + 64];
	struct buf b;

	(void)snprintf(line, sizeof(line), "%s %s " RIGHTS_FIRST, k->name, k->public);
	(void)fprintf(stderr,
		      "pail: wrote \"%s\", for its user alone\n"
		      "public key: %s\n"
		      "The line is for the file that [security] clients of the node names; what %s "
		      "may is yours to\nchoose: read, write, create, call or admin, a colon, and a "
		      "bucket, PREFIX* or *.  Then: pail reload\n",
		      path, k->public, k->name);
	if (!k->servers)
		(void)fprintf(stderr, "It also needs the node's public key, in a line server = "
				      "PUBLIC of that file or in a context.\n");
	buf_init(&b);
	if (c->output == OUTPUT_JSON) {
		field(&b, "{", "name", k->name);
		field(&b, ",", "public", k->public);
		field(&b, ",", "file", path);
		field(&b, ",", "line", line);
		buf_text(&b, "}\n");
	} else {
		buf_fmt(&b, "%s\n", line);
	}
	return cli_buf_out(&b);
}

static int key_new(struct cli *c)
{
	const char *bad = key_name_check(c->arg[1]);
	char path[PATH_MAX];
	char why[400];
	struct key_file k = {.servers = 0};
	int r;

	if (bad)
		return cli_usage(command_find("key"), "the name %s", bad);
	bad = c->node_key ? node_keys_read(c->node_key, &k) : NULL;
	if (bad)
		return cli_usage(command_find("key"), "--node-key: %s", bad);
	r = snprintf(path, sizeof(path), "%s%s", c->file ? c->file : c->arg[1],
		     c->file ? "" : ".key");
	if (!*path || (size_t)r >= sizeof(path))
		return cli_usage(command_find("key"), "--file: it is empty or too long");
	(void)snprintf(k.name, sizeof(k.name), "%s", c->arg[1]);
	r = pail_key_new(k.public, k.secret);
	if (r != PAIL_OK)
		return fail(c, CLI_FAILED, "this libzmq was built without CURVE");
	r = key_file_write(path, &k, why, sizeof(why));
	key_file_forget(&k);
	return r < 0 ? fail(c, CLI_FAILED, why) : new_show(c, &k, path);
}

/* ---- show ---- */

static int key_show(struct cli *c)
{
	struct key_file k;
	char why[400];
	struct buf b;

	if (c->file || c->node_key)
		return cli_usage(command_find("key"), "show takes a file and nothing else");
	if (pair_read(c->arg[1], &k, why, sizeof(why)) < 0)
		return fail(c, CLI_CONFIG, why);
	key_file_forget(&k);
	buf_init(&b);
	if (c->output == OUTPUT_JSON) {
		field(&b, "{", "name", k.name);
		field(&b, ",", "public", k.public);
		buf_text(&b, ",\"servers\":[");
		for (unsigned i = 0; i < k.servers; i++) {
			buf_text(&b, i ? "," : "");
			json_string(&b, (struct span){k.server[i], KEY_TEXT});
		}
		buf_text(&b, "]}\n");
	} else if (c->output == OUTPUT_RAW) {
		buf_fmt(&b, "%s %s\n", k.name, k.public);
	} else {
		buf_fmt(&b, "name    %s\npublic  %s\n", k.name, k.public);
		for (unsigned i = 0; i < k.servers; i++)
			buf_fmt(&b, "server  %s\n", k.server[i]);
	}
	return cli_buf_out(&b);
}

int run_key(struct cli *c)
{
	if (!strcmp(c->arg[0], "new"))
		return key_new(c);
	if (!strcmp(c->arg[0], "show"))
		return key_show(c);
	return cli_usage(command_find("key"), "new or show?");
}

/* ---- whoami ---- */

static void text_add(struct buf *b, struct pail_value v)
{
	struct pail_bytes t = pail_value_bytes(v);

	if (t.data)
		(void)cli_text(b, t, SIZE_MAX);
	else
		buf_text(b, "-");
}

static void json_add(struct buf *b, const char *before, struct pail_value v)
{
	size_t n = pail_value_json(v, NULL, 0);
	char *p;

	buf_text(b, before);
	if (pail_value_type(v) == PAIL_VALUE_NONE) {
		buf_text(b, "null");
		return;
	}
	p = buf_room(b, n + 1);
	if (p)
		b->len += pail_value_json(v, p, n + 1);
}

static void rights_add(struct buf *b, struct pail_value rights, const char *before)
{
	for (size_t i = 0; i < pail_value_count(rights); i++) {
		buf_text(b, before);
		text_add(b, pail_value_item(rights, i));
		buf_text(b, "\n");
	}
}

int run_whoami(struct cli *c)
{
	struct pail_result *r;
	struct pail_value hello, client, rights;
	struct buf b;
	int e = cli_ask(c, PAIL_HELLO, &r);

	if (e != CLI_OK)
		return e;
	hello = pail_result_value(r);
	client = pail_value_field(hello, "client");
	rights = pail_value_field(hello, "rights");
	buf_init(&b);
	if (c->output == OUTPUT_JSON) {
		json_add(&b, "{\"node\":", pail_value_field(hello, "node"));
		json_add(&b, ",\"client\":", client);
		json_add(&b, ",\"rights\":", rights);
		buf_text(&b, "}\n");
	} else if (c->output == OUTPUT_RAW) {
		text_add(&b, client);
		buf_text(&b, "\n");
		rights_add(&b, rights, "");
	} else {
		buf_text(&b, "node    ");
		text_add(&b, pail_value_field(hello, "node"));
		buf_text(&b, "\nclient  ");
		text_add(&b, client);
		buf_text(&b, "\n");
		rights_add(&b, rights, "right   ");
		if (pail_value_type(client) == PAIL_VALUE_NONE)
			buf_text(&b, "It asks for no keys: all that reach it may everything.\n");
		else if (!pail_value_count(rights))
			buf_text(&b, "right   none\n");
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}
