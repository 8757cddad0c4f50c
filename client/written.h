/*
 * The buckets that a session has written to and not acknowledged since: what must be told to each
 * of them, when the client closes, that nothing is asked for any more.  Bounded: whoever finds it
 * full takes out the oldest first.
 */
#ifndef PAIL_WRITTEN_H
#define PAIL_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "include/wire.h"

#define WRITTEN_MAX   1024u
#define WRITTEN_HEADS 1024u /* a power of two */

struct written_bucket {
	uint64_t seq;  /* the last that was sent to it */
	uint16_t next; /* of the same head, or of the free ones */
	uint16_t older, newer;
	uint8_t name_size;
	char name[WIRE_BUCKET_MAX];
};

struct written {
	struct written_bucket *bucket; /* WRITTEN_MAX of them; NULL: none was written yet */
	uint16_t head[WRITTEN_HEADS];
	uint16_t free;
	uint16_t oldest, newest;
	uint32_t count;
};

void written_init(struct written *w);
void written_free(struct written *w);
/* Note that `seq`, higher than any before, goes to `bucket`.  False: it is full, or no memory. */
bool written_add(struct written *w, struct span bucket, uint64_t seq);
/* The one that was written to longest ago, or NULL. */
const struct written_bucket *written_oldest(const struct written *w);
/* Take that one out. */
void written_remove_oldest(struct written *w);

#endif
