/* Building reply blocks in place. */
#include "worker/replies.h"

#include "common/check.h"

void replies_init(struct replies *r, struct segment *s, const uint64_t *now_us)
{
	r->now_us = now_us;
	r->out[0] = (struct replies_out){&s->immediate, NULL, &s->status->replies_immediate};
	r->out[1] = (struct replies_out){&s->durable, NULL, &s->status->replies_durable};
}

static void block_close(struct replies_out *o)
{
	if (!o->block)
		return;
	/* Room was made, but the reply went the other way? */
	if (!o->block->count && o->block->kind != BLOCK_ACKS) {
		o->block = NULL;
		return;
	}
	o->block->size = (uint32_t)ring_round(sizeof(*o->block) + o->block->bytes);
	ring_commit(o->ring, o->block->size);
	if (o->block->kind == BLOCK_REPLIES)
		status_add(o->replies, o->block->count);
	o->block = NULL;
}

/* With room for `n` bytes; NULL: there is none. */
static struct reply_block *block_open(const struct replies *r, struct replies_out *o,
				      enum block_kind kind, uint64_t record, uint32_t index,
				      uint64_t n)
{
	struct reply_block *b = ring_reserve(o->ring, sizeof(*b) + n);

	if (!b)
		return NULL;
	*b = (struct reply_block){
		.record = record, .first = index, .kind = (uint16_t)kind, .begun_us = r->begun_us};
	o->block = b;
	return b;
}

char *replies_room(struct replies *r, enum segment_ring which, uint64_t record, uint32_t index,
		   uint64_t n)
{
	struct replies_out *o = &r->out[which - RING_IMMEDIATE];
	struct reply_block *b = o->block;

	check(sizeof(*b) + n <= o->ring->size);
	if (b && (b->kind != BLOCK_REPLIES || b->record != record || b->first + b->count != index ||
		  b->bytes + n > UINT32_MAX / 2))
		block_close(o);
	if (o->block) {
		if (ring_reserve(o->ring, sizeof(*b) + b->bytes + n))
			return (char *)(b + 1) + b->bytes;
		block_close(o);
	}
	b = block_open(r, o, BLOCK_REPLIES, record, index, n);
	return b ? (char *)(b + 1) : NULL;
}

void replies_done(struct replies *r, enum segment_ring which, const char *end)
{
	struct reply_block *b = r->out[which - RING_IMMEDIATE].block;

	check_slow(b && end >= (const char *)(b + 1) + b->bytes);
	b->bytes = (uint32_t)(end - (const char *)(b + 1));
	b->count++;
	b->done_us = *r->now_us;
}

void replies_stamp(struct replies *r, enum segment_ring which, uint64_t done_us)
{
	struct reply_block *b = r->out[which - RING_IMMEDIATE].block;

	if (b)
		b->done_us = done_us;
}

bool replies_elsewhere(struct replies *r, uint64_t record, uint32_t index)
{
	struct replies_out *o = &r->out[0];
	struct reply_block *b = o->block;

	if (b &&
	    (b->kind != BLOCK_ELSEWHERE || b->record != record || b->first + b->count != index))
		block_close(o);
	b = o->block ? o->block : block_open(r, o, BLOCK_ELSEWHERE, record, index, 0);
	if (!b)
		return false;
	b->count++;
	b->done_us = *r->now_us;
	return true;
}

char *replies_parcel(struct replies *r, enum segment_ring which, uint32_t n)
{
	struct replies_out *o = &r->out[which - RING_IMMEDIATE];
	struct reply_block *b = o->block;

	check(n == ring_round(n) && sizeof(*b) + n <= o->ring->size);
	if (b && (b->kind != BLOCK_ACKS || b->bytes > UINT32_MAX / 2 ||
		  !ring_reserve(o->ring, sizeof(*b) + b->bytes + n)))
		block_close(o);
	b = o->block ? o->block : block_open(r, o, BLOCK_ACKS, 0, 0, n);
	if (!b)
		return NULL;
	b->bytes += n;
	return (char *)(b + 1) + b->bytes - n;
}

bool replies_holds(const struct replies *r, enum segment_ring which, const char *room)
{
	const struct reply_block *b = r->out[which - RING_IMMEDIATE].block;

	return b && b->kind == BLOCK_REPLIES && room == (const char *)(b + 1) + b->bytes;
}

void replies_close(struct replies *r)
{
	block_close(&r->out[0]);
	block_close(&r->out[1]);
}
