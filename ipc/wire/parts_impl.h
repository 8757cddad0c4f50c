/* What METHOD_PARTS says of a request.  Nobody else includes this. */
#ifndef PAIL_PARTS_IMPL_H
#define PAIL_PARTS_IMPL_H

#include "ipc/wire/request.h"

/*
 * Check what a txn or a call is made of, and fill in part, ops, largest, writes and reads of *o, whose
 * options have been read.  Values may have `value_max` bytes.  Returns WIRE_OK, or the error to
 * answer, its text, which names the place, in `why`.
 */
enum wire_error parts_check(const struct request *r, struct options *o, uint64_t value_max,
			    char *why, size_t why_size);

/* The arguments of a call, in call.c. */
enum wire_error call_check(const struct request *r, struct options *o, uint64_t value_max,
			   char *why, size_t why_size);

#endif
