/*
 * A store of many partitions, each with a sequence of its own: what is settled, seen, told and
 * expired in one says nothing of another, be it far ahead or far behind.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>

#include "storage/log/wal.h"
#include "tests/unit/lib/store_fixture.h"

static const uint32_t numbers[] = {1, 2, 256, 4096};

/* The i-th bucket's name of a partition. */
static const char *bucket_in(uint32_t partition, unsigned i)
{
	static char name[4][32];
	static unsigned next;
	char *out = name[next++ % 4];

	for (unsigned n = 0;; n++) {
		(void)snprintf(out, sizeof(name[0]), "bucket-%u", n);
		if (partition_of(span_of(out), partitions) == partition && !i--)
			return out;
	}
}

static uint64_t put_version(const char *bucket, const char *key, const char *value)
{
	static const struct store_condition always = {false, false, 0};
	struct store_key k;
	uint64_t version = 0;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	EQ(0, store_put(current, &k, span_of(value), 0, &always, &version));
	return version;
}

static bool scan_one(void *arg, const struct store_item *i)
{
	(void)i;
	++*(long long *)arg;
	return true;
}

static long long scan(const char *bucket)
{
	static const struct store_range whole;
	struct store_key k;
	long long n = 0;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), (struct span){NULL, 0}, &k);
	EQ(0, store_scan(current, &k, &whole, scan_one, &n));
	return n;
}

/* ---- the trap ---- */

static void few_are_there(const char *few, int round)
{
	char key[24];

	EQ(5, count(few));
	EQ(5, scan(few));
	for (int i = 0; i < 5; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		is(few, key, round ? "again" : "first");
	}
}

/*
 * One partition has written tens of thousands, and all of that has settled; another has written
 * five keys, which have not, though their versions are far lower.
 */
static void what_is_far_ahead_swallows_nothing_of_another(void)
{
	for (unsigned n = 1; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		const char *many;
		const char *few;
		char key[24];

		partitions = numbers[n];
		cache_bytes = 256 << 10;
		many = bucket_in(1, 0);
		few = bucket_in(0, 0);
		fresh();
		EQ(0, reopen());
		EQ(0, create(many));
		for (int i = 0; i < 30000; i++) {
			(void)snprintf(key, sizeof(key), "key%05d", i % 3000);
			while (put(many, key, "value") == -EBUSY)
				EQ(0, store_settle(current, 10000));
		}
		EQ(0, store_settle(current, 10000));
		EQ(0, create(few));
		for (int round = 0; round < 2; round++) {
			for (int i = 0; i < 5; i++) {
				(void)snprintf(key, sizeof(key), "k%d", i);
				/* Settling has logged the time where it was written last. */
				EQ(2 + (uint64_t)(6 * round + i),
				   put_version(few, key, round ? "again" : "first"));
			}
			/* The cache has no room for them, and base does not have them. */
			for (int i = 0; i < 3000; i++) {
				(void)snprintf(key, sizeof(key), "key%05d", i);
				is(many, key, "value");
				EQ(0, store_tick(current, wall));
			}
			few_are_there(few, round);
			EQ(0, reopen());
			few_are_there(few, round);
			EQ(0, store_settle(current, 10000));
			few_are_there(few, round);
			EQ(0, reopen());
			few_are_there(few, round);
			EQ(3000, count(many));
		}
		finish();
	}
	cache_bytes = 1 << 20;
}

/* ---- a model over many buckets ---- */

#define BUCKETS 12u
#define KEYS    30u

struct model {
	bool there;
	struct {
		char value[24];
		bool there;
		uint64_t expiry;
	} key[KEYS];
};

static struct model model[BUCKETS];
static char names[BUCKETS][32];

static bool alive(unsigned b, unsigned k)
{
	return model[b].key[k].there && (!model[b].key[k].expiry || model[b].key[k].expiry > wall);
}

static void compare(void)
{
	char key[24];

	for (unsigned b = 0; b < BUCKETS; b++) {
		long long n = 0;

		for (unsigned k = 0; k < KEYS; k++) {
			(void)snprintf(key, sizeof(key), "key%u", k);
			if (model[b].there)
				is(names[b], key, alive(b, k) ? model[b].key[k].value : NULL);
			n += alive(b, k);
		}
		EQ(model[b].there ? n : -ENXIO, count(names[b]));
		if (model[b].there)
			EQ(n, scan(names[b]));
	}
}

static void step(uint64_t *s, unsigned favourite)
{
	unsigned b = unit_random(s) % 4 ? favourite : (unsigned)(unit_random(s) % BUCKETS);
	unsigned k = (unsigned)(unit_random(s) % KEYS);
	unsigned what = (unsigned)(unit_random(s) % 1000);
	char key[24];

	(void)snprintf(key, sizeof(key), "key%u", k);
	if (what < 10 && model[b].there) {
		EQ(0, drop(names[b]));
		memset(&model[b], 0, sizeof(model[b]));
	} else if (!model[b].there) {
		EQ(0, create(names[b]));
		model[b].there = true;
	} else if (what < 700) {
		uint64_t ttl = what % 3 ? 0 : 1 + unit_random(s) % 3000;

		(void)snprintf(model[b].key[k].value, sizeof(model[b].key[k].value), "v%llu",
			       (unsigned long long)(unit_random(s) >> (unit_random(s) % 64)));
		EQ(0, put_ttl(names[b], key, model[b].key[k].value, ttl));
		model[b].key[k].there = true;
		model[b].key[k].expiry = ttl ? wall + ttl : 0;
	} else if (what < 900) {
		EQ(alive(b, k), del(names[b], key));
		if (alive(b, k))
			model[b].key[k].there = false;
	} else if (what < 980) {
		is(names[b], key, alive(b, k) ? model[b].key[k].value : NULL);
	} else {
		wall += unit_random(s) % 800;
		EQ(0, store_tick(current, wall));
	}
}

static void buckets_of_all_partitions_do_what_a_model_does(void)
{
	uint64_t s = unit_seed();

	for (unsigned n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		partitions = numbers[n];
		cache_bytes = 128 << 10;
		memset(model, 0, sizeof(model));
		for (unsigned b = 0; b < BUCKETS; b++)
			(void)snprintf(
				names[b], sizeof(names[b]), "%s",
				b < 4 ? bucket_in(0, b) /* these share one */
				      : bucket_in((uint32_t)unit_random(&s) % partitions, b));
		fresh();
		EQ(0, reopen());
		for (int round = 0; round < 40; round++) {
			unsigned favourite = (unsigned)(unit_random(&s) % BUCKETS);
			unsigned end = (unsigned)(unit_random(&s) % 5);

			for (unsigned i = (unsigned)unit_random(&s) % 400; i; i--)
				step(&s, favourite);
			compare();
			if (end == 0)
				EQ(0, store_settle(current, 10000));
			if (end == 1 || end == 2) { /* writes while a checkpoint runs */
				store_checkpoint(current);
				for (int i = 0; i < 200; i++) {
					step(&s, favourite);
					store_submit(current, 0);
					EQ(0, store_tick(current, wall));
				}
			}
			if (end == 2 || end == 3)
				EQ(0, reopen());
			compare();
		}
		finish();
	}
	cache_bytes = 1 << 20;
}

/* ---- versions, and what waits for what ---- */

static void versions_are_the_partitions_own(void)
{
	for (unsigned n = 1; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		const char *a;
		const char *b;
		const char *a2;

		partitions = numbers[n];
		fresh();
		EQ(0, reopen());
		a = bucket_in(0, 0);
		a2 = bucket_in(0, 1);
		b = bucket_in(1, 0);
		EQ(0, create(a));
		EQ(0, create(b));
		EQ(2, put_version(a, "k", "v"));
		EQ(2, put_version(b, "k", "v"));
		EQ(3, put_version(a, "k", "v"));
		EQ(0, create(a2)); /* of the same partition: it takes the fourth */
		EQ(5, put_version(a2, "k", "v"));
		EQ(6, put_version(a, "k", "v"));
		for (uint64_t round = 0; round < 3; round++) { /* and so on over restarts */
			if (round == 1) /* and it has logged the time where it was written last */
				EQ(0, store_settle(current, 10000));
			EQ(0, reopen());
			EQ(7 + round, put_version(a, "k", "v"));
			EQ(3 + round + (round > 0), put_version(b, "k", "v"));
		}
		finish();
	}
}

static bool committed(const char *bucket, const char *key, bool want)
{
	EQ(want, get(bucket, key) != NULL);
	return store_committed(current);
}

static void a_reply_waits_for_its_own_partition_alone(void)
{
	const char *a;
	const char *b;

	partitions = 256;
	fresh();
	EQ(0, reopen());
	a = bucket_in(3, 0);
	b = bucket_in(7, 0);
	EQ(0, create(a));
	EQ(0, create(b));
	EQ(0, put(a, "k", "v"));
	EQ(0, put(b, "k", "v"));
	EQ(0, put(b, "gone", "v"));
	TRUE_(!committed(a, "k", true));
	sync_all();
	TRUE_(committed(a, "k", true));
	TRUE_(committed(b, "k", true));
	EQ(0, put(b, "k", "again"));
	TRUE_(!store_committed(current));
	EQ(1, del(b, "gone"));
	TRUE_(!committed(b, "k", true));
	TRUE_(!committed(b, "gone", false)); /* the tombstone */
	EQ(1, count(b));
	TRUE_(!store_committed(current));
	TRUE_(committed(a, "k", true));
	TRUE_(committed(a, "none", false));
	EQ(1, count(a));
	TRUE_(store_committed(current));
	sync_all();
	/* A drop is seen by who asks for its partition's buckets. */
	EQ(0, drop(b));
	TRUE_(!committed(b, "k", false));
	TRUE_(!committed(bucket_in(7, 1), "k", false));
	TRUE_(committed(bucket_in(8, 0), "k", false));
	sync_all();
	TRUE_(committed(b, "k", false));
	finish();
}

/* However writes and syncs are mixed: what was seen is at or before the lsn that is waited for. */
static void the_lsn_that_is_waited_for_is_never_too_early(void)
{
	static uint64_t lsn_of[8][4000];
	uint64_t s = unit_seed();
	const char *name[8];
	char copy[8][32];
	uint64_t newest[8] = {0};
	unsigned late = 0;

	partitions = 256;
	fresh();
	EQ(0, reopen());
	for (uint32_t i = 0; i < 8; i++) {
		(void)snprintf(copy[i], sizeof(copy[i]), "%s", bucket_in(i, 0));
		name[i] = copy[i];
		EQ(0, create(name[i]));
	}
	for (int i = 0; i < 3000; i++) {
		unsigned b = (unsigned)(unit_random(&s) % 8);
		unsigned what = (unsigned)(unit_random(&s) % 100);
		struct store_item item;
		struct store_key k;
		char key[8];

		(void)snprintf(key, sizeof(key), "k%u", (unsigned)(unit_random(&s) % 20));
		if (what < 40) {
			newest[b] = put_version(name[b], key, "v");
			lsn_of[b][newest[b]] = store_lsn(current);
			EQ(store_lsn(current), store_observed_lsn(current));
		} else if (what < 45) {
			sync_all();
		} else {
			store_begin(current, 0);
			store_locate(current, span_of(name[b]), span_of(key), &k);
			if (store_get(current, &k, &item) < 0)
				continue;
			if (lsn_of[b][item.version] <= store_synced(current)) {
				late += !store_committed(current);
				continue;
			}
			TRUE_(store_observed_lsn(current) >= lsn_of[b][item.version]);
			TRUE_(!store_committed(current));
		}
	}
	TRUE_(late < 300); /* it may wait longer than it must, but not as a rule */
	finish();
}

/* ---- time ---- */

/* The highest clock that the log tells of a partition. */
static uint64_t clock_in_log(uint32_t partition)
{
	uint64_t most = 0;
	struct wal_header h;
	uint64_t bytes;
	DIR *d = opendir(dir);
	struct dirent *e;

	while ((e = readdir(d))) {
		struct wal_reader rd = {0};
		struct log_record r;
		uint64_t epoch;

		if (sscanf(e->d_name, "wal-%" SCNx64, &epoch) != 1 ||
		    wal_header_read(dir, epoch, &h, &bytes, why, sizeof(why)) < 0)
			continue;
		EQ(0, wal_reader_open(&rd, dir, epoch, bytes, h.first_lsn));
		while (wal_reader_next(&rd, &r) == 1)
			if (r.entry->kind == LOG_CLOCK && r.entry->partition == partition) {
				struct log_clock c;

				log_clock_read(r.entry, &c);
				most = c.clock_ms > most ? c.clock_ms : most;
			}
		wal_reader_close(&rd);
	}
	(void)closedir(d);
	return most;
}

/* Whoever is told that a key is gone is told so by what its partition's log knows by then. */
static void each_partition_is_told_the_time_of_its_own(void)
{
	for (int settled = 0; settled < 2; settled++) {
		const char *a;
		const char *b;

		partitions = 256;
		fresh();
		EQ(0, reopen());
		a = bucket_in(3, 0);
		b = bucket_in(7, 0);
		EQ(0, create(a));
		EQ(0, create(b));
		EQ(0, put_ttl(a, "k", "v", 1000));
		EQ(0, put_ttl(b, "k", "v", 1000));
		EQ(0, put_ttl(b, "later", "v", 5000));
		if (settled)
			EQ(0, store_settle(current, 10000));
		wall += 995; /* sweeps are some time apart: none comes between */
		EQ(0, store_tick(current, wall));
		wall += 5;
		EQ(0, store_tick(current, wall));
		is(a, "k", NULL);
		TRUE_(!store_committed(current)); /* not before the log has the time */
		sync_all();
		TRUE_(clock_in_log(3) >= wall);
		TRUE_(clock_in_log(7) < wall);
		EQ(1, count(b));
		TRUE_(!store_committed(current));
		sync_all();
		TRUE_(clock_in_log(7) >= wall);
		is(b, "later", "v");
		/* Back it goes, and nothing comes back, in either. */
		stepped_back = true;
		wall -= 100000;
		EQ(0, reopen());
		is(a, "k", NULL);
		is(b, "k", NULL);
		is(b, "later", "v");
		EQ(0, count(a));
		EQ(1, count(b));
		finish();
		stepped_back = false;
	}
}

/* Rows of base's index in many partitions, more than one sweep may take, over checkpoints. */
static void expired_keys_of_all_partitions_are_swept(void)
{
	for (unsigned n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		struct store_stats st;
		char name[64][32];
		char key[24];
		unsigned left = 0;

		partitions = numbers[n];
		fresh();
		EQ(0, reopen());
		for (unsigned b = 0; b < 64; b++) {
			(void)snprintf(name[b], sizeof(name[b]), "b%u", b);
			EQ(0, create(name[b]));
			for (int i = 0; i < (b ? 20 : 2000); i++) {
				(void)snprintf(key, sizeof(key), "key%05d", i);
				EQ(0, put_ttl(name[b], key, "v",
					      i % 4 ? 1000 + (uint64_t)(i % 7) * 100 : 0));
				left += i % 4 == 0;
			}
			if (b == 40)
				EQ(0, store_settle(current, 10000));
		}
		EQ(0, store_settle(current, 10000));
		for (int i = 0; i < 200; i++) {
			wall += 20;
			EQ(0, store_tick(current, wall));
			if (i == 60)
				EQ(0, store_settle(current, 10000));
			if (i == 80)
				EQ(0, reopen());
		}
		store_stats(current, &st);
		EQ(left, st.keys);
		for (unsigned b = 0; b < 64; b++)
			EQ(b ? 5 : 500, count(name[b]));
		EQ(0, store_settle(current, 10000));
		EQ(0, reopen());
		store_stats(current, &st);
		EQ(left, st.keys);
		finish();
	}
}

/* ---- what cannot be ---- */

static int nothing_applies(void *arg, const struct log_record *r, bool same)
{
	(void)arg;
	(void)r;
	(void)same;
	return 0;
}

/* A log with one entry, of this partition and sequence. */
static void log_of_one(uint32_t partition, uint64_t sequence)
{
	const struct wal_config wc = {dir,       1 << 20, 32 << 20, 128 << 10, 0,
				      on_synced, NULL,    NULL,     0};
	const struct log_change c = {.op = LOG_CREATE,
				     .bucket = (uint64_t)partition << PARTITION_SHIFT | sequence,
				     .name = span_of("b")};
	struct log_frame *f;
	struct wal *w;
	uint64_t clock;

	fresh();
	EQ(0, reopen()); /* the folder */
	finish();
	EQ(0, wal_new(&wc, &w));
	EQ(0, wal_replay(w, 0, 0, 0, nothing_applies, NULL, &clock, why, sizeof(why)));
	EQ(0, wal_start(w, 1));
	f = wal_reserve(w, LOG_RECORD_BYTES + log_change_size(&c));
	log_entry_end(f,
		      log_change_write(log_entry_begin(f, LOG_CHANGE, partition, sequence, 1), &c));
	(void)wal_append(w, f, 0);
	wal_free(&w);
}

static void a_log_whose_sequences_are_not_the_partitions_is_refused(void)
{
	partitions = 256;
	log_of_one(3, 1);
	EQ(0, reopen());
	finish();
	log_of_one(3, 2);
	EQ(-EBADMSG, reopen());
	TRUE_(strstr(why, "sequence 2 of partition 3"));
	log_of_one(600, 1);
	EQ(-EBADMSG, reopen());
	TRUE_(strstr(why, "partition 600: 256 partitions"));
	log_of_one(300, 1); /* a cluster's node's own */
	EQ(-EPROTO, reopen());
	TRUE_(strstr(why, "[cluster]"));
}

static void a_store_opens_for_the_partitions_it_was_made_for(void)
{
	static const uint32_t bad[] = {0, 3, 255, 8192};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fresh();
		partitions = bad[i];
		EQ(-EINVAL, reopen());
		TRUE_(strstr(why, "power of two"));
	}
	partitions = 256;
	fresh();
	EQ(0, reopen());
	EQ(0, create("b"));
	finish();
	partitions = 128;
	EQ(-EPROTO, reopen());
	partitions = 256;
	EQ(0, reopen());
	EQ(0, count("b"));
	finish();
}

/* The hash that places buckets, as its header says it: eight bytes a time, the rest with zeros. */
static uint64_t hash_plain(uint64_t seed, const uint8_t *p, size_t n)
{
	uint64_t h = seed ^ 0x9e3779b97f4a7c15u ^ (uint64_t)n;

	for (bool last = false; !last;) {
		__extension__ typedef unsigned __int128 wide;
		wide m;
		uint64_t w = 0;

		last = n < 8;
		for (size_t i = 0; i < (last ? n : 8); i++)
			w |= (uint64_t)p[i] << (8 * i);
		m = (wide)(h ^ w) * (last ? 0xa0761d6478bd642fu : 0xd6e8feb86659fd93u);
		h = (uint64_t)m ^ (uint64_t)(m >> 64);
		p += 8;
		n -= last ? 0 : 8;
	}
	return h ^ (h >> 29);
}

static void a_bucket_stays_in_its_partition(void)
{
	uint64_t s = unit_seed();

	for (size_t n = 0; n < 100; n++)
		for (int round = 0; round < 20; round++) {
			uint8_t *p = malloc(n + 1);
			uint64_t seed = round % 2 ? unit_random(&s) : 0;

			for (size_t i = 0; i < n; i++)
				p[i] = (uint8_t)unit_random(&s);
			TRUE_(hash_plain(seed, p, n) == hash64(seed, p, n));
			free(p);
		}
}

UNIT_MAIN(T(a_bucket_stays_in_its_partition), T(what_is_far_ahead_swallows_nothing_of_another),
	  T(buckets_of_all_partitions_do_what_a_model_does), T(versions_are_the_partitions_own),
	  T(a_reply_waits_for_its_own_partition_alone),
	  T(the_lsn_that_is_waited_for_is_never_too_early),
	  T(each_partition_is_told_the_time_of_its_own),
	  T(expired_keys_of_all_partitions_are_swept),
	  T(a_log_whose_sequences_are_not_the_partitions_is_refused),
	  T(a_store_opens_for_the_partitions_it_was_made_for))
