/*
 * The buckets of a shard, in memory: found by name (every request), by id (sweeps), and in the
 * order of their names (lists).  One thread.
 */
#ifndef PAIL_DIRECTORY_H
#define PAIL_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

struct sorted_index;

struct bucket {
	struct bucket *next_name;
	struct bucket *next_id;
	uint64_t hash;
	uint64_t id;                /* its partition, and the sequence that created it */
	uint64_t count;             /* keys stored, expired ones too until they are swept */
	uint64_t written;           /* the version of its last change */
	uint64_t base_count;        /* keys of it in base; while 0, base need not be asked */
	struct sorted_index *index; /* its dirty keys in order; NULL: nobody has scanned */
	uint32_t sorted_index_idle; /* checkpoints since the last scan that used it */
	uint8_t name_len;
	bool own; /* see store_own */
	char name[];
};

static inline struct span bucket_name(const struct bucket *b)
{
	return (struct span){b->name, b->name_len};
}

struct directory;

int directory_new(struct directory **ret);
void directory_free(struct directory **d);

uint64_t directory_count(const struct directory *d);

/* `own`: of two buckets of one name, which may both be there, this one. */
struct bucket *directory_find(struct directory *d, struct span name, bool own);
struct bucket *directory_find_id(struct directory *d, uint64_t id);

/* Add a bucket that is not there.  Returns it, or NULL without memory: nothing changed. */
struct bucket *directory_add(struct directory *d, struct span name, bool own, uint64_t id,
			     uint64_t count);
/* Remove and free it. */
void directory_remove(struct directory *d, struct bucket *b);

/* The i-th by name, i < directory_count. */
struct bucket *directory_at(const struct directory *d, uint64_t i);
/* Index of the first whose name is at or behind `name`. */
uint64_t directory_seek(const struct directory *d, struct span name);

#endif
