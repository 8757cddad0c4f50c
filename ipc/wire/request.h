/*
 * Requests: from bytes to struct request, and what their methods and options must be
 * (docs/protocol.md).  Pure: no allocation, no state, no I/O.
 */
#ifndef PAIL_REQUEST_H
#define PAIL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"
#include "include/wire.h"
#include "ipc/wire/msgpack.h"

#define CODEC_PARAMS_MAX 4u
/* Bytes of the option `set`. */
#define CODEC_SET_BYTES 32u

/* One request, as it lies in a frame.  All pointers lead into the frame. */
struct request {
	uint64_t msgid;
	bool msgid_known;
	int method; /* enum wire_method, or -1: no such method */
	struct span method_name;
	uint32_t param_count;
	const char *param[CODEC_PARAMS_MAX]; /* the first ones */
	const char *end;                     /* behind the request */
	struct span bucket;                  /* .p NULL: missing, or no str or bin */
};

/*
 * Walk the request that begins at `p`.  Returns 0 with *ret filled, or -EBADMSG: the bytes are no
 * request; *ret_why says what is wrong with them, ret->msgid(_known) whether its msgid was
 * readable.
 */
int request_walk(const char *p, const char *end, struct request *ret, const char **ret_why);

/* Options, by name; which methods take them is one table in request.c. */
enum option_bit {
	OPT_TIMEOUT = 1 << 0,
	OPT_IF_VERSION = 1 << 1,
	OPT_IF_ABSENT = 1 << 2,
	OPT_TTL = 1 << 3,
	OPT_PREFIX = 1 << 4,
	OPT_FROM = 1 << 5,
	OPT_TO = 1 << 6,
	OPT_AFTER = 1 << 7,
	OPT_LIMIT = 1 << 8,
	OPT_REVERSE = 1 << 9,
	OPT_KEYS_ONLY = 1 << 10,
	OPT_LOCAL = 1 << 11,
	OPT_CLIENT = 1 << 12,
	OPT_SET = 1 << 13,     /* between nodes and workers only */
	OPT_WITH_TTL = 1 << 14 /* of a scan: named ttl, too */
};

/* The option `set`: whether it has a byte, and adding one. */
static inline bool set_has(const char *set, uint8_t byte)
{
	return (uint8_t)set[byte / 8] >> (byte % 8) & 1;
}

static inline void set_add(char *set, uint8_t byte)
{
	set[byte / 8] = (char)((uint8_t)set[byte / 8] | 1u << (byte % 8));
}

struct options {
	unsigned given; /* option_bits */
	uint64_t timeout_ms;
	uint64_t if_version;
	uint64_t ttl_ms;
	uint64_t limit;
	struct span prefix, from, to, after;
	struct span set; /* buckets: a bit for each first byte that counts, 32 bytes */
	bool if_absent, reverse, keys_only, local, with_ttl;
};

/*
 * Check the number of parameters, the bucket's length and the options of a request whose method is
 * known, and fill in the defaults.  Returns WIRE_OK, or the error to answer, its text in `why`.
 */
enum wire_error request_check(const struct request *r, struct options *ret, char *why,
			      size_t why_size);

/* Parameter `i` as bytes.  Returns 0 or -EINVAL: there is none, or it is neither str nor bin. */
int request_bytes(const struct request *r, unsigned i, struct span *ret);

/* `[0, msgid, method,` and the head of `n` parameters. */
char *write_request_head(char *p, uint64_t msgid, enum wire_method m, uint32_t n);

const char *wire_method_name(enum wire_method m);
bool wire_method_has_bucket(enum wire_method m);

#endif
