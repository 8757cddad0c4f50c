/*
 * Partitions: a bucket belongs to one by its name's hash, a partition to one worker.  How many
 * there are is fixed when a data folder is made, and so is the hash: both are part of its format.
 */
#ifndef PAIL_PARTITION_H
#define PAIL_PARTITION_H

#include <stdint.h>

#include "common/hash.h"
#include "common/span.h"

#define PARTITIONS_DEFAULT 256u
#define PARTITIONS_MAX     4096u /* a bucket's id has 12 bits for its partition */
#define PARTITION_SHIFT    52u   /* bucket id: partition << 52 | sequence of its making */

/* The partition of a bucket; `partitions` is a power of two. */
static inline uint32_t partition_of(struct span bucket, uint32_t partitions)
{
	return (uint32_t)(hash64(0, bucket.p, bucket.n) & (partitions - 1));
}

/* The worker that has a partition. */
static inline uint32_t partition_worker(uint32_t partition, uint32_t workers)
{
	return partition % workers;
}

#endif
