/* The round: what arrives, what has been synced, what may be told. */
#include "worker/replication.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "common/check.h"
#include "common/log.h"
#include "storage/snapshot.h"
#include "worker/replication_impl.h"
#include "worker/loop.h"
#include "worker/ops.h"
#include "worker/recovery.h"

#define RECENT_BYTES (8u << 20) /* or room for two of the largest records */
#define ARRIVE_BYTES (1u << 20) /* taken in a step */
#define TICK_MS      20u
#define LEASE_MS     5u    /* between looks at leases that replies wait for */
#define OVER_MS      1000u /* so long other partitions may find the same, before the restart */
#define FULL_UNTIL   80u   /* percent of a backup's room that may be used when it has room again */

/* ---- making ---- */

static void line_begin(struct replication *c, struct line *l, uint32_t partition)
{
	const struct settings *g = &c->w->segment->header->settings;
	struct member self = {g->member_store, atomic_load(&g->member_node), 0};
	struct spans spans = {0};

	_Static_assert(sizeof(struct log_span) == sizeof(struct span_term) &&
			       LOG_SPANS_MAX == SPANS_MAX,
		       "one and the same");
	spans.count =
		store_spans(c->w->store, partition, (struct log_span *)(void *)spans.at, SPANS_MAX);
	copy_init(&l->copy, partition, self, &spans, store_commit_sequence(c->w->store, partition),
		  &replication_ops, c);
	if (!store_whole(c->w->store, partition))
		copy_broken(&l->copy);
	l->synced = spans_last(&spans).sequence;
	atomic_store_explicit(&c->w->segment->lease[partition].log_term, spans_last(&spans).term,
			      memory_order_relaxed);
}

static uint64_t recent_bytes(const struct settings *g)
{
	uint64_t most = 2 * (g->group_max > g->value_max ? g->group_max : g->value_max);
	uint64_t n = RECENT_BYTES;

	while (n < most)
		n *= 2;
	return n;
}

static int replication_fill(struct replication *c)
{
	int r = pending_new(c->lines + 1, &c->pending);

	if (r == 0)
		r = recent_new(recent_bytes(&c->w->segment->header->settings), &c->recent);
	if (r < 0)
		return r;
	c->dirty = calloc(c->lines, sizeof(*c->dirty));
	c->peer = calloc(REPLICA_NODES_MAX, sizeof(*c->peer));
	if (!c->dirty || !c->peer)
		return -ENOMEM;
	for (uint32_t n = 0; n < REPLICA_NODES_MAX; n++)
		buf_init(&c->peer[n].batch);
	for (uint32_t i = 0; i < c->lines; i++)
		line_begin(c, &c->line[i], c->first + i * c->stride);
	return 0;
}

int replication_new(struct worker *w, struct replication **ret)
{
	const struct settings *g = &w->segment->header->settings;
	uint32_t lines = g->partitions / g->workers + (g->worker < g->partitions % g->workers);
	struct replication *c = calloc(1, sizeof(*c) + lines * sizeof(c->line[0]));
	int r;

	*ret = NULL;
	if (!c)
		return -ENOMEM;
	c->w = w;
	c->lines = lines;
	c->first = g->worker;
	c->stride = g->workers;
	c->life = atomic_load(&w->status->life);
	c->started = status_get(&w->status->started);
	c->arrive_read = ring_tail(&w->segment->arrive);
	c->synced_lsn = store_synced(w->store);
	c->ship_published = w->segment->ship.write;
	buf_init(&c->late);
	for (uint32_t i = 0; i < SNAPSHOT_WINDOW; i++) {
		buf_init(&c->teaching.piece[i]);
		buf_init(&c->learning.piece[i]);
	}
	r = replication_fill(c);
	if (r < 0)
		replication_free(&c);
	*ret = c;
	return r;
}

void replication_free(struct replication **cp)
{
	struct replication *c = *cp;

	if (!c)
		return;
	if (c->peer)
		ship_free(c);
	pending_free(&c->pending);
	recent_free(&c->recent);
	teach_free(c);
	learn_free(c);
	buf_fini(&c->late);
	free(c->dirty);
	free(c->peer);
	free(c);
	*cp = NULL;
}

uint64_t replication_random(void)
{
	uint64_t n = 0;

	while (!n)
		check(getrandom(&n, sizeof(n), 0) == sizeof(n));
	return n;
}

/* ---- what arrives ---- */

/*
 * Replies of a partition without other members have gone behind the log's sync alone.  A member that
 * counts from now on must have all that they tell, so none of them may be on its way.
 */
static void alone_end(struct replication *c, struct line *l)
{
	uint64_t lsn = store_lsn(c->w->store);

	if (!l->alone)
		return;
	l->alone = false;
	while (store_synced(c->w->store) < lsn && !c->w->error && !c->w->orphan) {
		const struct timespec pause = {0, 50000};

		worker_wait(c->w);
		(void)nanosleep(&pause, NULL);
	}
	copy_synced(&l->copy, store_synced_sequence(c->w->store, l->copy.partition));
}

/* Replies of requests that a predecessor left, of a partition that is led from now on. */
static void lead_begun(struct replication *c, struct line *l)
{
	uint32_t epoch = term_epoch(l->copy.term);

	/* Another may have led meanwhile: what was meant for before may stand in the ring still, and
	 * whoever sent it has given it up, and sent on behind it. */
	if (l->led_epoch && l->led_epoch != epoch && l->asked) {
		l->turned_away = true;
		l->gate = l->gate_seen;
	}
	l->led_epoch = epoch;
	if (c->w->recovery)
		recovery_lead(c->w->recovery, c->w, l->copy.partition);
}

static void order_take(struct replication *c, struct line *l, const struct parcel_order *o)
{
	enum copy_role before = l->copy.role;
	uint64_t term = l->copy.term;

	if (o->head.size < sizeof(*o) || o->count > REPLICA_MEMBERS_MAX) {
		worker_fail(c->w, -EBADMSG, "an order that is none has come");
		return;
	}
	if (!l->copy.self.node) /* known by now */
		l->copy.self.node = atomic_load(&c->w->segment->header->settings.member_node);
	if (o->kind == ORDER_VIEW && o->count)
		alone_end(c, l);
	c->by = o->member;
	c->by_count = o->count;
	copy_order(&l->copy, o, c->w->now_ms);
	c->by_count = 0;
	ship_members(c, l);
	if (o->kind == ORDER_FORGET)
		learn_forget(c, l);
	if (l->copy.role == COPY_BACKUP &&
	    store_role(c->w->store, l->copy.partition) != STORE_BACKUP)
		store_follow(c->w->store, l->copy.partition);
	if (l->copy.role == COPY_PRIMARY && (before != COPY_PRIMARY || l->copy.term != term))
		lead_begun(c, l);
}

/* What another node has sent is checked here: that lengths are true. */
static bool append_sane(const struct parcel_append *p)
{
	const char *at = (const char *)(p + 1);
	uint64_t left = p->bytes;

	if (p->head.size < sizeof(*p) || p->bytes != p->head.size - sizeof(*p))
		return false;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct parcel_entry *e = (const void *)at;

		if (left < sizeof(*e) || e->size < sizeof(*e) || e->size % 8 || e->size > left ||
		    !e->count || e->partition != p->head.partition)
			return false;
		at += e->size;
		left -= e->size;
	}
	return !left;
}

static bool ack_sane(const struct parcel_ack *p)
{
	return p->head.size >= sizeof(*p) && p->spans <= SPANS_TOLD && p->from.node &&
	       p->from.node < REPLICA_NODES_MAX &&
	       p->head.size == sizeof(*p) + p->spans * sizeof(struct span_term);
}

static bool piece_sane(const struct parcel_piece *p)
{
	return p->head.size >= sizeof(*p) && p->from.node && p->from.node < REPLICA_NODES_MAX &&
	       p->head.size == sizeof(*p) + ring_round(p->bytes);
}

static bool pieced_sane(const struct parcel_pieced *p)
{
	return p->head.size == sizeof(*p) && p->from.node && p->from.node < REPLICA_NODES_MAX;
}

static void parcel_take(struct replication *c, const struct parcel *p)
{
	struct line *l = line_of(c, p->partition);
	const struct parcel_append *append = (const void *)p;
	const struct parcel_ack *answer = (const void *)p;
	const struct parcel_piece *piece = (const void *)p;
	const struct parcel_pieced *pieced = (const void *)p;
	bool sane = l != NULL;

	if (sane && p->kind == PARCEL_ORDER) {
		order_take(c, l, (const void *)p);
	} else if (sane && p->kind == PARCEL_APPEND && append_sane(append)) {
		copy_append(&l->copy, append, c->w->now_ms);
	} else if (sane && p->kind == PARCEL_ACK && ack_sane(answer)) {
		copy_ack(&l->copy, answer, c->w->now_ms);
		ship_acked(c, l, answer->from.node);
	} else if (sane && p->kind == PARCEL_PIECE && piece_sane(piece)) {
		learn_piece(c, l, piece);
	} else if (sane && p->kind == PARCEL_PIECED && pieced_sane(pieced)) {
		teach_answer(c, l, pieced);
	} else {
		sane = false;
	}
	if (!sane)
		log_warn("a parcel of kind %u for partition %u makes no sense: dropped", p->kind,
			 p->partition);
}

static void arrive_take(struct replication *c)
{
	struct ring *ring = &c->w->segment->arrive;
	uint64_t head = ring_head(ring);
	uint64_t end = c->arrive_read + ARRIVE_BYTES;

	check(head - c->arrive_read <= ring->size);
	while (c->arrive_read < head && c->arrive_read < end && !c->w->error) {
		const struct parcel *p = ring_at(ring, c->arrive_read);
		uint32_t size = p->size;

		check(size >= sizeof(*p) && size % RING_ALIGN == 0 &&
		      size <= head - c->arrive_read);
		parcel_take(c, p);
		c->arrive_read += size;
		ring_free(ring, c->arrive_read);
		store_work(c->w->store, work_bytes(size));
	}
}

bool replication_ready(struct replication *c)
{
	return atomic_load_explicit(&c->w->status->roles, memory_order_acquire) == c->life + 1 &&
	       ring_head(&c->w->segment->arrive) == c->arrive_read;
}

/* ---- what is on disk ---- */

static void synced_look(struct replication *c)
{
	_Atomic uint64_t *since = &c->w->status->unsynced_ms;
	uint64_t lsn = store_synced(c->w->store);

	if (lsn >= store_lsn(c->w->store))
		status_set(since, 0);
	else if (lsn != c->synced_lsn || !status_get(since))
		status_set(since, c->w->now_ms);
	if (lsn == c->synced_lsn)
		return;
	c->synced_lsn = lsn;
	for (uint32_t i = 0; i < c->lines; i++) {
		struct line *l = &c->line[i];
		uint64_t sequence;

		if (!l->waits_sync)
			continue;
		sequence = store_synced_sequence(c->w->store, l->copy.partition);
		l->waits_sync = sequence < spans_last(&l->copy.spans).sequence;
		copy_synced(&l->copy, sequence);
	}
}

/* ---- the round ---- */

static void tick(struct replication *c)
{
	if (c->w->now_ms - c->ticked_ms < TICK_MS)
		return;
	c->ticked_ms = c->w->now_ms;
	for (uint32_t i = 0; i < c->lines; i++) {
		struct line *l = &c->line[i];

		copy_tick(&l->copy, c->w->now_ms);
		if (l->copy.full &&
		    store_tail_pressure(c->w->store, l->copy.partition) < FULL_UNTIL)
			copy_room(&l->copy);
		check_slow(copy_agrees(&l->copy));
	}
	ship_retain(c);
	lag_tick(c);
	if (!c->over_ms && store_must_restart(c->w->store))
		c->over_ms = c->w->now_ms;
}

void replication_step(struct replication *c)
{
	c->step++;
	ship_written(c);
	arrive_take(c);
	synced_look(c);
	tick(c);
	if (c->late.len)
		reports_again(c);
	ship_step(c);
	learn_step(c);
	teach_step(c);
	if (!c->w->error)
		held_step(c);
}

bool replication_publish(struct replication *c)
{
	struct ring *ring = &c->w->segment->ship;

	if (ring->write == c->ship_published)
		return false;
	c->ship_published = ring->write;
	ring_publish(ring, ring->write);
	return true;
}

bool replication_stirred(struct replication *c)
{
	return ring_head(&c->w->segment->arrive) != c->arrive_read ||
	       atomic_load_explicit(&c->w->status->synced, memory_order_acquire) != c->synced_lsn ||
	       (c->dirty_count && !c->ship_full) || c->late.len || teach_stirred(c);
}

unsigned replication_idle_ms(struct replication *c, unsigned ms)
{
	bool soon = pending_any(c->pending) || c->ship_full || c->behind ||
		    c->teaching.state != TEACHING_NOTHING || c->learning.state != LEARNING_NOTHING;
	unsigned most = soon ? LEASE_MS : TICK_MS;

	return ms < most ? ms : most;
}

bool replication_quiet(const struct replication *c)
{
	return !pending_any(c->pending);
}

bool replication_over(struct replication *c)
{
	return c->over_ms && c->w->now_ms - c->over_ms >= OVER_MS;
}
