/*
 * Is there an order of the requests on one bucket in which each takes effect once, between its
 * sending and its reply, so that a map with versions would have given the same replies?  One
 * client's requests keep their order.  A request that nobody was told of, and that was done, was
 * done at some time after it was sent.
 *
 * tests/node/history.py searches for such an order, as it only knows what clients were told.  Here
 * the version that each change took is known, told or not, so that changes have one order only; and
 * what changes nothing may as well come as soon as it can and fits.  So nothing has to be tried
 * twice, and thousands of requests take no time.
 */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "tests/sim/history.h"

/* A bucket as a value. */
struct state {
	bool there;
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

struct order {
	const struct ask *const *ask;
	uint32_t count;
	struct moment *moment; /* two for each, and the list's head */
	uint32_t *before;      /* the one that its client sent before; count: none */
	uint8_t *key;          /* which of state.key */
	bool *done;
	uint32_t *change; /* those that change something, by version */
	uint32_t changes;
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

static bool holds(const struct ask *a, uint64_t version)
{
	return !(a->if_absent && version) && !(a->conditional && version != a->if_version);
}

/* Is that what a request that changes nothing is answered here? */
static bool fits(const struct state *s, const struct ask *a, uint8_t k)
{
	uint64_t version = s->key[k].version;

	if (a->code == WIRE_E_NO_BUCKET)
		return !s->there;
	if (a->method == WIRE_CREATE || a->method == WIRE_DROP)
		return s->there == (a->method == WIRE_CREATE);
	if (!s->there)
		return false;
	if (a->code == WIRE_E_CONFLICT)
		return !holds(a, version) && a->version == version;
	switch (a->method) {
	case WIRE_GET:
		return a->found ? version && version == a->version && s->key[k].value == a->value
				: !version;
	case WIRE_COUNT:
		return keys_there(s) == a->version;
	default: /* a delete of nothing */
		return a->method == WIRE_DELETE && !version && holds(a, version);
	}
}

/* Can it be done here?  Then it is. */
static bool change(struct state *s, const struct ask *a, uint8_t k)
{
	if (a->method == WIRE_CREATE || a->method == WIRE_DROP) {
		if (s->there == (a->method == WIRE_CREATE))
			return false;
		s->there = !s->there;
		memset(s->key, 0, sizeof(s->key));
		return true;
	}
	if (!s->there || !holds(a, s->key[k].version) ||
	    (a->method == WIRE_DELETE && !s->key[k].version))
		return false;
	s->key[k].version = a->method == WIRE_PUT ? a->done_version : 0;
	s->key[k].value = a->value;
	return true;
}

/* ---- what is there ---- */

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

static void list_make(struct order *o)
{
	uint32_t n = 2 * o->count;
	struct moment **by = calloc(n, sizeof(struct moment *));
	struct moment *at = &o->moment[n];

	check(by);
	for (uint32_t i = 0; i < o->count; i++) {
		struct moment *begin = &o->moment[2 * i];
		const struct ask *a = o->ask[i];

		begin[0] = (struct moment){.end = &begin[1], .at_us = a->sent_us, .of = i};
		begin[1] = (struct moment){.at_us = known(a) ? a->ended_us : UINT64_MAX, .of = i};
		by[2 * i] = &begin[0];
		by[2 * i + 1] = &begin[1];
	}
	qsort(by, n, sizeof(struct moment *), by_time);
	for (uint32_t i = 0; i < n; i++) {
		at->next = by[i];
		by[i]->prev = at;
		at = by[i];
	}
	free(by);
}

static void changes_add(struct order *o, uint32_t i)
{
	uint32_t at = o->changes++;

	for (; at && o->ask[o->change[at - 1]]->done_version > o->ask[i]->done_version; at--)
		o->change[at] = o->change[at - 1];
	o->change[at] = i;
}

static void prepare(struct order *o)
{
	char name[STORE_KEYS][STORE_NAME] = {{0}};

	for (uint32_t i = 0; i < o->count; i++) {
		const struct ask *a = o->ask[i];
		uint32_t k = 0;

		while (name[k][0] && strcmp(name[k], a->key) != 0)
			check(++k < STORE_KEYS);
		memcpy(name[k], a->key, STORE_NAME);
		o->key[i] = (uint8_t)k;
		o->before[i] = o->count;
		for (uint32_t j = i; known(a) && j-- > 0;)
			if (o->ask[j]->client == a->client && known(o->ask[j])) {
				o->before[i] = j;
				break;
			}
		if (a->done)
			changes_add(o, i);
	}
	list_make(o);
}

/* ---- putting them in order ---- */

static void unlink_moment(struct moment *m)
{
	m->prev->next = m->next;
	if (m->next)
		m->next->prev = m->prev;
}

static void take(struct order *o, struct moment *begin)
{
	o->done[begin->of] = true;
	unlink_moment(begin->end);
	unlink_moment(begin);
}

/*
 * The next one among those of which none has ended before it was sent, or NULL: one that changes
 * nothing if one fits, else the change whose turn it is.
 */
static struct moment *next_one(struct order *o, struct state *s, uint32_t *changed)
{
	struct moment *turn = NULL;

	for (struct moment *m = o->moment[2 * o->count].next; m && m->end; m = m->next) {
		uint32_t i = m->of;

		if (o->before[i] != o->count && !o->done[o->before[i]])
			continue;
		if (!o->ask[i]->done && fits(s, o->ask[i], o->key[i]))
			return m;
		if (*changed < o->changes && i == o->change[*changed])
			turn = m;
	}
	if (!turn || !change(s, o->ask[turn->of], o->key[turn->of]))
		return NULL;
	++*changed;
	return turn;
}

static bool order_make(struct order *o, const struct ask **ret_bad)
{
	struct moment *head = &o->moment[2 * o->count];
	struct state state;
	uint32_t changed = 0;

	memset(&state, 0, sizeof(state));
	while (head->next) {
		struct moment *m = next_one(o, &state, &changed);

		if (m) {
			take(o, m);
			continue;
		}
		for (m = head->next; m->end; m = m->next)
			;
		*ret_bad = o->ask[m->of]; /* it has ended, and could not take place */
		return false;
	}
	return true;
}

bool linear_check(const struct ask *const *ask, uint32_t count, const struct ask **ret_bad)
{
	struct order o = {.ask = ask, .count = count};
	bool good;

	o.moment = calloc(2 * count + 1, sizeof(*o.moment));
	o.before = calloc(count, sizeof(*o.before));
	o.key = calloc(count, sizeof(*o.key));
	o.done = calloc(count, sizeof(*o.done));
	o.change = calloc(count, sizeof(*o.change));
	check(o.moment && o.before && o.key && o.done && o.change);
	prepare(&o);
	good = order_make(&o, ret_bad);
	free(o.moment);
	free(o.before);
	free(o.key);
	free(o.done);
	free(o.change);
	return good;
}
