/*
 * The worker's side of its two reply rings.  A reply goes into `now` when nothing it tells could be
 * taken back by a power cut, else into `synced`, which the sync thread publishes when the log is
 * safe.  Neighbouring requests of one record that go the same way share a block.
 */
#ifndef PAIL_REPLIES_H
#define PAIL_REPLIES_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/shm/records.h"
#include "ipc/shm/segment.h"

struct replies_out {
	struct ring *ring;
	struct reply_block *block; /* open at ring->write, or NULL */
	_Atomic uint64_t *replies; /* the figure that counts them */
};

struct replies {
	struct replies_out out[2]; /* by enum segment_ring less RING_IMMEDIATE */
	uint64_t begun_us;         /* the request in hand; its owner sets it */
	const uint64_t *now_us;    /* its owner's clock */
};

void replies_init(struct replies *r, struct segment *s, const uint64_t *now_us);

/*
 * Room for one reply of at most `n` bytes to the request (record, index), or NULL: the ring is full
 * now.  Finish with replies_done before anything else is written to that ring.
 */
char *replies_room(struct replies *r, enum segment_ring which, uint64_t record, uint32_t index,
		   uint64_t n);
void replies_done(struct replies *r, enum segment_ring which, const char *end);
/*
 * Is `room` still where the next reply goes?  Not if what was written before it has been published
 * since; nothing but that reply lies there all the same.
 */
bool replies_holds(const struct replies *r, enum segment_ring which, const char *room);

/* The reply that was written last there was done then, and not now. */
void replies_stamp(struct replies *r, enum segment_ring which, uint64_t done_us);

/*
 * (record, index) has not been run, nor will be: another node is to be asked.  False: there is no
 * room now.
 */
bool replies_elsewhere(struct replies *r, uint64_t record, uint32_t index);

/* Room for a parcel of `n` bytes (a multiple of RING_ALIGN) for another node, which is told when
 * replies of that ring are; NULL: there is none now.  It is taken. */
char *replies_parcel(struct replies *r, enum segment_ring which, uint32_t n);

/* Close open blocks: what is written may be published up to the rings' write positions. */
void replies_close(struct replies *r);

#endif
