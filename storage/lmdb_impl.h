/* What the engine's files over LMDB share.  Nobody else includes this. */
#ifndef PAIL_LMDB_IMPL_H
#define PAIL_LMDB_IMPL_H

#include <errno.h>
#include <lmdb.h>

#include "common/buf.h"
#include "common/check.h"
#include "include/wire.h"
#include "storage/base_format.h"
#include "storage/engine.h"

enum { DB_META, DB_PARTS, DB_DIRECTORY, DB_KEYS, DB_TTL, DB_DROPS, DB_SESSIONS, DB_TAIL, DB_COUNT };

struct engine {
	MDB_env *env;
	MDB_dbi dbi[DB_COUNT];
	MDB_txn *read;    /* the serving thread's */
	uint64_t read_us; /* when it began */
	MDB_cursor *get;  /* of `read`, over keys */
	MDB_txn *write;   /* the checkpoint thread's */
	MDB_cursor *put;  /* of `write`, over keys */
	bool ttl_any;     /* the expiry index has rows, as `write` sees it */
	uint32_t partitions;
	uint32_t all; /* with a node's own beside them: see engine_open */
	struct engine_meta meta;
	_Atomic bool tails; /* something is set aside, as of what is committed */
	uint64_t
		*highest; /* by partition: what was put since a commit had a meta row; 0: nothing */
	char *value;      /* engine_touch's copy */
	size_t value_room;
	uint64_t map_bytes;
	_Atomic uint64_t used;
	_Atomic uint64_t file_bytes;
};

/* LMDB's code as a negative errno. */
int engine_errno(int rc);

/* Pages in use and the file's size, as `txn` sees them. */
void engine_measure(struct engine *e, MDB_txn *txn);

/* Of a partition, this sequence is in base once the transaction is committed. */
void put_seen(struct engine *e, uint64_t bucket, uint64_t sequence);

/* Copy a row that ends with its checksum.  It must be whole. */
int row_read(const MDB_val *k, const MDB_val *v, void *row, size_t size);

/* Write the row of the whole. */
int engine_meta_put(struct engine *e, MDB_txn *txn, const struct engine_meta *meta);

/* Verify a row of `parts` and take what it says, spans into *spans.  -EPROTO: it has more than we
 * know of. */
int part_read(const struct engine *e, struct log_spans *spans, const MDB_val *k, const MDB_val *v,
	      uint32_t *ret_partition, struct engine_part *ret);

/* How far a partition is settled as this transaction has it; zeros if nothing is. */
int part_fetch(struct engine *e, uint32_t partition, struct engine_part *ret);

/* Is anything set aside, as `txn` sees it? */
bool engine_tails_in(const struct engine *e, MDB_txn *txn);

/* Verify a row of `tail`.  *ret is the entry, a copy in `room`: LMDB does not align its values. */
int tail_read(const struct engine *e, const MDB_val *k, const MDB_val *v, struct buf *room,
	      const struct log_entry **ret);

/* Verify an item's head and take version, expiry, key and value; the latter is not verified. */
int item_head_read(uint64_t bucket, struct span key, const MDB_val *v, struct engine_item *ret);
/* The same, and the value is. */
int item_read(uint64_t bucket, struct span key, const MDB_val *v, struct engine_item *ret);

/* Verify a row of `sessions`. */
int session_row_read(const struct engine *e, const MDB_val *k, const MDB_val *v,
		     struct engine_session_row *ret);

/* Verify a row of `directory`, of which `name` is the key's. */
int directory_read(const struct engine *e, const MDB_val *k, const MDB_val *v,
		   struct span *ret_name, struct directory_row *ret);

/* The key of the meta row. */
static inline MDB_val meta_key(void)
{
	static char name[] = "base";

	return (MDB_val){4, name};
}

static inline MDB_val key_end(struct key_bytes *k, size_t at, struct span rest)
{
	check(rest.n <= sizeof(k->data) - at);
	if (rest.n)
		memcpy(k->data + at, rest.p, rest.n);
	k->n = at + rest.n;
	return (MDB_val){k->n, k->data};
}

static inline MDB_val key_make(struct key_bytes *k, uint64_t bucket, struct span key)
{
	check(key.n <= WIRE_KEY_MAX);
	put_be64(k->data, bucket);
	return key_end(k, BUCKET_KEY_BYTES, key);
}

/* A partition and some bytes: the key of a row of `parts` or `directory`. */
static inline MDB_val partition_key_make(struct key_bytes *k, uint32_t partition, struct span name)
{
	check(partition < PARTITIONS_MAX);
	put_be16(k->data, partition);
	return key_end(k, PARTITION_KEY_BYTES, name);
}

static inline MDB_val ttl_key_make(struct key_bytes *k, uint32_t partition, uint64_t expiry,
				   uint64_t bucket, struct span key)
{
	check(key.n <= WIRE_KEY_MAX);
	put_be16(k->data, partition);
	put_be64(k->data + PARTITION_KEY_BYTES, expiry);
	put_be64(k->data + PARTITION_KEY_BYTES + 8, bucket);
	return key_end(k, TTL_KEY_BYTES, key);
}

/* The partition of a bucket's id. */
static inline uint32_t id_partition(const struct engine *e, uint64_t id)
{
	uint32_t partition = (uint32_t)(id >> PARTITION_SHIFT);

	check(partition < e->all);
	return partition;
}

#endif
