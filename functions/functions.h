/*
 * Functions that run where the data is: a set of modules, and a call of one of their functions on a
 * bucket, held in by time and memory.  What language they are written in is this folder's own
 * affair.
 *
 * The set is made from sources, all of them or none.  A call gets the bucket's operations as a
 * table of C functions; nothing else of the world is within a function's reach: no files, no
 * network, no clock but the one moment that the call was given.  Modules keep nothing from one call
 * to the next.
 *
 * A set belongs to the thread that made it.  While a call has been running for a while a timer
 * may send that thread FUNCTIONS_SIGNAL, and only then: a thread that blocks it loses the hard stop
 * (see functions_call), no more.
 */
#ifndef PAIL_FUNCTIONS_H
#define PAIL_FUNCTIONS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

#define FUNCTIONS_SIGNAL     SIGVTALRM
#define FUNCTIONS_NAME_MAX   50u   /* bytes of a module's name: letters, digits and _ */
#define FUNCTIONS_WHY_MAX    1024u /* bytes of an error's text, with its NUL */
#define FUNCTIONS_LEVELS_MAX 32u   /* arrays and maps within each other, in arguments and results */
#define FUNCTIONS_ARGS_MAX   250u
#define FUNCTIONS_LOG_LINES  16u
#define FUNCTIONS_LOG_BYTES  4096u

/* ---- a set of modules ---- */

struct functions;

struct functions_source {
	const char *name; /* of the module; `node` is always there and reserved */
	struct span text; /* may go when functions_new has returned */
};

struct functions_config {
	const char *node;      /* what node.name() and pail.node say */
	uint32_t time_ms;      /* of a call, at least 1 */
	uint64_t memory_bytes; /* that a call may use, at least 1 MiB */
	uint64_t value_max;    /* no string is made that is longer */
};

/*
 * Compile the modules and run each once, under the same limits as a call.  Each must return a table
 * of its functions.
 * Returns 0; -EINVAL: `why` names the file (module.lua), the line and the reason; -ENOMEM.
 */
int functions_new(const struct functions_config *c, const struct functions_source *sources,
		  size_t count, struct functions **ret, char *why, size_t why_size);
void functions_free(struct functions **f); /* NULL is fine */

/* Each function of each module, in the order of their names; those of `node` too. */
void functions_list(const struct functions *f,
		    void (*each)(void *arg, const char *module, const char *function), void *arg);

/* ---- what a bucket can do ---- */

struct functions_error {
	int code;       /* whatever the caller's codes are; it comes back in the reply */
	char text[256]; /* its name and what is wrong: "no_bucket: there is no bucket "x"" */
};

enum functions_done {
	FUNCTIONS_DONE,
	FUNCTIONS_NONE,     /* there is no such key; no further item */
	FUNCTIONS_CONFLICT, /* the condition does not hold; the item's version is the one there is
			     */
	FUNCTIONS_FAILED_OP /* the error says why; the function may catch it */
};

struct functions_item {
	struct span key; /* of a scan; like value, it stays as it is until the next operation */
	struct span value;
	uint64_t version;
};

struct functions_condition {
	bool if_absent;
	bool if_version;
	uint64_t version;
};

struct functions_range { /* a span without a pointer was not given */
	struct span prefix, from, to, after;
	bool reverse;
	bool keys_only;
};

/*
 * The bucket of a call.  What is written is seen by what is read later in the same call; applied it
 * is by the caller, once functions_call has returned FUNCTIONS_OK.  The caller judges how many
 * writes are too many.  Keys are 1 to WIRE_KEY_MAX bytes here, values at most value_max, ttls at
 * least 1.
 */
struct functions_ops {
	enum functions_done (*get)(void *arg, struct span key, struct functions_item *ret,
				   struct functions_error *e);
	/* ttl_ms 0: for ever.  ret->version: the new one. */
	enum functions_done (*put)(void *arg, struct span key, struct span value, uint64_t ttl_ms,
				   const struct functions_condition *c, struct functions_item *ret,
				   struct functions_error *e);
	enum functions_done (*touch)(void *arg, struct span key, uint64_t ttl_ms,
				     struct functions_item *ret, struct functions_error *e);
	enum functions_done (*del)(void *arg, struct span key, const struct functions_condition *c,
				   struct functions_item *ret, struct functions_error *e);
	/* The first key of the range, behind `after` in the direction of the scan. */
	enum functions_done (*scan)(void *arg, const struct functions_range *r,
				    struct functions_item *ret, struct functions_error *e);
	enum functions_done (*count)(void *arg, uint64_t *ret, struct functions_error *e);
	enum functions_done (*exists)(void *arg, bool *ret, struct functions_error *e);
	enum functions_done (*create)(void *arg, bool *ret_created, struct functions_error *e);
	/* A line of pail.log or print, any bytes. */
	void (*log)(void *arg, const char *module, struct span line);
};

/* ---- a call ---- */

enum functions_status {
	FUNCTIONS_OK,
	FUNCTIONS_NO_FUNCTION,
	FUNCTIONS_FAILED,       /* it raised an error, or its result cannot be sent */
	FUNCTIONS_TOO_LONG,     /* time, memory or depth of calls */
	FUNCTIONS_BAD_ARGUMENT, /* an argument, or a key of no bytes */
	FUNCTIONS_TOO_LARGE,    /* a result above result_size; a key or value above its limit */
	FUNCTIONS_OP,           /* an operation failed and nobody caught it: see `code` */
	FUNCTIONS_INTERNAL      /* no memory for a new sandbox */
};

struct functions_request {
	struct span module, function, bucket;
	const char *args; /* a MessagePack array, known to be whole */
	uint64_t now_ms;
	const struct functions_ops *ops;
	void *ops_arg;
};

struct functions_reply {
	char *result;       /* the caller's room, */
	size_t result_size; /* so large; */
	size_t n;           /* in it so many bytes of MessagePack, if it was FUNCTIONS_OK */
	int code;           /* of functions_error, if it was FUNCTIONS_OP */
	bool hard;          /* the hard stop was needed */
	char why[FUNCTIONS_WHY_MAX]; /* if it was not FUNCTIONS_OK: what, and in which module:line
				      */
};

/*
 * Run it.  It ends after time_ms by itself (it is interrupted every hundred instructions, and by
 * everything that takes long); what is deaf to that is cut off from outside 100 ms later: the hard
 * stop.  Neither ever cuts an operation of the bucket short.  After a limit the sandbox is thrown
 * away with all that was in it, and the next call gets a new one.
 */
enum functions_status functions_call(struct functions *f, const struct functions_request *q,
				     struct functions_reply *r);

struct functions_figures {
	uint64_t used_bytes; /* now */
	uint64_t peak_bytes; /* the most that any call had in use */
	uint64_t renewed;    /* sandboxes thrown away */
	uint64_t hard_stops; /* of those, by the hard stop */
};
void functions_figures(const struct functions *f, struct functions_figures *ret);

#endif
