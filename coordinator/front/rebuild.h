/*
 * A request as its client sent it, made of what a worker's ring has of it: for one that the worker
 * has not run, since another node serves its bucket.
 */
#ifndef PAIL_REBUILD_H
#define PAIL_REBUILD_H

#include <stdint.h>

#include "common/buf.h"

struct request_record;

/* Append the bytes of entry `i` to `out`, without its timeout.  False: no memory. */
bool request_rebuild(const struct request_record *rec, uint32_t i, struct buf *out);

#endif
