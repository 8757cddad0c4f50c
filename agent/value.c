/* MessagePack to JSON and back, over jansson. */
#include "agent/value.h"

#include <jansson.h>
#include <stdlib.h>

#include "ipc/wire/agent_message.h"
#include "ipc/wire/msgpack.h"

#define DECODE (JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL)
#define ENCODE (JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(17))
#define HEAD   1024u /* bytes shown of a value that is too long */

static bool is_bin(const char *p)
{
	uint8_t c = (uint8_t)*p;

	return c >= 0xc4 && c <= 0xc6;
}

static json_t *to_json(const char **p);

static json_t *map_to_json(const char **p)
{
	json_t *o = json_object();
	uint32_t n = read_map(p);

	for (uint32_t i = 0; o && i < n; i++) {
		struct span k = read_bytes(p);
		json_t *v = to_json(p);

		if (!v || json_object_setn_new(o, k.p, k.n, v) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *array_to_json(const char **p)
{
	json_t *a = json_array();
	uint32_t n = read_array(p);

	for (uint32_t i = 0; a && i < n; i++) {
		json_t *v = to_json(p);

		if (!v || json_array_append_new(a, v) < 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

/* It is sound, and so not too deep. */
static json_t *to_json(const char **p)
{
	struct span s;

	switch (read_type(*p)) {
	case TYPE_BOOL:
		return json_boolean(read_bool(p));
	case TYPE_UINT:
		return json_integer((json_int_t)read_uint(p));
	case TYPE_INT:
		return json_integer((json_int_t)read_int(p));
	case TYPE_FLOAT:
		return json_real(read_float(p));
	case TYPE_BYTES:
		s = read_bytes(p);
		return json_stringn(s.p, s.n);
	case TYPE_ARRAY:
		return array_to_json(p);
	case TYPE_MAP:
		return map_to_json(p);
	default:
		*p = read_skip(*p);
		return json_null();
	}
}

char *value_to_json(struct span value, size_t *ret_n)
{
	const char *p = value.p;
	json_t *j;
	char *text;

	if (is_bin(p)) {
		struct span s = read_bytes(&p);

		text = malloc(s.n + 1);
		if (text && s.n)
			memcpy(text, s.p, s.n);
		*ret_n = s.n;
		return text;
	}
	j = to_json(&p);
	text = j ? json_dumps(j, ENCODE) : NULL;
	json_decref(j);
	*ret_n = text ? strlen(text) : 0;
	return text;
}

static void add(struct buf *out, char *(*write)(char *, const char *, size_t), const char *s,
		size_t n)
{
	char *p = buf_room(out, n + CODEC_HEAD_MAX);

	if (p)
		out->len += (size_t)(write(p, s, n) - p);
}

static char *as_bin(char *p, const char *s, size_t n)
{
	return write_bin(p, s, n);
}

/* False: it is deeper than values are. */
static bool from_json(struct buf *out, json_t *v, unsigned depth)
{
	char head[CODEC_HEAD_MAX];
	char *p = head;
	bool ok = true;

	switch (json_typeof(v)) {
	case JSON_STRING:
		add(out, write_str, json_string_value(v), json_string_length(v));
		return true;
	case JSON_INTEGER:
		p = write_int(p, json_integer_value(v));
		break;
	case JSON_REAL:
		p = write_double(p, json_real_value(v));
		break;
	case JSON_NULL:
		p = write_nil(p);
		break;
	case JSON_ARRAY:
		p = write_array(p, (uint32_t)json_array_size(v));
		break;
	case JSON_OBJECT:
		p = write_map(p, (uint32_t)json_object_size(v));
		break;
	default:
		p = write_bool(p, json_is_true(v));
	}
	buf_add(out, head, (size_t)(p - head));
	if (json_is_array(v) || json_is_object(v))
		ok = depth > 0;
	for (size_t i = 0; ok && json_is_array(v) && i < json_array_size(v); i++)
		ok = from_json(out, json_array_get(v, i), depth - 1);
	for (void *at = json_object_iter(v); ok && at; at = json_object_iter_next(v, at)) {
		add(out, write_str, json_object_iter_key(at), json_object_iter_key_len(at));
		ok = from_json(out, json_object_iter_value(at), depth - 1);
	}
	return ok;
}

void value_from_json(struct buf *out, const void *data, size_t n)
{
	json_t *j = json_loadb(data, n, DECODE, NULL);
	size_t from = out->len;
	bool ok = j && from_json(out, j, AGENT_MESSAGE_DEPTH);

	json_decref(j);
	if (ok && out->len - from <= AGENT_MESSAGE_VALUE_MAX)
		return;
	out->len = from;
	add(out, as_bin, data, n + CODEC_HEAD_MAX <= AGENT_MESSAGE_VALUE_MAX ? n : HEAD);
}

bool value_same(struct span a, struct span b)
{
	json_t *x = json_loadb(a.p, a.n, DECODE, NULL);
	json_t *y = json_loadb(b.p, b.n, DECODE, NULL);
	bool same = x && y && json_equal(x, y);

	json_decref(x);
	json_decref(y);
	return same;
}
