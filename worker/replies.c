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
	if (!o->block->count) { /* room was made, but the reply went the other way */
		o->block = NULL;
		return;
	}
	o->block->size = (uint32_t)ring_round(sizeof(*o->block) + o->block->bytes);
	ring_commit(o->ring, o->block->size);
	status_add(o->replies, o->block->count);
	o->block = NULL;
}

char *replies_room(struct replies *r, enum segment_ring which, uint64_t record, uint32_t index,
		   uint64_t n)
{
	struct replies_out *o = &r->out[which - RING_IMMEDIATE];
	struct reply_block *b = o->block;

	check(sizeof(*b) + n <= o->ring->size);
	if (b &&
	    (b->record != record || b->first + b->count != index || b->bytes + n > UINT32_MAX / 2))
		block_close(o);
	if (o->block) {
		if (ring_reserve(o->ring, sizeof(*b) + b->bytes + n))
			return (char *)(b + 1) + b->bytes;
		block_close(o);
	}
	b = ring_reserve(o->ring, sizeof(*b) + n);
	if (!b)
		return NULL;
	b->record = record;
	b->first = index;
	b->count = 0;
	b->bytes = 0;
	b->begun_us = r->begun_us;
	o->block = b;
	return (char *)(b + 1);
}

void replies_done(struct replies *r, enum segment_ring which, const char *end)
{
	struct reply_block *b = r->out[which - RING_IMMEDIATE].block;

	check_slow(b && end >= (const char *)(b + 1) + b->bytes);
	b->bytes = (uint32_t)(end - (const char *)(b + 1));
	b->count++;
	b->done_us = *r->now_us;
}

bool replies_holds(const struct replies *r, enum segment_ring which, const char *room)
{
	const struct reply_block *b = r->out[which - RING_IMMEDIATE].block;

	return b && room == (const char *)(b + 1) + b->bytes;
}

void replies_close(struct replies *r)
{
	block_close(&r->out[0]);
	block_close(&r->out[1]);
}
