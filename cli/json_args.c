/* JSON to a function's arguments, over jansson: the only file that includes it. */
#include "cli/json_args.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static int value_add(struct pail_args *a, json_t *v);

static int list_add(struct pail_args *a, json_t *v)
{
	size_t n = json_array_size(v);
	int r = pail_args_list(a);

	for (size_t i = 0; i < n && r == PAIL_OK; i++)
		r = value_add(a, json_array_get(v, i));
	return r == PAIL_OK ? pail_args_end(a) : r;
}

static int map_add(struct pail_args *a, json_t *v)
{
	int r = pail_args_map(a);

	for (void *at = json_object_iter(v); at && r == PAIL_OK;
	     at = json_object_iter_next(v, at)) {
		r = pail_args_name(a, pail_str(json_object_iter_key(at)));
		if (r == PAIL_OK)
			r = value_add(a, json_object_iter_value(at));
	}
	return r == PAIL_OK ? pail_args_end(a) : r;
}

/* The builder bounds how deep this goes. */
static int value_add(struct pail_args *a, json_t *v)
{
	switch (json_typeof(v)) {
	case JSON_OBJECT:
		return map_add(a, v);
	case JSON_ARRAY:
		return list_add(a, v);
	case JSON_STRING:
		return pail_args_bytes(
			a, (struct pail_bytes){json_string_value(v), json_string_length(v)});
	case JSON_INTEGER:
		return pail_args_integer(a, json_integer_value(v));
	case JSON_REAL:
		return pail_args_float(a, json_real_value(v));
	case JSON_TRUE:
	case JSON_FALSE:
		return pail_args_bool(a, json_is_true(v));
	case JSON_NULL:
		break;
	}
	return pail_args_nil(a);
}

static bool is(struct pail_bytes b, const char *s)
{
	return b.size == strlen(s) && !memcmp(b.data, s, b.size);
}

/* Whether it is to be JSON: what begins so and is none is a slip. */
static bool begins_json(struct pail_bytes text)
{
	const char *s = text.data;
	size_t n = 0;

	while (n < text.size && strchr(" \t\r\n", s[n]) && s[n])
		n++;
	text = (struct pail_bytes){s + n, text.size - n};
	return (text.size && s[n] && strchr("{[\"-0123456789", s[n])) || is(text, "true") ||
	       is(text, "false") || is(text, "null");
}

int json_args_add(struct pail_args *a, struct pail_bytes text, char *why, size_t why_size)
{
	json_error_t e;
	json_t *v;
	int r;

	if (!begins_json(text)) {
		r = pail_args_bytes(a, text);
	} else {
		v = json_loadb(text.data, text.size,
			       JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
		if (!v) {
			(void)snprintf(why, why_size, "it begins as JSON does, and: %.150s",
				       e.text);
			return PAIL_BAD_ARGUMENT;
		}
		r = value_add(a, v);
		json_decref(v);
	}
	if (r != PAIL_OK)
		(void)snprintf(why, why_size, "%s", pail_args_why(a));
	return r;
}
