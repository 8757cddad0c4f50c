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
static unsigned leader[PARTITIONS];
static uint64_t term_last;
static char names[PARTITIONS][BUCKETS][NAMES_MAX];
static int acks = -1;
static bool quiet; /* it is only checked */
static uint64_t random_state;

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

static void on_wait(void *arg)
{
	store_submit(((struct side *)arg)->store, 0);
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
	if (!quiet)
		(void)printf("N %llu\n", (unsigned long long)store_lsn(sides[0].store));
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

	return store_open(&c, &x->store, why, size);
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
		noted();
		sync_all(x);
		store_close(&x->store);
		exit(0);
	}
	store_close(&x->store);
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
	else if (what < 910)
		elect(p);
	for (unsigned i = 0; i < 2; i++) {
		struct side *x = &sides[i];
		int r;

		if (what % 7 == 0)
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
	noted();
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
	noted();
	store_close(&sides[0].store);
	store_close(&sides[1].store);
	return 0;
}

/* ---- what is in a store ---- */

static const char *bucket_now;
static const char *state_now;

static bool item_tell(void *arg, const struct store_item *i)
{
	char want[VALUE_MAX];
	uint64_t number = number_of(i->value);
	size_t n = value_make(number, want);

	(void)arg;
	(void)printf("K %s %s %.*s %llu %s\n", state_now, bucket_now, (int)i->key.n, i->key.p,
		     (unsigned long long)number,
		     n == i->value.n && !memcmp(want, i->value.p, n) ? "whole" : "WRONG");
	return true;
}

static int contents_tell(struct store *s, const char *state)
{
	static const struct store_range whole;
	struct store_key k;
	uint64_t count;
	int r = 0;

	state_now = state;
	for (uint32_t p = 0; p < PARTITIONS; p++)
		for (unsigned b = 0; b < BUCKETS && (r == 0 || r == -ENXIO); b++) {
			bucket_now = names[p][b];
			store_begin(s, 0);
			store_locate(s, span_of(bucket_now), (struct span){NULL, 0}, &k);
			r = store_count(s, &k, &count);
			if (r < 0)
				continue;
			(void)printf("B %s %s %llu\n", state, bucket_now,
				     (unsigned long long)count);
			r = store_scan(s, &k, &whole, item_tell, NULL);
		}
	return r == -ENXIO ? 0 : r;
}

static void places_tell(struct store *s)
{
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		struct log_span x[LOG_SPANS_MAX];
		uint32_t n = store_spans(s, p, x, LOG_SPANS_MAX);
		struct log_place last = store_last(s, p);

		(void)printf("E %u %llu %llu %llu\n", p, (unsigned long long)last.term,
			     (unsigned long long)last.sequence,
			     (unsigned long long)store_commit_sequence(s, p));
		for (uint32_t i = 0; i < n; i++)
			(void)printf("Z %u %llu %llu %llu\n", p, (unsigned long long)x[i].term,
				     (unsigned long long)x[i].first, (unsigned long long)x[i].last);
	}
}

static int lead_all(struct store *s)
{
	uint64_t sequence;
	int r = 0;

	for (uint32_t p = 0; p < PARTITIONS && r == 0; p++)
		r = store_lead(s, p, 1ull << 40, span_of("a view"), &sequence);
	return r;
}

/* It still works: something is written, committed, and there after a restart, unasked. */
static int works(struct side *x)
{
	static const struct store_condition always = {false, false, 0};
	char why[256] = "";
	struct store_item item;
	struct store_key k;
	uint64_t version;
	bool did;
	int r;

	store_begin(x->store, 0);
	r = store_create(x->store, span_of(names[0][0]), &did);
	store_locate(x->store, span_of(names[0][0]), span_of("after"), &k);
	if (r == 0)
		r = store_put(x->store, &k, span_of("v"), 0, &always, &version);
	if (r < 0)
		return r;
	sync_all(x);
	r = store_commit(x->store, 0, version);
	store_freed(x->store, UINT64_MAX);
	if (r == 0)
		r = store_settle(x->store, 20000);
	if (r < 0)
		return r;
	store_close(&x->store);
	r = open_it(x, why, sizeof(why));
	if (r < 0) {
		(void)printf("error again: %s\n", why);
		return r;
	}
	store_begin(x->store, 0);
	store_locate(x->store, span_of(names[0][0]), span_of("after"), &k);
	r = store_get(x->store, &k, &item);
	return r < 0 || item.version != version ? -EIO : 0;
}

static void check_one(const char *dir)
{
	struct side *x = &sides[0];
	char why[256] = "";
	int r;

	(void)snprintf(x->dir, sizeof(x->dir), "%s", dir);
	r = open_it(x, why, sizeof(why));
	if (r < 0) {
		(void)printf("error open: %s\n", why);
	} else {
		(void)printf("seq %llu\n", (unsigned long long)store_lsn(x->store));
		places_tell(x->store);
		r = contents_tell(x->store, "committed");
		if (r == 0)
			r = lead_all(x->store);
		if (r == 0)
			r = contents_tell(x->store, "all");
		if (r == 0)
			r = works(x);
		if (r < 0)
			(void)printf("error use: %s: %s\n", strerror(-r), store_why(x->store));
		store_close(&x->store);
	}
	(void)printf("end\n");
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[1024];
	char why[256] = "";

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
