/*
 * Replies: written whole or up to their result, and read (docs/protocol.md).  Pure: no allocation,
 * no state, no I/O.
 */
#ifndef PAIL_REPLY_H
#define PAIL_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "include/wire.h"
#include "ipc/wire/msgpack.h"

/* Bytes around a reply's result: its head, msgid, nil, and the array of a value. */
#define CODEC_REPLY_MAX 32u

/* `[1, msgid,`: error and result follow. */
char *write_reply_msgid(char *p, uint64_t msgid);
/* `[1, msgid, nil,`: the result follows. */
char *write_reply_head(char *p, uint64_t msgid);
/* What a reply that was written here has behind its msgid, error and result, up to `end`. */
struct span reply_behind_msgid(const char *reply, const char *end);
/* A whole error reply of at most WIRE_REPLY_ERROR_MAX bytes; a longer text is cut. */
char *write_error(char *p, uint64_t msgid, bool msgid_known, enum wire_error e, const char *text);
/* A whole reply `conflict`: the version there is now stands in its text and is its data. */
char *write_conflict(char *p, uint64_t msgid, uint64_t version);
/* A whole get reply: the room must be CODEC_REPLY_MAX + value.n. */
char *write_value_reply(char *p, uint64_t msgid, struct span value, uint64_t version);

struct reply {
	bool notification; /* then `method` and `result` (the params) count */
	uint64_t msgid;
	bool msgid_known;
	struct span method;
	struct span code; /* .p NULL: no error */
	struct span text;
	const char *data; /* what the error carries for programs, one object; NULL: nothing */
	const char *result;
	const char *end;
};

/* Walk the reply or notification at `p`.  Returns 0, or -EBADMSG. */
int reply_walk(const char *p, const char *end, struct reply *ret);

const char *wire_error_name(enum wire_error e);
/* The error of a whole reply, WIRE_OK: it has none; WIRE_E_INTERNAL also of a later version's. */
enum wire_error reply_error_of(const char *reply);
enum wire_error wire_error_find(struct span name); /* WIRE_ERROR_COUNT: unknown */

#endif
