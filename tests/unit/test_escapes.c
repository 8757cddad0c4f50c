/*
 * Ways out of the limits of time and memory that are known: each must end as too_long, or by an
 * error of its own, and never hold its thread for longer than time_ms and 150 ms.  Each is tried
 * twice: without the hard stop, whose signal is blocked, so that what it would have to do is seen
 * (in time of the processor, since its machine may have other work), and with it.  What only the
 * hard stop ends is marked as deaf.  A line for each says how long it held.
 */
#include <signal.h>
#include <time.h>

#include "tests/unit/lib/unit.h"
#include "tests/unit/lib/function_fixture.h"

#define TIME_MS   50u
#define HELD_MS   (TIME_MS + 150u)
#define MEMORY    (64u << 20)
#define TRIES_MAX 5 /* where a virtual machine stands still at times */

#if defined(__SANITIZE_ADDRESS__)
#define SLOW 6u
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOW 6u
#endif
#endif
#ifndef SLOW
#define SLOW 1u
#endif

struct escape {
	const char *name;
	const char *body;
};

enum end {
	END_LIMIT, /* it must be too_long */
	END_ANY,   /* it may also end by itself, well or with an error */
	END_DEAF   /* only the hard stop ends it in time */
};

static struct fixture_bucket bucket;
static struct fixture_reply got;
static char source[1u << 16];

/* ---- one try ---- */

static uint64_t thread_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint32_t time_ms = TIME_MS;
static uint64_t memory_bytes = MEMORY;

static struct functions *load(const char *body)
{
	const struct functions_config config = {.node = "n",
						.time_ms = time_ms,
						.memory_bytes = memory_bytes,
						.value_max = 8u << 20};
	struct functions_source s = {
		"m", {source, 0}
        };
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];

	(void)snprintf(source, sizeof(source),
		       "local big = function(n) return ('x'):rep(n or 8388608) end\n"
		       "return {f = function(bucket, ...)\n%s\nend, ok = function() return 5 end}",
		       body);
	s.text.n = strlen(source);
	if (functions_new(&config, &s, 1, &f, why, sizeof(why)) < 0) {
		(void)printf("# %s: %s\n", body, why);
		CU_FAIL_FATAL("it does not load");
	}
	return f;
}

/* How long this thread has waited for a processor that others had. */
static uint64_t waited_us(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "r");
	unsigned long long ran = 0;
	unsigned long long waited = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	(void)fclose(f);
	return waited / 1000;
}

/* How long a call held the thread, less what the thread waited for others; the best of a few tries.
 */
static uint64_t held_us(struct functions *f)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < TRIES_MAX && best > HELD_MS * 1000u; i++) {
		uint64_t waited = waited_us();
		uint64_t us;

		fixture_call(f, &bucket, "m", "f", "\x90", &got);
		waited = waited_us() - waited;
		us = got.us > waited ? got.us - waited : 0;
		best = us < best ? us : best;
	}
	return best;
}

/* The hard stop's signal waits. */
static uint64_t soft_us(struct functions *f)
{
	uint64_t cpu = thread_us();
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, FUNCTIONS_SIGNAL);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	fixture_call(f, &bucket, "m", "f", "\x90", &got);
	cpu = thread_us() - cpu;
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	TRUE_(!got.reply.hard);
	return cpu;
}

static void hold(const struct escape *e, enum end end)
{
	struct functions *f = load(e->body);
	struct functions_figures figures;
	uint64_t soft = end == END_DEAF ? 0 : soft_us(f);
	uint64_t us;

	if (end == END_LIMIT)
		EQ(FUNCTIONS_TOO_LONG, got.status);
	us = held_us(f);
	functions_figures(f, &figures);
	(void)printf("# %-40s %4llu ms, without the hard stop %s%3llu, %3llu MiB%s: %.60s\n",
		     e->name, (unsigned long long)us / 1000, end == END_DEAF ? "for ever, " : "",
		     (unsigned long long)soft / 1000, (unsigned long long)figures.peak_bytes >> 20,
		     got.reply.hard ? ", hard stop" : "",
		     got.status == FUNCTIONS_OK ? "ended" : got.reply.why);
	if (us > SLOW * HELD_MS * 1000u || soft > SLOW * HELD_MS * 1000u)
		unit_fail(__FILE__, __LINE__, e->name, HELD_MS * 1000u,
			  (long long)(us > soft ? us : soft));
	TRUE_(us <= SLOW * HELD_MS * 1000u);
	TRUE_(soft <= SLOW * HELD_MS * 1000u);
	TRUE_(figures.peak_bytes <= 2u * MEMORY + (8u << 20) + (1u << 20));
	if (end != END_ANY)
		EQ(FUNCTIONS_TOO_LONG, got.status);
	/* and nothing of it is left */
	fixture_call(f, &bucket, "m", "ok", "\x90", &got);
	EQ(FUNCTIONS_OK, got.status);
	functions_free(&f);
}

static void hold_all(const struct escape *e, size_t n, enum end end)
{
	if (!bucket.item)
		fixture_init(&bucket);
	fixture_clear(&bucket);
	for (size_t i = 0; i < n; i++)
		hold(&e[i], end);
}

#define HOLD_AS(end, ...)                                         \
	do {                                                      \
		static const struct escape all[] = {__VA_ARGS__}; \
		hold_all(all, sizeof(all) / sizeof(all[0]), end); \
	} while (0)
#define HOLD(...)        HOLD_AS(END_LIMIT, __VA_ARGS__)
#define HOLD_OR_END(...) HOLD_AS(END_ANY, __VA_ARGS__)
#define HOLD_HARD(...)   HOLD_AS(END_DEAF, __VA_ARGS__)

/* clang-format off */

/* ---- loops ---- */

static void loops_end(void)
{
	HOLD(
	{"while true", "while true do end"},
	{"goto", "::a:: goto a"},
	{"repeat", "repeat until false"},
	{"for", "for i = 1, math.huge do end"},
	{"for, integers", "for i = math.mininteger, math.maxinteger do end"},
	{"calls", "local function g() end while true do g() end"},
	{"tail calls", "local function g() return g() end return g()"},
	{"recursion", "local function g() return 1 + g() end return g()"},
	{"recursion, 200 locals", "local function g(a) local b<const> = a + 1; return (g(b)) end return g(1)"},
	{"__index recursion", "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end return t[1]"},
	{"__index chain", "local t = {} for i = 1, 1000 do t = setmetatable({}, {__index = t}) end while true do local x = t.x end"},
	{"__call chain", "local t = print for i = 1, 100 do t = setmetatable({}, {__call = t}) end while true do pcall(t) end"},
	{"__eq loop", "local mt = {__eq = function() while true do end end} return setmetatable({}, mt) == setmetatable({}, mt)"},
	{"__tostring loop", "return tostring(setmetatable({}, {__tostring = function() while true do end end}))"},
	{"__close loop", "local x <close> = setmetatable({}, {__close = function() while true do end end})"},
	{"__close loop after the limit", "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end"},
	{"ipairs with __index", "for i in ipairs(setmetatable({}, {__index = function(t, i) return i end})) do end"},
	{"next", "local t = {1} while true do next(t) end"},
	{"pairs with __pairs", "for k in pairs(setmetatable({}, {__pairs = function() return function() return 1 end end})) do end"},
	{"scan", "bucket:put('a', '') while true do for k in bucket:scan() do end end"},
	{"get", "while true do bucket:get('x') end"},
	{"exists", "local f, b = bucket.exists, bucket while true do f(b) f(b) f(b) f(b) end"},
	{"print", "while true do print('x') end"},
	{"random", "while true do math.random(1, (1 << 62) + 1) end"},
	);
}

static void what_catches_errors_does_not_catch_this(void)
{
	HOLD(
	{"pcall loop", "while true do pcall(function() while true do end end) end"},
	{"pcall of pcall", "while true do pcall(pcall, pcall, function() while true do end end) end"},
	{"pcall recursion", "local function g() pcall(g) pcall(g) end g() while true do g() end"},
	{"pcall, memory", "while true do pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(100000) end end) end"},
	{"pcall(error) loop", "while true do pcall(error) end"},
	{"pcall(string.rep) loop", "while true do pcall(string.rep, 'x', 1 << 40) end"},
	{"pcall in __close", "local function g() local x <close> = setmetatable({}, {__close = g}) while true do end end while true do pcall(g) end"},
	{"deep __close", "local mt = {__close = function() end} local function g() local x <close> = setmetatable({}, mt) return (g()) end return g()"},
	{"stack overflow again and again", "local function g() return 1 + g() end while true do pcall(g) end"},
	{"C stack overflow again and again", "local function g() return pcall(string.gsub, 'x', 'x', g) end while true do g() end"},
	{"error in error in error", "local function g() error(setmetatable({}, {__tostring = g})) end while true do pcall(g) end"},
	{"pcall(s + 1), 8 MiB of digits", "local s = ('1'):rep(8388608) while true do pcall(function() return s + 1 end) end"},
	);
	HOLD_OR_END(
	{"xpcall's handler", "xpcall(error, function() while true do end end)"},
	{"coroutine.wrap", "coroutine.wrap(function() while true do end end)()"},
	{"a __gc loop", "setmetatable({}, {__gc = function() while true do end end})"},
	{"a __gc loop, added later", "local mt = {} for i = 1, 1e5 do setmetatable({}, mt) end mt.__gc = function() while true do end end for i = 1, 1e5 do setmetatable({}, mt) end"},
	{"load", "load('while true do end')()"},
	{"debug.sethook", "debug.sethook() while true do end"},
	{"collectgarbage", "while true do collectgarbage() end"},
	{"string.dump", "string.dump(function() end)"},
	);
}

/* ---- strings ---- */

static void strings_end(void)
{
	HOLD_OR_END(
	{"rep of nothing", "return #string.rep('', math.maxinteger)"},
	{"rep of nothing, with a gap", "return #string.rep('', math.maxinteger, '')"},
	{"rep too long", "return string.rep('x', 1 << 40)"},
	{"rep overflow", "return string.rep('xxxx', math.maxinteger // 2)"},
	{"rep overflow in the gap", "return string.rep('', math.maxinteger // 2, 'xxxx')"},
	{"upper once", "return #big():upper()"},
	{"tonumber, 8 MiB of digits", "return tonumber(('1'):rep(8388608))"},
	{"tonumber, base", "return tonumber(('z'):rep(8388608), 36)"},
	{"tonumber, hexadecimal", "return tonumber('0x' .. ('f'):rep(8000000) .. 'p1')"},
	{"packsize", "return string.packsize(('i'):rep(8388608))"},
	{"pack, padding", "return #string.pack(('c8000000'):rep(100), ('')):rep(100)"},
	{"pack, one padding", "return #string.pack('c2000000000', '')"},
	{"pack, digits", "return string.pack(('d'):rep(100), table.unpack(setmetatable({}, nil)), ('1'):rep(8388608))"},
	{"%99999999d", "return ('%99999999d'):format(1)"},
	{"%99.99f of the largest", "return ('%99.99f'):format(1.7e308)"},
	{"format, digits", "return ('%d'):format(('1'):rep(8388608))"},
	{"byte of it all", "return (('x'):rep(8388608)):byte(1, -1)"},
	{"unpack without end", "return table.unpack({}, 1, 1e8)"},
	{"unpack around", "return table.unpack({}, math.mininteger, math.maxinteger)"},
	{"select('#', unpack)", "return select('#', table.unpack({}, 1, 9e5))"},
	{"for with digits", "for i = 1, ('1'):rep(8388608) do end"},
	{"for with digits, all three", "local s = ('1'):rep(8388608) for i = s, s, s do end"},
	{"concat of 200 times 8 MiB", "local s = big() return #(s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s)"},
	{"math with digits", "return math.floor(('1'):rep(8388608))"},
	{"utf8.char without end", "return utf8.char(table.unpack({}, 1, 9e5))"},
	);
	HOLD(
	{"upper", "local s = big() while true do s:upper() end"},
	{"lower", "local s = big() while true do s:lower() end"},
	{"reverse", "local s = big() while true do s:reverse() end"},
	{"sub", "local s = big() while true do s:sub(2) end"},
	{"rep", "while true do big() end"},
	{"byte", "local s = big() while true do s:byte(1, 9999) end"},
	{"len", "local s = big() while true do s:len() end"},
	{"concat", "local s = 'x' while true do s = s .. s end"},
	{"concat of 8 MiB", "local s = big(8388600) while true do local t = s .. 'x' end"},
	{"concat of numbers", "local s = '' while true do s = s .. 1.5 .. 2 end"},
	{"equality of 8 MiB", "local a, b = big(8388600) .. 'a', big(8388600) .. 'b' while true do local x = a == b, a == b, a == b, a == b end"},
	{"rawequal of 8 MiB", "local a, b = big(8388600) .. 'a', big(8388600) .. 'a' while true do rawequal(a, b) end"},
	{"comparison of 8 MiB", "local a, b = big(8388600) .. 'a', big(8388600) .. 'b' while true do local x = a < b, a < b, a <= b, a < b end"},
	{"8 MiB as keys", "while true do local t = {} t[big(8388600) .. #t] = 1 end"},
	{"tonumber, 1000 digits", "local s = ('1'):rep(999) while true do tonumber(s) end"},
	{"tonumber, exponent", "local s = '1e' .. ('1'):rep(900) while true do tonumber(s) end"},
	{"arithmetic on digits", "local s = ('1'):rep(999) while true do local x = s + 1 end"},
	{"%q", "local s = ('\\0'):rep(8000000) while true do pcall(string.format, '%q', s) end"},
	{"%s of 8 MiB", "local s = big() while true do string.format('%s', s) end"},
	{"%-99s", "local s = big(8388000) while true do pcall(string.format, '%99s', s) end"},
	{"%s with __tostring", "string.format('%s', setmetatable({}, {__tostring = function() while true do end end}))"},
	{"%f", "while true do string.format('%99.99f', 1e308) end"},
	{"many formats", "local s = ('%d'):rep(200) local t = {} for i = 1, 200 do t[i] = i end while true do s:format(table.unpack(t)) end"},
	{"pack", "local s = big(8000000) while true do string.pack('s', s) end"},
	{"pack, c", "while true do string.pack('c8000000', '') end"},
	{"unpack, s", "local s = string.pack('s', big(8000000)) while true do string.unpack('s', s) end"},
	{"unpack, z", "local s = big() while true do pcall(string.unpack, 'z', s) end"},
	{"packsize, longest", "local s = ('i16'):rep(333) while true do string.packsize(s) end"},
	{"utf8.len", "local s = big() while true do utf8.len(s) end"},
	{"utf8.len, 4 bytes", "local s = ('\\u{10ffff}'):rep(2000000) while true do utf8.len(s) end"},
	{"utf8.offset", "local s = big() while true do utf8.offset(s, 8388608) end"},
	{"utf8.offset, back", "local s = ('\\x80'):rep(8388608) while true do pcall(utf8.offset, s, -1) end"},
	{"utf8.codes", "local s = ('\\x80'):rep(8388607) local f = utf8.codes('a' .. s:sub(2)) while true do pcall(f, s, 1) end"},
	{"utf8.codepoint", "local s = big() while true do utf8.codepoint(s, 1, 9999) end"},
	{"tostring", "local s = big() while true do tostring(s) end"},
	{"select", "local function g(...) while true do local x = select(-1, ...) end end g(table.unpack({}, 1, 9999))"},
	{"growing arguments", "local function g(...) return g(1, 2, 3, 4, 5, 6, 7, 8, ...) end return g()"},
	{"growing results", "local function g(n, ...) if n == 0 then return ... end return g(n - 1, ...) end while true do g(100, table.unpack({}, 1, 9999)) end"},
	{"log", "local s = big() while true do pail.log(s) print(s, s, s) end"},
	);
	/* One comparison takes a third of a second, and the hook does not run within. */
	HOLD_HARD(
	{"comparison of 8 MiB of NUL", "local a, b = ('\\0'):rep(8388600) .. 'a', ('\\0'):rep(8388600) .. 'b' while true do local x = a < b, a < b, a < b, a < b end"},
	);
}

/* ---- patterns ---- */

static void patterns_end(void)
{
	HOLD(
	{"a*a*a*b", "return ('a'):rep(100000):find('a*a*a*a*a*a*b')"},
	{".-b", "return big():find('.-.-.-b')"},
	{".-b, at each place", "return big(100000):find('.-b')"},
	{"%b()", "return ('('):rep(1000000):find('%b()')"},
	{"%b() in gsub", "return ('('):rep(1000000):gsub('%b()', '')"},
	{"a long set", "return big():find('[' .. ('abc'):rep(1000) .. ']')"},
	{"a set at each place", "local s, p = big(), '[' .. ('a'):rep(1000000) .. ']' while true do s:find(p) end"},
	{"a?a?a?…aaa", "return ('a'):rep(60):find(('a?'):rep(60) .. ('a'):rep(61))"},
	{"back references", "return ('ab'):rep(100000):find('(.*)%1%1%1x')"},
	{"captures", "return big(100000):find('(.*)(.*)(.*)(.*)b')"},
	{"gmatch", "for w in big(100000):gmatch('.-.-.-b') do end"},
	{"gmatch of nothing", "while true do for w in big(100000):gmatch('') do end end"},
	{"gsub with a function", "big():gsub('.', function() end) while true do end"},
	{"gsub with a C function", "while true do big():gsub('.', string.len) end"},
	{"gsub with string.rep", "while true do pcall(string.gsub, big(), '.', string.rep) end"},
	{"gsub with a table", "while true do big():gsub('.', {}) end"},
	{"gsub with __index", "return big():gsub('.', setmetatable({}, {__index = function() while true do end end}))"},
	{"gsub that grows", "local s = 'x' while true do s = s:gsub('x', 'xx') end"},
	{"plain find", "local s, p = ('a'):rep(4000000), ('a'):rep(2000000) .. 'b' while true do s:find(p, 1, true) end"},
	{"plain find backwards", "local s, p = ('a'):rep(4000000), 'b' .. ('a'):rep(2000000) while true do s:find(p, 1, true) end"},
	{"find of one byte", "local s = big() while true do s:find('b', 1, true) end"},
	{"a long plain pattern", "local p = big() while true do ('x'):find(p) end"},
	{"many %", "local p = ('%a'):rep(4000000) while true do pcall(string.find, 'x', p) end"},
	{"an anchor", "local s = big() while true do s:find('^.*b') end"},
	);
	HOLD_OR_END(
	{"%f", "return big(1000000):find('%f[y].*%f[y].*%f[y]')"},
	{"a set without end", "return big():find('[' .. big(4000000))"},
	{"too complex", "return ('a'):rep(1000):find(('a?'):rep(300))"},
	{"a replacement of megabytes", "return #(big(100000):gsub('x', big(100000)))"},
	{"%0 again and again", "return #(big(8000000):gsub('.*', ('%0'):rep(100000)))"},
	);
}

/* ---- tables ---- */

static void tables_end(void)
{
	HOLD_OR_END(
	{"insert behind the last place there is", "local t = {} for i = 0, 62 do t[1 << i] = 1 t[(1 << i) + 1] = 1 end t[math.maxinteger] = 1 table.insert(t, 1) return t[math.mininteger] + 1"},
	{"table.move far", "return table.move({}, 1, 1 << 62, 2)"},
	{"table.move far, another", "return table.move({}, 1, 1 << 62, 2, {})"},
	{"table.insert with __len", "table.insert(setmetatable({}, {__len = function() return 1 << 60 end}), 1, 1)"},
	{"table.remove with __len", "table.remove(setmetatable({}, {__len = function() return 1 << 60 end}), 1)"},
	{"table.sort with __len", "table.sort(setmetatable({}, {__len = function() return 1 << 30 end}))"},
	{"table.concat with __index", "table.concat(setmetatable({}, {__index = function() return 'x' end}), '', 1, 1 << 60)"},
	{"table.unpack with __index", "table.unpack(setmetatable({}, {__index = function() while true do end end}), 1, 9)"},
	{"table.concat far", "return table.concat({}, '', 1, math.maxinteger)"},
	{"table.concat of 8 MiB", "local s = big() return #table.concat({s, s, s, s, s, s, s, s, s, s})"},
	{"table.concat, gaps of 8 MiB", "return #table.concat({1, 2, 3, 4, 5, 6, 7, 8, 9}, big())"},
	{"sort with an order that is none", "local t = {} for i = 1, 10000 do t[i] = i end table.sort(t, function() return true end)"},
	{"#t of a table made odd", "local t = {} for i = 1, 20 do t[1 << i] = 1 end return #t"},
	);
	HOLD(
	{"table.insert at the front", "local t = {} while true do table.insert(t, 1, 1) end"},
	{"table.remove at the front", "local t = {} for i = 1, 300000 do t[i] = i end while true do table.remove(t, 1) end"},
	{"table.move", "local t = {} for i = 1, 300000 do t[i] = i end while true do table.move(t, 1, #t, 2) end"},
	{"table.sort", "local t = {} for i = 1, 200000 do t[i] = -i end while true do table.sort(t) end"},
	{"table.sort of 8 MiB of NUL", "local t = {} for i = 1, 7 do t[i] = ('\\0'):rep(8000000) .. i end while true do table.sort(t) end"},
	{"table.sort with a loop", "table.sort({1, 2, 3}, function() while true do end end)"},
	{"table.sort with a C function", "local t = {} for i = 1, 200000 do t[i] = i end while true do table.sort(t, math.ult) end"},
	{"table.concat", "local t = {} for i = 1, 300000 do t[i] = 'x' end while true do table.concat(t) end"},
	{"table.unpack", "local t = {} while true do table.unpack(t, 1, 9999) end"},
	{"table.pack", "while true do table.pack(table.unpack({}, 1, 9999)) end"},
	{"next over what is gone", "local t = {} for i = 1, 500000 do t[i] = 1 end for i = 1, 500000 do t[i] = nil end while true do next(t) next(t) next(t) next(t) end"},
	{"next over what is gone, hashed", "local t = {} for i = 1, 300000 do t[-i] = 1 end for i = 1, 300000 do t[-i] = nil end while true do next(t) next(t) next(t) next(t) end"},
	{"# of a large table", "local t = {} for i = 1, 300000 do t[i] = 1 end while true do local x = #t end"},
	{"a table hashed anew again and again", "local t = {} for i = 1, 65536 do t[-i] = 1 end local n = 65536 while true do t[-(n - 65535)] = nil n = n + 1 t[-n] = 1 end"},
	{"float keys that collide", "local t = {} for i = 1, 1e6 do t[2.0^-i] = i t[i + 0.5] = i end while true do end"},
	{"a constructor", "while true do local t = {1, 2, 3, {4, 5, {6}}, a = 1, b = {}} end"},
	);
	HOLD_HARD(
	{"integer keys that collide once it grows", "local t = {} for j = 1, 65537 do t[j * 131071] = 1 end while true do end"},
	{"float keys that collide once it grows", "local t = {} for j = 1, 65537 do t[j * 131071 * 1.0] = 1 end while true do end"},
	);
}

/* ---- memory ---- */

static void memory_ends(void)
{
	HOLD(
	{"many tables", "local t = {} while true do t[#t + 1] = {} end"},
	{"a list of tables", "local t while true do t = {t} end"},
	{"many strings", "local t, i = {}, 0 while true do i = i + 1 t[i] = 'k' .. i end"},
	{"many closures", "local t, i = {}, 0 while true do i = i + 1 t[i] = function() return i end end"},
	{"one array", "local t, i = {}, 0 while true do i = i + 1 t[i] = i end"},
	{"one hash", "local t, i = {}, 0 while true do i = i + 1 t[-i] = i end"},
	{"8 MiB each", "local t = {} while true do t[#t + 1] = big(8388000) .. #t end"},
	{"60 KiB each", "local t = {} while true do t[#t + 1] = big(60000) .. #t end"},
	{"garbage of 8 MiB", "while true do local s = big(8388000) .. 'x' end"},
	{"garbage beside 60 MiB", "local t = {} for i = 1, 7 do t[i] = big(8388000) .. i end while true do local s = big(100000) .. 'y' end"},
	{"small garbage beside a lot", "local t = {} for i = 1, 300000 do t[i] = {i} end while true do local s = {} end"},
	{"the environment", "local i = 0 while true do i = i + 1 _G['x' .. i] = i end"},
	{"weak keys, set later", "local mt = {} local e = {} for i = 1, 20000 do e[i] = setmetatable({}, mt) end mt.__mode = 'k' for i = 1, 19999 do e[(i * 7919) % 20000 + 1][{}] = e end for i = 1, 19999 do e[i][e[(i * 7919) % 20000 + 1]] = e[i + 1] end e = e[1] while true do local t = {} end"},
	{"captures", "while true do local t = {} for w in big(1000000):gmatch('.') do t[#t + 1] = w .. #t end end"},
	{"a deep result", "local t = {} for i = 1, 31 do t = {t, t} end return t, (function() while true do end end)()"},
	);
	HOLD_OR_END(
	{"a result without end", "local t = {} for i = 1, 31 do t = {t, t} end return t"},
	{"a result of empty tables", "local t = {} for i = 1, 20 do t = {t, t, t} end return t"},
	{"a result of one large table", "local t = {} for i = 1, 200000 do t[i] = i end t[200002] = 1 return t"},
	{"an error of 8 MiB", "error(big(8388000))"},
	{"an error of tables", "error({{{}}})"},
	{"32 times 8 MiB in one constructor", "local s = big(8388000) return {s .. 1, s .. 2, s .. 3, s .. 4, s .. 5, s .. 6, s .. 7, s .. 8, s .. 9, s .. 10, s .. 11, s .. 12, s .. 13, s .. 14, s .. 15, s .. 16, s .. 17, s .. 18}"},
	);
}

/* clang-format on */

/* ---- memory, with time enough to use it up ---- */

static void memory_is_bounded_whatever_the_time(void)
{
	static const char *const all[] = {
		"local t = {} while true do t[#t + 1] = {} end",
		"local t while true do t = {t} end",
		"local t, i = {}, 0 while true do i = i + 1 t[i] = i end",
		"local t, i = {}, 0 while true do i = i + 1 t[-i] = i end",
		"local t = {} while true do t[#t + 1] = big(8388000) .. #t end",
		"local i = 0 while true do i = i + 1 _G['x' .. i] = i end",
		"local s, t = big(8388000), {} while true do t[#t + 1] = {s .. 1, s .. 2, s .. 3, "
		"s .. 4} end",
		"local s = big(8388000) return "
		"#(s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s..s)",
		"local t = {} while true do pcall(function() t[#t + 1] = big(100000) .. #t end) "
		"end",
	};

	if (!bucket.item)
		fixture_init(&bucket);
	time_ms = 60000;
	memory_bytes = MEMORY / 4;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct functions *f = load(all[i]);
		struct functions_figures figures;

		fixture_call(f, &bucket, "m", "f", "\x90", &got);
		functions_figures(f, &figures);
		(void)printf("# %3llu MiB in %4llu ms: %.70s\n",
			     (unsigned long long)figures.peak_bytes >> 20,
			     (unsigned long long)got.us / 1000, got.reply.why);
		EQ(FUNCTIONS_TOO_LONG, got.status);
		TRUE_(strstr(got.reply.why, "memory") || strstr(got.reply.why, "string"));
		TRUE_(figures.peak_bytes <= 2u * memory_bytes + (2u << 20));
		EQ(0, figures.used_bytes);
		functions_free(&f);
	}
	time_ms = TIME_MS;
	memory_bytes = MEMORY;
}

/* ---- before anything has looked at the clock ---- */

/* Lua compares strings with NUL in them piece by piece: these take a third of a second each. */
static void what_a_call_begins_with_may_be_deaf(void)
{
	static const struct escape one = {
		"8 MiB of NUL compared",
		"local s = bucket:get('nul') return s < s or s < s or s < s or s < s or s < s "
		"or s < s or s < s or s < s or s < s or s < s or s < s or s < s or s < s"};
	struct functions *f;

	if (!bucket.item)
		fixture_init(&bucket);
	time_ms = 5000;
	f = load("bucket:put('nul', ('\\0'):rep(8388608))");
	fixture_call(f, &bucket, "m", "f", "\x90", &got);
	EQ(FUNCTIONS_OK, got.status);
	functions_free(&f);
	time_ms = TIME_MS;
	hold(&one, END_DEAF);
}

/* ---- while a module is loaded, and with arguments ---- */

static void modules_that_do_not_end_are_not_loaded(void)
{
	static const char *const all[] = {
		"while true do end",
		"local t = {} while true do t[#t + 1] = {} end",
		"('a'):rep(100000):find('a*a*a*a*b')",
		"while true do pcall(function() while true do end end) end",
		"local t = {} for j = 1, 65537 do t[j * 131071] = 1 end while true do end",
	};
	static const struct functions_config config = {
		.node = "n", .time_ms = TIME_MS, .memory_bytes = MEMORY, .value_max = 8u << 20};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct functions_source s = {"m", span_of(all[i])};
		struct functions *f = NULL;
		char why[FUNCTIONS_WHY_MAX];
		uint64_t us = UINT64_MAX;

		for (int k = 0; k < TRIES_MAX && us > HELD_MS * 1000u; k++) {
			uint64_t waited = waited_us();
			uint64_t start = clock_us();

			EQ(-EINVAL, functions_new(&config, &s, 1, &f, why, sizeof(why)));
			start = clock_us() - start;
			waited = waited_us() - waited;
			start = start > waited ? start - waited : 0;
			us = start < us ? start : us;
		}
		(void)printf("# %4llu ms: %s\n", (unsigned long long)us / 1000, why);
		TRUE_(us <= SLOW * HELD_MS * 1000u);
		TRUE_(!strncmp(why, "m.lua:", 6));
	}
}

static void arguments_of_megabytes_end(void)
{
	static char args[8u << 20];
	struct functions *f;

	if (!bucket.item)
		fixture_init(&bucket);
	f = load("return 1");
	memset(args, 0x90, sizeof(args)); /* eight million empty arrays */
	args[0] = (char)0x91;
	args[1] = (char)0xdd;
	for (int i = 0; i < 4; i++)
		args[2 + i] = (char)((sizeof(args) - 6) >> (24 - 8 * i));
	for (int k = 0; k < 2; k++) {
		uint64_t us = UINT64_MAX;

		for (int i = 0; i < TRIES_MAX && us > HELD_MS * 1000u; i++) {
			uint64_t waited = waited_us();
			uint64_t held;

			fixture_call(f, &bucket, "m", "f", args, &got);
			waited = waited_us() - waited;
			held = got.us > waited ? got.us - waited : 0;
			us = held < us ? held : us;
		}
		(void)printf("# %4llu ms: %s\n", (unsigned long long)us / 1000, got.reply.why);
		EQ(FUNCTIONS_TOO_LONG, got.status);
		TRUE_(us <= SLOW * HELD_MS * 1000u);
		memset(args + 6, 1, sizeof(args) - 6); /* eight million integers */
	}
	functions_free(&f);
}

/* ---- the hard stop ---- */

/* An operation of the bucket that takes long is never cut short. */
static enum functions_done slow_get(void *arg, struct span key, struct functions_item *ret,
				    struct functions_error *e)
{
	uint64_t end = clock_us() + 2500000;
	unsigned *whole = arg;

	(void)key;
	(void)ret;
	(void)e;
	while (clock_us() < end) /* with what would break if it were left in the middle */
		free(malloc(100));
	++*whole;
	return FUNCTIONS_NONE;
}

static void an_operation_is_never_cut_short(void)
{
	static const struct functions_ops ops = {.get = slow_get};
	struct functions *f;
	unsigned whole = 0;
	struct functions_request q = {.module = span_of("m"),
				      .function = span_of("f"),
				      .bucket = span_of("b"),
				      .args = "\x90",
				      .ops = &ops,
				      .ops_arg = &whole};

	time_ms = 2000;
	/* Some work first: a call that has only begun is not watched yet. */
	f = load("for i = 1, 1e5 do end bucket:get('x') while true do end");
	time_ms = TIME_MS;
	got.reply.result = got.room;
	got.reply.result_size = sizeof(got.room);
	EQ(FUNCTIONS_TOO_LONG, functions_call(f, &q, &got.reply));
	EQ(1, whole);
	functions_free(&f);
}

/* What neither hook nor charge sees: the table's one step of growing goes on for a second and more.
 */
static void the_hard_stop_ends_what_is_deaf(void)
{
	struct functions *f =
		load("local t = {} for j = 1, 32769 do t[j * 65535] = 1 end return #t");
	struct functions_figures figures;
	uint64_t hard = 0;

	if (!bucket.item)
		fixture_init(&bucket);
	/* Where other programs have the processor meanwhile its time may be over before. */
	for (uint64_t i = 1; i <= 20 && hard < 3; i++) {
		fixture_call(f, &bucket, "m", "f", "\x90", &got);
		EQ(FUNCTIONS_TOO_LONG, got.status);
		hard += got.reply.hard;
		functions_figures(f, &figures);
		EQ(i, figures.renewed);
		EQ(hard, figures.hard_stops);
		EQ(0, figures.used_bytes);
		fixture_call(f, &bucket, "m", "ok", "\x90", &got);
		EQ(FUNCTIONS_OK, got.status);
	}
	EQ(3, hard);
	functions_free(&f);
}

UNIT_MAIN(T(loops_end), T(what_catches_errors_does_not_catch_this), T(strings_end), T(patterns_end),
	  T(tables_end), T(memory_ends), T(memory_is_bounded_whatever_the_time),
	  T(modules_that_do_not_end_are_not_loaded), T(arguments_of_megabytes_end),
	  T(an_operation_is_never_cut_short), T(the_hard_stop_ends_what_is_deaf),
	  T(what_a_call_begins_with_may_be_deaf))
