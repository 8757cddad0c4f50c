/* Requests that do several things at once: run within a group of the store, then logged whole. */
#include "worker/ops_impl.h"

#include <errno.h>
#include <string.h>

#include "common/fault.h"
#include "ipc/wire/reply.h"
#include "storage/group.h"

uint64_t op_result_max(uint64_t most, uint32_t changes, uint64_t values, uint64_t value_bytes)
{
	uint64_t one = value_bytes + WIRE_RESULT_ADD;

	return !changes && values == 1 && one > most ? one : most;
}

int op_refuse(struct worker *w, const struct op *op, struct buf *out, enum wire_error e,
	      const char *text)
{
	char *p;

	group_abort(w->store);
	out->len = 0;
	out->failed = false;
	p = buf_room(out, REPLY_SMALL);
	if (!p)
		return -ENOMEM;
	out->len = (size_t)(op_error(w, op, p, e, text) - out->data);
	return OP_REFUSED;
}

/* An error of the store, or -EMSGSIZE: nothing has happened, and `out` says why. */
static int refuse(struct worker *w, const struct op *op, struct buf *out, int error)
{
	char *p;

	if (error == -EMSGSIZE)
		return op_refuse(w, op, out, WIRE_E_TOO_LARGE,
				 "the reply would be larger than limits.result");
	if (error == -E2BIG)
		return op_refuse(w, op, out, WIRE_E_TOO_LARGE, store_why(w->store));
	group_abort(w->store);
	out->len = 0;
	out->failed = false;
	p = buf_room(out, REPLY_SMALL);
	if (!p)
		return -ENOMEM;
	out->len = (size_t)(op_store_error(w, op, p, error) - out->data);
	return OP_REFUSED;
}

/* What a group is about to change. */
struct staged {
	uint32_t changes;
	bool made; /* the bucket */
};

/* Run it: a whole reply in `out`.  0: the group is open; OP_REFUSED; or what ends this worker. */
static int stage(struct worker *w, struct op *op, struct buf *out, struct staged *ret)
{
	int r;

	out->len = 0;
	out->failed = false;
	*ret = (struct staged){0, false};
	if (entry_writes(op->entry) && store_writable(w->store) < 0)
		r = -EBUSY;
	else if (op->entry->method == WIRE_TXN)
		r = op_txn(w, op, out);
	else
		r = op_call(w, op, out, &ret->made);
	if (r == 0)
		ret->changes = group_changes(w->store);
	return r < 0 && !w->error ? refuse(w, op, out, r) : r;
}

static struct span result_of(const struct buf *out)
{
	return reply_behind_msgid(out->data, out->data + out->len);
}

/*
 * Log what is staged with its reply, for which room is made first: while that is waited for nothing
 * else is done to the store.
 */
static int commit(struct worker *w, struct op *op, struct buf *out, const struct staged *staged)
{
	int r;

	if (!op_room(w, op, op_way_durable(w, op), out->len > REPLY_SMALL ? out->len : REPLY_SMALL))
		return -EPIPE;
	(void)fault_at("worker.before_append");
	r = group_commit(w->store, result_of(out));
	if (r < 0)
		return refuse(w, op, out, r);
	w->logged = true;
	(void)fault_at("worker.after_append");
	if (staged->made)
		status_add(&w->status->buckets, 1); /* others want to know soon */
	return 0;
}

/* Nothing has changed.  0, or what ends this worker. */
static int settle(struct worker *w, const struct op *op, struct buf *out)
{
	int r = entry_writes(op->entry) ? op_settle(w, op, result_of(out)) : 0;

	if (r < 0)
		r = refuse(w, op, out, r);
	return r == OP_REFUSED ? 0 : r;
}

void op_group(struct worker *w, struct op *op)
{
	struct buf *out = &w->scratch;
	struct staged staged;
	int r = stage(w, op, out, &staged);

	if (r == 0 && staged.changes)
		r = commit(w, op, out, &staged);
	group_abort(w->store); /* which does nothing to one that has ended */
	if (r == OP_REFUSED || (r == 0 && !staged.changes))
		r = settle(w, op, out);
	if (r == -EPIPE || w->error)
		return;
	if (r < 0)
		worker_fail(w, r, store_why(w->store));
	else
		op_reply(w, op, out->data, out->len);
}

int op_group_read(struct worker *w, struct op *op, struct buf *out)
{
	struct staged staged;
	int r = stage(w, op, out, &staged);

	group_abort(w->store);
	return r < 0 ? r : 0;
}
