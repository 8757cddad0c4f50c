/*
 * Snapshots from primaries of partitions whose copies here are no good, one at a time.  Pieces wait
 * here until the store takes them: its own thread writes them.
 */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "storage/snapshot.h"
#include "worker/loop.h"
#include "worker/replication_impl.h"

#define OFFERED_MS 2000u  /* a ticket was given, and no piece comes */
#define STILL_MS   10000u /* nothing comes any more, or nothing can be taken in */
#define FULL_MS    1000u  /* between two tries when there is no room */

/* ---- answers ---- */

static void answer(struct replication *c, const struct line *l, const struct parcel_pieced *x)
{
	struct parcel_pieced *p = (struct parcel_pieced *)(void *)worker_parcel(
		c->w, RING_IMMEDIATE, (uint32_t)sizeof(*p));

	if (!p) /* this worker is ending */
		return;
	*p = *x;
	p->head = (struct parcel){sizeof(*p), PARCEL_PIECED, (uint16_t)l->copy.partition,
				  x->head.node, 0};
	p->from = l->copy.self;
}

/* To a piece, of whatever snapshot. */
static void answer_to(struct replication *c, const struct line *l, const struct parcel_piece *p,
		      enum pieced_kind kind)
{
	const struct parcel_pieced x = {
		.head.node = p->from.node,
		.term = p->term,
		.snapshot = p->snapshot,
		.ticket = p->ticket,
		.kind = (uint32_t)kind,
	};

	answer(c, l, &x);
}

/* Of the one in hand. */
static void answer_now(struct replication *c, enum pieced_kind kind)
{
	struct learning *n = &c->learning;
	const struct parcel_pieced x = {
		.head.node = n->from.node,
		.term = n->term,
		.snapshot = n->snapshot,
		.ticket = n->ticket,
		.taken = n->taken,
		.come = n->come,
		.kind = (uint32_t)kind,
	};

	answer(c, &c->line[n->line], &x);
}

/* ---- the end ---- */

static void pieces_drop(struct learning *n)
{
	for (uint32_t k = 0; k < SNAPSHOT_WINDOW; k++) {
		buf_fini(&n->piece[k]); /* one may have had a large row */
		buf_init(&n->piece[k]);
	}
}

/* What the store has taken goes; until it has, no other may come in. */
static void left(struct replication *c)
{
	struct learning *n = &c->learning;
	struct line *l = &c->line[n->line];
	int r = 0;

	if (n->begun && l->copy.role != COPY_PRIMARY)
		r = store_forget(c->w->store, l->copy.partition);
	if (r == -EBUSY) {
		n->state = LEARNING_LEFT;
		return;
	}
	if (r == -EIO || r == -ENOMEM)
		worker_fail(c->w, r, store_why(c->w->store));
	else if (l->copy.role == COPY_BACKUP)
		store_follow(c->w->store, l->copy.partition);
	n->begun = false;
	n->state = LEARNING_NOTHING;
}

static void learn_end(struct replication *c, const char *why)
{
	struct learning *n = &c->learning;

	if (n->begun || n->come)
		log_info("partition %u: its snapshot from node %u is given up: %s",
			 c->line[n->line].copy.partition, n->from.node, why);
	answer_now(c, PIECED_VOID);
	pieces_drop(n);
	left(c);
}

void learn_forget(struct replication *c, struct line *l)
{
	struct learning *n = &c->learning;
	int r;

	if (n->state != LEARNING_NOTHING && n->line == line_number(c, l)) {
		pieces_drop(n);
		n->state = LEARNING_NOTHING;
		n->begun = false; /* the store ends it as well */
	}
	copy_forgotten(&l->copy);
	do
		r = store_forget(c->w->store, l->copy.partition);
	while (r == -EBUSY && worker_wait_room(c->w));
	if (r < 0)
		worker_fail(c->w, r, store_why(c->w->store));
}

void learn_free(struct replication *c)
{
	pieces_drop(&c->learning);
}

/* ---- what comes ---- */

static void offer_take(struct replication *c, struct line *l, const struct parcel_piece *p)
{
	struct learning *n = &c->learning;
	bool mine = n->state != LEARNING_NOTHING && n->line == line_number(c, l);
	bool full = n->full_ms && c->w->now_ms - n->full_ms < FULL_MS;

	if (mine && n->state != LEARNING_LEFT && p->term >= n->term &&
	    p->snapshot != n->snapshot) /* who sent that one begins anew */
		learn_end(c, "another one is offered");
	if (n->state != LEARNING_NOTHING && p->snapshot == n->snapshot) {
		answer_now(c, PIECED_TAKE);
		return;
	}
	if (n->state != LEARNING_NOTHING || full || store_must_restart(c->w->store)) {
		answer_to(c, l, p, PIECED_NOT_NOW);
		return;
	}
	*n = (struct learning){
		.state = LEARNING_OFFERED,
		.line = line_number(c, l),
		.from = p->from,
		.term = p->term,
		.snapshot = p->snapshot,
		.ticket = replication_random(),
		.sequence = p->sequence,
		.moved_ms = c->w->now_ms,
		.done = n->done,
		.done_ticket = n->done_ticket,
		.done_at = n->done_at,
	};
	for (uint32_t k = 0; k < SNAPSHOT_WINDOW; k++)
		buf_init(&n->piece[k]);
	if (!copy_offered(&l->copy, p, n->ticket)) {
		n->state = LEARNING_NOTHING;
		return;
	}
	answer_now(c, PIECED_TAKE);
}

static void done_again(struct replication *c, const struct line *l, const struct parcel_piece *p)
{
	const struct parcel_pieced x = {
		.head.node = p->from.node,
		.term = p->term,
		.snapshot = p->snapshot,
		.ticket = p->ticket,
		.at = c->learning.done_at,
		.kind = PIECED_DONE,
	};

	answer(c, l, &x);
}

void learn_piece(struct replication *c, struct line *l, const struct parcel_piece *p)
{
	struct learning *n = &c->learning;
	struct buf *b;

	if (p->flags & PIECE_OFFER) {
		offer_take(c, l, p);
		return;
	}
	if (p->snapshot == n->done && p->ticket == n->done_ticket) {
		done_again(c, l, p);
		return;
	}
	if ((n->state != LEARNING_OFFERED && n->state != LEARNING) || p->snapshot != n->snapshot ||
	    p->ticket != n->ticket || n->line != line_number(c, l)) {
		answer_to(c, l, p, PIECED_VOID);
		return;
	}
	if (n->state == LEARNING_OFFERED) {
		if (!copy_may_load(&l->copy, p)) {
			learn_end(c, "its ticket is void");
			return;
		}
		n->state = LEARNING;
	}
	if (p->number != n->come || n->last || n->come - n->taken >= SNAPSHOT_WINDOW) {
		answer_now(c, PIECED_TAKE); /* it is sent again from there */
		return;
	}
	b = &n->piece[n->come % SNAPSHOT_WINDOW];
	b->len = 0;
	buf_add(b, p + 1, p->bytes);
	if (b->failed) {
		b->failed = false;
		return; /* no memory now: it is sent again */
	}
	n->come++;
	n->last = p->flags & PIECE_LAST;
	n->sequence = p->sequence;
	n->moved_ms = c->w->now_ms;
}

/* ---- into the store ---- */

static bool is_now(int r)
{
	return r != -EAGAIN && r != -EBUSY && r != -ENOSPC;
}

/* Not 0: not now, or it has ended. */
static int failed(struct replication *c, int r)
{
	struct learning *n = &c->learning;

	if (r == -ENOSPC)
		n->full_ms = c->w->now_ms;
	if (r == -EIO || r == -ENOMEM)
		worker_fail(c->w, r, store_why(c->w->store));
	else if (r < 0 && is_now(r)) {
		log_warn("partition %u: a snapshot from node %u: %s",
			 c->line[n->line].copy.partition, n->from.node, store_why(c->w->store));
		learn_end(c, "it is not taken in");
	}
	return r;
}

static int load_begin(struct replication *c)
{
	struct learning *n = &c->learning;
	struct line *l = &c->line[n->line];
	const struct parcel_piece p = {.term = n->term, .ticket = n->ticket};
	int r;

	if (n->begun)
		return 0;
	if (!copy_may_load(&l->copy, &p)) {
		learn_end(c, "its ticket is void");
		return -ESTALE;
	}
	r = store_load_begin(c->w->store, l->copy.partition);
	if (r < 0)
		return failed(c, r);
	n->begun = true;
	l->waits_sync = false;
	copy_load(&l->copy);
	return 0;
}

static int pieces_load(struct replication *c)
{
	struct learning *n = &c->learning;
	uint32_t before = n->taken;
	int r = 0;

	while (n->taken < n->come && r == 0) {
		struct buf *b = &n->piece[n->taken % SNAPSHOT_WINDOW];

		if (b->len) /* the last one may only say that it is */
			r = store_load_piece(c->w->store, c->line[n->line].copy.partition,
					     (struct span){b->data, b->len});
		if (r == 0)
			n->taken++;
	}
	if (n->taken != before) {
		n->moved_ms = c->w->now_ms;
		answer_now(c, PIECED_TAKE);
	}
	return failed(c, r);
}

static void loaded(struct replication *c)
{
	struct learning *n = &c->learning;
	struct line *l = &c->line[n->line];
	struct spans spans = {0};
	uint32_t partition = l->copy.partition;

	spans.count =
		store_spans(c->w->store, partition, (struct log_span *)(void *)spans.at, SPANS_MAX);
	copy_loaded(&l->copy, &spans, store_commit_sequence(c->w->store, partition));
	l->synced = spans_last(&spans).sequence;
	n->done = n->snapshot;
	n->done_ticket = n->ticket;
	n->done_at = spans_last(&spans);
	n->begun = false;
	n->state = LEARNING_NOTHING;
	pieces_drop(n);
	done_again(c, l,
		   &(struct parcel_piece){.from = n->from,
					  .term = n->term,
					  .snapshot = n->snapshot,
					  .ticket = n->ticket});
}

static void load(struct replication *c)
{
	struct learning *n = &c->learning;
	int r;

	if (n->full_ms && c->w->now_ms - n->full_ms < FULL_MS)
		return;
	n->full_ms = 0;
	if (load_begin(c) < 0 || pieces_load(c) < 0 || !n->last || n->taken < n->come)
		return;
	/* It may have become so since it was asked. */
	r = store_whole(c->w->store, c->line[n->line].copy.partition)
		    ? 0
		    : store_load_end(c->w->store, c->line[n->line].copy.partition);
	if (r == 0)
		loaded(c);
	else
		(void)failed(c, r);
}

void learn_step(struct replication *c)
{
	struct learning *n = &c->learning;
	uint64_t still_ms = c->w->now_ms - n->moved_ms;

	if (n->state == LEARNING_NOTHING || c->w->error)
		return;
	if (n->state == LEARNING_LEFT)
		left(c);
	else if (c->line[n->line].copy.seen > n->term)
		learn_end(c, "there is a newer term");
	else if (n->state == LEARNING_OFFERED && still_ms > OFFERED_MS)
		n->state = LEARNING_NOTHING;
	else if (n->state == LEARNING && still_ms > STILL_MS)
		learn_end(c, "nothing moved");
	else if (n->state == LEARNING)
		load(c);
}
