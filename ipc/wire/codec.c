/* The message codec over msgpuck: the only file that knows MessagePack's bytes. */
#include "ipc/wire/codec.h"

#include <errno.h>
#include <stdio.h>

#include "common/buf.h"

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

#define SHOWN_MAX 129u /* bytes of a name in an error's text, a byte as \xNN at the most */

struct method_row {
	const char *name;
	uint8_t name_len;
	uint8_t has_bucket;
	uint8_t least;
	uint8_t most;
};

static const struct method_row methods[WIRE_METHOD_COUNT] = {
#define X(id, name, bucket, least, most) \
	[WIRE_##id] = {#name, sizeof(#name) - 1, bucket, least, most},
	WIRE_METHODS(X)
#undef X
};

static const char *const error_names[WIRE_ERROR_COUNT] = {[WIRE_OK] = "ok",
#define X(id, name) [WIRE_E_##id] = #name,
							  WIRE_ERRORS(X)
#undef X
};

enum option_kind { KIND_UINT, KIND_BOOL, KIND_BYTES, KIND_ANY };

#define M(m) (1u << WIRE_##m)
#define ALL  ((1u << WIRE_METHOD_COUNT) - 1)

static const struct option_row {
	const char *name;
	enum option_bit bit;
	enum option_kind kind;
	unsigned methods;
	uint64_t least;
	uint64_t most;
} option_rows[] = {
	{"timeout",    OPT_TIMEOUT,    KIND_UINT,  ALL,                  1, WIRE_TIMEOUT_MS_MAX},
	{"if_version", OPT_IF_VERSION, KIND_UINT,  M(PUT) | M(DELETE),   0, UINT64_MAX         },
	{"if_absent",  OPT_IF_ABSENT,  KIND_BOOL,  M(PUT),               0, 0                  },
	{"ttl",        OPT_TTL,        KIND_UINT,  M(PUT),               1, UINT64_MAX         },
	{"ttl",        OPT_WITH_TTL,   KIND_BOOL,  M(SCAN),              0, 0                  },
	{"prefix",     OPT_PREFIX,     KIND_BYTES, M(SCAN) | M(BUCKETS), 0, 0                  },
	{"from",       OPT_FROM,       KIND_BYTES, M(SCAN),              0, 0                  },
	{"to",         OPT_TO,         KIND_BYTES, M(SCAN),              0, 0                  },
	{"after",      OPT_AFTER,      KIND_BYTES, M(SCAN) | M(BUCKETS), 0, 0                  },
	{"limit",      OPT_LIMIT,      KIND_UINT,  M(SCAN) | M(BUCKETS), 1, WIRE_SCAN_LIMIT_MAX},
	{"reverse",    OPT_REVERSE,    KIND_BOOL,  M(SCAN),              0, 0                  },
	{"keys_only",  OPT_KEYS_ONLY,  KIND_BOOL,  M(SCAN),              0, 0                  },
	{"local",      OPT_LOCAL,      KIND_BOOL,  M(BUCKETS),           0, 0                  },
	{"client",     OPT_CLIENT,     KIND_ANY,   M(HELLO),             0, 0                  },
	{"set",        OPT_SET,        KIND_BYTES, M(BUCKETS),           0, 0                  },
};

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

static bool is_bytes(const char *p)
{
	enum mp_type t = mp_typeof(*p);

	return t == MP_STR || t == MP_BIN;
}

/* An integer that is not negative, however it is encoded.  Steps over it. */
static bool unsigned_read(const char **p, uint64_t *ret)
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

/* The hot methods are told apart by length and first byte; the table is the truth. */
static int method_find(struct span name)
{
	static const uint8_t order[] = {WIRE_GET,    WIRE_PUT,    WIRE_DELETE, WIRE_SCAN,
					WIRE_CREATE, WIRE_COUNT,  WIRE_PING,   WIRE_HELLO,
					WIRE_DROP,   WIRE_ROUTE,  WIRE_STATUS, WIRE_BUCKETS,
					WIRE_RELOAD, WIRE_WORKER, WIRE_UPGRADE};

	_Static_assert(sizeof(order) == WIRE_METHOD_COUNT, "every method is looked for");
	for (size_t i = 0; i < sizeof(order); i++) {
		const struct method_row *m = &methods[order[i]];

		if (m->name_len == name.n && memcmp(m->name, name.p, name.n) == 0)
			return order[i];
	}
	return -1;
}

int request_walk(const char *p, const char *end, struct request *ret, const char **ret_why)
{
	const char *q = object_end(p, end);
	uint64_t kind;
	uint32_t n;

	ret->msgid_known = false;
	ret->msgid = 0;
	if (!q) {
		*ret_why = "truncated or malformed MessagePack";
		return -EBADMSG;
	}
	ret->end = q;
	if (mp_typeof(*p) != MP_ARRAY) {
		*ret_why = "a request is an array [0, msgid, method, params]";
		return -EBADMSG;
	}
	n = mp_decode_array(&p);
	if (n < 2 || !unsigned_read(&p, &kind) || kind != 0) {
		*ret_why = "a request begins with 0 and has four elements";
		return -EBADMSG;
	}
	ret->msgid_known = unsigned_read(&p, &ret->msgid);
	if (!ret->msgid_known) {
		*ret_why = "msgid is no unsigned integer";
		return -EBADMSG;
	}
	if (n != 4 || !is_bytes(p)) {
		*ret_why = n != 4 ? "a request has four elements" : "method is neither str nor bin";
		return -EBADMSG;
	}
	ret->method_name = read_bytes(&p);
	if (mp_typeof(*p) != MP_ARRAY) {
		*ret_why = "params is no array";
		return -EBADMSG;
	}
	ret->method = method_find(ret->method_name);
	ret->param_count = mp_decode_array(&p);
	for (uint32_t i = 0; i < ret->param_count && i < CODEC_PARAMS_MAX; i++) {
		ret->param[i] = p;
		if (i + 1 < CODEC_PARAMS_MAX)
			mp_next(&p);
	}
	ret->bucket.p = NULL;
	ret->bucket.n = 0;
	if (ret->param_count && ret->method >= 0 && methods[ret->method].has_bucket)
		(void)request_bytes(ret, 0, &ret->bucket); /* none: request_check refuses it */
	return 0;
}

int request_bytes(const struct request *r, unsigned i, struct span *ret)
{
	const char *p;

	if (i >= r->param_count || i >= CODEC_PARAMS_MAX || !is_bytes(r->param[i]))
		return -EINVAL;
	p = r->param[i];
	*ret = read_bytes(&p);
	return 0;
}

static const char out_of_range[] = "in its range";

/* One option's value into *o.  Returns NULL, or what it should have been. */
static const char *option_value(const struct option_row *row, const char *p, struct options *o)
{
	enum mp_type t = mp_typeof(*p);
	uint64_t u = 0;
	bool b = false;
	struct span s = {NULL, 0};

	switch (row->kind) {
	case KIND_UINT:
		if (!unsigned_read(&p, &u))
			return "an unsigned integer";
		if (u < row->least || u > row->most)
			return out_of_range;
		break;
	case KIND_BOOL:
		if (t != MP_BOOL)
			return "true or false";
		b = mp_decode_bool(&p);
		break;
	case KIND_BYTES:
		if (!is_bytes(p))
			return "str or bin";
		s = read_bytes(&p);
		break;
	case KIND_ANY:
		break;
	}
	switch (row->bit) {
	case OPT_TIMEOUT:
		o->timeout_ms = u;
		break;
	case OPT_IF_VERSION:
		o->if_version = u;
		break;
	case OPT_IF_ABSENT:
		o->if_absent = b;
		break;
	case OPT_TTL:
		o->ttl_ms = u;
		break;
	case OPT_PREFIX:
		o->prefix = s;
		break;
	case OPT_FROM:
		o->from = s;
		break;
	case OPT_TO:
		o->to = s;
		break;
	case OPT_AFTER:
		o->after = s;
		break;
	case OPT_LIMIT:
		o->limit = u;
		break;
	case OPT_REVERSE:
		o->reverse = b;
		break;
	case OPT_KEYS_ONLY:
		o->keys_only = b;
		break;
	case OPT_LOCAL:
		o->local = b;
		break;
	case OPT_WITH_TTL:
		o->with_ttl = b;
		break;
	case OPT_SET:
		if (s.n != CODEC_SET_BYTES)
			return "32 bytes";
		o->set = s;
		break;
	case OPT_CLIENT:
		break;
	}
	return NULL;
}

/* The row of an option that a method takes, or NULL. */
static const struct option_row *option_find(int method, struct span name)
{
	for (size_t k = 0; k < sizeof(option_rows) / sizeof(option_rows[0]); k++)
		if (span_equal(name, span_of(option_rows[k].name)) &&
		    option_rows[k].methods & (1u << method))
			return &option_rows[k];
	return NULL;
}

/* One option, name and value.  Steps over it. */
static enum wire_error option_read(int method, const char **p, struct options *o, char *why,
				   size_t why_size)
{
	const char *m = methods[method].name;
	const struct option_row *row;
	const char *want;
	struct span name;
	char shown[SHOWN_MAX];

	if (!is_bytes(*p)) {
		(void)snprintf(why, why_size, "%s: an option's name must be str or bin", m);
		return WIRE_E_BAD_ARGUMENT;
	}
	name = read_bytes(p);
	row = option_find(method, name);
	if (!row) {
		(void)snprintf(why, why_size, "%s: unknown option \"%s\"", m,
			       buf_printable(shown, sizeof(shown), name.p, name.n));
		return WIRE_E_BAD_ARGUMENT;
	}
	if (o->given & row->bit) {
		(void)snprintf(why, why_size, "%s: option \"%s\" is given twice", m, row->name);
		return WIRE_E_BAD_ARGUMENT;
	}
	want = option_value(row, *p, o);
	if (want == out_of_range) {
		(void)snprintf(why, why_size, "%s: option \"%s\" must be %llu to %llu", m,
			       row->name, (unsigned long long)row->least,
			       (unsigned long long)row->most);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (want) {
		(void)snprintf(why, why_size, "%s: option \"%s\" must be %s", m, row->name, want);
		return WIRE_E_BAD_ARGUMENT;
	}
	o->given |= row->bit;
	mp_next(p);
	return WIRE_OK;
}

static enum wire_error options_read(int method, const char *p, struct options *o, char *why,
				    size_t why_size)
{
	uint32_t n;

	if (mp_typeof(*p) != MP_MAP) {
		(void)snprintf(why, why_size, "%s: the last parameter, options, must be a map",
			       methods[method].name);
		return WIRE_E_BAD_ARGUMENT;
	}
	n = mp_decode_map(&p);
	for (uint32_t i = 0; i < n; i++) {
		enum wire_error e = option_read(method, &p, o, why, why_size);

		if (e != WIRE_OK)
			return e;
	}
	return WIRE_OK;
}

enum wire_error request_check(const struct request *r, struct options *o, char *why,
			      size_t why_size)
{
	const struct method_row *m = &methods[r->method];
	unsigned plain = m->most - 1u; /* parameters before the options */

	memset(o, 0, sizeof(*o));
	o->timeout_ms = WIRE_TIMEOUT_MS;
	o->limit = WIRE_SCAN_LIMIT;
	if (r->param_count < m->least || r->param_count > m->most) {
		(void)snprintf(why, why_size, "%s: takes %u to %u parameters, got %u", m->name,
			       m->least, m->most, r->param_count);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (m->has_bucket && !r->bucket.p) {
		(void)snprintf(why, why_size, "%s: bucket must be str or bin", m->name);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (m->has_bucket && !r->bucket.n) {
		(void)snprintf(why, why_size, "%s: bucket is empty, it must be 1 to %u bytes",
			       m->name, WIRE_BUCKET_MAX);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (m->has_bucket && r->bucket.n > WIRE_BUCKET_MAX) {
		(void)snprintf(why, why_size, "%s: bucket has %zu bytes, the limit is %u", m->name,
			       r->bucket.n, WIRE_BUCKET_MAX);
		return WIRE_E_TOO_LARGE;
	}
	if (r->param_count <= plain)
		return WIRE_OK;
	return options_read(r->method, r->param[plain], o, why, why_size);
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

char *write_str(char *p, const char *s, size_t n)
{
	return mp_encode_str(p, s, (uint32_t)n);
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

char *write_reply_head(char *p, uint64_t msgid)
{
	*p++ = (char)0x94;
	*p++ = 1;
	p = mp_encode_uint(p, msgid);
	*p++ = (char)0xc0;
	return p;
}

char *write_error(char *p, uint64_t msgid, bool msgid_known, enum wire_error e, const char *text)
{
	size_t n = strlen(text);

	if (n > WIRE_REPLY_ERROR_MAX - 64)
		n = WIRE_REPLY_ERROR_MAX - 64;
	p = mp_encode_array(p, 4);
	p = mp_encode_uint(p, 1);
	p = msgid_known ? mp_encode_uint(p, msgid) : mp_encode_nil(p);
	p = mp_encode_array(p, 2);
	p = write_text(p, error_names[e]);
	p = mp_encode_str(p, text, (uint32_t)n);
	return mp_encode_nil(p);
}

char *write_conflict(char *p, uint64_t msgid, uint64_t version)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "the version is %llu now", (unsigned long long)version);
	p = mp_encode_array(p, 4);
	p = mp_encode_uint(p, 1);
	p = mp_encode_uint(p, msgid);
	p = mp_encode_array(p, 3);
	p = write_text(p, error_names[WIRE_E_CONFLICT]);
	p = write_text(p, text);
	p = mp_encode_uint(p, version);
	return mp_encode_nil(p);
}

char *write_value_reply(char *p, uint64_t msgid, struct span value, uint64_t version)
{
	p = write_reply_head(p, msgid);
	*p++ = (char)0x92;
	p = write_bin(p, value.p, value.n);
	return mp_encode_uint(p, version);
}

char *write_request_head(char *p, uint64_t msgid, enum wire_method m, uint32_t n)
{
	*p++ = (char)0x94;
	*p++ = 0;
	p = mp_encode_uint(p, msgid);
	p = mp_encode_str(p, methods[m].name, methods[m].name_len);
	return mp_encode_array(p, n);
}

/* ---- reading ---- */

static int reply_body(const char *p, struct reply *ret)
{
	if (mp_typeof(*p) == MP_UINT) {
		ret->msgid = mp_decode_uint(&p);
		ret->msgid_known = true;
	} else if (mp_typeof(*p) == MP_NIL) {
		mp_next(&p);
	} else {
		return -EBADMSG;
	}
	if (mp_typeof(*p) == MP_NIL) {
		mp_next(&p);
	} else {
		uint32_t n;

		if (mp_typeof(*p) != MP_ARRAY)
			return -EBADMSG;
		n = mp_decode_array(&p);
		if (n < 2 || n > 3 || !is_bytes(p))
			return -EBADMSG;
		ret->code = read_bytes(&p);
		if (!is_bytes(p))
			return -EBADMSG;
		ret->text = read_bytes(&p);
		if (n == 3) {
			ret->data = p;
			mp_next(&p);
		}
	}
	ret->result = p;
	return 0;
}

int reply_walk(const char *p, const char *end, struct reply *ret)
{
	const char *q = object_end(p, end);
	uint32_t n;
	uint64_t kind;

	memset(ret, 0, sizeof(*ret));
	if (!q || mp_typeof(*p) != MP_ARRAY)
		return -EBADMSG;
	ret->end = q;
	n = mp_decode_array(&p);
	if (n < 3 || mp_typeof(*p) != MP_UINT)
		return -EBADMSG;
	kind = mp_decode_uint(&p);
	if (kind == 1 && n == 4)
		return reply_body(p, ret);
	if (kind != 2 || n != 3 || mp_typeof(*p) != MP_STR)
		return -EBADMSG;
	ret->notification = true;
	ret->method = read_bytes(&p);
	ret->result = p;
	return 0;
}

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

enum codec_type read_type(const char *p)
{
	switch (mp_typeof(*p)) {
	case MP_NIL:
		return TYPE_NIL;
	case MP_BOOL:
		return TYPE_BOOL;
	case MP_UINT:
		return TYPE_UINT;
	case MP_INT:
		return TYPE_INT;
	case MP_STR:
	case MP_BIN:
		return TYPE_BYTES;
	case MP_ARRAY:
		return TYPE_ARRAY;
	case MP_MAP:
		return TYPE_MAP;
	default:
		return TYPE_OTHER;
	}
}

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

struct span read_bytes(const char **p)
{
	uint32_t n = 0;
	struct span s;

	s.p = mp_typeof(**p) == MP_STR ? mp_decode_str(p, &n) : mp_decode_bin(p, &n);
	s.n = n;
	return s;
}

uint32_t read_array(const char **p)
{
	return mp_decode_array(p);
}

uint32_t read_map(const char **p)
{
	return mp_decode_map(p);
}

const char *wire_error_name(enum wire_error e)
{
	return (unsigned)e < WIRE_ERROR_COUNT ? error_names[e] : "?";
}

enum wire_error wire_error_find(struct span name)
{
	for (unsigned e = 1; e < WIRE_ERROR_COUNT; e++)
		if (span_equal(name, span_of(error_names[e])))
			return (enum wire_error)e;
	return WIRE_ERROR_COUNT;
}

const char *wire_method_name(enum wire_method m)
{
	return (unsigned)m < WIRE_METHOD_COUNT ? methods[m].name : "?";
}

bool wire_method_has_bucket(enum wire_method m)
{
	return methods[m].has_bucket;
}
