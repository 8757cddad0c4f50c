/*
 * One worker's queue: the ring that its requests wait in, the two that its replies come out of, and
 * what has to be remembered of them across the deaths of workers.  A published reply is the only
 * completion: a request record is freed when every reply to it has been taken, and what a dead
 * worker left unanswered stays for its successor.
 *
 * The queue answers through the sink and knows nothing of processes: whether one serves the segment
 * (`alive`), and whether that is hopeless, is the caller's to say.
 */
#ifndef PAIL_QUEUE_H
#define PAIL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/node/item.h"
#include "coordinator/node/node.h"
#include "coordinator/node/reply.h"
#include "ipc/shm/segment.h"

struct request_record;
struct turns;

struct queue {
	const struct node *node;
	struct reply_sink *sink;
	struct segment *segment;
	int wake;                  /* the worker's eventfd */
	uint64_t poison_candidate; /* identity plus 1 of the request that the last death was in */
	uint64_t started; /* a request before this identity may have been started by one now dead */
	uint64_t due_ms;  /* no request in the ring is overdue before */
	uint64_t immediate_read;
	uint64_t durable_read;
	bool pushed;         /* records were published since the worker was last woken */
	struct turns *turns; /* who may push how much: turns.h; the queue's maker's */
};

/* Bytes that an item takes in a record, at most, and that a record takes of `bytes` of items. */
uint64_t queue_item_bytes(const struct item *it);
uint64_t queue_record_bytes(uint64_t bytes);

/*
 * A record of the `count` items from item[first] on, each naming the next one, which take `bytes`
 * at most in all.  The items have been checked (request_parts): a worker believes what the record
 * says of them.  `turn`: whose it is; `more`: others wait for room.  0, or -EAGAIN: there
 * is no room.  Who serves clients calls turns_push.
 */
int queue_push(struct queue *q, struct reply_to o, const struct item *item, uint32_t first,
	       uint32_t count, uint64_t bytes, uint16_t turn, bool more);
/* Write such a record at `rec`, which has the room.  Returns its bytes. */
uint64_t queue_fill(struct queue *q, struct request_record *rec, struct reply_to o,
		    const struct item *item, uint32_t first, uint32_t count);
/* Wake the worker if something was pushed that it may sleep on. */
void queue_wake(struct queue *q);

/* Whether replies are there to be taken. */
bool queue_ready(const struct queue *q);
/*
 * Give the sink what is in the reply rings.  Returns how many blocks there were; *ret_corrupted is
 * set if they make no sense, and then the worker must be killed.  The bytes stay until queue_free.
 */
unsigned queue_take(struct queue *q, bool *ret_corrupted);
/* What has been taken was sent: its room in the reply rings is free, and what queue_free frees. */
void queue_taken(struct queue *q, bool alive);
/* Free request records that are answered throughout and that no worker will look at any more. */
void queue_free(struct queue *q, bool alive);

/* Answer requests whose time is over, if it can be for any.  Returns when that will be next. */
uint64_t queue_expire(struct queue *q, bool alive);

/*
 * The worker has died, and its last replies are taken.  A request in which two workers in a row
 * have died is answered here: it would kill every successor.
 */
void queue_judge(struct queue *q);
/*
 * Before that, if the worker was killed because it hung: a call that it was in is not run again,
 * but answered too_long by its successor, unless the log says that it has taken effect.
 */
void queue_note_hung(struct queue *q);
/* Nobody will serve the ring: answer everything in it, saying `why`. */
void queue_fail(struct queue *q, const char *why);
/* Nobody is left to be answered: what is in the ring is done, its replies are dropped. */
void queue_disown(struct queue *q);

/* Bytes of requests without all their replies, in the ring or waiting for their turn. */
uint64_t queue_waiting(const struct queue *q);

#endif
