/* What the store's files share of copies that come from other nodes. */
#ifndef PAIL_SNAPSHOT_IMPL_H
#define PAIL_SNAPSHOT_IMPL_H

#include "common/buf.h"
#include "storage/directory.h"
#include "storage/engine.h"
#include "storage/log/entry.h"

struct store;

/* What may come next of a copy. */
enum load_stage { LOAD_HEAD, LOAD_BUCKETS, LOAD_SESSIONS, LOAD_TAIL, LOAD_ALL };

/* A copy that comes. */
struct load {
	uint32_t partition;
	/* what has come, all of it checked */
	enum load_stage stage;
	bool bad; /* its rows make no sense */
	uint64_t copy;
	uint32_t number; /* of the next piece */
	uint64_t rows;
	uint32_t crc;
	uint64_t settled;
	uint64_t last;
	uint64_t clock_ms;
	struct log_spans spans; /* of all up to settled, and of what has come of the tail */
	struct log_place end;   /* what they are to end with */
	struct directory *directory;
	uint64_t bucket;
	uint64_t left; /* items of it that are to come */
	size_t key_len;
	char key[LOG_KEY_MAX]; /* the last one, of the bucket */
	bool in_session;
	uint8_t session[16];
	uint64_t floor;
	uint64_t outcome; /* the number of the session's last one, plus 1 */
	struct buf tail;  /* entries */
	uint64_t tail_last;
	/* its end */
	bool end_wanted;
	bool end_posted;
	bool base_whole; /* memory is not yet */
	bool done;       /* it is whole, and nobody has asked since */
	int end_error;   /* of the last try */
	uint64_t retry_ms;
	struct engine_part part; /* what base is to say */
};

/* ---- snapshot_rows.c ---- */

void load_init(struct load *l, uint32_t partition);
void load_fini(struct load *l);

/*
 * Check the next piece.  0: *ret_rows are its rows; -EBADMSG: not taken, and l->bad if none will be;
 * -ENOMEM: likewise bad.
 */
int load_check(struct store *s, struct load *l, struct span piece, struct span *ret_rows);

/* ---- snapshot_load.c ---- */

/* The partition's copy is void: base does not say so yet. */
void load_voided(struct store *s, uint32_t partition);
/* Between other things: what waits for the background thread goes on.  0 or what ends the store. */
int loads_step(struct store *s);
/* No checkpoint may be begun now. */
bool loads_block(const struct store *s);
void loads_close(struct store *s);

/* ---- replica_void.c ---- */

/*
 * Nothing of the partition is in memory, and what its log had up to `lsn` is void.  What a checkpoint
 * that runs may still need stays, until replica_void_rest.
 */
void replica_void(struct store *s, uint32_t partition, uint64_t lsn);
void replica_void_rest(struct store *s, uint32_t partition);
/* A copy that base has now is as it would be after a restart.  0, -ENOMEM, ...: try again. */
int replica_take(struct store *s, struct load *l);

#endif
