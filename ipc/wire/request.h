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

#define CODEC_PARAMS_MAX 5u
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

/* Bytes of a set of numbers below `n`. */
static inline uint32_t set_bytes(uint32_t n)
{
	return (n + 7) / 8;
}

/* The options `set` and `partitions`: whether a number is in it, adding one, taking it out. */
static inline bool set_has(const char *set, uint32_t i)
{
	return (uint8_t)set[i / 8] >> (i % 8) & 1;
}

static inline void set_add(char *set, uint32_t i)
{
	set[i / 8] = (char)((uint8_t)set[i / 8] | 1u << (i % 8));
}

static inline void set_remove(char *set, uint32_t i)
{
	set[i / 8] = (char)((uint8_t)set[i / 8] & ~(1u << (i % 8)));
}

struct options {
	unsigned given; /* option_bits */
	uint64_t timeout_ms;
	uint64_t if_version;
	uint64_t ttl_ms;
	uint64_t limit;
	struct span prefix, from, to, after;
	struct span names;      /* buckets: see names.h */
	struct span set;        /* buckets: a bit for each first byte that counts, 32 bytes */
	struct span partitions; /* buckets: likewise for each partition */
	bool if_absent, reverse, keys_only, local, with_ttl;
	/*
	 * The rest is not emptied for a request that has none of it: session, seq and ack are
	 * there if `given` says so, the others if its method has METHOD_PARTS.
	 */
	struct span session; /* of outcome and ack too, and seq, or ack */
	uint64_t seq;
	uint64_t ack;
	uint64_t fingerprint; /* request_fingerprint: the coordinator's, on the way to a worker */
	struct span part[3];  /* as in struct entry_parts; .p NULL: not given */
	uint64_t largest;     /* value in it: bytes */
	uint32_t ops;         /* likewise as there */
	bool writes;          /* an operation of it does; a call may */
	bool reads;           /* a condition or an operation does; a call may */
	bool large;           /* its reply may be as long as limits.result says */
};

/*
 * Check the number of parameters, the bucket's length, the options and what METHOD_SESSION and
 * METHOD_PARTS say of a request whose method is known, and fill in the defaults.  Returns WIRE_OK, or the error to answer, its text in `why`.
 */
enum wire_error request_check(const struct request *r, struct options *ret, char *why,
			      size_t why_size);

/* Key and value of a request, as its method takes them. */
struct request_parts {
	struct span key;   /* .n 0: it takes none */
	struct span value; /* .p NULL: it takes none */
};

/*
 * What else its node must check of a request that request_check has found right, before it runs:
 * key, value (at most `value_max` bytes) and options that exclude each other.  Returns likewise.
 */
enum wire_error request_parts(const struct request *r, const struct options *o, uint64_t value_max,
			      struct request_parts *ret, char *why, size_t why_size);

/* Parameter `i` as bytes.  Returns 0 or -EINVAL: there is none, or it is neither str nor bin. */
int request_bytes(const struct request *r, unsigned i, struct span *ret);

/* `[0, msgid, method,` and the head of `n` parameters. */
char *write_request_head(char *p, uint64_t msgid, enum wire_method m, uint32_t n);

/* The row of WIRE_METHODS. */
struct method {
	const char *name;
	uint8_t name_size;
	uint8_t least, most; /* parameters */
	uint8_t result;      /* enum result_type */
	uint16_t flags;      /* method_flags */
	unsigned options;    /* option_bits */
	unsigned rights;     /* right_bits */
};
extern const struct method wire_methods[WIRE_METHOD_COUNT];

static inline bool method_is(int method, enum method_flag flag)
{
	return wire_methods[method].flags & flag;
}

static inline bool method_takes(int method, enum option_bit option)
{
	return wire_methods[method].options & option;
}

/* By its name; -1: there is none. */
int wire_method_find(struct span name);
const char *wire_method_name(enum wire_method m);

#endif
