/*
 * string.format, pack, unpack and packsize: Lua's own, behind a look at what they are asked to do.
 * Texts are made by us first (tostring's have no addresses, %q is charged for), numerals and
 * formats are short, and no result is too long.
 */
#include <stdio.h>
#include <string.h>

#include "functions/sandbox_impl.h"

#define FORMAT_MAX 1000u /* bytes of a format for pack */
#define SPEC_MAX   32u   /* of one conversion; Lua's own limit is below it */

/* ---- %q ---- */

static void add_quoted(luaL_Buffer *b, const char *s, const char *end)
{
	char out[8];

	if (*s == '"' || *s == '\\' || *s == '\n') {
		luaL_addchar(b, '\\');
		luaL_addchar(b, *s);
	} else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
		bool digit = s + 1 < end && s[1] >= '0' && s[1] <= '9';

		(void)snprintf(out, sizeof(out), digit ? "\\%03d" : "\\%d", *s);
		luaL_addstring(b, out);
	} else {
		luaL_addchar(b, *s);
	}
}

static void push_quoted(lua_State *L, int i)
{
	size_t n;
	const char *s = lua_tolstring(L, i, &n);
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	luaL_addchar(&b, '"');
	for (size_t at = 0; at < n; at++) {
		if (at % 4096 == 0) {
			arg_room(L, luaL_bufflen(&b));
			charge(L, 8 * 4096);
		}
		add_quoted(&b, s + at, s + n);
	}
	luaL_addchar(&b, '"');
	luaL_pushresult(&b);
}

/* ---- format ---- */

/* Push what Lua's own format, the upvalue, makes of one conversion and the value on top. */
static void convert(lua_State *L, const char *spec, size_t n)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushlstring(L, spec, n);
	lua_rotate(L, -3, 2);
	lua_call(L, 2, 1);
}

/* Push argument i as the conversion from `spec` on says. */
static void push_converted(lua_State *L, const char *spec, size_t n, int i)
{
	char how = spec[n - 1];

	charge(L, 512);
	switch (how) {
	case 's':
		arg_text(L, i);
		if (n > 2)
			convert(L, spec, n);
		return;
	case 'q':
		if (n == 2 && lua_type(L, i) == LUA_TSTRING) {
			push_quoted(L, i);
			return;
		}
		break;
	case 'p':
		(void)luaL_error(L, "invalid conversion '%%p' to 'format': no addresses here");
		break;
	default:
		arg_numeral(L, i);
		if (strchr("cdiouxX", how))
			(void)luaL_checkinteger(L, i);
		else if (strchr("aAeEfFgG", how))
			(void)luaL_checknumber(L, i);
		else
			(void)luaL_error(L, "invalid conversion '%s' to 'format'",
					 lua_pushlstring(L, spec, n));
	}
	lua_pushvalue(L, i);
	convert(L, spec, n);
}

static void add_top(lua_State *L, luaL_Buffer *b)
{
	arg_room(L, luaL_bufflen(b) + lua_rawlen(L, -1));
	luaL_addvalue(b);
}

static int str_format(lua_State *L)
{
	int count = lua_gettop(L);
	int i = 1;
	size_t n;
	const char *s = luaL_checklstring(L, 1, &n);
	const char *end = s + n;
	luaL_Buffer b;

	luaL_checkstack(L, 8, "format");
	luaL_buffinit(L, &b);
	while (s < end) {
		const char *mark = memchr(s, '%', (size_t)(end - s));
		size_t len = (size_t)((mark ? mark : end) - s);

		arg_room(L, luaL_bufflen(&b) + len + 1);
		luaL_addlstring(&b, s, len);
		if (!mark)
			break;
		s = mark + 1;
		if (s < end && *s == '%') {
			luaL_addchar(&b, *s++);
			continue;
		}
		s += strspn(s, "-+ #0123456789."); /* a string ends in NUL */
		if (s >= end || s - mark >= (ptrdiff_t)SPEC_MAX)
			return luaL_error(
				L, "invalid conversion '%s' to 'format'",
				lua_pushlstring(L, mark, s - mark > 20 ? 20 : (size_t)(s - mark)));
		if (++i > count)
			return luaL_argerror(L, i, "no value");
		s++;
		push_converted(L, mark, (size_t)(s - mark), i);
		add_top(L, &b);
	}
	luaL_pushresult(&b);
	return 1;
}

/* ---- pack ---- */

static size_t digits(const char **p)
{
	size_t v = 0;

	while (**p >= '0' && **p <= '9') {
		if (v < (1u << 30))
			v = v * 10 + (size_t)(**p - '0');
		++*p;
	}
	return v;
}

/* What packing the arguments from 2 on would make, at most; none of them takes long to convert. */
static uint64_t pack_size(lua_State *L, const char *p)
{
	uint64_t total = 0;
	int i = 1;

	while (*p) {
		char c = *p++;
		size_t n = digits(&p);

		total += 16; /* the largest integer or alignment */
		if (strchr("sz", c)) {
			i++;
			total += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
		} else if (c == 'c') {
			i++;
			total += n;
		} else if (strchr("bBhHiIlLjJTfdn", c)) {
			arg_numeral(L, ++i);
		}
	}
	return total;
}

static const char *pack_format(lua_State *L)
{
	size_t n;
	const char *p = luaL_checklstring(L, 1, &n);

	luaL_argcheck(L, n <= FORMAT_MAX, 1, "the format is too long");
	charge(L, 64 * n);
	return p;
}

static int str_pack(lua_State *L)
{
	arg_room(L, pack_size(L, pack_format(L)));
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int str_packsize(lua_State *L)
{
	(void)pack_format(L);
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int str_unpack(lua_State *L)
{
	(void)pack_format(L);
	(void)luaL_checkstring(L, 2);
	arg_numeral(L, 3);
	charge(L, lua_rawlen(L, 2));
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

void lib_format(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"format",   str_format  },
		{"pack",     str_pack    },
		{"packsize", str_packsize},
		{"unpack",   str_unpack  },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		lua_getfield(L, -1, all[i].name);
		lua_pushcclosure(L, all[i].func, 1);
		lua_setfield(L, -3, all[i].name);
	}
}
