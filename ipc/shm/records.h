/*
 * What lies in the rings.
 *
 * Request ring: one record per (client message, worker), made and marked by the coordinator alone.
 *
 *	struct request_record | entries[count] | for each: [parts] [session] [options] bytes
 *
 * A request is parsed and checked by the coordinator, once: its entry says where bucket, key and
 * value lie in its bytes, and what its options are, and the worker looks at nothing else.  The
 * bytes are the client's own from the bucket on, so that they are copied in one piece:
 *
 *	bucket | key_gap | key | value_gap | value
 *
 * where a gap is what MessagePack writes before a key or a value.  Options other than `timeout` lie
 * before the bytes, and then the rest of the request lies behind, since their spans lead into it.
 * A put of a small value takes sizeof(struct request_entry) and 2 to 4 bytes more than its data.
 *
 * A request's identity is (the segment's generation, record position + index): positions grow and
 * a record is longer than its entries are many, so no two requests share one.
 *
 * Reply rings: one block per run of neighbouring requests of one record that are answered at the
 * same time, made by the worker.
 *
 *	struct reply_block | replies back to back
 *
 * Two other kinds of block lie there too: one that says of requests that they have not been run,
 * since their partition is served by another node; and one of acknowledgements to other nodes, in
 * the ring that tells when they may be sent.
 *
 * Times are CLOCK_MONOTONIC in microseconds.
 */
#ifndef PAIL_RECORDS_H
#define PAIL_RECORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

enum entry_state {
	ENTRY_OPEN,     /* its reply has not been taken */
	ENTRY_ANSWERED, /* its client has been answered; a successor leaves it alone */
};

enum entry_flag {
	ENTRY_OPTIONS = 1 << 0, /* struct entry_options lies before its bytes */
	ENTRY_SESSION = 1 << 1, /* struct entry_session before that */
	ENTRY_PARTS = 1 << 2,   /* struct entry_parts before that */
	ENTRY_WRITES = 1 << 3,  /* it may change something: a txn may not, whatever its method is */
	ENTRY_HUNG = 1 << 4,    /* a call in which a worker hung: it is not run again */
	ENTRY_GATE = 7 << 5     /* entry_gate */
};

#define ENTRY_GATES 8u

struct request_entry {
	uint64_t msgid;
	uint32_t offset;     /* of its bytes, from the record's begin */
	uint32_t value_len;  /* 0 also where a method takes none */
	uint32_t timeout_ms; /* from the ms of the record's recv_us */
	uint16_t index;      /* of the request in its message; the coordinator's own */
	uint16_t partition;  /* of its bucket; 0 without one */
	uint16_t key_len;    /* 0: it has none */
	uint8_t bucket_len;  /* 0: it has none, and then neither key nor value */
	uint8_t key_gap;
	uint8_t value_gap;
	uint8_t method;
	uint8_t flags;         /* enum entry_flag */
	_Atomic uint8_t state; /* enum entry_state, written by the coordinator */
};
_Static_assert(sizeof(struct request_entry) == 32, "layout of shared memory");

/* A run of a request's bytes. */
struct entry_span {
	uint32_t at;
	uint32_t size;
};

/* Options besides `timeout`, where any is given; a limit that is not given has its default. */
struct entry_options {
	uint32_t given; /* enum option_bit: those that are there */
	uint32_t on;    /* enum option_bit: those among them that are true */
	uint64_t if_version;
	uint64_t ttl_ms;
	uint32_t limit;
	uint32_t zero;
	struct entry_span prefix, from, to, after, set, names, partitions;
};
_Static_assert(sizeof(struct entry_options) == 88, "layout of shared memory");

/*
 * Whose request it is, and which of his.  Of `ack` and of what only reads id and ack count, of
 * `outcome` id and seq.
 */
struct entry_session {
	uint8_t id[16];
	uint64_t seq;
	uint64_t ack;         /* nothing below it will be sent or asked for again; it may be above
			       * seq, and then the request itself is stale */
	uint64_t fingerprint; /* of method and parameters: request_fingerprint (ipc/wire) */
};
_Static_assert(sizeof(struct entry_session) == 40, "layout of shared memory");

enum parts_flag {
	PARTS_READS = 1 << 0, /* it has a condition, or an operation that reads */
	PARTS_LARGE = 1 << 1  /* its reply may be as long as limits.result says */
};

/*
 * What a request does that is no single key's.  Each part is a run of the request's bytes, like
 * those of options: 0 bytes, it was not given.
 *
 * txn: if, then, else, each the whole MessagePack array.  All has been checked (ipc/wire/txn.h);
 * whether it writes is ENTRY_WRITES.
 * call: module and function, their bytes alone, and args, the whole MessagePack array.
 */
enum { PART_IF, PART_THEN, PART_ELSE, PART_COUNT };
enum { PART_MODULE, PART_FUNCTION, PART_ARGS };

struct entry_parts {
	struct entry_span part[PART_COUNT];
	uint32_t ops;   /* of a txn: conditions and operations, all together */
	uint32_t flags; /* enum parts_flag */
};
_Static_assert(sizeof(struct entry_parts) == 32, "layout of shared memory");

enum record_flag {
	RECORD_WAKE = 1 << 0 /* more waits for room: wake the coordinator behind this one */
};

struct request_record {
	uint32_t size;     /* all of it, rounded to RING_ALIGN */
	uint16_t count;    /* entries */
	uint16_t open;     /* entries not answered yet; the coordinator's count */
	uint16_t flags;    /* enum record_flag */
	uint16_t turn;     /* whose it is in the round of clients; the coordinator's own */
	uint32_t reply_to; /* who waits for the replies: the coordinator's own numbering */
	uint64_t recv_us;  /* when the coordinator's round began that took it in */
	uint64_t reply_to_generation;
	struct request_entry entry[];
};
_Static_assert(sizeof(struct request_record) == 32, "layout of shared memory");

static inline uint64_t record_recv_ms(const struct request_record *rec)
{
	return rec->recv_us / 1000;
}

static inline const char *record_bytes(const struct request_record *rec,
				       const struct request_entry *e)
{
	return (const char *)rec + e->offset;
}

/*
 * Of a partition with copies.  When a worker gives a request back, what stands behind it must not be run
 * before it, even if the worker may run requests again by then: so all that has the number of one that
 * was given back is given back too, until the coordinator has seen that and given the partition the next
 * number.  Numbers go round.
 */
static inline uint32_t entry_gate(const struct request_entry *e)
{
	return e->flags / (ENTRY_GATES * 4);
}

/* Is `a` a later number than `b`?  Half of the round is. */
static inline bool gate_after(uint32_t a, uint32_t b)
{
	return (a - b + ENTRY_GATES - 1) % ENTRY_GATES < ENTRY_GATES / 2;
}

/* Where the last of bucket, key and value ends in its bytes. */
static inline uint64_t entry_size(const struct request_entry *e)
{
	return (uint64_t)e->bucket_len + e->key_gap + e->key_len + e->value_gap + e->value_len;
}

/* Bytes that options and session take before an entry's own. */
static inline uint64_t entry_head(const struct request_entry *e)
{
	return (e->flags & ENTRY_OPTIONS ? sizeof(struct entry_options) : 0) +
	       (e->flags & ENTRY_SESSION ? sizeof(struct entry_session) : 0) +
	       (e->flags & ENTRY_PARTS ? sizeof(struct entry_parts) : 0);
}

/* Whether entry `i` lies in its record as a whole: if not, somebody has gone mad. */
static inline bool record_fits(const struct request_record *rec, uint32_t i)
{
	const struct request_entry *e = &rec->entry[i];

	return i < rec->count && e->offset <= rec->size && entry_size(e) <= rec->size - e->offset &&
	       e->offset >= sizeof(*rec) + rec->count * sizeof(*e) + entry_head(e);
}

static inline struct span record_bucket(const struct request_record *rec,
					const struct request_entry *e)
{
	return (struct span){record_bytes(rec, e), e->bucket_len};
}

static inline struct span record_key(const struct request_record *rec,
				     const struct request_entry *e)
{
	return (struct span){record_bytes(rec, e) + e->bucket_len + e->key_gap, e->key_len};
}

static inline struct span record_value(const struct request_record *rec,
				       const struct request_entry *e)
{
	return (struct span){record_bytes(rec, e) + e->bucket_len + e->key_gap + e->key_len +
				     e->value_gap,
			     e->value_len};
}

/* NULL: none is given, but perhaps `timeout`. */
static inline const struct entry_options *record_options(const struct request_record *rec,
							 const struct request_entry *e)
{
	return e->flags & ENTRY_OPTIONS
		       ? (const void *)(record_bytes(rec, e) - sizeof(struct entry_options))
		       : NULL;
}

/* NULL: it has none. */
static inline const struct entry_session *record_session(const struct request_record *rec,
							 const struct request_entry *e)
{
	return e->flags & ENTRY_SESSION
		       ? (const void *)(record_bytes(rec, e) -
					(e->flags & ENTRY_OPTIONS ? sizeof(struct entry_options)
								  : 0) -
					sizeof(struct entry_session))
		       : NULL;
}

static inline const struct entry_parts *record_parts(const struct request_record *rec,
						     const struct request_entry *e)
{
	return e->flags & ENTRY_PARTS ? (const void *)(record_bytes(rec, e) - entry_head(e)) : NULL;
}

/* Whether it may change something. */
static inline bool entry_writes(const struct request_entry *e)
{
	return e->flags & ENTRY_WRITES;
}

enum block_kind {
	BLOCK_REPLIES,
	BLOCK_ELSEWHERE, /* no bytes: none of the requests has been run, nor will be here */
	BLOCK_ACKS       /* of no requests: parcels for other nodes, back to back, each of which
			  * begins with its size (32 bits, a multiple of RING_ALIGN) */
};

struct reply_block {
	uint32_t size;   /* all of it, rounded to RING_ALIGN */
	uint32_t bytes;  /* of replies behind this header */
	uint64_t record; /* position of the request record */
	uint32_t first;  /* index of the first request answered here */
	uint16_t count;  /* requests answered */
	uint16_t kind;   /* enum block_kind */
	/*
	 * When the first of them began to run, and when the last was done: by the worker's clock,
	 * which it reads every few microseconds of work and whenever it has waited, so that no
	 * request costs a look at it.  A request that a predecessor has run counts as begun and
	 * done when its reply is written.
	 */
	uint64_t begun_us;
	uint64_t done_us;
};
_Static_assert(sizeof(struct reply_block) == 40, "layout of shared memory");

#endif
