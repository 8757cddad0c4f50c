/*
 * What is in a record of the log.  It is self-contained: it names its bucket and the sequence that
 * created the bucket, and holds no pointer into anything else.  Where records lie is segment.h's.
 */
#ifndef PAIL_LOG_ENTRY_H
#define PAIL_LOG_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

enum wal_op {
	WAL_PUT = 1,
	WAL_DELETE,
	WAL_CREATE,
	WAL_DROP,
	WAL_OUTCOME, /* a request that changed nothing, and the reply it got: in `value` */
	WAL_CLOCK,   /* what the time is, before somebody is told what depends on it */
	WAL_SWEEP,   /* a delete of an expired key, by nobody's request */
	WAL_OP_END
};

struct wal_record {
	uint32_t crc;        /* of the segment's epoch and everything behind this field */
	uint32_t size;       /* of the record, a multiple of 8 */
	uint64_t seq;        /* one more than that of the record before */
	uint64_t request_id; /* identity of the request in its generation, plus 1; 0: nobody's */
	uint64_t bucket;     /* the sequence that created it */
	uint64_t expiry;     /* unix ms; 0: never */
	uint32_t value_len;
	uint32_t unsynced; /* seq less the highest sequence known to be on disk at writing */
	uint16_t key_len;
	uint8_t name_len;
	uint8_t op;
	int8_t delta; /* change of the bucket's count */
	uint8_t zero[3];
	char data[]; /* name, key, value, zeros */
};
_Static_assert(sizeof(struct wal_record) == 56, "layout on disk");

/* The value of a WAL_CLOCK record, whose expiry is the store's clock at that moment; see pace.h. */
struct wal_clock {
	uint64_t boot_ms;    /* CLOCK_BOOTTIME */
	uint8_t boot_id[16]; /* of which boot; zeros: not known */
};
_Static_assert(sizeof(struct wal_clock) == 24, "layout on disk");

static inline uint64_t wal_record_size(size_t name_len, size_t key_len, size_t value_len)
{
	return (sizeof(struct wal_record) + name_len + key_len + value_len + 7u) & ~(uint64_t)7;
}

static inline struct span wal_record_name(const struct wal_record *r)
{
	return (struct span){r->data, r->name_len};
}

static inline struct span wal_record_key(const struct wal_record *r)
{
	return (struct span){r->data + r->name_len, r->key_len};
}

static inline struct span wal_record_value(const struct wal_record *r)
{
	return (struct span){r->data + r->name_len + r->key_len, r->value_len};
}

uint32_t wal_record_crc(const struct wal_record *r, uint64_t epoch);

/* Whether a whole, sane, correctly summed record lies at `p`, of which `room` bytes may be read. */
bool wal_record_valid(const void *p, uint64_t room, uint64_t epoch);

#endif
