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

struct queue;
struct request_record;
struct turns;

/*
 * What a worker says beside replies, for a node whose partitions have copies on others.  Called from
 * within queue_take; bytes stay where they are until queue_taken.  Whoever is called puts nothing
 * into the same queue's rings but with arrive_push.
 */
struct queue_events {
	/*
	 * A request that the worker has not run, since another node serves its partition.  Its
	 * record is good until this returns, and the request is the callee's to answer.
	 */
	void (*elsewhere)(void *arg, const struct request_record *rec, uint32_t i, uint64_t order);
	/* Parcels for other nodes, or reports, each of which begins with its size. */
	void (*parcels)(void *arg, struct queue *q, const char *bytes, uint32_t n);
	void *arg;
};

struct queue {
	const struct node *node;
	struct reply_sink *sink;
	struct segment *segment;
	int wake;                  /* the worker's eventfd */
	uint64_t poison_candidate; /* identity plus 1 of the request that the last death was in */
	uint64_t started; /* a request before this identity may have been started by one that is no
			   * more; the worker knows it too */
	uint64_t due_ms;  /* no request in the ring is overdue before */
	uint64_t immediate_read;
	uint64_t durable_read;
	uint64_t ship_read;
	uint64_t taken_us;   /* when queue_take was called last and found something */
	bool pushed;         /* records were published since the worker was last woken */
	struct turns *turns; /* who may push how much: turns.h; the queue's maker's */
	const struct queue_events *events; /* NULL: nothing of the kind is expected */
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

/*
 * A parcel or an order for the worker, of `n` bytes, which begins with that size.  0, or -EAGAIN:
 * the worker is behind, or does not run; -EMSGSIZE: there is never room for it.  Seen by the worker
 * when queue_wake has been called, at the latest.
 */
int arrive_push(struct queue *q, const void *parcel, uint32_t n);
/* The worker has died or left, and what it said is taken: what it has not read is void. */
void arrive_void(struct queue *q);
/*
 * All that this life of the worker must know before it serves has been pushed: the roles of its
 * partitions.  Until then it leaves the request ring alone.
 */
void arrive_complete(struct queue *q);
/* The worker has left: what it has run and not answered was begun. */
void queue_note_left(struct queue *q);

/* Bytes of requests without all their replies, in the ring or waiting for their turn. */
uint64_t queue_waiting(const struct queue *q);

#endif
