/* The engine: what is put is read, by partition, and as a model has it. */
#include "common/fault.h"
#include "tests/unit/lib/engine_fixture.h"

static uint64_t touched; /* bytes of the last value */

/* ---- putting and reading ---- */

static const struct span values[] = {
	{"",  0},
        {"v", 1}
};

/* Values of all kinds: none, small, larger than a page's half, many pages. */
static struct span value_of(unsigned n)
{
	static char bytes[300000];
	static const size_t lengths[] = {100, 2000, 5000, 300000};

	if (n % 6 < 2)
		return values[n % 6];
	memset(bytes, (int)('a' + n % 26), sizeof(bytes));
	return (struct span){bytes, lengths[n % 6 - 2]};
}

static int bucket_row(void *arg, struct span name, uint64_t id, uint64_t count)
{
	struct {
		uint32_t partitions;
		uint64_t last;
		unsigned n;
	} *a = arg;

	EQ(id >> PARTITION_SHIFT, partition_of(name, a->partitions));
	TRUE_(a->n == 0 || a->last >> PARTITION_SHIFT <= id >> PARTITION_SHIFT);
	EQ(12, count);
	a->last = id;
	a->n++;
	return 0;
}

static int part_row(void *arg, uint32_t partition, const struct engine_part *part)
{
	unsigned *n = arg;

	EQ(*n, partition);
	EQ(1u << 30, part->settled);
	++*n;
	return 0;
}

static void walk(uint64_t bucket, bool reverse)
{
	struct engine_cursor *c;
	struct engine_item item;
	unsigned n = 0;
	int r;

	EQ(0, engine_cursor_open(e, bucket, reverse, &c));
	for (r = engine_cursor_seek(c, span_of(""), &item); r == 0; n++) {
		unsigned i = reverse ? 11 - n : n;
		char key[24];

		(void)snprintf(key, sizeof(key), "key%02u", i);
		TRUE_(span_equal(span_of(key), item.key));
		TRUE_(span_equal(value_of(i), item.value));
		EQ(i + 10, item.version);
		r = engine_cursor_next(c, &item);
	}
	EQ(-ENOENT, r);
	EQ(12, n);
	engine_cursor_close(&c);
}

static void what_is_put_is_read_for_any_number_of_partitions(void)
{
	for (unsigned s = 0; s < SIZES; s++) {
		const uint32_t n = sizes[s];
		/* The first, the last, and some between; two buckets in each. */
		const uint32_t some[] = {0, n / 3, n / 2, n - 1};
		struct {
			uint32_t partitions;
			uint64_t last;
			unsigned n;
		} a = {n, 0, 0};
		unsigned parts = 0;
		unsigned buckets = 0;

		fresh();
		EQ(0, open_for(n));
		EQ(0, engine_begin(e));
		for (unsigned b = 0; b < 8; b++) {
			uint32_t p = some[b / 2];
			uint64_t id = id_of(p, 1 + b);

			EQ(0, engine_bucket_add(e, name_of(p, n, b), id, 12, true));
			buckets++;
			for (unsigned i = 0; i < 12; i++) {
				struct engine_item item = {
					{NULL, 0},
                                        value_of(i), i + 10, 0
                                };
				char key[24];

				(void)snprintf(key, sizeof(key), "key%02u", i);
				item.key = span_of(key);
				EQ(0, engine_put(e, id, &item));
			}
		}
		EQ(0, commit_all(n));
		for (int again = 0; again < 2; again++) {
			a.n = 0;
			parts = 0;
			EQ(0, engine_buckets(e, bucket_row, &a));
			EQ(buckets, a.n);
			EQ(0, engine_parts(e, part_row, &parts));
			EQ(n, parts);
			for (unsigned b = 0; b < 8; b++) {
				walk(id_of(some[b / 2], 1 + b), false);
				walk(id_of(some[b / 2], 1 + b), true);
			}
			EQ(0, open_for(n));
		}
		engine_close(&e);
	}
}

static void a_bucket_ends_where_the_next_partition_begins(void)
{
	const uint64_t last = id_of(6, (1ull << PARTITION_SHIFT) - 1);
	const uint64_t next = id_of(7, 1);
	struct engine_cursor *c;
	struct engine_item item;

	fresh();
	EQ(0, open_for(8));
	EQ(0, engine_begin(e));
	EQ(0, put_at(last, "a", "of 6", 7, 0));
	EQ(0, put_at(next, "a", "of 7", 7, 0));
	EQ(0, put_at(next, "b", "of 7", 8, 0));
	EQ(0, commit_all(8));
	is(last, "a", "of 6", 7, 0);
	is(next, "a", "of 7", 7, 0);
	is_not(last, "b");
	EQ(0, engine_cursor_open(e, last, false, &c));
	EQ(0, engine_cursor_seek(c, span_of("a"), &item));
	EQ(-ENOENT, engine_cursor_next(c, &item));
	engine_cursor_close(&c);
	EQ(0, engine_cursor_open(e, last, true, &c));
	EQ(0, engine_cursor_seek(c, span_of(""), &item));
	TRUE_(span_equal(span_of("of 6"), item.value));
	EQ(-ENOENT, engine_cursor_next(c, &item));
	engine_cursor_close(&c);
	EQ(0, engine_cursor_open(e, next, true, &c));
	EQ(0, engine_cursor_seek(c, span_of("a"), &item));
	EQ(-ENOENT, engine_cursor_next(c, &item));
	engine_cursor_close(&c);
	engine_close(&e);
}

static void what_was_aborted_or_not_committed_is_not_there(void)
{
	struct engine_meta meta;

	fresh();
	EQ(0, open_for(2));
	EQ(0, engine_begin(e));
	EQ(0, put_at(id_of(1, 1), "k", "first", 5, 0));
	EQ(0, commit_all(2));
	EQ(0, engine_begin(e));
	EQ(0, put_at(id_of(1, 1), "k", "second", 6, 0));
	engine_abort(e);
	EQ(0, engine_renew(e));
	is(id_of(1, 1), "k", "first", 5, 0);
	fault_set("base.commit=EIO", 0);
	EQ(0, engine_begin(e));
	EQ(0, put_at(id_of(1, 1), "k", "second", 6, 0));
	EQ(-EIO, engine_commit(e, NULL));
	fault_set(NULL, 0);
	EQ(0, engine_renew(e));
	is(id_of(1, 1), "k", "first", 5, 0);
	engine_meta(e, &meta);
	EQ(1, meta.settled_lsn);
	engine_close(&e);
}

/* ---- parts ---- */

static int part_sum(void *arg, uint32_t partition, const struct engine_part *part)
{
	uint64_t *sum = arg;

	*sum = *sum * 1000 + partition * 100 + part->settled * 10 + part->clock_ms;
	return 0;
}

static int part_stop(void *arg, uint32_t partition, const struct engine_part *part)
{
	(void)part;
	++*(int *)arg;
	return partition == 2 ? -EIO : 0;
}

static void each_partition_is_settled_by_itself(void)
{
	uint64_t sum = 0;
	int calls = 0;

	fresh();
	EQ(0, open_for(4));
	EQ(0, engine_parts(e, part_sum, &sum));
	EQ(0, sum);
	EQ(0, engine_begin(e));
	EQ(0, engine_part_put(e, 3, &(struct engine_part){.settled = 1, .clock_ms = 2}));
	EQ(0, engine_part_put(e, 2, &(struct engine_part){.settled = 5, .clock_ms = 7}));
	EQ(0, engine_part_put(e, 3, &(struct engine_part){.settled = 2, .clock_ms = 4}));
	EQ(0, engine_commit(e, NULL));
	EQ(0, engine_renew(e));
	EQ(0, engine_parts(e, part_sum, &sum));
	EQ(257324, sum);
	EQ(-EIO, engine_parts(e, part_stop, &calls));
	EQ(1, calls);
	engine_close(&e);
}

/* ---- the expiry index ---- */

static void what_expires_is_found_by_partition(void)
{
	uint32_t p;
	uint64_t at;
	struct engine_due from = {
		200, id_of(3, 2), 0, {"b", 1}
        };

	for (unsigned s = 2; s < SIZES; s++) {
		const uint32_t n = sizes[s];

		fresh();
		EQ(0, open_for(n));
		EQ(-ENOENT, engine_due_partition(e, 0, &p, &at));
		EQ(0, engine_begin(e));
		EQ(0, put_at(id_of(n - 1, 1), "z", "v", 10, 50));
		EQ(0, put_at(id_of(3, 2), "a", "v", 11, 200));
		EQ(0, put_at(id_of(3, 2), "b", "v", 12, 200));
		EQ(0, put_at(id_of(3, 2), "c", "v", 13, 0));
		EQ(0, put_at(id_of(3, 1), "c", "v", 14, 300));
		EQ(0, put_at(id_of(3, 1), "d", "v", 15, UINT64_MAX));
		EQ(0, put_at(id_of(4, 1), "e", "v", 16, 100));
		EQ(0, put_at(id_of(0, 1), "f", "v", 17, 0));
		EQ(0, commit_all(n));
		TEXT("", due(3, 199));
		TEXT("2:a@200=11 2:b@200=12 ", due(3, 200));
		TEXT("2:a@200=11 2:b@200=12 1:c@300=14 ", due(3, UINT64_MAX - 1));
		TEXT("2:b@200=12 1:c@300=14 1:d@18446744073709551615=15 ",
		     due_from(3, &from, UINT64_MAX));
		TEXT("1:e@100=16 ", due(4, 100000));
		TEXT("", due(2, UINT64_MAX));
		TEXT("", due(5, UINT64_MAX));
		TEXT("1:z@50=10 ", due(n - 1, 50));
		TEXT("", due(0, UINT64_MAX));
		/* Step by step over those that have any. */
		EQ(0, engine_due_partition(e, 0, &p, &at));
		EQ(3, p);
		EQ(200, at);
		EQ(0, engine_due_partition(e, 4, &p, &at));
		EQ(4, p);
		EQ(100, at);
		EQ(0, engine_due_partition(e, 5, &p, &at));
		EQ(n - 1, p);
		EQ(50, at);
		EQ(-ENOENT, engine_due_partition(e, n, &p, &at));
		/* A row goes with what it stands for. */
		EQ(0, engine_begin(e));
		EQ(0, put_at(id_of(3, 2), "a", "v", 20, 0));
		EQ(0, put_at(id_of(3, 2), "b", "v", 21, 150));
		EQ(0, engine_delete(e, id_of(3, 1), span_of("c")));
		EQ(0, engine_delete(e, id_of(3, 1), span_of("none")));
		EQ(0, commit_all(n));
		TEXT("2:b@150=21 1:d@18446744073709551615=15 ", due(3, UINT64_MAX));
		TEXT("1:z@50=10 ", due(n - 1, 50));
		engine_close(&e);
	}
}

/* ---- touch ---- */

static void a_touch_changes_all_but_the_value(void)
{
	const uint64_t b = id_of(5, 1);
	struct engine_item item = {span_of("large"), value_of(5), 11, 100};
	struct engine_item got;

	fresh();
	EQ(0, open_for(8));
	EQ(0, engine_begin(e));
	EQ(0, put_at(b, "key", "value", 10, 100));
	EQ(0, put_at(b, "ever", "", 10, 0));
	EQ(0, engine_put(e, b, &item));
	EQ(0, commit_all(8));
	EQ(0, engine_begin(e));
	EQ(0, engine_touch(e, b, span_of("key"), 20, 200, &touched));
	EQ(0, engine_touch(e, b, span_of("ever"), 21, 50, &touched));
	EQ(0, engine_touch(e, b, span_of("large"), 22, 0, &touched));
	EQ(-ENOENT, engine_touch(e, b, span_of("none"), 23, 9, &touched));
	EQ(-ENOENT, engine_touch(e, b + 1, span_of("key"), 23, 9, &touched));
	EQ(0, commit_all(8));
	is(b, "key", "value", 20, 200);
	is(b, "ever", "", 21, 50);
	EQ(0, engine_get(e, b, span_of("large"), &got));
	EQ(22, got.version);
	TRUE_(span_equal(item.value, got.value));
	TEXT("1:ever@50=21 1:key@200=20 ", due(5, UINT64_MAX));
	/* In the transaction that put it, twice, and once more as when a checkpoint is repeated. */
	EQ(0, engine_begin(e));
	item.version = 30;
	EQ(0, engine_put(e, b, &item));
	EQ(0, engine_touch(e, b, span_of("large"), 31, 70, &touched));
	EQ(0, engine_touch(e, b, span_of("large"), 32, 60, &touched));
	EQ(0, engine_touch(e, b, span_of("large"), 32, 60, &touched));
	EQ(0, commit_all(8));
	EQ(0, engine_get(e, b, span_of("large"), &got));
	EQ(32, got.version);
	EQ(60, got.expiry);
	TRUE_(span_equal(item.value, got.value));
	TEXT("1:ever@50=21 1:large@60=32 1:key@200=20 ", due(5, UINT64_MAX));
	engine_close(&e);
}

static void counts_are_sums_and_a_name_is_the_last_made_buckets(void)
{
	struct span a;
	struct span b;

	fresh();
	EQ(0, open_for(16));
	a = name_of(9, 16, 0);
	b = name_of(2, 16, 0);
	EQ(0, engine_begin(e));
	EQ(0, engine_bucket_add(e, a, id_of(9, 4), 0, true));
	EQ(0, engine_bucket_add(e, b, id_of(2, 4), 7, true));
	EQ(0, engine_bucket_add(e, b, id_of(2, 4), -3, false));
	EQ(0, engine_bucket_add(e, name_of(2, 16, 1), id_of(2, 1), 1, false));
	EQ(0, commit_all(16));
	TEXT("2.4=4 9.4=0 ", buckets());
	/* Made again under the same name: what comes late for the old one is passed over. */
	EQ(0, engine_begin(e));
	EQ(0, engine_bucket_drop(e, b, id_of(2, 4)));
	EQ(0, engine_bucket_add(e, b, id_of(2, 8), 2, true));
	EQ(0, engine_bucket_add(e, b, id_of(2, 4), 5, false));
	EQ(0, engine_bucket_drop(e, b, id_of(2, 4)));
	EQ(0, engine_bucket_add(e, a, id_of(9, 4), 1, true)); /* a checkpoint is repeated */
	EQ(0, commit_all(16));
	TEXT("2.8=2 9.4=1 ", buckets());
	EQ(0, open_for(16));
	TEXT("2.8=2 9.4=1 ", buckets());
	engine_close(&e);
}

static void a_dropped_buckets_keys_go_and_no_others(void)
{
	const uint64_t b = id_of(1, 2);
	char key[24];
	int n;
	int rounds = 0;

	fresh();
	EQ(0, open_for(4));
	EQ(0, engine_begin(e));
	EQ(0, engine_bucket_add(e, name_of(1, 4, 0), b, 500, true));
	for (unsigned i = 0; i < 500; i++) {
		(void)snprintf(key, sizeof(key), "key%03u", i);
		EQ(0, put_at(b, key, "some value", 10 + i, i % 3 ? 0 : 100 + i));
	}
	EQ(0, put_at(id_of(1, 1), "before", "v", 600, 20));
	EQ(0, put_at(id_of(1, 3), "behind", "v", 601, 30));
	EQ(0, put_at(id_of(2, 2), "elsewhere", "v", 602, 40));
	EQ(0, commit_all(4));
	EQ(0, engine_begin(e));
	EQ(0, engine_purge(e, 100));
	EQ(0, engine_bucket_drop(e, name_of(1, 4, 0), b));
	EQ(0, commit_all(4));
	TEXT("", buckets());
	do {
		EQ(0, engine_begin(e));
		n = engine_purge(e, 64);
		TRUE_(n >= 0 && n <= 64);
		EQ(0, engine_commit(e, NULL));
		EQ(0, engine_renew(e));
	} while (n && ++rounds < 50);
	EQ(8, rounds); /* 500 keys and the row that says so */
	is_not(b, "key000");
	is_not(b, "key499");
	is(id_of(1, 1), "before", "v", 600, 20);
	is(id_of(1, 3), "behind", "v", 601, 30);
	is(id_of(2, 2), "elsewhere", "v", 602, 40);
	TEXT("1:before@20=600 3:behind@30=601 ", due(1, UINT64_MAX));
	TEXT("2:elsewhere@40=602 ", due(2, UINT64_MAX));
	engine_close(&e);
}

/* ---- two processes ---- */

/* A successor opens base while its predecessor's checkpoint is at it, and sees it when it is done.
 */
static void who_reads_beside_waits_for_no_writer(void)
{
	struct engine_meta meta;
	int go[2];
	int done[2];
	char c;
	int status;
	pid_t pid;

	fresh();
	EQ(0, pipe(go));
	EQ(0, pipe(done));
	pid = fork();
	if (pid == 0) {
		int r = open_for(2) || engine_begin(e) || put_at(id_of(1, 1), "k", "v", 5, 0) ||
			engine_part_put(e, 1, &(struct engine_part){.settled = 5, .clock_ms = 0});

		r |= write(done[1], "x", 1) != 1;
		r |= read(go[0], &c, 1) != 1;
		r |= engine_commit(e, &(struct engine_meta){7, 0, 0});
		r |= write(done[1], "x", 1) != 1;
		r |= read(go[0], &c, 1) != 1;
		engine_close(&e);
		_exit(r);
	}
	EQ(1, read(done[0], &c, 1));
	EQ(0, open_for(2)); /* or the test's time is over */
	is_not(id_of(1, 1), "k");
	EQ(1, write(go[1], "x", 1));
	EQ(1, read(done[0], &c, 1));
	is_not(id_of(1, 1), "k");
	EQ(0, engine_refresh(e, &meta));
	EQ(7, meta.settled_lsn);
	is(id_of(1, 1), "k", "v", 5, 0);
	EQ(1, write(go[1], "x", 1));
	EQ(pid, waitpid(pid, &status, 0));
	EQ(0, status);
	engine_close(&e);
}

/* ---- against a model ---- */

enum { MODEL_PARTS = 5, MODEL_BUCKETS = 3, MODEL_KEYS = 20 };

struct model_item {
	uint64_t version; /* 0: none */
	uint64_t expiry;
	uint32_t length;
	char byte;
};

typedef struct model_item model_t[MODEL_PARTS][MODEL_BUCKETS][MODEL_KEYS];

static const uint32_t model_parts[MODEL_PARTS] = {0, 1, 77, 254, 255};

static struct span model_value(const struct model_item *m)
{
	static char bytes[9000];

	memset(bytes, m->byte, m->length);
	return (struct span){bytes, m->length};
}

static void model_step(model_t model, uint64_t *seq, uint64_t *random)
{
	const unsigned p = (unsigned)(unit_random(random) % MODEL_PARTS);
	const unsigned b = (unsigned)(unit_random(random) % MODEL_BUCKETS);
	const unsigned k = (unsigned)(unit_random(random) % MODEL_KEYS);
	const uint64_t id = id_of(model_parts[p], b + 1);
	struct model_item *m = &model[p][b][k];
	struct engine_item item;
	char key[8];
	const uint64_t expiry = unit_random(random) % 3 ? 0 : 1 + unit_random(random) % 50;

	(void)snprintf(key, sizeof(key), "k%u", k);
	switch (unit_random(random) % 4) {
	case 0:
		EQ(0, engine_delete(e, id, span_of(key)));
		memset(m, 0, sizeof(*m));
		break;
	case 1:
		EQ(m->version ? 0 : -ENOENT,
		   engine_touch(e, id, span_of(key), ++*seq, expiry, &touched));
		if (m->version) {
			m->version = *seq;
			m->expiry = expiry;
		}
		break;
	default:
		*m = (struct model_item){++*seq, expiry,
					 (uint32_t)(unit_random(random) % 8 ? k : 9000 - k),
					 (char)('a' + *seq % 26)};
		item = (struct engine_item){span_of(key), model_value(m), m->version, m->expiry};
		EQ(0, engine_put(e, id, &item));
	}
}

static int due_count(void *arg, const struct engine_due *d)
{
	struct {
		model_t *model;
		unsigned p;
		unsigned n;
	} *a = arg;
	const unsigned b = (unsigned)(d->bucket & 0xff) - 1;
	const unsigned k = d->key.n == 3 ? (unsigned)(10 * (d->key.p[1] - '0') + d->key.p[2] - '0')
					 : (unsigned)(d->key.p[1] - '0');
	const struct model_item *m;

	TRUE_(b < MODEL_BUCKETS && k < MODEL_KEYS);
	m = &(*a->model)[a->p][b][k];
	EQ(m->version, d->version);
	EQ(m->expiry, d->expiry);
	a->n++;
	return 0;
}

static void model_compare(model_t *model)
{
	static const struct engine_due first;

	for (unsigned p = 0; p < MODEL_PARTS; p++) {
		struct {
			model_t *model;
			unsigned p;
			unsigned n;
		} a = {model, p, 0};
		unsigned with = 0;

		for (unsigned b = 0; b < MODEL_BUCKETS; b++)
			for (unsigned k = 0; k < MODEL_KEYS; k++) {
				const struct model_item *m = &(*model)[p][b][k];
				struct engine_item item;
				char key[8];

				(void)snprintf(key, sizeof(key), "k%u", k);
				EQ(m->version ? 0 : -ENOENT,
				   engine_get(e, id_of(model_parts[p], b + 1), span_of(key),
					      &item));
				if (!m->version)
					continue;
				EQ(m->version, item.version);
				EQ(m->expiry, item.expiry);
				TRUE_(span_equal(model_value(m), item.value));
				with += m->expiry != 0;
			}
		EQ(0, engine_due(e, model_parts[p], &first, UINT64_MAX, due_count, &a));
		EQ(with, a.n);
	}
}

static void transactions_do_what_a_model_does(void)
{
	uint64_t random = unit_seed();
	static model_t now;
	static model_t before;
	uint64_t seq = 0;

	memset(now, 0, sizeof(now));
	fresh();
	EQ(0, open_for(256));
	for (unsigned round = 0; round < 60; round++) {
		unsigned steps = (unsigned)(unit_random(&random) % 60);

		memcpy(before, now, sizeof(now));
		EQ(0, engine_begin(e));
		while (steps--)
			model_step(now, &seq, &random);
		if (unit_random(&random) % 4 == 0) {
			engine_abort(e);
			memcpy(now, before, sizeof(now));
			EQ(0, engine_renew(e));
		} else {
			EQ(0, commit_all(256));
		}
		model_compare(&now);
		if (round % 10 == 9)
			EQ(0, open_for(256));
	}
	engine_close(&e);
}

UNIT_MAIN(T(what_is_put_is_read_for_any_number_of_partitions),
	  T(a_bucket_ends_where_the_next_partition_begins),
	  T(what_was_aborted_or_not_committed_is_not_there), T(each_partition_is_settled_by_itself),
	  T(what_expires_is_found_by_partition), T(a_touch_changes_all_but_the_value),
	  T(counts_are_sums_and_a_name_is_the_last_made_buckets),
	  T(a_dropped_buckets_keys_go_and_no_others), T(who_reads_beside_waits_for_no_writer),
	  T(transactions_do_what_a_model_does))
