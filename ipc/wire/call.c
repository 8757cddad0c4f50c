/* Module, function and arguments of a call. */
#include <stdarg.h>
#include <stdio.h>

#include "ipc/wire/parts_impl.h"

/* An argument being looked at, and what was found so far. */
struct arg {
	uint32_t index;
	uint64_t value_max;
	uint64_t largest; /* bytes of a string */
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 3, 4))) static enum wire_error
arg_wrong(const struct arg *a, enum wire_error e, const char *format, ...)
{
	char text[120];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)snprintf(a->why, a->why_size, "call: args[%u] %s", a->index, text);
	return e;
}

static enum wire_error value_check(struct arg *a, const char **p, unsigned level);

static enum wire_error key_check(struct arg *a, const char **p, unsigned level)
{
	enum codec_type t = read_type(*p);

	if (t != TYPE_BYTES && t != TYPE_UINT && t != TYPE_INT)
		return arg_wrong(a, WIRE_E_BAD_ARGUMENT,
				 "has a map key that is neither a string nor an integer");
	return value_check(a, p, level);
}

static enum wire_error inside_check(struct arg *a, const char **p, unsigned level)
{
	bool map = read_type(*p) == TYPE_MAP;
	uint32_t n = map ? read_map(p) : read_array(p);
	enum wire_error e = WIRE_OK;

	if (level >= WIRE_LEVELS_MAX)
		return arg_wrong(a, WIRE_E_BAD_ARGUMENT,
				 "has more than %u arrays and maps within each other",
				 WIRE_LEVELS_MAX);
	while (n-- && e == WIRE_OK) {
		if (map)
			e = key_check(a, p, level + 1);
		if (e == WIRE_OK)
			e = value_check(a, p, level + 1);
	}
	return e;
}

/* One object, which is whole.  It calls itself once for each level, of which there are few. */
static enum wire_error value_check(struct arg *a, const char **p, unsigned level)
{
	struct span s;

	switch (read_type(*p)) {
	case TYPE_UINT:
		if (read_uint(p) > INT64_MAX)
			return arg_wrong(a, WIRE_E_BAD_ARGUMENT,
					 "has an integer above 9223372036854775807");
		return WIRE_OK;
	case TYPE_BYTES:
		s = read_bytes(p);
		if (s.n > a->largest)
			a->largest = s.n;
		if (s.n > a->value_max)
			return arg_wrong(a, WIRE_E_TOO_LARGE,
					 "has a string of %zu bytes, the limit is %llu", s.n,
					 (unsigned long long)a->value_max);
		return WIRE_OK;
	case TYPE_ARRAY:
	case TYPE_MAP:
		return inside_check(a, p, level);
	case TYPE_OTHER:
		return arg_wrong(a, WIRE_E_BAD_ARGUMENT, "has an extension type");
	case TYPE_NIL:
	case TYPE_BOOL:
	case TYPE_INT:
	case TYPE_FLOAT:
		break;
	}
	*p = read_skip(*p);
	return WIRE_OK;
}

static enum wire_error name_check(const struct request *r, unsigned i, struct span *ret, char *why,
				  size_t why_size)
{
	const char *what = i == 1 ? "module" : "function";

	if (request_bytes(r, i, ret) < 0) {
		(void)snprintf(why, why_size, "call: %s must be str or bin", what);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (!ret->n) {
		(void)snprintf(why, why_size, "call: %s is empty, it must be 1 to %u bytes", what,
			       WIRE_NAME_MAX);
		return WIRE_E_BAD_ARGUMENT;
	}
	if (ret->n > WIRE_NAME_MAX) {
		(void)snprintf(why, why_size, "call: %s has %zu bytes, the limit is %u", what,
			       ret->n, WIRE_NAME_MAX);
		return WIRE_E_TOO_LARGE;
	}
	return WIRE_OK;
}

static enum wire_error args_check(const char *args, struct options *o, uint64_t value_max,
				  char *why, size_t why_size)
{
	struct arg a = {0, value_max, 0, why, why_size};
	enum wire_error e = WIRE_OK;
	const char *p = args;
	uint32_t n;

	if (read_type(p) != TYPE_ARRAY) {
		(void)snprintf(why, why_size, "call: args must be an array");
		return WIRE_E_BAD_ARGUMENT;
	}
	n = read_array(&p);
	if (n > WIRE_ARGS_MAX) {
		(void)snprintf(why, why_size, "call: args has %u elements, the limit is %u", n,
			       WIRE_ARGS_MAX);
		return WIRE_E_TOO_LARGE;
	}
	for (; a.index < n && e == WIRE_OK; a.index++)
		e = value_check(&a, &p, 0);
	o->part[2] = (struct span){args, (size_t)(p - args)};
	o->largest = a.largest;
	return e;
}

enum wire_error call_check(const struct request *r, struct options *o, uint64_t value_max,
			   char *why, size_t why_size)
{
	enum wire_error e = name_check(r, 1, &o->part[0], why, why_size);

	if (e == WIRE_OK)
		e = name_check(r, 2, &o->part[1], why, why_size);
	if (e == WIRE_OK)
		e = args_check(r->param[3], o, value_max, why, why_size);
	o->writes = true;
	o->reads = true;
	o->large = true;
	return e;
}
