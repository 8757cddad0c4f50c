/* Finding a key, and reading it. */
#ifndef PAIL_STORE_READ_H
#define PAIL_STORE_READ_H

#include <stdint.h>

#include "common/span.h"

struct store;
struct bucket;

/* A key on its way: two steps to bring its memory near, then the operation. */
struct store_key {
	struct bucket *bucket; /* NULL: none of that name */
	struct span name;
	struct span key;
	uint64_t hash;
	uint64_t directory; /* the directory's state when `bucket` was looked up */
};

/* Look up the bucket, start fetching the key's slot.  `key` may be empty for whole-bucket
 * operations. */
void store_locate(struct store *s, struct span name, struct span key, struct store_key *ret);
/* Start fetching the key's entry. */
void store_prefetch(const struct store *s, const struct store_key *k);

struct store_item {
	struct span key;
	struct span value; /* good until the next call */
	uint64_t version;
	uint64_t ttl_ms; /* left to live; 0: for ever */
};

int store_get(struct store *s, struct store_key *k, struct store_item *ret);
/* How many live keys the bucket has. */
int store_count(struct store *s, struct store_key *k, uint64_t *ret);

#endif
