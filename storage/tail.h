/*
 * The records of a partition that are not known to be committed, in memory, oldest first, as they
 * lie in the log.  Only for a store whose partitions have copies.  One thread.
 */
#ifndef PAIL_TAIL_H
#define PAIL_TAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log/entry.h"

struct tail_record {
	uint64_t lsn;             /* 0: base had it set aside */
	uint64_t same_generation; /* its request may be somebody's who still waits */
	struct log_frame frame;   /* the entry follows */
};
_Static_assert(sizeof(struct tail_record) % 8 == 0, "entries are aligned");

/* Places in it are offsets that only grow; a cut makes the last ones anew. */
struct tail {
	char *data;
	uint64_t room;
	uint64_t base;    /* the place of data[0] */
	uint64_t begin;   /* of the oldest record */
	uint64_t applied; /* of the first that has not taken effect */
	uint64_t end;
	uint64_t records;
};

static inline const struct tail_record *tail_at(const struct tail *t, uint64_t place)
{
	return (const struct tail_record *)(t->data + (place - t->base));
}

static inline const struct log_entry *tail_entry(const struct tail_record *r)
{
	return log_frame_entry(&r->frame);
}

static inline uint64_t tail_next(const struct tail_record *r, uint64_t place)
{
	return place + sizeof(*r) + tail_entry(r)->size;
}

static inline uint64_t tail_bytes(const struct tail *t)
{
	return t->end - t->begin;
}

void tail_fini(struct tail *t);

/* Room for an entry of `size` bytes, so that tail_add cannot fail.  0 or -ENOMEM. */
int tail_reserve(struct tail *t, uint64_t size);
/* Put a record at its end. */
void tail_add(struct tail *t, const struct log_record *r, bool same_generation);
/* The oldest one goes; it has taken effect, or never will. */
void tail_pop(struct tail *t);
/* All above `sequence` go. */
void tail_cut(struct tail *t, uint64_t sequence);
/* All go. */
void tail_clear(struct tail *t);

/* The record that has `sequence`, or NULL. */
const struct tail_record *tail_find(const struct tail *t, uint64_t sequence);

#endif
