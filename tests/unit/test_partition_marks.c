/*
 * Versions of two partitions have nothing to do with each other: what one has settled, evicted,
 * sorted or expired says nothing of another, however far apart they are.
 */
#include <stdlib.h>

#include "common/fault.h"

#include "storage/marks.h"
#include "tests/unit/lib/store_fixture.h"

#define KEYS 10u

/* The n-th name that belongs to a partition. */
static const char *name_of(uint32_t partition, unsigned n)
{
	static char text[4][32];
	static unsigned turn;
	char *name = text[turn++ % 4];

	for (unsigned i = 0;; i++) {
		(void)snprintf(name, sizeof(text[0]), "bucket%u", i);
		if (partition_of(span_of(name), partitions) == partition && !n--)
			return name;
	}
}

/* ---- two buckets and what must be in them ---- */

struct model {
	char name[32];
	uint64_t made; /* the sequence of its making */
	uint64_t seq;  /* the last one given in its partition, as far as this bucket knows */
	struct {
		uint64_t version; /* 0: not there */
		uint64_t expiry;
		char value[24];
	} key[KEYS];
};

static char *key_name(unsigned i)
{
	static char text[8];

	(void)snprintf(text, sizeof(text), "key%u", i);
	return text;
}

static int item_of(const char *bucket, const char *key, struct store_item *ret)
{
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(bucket), span_of(key), &k);
	return store_get(current, &k, ret);
}

static void model_put(struct model *m, unsigned i, uint64_t ttl)
{
	static const struct store_condition always = {false, false, 0};
	static unsigned times;
	struct store_key k;

	(void)snprintf(m->key[i].value, sizeof(m->key[i].value), "value %u", ++times);
	store_begin(current, 0);
	store_locate(current, span_of(m->name), span_of(key_name(i)), &k);
	EQ(0, store_put(current, &k, span_of(m->key[i].value), ttl, &always, &m->key[i].version));
	TRUE_(m->key[i].version > m->seq);
	m->seq = m->key[i].version;
	m->key[i].expiry = ttl ? store_clock(current) + ttl : 0;
}

static void model_delete(struct model *m, unsigned i)
{
	EQ(m->key[i].version != 0, del(m->name, key_name(i)));
	m->key[i].version = 0;
	m->key[i].expiry = 0;
}

/* So many writes, key by key; every seventh has a ttl, every fifth is a delete. */
static void model_write(struct model *m, unsigned times, uint64_t ttl)
{
	for (unsigned n = 0; n < times; n++)
		if (n % 5 == 4)
			model_delete(m, n / 5 % KEYS);
		else
			model_put(m, n % KEYS, n % 7 == 6 ? ttl : 0);
}

static bool lives(const struct model *m, unsigned i)
{
	return m->key[i].version && (!m->key[i].expiry || m->key[i].expiry > store_clock(current));
}

struct seen {
	const struct model *m;
	unsigned n;
	unsigned next;
	bool reverse;
};

static bool seen_item(void *arg, const struct store_item *item)
{
	struct seen *s = arg;

	/* Keys in between are not alive. */
	while (s->next < KEYS && !lives(s->m, s->reverse ? KEYS - 1 - s->next : s->next))
		s->next++;
	if (s->next < KEYS) {
		unsigned i = s->reverse ? KEYS - 1 - s->next : s->next;

		TRUE_(span_equal(span_of(key_name(i)), item->key));
		TRUE_(span_equal(span_of(s->m->key[i].value), item->value));
		EQ(s->m->key[i].version, item->version);
	}
	s->next++;
	s->n++;
	return true;
}

static void model_scan(const struct model *m, bool reverse, unsigned alive)
{
	struct store_range range = {
		.prefix = {"", 0},
                  .from = {"", 0},
                  .reverse = reverse
        };
	struct seen s = {m, 0, 0, reverse};
	struct store_key k;

	store_begin(current, 0);
	store_locate(current, span_of(m->name), (struct span){NULL, 0}, &k);
	EQ(0, store_scan(current, &k, &range, seen_item, &s));
	EQ(alive, s.n);
}

static void model_is(const struct model *m)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		struct store_item item;
		int r = item_of(m->name, key_name(i), &item);

		EQ(lives(m, i) ? 0 : -ENOENT, r);
		if (r < 0)
			continue;
		alive++;
		EQ(m->key[i].version, item.version);
		TRUE_(span_equal(span_of(m->key[i].value), item.value));
		EQ(m->key[i].expiry ? m->key[i].expiry - store_clock(current) : 0, item.ttl_ms);
	}
	EQ(alive, count(m->name));
	model_scan(m, false, alive);
	model_scan(m, true, alive);
}

/* Something that fills the cache whenever it is read, so that the clock's hand comes around. */
static void ballast_make(const char *name)
{
	static char value[400];
	char key[24];

	memset(value, 'b', sizeof(value) - 1);
	EQ(0, create(name));
	for (unsigned i = 0; i < 600; i++) {
		(void)snprintf(key, sizeof(key), "ballast%u", i);
		EQ(0, put(name, key, value));
		if (i % 200 == 199) /* more than may be dirty at once */
			EQ(0, store_settle(current, 10000));
	}
}

static void ballast_read(const char *name)
{
	char key[24];

	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 600; i++) {
			(void)snprintf(key, sizeof(key), "ballast%u", i);
			TRUE_(get(name, key));
			if (i % 100 == 0)
				EQ(0, store_tick(current, wall));
		}
}

/* Both as they must be; again when what is clean has been evicted; and after a restart. */
static void both_are(const struct model *a, const struct model *b, const char *ballast)
{
	model_is(a);
	model_is(b);
	ballast_read(ballast);
	model_is(a);
	model_is(b);
	sync_all();
	EQ(0, reopen());
	model_is(b);
	model_is(a);
	ballast_read(ballast);
	model_is(a);
	model_is(b);
}

static void model_make(struct model *m, const char *name)
{
	memset(m, 0, sizeof(*m));
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	EQ(0, create(name));
}

/* Until the checkpoint that was begun has ended. */
static void checkpoint_end(void)
{
	const uint64_t until = clock_ms() + 20000;
	struct store_stats before;
	struct store_stats now;

	store_stats(current, &before);
	do {
		TRUE_(clock_ms() < until);
		store_submit(current, 0);
		EQ(0, store_tick(current, wall));
		store_stats(current, &now);
	} while (now.checkpoints == before.checkpoints);
}

/*
 * Partition A has written `n[0]` times when it is settled and `n[1]` since; B likewise n[2] and
 * n[3]. B's bucket is made before the checkpoint or behind it.
 */
static void two_partitions(const unsigned n[4], bool late, bool meanwhile)
{
	char ballast[32];
	struct model a;
	struct model b;

	fresh();
	EQ(0, reopen());
	(void)snprintf(ballast, sizeof(ballast), "%s", name_of(3, 0));
	ballast_make(ballast);
	model_make(&a, name_of(1, 0));
	if (!late)
		model_make(&b, name_of(2, 0));
	model_write(&a, n[0], 5000);
	if (!late)
		model_write(&b, n[2], 5000);
	model_is(&a); /* and has an order of its dirty keys from now on */
	if (!late)
		model_is(&b);
	sync_all();
	store_checkpoint(current);
	if (!meanwhile)
		checkpoint_end();
	if (late)
		model_make(&b, name_of(2, 0));
	model_write(&b, n[3], 4000);
	model_write(&a, n[1], 4000);
	if (meanwhile)
		checkpoint_end();
	model_is(&a);
	model_is(&b);
	wall += 4500; /* what was written last has expired, what is settled has not */
	EQ(0, store_tick(current, wall));
	both_are(&a, &b, ballast);
	wall += 4500;
	EQ(0, store_tick(current, wall));
	both_are(&a, &b, ballast);
	EQ(0, store_settle(current, 20000));
	both_are(&a, &b, ballast);
	model_write(&a, 13, 100);
	model_write(&b, 13, 100);
	both_are(&a, &b, ballast);
	finish();
}

static void each_partition_is_settled_as_far_as_it_is(void)
{
	/* A when it is settled and since; B likewise; is B made behind the checkpoint? */
	static const struct {
		unsigned n[4];
		bool late;
	} some[] = {
		{{4000, 0, 0, 13},     true },
                {{4000, 13, 0, 13},    false},
		{{4000, 0, 13, 13},    false},
                {{4000, 13, 13, 0},    false},
		{{13, 4000, 13, 13},   false},
                {{0, 4000, 13, 13},    false},
		{{0, 4000, 13, 0},     false},
                {{13, 4000, 4000, 13}, false},
		{{4000, 4000, 0, 13},  true },
                {{13, 13, 4000, 0},    false},
		{{0, 13, 4000, 13},    false},
                {{13, 0, 0, 4000},     true },
	};

	partitions = 4;
	cache_bytes = 64 << 10;
	for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		two_partitions(some[i].n, some[i].late, i % 2);
	partitions = PARTITIONS_DEFAULT;
	cache_bytes = 1 << 20;
}

/* ---- a bucket of the same name ---- */

/* It begins empty, whatever of its predecessor is in base, in the log, or in the cache. */
static void a_bucket_made_again_is_empty_whatever_else_is_settled(void)
{
	partitions = 4;
	for (unsigned settle = 0; settle < 8; settle++) {
		char busy[32];
		char name[32];

		fresh();
		EQ(0, reopen());
		(void)snprintf(busy, sizeof(busy), "%s", name_of(1, 0));
		(void)snprintf(name, sizeof(name), "%s", name_of(2, 0));
		EQ(0, create(busy));
		EQ(0, create(name));
		for (unsigned i = 0; i < 3000; i++)
			EQ(0, put(busy, key_name(i % KEYS), "v"));
		EQ(0, put(name, "old", "v"));
		EQ(0, put(name, "both", "old"));
		if (settle & 1)
			EQ(0, store_settle(current, 10000));
		EQ(0, drop(name));
		is(name, "old", NULL);
		if (settle & 2)
			EQ(0, store_settle(current, 10000));
		EQ(0, create(name));
		is(name, "old", NULL);
		EQ(0, count(name));
		EQ(0, put(name, "both", "new"));
		if (settle & 4)
			EQ(0, store_settle(current, 10000));
		for (int again = 0; again < 2; again++) {
			is(name, "old", NULL);
			is(name, "both", "new");
			EQ(1, count(name));
			EQ(KEYS, count(busy));
			sync_all();
			EQ(0, reopen());
		}
		EQ(0, store_settle(current, 10000));
		is(name, "both", "new");
		EQ(1, count(name));
		finish();
	}
	partitions = PARTITIONS_DEFAULT;
}

/* ---- a checkpoint cut short ---- */

/* Of three partitions, interleaved, some transactions are in base and the last is not. */
static void half_a_checkpoint_is_nobodys_settled(void)
{
	char name[3][32];
	char key[24];

	partitions = 16;
	cache_bytes = 16 << 20;
	fresh();
	EQ(0, reopen());
	for (unsigned p = 0; p < 3; p++) {
		(void)snprintf(name[p], sizeof(name[p]), "%s", name_of(5 * p, 0));
		EQ(0, create(name[p]));
	}
	for (unsigned i = 0; i < 24000; i++) {
		/* The first partition has ten times as many as the others. */
		unsigned p = i % 12 == 0 ? 1 : i % 12 == 1 ? 2 : 0;

		(void)snprintf(key, sizeof(key), "key%05u", i);
		EQ(0, put_ttl(name[p], key, "old", i % 3 ? 0 : 100000));
	}
	EQ(0, store_settle(current, 20000));
	for (unsigned i = 0; i < 24000; i += 2) {
		unsigned p = i % 12 == 0 ? 1 : i % 12 == 1 ? 2 : 0;

		(void)snprintf(key, sizeof(key), "key%05u", i);
		if (i % 4)
			EQ(1, del(name[p], key));
		else
			EQ(0, put(name[p], key, "new"));
	}
	sync_all();
	fault_set("base.commit=ENOSPC@2", 0);
	EQ(-ENOSPC, store_settle(current, 20000));
	fault_set(NULL, 0);
	for (unsigned round = 0; round < 3; round++) {
		long long there[3] = {0, 0, 0};

		for (unsigned i = 0; i < 24000; i++) {
			unsigned p = i % 12 == 0 ? 1 : i % 12 == 1 ? 2 : 0;
			const char *want = i % 2 ? "old" : i % 4 ? NULL : "new";

			there[p] += want != NULL;
			(void)snprintf(key, sizeof(key), "key%05u", i);
			if (i % 7 == round)
				is(name[p], key, want);
		}
		for (unsigned p = 0; p < 3; p++)
			EQ(there[p], count(name[p]));
		if (round == 1)
			EQ(0, store_settle(current, 20000));
		EQ(0, reopen());
	}
	wall += 200000; /* what has a ttl and was not written again */
	EQ(0, store_tick(current, wall));
	for (unsigned p = 0; p < 3; p++) {
		long long alive = 0;

		for (unsigned i = 0; i < 24000; i++)
			alive += (i % 12 == 0   ? 1u
				  : i % 12 == 1 ? 2u
						: 0u) == p &&
				 (i % 2 ? i % 3 != 0 : i % 4 == 0);
		EQ(alive, count(name[p]));
	}
	finish();
	partitions = PARTITIONS_DEFAULT;
	cache_bytes = 1 << 20;
}

/* ---- many ---- */

/* Buckets made alike in all partitions have ids alike but for their first bits. */
static void ids_of_all_partitions_spread_in_a_table(void)
{
	static uint8_t chain[16384];
	uint64_t longest = 0;

	for (uint64_t sequence = 1; sequence <= 1000000; sequence *= 10) {
		memset(chain, 0, sizeof(chain));
		for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
			uint64_t i = bucket_hash(stamp_make(p, sequence)) % sizeof(chain);

			if (++chain[i] > longest)
				longest = chain[i];
		}
	}
	TRUE_(longest <= 8);
}

/* A bucket in each of all partitions there can be, each with keys that expire one after another. */
static void every_partition_is_swept(void)
{
	static char name[PARTITIONS_MAX][32];
	struct store_config c;
	struct store_stats st;
	unsigned found = 0;

	partitions = PARTITIONS_MAX;
	cache_bytes = 64 << 20;
	memset(name, 0, sizeof(name));
	for (unsigned i = 0; found < PARTITIONS_MAX; i++) {
		char text[32];
		uint32_t p;

		(void)snprintf(text, sizeof(text), "b%u", i);
		p = partition_of(span_of(text), PARTITIONS_MAX);
		found += !name[p][0];
		if (!name[p][0])
			memcpy(name[p], text, sizeof(text));
	}
	fresh();
	c = config();
	c.buckets_max = 2 * PARTITIONS_MAX;
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	wall = store_clock(current);
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++) {
		EQ(0, create(name[p]));
		EQ(0, put_ttl(name[p], "a", "v", 1000 + p));
		EQ(0, put(name[p], "b", "v"));
		EQ(0, put_ttl(name[p], "c", "v", UINT64_MAX)); /* as long as there is time */
	}
	EQ(0, store_settle(current, 20000));
	wall += 1000 + PARTITIONS_MAX / 2;
	EQ(0, store_tick(current, wall));
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		EQ(p <= PARTITIONS_MAX / 2 ? 2 : 3, count(name[p]));
	for (unsigned rounds = 0; rounds < 400; rounds++) {
		wall += 10;
		EQ(0, store_tick(current, wall));
	}
	TRUE_(store_idle_ms(current) >= 100); /* nothing is left to be done */
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		EQ(2, count(name[p]));
	store_stats(current, &st);
	EQ(2 * PARTITIONS_MAX, st.keys); /* deleted, and not only invisible */
	sync_all();
	store_close(&current);
	EQ(0, store_open(&c, &current, why, sizeof(why)));
	for (uint32_t p = 0; p < PARTITIONS_MAX; p++)
		EQ(2, count(name[p]));
	finish();
	partitions = PARTITIONS_DEFAULT;
	cache_bytes = 1 << 20;
}

UNIT_MAIN(T(each_partition_is_settled_as_far_as_it_is),
	  T(a_bucket_made_again_is_empty_whatever_else_is_settled),
	  T(half_a_checkpoint_is_nobodys_settled), T(ids_of_all_partitions_spread_in_a_table),
	  T(every_partition_is_swept))
