/*
 * A segment: one file of the log.  A header block and then records (entry.h) back to back; what
 * follows the last one is zeros or the remains of an earlier use of the file, which the epoch in
 * every checksum tells apart.
 */
#ifndef PAIL_LOG_SEGMENT_H
#define PAIL_LOG_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_MAGIC        0x314c41576c696150u /* "PailWAL1" */
#define WAL_VERSION      3u
#define WAL_HEADER_BYTES 4096u

/*
 * Live segments.  The log's limit allows about LOG_FILES_MOST, but files of incarnations with other
 * settings may be there, and deletes go on beyond it.  From WAL_SEGMENTS_PUTS on the log is over
 * its limit, however little is in them.
 */
#define WAL_SEGMENTS_MAX  2048u
#define WAL_SEGMENTS_PUTS 1024u
/*
 * An incarnation begins none beyond these; the rest is for those that follow when it is killed like
 * that: each needs a file of its own, and one more when a checkpoint begins.
 */
#define WAL_SEGMENTS_OURS (WAL_SEGMENTS_MAX - 128u)

struct wal_header {
	uint64_t magic;
	uint32_t version;
	uint32_t crc;        /* of the header with this field 0 */
	uint64_t epoch;      /* never used twice in a folder, not even by who gave it no name */
	uint64_t generation; /* of the requests that records name; 0: none */
	uint64_t first_lsn;  /* everything before it was on disk when this file was begun */
	uint64_t clock_ms;   /* the store's clock then */
	uint64_t size;       /* of the file */
};

/* A closed segment, as the checkpoint takes it. */
struct wal_segment {
	uint64_t epoch;
	uint64_t first_lsn;
	uint64_t last_lsn;        /* closed ones */
	uint64_t last_request_id; /* highest request identity plus 1 in it; 0: none of this
				   * generation
				   */
	uint64_t size;            /* of the file */
	uint64_t start;           /* where it begins in the stream of staged bytes */
	bool closed;              /* no more is appended */
	bool safe;                /* closed, written and synced */
};

uint32_t wal_header_crc(const struct wal_header *h);

/* Path of a segment's file into `out`. */
void wal_path(const char *dir, uint64_t epoch, char *out, size_t size);

/*
 * Read and check a segment's header.  Returns 0; -EBADMSG: it is none, or one of another version;
 * or negative errno; `why` says what it is.  *ret_file_bytes is the file's size.
 */
int wal_header_read(const char *dir, uint64_t epoch, struct wal_header *ret,
		    uint64_t *ret_file_bytes, char *why, size_t why_size);

#endif
