/* Replies: their form, and the names of errors. */
#include "ipc/wire/reply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/check.h"

static const char *const error_names[WIRE_ERROR_COUNT] = {[WIRE_OK] = "ok",
#define X(id, name) [WIRE_E_##id] = #name,
							  WIRE_ERRORS(X)
#undef X
};

char *write_reply_msgid(char *p, uint64_t msgid)
{
	*p++ = (char)0x94;
	*p++ = 1;
	return write_uint(p, msgid);
}

char *write_reply_head(char *p, uint64_t msgid)
{
	p = write_reply_msgid(p, msgid);
	*p++ = (char)0xc0;
	return p;
}

struct span reply_behind_msgid(const char *reply, const char *end)
{
	const char *p = read_skip(reply + 2);

	check_slow(p < end);
	return (struct span){p, (size_t)(end - p)};
}

char *write_error(char *p, uint64_t msgid, bool msgid_known, enum wire_error e, const char *text)
{
	size_t n = strlen(text);

	if (n > WIRE_REPLY_ERROR_MAX - 64)
		n = WIRE_REPLY_ERROR_MAX - 64;
	p = write_array(p, 4);
	p = write_uint(p, 1);
	p = msgid_known ? write_uint(p, msgid) : write_nil(p);
	p = write_array(p, 2);
	p = write_text(p, error_names[e]);
	p = write_str(p, text, n);
	return write_nil(p);
}

char *write_conflict(char *p, uint64_t msgid, uint64_t version)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "the version is %llu now", (unsigned long long)version);
	p = write_array(p, 4);
	p = write_uint(p, 1);
	p = write_uint(p, msgid);
	p = write_array(p, 3);
	p = write_text(p, error_names[WIRE_E_CONFLICT]);
	p = write_text(p, text);
	p = write_uint(p, version);
	return write_nil(p);
}

char *write_value_reply(char *p, uint64_t msgid, struct span value, uint64_t version)
{
	p = write_reply_head(p, msgid);
	*p++ = (char)0x92;
	p = write_bin(p, value.p, value.n);
	return write_uint(p, version);
}

static int reply_body(const char *p, struct reply *ret)
{
	if (read_type(p) == TYPE_UINT) {
		ret->msgid = read_uint(&p);
		ret->msgid_known = true;
	} else if (read_type(p) == TYPE_NIL) {
		p = read_skip(p);
	} else {
		return -EBADMSG;
	}
	if (read_type(p) == TYPE_NIL) {
		p = read_skip(p);
	} else {
		uint32_t n;

		if (read_type(p) != TYPE_ARRAY)
			return -EBADMSG;
		n = read_array(&p);
		if (n < 2 || n > 3 || read_type(p) != TYPE_BYTES)
			return -EBADMSG;
		ret->code = read_bytes(&p);
		if (read_type(p) != TYPE_BYTES)
			return -EBADMSG;
		ret->text = read_bytes(&p);
		if (n == 3) {
			ret->data = p;
			p = read_skip(p);
		}
	}
	ret->result = p;
	return 0;
}

int reply_walk(const char *p, const char *end, struct reply *ret)
{
	const char *q;
	uint32_t n;
	uint64_t kind;

	memset(ret, 0, sizeof(*ret));
	if (!read_whole(p, end, &q) || read_type(p) != TYPE_ARRAY)
		return -EBADMSG;
	ret->end = q;
	n = read_array(&p);
	if (n < 3 || read_type(p) != TYPE_UINT)
		return -EBADMSG;
	kind = read_uint(&p);
	if (kind == 1 && n == 4)
		return reply_body(p, ret);
	if (kind != 2 || n != 3 || read_type(p) != TYPE_BYTES)
		return -EBADMSG;
	ret->notification = true;
	ret->method = read_bytes(&p);
	ret->result = p;
	return 0;
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

enum wire_error reply_error_of(const char *reply)
{
	enum wire_error e;

	(void)read_array(&reply);
	(void)read_uint(&reply);
	reply = read_skip(reply); /* msgid; nil where none was known */
	if (read_type(reply) == TYPE_NIL)
		return WIRE_OK;
	(void)read_array(&reply);
	e = wire_error_find(read_bytes(&reply));
	return e == WIRE_ERROR_COUNT ? WIRE_E_INTERNAL : e;
}
