/*
 * Is there an order of the requests on one bucket in which each takes effect once, between its
 * sending and its reply, so that a map with versions would have given the same replies?  The search
 * is that of Wing and Gong with Lowe's memory of what has been tried, as in tests/node/history.py.
 * One client's requests keep their order.  A request that nobody was told of, and that was done,
 * was done at some time after it was sent.
 */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/hash.h"
#include "tests/sim/history.h"

#define TRIED_FIRST 4096u
#define TRIED_MAX   (1u << 24) /* states of one bucket: then it is no use to go on */

/* A bucket as a value. */
struct state {
	bool there;
	uint64_t told; /* the highest version given out */
	struct {
		uint64_t value;
		uint64_t version; /* 0: no such key */
	} key[STORE_KEYS];
};

/* A request's begin or its end, in a list by time. */
struct moment {
	struct moment *prev;
	struct moment *next;
	struct moment *end; /* of a begin; NULL: it is an end itself */
	uint64_t at_us;
	uint32_t of;
};

struct tried {
	struct moment *begin;
	struct state before;
};

struct search {
	const struct ask *const *ask;
	uint32_t count;
	struct moment *moment;
	uint32_t *before; /* the one that its client sent before; count: none */
	uint8_t *key;     /* which of state.key */
	bool *done;
	uint64_t done_hash;
	struct tried *stack;
	uint32_t depth;
	uint64_t *memory; /* of what has been tried: an open table of hashes */
	uint32_t room;
	uint32_t remembered;
};

static bool known(const struct ask *a)
{
	return a->state == ASK_ANSWERED && a->code != WIRE_E_TIMEOUT && a->code != WIRE_E_INTERNAL;
}

static uint32_t keys_there(const struct state *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < STORE_KEYS; i++)
		n += s->key[i].version != 0;
	return n;
}

/* A change takes the next version. */
static bool change(struct state *s, const struct ask *a)
{
	if (a->done_version <= s->told)
		return false;
	s->told = a->done_version;
	return true;
}

/* Does `a`, with what came of it, fit here?  Then `s` is what follows. */
static bool fits(struct state *s, const struct ask *a, uint8_t k)
{
	uint64_t version = s->key[k].version;
	bool holds = !(a->if_absent && version) && !(a->conditional && version != a->if_version);

	if (known(a) && a->code == WIRE_E_NO_BUCKET)
		return !s->there;
	if (a->method == WIRE_CREATE || a->method == WIRE_DROP) {
		if (s->there != (a->method == WIRE_CREATE))
			return a->done && change(s, a) &&
			       (memset(s->key, 0, sizeof(s->key)), s->there = !s->there, true);
		return !a->done;
	}
	if (!s->there)
		return false;
	if (known(a) && a->code == WIRE_E_CONFLICT)
		return !holds && a->version == version;
	switch (a->method) {
	case WIRE_GET:
		return a->found ? version == a->version && version && s->key[k].value == a->value
				: !version;
	case WIRE_COUNT:
		return keys_there(s) == a->version;
	case WIRE_DELETE:
		if (!holds || (version != 0) != (a->done != 0))
			return false;
		s->key[k].version = 0;
		s->key[k].value = 0;
		return !a->done || change(s, a);
	default:
		s->key[k].version = a->done_version;
		s->key[k].value = a->value;
		return holds && change(s, a);
	}
}

/* ---- the list ---- */

static void take_out(struct moment *begin)
{
	begin->prev->next = begin->next;
	begin->next->prev = begin->prev;
	begin->end->prev->next = begin->end->next;
	if (begin->end->next)
		begin->end->next->prev = begin->end->prev;
}

static void put_back(struct moment *begin)
{
	if (begin->end->next)
		begin->end->next->prev = begin->end;
	begin->end->prev->next = begin->end;
	begin->next->prev = begin;
	begin->prev->next = begin;
}

static int by_time(const void *x, const void *y)
{
	const struct moment *a = *(const struct moment *const *)x;
	const struct moment *b = *(const struct moment *const *)y;

	if (a->at_us != b->at_us)
		return a->at_us < b->at_us ? -1 : 1;
	if (!a->end != !b->end)
		return a->end ? -1 : 1; /* begins first */
	return a->of < b->of ? -1 : a->of > b->of;
}

static struct moment *list_make(struct search *s)
{
	uint32_t n = 2 * s->count;
	struct moment **order = calloc(n, sizeof(struct moment *));
	struct moment *head = &s->moment[n];

	check(order);
	for (uint32_t i = 0; i < s->count; i++) {
		const struct ask *a = s->ask[i];

		s->moment[2 * i] =
			(struct moment){.end = &s->moment[2 * i + 1], .at_us = a->sent_us, .of = i};
		s->moment[2 * i + 1] =
			(struct moment){.at_us = known(a) ? a->ended_us : UINT64_MAX, .of = i};
		order[2 * i] = &s->moment[2 * i];
		order[2 * i + 1] = &s->moment[2 * i + 1];
	}
	qsort(order, n, sizeof(struct moment *), by_time);
	head->next = order[0];
	for (uint32_t i = 0; i < n; i++) {
		order[i]->prev = i ? order[i - 1] : head;
		order[i]->next = i + 1 < n ? order[i + 1] : NULL;
	}
	free(order);
	return head;
}

static void prepare(struct search *s)
{
	char name[STORE_KEYS][STORE_NAME] = {{0}};

	for (uint32_t i = 0; i < s->count; i++) {
		uint32_t k = 0;

		while (name[k][0] && strcmp(name[k], s->ask[i]->key) != 0)
			check(++k < STORE_KEYS);
		memcpy(name[k], s->ask[i]->key, STORE_NAME);
		s->key[i] = (uint8_t)k;
		s->before[i] = s->count;
		for (uint32_t j = i; known(s->ask[i]) && j-- > 0;)
			if (s->ask[j]->client == s->ask[i]->client && known(s->ask[j])) {
				s->before[i] = j;
				break;
			}
	}
}

/* ---- the search ---- */

static bool put(uint64_t *memory, uint32_t room, uint64_t h)
{
	uint32_t at = (uint32_t)(h >> 20) & (room - 1);

	while (memory[at] && memory[at] != h)
		at = (at + 1) & (room - 1);
	if (memory[at])
		return false;
	memory[at] = h;
	return true;
}

static void memory_grow(struct search *s)
{
	uint32_t room = s->room ? 4 * s->room : TRIED_FIRST;
	uint64_t *more = calloc(room, sizeof(*more));

	check(more && room <= TRIED_MAX);
	for (uint32_t i = 0; i < s->room; i++)
		if (s->memory[i])
			(void)put(more, room, s->memory[i]);
	free(s->memory);
	s->memory = more;
	s->room = room;
}

/* Has it been tried to go on from here? */
static bool remember(struct search *s, const struct state *state)
{
	if (2 * s->remembered >= s->room)
		memory_grow(s);
	if (!put(s->memory, s->room, hash64(s->done_hash, state, sizeof(*state)) | 1))
		return true;
	s->remembered++;
	return false;
}

static uint64_t mark_of(uint32_t i)
{
	uint64_t x = i;

	return hash64(1, &x, sizeof(x));
}

static bool order_find(struct search *s, struct moment *head, uint32_t *ret_stuck)
{
	struct state state;
	struct moment *m = head->next;
	uint32_t deepest = 0;

	memset(&state, 0, sizeof(state));
	while (head->next) {
		uint32_t i = m->of;

		if (m->end) {
			struct state after = state;

			if ((s->before[i] == s->count || s->done[s->before[i]]) &&
			    fits(&after, s->ask[i], s->key[i])) {
				s->done_hash ^= mark_of(i);
				if (!remember(s, &after)) {
					s->stack[s->depth++] = (struct tried){m, state};
					s->done[i] = true;
					state = after;
					take_out(m);
					m = head->next;
					continue;
				}
				s->done_hash ^= mark_of(i);
			}
			m = m->next;
			continue;
		}
		if (s->depth >= deepest) {
			deepest = s->depth;
			*ret_stuck = i;
		}
		if (!s->depth)
			return false;
		s->depth--;
		m = s->stack[s->depth].begin;
		state = s->stack[s->depth].before;
		s->done[m->of] = false;
		s->done_hash ^= mark_of(m->of);
		put_back(m);
		m = m->next;
	}
	return true;
}

bool linear_check(const struct ask *const *ask, uint32_t count, const struct ask **ret_bad)
{
	struct search s = {.ask = ask, .count = count};
	uint32_t stuck = 0;
	bool good;

	s.moment = calloc(2 * count + 1, sizeof(*s.moment));
	s.before = calloc(count, sizeof(*s.before));
	s.key = calloc(count, sizeof(*s.key));
	s.done = calloc(count, sizeof(*s.done));
	s.stack = calloc(count, sizeof(*s.stack));
	check(s.moment && s.before && s.key && s.done && s.stack);
	prepare(&s);
	good = order_find(&s, list_make(&s), &stuck);
	*ret_bad = good ? NULL : ask[stuck];
	free(s.moment);
	free(s.before);
	free(s.key);
	free(s.done);
	free(s.stack);
	free(s.memory);
	return good;
}
