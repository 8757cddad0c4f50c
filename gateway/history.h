/*
 * One hour of a node's figures, a sample every few seconds: rates and latencies between two answers
 * to `metrics`.  Its memory is bounded and taken once.
 */
#ifndef PAIL_HISTORY_H
#define PAIL_HISTORY_H

#include <stdint.h>

#include "common/buf.h"
#include "include/pail.h"

#define HISTORY_EVERY_MS 5000u
#define HISTORY_SAMPLES  720u

struct history;

struct history *history_new(void); /* NULL: no memory */
void history_free(struct history **h);

/*
 * The reply's map, got at `now_ms` (monotonic; unix time `unix_ms`).  The first one, and the first
 * of a node that has begun anew, give no sample: there is nothing to take the difference from.
 */
void history_add(struct history *h, struct pail_value metrics, uint64_t now_ms, uint64_t unix_ms);

/* Append as JSON what is later than `since_ms`. */
void history_json(const struct history *h, uint64_t since_ms, struct buf *out);

#endif
