/* utf8: a decoder of our own, so that what is long can be charged for on the way. */
#include <string.h>

#include "functions/sandbox_impl.h"

#define PART 4096 /* bytes between charges */

static bool is_middle(char c)
{
	return (c & 0xc0) == 0x80;
}

const char *utf8_step(const char *s, const char *end, bool lax, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000, 0x200000, 0x4000000};
	uint8_t c = (uint8_t)*s++;
	unsigned more = 0;
	uint32_t v;

	if (c < 0x80) {
		*ret = c;
		return s;
	}
	if (c < 0xc0 || c >= 0xfe)
		return NULL;
	while (c & (0x40u >> more))
		more++;
	v = c & (0x3fu >> more);
	if ((size_t)(end - s) < more)
		return NULL;
	for (unsigned i = 0; i < more; i++, s++) {
		if (!is_middle(*s))
			return NULL;
		v = v << 6 | ((uint8_t)*s & 0x3fu);
	}
	if (v < least[more] || (!lax && (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))))
		return NULL;
	*ret = v;
	return s;
}

bool utf8_valid(const char *s, size_t n)
{
	const char *end = s + n;
	uint32_t c;

	while (s && s < end)
		s = utf8_step(s, end, false, &c);
	return s != NULL;
}

/* A position that may count from the end; 0: before the beginning. */
static lua_Integer place(lua_Integer i, size_t n)
{
	if (i >= 0)
		return i;
	return 0u - (size_t)i > n ? 0 : (lua_Integer)n + i + 1;
}

static int u_len(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_Integer i = place(arg_integer_or(L, 2, 1), n);
	lua_Integer j = place(arg_integer_or(L, 3, -1), n);
	bool lax = lua_toboolean(L, 4);
	lua_Integer count = 0;
	uint32_t c;

	luaL_argcheck(L, 1 <= i && --i <= (lua_Integer)n, 2, "initial position out of bounds");
	luaL_argcheck(L, --j < (lua_Integer)n, 3, "final position out of bounds");
	while (i <= j) {
		const char *next = utf8_step(s + i, s + n, lax, &c);

		if (!next) {
			lua_pushnil(L);
			lua_pushinteger(L, i + 1);
			return 2;
		}
		i = next - s;
		if (++count % PART == 0)
			charge(L, 4 * PART);
	}
	lua_pushinteger(L, count);
	return 1;
}

static int u_codepoint(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_Integer i = place(arg_integer_or(L, 2, 1), n);
	lua_Integer j = place(arg_integer_or(L, 3, i), n);
	bool lax = lua_toboolean(L, 4);
	const char *end = s + n;
	const char *last;
	int count = 0;

	luaL_argcheck(L, i >= 1, 2, "out of bounds");
	luaL_argcheck(L, j <= (lua_Integer)n, 3, "out of bounds");
	if (i > j)
		return 0;
	last = s + j;
	for (s += i - 1; s < last; count++) {
		const char *next;
		uint32_t c;

		next = utf8_step(s, end, lax, &c);
		if (!next)
			return luaL_error(L, "invalid UTF-8 code");
		if (count >= RESULTS_MAX)
			return luaL_error(L, "string slice too long: the limit is %d", RESULTS_MAX);
		charge(L, 16);
		luaL_checkstack(L, 1, "string slice too long");
		lua_pushinteger(L, c);
		s = next;
	}
	return count;
}

static void add_character(luaL_Buffer *b, uint32_t c)
{
	char out[6];
	unsigned more = 0;
	unsigned first = 0x3f; /* what fits into the first byte */

	if (c < 0x80) {
		luaL_addchar(b, (char)c);
		return;
	}
	do {
		out[5 - more++] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
		first >>= 1;
	} while (c > first);
	out[5 - more] = (char)((~first << 1) | c);
	luaL_addlstring(b, out + 5 - more, more + 1);
}

static int u_char(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_Buffer b;

	for (int i = 1; i <= n; i++) {
		lua_Unsigned c = (lua_Unsigned)arg_integer(L, i);

		luaL_argcheck(L, c <= 0x7fffffff, i, "value out of range");
	}
	charge(L, 16 * (size_t)n);
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++)
		add_character(&b, (uint32_t)lua_tointeger(L, i));
	luaL_pushresult(&b);
	return 1;
}

static int u_offset(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Integer n = arg_integer(L, 2);
	lua_Integer size = (lua_Integer)len;
	lua_Integer i = place(arg_integer_or(L, 3, n >= 0 ? 1 : size + 1), len);

	luaL_argcheck(L, 1 <= i && --i <= size, 3, "position out of bounds");
	charge(L, len);
#define MIDDLE(at) ((at) < size && is_middle(s[at]))
	if (n == 0) {
		while (i > 0 && MIDDLE(i))
			i--;
		lua_pushinteger(L, i + 1);
		return 1;
	}
	if (MIDDLE(i))
		return luaL_error(L, "initial position is a continuation byte");
	for (; n < 0 && i > 0; n++)
		do {
			i--;
		} while (i > 0 && MIDDLE(i));
	if (n > 0)
		n--;
	for (; n > 0 && i < size; n--)
		do {
			i++;
		} while (MIDDLE(i));
#undef MIDDLE
	if (n == 0)
		lua_pushinteger(L, i + 1);
	else
		lua_pushnil(L);
	return 1;
}

/* The step of utf8.codes; strict or lax is its upvalue. */
static int codes_step(lua_State *L)
{
	size_t len;
	const char *s = luaL_checklstring(L, 1, &len);
	lua_Unsigned i = (lua_Unsigned)arg_integer(L, 2);
	const char *next;
	size_t from = i;
	uint32_t c;

	while (i < len && is_middle(s[i]))
		i++;
	charge(L, 16 + (i - from));
	if (i >= len)
		return 0;
	next = utf8_step(s + i, s + len, lua_toboolean(L, lua_upvalueindex(1)), &c);
	if (!next || (next < s + len && is_middle(*next)))
		return luaL_error(L, "invalid UTF-8 code");
	lua_pushinteger(L, (lua_Integer)i + 1);
	lua_pushinteger(L, c);
	return 2;
}

static int u_codes(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);

	luaL_argcheck(L, !(n && is_middle(*s)), 1, "invalid UTF-8 code");
	lua_pushboolean(L, lua_toboolean(L, 2));
	lua_pushcclosure(L, codes_step, 1);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

void lib_utf8(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"char",      u_char     },
                {"codepoint", u_codepoint},
                {"codes",     u_codes    },
		{"len",       u_len      },
                {"offset",    u_offset   },
                {NULL,        NULL       }
        };
	static const char pattern[] = "[\0-\x7F\xC2-\xFD][\x80-\xBF]*";

	luaL_newlib(L, all);
	lua_pushlstring(L, pattern, sizeof(pattern) - 1);
	lua_setfield(L, -2, "charpattern");
}
