/* What the engine's files over LMDB share.  Nobody else includes this. */
#ifndef PAIL_LMDB_IMPL_H
#define PAIL_LMDB_IMPL_H

#include <lmdb.h>

#include "common/check.h"
#include "include/wire.h"
#include "storage/base_format.h"
#include "storage/engine.h"

enum { DB_META, DB_DIR, DB_KEYS, DB_TTL, DB_DROPS, DB_COUNT };

struct engine {
	MDB_env *env;
	MDB_dbi dbi[DB_COUNT];
	MDB_txn *read;   /* the serving thread's */
	MDB_cursor *get; /* of `read`, over keys */
	MDB_txn *write;  /* the checkpoint thread's */
	MDB_cursor *put; /* of `write`, over keys */
	bool ttl_any;    /* the expiry index has rows, as `write` sees it */
	struct engine_meta meta;
	uint64_t map_bytes;
	_Atomic uint64_t used;
	_Atomic uint64_t file_bytes;
};

/* LMDB's code as a negative errno. */
int engine_errno(int rc);

/* Pages in use and the file's size, as `txn` sees them. */
void engine_measure(struct engine *b, MDB_txn *txn);

/* The key of the meta row. */
static inline MDB_val meta_key(void)
{
	static char name[] = "base";

	return (MDB_val){4, name};
}

static inline MDB_val key_make(struct key_bytes *k, uint64_t bucket, struct span key)
{
	check(key.n <= WIRE_KEY_MAX);
	put_be64(k->data, bucket);
	if (key.n)
		memcpy(k->data + 8, key.p, key.n);
	k->n = 8 + key.n;
	return (MDB_val){k->n, k->data};
}

static inline MDB_val ttl_key_make(struct key_bytes *k, uint64_t expiry, uint64_t bucket,
				   struct span key)
{
	put_be64(k->data, expiry);
	put_be64(k->data + 8, bucket);
	if (key.n)
		memcpy(k->data + 16, key.p, key.n);
	k->n = 16 + key.n;
	return (MDB_val){k->n, k->data};
}

#endif
