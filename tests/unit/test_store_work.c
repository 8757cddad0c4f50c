/*
 * Whatever the serving thread does, it breathes: on_work is called every few microseconds of work,
 * so that its owner can show signs of life in the middle of one operation.
 */
#include <stdio.h>
#include <time.h>

#include "tests/unit/lib/store_fixture.h"

#define KEYS   100000
#define GAP_US 30000 /* under sanitizers, on a busy machine */

static uint64_t last_us;
static uint64_t gap_us;
static uint64_t breaths;

/* Of this thread: what others take from the processor does not count. */
static uint64_t cpu_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void on_work(void *arg)
{
	uint64_t now = cpu_us();

	(void)arg;
	breaths++;
	if (now - last_us > gap_us)
		gap_us = now - last_us;
	last_us = now;
}

static void begin(void)
{
	breaths = 0;
	gap_us = 0;
	last_us = cpu_us();
}

/* It took breath at least `least` times, and never worked for long without. */
static void end_within(const char *what, uint64_t least, uint64_t most_us)
{
	on_work(NULL);
	if (breaths <= least || gap_us >= most_us)
		(void)printf("# %s: %llu breaths, longest %llu us\n", what,
			     (unsigned long long)breaths, (unsigned long long)gap_us);
	TRUE_(breaths > least);
	TRUE_(gap_us < most_us);
}

static void end(const char *what, uint64_t least)
{
	end_within(what, least, GAP_US);
}

static bool none(void *arg, const struct store_item *i)
{
	(void)i;
	++*(int *)arg;
	return true;
}

static int scan(void)
{
	struct store_range range = {
		.prefix = {"", 0}
        };
	struct store_key k;
	int n = 0;

	store_begin(current, 0);
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, store_scan(current, &k, &range, none, &n));
	return n;
}

static void open_breathing(void)
{
	struct store_config c = config();

	c.log_bytes = 256 << 20;
	c.log_segment_bytes = 16 << 20;
	c.map_bytes = 256 << 20;
	c.on_work = on_work;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	if (!wall)
		wall = store_clock(current);
}

static void keys_put(uint64_t ttl, bool deleted)
{
	uint64_t s = 1;
	char key[24];

	for (int i = 0; i < KEYS; i++) { /* in no order: else there is nothing to be sorted */
		(void)snprintf(key, sizeof(key), "key%016llx", (unsigned long long)unit_random(&s));
		EQ(0, put_ttl("b", key, "v", ttl));
		if (deleted)
			EQ(1, del("b", key));
		if (i % 1000 == 0)
			sync_all();
	}
	sync_all();
}

/* A checkpoint, of which only what this thread does is looked at. */
static void settle(void)
{
	store_checkpoint(current);
	for (struct store_stats st = {.recent_keys = 1}; st.recent_keys;) {
		EQ(0, store_tick(current, wall));
		store_submit(current, store_lsn(current)); /* it logs what the time is */
		store_stats(current, &st);
		(void)usleep(500);
		on_work(NULL); /* between two ticks the owner does it by itself */
	}
}

static void no_long_step_is_taken_in_silence(void)
{
	fresh();
	cache_bytes = 64 << 20;
	open_breathing();
	EQ(0, create("b"));
	keys_put(1000, false);
	begin();
	EQ(KEYS, scan());
	end("a scan that sorts", KEYS / 100);
	begin();
	EQ(KEYS, scan());
	end("a scan", KEYS / 200);
	finish();
	begin();
	open_breathing();
	/* The last file's records are written anew and synced in one go. */
	end_within("replay", KEYS / 100, 40 * GAP_US);
	wall += 2000;
	begin();
	EQ(0, store_tick(current, wall));
	TRUE_(count("b") == 0);
	end("a count of what has expired", KEYS / 100);
	begin();
	EQ(0, scan());
	end("a scan of expired keys", KEYS / 100);
	finish();
}

static void a_checkpoint_that_ends_takes_breath(void)
{
	fresh();
	cache_bytes = 64 << 20;
	open_breathing();
	EQ(0, create("b"));
	keys_put(100000000, false);
	EQ(KEYS, scan()); /* an order that must be settled, and a heap */
	begin();
	settle();
	end("the end of a checkpoint", KEYS / 200);
	begin();
	EQ(KEYS, scan());
	end("a scan of base", KEYS / 200);
	wall += 200000000;
	begin();
	EQ(0, store_tick(current, wall));
	EQ(0, count("b"));
	end("a count of base's rows that have expired", KEYS / 100);
	finish();
}

static void a_scan_over_deleted_keys_takes_breath(void)
{
	fresh();
	cache_bytes = 64 << 20;
	open_breathing();
	EQ(0, create("b"));
	keys_put(0, true);
	begin();
	EQ(0, scan());
	end("a scan of deleted keys", KEYS / 100);
	finish();
}

/* Rows of base's expiry index whose keys were written again are many and stand for nothing. */
static void a_sweep_looks_at_few_rows_a_tick(void)
{
	uint64_t most = 0;

	fresh();
	cache_bytes = 64 << 20;
	open_breathing();
	EQ(0, create("b"));
	keys_put(1000, false);
	settle();
	keys_put(0, false); /* the same keys, for ever */
	wall += 5000;
	for (int i = 0; i < 400; i++) {
		uint64_t from = cpu_us();

		EQ(0, store_tick(current, wall));
		if (cpu_us() - from > most)
			most = cpu_us() - from;
		wall += 11;
	}
	if (most >= GAP_US)
		(void)printf("# a tick took %llu us\n", (unsigned long long)most);
	TRUE_(most < GAP_US);
	EQ(KEYS, count("b"));
	finish();
}

UNIT_MAIN(T(no_long_step_is_taken_in_silence), T(a_checkpoint_that_ends_takes_breath),
	  T(a_scan_over_deleted_keys_takes_breath), T(a_sweep_looks_at_few_rows_a_tick))
