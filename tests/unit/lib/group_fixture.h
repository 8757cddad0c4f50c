/* Groups in their shortest form, over tests/unit/lib/store_fixture.h. */
#ifndef PAIL_GROUP_FIXTURE_H
#define PAIL_GROUP_FIXTURE_H

#include "tests/unit/lib/store_fixture.h"

static const struct store_condition always = {false, false, 0};
static const struct span reply = {"\xc0\x2a", 2};

/* Before any test: a store's groups may be larger than its values. */
__attribute__((constructor)) static void groups_large(void)
{
	group_max = 1 << 20;
}

__attribute__((unused)) static void begin(const char *bucket)
{
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), (struct span){NULL, 0}, &k);
	EQ(0, group_begin(current, &k));
}

__attribute__((unused)) static uint64_t gput_ttl(const char *key, const char *value, uint64_t ttl)
{
	uint64_t version = 0;

	EQ(0, group_put(current, span_of(key), span_of(value), ttl, &always, &version));
	return version;
}

__attribute__((unused)) static uint64_t gput(const char *key, const char *value)
{
	return gput_ttl(key, value, 0);
}

__attribute__((unused)) static bool gdel(const char *key)
{
	uint64_t version;
	bool deleted;

	EQ(0, group_delete(current, span_of(key), &always, &deleted, &version));
	return deleted;
}

__attribute__((unused)) static uint64_t gtouch(const char *key, uint64_t ttl)
{
	uint64_t version = 0;

	EQ(0, group_touch(current, span_of(key), ttl, &always, &version));
	return version;
}

__attribute__((unused)) static void gis(const char *key, const char *want)
{
	struct store_item i;
	int r = group_get(current, span_of(key), &i);

	EQ(want ? 0 : -ENOENT, r);
	TRUE_(!want || span_equal(span_of(want), i.value));
}

__attribute__((unused)) static void commit(void)
{
	EQ(0, group_commit(current, reply));
}

#endif
