/*
 * Our string, table and utf8, and above all our patterns, beside Lua's own: thousands of random
 * calls must give the same results, and the same errors.
 */
#include <stdarg.h>

#include "functions/lua_impl.h"
#include "tests/unit/lib/unit.h"
#include "tests/unit/lib/function_fixture.h"

#define CASES  400u /* of one source */
#define ROUNDS 25u

static char source[1u << 20];
static size_t at;
static size_t case_at[CASES + 1]; /* where each begins in the source */
static uint64_t state;

static const char prelude[] =
	"local out = {}\n"
	"local function escape(s)\n"
	"	local r = {}\n"
	"	for i = 1, #s do\n"
	"		local b = s:byte(i)\n"
	"		r[i] = (b < 32 or b > 126 or b == 92) and '\\\\' .. b or s:sub(i, i)\n"
	"	end\n"
	"	return table.concat(r)\n"
	"end\n"
	"local function show(v)\n"
	"	if type(v) == 'string' then return #v .. ':' .. escape(v) end\n"
	"	if v ~= v then return 'nan' end\n"
	"	return tostring(v)\n"
	"end\n"
	"local function T(f, ...)\n"
	"	local r = table.pack(pcall(f, ...))\n"
	"	local line = {}\n"
	"	for i = 2, r.n do line[#line + 1] = show(r[i]) end\n"
	"	line = table.concat(line, '|')\n"
	"	if not r[1] and (line:find('bad argument', 1, true) or line:find('invalid "
	"conversion', 1, true)) then line = 'bad argument' "
	"end\n"
	"	out[#out + 1] = tostring(r[1]) .. ' ' .. line\n"
	"end\n"
	"local function all(s, p, i)\n"
	"	local r = {}\n"
	"	for a, b, c in string.gmatch(s, p, i) do r[#r + 1] = show(a) .. show(b) .. show(c) "
	"end\n"
	"	return table.concat(r, ';')\n"
	"end\n"
	"local function codes(s, lax)\n"
	"	local r = {}\n"
	"	for i, c in utf8.codes(s, lax) do r[#r + 1] = i .. '=' .. c end\n"
	"	return table.concat(r, ';')\n"
	"end\n"
	"local function after(f, t, ...)\n"
	"	local r = table.pack(f(t, ...))\n"
	"	for i = 1, r.n do r[i] = show(r[i] == t and 'same' or type(r[i]) == 'table' and "
	"'table' or r[i]) end\n"
	"	local n = {}\n"
	"	for i = -5, 25 do n[#n + 1] = show(t[i]) end\n"
	"	return table.concat(r, ',', 1, r.n) .. '>' .. table.concat(n, ',')\n"
	"end\n"
	"local function both(...) return table.concat({...}, '+') end\n"
	"local function sorted(t, f) table.sort(t, f) return table.concat(t, ',') end\n";

/* ---- random Lua ---- */

static unsigned below(unsigned n)
{
	return (unsigned)(unit_random(&state) % n);
}

static void add(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	at += (size_t)vsnprintf(source + at, sizeof(source) - at, fmt, ap);
	va_end(ap);
	TRUE_(at < sizeof(source));
}

static void add_byte(unsigned char c)
{
	add("\\%03u", c);
}

static void add_text(unsigned max, const char *alphabet, size_t n)
{
	unsigned len = below(max + 1);

	add("'");
	while (len--)
		add_byte(below(12) ? (unsigned char)alphabet[below((unsigned)n)]
				   : (unsigned char)below(256));
	add("'");
}

static const char letters[] = "aaabbbc12 .x-()";

static void add_integer(void)
{
	static const char *const far[] = {
		"math.maxinteger", "math.mininteger", "0", "1", "-1", "(1 << 31)", "3.0", "'2'"};

	if (below(12))
		add("%d", (int)below(30) - 12);
	else
		add("%s", far[below(8)]);
}

static void add_set(void)
{
	static const char *const parts[] = {"a",   "b",  "%a", "%d", "%%",  "%]", "a-c",
					    "1-9", "]",  "^",  "-",  "%w",  "%S", ".",
					    "%-",  "x-", "[",  "%",  "\\0", "%s", "a-"};
	unsigned n = 1 + below(3);

	add("[%s", below(4) ? "" : "^");
	while (n--)
		add("%s", parts[below(sizeof(parts) / sizeof(parts[0]))]);
	add("%s", below(20) ? "]" : "");
}

static void add_item(void)
{
	static const char *const items[] = {
		"a",  "b", ".", "%a", "%d", "%s", "%w", "%x", "%p", "%u",   "%l", "%g", "%c", "%A",
		"%W", "c", "1", "%.", "x",  " ",  "-",  "%z", "%(", "%D%S", "^",  "$",  "\\0"};

	switch (below(24)) {
	case 0:
	case 1:
	case 2:
		add_set();
		break;
	case 3:
		add("%s", below(2) ? "%b()" : "%bab");
		break;
	case 4:
		add("%%f");
		add_set();
		break;
	case 5:
		add("%%%u", below(4));
		break;
	case 6:
		add("()");
		break;
	case 7:
		add("%s", below(3) ? "(" : ")");
		break;
	case 8:
		add("%s", below(4) ? "%" : "%b");
		break;
	default:
		add("%s", items[below(sizeof(items) / sizeof(items[0]))]);
	}
	if (!below(2))
		add("%c", "*+-?"[below(4)]);
}

static void add_pattern(void)
{
	unsigned n = below(6);
	bool open = false;

	add("'%s", below(6) ? "" : "^");
	while (n--) {
		if (!open && !below(4)) {
			add("(");
			open = true;
		}
		add_item();
		if (open && !below(2)) {
			add(")");
			open = false;
		}
	}
	add("%s%s'", open && below(8) ? ")" : "", below(6) ? "" : "$");
}

static void add_replacement(void)
{
	static const char *const parts[] = {"x", "%0", "%1", "%2", "%%", "<", ">", "%9", "%a", "%"};
	unsigned n = below(4);

	switch (below(6)) {
	case 0:
		add("{a = 'A', b = 2, ['1'] = false, c = 1.5, [1] = 'p'}");
		return;
	case 1:
		add("both");
		return;
	case 2:
		add("function(a) return %s end",
		    below(2) ? "a == 'a' and 'q'" : "a ~= 'b' and nil or {}");
		return;
	default:
		add("'");
		while (n--)
			add("%s", parts[below(below(3) ? 7 : 10)]);
		add("'");
	}
}

static void add_numeral(void)
{
	static const char *const all[] = {"10",
					  " 10 ",
					  "0x1F",
					  "-0x1f",
					  "1e2",
					  "1e",
					  ".5",
					  "5.",
					  "0x.8p1",
					  "0xp1",
					  "inf",
					  "nan",
					  "",
					  " ",
					  "-",
					  "+5",
					  "- 5",
					  "1_000",
					  "1,5",
					  "9223372036854775808",
					  "-9223372036854775808",
					  "1e400",
					  "0x",
					  "zz",
					  "7f",
					  "101",
					  "-zz",
					  "0b1",
					  "1\\0",
					  "\\t5\\n",
					  "1e+10",
					  "0x1p-2",
					  "99999999999999999999999999",
					  "0xffffffffffffffffff"};

	add("'%s'", all[below(sizeof(all) / sizeof(all[0]))]);
}

/* Of the first so many parts: the first four are characters, some of the others are none. */
static void add_utf8(unsigned kinds)
{
	static const char *const parts[] = {
		"a",          "\\u{e4}",       "\\u{20ac}",   "\\u{1f600}",  "\\x80",
		"\\xc3",      "\\xff",         "\\u{7f}",     "\\u{80}",     "\\u{7ff}",
		"\\u{800}",   "\\u{ffff}",     "\\u{10ffff}", "\\u{110000}", "\\xed\\xa0\\x80",
		"\\xc0\\x80", "\\u{7fffffff}", "\\0"};
	unsigned n = below(6);

	add("'");
	while (n--)
		add("%s", parts[below(kinds)]);
	add("'");
}

static void add_list(void)
{
	unsigned n = below(8);

	add("{");
	while (n--) {
		if (below(3))
			add("%u, ", below(20));
		else
			add("'%c', ", 'a' + (int)below(4));
	}
	add("}");
}

static void add_spec(void)
{
	static const char flags[] = "-+ #0";
	unsigned n = below(3);

	add("'<%%");
	while (n--)
		add("%c", flags[below(5)]);
	if (below(2))
		add("%u", below(20));
	if (!below(3))
		add(".%u", below(10));
	add("%c>'", "diuxXoceEfgGaAsqsdy"[below(19)]);
}

static void add_pack_format(void)
{
	static const char *const parts[] = {"b",   "B",  "h", "H",   "i", "I3", "l", "j",
					    "J",   "T",  "d", "f",   "n", "s1", "s", "z",
					    "c5",  "x",  "<", ">",   "=", "!4", "!", "Xi4",
					    "i16", "I1", " ", "i17", "c", "q"};
	unsigned n = 1 + below(4);

	add("'");
	while (n--)
		add("%s", parts[below(below(8) ? 26 : 30)]);
	add("'");
}

/* A template: %s a text, %i an integer, %p a pattern, %r a replacement, and so on. */
static void add_case(const char *t)
{
	for (; *t; t++) {
		if (*t != '%') {
			add("%c", *t);
			continue;
		}
		switch (*++t) {
		case '%':
			add("%%");
			break;
		case 's':
			add_text(14, letters, sizeof(letters) - 1);
			break;
		case 'i':
			add_integer();
			break;
		case 'p':
			add_pattern();
			break;
		case 'r':
			add_replacement();
			break;
		case 'n':
			add_numeral();
			break;
		case 'u':
			add_utf8(below(3) ? 4 : 18);
			break;
		case 'v':
			add_utf8(4);
			break;
		case 'l':
			add_list();
			break;
		case 'f':
			add_spec();
			break;
		case 'k':
			add_pack_format();
			break;
		case 'd':
			add("%u", below(40));
			break;
		default:
			CU_FAIL_FATAL("no such mark");
		}
	}
	add("\n");
}

/* ---- both sides ---- */

static struct fixture_bucket bucket;
static struct fixture_reply got;

/* What Lua itself says; the state is the caller's to close. */
static const char *theirs(lua_State **ret)
{
	lua_State *L = luaL_newstate();
	const char *s;

	luaL_openlibs(L);
	if (luaL_loadbuffer(L, source, at, "=m") || lua_pcall(L, 0, 1, 0) ||
	    (lua_getfield(L, -1, "f"), lua_pcall(L, 0, 1, 0))) {
		(void)printf("# %s\n", lua_tostring(L, -1));
		CU_FAIL_FATAL("Lua itself fails");
	}
	s = lua_tostring(L, -1);
	*ret = L;
	return s;
}

static const char *ours(void)
{
	struct functions_config config = FIXTURE_CONFIG;
	struct functions_source s = {
		"m", {source, at}
        };
	struct functions *f = NULL;
	char why[FUNCTIONS_WHY_MAX];
	size_t head;

	config.time_ms = 60000;
	if (functions_new(&config, &s, 1, &f, why, sizeof(why)) < 0) {
		(void)printf("# %s\n", why);
		CU_FAIL_FATAL("it does not load");
	}
	fixture_call(f, &bucket, "m", "f", "\x90", &got);
	functions_free(&f);
	if (got.status != FUNCTIONS_OK) {
		(void)printf("# %s\n", got.reply.why);
		CU_FAIL_FATAL("ours fails");
	}
	head = got.room[0] == (char)0xc4 ? 2 : got.room[0] == (char)0xc5 ? 3 : 5;
	got.room[got.reply.n] = '\0';
	return got.room + head;
}

static void compare_lines(const char *a, const char *b)
{
	for (size_t i = 0;; i++) {
		size_t n = strcspn(a, "\n");
		size_t m = strcspn(b, "\n");

		if (n != m || memcmp(a, b, n) != 0) {
			(void)printf("# %.*s\n#   Lua:  %.*s\n#   ours: %.*s\n",
				     (int)(case_at[i + 1] - case_at[i]), source + case_at[i],
				     (int)n, a, (int)m, b);
			(void)printf("# PAIL_SEED=%llu\n", (unsigned long long)unit_seed());
			unit_fail(__FILE__, __LINE__, "a case", 0, (long long)i);
			CU_FAIL_FATAL("another result");
		}
		a += n;
		b += m;
		if (!*a)
			return;
		a++;
		b++;
	}
}

static void compare(const char *const *templates, size_t n)
{
	if (!bucket.item)
		fixture_init(&bucket);
	state = unit_seed();
	for (unsigned round = 0; round < ROUNDS; round++) {
		lua_State *L;
		const char *a;

		at = 0;
		add("%sreturn {f = function()\n", prelude);
		for (size_t i = 0; i < CASES; i++) {
			case_at[i] = at;
			add_case(templates[below((unsigned)n)]);
		}
		case_at[CASES] = at;
		add("return table.concat(out, '\\n')\nend}\n");
		a = theirs(&L);
		compare_lines(a, ours());
		lua_close(L);
	}
}

#define COMPARE(...)                                            \
	do {                                                    \
		static const char *const all[] = {__VA_ARGS__}; \
		compare(all, sizeof(all) / sizeof(all[0]));     \
	} while (0)

static void patterns_match_as_in_lua(void)
{
	COMPARE("T(string.find, %s, %p)", "T(string.match, %s, %p)", "T(string.find, %s, %p, %i)",
		"T(string.match, %s, %p, %i)", "T(string.find, %s, %s, %i, true)",
		"T(string.find, %s, %s)");
}

static void gmatch_and_gsub_are_as_in_lua(void)
{
	COMPARE("T(all, %s, %p)", "T(all, %s, %p, %i)", "T(string.gsub, %s, %p, %r)",
		"T(string.gsub, %s, %p, %r)", "T(string.gsub, %s, %p, %r, %i)");
}

static void strings_are_as_in_lua(void)
{
	COMPARE("T(string.sub, %s, %i)", "T(string.sub, %s, %i, %i)", "T(string.byte, %s, %i, %i)",
		"T(string.byte, %s, %i)", "T(string.rep, %s, %d)", "T(string.rep, %s, %d, %s)",
		"T(string.rep, '', %d, '')", "T(string.upper, %s)", "T(string.lower, %s)",
		"T(string.reverse, %s)", "T(string.len, %s)", "T(string.char, %d, %i)",
		"T(string.format, %f, %i)", "T(string.format, %f, %s)", "T(string.format, %f, %n)",
		"T(string.format, %f, 1 / %i)", "T(string.format, '%%q', %s)",
		"T(string.format, '%%q', 1 / %d)", "T(string.format, '%%q', %i)",
		"T(string.format, %s, %s)", "T(string.format, '%%s %%%% %%d', %s, %i, 4)",
		"T(string.format, '%%s')", "T(tostring, %i)", "T(tostring, %i / 3)",
		"T(rawequal, %s, %s)", "T(select, %i, %s, %s, %s)", "T(math.max, %i, %n, %i)");
}

static void numerals_are_as_in_lua(void)
{
	COMPARE("T(tonumber, %n)", "T(tonumber, %n, 2 + %d %% 35)", "T(tonumber, %n, %i)",
		"T(tonumber, %i)", "T(tonumber, %i, 10)", "T(tonumber, %s)",
		"T(function() return %n + 1 end)", "T(function() return %n * %n end)",
		"T(function() return 2 ^ %n end)", "T(function() return %n // 3 end)",
		"T(function() return -%n end)", "T(function() return %n %% %n end)",
		"T(function() return %n - %i end)", "T(function() return %n / 2 end)",
		"T(function() return %s < %s end)", "T(function() return %n .. %i end)",
		"T(math.tointeger, %i)", "T(math.abs, %n)", "T(math.fmod, %n, %i)");
}

static void packing_is_as_in_lua(void)
{
	COMPARE("T(string.pack, %k, %i, %i, %i, %i)", "T(string.pack, %k, %s, %i, %s, %i)",
		"T(string.pack, %k, %i, %s, %i, %s)", "T(string.packsize, %k)",
		"T(string.unpack, %k, %s .. 'abcdefghijklmnopqrstuvw\\0xyz')",
		"T(string.unpack, %k, 'abcdefghijklmnopqrstuvwxyz\\0', %i)");
}

static void utf8_is_as_in_lua(void)
{
	COMPARE("T(utf8.len, %u)", "T(utf8.len, %u, %i)", "T(utf8.len, %u, %i, %i)",
		"T(utf8.len, %u, 1, -1, true)", "T(utf8.codepoint, %u, %i)",
		"T(utf8.codepoint, %u, %i, %i)", "T(utf8.codepoint, %u, 1, -1, true)",
		"T(utf8.offset, %u, %i)", "T(utf8.offset, %u, %i, %i)", "T(utf8.char, %i, %d)",
		"T(utf8.char, 0x7fffffff, 0x10ffff, 0xffff, 0x10000, 0x7ff, 0x800, 0x80, 127)",
		"T(codes, %v)", "T(codes, %v, true)", "T(all, %u, utf8.charpattern)");
}

static void tables_are_as_in_lua(void)
{
	COMPARE("T(after, table.insert, %l, %i)", "T(after, table.insert, %l, %i, 'new')",
		"T(after, table.remove, %l)", "T(after, table.remove, %l, %i)",
		"T(after, table.move, %l, %d %% 9, %d %% 9, %d %% 9)",
		"T(after, table.move, %l, 1, 3, %i, {7, 8, 9})",
		"T(after, table.move, %l, 3, 1, %i)", "T(table.concat, %l)",
		"T(table.concat, %l, %s)", "T(table.concat, %l, %s, %d)",
		"T(table.concat, %l, ',', %d, %d)", "T(table.unpack, %l)",
		"T(table.unpack, %l, %d %% 9, %d %% 9)", "T(after, table.pack, %i, nil, %i)",
		"T(function(...) return table.pack(...).n end, %i, nil)",
		"T(sorted, {%d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %d})",
		"T(sorted, {%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s})",
		"T(sorted, {%d, %d, %d, %d, %d, %d}, function(a, b) return a > b end)",
		"T(function() return (pcall(sorted, {%d, %d, %s, %d})) end)", "T(next, %l)",
		"T(rawlen, %l)");
}

UNIT_MAIN(T(patterns_match_as_in_lua), T(gmatch_and_gsub_are_as_in_lua), T(strings_are_as_in_lua),
	  T(numerals_are_as_in_lua), T(packing_is_as_in_lua), T(utf8_is_as_in_lua),
	  T(tables_are_as_in_lua))
