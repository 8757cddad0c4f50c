/* Groups after the process that wrote them: torn, replayed, followed, settled in pieces, full. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/fault.h"
#include "tests/unit/lib/group_fixture.h"
#include "tests/unit/lib/log_tail.h"

/* ---- torn ---- */

static void torn_write(unsigned round)
{
	bool created;

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	EQ(0, put("b", "deleted", "old"));
	EQ(0, put("b", "written", "old"));
	EQ(0, put("b", "touched", "old"));
	if (round % 2)
		EQ(0, store_settle(current, 10000));
	sync_all();
	if (round == 2) {
		begin("made");
		EQ(0, group_create(current, &created));
		(void)gput("k", "v");
	} else {
		begin("b");
		(void)gput("written", "new");
		TRUE_(gdel("deleted"));
		(void)gtouch("touched", 1000000);
		(void)gput("more", "new");
		(void)gput("written", "newer");
	}
	commit();
	sync_all();
	finish();
}

static bool torn_check(unsigned round)
{
	bool whole = round == 2 ? count("made") >= 0 : get("b", "more") != NULL;

	if (round == 2) {
		EQ(whole ? 1 : -ENXIO, count("made"));
		EQ(3, count("b"));
		return whole;
	}
	is("b", "written", whole ? "newer" : "old");
	is("b", "deleted", whole ? NULL : "old");
	is("b", "touched", "old");
	EQ(3, count("b"));
	return whole;
}

/* Cut off at any byte of its record, or a byte of it turned: there is nothing of it. */
static void a_torn_group_is_as_if_it_had_never_been(void)
{
	uint64_t s = unit_seed();

	for (unsigned round = 0; round < 3; round++) {
		size_t size;
		size_t from = 0;
		size_t to = 0;
		char *data;
		int fd;

		torn_write(round);
		EQ(0, reopen());
		TRUE_(torn_check(round));
		finish();
		torn_write(round);
		data = newest_read(&size);
		last_record(data, size, &from, &to);
		free(data);
		for (size_t at = from; at < to; at += 1 + unit_random(&s) % 9) {
			bool turned = unit_random(&s) % 4 == 0;
			char *copy;

			/* Each try begins with a folder that is like the first. */
			torn_write(round);
			copy = newest_read(&size);
			last_record(copy, size, &from, &to);
			if (turned)
				copy[at] = (char)(copy[at] ^ 1 << unit_random(&s) % 8);
			else
				memset(copy + at, 0, to - at);
			fd = open(newest, O_WRONLY);
			EQ(size, write(fd, copy, size));
			EQ(0, close(fd));
			free(copy);
			EQ(0, reopen());
			/* Zeros at its end may have been zeros before. */
			TRUE_(!torn_check(round) || (!turned && at + 8 > to));
			EQ(0, put("b", "next", "v")); /* its versions are free, and it works on */
			finish();
			EQ(0, reopen());
			is("b", "next", "v");
			finish();
		}
	}
}

/* ---- replayed ---- */

static unsigned groups_seen;
static uint64_t request_seen;

static int look(void *arg, const struct log_record *r, bool same)
{
	struct span result = log_result_read(r->entry);

	(void)arg;
	if (r->entry->kind != LOG_CHANGE || r->entry->count < 2)
		return 0;
	TRUE_(same && span_equal(result, reply));
	EQ(5, r->entry->count);
	request_seen = r->frame->request_id;
	groups_seen++;
	return 0;
}

static void five(const char *value)
{
	char key[8];

	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)gput(key, value);
	}
}

/* Who comes after knows whose it was and what was to be answered. */
static void its_result_and_its_request_come_back(void)
{
	struct store_config c = config();
	struct store_key k;

	fresh();
	c.generation = 7;
	c.after_apply = look;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	store_begin(current, 4711);
	EQ(0, group_begin(current, &k));
	five("v");
	commit();
	sync_all();
	finish();
	groups_seen = 0;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(1, groups_seen);
	EQ(4711, request_seen);
	finish();
}

/* Whatever a follower has read, it has the whole of a group or nothing. */
static void who_follows_sees_all_or_nothing(void)
{
	struct store_config c = config();
	struct store *serving;
	struct store *beside;

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	sync_all();
	serving = current;
	EQ(0, store_open_follower(&c, &beside, why, sizeof(why)));
	for (unsigned round = 0; round < 50; round++) {
		char value[16];

		(void)snprintf(value, sizeof(value), "%u", round);
		current = serving;
		begin("b");
		five(value);
		commit();
		if (round % 3 == 0)
			sync_all();
		EQ(0, store_tail(beside, store_synced(serving)));
		current = beside;
		if (get("b", "k0")) {
			char seen[16];

			(void)snprintf(seen, sizeof(seen), "%s", get("b", "k0"));
			for (unsigned i = 1; i < 5; i++)
				is("b", (const char *[]){"", "k1", "k2", "k3", "k4"}[i], seen);
			EQ(5, count("b"));
		}
	}
	current = serving;
	sync_all();
	store_release(serving);
	EQ(0, store_promote(beside, store_synced(beside)));
	current = beside;
	is("b", "k0", "49");
	is("b", "k4", "49");
	EQ(5, count("b"));
	finish();
	store_close(&serving);
}

/* ---- settled in pieces ---- */

enum { MANY = 20000, EACH = 4096 };

static char *many_key(unsigned i)
{
	static char key[24];

	(void)snprintf(key, sizeof(key), "key%05u", i);
	return key;
}

/* In a process of its own there is no test that could fail. */
static void must(bool holds)
{
	if (!holds)
		_exit(3);
}

static void group_of_many(void)
{
	struct store_key k;
	uint64_t version;
	bool deleted;

	store_begin(current, 0);
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	must(group_begin(current, &k) == 0);
	for (unsigned n = 0; n < EACH; n++) {
		struct span key = span_of(many_key(n * (MANY / EACH)));

		if (n % 4 == 0)
			must(group_delete(current, key, &always, &deleted, &version) == 0);
		else if (n % 4 == 1)
			must(group_touch(current, key, 1000000, &always, &version) == 0);
		else
			must(group_put(current, key, span_of("new"), 0, &always, &version) == 0);
	}
	must(group_commit(current, reply) == 0);
}

/* Many keys are settled, a group that is spread over all of them is not, and then it dies. */
static void die_in_a_checkpoint(unsigned commit_nth)
{
	char spec[64];

	must(reopen() == 0 && create("b") == 0);
	for (unsigned i = 0; i < MANY; i++)
		must(put("b", many_key(i), "old") == 0);
	must(store_settle(current, 20000) == 0);
	for (unsigned i = 0; i < MANY; i++) /* so that there are pieces */
		if (i % (MANY / EACH))
			must(put("b", many_key(i), "between") == 0);
	group_of_many();
	sync_all();
	(void)snprintf(spec, sizeof(spec), "checkpoint.before_commit=kill@%u", commit_nth);
	fault_set(spec, 0);
	must(store_settle(current, 20000) == 0);
	_exit(0);
}

/*
 * A checkpoint commits in pieces.  When it dies between two of them, base has a part of the group
 * that lies over many; what is settled says that it has nothing, and the log has all of it.
 */
static void one_that_is_half_in_base_is_whole_after_a_kill(void)
{
	for (unsigned nth = 1; nth <= 4; nth++) { /* it has three */
		int status = -1;
		pid_t pid;

		cache_bytes = 16 << 20;
		fresh();
		(void)fflush(stdout);
		pid = fork();
		if (!pid)
			die_in_a_checkpoint(nth);
		EQ(pid, waitpid(pid, &status, 0));
		EQ(nth > 3 ? 0 : SIGKILL, status);
		for (unsigned round = 0; round < 2; round++) {
			EQ(0, reopen());
			EQ(MANY - EACH / 4, count("b"));
			for (unsigned n = 0; n < EACH; n++)
				is("b", many_key(n * (MANY / EACH)),
				   n % 4 == 0   ? NULL
				   : n % 4 == 1 ? "old"
						: "new");
			is("b", many_key(1), "between");
			EQ(0, store_settle(current, 20000));
		}
		finish();
		cache_bytes = 1 << 20;
	}
}

/* ---- full ---- */

static void when_it_is_full_only_what_deletes_alone_is_let_in(void)
{
	static char big[40000];
	struct store_config c = config();
	uint64_t lsn;
	uint64_t version;
	unsigned n = 0;
	int r = 0;

	memset(big, 'x', sizeof(big) - 1);
	fresh();
	c.map_bytes = 8 << 20;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(0, create("b"));
	while (n < 1000) {
		r = put("b", many_key(n), big);
		if (r < 0) {
			EQ(0, store_settle(current, 10000));
			r = put("b", many_key(n), big);
		}
		if (r == -ENOSPC)
			break;
		EQ(0, r);
		n++;
	}
	EQ(-ENOSPC, r);
	for (unsigned size = sizeof(big) / 2; size; size /= 2) { /* to the last bytes */
		big[size] = '\0';
		EQ(0, store_settle(current, 10000));
		while (n < 2000 && put("b", many_key(n), big) == 0)
			n++;
	}
	while (n < 2000 && (r = put("b", many_key(n), big)) != -ENOSPC) {
		n += r == 0;
		EQ(0, store_settle(current, 10000));
	}
	EQ(-ENOSPC, r);
	for (unsigned round = 0; round < 3; round++) { /* a put, a touch, a bucket */
		begin(round == 2 ? "other" : "b");
		if (round == 2) {
			bool created;

			EQ(0, group_create(current, &created));
			(void)gput("k", big);
		} else {
			TRUE_(gdel(many_key(0)));
			if (round == 0)
				EQ(0, group_put(current, span_of("more"), span_of(big), 0, &always,
						&version));
			else
				(void)gtouch(many_key(1), 0);
		}
		lsn = store_lsn(current); /* the time may have been noted meanwhile */
		EQ(-ENOSPC, group_commit(current, reply));
		EQ(lsn, store_lsn(current));
		EQ(n, count("b"));
		is("b", "more", NULL);
		EQ(-ENXIO, count("other"));
	}
	begin("b");
	for (unsigned i = 0; i < n / 2; i++)
		TRUE_(gdel(many_key(i)));
	TRUE_(group_bytes(current) > 1000);
	commit();
	EQ(n - n / 2, count("b"));
	EQ(0, store_settle(current, 10000));
	begin("b");
	(void)gput("again", big);
	commit();
	finish();
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	EQ(n - n / 2 + 1, count("b"));
	finish();
}

/* ---- what is told waits ---- */

static void a_group_that_only_reads_waits_for_what_it_saw(void)
{
	struct store_key k;
	uint64_t lsn;
	uint64_t n;

	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	EQ(0, put("b", "synced", "1"));
	sync_all();
	begin("b");
	gis("synced", "1");
	commit();
	TRUE_(store_committed(current));
	EQ(0, put("b", "k", "1"));
	lsn = store_lsn(current);
	for (unsigned round = 0; round < 3; round++) {
		begin("b");
		if (round == 0)
			gis("k", "1");
		if (round == 1)
			EQ(0, group_count(current, &n));
		if (round == 2)
			TRUE_(gdel("k"));
		if (round == 2)
			group_abort(current);
		else
			commit();
		EQ(lsn, store_observed_lsn(current));
	}
	EQ(0, drop("b"));
	lsn = store_lsn(current);
	store_begin(current, 0);
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, group_begin(current, &k));
	TRUE_(!group_exists(current));
	group_abort(current);
	EQ(lsn, store_observed_lsn(current)); /* that it is not there is known since the drop */
	finish();
}

UNIT_MAIN(T(a_torn_group_is_as_if_it_had_never_been), T(its_result_and_its_request_come_back),
	  T(who_follows_sees_all_or_nothing), T(one_that_is_half_in_base_is_whole_after_a_kill),
	  T(when_it_is_full_only_what_deletes_alone_is_let_in),
	  T(a_group_that_only_reads_waits_for_what_it_saw))
