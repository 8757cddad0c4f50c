/* A bucket in memory for functions, and calls on it with arguments and results as text. */
#ifndef PAIL_FUNCTION_FIXTURE_H
#define PAIL_FUNCTION_FIXTURE_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "functions/functions.h"

#define FIXTURE_KEYS   20000u
#define FIXTURE_WRITES 4096u
#define FIXTURE_NOW_MS 1700000000000u

enum { FIXTURE_NO_BUCKET = 7, FIXTURE_TOO_LARGE = 9 };

struct fixture_item {
	char *key;
	size_t key_len;
	char *value;
	size_t value_len;
	uint64_t version;
	uint64_t expires_ms;
};

/* One bucket, sorted by key.  A call works on it; what failed is put back from a copy. */
struct fixture_bucket {
	struct fixture_item *item;
	size_t count;
	uint64_t version;
	uint64_t now_ms;
	bool there;
	unsigned writes;
	char log[8192];
};

static char *fixture_copy(struct span s)
{
	char *p = malloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

static struct span fixture_key(const struct fixture_item *i)
{
	return (struct span){i->key, i->key_len};
}

/* The first item that is not before this key. */
static size_t fixture_at(const struct fixture_bucket *b, struct span key)
{
	size_t low = 0;
	size_t high = b->count;

	while (low < high) {
		size_t i = low + (high - low) / 2;

		if (span_compare(fixture_key(&b->item[i]), key) < 0)
			low = i + 1;
		else
			high = i;
	}
	return low;
}

static bool fixture_live(const struct fixture_bucket *b, size_t i)
{
	return !b->item[i].expires_ms || b->item[i].expires_ms > b->now_ms;
}

static struct fixture_item *fixture_find(const struct fixture_bucket *b, struct span key)
{
	size_t i = fixture_at(b, key);

	return i < b->count && span_equal(fixture_key(&b->item[i]), key) && fixture_live(b, i)
		       ? &b->item[i]
		       : NULL;
}

static void fixture_remove(struct fixture_bucket *b, size_t i)
{
	free(b->item[i].key);
	free(b->item[i].value);
	b->count--;
	memmove(&b->item[i], &b->item[i + 1], (b->count - i) * sizeof(b->item[0]));
}

static enum functions_done fixture_missing(struct functions_error *e)
{
	e->code = FIXTURE_NO_BUCKET;
	(void)snprintf(e->text, sizeof(e->text), "no_bucket: there is no such bucket");
	return FUNCTIONS_FAILED_OP;
}

static enum functions_done fixture_write(struct fixture_bucket *b, struct functions_error *e)
{
	if (!b->there)
		return fixture_missing(e);
	if (++b->writes <= FIXTURE_WRITES)
		return FUNCTIONS_DONE;
	e->code = FIXTURE_TOO_LARGE;
	(void)snprintf(e->text, sizeof(e->text), "too_large: more than %u writes", FIXTURE_WRITES);
	return FUNCTIONS_FAILED_OP;
}

static enum functions_done fixture_get(void *arg, struct span key, struct functions_item *ret,
				       struct functions_error *e)
{
	struct fixture_bucket *b = arg;
	struct fixture_item *i = fixture_find(b, key);

	if (!b->there)
		return fixture_missing(e);
	if (!i)
		return FUNCTIONS_NONE;
	ret->value = (struct span){i->value, i->value_len};
	ret->version = i->version;
	return FUNCTIONS_DONE;
}

static bool fixture_holds(const struct fixture_item *i, const struct functions_condition *c,
			  struct functions_item *ret)
{
	ret->version = i ? i->version : 0;
	return !(c->if_absent && i) && !(c->if_version && c->version != ret->version);
}

static enum functions_done fixture_put(void *arg, struct span key, struct span value,
				       uint64_t ttl_ms, const struct functions_condition *c,
				       struct functions_item *ret, struct functions_error *e)
{
	struct fixture_bucket *b = arg;
	size_t at;

	if (!b->there)
		return fixture_missing(e);
	if (!fixture_holds(fixture_find(b, key), c, ret))
		return FUNCTIONS_CONFLICT;
	if (fixture_write(b, e) != FUNCTIONS_DONE)
		return FUNCTIONS_FAILED_OP;
	at = fixture_at(b, key);
	if (at < b->count && span_equal(fixture_key(&b->item[at]), key))
		fixture_remove(b, at);
	if (b->count == FIXTURE_KEYS)
		abort();
	memmove(&b->item[at + 1], &b->item[at], (b->count - at) * sizeof(b->item[0]));
	b->count++;
	b->item[at] = (struct fixture_item){fixture_copy(key),   key.n,
					    fixture_copy(value), value.n,
					    ++b->version,        ttl_ms ? b->now_ms + ttl_ms : 0};
	ret->version = b->version;
	return FUNCTIONS_DONE;
}

static enum functions_done fixture_touch(void *arg, struct span key, uint64_t ttl_ms,
					 struct functions_item *ret, struct functions_error *e)
{
	struct fixture_bucket *b = arg;
	struct fixture_item *i = fixture_find(b, key);

	if (!b->there)
		return fixture_missing(e);
	if (!i)
		return FUNCTIONS_NONE;
	if (fixture_write(b, e) != FUNCTIONS_DONE)
		return FUNCTIONS_FAILED_OP;
	i->expires_ms = ttl_ms ? b->now_ms + ttl_ms : 0;
	ret->version = i->version = ++b->version;
	return FUNCTIONS_DONE;
}

static enum functions_done fixture_delete(void *arg, struct span key,
					  const struct functions_condition *c,
					  struct functions_item *ret, struct functions_error *e)
{
	struct fixture_bucket *b = arg;
	struct fixture_item *i = fixture_find(b, key);

	if (!b->there)
		return fixture_missing(e);
	if (!fixture_holds(i, c, ret))
		return FUNCTIONS_CONFLICT;
	if (!i)
		return FUNCTIONS_NONE;
	if (fixture_write(b, e) != FUNCTIONS_DONE)
		return FUNCTIONS_FAILED_OP;
	b->version++;
	fixture_remove(b, (size_t)(i - b->item));
	return FUNCTIONS_DONE;
}

static bool fixture_in_range(struct span k, const struct functions_range *r)
{
	return (!r->prefix.p || span_begins(k, r->prefix)) &&
	       (!r->from.p || span_compare(k, r->from) >= 0) &&
	       (!r->to.p || span_compare(k, r->to) < 0) &&
	       (!r->after.p ||
		(r->reverse ? span_compare(k, r->after) < 0 : span_compare(k, r->after) > 0));
}

static enum functions_done fixture_scan(void *arg, const struct functions_range *r,
					struct functions_item *ret, struct functions_error *e)
{
	struct fixture_bucket *b = arg;

	if (!b->there)
		return fixture_missing(e);
	for (size_t n = 0; n < b->count; n++) {
		size_t i = r->reverse ? b->count - 1 - n : n;

		if (!fixture_live(b, i) || !fixture_in_range(fixture_key(&b->item[i]), r))
			continue;
		ret->key = fixture_key(&b->item[i]);
		ret->value = (struct span){b->item[i].value, b->item[i].value_len};
		ret->version = b->item[i].version;
		return FUNCTIONS_DONE;
	}
	return FUNCTIONS_NONE;
}

static enum functions_done fixture_count(void *arg, uint64_t *ret, struct functions_error *e)
{
	struct fixture_bucket *b = arg;

	if (!b->there)
		return fixture_missing(e);
	*ret = 0;
	for (size_t i = 0; i < b->count; i++)
		*ret += fixture_live(b, i);
	return FUNCTIONS_DONE;
}

static enum functions_done fixture_exists(void *arg, bool *ret, struct functions_error *e)
{
	(void)e;
	*ret = ((struct fixture_bucket *)arg)->there;
	return FUNCTIONS_DONE;
}

static enum functions_done fixture_create(void *arg, bool *ret, struct functions_error *e)
{
	struct fixture_bucket *b = arg;

	(void)e;
	*ret = !b->there;
	b->there = true;
	return FUNCTIONS_DONE;
}

static void fixture_log(void *arg, const char *module, struct span line)
{
	struct fixture_bucket *b = arg;
	size_t n = strlen(b->log);

	(void)snprintf(b->log + n, sizeof(b->log) - n, "%s: %.*s\n", module, (int)line.n, line.p);
}

static const struct functions_ops fixture_ops = {fixture_get,    fixture_put,    fixture_touch,
						 fixture_delete, fixture_scan,   fixture_count,
						 fixture_exists, fixture_create, fixture_log};

/* ---- the bucket as a whole ---- */

static void fixture_init(struct fixture_bucket *b)
{
	memset(b, 0, sizeof(*b));
	b->item = calloc(FIXTURE_KEYS + 1, sizeof(b->item[0]));
	b->there = true;
	b->now_ms = FIXTURE_NOW_MS;
}

static void fixture_clear(struct fixture_bucket *b)
{
	while (b->count)
		fixture_remove(b, b->count - 1);
}

static inline void fixture_fini(struct fixture_bucket *b)
{
	fixture_clear(b);
	free(b->item);
}

/* Make `to` what `from` is. */
static void fixture_assign(struct fixture_bucket *to, const struct fixture_bucket *from)
{
	fixture_clear(to);
	for (size_t i = 0; i < from->count; i++) {
		const struct fixture_item *x = &from->item[i];

		to->item[i] = *x;
		to->item[i].key = fixture_copy(fixture_key(x));
		to->item[i].value = fixture_copy((struct span){x->value, x->value_len});
	}
	to->count = from->count;
	to->version = from->version;
	to->there = from->there;
}

/* ---- calls ---- */

#define FIXTURE_RESULT_BYTES (1u << 20)

struct fixture_reply {
	struct functions_reply reply;
	enum functions_status status;
	uint64_t us;
	char room[FIXTURE_RESULT_BYTES];
};

/* Call; what a call that failed had written is undone.  `args`: MessagePack. */
static inline void fixture_call(struct functions *f, struct fixture_bucket *b, const char *module,
				const char *function, const char *args, struct fixture_reply *r)
{
	struct functions_request q = {.module = span_of(module),
				      .function = span_of(function),
				      .bucket = span_of("fruit"),
				      .args = args,
				      .now_ms = b->now_ms,
				      .ops = &fixture_ops,
				      .ops_arg = b};
	struct fixture_bucket before;
	uint64_t start;

	fixture_init(&before);
	fixture_assign(&before, b);
	b->writes = 0;
	b->log[0] = '\0';
	r->reply.result = r->room;
	r->reply.result_size = sizeof(r->room);
	start = clock_us();
	r->status = functions_call(f, &q, &r->reply);
	r->us = clock_us() - start;
	if (r->status != FUNCTIONS_OK)
		fixture_assign(b, &before);
	fixture_fini(&before);
}

/* ---- results as text: b"..." bytes, "..." str ---- */

#define FIXTURE_TEXT_BYTES (4u << 20)

struct fixture_show {
	char *text;
	size_t n;
	bool bad;
};

static uint64_t fixture_number(const char **p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | (uint8_t) * (*p)++;
	return v;
}

static void fixture_say(struct fixture_show *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void fixture_say(struct fixture_show *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s->text + s->n, FIXTURE_TEXT_BYTES - s->n, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= FIXTURE_TEXT_BYTES - s->n)
		s->bad = true;
	else
		s->n += (size_t)n;
}

static const char *fixture_bytes(struct fixture_show *s, const char *p, size_t n, bool bin)
{
	fixture_say(s, "%s\"", bin ? "b" : "");
	for (size_t i = 0; i < n; i++)
		fixture_say(s, p[i] >= ' ' && p[i] < 127 ? "%c" : "\\x%02x", (uint8_t)p[i]);
	fixture_say(s, "\"");
	return p + n;
}

static const char *fixture_show(struct fixture_show *s, const char *p);

static const char *fixture_list(struct fixture_show *s, const char *p, size_t n, bool map)
{
	fixture_say(s, map ? "{" : "[");
	for (size_t i = 0; i < n; i++) {
		fixture_say(s, i ? "," : "");
		p = fixture_show(s, p);
		if (map) {
			fixture_say(s, ":");
			p = fixture_show(s, p);
		}
	}
	fixture_say(s, map ? "}" : "]");
	return p;
}

static const char *fixture_show(struct fixture_show *s, const char *p)
{
	uint8_t c = (uint8_t)*p++;
	unsigned n = 1u << (c & 3); /* bytes of an integer */
	uint64_t v;
	double d;

	if (c < 0x80 || c >= 0xe0) {
		fixture_say(s, "%d", (int8_t)c);
	} else if (c < 0x90) {
		p = fixture_list(s, p, c & 15, true);
	} else if (c < 0xa0) {
		p = fixture_list(s, p, c & 15, false);
	} else if (c < 0xc0) {
		p = fixture_bytes(s, p, c & 31, false);
	} else if (c == 0xc0 || c == 0xc2 || c == 0xc3) {
		fixture_say(s, "%s", c == 0xc0 ? "nil" : c == 0xc2 ? "false" : "true");
	} else if (c >= 0xc4 && c <= 0xc6) {
		v = fixture_number(&p, 1u << (c - 0xc4));
		p = fixture_bytes(s, p, v, true);
	} else if (c == 0xcb) {
		v = fixture_number(&p, 8);
		memcpy(&d, &v, 8);
		fixture_say(s, "%.17gf", d);
	} else if (c >= 0xcc && c <= 0xcf) {
		fixture_say(s, "%llu", (unsigned long long)fixture_number(&p, n));
	} else if (c >= 0xd0 && c <= 0xd3) {
		v = fixture_number(&p, n) << (64 - 8 * n);
		fixture_say(s, "%lld", (long long)((int64_t)v >> (64 - 8 * n)));
	} else if (c >= 0xd9 && c <= 0xdb) {
		v = fixture_number(&p, 1u << (c - 0xd9));
		p = fixture_bytes(s, p, v, false);
	} else if (c >= 0xdc && c <= 0xdf) {
		v = fixture_number(&p, c & 1 ? 4 : 2);
		p = fixture_list(s, p, v, c >= 0xde);
	} else {
		s->bad = true;
	}
	return p;
}

/* The result as text, nothing if there is none; false: it is not one whole value. */
static inline bool fixture_text(const struct fixture_reply *r, char *text)
{
	struct fixture_show s = {text, 0, false};

	text[0] = '\0';
	return r->status != FUNCTIONS_OK ||
	       (fixture_show(&s, r->room) == r->room + r->reply.n && !s.bad);
}

#define FIXTURE_CONFIG                                                        \
	{                                                                     \
		.node = "foo@host", .time_ms = 50, .memory_bytes = 64u << 20, \
		.value_max = 8u << 20                                         \
	}

#endif
