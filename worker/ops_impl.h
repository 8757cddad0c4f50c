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

/* A read into `out`, which is emptied.  0 or the store's error. */
int op_read(struct worker *w, struct op *op, struct buf *out);

#endif
