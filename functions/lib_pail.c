/* What a function has of Pail: its bucket, the node, the moment, and a few lines of the log. */
#include <string.h>

#include "functions/sandbox_impl.h"
#include "include/wire.h"

/* ---- the log ---- */

static void log_line(lua_State *L, const char *s, size_t n)
{
	struct functions *f = functions_of(L);
	const struct functions_request *q = f->request;
	size_t left = FUNCTIONS_LOG_BYTES - f->log_bytes;

	if (f->log_lines >= FUNCTIONS_LOG_LINES || !q->ops->log)
		return;
	if (n > left)
		n = left;
	f->log_lines++;
	f->log_bytes += (unsigned)n;
	f->busy++;
	q->ops->log(q->ops_arg, f->module[f->main].name, (struct span){s, n});
	f->busy--;
}

static int pail_log(lua_State *L)
{
	size_t n;
	const char *s;

	luaL_checktype(L, 1, LUA_TSTRING);
	s = lua_tolstring(L, 1, &n);
	charge(L, 256);
	log_line(L, s, n);
	return 0;
}

int lib_print(lua_State *L)
{
	char line[FUNCTIONS_LOG_BYTES];
	size_t len = 0;
	int n = lua_gettop(L);

	for (int i = 1; i <= n; i++) {
		size_t part;
		const char *s;

		charge(L, 256);
		arg_text(L, i);
		s = lua_tolstring(L, -1, &part);
		if (i > 1 && len < sizeof(line))
			line[len++] = '\t';
		if (part > sizeof(line) - len)
			part = sizeof(line) - len;
		memcpy(line + len, s, part);
		len += part;
		lua_pop(L, 1);
	}
	log_line(L, line, len);
	return 0;
}

static int pail_now_ms(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)functions_of(L)->request->now_ms);
	return 1;
}

void lib_pail(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"log",    pail_log   },
                {"now_ms", pail_now_ms},
                {NULL,     NULL       }
        };

	luaL_newlib(L, all);
	lua_pushstring(L, functions_of(L)->node);
	lua_setfield(L, -2, "node");
	values_push_null(L);
	lua_setfield(L, -2, "null");
}

/* ---- the bucket's arguments ---- */

static void self(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TUSERDATA)
		(void)luaL_argerror(L, 1, "the bucket expected: call it as bucket:name(...)");
}

static struct span string_arg(lua_State *L, int i)
{
	struct span s;

	luaL_checktype(L, i, LUA_TSTRING);
	s.p = lua_tolstring(L, i, &s.n);
	return s;
}

static struct span key_arg(lua_State *L)
{
	struct span k = string_arg(L, 2);

	if (!k.n)
		sandbox_refuse(L, FUNCTIONS_BAD_ARGUMENT, 0,
			       "bad_argument: the key is empty, it must be 1 to %u bytes",
			       WIRE_KEY_MAX);
	if (k.n > WIRE_KEY_MAX)
		sandbox_refuse(L, FUNCTIONS_TOO_LARGE, 0,
			       "too_large: the key has %zu bytes, the limit is %u", k.n,
			       WIRE_KEY_MAX);
	return k;
}

/* Is the value that string, to its last byte? */
static bool is_text(lua_State *L, int i, const char *text)
{
	return lua_type(L, i) == LUA_TSTRING && lua_rawlen(L, i) == strlen(text) &&
	       !strcmp(lua_tostring(L, i), text);
}

enum option {
	TTL = 1 << 0,
	IF_VERSION = 1 << 1,
	IF_ABSENT = 1 << 2,
	PREFIX = 1 << 3,
	FROM = 1 << 4,
	TO = 1 << 5,
	AFTER = 1 << 6,
	REVERSE = 1 << 7,
	KEYS_ONLY = 1 << 8
};

struct option_values {
	uint64_t ttl_ms;
	struct functions_condition condition;
	struct functions_range range;
};

static bool flag_value(lua_State *L, const char *name)
{
	if (!lua_isboolean(L, -1))
		(void)luaL_error(L, "%s must be true or false", name);
	return lua_toboolean(L, -1);
}

static uint64_t number_value(lua_State *L, const char *name, lua_Integer least)
{
	int is = 0;
	lua_Integer v = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is) : 0;

	if (!is || v < least)
		(void)luaL_error(L, "%s must be an integer, %I at least", name, least);
	return (uint64_t)v;
}

static struct span bytes_value(lua_State *L, const char *name)
{
	struct span s;

	if (lua_type(L, -1) != LUA_TSTRING)
		(void)luaL_error(L, "%s must be a string", name);
	s.p = lua_tolstring(L, -1, &s.n);
	return s;
}

static const struct {
	const char *name;
	enum option bit;
} options[] = {
	{"ttl",        TTL       },
	{"if_version", IF_VERSION},
	{"if_absent",  IF_ABSENT },
	{"prefix",     PREFIX    },
	{"from",       FROM      },
	{"to",         TO        },
	{"after",      AFTER     },
	{"reverse",    REVERSE   },
	{"keys_only",  KEYS_ONLY },
};

static void option_read(lua_State *L, const char *name, enum option bit, struct option_values *v)
{
	switch (bit) {
	case TTL:
		v->ttl_ms = number_value(L, name, 1);
		break;
	case IF_VERSION:
		v->condition.if_version = true;
		v->condition.version = number_value(L, name, 0);
		break;
	case IF_ABSENT:
		v->condition.if_absent = flag_value(L, name);
		break;
	case PREFIX:
		v->range.prefix = bytes_value(L, name);
		break;
	case FROM:
		v->range.from = bytes_value(L, name);
		break;
	case TO:
		v->range.to = bytes_value(L, name);
		break;
	case AFTER:
		v->range.after = bytes_value(L, name);
		break;
	case REVERSE:
		v->range.reverse = flag_value(L, name);
		break;
	case KEYS_ONLY:
		v->range.keys_only = flag_value(L, name);
		break;
	}
}

/* The table of options at index i, if there is one; `allowed` are bits. */
static struct option_values options_arg(lua_State *L, int i, unsigned allowed)
{
	struct option_values v;

	memset(&v, 0, sizeof(v));
	if (lua_isnoneornil(L, i))
		return v;
	luaL_checktype(L, i, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		size_t o = 0;

		while (o < sizeof(options) / sizeof(options[0]) &&
		       (!(options[o].bit & allowed) || !is_text(L, -2, options[o].name)))
			o++;
		if (o == sizeof(options) / sizeof(options[0]))
			(void)luaL_error(L, "there is no option '%s' here", name);
		option_read(L, name, options[o].bit, &v);
	}
	if (v.condition.if_version && v.condition.if_absent)
		(void)luaL_error(L, "if_version and if_absent exclude each other");
	return v;
}

/* ---- its operations ---- */

/* Run one: nobody cuts it short, and the clock is looked at behind it. */
#define OPERATE(L, f, done, call)                                              \
	do {                                                                   \
		(f)->busy++;                                                   \
		(done) = (f)->request->ops->call;                              \
		(f)->busy--;                                                   \
		limits_look(L);                                                \
		if ((done) == FUNCTIONS_FAILED_OP)                             \
			sandbox_refuse(L, FUNCTIONS_OP, e.code, "%s", e.text); \
	} while (0)

static int push_version(lua_State *L, const struct functions_item *item)
{
	lua_pushinteger(L, (lua_Integer)item->version);
	return 1;
}

/* limits.value may have been larger when it was put. */
static void push_value(lua_State *L, const struct functions_item *item)
{
	uint64_t max = functions_of(L)->config.value_max;

	if (item->value.n > max)
		sandbox_refuse(L, FUNCTIONS_TOO_LARGE, 0,
			       "too_large: the value has %zu bytes, the limit is %llu",
			       item->value.n, (unsigned long long)max);
	lua_pushlstring(L, item->value.p, item->value.n);
}

static int push_conflict(lua_State *L, const struct functions_item *item)
{
	lua_pushnil(L);
	lua_pushliteral(L, "conflict");
	return 2 + push_version(L, item);
}

static int bucket_get(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_item item = {
		{NULL, 0},
                {NULL, 0},
                0
        };
	struct functions_error e = {0, ""};
	enum functions_done done;
	struct span key;

	self(L);
	key = key_arg(L);
	OPERATE(L, f, done, get(f->request->ops_arg, key, &item, &e));
	if (done == FUNCTIONS_NONE) {
		lua_pushnil(L);
		return 1;
	}
	push_value(L, &item);
	return 1 + push_version(L, &item);
}

static int bucket_put(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_item item = {
		{NULL, 0},
                {NULL, 0},
                0
        };
	struct functions_error e = {0, ""};
	struct option_values o;
	enum functions_done done;
	struct span key;
	struct span value;

	self(L);
	key = key_arg(L);
	value = string_arg(L, 3);
	o = options_arg(L, 4, TTL | IF_VERSION | IF_ABSENT);
	if (value.n > f->config.value_max)
		sandbox_refuse(L, FUNCTIONS_TOO_LARGE, 0,
			       "too_large: the value has %zu bytes, the limit is %llu", value.n,
			       (unsigned long long)f->config.value_max);
	OPERATE(L, f, done,
		put(f->request->ops_arg, key, value, o.ttl_ms, &o.condition, &item, &e));
	return done == FUNCTIONS_CONFLICT ? push_conflict(L, &item) : push_version(L, &item);
}

static int bucket_touch(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_item item = {
		{NULL, 0},
                {NULL, 0},
                0
        };
	struct functions_error e = {0, ""};
	struct option_values o;
	enum functions_done done;
	struct span key;

	self(L);
	key = key_arg(L);
	o = options_arg(L, 3, TTL);
	OPERATE(L, f, done, touch(f->request->ops_arg, key, o.ttl_ms, &item, &e));
	if (done != FUNCTIONS_NONE)
		return push_version(L, &item);
	lua_pushnil(L);
	return 1;
}

static int bucket_delete(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_item item = {
		{NULL, 0},
                {NULL, 0},
                0
        };
	struct functions_error e = {0, ""};
	struct option_values o;
	enum functions_done done;
	struct span key;

	self(L);
	key = key_arg(L);
	o = options_arg(L, 3, IF_VERSION);
	OPERATE(L, f, done, del(f->request->ops_arg, key, &o.condition, &item, &e));
	if (done == FUNCTIONS_CONFLICT)
		return push_conflict(L, &item);
	lua_pushboolean(L, done == FUNCTIONS_DONE);
	return 1;
}

static int bucket_count(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_error e = {0, ""};
	enum functions_done done;
	uint64_t n = 0;

	self(L);
	OPERATE(L, f, done, count(f->request->ops_arg, &n, &e));
	lua_pushinteger(L, (lua_Integer)n);
	return 1;
}

static int bucket_exists(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_error e = {0, ""};
	enum functions_done done;
	bool is = false;

	self(L);
	OPERATE(L, f, done, exists(f->request->ops_arg, &is, &e));
	lua_pushboolean(L, is);
	return 1;
}

static int bucket_create(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_error e = {0, ""};
	enum functions_done done;
	bool created = false;

	self(L);
	OPERATE(L, f, done, create(f->request->ops_arg, &created, &e));
	lua_pushboolean(L, created);
	return 1;
}

/* ---- scan: an iterator, whose upvalues are its range and the last key ---- */

enum scan_place {
	SCAN_PREFIX = 1,
	SCAN_FROM,
	SCAN_TO,
	SCAN_LAST,
	SCAN_REVERSE,
	SCAN_KEYS_ONLY,
	SCAN_PLACES = SCAN_KEYS_ONLY
};

static struct span scan_span(lua_State *L, int i)
{
	struct span s = {NULL, 0};

	if (lua_type(L, lua_upvalueindex(i)) == LUA_TSTRING)
		s.p = lua_tolstring(L, lua_upvalueindex(i), &s.n);
	return s;
}

static int scan_step(lua_State *L)
{
	struct functions *f = functions_of(L);
	struct functions_item item = {
		{NULL, 0},
                {NULL, 0},
                0
        };
	struct functions_error e = {0, ""};
	struct functions_range r = {.prefix = scan_span(L, SCAN_PREFIX),
				    .from = scan_span(L, SCAN_FROM),
				    .to = scan_span(L, SCAN_TO),
				    .after = scan_span(L, SCAN_LAST),
				    .reverse = lua_toboolean(L, lua_upvalueindex(SCAN_REVERSE)),
				    .keys_only =
					    lua_toboolean(L, lua_upvalueindex(SCAN_KEYS_ONLY))};
	enum functions_done done;

	OPERATE(L, f, done, scan(f->request->ops_arg, &r, &item, &e));
	if (done == FUNCTIONS_NONE)
		return 0;
	lua_settop(L, 0);
	lua_pushlstring(L, item.key.p, item.key.n);
	if (r.keys_only)
		lua_pushnil(L);
	else
		push_value(L, &item);
	lua_copy(L, 1, lua_upvalueindex(SCAN_LAST));
	return 2 + push_version(L, &item);
}

static void push_span(lua_State *L, struct span s)
{
	if (s.p)
		lua_pushlstring(L, s.p, s.n);
	else
		lua_pushnil(L);
}

static int bucket_scan(lua_State *L)
{
	struct option_values o;

	self(L);
	o = options_arg(L, 2, PREFIX | FROM | TO | AFTER | REVERSE | KEYS_ONLY);
	push_span(L, o.range.prefix);
	push_span(L, o.range.from);
	push_span(L, o.range.to);
	push_span(L, o.range.after);
	lua_pushboolean(L, o.range.reverse);
	lua_pushboolean(L, o.range.keys_only);
	lua_pushcclosure(L, scan_step, SCAN_PLACES);
	return 1;
}

/* ---- the userdata ---- */

/* bucket.name, and the methods, which are the upvalue. */
static int bucket_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL || !is_text(L, 2, "name"))
		return 1;
	lua_pushlstring(L, functions_of(L)->request->bucket.p, functions_of(L)->request->bucket.n);
	return 1;
}

static int bucket_newindex(lua_State *L)
{
	return luaL_error(L, "a bucket has no fields: use bucket:put(key, value)");
}

void lib_bucket(lua_State *L)
{
	static const luaL_Reg all[] = {
		{"count",  bucket_count },
                {"create", bucket_create},
                {"delete", bucket_delete},
		{"exists", bucket_exists},
                {"get",    bucket_get   },
                {"put",    bucket_put   },
		{"scan",   bucket_scan  },
                {"touch",  bucket_touch },
                {NULL,     NULL         }
        };

	(void)lua_newuserdatauv(L, 0, 0);
	lua_createtable(L, 0, 4);
	luaL_newlib(L, all);
	lua_pushcclosure(L, bucket_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, bucket_newindex);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pushliteral(L, "bucket");
	lua_setfield(L, -2, "__name");
	(void)lua_setmetatable(L, -2);
}
