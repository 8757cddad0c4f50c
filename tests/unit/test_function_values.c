/* What functions are given and give, and what there is of Lua. */
#include "tests/unit/lib/function_calls.h"

/* ---- results ---- */

static void results_of_every_type(void)
{
	setup();
	GIVES("", "nil");
	GIVES("return nil", "nil");
	GIVES("return pail.null", "nil");
	GIVES("return true, 2", "true");
	GIVES("return false", "false");
	GIVES("return 'a\\0\\255'", "b\"a\\x00\\xff\"");
	GIVES("return ''", "b\"\"");
	GIVES("return ('x'):rep(256) == ('x'):rep(255) .. 'x'", "true");
	GIVES("return 1.0", "1f");
	GIVES("return 0/0 ~= 0/0", "true");
	GIVES("return 1/0", "inff");
	GIVES("return -0.0", "-0f");
	GIVES("return {}", "[]");
	GIVES("return {1, 'a', {2.5}}", "[1,b\"a\",[2.5f]]");
	GIVES("return {pail.null, 1}", "[nil,1]");
	GIVES("return {[1.0] = 5, [2] = 6}", "[5,6]");
	GIVES("return {a = 1}", "{\"a\":1}");
	GIVES("return {[''] = {}}", "{\"\":[]}");
	GIVES("return {['\xc3\xa4'] = 'x'}", "{\"\\xc3\\xa4\":b\"x\"}");
	GIVES("local t = {a = 1, b = 2} t.a = nil return t", "{\"b\":2}");
	GIVES("local t = {} for i = 20, 1, -1 do t[i] = i end return t",
	      "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]");
	/* NaN keeps its bits */
	EQ(FUNCTIONS_OK, call("return 0/0", NONE));
	EQ(9, got.reply.n);
	EQ(0x7f, got.room[1] & 0x7f);
}

static void integers_of_every_width(void)
{
	static const struct {
		const char *lua;
		const char *bytes;
		size_t n;
	} all[] = {
		{"0",               "\x00",				 1},
		{"127",             "\x7f",				 1},
		{"128",             "\xcc\x80",                             2},
		{"255",             "\xcc\xff",                             2},
		{"256",             "\xcd\x01\x00",                         3},
		{"65535",           "\xcd\xff\xff",                         3},
		{"65536",           "\xce\x00\x01\x00\x00",                 5},
		{"0xffffffff",      "\xce\xff\xff\xff\xff",                 5},
		{"0x100000000",     "\xcf\x00\x00\x00\x01\x00\x00\x00\x00", 9},
		{"math.maxinteger", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9},
		{"-1",              "\xff",				 1},
		{"-32",             "\xe0",				 1},
		{"-33",             "\xd0\xdf",                             2},
		{"-128",            "\xd0\x80",                             2},
		{"-129",            "\xd1\xff\x7f",                         3},
		{"-32768",          "\xd1\x80\x00",                         3},
		{"-32769",          "\xd2\xff\xff\x7f\xff",                 5},
		{"-2147483648",     "\xd2\x80\x00\x00\x00",                 5},
		{"-2147483649",     "\xd3\xff\xff\xff\xff\x7f\xff\xff\xff", 9},
		{"math.mininteger", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9},
	};

	setup();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char body[100];
		char args[12] = "\x91";

		(void)snprintf(body, sizeof(body), "return %s", all[i].lua);
		EQ(FUNCTIONS_OK, call(body, NONE));
		EQ(all[i].n, got.reply.n);
		TRUE_(!memcmp(got.room, all[i].bytes, all[i].n));
		/* and as an argument */
		memcpy(args + 1, all[i].bytes, all[i].n);
		(void)snprintf(body, sizeof(body), "return ... == %s and math.type(...)",
			       all[i].lua);
		TAKES(body, args, "b\"integer\"");
	}
}

/* Entries of a shown map, by their colons. */
static size_t entries(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += *s == ':';
	return n;
}

static void lengths_around_the_forms_heads(void)
{
	static const size_t lengths[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536};
	char body[200];

	setup();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t n = lengths[i];

		(void)snprintf(body, sizeof(body), "return ('x'):rep(%zu)", n);
		EQ(FUNCTIONS_OK, call(body, NONE));
		EQ(n + 3, strlen(text));
		EQ(n + (n < 256 ? 2 : n < 65536 ? 3 : 5), got.reply.n);
		(void)snprintf(body, sizeof(body), "return {[('x'):rep(%zu)] = 1}", n);
		EQ(FUNCTIONS_OK, call(body, NONE));
		EQ(n + 6, strlen(text));
		(void)snprintf(body, sizeof(body),
			       "local t = {} for i = 1, %zu do t[i] = true end return t", n);
		EQ(FUNCTIONS_OK, call(body, NONE));
		EQ(n ? 5 * n + 1 : 2, strlen(text));
		(void)snprintf(body, sizeof(body),
			       "local t = {} for i = 1, %zu do t['k' .. i] = true end return t", n);
		EQ(FUNCTIONS_OK, call(body, NONE));
		EQ(n, entries(text));
	}
}

static void what_a_result_cannot_hold(void)
{
	setup();
	FAILS("return print", "a result cannot hold a function");
	FAILS("return bucket", "a result cannot hold userdata");
	FAILS("return {bucket}", "a result cannot hold userdata");
	FAILS("return {1, nil, 3, [5] = 1}",
	      "a result cannot hold a table with gaps: its keys are not 1 to n");
	FAILS("return {[0] = 1}",
	      "a result cannot hold a table with keys that are neither strings nor 1 to n");
	FAILS("return {[1.5] = 1}",
	      "a result cannot hold a table with keys that are neither strings nor 1 to n");
	FAILS("return {[true] = 1}",
	      "a result cannot hold a table with keys that are neither strings nor 1 to n");
	FAILS("return {1, a = 2}",
	      "a result cannot hold a table with both strings and numbers as keys");
	FAILS("return {['\\255'] = 1}",
	      "a result cannot hold a table with a key that is not UTF-8");
	FAILS("return {['\\xed\\xa0\\x80'] = 1}",
	      "a result cannot hold a table with a key that is not UTF-8");
	FAILS("local t = {} t.t = t return t",
	      "a result cannot have more than 32 tables within each other");
	FAILS("local t = 1 for i = 1, 33 do t = {t} end return t",
	      "a result cannot have more than 32 tables within each other");
	GIVES("local t = 1 for i = 1, 32 do t = {t} end return t",
	      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	REFUSES("return ('x'):rep(1 << 20)", NONE, FUNCTIONS_TOO_LARGE,
		"the result is larger than 1048576 bytes");
	EQ(FUNCTIONS_OK, call("return ('x'):rep((1 << 20) - 5)", NONE));
	EQ(1u << 20, got.reply.n);
	/* a table that is everywhere is sent everywhere */
	REFUSES("local t = {1} for i = 1, 24 do t = {t, t} end return t", NONE, FUNCTIONS_TOO_LARGE,
		"the result is larger than 1048576 bytes");
}

static void results_are_read_raw(void)
{
	setup();
	GIVES("return setmetatable({}, {__index = {1, 2}, __len = function() return 2 end})", "[]");
	GIVES("return setmetatable({a = 1}, {__pairs = function() error('no') end})", "{\"a\":1}");
	GIVES("return setmetatable({3}, {__tostring = function() return 'x' end})", "[3]");
}

/* ---- arguments ---- */

static void arguments_of_every_type(void)
{
	setup();
	TAKES("return select('#', ...)", NONE, "0");
	TAKES("return {...}", "\x93\xc3\x05\xa1x", "[true,5,b\"x\"]");
	TAKES("local a, b = ... return a == nil and b == 1", "\x92\xc0\x01", "true");
	TAKES("return (...)[1] == pail.null", "\x91\x91\xc0", "true");
	TAKES("return (...).a == pail.null",
	      "\x91\x81\xa1"
	      "a\xc0",
	      "true");
	TAKES("return ...", "\x91\x92\xc0\x81\xa1k\xc0", "[nil,{\"k\":nil}]");
	TAKES("return ...", "\x91\xca\x3f\x80\x00\x00", "1f");
	TAKES("return ...", "\x91\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", "1.5f");
	TAKES("return ...", "\x91\xc4\x02\x00\xff", "b\"\\x00\\xff\"");
	TAKES("return ...", "\x91\xd9\x01z", "b\"z\"");
	TAKES("return (...)[7] .. (...)[-1]",
	      "\x91\x82\x07\xa1"
	      "a\xff\xa1"
	      "b",
	      "b\"ab\"");
	TAKES("return ...", "\x91\x81\xc4\x01k\x01", "{\"k\":1}");
	TAKES("return ...", "\x91\x80", "[]");
	TAKES("return ...", "\x91\xdc\x00\x02\x01\x02", "[1,2]");
	TAKES("return ...", "\x91\xdd\x00\x00\x00\x01\x07", "[7]");
	TAKES("return ...", "\x91\xde\x00\x01\xa1k\x07", "{\"k\":7}");
	TAKES("return ...", "\x91\xdf\x00\x00\x00\x01\xa1k\x07", "{\"k\":7}");
	TAKES("return ...", "\xdc\x00\x01\x05", "5");
}

static void arguments_that_are_none(void)
{
	char deep[80];

	setup();
	REFUSES("", "\x91\xcf\x80\x00\x00\x00\x00\x00\x00\x00", FUNCTIONS_BAD_ARGUMENT,
		"args: an integer is above 2^63-1");
	REFUSES("", "\x91\xd4\x01\x02", FUNCTIONS_BAD_ARGUMENT,
		"args: MessagePack's extension types are not for functions");
	REFUSES("", "\x91\xc7\x01\x02\x03", FUNCTIONS_BAD_ARGUMENT,
		"args: MessagePack's extension types are not for functions");
	REFUSES("", "\x91\x81\xc0\x01", FUNCTIONS_BAD_ARGUMENT,
		"args: a map's keys must be strings or integers");
	REFUSES("", "\x91\x81\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\x01", FUNCTIONS_BAD_ARGUMENT,
		"args: a map's keys must be strings or integers");
	REFUSES("", "\x91\x81\xc3\x01", FUNCTIONS_BAD_ARGUMENT,
		"args: a map's keys must be strings or integers");
	REFUSES("", "\x91\x81\x90\x01", FUNCTIONS_BAD_ARGUMENT,
		"args: a map's keys must be strings or integers");
	memset(deep, 0x91, sizeof(deep));
	deep[33] = 1;
	EQ(FUNCTIONS_OK, call("return 1", deep));
	deep[33] = (char)0x91;
	deep[34] = 1;
	REFUSES("", deep, FUNCTIONS_BAD_ARGUMENT,
		"args: more than 32 arrays and maps within each other");
	{
		char many[3 + 251] = "\xdc\x00\xfa";

		EQ(FUNCTIONS_OK, call("return select('#', ...)", many));
		check_text("many", "250", text, __LINE__);
		many[2] = (char)0xfb;
		REFUSES("", many, FUNCTIONS_BAD_ARGUMENT, "args: 251 of them, the limit is 250");
	}
}

/* ---- what there is, and what there is not ---- */

static void only_what_is_allowed_is_there(void)
{
	setup();
	GIVES("local r = {} for _, n in ipairs{'load', 'loadstring', 'loadfile', 'dofile',\n"
	      "'collectgarbage', 'xpcall', 'coroutine', 'io', 'os', 'debug', 'package', 'warn', "
	      "'bucket_',\n"
	      "'arg'} do if _G[n] ~= nil then r[#r + 1] = n end end\n"
	      "for _, n in ipairs{'dump'} do if string[n] ~= nil then r[#r + 1] = n end end return "
	      "r",
	      "[]");
	GIVES("local r = {} for _, n in ipairs{'assert', 'error', 'getmetatable', 'ipairs', "
	      "'next', 'pairs',\n"
	      "'pcall', 'print', 'rawequal', 'rawget', 'rawlen', 'rawset', 'require', 'select',\n"
	      "'setmetatable', 'tonumber', 'tostring', 'type'} do\n"
	      "if type(_G[n]) ~= 'function' then r[#r + 1] = n end end\n"
	      "for n, all in pairs{string = 'byte char find format gmatch gsub len lower match "
	      "pack packsize rep reverse sub unpack upper',\n"
	      "table = 'concat insert move pack remove sort unpack',\n"
	      "math = 'abs acos asin atan ceil cos deg exp floor fmod log max min modf rad random "
	      "randomseed sin sqrt tan tointeger type ult',\n"
	      "utf8 = 'char codepoint codes len offset', pail = 'log now_ms'} do\n"
	      "for f in all:gmatch('%a[%w_]*') do if type(_G[n][f]) ~= 'function' then r[#r + 1] = "
	      "f end end end\n"
	      "return r",
	      "[]");
	GIVES("return {_VERSION, math.pi > 3, math.huge, math.maxinteger == 0x7fffffffffffffff, "
	      "utf8.charpattern}",
	      "[b\"Lua 5.4\",true,inff,true,b\"[\\x00-\\x7f\\xc2-\\xfd][\\x80-\\xbf]*\"]");
	GIVES("return _G._G == _G and _G == _ENV", "true");
}

static void what_is_built_in_cannot_be_changed(void)
{
	static const char *const changes[] = {
		"string.rep = nil",
		"rawset(string, 'x', 1)",
		"table.insert(string, 1)",
		"setmetatable(string, {})",
		"getmetatable('').__index = {}",
		"getmetatable(string).__newindex = nil",
		"setmetatable(_G, {})",
		"getmetatable(_G).__index = {}",
		"table.sort(math)",
		"table.move({1}, 1, 1, 1, table)",
		"pail.now_ms = nil",
		"getmetatable(bucket).__index = nil",
		"for k in pairs(string) do string[k] = nil end error('nothing there')",
		"local t = next(string) t.x = 1",
		"math.pi = 3",
		"bucket.get = nil",
		"('x').y = 1",
		"setmetatable('x', {})",
	};

	setup();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		EQ(FUNCTIONS_FAILED, call(changes[i], NONE));
	GIVES("return {getmetatable(''), getmetatable(string), getmetatable(_G), "
	      "getmetatable(bucket)}",
	      "[false,false,false,false]");
	GIVES("print = 5 string = {} return {print, type(string)}", "[5,b\"table\"]");
	GIVES("return {type(print), ('x'):rep(3)}", "[b\"function\",b\"xxx\"]");
}

static void metatables(void)
{
	setup();
	GIVES("local C = {} C.__index = C function C.get(s) return s.x end\n"
	      "local D = setmetatable({}, {__index = C}) D.__index = D\n"
	      "return setmetatable({x = 5}, D):get()",
	      "5");
	GIVES("local t = setmetatable({}, {__add = function(a, b) return 'sum' end,\n"
	      "__call = function(_, x) return x end, __len = function() return 7 end,\n"
	      "__eq = function() return true end, __lt = function() return true end,\n"
	      "__concat = function() return 'cat' end, __unm = function() return 'neg' end})\n"
	      "return {t + 1, t(4), #t, t == setmetatable({}, getmetatable(t)), t < t, t .. 'x', "
	      "-t}",
	      "[b\"sum\",4,7,true,true,b\"cat\",b\"neg\"]");
	GIVES("return '10' + setmetatable({}, {__add = function(a, b) return a end})", "b\"10\"");
	GIVES("return {'10' + 1, '3' * '4', 10 / '4', '7' // 2, '7' % '4', -'2', '2' ^ 2, '0x10' + "
	      "0}",
	      "[11,12,2.5f,3,3,-2,4f,16]");
	FAILS("return 'a' + 1", "m:2: attempt to add a 'string' with a 'number'");
	FAILS("setmetatable({}, {__gc = print})",
	      "m:2: a metatable with __gc is not for functions");
	FAILS("setmetatable({}, {__gc = false})",
	      "m:2: a metatable with __gc is not for functions");
	FAILS("setmetatable({}, {__mode = 'k'})",
	      "m:2: a metatable with __mode is not for functions");
	FAILS("setmetatable(setmetatable({}, {__metatable = 1}), {})",
	      "m:2: cannot change a protected metatable");
	GIVES("return getmetatable(setmetatable({}, {__metatable = 'locked'}))", "b\"locked\"");
	GIVES("local r = {} for k, v in pairs(setmetatable({}, {__pairs = function(t)\n"
	      "return function(_, k) if not k then return 1, 2 end end, t, nil end})) do r[k] = v "
	      "end return r",
	      "[2]");
	GIVES("return tostring(setmetatable({}, {__name = 'Thing'}))", "b\"Thing\"");
	GIVES("return tostring(setmetatable({}, {__tostring = function() return 'me' end}))",
	      "b\"me\"");
	FAILS("tostring(setmetatable({}, {__tostring = function() return 1 end}))",
	      "m:2: '__tostring' must return a string");
	FAILS("return table.concat(setmetatable({}, {__index = {'a'}}))",
	      "m:2: bad argument #1 to 'concat' (a table without a metatable expected)");
	GIVES("local n = 0 do local x <close> = setmetatable({}, {__close = function() n = 1 end}) "
	      "end return n",
	      "1");
}

static void no_text_has_an_address(void)
{
	setup();
	GIVES("return {tostring({}), tostring(print), tostring(bucket), tostring(_G), "
	      "tostring(pail.null)}",
	      "[b\"table\",b\"function\",b\"bucket\",b\"table\",b\"null\"]");
	GIVES("return ('%s %10s|%-8s|%.2s'):format({}, print, bucket, {})",
	      "b\"table   function|bucket  |ta\"");
	FAILS("return ('%p'):format({})",
	      "m:2: invalid conversion '%p' to 'format': no addresses here");
	FAILS("return ('%5p'):format({})",
	      "m:2: invalid conversion '%p' to 'format': no addresses here");
	FAILS("return ('%d'):format({})",
	      "m:2: bad argument #1 to 'format' (number expected, got table)");
	FAILS("return ('%y'):format({})", "m:2: invalid conversion '%y' to 'format'");
}

static void pcall_catches_errors(void)
{
	setup();
	GIVES("return {pcall(error, 'x', 0)}", "[false,b\"x\"]");
	GIVES("return {pcall(error, {1})}", "[false,[1]]");
	GIVES("return {pcall(function(...) return ... end, 1, 2, 3)}", "[true,1,2,3]");
	GIVES("return {pcall(pcall, error, 'x')}", "[true,false,b\"x\"]");
	GIVES("return {pcall(nil)}", "[false,b\"attempt to call a nil value\"]");
	FAILS("pcall()", "m:2: bad argument #1 to 'pcall' (value expected)");
}

/* clang-format off */
UNIT_MAIN(T(results_of_every_type), T(integers_of_every_width),
	  T(lengths_around_the_forms_heads), T(what_a_result_cannot_hold),
	  T(results_are_read_raw), T(arguments_of_every_type), T(arguments_that_are_none),
	  T(only_what_is_allowed_is_there), T(what_is_built_in_cannot_be_changed), T(metatables),
	  T(no_text_has_an_address), T(pcall_catches_errors))
/* clang-format on */
