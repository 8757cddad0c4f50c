/* What waits for its turn, for those who answer it.  Nobody else includes this. */
#ifndef PAIL_TURNS_IMPL_H
#define PAIL_TURNS_IMPL_H

#include "coordinator/queue/queue_impl.h"
#include "coordinator/queue/turns.h"

/* Requests of one message that wait: a record of its own, of which those from `at` on are left. */
struct chunk {
	struct chunk *next;
	uint64_t number; /* turns_last when it came */
	uint64_t bytes;  /* as they count */
	uint32_t at;
	uint32_t zero; /* the record is aligned */
	struct request_record rec;
};
_Static_assert(offsetof(struct chunk, rec) % RING_ALIGN == 0, "a chunk's record is aligned");

/* Functions and transactions take what they take, and tell nothing of a client's other requests. */
enum turn_class { TURN_READS, TURN_WRITES, TURN_PARTS, TURN_CLASSES };

/* One client's. */
struct turn {
	uint64_t generation;         /* whose it was last */
	uint64_t behind;             /* position behind its last record in the ring */
	uint64_t ns[TURN_CLASSES];   /* that a request takes, by enum turn_class; 0: not known */
	uint64_t seen[TURN_CLASSES]; /* what a request of the last block took, likewise */
	uint64_t bytes;              /* of its chunks */
	struct chunk *first;         /* not NULL: it is in the round */
	struct chunk *last;
	struct turn *next; /* in the round */
};

/* A record in the ring that the worker has not passed. */
struct turn_mark {
	uint64_t behind;
	uint64_t ns;
};

#define TURN_MARKS 1024u /* a power of two */

struct turns {
	struct turn turn[TURNS_MAX];
	struct turn *first; /* the round: who is next */
	struct turn *last;
	uint64_t bytes;
	uint64_t number;
	uint64_t ns; /* of marks, all together */
	struct turn_mark mark[TURN_MARKS];
	uint32_t mark_first;
	uint32_t marks;
};

/* What a block tells of the client whose record it belongs to. */
void turns_learn(struct queue *q, const struct request_record *rec, const struct reply_block *b);

/* Call `f` for each chunk that waits. */
void turns_each(struct queue *q, void (*f)(struct queue *q, struct chunk *c, void *arg), void *arg);
/* Drop all of them; they are answered. */
void turns_drop(struct queue *q);

#endif
