/* Lua's base, as much of it as is let in, and require. */
#include <string.h>

#include "functions/sandbox_impl.h"

/* ---- text ---- */

void arg_text(lua_State *L, int i)
{
	i = lua_absindex(L, i);
	if (luaL_callmeta(L, i, "__tostring")) {
		if (lua_type(L, -1) != LUA_TSTRING)
			(void)luaL_error(L, "'__tostring' must return a string");
		return;
	}
	switch (lua_type(L, i)) {
	case LUA_TSTRING:
		lua_pushvalue(L, i);
		break;
	case LUA_TNUMBER:
		lua_pushvalue(L, i);
		(void)lua_tolstring(L, -1, NULL);
		break;
	case LUA_TBOOLEAN:
		lua_pushstring(L, lua_toboolean(L, i) ? "true" : "false");
		break;
	case LUA_TLIGHTUSERDATA:
		lua_pushliteral(L, "null");
		break;
	default:
		if (luaL_getmetafield(L, i, "__name") == LUA_TSTRING)
			break;
		lua_pushstring(L, luaL_typename(L, i)); /* and no address */
	}
}

static int base_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	arg_text(L, 1);
	return 1;
}

/* ---- numbers ---- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'Z' ? c - 'A' + 10 : 99;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A numeral in this base, blanks around it; what does not fit wraps around. */
static bool based(const char *s, size_t n, int base, lua_Integer *ret)
{
	const char *end = s + n;
	lua_Unsigned v = 0;
	bool minus;

	while (s < end && is_blank(*s))
		s++;
	while (end > s && is_blank(end[-1]))
		end--;
	minus = s < end && *s == '-';
	s += s < end && (*s == '-' || *s == '+');
	if (s == end)
		return false;
	for (; s < end; s++) {
		if (digit_of(*s) >= base)
			return false;
		v = v * (lua_Unsigned)base + (lua_Unsigned)digit_of(*s);
	}
	*ret = (lua_Integer)(minus ? 0u - v : v);
	return true;
}

static int base_tonumber(lua_State *L)
{
	size_t n;
	const char *s;
	lua_Integer base;
	lua_Integer v;

	if (!lua_isnoneornil(L, 2)) {
		base = arg_integer(L, 2);
		luaL_checktype(L, 1, LUA_TSTRING);
		luaL_argcheck(L, 2 <= base && base <= 36, 2, "base out of range");
		s = lua_tolstring(L, 1, &n);
		if (n <= NUMERAL_MAX && based(s, n, (int)base, &v)) {
			lua_pushinteger(L, v);
			return 1;
		}
	} else if (lua_type(L, 1) == LUA_TNUMBER) {
		lua_settop(L, 1);
		return 1;
	} else {
		luaL_checkany(L, 1);
		s = lua_tolstring(L, 1, &n);
		if (s && n <= NUMERAL_MAX && lua_stringtonumber(L, s) == n + 1)
			return 1;
	}
	lua_pushnil(L);
	return 1;
}

/* ---- tables ---- */

static int base_setmetatable(lua_State *L)
{
	static const char *const refused[] = {"__gc", "__mode"};

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	for (size_t i = 0; lua_istable(L, 2) && i < sizeof(refused) / sizeof(refused[0]); i++) {
		lua_pushstring(L, refused[i]);
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "a metatable with %s is not for functions",
					  refused[i]);
		lua_pop(L, 1);
	}
	lua_settop(L, 2);
	(void)lua_setmetatable(L, 1);
	return 1;
}

static int base_rawset(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	if (sandbox_is_proxy(L, 1))
		return luaL_error(L, "what is built in cannot be changed");
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 1;
}

static int base_rawequal(lua_State *L)
{
	luaL_checkany(L, 1);
	luaL_checkany(L, 2);
	if (lua_type(L, 1) == LUA_TSTRING && lua_type(L, 2) == LUA_TSTRING)
		charge(L, lua_rawlen(L, 1));
	lua_pushboolean(L, lua_rawequal(L, 1, 2));
	return 1;
}

/*
 * A step over a table may have to pass by all that was taken out of it, and nobody can see how much
 * that is: so the clock is looked at often.
 */
static int base_next(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	charge(L, functions_of(L)->arena.used >= (1u << 20) ? 8192 : 256);
	if (lua_next(L, 1))
		return 2;
	lua_pushnil(L);
	return 1;
}

static int base_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (luaL_getmetafield(L, 1, "__pairs") == LUA_TNIL) {
		lua_pushvalue(L, lua_upvalueindex(1));
		lua_pushvalue(L, 1);
		lua_pushnil(L);
	} else {
		lua_pushvalue(L, 1);
		lua_call(L, 1, 3);
	}
	return 3;
}

/* ---- errors ---- */

static int base_pcall(lua_State *L)
{
	int r;

	luaL_checkany(L, 1);
	charge(L, 64 + 16 * (size_t)lua_gettop(L));
	lua_pushcfunction(L, limits_depth);
	lua_insert(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 2);
	r = lua_pcall(L, lua_gettop(L) - 3, LUA_MULTRET, 1);
	if (r == LUA_OK)
		return lua_gettop(L) - 1;
	if (functions_of(L)->over)
		return lua_error(L); /* time, memory or depth is gone: nobody holds that */
	if (r != LUA_ERRRUN) {
		functions_of(L)->over = r == LUA_ERRMEM ? LIMIT_MEMORY : LIMIT_DEPTH;
		return lua_error(L);
	}
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

/* ---- modules ---- */

static int node_name(lua_State *L)
{
	lua_pushstring(L, functions_of(L)->node);
	return 1;
}

static int node_ping(lua_State *L)
{
	lua_pushliteral(L, "pong");
	return 1;
}

static int require_node(lua_State *L)
{
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, node_name);
	lua_setfield(L, -2, "name");
	lua_pushcfunction(L, node_ping);
	lua_setfield(L, -2, "ping");
	return 1;
}

static int base_require(lua_State *L)
{
	struct functions *f = functions_of(L);
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	long i = sandbox_find(f, (struct span){s, n});

	if (i < 0 && n == 4 && !memcmp(s, "node", 4))
		return require_node(L);
	if (i < 0)
		return luaL_error(L, "there is no module '%s'", s);
	lua_settop(L, 1);
	if ((size_t)i == f->main) {
		if (lua_rawgeti(L, LUA_REGISTRYINDEX, PLACE_MAIN) != LUA_TTABLE)
			return luaL_error(L, "module '%s' is required while it runs", s);
		return 1;
	}
	if (lua_rawgeti(L, LUA_REGISTRYINDEX, PLACE_LOADED) != LUA_TTABLE) {
		lua_settop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_LOADED);
	}
	switch (lua_rawgeti(L, 2, i + 1)) {
	case LUA_TTABLE:
		return 1;
	case LUA_TBOOLEAN:
		return luaL_error(L, "module '%s' is required while it runs", s);
	default:
		break;
	}
	lua_pushboolean(L, 1);
	lua_rawseti(L, 2, i + 1);
	sandbox_module(L, (size_t)i);
	lua_pushvalue(L, -1);
	lua_rawseti(L, 2, i + 1);
	return 1;
}

/* ---- */

void lib_base(lua_State *L)
{
	static const char *const theirs[] = {"assert", "error",  "getmetatable", "ipairs",
					     "rawget", "rawlen", "select",       "type"};
	static const luaL_Reg ours[] = {
		{"next",         base_next        },
		{"pcall",        base_pcall       },
		{"print",        lib_print        },
		{"rawequal",     base_rawequal    },
		{"rawset",       base_rawset      },
		{"require",      base_require     },
		{"setmetatable", base_setmetatable},
		{"tonumber",     base_tonumber    },
		{"tostring",     base_tostring    },
		{NULL,           NULL             }
        };

	luaL_newlib(L, ours);
	lua_pushcfunction(L, luaopen_base); /* it fills the table of globals, which nobody sees */
	lua_call(L, 0, 1);
	for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
		lua_getfield(L, -1, theirs[i]);
		lua_setfield(L, -3, theirs[i]);
	}
	lua_pop(L, 1);
	lua_getfield(L, -1, "next");
	lua_pushcclosure(L, base_pairs, 1);
	lua_setfield(L, -2, "pairs");
	lua_pushstring(L, LUA_VERSION);
	lua_setfield(L, -2, "_VERSION");
}
