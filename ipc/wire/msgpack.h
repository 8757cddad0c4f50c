/*
 * MessagePack, an object at a time.  Pure: no allocation, no state, no I/O.  Bytes from outside are
 * first checked as a whole with read_whole; behind that nothing here looks for their end again.
 */
#ifndef PAIL_MSGPACK_H
#define PAIL_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

/* Bytes of one scalar, or of the head of a str, bin, map or array. */
#define CODEC_HEAD_MAX 10u

/* ---- writing: each writes at p, which has the room, and returns the place behind ---- */

char *write_nil(char *p);
char *write_bool(char *p, bool v);
char *write_uint(char *p, uint64_t v);
char *write_int(char *p, int64_t v);
char *write_double(char *p, double v);
char *write_str(char *p, const char *s, size_t n);
char *write_text(char *p, const char *s); /* a str that ends in NUL */
char *write_bin(char *p, const void *data, size_t n);
char *write_bin_head(char *p, size_t n); /* the n bytes follow */
char *write_array(char *p, uint32_t n);
char *write_array32(char *p, uint32_t n); /* always 5 bytes, to be written over later */
char *write_map(char *p, uint32_t n);

/* ---- reading ---- */

enum codec_type {
	TYPE_NIL,
	TYPE_BOOL,
	TYPE_UINT,
	TYPE_INT,
	TYPE_BYTES,
	TYPE_ARRAY,
	TYPE_MAP,
	TYPE_FLOAT,
	TYPE_OTHER
};

/* Whether a whole object lies between p and end; *ret_next is the place behind it. */
bool read_whole(const char *p, const char *end, const char **ret_next);
/* Step over one object. */
const char *read_skip(const char *p);

/* What an object that begins with this byte is, an enum codec_type. */
extern const uint8_t msgpack_types[256];

static inline enum codec_type read_type(const char *p)
{
	return (enum codec_type)msgpack_types[(uint8_t)*p];
}

/*
 * Each steps over what it reads; the type must have been asked for before.  The small forms, which
 * nearly all requests are made of, are read in place, the others by *_long.
 */
uint64_t read_uint(const char **p);
int64_t read_int(const char **p);
bool read_bool(const char **p);
double read_float(const char **p);
uint32_t read_map(const char **p);

struct span read_bytes_long(const char **p);
static inline struct span read_bytes(const char **p)
{
	const uint8_t *u = (const uint8_t *)*p;
	struct span s;

	if (*u >= 0xa0 && *u < 0xc0) {
		s.n = *u & 31u;
		s.p = *p + 1;
	} else if (*u == 0xc4) {
		s.n = u[1];
		s.p = *p + 2;
	} else {
		return read_bytes_long(p);
	}
	*p = s.p + s.n;
	return s;
}

uint32_t read_array_long(const char **p);
static inline uint32_t read_array(const char **p)
{
	uint8_t c = (uint8_t) * *p;

	if (c < 0x90 || c >= 0xa0)
		return read_array_long(p);
	++*p;
	return c & 15u;
}

/* An integer that is not negative, however it is encoded.  False: it is none.  Steps over it. */
bool read_unsigned_long(const char **p, uint64_t *ret);
static inline bool read_unsigned(const char **p, uint64_t *ret)
{
	uint8_t c = (uint8_t) * *p;

	if (c >= 0x80)
		return read_unsigned_long(p, ret);
	++*p;
	*ret = c;
	return true;
}

#endif
