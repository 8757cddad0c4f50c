/* What a request says, in 64 bits. */
#include "ipc/wire/fingerprint.h"

#include <string.h>

#include "common/check.h"
#include "common/hash.h"

/* On disk, for ever: new ones come at the end. */
enum tag {
	TAG_NIL = 1,
	TAG_BOOL = 2,
	TAG_UNSIGNED = 3,
	TAG_NEGATIVE = 4,
	TAG_FLOAT = 5,
	TAG_BYTES = 6,
	TAG_ARRAY = 7,
	TAG_MAP = 8,
	TAG_OTHER = 9
};

#define LEVELS_MAX 40u /* arguments of a call have 32, in an array */

/* No two heads, tags or numbers alone come to the same: each of these steps can be undone. */
static inline uint64_t words(uint64_t h, enum tag tag, uint64_t a)
{
	h = (h ^ a ^ (uint64_t)tag << 56) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 32;
}

static uint64_t bytes(uint64_t h, enum tag tag, struct span s)
{
	h = words(h, tag, s.n);
	return s.n ? hash64(h, s.p, s.n) : h;
}

static uint64_t map_end(uint64_t h, uint64_t count, uint64_t sum)
{
	return words(words(h, TAG_MAP, count), TAG_MAP, sum);
}

static uint64_t float_bits(const char *p)
{
	uint64_t bits = 0;
	unsigned n = (uint8_t)*p == 0xca ? 4 : 8;
	uint32_t single;
	float narrow;
	double d;

	for (unsigned i = 1; i <= n; i++)
		bits = bits << 8 | (uint8_t)p[i];
	if (n == 8)
		return bits;
	single = (uint32_t)bits;
	memcpy(&narrow, &single, sizeof(narrow));
	d = narrow;
	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

static uint64_t other(uint64_t h, const char **p)
{
	const char *begin = *p;
	uint8_t c = (uint8_t)*begin;

	*p = read_skip(begin);
	if (c == 0xca || c == 0xcb)
		return words(h, TAG_FLOAT, float_bits(begin));
	return bytes(h, TAG_OTHER, (struct span){begin, (size_t)(*p - begin)});
}

static uint64_t integer(uint64_t h, const char **p)
{
	const char *begin = *p;
	uint64_t u;

	if (read_unsigned(p, &u))
		return words(h, TAG_UNSIGNED, u);
	*p = begin;
	return words(h, TAG_NEGATIVE, (uint64_t)read_int(p));
}

/* One object, and step over it.  It calls itself once a level. */
static uint64_t object(uint64_t h, const char **p, unsigned level)
{
	uint64_t sum = 0;
	uint32_t n;

	check(level < LEVELS_MAX);
	switch (read_type(*p)) {
	case TYPE_NIL:
		++*p;
		return words(h, TAG_NIL, 0);
	case TYPE_BOOL:
		return words(h, TAG_BOOL, read_bool(p));
	case TYPE_UINT:
	case TYPE_INT:
		return integer(h, p);
	case TYPE_BYTES:
		return bytes(h, TAG_BYTES, read_bytes(p));
	case TYPE_ARRAY:
		n = read_array(p);
		h = words(h, TAG_ARRAY, n);
		while (n--)
			h = object(h, p, level + 1);
		return h;
	case TYPE_MAP:
		n = read_map(p);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t key = object(0, p, level + 1);

			sum += object(key, p, level + 1);
		}
		return map_end(h, n, sum);
	case TYPE_FLOAT:
	case TYPE_OTHER:
		break;
	}
	return other(h, p);
}

static bool counts(struct span option)
{
	switch (option.n) {
	case 3:
		return memcmp(option.p, "seq", 3) != 0 && memcmp(option.p, "ack", 3) != 0;
	case 7:
		return memcmp(option.p, "session", 7) != 0 && memcmp(option.p, "timeout", 7) != 0;
	default:
		return true;
	}
}

static uint64_t options(uint64_t h, const char *p)
{
	uint64_t sum = 0;
	uint64_t count = 0;

	for (uint32_t n = p ? read_map(&p) : 0; n; n--) {
		const char *name = p;
		uint64_t key;

		if (!counts(read_bytes(&p))) {
			p = read_skip(p);
			continue;
		}
		key = object(0, &name, 0);
		sum += object(key, &p, 0);
		count++;
	}
	return map_end(h, count, sum);
}

uint64_t request_fingerprint(const struct request *r)
{
	unsigned plain = wire_methods[r->method].most - 1u;
	uint64_t h = bytes(0, TAG_BYTES, r->method_name);

	for (unsigned i = 0; i < plain && i < r->param_count; i++) {
		const char *p = r->param[i];

		h = object(h, &p, 0);
	}
	return options(h, r->param_count > plain ? r->param[plain] : NULL);
}
