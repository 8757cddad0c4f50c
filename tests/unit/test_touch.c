/* A touch: another version and expiry for a key whose value stays, wherever that lies. */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/fault.h"
#include "storage/log/wal.h"
#include "tests/unit/lib/store_fixture.h"

static uint64_t version;

static int touch_if(const char *bucket, const char *key, uint64_t ttl,
		    const struct store_condition *c)
{
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	return store_touch(current, &k, ttl, c, &version);
}

static int touch(const char *bucket, const char *key, uint64_t ttl)
{
	static const struct store_condition always = {false, false, 0};

	return touch_if(bucket, key, ttl, &always);
}

/* What a get says of a key that is there: version into `version`. */
static uint64_t left(const char *key)
{
	struct store_item item;
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of("b"), span_of(key), &k);
	EQ(0, store_get(current, &k, &item));
	version = item.version;
	return item.ttl_ms;
}

static bool scan_first(void *arg, const struct store_item *i)
{
	*(uint64_t *)arg = i->version * 100000 + i->ttl_ms;
	return false;
}

/* A scan says of the first key what a get of it does. */
static void scan_agrees(const char *key)
{
	static const struct store_range whole;
	uint64_t want = left(key) + 100000 * version;
	uint64_t got = 0;
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, store_scan(current, &k, &whole, scan_first, &got));
	EQ(want, got);
}

static void pass(uint64_t ms)
{
	wall += ms;
	wall_at_open = wall;
	boot += ms;
	EQ(0, store_tick(current, wall));
}

/* Time passes only when a test says so. */
static void begin_empty(void)
{
	fresh();
	wall_at_open = 1800000000000;
	EQ(0, reopen());
	EQ(0, create("b"));
}

enum { IN_CACHE, IN_BASE, IN_BASE_AFTER_RESTART, IN_CACHE_AND_BASE, PLACES };

/* A key with a value and a ttl (0: for ever), which lies there. */
static void begin(int place, uint64_t ttl)
{
	begin_empty();
	EQ(0, put_ttl("b", "k", "value", ttl));
	if (place != IN_CACHE)
		EQ(0, store_settle(current, 10000));
	if (place == IN_BASE_AFTER_RESTART)
		EQ(0, reopen());
	if (place == IN_CACHE_AND_BASE)
		EQ(0, put_ttl("b", "k", "value", ttl));
}

/* What may come between a touch and a look at it. */
enum { NOTHING, RESTART, CHECKPOINT, CHECKPOINT_AND_RESTART, CHECKPOINT_CUT_SHORT, BETWEENS };

static unsigned cut_short; /* checkpoints */

static void between(int what)
{
	if (what == CHECKPOINT_CUT_SHORT) {
		int r;

		fault_set("base.commit=ENOSPC", 0);
		r = store_settle(current, 5000);
		fault_set(NULL, 0);
		TRUE_(r == -ENOSPC || r == 0); /* there may have been nothing to settle */
		cut_short += r == -ENOSPC;
	}
	if (what == CHECKPOINT || what == CHECKPOINT_AND_RESTART)
		EQ(0, store_settle(current, 10000));
	if (what == RESTART || what == CHECKPOINT_AND_RESTART || what == CHECKPOINT_CUT_SHORT)
		EQ(0, reopen());
}

static void the_value_stays_and_the_rest_is_new(void)
{
	for (int place = 0; place < PLACES; place++)
		for (int what = 0; what < BETWEENS; what++) {
			uint64_t before;

			begin(place, 0);
			EQ(0, left("k"));
			before = version;
			EQ(0, touch("b", "k", 5000));
			TRUE_(version > before);
			before = version;
			TRUE_(!store_committed(current));
			between(what);
			is("b", "k", "value");
			EQ(5000, left("k"));
			EQ(before, version);
			EQ(1, count("b"));
			scan_agrees("k");
			/* A second one, and back to for ever. */
			EQ(0, touch("b", "k", 3000));
			between(what);
			EQ(3000, left("k"));
			EQ(0, touch("b", "k", 0));
			between(what);
			EQ(0, left("k"));
			scan_agrees("k");
			pass(100000);
			is("b", "k", "value");
			EQ(1, count("b"));
			finish();
		}
	TRUE_(cut_short >= PLACES);
}

/* The old expiry deletes nothing, the new one does. */
static void it_lives_as_long_as_it_was_told_last(void)
{
	for (int place = 0; place < PLACES; place++)
		for (int what = 0; what < BETWEENS; what++) {
			struct store_stats st;

			begin(place, 1000);
			EQ(0, touch("b", "k", 5000));
			between(what);
			pass(1500);
			pass(20); /* a sweep */
			is("b", "k", "value");
			EQ(3480, left("k"));
			EQ(1, count("b"));
			between(what);
			pass(3479);
			is("b", "k", "value");
			pass(1);
			is("b", "k", NULL);
			EQ(0, count("b"));
			EQ(-ENOENT, touch("b", "k", 1000));
			pass(20);
			store_stats(current, &st);
			EQ(0, st.keys); /* swept */
			between(what);
			is("b", "k", NULL);
			EQ(0, count("b"));
			/* A shorter life than it had. */
			EQ(0, put_ttl("b", "k", "again", 100000));
			between(what);
			EQ(0, touch("b", "k", 50));
			between(what);
			is("b", "k", "again");
			pass(60);
			is("b", "k", NULL);
			EQ(0, count("b"));
			finish();
		}
}

static void what_is_not_there_is_not_touched(void)
{
	static const struct store_condition absent = {true, false, 0};
	struct store_condition c = {false, true, 0};
	uint64_t lsn;

	for (int place = 0; place < PLACES; place++) {
		begin(place, 0);
		EQ(-ENXIO, touch("none", "k", 0));
		lsn = store_lsn(current);
		EQ(-ENOENT, touch("b", "other", 0));
		EQ(0, version);
		(void)left("k");
		c.version = version + 1;
		EQ(-EEXIST, touch_if("b", "k", 0, &c));
		EQ(c.version - 1, version); /* the one there is */
		EQ(-EEXIST, touch_if("b", "k", 0, &absent));
		EQ(-EEXIST, touch_if("b", "other", 0, &c)); /* there is none */
		EQ(0, version);
		EQ(-ENOENT, touch_if("b", "other", 0, &absent));
		EQ(lsn, store_lsn(current)); /* none of these is logged */
		c.version--;
		EQ(0, touch_if("b", "k", 0, &c));
		EQ(lsn + 1, store_lsn(current));
		EQ(1, del("b", "k"));
		EQ(-ENOENT, touch("b", "k", 0));
		EQ(0, drop("b"));
		EQ(-ENXIO, touch("b", "k", 0));
		EQ(0, create("b"));
		EQ(-ENOENT, touch("b", "k", 0));
		EQ(0, reopen());
		EQ(-ENOENT, touch("b", "k", 0));
		finish();
	}
}

/* The epoch of the one segment that there is. */
static uint64_t segment_only(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint64_t epoch;
	uint64_t ret = 0;

	while ((e = readdir(d)))
		if (sscanf(e->d_name, "wal-%" SCNx64, &epoch) == 1) {
			EQ(0, ret);
			ret = epoch;
		}
	(void)closedir(d);
	return ret;
}

/* Its value is not in the log a second time. */
static void a_touch_logs_no_value(void)
{
	static char value[40000];
	struct wal_header h;
	struct wal_reader rd = {0};
	struct log_record r;
	uint64_t epoch;
	uint64_t bytes;
	unsigned touches = 0;

	memset(value, 'v', sizeof(value) - 1);
	begin_empty();
	EQ(0, put("b", "k", value));
	for (int i = 0; i < 100; i++)
		EQ(0, touch("b", "k", i % 2 ? 100000 : 0));
	sync_all();
	epoch = segment_only();
	EQ(0, wal_header_read(dir, epoch, &h, &bytes, why, sizeof(why)));
	EQ(0, wal_reader_open(&rd, dir, epoch, bytes, h.first_lsn));
	while (wal_reader_next(&rd, &r) == 1) {
		const struct log_change_head *head = (const void *)r.entry->data;

		if (r.entry->kind == LOG_CHANGE && log_head_op(head) == LOG_TOUCH) {
			TRUE_(log_record_size(r.frame) < 100);
			touches++;
		}
	}
	EQ(100, touches);
	wal_reader_close(&rd);
	finish();
}

/* ---- a model ---- */

#define KEYS 60u

static struct {
	char value[24];
	bool there;
	uint64_t expiry;
} model[KEYS];

static bool alive(unsigned i)
{
	return model[i].there && (!model[i].expiry || model[i].expiry > wall);
}

static void model_step(uint64_t *s)
{
	unsigned i = (unsigned)(unit_random(s) % KEYS);
	unsigned what = (unsigned)(unit_random(s) % 100);
	uint64_t ttl = unit_random(s) % 3 ? 1 + unit_random(s) % 4000 : 0;
	char key[24];

	(void)snprintf(key, sizeof(key), "key%05u", i);
	if (what < 30) {
		(void)snprintf(model[i].value, sizeof(model[i].value), "v%llu",
			       (unsigned long long)(unit_random(s) >> (unit_random(s) % 64)));
		EQ(0, put_ttl("b", key, model[i].value, ttl));
		model[i].there = true;
		model[i].expiry = ttl ? wall + ttl : 0;
	} else if (what < 75) {
		EQ(alive(i) ? 0 : -ENOENT, touch("b", key, ttl));
		if (alive(i))
			model[i].expiry = ttl ? wall + ttl : 0;
	} else if (what < 90) {
		EQ(alive(i), del("b", key));
		model[i].there = false;
	} else {
		pass(unit_random(s) % 300);
	}
}

static void model_compare(void)
{
	long long n = 0;
	char key[24];

	for (unsigned i = 0; i < KEYS; i++) {
		(void)snprintf(key, sizeof(key), "key%05u", i);
		is("b", key, alive(i) ? model[i].value : NULL);
		if (alive(i))
			EQ(model[i].expiry ? model[i].expiry - wall : 0, left(key));
		n += alive(i);
	}
	EQ(n, count("b"));
}

static void touches_do_what_a_model_does(void)
{
	uint64_t s = unit_seed();

	memset(model, 0, sizeof(model));
	begin_empty();
	for (int round = 0; round < 150; round++) {
		for (unsigned i = (unsigned)(unit_random(&s) % 120); i; i--)
			model_step(&s);
		between((int)(unit_random(&s) % BETWEENS));
		if (unit_random(&s) % 4 == 0) { /* writes while a checkpoint runs */
			store_checkpoint(current);
			for (int i = 0; i < 60; i++) {
				model_step(&s);
				store_submit(current, 0);
				EQ(0, store_tick(current, wall));
			}
		}
		model_compare();
	}
	finish();
}

/* The process that serves, another than ours: LMDB opens a folder once in a process. */
static void serve(int place, int tell, int ask)
{
	uint64_t lsn;
	char c;

	current = NULL; /* if a test before has failed: it is not ours */
	begin(place, 1000);
	store_hold(current, true);
	sync_all();
	while (!store_held(current)) {
		EQ(0, store_tick(current, wall));
		sync_all();
	}
	for (int step = 0; step < 2; step++) {
		lsn = store_synced(current);
		EQ(sizeof(lsn), write(tell, &lsn, sizeof(lsn)));
		EQ(1, read(ask, &c, 1));
		if (step)
			break;
		EQ(0, touch("b", "k", 5000));
		EQ(0, put("b", "other", "v"));
		EQ(0, touch("b", "other", 7000));
		sync_all();
	}
	EQ(0, touch("b", "other", 8000));
	lsn = store_lsn(current);
	store_release(current);
	EQ(sizeof(lsn), write(tell, &lsn, sizeof(lsn)));
	_exit(0);
}

/* A follower folds touches onto what it has read, and goes on as if it had made them. */
static void a_follower_sees_touches(void)
{
	for (int place = 0; place < PLACES; place++) {
		struct store_config c;
		int tell[2];
		int ask[2];
		uint64_t lsn = 0;
		int status = 0;
		pid_t pid;

		EQ(0, pipe(tell));
		EQ(0, pipe(ask));
		(void)unit_folder();
		pid = fork();
		if (!pid)
			serve(place, tell[1], ask[0]);
		(void)(close(tell[1]) | close(ask[0])); /* it ends, and so do these */
		fresh();                                /* the folder that it is in */
		wall_at_open = 1800000000000;
		EQ(sizeof(lsn), read(tell[0], &lsn, sizeof(lsn)));
		c = config();
		EQ(0, store_open_follower(&c, &current, why, sizeof(why)));
		for (int step = 0; step < 2; step++) {
			EQ(0, store_tail(current, lsn));
			EQ(1, write(ask[1], "x", 1));
			EQ(sizeof(lsn), read(tell[0], &lsn, sizeof(lsn)));
		}
		EQ(pid, waitpid(pid, &status, 0));
		EQ(0, status);
		EQ(0, store_promote(current, lsn));
		wall = store_clock(current);
		is("b", "k", "value");
		EQ(5000, left("k"));
		EQ(8000, left("other"));
		EQ(0, store_settle(current, 10000));
		EQ(5000, left("k"));
		pass(6000);
		is("b", "k", NULL);
		is("b", "other", "v");
		finish();
		(void)(close(tell[0]) | close(ask[1]));
	}
}

/* Many of them, of values in base alone: several transactions, one of which fails. */
static void a_checkpoint_of_touches_cut_short_is_done_again(void)
{
	char key[24];

	cache_bytes = 32 << 20;
	begin_empty();
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, put("b", key, "value"));
	}
	EQ(0, store_settle(current, 20000));
	for (int i = 0; i < 20000; i++) {
		(void)snprintf(key, sizeof(key), "key%05d", i);
		EQ(0, i % 5 ? touch("b", key, 100000) : del("b", key) - 1);
		if (i % 5 == 1)
			EQ(1, del("b", key)); /* after the touch */
	}
	fault_set("base.commit=ENOSPC@2", 0);
	EQ(-ENOSPC, store_settle(current, 20000));
	fault_set(NULL, 0);
	EQ(0, reopen()); /* on a base that has half of it */
	EQ(12000, count("b"));
	is("b", "key00002", "value");
	EQ(100000, left("key00002"));
	is("b", "key00001", NULL);
	EQ(0, touch("b", "key00002", 0));
	EQ(0, store_settle(current, 20000));
	EQ(0, reopen());
	EQ(12000, count("b"));
	is("b", "key19999", "value");
	EQ(100000, left("key19999"));
	EQ(0, left("key00002"));
	pass(100000);
	EQ(1, count("b"));
	finish();
	cache_bytes = 1 << 20;
}

UNIT_MAIN(T(the_value_stays_and_the_rest_is_new), T(it_lives_as_long_as_it_was_told_last),
	  T(what_is_not_there_is_not_touched), T(a_touch_logs_no_value),
	  T(touches_do_what_a_model_does), T(a_follower_sees_touches),
	  T(a_checkpoint_of_touches_cut_short_is_done_again))
