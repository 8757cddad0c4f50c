/* Replies to results. */
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "common/json.h"

#define HELLO_MESSAGE_LEAST 1024u /* with less not even a hello could be sent */

/* ---- JSON ---- */

/*
 * As short as it can be and still be read back as the same, and as no integer.  JSON has no NaN and
 * no infinity: they are null.  Whatever the program's locale is, the point is one.
 */
static void json_float(struct buf *out, double v)
{
	char text[40];
	char *point;
	size_t n;

	if (!(v - v == 0)) {
		buf_text(out, "null");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	/* Up to the point, whatever it is called; the point; what is behind it. */
	n = strspn(text, "+-0123456789e");
	point = text + n + strcspn(text + n, "0123456789");
	buf_add(out, text, n);
	if (text[n])
		buf_text(out, ".");
	else if (!strchr(text, 'e'))
		buf_text(out, ".0");
	buf_text(out, point);
}

void json_write(struct buf *out, const char **p)
{
	uint32_t n;

	switch (read_type(*p)) {
	case TYPE_NIL:
		*p = read_skip(*p);
		buf_text(out, "null");
		return;
	case TYPE_BOOL:
		buf_text(out, read_bool(p) ? "true" : "false");
		return;
	case TYPE_UINT:
		buf_fmt(out, "%llu", (unsigned long long)read_uint(p));
		return;
	case TYPE_INT:
		buf_fmt(out, "%lld", (long long)read_int(p));
		return;
	case TYPE_BYTES:
		json_string(out, read_bytes(p));
		return;
	case TYPE_ARRAY:
		n = read_array(p);
		buf_text(out, "[");
		for (uint32_t i = 0; i < n; i++) {
			buf_text(out, i ? "," : "");
			json_write(out, p);
		}
		buf_text(out, "]");
		return;
	case TYPE_MAP:
		n = read_map(p);
		buf_text(out, "{");
		for (uint32_t i = 0; i < n; i++) {
			buf_text(out, i ? "," : "");
			json_write(out, p);
			buf_text(out, ":");
			json_write(out, p);
		}
		buf_text(out, "}");
		return;
	case TYPE_FLOAT:
		json_float(out, read_float(p));
		return;
	case TYPE_OTHER:
		*p = read_skip(*p);
		buf_text(out, "null");
		return;
	}
}

/* How deep an object nests: replies of a node never go beyond a few. */
static bool shallow(const char *p, unsigned depth)
{
	enum codec_type t = read_type(p);
	uint64_t n;

	if (t != TYPE_ARRAY && t != TYPE_MAP)
		return true;
	if (!depth)
		return false;
	n = t == TYPE_ARRAY ? read_array(&p) : 2ull * read_map(&p);
	for (uint64_t i = 0; i < n; i++) {
		if (!shallow(p, depth - 1))
			return false;
		p = read_skip(p);
	}
	return true;
}

/* What a function has returned, whatever that is. */
static bool read_any(const char *p, struct pail_result *ret)
{
	ret->map = p;
	ret->map_size = (size_t)(read_skip(p) - p);
	return shallow(p, WIRE_LEVELS_MAX);
}

static bool read_json(const char *p, struct pail_result *ret, struct buf *json)
{
	if (read_type(p) != TYPE_MAP || !shallow(p, 8))
		return false;
	ret->map = p;
	json->len = 0;
	json_write(json, &p);
	ret->map_size = (size_t)(p - (const char *)ret->map);
	buf_add(json, "", 1);
	ret->json = json->failed ? NULL : json->data;
	return !json->failed;
}

/* ---- shapes ---- */

static bool take_bytes(const char **p, struct pail_bytes *ret)
{
	struct span s;

	if (read_type(*p) != TYPE_BYTES)
		return false;
	s = read_bytes(p);
	*ret = (struct pail_bytes){s.p, s.n};
	return true;
}

static bool take_uint(const char **p, uint64_t *ret)
{
	if (read_type(*p) != TYPE_UINT)
		return false;
	*ret = read_uint(p);
	return true;
}

/* Nil says that there is no such key. */
static bool read_missing(const char *p, struct pail_result *ret)
{
	if (read_type(p) != TYPE_NIL)
		return false;
	ret->status = PAIL_NOT_FOUND;
	ret->text = "there is no such key";
	return true;
}

static bool read_value(const char *p, struct pail_result *ret)
{
	if (read_missing(p, ret))
		return true;
	return read_type(p) == TYPE_ARRAY && read_array(&p) == 2 && take_bytes(&p, &ret->value) &&
	       take_uint(&p, &ret->version);
}

static bool read_head(const char *p, struct pail_result *ret)
{
	if (read_missing(p, ret))
		return true;
	return read_type(p) == TYPE_ARRAY && read_array(&p) == 3 && take_uint(&p, &ret->size) &&
	       take_uint(&p, &ret->version) &&
	       (read_type(p) == TYPE_NIL || take_uint(&p, &ret->ttl_ms));
}

bool item_read(const char **p, struct pail_item *item)
{
	uint32_t n;

	memset(item, 0, sizeof(*item));
	if (read_type(*p) == TYPE_BYTES)
		return take_bytes(p, &item->key); /* a bucket's name */
	n = read_type(*p) == TYPE_ARRAY ? read_array(p) : 0;
	if ((n != 3 && n != 4) || !take_bytes(p, &item->key))
		return false;
	if (read_type(*p) == TYPE_NIL)
		*p = read_skip(*p);
	else if (!take_bytes(p, &item->value))
		return false;
	if (!take_uint(p, &item->version))
		return false;
	if (n == 3)
		return true;
	if (read_type(*p) != TYPE_NIL)
		return take_uint(p, &item->ttl_ms);
	*p = read_skip(*p);
	return true;
}

static bool read_list(const char *p, struct pail_result *ret, struct buf *items)
{
	uint32_t fields;

	if (read_type(p) != TYPE_MAP)
		return false;
	items->len = 0;
	fields = read_map(&p);
	while (fields--) {
		struct pail_bytes name;
		uint32_t n;

		if (!take_bytes(&p, &name))
			return false;
		if (name.size == 4 && !memcmp(name.data, "more", 4) && read_type(p) == TYPE_BOOL) {
			ret->more = read_bool(&p);
			continue;
		}
		if (name.size != 5 || memcmp(name.data, "items", 5) || read_type(p) != TYPE_ARRAY) {
			p = read_skip(p);
			continue;
		}
		n = read_array(&p);
		for (uint32_t i = 0; i < n; i++) {
			struct pail_item item;

			if (!item_read(&p, &item))
				return false;
			buf_add(items, &item, sizeof(item));
		}
		ret->item_count = n;
	}
	ret->items = (const struct pail_item *)(void *)items->data;
	return !items->failed;
}

bool field_find(const char **p, const char *want)
{
	uint32_t fields;

	if (read_type(*p) != TYPE_MAP)
		return false;
	for (fields = read_map(p); fields; fields--) {
		struct pail_bytes name = {NULL, 0};

		if (!take_bytes(p, &name))
			*p = read_skip(*p);
		else if (name.size == strlen(want) && !memcmp(name.data, want, name.size))
			return true;
		*p = read_skip(*p);
	}
	return false;
}

uint64_t hello_message_max(const char *p)
{
	uint64_t n;

	if (!field_find(&p, "limits") || !field_find(&p, "message") || !take_uint(&p, &n) ||
	    n < HELLO_MESSAGE_LEAST)
		return 0;
	return n;
}

bool hello_has_feature(const char *p, const char *name)
{
	struct pail_bytes feature;

	if (!field_find(&p, "features") || read_type(p) != TYPE_ARRAY)
		return false;
	for (uint32_t n = read_array(&p); n; n--) {
		if (!take_bytes(&p, &feature))
			p = read_skip(p);
		else if (feature.size == strlen(name) && !memcmp(feature.data, name, feature.size))
			return true;
	}
	return false;
}

static void read_error(const struct reply *r, struct pail_result *ret, struct buf *json)
{
	enum wire_error e = wire_error_find(r->code);
	const char *p = r->data;

	ret->status = e == WIRE_ERROR_COUNT ? PAIL_INTERNAL : (int)e;
	json->len = 0;
	buf_add(json, r->text.p, r->text.n);
	buf_add(json, "", 1);
	ret->text = json->failed ? "no memory" : json->data;
	ret->has_number = ret->status == PAIL_CONFLICT && p && take_uint(&p, &ret->number);
}

bool result_read(int method, const struct reply *r, struct pail_result *ret, struct buf *items,
		 struct buf *json)
{
	const char *p = r->result;

	memset(ret, 0, sizeof(*ret));
	ret->text = "";
	if (r->code.p) {
		read_error(r, ret, json);
		return true;
	}
	switch ((enum result_type)wire_methods[method].result) {
	case RESULT_TEXT:
		return read_type(p) == TYPE_BYTES;
	case RESULT_BOOL:
		if (read_type(p) != TYPE_BOOL)
			return false;
		ret->yes = read_bool(&p);
		return true;
	case RESULT_UINT:
		return take_uint(&p, &ret->number);
	case RESULT_VERSION:
		return read_missing(p, ret) || take_uint(&p, &ret->number);
	case RESULT_VALUE:
		return read_value(p, ret);
	case RESULT_HEAD:
		return read_head(p, ret);
	case RESULT_LIST:
		return read_list(p, ret, items);
	case RESULT_MAP:
		return read_json(p, ret, json);
	case RESULT_TXN:
		return txn_read(p, ret, items);
	case RESULT_ANY:
		return read_any(p, ret);
	case RESULT_BYTES:
		return take_bytes(&p, &ret->value);
	case RESULT_OUTCOME:
		return read_json(p, ret, json);
	}
	return false;
}

/* ---- results that stand alone ---- */

static char *put_bytes(char **at, const void *data, size_t n)
{
	char *p = *at;

	if (n)
		memcpy(p, data, n);
	*at += n;
	return p;
}

struct pail_result *result_copy(const struct pail_result *r)
{
	size_t items = r->item_count * sizeof(*r->items);
	size_t n = sizeof(*r) + items + strlen(r->text) + 1 + r->value.size + 1;
	struct pail_result *c;
	struct pail_item *list;
	char *at;

	n += r->map_size + r->op_count * sizeof(*r->op_at);
	if (r->json)
		n += strlen(r->json) + 1;
	for (size_t i = 0; i < r->item_count; i++)
		n += r->items[i].key.size + r->items[i].value.size + 1;
	c = malloc(n);
	if (!c)
		return NULL;
	*c = *r;
	list = (struct pail_item *)(c + 1);
	at = (char *)(c + 1) + items;
	if (r->op_at) /* first: they want to be aligned */
		c->op_at = (const uint32_t *)(void *)put_bytes(&at, r->op_at,
							       r->op_count * sizeof(*r->op_at));
	c->text = put_bytes(&at, r->text, strlen(r->text) + 1);
	if (r->json)
		c->json = put_bytes(&at, r->json, strlen(r->json) + 1);
	if (r->map)
		c->map = put_bytes(&at, r->map, r->map_size);
	c->value.data = put_bytes(&at, r->value.data, r->value.size);
	at++;
	for (size_t i = 0; i < r->item_count; i++) {
		list[i] = r->items[i];
		list[i].key.data = put_bytes(&at, r->items[i].key.data, r->items[i].key.size);
		if (r->items[i].value.data)
			list[i].value.data =
				put_bytes(&at, r->items[i].value.data, r->items[i].value.size);
	}
	c->items = list;
	return c;
}

void pail_result_free(struct pail_result **r)
{
	free(*r);
	*r = NULL;
}

const char *pail_status_name(int status)
{
	switch (status) {
	case PAIL_NOT_FOUND:
		return "not_found";
	case PAIL_UNREACHABLE:
		return "unreachable";
	case PAIL_NO_MEMORY:
		return "no_memory";
	case PAIL_PROTOCOL:
		return "protocol";
	case PAIL_CLOSED:
		return "closed";
	default:
		return status >= 0 && status < WIRE_ERROR_COUNT
			       ? wire_error_name((enum wire_error)status)
			       : "?";
	}
}
