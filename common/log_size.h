/*
 * How large a worker's log files are, and what limits and disks must allow for that.  Whoever needs
 * one of these figures asks here: the store for its files, the coordinator for its checks and
 * defaults.
 *
 * At work a log has up to LOG_FILES_LEAST files: one that is settled and stays as a mark of where
 * the log begins, one that a checkpoint is taking, one that is being written, one to go on with
 * meanwhile, and one that only deletes may begin.  With a limit below that many, writes wait for
 * ever.
 */
#ifndef PAIL_LOG_SIZE_H
#define PAIL_LOG_SIZE_H

#include <stdint.h>

#define LOG_ENTRY_SPARE 4096u /* of the largest entry beside name, key and value: heads, refusals */
#define LOG_FILES_LEAST 5u
#define LOG_FILES_MOST  512u /* of a limit; beyond, files are larger: each costs a row in memory */
#define LOG_SPARES      2u   /* files kept ready: one to go on with, one for deletes */

struct log_size {
	uint64_t record_bytes;  /* the largest record */
	uint64_t file_bytes;    /* of each file, a multiple of 4096 */
	uint64_t limit_least;   /* bytes that the limit of one worker must allow */
	uint64_t start_bytes;   /* on disk, before one worker takes the first write */
	uint64_t reserve_bytes; /* of disk for one worker: what deletes need, in log and base, when
				   puts are refused */
};

/*
 * For values of at most `value_max` bytes, `file_wanted` (storage.segment) and one worker's share
 * of the log, `limit_bytes`: files have the size wanted, but an eighth of the limit at most, 1 /
 * LOG_FILES_MOST of it at least, and they hold the largest record in any case.
 */
struct log_size log_size(uint64_t value_max, uint64_t file_wanted, uint64_t limit_bytes);

/*
 * Bytes that must be free on the disk for the new folder of a node with so many workers: all that
 * they make at their start, the disk that puts leave free (`reserve_bytes` of all workers together;
 * at least s->reserve_bytes for each), and the largest value, once.
 */
uint64_t log_disk_least(const struct log_size *s, uint64_t workers, uint64_t reserve_bytes);

#endif
