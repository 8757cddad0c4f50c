/*
 * table: tables without a metatable only, so that a length is a number that we know, and each
 * element that is moved or compared is charged for.
 */
#include <string.h>

#include "functions/sandbox_impl.h"

#define ELEMENT 32 /* what reading and writing one costs */

static void plain(lua_State *L, int i)
{
	luaL_checktype(L, i, LUA_TTABLE);
	if (lua_getmetatable(L, i))
		(void)luaL_argerror(L, i, "a table without a metatable expected");
}

static lua_Integer length(lua_State *L, int i)
{
	plain(L, i);
	return (lua_Integer)lua_rawlen(L, i);
}

static int table_insert(lua_State *L)
{
	lua_Integer end = (lua_Integer)((lua_Unsigned)length(L, 1) + 1u); /* it may wrap around */
	lua_Integer at;

	switch (lua_gettop(L)) {
	case 2:
		lua_rawseti(L, 1, end);
		return 0;
	case 3:
		at = arg_integer(L, 2);
		luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2,
			      "position out of bounds");
		for (lua_Integer i = end; i > at; i--) {
			charge(L, ELEMENT);
			(void)lua_rawgeti(L, 1, i - 1);
			lua_rawseti(L, 1, i);
		}
		lua_rawseti(L, 1, at);
		return 0;
	default:
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
}

static int table_remove(lua_State *L)
{
	lua_Integer size = length(L, 1);
	lua_Integer at = arg_integer_or(L, 2, size);

	if (at != size)
		luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)size, 2,
			      "position out of bounds");
	lua_settop(L, 1);
	(void)lua_rawgeti(L, 1, at);
	for (; at < size; at++) {
		charge(L, ELEMENT);
		(void)lua_rawgeti(L, 1, at + 1);
		lua_rawseti(L, 1, at);
	}
	lua_pushnil(L);
	lua_rawseti(L, 1, at);
	return 1;
}

static int table_move(lua_State *L)
{
	lua_Integer from = arg_integer(L, 2);
	lua_Integer end = arg_integer(L, 3);
	lua_Integer to = arg_integer(L, 4);
	int into = lua_isnoneornil(L, 5) ? 1 : 5;

	plain(L, 1);
	plain(L, into);
	lua_settop(L, 5);
	if (end >= from) {
		lua_Integer n;

		luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3,
			      "too many elements to move");
		n = end - from + 1;
		luaL_argcheck(L, to <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
		/* Overlapping elements are moved from the end that is not written yet. */
		if (to > end || to <= from || !lua_rawequal(L, 1, into)) {
			for (lua_Integer i = 0; i < n; i++) {
				charge(L, ELEMENT);
				(void)lua_rawgeti(L, 1, from + i);
				lua_rawseti(L, into, to + i);
			}
		} else {
			for (lua_Integer i = n - 1; i >= 0; i--) {
				charge(L, ELEMENT);
				(void)lua_rawgeti(L, 1, from + i);
				lua_rawseti(L, into, to + i);
			}
		}
	}
	lua_pushvalue(L, into);
	return 1;
}

static int table_pack(lua_State *L)
{
	int n = lua_gettop(L);

	charge(L, ELEMENT * (size_t)n);
	lua_createtable(L, n, 1);
	lua_insert(L, 1);
	for (int i = n; i >= 1; i--)
		lua_rawseti(L, 1, i);
	lua_pushinteger(L, n);
	lua_setfield(L, 1, "n");
	return 1;
}

static int table_unpack(lua_State *L)
{
	lua_Integer from = arg_integer_or(L, 2, 1);
	lua_Integer end;
	lua_Unsigned n;

	plain(L, 1);
	end = arg_integer_or(L, 3, (lua_Integer)lua_rawlen(L, 1));
	if (from > end)
		return 0;
	n = (lua_Unsigned)end - (lua_Unsigned)from;
	if (n >= RESULTS_MAX || !lua_checkstack(L, (int)n + 1))
		return luaL_error(L, "too many results to unpack: the limit is %d", RESULTS_MAX);
	charge(L, ELEMENT * (n + 1));
	for (lua_Unsigned i = 0; i <= n; i++)
		(void)lua_rawgeti(L, 1, (lua_Integer)((lua_Unsigned)from + i));
	return (int)n + 1;
}

/* The element goes into the buffer, if it and the buffer have the room for it. */
static void add_element(lua_State *L, luaL_Buffer *b, lua_Integer i)
{
	charge(L, ELEMENT);
	switch (lua_rawgeti(L, 1, i)) {
	case LUA_TSTRING:
		arg_room(L, luaL_bufflen(b) + lua_rawlen(L, -1));
		break;
	case LUA_TNUMBER:
		arg_room(L, luaL_bufflen(b) + 1);
		break;
	default:
		(void)luaL_error(L, "invalid value (%s) at index %I in table for 'concat'",
				 luaL_typename(L, -1), i);
	}
	luaL_addvalue(b);
}

static int table_concat(lua_State *L)
{
	lua_Integer size = length(L, 1);
	size_t gap_len;
	const char *gap = luaL_optlstring(L, 2, "", &gap_len);
	lua_Integer from = arg_integer_or(L, 3, 1);
	lua_Integer end = arg_integer_or(L, 4, size);
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	for (lua_Integer i = from; i <= end; i++) {
		add_element(L, &b, i);
		if (i == end)
			break;
		arg_room(L, luaL_bufflen(&b) + gap_len);
		luaL_addlstring(&b, gap, gap_len);
	}
	luaL_pushresult(&b);
	return 1;
}

/* ---- sort: by merging, so that an order function that makes no sense ends like any other ---- */

/* Whether the value at index a comes before that at b. */
static bool before(lua_State *L, int a, int b)
{
	bool r;

	charge(L, ELEMENT);
	if (!lua_isnil(L, 2)) {
		lua_pushvalue(L, 2);
		lua_pushvalue(L, a);
		lua_pushvalue(L, b);
		lua_call(L, 2, 1);
		r = lua_toboolean(L, -1);
		lua_pop(L, 1);
		return r;
	}
	if (lua_type(L, a) == LUA_TSTRING && lua_type(L, b) == LUA_TSTRING) {
		struct span x;
		struct span y;

		x.p = lua_tolstring(L, a, &x.n);
		y.p = lua_tolstring(L, b, &y.n);
		charge(L, x.n < y.n ? x.n : y.n);
		return span_compare(x, y) < 0;
	}
	return lua_compare(L, a, b, LUA_OPLT);
}

/* Stack: 1 the table, 2 the order or nil, 3 a table for the half that is merged. */

static void sort_few(lua_State *L, lua_Integer low, lua_Integer high)
{
	for (lua_Integer i = low + 1; i <= high; i++) {
		lua_Integer at = i;

		(void)lua_rawgeti(L, 1, i); /* 4 */
		for (; at > low; at--) {
			(void)lua_rawgeti(L, 1, at - 1); /* 5 */
			if (!before(L, 4, 5))
				break;
			lua_rawseti(L, 1, at);
		}
		lua_settop(L, 4);
		lua_rawseti(L, 1, at);
	}
}

/* low … middle and middle + 1 … high are in order each. */
static void merge(lua_State *L, lua_Integer low, lua_Integer middle, lua_Integer high)
{
	lua_Integer left = middle - low + 1;
	lua_Integer i = 1;
	lua_Integer j = middle + 1;
	lua_Integer to = low;

	for (lua_Integer k = 1; k <= left; k++) {
		charge(L, ELEMENT);
		(void)lua_rawgeti(L, 1, low + k - 1);
		lua_rawseti(L, 3, k);
	}
	while (i <= left && j <= high) {
		(void)lua_rawgeti(L, 3, i); /* 4 */
		(void)lua_rawgeti(L, 1, j); /* 5 */
		if (before(L, 5, 4)) {
			lua_rawseti(L, 1, to++);
			j++;
		} else {
			lua_settop(L, 4);
			lua_rawseti(L, 1, to++);
			i++;
		}
		lua_settop(L, 3);
	}
	for (; i <= left; i++) {
		charge(L, ELEMENT);
		(void)lua_rawgeti(L, 3, i);
		lua_rawseti(L, 1, to++);
	}
}

#define FEW 8

static void sort_range(lua_State *L, lua_Integer low, lua_Integer high)
{
	lua_Integer middle = low + (high - low) / 2;

	if (high - low < FEW) {
		sort_few(L, low, high);
		return;
	}
	sort_range(L, low, middle); /* halves: no deeper than 64 */
	sort_range(L, middle + 1, high);
	merge(L, low, middle, high);
}

static int table_sort(lua_State *L)
{
	lua_Integer n = length(L, 1);

	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	lua_newtable(L);
	luaL_checkstack(L, 16, "sort");
	sort_range(L, 1, n);
	return 0;
}

void lib_table(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"concat", table_concat},
                {"insert", table_insert},
		{"move",   table_move  },
                {"pack",   table_pack  },
		{"remove", table_remove},
                {"sort",   table_sort  },
		{"unpack", table_unpack},
                {NULL,     NULL        }
        };

	luaL_newlib(L, all);
}
