/* The language of `pail txn`, as its --help describes it: lines into a transaction. */
#ifndef PAIL_SCRIPT_H
#define PAIL_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "include/pail.h"

enum script_kind {
	SCRIPT_PUT,
	SCRIPT_TOUCH,
	SCRIPT_DELETE,
	SCRIPT_GET,
	SCRIPT_SCAN,
	SCRIPT_COUNT,
	SCRIPT_KINDS
};

/* An operation, for whoever shows its result. */
struct script_op {
	enum script_kind kind;
	struct pail_bytes key;    /* in `keys` of the script; data NULL: it has none */
	bool with_ttl, keys_only; /* of a scan */
};

struct script {
	struct pail_txn *txn;
	bool has_conditions;
	struct script_op *op[2]; /* of each branch, malloc'ed */
	size_t count[2];
	size_t size[2];
	enum pail_branch branch; /* that lines belong to now */
	uint64_t line;           /* of the one that was read last, from 1 on */
	bool has_else;
	char why[400];
};

/* 0, or -ENOMEM. */
int script_init(struct script *s);
void script_fini(struct script *s);

/*
 * One line of `n` bytes, taken apart in place; the byte behind them is written over.  What it holds
 * must stay until script_fini.  False: it is wrong, `why` names the line and says how.
 */
bool script_line(struct script *s, char *line, size_t n);

const char *script_name(enum script_kind kind);

#endif
