/* Writes.  Nobody may be told of one before store_synced has reached its lsn. */
#ifndef PAIL_STORE_WRITE_H
#define PAIL_STORE_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/read.h"

struct store_condition {
	bool if_absent;
	bool if_version;
	uint64_t version;
};

/* *ret_version: the new version, or with -EEXIST the one there is (0: no such key). */
int store_put(struct store *s, struct store_key *k, struct span value, uint64_t ttl_ms,
	      const struct store_condition *c, uint64_t *ret_version);
/*
 * The key lives for `ttl_ms` from now on (0: for ever); its value stays, and is not logged again.
 * -ENOENT: no such key.  *ret_version as with store_put.
 */
int store_touch(struct store *s, struct store_key *k, uint64_t ttl_ms,
		const struct store_condition *c, uint64_t *ret_version);
int store_delete(struct store *s, struct store_key *k, const struct store_condition *c,
		 bool *ret_deleted, uint64_t *ret_version);

int store_create(struct store *s, struct span name, bool *ret_created);
int store_drop(struct store *s, struct span name, bool *ret_dropped);

/* Other stores have so many buckets, which count for the limit too. */
void store_elsewhere(struct store *s, uint64_t buckets);

/* Can writes be logged at all?  0, or -EBUSY: not before the next checkpoint. */
int store_writable(struct store *s);

/*
 * The request changed nothing but its reply must wait: log its result (what the reply has behind
 * its msgid, see log/entry.h), so that after a kill it is not judged anew.  Of a request of a
 * session it is the outcome, which takes a version of the partition; then also -EBUSY, -ENOMEM, and
 * with a large result -ENOSPC, or -E2BIG: no outcome may be that large.
 */
int store_outcome(struct store *s, struct span name, struct span result);

#endif
