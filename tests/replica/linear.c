/*
 * Calls and returns in a list, in order of time.  A call that the state allows is taken out with its
 * return, and the search goes on from the front; a return that is met has a call that had to come
 * before: back to the last choice.  What is done is known by the exclusive or of a random number a
 * step, so that (done, state) is one number in the memo.
 */
#include <string.h>

#include "common/check.h"
#include "tests/replica/history.h"

#define STEPS      4096u
#define MEMO_BITS  18u /* at most; it begins small, so as to stay in the processor's cache */
#define MEMO_FIRST 10u
#define WORK_MAX   200000u /* more than that is not decided */

struct mark {
	uint64_t at;
	uint32_t step;
	bool call;
};

struct choice {
	uint32_t step;
	uint64_t state;
};

static struct mark marks[2 * STEPS];
static uint32_t next[2 * STEPS + 1], prev[2 * STEPS + 1];
static uint32_t call_at[STEPS], return_at[STEPS];
static uint64_t name[STEPS];
static struct choice stack[STEPS];
static uint64_t memo[1u << MEMO_BITS];
static uint32_t memo_run[1u << MEMO_BITS];
static uint32_t run, memo_bits, memo_count;

static bool memo_put(uint64_t key)
{
	uint32_t i = (uint32_t)(key * 0xd6e8feb86659fd93u >> (64 - memo_bits));

	for (;; i = (i + 1) & ((1u << memo_bits) - 1)) {
		if (memo_run[i] != run) {
			memo_run[i] = run;
			memo[i] = key;
			return true;
		}
		if (memo[i] == key)
			return false;
	}
}

static void memo_grow(void)
{
	static uint64_t old[1u << (MEMO_BITS - 1)];
	uint32_t n = 0;

	for (uint32_t i = 0; i < 1u << memo_bits; i++)
		if (memo_run[i] == run)
			old[n++] = memo[i];
	run++;
	memo_bits++;
	while (n)
		(void)memo_put(old[--n]);
}

static bool memo_add(uint64_t done, uint64_t state)
{
	if (!memo_put(done ^ state * 0x9e3779b97f4a7c15u))
		return false;
	if (++memo_count > 1u << (memo_bits - 1) && memo_bits < MEMO_BITS)
		memo_grow();
	return true;
}

/* Can the step happen in this state, and what is the state then? */
static bool step_apply(const struct step *s, uint64_t state, uint64_t *ret)
{
	uint32_t value[2] = {(uint32_t)state, (uint32_t)(state >> 32)};

	for (uint32_t i = 0; i < 2; i++) {
		if (s->pre_mask >> i & 1u && value[i] != s->pre[i]) {
			if (!s->expired || s->pre[i])
				return false;
			value[i] = 0; /* its time is over for everybody after */
		}
		if (s->post_mask >> i & 1u)
			value[i] = s->post[i];
	}
	*ret = (uint64_t)value[1] << 32 | value[0];
	return true;
}

static bool is_before(const struct mark *a, const struct mark *b)
{
	return a->at != b->at ? a->at < b->at : a->call && !b->call;
}

/* They lie nearly in order: each is put in its place among those before it. */
static void marks_sort(uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		struct mark m = marks[i];
		uint32_t k = i;

		for (; k && is_before(&m, &marks[k - 1]); k--)
			marks[k] = marks[k - 1];
		marks[k] = m;
	}
}

static void unlink_mark(uint32_t m)
{
	next[prev[m]] = next[m];
	prev[next[m]] = prev[m];
}

static void link_mark(uint32_t m)
{
	next[prev[m]] = m;
	prev[next[m]] = m;
}

/* Returns how many marks; `must` is how many steps have an end. */
static uint32_t marks_make(const struct step *step, uint32_t count, uint32_t *must)
{
	uint64_t chance = 1;
	uint32_t n = 0;

	*must = 0;
	for (uint32_t i = 0; i < count; i++) {
		name[i] = chance_next(&chance);
		if (!step[i].post_mask && step[i].end == NEVER)
			continue; /* who has seen nothing says nothing */
		marks[n++] = (struct mark){step[i].begin, i, true};
		if (step[i].end != NEVER) {
			marks[n++] = (struct mark){step[i].end, i, false};
			++*must;
		}
	}
	marks_sort(n);
	for (uint32_t m = 0; m < n; m++)
		*(marks[m].call ? &call_at[marks[m].step] : &return_at[marks[m].step]) = m;
	for (uint32_t m = 0; m <= n; m++) { /* n: before the first and behind the last */
		next[m] = m == n ? 0 : m + 1;
		prev[m] = m ? m - 1 : n;
	}
	return n;
}

enum linear steps_linear(const struct step *step, uint32_t count)
{
	uint64_t state = 0, then, done = 0;
	uint32_t left, end, m, depth = 0, work = 0;

	check(count <= STEPS);
	end = marks_make(step, count, &left);
	run++;
	memo_bits = MEMO_FIRST;
	memo_count = 0;
	for (m = next[end]; left;) {
		if (m != end && marks[m].call) {
			uint32_t i = marks[m].step;

			if (!step_apply(&step[i], state, &then) ||
			    !memo_add(done ^ name[i], then)) {
				m = next[m];
				continue;
			}
			if (++work > WORK_MAX)
				return LINEAR_UNDECIDED;
			stack[depth++] = (struct choice){i, state};
			state = then;
			done ^= name[i];
			unlink_mark(m);
			if (step[i].end != NEVER) {
				unlink_mark(return_at[i]);
				left--;
			}
			m = next[end];
		} else { /* what has to come before this return is none of what was tried */
			struct choice c;

			if (!depth)
				return LINEAR_NO;
			c = stack[--depth];
			state = c.state;
			done ^= name[c.step];
			if (step[c.step].end != NEVER) {
				link_mark(return_at[c.step]);
				left++;
			}
			link_mark(call_at[c.step]);
			m = next[call_at[c.step]];
		}
	}
	return LINEAR_YES;
}
