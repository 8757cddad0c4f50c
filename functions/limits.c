/*
 * What holds a call in.  Time is looked at by the hook, every hundred instructions, by whatever is
 * charged for its work, and by the allocator.  Once a limit is met the hook runs at each
 * instruction and raises what pcall does not hold.  What is deaf to that (a collection of many
 * objects, a table that is hashed anew, a comparison of long strings) is left by the hard stop: a
 * timer's signal, whose handler jumps out of the call.  Nothing of the sandbox is used after that.
 *
 * Each call is under the timer from its beginning, since what is deaf need not have been looked at
 * before: the comparison of two constants of megabytes can be the first thing that it does.  Yet a
 * short call pays for no timer of its own: one that is set already stays, and when it goes off too
 * early for the call that runs by then, it is set for that one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "functions/sandbox_impl.h"

#define HARD_US     100000u /* behind the end of a call */
#define AGAIN_US    1000u   /* what is busy is tried again so soon */
#define LOOK_BYTES  (256u * 1024)
#define STEP_KIB    256
#define STRING_HEAD 32  /* what Lua adds to a string's bytes, and a little more */
#define DEPTH_LEVEL 100 /* an error for lack of stack comes from below so many calls */

/* The call that runs in this thread. */
static _Thread_local struct functions *volatile current;

/* ---- the hard stop ---- */

static void timer_at(struct functions *f, uint64_t us)
{
	struct itimerspec t = {
		{0,		      0			  },
                {(time_t)(us / 1000000), (long)(us % 1000000) * 1000}
        };

	f->timer_us = us;
	(void)timer_settime(f->timer, TIMER_ABSTIME, &t, NULL);
}

static void on_signal(int signal)
{
	struct functions *f = current;
	int e = errno;
	uint64_t now;

	(void)signal;
	if (!f)
		return; /* the next call sets it anew */
	now = clock_us();
	if (now >= f->end_us + HARD_US && !f->busy)
		_longjmp(f->exit, 1);
	timer_at(f, now < f->end_us + HARD_US ? f->end_us + HARD_US : now + AGAIN_US);
	errno = e;
}

void limits_timer(struct functions *f)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER};
	struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = FUNCTIONS_SIGNAL};

	e._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	(void)sigemptyset(&a.sa_mask);
	f->has_timer = sigaction(FUNCTIONS_SIGNAL, &a, NULL) == 0 &&
		       timer_create(CLOCK_MONOTONIC, &e, &f->timer) == 0;
}

/* ---- the clock ---- */

static void hurry(struct functions *f)
{
	f->work = CHARGE_MAX;
	lua_sethook(f->L, limits_hook, LUA_MASKCOUNT, 1);
}

static void over(struct functions *f, enum limit what)
{
	if (!f->over)
		f->over = what;
	hurry(f);
}

static void look(struct functions *f)
{
	uint64_t now = clock_us();

	f->allocated = 0;
	f->work = f->tight ? CHARGE_MAX : 0;
	if (now >= f->end_us && !f->over)
		over(f, LIMIT_TIME);
}

void limits_begin(struct functions *f)
{
	f->over = LIMIT_NONE;
	f->tight = false;
	f->where[0] = '\0';
	f->work = 0;
	f->allocated = 0;
	f->memory_max = f->arena.used + f->config.memory_bytes;
	f->start_us = clock_us();
	f->end_us = f->start_us + f->config.time_ms * 1000ull;
	f->busy = 0;
	f->running = true;
	current = f;
	if (f->has_timer && f->start_us >= f->timer_us)
		timer_at(f, f->end_us + HARD_US);
}

void limits_end(struct functions *f)
{
	current = NULL;
	f->running = false;
}

/* ---- memory ---- */

/*
 * Above the limit memory is still given, up to twice as much, and the next instruction collects: an
 * allocation that fails would make Lua collect everything at once, deaf to the clock.
 */
void *limits_allocate(void *ud, void *p, size_t old, size_t size)
{
	struct functions *f = ud;
	size_t had = p ? old : 0;

	if (f->running && size > had) {
		size_t used = f->arena.used + size - had;

		f->allocated += size - had;
		if (f->allocated >= LOOK_BYTES)
			look(f);
		if (!p && old == LUA_TSTRING && size > f->config.value_max + STRING_HEAD)
			over(f, LIMIT_STRING);
		if (used > f->memory_max) {
			f->tight = true;
			hurry(f);
			if (used > f->memory_max + f->config.memory_bytes) {
				over(f, LIMIT_MEMORY);
				return NULL;
			}
		}
		if (used > f->peak)
			f->peak = used;
	} else if (size > had && f->arena.used + size - had > 4 * f->config.memory_bytes) {
		return NULL; /* a source that is no source */
	}
	return arena_resize(&f->arena, p, had, size);
}

/* A whole collection, the clock looked at between its steps: what began earlier, and one anew. */
static void collect(struct functions *f)
{
	lua_State *L = f->L;

	f->tight = false;
	for (int cycle = 0; cycle < 2; cycle++) {
		while (!lua_gc(L, LUA_GCSTEP, STEP_KIB)) {
			look(f);
			if (f->over)
				return;
		}
	}
	f->tight = false;
	if (f->arena.used > f->memory_max)
		over(f, LIMIT_MEMORY);
	else
		lua_sethook(L, limits_hook, LUA_MASKCOUNT, SANDBOX_HOOK_COUNT);
}

/* ---- raising ---- */

static void where(struct functions *f, lua_State *L, lua_Debug *ar)
{
	lua_Debug at;

	if (f->where[0])
		return;
	for (int level = 0; !ar && lua_getstack(L, level, &at); level++)
		if (lua_getinfo(L, "Sl", &at) && at.currentline >= 0)
			ar = &at;
	if (ar && lua_getinfo(L, "Sl", ar) && ar->currentline >= 0)
		(void)snprintf(f->where, sizeof(f->where), "%.*s:%d: ", (int)sizeof(f->where) - 20,
			       ar->short_src, ar->currentline);
}

static void judge(lua_State *L, lua_Debug *ar)
{
	struct functions *f = functions_of(L);

	if (!f->running)
		return;
	if (!f->over)
		look(f);
	if (f->tight && !f->over)
		collect(f);
	if (!f->over)
		return;
	where(f, L, ar);
	lua_pushlightuserdata(L, f);
	(void)lua_error(L);
}

void limits_look(lua_State *L)
{
	judge(L, NULL);
}

void limits_hook(lua_State *L, lua_Debug *ar)
{
	judge(L, ar);
}

int limits_depth(lua_State *L)
{
	static const char stack[] = "stack overflow";
	struct functions *f = functions_of(L);
	lua_Debug ar;
	size_t n;
	const char *s;

	if (f->over || lua_type(L, 1) != LUA_TSTRING)
		return 1;
	s = lua_tolstring(L, 1, &n);
	if (n < sizeof(stack) - 1 || !lua_getstack(L, DEPTH_LEVEL, &ar))
		return 1;
	/* Both of Lua's texts end or begin with it, behind module:line. */
	if (memmem(s, n, stack, sizeof(stack) - 1)) {
		where(f, L, NULL);
		over(f, LIMIT_DEPTH);
	}
	return 1;
}
