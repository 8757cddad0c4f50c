/* What is in a store that was opened, and whether it still works.  A part of copies.c. */
#ifndef PAIL_TEST_COPIES_CHECK_H
#define PAIL_TEST_COPIES_CHECK_H

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

		(void)printf("E %u %llu %llu %llu %d\n", p, (unsigned long long)last.term,
			     (unsigned long long)last.sequence,
			     (unsigned long long)store_commit_sequence(s, p), store_whole(s, p));
		for (uint32_t i = 0; i < n; i++)
			(void)printf("Z %u %llu %llu %llu\n", p, (unsigned long long)x[i].term,
				     (unsigned long long)x[i].first, (unsigned long long)x[i].last);
	}
}

static int lead_all(struct store *s)
{
	uint64_t sequence;
	int r = 0;

	for (uint32_t p = 0; p < PARTITIONS && r == 0; p++) {
		r = store_lead(s, p, 1ull << 40, span_of("a view"), &sequence);
		if (!store_whole(s, p))
			r = r == -ENODATA ? 0 : -EIO;
	}
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
	uint32_t p = 0;
	bool did;
	int r;

	while (p < PARTITIONS && !store_whole(x->store, p))
		p++;
	if (p == PARTITIONS)
		return 0;
	store_begin(x->store, 0);
	r = store_create(x->store, span_of(names[p][0]), &did);
	store_locate(x->store, span_of(names[p][0]), span_of("after"), &k);
	if (r == 0)
		r = store_put(x->store, &k, span_of("v"), 0, &always, &version);
	if (r < 0)
		return r;
	sync_all(x);
	r = store_commit(x->store, p, version);
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
	store_locate(x->store, span_of(names[p][0]), span_of("after"), &k);
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

#endif
