/*
 * A store with a copy of it, to be cut off: two stores, which lead some partitions each, send each
 * other their records, and change places.  The disk of one is looked at; the other one's is not.
 *
 *	copies run DIR SEED OPERATIONS LIFE	operations at random; each record of the store in DIR is
 *					told on stdout with its lsn, and so are cuts and what was
 *					committed.  The other one is in `twin` beside DIR.  PAIL_FAULT may
 *					end it
 *	copies check			for each folder named on stdin: open it, tell what is in it,
 *					then lead all of it and tell again, see whether it still works
 *	copies open DIR			open it and close it
 *
 * Now and then one of them loses its copy of a partition, and takes the other's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/fault.h"
#include "storage/store.h"

#define PARTITIONS 3u
#define BUCKETS    2u /* of a partition */
#define KEYS       30u
#define VALUE_MAX  1024u
#define NAMES_MAX  16u

struct side {
	struct store *store;
	char dir[1024];
	bool looked_at;
};

static struct side sides[2] = {{.looked_at = true}, {.looked_at = false}};
/* A copy of a partition that goes from its leader to the other: one at a time. */
static struct {
	bool on;
	uint32_t partition;
	struct store_copy *copy; /* NULL: not opened yet */
	struct buf piece;        /* not taken yet */
	bool sent_all;
	struct buf told; /* what it is */
} moving;

static unsigned leader[PARTITIONS];
static uint64_t term_last;
static char names[PARTITIONS][BUCKETS][NAMES_MAX];
static int acks = -1;
static bool quiet; /* it is only checked */
static uint64_t random_state;
static pthread_t teller;      /* the thread that all is told by */
static _Atomic bool telling;  /* it may have logged what it has not told yet */
static _Atomic bool must_die; /* as soon as it is told */

static uint64_t random_next(void)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static unsigned random_below(unsigned n)
{
	return (unsigned)(random_next() % n);
}

static void fail(const char *what, int r, const struct side *x)
{
	(void)fprintf(stderr, "%s: %s: %s\n", what, strerror(-r),
		      x->store ? store_why(x->store) : "");
	exit(1);
}

/* ---- what is told ---- */

static void on_synced(void *arg, uint64_t mark, uint64_t lsn)
{
	const struct side *x = arg;

	(void)mark;
	if (x->looked_at && acks >= 0 && pwrite(acks, &lsn, sizeof(lsn), 0) != sizeof(lsn))
		abort();
}

/* The number that a value begins with. */
static uint64_t number_of(struct span value)
{
	uint64_t n = 0;

	memcpy(&n, value.p, value.n < sizeof(n) ? value.n : sizeof(n));
	return n;
}

static void entry_tell(const struct log_entry *e, uint64_t lsn)
{
	struct log_changes i;
	struct log_change c;
	char text[8192];
	size_t n = 0;

	text[0] = '\0';
	log_changes_begin(&i, e);
	while (log_changes_next(&i, &c) == 1)
		n += (size_t)snprintf(
			text + n, sizeof(text) - n, " %c %.*s %.*s %llu", "?PDTCXD"[c.op],
			(int)c.name.n, c.name.p, c.key.n ? (int)c.key.n : 1,
			c.key.n ? c.key.p : "-",
			(unsigned long long)(c.op == LOG_PUT ? number_of(c.value) : 0));
	(void)printf("R %llu %u %llu %llu %llu%s\n", (unsigned long long)lsn, e->partition,
		     (unsigned long long)e->term, (unsigned long long)e->sequence,
		     (unsigned long long)log_entry_last(e), text);
}

static void on_append(void *arg, const struct log_record *r)
{
	if (((struct side *)arg)->looked_at && !quiet)
		entry_tell(r->entry, r->lsn);
}

/* What the store has logged that takes no sequence has an lsn too. */
static void noted(void)
{
	if (!quiet && sides[0].store)
		(void)printf("N %llu\n", (unsigned long long)store_lsn(sides[0].store));
}

/* As the next `kill` does it, which is the shim's. */
static int kill_next(pid_t pid, int sig)
{
	int (*f)(pid_t, int) = (__typeof__(f))dlsym(RTLD_NEXT, "kill");

	return f ? f(pid, sig) : -1;
}

static _Noreturn void die(void)
{
	(void)kill_next(getpid(), SIGKILL);
	abort(); /* it does not return */
}

/* All that is logged is told: a fault that has come meanwhile ends it. */
static void all_told(void)
{
	noted();
	if (atomic_load(&must_die))
		die();
}

/*
 * What a fault calls, on the thread it strikes.  That one does nothing more, as if killed; but what is
 * on the disk has to be told, and another thread may be between logging it and telling it.
 */
int kill(pid_t pid, int sig)
{
	if (pid != getpid() || sig != SIGKILL)
		return kill_next(pid, sig);
	if (pthread_equal(pthread_self(), teller))
		noted();
	atomic_store(&must_die, true);
	while (atomic_load(&telling) && !pthread_equal(pthread_self(), teller))
		(void)usleep(100);
	die();
}

static void on_wait(void *arg)
{
	struct side *x = arg;

	all_told();
	if (x->store)
		store_submit(x->store, 0);
}

static int open_it(struct side *x, char *why, size_t size)
{
	const struct store_config c = {
		.dir = x->dir,
		.cache_bytes = 1 << 20,
		.log_bytes = 512 << 10,
		.log_segment_bytes = 16 << 10,
		.map_bytes = 8 << 20,
		.value_max = VALUE_MAX,
		.group_max = 32 << 10,
		.buckets_max = 100,
		.partitions = PARTITIONS + 1, /* a power of two: one is never written */
		.replicated = true,
		.lock_wait_ms = 1000,
		.checkpoint_ms = 1000000,
		.on_synced = on_synced,
		.on_wait = on_wait,
		.on_append = on_append,
		.arg = x,
	};
	int r;

	atomic_store(&telling, false);
	r = store_open(&c, &x->store, why, size);
	atomic_store(&telling, true);
	return r;
}

/* It waits for the store's threads, one of which may have been struck. */
static void close_it(struct side *x)
{
	all_told();
	atomic_store(&telling, false);
	store_close(&x->store);
	atomic_store(&telling, true);
}

/* ---- one partition's part ---- */

static void names_make(void)
{
	for (uint32_t p = 0; p < PARTITIONS; p++)
		for (unsigned b = 0, i = 0; b < BUCKETS; i++) {
			char *name = names[p][b];

			(void)snprintf(name, NAMES_MAX, "b%u", i);
			b += partition_of(span_of(name), PARTITIONS + 1) == p;
		}
}

static size_t value_make(uint64_t number, char *out)
{
	uint64_t h = number * 0x9e3779b97f4a7c15u;
	size_t n = sizeof(number) + (size_t)(h >> 33) % (VALUE_MAX - sizeof(number));

	memcpy(out, &number, sizeof(number));
	for (size_t i = sizeof(number); i < n; i++)
		out[i] = (char)(h >> (i % 57));
	return n;
}

static int group(struct store *s, struct store_key *k)
{
	static const struct store_condition always = {false, false, 0};
	static char value[VALUE_MAX];
	uint64_t version;
	bool deleted;
	char key[16];
	int r = group_begin(s, k);

	if (r == 0 && !group_exists(s))
		r = group_create(s, &deleted);
	for (unsigned i = 1 + random_below(8); i-- > 0 && r == 0;) {
		uint64_t number = random_next();

		(void)snprintf(key, sizeof(key), "k%u", random_below(KEYS));
		r = random_below(4) ? group_put(s, span_of(key),
						(struct span){value, value_make(number, value)}, 0,
						&always, &version)
				    : group_delete(s, span_of(key), &always, &deleted, &version);
	}
	if (r < 0) {
		group_abort(s);
		return r;
	}
	return group_commit(s, span_of("a result"));
}

static void write_one(uint32_t p)
{
	static const struct store_condition always = {false, false, 0};
	static char value[VALUE_MAX];
	struct side *x = &sides[leader[p]];
	struct store *s = x->store;
	struct span name = span_of(names[p][random_below(BUCKETS)]);
	unsigned what = random_below(100);
	uint64_t number = random_next();
	struct store_key k;
	uint64_t version;
	char key[16];
	bool did;
	int r;

	(void)snprintf(key, sizeof(key), "k%u", random_below(KEYS));
	store_begin(s, 0);
	store_locate(s, name, span_of(key), &k);
	r = what < 50   ? store_put(s, &k, (struct span){value, value_make(number, value)}, 0,
				    &always, &version)
	    : what < 65 ? store_delete(s, &k, &always, &did, &version)
	    : what < 75 ? store_touch(s, &k, 0, &always, &version)
	    : what < 85 ? group(s, &k)
	    : what < 98 ? store_create(s, name, &did)
			: store_drop(s, name, &did);
	if (r < 0 && r != -ENXIO && r != -ENOENT && r != -EBUSY)
		fail("write", r, x);
}

static void sync_all(struct side *x)
{
	while (store_synced(x->store) < store_lsn(x->store)) {
		all_told();
		store_submit(x->store, 0);
		(void)usleep(20);
	}
}

/* The newest sequence that both logs have, of the same term. */
static uint64_t common(const struct store *a, const struct store *b, uint32_t p)
{
	struct log_span x[LOG_SPANS_MAX];
	struct log_span y[LOG_SPANS_MAX];
	uint32_t i = store_spans(a, p, x, LOG_SPANS_MAX);
	uint32_t n = store_spans(b, p, y, LOG_SPANS_MAX);

	while (i-- > 0)
		for (uint32_t k = n; k-- > 0;)
			if (x[i].term == y[k].term)
				return x[i].last < y[k].last ? x[i].last : y[k].last;
	return 0;
}

/* It has been cut below what had taken effect.  The one that is looked at ends this life. */
static void start_anew(struct side *x)
{
	char why[256] = "";
	uint64_t sequence;
	int r;

	if (x->looked_at) {
		sync_all(x);
		store_copy_close(&moving.copy);
		close_it(x);
		exit(0);
	}
	store_copy_close(&moving.copy);
	moving.on = false;
	close_it(x);
	r = open_it(x, why, sizeof(why));
	for (uint32_t p = 0; p < PARTITIONS && r == 0; p++)
		if (&sides[leader[p]] == x)
			r = store_lead(x->store, p, ++term_last, span_of("a view"), &sequence);
	if (r < 0)
		fail(why, r, x);
}

static void commit_tell(struct side *x, uint32_t p, uint64_t sequence)
{
	int r;

	if (sequence <= store_commit_sequence(x->store, p))
		return;
	if (x->looked_at)
		(void)printf("M %llu %u %llu\n", (unsigned long long)store_lsn(x->store), p,
			     (unsigned long long)sequence);
	r = store_commit(x->store, p, sequence);
	if (r < 0)
		fail("commit", r, x);
}

/* Bring the follower's log to agree with the leader's.  False: it has been started anew. */
static bool agree(uint32_t p)
{
	struct side *to = &sides[!leader[p]];
	uint64_t lsn;
	uint64_t at = common(sides[leader[p]].store, to->store, p);
	int r;

	store_follow(to->store, p);
	if (store_last(to->store, p).sequence <= at)
		return true;
	r = store_cut(to->store, p, at, &lsn);
	if (r < 0 && r != -EINPROGRESS)
		fail("cut", r, to);
	if (to->looked_at)
		(void)printf("X %llu %u %llu\n", (unsigned long long)lsn, p,
			     (unsigned long long)at);
	return r == 0 || random_below(3);
}

/* Some records of the leader's log, as far as they are on disk there. */
static void send_some(uint32_t p)
{
	struct side *from = &sides[leader[p]];
	struct side *to = &sides[!leader[p]];
	struct store_want want;
	struct store_reader *reader;
	struct log_record r;
	uint32_t partition;
	uint64_t lsn;
	int e = 0;

	if (!store_whole(to->store, p))
		return;
	if (!agree(p)) {
		start_anew(to);
		return;
	}
	want = (struct store_want){p, store_last(to->store, p).sequence + 1};
	if (store_read_open(from->store, &want, 1, &reader) < 0)
		fail("read", -ENOMEM, from);
	for (unsigned n = 1 + random_below(20); n-- > 0;) {
		e = store_read_next(reader, &r, &partition);
		if (e != 1)
			break;
		e = store_follow_append(to->store,
					(struct span){(const char *)r.entry, r.entry->size}, &lsn);
		if (e < 0)
			break;
		if (to->looked_at)
			entry_tell(r.entry, lsn);
	}
	store_read_close(&reader);
	if (e < 0 && e != -EBUSY)
		fail("send", e, to);
}

/* What both have on disk. */
static void commit_some(uint32_t p)
{
	uint64_t both = common(sides[0].store, sides[1].store, p);

	for (unsigned i = 0; i < 2; i++) {
		uint64_t synced = store_synced_sequence(sides[i].store, p);

		both = synced < both ? synced : both;
	}
	/* Who has lost his does not count. */
	if (!store_whole(sides[!leader[p]].store, p)) {
		commit_tell(&sides[leader[p]], p, store_synced_sequence(sides[leader[p]].store, p));
		return;
	}
	/* Only up to the end of a record: what one of a group has synced it has whole. */
	commit_tell(&sides[leader[p]], p, both);
	if (random_below(3))
		commit_tell(&sides[!leader[p]], p, both);
}

static void elect(uint32_t p)
{
	unsigned who = random_below(2);
	struct side *x = &sides[who];
	uint64_t sequence;
	int r;

	/* Neither may lead if the other has committed what it has not. */
	if (common(sides[0].store, sides[1].store, p) < store_commit_sequence(sides[!who].store, p))
		who = !who;
	if (!store_whole(sides[who].store, p))
		who = !who;
	x = &sides[who];
	r = store_lead(x->store, p, ++term_last, span_of("a view"), &sequence);
	if (r == -EINPROGRESS) {
		start_anew(x);
		r = store_lead(x->store, p, ++term_last, span_of("a view"), &sequence);
	}
	if (r < 0)
		fail("lead", r, x);
	leader[p] = who;
	if (random_below(2)) /* the other does not hear of it, and writes on */
		return;
	store_follow(sides[!who].store, p);
}
#include "tests/power/copies_moving.h"

static void step(void)
{
	uint32_t p = random_below(PARTITIONS);
	unsigned what = random_below(1000);

	if (what < 500)
		write_one(p);
	else if (what < 750)
		send_some(p);
	else if (what < 900)
		commit_some(p);
	else if (what < 910 && !moving.on)
		elect(p);
	else if (what < 930 || !store_whole(sides[!leader[p]].store, p))
		lose(p);
	for (unsigned i = 0; i < 4 && moving.on; i++)
		moving_step();
	for (unsigned i = 0; i < 2; i++) {
		struct side *x = &sides[i];
		int r;

		if (what % 7 == 0 || (moving.on && what % 3 == 0))
			store_submit(x->store, 0);
		if (what % 50 == 0)
			sync_all(x);
		store_freed(x->store, UINT64_MAX);
		if (what % 131 == i)
			store_checkpoint(x->store);
		r = store_tick(x->store, clock_wall_ms());
		if (r < 0)
			fail("tick", r, x);
	}
	all_told();
}

/* Who may lead is who has all that the other knows to be committed. */
static void begin(void)
{
	for (uint32_t p = 0; p < PARTITIONS; p++)
		for (unsigned i = 0; i < 2; i++) {
			struct log_span x[LOG_SPANS_MAX];
			uint32_t n = store_spans(sides[i].store, p, x, LOG_SPANS_MAX);

			if (n && x[n - 1].term > term_last)
				term_last = x[n - 1].term;
		}
	for (uint32_t p = 0; p < PARTITIONS; p++)
		elect(p);
}

static int run(const char *dir, unsigned operations)
{
	char path[1100];
	char why[256] = "";

	(void)snprintf(path, sizeof(path), "%s/acks", dir);
	acks = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	(void)snprintf(sides[0].dir, sizeof(sides[0].dir), "%s", dir);
	/* Not by way of DIR, whose files are written down. */
	(void)snprintf(sides[1].dir, sizeof(sides[1].dir), "%.*s/twin",
		       (int)(strrchr(dir, '/') - dir), dir);
	for (unsigned i = 0; i < 2; i++)
		if (open_it(&sides[i], why, sizeof(why)) < 0) {
			(void)fprintf(stderr, "%s\n", why);
			return 1;
		}
	(void)printf("L %llu\n", (unsigned long long)store_lsn(sides[0].store));
	begin();
	for (unsigned i = 0; i < operations; i++)
		step();
	if (random_next() % 2 && !store_must_restart(sides[0].store) &&
	    store_settle(sides[0].store, 5000) < 0)
		fail("settle", -EIO, &sides[0]);
	store_copy_close(&moving.copy);
	close_it(&sides[0]);
	close_it(&sides[1]);
	return 0;
}

#include "tests/power/copies_check.h"

int main(int argc, char **argv)
{
	char line[1024];
	char why[256] = "";

	teller = pthread_self();
	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* told before it is handed to the log */
	names_make();
	if (argc == 6 && !strcmp(argv[1], "run")) {
		fault_init((unsigned)atoi(argv[5]));
		random_state = strtoull(argv[3], NULL, 10);
		return run(argv[2], (unsigned)strtoul(argv[4], NULL, 10));
	}
	quiet = true;
	if (argc == 3 && !strcmp(argv[1], "open")) {
		(void)snprintf(sides[0].dir, sizeof(sides[0].dir), "%s", argv[2]);
		if (open_it(&sides[0], why, sizeof(why)) < 0)
			return 1;
		store_close(&sides[0].store);
		return 0;
	}
	if (argc != 2 || strcmp(argv[1], "check") != 0) {
		(void)fprintf(stderr,
			      "usage: copies run DIR SEED OPERATIONS LIFE | check | open DIR\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		check_one(line);
	}
	return 0;
}
