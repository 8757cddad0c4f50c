/*
 * How large a worker's log files are, and what limits and disks must allow for that.  Whoever needs
 * one of these figures asks here: the store for its files, the coordinator for its checks and
 * defaults.
 *
 * At work a log has up to LOG_FILES_LEAST files: one that is settled and stays as a mark of where
 * the log begins, one that a checkpoint is taking, one that is being written, one to go on with
 * meanwhile, and one that only deletes may begin.  With a limit below that many, writes wait for
 * ever.
 *
 * Each file holds the largest put.  A group of changes may be larger: its record gets a file of its
 * own, as large as it must be, in place of one of those.
 */
#ifndef PAIL_LOG_SIZE_H
#define PAIL_LOG_SIZE_H

#include <stdint.h>

#define LOG_ENTRY_SPARE 4096u /* of the largest entry beside name, key and value: heads, refusals */
/* Of a group's largest entry beside what its message and its reply have: heads of 4,096 changes. */
#define LOG_GROUP_SPARE (4096u * 24u + LOG_ENTRY_SPARE)
#define LOG_FILES_LEAST 5u
#define LOG_FILES_MOST  512u /* of a limit; beyond, files are larger: each costs a row in memory */
#define LOG_SPARES      2u   /* files kept ready: one to go on with, one for deletes */

struct log_size {
	uint64_t put_bytes;     /* the largest record of a put */
	uint64_t record_bytes;  /* the largest record of all */
	uint64_t file_bytes;    /* of each file, a multiple of 4096 */
	uint64_t limit_least;   /* bytes that the limit of one worker must allow */
	uint64_t start_bytes;   /* on disk, before one worker takes the first write */
	uint64_t reserve_bytes; /* of disk for one worker: what deletes need, in log and base, when
				   puts are refused */
};

/* The largest record of a group: what a message brings, and what its reply brings back. */
uint64_t log_group_bytes(uint64_t message_max, uint64_t result_max);

/*
 * For values of at most `value_max` bytes, groups whose records have at most `group_max` (0: no
 * more than that of a put), `file_wanted` (storage.segment) and one worker's share
 * of the log, `limit_bytes`: files have the size wanted, but an eighth of the limit at most, 1 /
 * LOG_FILES_MOST of it at least, with a group's beside them no more than it allows, and they hold the largest put in any case.
 */
struct log_size log_size(uint64_t value_max, uint64_t group_max, uint64_t file_wanted,
			 uint64_t limit_bytes);

/*
 * Bytes that must be free on the disk for the new folder of a node with so many workers: all that
 * they make at their start, the disk that puts leave free (`reserve_bytes` of all workers together;
 * at least s->reserve_bytes for each), and the largest value, once.
 */
uint64_t log_disk_least(const struct log_size *s, uint64_t workers, uint64_t reserve_bytes);

#endif
