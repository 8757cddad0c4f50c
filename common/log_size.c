/* Sizes of log files, and what follows from them. */
#include "common/log_size.h"

#include "include/wire.h"

#define BLOCK         4096u
#define HEADER_BYTES  4096u /* at a file's begin */
#define LIMIT_SHARE   8u    /* of a small limit one file may take */
#define RESERVE_FILES 6u
#define BASE_START    (64u << 10) /* of a new base */

static uint64_t blocks(uint64_t n)
{
	return (n + BLOCK - 1) / BLOCK * BLOCK;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t log_group_bytes(uint64_t message_max, uint64_t result_max)
{
	return message_max + result_max + LOG_GROUP_SPARE;
}

struct log_size log_size(uint64_t value_max, uint64_t group_max, uint64_t file_wanted,
			 uint64_t limit_bytes)
{
	struct log_size s;
	uint64_t file = file_wanted;
	uint64_t least;
	uint64_t own;

	s.put_bytes = value_max + WIRE_BUCKET_MAX + WIRE_KEY_MAX + LOG_ENTRY_SPARE;
	s.record_bytes = most(s.put_bytes, group_max);
	least = blocks(HEADER_BYTES + s.put_bytes);
	own = blocks(HEADER_BYTES + s.record_bytes);
	if (file > limit_bytes / LIMIT_SHARE)
		file = limit_bytes / LIMIT_SHARE;
	if (file < limit_bytes / LOG_FILES_MOST)
		file = limit_bytes / LOG_FILES_MOST;
	/* Beside the largest record the other files must fit, too. */
	if (own > least && limit_bytes > own && file > (limit_bytes - own) / (LOG_FILES_LEAST - 1))
		file = (limit_bytes - own) / (LOG_FILES_LEAST - 1);
	file = file / BLOCK * BLOCK;
	s.file_bytes = file > least ? file : least;
	s.limit_least = (LOG_FILES_LEAST - 1) * least + own;
	s.start_bytes = (1 + LOG_SPARES) * s.file_bytes + BASE_START;
	s.reserve_bytes = RESERVE_FILES * s.file_bytes;
	return s;
}

uint64_t log_disk_least(const struct log_size *s, uint64_t workers, uint64_t reserve_bytes)
{
	uint64_t reserve = workers * s->reserve_bytes;

	if (reserve < reserve_bytes)
		reserve = reserve_bytes;
	return workers * s->start_bytes + reserve + 2 * s->record_bytes;
}
