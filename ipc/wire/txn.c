/* Conditions and operations of a txn. */
#include "ipc/wire/txn.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ipc/wire/options_impl.h"
#include "ipc/wire/parts_impl.h"

static const struct op_row {
	const char *name;
	uint8_t size;
	uint8_t least, most; /* elements, the name and the map of options counted */
	unsigned options;    /* 0: it takes no map of them */
} op_rows[] = {
	[TXN_GET] = {"get",    3, 2, 2, 0						      },
	[TXN_SCAN] = {"scan",   4, 1, 2,
                     OPT_RANGE | OPT_FROM | OPT_TO | OPT_REVERSE | OPT_KEYS_ONLY | OPT_WITH_TTL},
	[TXN_COUNT] = {"count",  5, 1, 1, 0						      },
	[TXN_PUT] = {"put",    3, 3, 4, OPT_TTL						},
	[TXN_TOUCH] = {"touch",  5, 2, 3, OPT_TTL						},
	[TXN_DELETE] = {"delete", 6, 2, 2, 0						      },
};
#define OP_KINDS (sizeof(op_rows) / sizeof(op_rows[0]))

void txn_list_begin(struct txn_list *l, const char *name, struct span array)
{
	*l = (struct txn_list){.name = name, .p = array.p};
	if (array.n)
		l->left = read_array(&l->p);
}

/* "txn: then[3]" and what is wrong there. */
__attribute__((format(printf, 5, 6))) static enum wire_error wrong(const struct txn_list *l,
								   enum wire_error e, char *why,
								   size_t why_size,
								   const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)snprintf(why, why_size, "txn: %s[%u]%s", l->name, l->index, text);
	return e;
}

static enum wire_error key_next(struct txn_list *l, const char **p, struct span *ret, char *why,
				size_t why_size)
{
	if (read_type(*p) != TYPE_BYTES)
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size, ".key must be str or bin");
	*ret = read_bytes(p);
	if (!ret->n)
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			     ".key is empty, it must be 1 to %u bytes", WIRE_KEY_MAX);
	if (ret->n > WIRE_KEY_MAX)
		return wrong(l, WIRE_E_TOO_LARGE, why, why_size,
			     ".key has %zu bytes, the limit is %u", ret->n, WIRE_KEY_MAX);
	return WIRE_OK;
}

static enum wire_error value_next(struct txn_list *l, const char **p, uint64_t value_max,
				  struct span *ret, char *why, size_t why_size)
{
	if (read_type(*p) != TYPE_BYTES)
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size, ".value must be str or bin");
	*ret = read_bytes(p);
	if (ret->n > value_max)
		return wrong(l, WIRE_E_TOO_LARGE, why, why_size,
			     ".value has %zu bytes, the limit is %llu", ret->n,
			     (unsigned long long)value_max);
	return WIRE_OK;
}

/* ---- conditions ---- */

static bool relation_find(struct span s, enum txn_relation *ret)
{
	static const char *const names[] = {
		[TXN_EQUAL] = "=", [TXN_DIFFERENT] = "!=", [TXN_LESS] = "<", [TXN_GREATER] = ">"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_equal(s, span_of(names[i]))) {
			*ret = (enum txn_relation)i;
			return true;
		}
	return false;
}

/* The second and third element: of what, and how it is compared. */
static enum wire_error relation_next(struct txn_list *l, const char **p, struct txn_condition *ret,
				     char *why, size_t why_size)
{
	struct span s = {NULL, 0};

	if (read_type(*p) == TYPE_BYTES)
		s = read_bytes(p);
	ret->is_value = span_equal(s, span_of("value"));
	if (!ret->is_value && !span_equal(s, span_of("version")))
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			     " must be about \"version\" or \"value\"");
	s.n = 0;
	if (read_type(*p) == TYPE_BYTES)
		s = read_bytes(p);
	if (!relation_find(s, &ret->relation))
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			     " must compare by \"=\", \"!=\", \"<\" or \">\"");
	return WIRE_OK;
}

enum wire_error txn_condition_next(struct txn_list *l, uint64_t value_max,
				   struct txn_condition *ret, char *why, size_t why_size)
{
	const char *p = l->p;
	enum wire_error e;

	*ret = (struct txn_condition){.relation = TXN_EQUAL};
	if (read_type(p) != TYPE_ARRAY || read_array(&p) != 4)
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			     " must be [key, \"version\" or \"value\", relation, what]");
	e = key_next(l, &p, &ret->key, why, why_size);
	if (e == WIRE_OK)
		e = relation_next(l, &p, ret, why, why_size);
	if (e != WIRE_OK)
		return e;
	if (ret->is_value)
		e = value_next(l, &p, value_max, &ret->value, why, why_size);
	else if (!read_unsigned(&p, &ret->version))
		e = wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			  ".version must be an unsigned integer");
	l->p = p;
	l->left--;
	l->index++;
	return e;
}

/* ---- operations ---- */

static enum wire_error kind_next(struct txn_list *l, const char **p, uint32_t n,
				 enum txn_op_kind *ret, char *why, size_t why_size)
{
	struct span name = {NULL, 0};

	if (read_type(*p) == TYPE_BYTES)
		name = read_bytes(p);
	for (unsigned i = 0; i < OP_KINDS; i++) {
		const struct op_row *row = &op_rows[i];

		if (row->size != name.n || memcmp(row->name, name.p, name.n) != 0)
			continue;
		*ret = (enum txn_op_kind)i;
		if (n >= row->least && n <= row->most)
			return WIRE_OK;
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			     ": %s takes %u to %u parameters, got %u", row->name, row->least - 1u,
			     row->most - 1u, n - 1);
	}
	return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
		     " must begin with put, touch, delete, get, scan or count");
}

enum wire_error txn_op_next(struct txn_list *l, uint64_t value_max, struct txn_op *ret, char *why,
			    size_t why_size)
{
	const char *p = l->p;
	const struct op_row *row;
	enum wire_error e;
	uint32_t n;

	memset(ret, 0, offsetof(struct txn_op, options) + offsetof(struct options, session));
	ret->options.limit = WIRE_SCAN_LIMIT;
	n = read_type(p) == TYPE_ARRAY ? read_array(&p) : 0;
	if (!n)
		return wrong(l, WIRE_E_BAD_ARGUMENT, why, why_size,
			     " must be an array [operation, …]");
	e = kind_next(l, &p, n, &ret->kind, why, why_size);
	if (e != WIRE_OK)
		return e;
	row = &op_rows[ret->kind];
	if (ret->kind != TXN_SCAN && ret->kind != TXN_COUNT)
		e = key_next(l, &p, &ret->key, why, why_size);
	if (e == WIRE_OK && ret->kind == TXN_PUT)
		e = value_next(l, &p, value_max, &ret->value, why, why_size);
	if (e == WIRE_OK && row->options && n == row->most) {
		e = options_read(&(struct option_user){"txn", l->name, l->index, row->options}, p,
				 &ret->options, why, why_size);
		p = read_skip(p);
	}
	l->p = p;
	l->left--;
	l->index++;
	return e;
}

/* ---- all of it ---- */

static void largest_note(struct options *o, struct span value)
{
	if (value.n > o->largest)
		o->largest = value.n;
}

static enum wire_error conditions_check(struct options *o, uint64_t value_max, char *why,
					size_t why_size)
{
	struct txn_condition c;
	struct txn_list l;

	txn_list_begin(&l, "if", o->part[0]);
	while (l.left) {
		enum wire_error e = txn_condition_next(&l, value_max, &c, why, why_size);

		if (e != WIRE_OK)
			return e;
		o->reads = true;
		largest_note(o, c.value);
	}
	return WIRE_OK;
}

static enum wire_error ops_check(struct options *o, const char *name, struct span list,
				 uint64_t value_max, char *why, size_t why_size)
{
	struct txn_list l;
	struct txn_op op;

	txn_list_begin(&l, name, list);
	while (l.left) {
		enum wire_error e = txn_op_next(&l, value_max, &op, why, why_size);

		if (e != WIRE_OK)
			return e;
		if (txn_op_writes(&op))
			o->writes = true;
		else
			o->reads = true;
		o->large |= op.kind == TXN_GET || op.kind == TXN_SCAN;
		largest_note(o, op.value);
	}
	return WIRE_OK;
}

static enum wire_error txn_check(struct options *o, uint64_t value_max, char *why, size_t why_size)
{
	uint64_t count = 0;
	enum wire_error e;

	for (unsigned i = 0; i < 3; i++) {
		struct txn_list l;

		txn_list_begin(&l, "", o->part[i]);
		count += l.left;
	}
	if (count > WIRE_TXN_ENTRIES_MAX) {
		(void)snprintf(why, why_size,
			       "txn: if, then and else have %llu entries, the limit is %u",
			       (unsigned long long)count, WIRE_TXN_ENTRIES_MAX);
		return WIRE_E_TOO_LARGE;
	}
	o->ops = (uint32_t)count;
	e = conditions_check(o, value_max, why, why_size);
	if (e == WIRE_OK)
		e = ops_check(o, "then", o->part[1], value_max, why, why_size);
	if (e == WIRE_OK)
		e = ops_check(o, "else", o->part[2], value_max, why, why_size);
	return e;
}

enum wire_error parts_check(const struct request *r, struct options *o, uint64_t value_max,
			    char *why, size_t why_size)
{
	return r->method == WIRE_TXN ? txn_check(o, value_max, why, why_size)
				     : call_check(r, o, value_max, why, why_size);
}
