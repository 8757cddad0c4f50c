/* Requests: their form, their methods, their options. */
#include "ipc/wire/request.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"

#define SHOWN_MAX 129u /* bytes of a name in an error's text, a byte as \xNN at the most */

const struct method wire_methods[WIRE_METHOD_COUNT] = {
#define X(id, name, least, most, flags, result, options)                   \
	[WIRE_##id] = {#name, sizeof(#name) - 1,      least, most, result, \
		       flags, OPT_TIMEOUT | (options)},
	WIRE_METHODS(X)
#undef X
};

enum option_kind { KIND_UINT, KIND_BOOL, KIND_BYTES, KIND_SIZED, KIND_LIST, KIND_ANY };

/* clang-format off */
static const struct option_row {
	const char *name;
	enum option_bit bit;
	enum option_kind kind;
	size_t place; /* of its value in struct options */
	uint64_t least;
	uint64_t most;
} option_rows[] = {
#define AT(member) offsetof(struct options, member)
	{"timeout",    OPT_TIMEOUT,    KIND_UINT,  AT(timeout_ms), 1, WIRE_TIMEOUT_MS_MAX},
	{"if_version", OPT_IF_VERSION, KIND_UINT,  AT(if_version), 0, UINT64_MAX},
	{"if_absent",  OPT_IF_ABSENT,  KIND_BOOL,  AT(if_absent),  0, 0},
	{"ttl",        OPT_TTL,        KIND_UINT,  AT(ttl_ms),     1, UINT64_MAX},
	{"ttl",        OPT_WITH_TTL,   KIND_BOOL,  AT(with_ttl),   0, 0},
	{"prefix",     OPT_PREFIX,     KIND_BYTES, AT(prefix),     0, 0},
	{"from",       OPT_FROM,       KIND_BYTES, AT(from),       0, 0},
	{"to",         OPT_TO,         KIND_BYTES, AT(to),         0, 0},
	{"after",      OPT_AFTER,      KIND_BYTES, AT(after),      0, 0},
	{"limit",      OPT_LIMIT,      KIND_UINT,  AT(limit),      1, WIRE_SCAN_LIMIT_MAX},
	{"reverse",    OPT_REVERSE,    KIND_BOOL,  AT(reverse),    0, 0},
	{"keys_only",  OPT_KEYS_ONLY,  KIND_BOOL,  AT(keys_only),  0, 0},
	{"local",      OPT_LOCAL,      KIND_BOOL,  AT(local),      0, 0},
	{"client",     OPT_CLIENT,     KIND_ANY,   0,              0, 0},
	{"set",        OPT_SET,        KIND_SIZED, AT(set),        CODEC_SET_BYTES, 0},
	{"session",    OPT_SESSION,    KIND_SIZED, AT(session),    WIRE_SESSION_BYTES, 0},
	{"seq",        OPT_SEQ,        KIND_UINT,  AT(seq),        0, UINT64_MAX},
	{"ack",        OPT_ACK,        KIND_UINT,  AT(ack),        0, UINT64_MAX},
	{"if",         OPT_IF,         KIND_LIST,  AT(part[0]),    0, 0},
	{"then",       OPT_THEN,       KIND_LIST,  AT(part[1]),    0, 0},
	{"else",       OPT_ELSE,       KIND_LIST,  AT(part[2]),    0, 0},
#undef AT
};
/* clang-format on */

int wire_method_find(struct span name)
{
	for (int m = 0; m < WIRE_METHOD_COUNT; m++)
		if (wire_methods[m].name_size == name.n &&
		    memcmp(wire_methods[m].name, name.p, name.n) == 0)
			return m;
	return -1;
}

int request_walk(const char *p, const char *end, struct request *ret, const char **ret_why)
{
	const char *q;
	uint64_t kind;
	uint32_t n;

	ret->msgid_known = false;
	ret->msgid = 0;
	if (!read_whole(p, end, &q)) {
		*ret_why = "truncated or malformed MessagePack";
		return -EBADMSG;
	}
	ret->end = q;
	if (read_type(p) != TYPE_ARRAY) {
		*ret_why = "a request is an array [0, msgid, method, params]";
		return -EBADMSG;
	}
	n = read_array(&p);
	if (n < 2 || !read_unsigned(&p, &kind) || kind != 0) {
		*ret_why = "a request begins with 0 and has four elements";
		return -EBADMSG;
	}
	ret->msgid_known = read_unsigned(&p, &ret->msgid);
	if (!ret->msgid_known) {
		*ret_why = "msgid is no unsigned integer";
		return -EBADMSG;
	}
	if (n != 4 || read_type(p) != TYPE_BYTES) {
		*ret_why = n != 4 ? "a request has four elements" : "method is neither str nor bin";
		return -EBADMSG;
	}
	ret->method_name = read_bytes(&p);
	if (read_type(p) != TYPE_ARRAY) {
		*ret_why = "params is no array";
		return -EBADMSG;
	}
	ret->method = wire_method_find(ret->method_name);
	ret->param_count = read_array(&p);
	for (uint32_t i = 0; i < ret->param_count && i < CODEC_PARAMS_MAX; i++) {
		ret->param[i] = p;
		if (i + 1 < ret->param_count && i + 1 < CODEC_PARAMS_MAX)
			p = read_skip(p);
	}
	ret->bucket.p = NULL;
	ret->bucket.n = 0;
	if (ret->param_count && ret->method >= 0 && method_is(ret->method, METHOD_BUCKET))
		(void)request_bytes(ret, 0, &ret->bucket); /* none: request_check refuses it */
	return 0;
}

int request_bytes(const struct request *r, unsigned i, struct span *ret)
{
	const char *p;

	if (i >= r->param_count || i >= CODEC_PARAMS_MAX || read_type(r->param[i]) != TYPE_BYTES)
		return -EINVAL;
	p = r->param[i];
	*ret = read_bytes(&p);
	return 0;
}

static const char out_of_range[] = "in its range";

/* One option's value into *o.  Returns NULL, or what it should have been. */
static const char *option_value(const struct option_row *row, const char *p, struct options *o)
{
	void *place = (char *)o + row->place;
	uint64_t u;
	struct span s;

	switch (row->kind) {
	case KIND_UINT:
		if (!read_unsigned(&p, &u))
			return "an unsigned integer";
		if (u < row->least || u > row->most)
			return out_of_range;
		*(uint64_t *)place = u;
		break;
	case KIND_BOOL:
		if (read_type(p) != TYPE_BOOL)
			return "true or false";
		*(bool *)place = read_bool(&p);
		break;
	case KIND_BYTES:
	case KIND_SIZED:
		if (read_type(p) != TYPE_BYTES)
			return "str or bin";
		s = read_bytes(&p);
		if (row->kind == KIND_SIZED && s.n != row->least)
			return row->least == CODEC_SET_BYTES ? "32 bytes" : "16 bytes";
		*(struct span *)place = s;
		break;
	case KIND_LIST:
		if (read_type(p) != TYPE_ARRAY)
			return "an array";
		*(struct span *)place = (struct span){p, (size_t)(read_skip(p) - p)};
		break;
	case KIND_ANY:
		break;
	}
	return NULL;
}

/* The row of an option that a method takes, or NULL. */
static const struct option_row *option_find(int method, struct span name)
{
	for (size_t k = 0; k < sizeof(option_rows) / sizeof(option_rows[0]); k++)
		if (span_equal(name, span_of(option_rows[k].name)) &&
		    method_takes(method, option_rows[k].bit))
			return &option_rows[k];
	return NULL;
}

/* One option, name and value.  Steps over it. */
static enum wire_error option_read(int method, const char **p, struct options *o, char *why,
				   size_t why_size)
{
	const char *m = wire_methods[method].name;
	const struct option_row *row;
	const char *want;
	struct span name;
	char shown[SHOWN_MAX];

	if (read_type(*p) != TYPE_BYTES) {
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
	*p = read_skip(*p);
	return WIRE_OK;
}

static enum wire_error options_read(int method, const char *p, struct options *o, char *why,
				    size_t why_size)
{
	uint32_t n;

	if (read_type(p) != TYPE_MAP) {
		(void)snprintf(why, why_size, "%s: the last parameter, options, must be a map",
			       wire_methods[method].name);
		return WIRE_E_BAD_ARGUMENT;
	}
	n = read_map(&p);
	for (uint32_t i = 0; i < n; i++) {
		enum wire_error e = option_read(method, &p, o, why, why_size);

		if (e != WIRE_OK)
			return e;
	}
	return WIRE_OK;
}

/* Session, seq and ack belong together. */
static enum wire_error once_check(const struct method *m, const struct options *o, char *why,
				  size_t why_size)
{
	if ((o->given & OPT_SESSION) && (o->given & OPT_SEQ))
		return WIRE_OK;
	(void)snprintf(why, why_size, "%s: option \"%s\" needs option \"%s\"", m->name,
		       o->given & OPT_SESSION ? "session"
		       : o->given & OPT_SEQ   ? "seq"
					      : "ack",
		       o->given & OPT_SESSION ? "seq" : "session");
	return WIRE_E_BAD_ARGUMENT;
}

/* The session and the number of it that `outcome` and `ack` are about. */
static enum wire_error session_read(const struct request *r, struct options *o, char *why,
				    size_t why_size)
{
	bool ack = r->method == WIRE_ACK;
	const char *m = wire_methods[r->method].name;
	const char *p = r->param[2];
	uint64_t n;

	if (request_bytes(r, 1, &o->session) < 0 || o->session.n != WIRE_SESSION_BYTES) {
		(void)snprintf(why, why_size, "%s: session must be %u bytes", m,
			       WIRE_SESSION_BYTES);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (!read_unsigned(&p, &n)) {
		(void)snprintf(why, why_size, "%s: %s must be an unsigned integer", m,
			       ack ? "n" : "seq");
		return WIRE_E_BAD_ARGUMENT;
	}
	o->seq = ack ? 0 : n;
	o->ack = ack ? n : 0;
	o->given |= OPT_SESSION | (ack ? OPT_ACK : OPT_SEQ);
	return WIRE_OK;
}

static enum wire_error parts_read(const struct request *r, struct options *o, char *why,
				  size_t why_size)
{
	const char *m = wire_methods[r->method].name;

	o->writes = true;
	if (r->method == WIRE_TXN)
		return WIRE_OK;
	for (unsigned i = 0; i < 2; i++)
		if (request_bytes(r, 1 + i, &o->part[i]) < 0) {
			(void)snprintf(why, why_size, "%s: %s must be str or bin", m,
				       i ? "function" : "module");
			return WIRE_E_BAD_ARGUMENT;
		}
	if (read_type(r->param[3]) != TYPE_ARRAY) {
		(void)snprintf(why, why_size, "%s: args must be an array", m);
		return WIRE_E_BAD_ARGUMENT;
	}
	o->part[2].p = r->param[3];
	o->part[2].n = (size_t)(read_skip(r->param[3]) - r->param[3]);
	return WIRE_OK;
}

enum wire_error request_check(const struct request *r, struct options *o, char *why,
			      size_t why_size)
{
	const struct method *m = &wire_methods[r->method];
	bool bucket = m->flags & METHOD_BUCKET;
	unsigned plain = m->most - 1u; /* parameters before the options */
	enum wire_error e = WIRE_OK;

	memset(o, 0, offsetof(struct options, session));
	o->timeout_ms = WIRE_TIMEOUT_MS;
	o->limit = WIRE_SCAN_LIMIT;
	if (r->param_count < m->least || r->param_count > m->most) {
		(void)snprintf(why, why_size, "%s: takes %u to %u parameters, got %u", m->name,
			       m->least, m->most, r->param_count);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (bucket && !r->bucket.p) {
		(void)snprintf(why, why_size, "%s: bucket must be str or bin", m->name);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (bucket && !r->bucket.n) {
		(void)snprintf(why, why_size, "%s: bucket is empty, it must be 1 to %u bytes",
			       m->name, WIRE_BUCKET_MAX);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (bucket && r->bucket.n > WIRE_BUCKET_MAX) {
		(void)snprintf(why, why_size, "%s: bucket has %zu bytes, the limit is %u", m->name,
			       r->bucket.n, WIRE_BUCKET_MAX);
		return WIRE_E_TOO_LARGE;
	}
	if (m->flags & METHOD_PARTS)
		memset(o->part, 0, sizeof(*o) - offsetof(struct options, part));
	if (r->param_count > plain)
		e = options_read(r->method, r->param[plain], o, why, why_size);
	if (e == WIRE_OK && (o->given & OPT_ONCE))
		e = once_check(m, o, why, why_size);
	if (e == WIRE_OK && (m->flags & METHOD_SESSION))
		e = session_read(r, o, why, why_size);
	if (e == WIRE_OK && (m->flags & METHOD_PARTS))
		e = parts_read(r, o, why, why_size);
	return e;
}

static enum wire_error key_part(const struct request *r, struct span *ret, char *why,
				size_t why_size)
{
	const char *m = wire_methods[r->method].name;

	if (request_bytes(r, 1, ret) < 0) {
		(void)snprintf(why, why_size, "%s: key must be str or bin", m);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (!ret->n) {
		(void)snprintf(why, why_size, "%s: key is empty, it must be 1 to %u bytes", m,
			       WIRE_KEY_MAX);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (ret->n > WIRE_KEY_MAX) {
		(void)snprintf(why, why_size, "%s: key has %zu bytes, the limit is %u", m, ret->n,
			       WIRE_KEY_MAX);
		return WIRE_E_TOO_LARGE;
	}
	return WIRE_OK;
}

static enum wire_error value_part(const struct request *r, uint64_t value_max, struct span *ret,
				  char *why, size_t why_size)
{
	const char *m = wire_methods[r->method].name;

	if (request_bytes(r, 2, ret) < 0) {
		(void)snprintf(why, why_size, "%s: value must be str or bin", m);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (ret->n > value_max) {
		(void)snprintf(why, why_size, "%s: value has %zu bytes, the limit is %llu", m,
			       ret->n, (unsigned long long)value_max);
		return WIRE_E_TOO_LARGE;
	}
	return WIRE_OK;
}

enum wire_error request_parts(const struct request *r, const struct options *o, uint64_t value_max,
			      struct request_parts *ret, char *why, size_t why_size)
{
	enum wire_error e = WIRE_OK;

	*ret = (struct request_parts){
		{NULL, 0},
                {NULL, 0}
        };
	if (method_is(r->method, METHOD_KEY))
		e = key_part(r, &ret->key, why, why_size);
	if (e == WIRE_OK && method_is(r->method, METHOD_VALUE))
		e = value_part(r, value_max, &ret->value, why, why_size);
	if (e == WIRE_OK && o && (o->given & OPT_IF_VERSION) && (o->given & OPT_IF_ABSENT)) {
		(void)snprintf(why, why_size, "%s: if_version and if_absent exclude each other",
			       wire_methods[r->method].name);
		return WIRE_E_BAD_ARGUMENT;
	}
	return e;
}

char *write_request_head(char *p, uint64_t msgid, enum wire_method m, uint32_t n)
{
	*p++ = (char)0x94;
	*p++ = 0;
	p = write_uint(p, msgid);
	p = write_str(p, wire_methods[m].name, wire_methods[m].name_size);
	return write_array(p, n);
}

const char *wire_method_name(enum wire_method m)
{
	return (unsigned)m < WIRE_METHOD_COUNT ? wire_methods[m].name : "?";
}
