/* Records and entries of the request ring, for those who answer them. */
#ifndef PAIL_QUEUE_IMPL_H
#define PAIL_QUEUE_IMPL_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/queue/queue.h"
#include "ipc/shm/records.h"
#include "ipc/wire/request.h"

static inline struct reply_to record_owner(const struct request_record *rec)
{
	return (struct reply_to){rec->reply_to, 0, rec->reply_to_generation};
}

static inline struct reply_to entry_owner(const struct request_record *rec, uint32_t i)
{
	return (struct reply_to){rec->reply_to, rec->entry[i].index, rec->reply_to_generation};
}

/* Whether its finished reply may still become `busy`. */
static inline bool entry_droppable(const struct request_entry *e)
{
	return method_is(e->method, METHOD_DROPPABLE) && !entry_writes(e);
}

/* Whether its reply may be as long as limits.result says. */
static inline bool entry_large(const struct request_record *rec, const struct request_entry *e)
{
	const struct entry_parts *parts = record_parts(rec, e);

	return parts && (parts->flags & PARTS_LARGE);
}

/* Its bytes, as far as they tell how long it takes: its lists or arguments too. */
static inline uint64_t entry_weight(const struct request_record *rec, const struct request_entry *e)
{
	const struct entry_parts *parts = record_parts(rec, e);
	uint64_t n = entry_size(e);

	for (unsigned i = 0; parts && i < PART_COUNT; i++)
		n += parts->part[i].size;
	return n;
}

static inline bool entry_answer(struct request_record *rec, uint32_t i)
{
	struct request_entry *e = &rec->entry[i];

	if (atomic_load_explicit(&e->state, memory_order_relaxed) != ENTRY_OPEN)
		return false;
	atomic_store_explicit(&e->state, ENTRY_ANSWERED, memory_order_relaxed);
	rec->open--;
	return true;
}

/* Answer an entry with an error, unless it has been answered. */
void entry_refuse(struct queue *q, struct request_record *rec, uint32_t i, enum wire_error e,
		  const char *text);

#endif
