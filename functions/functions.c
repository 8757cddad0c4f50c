/* A set of modules made, listed, and called. */
#include "functions/functions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "functions/sandbox_impl.h"

/* A sandbox that holds so much more than when it was new is thrown away, not collected. */
#define KEEP_BYTES (8u << 20)

/* ---- errors as text ---- */

/* Copy text that may be any bytes so that it is UTF-8 without NUL, cut between characters. */
static void text_copy(char *out, size_t size, const char *s, size_t n)
{
	const char *end = s + n;
	size_t len = strlen(out);

	while (s < end) {
		uint32_t c;
		const char *next = utf8_step(s, end, false, &c);
		size_t step = next ? (size_t)(next - s) : 1;

		if (len + step >= size)
			break;
		if (next && c)
			memcpy(out + len, s, step);
		else
			out[len] = '?';
		len += step;
		s += step;
	}
	out[len] = '\0';
}

/* The error on top of the stack, read raw. */
static void error_text(lua_State *L, char *out, size_t size)
{
	out[0] = '\0';
	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		text_copy(out, size, lua_tostring(L, -1), lua_rawlen(L, -1));
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, -1))
			(void)snprintf(out, size, "%lld", (long long)lua_tointeger(L, -1));
		else
			(void)snprintf(out, size, "%.14g", lua_tonumber(L, -1));
		break;
	default:
		(void)snprintf(out, size, "(the error is a %s value)", luaL_typename(L, -1));
	}
}

static enum functions_status too_long(struct functions *f, char *out, size_t size)
{
	const struct functions_config *c = &f->config;

	if (f->over == LIMIT_TIME)
		(void)snprintf(out, size, "%sit ran longer than functions.time_ms, which is %u",
			       f->where, c->time_ms);
	else if (f->over == LIMIT_MEMORY)
		(void)snprintf(out, size,
			       "%sit used more memory than functions.memory, which is %llu bytes",
			       f->where, (unsigned long long)c->memory_bytes);
	else if (f->over == LIMIT_STRING)
		(void)snprintf(out, size,
			       "%sit made a string longer than limits.value, which is %llu bytes",
			       f->where, (unsigned long long)c->value_max);
	else
		(void)snprintf(out, size, "%sits calls go too deep", f->where);
	return FUNCTIONS_TOO_LONG;
}

/* What lua_pcall's error means. */
static enum functions_status error_judge(struct functions *f, int error, char *out, size_t size)
{
	lua_State *L = f->L;

	if (!f->over && error == LUA_ERRMEM)
		f->over = LIMIT_MEMORY;
	if (!f->over && error == LUA_ERRERR)
		f->over = LIMIT_DEPTH;
	if (f->over)
		return too_long(f, out, size);
	error_text(L, out, size);
	if (f->refused && lua_type(L, -1) == LUA_TSTRING && lua_rawlen(L, -1) == f->refusal_len &&
	    !memcmp(lua_tostring(L, -1), f->refusal, f->refusal_len))
		return f->refused;
	return FUNCTIONS_FAILED;
}

/* ---- one run, of a call or of a module that is loaded ---- */

struct run {
	lua_CFunction body;
	int error; /* of lua_pcall, or RUN_HARD */
};
#define RUN_HARD (-1)

static void run(struct functions *f, struct run *r)
{
	lua_State *L = f->L;

	f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
	f->log_lines = 0;
	f->log_bytes = 0;
	f->refused = FUNCTIONS_OK;
	memset(f->random, 0, sizeof(f->random)); /* seeded when it is first asked for */
	if (_setjmp(f->exit)) {
		r->error = RUN_HARD;
		limits_end(f);
		return;
	}
	limits_begin(f);
	lua_pushcfunction(L, limits_depth);
	lua_pushcfunction(L, r->body);
	r->error = lua_pcall(L, 0, 0, -2);
	limits_end(f);
}

/* After a run: a sandbox that met a limit is dropped, and so is one full of what it left behind. */
static void run_end(struct functions *f, const struct run *r)
{
	if (r->error != RUN_HARD && !f->over) {
		lua_settop(f->L, 0);
		if (f->arena.used <= f->base + KEEP_BYTES)
			return;
	}
	f->hard_stops += r->error == RUN_HARD;
	f->renewed++;
	sandbox_drop(f);
}

/* ---- loading ---- */

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the functions in the table on top, sorted, into the module. */
static void names_keep(lua_State *L, struct module *m)
{
	const char **name;
	size_t n = 0;

	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		n += lua_type(L, -2) == LUA_TSTRING && lua_isfunction(L, -1);
	name = lua_newuserdatauv(L, (n + 1) * sizeof(*name), 0);
	n = 0;
	lua_insert(L, -2);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		if (lua_type(L, -2) == LUA_TSTRING && lua_isfunction(L, -1))
			name[n++] = lua_tostring(L, -2);
	functions_of(L)->busy++;
	qsort(name, n, sizeof(*name), name_compare);
	m->names.len = 0;
	for (size_t i = 0; i < n; i++)
		buf_add(&m->names, name[i], strlen(name[i]) + 1);
	functions_of(L)->busy--;
}

static int load_body(lua_State *L)
{
	struct functions *f = functions_of(L);

	sandbox_env(L);
	sandbox_module(L, f->main);
	names_keep(L, &f->module[f->main]);
	return 0;
}

static int code_write(lua_State *L, const void *p, size_t n, void *arg)
{
	struct buf *b = arg;

	(void)L;
	buf_add(b, p, n);
	return b->failed;
}

/* An error says module:line; people look for a file. */
static void file_text(const struct functions *f, const char *text, const char *name, char *why,
		      size_t size)
{
	const char *colon = strchr(text, ':');

	if (colon && sandbox_find(f, (struct span){text, (size_t)(colon - text)}) >= 0)
		(void)snprintf(why, size, "%.*s.lua%s", (int)(colon - text), text, colon);
	else
		(void)snprintf(why, size, "%s.lua: %s", name, text);
}

static int compile(struct functions *f, struct module *m, struct span text, char *why, size_t size)
{
	lua_State *L = f->L;
	char chunk[FUNCTIONS_NAME_MAX + 2];
	char said[FUNCTIONS_WHY_MAX];
	int r = -EINVAL;

	(void)snprintf(chunk, sizeof(chunk), "=%s", m->name);
	if (text.n && text.p[0] == LUA_SIGNATURE[0]) {
		(void)snprintf(why, size, "%s.lua: it is compiled already: only text is taken",
			       m->name);
	} else if (luaL_loadbufferx(L, text.p, text.n, chunk, "t") != LUA_OK) {
		error_text(L, said, sizeof(said));
		file_text(f, said, m->name, why, size);
	} else {
		r = lua_dump(L, code_write, &m->code, 0) ? -ENOMEM : 0;
	}
	lua_settop(L, 0);
	return r;
}

/* Run each body once, as a call would. */
static int try(struct functions *f, char *why, size_t size)
{
	static const struct functions_ops none;
	const struct functions_request q = {.now_ms = clock_wall_ms(), .ops = &none};
	char said[FUNCTIONS_WHY_MAX];
	struct run r = {load_body, 0};

	for (f->main = 0; f->main < f->count; f->main++) {
		if (!f->L && sandbox_new(f) < 0)
			return -ENOMEM;
		f->request = &q;
		f->reply = NULL;
		run(f, &r);
		if (r.error == RUN_HARD) {
			f->over = LIMIT_TIME;
			f->where[0] = '\0';
			(void)too_long(f, said, sizeof(said));
		} else if (r.error) {
			(void)error_judge(f, r.error, said, sizeof(said));
		}
		if (r.error)
			file_text(f, said, f->module[f->main].name, why, size);
		run_end(f, &r);
		if (r.error)
			return -EINVAL;
		if (f->module[f->main].names.failed)
			return -ENOMEM;
	}
	return 0;
}

static int source_compare(const void *a, const void *b)
{
	const struct functions_source *const *x = a;
	const struct functions_source *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static bool name_is_fine(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return n && n <= FUNCTIONS_NAME_MAX && !s[n];
}

/* Names in order, each once, none of them `node`. */
static int names_check(const struct functions_source **s, size_t count, char *why, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		if (!name_is_fine(s[i]->name))
			(void)snprintf(
				why, size,
				"%.60s.lua: a module's name is 1 to %u letters, digits and _",
				s[i]->name, FUNCTIONS_NAME_MAX);
		else if (!strcmp(s[i]->name, "node"))
			(void)snprintf(why, size, "node.lua: the module `node` is built in");
		else if (i && !strcmp(s[i]->name, s[i - 1]->name))
			(void)snprintf(why, size, "%s.lua: there are two of it", s[i]->name);
		else
			continue;
		return -EINVAL;
	}
	return 0;
}

static int load(struct functions *f, const struct functions_source **s, char *why, size_t size)
{
	int r = sandbox_new(f);

	for (size_t i = 0; i < f->count; i++)
		memcpy(f->module[i].name, s[i]->name, strlen(s[i]->name) + 1);
	for (size_t i = 0; r == 0 && i < f->count; i++)
		r = compile(f, &f->module[i], s[i]->text, why, size);
	sandbox_drop(f);
	if (r == 0)
		r = sandbox_new(f);
	if (r == 0)
		r = try(f, why, size);
	return r;
}

int functions_new(const struct functions_config *c, const struct functions_source *sources,
		  size_t count, struct functions **ret, char *why, size_t why_size)
{
	struct functions *f = calloc(1, sizeof(*f));
	const struct functions_source **s = calloc(count + 1, sizeof(*s));
	int r = -ENOMEM;

	(void)snprintf(why, why_size, "no memory");
	if (!f || !s)
		goto out;
	f->config = *c;
	f->node = strdup(c->node);
	f->module = calloc(count + 1, sizeof(*f->module));
	if (!f->node || !f->module)
		goto out;
	if (getrandom(&f->seed, sizeof(f->seed), 0) != (ssize_t)sizeof(f->seed))
		f->seed = clock_us();
	for (size_t i = 0; i < count; i++)
		s[i] = &sources[i];
	qsort(s, count, sizeof(*s), source_compare);
	limits_timer(f);
	r = names_check(s, count, why, why_size);
	f->count = count;
	if (r == 0)
		r = load(f, s, why, why_size);
out:
	free(s);
	if (r < 0)
		functions_free(&f);
	else
		*ret = f;
	return r;
}

void functions_free(struct functions **fp)
{
	struct functions *f = *fp;

	if (!f)
		return;
	*fp = NULL;
	sandbox_drop(f);
	if (f->has_timer)
		(void)timer_delete(f->timer);
	for (size_t i = 0; f->module && i < f->count; i++) {
		buf_fini(&f->module[i].code);
		buf_fini(&f->module[i].names);
	}
	free(f->module);
	free(f->node);
	free(f);
}

void functions_list(const struct functions *f,
		    void (*each)(void *arg, const char *module, const char *function), void *arg)
{
	bool told = false;

	for (size_t i = 0; i <= f->count; i++) {
		const struct module *m = &f->module[i];

		if (!told && (i == f->count || strcmp(m->name, "node") > 0)) {
			each(arg, "node", "name");
			each(arg, "node", "ping");
			told = true;
		}
		for (size_t at = 0; i < f->count && at < m->names.len;
		     at += strlen(m->names.data + at) + 1)
			each(arg, m->name, m->names.data + at);
	}
}

void functions_figures(const struct functions *f, struct functions_figures *ret)
{
	ret->used_bytes = f->arena.used;
	ret->peak_bytes = f->peak;
	ret->renewed = f->renewed;
	ret->hard_stops = f->hard_stops;
}

/* ---- calling ---- */

static void push_args(lua_State *L, const char *p)
{
	uint32_t n = values_array(&p);

	if (n > FUNCTIONS_ARGS_MAX)
		sandbox_refuse(L, FUNCTIONS_BAD_ARGUMENT, 0, "args: %u of them, the limit is %u", n,
			       FUNCTIONS_ARGS_MAX);
	luaL_checkstack(L, (int)n + LUA_MINSTACK, "arguments");
	for (uint32_t i = 0; i < n; i++)
		values_push(L, &p, 0);
}

static _Noreturn void no_function(lua_State *L)
{
	struct functions *f = functions_of(L);

	sandbox_refuse(L, FUNCTIONS_NO_FUNCTION, 0, "the module %s has no function \"%.*s\"",
		       f->module[f->main].name,
		       (int)(f->request->function.n < 60 ? f->request->function.n : 60),
		       f->request->function.p);
}

static int call_body(lua_State *L)
{
	struct functions *f = functions_of(L);
	const struct functions_request *q = f->request;

	sandbox_env(L);
	sandbox_module(L, f->main);
	lua_pushvalue(L, -1);
	lua_rawseti(L, LUA_REGISTRYINDEX, PLACE_MAIN);
	lua_pushlstring(L, q->function.p, q->function.n);
	if (lua_rawget(L, -2) != LUA_TFUNCTION)
		no_function(L);
	lua_replace(L, 1);
	lua_settop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, PLACE_BUCKET);
	push_args(L, q->args);
	lua_call(L, lua_gettop(L) - 1, 1);
	values_write(L);
	return 0;
}

/* The module that is always there needs no sandbox. */
static enum functions_status call_node(const struct functions *f, const struct functions_request *q,
				       struct functions_reply *r)
{
	const char *text = span_equal(q->function, span_of("name"))   ? f->node
			   : span_equal(q->function, span_of("ping")) ? "pong"
								      : NULL;
	size_t n;

	if (!text) {
		text_copy(r->why, sizeof(r->why), "the module node has no function ", 32);
		text_copy(r->why, sizeof(r->why), q->function.p, q->function.n);
		return FUNCTIONS_NO_FUNCTION;
	}
	n = strlen(text);
	if (n > UINT8_MAX || n + 2 > r->result_size) {
		(void)snprintf(r->why, sizeof(r->why), "the result is larger than %zu bytes",
			       r->result_size);
		return FUNCTIONS_TOO_LARGE;
	}
	r->result[0] = (char)0xc4;
	r->result[1] = (char)n;
	memcpy(r->result + 2, text, n);
	r->n = n + 2;
	return FUNCTIONS_OK;
}

enum functions_status functions_call(struct functions *f, const struct functions_request *q,
				     struct functions_reply *r)
{
	struct run one = {call_body, 0};
	enum functions_status status = FUNCTIONS_OK;
	long i;

	r->n = 0;
	r->code = 0;
	r->hard = false;
	r->why[0] = '\0';
	if (span_equal(q->module, span_of("node")))
		return call_node(f, q, r);
	i = sandbox_find(f, q->module);
	if (i < 0) {
		text_copy(r->why, sizeof(r->why), "there is no module ", 19);
		text_copy(r->why, sizeof(r->why), q->module.p, q->module.n);
		return FUNCTIONS_NO_FUNCTION;
	}
	if (!f->L && sandbox_new(f) < 0) {
		(void)snprintf(r->why, sizeof(r->why), "no memory for a sandbox");
		return FUNCTIONS_INTERNAL;
	}
	f->main = (size_t)i;
	f->request = q;
	f->reply = r;
	run(f, &one);
	r->hard = one.error == RUN_HARD;
	if (r->hard) {
		f->over = LIMIT_TIME;
		f->where[0] = '\0';
		status = too_long(f, r->why, sizeof(r->why));
	} else if (one.error) {
		status = error_judge(f, one.error, r->why, sizeof(r->why));
	}
	if (status == FUNCTIONS_OP)
		r->code = f->op_code;
	if (status != FUNCTIONS_OK)
		r->n = 0;
	run_end(f, &one);
	return status;
}
