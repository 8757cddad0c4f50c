/* What wal.c and wal_replay.c share.  Nobody else includes this. */
#ifndef PAIL_WAL_IMPL_H
#define PAIL_WAL_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/buf.h"
#include "common/log_size.h"
#include "storage/wal.h"

#define WAL_POOL_MAX 64u        /* spare files kept */
#define WAL_POOL_MIN LOG_SPARES /* fewer, and more are made */

/* How far wal_tail has come. */
struct wal_cursor {
	uint64_t epoch; /* of the segment that is being read; 0: none was */
	uint64_t at;    /* offset and sequence of its next record */
	uint64_t seq;
	uint64_t clock_ms;
	uint32_t passed;
	struct {
		uint64_t epoch;
		uint64_t last_position;
	} segment[WAL_SEGMENTS_MAX]; /* those read, the one being read last */
};

struct wal {
	struct wal_config config;
	char dir[1024];

	/* serving thread */
	char *stage; /* mirrored */
	uint64_t stage_size;
	uint64_t append; /* stream position of the next record */
	uint64_t seq;
	uint64_t open_start; /* stream position at which the open segment begins */
	uint64_t open_epoch;
	bool open_any;          /* something is in the open segment */
	uint64_t open_position; /* highest request identity in it */

	/* both sides */
	_Atomic uint64_t drained; /* stream position written and synced */
	_Atomic uint64_t synced;
	_Atomic int error;
	_Atomic uint32_t segment_count; /* live */
	_Atomic uint32_t recycled_count;
	_Atomic uint64_t live_bytes;
	_Atomic bool pool_failed;
	_Atomic bool stock_stop;

	pthread_mutex_t lock; /* the fields below */
	pthread_cond_t handed_more;
	pthread_cond_t drained_more;
	uint64_t handed;
	uint64_t handed_seq;
	uint64_t handed_mark;
	bool sync_waits;
	bool stop;
	struct wal_segment segment[WAL_SEGMENTS_MAX]; /* live, oldest first; the last one is open */
	uint64_t spare[WAL_POOL_MAX];                 /* numbers of spare files */
	uint64_t recycled_next;
	uint64_t clock_ms;

	/* sync thread */
	pthread_t thread;
	bool thread_runs;
	int fd; /* of the segment being written */
	uint64_t write_epoch;
	uint64_t written; /* stream position */
	uint64_t marked;  /* the last mark that was told to be safe */

	struct wal_cursor *cursor; /* NULL: nothing was followed */

	/* from replay to start */
	struct buf tail;     /* records to be written anew */
	uint64_t tail_first; /* sequence of the first of them, or of the first new record */
	uint64_t tail_position;
	uint64_t epoch_next;
};

void wal_spare_path(const struct wal *w, uint64_t n, char *out, size_t size);

#endif
