/* Groups as large as they may be: their records get files of their own, in logs of the least size. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/log_size.h"
#include "storage/log/wal.h"
#include "tests/unit/lib/store_fixture.h"

enum { VALUE = 60000, LARGE = 3 << 20 };

static const struct store_condition always = {false, false, 0};
static char value[VALUE + 1];

static void sizes_follow_from_values_messages_and_limits(void)
{
	for (uint64_t v = 1024; v <= 1ull << 28; v = v * 3 + 1)
		for (uint64_t group = 4096; group <= 1ull << 30; group = group * 3 + 1)
			for (uint64_t limit = 1ull << 20; limit <= 1ull << 42; limit = limit * 5) {
				struct log_size s = log_size(v, group, 16 << 20, limit);
				struct log_size put = log_size(v, 0, 16 << 20, limit);

				TRUE_(s.file_bytes <=
				      put.file_bytes); /* a group needs no larger ones */
				TRUE_(s.record_bytes >= group && s.record_bytes >= put.put_bytes);
				TRUE_(s.limit_least >= put.limit_least);
				if (limit < s.limit_least)
					continue;
				/* What is settled, what is open, two to go on with, and it. */
				TRUE_(limit >= 4 * s.file_bytes + WAL_HEADER_BYTES + group);
			}
	EQ(0, log_group_bytes(16 << 20, 1 << 20) % 8);
	TRUE_(log_group_bytes(16 << 20, 1 << 20) > (17 << 20) + 4096 * 24);
}

static struct store_config config_large(void)
{
	struct store_config c = config();

	c.group_max = LARGE;
	c.cache_bytes = 64 << 20; /* it is the log that is short */
	c.log_segment_bytes = 1 << 20;
	c.log_bytes = log_size(c.value_max, c.group_max, c.log_segment_bytes, 0).limit_least;
	return c;
}

static void open_large(void)
{
	struct store_config c = config_large();

	if (current)
		store_close(&current);
	EQ(0, store_open(&c, &current, why, sizeof(why)));
}

static void begin(void)
{
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, group_begin(current, &k));
}

static char *key_of(unsigned i)
{
	static char key[24];

	(void)snprintf(key, sizeof(key), "key%05u", i);
	return key;
}

/* As many keys as fit, and a result that fills the record up, or has `more` bytes than that. */
static int group_fill(unsigned round, unsigned more, unsigned *ret_keys)
{
	static char result[2 * VALUE];
	uint64_t version;
	unsigned n = 0;
	int r;

	memset(value, (int)('a' + round % 26), VALUE);
	begin();
	while ((r = group_put(current, span_of(key_of(n)), span_of(value), 0, &always, &version)) ==
	       0)
		n++;
	EQ(-E2BIG, r);
	TRUE_(n > 40);
	*ret_keys = n;
	return group_commit(current,
			    (struct span){result, LARGE - group_bytes(current) - 8 + more});
}

static void go_on(void)
{
	store_submit(current, 0);
	store_freed(current, UINT64_MAX);
	EQ(0, store_tick(current, clock_wall_ms()));
	(void)usleep(500);
}

static void holds(unsigned n, unsigned round)
{
	static char want[VALUE];

	memset(want, (int)('a' + round % 26), VALUE);
	EQ(n, count("b"));
	for (unsigned i = 0; i < n; i += n / 5 + 1) {
		struct store_item item;
		struct store_key k;

		store_begin(current, 0);
		store_locate(current, span_of("b"), span_of(key_of(i)), &k);
		EQ(0, store_get(current, &k, &item));
		TRUE_(item.value.n == VALUE && !memcmp(item.value.p, want, VALUE));
	}
}

static uint64_t log_bytes_live(void)
{
	struct store_stats st;

	store_stats(current, &st);
	return st.log_bytes;
}

/* The file of the log that was begun last: its size. */
static uint64_t newest_segment(char *path, size_t size)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;
	char name[32] = "";

	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "wal-", 4) && strcmp(e->d_name, name) > 0)
			(void)snprintf(name, sizeof(name), "%.20s", e->d_name);
	(void)closedir(d);
	(void)snprintf(path, size, "%s/%s", dir, name);
	EQ(0, stat(path, &st));
	return (uint64_t)st.st_size;
}

/* Sooner or later it is taken. */
static unsigned group_filled(unsigned round)
{
	uint64_t until = clock_ms() + 30000;
	unsigned n = 0;
	int r;

	while ((r = group_fill(round, 0, &n)) == -EBUSY && clock_ms() < until)
		go_on();
	EQ(0, r);
	return n;
}

static void the_least_log_takes_the_largest_groups_for_ever(void)
{
	uint64_t limit = config_large().log_bytes;
	unsigned n = 0;

	fresh();
	open_large();
	EQ(0, create("b"));
	for (unsigned round = 0; round < 20; round++) {
		EQ(-E2BIG, group_fill(round, 1, &n));
		if (round)
			holds(n, round - 1);
		n = group_filled(round);
		if (round % 7) /* what a life before leaves unsynced is there twice for a while */
			TRUE_(log_bytes_live() <= limit);
		if (round % 7 == 6)
			open_large();
		holds(n, round);
	}
	finish();
}

/* No time passes, so no note of it comes between a checkpoint and the largest record. */
static void the_largest_may_be_the_first_behind_a_checkpoint(void)
{
	fresh();
	wall_at_open = 1800000000000;
	open_large();
	EQ(0, create("b"));
	for (unsigned round = 0; round < 4; round++) {
		unsigned n = 0;

		EQ(0, store_settle(current, 10000));
		EQ(0, group_fill(round, 0, &n));
		TRUE_(log_bytes_live() <= config_large().log_bytes + VALUE);
		holds(n, round);
	}
	EQ(0, store_settle(current, 10000));
	finish();
	wall_at_open = 0;
}

/* The record whose file is being written when the power fails is not there, and nothing of it. */
static void a_torn_one_is_as_if_it_had_never_been(void)
{
	char path[400];
	uint64_t last;
	unsigned n;

	for (unsigned round = 0; round < 6; round++) {
		fresh();
		open_large();
		EQ(0, create("b"));
		n = group_filled(1);
		if (round % 2) /* it lies in base, or in the log */
			EQ(0, store_settle(current, 10000));
		(void)group_filled(2);
		sync_all();
		finish();
		last = newest_segment(path, sizeof(path));
		EQ(WAL_HEADER_BYTES + LARGE, last);
		EQ(0, truncate(path, (off_t)(round / 2 == 0   ? WAL_HEADER_BYTES
					     : round / 2 == 1 ? WAL_HEADER_BYTES + LARGE / 2
							      : WAL_HEADER_BYTES + LARGE - 8)));
		open_large();
		holds(n, 1);
		EQ(0, put("b", "k", "v"));
		(void)group_filled(3);
		open_large();
		EQ(0, drop("b"));
		finish();
	}
}

UNIT_MAIN(T(sizes_follow_from_values_messages_and_limits),
	  T(the_least_log_takes_the_largest_groups_for_ever),
	  T(the_largest_may_be_the_first_behind_a_checkpoint),
	  T(a_torn_one_is_as_if_it_had_never_been))
