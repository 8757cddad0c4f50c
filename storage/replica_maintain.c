/* What checkpoints take of partitions with copies, and what is swept. */
#include <errno.h>
#include <stdlib.h>

#include "storage/store_impl.h"

/* ---- checkpoints ---- */

void replicas_freeze(struct store *s)
{
	for (uint32_t i = 0; i < s->partitions; i++) {
		check(s->replica[i].commit >= s->freeze->at[i]);
		s->freeze->at[i] = s->replica[i].commit;
	}
}

/* What a change that has taken effect, and is not taken, weighs. */
static uint64_t change_weight(struct store *s, const struct log_change *c, uint64_t version)
{
	uint64_t hash = cache_hash(s->cache, c->bucket, c->key);
	struct entry *e = cache_find(s->cache, hash, c->bucket, c->key);

	store_work(s, 4);
	return e && e->version == version ? entry_weight(e->key_len, e->value_len) : 0;
}

uint64_t replicas_active(struct store *s)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < s->copied; i++) {
		const struct tail *t = &s->replica[i].tail;

		for (uint64_t at = t->begin; at < t->applied; at = tail_next(tail_at(t, at), at)) {
			struct log_changes x;
			struct log_change c;

			log_changes_begin(&x, tail_entry(tail_at(t, at)));
			while (log_changes_next(&x, &c) == 1)
				if (c.key.n)
					bytes += change_weight(s, &c, x.sequence);
		}
	}
	return bytes;
}

static void parked_settled(struct store *s, struct replica *x)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < x->parked_count; i++)
		if (!marks_cover_stamp(s->settled, x->parked[i].stamp))
			x->parked[n++] = x->parked[i]; /* else base's index has it */
	x->parked_count = n;
}

void replicas_settled(struct store *s)
{
	for (uint32_t i = 0; i < s->copied; i++) {
		spans_prune(&s->replica[i].spans, s->settled->at[i]);
		parked_settled(s, &s->replica[i]);
	}
	s->asides = engine_has_tails(s->base);
}

uint32_t replicas_clock_partition(const struct store *s)
{
	uint32_t n = s->partitions;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t p = (s->last_partition + i) % n;

		if (s->replica[p].role == STORE_PRIMARY && !s->replica[p].undone)
			return p;
	}
	return UINT32_MAX;
}

/* How far all is committed, as a record of its own. */
static int commit_append(struct store *s, uint32_t partition)
{
	struct log_place place = {s->replica[partition].term, s->replica[partition].commit};
	int r = 0;
	struct log_frame *f = log_room(s, LOG_RECORD_BYTES + sizeof(place), false, &r);
	char *p;

	if (!f)
		return r == -EBUSY ? 0 : r;
	p = entry_begin(s, f, LOG_COMMIT, partition, s->newest->at[partition], 0);
	log_entry_end(f, log_place_write(p, &place));
	(void)replica_log(s, f, 0);
	s->commit_bytes += log_record_size(f);
	return 0;
}

/*
 * Base has something set aside, and what of it is committed by now could go in.  But there is nothing
 * new in the log, and nothing else begins a checkpoint: say there how far it is.
 */
int replicas_tick(struct store *s)
{
	if (!s->asides || s->undone || s->log.active || s->checkpoint_runs || s->checkpoint_wanted)
		return 0;
	for (uint32_t i = 0; i < s->copied; i++)
		if (s->replica[i].commit > s->settled->at[i])
			return commit_append(s, i);
	return 0;
}

/* ---- what has expired ---- */

int replica_park(struct store *s, struct expiry_node n)
{
	struct replica *x = &s->replica[bucket_partition(n.stamp)];

	if (x->parked_count == x->parked_room) {
		uint64_t room = x->parked_room ? 2 * x->parked_room : 16;
		struct expiry_node *p = realloc(x->parked, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		x->parked = p;
		x->parked_room = room;
	}
	x->parked[x->parked_count++] = n;
	return 0;
}

int replica_unpark(struct store *s, uint32_t partition)
{
	struct replica *x = &s->replica[partition];

	if (expiry_heap_reserve(&s->expiry, x->parked_count) < 0)
		return store_fail(s, -ENOMEM, "no memory");
	for (uint64_t i = 0; i < x->parked_count; i++)
		expiry_heap_add(&s->expiry, x->parked[i]);
	free(x->parked);
	x->parked = NULL;
	x->parked_count = 0;
	x->parked_room = 0;
	return 0;
}
