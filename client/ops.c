/* What a transaction's operations came to, looked at in place. */
#include <stddef.h>

#include "client/client.h"

/* ---- one result ---- */

static bool value_take(const char *p, struct pail_op *op)
{
	struct span s;

	if (read_array(&p) != 2 || read_type(p) != TYPE_BYTES)
		return false;
	s = read_bytes(&p);
	op->value = (struct pail_bytes){s.p, s.n};
	return read_type(p) == TYPE_UINT && (op->number = read_uint(&p), true);
}

static bool list_take(const char *p, struct pail_op *op)
{
	const char *items = p;

	if (!field_find(&items, "items") || read_type(items) != TYPE_ARRAY ||
	    !field_find(&p, "more") || read_type(p) != TYPE_BOOL)
		return false;
	op->more = read_bool(&p);
	op->item_count = read_array(&items);
	op->left = op->item_count;
	op->next = items;
	return true;
}

/* By the form it has: that of nil, false, a number, [value, version] or a list. */
static bool op_take(const char *p, struct pail_op *op)
{
	op->yes = true;
	switch (read_type(p)) {
	case TYPE_NIL:
		op->yes = false;
		return true;
	case TYPE_BOOL:
		op->yes = read_bool(&p);
		return true;
	case TYPE_UINT:
		op->number = read_uint(&p);
		return true;
	case TYPE_ARRAY:
		return value_take(p, op);
	case TYPE_MAP:
		return list_take(p, op);
	default:
		return false;
	}
}

_Static_assert(sizeof(struct pail_op) == offsetof(struct pail_op, left) + sizeof(size_t), "a tail");

bool pail_result_op(const struct pail_result *r, size_t i, struct pail_op *ret)
{
	struct pail_op op = {.size = sizeof(op)};
	size_t size = ret->size;
	size_t ours = size < sizeof(op) ? size : sizeof(op);

	if (size <= sizeof(size))
		return false;
	memset(ret, 0, size);
	ret->size = size;
	if (i >= r->op_count || !op_take((const char *)r->map + r->op_at[i], &op))
		return false;
	op.size = size;
	memcpy(ret, &op, ours);
	return true;
}

bool pail_op_item(struct pail_op *op, struct pail_item *ret)
{
	const char *p = op->next;

	if (!op->left)
		return false;
	op->left--;
	if (!item_read(&p, ret))
		return false;
	op->next = p;
	return true;
}

/* ---- the whole: {ok, results} ---- */

static bool items_check(struct pail_op op)
{
	struct pail_item item;
	size_t n = 0;

	while (pail_op_item(&op, &item))
		n++;
	return n == op.item_count;
}

bool txn_read(const char *p, struct pail_result *ret, struct buf *places)
{
	const char *begin = p;
	const char *ok = p;
	const char *results = p;
	uint32_t n;

	if (!field_find(&ok, "ok") || read_type(ok) != TYPE_BOOL ||
	    !field_find(&results, "results") || read_type(results) != TYPE_ARRAY)
		return false;
	ret->yes = read_bool(&ok);
	n = read_array(&results);
	if (n > WIRE_TXN_ENTRIES_MAX)
		return false;
	places->len = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (uint32_t)(results - begin);

		struct pail_op op = {.size = sizeof(op)};

		if (!op_take(results, &op) || !items_check(op))
			return false;
		buf_add(places, &at, sizeof(at));
		results = read_skip(results);
	}
	ret->map = begin;
	ret->map_size = (size_t)(read_skip(p) - begin);
	ret->op_count = n;
	ret->op_at = (const uint32_t *)(void *)places->data;
	return !places->failed;
}
