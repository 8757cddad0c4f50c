/* A partition's copy goes from memory as a whole, or comes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "storage/engine_copy.h"
#include "storage/snapshot_impl.h"
#include "storage/store_impl.h"

/* ---- it goes ---- */

static void buckets_remove(struct store *s, uint32_t partition)
{
	for (uint64_t i = directory_count(s->directory); i-- > 0;) {
		struct bucket *b = directory_at(s->directory, i);

		store_work(s, 1);
		if (bucket_partition(b->id) != partition)
			continue;
		s->keys -= b->count;
		directory_remove(s->directory, b);
	}
	s->directory_state++; /* whoever has found one looks again */
}

void replica_void(struct store *s, uint32_t partition, uint64_t lsn)
{
	struct replica *x = &s->replica[partition];

	s->tails_bytes -= tail_bytes(&x->tail);
	tail_clear(&x->tail);
	free(x->parked);
	x->parked = NULL;
	x->parked_count = 0;
	x->parked_room = 0;
	x->spans.count = 0;
	x->term = 0;
	x->commit = 0;
	x->synced = 0;
	x->synced_at = x->tail.end;
	x->broken = true;
	x->load_lsn = lsn;
	s->newest->at[partition] = 0;
	s->part[partition] = (struct partition){.synced = 0};
	s->due_ms[partition] = UINT64_MAX;
	if (s->sweep_inside && s->sweep_partition == partition)
		s->sweep_inside = false;
	buckets_remove(s, partition);
}

struct leaving {
	struct store *s;
	uint32_t partition;
};

static bool entry_leaves(void *arg, const struct entry *e)
{
	const struct leaving *x = arg;
	struct store *s = x->s;

	if (bucket_partition(e->bucket) != x->partition)
		return false;
	if (!is_settled(s, e->bucket, e->version)) {
		s->dirty -= entry_weight(e->key_len, e->value_len);
		s->active -= entry_weight(e->key_len, e->value_len);
	}
	return true;
}

/* Sequences come again, so nothing may be left that is known by one. */
void replica_void_rest(struct store *s, uint32_t partition)
{
	struct leaving x = {s, partition};

	check(!s->checkpoint_runs && !s->checkpoint_wanted && !group_is_open(s));
	check(s->replica[partition].broken && s->dirty == s->active);
	cache_remove(s->cache, &s->head.work, entry_leaves, &x);
	expiry_heap_remove(&s->expiry, partition, &s->head.work);
	sessions_remove(s->sessions, partition);
	s->settled->at[partition] = 0;
	s->freeze->at[partition] = 0;
	s->given->at[partition] = 0;
	check_slow(store_counts_agree(s));
}

/* ---- it comes ---- */

static int buckets_take(struct store *s, const struct load *l)
{
	for (uint64_t i = 0; i < directory_count(l->directory); i++) {
		const struct bucket *b = directory_at(l->directory, i);

		store_work(s, WORK_REQUEST);
		if (!directory_add(s->directory, bucket_name(b), false, b->id, b->count))
			return -ENOMEM;
		s->keys += b->count;
	}
	return 0;
}

static int tail_take(struct store *s, const struct load *l)
{
	struct span rest = {l->tail.data, l->tail.len};
	int r = 0;

	while (rest.n && r == 0) {
		const struct log_entry *e = (const struct log_entry *)rest.p;

		r = replica_load_aside(s, e);
		rest = (struct span){rest.p + e->size, rest.n - e->size};
	}
	return r;
}

int replica_take(struct store *s, struct load *l)
{
	uint32_t partition = l->partition;
	struct replica *x = &s->replica[partition];
	struct partition *p = &s->part[partition];
	int r = engine_renew(s->base);

	check(!s->checkpoint_runs && !s->checkpoint_wanted);
	if (r < 0)
		return store_fail(s, r, "renew the read transaction");
	replica_void(s, partition, l->part.load_lsn);
	sessions_remove(s->sessions, partition);
	replica_load(s, partition, &l->part);
	x->broken = true; /* until nothing can fail any more */
	s->newest->at[partition] = l->part.settled;
	s->settled->at[partition] = l->part.settled;
	s->freeze->at[partition] = l->part.settled;
	p->synced = x->commit;
	p->mark = x->commit;
	p->clock_told = l->part.clock_ms;
	r = tail_take(s, l);
	if (r == 0)
		r = buckets_take(s, l);
	if (r == 0)
		r = sessions_load_of(s, partition);
	if (r < 0)
		return r == -ENOMEM ? store_fail(s, r, "no memory") : r;
	x->broken = false;
	s->directory_state++;
	s->asides = engine_has_tails(s->base);
	r = sweep_reset(s);
	check_slow(store_counts_agree(s));
	return r < 0 ? store_fail(s, r, "read base's expiry index: %s", strerror(-r)) : 0;
}
