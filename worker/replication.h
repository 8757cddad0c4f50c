/*
 * The partitions of a worker that have copies on other nodes: what this one has of them, be it the
 * primary's or a backup's.  Orders and what other nodes tell come out of the ring `arrive`; records
 * that were appended here go into the ring `ship`, acknowledgements of a backup with the replies;
 * replies of a primary wait until the copies have what they tell.  What each of that means is
 * replica/copy.h's to say; here it is done to the store, and bytes are moved.
 *
 * All is the serving thread's, and is done between two records of the request ring (replication_step),
 * but for replication_append, which only remembers.  A worker whose node has no copies elsewhere has none
 * of this: worker->copies is NULL.
 */
#ifndef PAIL_REPLICATION_H
#define PAIL_REPLICATION_H

#include <stdbool.h>
#include <stdint.h>

#include "include/wire.h"
#include "worker/worker.h"

#define REPLICATION_WINDOW (4u << 20)   /* bytes sent to a node and not acknowledged */
#define REPLICATION_PARCEL (256u << 10) /* bytes of a parcel, but for one larger record */

/* Where replies go that wait for copies: beside enum segment_ring. */
enum { RING_HELD = SEGMENT_RINGS };

struct replication;
struct log_record;
struct op;

/* The store is open; its records are told to replication_append.  0 or -ENOMEM. */
int replication_new(struct worker *w, struct replication **ret);
void replication_free(struct replication **c);

/* store_config.on_append: a record of a partition that is led here. */
void replication_append(struct replication *c, const struct log_record *r);

/* Has this life been told all its roles?  Until then requests stay where they are. */
bool replication_ready(struct replication *c);
/* Orders, parcels, what has been synced, what is to be sent, replies that may be told. */
void replication_step(struct replication *c);
/* What replication_step has put into the ring is to be seen.  True: there was something. */
bool replication_publish(struct replication *c);
/* Is there anything for replication_step to do at once? */
bool replication_stirred(struct replication *c);
/* How long the worker may sleep, at most `ms`. */
unsigned replication_idle_ms(struct replication *c, unsigned ms);
/* Does no reply wait? */
bool replication_quiet(const struct replication *c);
/* The store has taken back what had taken effect here: this worker must end, and soon. */
bool replication_over(struct replication *c);

/* ---- requests ---- */

/*
 * May the request be run here?  False: its partition is served by another node, or by nobody; it
 * has been answered so, or, if one that is dead now had begun it, that nobody knows.
 */
bool replication_admit(struct replication *c, const struct request_record *rec, uint64_t record,
		       uint32_t i);
/* Why it must be refused before it runs: WIRE_E_BUSY, or WIRE_E_TOO_FEW; WIRE_OK: it need not. */
enum wire_error replication_refuse(struct replication *c, const struct request_entry *e);
/* Does a reply of this request, if it was answered now, wait for copies? */
bool replication_hold(struct replication *c, const struct request_entry *e);
/* Is the partition led here? */
bool replication_lead(struct replication *c, uint32_t partition);

/* Room for a reply of at most `n` bytes that waits; NULL: the worker ends. */
char *replication_room(struct replication *c, const struct request_entry *e, size_t n);
/* What a reply tells, beside what the store has looked at since store_begin. */
struct tells {
	bool record;  /* it is that of a record which is in the log for it */
	bool nothing; /* it tells of nothing: its request has not been run */
};

/* It is written from `reply`, that room, to `end`. */
void replication_add(struct replication *c, const struct op *op, char *reply, const char *end,
		     const struct tells *tells);
/*
 * A reply that a recovery has made (`n` bytes at `reply`): it tells of records of its partition up
 * to `sequence`; `wrote`: of its own.  False: the worker ends.
 */
bool replication_recovered(struct replication *c, const struct request_record *rec, uint64_t record,
			   uint32_t i, uint64_t sequence, bool wrote, const char *reply, size_t n);

#endif
