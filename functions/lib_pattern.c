/* string.find, match, gmatch and gsub over our own matcher. */
#include <string.h>

#include "functions/pattern.h"
#include "functions/sandbox_impl.h"

static void steps(void *arg, size_t n)
{
	charge(arg, n);
}

static void fail(void *arg, const char *text, int number)
{
	(void)luaL_error(arg, text, number);
}

static struct pattern pattern_of(lua_State *L, const char *s, size_t n, const char *p, size_t p_len)
{
	struct pattern m = {.subject = s,
			    .subject_end = s + n,
			    .end = p + p_len,
			    .steps = steps,
			    .fail = fail,
			    .arg = L};
	return m;
}

static const char *try(struct pattern *m, const char *s, const char *p)
{
	m->count = 0;
	m->depth = 0;
	return pattern_match(m, s, p);
}

/* Where a search begins, from 0; behind the end: nothing can be found. */
static size_t init_of(lua_State *L, int i, size_t n)
{
	lua_Integer at = arg_integer_or(L, i, 1);

	if (at > 0)
		return (size_t)at - 1;
	if (at == 0 || at < -(lua_Integer)n)
		return 0;
	return n + (size_t)at;
}

/* ---- captures ---- */

/* Push capture i of the match from s to e; if there are none, 0 is all of it. */
static void push_capture(struct pattern *m, int i, const char *s, const char *e)
{
	lua_State *L = m->arg;

	if (i >= m->count) {
		if (i)
			(void)luaL_error(L, "invalid capture index %%%d", i + 1);
		charge(L, (size_t)(e - s));
		lua_pushlstring(L, s, (size_t)(e - s));
	} else if (m->capture[i].n == CAPTURE_POSITION) {
		lua_pushinteger(L, m->capture[i].p - m->subject + 1);
	} else if (m->capture[i].n == CAPTURE_OPEN) {
		(void)luaL_error(L, "unfinished capture");
	} else {
		charge(L, (size_t)m->capture[i].n);
		lua_pushlstring(L, m->capture[i].p, (size_t)m->capture[i].n);
	}
}

/* All captures; without any, all of the match if `whole`. */
static int push_captures(struct pattern *m, const char *s, const char *e, bool whole)
{
	int n = m->count ? m->count : whole;

	luaL_checkstack(m->arg, n, "too many captures");
	for (int i = 0; i < n; i++)
		push_capture(m, i, s, e);
	return n;
}

/* ---- find and match ---- */

static int nothing(lua_State *L)
{
	lua_pushnil(L);
	return 1;
}

static int find_plain(lua_State *L, const char *s, size_t n, size_t from, const char *p,
		      size_t p_len)
{
	const char *at = p_len ? memmem(s + from, n - from, p, p_len) : s + from;

	charge(L, at ? (size_t)(at - s) - from + p_len : n - from);
	if (!at)
		return nothing(L);
	lua_pushinteger(L, at - s + 1);
	lua_pushinteger(L, at - s + (lua_Integer)p_len);
	return 2;
}

static int find(lua_State *L, bool positions)
{
	size_t n;
	size_t p_len;
	const char *s = luaL_checklstring(L, 1, &n);
	const char *p = luaL_checklstring(L, 2, &p_len);
	size_t from = init_of(L, 3, n);
	bool anchored = p_len && *p == '^';
	struct pattern m = pattern_of(L, s, n, p, p_len);

	if (from > n)
		return nothing(L);
	charge(L, 64 + p_len);
	if (positions && (lua_toboolean(L, 4) || pattern_is_plain(p, p_len)))
		return find_plain(L, s, n, from, p, p_len);
	for (const char *at = s + from; at <= m.subject_end; at++) {
		const char *e = try(&m, at, p + anchored);

		if (e && positions) {
			lua_pushinteger(L, at - s + 1);
			lua_pushinteger(L, e - s);
			return 2 + push_captures(&m, at, e, false);
		}
		if (e)
			return push_captures(&m, at, e, true);
		if (anchored)
			break;
	}
	return nothing(L);
}

static int str_find(lua_State *L)
{
	return find(L, true);
}

static int str_match(lua_State *L)
{
	return find(L, false);
}

/* ---- gmatch ---- */

enum gmatch_place { /* upvalues; places in the subject count from 0 */
		    GMATCH_SUBJECT = 1,
		    GMATCH_PATTERN,
		    GMATCH_AT,
		    GMATCH_LAST, /* where the last match ended, or -1 */
		    GMATCH_PLACES = GMATCH_LAST
};

static int gmatch_step(lua_State *L)
{
	size_t n;
	size_t p_len;
	const char *s = lua_tolstring(L, lua_upvalueindex(GMATCH_SUBJECT), &n);
	const char *p = lua_tolstring(L, lua_upvalueindex(GMATCH_PATTERN), &p_len);
	size_t from = (size_t)lua_tointeger(L, lua_upvalueindex(GMATCH_AT));
	lua_Integer last = lua_tointeger(L, lua_upvalueindex(GMATCH_LAST));
	struct pattern m = pattern_of(L, s, n, p, p_len);

	charge(L, 64);
	for (; from <= n; from++) {
		const char *e = try(&m, s + from, p);

		if (e && e - s != last) {
			lua_pushinteger(L, e - s);
			lua_copy(L, -1, lua_upvalueindex(GMATCH_AT));
			lua_replace(L, lua_upvalueindex(GMATCH_LAST));
			return push_captures(&m, s + from, e, true);
		}
	}
	return 0;
}

static int str_gmatch(lua_State *L)
{
	size_t n;
	size_t from;

	(void)luaL_checklstring(L, 1, &n);
	(void)luaL_checkstring(L, 2);
	from = init_of(L, 3, n);
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)(from > n ? n + 1 : from));
	lua_pushinteger(L, -1);
	lua_pushcclosure(L, gmatch_step, GMATCH_PLACES);
	return 1;
}

/* ---- gsub ---- */

static void add_bytes(lua_State *L, luaL_Buffer *b, const char *s, size_t n)
{
	arg_room(L, luaL_bufflen(b) + n);
	luaL_addlstring(b, s, n);
}

/* The value on top goes into the buffer, which it must fit into. */
static void add_top(lua_State *L, luaL_Buffer *b)
{
	arg_room(L, luaL_bufflen(b) + (lua_type(L, -1) == LUA_TSTRING ? lua_rawlen(L, -1) : 0));
	luaL_addvalue(b);
}

/* The replacement is a string: %1 to %9 are captures, %0 all of the match, %% is %. */
static void add_string(struct pattern *m, luaL_Buffer *b, const char *s, const char *e)
{
	lua_State *L = m->arg;
	size_t n;
	const char *r = lua_tolstring(L, 3, &n);
	const char *end = r + n;

	while (r < end) {
		const char *mark = memchr(r, '%', (size_t)(end - r));
		char c;

		add_bytes(L, b, r, (size_t)((mark ? mark : end) - r));
		if (!mark)
			return;
		c = mark + 1 < end ? mark[1] : '\0';
		if (c == '%') {
			add_bytes(L, b, "%", 1);
		} else if (c == '0') {
			add_bytes(L, b, s, (size_t)(e - s));
		} else if (c >= '1' && c <= '9') {
			push_capture(m, c - '1', s, e);
			add_top(L, b);
		} else {
			(void)luaL_error(L, "invalid use of '%%' in replacement string");
		}
		r = mark + 2;
	}
}

/* Whether something took the place of the match; what does goes into the buffer. */
static bool add_value(struct pattern *m, luaL_Buffer *b, const char *s, const char *e, int type)
{
	lua_State *L = m->arg;

	if (type == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, s, e, true), 1);
	} else if (type == LUA_TTABLE) {
		push_capture(m, 0, s, e);
		(void)lua_gettable(L, 3);
	} else {
		add_string(m, b, s, e);
		return true;
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		add_bytes(L, b, s, (size_t)(e - s));
		return false;
	}
	if (!lua_isstring(L, -1))
		(void)luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	add_top(L, b);
	return true;
}

static int str_gsub(lua_State *L)
{
	size_t n;
	size_t p_len;
	const char *s = luaL_checklstring(L, 1, &n);
	const char *p = luaL_checklstring(L, 2, &p_len);
	int type = lua_type(L, 3);
	lua_Integer max = arg_integer_or(L, 4, (lua_Integer)n + 1);
	bool anchored = p_len && *p == '^';
	struct pattern m = pattern_of(L, s, n, p, p_len);
	const char *last = NULL;
	lua_Integer count = 0;
	bool changed = false;
	luaL_Buffer b;

	luaL_argexpected(L,
			 type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
				 type == LUA_TTABLE,
			 3, "string/function/table");
	luaL_buffinit(L, &b);
	while (count < max) {
		const char *e = try(&m, s, p + anchored);

		charge(L, 64);
		if (e && e != last) {
			count++;
			changed = add_value(&m, &b, s, e, type) || changed;
			s = last = e;
		} else if (s < m.subject_end) {
			add_bytes(L, &b, s++, 1);
		} else {
			break;
		}
		if (anchored)
			break;
	}
	if (changed) {
		add_bytes(L, &b, s, (size_t)(m.subject_end - s));
		luaL_pushresult(&b);
	} else {
		lua_pushvalue(L, 1);
	}
	lua_pushinteger(L, count);
	return 2;
}

void lib_pattern(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"find",   str_find  },
		{"gmatch", str_gmatch},
		{"gsub",   str_gsub  },
		{"match",  str_match },
		{NULL,     NULL      }
        };

	lua_pushvalue(L, -2);
	luaL_setfuncs(L, all, 0);
	lua_pop(L, 1);
}
