/* Functions: their modules, their bucket, and what is said if they fail. */
#include "tests/unit/lib/function_calls.h"

/* ---- errors ---- */

static void errors_say_module_and_line(void)
{
	setup();
	FAILS("error('oh no')", "m:2: oh no");
	FAILS("\n\nerror('oh no')", "m:4: oh no");
	FAILS("local t = nil\nreturn t.x", "m:3: attempt to index a nil value (local 't')");
	FAILS("error('plain', 0)", "plain");
	FAILS("error({code = 1})", "(the error is a table value)");
	FAILS("error()", "(the error is a nil value)");
	FAILS("error(42)", "42");
	FAILS("error(1.5)", "1.5");
	FAILS("error(setmetatable({}, {__tostring = function() return 'no' end}))",
	      "(the error is a table value)");
	FAILS("error('a\\0b\\255\xc3\xa4', 0)", "a?b?\xc3\xa4");
	FAILS("return {} .. 'x'", "m:2: attempt to concatenate a table value");
	FAILS("return undefined()", "m:2: attempt to call a nil value (global 'undefined')");
	FAILS("string.rep()", "m:2: bad argument #1 to 'rep' (string expected, got no value)");
	EQ(FUNCTIONS_FAILED, call("error(('\xc3\xa4'):rep(5000), 0)", NONE));
	EQ(1022, strlen(got.reply.why)); /* cut, but not in the middle of a character */
}

static void load_errors_say_file_and_line(void)
{
	static const struct {
		const char *name;
		const char *source;
		const char *why;
	} all[] = {
		{"a",    "return {",						      "a.lua:1: unexpected symbol near <eof>"                     },
		{"a",    "\n\nx = = 1",						   "a.lua:3: unexpected symbol near '='"                       },
		{"a",    "\nerror('not today')",                                          "a.lua:2: not today"                                        },
		{"a",    "error({})",						     "a.lua: (the error is a table value)"                       },
		{"a",    "return 1",						      "a.lua:1: the module must return a table of its functions"  },
		{"a",    "",							      "a.lua:1: the module must return a table of its functions"  },
		{"a",    "require 'b'",						   "a.lua:1: there is no module 'b'"                           },
		{"a",    "require 'a'",						   "a.lua:1: module 'a' is required while it runs"             },
		{"a",    "\033Lua",						       "a.lua: it is compiled already: only text is taken"         },
		{"a",    "return load",						   "a.lua:1: the module must return a table of its functions"  },
		{"a",    "\n\n\nwhile true do end",
		 "a.lua:4: it ran longer than functions.time_ms, which is 20"                                                                         },
		{"a",    "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100) .. i end", NULL                                                        },
		{"node", "return {}",						     "node.lua: the module `node` is built in"                   },
		{"",     "return {}",						     ".lua: a module's name is 1 to 50 letters, digits and _"    },
		{"a-b",  "return {}",						     "a-b.lua: a module's name is 1 to 50 letters, digits and _" },
		{"../x", "return {}",						     "../x.lua: a module's name is 1 to 50 letters, digits and _"},
	};

	setup();
	config.time_ms = 20;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct functions_source s = {all[i].name, span_of(all[i].source)};
		struct functions *f = NULL;
		char why[FUNCTIONS_WHY_MAX];

		EQ(-EINVAL, functions_new(&config, &s, 1, &f, why, sizeof(why)));
		TRUE_(!f);
		if (all[i].why)
			check_text(all[i].source, all[i].why, why, __LINE__);
	}
	{
		struct functions_source two[] = {
			{"b", span_of("return {}")},
                        {"b", span_of("return {}")}
                };
		struct functions_source other[] = {
			{"a", span_of("return {x = require 'b'}")},
			{"b", span_of("\nlocal x = nil + 1")     }
                };
		struct functions *f = NULL;
		char why[FUNCTIONS_WHY_MAX];

		EQ(-EINVAL, functions_new(&config, two, 2, &f, why, sizeof(why)));
		check_text("two", "b.lua: there are two of it", why, __LINE__);
		EQ(-EINVAL, functions_new(&config, other, 2, &f, why, sizeof(why)));
		check_text("other", "b.lua:2: attempt to perform arithmetic on a nil value", why,
			   __LINE__);
	}
}

static void what_is_not_there(void)
{
	struct functions_source s = {"m", span_of("return {f = function() end, x = 1}")};
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	setup();
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	fixture_call(f, &bucket, "n", "f", NONE, &got);
	EQ(FUNCTIONS_NO_FUNCTION, got.status);
	check_text("n.f", "there is no module n", got.reply.why, __LINE__);
	fixture_call(f, &bucket, "m", "g", NONE, &got);
	EQ(FUNCTIONS_NO_FUNCTION, got.status);
	check_text("m.g", "the module m has no function \"g\"", got.reply.why, __LINE__);
	fixture_call(f, &bucket, "m", "x", NONE, &got);
	EQ(FUNCTIONS_NO_FUNCTION, got.status);
	fixture_call(f, &bucket, "node", "x", NONE, &got);
	EQ(FUNCTIONS_NO_FUNCTION, got.status);
	fixture_call(f, &bucket, "", "", NONE, &got);
	EQ(FUNCTIONS_NO_FUNCTION, got.status);
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	EQ(FUNCTIONS_OK, got.status);
	functions_free(&f);
	functions_free(&f);
}

/* ---- modules ---- */

static void list_add(void *arg, const char *module, const char *function)
{
	size_t *at = arg;

	*at += (size_t)sprintf(text + *at, "%s.%s ", module, function);
}

static void modules_are_listed(void)
{
	struct functions_source s[] = {
		{"zoo", span_of("return {b = print, a = function() end, c = 1, [1] = print}")},
		{"abc", span_of("return {}")						 },
		{"bar", span_of("return {x = function() end}")                               }
        };
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];
	size_t at = 0;

	setup();
	EQ(0, functions_new(&config, s, 3, &f, why, sizeof(why)));
	functions_list(f, list_add, &at);
	check_text("list", "bar.x node.name node.ping zoo.a zoo.b ", text, __LINE__);
	functions_free(&f);
	EQ(0, functions_new(&config, NULL, 0, &f, why, sizeof(why)));
	at = 0;
	functions_list(f, list_add, &at);
	check_text("list", "node.name node.ping ", text, __LINE__);
	fixture_call(f, &bucket, "node", "name", NONE, &got);
	EQ(FUNCTIONS_OK, got.status);
	SAME(got.room, got.reply.n,
	     "\xc4\x08"
	     "foo@host");
	fixture_call(f, &bucket, "node", "ping", "\x91\x01", &got);
	SAME(got.room, got.reply.n, "\xc4\x04pong");
	functions_free(&f);
}

static void modules_require_each_other(void)
{
	struct functions_source s[] = {
		{"m",
		 span_of("local lib = require 'lib'\n"
			 "return {f = function() return {lib.twice(21), lib == require 'lib',\n"
			 "	require('m').me, require('node').name(), require 'node'.ping(),\n"
			 "	pcall(require, 'nothing')} end, me = 'm'}")  },
		{"lib",  span_of("local n = require 'deep'\nreturn {twice = function(x) return "
				"n.two * x end}")},
		{"deep", span_of("return {two = 2}")                    },
	};

	setup();
	EQ(FUNCTIONS_OK, call_of(s, 3, NONE));
	check_text(
		"require",
		"[42,true,b\"m\",b\"foo@host\",b\"pong\",false,b\"there is no module 'nothing'\"]",
		text, __LINE__);
}

static void circles_of_modules_are_refused(void)
{
	struct functions_source s[] = {
		{"a", span_of("require 'b'\nreturn {}")  },
		{"b", span_of("\nrequire 'a'\nreturn {}")}
        };
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	setup();
	EQ(-EINVAL, functions_new(&config, s, 2, &f, why, sizeof(why)));
	check_text("circle", "b.lua:2: module 'a' is required while it runs", why, __LINE__);
}

static void nothing_is_kept_between_calls(void)
{
	struct functions_source s = {"m",
				     span_of("local n = 0\nx = (x or 0) + 1\n"
					     "local M = {seen = 0}\n"
					     "function M.f(b)\n"
					     "	n = n + 1 M.seen = M.seen + 1 y = (y or 0) + 1\n"
					     "	_G.z = (z or 0) + 1\n"
					     "	_ENV.w = (w or 0) + 1\n"
					     "	local r = {n, M.seen, x, y, z, w}\n"
					     "	_ENV = {} _G = 1 print = nil\n"
					     "	return r\n"
					     "end\nreturn M")};
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];
	char first[FIXTURE_RESULT_BYTES / 1024];
	size_t n;

	setup();
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	if (got.status != FUNCTIONS_OK)
		check_text("keeps", "", got.reply.why, __LINE__);
	SAME(got.room, got.reply.n, "\x96\x01\x01\x01\x01\x01\x01");
	n = got.reply.n;
	memcpy(first, got.room, n);
	for (int i = 0; i < 1000; i++) {
		fixture_call(f, &bucket, "m", "f", NONE, &got);
		EQ(FUNCTIONS_OK, got.status);
		TRUE_(got.reply.n == n && !memcmp(got.room, first, n));
	}
	functions_free(&f);
}

/* ---- the bucket ---- */

static void a_bucket_reads_its_own_writes(void)
{
	setup();
	GIVES("return bucket.name", "b\"fruit\"");
	GIVES("return {bucket:get('a')}", "[]");
	GIVES("local v = bucket:put('a', 'x') local x, w = bucket:get('a') return {x, v == w}",
	      "[b\"x\",true]");
	GIVES("return {bucket:get('a')}", "[b\"x\",1]");
	GIVES("bucket:put('a', '') return bucket:get('a')", "b\"\"");
	GIVES("bucket:put('b', '1') bucket:put('c', '2') return bucket:count()", "3");
	GIVES("return {bucket:delete('b'), bucket:delete('b')}", "[true,false]");
	GIVES("return bucket:get('b')", "nil");
	GIVES("return bucket:exists()", "true");
	GIVES("return bucket:create()", "false");
}

static void what_failed_left_nothing(void)
{
	setup();
	GIVES("bucket:put('a', '1')", "nil");
	FAILS("bucket:put('a', '2') bucket:put('b', '2') error('no')", "m:2: no");
	GIVES("return {bucket:get('a'), (bucket:count())}", "[b\"1\",1]");
}

static void conditions(void)
{
	setup();
	GIVES("return {bucket:put('a', '1', {if_absent = true})}", "[1]");
	GIVES("local v, why, n = bucket:put('a', '2', {if_absent = true}) return {v == nil, why, "
	      "n}",
	      "[true,b\"conflict\",1]");
	GIVES("return {bucket:put('a', '2', {if_absent = false})}", "[2]");
	GIVES("return {bucket:put('a', '3', {if_version = 2})}", "[3]");
	GIVES("return {select(2, bucket:put('a', '4', {if_version = 2}))}", "[b\"conflict\",3]");
	GIVES("return {bucket:put('b', '4', {if_version = 0})}", "[4]");
	GIVES("return {select(2, bucket:delete('a', {if_version = 9}))}", "[b\"conflict\",3]");
	GIVES("return {bucket:delete('a', {if_version = 3})}", "[true]");
	GIVES("return {select(2, bucket:delete('a', {if_version = 3}))}", "[b\"conflict\",0]");
	FAILS("bucket:put('a', '', {if_version = 1, if_absent = true})",
	      "m:2: if_version and if_absent exclude each other");
	FAILS("bucket:put('a', '', {if_version = '1'})",
	      "m:2: if_version must be an integer, 0 at least");
	FAILS("bucket:put('a', '', {if_version = -1})",
	      "m:2: if_version must be an integer, 0 at least");
	FAILS("bucket:put('a', '', {if_absent = 1})", "m:2: if_absent must be true or false");
	FAILS("bucket:put('a', '', {iff = 1})", "m:2: there is no option 'iff' here");
	FAILS("bucket:put('a', '', {['ttl\\0x'] = 5})", "m:2: there is no option 'ttl' here");
	GIVES("return bucket['name\\0x'] == nil", "true");
	FAILS("bucket:put('a', '', {prefix = 'x'})", "m:2: there is no option 'prefix' here");
	FAILS("bucket:put('a', '', {1})", "m:2: there is no option '?' here");
	FAILS("bucket:put('a', '', 1)",
	      "m:2: bad argument #3 to 'put' (table expected, got number)");
}

static void lifetimes(void)
{
	setup();
	GIVES("bucket:put('a', '1', {ttl = 1000}) return bucket:get('a')", "b\"1\"");
	bucket.now_ms += 999;
	GIVES("return bucket:get('a')", "b\"1\"");
	bucket.now_ms += 1;
	GIVES("return bucket:get('a')", "nil");
	GIVES("return bucket:touch('a', {ttl = 5})", "nil");
	GIVES("bucket:put('a', '2', {ttl = 5.0}) return bucket:touch('a', {ttl = 100})", "3");
	bucket.now_ms += 50;
	GIVES("return {bucket:get('a')}", "[b\"2\",3]");
	GIVES("return bucket:touch('a')", "4");
	bucket.now_ms += 500;
	GIVES("return {bucket:get('a')}", "[b\"2\",4]");
	FAILS("bucket:put('a', '', {ttl = 0})", "m:2: ttl must be an integer, 1 at least");
	FAILS("bucket:put('a', '', {ttl = 1.5})", "m:2: ttl must be an integer, 1 at least");
	FAILS("bucket:put('a', '', {ttl = '5'})", "m:2: ttl must be an integer, 1 at least");
	FAILS("bucket:touch('a', {if_version = 1})", "m:2: there is no option 'if_version' here");
}

static void scans_of_a_bucket(void)
{
	setup();
	GIVES("for i = 1, 5 do bucket:put('k' .. i, 'v' .. i) end bucket:put('x', 'y')", "nil");
	GIVES("local r = {} for k, v, n in bucket:scan() do r[#r + 1] = k .. v .. n end return r",
	      "[b\"k1v11\",b\"k2v22\",b\"k3v33\",b\"k4v44\",b\"k5v55\",b\"xy6\"]");
	GIVES("local r = {} for k in bucket:scan{prefix = 'k', reverse = true} do r[#r + 1] = k "
	      "end return r",
	      "[b\"k5\",b\"k4\",b\"k3\",b\"k2\",b\"k1\"]");
	GIVES("local r = {} for k, v, n in bucket:scan{from = 'k2', to = 'k4', keys_only = true} "
	      "do\n"
	      "r[#r + 1] = k .. tostring(v) .. n end return r",
	      "[b\"k2nil2\",b\"k3nil3\"]");
	GIVES("local r = {} for k in bucket:scan{after = 'k4'} do r[#r + 1] = k end return r",
	      "[b\"k5\",b\"x\"]");
	/* it sees what is written ahead of it, and not what is gone */
	GIVES("local r = {} for k in bucket:scan{prefix = 'k'} do r[#r + 1] = k\n"
	      "if k == 'k1' then bucket:delete('k2') bucket:put('k10', '') bucket:put('k0', '') "
	      "end end return r",
	      "[b\"k1\",b\"k10\",b\"k3\",b\"k4\",b\"k5\"]");
	GIVES("for k in bucket:scan{prefix = 'nothing'} do error(k) end", "nil");
	FAILS("bucket:scan{limit = 3}", "m:2: there is no option 'limit' here");
	FAILS("bucket:scan{prefix = 1}", "m:2: prefix must be a string");
	FAILS("bucket:scan{reverse = 1}", "m:2: reverse must be true or false");
}

static void keys_and_values_are_strings(void)
{
	setup();
	FAILS("bucket:put(1, 'x')", "m:2: bad argument #1 to 'put' (string expected, got number)");
	FAILS("bucket:put('x', 1)", "m:2: bad argument #2 to 'put' (string expected, got number)");
	FAILS("bucket:get()", "m:2: bad argument #1 to 'get' (string expected, got no value)");
	FAILS("bucket.get('a')",
	      "m:2: bad argument #1 to 'get' (the bucket expected: call it as bucket:name(...))");
	REFUSES("bucket:get('')", NONE, FUNCTIONS_BAD_ARGUMENT,
		"m:2: bad_argument: the key is empty, it must be 1 to 480 bytes");
	REFUSES("bucket:put(('k'):rep(481), '')", NONE, FUNCTIONS_TOO_LARGE,
		"m:2: too_large: the key has 481 bytes, the limit is 480");
	GIVES("return bucket:put(('k'):rep(480), '\\0') ~= nil", "true");
	GIVES("return bucket:get('\\0\\1')", "nil");
	config.value_max = 100;
	GIVES("return bucket:put('v', ('v'):rep(100)) ~= nil", "true");
	FAILS("bucket:put('v', ('v'):rep(101))",
	      "m:2: a string of 101 bytes would be above limits.value, which is 100");
	FAILS("bucket.x = 1", "m:2: a bucket has no fields: use bucket:put(key, value)");
	GIVES("return bucket.x", "nil");
	GIVES("return bucket[1]", "nil");
}

static void errors_of_the_bucket_have_their_own_code(void)
{
	setup();
	bucket.there = false;
	REFUSES("bucket:put('a', '')", NONE, FUNCTIONS_OP,
		"m:2: no_bucket: there is no such bucket");
	EQ(FIXTURE_NO_BUCKET, got.reply.code);
	REFUSES("\nbucket:get('a')", NONE, FUNCTIONS_OP, "m:3: no_bucket: there is no such bucket");
	/* caught, and what the function raises then is its own */
	GIVES("return {pcall(bucket.get, bucket, 'a')}",
	      "[false,b\"no_bucket: there is no such bucket\"]");
	FAILS("pcall(bucket.get, bucket, 'a') error('mine')", "m:2: mine");
	FAILS("pcall(bucket.get, bucket, 'a') error('no_bucket: there is no such bUcket', 0)",
	      "no_bucket: there is no such bUcket");
	/* passed on as it is, it still says what it is */
	REFUSES("local ok, e = pcall(bucket.get, bucket, 'a') error(e, 0)", NONE, FUNCTIONS_OP,
		"no_bucket: there is no such bucket");
	GIVES("return {bucket:exists(), bucket:create(), bucket:create(), bucket:exists()}",
	      "[false,true,false,true]");
	GIVES("return bucket:put('a', 'b') > 0", "true");
	REFUSES("for i = 1, 5000 do bucket:put('k', '') end", NONE, FUNCTIONS_OP,
		"m:2: too_large: more than 4096 writes");
	EQ(FIXTURE_TOO_LARGE, got.reply.code);
	EQ(1, bucket.count);
}

static void a_code_is_not_left_to_the_next_call(void)
{
	struct functions_source s = {
		"m", span_of("return {f = function(b) pcall(b.get, b, 'a') end,\n"
			     "g = function() error('no_bucket: there is no such bucket', 0) end}")};
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	setup();
	bucket.there = false;
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	EQ(FUNCTIONS_OK, got.status);
	fixture_call(f, &bucket, "m", "g", NONE, &got);
	EQ(FUNCTIONS_FAILED, got.status);
	functions_free(&f);
}

/* ---- pail, the log, and the moment ---- */

static void what_pail_gives(void)
{
	setup();
	GIVES("return pail.node", "b\"foo@host\"");
	GIVES("return pail.now_ms() == 1700000000000 and math.type(pail.now_ms())", "b\"integer\"");
	GIVES("return {tostring(pail.null), type(pail.null), pail.null == pail.null}",
	      "[b\"null\",b\"userdata\",true]");
	GIVES("pail.log('one') print('two', 3, nil, true, 1.5, {}, print, bucket)", "nil");
	check_text("log", "m: one\nm: two\t3\tnil\ttrue\t1.5\ttable\tfunction\tbucket\n",
		   bucket.log, __LINE__);
	FAILS("pail.log(1)", "m:2: bad argument #1 to 'log' (string expected, got number)");
}

static void the_log_has_an_end(void)
{
	size_t lines = 0;

	setup();
	GIVES("for i = 1, 100 do print(i) end", "nil");
	for (const char *p = bucket.log; *p; p++)
		lines += *p == '\n';
	EQ(FUNCTIONS_LOG_LINES, lines);
	TRUE_(strstr(bucket.log, "m: 16\n") && !strstr(bucket.log, "m: 17\n"));
	GIVES("pail.log(('x'):rep(4000)) pail.log(('y'):rep(200)) pail.log('z')", "nil");
	EQ(4000 + 96 + 3 * 4, strlen(bucket.log));
	GIVES("print(('x'):rep(100000), 'y')", "nil");
	EQ(FUNCTIONS_LOG_BYTES + 4, strlen(bucket.log));
	FAILS("print('before') error('it failed')", "m:2: it failed");
	check_text("log", "m: before\n", bucket.log, __LINE__);
}

static void each_call_has_lines_of_the_log_anew(void)
{
	struct functions_source s = {"m", span_of("return {f = function() for i = 1, 16 do "
						  "pail.log(('x'):rep(256)) end end}")};
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	setup();
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	for (int i = 0; i < 3; i++) {
		fixture_call(f, &bucket, "m", "f", NONE, &got);
		EQ(FUNCTIONS_OK, got.status);
		EQ(16 * (256 + 4), strlen(bucket.log));
	}
	functions_free(&f);
}

static void chance_differs_from_call_to_call(void)
{
	struct functions_source s = {"m",
				     span_of("return {f = function() return math.random(0) end,\n"
					     "g = function() math.randomseed(42) return "
					     "{math.random(0), math.random(10),\n"
					     "math.random()} end}")};
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];
	char first[100];
	size_t n;

	setup();
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	n = got.reply.n;
	memcpy(first, got.room, n);
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	TRUE_(n != got.reply.n || memcmp(first, got.room, n) != 0);
	fixture_call(f, &bucket, "m", "g", NONE, &got);
	n = got.reply.n;
	memcpy(first, got.room, n);
	fixture_call(f, &bucket, "m", "g", NONE, &got);
	TRUE_(n == got.reply.n && memcmp(first, got.room, n) == 0);
	/* what one call has seeded is nothing to the next */
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	n = got.reply.n;
	memcpy(first, got.room, n);
	fixture_call(f, &bucket, "m", "g", NONE, &got);
	fixture_call(f, &bucket, "m", "f", NONE, &got);
	TRUE_(n != got.reply.n || memcmp(first, got.room, n) != 0);
	functions_free(&f);
	GIVES("local low, high, t = 100, 0, {} for i = 1, 10000 do local n = math.random(7, 12)\n"
	      "t[n] = true low = math.min(low, n) high = math.max(high, n) end\n"
	      "local c = 0 for _ in pairs(t) do c = c + 1 end return {low, high, c}",
	      "[7,12,6]");
	GIVES("for i = 1, 10000 do local x = math.random() if x < 0 or x >= 1 then error(x) end "
	      "end",
	      "nil");
	GIVES("return math.type(math.random(math.mininteger, math.maxinteger))", "b\"integer\"");
	FAILS("math.random(2, 1)", "m:2: bad argument #2 to 'random' (interval is empty)");
	FAILS("math.random(-1)", "m:2: bad argument #1 to 'random' (interval is empty)");
}

/* ---- limits, of which test_escapes.c has more ---- */

static void limits_are_told(void)
{
	setup();
	config.time_ms = 50;
	REFUSES("\nwhile true do end", NONE, FUNCTIONS_TOO_LONG,
		"m:3: it ran longer than functions.time_ms, which is 50");
	config.time_ms = 60000;
	config.memory_bytes = 512 << 20;
	REFUSES("local function f() return 1 + f() end\nreturn f()", NONE, FUNCTIONS_TOO_LONG,
		"m:2: its calls go too deep");
	REFUSES("local function f() return pcall(f) end\nreturn f()", NONE, FUNCTIONS_TOO_LONG,
		"m:2: its calls go too deep");
	config.memory_bytes = 1 << 20;
	REFUSES("local t = {} for i = 1, 1e9 do t[i] = {} end", NONE, FUNCTIONS_TOO_LONG,
		"m:2: it used more memory than functions.memory, which is 1048576 bytes");
	config.value_max = 100;
	REFUSES("local s = ('x'):rep(100)\nreturn #(s .. 'yyyyyyyyyy')", NONE, FUNCTIONS_TOO_LONG,
		"m:3: it made a string longer than limits.value, which is 100 bytes");
	GIVES("local s = ('x'):rep(50) return #(s .. s)", "100");
	config.value_max = 8 << 20;
	/* what is dropped on the way is no matter */
	GIVES("local t for i = 1, 2e5 do t = {('x'):rep(100) .. i} end return #t", "1");
}

static void the_next_call_is_as_good_as_new(void)
{
	struct functions_source s = {"m",
				     span_of("return {loop = function() while true do end end,\n"
					     "eat = function() local t = {} while true do t[#t + "
					     "1] = ('x'):rep(1000) .. #t end end,\n"
					     "f = function() return 5 end}")};
	struct functions_figures figures;
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	setup();
	config.time_ms = 20;
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	for (uint64_t i = 1; i <= 5; i++) {
		fixture_call(f, &bucket, "m", i % 2 ? "loop" : "eat", NONE, &got);
		EQ(FUNCTIONS_TOO_LONG, got.status);
		functions_figures(f, &figures);
		EQ(i, figures.renewed);
		EQ(0, figures.used_bytes); /* given back at once */
		for (int k = 0; k < 100; k++) {
			fixture_call(f, &bucket, "m", "f", NONE, &got);
			EQ(FUNCTIONS_OK, got.status);
			SAME(got.room, got.reply.n, "\x05");
		}
	}
	functions_free(&f);
}

/* What a call leaves behind is not the next one's to collect. */
static void a_large_call_burdens_no_other(void)
{
	struct functions_source s = {
		"m", span_of("return {large = function() local t = {} for i = 1, 5 do\n"
			     "t[i] = ('x'):rep(8000000) .. i end return #t end,\n"
			     "small = function() return #('x'):rep(1000) end}")};
	struct functions_figures figures;
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	setup();
	EQ(0, functions_new(&config, &s, 1, &f, why, sizeof(why)));
	for (int i = 0; i < 1000; i++)
		fixture_call(f, &bucket, "m", "small", NONE, &got);
	functions_figures(f, &figures);
	EQ(0, figures.renewed);
	TRUE_(figures.used_bytes < 1u << 20);
	for (uint64_t i = 1; i <= 3; i++) {
		fixture_call(f, &bucket, "m", "large", NONE, &got);
		EQ(FUNCTIONS_OK, got.status);
		functions_figures(f, &figures);
		TRUE_(figures.peak_bytes > 32u << 20);
		EQ(0, figures.used_bytes);
		EQ(i, figures.renewed);
	}
	functions_free(&f);
}

/* clang-format off */
UNIT_MAIN(T(errors_say_module_and_line), T(load_errors_say_file_and_line), T(what_is_not_there),
	  T(modules_are_listed), T(modules_require_each_other),
	  T(circles_of_modules_are_refused), T(nothing_is_kept_between_calls),
	  T(a_bucket_reads_its_own_writes), T(what_failed_left_nothing), T(conditions),
	  T(lifetimes), T(scans_of_a_bucket), T(keys_and_values_are_strings),
	  T(errors_of_the_bucket_have_their_own_code), T(a_code_is_not_left_to_the_next_call), T(what_pail_gives), T(the_log_has_an_end), T(each_call_has_lines_of_the_log_anew),
	  T(chance_differs_from_call_to_call), T(limits_are_told),
	  T(the_next_call_is_as_good_as_new), T(a_large_call_burdens_no_other))
/* clang-format on */
