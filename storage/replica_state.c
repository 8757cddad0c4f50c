/* What is told of a partition's copy. */
#include "storage/replica.h"

#include "common/check.h"
#include "storage/store_impl.h"

static const struct replica *replica_of(const struct store *s, uint32_t partition)
{
	check(s->replica && partition < s->copied);
	return &s->replica[partition];
}

struct log_place store_last(const struct store *s, uint32_t partition)
{
	const struct replica *x = replica_of(s, partition);

	if (x->broken)
		return (struct log_place){0, 0};
	return (struct log_place){x->term, s->newest->at[partition]};
}

uint64_t store_commit_sequence(const struct store *s, uint32_t partition)
{
	return replica_of(s, partition)->commit;
}

uint64_t store_synced_sequence(struct store *s, uint32_t partition)
{
	struct replica *x = &s->replica[partition];
	struct tail *t = &x->tail;
	uint64_t synced = wal_synced(s->wal);

	check(s->replica && partition < s->copied);
	if (s->part[partition].last_lsn <= synced) {
		x->synced = s->newest->at[partition];
		x->synced_at = t->end;
		return x->synced;
	}
	if (x->synced_at < t->begin)
		x->synced_at = t->begin;
	while (x->synced_at < t->end) {
		const struct tail_record *r = tail_at(t, x->synced_at);

		if (r->lsn > synced)
			break;
		x->synced = log_entry_last(tail_entry(r));
		x->synced_at = tail_next(r, x->synced_at);
	}
	return x->synced;
}

uint32_t store_spans(const struct store *s, uint32_t partition, struct log_span *out, uint32_t max)
{
	const struct log_spans *x = &replica_of(s, partition)->spans;
	uint32_t n = x->count < max ? x->count : max;

	for (uint32_t i = 0; i < n; i++)
		out[i] = x->at[x->count - n + i];
	return n;
}

void store_tail_of(const struct store *s, uint32_t partition, struct store_tail *ret)
{
	const struct tail *t = &replica_of(s, partition)->tail;

	*ret = (struct store_tail){tail_bytes(t), t->records};
}

void store_tail_each(const struct store *s, uint32_t partition,
		     void (*each)(void *arg, const struct log_entry *e), void *arg)
{
	const struct tail *t = &replica_of(s, partition)->tail;

	for (uint64_t at = t->begin; at < t->end; at = tail_next(tail_at(t, at), at))
		each(arg, tail_entry(tail_at(t, at)));
}

static uint64_t percent(uint64_t n, uint64_t of)
{
	return n * 100 / of;
}

unsigned store_tail_pressure(const struct store *s, uint32_t partition)
{
	const struct tail *t = &replica_of(s, partition)->tail;
	uint64_t most = percent(tail_bytes(t), STORE_TAIL_BYTES);
	uint64_t records = percent(t->records, STORE_TAIL_RECORDS);
	uint64_t all = percent(s->tails_bytes, STORE_TAILS_BYTES);

	most = records > most ? records : most;
	most = all > most ? all : most;
	return most > 100 ? 100 : (unsigned)most;
}

uint64_t store_observed_sequence(const struct store *s)
{
	return stamp_sequence(s->head.observed_stamp);
}
