/* Requests: their form, their methods, their options. */
#include "ipc/wire/request.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ipc/wire/options_impl.h"
#include "ipc/wire/parts_impl.h"

const struct method wire_methods[WIRE_METHOD_COUNT] = {
#define X(id, name, least, most, flags, result, options, rights)            \
	[WIRE_##id] = {#name, sizeof(#name) - 1,       least, most, result, \
		       flags, OPT_TIMEOUT | (options), rights},
	WIRE_METHODS(X)
#undef X
};

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
		e = options_read(&(struct option_user){m->name, NULL, 0, m->options},
				 r->param[plain], o, why, why_size);
	if (e == WIRE_OK && (o->given & OPT_ONCE))
		e = once_check(m, o, why, why_size);
	if (e == WIRE_OK && (m->flags & METHOD_SESSION))
		e = session_read(r, o, why, why_size);
	if (e == WIRE_OK && (m->flags & METHOD_PARTS))
		e = parts_check(r, o, UINT64_MAX, why, why_size);
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
	if (e == WIRE_OK && method_is(r->method, METHOD_PARTS) && o->largest > value_max) {
		struct options again = *o;

		return parts_check(r, &again, value_max, why, why_size);
	}
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
