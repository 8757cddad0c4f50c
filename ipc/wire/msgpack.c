/* MessagePack over msgpuck: the only file that includes it. */
#include "ipc/wire/msgpack.h"

#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#define MP_SOURCE 1
#include <msgpuck.h>
#pragma GCC diagnostic pop

/* Big-endian length of `n` bytes. */
static uint64_t length_at(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

/*
 * Step over one whole object.  msgpuck's own mp_check counts what is still to come in an int, which
 * an array or map of 2^31 elements overflows: it then passes bytes that are not there.  Here
 * nothing can be awaited that the bytes left could not hold.  Returns the place behind, or NULL.
 */
static const char *object_end(const char *from, const char *end)
{
	const uint8_t *p = (const uint8_t *)from;
	const uint8_t *e = (const uint8_t *)end;
	uint64_t todo = 1;

	while (todo) {
		uint64_t skip = 0; /* bytes of content */
		uint64_t more = 0; /* objects inside */
		unsigned lead = 0; /* bytes that hold a length */
		uint8_t c;

		if (todo > (uint64_t)(e - p))
			return NULL;
		c = *p++;
		todo--;
		if (c < 0x80 || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3) {
			continue; /* small integers, nil, false, true */
		} else if (c < 0x90) {
			more = 2u * (c & 15u);
		} else if (c < 0xa0) {
			more = c & 15u;
		} else if (c < 0xc0) {
			skip = c & 31u;
		} else if (c >= 0xc4 && c <= 0xc6) { /* bin */
			lead = 1u << (c - 0xc4);
		} else if (c >= 0xc7 && c <= 0xc9) { /* ext: a type byte and content */
			lead = 1u << (c - 0xc7);
			skip = 1;
		} else if (c == 0xca || c == 0xcb) { /* float, double */
			skip = c == 0xca ? 4 : 8;
		} else if (c >= 0xcc && c <= 0xd3) { /* integers */
			skip = 1u << ((c - 0xcc) & 3);
		} else if (c >= 0xd4 && c <= 0xd8) { /* fixext */
			skip = 1u + (1u << (c - 0xd4));
		} else if (c >= 0xd9 && c <= 0xdb) { /* str */
			lead = 1u << (c - 0xd9);
		} else if (c >= 0xdc) { /* array, map */
			lead = c & 1 ? 4 : 2;
		} else {
			return NULL; /* 0xc1 */
		}
		if (lead) {
			uint64_t n;

			if ((uint64_t)(e - p) < lead)
				return NULL;
			n = length_at(p, lead);
			p += lead;
			if (c >= 0xdc)
				more = c >= 0xde ? 2 * n : n;
			else
				skip += n;
		}
		if (skip > (uint64_t)(e - p))
			return NULL;
		p += skip;
		todo += more;
	}
	return (const char *)p;
}

/* ---- writing ---- */

char *write_nil(char *p)
{
	return mp_encode_nil(p);
}

char *write_bool(char *p, bool v)
{
	return mp_encode_bool(p, v);
}

char *write_uint(char *p, uint64_t v)
{
	return mp_encode_uint(p, v);
}

char *write_int(char *p, int64_t v)
{
	return v >= 0 ? mp_encode_uint(p, (uint64_t)v) : mp_encode_int(p, v);
}

char *write_double(char *p, double v)
{
	return mp_encode_double(p, v);
}

char *write_str(char *p, const char *s, size_t n)
{
	return mp_encode_str(p, n ? s : "", (uint32_t)n);
}

char *write_text(char *p, const char *s)
{
	return mp_encode_str(p, s, (uint32_t)strlen(s));
}

char *write_bin_head(char *p, size_t n)
{
	return mp_encode_binl(p, (uint32_t)n);
}

char *write_bin(char *p, const void *data, size_t n)
{
	p = mp_encode_binl(p, (uint32_t)n);
	if (n)
		memcpy(p, data, n);
	return p + n;
}

char *write_array(char *p, uint32_t n)
{
	return mp_encode_array(p, n);
}

char *write_array32(char *p, uint32_t n)
{
	*p++ = (char)0xdd;
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (char)(n >> shift);
	return p;
}

char *write_map(char *p, uint32_t n)
{
	return mp_encode_map(p, n);
}

/* ---- reading ---- */

const char *read_skip(const char *p)
{
	mp_next(&p);
	return p;
}

bool read_whole(const char *p, const char *end, const char **ret_next)
{
	const char *q = object_end(p, end);

	if (!q)
		return false;
	*ret_next = q;
	return true;
}

/* clang-format off */
const uint8_t msgpack_types[256] = {
	[0x00 ... 0x7f] = TYPE_UINT,
	[0x80 ... 0x8f] = TYPE_MAP,
	[0x90 ... 0x9f] = TYPE_ARRAY,
	[0xa0 ... 0xbf] = TYPE_BYTES, /* str */
	[0xc0] = TYPE_NIL,
	[0xc1] = TYPE_OTHER, /* nothing: read_whole refuses it */
	[0xc2 ... 0xc3] = TYPE_BOOL,
	[0xc4 ... 0xc6] = TYPE_BYTES, /* bin */
	[0xc7 ... 0xc9] = TYPE_OTHER, /* ext */
	[0xca ... 0xcb] = TYPE_FLOAT,
	[0xcc ... 0xcf] = TYPE_UINT,
	[0xd0 ... 0xd3] = TYPE_INT,
	[0xd4 ... 0xd8] = TYPE_OTHER, /* fixext */
	[0xd9 ... 0xdb] = TYPE_BYTES, /* str */
	[0xdc ... 0xdd] = TYPE_ARRAY,
	[0xde ... 0xdf] = TYPE_MAP,
	[0xe0 ... 0xff] = TYPE_INT,
};
/* clang-format on */

uint64_t read_uint(const char **p)
{
	return mp_decode_uint(p);
}

int64_t read_int(const char **p)
{
	return mp_decode_int(p);
}

bool read_bool(const char **p)
{
	return mp_decode_bool(p);
}

double read_float(const char **p)
{
	return mp_typeof(**p) == MP_FLOAT ? (double)mp_decode_float(p) : mp_decode_double(p);
}

struct span read_bytes_long(const char **p)
{
	uint32_t n = 0;
	struct span s;

	s.p = mp_typeof(**p) == MP_STR ? mp_decode_str(p, &n) : mp_decode_bin(p, &n);
	s.n = n;
	return s;
}

uint32_t read_array_long(const char **p)
{
	return mp_decode_array(p);
}

uint32_t read_map(const char **p)
{
	return mp_decode_map(p);
}

bool read_unsigned_long(const char **p, uint64_t *ret)
{
	int64_t v;

	if (mp_typeof(**p) == MP_UINT) {
		*ret = mp_decode_uint(p);
		return true;
	}
	if (mp_typeof(**p) != MP_INT)
		return false;
	v = mp_decode_int(p);
	*ret = (uint64_t)v;
	return v >= 0;
}
