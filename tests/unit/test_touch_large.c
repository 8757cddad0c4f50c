/* A checkpoint of touches: what they write again lies in base, and its size counts. */
#include "common/fault.h"
#include "tests/unit/lib/store_fixture.h"

#define KEYS 800
#define SIZE (60u << 10) /* of a value: more than 32 MiB in all */

static char value[SIZE + 1];

static int touch(const char *key, uint64_t ttl)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;

	store_begin(current, 0);
	store_locate(current, span_of("b"), span_of(key), &k);
	return store_touch(current, &k, ttl, &always, &version);
}

static const char *key_of(int i)
{
	static char key[16];

	(void)snprintf(key, sizeof(key), "key%03d", i);
	return key;
}

static void whole(const char *key)
{
	struct store_item item = {0};
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of("b"), span_of(key), &k);
	EQ(0, store_get(current, &k, &item));
	TRUE_(span_equal(item.value, span_of(value)));
	TRUE_(item.ttl_ms && item.ttl_ms <= 1000000);
}

/* One transaction would keep all of these values in memory. */
static void touches_of_large_values_take_several_transactions(void)
{
	struct store_config c;

	memset(value, 'v', SIZE);
	cache_bytes = 128 << 20;
	fresh();
	c = config();
	c.map_bytes = 512 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	wall = store_clock(current);
	EQ(0, create("b"));
	for (int i = 0; i < KEYS; i++) {
		EQ(0, put("b", key_of(i), value));
		if (i % 100 == 99)
			EQ(0, store_settle(current, 20000));
	}
	for (int i = 0; i < KEYS; i++)
		EQ(0, touch(key_of(i), 1000000));
	fault_set("base.commit=ENOSPC@2", 0);
	EQ(-ENOSPC, store_settle(current, 20000));
	fault_set(NULL, 0);
	EQ(0, store_settle(current, 20000));
	for (int i = 0; i < KEYS; i++)
		whole(key_of(i));
	finish();
	cache_bytes = 1 << 20;
}

/* Base takes it once, and there is room for that. */
static void one_value_touched_again_and_again_owes_base_one(void)
{
	memset(value, 'v', SIZE);
	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	EQ(0, put("b", "dirty", value));
	EQ(0, put("b", "clean", value));
	EQ(0, store_settle(current, 20000));
	EQ(0, put("b", "dirty", value));
	for (int life = 0; life < 2; life++) {
		for (int i = 0; i < 1000; i++) {
			EQ(0, touch("clean", 1000000));
			EQ(0, touch("dirty", i % 2 ? 1000000 : 0));
		}
		EQ(0, reopen());
	}
	EQ(0, put("b", "more", value));
	EQ(0, store_settle(current, 20000));
	whole("clean");
	whole("dirty");
	finish();
}

UNIT_MAIN(T(one_value_touched_again_and_again_owes_base_one),
	  T(touches_of_large_values_take_several_transactions))
