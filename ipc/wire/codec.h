/*
 * Requests, replies and their parts to and from MessagePack bytes (docs/protocol.md).  Pure: no
 * allocation, no state, no I/O.  Everything read is checked against its end first, so that bytes
 * from outside can at worst be refused.  The only file that includes msgpuck.h is codec.c.
 */
#ifndef PAIL_CODEC_H
#define PAIL_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "include/wire.h"

#define CODEC_PARAMS_MAX 4u
/* Bytes around a reply's result: its head, msgid, nil, and the array of a value. */
#define CODEC_REPLY_MAX 32u
/* Bytes of one scalar, or of the head of a str, bin, map or array. */
#define CODEC_HEAD_MAX 10u
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

/* Options, by name; which methods take them is one table in codec.c. */
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

/* ---- writing: each writes at p, which has the room, and returns the place behind ---- */

char *write_nil(char *p);
char *write_bool(char *p, bool v);
char *write_uint(char *p, uint64_t v);
char *write_str(char *p, const char *s, size_t n);
char *write_text(char *p, const char *s); /* a str that ends in NUL */
char *write_bin(char *p, const void *data, size_t n);
char *write_bin_head(char *p, size_t n); /* the n bytes follow */
char *write_array(char *p, uint32_t n);
char *write_array32(char *p, uint32_t n); /* always 5 bytes, to be written over later */
char *write_map(char *p, uint32_t n);

/* `[1, msgid, nil,`: the result follows. */
char *write_reply_head(char *p, uint64_t msgid);
/* A whole error reply of at most WIRE_REPLY_ERROR_MAX bytes; a longer text is cut. */
char *write_error(char *p, uint64_t msgid, bool msgid_known, enum wire_error e, const char *text);
/* A whole reply `conflict`: the version there is now stands in its text and is its data. */
char *write_conflict(char *p, uint64_t msgid, uint64_t version);
/* A whole get reply: the room must be CODEC_REPLY_MAX + value.n. */
char *write_value_reply(char *p, uint64_t msgid, struct span value, uint64_t version);
/* `[0, msgid, method,` and the head of `n` parameters. */
char *write_request_head(char *p, uint64_t msgid, enum wire_method m, uint32_t n);

/* ---- reading replies ---- */

enum codec_type {
	TYPE_NIL,
	TYPE_BOOL,
	TYPE_UINT,
	TYPE_INT,
	TYPE_BYTES,
	TYPE_ARRAY,
	TYPE_MAP,
	TYPE_OTHER
};

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

/* Step over one well-formed object (one that reply_walk or request_walk has passed over). */
const char *read_skip(const char *p);
/* Whether a whole object lies between p and end; *ret_next is the place behind it. */
bool read_whole(const char *p, const char *end, const char **ret_next);
enum codec_type read_type(const char *p);
/* Each steps over what it reads; the type must have been asked for before. */
uint64_t read_uint(const char **p);
int64_t read_int(const char **p);
bool read_bool(const char **p);
struct span read_bytes(const char **p);
uint32_t read_array(const char **p);
uint32_t read_map(const char **p);

const char *wire_error_name(enum wire_error e);
enum wire_error wire_error_find(struct span name); /* WIRE_ERROR_COUNT: unknown */
const char *wire_method_name(enum wire_method m);
bool wire_method_has_bucket(enum wire_method m);

#endif
