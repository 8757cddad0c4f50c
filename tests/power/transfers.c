/*
 * Money that moves between the accounts of a bucket, by groups, to be cut off.
 *
 *	transfers run DIR SEED OPERATIONS LIFE
 *				transfers at random, each told on stdout with its lsn; what is
 *				synced is told in the file DIR/acks.  PAIL_FAULT may end it
 *	transfers check		for each folder named on stdin: open it, tell what is on each
 *				account
 *	transfers open DIR	open it and close it
 *
 * A value is what is on the account, as text, and some bytes more, so that a group lies across
 * sectors.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "storage/group.h"
#include "storage/store.h"

#define ACCOUNTS  6u
#define FIRST     100u
#define VALUE_MAX 700u

static const struct store_condition always = {false, false, 0};
static struct store *store;
static int acks = -1;
static uint64_t random_state;

static unsigned random_below(unsigned n)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (unsigned)((z ^ z >> 31) % n);
}

static void on_synced(void *arg, uint64_t mark, uint64_t lsn)
{
	(void)arg;
	(void)mark;
	if (acks >= 0 && pwrite(acks, &lsn, sizeof(lsn), 0) != sizeof(lsn))
		abort();
}

/* What the store has logged by itself, notes of the time, has an lsn too. */
static void noted(void)
{
	static uint64_t told;

	if (store_lsn(store) == told)
		return;
	told = store_lsn(store);
	(void)printf("N %llu\n", (unsigned long long)told);
}

static void on_wait(void *arg)
{
	(void)arg;
	noted();
	store_submit(store, 0);
}

static int open_it(const char *dir, char *why, size_t size)
{
	const struct store_config c = {
		.dir = dir,
		.cache_bytes = 1 << 20,
		.log_bytes = 256 << 10,
		.log_segment_bytes = 16 << 10,
		.map_bytes = 8 << 20,
		.value_max = VALUE_MAX,
		.group_max = 8 << 10,
		.buckets_max = 10,
		.partitions = 1,
		.lock_wait_ms = 1000,
		.checkpoint_ms = 1000000,
		.on_synced = on_synced,
		.on_wait = on_wait,
	};

	return store_open(&c, &store, why, size);
}

static int fail(const char *what, int r)
{
	(void)fprintf(stderr, "%s: %s: %s\n", what, strerror(-r), store ? store_why(store) : "");
	exit(1);
}

static struct span name_of(unsigned account)
{
	static const char *const names[ACCOUNTS] = {"a0", "a1", "a2", "a3", "a4", "a5"};

	return span_of(names[account]);
}

static unsigned long balance(unsigned account)
{
	struct store_item item;
	char text[24] = "";
	int r = group_get(store, name_of(account), &item);

	if (r < 0)
		fail("read an account", r);
	memcpy(text, item.value.p, item.value.n < 23 ? item.value.n : 23);
	return strtoul(text, NULL, 10);
}

static int account_set(unsigned account, unsigned long amount)
{
	char value[VALUE_MAX];
	uint64_t version;
	int n = snprintf(value, sizeof(value), "%lu ", amount);
	unsigned more = random_below(VALUE_MAX - (unsigned)n);

	memset(value + n, 'x', more);
	return group_put(store, name_of(account), (struct span){value, (size_t)n + more}, 0,
			 &always, &version);
}

static void begin(void)
{
	struct store_key k;

	store_begin(store, 0);
	store_locate(store, span_of("bank"), name_of(0), &k);
	if (group_begin(store, &k) < 0)
		fail("begin", -ENOMEM);
}

/* false: the disk is behind, and nothing has happened. */
static bool end(int r)
{
	noted(); /* the time may have been logged before the first version was told */
	if (r == 0)
		r = group_commit(store, span_of("a result"));
	else
		group_abort(store);
	if (r < 0 && r != -EBUSY)
		fail("transfer", r);
	return r == 0;
}

static void bank_open(void)
{
	bool created = false;
	int r;

	begin();
	r = group_create(store, &created);
	if (r < 0 || !created) {
		group_abort(store);
		return;
	}
	for (unsigned i = 0; i < ACCOUNTS && r == 0; i++)
		r = account_set(i, FIRST);
	if (end(r))
		(void)printf("I %llu %u %u\n", (unsigned long long)store_lsn(store), ACCOUNTS,
			     FIRST);
}

static void transfer(void)
{
	unsigned from = random_below(ACCOUNTS);
	unsigned to = (from + 1 + random_below(ACCOUNTS - 1)) % ACCOUNTS;
	unsigned long amount;
	unsigned long there;
	int r;

	begin();
	there = balance(from);
	amount = random_below((unsigned)there + 1);
	r = account_set(from, there - amount);
	if (r == 0)
		r = account_set(to, balance(to) + amount);
	if (end(r))
		(void)printf("M %llu %u %u %lu\n", (unsigned long long)store_lsn(store), from, to,
			     amount);
}

static int run(const char *dir, unsigned operations)
{
	char path[1100];
	char why[256] = "";
	int r;

	(void)snprintf(path, sizeof(path), "%s/acks", dir);
	acks = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	r = open_it(dir, why, sizeof(why));
	if (r < 0) {
		(void)fprintf(stderr, "%s\n", why);
		return 1;
	}
	(void)printf("L %llu\n", (unsigned long long)store_lsn(store));
	bank_open();
	for (unsigned i = 0; i < operations; i++) {
		unsigned what = random_below(1000);

		transfer();
		if (what % 7 == 0)
			store_submit(store, 0);
		if (what % 50 == 0)
			while (store_synced(store) < store_lsn(store)) {
				store_submit(store, 0);
				(void)usleep(50);
			}
		store_freed(store, UINT64_MAX);
		if (what % 131 == 0)
			store_checkpoint(store);
		r = store_tick(store, clock_wall_ms());
		if (r < 0)
			fail("tick", r);
		noted();
	}
	if (random_below(2) && store_settle(store, 5000) < 0)
		fail("settle", -EIO);
	store_close(&store);
	return 0;
}

static void check_one(const char *dir)
{
	char why[256] = "";
	int r = open_it(dir, why, sizeof(why));

	if (r < 0) {
		(void)printf("error open: %s\n", why);
	} else {
		(void)printf("seq %llu\n", (unsigned long long)store_lsn(store));
		begin();
		for (unsigned i = 0; i < ACCOUNTS && group_exists(store); i++)
			(void)printf("A %u %lu\n", i, balance(i));
		group_abort(store);
		store_close(&store);
	}
	(void)printf("end\n");
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[1024];
	char why[256] = "";

	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* told before it is handed to the log */
	if (argc == 6 && !strcmp(argv[1], "run")) {
		fault_init((unsigned)atoi(argv[5]));
		random_state = strtoull(argv[3], NULL, 10);
		return run(argv[2], (unsigned)strtoul(argv[4], NULL, 10));
	}
	if (argc == 3 && !strcmp(argv[1], "open")) {
		if (open_it(argv[2], why, sizeof(why)) < 0)
			return 1;
		store_close(&store);
		return 0;
	}
	if (argc != 2 || strcmp(argv[1], "check") != 0) {
		(void)fprintf(stderr,
			      "usage: transfers run DIR SEED OPERATIONS LIFE | check | open DIR\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		check_one(line);
	}
	return 0;
}
