/* Arguments from MessagePack and results to it. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "functions/sandbox_impl.h"

static const char null_mark;

void values_push_null(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)&null_mark);
}

static bool is_null(lua_State *L, int i)
{
	return lua_touserdata(L, i) == (const void *)&null_mark;
}

/* ---- arguments ---- */

/* Big-endian, `n` bytes; steps over them. */
static uint64_t number(const char **p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | (uint8_t) * (*p)++;
	return v;
}

static int64_t signed_of(uint64_t v, unsigned bytes)
{
	unsigned shift = 64 - 8 * bytes;

	return (int64_t)(v << shift) >> shift;
}

static void push_bytes(lua_State *L, const char **p, uint64_t n)
{
	if (n > functions_of(L)->config.value_max)
		sandbox_refuse(L, FUNCTIONS_TOO_LARGE, 0,
			       "args: a string of %llu bytes, the limit is %llu",
			       (unsigned long long)n,
			       (unsigned long long)functions_of(L)->config.value_max);
	charge(L, n);
	lua_pushlstring(L, *p, n);
	*p += n;
}

static void push_float(lua_State *L, const char **p, bool twice)
{
	uint64_t v = number(p, twice ? 8 : 4);
	uint32_t v32 = (uint32_t)v;
	double d;
	float s;

	memcpy(&d, &v, sizeof(d));
	memcpy(&s, &v32, sizeof(s));
	lua_pushnumber(L, twice ? d : (double)s);
}

static int size_of(uint64_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

static void level_check(lua_State *L, unsigned level)
{
	if (level >= FUNCTIONS_LEVELS_MAX)
		sandbox_refuse(L, FUNCTIONS_BAD_ARGUMENT, 0,
			       "args: more than %u arrays and maps within each other",
			       FUNCTIONS_LEVELS_MAX);
	luaL_checkstack(L, 4, "arguments");
}

static void push_element(lua_State *L, const char **p, unsigned level)
{
	charge(L, 16);
	if ((uint8_t) * *p == 0xc0) {
		++*p;
		values_push_null(L);
	} else {
		values_push(L, p, level);
	}
}

static void push_array(lua_State *L, const char **p, uint64_t n, unsigned level)
{
	level_check(L, level);
	lua_createtable(L, size_of(n), 0);
	for (uint64_t i = 1; i <= n; i++) {
		push_element(L, p, level + 1);
		lua_rawseti(L, -2, (lua_Integer)i);
	}
}

static void push_map(lua_State *L, const char **p, uint64_t n, unsigned level)
{
	level_check(L, level);
	lua_createtable(L, 0, size_of(n));
	while (n--) {
		uint8_t c = (uint8_t) * *p;

		if (c == 0xc0 || c == 0xc2 || c == 0xc3 || c == 0xca || c == 0xcb ||
		    (c >= 0x80 && c < 0xa0) || (c >= 0xdc && c < 0xe0))
			sandbox_refuse(L, FUNCTIONS_BAD_ARGUMENT, 0,
				       "args: a map's keys must be strings or integers");
		values_push(L, p, level + 1);
		push_element(L, p, level + 1);
		lua_rawset(L, -3);
	}
}

void values_push(lua_State *L, const char **p, unsigned level)
{
	uint8_t c = (uint8_t) * (*p)++;
	uint64_t v;

	if (c < 0x80)
		lua_pushinteger(L, c);
	else if (c >= 0xe0)
		lua_pushinteger(L, (int8_t)c);
	else if (c < 0x90)
		push_map(L, p, c & 15u, level);
	else if (c < 0xa0)
		push_array(L, p, c & 15u, level);
	else if (c < 0xc0)
		push_bytes(L, p, c & 31u);
	else if (c == 0xc0)
		lua_pushnil(L);
	else if (c == 0xc2 || c == 0xc3)
		lua_pushboolean(L, c & 1);
	else if (c >= 0xc4 && c <= 0xc6)
		push_bytes(L, p, number(p, 1u << (c - 0xc4)));
	else if (c == 0xca || c == 0xcb)
		push_float(L, p, c & 1);
	else if (c >= 0xcc && c <= 0xcf) {
		v = number(p, 1u << (c - 0xcc));
		if (v > INT64_MAX)
			sandbox_refuse(L, FUNCTIONS_BAD_ARGUMENT, 0,
				       "args: an integer is above 2^63-1");
		lua_pushinteger(L, (lua_Integer)v);
	} else if (c >= 0xd0 && c <= 0xd3)
		lua_pushinteger(L, signed_of(number(p, 1u << (c - 0xd0)), 1u << (c - 0xd0)));
	else if (c >= 0xd9 && c <= 0xdb)
		push_bytes(L, p, number(p, 1u << (c - 0xd9)));
	else if (c == 0xdc || c == 0xdd)
		push_array(L, p, number(p, c & 1 ? 4 : 2), level);
	else if (c == 0xde || c == 0xdf)
		push_map(L, p, number(p, c & 1 ? 4 : 2), level);
	else
		sandbox_refuse(L, FUNCTIONS_BAD_ARGUMENT, 0,
			       "args: MessagePack's extension types are not for functions");
}

uint32_t values_array(const char **p)
{
	uint8_t c = (uint8_t) * (*p)++;

	check((c >= 0x90 && c < 0xa0) || c == 0xdc || c == 0xdd);
	return c < 0xdc ? c & 15u : (uint32_t)number(p, c & 1 ? 4 : 2);
}

/* ---- results ---- */

/* Room for n more bytes of the result. */
static char *room(lua_State *L, size_t n)
{
	struct functions_reply *r = functions_of(L)->reply;
	char *p = r->result + r->n;

	if (n > r->result_size - r->n)
		sandbox_refuse(L, FUNCTIONS_TOO_LARGE, 0, "the result is larger than %zu bytes",
			       r->result_size);
	r->n += n;
	return p;
}

/* A byte and a big-endian number of `bytes` behind it. */
static void put(lua_State *L, unsigned head, uint64_t v, unsigned bytes)
{
	char *p = room(L, 1 + bytes);

	*p++ = (char)head;
	while (bytes--)
		*p++ = (char)(v >> (8 * bytes));
}

/* The head of what has a small form (of up to `small`) and forms of 1 (if has8), 2 and 4 bytes. */
static void put_head(lua_State *L, uint64_t n, unsigned fix, unsigned small, unsigned head,
		     bool has8)
{
	if (n < small)
		put(L, fix | (unsigned)n, 0, 0);
	else if (has8 && n <= UINT8_MAX)
		put(L, head, n, 1);
	else if (n <= UINT16_MAX)
		put(L, head + has8, n, 2);
	else if (n <= UINT32_MAX)
		put(L, head + has8 + 1, n, 4);
	else
		sandbox_refuse(L, FUNCTIONS_TOO_LARGE, 0, "the result is too large");
}

static void put_integer(lua_State *L, int64_t v)
{
	if (v >= 0) {
		if (v < 128)
			put(L, (unsigned)v, 0, 0);
		else if (v <= UINT8_MAX)
			put(L, 0xcc, (uint64_t)v, 1);
		else if (v <= UINT16_MAX)
			put(L, 0xcd, (uint64_t)v, 2);
		else
			put(L, v <= UINT32_MAX ? 0xce : 0xcf, (uint64_t)v, v <= UINT32_MAX ? 4 : 8);
	} else if (v >= -32) {
		put(L, (unsigned)(v & 0xff), 0, 0);
	} else if (v >= INT8_MIN) {
		put(L, 0xd0, (uint64_t)v, 1);
	} else if (v >= INT16_MIN) {
		put(L, 0xd1, (uint64_t)v, 2);
	} else {
		put(L, v >= INT32_MIN ? 0xd2 : 0xd3, (uint64_t)v, v >= INT32_MIN ? 4 : 8);
	}
}

static void put_bytes(lua_State *L, const char *s, size_t n)
{
	charge(L, n);
	if (n)
		memcpy(room(L, n), s, n);
}

static void put_number(lua_State *L)
{
	double d;
	uint64_t v;

	if (lua_isinteger(L, -1)) {
		put_integer(L, lua_tointeger(L, -1));
		return;
	}
	d = lua_tonumber(L, -1);
	memcpy(&v, &d, sizeof(v));
	put(L, 0xcb, v, 8);
}

static _Noreturn void unsendable(lua_State *L, const char *what)
{
	(void)luaL_error(L, "a result cannot hold %s", what);
	abort();
}

enum form { FORM_ARRAY, FORM_MAP };

/* What the table on top is sent as, and how many entries it has. */
static enum form form_of(lua_State *L, uint64_t *ret_count)
{
	uint64_t count = 0;
	uint64_t strings = 0;
	lua_Integer last = 0;

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		charge(L, 32);
		count++;
		if (lua_type(L, -2) == LUA_TSTRING) {
			size_t n;
			const char *s = lua_tolstring(L, -2, &n);

			charge(L, n);
			if (!utf8_valid(s, n))
				unsendable(L, "a table with a key that is not UTF-8");
			strings++;
		} else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1) {
			if (lua_tointeger(L, -2) > last)
				last = lua_tointeger(L, -2);
		} else {
			unsendable(L, "a table with keys that are neither strings nor 1 to n");
		}
	}
	*ret_count = count;
	if (!strings && (uint64_t)last == count)
		return FORM_ARRAY;
	if (strings != count)
		unsendable(L, strings ? "a table with both strings and numbers as keys"
				      : "a table with gaps: its keys are not 1 to n");
	return FORM_MAP;
}

static void write_value(lua_State *L, unsigned level);

static void write_table(lua_State *L, unsigned level)
{
	uint64_t count;
	enum form form;

	if (level >= FUNCTIONS_LEVELS_MAX)
		(void)luaL_error(L, "a result cannot have more than %d tables within each other",
				 (int)FUNCTIONS_LEVELS_MAX);
	luaL_checkstack(L, 6, "result");
	form = form_of(L, &count);
	if (form == FORM_ARRAY) {
		put_head(L, count, 0x90, 16, 0xdc, false);
		for (uint64_t i = 1; i <= count; i++) {
			(void)lua_rawgeti(L, -1, (lua_Integer)i);
			write_value(L, level + 1);
			lua_pop(L, 1);
		}
		return;
	}
	put_head(L, count, 0x80, 16, 0xde, false);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		size_t n;
		const char *s = lua_tolstring(L, -2, &n);

		put_head(L, n, 0xa0, 32, 0xd9, true);
		put_bytes(L, s, n);
		write_value(L, level + 1);
	}
}

static void write_value(lua_State *L, unsigned level)
{
	size_t n;
	const char *s;

	charge(L, 16);
	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		put(L, 0xc0, 0, 0);
		return;
	case LUA_TBOOLEAN:
		put(L, lua_toboolean(L, -1) ? 0xc3 : 0xc2, 0, 0);
		return;
	case LUA_TNUMBER:
		put_number(L);
		return;
	case LUA_TSTRING:
		s = lua_tolstring(L, -1, &n);
		put_head(L, n, 0, 0, 0xc4, true);
		put_bytes(L, s, n);
		return;
	case LUA_TTABLE:
		write_table(L, level);
		return;
	case LUA_TFUNCTION:
		unsendable(L, "a function");
	default:
		if (!is_null(L, -1))
			unsendable(L, "userdata");
		put(L, 0xc0, 0, 0);
	}
}

void values_write(lua_State *L)
{
	functions_of(L)->reply->n = 0;
	write_value(L, 0);
}
