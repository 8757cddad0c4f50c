/*
 * Lua at the sandbox: the bytes as a source as they are, or, if the first is odd, choices of a
 * generator that writes programs of what the sandbox knows, nested in each other.  What is left of
 * the bytes are arguments.  No program may crash it, hold it, take more memory than twice the
 * limit, or give a result that is no MessagePack.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "functions/functions.h"
#include "ipc/wire/msgpack.h"
#include "tests/fuzz/fuzz.h"

#define TIME_MS      10u
#define MEMORY       (4u << 20)
#define VALUE_MAX    (1u << 20)
#define HELD_MS      5000u /* under sanitizers, beside whatever else runs */
#define SOURCE_BYTES 8192u

/* ---- a bucket that knows one key ---- */

static enum functions_done ops_get(void *arg, struct span key, struct functions_item *ret,
				   struct functions_error *e)
{
	(void)arg;
	(void)e;
	(void)touch(key.p, key.n);
	ret->value = (struct span){"value", 5};
	ret->version = 7;
	return key.n % 2 ? FUNCTIONS_DONE : FUNCTIONS_NONE;
}

static enum functions_done ops_put(void *arg, struct span key, struct span value, uint64_t ttl_ms,
				   const struct functions_condition *c, struct functions_item *ret,
				   struct functions_error *e)
{
	(void)arg;
	(void)ttl_ms;
	(void)touch(key.p, key.n);
	(void)touch(value.p, value.n);
	ret->version = 8;
	if (c->if_version)
		return FUNCTIONS_CONFLICT;
	(void)snprintf(e->text, sizeof(e->text), "full: no room");
	e->code = 3;
	return key.n == 3 ? FUNCTIONS_FAILED_OP : FUNCTIONS_DONE;
}

static enum functions_done ops_touch(void *arg, struct span key, uint64_t ttl_ms,
				     struct functions_item *ret, struct functions_error *e)
{
	(void)ttl_ms;
	return ops_get(arg, key, ret, e);
}

static enum functions_done ops_del(void *arg, struct span key, const struct functions_condition *c,
				   struct functions_item *ret, struct functions_error *e)
{
	(void)c;
	return ops_get(arg, key, ret, e);
}

static enum functions_done ops_scan(void *arg, const struct functions_range *r,
				    struct functions_item *ret, struct functions_error *e)
{
	(void)arg;
	(void)e;
	(void)touch(r->after.p, r->after.n);
	(void)touch(r->prefix.p, r->prefix.n);
	ret->key = (struct span){"key", 3};
	ret->value = (struct span){"value", 5};
	return r->after.p ? FUNCTIONS_NONE : FUNCTIONS_DONE;
}

static enum functions_done ops_count(void *arg, uint64_t *ret, struct functions_error *e)
{
	(void)arg;
	(void)e;
	*ret = UINT64_MAX;
	return FUNCTIONS_DONE;
}

static enum functions_done ops_flag(void *arg, bool *ret, struct functions_error *e)
{
	(void)arg;
	(void)e;
	*ret = true;
	return FUNCTIONS_DONE;
}

static void ops_log(void *arg, const char *module, struct span line)
{
	(void)arg;
	(void)touch(module, strlen(module));
	(void)touch(line.p, line.n);
}

static const struct functions_ops ops = {ops_get,   ops_put,  ops_touch, ops_del, ops_scan,
					 ops_count, ops_flag, ops_flag,  ops_log};

/* ---- the generator ---- */

static const uint8_t *choice;
static const uint8_t *choice_end;
static char source[SOURCE_BYTES];
static size_t len;

static unsigned choose(unsigned n)
{
	return choice < choice_end ? *choice++ % n : 0;
}

static void add(const char *s)
{
	size_t n = strlen(s);

	if (len + n < sizeof(source) - 200) { /* what is open can still be closed */
		memcpy(source + len, s, n);
		len += n;
	}
}

static void finish(const char *s)
{
	memcpy(source + len, s, strlen(s));
	len += strlen(s);
}

#define PICK(list) list[choose(sizeof(list) / sizeof(list[0]))]

static void add_expression(unsigned depth);
static void add_block(unsigned depth);

static void add_value(void)
{
	static const char *const all[] = {"nil",
					  "true",
					  "0",
					  "1",
					  "-1",
					  "2^53",
					  "1/0",
					  "0/0",
					  "''",
					  "'a'",
					  "'abc'",
					  "'\\0'",
					  "'%d%s%q'",
					  "'10'",
					  "{}",
					  "{1,2,3}",
					  "a",
					  "b",
					  "c",
					  "bucket",
					  "...",
					  "print",
					  "_G",
					  "_ENV",
					  "string",
					  "table",
					  "math",
					  "pail",
					  "pail.null",
					  "1<<62",
					  "math.mininteger",
					  "math.maxinteger",
					  "('x'):rep(1000)",
					  "('ab'):rep(100000)",
					  "'[%w]*.-%b()%f[a]'",
					  "'(.*)%1'",
					  "'\\u{20ac}\\xff'",
					  "{a=1,b={}}",
					  "function(...) return ... end",
					  "next",
					  "string.rep",
					  "pcall",
					  "error",
					  "getmetatable('')",
					  "{ttl=5}",
					  "{if_version=1}",
					  "{prefix='k',reverse=true}",
					  "'s4i16zBj!'",
					  "1.5",
					  "-0.0"};

	add(PICK(all));
}

static const char *const functions[] = {
	"string.byte",     "string.char",    "string.find",  "string.format", "string.gmatch",
	"string.gsub",     "string.len",     "string.lower", "string.match",  "string.pack",
	"string.rep",      "string.reverse", "string.sub",   "string.unpack", "string.upper",
	"string.packsize", "table.concat",   "table.insert", "table.move",    "table.pack",
	"table.remove",    "table.sort",     "table.unpack", "utf8.char",     "utf8.codepoint",
	"utf8.codes",      "utf8.len",       "utf8.offset",  "math.abs",      "math.random",
	"math.randomseed", "math.fmod",      "math.max",     "assert",        "error",
	"getmetatable",    "ipairs",         "next",         "pairs",         "pcall",
	"print",           "rawequal",       "rawget",       "rawlen",        "rawset",
	"select",          "setmetatable",   "tonumber",     "tostring",      "type",
	"require",         "pail.log",       "pail.now_ms",  "bucket.get",    "bucket.put",
	"bucket.touch",    "bucket.delete",  "bucket.scan",  "bucket.count",  "bucket.create"};

static void add_call(unsigned depth)
{
	const char *f = PICK(functions);
	unsigned n = choose(5);

	add(f);
	add("(");
	if (!strncmp(f, "bucket", 6))
		add(n ? "bucket," : "bucket");
	while (n--) {
		add_expression(depth + 1);
		if (n)
			add(",");
	}
	add(")");
}

static void add_function(unsigned depth)
{
	add("function(x,...) ");
	add_block(depth + 1);
	add(" return x end");
}

static void add_metatable(unsigned depth)
{
	static const char *const events[] = {"__index",    "__newindex", "__call",   "__eq",
					     "__lt",       "__len",      "__concat", "__add",
					     "__close",    "__pairs",    "__gc",     "__mode",
					     "__tostring", "__unm",      "__name"};
	unsigned n = choose(4);

	add("setmetatable({},{");
	while (n--) {
		add(PICK(events));
		add("=");
		if (choose(2))
			add_function(depth);
		else
			add_value();
		add(",");
	}
	add("})");
}

static void add_expression(unsigned depth)
{
	static const char *const operators[] = {"+", "-",  "*",  "/",   "//", "%", "^", "..", "==",
						"<", "<=", "~=", "and", "or", "&", "|", "<<", "~"};

	if (depth > 5 || len > sizeof(source) - 1000) {
		add_value();
		return;
	}
	switch (choose(10)) {
	case 0:
		add_call(depth);
		break;
	case 1:
		add("(");
		add_function(depth);
		add(")");
		break;
	case 2:
		add_metatable(depth);
		break;
	case 3:
		add("(");
		add_expression(depth + 1);
		add(" ");
		add(PICK(operators));
		add(" ");
		add_expression(depth + 1);
		add(")");
		break;
	case 4:
		add("(");
		add_expression(depth + 1);
		add(")[");
		add_expression(depth + 1);
		add("]");
		break;
	case 5:
		add("#");
		add_value();
		break;
	default:
		add_value();
	}
}

static void add_statement(unsigned depth)
{
	static const char *const names[] = {"a",    "b",    "c",     "c.x",
					    "a[b]", "_G.d", "print", "string.rep"};
	static const char *const heads[] = {"while true do ",
					    "for i = 1, 1e9 do ",
					    "for k, v in pairs(a) do ",
					    "for w in ('a b c'):gmatch('%a') do ",
					    "for k in bucket:scan() do ",
					    "do local z <close> = nil ",
					    "if a then ",
					    "for i = -5, 5 do "};

	switch (depth > 4 || len > sizeof(source) - 1000 ? 0 : choose(6)) {
	case 0:
	case 1:
		add("pcall(");
		add(PICK(functions));
		add(",");
		add_expression(depth + 1);
		add(",");
		add_expression(depth + 1);
		add(");");
		break;
	case 2:
		add(PICK(names));
		add(" = ");
		add_expression(depth + 1);
		add(";");
		break;
	case 3:
		add(PICK(heads));
		add_block(depth + 1);
		finish(" end ");
		break;
	case 4:
		add("pcall(");
		add_function(depth);
		add(");");
		break;
	default:
		add_call(depth + 1);
		add(";");
	}
}

static void add_block(unsigned depth)
{
	unsigned n = choose(4);

	while (n-- && len < sizeof(source) - 1000)
		add_statement(depth);
}

/* ---- */

static void run(struct functions *f, const char *args)
{
	static char room[65536];
	struct functions_reply r = {.result = room, .result_size = sizeof(room)};
	struct functions_request q = {.module = span_of("m"),
				      .function = span_of("f"),
				      .bucket = span_of("b"),
				      .args = args,
				      .now_ms = 1,
				      .ops = &ops};
	struct functions_figures figures;
	uint64_t start = clock_ms();
	enum functions_status status = functions_call(f, &q, &r);
	const char *end;

	(void)touch(r.why, strlen(r.why));
	if (status == FUNCTIONS_OK && (!read_whole(room, room + r.n, &end) || end != room + r.n))
		abort();
	functions_figures(f, &figures);
	if (clock_ms() - start > HELD_MS || figures.peak_bytes > 2 * MEMORY + (2u << 20))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct functions_config config = {
		.node = "n", .time_ms = TIME_MS, .memory_bytes = MEMORY, .value_max = VALUE_MAX};
	struct functions_source s = {
		"m", {source, 0}
        };
	struct functions *f = NULL;
	const char *args = "\x90";
	const char *end;
	char why[FUNCTIONS_WHY_MAX];

	if (!size)
		return 0;
	if (data[0] % 2) {
		choice = data + 1;
		choice_end = data + size;
		len = 0;
		add("local a, b, c = {}, 'b', {x = 1} return {f = function(bucket, ...) ");
		add_block(0);
		finish(" do return ");
		add_expression(1);
		finish(" end end}");
		s.text.n = len;
		if (choice < choice_end && (*choice >= 0x90 && *choice < 0xa0) &&
		    read_whole((const char *)choice, (const char *)data + size, &end))
			args = (const char *)choice;
	} else {
		s.text = (struct span){(const char *)data + 1, size - 1};
	}
	if (functions_new(&config, &s, 1, &f, why, sizeof(why)) < 0) {
		(void)touch(why, strlen(why));
		return 0;
	}
	for (int i = 0; i < 2; i++)
		run(f, args);
	functions_free(&f);
	return 0;
}
