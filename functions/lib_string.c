/* string: what is short; patterns, format and pack have files of their own. */
#include <string.h>

#include "functions/sandbox_impl.h"

/* A beginning that may count from the end, as Lua has it: 1 at least. */
static size_t place_first(lua_Integer i, size_t n)
{
	if (i > 0)
		return (size_t)i;
	if (i == 0 || i < -(lua_Integer)n)
		return 1;
	return n + (size_t)i + 1;
}

static size_t place_last(lua_Integer i, size_t n)
{
	if (i > (lua_Integer)n)
		return n;
	if (i >= 0)
		return (size_t)i;
	return i < -(lua_Integer)n ? 0 : n + (size_t)i + 1;
}

static int str_len(lua_State *L)
{
	size_t n;

	(void)luaL_checklstring(L, 1, &n);
	lua_pushinteger(L, (lua_Integer)n);
	return 1;
}

static int str_sub(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	size_t from = place_first(arg_integer(L, 2), n);
	size_t to = place_last(arg_integer_or(L, 3, -1), n);

	if (from > to) {
		lua_pushliteral(L, "");
		return 1;
	}
	charge(L, to - from);
	lua_pushlstring(L, s + from - 1, to - from + 1);
	return 1;
}

static int str_byte(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_Integer i = arg_integer_or(L, 2, 1);
	size_t from = place_first(i, n);
	size_t to = place_last(arg_integer_or(L, 3, i), n);

	if (from > to)
		return 0;
	if (to - from >= RESULTS_MAX)
		return luaL_error(L, "string slice too long: the limit is %d", RESULTS_MAX);
	luaL_checkstack(L, (int)(to - from) + 1, "string slice too long");
	charge(L, 16 * (to - from));
	for (size_t at = from; at <= to; at++)
		lua_pushinteger(L, (uint8_t)s[at - 1]);
	return (int)(to - from) + 1;
}

static int str_char(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_Buffer b;
	char *p;

	for (int i = 1; i <= n; i++)
		luaL_argcheck(L, (lua_Unsigned)arg_integer(L, i) <= UINT8_MAX, i,
			      "value out of range");
	charge(L, 16 * (size_t)n);
	p = luaL_buffinitsize(L, &b, (size_t)n);
	for (int i = 1; i <= n; i++)
		p[i - 1] = (char)lua_tointeger(L, i);
	luaL_pushresultsize(&b, (size_t)n);
	return 1;
}

static int str_rep(lua_State *L)
{
	size_t n;
	size_t gap;
	const char *s = luaL_checklstring(L, 1, &n);
	lua_Integer times = arg_integer(L, 2);
	const char *g = luaL_optlstring(L, 3, "", &gap);
	size_t total;
	size_t done;
	luaL_Buffer b;
	char *p;

	if (times <= 0 || n + gap == 0) {
		lua_pushliteral(L, "");
		return 1;
	}
	if ((uint64_t)times > INT64_MAX / (n + gap))
		arg_room(L, UINT64_MAX);
	total = (size_t)times * (n + gap) - gap;
	arg_room(L, total);
	p = luaL_buffinitsize(L, &b, total);
	memcpy(p, s, n);
	done = n;
	if (times > 1) {
		memcpy(p + n, g, gap);
		done += gap;
	}
	while (done < total) { /* what is there once more, and so on */
		size_t more = done < total - done ? done : total - done;

		memcpy(p + done, p, more);
		done += more;
	}
	luaL_pushresultsize(&b, total);
	return 1;
}

static int str_reverse(lua_State *L)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_Buffer b;
	char *p;

	charge(L, n);
	p = luaL_buffinitsize(L, &b, n);
	for (size_t i = 0; i < n; i++)
		p[i] = s[n - 1 - i];
	luaL_pushresultsize(&b, n);
	return 1;
}

static int change_case(lua_State *L, char first, char last)
{
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	luaL_Buffer b;
	char *p;

	charge(L, n);
	p = luaL_buffinitsize(L, &b, n);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(s[i] ^ (s[i] >= first && s[i] <= last ? 0x20 : 0));
	luaL_pushresultsize(&b, n);
	return 1;
}

static int str_lower(lua_State *L)
{
	return change_case(L, 'A', 'Z');
}

static int str_upper(lua_State *L)
{
	return change_case(L, 'a', 'z');
}

/* ---- strings in arithmetic: "10" + 1 is 11 ---- */

static bool push_number(lua_State *L, int i)
{
	if (lua_type(L, i) == LUA_TNUMBER) {
		lua_pushvalue(L, i);
		return true;
	}
	return lua_type(L, i) == LUA_TSTRING && lua_rawlen(L, i) <= NUMERAL_MAX &&
	       lua_stringtonumber(L, lua_tostring(L, i)) == lua_rawlen(L, i) + 1;
}

/* What neither is nor becomes a number may know what to do itself. */
static int arithmetic_other(lua_State *L, const char *event)
{
	lua_settop(L, 2);
	if (lua_type(L, 2) == LUA_TSTRING || !luaL_getmetafield(L, 2, event))
		return luaL_error(L, "attempt to %s a '%s' with a '%s'", event + 2,
				  luaL_typename(L, 1), luaL_typename(L, 2));
	lua_insert(L, -3);
	lua_call(L, 2, 1);
	return 1;
}

static int arithmetic(lua_State *L, int op, const char *event)
{
	charge(L, 256);
	if (push_number(L, 1) && push_number(L, 2)) {
		lua_arith(L, op);
		return 1;
	}
	return arithmetic_other(L, event);
}

static int str_add(lua_State *L)
{
	return arithmetic(L, LUA_OPADD, "__add");
}

static int str_subtract(lua_State *L)
{
	return arithmetic(L, LUA_OPSUB, "__sub");
}

static int str_mul(lua_State *L)
{
	return arithmetic(L, LUA_OPMUL, "__mul");
}

static int str_mod(lua_State *L)
{
	return arithmetic(L, LUA_OPMOD, "__mod");
}

static int str_pow(lua_State *L)
{
	return arithmetic(L, LUA_OPPOW, "__pow");
}

static int str_div(lua_State *L)
{
	return arithmetic(L, LUA_OPDIV, "__div");
}

static int str_idiv(lua_State *L)
{
	return arithmetic(L, LUA_OPIDIV, "__idiv");
}

static int str_unm(lua_State *L)
{
	charge(L, 256);
	if (!push_number(L, 1))
		return arithmetic_other(L, "__unm");
	lua_arith(L, LUA_OPUNM);
	return 1;
}

/* ---- */

void lib_string(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"byte",    str_byte   },
                {"char",    str_char   },
                {"len",     str_len    },
		{"lower",   str_lower  },
                {"rep",     str_rep    },
                {"reverse", str_reverse},
		{"sub",     str_sub    },
                {"upper",   str_upper  },
                {NULL,      NULL       }
        };
	static const luaL_Reg meta[] = {
		{"__add",  str_add     },
                {"__div",  str_div     },
                {"__idiv", str_idiv    },
		{"__mod",  str_mod     },
                {"__mul",  str_mul     },
                {"__pow",  str_pow     },
		{"__sub",  str_subtract},
                {"__unm",  str_unm     },
                {NULL,     NULL        }
        };

	luaL_newlib(L, all);
	lua_pushcfunction(L, luaopen_string);
	lua_call(L, 0, 1);
	lib_pattern(L);
	lib_format(L);
	lua_pop(L, 1); /* Lua's own */
	/* s:upper() looks here, and nobody gets at it. */
	lua_pushliteral(L, "");
	luaL_newlib(L, meta);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	(void)lua_setmetatable(L, -2);
	lua_pop(L, 1);
}
