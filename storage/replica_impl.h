/* What a store keeps of its partitions' copies.  The store's files include it by store_impl.h. */
#ifndef PAIL_REPLICA_IMPL_H
#define PAIL_REPLICA_IMPL_H

#include "storage/engine.h"
#include "storage/expiry_heap.h"
#include "storage/replica.h"
#include "storage/tail.h"

struct store;

struct replica {
	enum store_role role;
	bool undone; /* cut below what had taken effect: memory is not what the log says */
	bool broken; /* what is here is not all of it: see snapshot.h */
	enum { VOID_NOT, VOID_LOGGED, VOID_POSTED } void_stage; /* base is to say so too */
	uint64_t term;                                          /* of its last record */
	uint64_t commit;                                        /* sequence */
	uint64_t load_lsn;  /* what lies in the log up to here is void */
	uint64_t synced;    /* sequence */
	uint64_t synced_at; /* place in the tail of the first that was not on disk */
	struct log_spans spans;
	struct tail tail;
	/* What has expired while it was not ours to delete, for when it is. */
	struct expiry_node *parked;
	uint64_t parked_count;
	uint64_t parked_room;
};

/* Where partitions' sequences were at some places of the log, oldest first. */
#define LSN_MARK_EVERY 16384u /* records */

struct lsn_mark {
	uint64_t lsn;
	uint64_t at[]; /* by partition: its last sequence then */
};

struct lsn_marks {
	struct lsn_mark **mark;
	uint32_t count;
	uint32_t room;
};

/* ---- replica.c ---- */

int replicas_make(struct store *s);
void replicas_free(struct store *s);

/* Room in the tail for a record of the partition, which is led.  `bounded`: not beyond the bounds. */
int replica_room(struct store *s, uint32_t partition, uint64_t size, bool bounded);
/* The term of an entry that is begun. */
void replica_entry(const struct store *s, struct log_frame *f);
/* Append a record of a partition that is led, and has taken effect or is about to.  Its lsn. */
uint64_t replica_append(struct store *s, struct log_frame *f, uint64_t request_id);
/* Append a record that is complete, whatever it is, and remember it.  Its lsn. */
uint64_t replica_log(struct store *s, struct log_frame *f, uint64_t request_id);

/* What partition_advance does where there are no copies; and for an own partition. */
void replica_advance(struct store *s, uint32_t partition, uint64_t sequence, uint64_t lsn);
void own_advance(struct store *s, const struct log_entry *e, uint64_t lsn);

/* Let all up to `commit` take effect and go from the tail. */
int replica_settle_tail(struct store *s, uint32_t partition, bool hooks);
/* Let the first record of the tail that has not taken effect do so. */
int replica_apply_next(struct store *s, uint32_t partition, bool hooks);
/* All above `sequence` goes from memory.  Had some of it taken effect? */
bool replica_take_back(struct store *s, uint32_t partition, uint64_t sequence);

/* ---- replica_replay.c ---- */

/* A record, or a partition's row of base, while opening. */
int replica_replay(struct store *s, const struct log_record *r, bool same);
void replica_load(struct store *s, uint32_t partition, const struct engine_part *part);
/* An entry that base has set aside, and all of them. */
int replica_load_aside(struct store *s, const struct log_entry *e);
int replicas_load_tails(struct store *s);

/* ---- replica_maintain.c ---- */

/* The checkpoint that is frozen takes what is committed; *s->freeze says so. */
void replicas_freeze(struct store *s);
/* Bytes of cache entries that it does not take. */
uint64_t replicas_active(struct store *s);
void replicas_settled(struct store *s);
/* A checkpoint would move something out of what is set aside, and nothing else begins one. */
int replicas_tick(struct store *s);
/* A partition in which the store may note what the time is, or UINT32_MAX. */
uint32_t replicas_clock_partition(const struct store *s);
/* It has expired, and is not ours to delete.  -ENOMEM. */
int replica_park(struct store *s, struct expiry_node n);
/* It is now. */
int replica_unpark(struct store *s, uint32_t partition);

/* ---- lsn_marks.c ---- */

int lsn_mark_note(struct store *s, uint64_t lsn);
void lsn_marks_free(struct lsn_marks *m);

#endif
