/* What the log's files share.  Nobody else includes this. */
#ifndef PAIL_LOG_IMPL_H
#define PAIL_LOG_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/buf.h"
#include "common/log_size.h"
#include "storage/log/wal.h"

#define WAL_POOL_MAX 64u        /* files kept for reuse */
#define WAL_POOL_MIN LOG_SPARES /* fewer, and more are made */

/* How far wal_tail has come. */
struct wal_cursor {
	uint64_t epoch; /* of the segment that is being read; 0: none was */
	uint64_t at;    /* offset and lsn of its next record */
	uint64_t lsn;
	uint64_t clock_ms;
	uint32_t passed;
	struct {
		uint64_t epoch;
		uint64_t last_request_id;
	} segment[WAL_SEGMENTS_MAX]; /* those read, the one being read last */
};

struct wal {
	struct wal_config config;
	char dir[1024];

	/* serving thread */
	char *stage; /* mirrored */
	uint64_t stage_size;
	uint64_t append; /* stream position of the next record */
	uint64_t lsn;
	uint64_t open_start; /* stream position at which the open segment begins */
	uint64_t open_size;  /* of its file */
	uint64_t open_epoch;
	uint32_t open_epoch_crc;
	bool open_any;            /* something is in the open segment */
	bool open_made;           /* its file was made before anything was in it */
	uint64_t open_request_id; /* highest request identity in it */

	/* both sides */
	_Atomic uint64_t drained; /* stream position written and synced */
	_Atomic uint64_t synced;
	_Atomic int error;
	_Atomic uint64_t base_lsn;      /* everything up to it is in base */
	_Atomic uint32_t segment_count; /* live */
	_Atomic uint32_t recycled_count;
	_Atomic uint64_t live_bytes;
	_Atomic uint64_t retained;   /* what copies elsewhere need from here on */
	_Atomic uint64_t kept_bytes; /* of files that are live for nobody else */
	_Atomic uint32_t kept_count;
	_Atomic bool pool_failed;
	_Atomic bool pool_stop;

	pthread_mutex_t lock; /* the fields below */
	pthread_cond_t submitted_more;
	pthread_cond_t drained_more;
	uint64_t submitted;
	uint64_t submitted_lsn;
	uint64_t submitted_mark;
	bool sync_waits;
	bool stop;
	struct wal_segment segment[WAL_SEGMENTS_MAX]; /* live, oldest first; the last one is open */
	uint64_t recycled[WAL_POOL_MAX];              /* numbers of the files in the pool */
	uint64_t recycled_next;
	uint64_t clock_ms;

	uint64_t epoch_min; /* background: base needs no older segment */

	/* sync thread */
	pthread_t thread;
	bool thread_runs;
	int fd; /* of the segment being written */
	uint64_t write_epoch;
	uint64_t written; /* stream position */
	uint64_t marked;  /* the last mark that was told to be safe */

	struct wal_cursor *cursor; /* NULL: nothing was followed */

	/* from replay to start */
	struct buf rewrite;     /* records to be written anew */
	uint64_t rewrite_first; /* lsn of the first of them, or of the first new record */
	uint64_t rewrite_request_id;
	uint64_t epoch_next;
};

/* ---- segment.c ---- */

/* All of it at `offset`; `point` names the fault point of tests. */
int wal_file_write(int fd, const char *data, uint64_t n, uint64_t offset, const char *point);
int wal_file_sync(int fd);

/*
 * Make segment `s` from a file of the pool, with `n` bytes of records in it, and open it.  It gets
 * its name only when header and records are on disk: a file named wal-* always has a whole header.
 */
int wal_segment_make(struct wal *w, const struct wal_segment *s, uint64_t clock_ms,
		     const char *data, uint64_t n);

/* ---- pool.c ---- */

void wal_spare_path(const struct wal *w, uint64_t n, char *out, size_t size);

/* A file of the pool, or one made on the spot.  Its path into `path`.  0 or negative errno. */
int wal_pool_take(struct wal *w, char *path, size_t size);

/*
 * A file of the pool, from before: its content does not matter (epochs tell records apart; see
 * epoch_leap), but it must be whole, or syncs would have to allocate.
 */
void wal_pool_adopt(struct wal *w, uint64_t number);

/* A number for a segment's file to be recycled, if the pool has room for `more` and one. */
bool wal_pool_number(struct wal *w, unsigned more, uint64_t *ret);

/*
 * Only files whose new name is on disk may be written again: after a power cut one could be found
 * by its old name, with a header that is half another's.
 */
int wal_pool_add(struct wal *w, const uint64_t *number, unsigned n);

/* ---- retain.c ---- */

/*
 * For assertions, with the lock held or before there are threads: the live segments follow each
 * other in epoch, lsn and stream, only the last one is open, and their bytes are live_bytes.
 */
bool wal_segments_agree(const struct wal *w);

/* A segment that was found at start, up to `last_lsn`. */
void wal_segment_keep(struct wal *w, const struct wal_segment *s);

#endif
