/* What a group's scans tell before the commit is what the store's tell behind it, in any range. */
#include <stdlib.h>

#include "tests/unit/lib/group_fixture.h"

enum { KEYS = 60, RANGES = 40, TEXT = 1 << 16 };

static char *key_of(uint64_t i)
{
	static char key[24];

	/* Some are beginnings of others, and bytes sort unsigned. */
	(void)snprintf(key, sizeof(key), "%c%.*s", (char)(i % 3 ? 'a' + i % 4 : 0xf0 + i % 2),
		       (int)(i / 4), "aaaaaaaaaaaaaaaaaa");
	return key;
}

static void change(uint64_t *s, bool grouped)
{
	char *key = key_of(unit_random(s) % KEYS);
	char value[32];
	uint64_t ttl = unit_random(s) % 3 * 1000000;
	uint64_t version;

	(void)snprintf(value, sizeof(value), "value %u", (unsigned)unit_random(s) % 100000);
	switch (unit_random(s) % 4) {
	case 0:
		if (grouped)
			(void)gdel(key);
		else
			(void)del("b", key);
		break;
	case 1:
		if (grouped)
			(void)group_touch(current, span_of(key), ttl, &always, &version);
		break;
	default:
		if (grouped)
			(void)gput_ttl(key, value, ttl);
		else
			EQ(0, put_ttl("b", key, value, ttl));
	}
}

struct bounds {
	struct store_range range;
	char text[4][24];
	unsigned limit;
};

static struct span bound(uint64_t *s, char *out)
{
	(void)snprintf(out, 24, "%s", key_of(unit_random(s) % KEYS));
	if (unit_random(s) % 3 == 0)
		out[unit_random(s) % (strlen(out) + 1)] = '\0';
	return span_of(out);
}

static void bounds_random(uint64_t *s, struct bounds *b)
{
	struct store_range *r = &b->range;

	memset(b, 0, sizeof(*b));
	r->prefix = r->from = r->to = r->after = span_of("");
	if (unit_random(s) % 3 == 0)
		r->prefix = bound(s, b->text[0]);
	if (unit_random(s) % 3 == 0)
		r->from = bound(s, b->text[1]);
	r->has_to = unit_random(s) % 3 == 0;
	if (r->has_to)
		r->to = bound(s, b->text[2]);
	r->has_after = unit_random(s) % 3 == 0;
	if (r->has_after)
		r->after = bound(s, b->text[3]);
	r->reverse = unit_random(s) % 2;
	b->limit = unit_random(s) % 3 ? 1000 : 1 + (unsigned)unit_random(s) % 5;
}

/* All that a scan tells, as text. */
struct telling {
	char text[TEXT];
	size_t n;
	unsigned left;
};

static bool tell(void *arg, const struct store_item *i)
{
	struct telling *t = arg;

	t->n += (size_t)snprintf(t->text + t->n, TEXT - t->n, "%.*s=%.*s@%llu/%llu ", (int)i->key.n,
				 i->key.p, (int)i->value.n, i->value.p,
				 (unsigned long long)i->version, (unsigned long long)i->ttl_ms);
	return --t->left > 0;
}

static void what_is_told_before_the_commit_is_what_there_is_behind_it(void)
{
	static struct bounds bounds[RANGES];
	static struct telling within[RANGES];
	static struct telling behind;
	uint64_t s = unit_seed();
	size_t all = 0;

	fresh();
	EQ(0, reopen());
	wall = store_clock(current) + 1000;
	EQ(0, create("b"));
	for (unsigned round = 0; round < 150; round++) {
		struct store_key k;
		uint64_t n;

		EQ(0, store_tick(current, wall)); /* from here on the clock stands */
		for (unsigned i = 0; i < 10; i++)
			change(&s, false);
		if (round % 10 == 3)
			EQ(0, store_settle(current, 10000));
		wall = store_clock(current);
		begin("b");
		for (uint64_t i = unit_random(&s) % 40; i--;)
			change(&s, true);
		for (unsigned i = 0; i < RANGES; i++) {
			bounds_random(&s, &bounds[i]);
			within[i].n = 0;
			within[i].text[0] = '\0';
			within[i].left = bounds[i].limit;
			EQ(0, group_scan(current, &bounds[i].range, tell, &within[i]));
			all += within[i].n;
		}
		EQ(0, group_count(current, &n));
		commit();
		EQ(n, count("b"));
		store_locate(current, span_of("b"), span_of(""), &k);
		for (unsigned i = 0; i < RANGES; i++) {
			behind.n = 0;
			behind.text[0] = '\0';
			behind.left = bounds[i].limit;
			EQ(0, store_scan(current, &k, &bounds[i].range, tell, &behind));
			EQ(0, strcmp(within[i].text, behind.text));
		}
	}
	TRUE_(all > 100000);
	finish();
}

UNIT_MAIN(T(what_is_told_before_the_commit_is_what_there_is_behind_it))
