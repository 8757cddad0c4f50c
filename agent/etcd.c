/* Bodies for etcd's JSON gateway and its answers, over jansson. */
#include "agent/etcd.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/base64.h"

/* ---- what is asked ---- */

/* Never json_string: common/json.c has another function of that name. */

/* Objects are built without looking: a failure anywhere makes the whole NULL (json_pack's `o`). */

static json_t *coded(struct span s)
{
	char *text = base64_write(s);
	json_t *j = text ? json_stringn(text, strlen(text)) : NULL;

	free(text);
	return j;
}

static json_t *decimal(uint64_t n)
{
	char text[24];

	int k = snprintf(text, sizeof(text), "%llu", (unsigned long long)n);

	return json_stringn(text, (size_t)k);
}

/* The text of `j`, which ends here. */
static char *body(json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	return text;
}

static json_t *range(struct span key)
{
	return json_pack("{s:o}", "key", coded(key));
}

char *etcd_get(struct span key)
{
	return body(range(key));
}

/* Behind all that begin with the prefix: its last byte grown by one; those that cannot are cut. */
static json_t *behind(struct span prefix)
{
	char *end = malloc(prefix.n);
	size_t n = prefix.n;
	json_t *j;

	if (!end)
		return NULL;
	memcpy(end, prefix.p, n);
	while (n && (uint8_t)end[n - 1] == 0xff)
		n--;
	if (n)
		end[n - 1]++;
	j = n ? coded((struct span){end, n}) : coded((struct span){"", 1});
	free(end);
	return j;
}

char *etcd_list(struct span prefix, uint64_t since)
{
	return body(json_pack("{s:o,s:o,s:o}", "key", coded(prefix), "range_end", behind(prefix),
			      "min_mod_revision", decimal(since ? since + 1 : 0)));
}

static json_t *compare(struct span key, uint64_t mod_revision)
{
	return json_pack("{s:o,s:s,s:s,s:o}", "key", coded(key), "target", "MOD", "result", "EQUAL",
			 "mod_revision", decimal(mod_revision));
}

static json_t *compare_value(struct span key, struct span value)
{
	return json_pack("{s:o,s:s,s:s,s:o}", "key", coded(key), "target", "VALUE", "result",
			 "EQUAL", "value", coded(value));
}

static json_t *op_put(struct span key, struct span value)
{
	return json_pack("{s:{s:o,s:o}}", "request_put", "key", coded(key), "value", coded(value));
}

static json_t *op_range(struct span key)
{
	return json_pack("{s:o}", "request_range", range(key));
}

char *etcd_cas(struct span key, uint64_t compared, struct span old, struct span value)
{
	json_t *compares = json_pack("[o]", compare(key, compared));

	if (compares && old.p && json_array_append_new(compares, compare_value(key, old)) < 0) {
		json_decref(compares);
		return NULL;
	}
	return body(json_pack("{s:o,s:[o,o],s:[o]}", "compare", compares, "success",
			      op_put(key, value), op_range(key), "failure", op_range(key)));
}

char *etcd_create(const struct etcd_compared *guards, size_t guard_count,
		  const struct etcd_put *items, size_t item_count)
{
	json_t *compares = json_array();
	json_t *puts = json_array();
	json_t *shown = json_array();
	bool ok = compares && puts && shown;

	for (size_t i = 0; ok && i < guard_count; i++)
		ok = json_array_append_new(compares,
					   compare(guards[i].key, guards[i].mod_revision)) == 0 &&
		     json_array_append_new(shown, op_range(guards[i].key)) == 0;
	for (size_t i = 0; ok && i < item_count; i++)
		ok = json_array_append_new(
			     puts,
			     op_put(items[i].key, (struct span){items[i].value, items[i].n})) == 0;
	ok = ok && json_array_append_new(puts, op_range(items[item_count - 1].key)) == 0;
	if (!ok) {
		json_decref(compares);
		json_decref(puts);
		json_decref(shown);
		return NULL;
	}
	return body(
		json_pack("{s:o,s:o,s:o}", "compare", compares, "success", puts, "failure", shown));
}

char *etcd_grant(uint64_t seconds)
{
	return body(json_pack("{s:o}", "TTL", decimal(seconds)));
}

char *etcd_keepalive(uint64_t lease)
{
	return body(json_pack("{s:o}", "ID", decimal(lease)));
}

char *etcd_put(struct span key, struct span value, uint64_t lease)
{
	return body(json_pack("{s:o,s:o,s:o}", "key", coded(key), "value", coded(value), "lease",
			      decimal(lease)));
}

char *etcd_authenticate(const char *user, const char *password)
{
	return body(json_pack("{s:s,s:s}", "name", user, "password", password));
}

/* ---- what it answers ---- */

/* A number, or a string of one; what is left out is 0. */
static uint64_t number(json_t *j)
{
	if (json_is_integer(j) && json_integer_value(j) >= 0)
		return (uint64_t)json_integer_value(j);
	return json_is_string(j) ? strtoull(json_string_value(j), NULL, 10) : 0;
}

static char *bytes(json_t *j, size_t *ret_n)
{
	if (!json_is_string(j))
		return base64_read("", 0, ret_n);
	return base64_read(json_string_value(j), json_string_length(j), ret_n);
}

static int items_read(json_t *kvs, struct etcd_reply *r)
{
	size_t n = json_array_size(kvs);
	struct etcd_item *more;

	if (!n)
		return 0;
	more = realloc(r->items, (r->item_count + n) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	r->items = more;
	for (size_t i = 0; i < n; i++) {
		json_t *kv = json_array_get(kvs, i);
		struct etcd_item *x = &r->items[r->item_count++];

		x->key = bytes(json_object_get(kv, "key"), &x->key_n);
		x->value = bytes(json_object_get(kv, "value"), &x->n);
		x->mod_revision = number(json_object_get(kv, "mod_revision"));
		if (!x->key || !x->value || !x->key_n || !x->mod_revision)
			return -EBADMSG;
	}
	return 0;
}

static int answer_read(json_t *j, struct etcd_reply *r)
{
	json_t *responses = json_object_get(j, "responses");
	json_t *header;
	const char *text;
	int e;

	if (json_is_object(json_object_get(j, "result"))) /* one of a stream */
		j = json_object_get(j, "result");
	text = json_string_value(json_object_get(j, "error"));
	if (text) {
		r->code = (int)number(json_object_get(j, "code"));
		(void)snprintf(r->error, sizeof(r->error), "%s", text);
		return 0;
	}
	header = json_object_get(j, "header");
	r->cluster = number(json_object_get(header, "cluster_id"));
	r->revision = number(json_object_get(header, "revision"));
	r->succeeded = json_is_true(json_object_get(j, "succeeded"));
	r->lease = number(json_object_get(j, "ID"));
	r->ttl = number(json_object_get(j, "TTL"));
	text = json_string_value(json_object_get(j, "token"));
	if (text) {
		r->token = strdup(text);
		if (!r->token)
			return -ENOMEM;
	}
	e = items_read(json_object_get(j, "kvs"), r);
	for (size_t i = 0; e == 0 && i < json_array_size(responses); i++)
		e = items_read(json_object_get(json_object_get(json_array_get(responses, i),
							       "response_range"),
					       "kvs"),
			       r);
	return e == 0 && !r->cluster ? -EBADMSG : e;
}

int etcd_reply_read(const char *text, size_t n, struct etcd_reply *ret)
{
	json_t *j = json_loadb(text, n, 0, NULL);
	int e = -EBADMSG;

	memset(ret, 0, sizeof(*ret));
	if (json_is_object(j))
		e = answer_read(j, ret);
	json_decref(j);
	return e;
}

void etcd_reply_fini(struct etcd_reply *r)
{
	for (size_t i = 0; i < r->item_count; i++) {
		free(r->items[i].key);
		free(r->items[i].value);
	}
	free(r->items);
	free(r->token);
	memset(r, 0, sizeof(*r));
}

const struct etcd_item *etcd_reply_find(const struct etcd_reply *r, struct span key)
{
	for (size_t i = 0; i < r->item_count; i++)
		if (span_equal((struct span){r->items[i].key, r->items[i].key_n}, key))
			return &r->items[i];
	return NULL;
}
