/*
 * What a txn is made of: lists of conditions and operations, read one after the other.  The
 * coordinator reads all of them, once, to find what is wrong; the worker reads those that it runs,
 * and finds nothing wrong any more.
 *
 *	struct txn_list l;
 *	struct txn_op op;
 *
 *	txn_list_begin(&l, "then", list);
 *	while (l.left && txn_op_next(&l, UINT64_MAX, &op, NULL, 0) == WIRE_OK)
 *		...
 */
#ifndef PAIL_TXN_H
#define PAIL_TXN_H

#include "ipc/wire/request.h"

struct txn_list {
	const char *p;
	const char *name; /* for the texts of errors */
	uint32_t left;
	uint32_t index; /* of the next one */
};

/* `array`: a whole MessagePack array; without bytes it is an empty one. */
void txn_list_begin(struct txn_list *l, const char *name, struct span array);

enum txn_relation { TXN_EQUAL, TXN_DIFFERENT, TXN_LESS, TXN_GREATER };

struct txn_condition {
	struct span key;
	bool is_value; /* it is about the value, not about the version */
	enum txn_relation relation;
	uint64_t version;  /* 0: no such key */
	struct span value; /* no such key: only TXN_DIFFERENT holds */
};

enum txn_op_kind { TXN_GET, TXN_SCAN, TXN_COUNT, TXN_PUT, TXN_TOUCH, TXN_DELETE };

struct txn_op {
	enum txn_op_kind kind;
	struct span key;        /* not of scan and count */
	struct span value;      /* of put */
	struct options options; /* of put and touch ttl, of scan its own; `given` says which */
};

static inline bool txn_op_writes(const struct txn_op *op)
{
	return op->kind >= TXN_PUT;
}

/*
 * Read the next element, of which there must be one left, and step over it.  Its spans lead into
 * the list.  Values may have `value_max` bytes.  Returns WIRE_OK; WIRE_E_BAD_ARGUMENT or
 * WIRE_E_TOO_LARGE, with the place and the reason in `why`: then nothing more can be read.
 */
enum wire_error txn_condition_next(struct txn_list *l, uint64_t value_max,
				   struct txn_condition *ret, char *why, size_t why_size);
enum wire_error txn_op_next(struct txn_list *l, uint64_t value_max, struct txn_op *ret, char *why,
			    size_t why_size);

#endif
