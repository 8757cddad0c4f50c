/* Values of ipc/wire/agent_message.h to JSON, as it lies in etcd, and back. */
#ifndef PAIL_AGENT_VALUE_H
#define PAIL_AGENT_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/span.h"

/*
 * The value's JSON, with sorted keys and no blanks; a bin is taken for the bytes themselves.  The
 * caller frees it.  NULL: its texts are no UTF-8, or there is no memory.
 */
char *value_to_json(struct span value, size_t *ret_n);

/*
 * Append what `n` bytes from etcd are as a value.  Bytes that are no such JSON become a bin, those of
 * too long a value a bin of the first 1,024.
 */
void value_from_json(struct buf *out, const void *data, size_t n);

/* Whether two JSON texts are the same value, however they are written. */
bool value_same(struct span a, struct span b);

#endif
