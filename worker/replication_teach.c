/*
 * Snapshots for members that nothing else helps, one at a time: it is offered, and whoever says that
 * it can take it in is sent the pieces, a few on their way at once.  What comes after it is in the
 * log, which is kept meanwhile.
 *
 * A piece is read in a round of the worker, and stays here until it has been taken in: what is lost
 * on the way is sent again.
 */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "storage/snapshot.h"
#include "worker/loop.h"
#include "worker/replication_impl.h"

#define OFFER_MS  500u    /* for the answer to an offer */
#define OPENS_MS  1500u   /* for base to be as it must be, less than the ticket is good for */
#define SILENT_MS 1000u   /* who has not answered is left alone for so long */
#define TURN_MS   200u    /* between two offers of the same one */
#define LOOK_MS   50u     /* between looks at who needs one */
#define AGAIN_MS  300u    /* what is not said to have come by then is sent again */
#define STILL_MS  10000u  /* nothing moved: given up */
#define OPEN_MS   600000u /* base grows while it is read: likewise */

/* ---- who needs one ---- */

static int member_place(const struct line *l, struct member m)
{
	for (uint32_t i = 0; i < l->copy.count; i++)
		if (member_is(l->copy.members[i].id, m))
			return (int)i;
	return -1;
}

/* Is the snapshot in hand still wanted? */
static bool is_wanted(const struct replication *c)
{
	const struct teaching *t = &c->teaching;
	const struct line *l = &c->line[t->line];
	int i = member_place(l, t->to);

	return i >= 0 && l->copy.term == t->term && copy_wants_snapshot(&l->copy, (uint32_t)i);
}

/* Whose turn it is: who was offered one longest ago, and of those who waits longest. */
static bool next_find(struct replication *c, struct line **ret_line, uint32_t *ret_i)
{
	struct sending *best = NULL;
	uint64_t now_ms = c->w->now_ms;

	for (uint32_t n = 0; n < c->lines; n++) {
		struct line *l = &c->line[n];

		for (uint32_t i = 0; l->copy.role == COPY_PRIMARY && i < l->copy.count; i++) {
			struct sending *s = &l->to[i];

			if (!copy_wants_snapshot(&l->copy, i)) {
				s->anew_ms = s->offered_ms = 0;
				continue;
			}
			if (!s->anew_ms)
				s->anew_ms = now_ms;
			if (now_ms - s->offered_ms < TURN_MS ||
			    now_ms < c->peer[s->id.node].silent_ms)
				continue;
			if (best &&
			    (s->offered_ms > best->offered_ms ||
			     (s->offered_ms == best->offered_ms && s->anew_ms >= best->anew_ms)))
				continue;
			best = s;
			*ret_line = l;
			*ret_i = i;
		}
	}
	return best != NULL;
}

/* ---- the end ---- */

static void landed(struct replication *c, uint32_t slot)
{
	struct teaching *t = &c->teaching;

	ship_landed(c, t->to.node, t->flying[slot]);
	t->flying[slot] = 0;
	t->piece[slot].len = 0;
}

static void teach_end(struct replication *c, const char *why)
{
	struct teaching *t = &c->teaching;

	if (why)
		log_info("partition %u: the snapshot for node %u is given up: %s",
			 c->line[t->line].copy.partition, t->to.node, why);
	for (uint32_t k = 0; k < SNAPSHOT_WINDOW; k++)
		landed(c, k);
	store_copy_close(&t->copy);
	t->state = TEACHING_NOTHING;
	t->looked_ms = 0; /* the next one's turn is now */
}

void teach_free(struct replication *c)
{
	struct teaching *t = &c->teaching;

	store_copy_close(&t->copy);
	for (uint32_t k = 0; k < SNAPSHOT_WINDOW; k++)
		buf_fini(&t->piece[k]);
}

/* ---- sending ---- */

static bool piece_send(struct replication *c, uint32_t number, uint32_t flags, struct span bytes)
{
	struct teaching *t = &c->teaching;
	const struct copy *k = &c->line[t->line].copy;
	uint64_t size = sizeof(struct parcel_piece) + ring_round(bytes.n);
	struct ring *ring = &c->w->segment->ship;
	struct parcel_piece *p = ring_reserve(ring, size);

	if (!p)
		return false;
	*p = (struct parcel_piece){
		.head = {(uint32_t)size, PARCEL_PIECE, (uint16_t)k->partition, t->to.node, 0},
		.from = k->self,
		.term = t->term,
		.snapshot = t->snapshot,
		.ticket = t->ticket,
		.sequence = t->sequence,
		.number = number,
		.flags = flags,
		.bytes = (uint32_t)bytes.n,
	};
	if (bytes.n)
		memcpy(p + 1, bytes.p, bytes.n);
	memset((char *)(p + 1) + bytes.n, 0, size - sizeof(*p) - bytes.n);
	ring_commit(ring, size);
	t->sent_ms = c->w->now_ms;
	return true;
}

static void offer(struct replication *c, struct line *l, uint32_t i)
{
	struct teaching *t = &c->teaching;

	l->to[i].offered_ms = c->w->now_ms;
	t->line = line_number(c, l);
	t->to = l->to[i].id;
	t->term = l->copy.term;
	t->snapshot = replication_random();
	t->ticket = 0;
	t->sequence = l->copy.commit;
	t->read = t->sent = t->come = t->taken = 0;
	t->bytes = 0;
	if (piece_send(c, 0, PIECE_OFFER, (struct span){"", 0}))
		t->state = TEACHING_OFFERED;
}

/* The next piece out of base, if there is room for it here.  Behind the last one there is an empty
 * one, which says so. */
static void piece_read(struct replication *c)
{
	struct teaching *t = &c->teaching;
	struct buf *b = &t->piece[t->read % SNAPSHOT_WINDOW];
	int r;

	if (!t->copy || t->read - t->taken >= SNAPSHOT_WINDOW)
		return;
	r = store_copy_next(t->copy, b, STORE_PIECE_BYTES);
	if (r < 0) {
		log_warn("partition %u: read it for node %u: %s", c->line[t->line].copy.partition,
			 t->to.node, store_why(c->w->store));
		teach_end(c, "it cannot be read");
		return;
	}
	t->read++;
	t->bytes += b->len;
	if (!r)
		store_copy_close(&t->copy);
}

static void pieces_send(struct replication *c)
{
	struct teaching *t = &c->teaching;
	struct peer *peer = &c->peer[t->to.node];

	if (t->sent > t->come && c->w->now_ms - t->sent_ms > AGAIN_MS)
		t->sent = t->come;
	while (t->sent < t->read) {
		uint32_t slot = t->sent % SNAPSHOT_WINDOW;
		const struct buf *b = &t->piece[slot];
		bool last = !t->copy && t->sent + 1 == t->read;

		if (peer->flying >= REPLICATION_WINDOW && !t->flying[slot])
			return;
		if (!piece_send(c, t->sent, last ? PIECE_LAST : 0, (struct span){b->data, b->len}))
			return;
		if (!t->flying[slot]) {
			t->flying[slot] = b->len;
			peer->flying += b->len;
		}
		t->sent++;
	}
}

/* It is wanted now: as soon as base is not being written. */
static void teach_open(struct replication *c)
{
	struct teaching *t = &c->teaching;
	const struct line *l = &c->line[t->line];
	int r = store_copy_open(c->w->store, l->copy.partition, &t->copy, &t->sequence);

	if (r == -EAGAIN && c->w->now_ms - t->begun_ms < OPENS_MS)
		return;
	if (r < 0) {
		if (r != -EAGAIN)
			log_warn("partition %u: a snapshot of it cannot be had: %s",
				 l->copy.partition, store_why(c->w->store));
		teach_end(c, NULL); /* it is offered again */
		return;
	}
	t->state = TEACHING;
	t->begun_ms = t->moved_ms = c->w->now_ms;
	c->retained_ms = 0; /* before a file of the log is given up */
	ship_retain(c);
	log_info("partition %u: node %u learns anew, all up to %llu", l->copy.partition, t->to.node,
		 (unsigned long long)t->sequence);
}

void teach_step(struct replication *c)
{
	struct teaching *t = &c->teaching;
	uint64_t now_ms = c->w->now_ms;
	struct line *l;
	uint32_t i;

	if (t->state != TEACHING_NOTHING && !is_wanted(c))
		teach_end(c, t->state == TEACHING ? "it is not wanted any more" : NULL);
	switch (t->state) {
	case TEACHING_NOTHING:
		if (now_ms - t->looked_ms < LOOK_MS)
			break;
		t->looked_ms = now_ms;
		if (next_find(c, &l, &i))
			offer(c, l, i);
		break;
	case TEACHING_OFFERED:
		if (now_ms - t->sent_ms < OFFER_MS)
			break;
		c->peer[t->to.node].silent_ms = now_ms + SILENT_MS;
		teach_end(c, NULL);
		break;
	case TEACHING_ACCEPTED:
		teach_open(c);
		break;
	case TEACHING:
		if (now_ms - t->moved_ms > STILL_MS)
			teach_end(c, "nothing is taken in");
		else if (t->copy && now_ms - t->begun_ms > OPEN_MS)
			teach_end(c, "it takes too long");
		else
			piece_read(c);
		if (t->state == TEACHING)
			pieces_send(c);
		break;
	}
}

bool teach_stirred(const struct replication *c)
{
	const struct teaching *t = &c->teaching;

	return t->state == TEACHING && t->copy && t->read - t->taken < SNAPSHOT_WINDOW &&
	       t->sent == t->read;
}

bool teach_keeps(const struct replication *c, const struct line *l, uint64_t *ret_sequence)
{
	const struct teaching *t = &c->teaching;

	*ret_sequence = t->sequence;
	return t->state == TEACHING && t->line == line_number(c, l);
}

/* ---- answers ---- */

static void taken(struct replication *c, uint32_t come, uint32_t number)
{
	struct teaching *t = &c->teaching;

	if (come > t->read || number > come)
		return;
	if (t->come < come)
		t->come = come;
	if (t->sent < t->come)
		t->sent = t->come;
	if (number <= t->taken)
		return;
	for (; t->taken < number; t->taken++)
		landed(c, t->taken % SNAPSHOT_WINDOW);
	t->moved_ms = c->w->now_ms;
}

static void done(struct replication *c, struct line *l, struct place at)
{
	struct teaching *t = &c->teaching;
	int i = member_place(l, t->to);
	uint64_t ms = c->w->now_ms - t->begun_ms;

	if (t->copy || at.sequence < t->sequence) {
		teach_end(c, "it says that it has what was not sent");
		return;
	}
	log_info("partition %u: node %u has learned anew, up to %llu: %llu bytes in %llu ms",
		 l->copy.partition, t->to.node, (unsigned long long)at.sequence,
		 (unsigned long long)t->bytes, (unsigned long long)ms);
	teach_end(c, NULL);
	copy_taught(&l->copy, (uint32_t)i, at, c->w->now_ms);
}

void teach_answer(struct replication *c, struct line *l, const struct parcel_pieced *p)
{
	struct teaching *t = &c->teaching;

	if (t->state == TEACHING_NOTHING || p->snapshot != t->snapshot || p->term != t->term ||
	    t->line != line_number(c, l) || !member_is(p->from, t->to) || !is_wanted(c))
		return;
	if (t->state != TEACHING_OFFERED && p->ticket != t->ticket)
		return;
	switch (p->kind) {
	case PIECED_TAKE:
		if (t->state == TEACHING) {
			taken(c, p->come, p->taken);
		} else if (t->state == TEACHING_OFFERED) {
			t->state = TEACHING_ACCEPTED;
			t->ticket = p->ticket;
			t->begun_ms = c->w->now_ms;
			teach_open(c);
		}
		break;
	case PIECED_NOT_NOW:
		if (t->state == TEACHING_OFFERED)
			teach_end(c, NULL);
		break;
	case PIECED_DONE:
		if (t->state == TEACHING)
			done(c, l, p->at);
		break;
	case PIECED_VOID:
		teach_end(c, t->state == TEACHING ? "the copy has given it up" : NULL);
		break;
	default:
		break;
	}
}
