/*
 * How base's rows lie on disk.  Keys are big-endian, so that LMDB's order is theirs, and begin with
 * the partition: a bucket's id has it in its first twelve bits, other keys in two bytes of their
 * own.  Contents are little-endian, as in memory.
 *
 *	meta       "base"                          meta_row
 *	parts      partition                       part_row; of one with copies: copy_row, spans, row_end
 *	directory  partition, name                 directory_row
 *	keys       bucket id, key                  item_head, value
 *	ttl        partition, expiry, bucket id, key   ttl_row
 *	drops      bucket id                       drop_row
 *	sessions   partition                       forgotten_row
 *	           partition, session              floor_row
 *	           partition, session, number      outcome_head, result
 *	tail       partition, sequence             the entry, as it is in the log
 */
#ifndef PAIL_BASE_FORMAT_H
#define PAIL_BASE_FORMAT_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "common/hash.h"
#include "common/partition.h"
#include "include/wire.h"
#include "storage/engine.h"

#define BASE_FORMAT 2u

/*
 * What stands before a value.  The first checksum covers bucket id, version, expiry and key, the
 * second goes on from it over the value: who only needs the head need not read a large value.
 */
struct item_head {
	uint64_t version;
	uint64_t expiry;
	uint32_t head_crc;
	uint32_t crc;
};

/* The others' checksums cover the row's key and all of the row before them. */
struct directory_row {
	uint64_t id;
	uint64_t count;
	uint32_t zero;
	uint32_t crc;
};

struct part_row {
	uint64_t settled;
	uint64_t clock_ms;
	uint32_t zero;
	uint32_t crc;
};

/* The same of a partition that has copies elsewhere; struct log_spans' array follows, then row_end. */
struct copy_row {
	uint64_t settled;
	uint64_t clock_ms;
	uint64_t load_lsn;
	uint32_t broken; /* 0 or 1 */
	uint32_t spans;  /* that follow */
};

struct row_end {
	uint32_t zero;
	uint32_t crc;
};

struct ttl_row {
	uint64_t version;
	uint32_t crc;
} __attribute__((packed));

struct drop_row {
	uint32_t crc;
};

struct forgotten_row {
	uint64_t made_ms;
	uint32_t zero;
	uint32_t crc;
};

struct floor_row {
	uint64_t floor;
	uint32_t zero;
	uint32_t crc;
};

/* What stands before a result; the checksum covers the row's key, the head before it, the result. */
struct outcome_head {
	uint64_t fingerprint;
	uint64_t sequence;
	uint32_t ruled_out; /* 0 or 1 */
	uint32_t crc;
};

/*
 * In every format the meta row begins with the format's number and a checksum, of that and of all
 * that follows: so whoever cannot read the rest knows at least that it is whole.
 */
struct meta_row {
	uint32_t format;
	uint32_t crc;
	struct engine_meta meta;
	uint32_t partitions;
	uint32_t zero;
};

#define META_ROW_MIN offsetof(struct meta_row, meta)

#define PARTITION_KEY_BYTES 2u
#define BUCKET_KEY_BYTES    8u                              /* keys: before the key */
#define TTL_KEY_BYTES       (PARTITION_KEY_BYTES + 8u + 8u) /* ttl: before the key */
#define SESSION_KEY_BYTES   (PARTITION_KEY_BYTES + 16u)     /* of a floor */
#define OUTCOME_KEY_BYTES   (SESSION_KEY_BYTES + 8u)
#define TAIL_KEY_BYTES      (PARTITION_KEY_BYTES + 8u)

struct key_bytes {
	size_t n;
	uint8_t data[TTL_KEY_BYTES + WIRE_KEY_MAX]; /* the longest; LMDB takes 511 */
};
_Static_assert(TTL_KEY_BYTES + WIRE_KEY_MAX <= 511, "LMDB's limit");
_Static_assert(PARTITION_KEY_BYTES + WIRE_BUCKET_MAX <= TTL_KEY_BYTES + WIRE_KEY_MAX,
	       "names fit too");
_Static_assert(PARTITIONS_MAX <= 1u << 16, "two bytes");

static inline void put_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t get_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

static inline uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline uint32_t item_head_crc(uint64_t bucket, const struct engine_item *item)
{
	const uint64_t head[3] = {bucket, item->version, item->expiry};

	return crc32c(crc32c(0, head, sizeof(head)), item->key.p, item->key.n);
}

/* Of a row with its checksum at its end. */
static inline uint32_t row_crc(const void *key, size_t key_size, const void *row, size_t row_size)
{
	return crc32c(crc32c(0, key, key_size), row, row_size - sizeof(uint32_t));
}

/* Of the meta row, which has it in front. */
static inline uint32_t meta_crc(uint32_t format, const void *row, size_t row_size)
{
	return crc32c(format, (const uint8_t *)row + META_ROW_MIN, row_size - META_ROW_MIN);
}

#endif
