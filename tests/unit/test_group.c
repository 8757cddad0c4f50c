/* Groups of changes: what they see, what they leave, and that they leave all or nothing. */
#include <stdlib.h>

#include "common/fault.h"
#include "storage/log/entry.h"
#include "tests/unit/lib/group_fixture.h"

static void fresh_bucket(void)
{
	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
}

static uint64_t version_of(const char *bucket, const char *key)
{
	struct store_item item;
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	return store_get(current, &k, &item) < 0 ? 0 : item.version;
}

/* ---- what a group is ---- */

static void all_of_it_is_one_record_with_versions_in_a_row(void)
{
	uint64_t lsn;
	uint64_t first;
	uint64_t bytes;

	fresh_bucket();
	EQ(0, put("b", "old", "1"));
	begin("b");
	first = gput("k1", "one");
	EQ(1, group_changes(current));
	bytes = group_bytes(current);
	lsn = store_lsn(current);
	EQ(first + 1, gput("k2", "two"));
	EQ(first + 2, gput("k1", "three"));
	TRUE_(gdel("old"));
	TRUE_(!gdel("old"));
	TRUE_(!gdel("never"));
	EQ(first + 4, gput("k3", "four"));
	EQ(5, group_changes(current));
	TRUE_(group_bytes(current) > bytes);
	EQ(lsn, store_lsn(current)); /* nothing is logged yet */
	is("b", "old", "1");
	is("b", "k1", NULL);
	commit();
	EQ(lsn + 1, store_lsn(current));
	EQ(lsn + 1, store_observed_lsn(current));
	is("b", "old", NULL);
	is("b", "k1", "three");
	is("b", "k2", "two");
	EQ(first + 2, version_of("b", "k1"));
	EQ(first + 4, version_of("b", "k3"));
	EQ(3, count("b"));
	EQ(0, put("b", "next", "5"));
	EQ(first + 5, version_of("b", "next"));
	for (int i = 0; i < 2; i++) { /* by the log, and by base */
		sync_all();
		finish();
		EQ(0, reopen());
		is("b", "old", NULL);
		is("b", "k1", "three");
		EQ(first + 2, version_of("b", "k1"));
		EQ(first + 4, version_of("b", "k3"));
		EQ(4, count("b"));
		EQ(0, store_settle(current, 10000));
	}
	finish();
}

static void what_is_forgotten_was_never_there(void)
{
	uint64_t lsn;
	uint64_t first;

	fresh_bucket();
	EQ(0, put("b", "k", "1"));
	begin("b");
	first = gput("k", "2");
	TRUE_(gdel("k"));
	lsn = store_lsn(current);
	group_abort(current);
	group_abort(current); /* there is none any more */
	EQ(lsn, store_lsn(current));
	is("b", "k", "1");
	EQ(1, count("b"));
	EQ(0, put("b", "k", "3"));
	EQ(first, version_of("b", "k")); /* what was told of it is free */
	begin("b");
	commit(); /* of nothing: nothing is logged */
	EQ(lsn + 1, store_lsn(current));
	finish();
}

static void a_bucket_is_made_and_filled_at_one_stroke(void)
{
	uint64_t version;
	uint64_t n;
	bool created;
	struct store_item i;

	fresh();
	EQ(0, reopen());
	begin("new");
	TRUE_(!group_exists(current));
	EQ(-ENXIO, group_put(current, span_of("k"), span_of("v"), 0, &always, &version));
	EQ(-ENXIO, group_get(current, span_of("k"), &i));
	EQ(-ENXIO, group_count(current, &n));
	EQ(0, group_create(current, &created));
	TRUE_(created && group_exists(current));
	EQ(0, group_create(current, &created));
	TRUE_(!created);
	EQ(0, group_count(current, &n));
	EQ(0, n);
	version = gput("k", "v");
	EQ(0, group_count(current, &n));
	EQ(1, n);
	gis("k", "v");
	EQ(-1, count("new") < 0 ? -1 : 0); /* nobody else sees it */
	commit();
	is("new", "k", "v");
	EQ(version, version_of("new", "k"));
	begin("other"); /* made, and forgotten */
	EQ(0, group_create(current, &created));
	group_abort(current);
	EQ(-ENXIO, count("other"));
	for (int round = 0; round < 2; round++) {
		finish();
		EQ(0, reopen());
		EQ(1, count("new"));
		is("new", "k", "v");
		EQ(-ENXIO, count("other"));
		EQ(0, store_settle(current, 10000));
	}
	EQ(0, drop("new"));
	EQ(-ENXIO, count("new"));
	begin("new"); /* and alone */
	EQ(0, group_create(current, &created));
	commit();
	EQ(0, count("new"));
	finish();
}

static void a_condition_that_does_not_hold_leaves_the_group_as_it_was(void)
{
	struct store_condition c = {true, false, 0};
	uint64_t version = 0;
	uint64_t first;
	bool deleted;

	fresh_bucket();
	EQ(0, put("b", "k", "1"));
	begin("b");
	first = gput("own", "1");
	EQ(-EEXIST, group_put(current, span_of("k"), span_of("2"), 0, &c, &version));
	TRUE_(version && version < first);
	EQ(-EEXIST, group_put(current, span_of("own"), span_of("2"), 0, &c, &version));
	EQ(first, version);
	c = (struct store_condition){false, true, first};
	EQ(-EEXIST, group_delete(current, span_of("k"), &c, &deleted, &version));
	EQ(-EEXIST, group_touch(current, span_of("k"), 5, &c, &version));
	EQ(-ENOENT, group_touch(current, span_of("none"), 5, &always, &version));
	EQ(0, group_put(current, span_of("own"), span_of("2"), 0, &c, &version));
	EQ(first + 1, version);
	EQ(2, group_changes(current));
	commit();
	is("b", "k", "1");
	is("b", "own", "2");
	finish();
}

/* ---- time ---- */

static void pass(uint64_t ms)
{
	wall += ms;
	EQ(0, store_tick(current, wall));
}

static void what_has_expired_is_not_there_and_may_be_written_again(void)
{
	for (int settled = 0; settled < 2; settled++) {
		struct store_item i;
		uint64_t first;
		uint64_t n;

		fresh_bucket();
		wall = store_clock(current) + 1000;
		pass(0);
		EQ(0, put_ttl("b", "gone", "1", 50));
		EQ(0, put_ttl("b", "other", "1", 50));
		EQ(0, put_ttl("b", "stays", "1", 5000));
		if (settled)
			EQ(0, store_settle(current, 10000));
		wall += 51;
		/* The time passes, and the sweep does not come before the group. */
		(void)store_tick(current, wall - 1);
		begin("b");
		group_abort(current);
		pass(0);
		begin("b");
		first = gput("new", "1"); /* told before it is seen that something has expired */
		gis("gone", NULL);
		EQ(0, group_count(current, &n));
		EQ(2, n);
		EQ(first + 1, gput_ttl("gone", "2", 100));
		TRUE_(!gdel("other"));
		EQ(0, group_get(current, span_of("gone"), &i));
		EQ(100, i.ttl_ms);
		EQ(first + 2, gput("last", "1"));
		EQ(0, group_count(current, &n));
		EQ(4, n);
		commit();
		EQ(4, count("b"));
		EQ(first + 2, version_of("b", "last"));
		pass(100);
		EQ(3, count("b"));
		is("b", "gone", NULL);
		finish();
	}
}

/* With whatever happens to be due and unswept: no note of the time comes between the versions. */
static void notes_of_the_time_come_before_the_first_version(void)
{
	uint64_t s = unit_seed();
	unsigned seen = 0;

	fresh_bucket();
	wall = store_clock(current) + 1000;
	pass(0);
	for (int round = 0; round < 300; round++) {
		uint64_t first = 0;
		char key[16];

		for (int i = 0; i < 40; i++) {
			(void)snprintf(key, sizeof(key), "k%u", (unsigned)(unit_random(&s) % 60));
			EQ(0, put_ttl("b", key, "v", 1 + unit_random(&s) % 30));
		}
		if (round % 40 == 0)
			EQ(0, store_settle(current, 10000));
		pass(unit_random(&s) % 20);
		begin("b");
		for (unsigned i = 0; i < 20; i++) {
			struct store_item item;
			uint64_t version;
			int r;

			(void)snprintf(key, sizeof(key), "k%u", (unsigned)(unit_random(&s) % 60));
			r = group_get(current, span_of(key), &item);
			TRUE_(r == 0 || r == -ENOENT); /* and not -EBUSY */
			seen += r < 0;
			version = gput_ttl(key, "w", unit_random(&s) % 30);
			if (!first)
				first = version;
			EQ(first + i, version);
		}
		commit();
	}
	TRUE_(seen > 100);
	finish();
}

/* ---- bounds ---- */

static void so_many_changes_and_no_more(void)
{
	uint64_t version;
	char key[16];

	fresh_bucket();
	for (int round = 0; round < 2; round++) {
		begin("b");
		for (unsigned i = 0; i < GROUP_CHANGES_MAX; i++) {
			(void)snprintf(key, sizeof(key), "%04x", (i * 7919) % 4096);
			(void)gput(key, "v");
		}
		EQ(-E2BIG, group_put(current, span_of("one"), span_of("v"), 0, &always, &version));
		EQ(GROUP_CHANGES_MAX, group_changes(current));
		commit();
		EQ(GROUP_CHANGES_MAX, count("b"));
	}
	finish();
	EQ(0, reopen());
	EQ(GROUP_CHANGES_MAX, count("b"));
	finish();
}

/* ---- memory ---- */

/* Whichever allocation fails: nothing has happened, and it can be done again. */
static void without_memory_nothing_happens(void)
{
	static char large[20000];
	unsigned failed = 0;

	memset(large, 'x', sizeof(large) - 1);
	fresh_bucket();
	EQ(0, put("b", "same", "12345"));
	EQ(0, put("b", "else", "12"));
	for (unsigned nth = 1; nth < 8; nth++) {
		char spec[64];
		uint64_t lsn;
		int r;

		begin("b");
		(void)gput_ttl("same", "54321", 1000);
		(void)gput("else", "123");
		for (unsigned i = 0; i < 3; i++)
			(void)gput(i ? "a" : "z", i ? "1" : "2");
		lsn = store_lsn(current);
		(void)snprintf(spec, sizeof(spec), "cache.alloc=ENOMEM@%u", nth);
		fault_set(spec, 0);
		r = group_commit(current, reply);
		fault_set(NULL, 0);
		if (r == 0)
			break;
		EQ(-ENOMEM, r);
		failed++;
		EQ(lsn, store_lsn(current));
		is("b", "same", "12345");
		is("b", "else", "12");
		is("b", "z", NULL);
		EQ(2, count("b"));
	}
	EQ(3, failed); /* else, z, a */
	is("b", "same", "54321");
	is("b", "else", "123");
	begin("b");
	(void)gput("k", "v");
	for (unsigned i = 0; i < 2; i++) {
		uint64_t version;

		fault_set("group.alloc=ENOMEM", 0);
		EQ(-ENOMEM,
		   group_put(current, span_of("k2"), span_of(large), 0, &always, &version));
		fault_set(NULL, 0);
		gis("k", "v");
		gis("k2", NULL);
		EQ(1, group_changes(current));
	}
	(void)gput("k2", large);
	commit();
	is("b", "k", "v");
	EQ(6, count("b"));
	finish();
}

/* What was read may be written, though what it lies in grows and moves. */
static void what_a_get_gave_may_be_written(void)
{
	static char large[600];
	uint64_t version;
	struct store_item i;
	char key[16];

	memset(large, 'l', sizeof(large) - 1);
	fresh_bucket();
	EQ(0, put("b", "stored", large));
	begin("b");
	(void)gput("k0", large);
	for (unsigned n = 0; n < 100; n++) {
		(void)snprintf(key, sizeof(key), "k%u", n);
		EQ(0, group_get(current, n % 5 ? span_of(key) : span_of("stored"), &i));
		(void)snprintf(key, sizeof(key), "k%u", n + 1);
		EQ(0, group_put(current, span_of(key), i.value, 0, &always, &version));
	}
	commit();
	begin("b");
	gis("k100", large);
	group_abort(current);
	finish();
}

UNIT_MAIN(T(all_of_it_is_one_record_with_versions_in_a_row), T(what_is_forgotten_was_never_there),
	  T(a_bucket_is_made_and_filled_at_one_stroke),
	  T(a_condition_that_does_not_hold_leaves_the_group_as_it_was),
	  T(what_has_expired_is_not_there_and_may_be_written_again),
	  T(notes_of_the_time_come_before_the_first_version), T(so_many_changes_and_no_more),
	  T(without_memory_nothing_happens), T(what_a_get_gave_may_be_written))
