/* A sandbox: a lua_State, its memory, and the limits of the call that runs in it. */
#ifndef PAIL_FUNCTIONS_SANDBOX_IMPL_H
#define PAIL_FUNCTIONS_SANDBOX_IMPL_H

#include <setjmp.h>
#include <time.h>

#include "common/buf.h"
#include "functions/arena.h"
#include "functions/functions.h"
#include "functions/lua_impl.h"

/* Strings that stand for numbers are at most so long: converting a longer one would hold us up. */
#define NUMERAL_MAX 1000u
/* Values that one call of table.unpack, string.byte and the like may give. */
#define RESULTS_MAX 10000

/* Work that may be done until the clock is looked at again: about a byte copied is one. */
#define CHARGE_MAX 65536u

struct module {
	char name[FUNCTIONS_NAME_MAX + 1];
	struct buf code;  /* compiled, by ourselves */
	struct buf names; /* of its functions, sorted, each with its NUL */
};

enum limit {
	LIMIT_NONE,
	LIMIT_TIME,
	LIMIT_MEMORY,
	LIMIT_STRING, /* one that is longer than value_max */
	LIMIT_DEPTH
};

/* Where things lie in the registry, as integer keys. */
enum place {
	PLACE_ENV = LUA_RIDX_LAST + 1, /* of this call */
	PLACE_ENV_META,
	PLACE_BUCKET,
	PLACE_LOADED, /* table of what was required in this call, or false */
	PLACE_MAIN,   /* what the called module returned, or false */
	PLACE_CHUNKS  /* compiled modules from here on, in their order */
};

struct functions {
	struct functions_config config;
	char *node;
	struct module *module; /* sorted by name */
	size_t count;

	/* the sandbox; NULL: the next call makes one */
	lua_State *L;
	struct arena arena;
	size_t base; /* bytes in use when it was new */

	/* the call that runs */
	bool running;
	const struct functions_request *request;
	struct functions_reply *reply;
	size_t main;                     /* the module called */
	char refusal[FUNCTIONS_WHY_MAX]; /* the text of the last error that has a code of its own,
					  */
	size_t refusal_len;
	enum functions_status refused; /* and its codes: it may have been caught since */
	int op_code;
	unsigned log_lines;
	unsigned log_bytes;
	uint64_t random[4];
	uint64_t seed;

	/* its limits */
	enum limit over;
	bool tight; /* memory is above the limit: collect before anything else */
	char where[FUNCTIONS_NAME_MAX + 24]; /* module:line: of where a limit was met */
	size_t work;       /* charged since the clock was looked at; at CHARGE_MAX: look */
	size_t allocated;  /* bytes since the clock was looked at */
	size_t memory_max; /* of arena.used */
	uint64_t start_us;
	uint64_t end_us;
	uint64_t peak;

	/* the hard stop */
	volatile sig_atomic_t busy; /* may not be cut short now */
	bool has_timer;
	volatile uint64_t timer_us; /* when it goes off, or has gone off */
	timer_t timer;
	jmp_buf exit;
	uint64_t renewed;
	uint64_t hard_stops;
};

static inline struct functions *functions_of(lua_State *L)
{
	return *(struct functions **)lua_getextraspace(L);
}

/* ---- limits.c ---- */

void *limits_allocate(void *ud, void *p, size_t old, size_t size); /* a lua_Alloc */
void limits_hook(lua_State *L, lua_Debug *ar);                     /* a lua_Hook */
void limits_begin(struct functions *f);
void limits_end(struct functions *f);
void limits_timer(struct functions *f); /* make the timer of the hard stop, if there can be one */
/* Look at the clock now; does not return if time, memory or depth is gone. */
void limits_look(lua_State *L);
/* A message handler: an error for lack of stack becomes a limit. */
int limits_depth(lua_State *L);

/* So much work is about to be done. */
static inline void charge(lua_State *L, size_t n)
{
	struct functions *f = functions_of(L);

	f->work += n < CHARGE_MAX ? n : CHARGE_MAX;
	if (f->work >= CHARGE_MAX)
		limits_look(L);
}

/* ---- sandbox.c ---- */

#define SANDBOX_HOOK_COUNT 100

int sandbox_new(struct functions *f); /* 0 or -ENOMEM */
void sandbox_drop(struct functions *f);
/* Push what module `i` returns, its body run in this call's environment. */
void sandbox_module(lua_State *L, size_t i);
/* The index of a module, or -1. */
long sandbox_find(const struct functions *f, struct span name);
/* Push a fresh environment and make it that of this call. */
void sandbox_env(lua_State *L);
/* The real table on top becomes one that nobody can change through it. */
void sandbox_proxy(lua_State *L);
bool sandbox_is_proxy(lua_State *L, int i);

/* ---- values.c ---- */

/* Push a MessagePack value and step over it.  Raises FUNCTIONS_BAD_ARGUMENT. */
void values_push(lua_State *L, const char **p, unsigned level);
uint32_t values_array(const char **p);
/* Write the value on top as MessagePack into the reply. */
void values_write(lua_State *L);
/* pail.null */
void values_push_null(lua_State *L);

/* ---- what each library gives: each pushes its table ---- */

void lib_base(lua_State *L);
void lib_string(lua_State *L);
void lib_table(lua_State *L);
void lib_math(lua_State *L);
void lib_utf8(lua_State *L);
void lib_pail(lua_State *L);
int lib_print(lua_State *L);
/* The metatable of a bucket's userdata is made, and the userdata pushed. */
void lib_bucket(lua_State *L);
/* Parts of string; its table is below the top, and on top Lua's own string table. */
void lib_pattern(lua_State *L);
void lib_format(lua_State *L);

/* ---- arguments, the same way for all ---- */

/* As luaL_checkinteger and luaL_optinteger, without converting numerals for ever. */
lua_Integer arg_integer(lua_State *L, int i);
lua_Integer arg_integer_or(lua_State *L, int i, lua_Integer otherwise);
/* Argument `i` may be converted to a number without harm, or this raises. */
void arg_numeral(lua_State *L, int i);
/* Raise unless a string of n bytes may be made. */
void arg_room(lua_State *L, uint64_t n);
/* Push the argument as text, as tostring does; no addresses. */
void arg_text(lua_State *L, int i);
/*
 * Raise an error that has a code of its own, as long as nobody catches it: `code` is for
 * FUNCTIONS_OP.  The text gets module:line before it.
 */
_Noreturn void sandbox_refuse(lua_State *L, enum functions_status status, int code, const char *fmt,
			      ...) __attribute__((format(printf, 4, 5)));

/* ---- utf8.c ---- */

/* The place behind the character at s, or NULL: it is none.  Lax: up to 2^31, surrogates too. */
const char *utf8_step(const char *s, const char *end, bool lax, uint32_t *ret);
bool utf8_valid(const char *s, size_t n);

#endif
