/*
 * A store whose partitions have copies on other nodes (store_config.replicated).  What is said here is
 * not about the node's own partitions beside them (store_own).
 *
 * A record is named by its term and its sequence.  It is committed when all copies that count have
 * it on disk, which the owner finds out and tells by store_commit; until then it is the tail of its
 * partition, and may be taken back by a cut.  What was written in term 0, before there were copies,
 * is committed.
 *
 *	no role		after store_open: nothing of the partition may be read or written
 *	primary		store_lead: what is written takes effect at once, and is told when committed
 *	backup		store_follow: records come by store_follow_append, and take effect when
 *			they are committed
 *
 * Only what is committed goes into base; a checkpoint puts the rest of what it takes from the log
 * aside, so a partition that cannot commit keeps no file of the log.  Tails are bounded.
 *
 * All of it is the serving thread's unless said otherwise.  Errors are those of store.h; -EINVAL:
 * the partition has not the role that it must have.
 */
#ifndef PAIL_STORE_REPLICA_H
#define PAIL_STORE_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/log/entry.h"
#include "storage/log/spans.h"

#define STORE_TAIL_BYTES   (8u << 20)  /* of a partition */
#define STORE_TAIL_RECORDS (64u << 10) /* likewise */
#define STORE_TAILS_BYTES  (64u << 20) /* of all partitions of a store */

struct store;

enum store_role { STORE_NO_ROLE, STORE_BACKUP, STORE_PRIMARY };

enum store_role store_role(const struct store *s, uint32_t partition);

/*
 * The partition is ours to write from now on, in `term`: what is in its tail takes effect (around
 * each record store_config.before_apply and after_apply are called, as at the start), then the
 * record that begins the term is appended, with `view` (at most LOG_VIEW_MAX bytes), which the store
 * does not look into.  *ret_sequence is that record's.
 *
 * 0; -ESTALE: the log has that term already, or a later one; -EINPROGRESS: not before a restart, see
 * store_cut; -ENODATA: the copy is not whole, see snapshot.h; -EBUSY, -EIO, -ENOMEM (the process
 * must end: the tail is half applied).  With the others nothing has been appended, and the role is
 * what it was.
 */
int store_lead(struct store *s, uint32_t partition, uint64_t term, struct span view,
	       uint64_t *ret_sequence);

/*
 * A backup from now on, whatever it was.  What a primary has written has taken effect, and stays so
 * as long as it is not cut.
 */
void store_follow(struct store *s, uint32_t partition);

/*
 * (backup) Append an entry as it came from the primary, of which `bytes` has all and no more.  It
 * takes effect when it is committed.  *ret_lsn: it is on disk when that is synced.
 *
 * 0; -EBADMSG: it is not whole, or none that is sent between copies; -ESTALE: it is not of the next
 * sequence, or of a term that may not follow; -ENOSPC: tails or the disk are full; -EBUSY: the log
 * is, until the next checkpoint; -ENODATA: the copy is not whole.
 */
int store_follow_append(struct store *s, struct span bytes, uint64_t *ret_lsn);

/*
 * Everything of the partition up to `sequence`, which is in its log, is committed.  A backup applies
 * it; a primary lets checkpoints take it.  What was told before is told again for nothing.
 * 0; -ERANGE: the log does not reach that far; what a record's applying fails with: then the process
 * must end.
 */
int store_commit(struct store *s, uint32_t partition, uint64_t sequence);

/*
 * (backup) Everything of the partition above `sequence` is void; the log says so from *ret_lsn on.
 * 0, also if there is nothing above it (then *ret_lsn is the log's end); -EINPROGRESS: done, but it
 * had taken effect here, when this was the primary: from now on records are only logged, nothing is
 * checkpointed, and the process must be restarted, which leaves them out; -EBADMSG: that is below
 * what is committed, or in the middle of a group: nothing has changed; -EBUSY, -EIO.
 */
int store_cut(struct store *s, uint32_t partition, uint64_t sequence, uint64_t *ret_lsn);

/* Has a partition been cut below what had taken effect? */
bool store_must_restart(const struct store *s);

/* ---- what there is ---- */

/* The place of the partition's last record in the log; zeros: it has none. */
struct log_place store_last(const struct store *s, uint32_t partition);
/* The sequence up to which all is known to be committed; and up to which it is on disk. */
uint64_t store_commit_sequence(const struct store *s, uint32_t partition);
uint64_t store_synced_sequence(struct store *s, uint32_t partition);
/* The newest `max` spans, oldest first.  Returns how many. */
uint32_t store_spans(const struct store *s, uint32_t partition, struct log_span *out, uint32_t max);

/* What is not committed. */
struct store_tail {
	uint64_t bytes;
	uint64_t records;
};

void store_tail_of(const struct store *s, uint32_t partition, struct store_tail *ret);
/* Each record of it, oldest first. */
void store_tail_each(const struct store *s, uint32_t partition,
		     void (*each)(void *arg, const struct log_entry *e), void *arg);
/* How full tails are, in percent, of the fullest partition or of all of them. */
unsigned store_tail_pressure(const struct store *s, uint32_t partition);

/*
 * The highest sequence, in the partition of the operation since store_begin, of what it has looked
 * at or written, as far as that is not known to be committed; 0: all of it is.
 */
uint64_t store_observed_sequence(const struct store *s);

/* ---- reading for others ---- */

/*
 * From which lsn on the log must be kept for other copies, as long as all files together take no
 * more than half of store_config.log_bytes; UINT64_MAX: for nobody.  After store_open that is 0.
 */
void store_retain(struct store *s, uint64_t lsn);

/* What somebody wants of a partition: its records from the sequence `next` on. */
struct store_want {
	uint32_t partition;
	uint64_t next;
};

struct store_reader;

/*
 * Read the log for so many partitions, each at most once.  The reader may go to another thread, and
 * must be closed before the store.  0 or -ENOMEM.
 */
int store_read_open(struct store *s, const struct store_want *want, uint32_t n,
		    struct store_reader **ret);

/*
 * (the reader's thread) The next record that is wanted, in the order of the log: of each partition
 * those from `next` on, without a gap, and none that a cut had made void when the reader was opened.
 *
 * 1: *ret, good until the next call.  0: there are no more yet that are on disk; call it again
 * later.  -ENODATA: the log does not reach back to what is wanted of *ret_partition, which is not
 * wanted any more; the others go on with the next call.  -EBADMSG: damaged.  Or negative errno.
 */
int store_read_next(struct store_reader *r, struct log_record *ret, uint32_t *ret_partition);
/* (the reader's thread) The lsn of the next record that it would look at. */
uint64_t store_read_at(const struct store_reader *r);
void store_read_close(struct store_reader **r);

/*
 * An lsn at or before that of the partition's record `sequence`, as near as is known without
 * reading: for store_retain.
 */
uint64_t store_lsn_before(const struct store *s, uint32_t partition, uint64_t sequence);

#endif
