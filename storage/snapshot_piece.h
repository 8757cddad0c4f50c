/*
 * What a piece of a copy looks like (snapshot.h): a head, then rows, each filled up with zeros to a
 * multiple of 8.  Numbers are little-endian, as in memory.
 *
 *	HEAD	row_head_row, spans			the first row of the first piece
 *	BUCKET	row_bucket, name			then its items, as many as it counts, by key
 *	ITEM	row_item, key, value
 *	FORGOTTEN	row_forgotten			then sessions, by id
 *	FLOOR	row_floor				then its outcomes, by number
 *	OUTCOME	row_outcome, result
 *	TAIL	an entry of the log			what is not in base yet, by sequence
 *	END	row_last				the last row of the last piece
 */
#ifndef PAIL_SNAPSHOT_PIECE_H
#define PAIL_SNAPSHOT_PIECE_H

#include <stdint.h>
#include <string.h>

#include "common/buf.h"
#include "common/check.h"
#include "common/hash.h"
#include "common/span.h"
#include "storage/log/entry.h"

#define SNAPSHOT_FORMAT 1u
#define PIECE_MAGIC     0x50434b31u /* "PCK1" */

struct piece_head {
	uint32_t magic;
	uint32_t crc;    /* of all of the piece behind it */
	uint64_t copy;   /* which one: drawn when it was opened */
	uint32_t number; /* of this piece, from 0 */
	uint32_t partition;
	uint64_t size; /* of the piece with this head */
};
_Static_assert(sizeof(struct piece_head) == 32, "told between nodes");

enum row_kind {
	ROW_HEAD = 1,
	ROW_BUCKET,
	ROW_ITEM,
	ROW_FORGOTTEN,
	ROW_FLOOR,
	ROW_OUTCOME,
	ROW_TAIL,
	ROW_END,
	ROW_KIND_END
};

struct row_start {
	uint32_t kind;
	uint32_t size; /* of what follows, without what fills it up */
};
_Static_assert(sizeof(struct row_start) == 8, "told between nodes");

struct row_head {
	uint32_t format;
	uint32_t partitions;
	uint64_t settled;  /* up to here it is rows */
	uint64_t last;     /* and up to here entries of the log */
	uint64_t clock_ms; /* the partition's, at settled */
	uint32_t spans;    /* that follow; of all up to last */
	uint32_t zero;
};
_Static_assert(sizeof(struct row_head) == 40, "told between nodes");

struct row_bucket {
	uint64_t id;
	uint64_t count;
};

struct row_item {
	uint64_t version;
	uint64_t expiry;
	uint32_t key_len;
	uint32_t zero;
};
_Static_assert(sizeof(struct row_item) == 24, "told between nodes");

struct row_forgotten {
	uint64_t made_ms;
};

struct row_floor {
	uint8_t id[16];
	uint64_t floor;
};
_Static_assert(sizeof(struct row_floor) == 24, "told between nodes");

struct row_outcome {
	uint8_t id[16];
	uint64_t number;
	uint64_t fingerprint;
	uint64_t sequence;
	uint32_t ruled_out;
	uint32_t zero;
};
_Static_assert(sizeof(struct row_outcome) == 48, "told between nodes");

/* Of all rows before it: how many, and the checksum of their bytes. */
struct row_last {
	uint64_t rows;
	uint32_t crc;
	uint32_t zero;
};
_Static_assert(sizeof(struct row_last) == 16, "told between nodes");

#define ROW_FIXED_MAX 48u /* bytes, of what a row begins with */

/* A row as it is written and as it is read. */
struct row {
	enum row_kind kind;
	char fixed[ROW_FIXED_MAX]; /* writing: its struct, of which `fixed_size` counts */
	uint32_t fixed_size;
	struct span a;
	struct span b;
	struct span data; /* reading: all of it */
};

/* Bytes that it takes in a piece. */
static inline uint64_t row_size(const struct row *x)
{
	return sizeof(struct row_start) + log_round(x->fixed_size + x->a.n + x->b.n);
}

/* Put it at the end.  Its checksum, going on from `crc`. */
uint32_t row_write(struct buf *out, const struct row *x, uint32_t crc);

/* 1: *ret is the next row, and goes from *rest; 0: there are no more; -EBADMSG. */
int row_read_next(struct span *rest, struct row *ret);

/* What a row begins with, and what is behind that.  -EBADMSG: it is shorter. */
int row_fixed(const struct row *x, void *ret, size_t size, struct span *ret_rest);

#endif
