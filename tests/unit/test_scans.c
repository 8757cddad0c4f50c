/*
 * Scans of random ranges against a model, while keys lie in cache, in base, in both, and on their
 * way between them; and lists of many buckets.
 */
#include <stdlib.h>

#include "include/wire.h"
#include "tests/unit/lib/store_fixture.h"

#define KEYS  300
#define SCANS 22000

struct name {
	char data[WIRE_KEY_MAX + 24];
	size_t n;
};

/* Keys in the model's order; `version` 0: not there. */
static struct {
	struct name key;
	uint64_t version;
} model[KEYS];

static int name_compare(const void *a, const void *b)
{
	const struct name *x = a;
	const struct name *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int c = memcmp(x->data, y->data, n);

	return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Few different bytes, so that many begin alike; the smallest and the largest among them. */
static void name_make(struct name *ret, uint64_t *s, size_t least, size_t most)
{
	static const char bytes[] = {'\0', 'a', 'b', '\x7f', '\x80', '\xff'};
	size_t span = unit_random(s) % 16 ? 5 : most - least + 1;

	ret->n = least + unit_random(s) % span;
	for (size_t i = 0; i < ret->n; i++)
		ret->data[i] = i < 5 ? bytes[unit_random(s) % sizeof(bytes)] : 'z';
}

static void model_make(uint64_t *s)
{
	int n = 0;

	memset(model, 0, sizeof(model));
	while (n < KEYS) {
		int i = 0;

		name_make(&model[n].key, s, 1, WIRE_KEY_MAX);
		while (name_compare(&model[i].key, &model[n].key) != 0)
			i++;
		n += i == n;
	}
	qsort(model, KEYS, sizeof(model[0]), name_compare);
}

static struct span span_name(const struct name *n)
{
	return (struct span){n->data, n->n};
}

static void key_locate(int i, struct store_key *k)
{
	store_begin(current, 0);
	store_locate(current, span_of("b"), span_name(&model[i].key), k);
}

static void model_write(uint64_t *s)
{
	static const struct store_condition always = {false, false, 0};
	int i = (int)(unit_random(s) % KEYS);
	struct store_key k;
	uint64_t version;
	bool deleted = false;

	key_locate(i, &k);
	if (unit_random(s) % 5 < 3) {
		EQ(0, store_put(current, &k, span_of("v"), 0, &always, &model[i].version));
		return;
	}
	EQ(0, store_delete(current, &k, &always, &deleted, &version));
	EQ(model[i].version != 0, deleted);
	model[i].version = 0;
}

/* What was asked, said anew and one by one. */
struct asked {
	struct name prefix, from, to, after;
	struct store_range range;
	int left; /* items that are wanted */
	int next;
	int bad;
};

static bool belongs(const struct asked *a, int i)
{
	const struct store_range *g = &a->range;
	const struct name *k = &model[i].key;
	int after = g->has_after ? name_compare(k, &a->after) : 0;

	return model[i].version && k->n >= a->prefix.n &&
	       memcmp(k->data, a->prefix.data, a->prefix.n) == 0 &&
	       name_compare(k, &a->from) >= 0 && (!g->has_to || name_compare(k, &a->to) < 0) &&
	       (!g->has_after || (g->reverse ? after < 0 : after > 0));
}

static void to_next(struct asked *a)
{
	while (a->next >= 0 && a->next < KEYS && !belongs(a, a->next))
		a->next += a->range.reverse ? -1 : 1;
}

static bool item(void *arg, const struct store_item *i)
{
	struct asked *a = arg;

	to_next(a);
	if (a->next < 0 || a->next >= KEYS || i->version != model[a->next].version ||
	    i->key.n != model[a->next].key.n ||
	    memcmp(i->key.p, model[a->next].key.data, i->key.n) != 0)
		a->bad++;
	a->next += a->range.reverse ? -1 : 1;
	return --a->left > 0;
}

static void scan(uint64_t *s)
{
	static struct asked a;
	struct store_key k;
	unsigned how = (unsigned)unit_random(s);

	memset(&a, 0, sizeof(a));
	if (how & 1)
		name_make(&a.prefix, s, 0, WIRE_KEY_MAX);
	a.prefix.n = how & 2 && a.prefix.n > 2 ? 2 : a.prefix.n;
	if (how & 4)
		name_make(&a.from, s, 0, WIRE_KEY_MAX + 20);
	if (how & 8)
		name_make(&a.to, s, 0, WIRE_KEY_MAX + 20);
	if (how & 16)
		name_make(&a.after, s, 0, WIRE_KEY_MAX + 20);
	a.range = (struct store_range){.prefix = span_name(&a.prefix),
				       .from = span_name(&a.from),
				       .to = span_name(&a.to),
				       .after = span_name(&a.after),
				       .has_to = how & 8,
				       .has_after = how & 16,
				       .reverse = how & 32};
	a.left = how & 64 ? 5 : KEYS + 1;
	a.next = a.range.reverse ? KEYS - 1 : 0;
	store_begin(current, 0);
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, store_scan(current, &k, &a.range, item, &a));
	EQ(0, a.bad);
	if (a.left > 0) {
		to_next(&a);
		TRUE_(a.next < 0 || a.next >= KEYS);
	}
}

static void scans_do_what_a_model_does(void)
{
	uint64_t s = unit_seed();

	fresh();
	EQ(0, reopen());
	EQ(0, create("a")); /* neighbours in base */
	EQ(0, create("b"));
	EQ(0, create("c"));
	EQ(0, put("a", "\xff\xff", "v"));
	EQ(0, put("c", "a", "v"));
	model_make(&s);
	for (int i = 0; i < SCANS; i++) {
		unsigned what = (unsigned)(unit_random(&s) % 1000);

		for (unsigned n = (unsigned)(unit_random(&s) % 4); n; n--)
			model_write(&s);
		if (what < 3)
			EQ(0, reopen());
		else if (what < 8)
			EQ(0, store_settle(current, 10000));
		else if (what < 20)
			store_checkpoint(current);
		if (what % 4 == 0) {
			store_submit(current, 0);
			store_freed(current, UINT64_MAX);
			EQ(0, store_tick(current, wall));
		}
		scan(&s);
	}
	finish();
}

/* ---- many buckets ---- */

#define BUCKETS 20000

struct names {
	int next;
	int bad;
	int left;
};

static bool bucket_item(void *arg, struct span n)
{
	struct names *l = arg;
	char want[24];

	(void)snprintf(want, sizeof(want), "bucket%07d", l->next++);
	l->bad += n.n != strlen(want) || memcmp(n.p, want, n.n) != 0;
	return --l->left > 0;
}

static void many_buckets_are_listed_in_order_over_a_restart(void)
{
	struct store_config c = config();
	uint64_t s = unit_seed();
	char name[24];

	c.buckets_max = BUCKETS;
	c.cache_bytes = 64 << 20;
	fresh();
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	for (int i = 0; i < BUCKETS; i++) { /* in an order that is not theirs */
		(void)snprintf(name, sizeof(name), "bucket%07d", (int)(i * 7919ll % BUCKETS));
		EQ(0, create(name));
		if (i == BUCKETS / 2)
			EQ(0, store_settle(current, 10000));
	}
	EQ(-ENOSPC, create("one more"));
	for (int life = 0; life < 2; life++) {
		for (int i = 0; i < 200; i++) {
			struct names l = {(int)(unit_random(&s) % BUCKETS), 0, 100};
			int from = l.next;

			(void)snprintf(name, sizeof(name), "bucket%07d", from);
			store_begin(current, 0);
			store_buckets(current, span_of(name), bucket_item, &l);
			EQ(0, l.bad);
			EQ(from + 100 < BUCKETS ? from + 100 : BUCKETS, l.next);
		}
		store_close(&current);
		EQ(0, store_open(&c, &current, why, sizeof(why)));
	}
	finish();
}

UNIT_MAIN(T(scans_do_what_a_model_does), T(many_buckets_are_listed_in_order_over_a_restart))
