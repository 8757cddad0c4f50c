/*
 * A partition of base as a whole: read in one go, and written or deleted as one.  See snapshot.h.
 *
 * While a partition is void (engine_void) its rows may be there or not, and mean nothing: whoever
 * reads base passes them over, as its row of `parts` says.
 */
#ifndef PAIL_ENGINE_COPY_H
#define PAIL_ENGINE_COPY_H

#include "storage/engine.h"

struct engine_copy;

/* ---- reading: any one thread at a time ---- */

/*
 * Read a partition as it is committed now, beside whatever is written meanwhile.  What it points to
 * holds until the next call that gives something of the same kind.  *ret_spans is empty if nothing
 * is settled.  0, -EBADMSG, -EAGAIN (too many readers), -ENOMEM.
 */
int engine_copy_open(struct engine *e, uint32_t partition, struct engine_copy **ret,
		     struct engine_part *ret_part, struct log_spans *ret_spans);
void engine_copy_close(struct engine_copy **c);

/*
 * The next bucket, by name; the next item of that bucket, by key; the next row of sessions, a
 * session before its outcomes; the next entry that is set aside, by sequence.  0; -ENOENT: there are
 * no more; -EBADMSG; -ENOMEM.
 */
int engine_copy_bucket(struct engine_copy *c, struct span *ret_name, uint64_t *ret_id,
		       uint64_t *ret_count);
int engine_copy_item(struct engine_copy *c, struct engine_item *ret);
int engine_copy_session(struct engine_copy *c, struct engine_session_row *ret);
int engine_copy_tail(struct engine_copy *c, const struct log_entry **ret);
/* The first entry is the next one again. */
void engine_copy_tail_again(struct engine_copy *c);

/* ---- writing: the checkpoint thread, from engine_begin to engine_commit ---- */

/*
 * Nothing is settled of the partition, what the log has of it up to `load_lsn` is void, and so are
 * its rows; what was set aside goes at once.
 */
int engine_void(struct engine *e, uint32_t partition, uint64_t load_lsn);

/*
 * Delete up to `max` rows of a partition that is void, of all kinds, and stop behind `max_bytes` of
 * values.  How many (0: nothing is left), or an error.
 */
int engine_wipe(struct engine *e, uint32_t partition, unsigned max, uint64_t max_bytes);

/* What was put of a partition that is void is settled when its row of `parts` says so, not sooner. */
void engine_put_void(struct engine *e, uint32_t partition);

#endif
