/* math: Lua's own, except that no argument is a numeral of megabytes, and its random numbers. */
#include <string.h>

#include "functions/sandbox_impl.h"

/* Lua's function, which is the upvalue, after a look at its arguments. */
static int guarded(lua_State *L)
{
	int n = lua_gettop(L);

	charge(L, 16 * (size_t)n);
	for (int i = 1; i <= n; i++)
		arg_numeral(L, i);
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void seed(struct functions *f, uint64_t a, uint64_t b)
{
	uint64_t state = a ^ (b << 32 | b >> 32);

	for (int i = 0; i < 4; i++)
		f->random[i] = mix(&state);
	f->random[0] |= 1; /* 0 stands for: not seeded */
}

static uint64_t turn(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

/* xoshiro256**, as Lua has it. */
static uint64_t draw(struct functions *f)
{
	uint64_t *s = f->random;
	uint64_t r;
	uint64_t t;

	if (!s[0] && !s[1] && !s[2] && !s[3])
		seed(f, f->seed, 0);
	r = turn(s[1] * 5, 7) * 9;
	t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = turn(s[3], 45);
	return r;
}

/* A number from 0 to max, each as likely: those above are drawn again. */
static uint64_t draw_below(struct functions *f, uint64_t max)
{
	uint64_t mask = max;
	uint64_t v;

	for (unsigned shift = 1; shift < 64; shift *= 2)
		mask |= mask >> shift;
	do {
		v = draw(f) & mask;
	} while (v > max);
	return v;
}

static int math_random(lua_State *L)
{
	struct functions *f = functions_of(L);
	lua_Integer low = 1;
	lua_Integer high;

	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (double)(draw(f) >> 11) * (0.5 / (UINT64_C(1) << 52)));
		return 1;
	case 1:
		high = arg_integer(L, 1);
		if (!high) {
			lua_pushinteger(L, (lua_Integer)draw(f));
			return 1;
		}
		break;
	case 2:
		low = arg_integer(L, 1);
		high = arg_integer(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
	lua_pushinteger(
		L, (lua_Integer)(draw_below(f, (uint64_t)high - (uint64_t)low) + (uint64_t)low));
	return 1;
}

static int math_randomseed(lua_State *L)
{
	struct functions *f = functions_of(L);
	uint64_t a = f->seed;
	uint64_t b = 0;

	if (!lua_isnone(L, 1)) {
		lua_Number d;

		arg_numeral(L, 1);
		d = luaL_checknumber(L, 1);
		if (lua_isinteger(L, 1))
			a = (uint64_t)lua_tointeger(L, 1);
		else
			memcpy(&a, &d, sizeof(a));
		b = (uint64_t)arg_integer_or(L, 2, 0);
	}
	seed(f, a, b);
	return 0;
}

void lib_math(lua_State *L)
{
	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
	lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, -3);) {
		if (lua_iscfunction(L, -1))
			lua_pushcclosure(L, guarded, 1);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, -4);
	}
	lua_remove(L, -2);
	lua_pushcfunction(L, math_random);
	lua_setfield(L, -2, "random");
	lua_pushcfunction(L, math_randomseed);
	lua_setfield(L, -2, "randomseed");
}
