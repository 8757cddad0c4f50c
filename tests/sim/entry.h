/*
 * A request as it lies in a worker's ring: all that the simulated worker knows of the ring's
 * entries.  Whoever changes what they hold changes this.
 */
#ifndef PAIL_SIM_ENTRY_H
#define PAIL_SIM_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "ipc/shm/records.h"
#include "ipc/wire/request.h"

struct asked {
	uint64_t msgid;
	int method;
	struct span bucket;
	struct span key;
	struct span value;
	struct entry_options options;
	struct span after, set; /* those of `options`, where they lie */
	uint64_t deadline_ms;
};

static inline bool entry_is_open(const struct request_record *rec, uint32_t i)
{
	return atomic_load_explicit(&rec->entry[i].state, memory_order_relaxed) == ENTRY_OPEN;
}

static inline struct span entry_span(const struct request_record *rec,
				     const struct request_entry *e, struct entry_span s)
{
	return (struct span){s.size ? record_bytes(rec, e) + s.at : NULL, s.size};
}

/* False: the worker was given what it cannot run. */
static inline bool entry_read(const struct request_record *rec, uint32_t i, struct asked *ret)
{
	const struct request_entry *e = &rec->entry[i];

	if (!record_fits(rec, i) || e->flags & ENTRY_SESSION)
		return false;
	ret->msgid = e->msgid;
	ret->method = e->method;
	ret->bucket = record_bucket(rec, e);
	ret->key = record_key(rec, e);
	ret->value = record_value(rec, e);
	ret->options = record_options(rec, e) ? *record_options(rec, e) : (struct entry_options){0};
	ret->after = entry_span(rec, e, ret->options.after);
	ret->set = entry_span(rec, e, ret->options.set);
	ret->deadline_ms = record_recv_ms(rec) + e->timeout_ms;
	return true;
}

#endif
