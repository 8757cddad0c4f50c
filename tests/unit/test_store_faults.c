/*
 * The store when things fail: writes, syncs, commits and allocations at the n-th call, a full disk,
 * a full map, checkpoints cut short.
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fault.h"
#include "common/hash.h"
#include "tests/unit/lib/store_fixture.h"

/* ---- failures ---- */

/* One key after another, each synced, until the fault strikes.  Returns how many were safe. */
static int put_until_failure(void)
{
	char key[24];

	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		if (put("b", key, "v") < 0)
			return i;
		store_submit(current, store_lsn(current));
		while (store_synced(current) < store_lsn(current)) {
			(void)usleep(100);
			if (store_tick(current, wall) < 0)
				return i;
		}
	}
	return 1000;
}

static void the_nth_write_or_sync_that_fails_ends_the_store(void)
{
	static const char *const faults[] = {"wal.write=EIO", "wal.write=ENOSPC", "wal.sync=EIO"};

	for (unsigned n = 1; n <= 24; n++) {
		char fault[64];
		int safe;

		fresh();
		EQ(0, reopen());
		EQ(0, create("b"));
		sync_all();
		(void)snprintf(fault, sizeof(fault), "%s@%u!", faults[n % 3], 1 + n / 3);
		fault_set(fault, 0);
		safe = put_until_failure();
		TRUE_(safe < 1000);
		EQ(-EIO, store_tick(current, wall));
		TRUE_(store_synced(current) < store_lsn(current));
		TRUE_(strstr(store_why(current), "write the log"));
		fault_set(NULL, 0);
		EQ(0, reopen());
		TRUE_(count("b") >= safe); /* what was safe is there */
		EQ(0, put("b", "later", "v"));
		sync_all();
		finish();
	}
}

static void the_nth_commit_that_fails_ends_the_store(void)
{
	for (unsigned n = 1; n <= 3; n++) {
		char fault[64];
		int r = 0;

		write_keys(50);
		EQ(0, reopen());
		EQ(0, store_settle(current, 10000));
		(void)snprintf(fault, sizeof(fault), "base.commit=EIO@%u", n);
		fault_set(fault, 0);
		for (unsigned i = 0; i < n && r == 0; i++) {
			EQ(0, put("b", "again", "v"));
			r = store_settle(current, 10000);
		}
		EQ(-EIO, r);
		TRUE_(strstr(store_why(current), "checkpoint in"));
		fault_set(NULL, 0);
		EQ(0, reopen());
		EQ(51, count("b"));
		finish();
	}
}

static void a_full_disk_at_a_checkpoint_loses_nothing(void)
{
	write_keys(50);
	EQ(0, reopen());
	fault_set("base.commit=ENOSPC", 0);
	EQ(-ENOSPC, store_settle(current, 5000));
	EQ(-ENOSPC, put("b", "new", "x"));
	EQ(1, del("b", "key00003"));
	fault_set(NULL, 0);
	EQ(49, count("b"));
	EQ(0, store_settle(current, 10000));
	EQ(0, put("b", "new", "x"));
	sync_all();
	EQ(0, reopen());
	EQ(50, count("b"));
	finish();
}

static void a_checkpoint_cut_short_counts_once(void)
{
	cache_bytes = 16 << 20;
	write_keys(20000); /* more than one transaction's worth */
	EQ(0, reopen());
	fault_set("base.commit=ENOSPC@2", 0);
	EQ(-ENOSPC, store_settle(current, 20000));
	fault_set(NULL, 0);
	EQ(20000, count("b"));
	EQ(0, store_settle(current, 20000));
	EQ(0, reopen());
	EQ(20000, count("b"));
	is("b", "key19999", "value");
	finish();
	cache_bytes = 1 << 20;
}

static uint64_t unsettled(void)
{
	struct store_stats st;

	store_stats(current, &st);
	return st.recent_keys;
}

static void a_checkpoint_waits_until_requests_are_answered(void)
{
	static const struct store_condition always = {false, false, 0};
	struct store_config c;
	struct store_key k;
	uint64_t version;

	fresh();
	c = config();
	c.generation = 77;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	store_locate(current, span_of("b"), span_of("k"), &k);
	store_begin(current, 1001); /* the request at 1000 */
	EQ(0, store_put(current, &k, span_of("v"), 0, &always, &version));
	sync_all();
	store_freed(current, 1000);
	store_checkpoint(current);
	sync_all(); /* it has logged what the time is */
	for (int i = 0; i < 50; i++) {
		(void)usleep(2000);
		EQ(0, store_tick(current, 0));
		TRUE_(unsettled() > 0);
	}
	store_freed(current, 1001);
	for (int i = 0; i < 5000 && unsettled(); i++) {
		(void)usleep(1000);
		EQ(0, store_tick(current, 0));
	}
	EQ(0, unsettled());
	finish();
}

static void no_memory_changes_nothing(void)
{
	for (int n = 1; n < 4; n++) {
		char fault[64];

		fresh();
		EQ(0, reopen());
		EQ(0, create("b"));
		(void)snprintf(fault, sizeof(fault), "cache.alloc=ENOMEM@%d", n);
		fault_set(fault, 0);
		for (int i = 1; i < 5; i++)
			EQ(i == n ? -ENOMEM : 0, put("b", (char[]){(char)('a' + i), 0}, "v"));
		fault_set(NULL, 0);
		EQ(3, count("b"));
		sync_all();
		EQ(0, reopen());
		EQ(3, count("b"));
		finish();
	}
}

static void puts_stop_when_the_map_is_full_and_deletes_go_on(void)
{
	struct store_config c;
	static char big[40000];
	char key[24];
	int r = 0;
	int n = 0;

	memset(big, 'x', sizeof(big) - 1);
	fresh();
	c = config();
	c.map_bytes = 8 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	while (n < 1000) {
		(void)snprintf(key, sizeof(key), "key%05d", n);
		r = put("b", key, big);
		if (r < 0) { /* what is unsettled counts twice: settle, and try again */
			EQ(0, store_settle(current, 10000));
			r = put("b", key, big);
		}
		if (r == -ENOSPC)
			break;
		EQ(0, r);
		n++;
	}
	EQ(-ENOSPC, r);
	TRUE_(n > 100);
	EQ(n, count("b"));
	for (int i = 0; i < n; i += 2) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(1, del("b", key));
	}
	EQ(0, store_settle(current, 10000));
	EQ(0, put("b", "again", big));
	finish();
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(n - (n + 1) / 2 + 1, count("b"));
	finish();
}

/* Put until it is not busy any more; the store settles meanwhile.  Returns what put does. */
static int put_patiently(const char *key, const char *value, int *ret_busy)
{
	uint64_t until = clock_ms() + 30000;
	int r;

	while ((r = put("b", key, value)) == -EBUSY && clock_ms() < until) {
		++*ret_busy;
		TRUE_(strstr(store_why(current), "later"));
		store_submit(current, 0);
		store_freed(current, UINT64_MAX);
		EQ(0, store_tick(current, wall));
		(void)usleep(1000);
	}
	return r;
}

/* Full is what is full when all is settled; else a put may come again. */
static void what_is_settled_soon_is_busy_and_not_full(void)
{
	static char big[40000];
	struct store_config c;
	char key[24];
	int busy = 0;
	int r = 0;
	int n = 0;

	memset(big, 'x', sizeof(big) - 1);
	fresh();
	c = config();
	c.map_bytes = 8 << 20;
	c.cache_bytes = 64 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	for (int i = 0; i < 400; i++) { /* a quarter of the map, many times over */
		(void)snprintf(key, sizeof(key), "key%05d", i % 50);
		EQ(0, put_patiently(key, big, &busy));
	}
	TRUE_(busy > 0);
	for (n = 50; n < 1000 && r == 0; n++) {
		(void)snprintf(key, sizeof(key), "key%05d", n);
		r = put_patiently(key, big, &busy);
	}
	EQ(-ENOSPC, r);
	TRUE_(n > 120);
	EQ(-ENOSPC, put("b", key, big)); /* and so it stays */
	finish();
}

/* ---- what must not go on for ever, or behind one's back ---- */

static void datadir_empty(void)
{
	char command[300];

	(void)snprintf(command, sizeof(command), "rm -rf '%.250s'", dir);
	EQ(0, system(command));
}

static int outcome(void)
{
	static const char reply[1500];

	store_begin(current, 0);
	return store_outcome(current, span_of("b"), (struct span){reply, sizeof(reply)});
}

/* However many files there are, whoever wants to log more gets an answer; it ends with a
 * checkpoint. */
static void a_log_of_many_files_ends_in_busy_and_goes_on(void)
{
	struct store_config c;
	static char value[1000];
	char key[24];
	int r = 0;
	int n = 0;
	int busy = 0;

	memset(value, 'v', sizeof(value) - 1);
	fresh();
	if (access("/dev/shm", W_OK) == 0) /* two thousand files are many syncs */
		(void)snprintf(dir, sizeof(dir), "/dev/shm/pail-unit-%d", (int)getpid());
	c = config();
	c.value_max = 1024;
	c.cache_bytes = 128 << 20;
	c.map_bytes = 1 << 30;
	c.log_segment_bytes = 16 << 10;
	c.log_bytes = 32 << 20; /* 2,048 files of what is wanted */
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	store_hold(current, true);
	while (r == 0 && n < 40000) {
		(void)snprintf(key, sizeof(key), "key%05d", n++);
		r = put("b", key, value);
	}
	EQ(-EBUSY, r);
	TRUE_(n > 10000);
	/* Deletes and refusals go on for a while. */
	for (r = 0, n = 0; r == 0 && n < 200000; n++)
		r = n < 1000 ? (outcome(), 0) : outcome();
	EQ(-EBUSY, r);
	EQ(-EBUSY, del("b", "key00001"));
	EQ(-EBUSY, store_writable(current));
	finish();
	for (int life = 0; life < 3; life++) { /* killed before a checkpoint has ended */
		EQ(0, store_open(&c, &current, why, sizeof(why)));
		store_hold(current, true);
		if (life % 2)
			(void)outcome();
		sync_all();
		if (life < 2)
			finish();
	}
	store_hold(current, false);
	EQ(0, put_patiently("key00002", "again", &busy));
	EQ(1, del("b", "key00001"));
	EQ(0, store_settle(current, 10000));
	EQ(0, reopen());
	is("b", "key00002", "again");
	finish();
	datadir_empty();
}

static uint64_t log_bytes(void)
{
	struct store_stats st;

	store_stats(current, &st);
	return st.log_bytes;
}

/* However often it is tried: on a full disk each file would be one too many. */
static void a_checkpoint_that_finds_no_room_makes_no_files(void)
{
	uint64_t before;

	write_keys(50);
	EQ(0, reopen());
	fault_set("base.commit=ENOSPC!", 0);
	EQ(-ENOSPC, store_settle(current, 5000));
	before = log_bytes();
	for (int i = 0; i < 20; i++)
		EQ(-ENOSPC, store_settle(current, 5000));
	EQ(before, log_bytes());
	EQ(1, del("b", "key00003"));
	EQ(-ENOSPC, store_settle(current, 5000));
	fault_set(NULL, 0);
	EQ(0, store_settle(current, 5000));
	EQ(0, reopen());
	EQ(49, count("b"));
	finish();
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t base_bytes(void)
{
	struct store_stats st;

	store_stats(current, &st);
	return st.base_bytes;
}

/* No room for what deletes a dropped bucket's keys: wait for it, and go on when it is there. */
static void a_purge_that_finds_no_room_waits_for_it(void)
{
	static const char *const faults[] = {"base.purge=ENOSPC!", "base.commit=ENOSPC@2!"};

	for (int n = 0; n < 2; n++) {
		uint64_t before;

		write_keys(5000);
		EQ(0, reopen());
		EQ(0, store_settle(current, 10000));
		EQ(0, drop("b"));
		fault_set(faults[n], 0);
		EQ(0, store_settle(current, 10000));
		before = cpu_ms();
		for (int i = 0; i < 50; i++) {
			(void)usleep(10000);
			EQ(0, store_tick(current, wall));
		}
		TRUE_(cpu_ms() - before < 200);
		TRUE_(base_bytes() > 64 << 10);
		fault_set(NULL, 0);
		for (int i = 0; i < 500 && base_bytes() > 64 << 10; i++) {
			(void)usleep(10000);
			EQ(0, store_tick(current, wall));
		}
		TRUE_(base_bytes() <= 64 << 10);
		EQ(0, create("b"));
		EQ(0, put("b", "k", "v"));
		EQ(0, store_settle(current, 10000));
		EQ(1, count("b"));
		finish();
	}
}

/* Names, sizes and times of the folder's files, summed. */
static uint64_t datadir_sum(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint64_t sum = 0;

	while (d && (e = readdir(d))) {
		char path[600];
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/%.250s", dir, e->d_name);
		if (e->d_name[0] == '.' || stat(path, &st) < 0)
			continue;
		sum += hash64((uint64_t)st.st_size, e->d_name, strlen(e->d_name)) ^
		       (uint64_t)st.st_blocks << 40 ^ (uint64_t)st.st_mtim.tv_nsec;
	}
	(void)closedir(d);
	return sum;
}

/* Its background thread, in the middle of making files, does nothing more to the folder. */
static void leaver(unsigned us)
{
	struct store_config c = config();
	uint64_t sum;

	c.log_bytes = 128 << 20;
	c.log_segment_bytes = 16 << 20;
	if (store_open(&c, &current, why, sizeof(why)) < 0)
		_exit(2);
	(void)create("b");
	(void)usleep(us);
	store_release(current);
	sum = datadir_sum();
	(void)usleep(60000);
	_exit(sum == datadir_sum() ? 0 : 3);
}

static void who_has_left_does_nothing_more(void)
{
	uint64_t s = unit_seed();

	for (int i = 0; i < 8; i++) {
		int status = -1;
		pid_t pid;

		fresh();
		pid = fork();
		if (!pid)
			leaver((unsigned)(unit_random(&s) % 20000));
		EQ(pid, waitpid(pid, &status, 0));
		EQ(0, status);
		EQ(0, reopen());
		EQ(0, count("b"));
		finish();
	}
}

UNIT_MAIN(T(the_nth_write_or_sync_that_fails_ends_the_store),
	  T(the_nth_commit_that_fails_ends_the_store), T(a_full_disk_at_a_checkpoint_loses_nothing),
	  T(no_memory_changes_nothing), T(a_checkpoint_cut_short_counts_once),
	  T(a_checkpoint_waits_until_requests_are_answered),
	  T(puts_stop_when_the_map_is_full_and_deletes_go_on),
	  T(a_purge_that_finds_no_room_waits_for_it), T(who_has_left_does_nothing_more),
	  T(what_is_settled_soon_is_busy_and_not_full),
	  T(a_checkpoint_that_finds_no_room_makes_no_files),
	  T(a_log_of_many_files_ends_in_busy_and_goes_on))
