/*
 * A group: several changes of one bucket that take effect together or not at all.  They are staged
 * here, where the group's own reads see them and nobody else does; group_commit makes one record of
 * the log of them.
 *
 * One group at a time in a store.  Between group_begin and its end (group_commit or group_abort) no
 * other operation of the store runs, and no store_tick: so the clock stands still, and nothing
 * expires within.  The versions that are told while staging are those that are committed: each
 * change takes the next one of its partition, a second one of the same key too; a delete of nothing
 * takes none.  What is looked at is observed as by any read (store_observed_lsn).
 *
 * Errors are those of store.h: -ENXIO no such bucket, -ENOENT no such key, -EEXIST a condition did
 * not hold, -E2BIG more than a group may have, -EBUSY, -ENOMEM, -EBADMSG, -EIO.  None of them has
 * changed the group, which may go on.
 */
#ifndef PAIL_STORE_GROUP_H
#define PAIL_STORE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/read.h"
#include "storage/scan.h"
#include "storage/write.h"

#define GROUP_CHANGES_MAX 4096u

struct store;

/*
 * Begin one on the bucket of `k`, which store_locate has looked up; its name must stay where it is
 * until the end.  The bucket need not exist.  0 or -ENOMEM: there is no group.
 */
int group_begin(struct store *s, const struct store_key *k);

bool group_exists(const struct store *s);
/* As store_create, whose bucket can be written to at once. */
int group_create(struct store *s, bool *ret_created);

/*
 * As store_get.  The item's value is good until the next group_* call, which it may be an argument
 * of.
 */
int group_get(struct store *s, struct span key, struct store_item *ret);
int group_count(struct store *s, uint64_t *ret);
/* As store_scan; `item` calls nothing of the group. */
int group_scan(struct store *s, const struct store_range *range,
	       bool (*item)(void *arg, const struct store_item *i), void *arg);

/* As store_put, store_touch and store_delete.  Key and value are copied. */
int group_put(struct store *s, struct span key, struct span value, uint64_t ttl_ms,
	      const struct store_condition *c, uint64_t *ret_version);
int group_touch(struct store *s, struct span key, uint64_t ttl_ms, const struct store_condition *c,
		uint64_t *ret_version);
int group_delete(struct store *s, struct span key, const struct store_condition *c,
		 bool *ret_deleted, uint64_t *ret_version);

/* How many changes are staged, and the bytes that they will have in the log, without a result. */
uint32_t group_changes(const struct store *s);
uint64_t group_bytes(const struct store *s);

/*
 * Log all that is staged as one record for this request, with `result` (see log/entry.h), and let
 * it take effect: 0.  Or nothing has changed at all: -ENOSPC (only a group that writes or makes
 * something, one that deletes alone is always let in), -EBUSY, -E2BIG, -ENOMEM; -EIO: the process
 * must end.  With nothing staged nothing is logged.  Either way the group has ended.
 */
int group_commit(struct store *s, struct span result);

/* Forget what is staged.  Does nothing if there is no group. */
void group_abort(struct store *s);

#endif
