/*
 * The store as a program, to be cut off.
 *
 *	store run DIR SEED OPERATIONS LIFE	operations at random, each told on stdout with its
 *					lsn; what is synced is told in the file DIR/acks.
 *					PAIL_FAULT may end it
 *	store check			for each folder named on stdin: open it, tell everything
 *					that is in it, see whether it still works
 *	store open DIR			open it and close it
 *
 * The value of a key begins with the lsn that wrote it and is made from that, so that it can be
 * checked anywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "storage/store.h"

#define BUCKETS   5u
#define KEYS      40u
#define VALUE_MAX 1024u

/* Few, so that buckets share them and do not. */
#define PARTITIONS 4u

static struct store *store;
static int acks = -1;
static uint64_t random_state;

static uint64_t random_next(void)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
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

	if (acks < 0 || store_lsn(store) == told)
		return; /* it is only checked, or there is nothing new */
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
		.log_bytes = 512 << 10,
		.log_segment_bytes = 16 << 10,
		.map_bytes = 8 << 20,
		.value_max = VALUE_MAX,
		.group_max = 96 << 10,
		.buckets_max = 100,
		.session_ms = UINT64_MAX / 2, /* since MADE_MS */
		.partitions = PARTITIONS,
		.lock_wait_ms = 1000,
		.checkpoint_ms = 1000000,
		.on_synced = on_synced,
		.on_wait = on_wait,
	};

	return store_open(&c, &store, why, size);
}

static void fail(const char *what, int r)
{
	(void)fprintf(stderr, "%s: %s: %s\n", what, strerror(-r), store ? store_why(store) : "");
	exit(1);
}

/* The value that the write with this lsn has. */
static size_t value_make(uint64_t lsn, char *out)
{
	uint64_t h = lsn * 0x9e3779b97f4a7c15u;
	size_t n = sizeof(lsn) + (size_t)(h >> 33) % (VALUE_MAX - sizeof(lsn));

	memcpy(out, &lsn, sizeof(lsn));
	for (size_t i = sizeof(lsn); i < n; i++)
		out[i] = (char)(h >> (i % 57));
	return n;
}

static void names_make(char *bucket, char *key, struct store_key *k)
{
	(void)snprintf(bucket, 16, "b%u", (unsigned)(random_next() % BUCKETS));
	(void)snprintf(key, 16, "k%u", (unsigned)(random_next() % KEYS));
	store_begin(store, 0);
	store_locate(store, span_of(bucket), span_of(key), k);
}

static int put(void)
{
	static const struct store_condition always = {false, false, 0};
	static char value[VALUE_MAX];
	char bucket[16];
	char key[16];
	struct store_key k;
	uint64_t version;
	uint64_t lsn = store_lsn(store) + 1;
	struct span v = {value, value_make(lsn, value)};
	int r;

	names_make(bucket, key, &k);
	r = store_put(store, &k, v, 0, &always, &version);
	if (r < 0)
		return r;
	if (store_lsn(store) != lsn)
		fail("a put has another lsn than it should", 0);
	(void)printf("P %llu %s %s\n", (unsigned long long)lsn, bucket, key);
	return 0;
}

/* What expires does so long after the run. */
#define TTL_MS 1000000000u

/* Its value stays, so the check finds the lsn of the put that wrote it. */
static int touch(void)
{
	static const struct store_condition always = {false, false, 0};
	char bucket[16];
	char key[16];
	struct store_key k;
	uint64_t version;
	uint64_t ttl_ms = random_next() % 3 * TTL_MS;
	int r;

	names_make(bucket, key, &k);
	r = store_touch(store, &k, ttl_ms, &always, &version);
	if (r == 0)
		(void)printf("T %llu %s %s %llu\n", (unsigned long long)store_lsn(store), bucket,
			     key, (unsigned long long)(ttl_ms / TTL_MS));
	return r == -ENOENT ? 0 : r;
}

static int delete (void)
{
	static const struct store_condition always = {false, false, 0};
	char bucket[16];
	char key[16];
	struct store_key k;
	bool deleted = false;
	uint64_t version;
	int r;

	names_make(bucket, key, &k);
	r = store_delete(store, &k, &always, &deleted, &version);
	if (r == 0 && deleted)
		(void)printf("D %llu %s %s\n", (unsigned long long)store_lsn(store), bucket, key);
	return r;
}

/*
 * What a group does, told in one line when it is committed: a value's number is the lsn that the
 * group's record may have, and which of its changes it is.
 */
static char told[4096];
static size_t told_n;

static void tell(const char *what, const char *key, uint64_t number)
{
	told_n += (size_t)snprintf(told + told_n, sizeof(told) - told_n, " %s %s %llu", what, key,
				   (unsigned long long)number);
}

static int group_change(uint64_t number)
{
	static const struct store_condition always = {false, false, 0};
	static char value[VALUE_MAX];
	uint64_t ttl_ms = random_next() % 3 * TTL_MS;
	struct store_item item;
	uint64_t version;
	bool deleted;
	char key[16];
	int r;

	(void)snprintf(key, sizeof(key), "k%u", (unsigned)(random_next() % KEYS));
	switch (random_next() % 4) {
	case 0:
		r = group_delete(store, span_of(key), &always, &deleted, &version);
		if (r == 0 && deleted)
			tell("D", key, 0);
		return r;
	case 1:
		r = group_touch(store, span_of(key), ttl_ms, &always, &version);
		if (r == 0)
			tell("T", key, ttl_ms / TTL_MS);
		return r == -ENOENT ? 0 : r;
	default:
		r = group_put(store, span_of(key), (struct span){value, value_make(number, value)},
			      0, &always, &version);
		if (r == 0)
			tell("P", key, number);
		if (r == 0 &&
		    (group_get(store, span_of(key), &item) < 0 || item.version != version))
			fail("read what the group has written", -EIO);
		return r;
	}
}

/* Some changes, or so many that their record gets a file of its own. */
static int group(void)
{
	uint64_t lsn = store_lsn(store) + 1;
	uint64_t n = random_next() % 20 ? 1 + random_next() % 10 : 40 + random_next() % 40;
	bool created = false;
	char bucket[16];
	char key[16];
	struct store_key k;
	int r;

	names_make(bucket, key, &k);
	told_n = 0;
	told[0] = '\0';
	r = group_begin(store, &k);
	if (r == 0 && !group_exists(store) && random_next() % 2) {
		r = group_create(store, &created);
		if (created)
			tell("C", "-", 0);
	}
	for (uint64_t i = 1; i <= n && r == 0; i++)
		r = group_change(lsn | i << 40);
	if (r < 0 || random_next() % 5 == 0) {
		group_abort(store);
		return r;
	}
	noted(); /* the time may have been logged before the first version was told */
	r = group_commit(store, span_of("a result"));
	if (r == 0 && told_n)
		(void)printf("G %llu %s%s\n", (unsigned long long)store_lsn(store), bucket, told);
	return r;
}

/* ---- requests of sessions ---- */

#define SESSIONS 2u   /* of each bucket */
#define NUMBERS  300u /* of requests that may be asked for */
#define MADE_MS  1700000000000u

static unsigned number_next[BUCKETS][SESSIONS]; /* about so far they are */

static void session_make(struct log_session *x, unsigned bucket, unsigned n, unsigned number)
{
	memset(x, 0, sizeof(*x));
	for (unsigned i = 0; i < 6; i++)
		x->id[i] = (uint8_t)(MADE_MS >> (40 - 8 * i));
	x->id[14] = (uint8_t)bucket;
	x->id[15] = (uint8_t)n;
	x->sequence = number;
	x->fingerprint = 3 * number + 1;
}

/* Where the life before has stopped. */
static void numbers_find(void)
{
	struct session_outcome o;
	struct log_session x;
	char name[16];

	for (unsigned b = 0; b < BUCKETS; b++)
		for (unsigned n = 0; n < SESSIONS; n++) {
			unsigned number = 0;

			(void)snprintf(name, sizeof(name), "b%u", b);
			do {
				session_make(&x, b, n, number);
				store_begin(store, 0);
			} while (store_session(store, span_of(name), &x, &o) != SESSION_RUN &&
				 ++number < NUMBERS);
			number_next[b][n] = number;
		}
}

static int session_run(const char *bucket, unsigned n, const struct log_session *x)
{
	static const struct store_condition always = {false, false, 0};
	static char value[VALUE_MAX];
	uint64_t lsn = store_lsn(store) + 1;
	struct span v = {value, value_make(lsn, value)};
	struct store_key k;
	uint64_t version;
	char text[64];
	int r = -ENXIO;

	if (random_next() % 3) {
		(void)snprintf(text, sizeof(text), "k%u", (unsigned)(random_next() % KEYS));
		store_locate(store, span_of(bucket), span_of(text), &k);
		r = store_put(store, &k, v, 0, &always, &version);
		if (r == 0)
			(void)printf("S %llu %s %u %llu %llu %s V%llu\n", (unsigned long long)lsn,
				     bucket, n, (unsigned long long)x->sequence,
				     (unsigned long long)x->acknowledged, text,
				     (unsigned long long)version);
	}
	if (r != -ENXIO)
		return r;
	(void)snprintf(text, sizeof(text), "result-%llu", (unsigned long long)lsn);
	r = store_outcome(store, span_of(bucket), span_of(text));
	if (r == 0)
		(void)printf("S %llu %s %u %llu %llu - %s\n", (unsigned long long)lsn, bucket, n,
			     (unsigned long long)x->sequence, (unsigned long long)x->acknowledged,
			     text);
	return r;
}

static int session(void)
{
	unsigned b = (unsigned)(random_next() % BUCKETS);
	unsigned n = (unsigned)(random_next() % SESSIONS);
	unsigned *next = &number_next[b][n];
	struct session_outcome o;
	struct log_session x;
	char bucket[16];
	uint64_t lsn = store_lsn(store);
	int r;

	(void)snprintf(bucket, sizeof(bucket), "b%u", b);
	*next += random_next() % 4 == 0 && *next + 8 < NUMBERS;
	session_make(&x, b, n, *next + (unsigned)(random_next() % 8));
	if (random_next() % 3 == 0 && *next > 8)
		x.acknowledged = *next - (unsigned)(random_next() % 8);
	if (random_next() % 8 == 0) {
		store_begin(store, 0);
		r = store_session_outcome(store, span_of(bucket), &x, &o);
		if (r == SESSION_NEVER && store_lsn(store) > lsn)
			(void)printf("S %llu %s %u %llu 0 - never\n",
				     (unsigned long long)store_lsn(store), bucket, n,
				     (unsigned long long)x.sequence);
		return r < 0 ? r : 0;
	}
	(void)printf("A %llu %s %u %llu\n", (unsigned long long)lsn, bucket, n,
		     (unsigned long long)x.acknowledged);
	store_begin(store, 0);
	r = random_next() % 8 ? store_session(store, span_of(bucket), &x, &o) : -ENOENT;
	if (r == -ENOENT)
		return store_session_ack(store, span_of(bucket), &x) == SESSION_RUN ? 0 : -EIO;
	if (r != SESSION_RUN)
		return r == SESSION_DONE || r == SESSION_STALE || r == SESSION_BUSY ? 0 : -EIO;
	return session_run(bucket, n, &x);
}

static int create_or_drop(bool create)
{
	char bucket[16];
	char key[16];
	struct store_key k;
	bool did = false;
	int r;

	names_make(bucket, key, &k);
	r = create ? store_create(store, span_of(bucket), &did)
		   : store_drop(store, span_of(bucket), &did);
	if (r == 0 && did)
		(void)printf("%c %llu %s\n", create ? 'C' : 'X',
			     (unsigned long long)store_lsn(store), bucket);
	return r;
}

static void step(void)
{
	unsigned what = (unsigned)(random_next() % 1000);
	int r = what < 200   ? put()
		: what < 400 ? session()
		: what < 500 ? group()
		: what < 700 ? touch()
		: what < 950 ? delete ()
		: what < 960 ? create_or_drop(false)
			     : create_or_drop(true);

	if (r < 0 && r != -ENXIO && r != -EBUSY)
		fail("operate", r);
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
	numbers_find();
	for (unsigned i = 0; i < operations; i++)
		step();
	if (random_next() % 2 && store_settle(store, 5000) < 0)
		fail("settle", -EIO);
	store_close(&store);
	return 0;
}

/* ---- what is in a store ---- */

static const char *bucket_now;

static bool item_tell(void *arg, const struct store_item *i)
{
	char want[VALUE_MAX];
	uint64_t lsn = 0;
	size_t n;

	memcpy(&lsn, i->value.p, i->value.n < sizeof(lsn) ? i->value.n : sizeof(lsn));
	n = value_make(lsn, want);
	(void)arg;
	(void)printf("K %s %.*s %llu %s %llu\n", bucket_now, (int)i->key.n, i->key.p,
		     (unsigned long long)lsn,
		     n == i->value.n && !memcmp(want, i->value.p, n) ? "whole" : "WRONG",
		     (unsigned long long)((i->ttl_ms + TTL_MS - 1) / TTL_MS));
	return true;
}

static bool bucket_tell(void *arg, struct span name)
{
	char(*names)[16] = arg;
	unsigned i = 0;

	while (names[i][0])
		i++;
	(void)snprintf(names[i], 16, "%.*s", (int)name.n, name.p);
	return i + 2 < 16;
}

static int contents_tell(void)
{
	static const struct store_range whole;
	char names[16][16] = {{0}};
	struct store_key k;
	uint64_t count;
	int r = 0;

	store_buckets(store, span_of(""), bucket_tell, names);
	for (unsigned i = 0; names[i][0] && r == 0; i++) {
		bucket_now = names[i];
		store_begin(store, 0);
		store_locate(store, span_of(names[i]), (struct span){NULL, 0}, &k);
		r = store_count(store, &k, &count);
		if (r == 0)
			(void)printf("B %s %llu\n", names[i], (unsigned long long)count);
		if (r == 0)
			r = store_scan(store, &k, &whole, item_tell, NULL);
	}
	return r;
}

/* What is known of a request, so that nothing changes; NULL: it may be run. */
static const char *outcome_known(const char *bucket, const struct log_session *x)
{
	static char text[64];
	struct session_outcome o;
	int r;

	store_begin(store, 0);
	r = store_session(store, span_of(bucket), x, &o);
	if (r == SESSION_RUN)
		return NULL;
	if (r == SESSION_STALE)
		return store_session_outcome(store, span_of(bucket), x, &o) == SESSION_STALE
			       ? "stale"
			       : "never";
	if (r != SESSION_DONE)
		return "WRONG";
	if (o.result.n)
		(void)snprintf(text, sizeof(text), "%.*s", (int)o.result.n, o.result.p);
	else
		(void)snprintf(text, sizeof(text), "V%llu", (unsigned long long)o.version);
	return text;
}

static void outcomes_tell(void)
{
	struct log_session x;
	char bucket[16];

	for (unsigned b = 0; b < BUCKETS; b++)
		for (unsigned n = 0; n < SESSIONS; n++) {
			unsigned number = 0;
			const char *known;

			(void)snprintf(bucket, sizeof(bucket), "b%u", b);
			session_make(&x, b, n, 0);
			while (number < NUMBERS && (known = outcome_known(bucket, &x)) &&
			       !strcmp(known, "stale"))
				session_make(&x, b, n, ++number);
			(void)printf("F %s %u %u\n", bucket, n, number);
			for (; number < NUMBERS; number++) {
				session_make(&x, b, n, number);
				known = outcome_known(bucket, &x);
				if (known)
					(void)printf("Q %s %u %u %s\n", bucket, n, number, known);
			}
		}
}

static int write_after(struct store_key *k, uint64_t *ret_version)
{
	static const struct store_condition always = {false, false, 0};
	bool created;
	int r;

	store_begin(store, 0);
	r = store_create(store, span_of("after"), &created);
	store_locate(store, span_of("after"), span_of("k"), k);
	return r < 0 ? r : store_put(store, k, span_of("v"), 0, &always, ret_version);
}

/* It still works: something is written, and there after a restart. */
static int works(const char *dir)
{
	char why[256] = "";
	struct store_item item;
	struct store_key k;
	uint64_t version;
	int r = write_after(&k, &version);

	if (r == -EBUSY) { /* at the cut the log was full, for want of a checkpoint */
		store_freed(store, UINT64_MAX);
		r = store_settle(store, 20000);
		if (r == 0)
			r = write_after(&k, &version);
	}
	if (r < 0) {
		(void)printf("error write: %s: %s\n", strerror(-r), store_why(store));
		return r;
	}
	store_close(&store);
	r = open_it(dir, why, sizeof(why));
	if (r < 0) {
		(void)printf("error again: %s\n", why);
		return r;
	}
	store_begin(store, 0);
	store_locate(store, span_of("after"), span_of("k"), &k);
	r = store_get(store, &k, &item);
	return r < 0 || item.version != version ? -EIO : 0;
}

static void check_one(const char *dir)
{
	char why[256] = "";
	int r = open_it(dir, why, sizeof(why));

	if (r < 0) {
		(void)printf("error open: %s\n", why);
	} else {
		(void)printf("seq %llu\n", (unsigned long long)store_lsn(store));
		outcomes_tell();
		r = contents_tell();
		if (r == 0)
			r = works(dir);
		if (r < 0)
			(void)printf("error use: %s\n", strerror(-r));
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
			      "usage: store run DIR SEED OPERATIONS LIFE | check | open DIR\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		check_one(line);
	}
	return 0;
}
