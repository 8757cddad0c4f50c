/* The methods: one function each, one table.  Requests in, replies out, nothing waits. */
#ifndef PAIL_OPS_H
#define PAIL_OPS_H

#include "ipc/shm/records.h"
#include "worker/worker.h"

#define OPS_BATCH 64u /* requests looked up together, so that memory is on its way for all */

/* A request on its way through the worker: it has been found right before it came here. */
struct op {
	const struct request_record *rec;
	const struct request_entry *entry;
	const struct entry_options *options; /* never NULL */
	struct store_key key; /* .name.n 0: it is for no bucket; of a call, a guess */
	uint64_t record;      /* position of its record */
	uint32_t index;       /* in its record */
	uint64_t deadline_ms;
};

/* Find its parts in the record and look up its bucket; the key's memory is on its way after
 * op_prefetch. */
void op_prepare(struct worker *w, struct op *op, const struct request_record *rec, uint64_t record,
		uint32_t index);
void op_prefetch(struct worker *w, const struct op *op);

/* Run it and write its reply. */
void op_run(struct worker *w, struct op *op);

/* The result of a request whose one change has this version. */
static inline char *op_change_result(char *p, unsigned method, uint64_t version)
{
	return wire_methods[method].result == RESULT_BOOL ? write_bool(p, true)
							  : write_uint(p, version);
}

/* The result of an `outcome` that has ruled out what it asked about. */
static inline char *op_never_result(char *p)
{
	return write_text(write_text(write_map(p, 1), "state"), "never");
}

/* Run a read into `out` as a whole reply, for a recovery.  0 or negative errno that ends the
 * worker. */
int op_read_into(struct worker *w, struct op *op, struct buf *out);

#endif
