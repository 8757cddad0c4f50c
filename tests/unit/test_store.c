/*
 * The store: against a model with checkpoints, restarts and expiry in between; torn and damaged
 * logs; failing writes, syncs, commits and allocations; clocks that step back; a full map.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fault.h"
#include "storage/store.h"
#include "tests/unit/lib/unit.h"

static char dir[256];
static unsigned dirs;
static uint64_t wall;     /* what the tests say the time is */
static bool stepped_back; /* and it shall stay so over a restart */
static char why[256];
static uint64_t cache_bytes = 1 << 20;

static void on_synced(void *arg, uint64_t mark, uint64_t seq)
{
	(void)arg;
	(void)mark;
	(void)seq;
}

static struct store *current;

static void on_wait(void *arg)
{
	(void)arg;
	store_hand(current, 0);
}

static struct store_config config(void)
{
	struct store_config c;

	memset(&c, 0, sizeof(c));
	c.dir = dir;
	c.cache_bytes = cache_bytes;
	c.log_bytes = 32 << 20;
	c.log_segment_bytes = 1 << 20;
	c.map_bytes = 64 << 20;
	c.value_max = 64 << 10;
	c.buckets_max = 1000;
	c.checkpoint_ms = 1000000;
	c.on_synced = on_synced;
	c.on_wait = on_wait;
	return c;
}

static void fresh(void)
{
	(void)snprintf(dir, sizeof(dir), "%s/store-%u", unit_folder(), dirs++);
	wall = 0;
}

static int reopen(void)
{
	struct store_config c = config();
	int r;

	if (current)
		store_close(&current);
	r = store_open(&c, &current, why, sizeof(why));
	if (r == 0 && (!wall || (!stepped_back && wall < store_clock(current))))
		wall = store_clock(current);
	if (r == 0)
		(void)store_tick(current, wall);
	return r;
}

static void finish(void)
{
	store_close(&current);
}

/* Everything appended is on disk. */
static void sync_all(void)
{
	store_hand(current, store_seq(current));
	while (store_synced(current) < store_seq(current))
		(void)usleep(100);
}

static int put_ttl(const char *bucket, const char *key, const char *value, uint64_t ttl)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	return store_put(current, &k, span_of(value), ttl, &always, &version);
}

static int put(const char *bucket, const char *key, const char *value)
{
	return put_ttl(bucket, key, value, 0);
}

static int create(const char *bucket)
{
	bool created;

	store_begin(current, 0);
	return store_create(current, span_of(bucket), &created);
}

static int drop(const char *bucket)
{
	bool dropped;

	store_begin(current, 0);
	return store_drop(current, span_of(bucket), &dropped);
}

static int del(const char *bucket, const char *key)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version;
	bool deleted = false;
	int r;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	r = store_delete(current, &k, &always, &deleted, &version);
	return r < 0 ? r : deleted;
}

/* The value of a key as a string, or NULL. */
static const char *get(const char *bucket, const char *key)
{
	static char value[1024];
	struct store_item item;
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	if (store_get(current, &k, &item) < 0)
		return NULL;
	memcpy(value, item.value.p, item.value.n);
	value[item.value.n] = '\0';
	return value;
}

static long long count(const char *bucket)
{
	struct store_key k;
	uint64_t n;
	int r;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), (struct span){NULL, 0}, &k);
	r = store_count(current, &k, &n);
	return r < 0 ? r : (long long)n;
}

static void is(const char *bucket, const char *key, const char *want)
{
	const char *v = get(bucket, key);

	EQ(want != NULL, v != NULL);
	if (want)
		EQ(0, strcmp(want, v));
}

/* ---- the model ---- */

#define MODEL_KEYS 400

struct model {
	char value[MODEL_KEYS][24];
	bool there[MODEL_KEYS];
	uint64_t expiry[MODEL_KEYS];
	bool bucket;
};

struct walk {
	const struct model *m;
	int next; /* the key that must come */
	int step;
	int bad;
};

static bool alive(const struct model *m, int i)
{
	return m->there[i] && (!m->expiry[i] || m->expiry[i] > wall);
}

static void walk_skip(struct walk *w)
{
	while (w->next >= 0 && w->next < MODEL_KEYS && !alive(w->m, w->next))
		w->next += w->step;
}

static bool walk_item(void *arg, const struct store_item *i)
{
	struct walk *w = arg;
	char key[24];

	walk_skip(w);
	(void)snprintf(key, sizeof(key), "key%05d", w->next);
	if (w->next < 0 || w->next >= MODEL_KEYS || i->key.n != strlen(key) ||
	    memcmp(i->key.p, key, i->key.n) != 0 || i->value.n != strlen(w->m->value[w->next]) ||
	    memcmp(i->value.p, w->m->value[w->next], i->value.n) != 0)
		w->bad++;
	w->next += w->step;
	return true;
}

static void compare(const struct model *m)
{
	struct store_range range;
	struct store_key k;
	long long n = 0;

	for (int i = 0; i < MODEL_KEYS; i++)
		n += alive(m, i);
	EQ(m->bucket ? n : -ENXIO, count("b"));
	if (!m->bucket)
		return;
	for (int back = 0; back < 2; back++) {
		struct walk w = {m, back ? MODEL_KEYS - 1 : 0, back ? -1 : 1, 0};

		memset(&range, 0, sizeof(range));
		range.reverse = back;
		store_begin(current, 0);
		store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
		EQ(0, store_scan(current, &k, &range, walk_item, &w));
		EQ(0, w.bad);
		walk_skip(&w);
		TRUE_(w.next < 0 || w.next >= MODEL_KEYS);
	}
}

static void model_step(struct model *m, uint64_t *s)
{
	int i = (int)(unit_random(s) % MODEL_KEYS);
	unsigned what = (unsigned)(unit_random(s) % 1000);
	char key[24];

	(void)snprintf(key, sizeof(key), "key%05d", i);
	if (what < 3 && m->bucket) {
		EQ(0, drop("b"));
		memset(m, 0, sizeof(*m));
	} else if (!m->bucket) {
		EQ(-ENXIO, put("b", key, "x"));
		EQ(0, create("b"));
		m->bucket = true;
	} else if (what < 600) {
		uint64_t ttl = what % 4 ? 0 : 1 + unit_random(s) % 3000;

		(void)snprintf(m->value[i], sizeof(m->value[i]), "v%llu",
			       (unsigned long long)(unit_random(s) >> (unit_random(s) % 64)));
		EQ(0, put_ttl("b", key, m->value[i], ttl));
		m->there[i] = true;
		m->expiry[i] = ttl ? wall + ttl : 0;
	} else if (what < 800) {
		EQ(alive(m, i), del("b", key));
		if (alive(m, i))
			m->there[i] = false;
	} else if (what < 990) {
		is("b", key, alive(m, i) ? m->value[i] : NULL);
	} else {
		wall += unit_random(s) % 800;
		EQ(0, store_tick(current, wall));
	}
}

static void it_does_what_a_model_does(void)
{
	static struct model m;
	uint64_t s = unit_seed();

	memset(&m, 0, sizeof(m));
	fresh();
	EQ(0, reopen());
	for (int round = 0; round < 60; round++) {
		unsigned end = (unsigned)(unit_random(&s) % 4);

		for (int i = 0; i < 400; i++)
			model_step(&m, &s);
		compare(&m);
		if (end == 0) {
			EQ(0, store_settle(current, 10000));
		} else if (end == 1) { /* a checkpoint in the middle of writes */
			store_checkpoint(current);
			for (int i = 0; i < 200; i++) {
				model_step(&m, &s);
				store_hand(current, 0);
				EQ(0, store_tick(current, wall));
			}
		} else if (end == 2) {
			EQ(0, reopen());
		}
		compare(&m);
	}
	finish();
}

/* ---- recovery ---- */

/* Write n keys, sync, and close without a checkpoint. */
static void write_keys(int n)
{
	char key[24];

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	for (int i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put("b", key, "value"));
	}
	sync_all();
	finish();
}

/* The path of the newest segment. */
static const char *newest_segment(void)
{
	static char path[600];
	char best[64] = "";
	DIR *d = opendir(dir);
	struct dirent *e;

	TRUE_(d);
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "wal-", 4) && strcmp(e->d_name, best) > 0)
			(void)snprintf(best, sizeof(best), "%.63s", e->d_name);
	(void)closedir(d);
	(void)snprintf(path, sizeof(path), "%s/%s", dir, best);
	return path;
}

/* Where the i-th record of a segment begins (0: the first), by walking sizes. */
static off_t record_at(int fd, int i)
{
	off_t at = WAL_HEADER_BYTES;

	while (i-- > 0) {
		struct wal_record r;

		EQ(sizeof(r), pread(fd, &r, sizeof(r), at));
		at += r.size;
	}
	return at;
}

static void a_log_torn_at_every_byte_of_its_last_record(void)
{
	struct wal_record last;
	off_t at;
	int fd;

	write_keys(3);
	fd = open(newest_segment(), O_RDWR);
	at = record_at(fd, 3); /* create, two puts, and this one */
	EQ(sizeof(last), pread(fd, &last, sizeof(last), at));
	(void)close(fd);
	for (uint32_t cut = 0; cut < last.size; cut++) {
		char zeros[256] = {0};
		const char *path;

		write_keys(3);
		path = newest_segment();
		fd = open(path, O_RDWR);
		EQ(last.size - cut, pwrite(fd, zeros, last.size - cut, at + cut));
		(void)close(fd);
		EQ(0, reopen());
		/* The last two bytes are padding, zeros already: nothing is torn then. */
		EQ(cut >= last.size - 2 ? 3 : 2, count("b"));
		is("b", "key00001", "value");
		/* What is written now must survive the next start, behind a torn tail too. */
		EQ(0, put("b", "later", "x"));
		sync_all();
		EQ(0, reopen());
		is("b", "later", "x");
		finish();
	}
}

static void damage_in_the_middle_is_an_error_that_names_the_place(void)
{
	char want[32];
	off_t at;
	int fd;

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	EQ(0, put("b", "one", "value"));
	sync_all();
	EQ(0, put("b", "two", "value")); /* says that the ones before were synced */
	sync_all();
	finish();
	fd = open(newest_segment(), O_RDWR);
	at = record_at(fd, 1);
	EQ(1, pwrite(fd, "\xff", 1, at + 60));
	(void)close(fd);
	EQ(-EBADMSG, reopen());
	(void)snprintf(want, sizeof(want), "offset %lld", (long long)at);
	TRUE_(strstr(why, want));
	TRUE_(strstr(why, "wal-"));
}

static void a_missing_segment_is_an_error(void)
{
	write_keys(3);
	EQ(0, reopen());
	EQ(0, store_settle(current, 10000));
	EQ(0, put("b", "x", "y"));
	sync_all();
	finish();
	for (int i = 0; i < 3; i++)
		(void)unlink(newest_segment());
	EQ(-EBADMSG, reopen());
	TRUE_(strstr(why, "is missing"));
}

static void a_folder_is_locked(void)
{
	struct store *other = NULL;
	struct store_config c;

	fresh();
	EQ(0, reopen());
	c = config();
	EQ(-EWOULDBLOCK, store_open(&c, &other, why, sizeof(why)));
	TRUE_(strstr(why, "another process has this folder open"));
	finish();
}

static void base_is_checked_when_read(void)
{
	char path[400];
	char *data;
	struct stat st;
	FILE *f;
	size_t n;
	unsigned hits = 0;

	write_keys(100);
	EQ(0, reopen());
	EQ(0, store_settle(current, 10000));
	finish();
	(void)snprintf(path, sizeof(path), "%s/data.mdb", dir);
	EQ(0, stat(path, &st));
	data = malloc((size_t)st.st_size);
	f = fopen(path, "r+");
	n = fread(data, 1, (size_t)st.st_size, f);
	for (size_t i = 0; i + 5 < n; i++)
		if (!memcmp(data + i, "value", 5)) {
			data[i] = 'X';
			hits++;
		}
	TRUE_(hits >= 100);
	rewind(f);
	EQ(n, fwrite(data, 1, n, f));
	(void)fclose(f);
	free(data);
	EQ(0, reopen());
	TRUE_(!get("b", "key00007"));
	TRUE_(strstr(store_why(current), "damaged value in base"));
	finish();
}

/* ---- failures ---- */

/* One key after another, each synced, until the fault strikes.  Returns how many were safe. */
static int put_until_failure(void)
{
	char key[24];

	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		if (put("b", key, "v") < 0)
			return i;
		store_hand(current, store_seq(current));
		while (store_synced(current) < store_seq(current)) {
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
		TRUE_(store_synced(current) < store_seq(current));
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

/* ---- time ---- */

static void a_clock_that_steps_back_brings_no_key_back(void)
{
	for (int restart = 0; restart < 3; restart++) {
		fresh();
		EQ(0, reopen());
		EQ(0, create("b"));
		EQ(0, put_ttl("b", "k", "v", 1000));
		EQ(0, put_ttl("b", "later", "v", 100000));
		wall += 999;
		EQ(0, store_tick(current, wall));
		is("b", "k", "v");
		EQ(2, count("b"));
		wall += 1;
		EQ(0, store_tick(current, wall));
		is("b", "k", NULL);
		EQ(1, count("b"));
		sync_all();
		wall -= 100000;
		stepped_back = true;
		EQ(0, store_tick(current, wall));
		is("b", "k", NULL);
		if (restart == 2)
			EQ(0, store_settle(current, 10000));
		if (restart)
			EQ(0, reopen());
		is("b", "k", NULL);
		is("b", "later", "v");
		EQ(1, count("b"));
		finish();
		stepped_back = false;
	}
}

static void expired_keys_are_swept_and_counted_exactly(void)
{
	struct store_stats st;
	char key[24];

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put_ttl("b", key, "v", i % 3 ? 1000 : 0));
		if (i == 1500)
			EQ(0, store_settle(current, 10000)); /* half of them in base's index */
	}
	wall += 2000;
	EQ(0, store_tick(current, wall));
	EQ(1000, count("b"));
	EQ(0, put("b", "key00001", "back"));
	EQ(1001, count("b"));
	for (int i = 0; i < 100; i++) {
		wall += 20;
		EQ(0, store_tick(current, wall));
		EQ(1001, count("b"));
	}
	store_stats(current, &st);
	EQ(1001, st.keys); /* swept, not only hidden */
	EQ(0, store_settle(current, 10000));
	EQ(0, reopen());
	EQ(1001, count("b"));
	is("b", "key00001", "back");
	finish();
}

static void a_dropped_bucket_is_gone_and_its_name_is_free(void)
{
	struct store_stats st;

	write_keys(2000);
	EQ(0, reopen());
	EQ(0, store_settle(current, 10000));
	EQ(0, drop("b"));
	EQ(-ENXIO, count("b"));
	EQ(0, create("b"));
	EQ(0, count("b"));
	EQ(0, put("b", "key00001", "new"));
	EQ(0, reopen());
	EQ(1, count("b"));
	EQ(0, store_settle(current, 10000));
	for (int i = 0; i < 5000; i++) { /* the keys go in chunks behind it */
		(void)usleep(1000);
		EQ(0, store_tick(current, wall));
		store_stats(current, &st);
		if (st.base_bytes < 64 << 10)
			break;
	}
	TRUE_(st.base_bytes < 64 << 10);
	EQ(1, count("b"));
	is("b", "key00001", "new");
	is("b", "key00002", NULL);
	finish();
}

static void a_reply_must_wait_for_what_it_consulted(void)
{
	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	sync_all();
	EQ(0, put("b", "k", "v"));
	is("b", "k", "v");
	EQ(store_seq(current), store_consulted(current));
	is("b", "other", NULL);
	TRUE_(store_consulted(current) <= store_synced(current));
	EQ(1, del("b", "k"));
	is("b", "k", NULL);
	EQ(store_seq(current), store_consulted(current)); /* the tombstone */
	EQ(0, count("b"));
	EQ(store_seq(current), store_consulted(current));
	EQ(0, drop("b"));
	EQ(-ENXIO, count("b"));
	EQ(store_seq(current), store_consulted(current)); /* the directory */
	finish();
}

UNIT_MAIN(T(it_does_what_a_model_does), T(a_log_torn_at_every_byte_of_its_last_record),
	  T(damage_in_the_middle_is_an_error_that_names_the_place),
	  T(a_missing_segment_is_an_error), T(a_folder_is_locked), T(base_is_checked_when_read),
	  T(the_nth_write_or_sync_that_fails_ends_the_store),
	  T(the_nth_commit_that_fails_ends_the_store), T(a_full_disk_at_a_checkpoint_loses_nothing),
	  T(no_memory_changes_nothing), T(a_checkpoint_cut_short_counts_once),
	  T(a_checkpoint_waits_until_requests_are_answered),
	  T(puts_stop_when_the_map_is_full_and_deletes_go_on),
	  T(a_clock_that_steps_back_brings_no_key_back),
	  T(expired_keys_are_swept_and_counted_exactly),
	  T(a_dropped_bucket_is_gone_and_its_name_is_free),
	  T(a_reply_must_wait_for_what_it_consulted))
