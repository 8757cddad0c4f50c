/* What the methods' files share.  Nobody else includes this. */
#ifndef PAIL_OPS_IMPL_H
#define PAIL_OPS_IMPL_H

#include "common/check.h"
#include "worker/loop.h"
#include "worker/ops.h"

#define REPLY_SMALL WIRE_REPLY_ERROR_MAX

static inline uint64_t op_identity(const struct op *op)
{
	return op->record + op->index;
}

/* A run of its bytes that an option names. */
static inline struct span op_span(const struct op *op, struct entry_span s)
{
	check(s.size <= op->rec->size - op->entry->offset &&
	      s.at <= op->rec->size - op->entry->offset - s.size);
	return (struct span){record_bytes(op->rec, op->entry) + s.at, s.size};
}

static inline char *reply_uint(const struct op *op, char *p, uint64_t v)
{
	return write_uint(write_reply_head(p, op->entry->msgid), v);
}

/* An error of the store as a reply. */
char *op_store_error(struct worker *w, const struct op *op, char *p, int error);

/* An error as a reply. */
char *op_error(struct worker *w, const struct op *op, char *p, enum wire_error e, const char *text);
/*
 * Room for its reply in a ring, or where it waits for copies; NULL: this worker is ending.  The way
 * for what will have to wait for the log.
 */
char *op_room(struct worker *w, const struct op *op, int way, size_t n);
int op_way_durable(struct worker *w, const struct op *op);
/* A whole reply to where it belongs, telling of what has been looked at until now. */
void op_reply(struct worker *w, const struct op *op, const char *data, size_t n);

/* ---- requests of sessions, and what is kept of requests: ops_session.c ---- */

/* One with ENTRY_SESSION has its turn.  True: it is to be run.  False: it has been answered. */
bool op_session(struct worker *w, struct op *op);
/* One that is not run, or is a read: what it acknowledges counts. */
void op_session_acknowledge(struct worker *w, const struct op *op);

/*
 * A request that may write has changed nothing; `result` is what its reply has behind its msgid.
 * Log it, if it is an outcome of a session, or must wait, since it tells of something unsynced: run
 * again after a kill the request might find another state and succeed.  0, or the store's error,
 * which is to be told instead: then it has not been run.
 */
int op_settle(struct worker *w, const struct op *op, struct span result);

/* ---- requests that are groups: ops_group.c ---- */

/* Run a txn or call, log what it has changed, answer it. */
void op_group(struct worker *w, struct op *op);
/* The same of one that writes nothing, its reply into `out`.  0 or the store's error. */
int op_group_read(struct worker *w, struct op *op, struct buf *out);

/*
 * Both begin a group and leave it open for whoever calls them to end, and write a whole reply into
 * `out`, which is empty: 0.  OP_REFUSED: that is an error, and the group has been given up.
 * Negative: an error of the store, or -EMSGSIZE (the reply is too large).  *ret_made: the bucket
 * has been made.
 */
#define OP_REFUSED 1
int op_txn(struct worker *w, struct op *op, struct buf *out);
int op_call(struct worker *w, struct op *op, struct buf *out, bool *ret_made);

/* The group is given up, and `out` an error.  OP_REFUSED or -ENOMEM. */
int op_refuse(struct worker *w, const struct op *op, struct buf *out, enum wire_error e,
	      const char *text);
/*
 * How long a reply may be: `most`, but if nothing was written and one value alone was read, that
 * value and a little more.
 */
uint64_t op_result_max(uint64_t most, uint32_t changes, uint64_t values, uint64_t value_bytes);

/* A read into `out`, which is emptied.  0 or the store's error. */
int op_read(struct worker *w, struct op *op, struct buf *out);

#endif
