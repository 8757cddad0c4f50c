/*
 * A place in the sequence of each partition: what has been given, what is in base, what the running
 * checkpoint takes.  Versions of two partitions have nothing to do with each other, so whatever
 * compares a version asks marks_cover, which looks at the partition that the bucket's id says.
 *
 * A bucket's id is its partition and the sequence of its making; a stamp is a version told by its
 * partition in the same way.
 */
#ifndef PAIL_MARKS_H
#define PAIL_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "common/partition.h"

#define SEQUENCE_MAX ((1ull << PARTITION_SHIFT) - 1)

struct marks {
	const struct marks *newest; /* what has been given, for assertions; NULL: not known */
	uint32_t partitions;
	uint64_t at[]; /* by partition: the sequence */
};

/* All at 0.  NULL without memory; to be freed by free. */
struct marks *marks_new(uint32_t partitions, const struct marks *newest);

/* `m` is where `from` is. */
void marks_set(struct marks *m, const struct marks *from);

static inline uint32_t bucket_partition(uint64_t id)
{
	return (uint32_t)(id >> PARTITION_SHIFT);
}

/* For tables by bucket: their low bits differ between partitions too. */
static inline uint64_t bucket_hash(uint64_t id)
{
	return (id ^ id >> 40) * 0x9e3779b97f4a7c15u >> 20;
}

static inline uint64_t stamp_make(uint32_t partition, uint64_t sequence)
{
	check(sequence <= SEQUENCE_MAX);
	return (uint64_t)partition << PARTITION_SHIFT | sequence;
}

static inline uint64_t stamp_sequence(uint64_t stamp)
{
	return stamp & SEQUENCE_MAX;
}

/* Is `version`, written to the bucket, at or before the mark of its partition? */
static inline bool marks_cover(const struct marks *m, uint64_t bucket, uint64_t version)
{
	uint32_t p = bucket_partition(bucket);

	check_slow(p < m->partitions);
	check_slow(!m->newest || (m->at[p] <= m->newest->at[p] && version <= m->newest->at[p]));
	return version <= m->at[p];
}

/* The same of a stamp; of a bucket's id: is its making covered? */
static inline bool marks_cover_stamp(const struct marks *m, uint64_t stamp)
{
	return marks_cover(m, stamp, stamp_sequence(stamp));
}

#endif
