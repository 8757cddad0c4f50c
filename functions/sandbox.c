/* A lua_State with what a function may reach, and a module's run in it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "functions/sandbox_impl.h"

#define GC_PAUSE 200
#define GC_WORK  100
#define GC_STEP  13 /* 8 KiB */

/* ---- tables that cannot be changed ---- */

static const char proxy_mark;

static int refuse_change(lua_State *L)
{
	return luaL_error(L, "what is built in cannot be changed");
}

void sandbox_proxy(lua_State *L)
{
	lua_newtable(L);
	lua_createtable(L, 0, 4);
	lua_rotate(L, -3, 2); /* proxy, metatable, the real one */
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, refuse_change);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pushboolean(L, 1);
	lua_rawsetp(L, -2, &proxy_mark);
	(void)lua_setmetatable(L, -2);
}

bool sandbox_is_proxy(lua_State *L, int i)
{
	bool is;

	if (!lua_getmetatable(L, i))
		return false;
	is = lua_rawgetp(L, -1, &proxy_mark) == LUA_TBOOLEAN;
	lua_pop(L, 2);
	return is;
}

/* ---- making one ---- */

static void add(lua_State *L, void (*open)(lua_State *L), const char *name)
{
	open(L);
	sandbox_proxy(L);
	lua_setfield(L, -2, name);
}

static int build(lua_State *L)
{
	struct functions *f = functions_of(L);

	lib_base(L);
	lua_newtable(L); /* Lua's own globals are gone */
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
	add(L, lib_string, "string");
	add(L, lib_table, "table");
	add(L, lib_math, "math");
	add(L, lib_utf8, "utf8");
	add(L, lib_pail, "pail");
	lua_createtable(L, 0, 2);
	lua_insert(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_ENV_META);
	lua_pushboolean(L, 0);
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_ENV);
	lib_bucket(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_BUCKET);
	for (size_t i = 0; i < f->count; i++) {
		const struct module *m = &f->module[i];

		if (!m->code.len)
			continue; /* it is being compiled for the first time */
		if (luaL_loadbufferx(L, m->code.data, m->code.len, m->name, "b") != LUA_OK)
			return lua_error(L);
		lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_CHUNKS + (lua_Integer)i);
	}
	return 0;
}

int sandbox_new(struct functions *f)
{
	lua_State *L;

	arena_init(&f->arena, &f->busy);
	L = lua_newstate(limits_allocate, f);
	if (!L)
		return -ENOMEM;
	f->L = L;
	*(struct functions **)lua_getextraspace(L) = f;
	lua_pushcfunction(L, build);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
		sandbox_drop(f);
		return -ENOMEM;
	}
	(void)lua_gc(L, LUA_GCCOLLECT);
	(void)lua_gc(L, LUA_GCINC, GC_PAUSE, GC_WORK, GC_STEP);
	lua_sethook(L, limits_hook, LUA_MASKCOUNT, SANDBOX_HOOK_COUNT);
	f->base = f->arena.used;
	return 0;
}

/* lua_close would free object by object: there is nothing that it would have to be told. */
void sandbox_drop(struct functions *f)
{
	if (!f->L)
		return;
	f->L = NULL;
	arena_drop(&f->arena);
}

/* ---- running modules ---- */

long sandbox_find(const struct functions *f, struct span name)
{
	size_t low = 0;
	size_t high = f->count;

	while (low < high) {
		size_t i = low + (high - low) / 2;
		int c = span_compare(name, span_of(f->module[i].name));

		if (!c)
			return (long)i;
		if (c < 0)
			high = i;
		else
			low = i + 1;
	}
	return -1;
}

void sandbox_env(lua_State *L)
{
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "_G");
	lua_rawgeti(L, LUA_REGISTRYINDEX, PLACE_ENV_META);
	(void)lua_setmetatable(L, -2);
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_ENV);
	lua_pushboolean(L, 0);
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_LOADED);
	lua_pushboolean(L, 0);
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_MAIN);
}

void sandbox_module(lua_State *L, size_t i)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, PLACE_CHUNKS + (lua_Integer)i);
	lua_rawgeti(L, LUA_REGISTRYINDEX, PLACE_ENV);
	if (!lua_setupvalue(L, -2, 1))
		lua_pop(L, 1);
	lua_call(L, 0, 1);
	if (!lua_istable(L, -1))
		(void)luaL_error(L, "%s:1: the module must return a table of its functions",
				 functions_of(L)->module[i].name);
}

/* ---- errors and arguments ---- */

void sandbox_refuse(lua_State *L, enum functions_status status, int code, const char *fmt, ...)
{
	struct functions *f = functions_of(L);
	char text[512];
	const char *s;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	luaL_where(L, 1);
	lua_pushstring(L, text);
	lua_concat(L, 2);
	s = lua_tolstring(L, -1, &f->refusal_len);
	if (f->refusal_len > sizeof(f->refusal))
		f->refusal_len = sizeof(f->refusal);
	memcpy(f->refusal, s, f->refusal_len);
	f->refused = status;
	f->op_code = code;
	(void)lua_error(L);
	abort();
}

void arg_numeral(lua_State *L, int i)
{
	if (lua_type(L, i) == LUA_TSTRING && lua_rawlen(L, i) > NUMERAL_MAX)
		(void)luaL_argerror(L, i, "the numeral is too long");
}

lua_Integer arg_integer(lua_State *L, int i)
{
	arg_numeral(L, i);
	return luaL_checkinteger(L, i);
}

lua_Integer arg_integer_or(lua_State *L, int i, lua_Integer otherwise)
{
	arg_numeral(L, i);
	return luaL_optinteger(L, i, otherwise);
}

void arg_room(lua_State *L, uint64_t n)
{
	uint64_t max = functions_of(L)->config.value_max;

	if (n > max)
		(void)luaL_error(L, "a string of %I bytes would be above limits.value, which is %I",
				 (lua_Integer)(n > INT64_MAX ? INT64_MAX : n), (lua_Integer)max);
	charge(L, n);
}
