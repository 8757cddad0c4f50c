/* Requests out of ring records. */
#include "coordinator/front/rebuild.h"

#include "include/wire.h"
#include "ipc/shm/records.h"
#include "ipc/wire/request.h"

#define FIXED_BYTES 512u /* of heads and names, at most */

static struct span span_at(const struct request_record *rec, const struct request_entry *e,
			   struct entry_span s)
{
	return (struct span){record_bytes(rec, e) + s.at, s.size};
}

static char *raw_write(char *p, struct span s)
{
	memcpy(p, s.p, s.n);
	return p + s.n;
}

/* ---- options ---- */

static char *bool_write(char *p, const char *name, bool on)
{
	return write_bool(write_text(p, name), on);
}

static char *span_write(char *p, const char *name, struct span s)
{
	return write_bin(write_text(p, name), s.p, s.n);
}

static uint32_t options_count(const struct entry_options *o, const struct entry_session *x,
			      unsigned given)
{
	uint32_t n = 0;

	if (o)
		for (unsigned g = o->given & ~(unsigned)(OPT_TIMEOUT | OPT_ONCE | OPT_LISTS); g;
		     g &= g - 1)
			n++;
	if (x)
		n += 2u + (given & OPT_ACK ? 1u : 0u);
	return n;
}

static char *options_write(char *p, const struct request_record *rec, const struct request_entry *e,
			   const struct entry_options *o)
{
	unsigned g = o ? o->given : 0;

	if (g & OPT_IF_VERSION)
		p = write_uint(write_text(p, "if_version"), o->if_version);
	if (g & OPT_IF_ABSENT)
		p = bool_write(p, "if_absent", o->on & OPT_IF_ABSENT);
	if (g & OPT_TTL)
		p = write_uint(write_text(p, "ttl"), o->ttl_ms);
	if (g & OPT_PREFIX)
		p = span_write(p, "prefix", span_at(rec, e, o->prefix));
	if (g & OPT_FROM)
		p = span_write(p, "from", span_at(rec, e, o->from));
	if (g & OPT_TO)
		p = span_write(p, "to", span_at(rec, e, o->to));
	if (g & OPT_AFTER)
		p = span_write(p, "after", span_at(rec, e, o->after));
	if (g & OPT_LIMIT)
		p = write_uint(write_text(p, "limit"), o->limit);
	if (g & OPT_REVERSE)
		p = bool_write(p, "reverse", o->on & OPT_REVERSE);
	if (g & OPT_KEYS_ONLY)
		p = bool_write(p, "keys_only", o->on & OPT_KEYS_ONLY);
	if (g & OPT_WITH_TTL)
		p = bool_write(p, "ttl", o->on & OPT_WITH_TTL);
	return p;
}

static char *session_write(char *p, const struct entry_session *x, unsigned given)
{
	p = write_bin(write_text(p, "session"), x->id, sizeof(x->id));
	p = write_uint(write_text(p, "seq"), x->seq);
	if (given & OPT_ACK)
		p = write_uint(write_text(p, "ack"), x->ack);
	return p;
}

/* ---- methods ---- */

/* The lists of a txn that were given. */
static char *lists_write(char *p, const struct request_record *rec, const struct request_entry *e)
{
	static const char *const name[PART_COUNT] = {"if", "then", "else"};
	const struct entry_parts *parts = record_parts(rec, e);

	for (unsigned i = 0; i < PART_COUNT; i++)
		if (parts->part[i].size)
			p = raw_write(write_text(p, name[i]), span_at(rec, e, parts->part[i]));
	return p;
}

static uint32_t lists_count(const struct request_record *rec, const struct request_entry *e)
{
	const struct entry_parts *parts = record_parts(rec, e);
	uint32_t n = 0;

	for (unsigned i = 0; i < PART_COUNT; i++)
		n += parts->part[i].size != 0;
	return n;
}

static char *call_write(char *p, const struct request_record *rec, const struct request_entry *e)
{
	const struct entry_parts *parts = record_parts(rec, e);
	struct span module = span_at(rec, e, parts->part[PART_MODULE]);
	struct span function = span_at(rec, e, parts->part[PART_FUNCTION]);

	p = write_str(p, module.p, module.n);
	p = write_str(p, function.p, function.n);
	return raw_write(p, span_at(rec, e, parts->part[PART_ARGS]));
}

/* Parameters between the bucket and the options. */
static uint32_t params_count(const struct request_entry *e)
{
	switch (e->method) {
	case WIRE_PUT:
	case WIRE_OUTCOME:
	case WIRE_ACK:
		return 2;
	case WIRE_CALL:
		return 3;
	default:
		return e->key_len ? 1 : 0;
	}
}

static char *params_write(char *p, const struct request_record *rec, const struct request_entry *e,
			  const struct entry_session *x)
{
	struct span key = record_key(rec, e);
	struct span value = record_value(rec, e);

	switch (e->method) {
	case WIRE_OUTCOME:
	case WIRE_ACK:
		return write_uint(write_bin(p, x->id, sizeof(x->id)),
				  e->method == WIRE_ACK ? x->ack : x->seq);
	case WIRE_CALL:
		return call_write(p, rec, e);
	case WIRE_PUT:
		return write_bin(write_bin(p, key.p, key.n), value.p, value.n);
	default:
		return e->key_len ? write_bin(p, key.p, key.n) : p;
	}
}

bool request_rebuild(const struct request_record *rec, uint32_t i, struct buf *out)
{
	const struct request_entry *e = &rec->entry[i];
	const struct entry_options *o = record_options(rec, e);
	const struct entry_session *x = record_session(rec, e);
	const struct entry_session *once =
		e->method == WIRE_OUTCOME || e->method == WIRE_ACK ? NULL : x;
	struct span bucket = record_bucket(rec, e);
	unsigned given = (o ? o->given : 0) | (once && once->ack ? (unsigned)OPT_ACK : 0);
	uint32_t map = options_count(o, once, given);
	/* Whatever is copied lies in the record; names and heads come on top. */
	char *p = buf_room(out, rec->size + FIXED_BYTES);

	if (!p)
		return false;
	if (e->method == WIRE_TXN)
		map += lists_count(rec, e);
	p = write_request_head(p, e->msgid, (enum wire_method)e->method,
			       1 + params_count(e) + (map || e->method == WIRE_TXN ? 1 : 0));
	p = write_bin(p, bucket.p, bucket.n);
	p = params_write(p, rec, e, x);
	if (map || e->method == WIRE_TXN)
		p = write_map(p, map);
	if (e->method == WIRE_TXN)
		p = lists_write(p, rec, e);
	p = options_write(p, rec, e, o);
	if (once)
		p = session_write(p, once, given);
	out->len = (size_t)(p - out->data);
	return true;
}
