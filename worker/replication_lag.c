/*
 * How far behind a node's copies are, in time: a mark is set at the end of a partition's log, and how
 * long it takes until the copy has acknowledged that is its lag.  One mark at a time for each copy.
 */
#include "worker/loop.h"
#include "worker/replication_impl.h"

#define TELL_MS 1000u

void lag_acked(const struct replication *c, struct sending *s, uint64_t acked)
{
	if (!s->lag_mark || acked < s->lag_mark)
		return;
	s->lag_ms = c->w->now_ms - s->lag_at_ms;
	s->lag_mark = 0;
}

/* Of one copy, in ms: what it took last, or what it has been taking so far. */
static uint64_t lag_look(const struct replication *c, struct line *l, uint32_t i)
{
	struct sending *s = &l->to[i];
	uint64_t acked = l->copy.members[i].acked;
	uint64_t last = spans_last(&l->copy.spans).sequence;
	uint64_t so_far;

	lag_acked(c, s, acked);
	if (!s->lag_mark && acked >= last) {
		s->lag_ms = 0;
	} else if (!s->lag_mark) {
		s->lag_mark = last;
		s->lag_at_ms = c->w->now_ms;
	}
	so_far = s->lag_mark ? c->w->now_ms - s->lag_at_ms : 0;
	return so_far > s->lag_ms ? so_far : s->lag_ms;
}

/* To the coordinator, for people; what finds no room is told a second later. */
static void lag_tell(struct replication *c, uint32_t node, uint64_t ms)
{
	struct ring *ring = &c->w->segment->ship;
	struct parcel_lag *p = ring_reserve(ring, sizeof(*p));

	if (!p)
		return;
	*p = (struct parcel_lag){
		{sizeof(*p), PARCEL_LAG, 0, node, 0},
                ms
        };
	ring_commit(ring, sizeof(*p));
}

void lag_tick(struct replication *c)
{
	bool copies[REPLICA_NODES_MAX] = {false};
	uint64_t most[REPLICA_NODES_MAX] = {0};

	for (uint32_t n = 0; n < c->lines; n++) {
		struct line *l = &c->line[n];

		for (uint32_t i = 0; l->copy.role == COPY_PRIMARY && i < l->copy.count; i++) {
			uint32_t node = l->to[i].id.node;
			uint64_t ms = lag_look(c, l, i);

			copies[node] = true;
			if (ms > most[node])
				most[node] = ms;
		}
	}
	if (c->w->now_ms - c->lag_told_ms < TELL_MS)
		return;
	c->lag_told_ms = c->w->now_ms;
	for (uint32_t node = 1; node < REPLICA_NODES_MAX; node++)
		if (copies[node])
			lag_tell(c, node, most[node]);
}
