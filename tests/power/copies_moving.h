/* A copy of a partition that goes from its leader to the other store.  A part of copies.c. */
#ifndef PAIL_TEST_COPIES_MOVING_H
#define PAIL_TEST_COPIES_MOVING_H

static bool item_add(void *arg, const struct store_item *i)
{
	(void)arg;
	buf_fmt(&moving.told, " K %.*s %llu", (int)i->key.n, i->key.p,
		(unsigned long long)number_of(i->value));
	return true;
}

/* What the leader has of the partition, all of which is committed. */
static void moving_describe(const struct side *x, uint32_t p)
{
	static const struct store_range whole;
	struct log_span spans[LOG_SPANS_MAX];
	uint32_t n = store_spans(x->store, p, spans, LOG_SPANS_MAX);
	struct store_key k;
	uint64_t count;

	moving.told.len = 0;
	for (uint32_t i = 0; i < n; i++)
		buf_fmt(&moving.told, " S %llu %llu %llu", (unsigned long long)spans[i].term,
			(unsigned long long)spans[i].first, (unsigned long long)spans[i].last);
	for (unsigned b = 0; b < BUCKETS; b++) {
		store_begin(x->store, 0);
		store_locate(x->store, span_of(names[p][b]), (struct span){NULL, 0}, &k);
		if (store_count(x->store, &k, &count) < 0)
			continue;
		buf_fmt(&moving.told, " B %s", names[p][b]);
		if (store_scan(x->store, &k, &whole, item_add, NULL) < 0)
			fail("scan", -EIO, x);
	}
}

/* The other one has no copy from now on. */
static void lose(uint32_t p)
{
	struct side *to = &sides[!leader[p]];
	int r;

	if (moving.on || store_must_restart(to->store))
		return;
	store_follow(to->store, p);
	r = random_below(4) ? store_load_begin(to->store, p) : store_forget(to->store, p);
	if (r < 0 && r != -EBUSY)
		fail("lose", r, to);
	if (r < 0 || store_whole(to->store, p)) /* there was nothing to be forgotten */
		return;
	if (to->looked_at)
		(void)printf("V %llu %u\n", (unsigned long long)store_lsn(to->store), p);
	if (store_role(to->store, p) != STORE_BACKUP)
		return;
	moving.on = true;
	moving.partition = p;
	moving.sent_all = false;
	moving.piece.len = 0;
}

/* With everything in base, so that it is known what comes. */
static void moving_open(void)
{
	uint32_t p = moving.partition;
	struct side *from = &sides[leader[p]];
	uint64_t sequence;
	int r;

	if (store_must_restart(from->store))
		return;
	sync_all(from);
	commit_tell(from, p, store_synced_sequence(from->store, p));
	store_freed(from->store, UINT64_MAX);
	r = store_settle(from->store, 20000);
	if (r == 0)
		r = store_copy_open(from->store, p, &moving.copy, &sequence);
	if (r < 0 && r != -EAGAIN)
		fail("copy", r, from);
	if (r == 0 && sequence != store_last(from->store, p).sequence)
		store_copy_close(&moving.copy);
	else if (r == 0)
		moving_describe(from, p);
}

static void moving_end(struct side *to)
{
	uint32_t p = moving.partition;
	int r = store_load_end(to->store, p);

	if (r == -EAGAIN || r == -ENOSPC)
		return;
	if (r < 0)
		fail("end", r, to);
	if (to->looked_at)
		(void)printf("W %llu %u\n", (unsigned long long)store_lsn(to->store), p);
	moving.on = false;
	store_copy_close(&moving.copy);
}

static void moving_step(void)
{
	uint32_t p = moving.partition;
	struct side *to = &sides[!leader[p]];
	int r;

	if (!moving.copy && !moving.sent_all) {
		moving_open();
		return;
	}
	if (moving.sent_all) {
		moving_end(to);
		return;
	}
	if (!moving.piece.len) {
		r = store_copy_next(moving.copy, &moving.piece, 200 + random_below(8000));
		if (r < 0)
			fail("copy", r, &sides[leader[p]]);
		moving.sent_all = r == 0;
		/* Told before it can be so. */
		if (r == 0 && to->looked_at)
			(void)printf("w %llu %u%.*s\n", (unsigned long long)store_lsn(to->store), p,
				     (int)moving.told.len, moving.told.data);
		if (r == 0)
			return;
	}
	r = store_load_piece(to->store, p, (struct span){moving.piece.data, moving.piece.len});
	if (r == -EAGAIN || r == -ENOSPC)
		return;
	if (r < 0)
		fail("piece", r, to);
	moving.piece.len = 0;
}

#endif
