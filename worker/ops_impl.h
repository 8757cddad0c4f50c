/* What the methods' files share.  Nobody else includes this. */
#ifndef PAIL_OPS_IMPL_H
#define PAIL_OPS_IMPL_H

#include "worker/loop.h"
#include "worker/ops.h"

#define REPLY_SMALL WIRE_REPLY_ERROR_MAX

static inline uint64_t op_identity(const struct op *op)
{
	return op->record + op->index;
}

static inline char *reply_uint(const struct op *op, char *p, uint64_t v)
{
	return write_uint(write_reply_head(p, op->request.msgid), v);
}

/* Why the form of a request was refused, as a reply. */
char *op_refusal(struct worker *w, struct op *op, char *p);

/* An error of the store as a reply. */
char *op_store_error(struct worker *w, const struct op *op, char *p, int error);

/* A read into `out`, which is emptied.  0 or the store's error. */
int op_read(struct worker *w, struct op *op, struct buf *out);

#endif
