/* The commands on data, and those that ask the node where it is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/json.h"

#define STDIN_MAX (256u << 20) /* more is no value of any node */

/* ---- shared ---- */

bool cli_colour(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

bool cli_write(const void *data, size_t n)
{
	const char *p = data;

	while (n) {
		ssize_t k = cli_interrupted() ? -1 : write(STDOUT_FILENO, p, n);

		if (cli_interrupted())
			return false; /* whoever did that knows why */
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0) {
			(void)fprintf(stderr, "pail: write to stdout: %s\n", strerror(errno));
			return false;
		}
		p += k;
		n -= (size_t)k;
	}
	return true;
}

int cli_buf_out(struct buf *b)
{
	bool ok = !b->failed && cli_write(b->data, b->len);

	buf_fini(b);
	return ok ? CLI_OK : CLI_FAILED;
}

int cli_fail(const struct cli *c, int status, const char *why)
{
	const char *name = pail_status_name(status);
	struct buf b;

	buf_init(&b);
	if (c->output == OUTPUT_JSON) {
		buf_fmt(&b, "{\"error\":\"%s\",\"text\":", name);
		json_string(&b, (struct span){why, strlen(why)});
		buf_text(&b, "}\n");
		(void)fwrite(b.data, 1, b.len, stderr);
	} else {
		(void)fprintf(stderr, "pail: %s: %s\n", name, why);
	}
	buf_fini(&b);
	switch (status) {
	case PAIL_NOT_FOUND:
	case PAIL_NO_BUCKET:
	case PAIL_NO_FUNCTION:
		return CLI_NOT_FOUND;
	case PAIL_UNREACHABLE:
	case PAIL_NODE_DOWN:
		return CLI_UNREACHABLE;
	case PAIL_TIMEOUT:
	case PAIL_INTERNAL:
	case PAIL_CLOSED:
		return CLI_UNKNOWN;
	case PAIL_CONFLICT:
		return CLI_CONFLICT;
	default:
		return CLI_FAILED;
	}
}

/* {"name":value} or the words for people. */
static int say(const struct cli *c, const char *name, const char *json_value, const char *words)
{
	struct buf b;

	buf_init(&b);
	if (c->output == OUTPUT_JSON)
		buf_fmt(&b, "{\"%s\":%s}\n", name, json_value);
	else
		buf_fmt(&b, "%s\n", c->output == OUTPUT_RAW ? json_value : words);
	return cli_buf_out(&b);
}

static int say_bool(const struct cli *c, const char *name, bool yes, const char *if_yes,
		    const char *if_no)
{
	return say(c, name, yes ? "true" : "false", yes ? if_yes : if_no);
}

static int say_number(const struct cli *c, const char *name, uint64_t n, const char *before)
{
	char number[32];
	char words[80];

	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	(void)snprintf(words, sizeof(words), "%s%s", before, number);
	return say(c, name, number, words);
}

/* ---- commands ---- */

int run_create(struct cli *c)
{
	struct pail_result *r;
	int e;

	c->q.bucket = c->bytes[0];
	e = cli_ask(c, PAIL_CREATE, &r);
	if (e == CLI_OK)
		e = say_bool(c, "created", r->yes, "created", "it existed already");
	pail_result_free(&r);
	return e;
}

int run_drop(struct cli *c)
{
	struct pail_result *r;
	int e;

	c->q.bucket = c->bytes[0];
	e = cli_ask(c, PAIL_DROP, &r);
	if (e == CLI_OK)
		e = say_bool(c, "dropped", r->yes, "dropped", "there was none");
	if (e == CLI_OK && !r->yes)
		e = CLI_NOT_FOUND;
	pail_result_free(&r);
	return e;
}

static bool read_stdin(struct buf *b)
{
	for (;;) {
		char *p = buf_room(b, 65536);
		ssize_t n;

		if (!p || b->len > STDIN_MAX)
			return false;
		n = read(STDIN_FILENO, p, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			return true;
		b->len += (size_t)n;
	}
}

bool cli_stdin(struct buf *b, const char *what)
{
	if (read_stdin(b))
		return true;
	(void)fprintf(stderr, "pail: read the %s from stdin: %s\n", what,
		      b->len > STDIN_MAX ? "it is too large for any node" : strerror(errno));
	return false;
}

int run_put(struct cli *c)
{
	struct pail_result *r = NULL;
	struct buf in;
	int e;

	if (c->args == 2 && c->session)
		return cli_usage(command_find("put"), "in a shell the value must be given");
	buf_init(&in);
	if (c->args == 2 && !cli_stdin(&in, "value")) {
		buf_fini(&in);
		return CLI_FAILED;
	}
	c->q.bucket = c->bytes[0];
	c->q.key = c->bytes[1];
	if (c->args == 3)
		c->q.value = c->bytes[2];
	else
		c->q.value = (struct pail_bytes){in.data, in.len};
	e = cli_ask(c, PAIL_PUT, &r);
	if (e == CLI_OK)
		e = say_number(c, "version", r->number, "version ");
	pail_result_free(&r);
	buf_fini(&in);
	return e;
}

int run_get(struct cli *c)
{
	struct pail_result *r;
	struct buf b;
	int e;

	c->q.bucket = c->bytes[0];
	c->q.key = c->bytes[1];
	e = cli_ask(c, PAIL_GET, &r);
	if (e != CLI_OK)
		return e;
	buf_init(&b);
	if (c->output == OUTPUT_JSON) {
		buf_text(&b, "{");
		cli_json_field(&b, "value", r->value);
		buf_fmt(&b, ",\"version\":%llu}\n", (unsigned long long)r->version);
	} else {
		buf_add(&b, r->value.data, r->value.size);
		if (c->session || (c->output != OUTPUT_RAW && isatty(STDOUT_FILENO)))
			buf_text(&b, "\n");
	}
	pail_result_free(&r);
	return cli_buf_out(&b);
}

int run_head(struct cli *c)
{
	struct pail_result *r;
	struct buf b;
	char left[32] = "";
	int e;

	c->q.bucket = c->bytes[0];
	c->q.key = c->bytes[1];
	e = cli_ask(c, PAIL_HEAD, &r);
	if (e != CLI_OK)
		return e;
	if (r->ttl_ms)
		(void)snprintf(left, sizeof(left), "%llu", (unsigned long long)r->ttl_ms);
	buf_init(&b);
	if (c->output == OUTPUT_JSON)
		buf_fmt(&b, "{\"size\":%llu,\"version\":%llu,\"ttl\":%s}\n",
			(unsigned long long)r->size, (unsigned long long)r->version,
			*left ? left : "null");
	else if (c->output == OUTPUT_RAW)
		buf_fmt(&b, "%llu %llu %s\n", (unsigned long long)r->size,
			(unsigned long long)r->version, *left ? left : "-");
	else
		buf_fmt(&b, "%llu bytes, version %llu, lives %s%s\n", (unsigned long long)r->size,
			(unsigned long long)r->version, *left ? left : "for ever",
			*left ? " ms more" : "");
	pail_result_free(&r);
	return cli_buf_out(&b);
}

int run_touch(struct cli *c)
{
	struct pail_result *r;
	int e;

	c->q.bucket = c->bytes[0];
	c->q.key = c->bytes[1];
	e = cli_ask(c, PAIL_TOUCH, &r);
	if (e == CLI_OK)
		e = say_number(c, "version", r->number, "version ");
	pail_result_free(&r);
	return e;
}

int run_delete(struct cli *c)
{
	struct pail_result *r;
	int e;

	c->q.bucket = c->bytes[0];
	c->q.key = c->bytes[1];
	e = cli_ask(c, PAIL_DELETE, &r);
	if (e == CLI_OK)
		e = say_bool(c, "deleted", r->yes, "deleted", "there was no such key");
	if (e == CLI_OK && !r->yes)
		e = CLI_NOT_FOUND;
	pail_result_free(&r);
	return e;
}

int run_count(struct cli *c)
{
	struct pail_result *r;
	int e;

	c->q.bucket = c->bytes[0];
	e = cli_ask(c, PAIL_COUNT, &r);
	if (e == CLI_OK)
		e = say_number(c, "count", r->number, "");
	pail_result_free(&r);
	return e;
}

int run_ping(struct cli *c)
{
	struct pail_result *r;
	int e = cli_ask(c, PAIL_PING, &r);

	if (e == CLI_OK)
		e = say(c, "ping", "\"pong\"", "pong");
	pail_result_free(&r);
	return e;
}

/* ---- maps ---- */

static void indent(struct buf *b, struct pail_value v, int depth);

/* What a map or a list holds, an item a line; a map within another begins on a line of its own. */
static void indent_items(struct buf *b, struct pail_value v, int depth)
{
	bool is_map = pail_value_type(v) == PAIL_VALUE_MAP;
	int inside = is_map ? depth + 1 : depth;
	size_t n = pail_value_count(v);

	if (is_map && depth && n)
		buf_fmt(b, "\n%*s", 2 * depth, "");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_fmt(b, "\n%*s", 2 * (inside - 1), "");
		if (is_map) {
			(void)cli_text(b, pail_value_bytes(pail_value_name(v, i)), SIZE_MAX);
			buf_text(b, ": ");
		}
		indent(b, pail_value_item(v, i), inside);
	}
	if (!n)
		buf_text(b, "none");
}

static void indent(struct buf *b, struct pail_value v, int depth)
{
	char text[32];

	switch (pail_value_type(v)) {
	case PAIL_VALUE_MAP:
	case PAIL_VALUE_LIST:
		indent_items(b, v, depth);
		break;
	case PAIL_VALUE_BYTES:
		(void)cli_text(b, pail_value_bytes(v), SIZE_MAX);
		break;
	default:
		(void)pail_value_json(v, text, sizeof(text));
		buf_text(b, text);
		break;
	}
}

static int map(struct cli *c, enum pail_method m)
{
	struct pail_result *r;
	struct buf b;
	int e = cli_ask(c, m, &r);

	if (e != CLI_OK)
		return e;
	buf_init(&b);
	if (c->output == OUTPUT_JSON || c->output == OUTPUT_RAW)
		buf_fmt(&b, "%s\n", r->json);
	else
		indent(&b, pail_result_value(r), 0), buf_text(&b, "\n");
	pail_result_free(&r);
	return cli_buf_out(&b);
}

int run_route(struct cli *c)
{
	c->q.bucket = c->bytes[0];
	return map(c, PAIL_ROUTE);
}
