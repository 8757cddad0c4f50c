/* Words that somebody meant. */
#include <string.h>

#include "common/near.h"
#include "tests/unit/lib/unit.h"

static void a_slip_is_near(void)
{
	EQ(0, near_distance("scan", "scan"));
	EQ(1, near_distance("sacn", "scan"));
	EQ(1, near_distance("scn", "scan"));
	EQ(1, near_distance("scaan", "scan"));
	EQ(1, near_distance("gut", "get"));
	EQ(1, near_distance("buck", "buckets"));
	EQ(2, near_distance("buckts ", "buckets"));
	EQ(2, near_distance("bukcest", "buckets"));
}

static void what_nobody_meant_is_not(void)
{
	EQ(NEAR_NOT, near_distance("list", "shell"));
	EQ(NEAR_NOT, near_distance("q", "ttl"));
	EQ(NEAR_NOT, near_distance("", "get"));
	EQ(NEAR_NOT, near_distance("top", "drop"));
	EQ(NEAR_NOT, near_distance("x", "on"));
	EQ(NEAR_NOT, near_distance("frobnicate", "replicate"));
}

static void long_words_are_far(void)
{
	char a[200];

	memset(a, 'a', sizeof(a));
	a[sizeof(a) - 1] = '\0';
	EQ(NEAR_NOT, near_distance(a, "aaa"));
	EQ(NEAR_NOT, near_distance("aaa", a));
	a[63] = '\0';
	EQ(0, near_distance(a, a));
}

UNIT_MAIN(T(a_slip_is_near), T(what_nobody_meant_is_not), T(long_words_are_far))
