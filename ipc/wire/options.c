/* Options: which there are, and what their values must be. */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "ipc/wire/options_impl.h"

#define SHOWN_MAX 129u /* bytes of a name in an error's text, a byte as \xNN at the most */

enum option_kind { KIND_UINT, KIND_BOOL, KIND_BYTES, KIND_SIZED, KIND_LIST, KIND_ANY };

/* clang-format off */
static const struct option_row {
	const char *name;
	uint8_t size; /* of the name */
	enum option_bit bit;
	enum option_kind kind;
	size_t place; /* of its value in struct options */
	uint64_t least;
	uint64_t most;
} option_rows[] = {
#define NAMED(s)   s, sizeof(s) - 1
#define AT(member) offsetof(struct options, member)
	{NAMED("timeout"),    OPT_TIMEOUT,    KIND_UINT,  AT(timeout_ms), 1, WIRE_TIMEOUT_MS_MAX},
	{NAMED("if_version"), OPT_IF_VERSION, KIND_UINT,  AT(if_version), 0, UINT64_MAX},
	{NAMED("if_absent"),  OPT_IF_ABSENT,  KIND_BOOL,  AT(if_absent),  0, 0},
	{NAMED("ttl"),        OPT_TTL,        KIND_UINT,  AT(ttl_ms),     1, UINT64_MAX},
	{NAMED("ttl"),        OPT_WITH_TTL,   KIND_BOOL,  AT(with_ttl),   0, 0},
	{NAMED("prefix"),     OPT_PREFIX,     KIND_BYTES, AT(prefix),     0, 0},
	{NAMED("from"),       OPT_FROM,       KIND_BYTES, AT(from),       0, 0},
	{NAMED("to"),         OPT_TO,         KIND_BYTES, AT(to),         0, 0},
	{NAMED("after"),      OPT_AFTER,      KIND_BYTES, AT(after),      0, 0},
	{NAMED("limit"),      OPT_LIMIT,      KIND_UINT,  AT(limit),      1, WIRE_SCAN_LIMIT_MAX},
	{NAMED("reverse"),    OPT_REVERSE,    KIND_BOOL,  AT(reverse),    0, 0},
	{NAMED("keys_only"),  OPT_KEYS_ONLY,  KIND_BOOL,  AT(keys_only),  0, 0},
	{NAMED("local"),      OPT_LOCAL,      KIND_BOOL,  AT(local),      0, 0},
	{NAMED("client"),     OPT_CLIENT,     KIND_ANY,   0,              0, 0},
	{NAMED("set"),        OPT_SET,        KIND_SIZED, AT(set),        CODEC_SET_BYTES, 0},
	{NAMED("names"),      OPT_NAMES,      KIND_BYTES, AT(names),      0, 0},
	{NAMED("partitions"), OPT_PARTITIONS, KIND_BYTES, AT(partitions), 0, 0},
	{NAMED("session"),    OPT_SESSION,    KIND_SIZED, AT(session),    WIRE_SESSION_BYTES, 0},
	{NAMED("seq"),        OPT_SEQ,        KIND_UINT,  AT(seq),        0, UINT64_MAX},
	{NAMED("ack"),        OPT_ACK,        KIND_UINT,  AT(ack),        0, UINT64_MAX},
	{NAMED("if"),         OPT_IF,         KIND_LIST,  AT(part[0]),    0, 0},
	{NAMED("then"),       OPT_THEN,       KIND_LIST,  AT(part[1]),    0, 0},
	{NAMED("else"),       OPT_ELSE,       KIND_LIST,  AT(part[2]),    0, 0},
#undef AT
#undef NAMED
};
/* clang-format on */

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

/* The row of an option that is taken here, or NULL. */
static const struct option_row *option_find(const struct option_user *u, struct span name)
{
	for (size_t k = 0; k < sizeof(option_rows) / sizeof(option_rows[0]); k++)
		if (option_rows[k].size == name.n && (u->options & option_rows[k].bit) &&
		    memcmp(option_rows[k].name, name.p, name.n) == 0)
			return &option_rows[k];
	return NULL;
}

/* What is wrong with an option: it `is given twice`, say. */
__attribute__((format(printf, 5, 6))) static enum wire_error
option_wrong(const struct option_user *u, const char *name, char *why, size_t why_size,
	     const char *format, ...)
{
	char text[80];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (u->list)
		(void)snprintf(why, why_size, "%s: %s[%u].%s %s", u->name, u->list, u->index, name,
			       text);
	else
		(void)snprintf(why, why_size, "%s: option \"%s\" %s", u->name, name, text);
	return WIRE_E_BAD_ARGUMENT;
}

/* What is wrong with the options as such. */
static enum wire_error options_wrong(const struct option_user *u, char *why, size_t why_size,
				     const char *text)
{
	if (u->list)
		(void)snprintf(why, why_size, "%s: %s[%u]: %s", u->name, u->list, u->index, text);
	else
		(void)snprintf(why, why_size, "%s: %s", u->name, text);
	return WIRE_E_BAD_ARGUMENT;
}

/* One option, name and value.  Steps over it. */
static enum wire_error option_read(const struct option_user *u, const char **p, struct options *o,
				   char *why, size_t why_size)
{
	const struct option_row *row;
	const char *want;
	struct span name;

	if (read_type(*p) != TYPE_BYTES)
		return options_wrong(u, why, why_size, "an option's name must be str or bin");
	name = read_bytes(p);
	row = option_find(u, name);
	if (!row) {
		char shown[SHOWN_MAX];
		char text[SHOWN_MAX + 32];

		(void)snprintf(text, sizeof(text), "unknown option \"%s\"",
			       buf_printable(shown, sizeof(shown), name.p, name.n));
		return options_wrong(u, why, why_size, text);
	}
	if (o->given & row->bit)
		return option_wrong(u, row->name, why, why_size, "is given twice");
	want = option_value(row, *p, o);
	if (want == out_of_range)
		return option_wrong(u, row->name, why, why_size, "must be %llu to %llu",
				    (unsigned long long)row->least, (unsigned long long)row->most);
	if (want)
		return option_wrong(u, row->name, why, why_size, "must be %s", want);
	o->given |= row->bit;
	*p = read_skip(*p);
	return WIRE_OK;
}

enum wire_error options_read(const struct option_user *u, const char *p, struct options *o,
			     char *why, size_t why_size)
{
	uint32_t n;

	if (read_type(p) != TYPE_MAP)
		return options_wrong(u, why, why_size,
				     u->list ? "its last element, options, must be a map"
					     : "the last parameter, options, must be a map");
	n = read_map(&p);
	for (uint32_t i = 0; i < n; i++) {
		enum wire_error e = option_read(u, &p, o, why, why_size);

		if (e != WIRE_OK)
			return e;
	}
	return WIRE_OK;
}
