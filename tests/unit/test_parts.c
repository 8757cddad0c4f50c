/* The store's parts alone: cache, order, expiry, directory, sort; each against a plain model. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/fault.h"
#include "storage/directory.h"
#include "storage/expiry_heap.h"
#include "storage/sorted_index.h"
#include "storage/sort.h"
#include "tests/unit/lib/unit.h"

static struct work work; /* nobody cares */

/* Two partitions, of which the first is settled up to `sequence` and the second not at all. */
static const struct marks *upto(uint64_t sequence)
{
	static struct marks *m;

	if (!m)
		m = marks_new(2, NULL);
	m->at[0] = sequence;
	return m;
}

static struct entry *put(struct cache *c, uint64_t bucket, const char *key, const char *value,
			 uint64_t version)
{
	struct span k = span_of(key);
	struct entry *old = NULL;
	struct entry *e = cache_put(c, cache_hash(c, bucket, k), bucket, k, span_of(value), version,
				    0, false, NULL, &old);

	free(old);
	return e;
}

static struct entry *find(struct cache *c, uint64_t bucket, const char *key)
{
	struct span k = span_of(key);

	return cache_find(c, cache_hash(c, bucket, k), bucket, k);
}

static void the_cache_keeps_the_newest(void)
{
	struct cache *c = NULL;
	struct entry *e;

	EQ(0, cache_new(1 << 20, &c));
	TRUE_(put(c, 1, "k", "one", 1));
	TRUE_(put(c, 2, "k", "other", 2));
	TRUE_(put(c, 1, "k", "two", 3));
	e = find(c, 1, "k");
	SAME(entry_value(e).p, entry_value(e).n, "two");
	TRUE_(put(c, 1, "k", "longer", 4));
	e = find(c, 1, "k");
	SAME(entry_value(e).p, entry_value(e).n, "longer");
	EQ(4, e->version);
	e = find(c, 2, "k");
	SAME(entry_value(e).p, entry_value(e).n, "other");
	TRUE_(!find(c, 3, "k"));
	TRUE_(!find(c, 1, "kk"));
	cache_free(&c);
}

static void dirty_entries_are_not_evicted(void)
{
	struct cache *c = NULL;
	char key[32];
	unsigned there = 0;

	EQ(0, cache_new(64 << 10, &c));
	for (unsigned i = 0; i < 4000; i++) {
		(void)snprintf(key, sizeof(key), "key%u", i);
		TRUE_(put(c, 1, key, "some value", i + 1));
	}
	for (int i = 0; i < 50; i++)
		cache_evict(c, upto(2000));
	TRUE_(cache_bytes(c) > cache_budget(c)); /* the dirty ones alone are more */
	for (unsigned i = 0; i < 4000; i++) {
		(void)snprintf(key, sizeof(key), "key%u", i);
		there += find(c, 1, key) != NULL;
		if (i >= 2000)
			TRUE_(find(c, 1, key));
	}
	EQ(2000, there);
	for (int i = 0; i < 50; i++)
		cache_evict(c, upto(4000));
	TRUE_(cache_bytes(c) <= cache_budget(c));
	cache_free(&c);
}

static void no_memory_leaves_the_entry_as_it_was(void)
{
	struct cache *c = NULL;
	struct entry *old = NULL;
	struct span k = span_of("k");
	uint64_t bytes;

	EQ(0, cache_new(1 << 20, &c));
	TRUE_(put(c, 1, "k", "value", 1));
	bytes = cache_bytes(c);
	fault_set("cache.alloc=ENOMEM", 0);
	TRUE_(!cache_put(c, cache_hash(c, 1, k), 1, k, span_of("longer value"), 2, 0, false, NULL,
			 &old));
	fault_set(NULL, 0);
	EQ(bytes, cache_bytes(c));
	SAME(entry_value(find(c, 1, "k")).p, entry_value(find(c, 1, "k")).n, "value");
	EQ(1, find(c, 1, "k")->version);
	cache_free(&c);
}

#define KEYS 3000

static int string_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Random keys into an order, half before the sort and half after, against qsort. */
static void an_order_is_in_order_both_ways(void)
{
	static char key[KEYS][12];
	char *sorted[KEYS];
	struct cache *c = NULL;
	struct sorted_index *o = NULL;
	struct sorted_index_place at;
	struct entry *e;
	uint64_t s = unit_seed();
	unsigned n = 0;

	EQ(0, cache_new(1 << 20, &c));
	EQ(0, sorted_index_new(&o));
	for (unsigned i = 0; i < KEYS; i++) {
		if (i == KEYS / 2)
			EQ(0, sorted_index_sort(o, &work));
		(void)snprintf(key[i], sizeof(key[i]), "%llx",
			       (unsigned long long)(unit_random(&s) % 100000));
		if (find(c, 1, key[i]))
			continue;
		e = put(c, 1, key[i], "v", n + 1);
		sorted[n++] = key[i];
		EQ(0, i < KEYS / 2 ? sorted_index_add(o, e) : sorted_index_put(o, e));
	}
	qsort(sorted, n, sizeof(sorted[0]), string_compare);
	e = sorted_index_seek(o, span_of(""), false, &at);
	for (unsigned i = 0; i < n; i++, e = sorted_index_next(o, false, &at))
		SAME(entry_key(e).p, entry_key(e).n, sorted[i]);
	TRUE_(!e);
	e = sorted_index_seek(o, span_of(""), true, &at);
	for (unsigned i = n; i-- > 0; e = sorted_index_next(o, true, &at))
		SAME(entry_key(e).p, entry_key(e).n, sorted[i]);
	TRUE_(!e);
	for (unsigned round = 0; round < 500; round++) {
		char want[12];
		unsigned i = 0;

		(void)snprintf(want, sizeof(want), "%llx",
			       (unsigned long long)(unit_random(&s) % 100000));
		while (i < n && strcmp(sorted[i], want) < 0)
			i++;
		e = sorted_index_seek(o, span_of(want), false, &at);
		EQ(i == n, e == NULL);
		if (e)
			SAME(entry_key(e).p, entry_key(e).n, sorted[i]);
		e = sorted_index_seek(o, span_of(want), true, &at);
		if (i < n && !strcmp(sorted[i], want))
			i++;
		EQ(i == 0, e == NULL);
		if (e)
			SAME(entry_key(e).p, entry_key(e).n, sorted[i - 1]);
	}
	sorted_index_settle(o, upto(n / 2), &work);
	n -= n / 2;
	for (e = sorted_index_seek(o, span_of(""), false, &at); e;
	     e = sorted_index_next(o, false, &at))
		n--;
	EQ(0, n);
	sorted_index_free(&o);
	cache_free(&c);
}

struct seen {
	unsigned count;
	uint64_t most;
};

static void see(void *arg, const struct expiry_node *n)
{
	struct seen *s = arg;

	s->count++;
	s->most = n->at_ms > s->most ? n->at_ms : s->most;
}

static void expiries_come_out_in_time(void)
{
	struct expiry_heap x;
	struct expiry_node n;
	uint64_t s = unit_seed();
	uint64_t at[1000];
	uint64_t last = 0;
	unsigned popped = 0;

	expiry_heap_init(&x);
	for (unsigned i = 0; i < 1000; i++) {
		at[i] = unit_random(&s) % 5000;
		EQ(0, expiry_heap_reserve(&x, 1));
		expiry_heap_add(&x, (struct expiry_node){at[i], i, i + 1});
	}
	for (uint64_t now = 0; now <= 5000; now += 500) {
		struct seen seen = {0, 0};
		unsigned want = 0;

		for (unsigned i = 0; i < 1000; i++)
			want += at[i] <= now && at[i] >= last;
		expiry_heap_each_due(&x, now, see, &seen);
		EQ(want, seen.count);
		TRUE_(seen.most <= now);
		for (uint64_t before = 0; expiry_heap_pop(&x, now, &n); before = n.at_ms) {
			TRUE_(n.at_ms >= before);
			popped++;
			want--;
		}
		EQ(0, want);
		last = now + 1;
	}
	EQ(1000, popped);
	for (unsigned i = 0; i < 100; i++) {
		EQ(0, expiry_heap_reserve(&x, 1));
		expiry_heap_add(&x, (struct expiry_node){100 - i, i, i + 1});
	}
	expiry_heap_settle(&x, upto(60), &work);
	for (popped = 0; expiry_heap_pop(&x, 1000, &n); popped++)
		TRUE_(n.stamp > 60);
	EQ(40, popped);
	expiry_heap_fini(&x);
}

static void the_directory_finds_by_name_id_and_order(void)
{
	struct directory *d = NULL;
	char name[32];

	EQ(0, directory_new(&d));
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "b%u", (i * 7919) % 1000);
		TRUE_(directory_add(d, span_of(name), false, 5000 + i, i));
	}
	for (unsigned i = 0; i < 1000; i += 2) {
		(void)snprintf(name, sizeof(name), "b%u", (i * 7919) % 1000);
		EQ(5000 + i, directory_find(d, span_of(name), false)->id);
		directory_remove(d, directory_find_id(d, 5000 + i));
		TRUE_(!directory_find(d, span_of(name), false));
		TRUE_(!directory_find_id(d, 5000 + i));
	}
	EQ(500, directory_count(d));
	for (uint64_t i = 1; i < 500; i++) {
		struct bucket *a = directory_at(d, i - 1);
		struct bucket *b = directory_at(d, i);

		TRUE_(span_compare((struct span){a->name, a->name_len},
				   (struct span){b->name, b->name_len}) < 0);
		EQ(i, directory_seek(d, (struct span){b->name, b->name_len}));
	}
	directory_free(&d);
}

static int item_compare(const struct sort_item *a, const struct sort_item *b)
{
	if (a->bucket != b->bucket)
		return a->bucket < b->bucket ? -1 : 1;
	return span_compare(log_head_key(a->head), log_head_key(b->head));
}

/* Keys of all lengths with long common beginnings, zeros at their ends, and repetitions. */
static void changes_are_sorted_and_stable(void)
{
	enum { N = 5000 };
	static struct sort_item item[N];
	static struct sort_item scratch[N];
	uint64_t s = unit_seed();

	for (unsigned i = 0; i < N; i++) {
		char key[32];
		struct log_change c = {
			.op = LOG_PUT,
			.bucket = 1 + unit_random(&s) % 3,
			.expiry = unit_random(&s) % 2,
			.name = {"bucket", i % 7 ? 6 : 0                         },
			.key = {key,      1 + unit_random(&s) % (i % 3 ? 24 : 3)}
                };
		char *p = malloc(log_change_size(&c));

		for (size_t k = 0; k < c.key.n; k++)
			key[k] = k < 12 && i % 2 ? 'x' : (char)(unit_random(&s) % 2 * 255);
		EQ(log_change_size(&c), log_change_write(p, &c) - p);
		item[i] = (struct sort_item){{0}, c.bucket, i, (struct log_change_head *)p};
	}
	sort_changes(item, scratch, N);
	for (unsigned i = 1; i < N; i++) {
		int c = item_compare(&item[i - 1], &item[i]);

		TRUE_(c < 0 || (c == 0 && item[i - 1].version < item[i].version));
	}
	for (unsigned i = 0; i < N; i++)
		free((void *)(uintptr_t)item[i].head);
}

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long all = 0;
	unsigned long resident = 0;

	TRUE_(f && fscanf(f, "%lu %lu", &all, &resident) == 2);
	(void)fclose(f);
	return resident * 4096;
}

static void count_entry(void *arg, struct entry *e)
{
	(void)e;
	++*(unsigned *)arg;
}

/* All are found whatever the table's size is at the moment, and it has memory for what is there. */
static void the_table_grows_with_its_entries(void)
{
	struct cache *c = NULL;
	char key[32];
	unsigned dirty = 0;
	unsigned there = 0;
	uint64_t before = resident_bytes();

	EQ(0, cache_new(8ull << 30, &c));
	for (unsigned i = 0; i < 20000; i++) {
		(void)snprintf(key, sizeof(key), "key %u", i);
		TRUE_(put(c, 1, key, "v", i + 1));
		if (i % 997)
			continue;
		for (unsigned k = 0; k <= i; k += 1 + i / 100) {
			(void)snprintf(key, sizeof(key), "key %u", k);
			TRUE_(find(c, 1, key) && find(c, 1, key)->version == k + 1);
		}
	}
#ifndef __SANITIZE_ADDRESS__
	TRUE_(resident_bytes() - before < 12 << 20);
#endif
	(void)before;
	cache_each_dirty(c, upto(10000), &(struct work){0}, count_entry, &dirty);
	EQ(10000, dirty);
	cache_free(&c);

	/* As many slots as its budget allows, and then round and round. */
	EQ(0, cache_new(1 << 20, &c));
	for (unsigned i = 0; i < 50000; i++) {
		(void)snprintf(key, sizeof(key), "key %u", i);
		TRUE_(put(c, 1, key, "v", i + 1));
		cache_evict(c, upto(i));
		TRUE_(find(c, 1, key));
	}
	TRUE_(cache_bytes(c) <= (1 << 20) + 4096);
	for (unsigned i = 0; i < 50000; i++) {
		(void)snprintf(key, sizeof(key), "key %u", i);
		there += find(c, 1, key) != NULL;
	}
	TRUE_(there > 5000);
	cache_free(&c);
}

UNIT_MAIN(T(the_table_grows_with_its_entries), T(the_cache_keeps_the_newest),
	  T(dirty_entries_are_not_evicted), T(no_memory_leaves_the_entry_as_it_was),
	  T(an_order_is_in_order_both_ways), T(expiries_come_out_in_time),
	  T(the_directory_finds_by_name_id_and_order), T(changes_are_sorted_and_stable))
