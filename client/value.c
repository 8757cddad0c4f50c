/* What stands in a reply's map: its MessagePack, looked at in place. */
#include <string.h>

#include "client/client.h"

static const struct pail_value nothing;

struct pail_value pail_result_value(const struct pail_result *r)
{
	return (struct pail_value){r->map};
}

enum pail_type pail_value_type(struct pail_value v)
{
	if (!v.at)
		return PAIL_VALUE_NONE;
	switch (read_type(v.at)) {
	case TYPE_NIL:
		return PAIL_VALUE_NIL;
	case TYPE_BOOL:
		return PAIL_VALUE_BOOL;
	case TYPE_UINT:
	case TYPE_INT:
		return PAIL_VALUE_NUMBER;
	case TYPE_BYTES:
		return PAIL_VALUE_BYTES;
	case TYPE_ARRAY:
		return PAIL_VALUE_LIST;
	case TYPE_MAP:
		return PAIL_VALUE_MAP;
	case TYPE_FLOAT:
		return PAIL_VALUE_FLOAT;
	case TYPE_OTHER:
		break;
	}
	return PAIL_VALUE_OTHER;
}

/* Into what a list or a map holds.  Returns how many there are; of a map, names and values. */
static size_t enter(const char **p)
{
	switch (*p ? read_type(*p) : TYPE_NIL) {
	case TYPE_ARRAY:
		return read_array(p);
	case TYPE_MAP:
		return 2 * (size_t)read_map(p);
	default:
		return 0;
	}
}

size_t pail_value_count(struct pail_value v)
{
	const char *p = v.at;
	size_t n = enter(&p);

	return pail_value_type(v) == PAIL_VALUE_MAP ? n / 2 : n;
}

/* What stands at place `i` of all that a list or map holds. */
static struct pail_value at(struct pail_value v, size_t i)
{
	const char *p = v.at;

	if (i >= enter(&p))
		return nothing;
	while (i--)
		p = read_skip(p);
	return (struct pail_value){p};
}

struct pail_value pail_value_item(struct pail_value v, size_t i)
{
	return at(v, pail_value_type(v) == PAIL_VALUE_MAP ? 2 * i + 1 : i);
}

struct pail_value pail_value_name(struct pail_value v, size_t i)
{
	return pail_value_type(v) == PAIL_VALUE_MAP ? at(v, 2 * i) : nothing;
}

struct pail_value pail_value_field(struct pail_value v, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < pail_value_count(v); i++) {
		struct pail_bytes b = pail_value_bytes(pail_value_name(v, i));

		if (b.data && b.size == n && !memcmp(b.data, name, n))
			return pail_value_item(v, i);
	}
	return nothing;
}

uint64_t pail_value_number(struct pail_value v)
{
	const char *p = v.at;

	if (!p || read_type(p) != TYPE_UINT)
		return 0;
	return read_uint(&p);
}

int64_t pail_value_integer(struct pail_value v)
{
	const char *p = v.at;
	uint64_t n = pail_value_number(v);

	if (p && read_type(p) == TYPE_INT)
		return read_int(&p);
	return n <= INT64_MAX ? (int64_t)n : 0;
}

double pail_value_float(struct pail_value v)
{
	const char *p = v.at;

	if (p && read_type(p) == TYPE_FLOAT)
		return read_float(&p);
	if (p && read_type(p) == TYPE_INT)
		return (double)read_int(&p);
	return (double)pail_value_number(v);
}

bool pail_value_bool(struct pail_value v)
{
	const char *p = v.at;

	return p && read_type(p) == TYPE_BOOL && read_bool(&p);
}

struct pail_bytes pail_value_bytes(struct pail_value v)
{
	const char *p = v.at;
	struct span s = {NULL, 0};

	if (p && read_type(p) == TYPE_BYTES)
		s = read_bytes(&p);
	return (struct pail_bytes){s.p, s.n};
}

size_t pail_value_json(struct pail_value v, char *out, size_t size)
{
	const char *p = v.at;
	struct buf b;
	size_t n;

	buf_init(&b);
	if (p)
		json_write(&b, &p);
	else
		buf_text(&b, "null");
	n = b.failed ? 0 : b.len;
	if (n && size)
		memcpy(out, b.data, n < size ? n : size - 1);
	if (size)
		out[n < size ? n : size - 1] = '\0';
	buf_fini(&b);
	return n;
}
