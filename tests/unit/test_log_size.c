/* Sizes of log files against what a log needs, and stores that have the least of it. */
#include <stdlib.h>

#include "common/log_size.h"
#include "storage/log/wal.h"
#include "tests/unit/lib/store_fixture.h"

static void files_hold_what_they_must_whatever_is_wanted(void)
{
	for (uint64_t value = 1024; value <= 1ull << 28; value = value * 3 + 1)
		for (uint64_t wanted = 1ull << 20; wanted <= 1ull << 32; wanted *= 4)
			for (uint64_t limit = 1ull << 20; limit <= 1ull << 42;
			     limit = limit * 2 + 777) {
				struct log_size s = log_size(value, 0, wanted, limit);
				uint64_t record = log_put_size(255, 480, value);

				TRUE_(record <= s.record_bytes);
				TRUE_(record + WAL_HEADER_BYTES <= s.file_bytes);
				EQ(0, s.file_bytes % 4096);
				/* What the least allows does not depend on wishes. */
				EQ(s.limit_least, log_size(value, 0, 1 << 20, 1 << 20).limit_least);
				if (limit < s.limit_least)
					continue;
				TRUE_(limit / s.file_bytes >= LOG_FILES_LEAST);
				TRUE_(limit / s.file_bytes <= LOG_FILES_MOST + 1);
				TRUE_(s.file_bytes >= wanted || s.file_bytes >= limit / 8 - 4096);
			}
}

/* Values of the largest size, each accepted sooner or later, over restarts too. */
static void puts_go_on(const struct store_config *c)
{
	char *value = malloc((size_t)c->value_max + 1);
	char key[24];

	memset(value, 'v', (size_t)c->value_max);
	value[c->value_max] = '\0';
	fresh();
	EQ(0, store_open(c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	for (int i = 0; i < 40; i++) {
		uint64_t until = clock_ms() + 30000;
		int r;

		(void)snprintf(key, sizeof(key), "key%05d", i % 7);
		if (i % 13 == 12) {
			finish();
			EQ(0, store_open(c, &current, why, sizeof(why)));
		}
		while ((r = put("b", key, value)) == -EBUSY && clock_ms() < until) {
			store_submit(current, 0);
			store_freed(current, UINT64_MAX);
			EQ(0, store_tick(current, clock_wall_ms()));
			(void)usleep(500);
		}
		EQ(0, r);
	}
	EQ(7, count("b"));
	finish();
	free(value);
}

static void the_least_log_takes_the_largest_values_for_ever(void)
{
	struct store_config c = config();

	c.value_max = 512 << 10;
	c.log_segment_bytes = 1 << 20;
	/* Four files of the size wanted, and two of the largest values just miss one of them. */
	c.log_bytes = 4 << 20;
	puts_go_on(&c);
	c.log_bytes = log_size(c.value_max, c.group_max, c.log_segment_bytes, 0).limit_least;
	puts_go_on(&c);
	c.log_segment_bytes = 64 << 20;
	puts_go_on(&c);
}

/* The settled file of the life before may be larger than the whole log may be now. */
static void a_log_made_smaller_takes_writes(void)
{
	struct store_config c = config();

	fresh();
	c.log_segment_bytes = 8 << 20;
	c.log_bytes = 64 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	EQ(0, put("b", "k", "v"));
	EQ(0, store_settle(current, 10000));
	finish();
	c.log_segment_bytes = 1 << 20;
	c.log_bytes = 2 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	for (int i = 0; i < 3; i++) {
		EQ(0, put("b", "k", "w"));
		EQ(0, store_settle(current, 10000));
	}
	is("b", "k", "w");
	finish();
}

/* What is written anew at the start may be more than a file of now holds. */
static void a_log_made_smaller_settles_what_was_left(void)
{
	struct store_config c = config();
	static char value[60000];
	char key[24];

	memset(value, 'v', sizeof(value) - 1);
	fresh();
	c.cache_bytes = 64 << 20;
	c.log_segment_bytes = 8 << 20;
	c.log_bytes = 64 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	for (int i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put("b", key, value));
		sync_all();
	}
	finish();
	c.log_segment_bytes = 1 << 20;
	c.log_bytes = 8 << 20;
	for (int i = 0; i < 2; i++) {
		EQ(0, store_open(&c, &current, why, sizeof(why)));
		EQ(100, count("b"));
		EQ(0, store_settle(current, 10000));
		EQ(0, put("b", "key00000", value));
		sync_all();
		finish();
	}
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(100, count("b"));
	finish();
}

static void a_smaller_log_is_refused(void)
{
	struct store_config c = config();

	fresh();
	c.value_max = 512 << 10;
	c.log_bytes = log_size(c.value_max, c.group_max, c.log_segment_bytes, 0).limit_least - 1;
	EQ(-EINVAL, store_open(&c, &current, why, sizeof(why)));
	TRUE_(strstr(why, "is too small: values of 524288 bytes, and groups of"));
}

UNIT_MAIN(T(files_hold_what_they_must_whatever_is_wanted),
	  T(the_least_log_takes_the_largest_values_for_ever), T(a_log_made_smaller_takes_writes),
	  T(a_log_made_smaller_settles_what_was_left), T(a_smaller_log_is_refused))
