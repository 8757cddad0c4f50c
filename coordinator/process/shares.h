/*
 * Settings against the machine: shares of its memory and its disk, and what the log needs.  What is
 * not set fits the machine that it is read on; what is set and cannot work is an error.
 */
#ifndef PAIL_SHARES_H
#define PAIL_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "common/config/config.h"

/*
 * Fill in limits.cache, limits.log and storage.reserve, where they are not set or must be more;
 * errors are added to c->errors.  `small`: a node that others share the machine with,
 * as those for tests and trials do.
 */
void shares_settle(struct conf *c, bool small);

/*
 * Can the disk hold what a new node with so many workers makes at its start, and leaves free?  0,
 * or -ENOSPC with the reason in `why` (512 bytes).  The folder node.data is there.
 */
int shares_disk(const struct conf *c, uint32_t workers, char *why, size_t why_size);

/* Bytes of the largest request with these settings. */
uint64_t shares_request_max(const struct conf *c);
/* Bytes of the largest record of a group of changes: a message of them, and their reply. */
uint64_t shares_group_max(const struct conf *c);

#endif
