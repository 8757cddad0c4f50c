/* A reader of one JSON object a line, in place; and the writers. */
#include "cli/lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define VERSION    1u /* of the format */
#define READ_BYTES (1u << 18)
#define LINE_BYTES \
	(512u << 20) /* six for each byte of a value of 64 MiB, and more: no line is longer */

/* ---- writing ---- */

void line_write_head(struct buf *b, const char *scope)
{
	buf_fmt(b, "{\"export\":{\"version\":%u,\"scope\":\"%s\"}}\n", VERSION, scope);
}

void line_write_bucket(struct buf *b, struct pail_bytes name)
{
	buf_text(b, "{");
	cli_json_field(b, "bucket", name);
	buf_text(b, "}\n");
}

void line_write_key(struct buf *b, const struct pail_item *i)
{
	buf_text(b, "{");
	cli_json_field(b, "key", i->key);
	buf_text(b, ",");
	cli_json_field(b, "value", i->value);
	if (i->ttl_ms)
		buf_fmt(b, ",\"ttl\":%llu", (unsigned long long)i->ttl_ms);
	buf_text(b, "}\n");
}

void line_write_end(struct buf *b, uint64_t buckets, uint64_t keys, uint64_t time_ms)
{
	buf_fmt(b, "{\"end\":{\"buckets\":%llu,\"keys\":%llu,\"time\":%llu}}\n",
		(unsigned long long)buckets, (unsigned long long)keys, (unsigned long long)time_ms);
}

/* ---- JSON, in place: what is decoded is never longer than what it is made of ---- */

struct json {
	char *p;
	const char *end;
	const char *why; /* NULL: nothing was wrong so far */
};

static void blanks(struct json *j)
{
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\r'))
		j->p++;
}

static bool take(struct json *j, char c)
{
	blanks(j);
	if (j->p == j->end || *j->p != c)
		return false;
	j->p++;
	return true;
}

static void want(struct json *j, char c, const char *why)
{
	if (!j->why && !take(j, c))
		j->why = why;
}

/* Four digits of a \u. */
static bool unit(struct json *j, unsigned *ret)
{
	*ret = 0;
	if (j->end - j->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		int d = cli_digit(*j->p++);

		if (d < 0)
			return false;
		*ret = *ret << 4 | (unsigned)d;
	}
	return true;
}

static char *utf8_write(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 63));
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 63));
		}
		*to++ = (char)(0x80 | (c >> 6 & 63));
		*to++ = (char)(0x80 | (c & 63));
	}
	return to;
}

/* Behind a backslash. */
static char *escape(struct json *j, char *to)
{
	static const char from[] = "\"\\/bfnrt";
	static const char into[] = "\"\\/\b\f\n\r\t";
	const char *known = strchr(from, *j->p);
	unsigned c;
	unsigned low;

	if (*j->p && known) {
		j->p++;
		*to++ = into[known - from];
		return to;
	}
	if (*j->p++ != 'u' || !unit(j, &c)) {
		j->why = "an escape that JSON does not have";
		return to;
	}
	if (c >= 0xd800 && c < 0xdc00) {
		if (j->end - j->p < 6 || j->p[0] != '\\' || j->p[1] != 'u')
			c = 0xdc00;
		else
			j->p += 2;
		if (c == 0xdc00 || !unit(j, &low) || low < 0xdc00 || low > 0xdfff)
			c = 0xdc00;
		else
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (c >= 0xdc00 && c < 0xe000)
		j->why = "half of a surrogate pair";
	return utf8_write(to, c);
}

static struct pail_bytes string(struct json *j)
{
	char *begin;
	char *to;

	want(j, '"', "a string is wanted");
	begin = j->p;
	to = j->p;
	while (!j->why && j->p < j->end && *j->p != '"') {
		if (*j->p != '\\') {
			*to++ = *j->p++;
			continue;
		}
		j->p++;
		if (j->p < j->end)
			to = escape(j, to);
	}
	want(j, '"', "a string does not end");
	return (struct pail_bytes){begin, (size_t)(to - begin)};
}

static int base64_digit(char c)
{
	return c >= 'A' && c <= 'Z'   ? c - 'A'
	       : c >= 'a' && c <= 'z' ? c - 'a' + 26
	       : c >= '0' && c <= '9' ? c - '0' + 52
	       : c == '+'             ? 62
	       : c == '/'             ? 63
				      : -1;
}

static void base64_read(struct json *j, struct pail_bytes *b)
{
	char *s = (char *)(uintptr_t)b->data;
	size_t n = b->size;
	size_t out = 0;
	unsigned bits = 0;
	unsigned left = 0;

	if (n % 4)
		j->why = "base64 of another length";
	while (n && b->size - n < 2 && s[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n && !j->why; i++) {
		int d = base64_digit(s[i]);

		if (d < 0)
			j->why = "no base64";
		bits = bits << 6 | ((unsigned)d & 63);
		left += 6;
		if (left >= 8) {
			left -= 8;
			s[out++] = (char)(bits >> left);
		}
	}
	b->size = out;
}

static uint64_t number(struct json *j)
{
	uint64_t n = 0;
	bool any = false;

	blanks(j);
	for (; !j->why && j->p < j->end && *j->p >= '0' && *j->p <= '9'; j->p++, any = true) {
		if (n > (UINT64_MAX - 9) / 10)
			j->why = "a number that is too large";
		n = 10 * n + (uint64_t)(*j->p - '0');
	}
	if (!j->why && !any)
		j->why = "a number is wanted";
	return n;
}

/* ---- objects ---- */

static bool is(struct pail_bytes name, const char *s)
{
	return name.size == strlen(s) && !memcmp(name.data, s, name.size);
}

enum { HAS_BUCKET = 1, HAS_KEY = 2, HAS_VALUE = 4, HAS_TTL = 8, HAS_END = 16, HAS_HEAD = 32 };

/* A text, or what it is in base64. */
static bool member_bytes(struct json *j, struct pail_bytes name, const char *plain,
			 struct pail_bytes *ret)
{
	size_t n = strlen(plain);
	bool coded = name.size == n + 7 && !memcmp((const char *)name.data + n, "_base64", 7);

	if (name.size < n || memcmp(name.data, plain, n) != 0 || (name.size != n && !coded))
		return false;
	*ret = string(j);
	if (coded && !j->why)
		base64_read(j, ret);
	return true;
}

static void end_read(struct json *j, struct line *l)
{
	want(j, '{', "the end is no object");
	while (!j->why) {
		struct pail_bytes name = string(j);

		want(j, ':', "a colon is wanted");
		if (is(name, "buckets"))
			l->buckets = number(j);
		else if (is(name, "keys"))
			l->keys = number(j);
		else if (is(name, "time"))
			(void)number(j);
		else if (!j->why)
			j->why = "the end has a member of another name";
		if (!take(j, ','))
			break;
	}
	want(j, '}', "the end does not end");
}

static void head_read(struct json *j, struct line *l)
{
	uint64_t version = 0;

	want(j, '{', "the head is no object");
	while (!j->why) {
		struct pail_bytes name = string(j);

		want(j, ':', "a colon is wanted");
		if (is(name, "version"))
			version = number(j);
		else if (is(name, "scope"))
			l->scope = string(j);
		else if (!j->why)
			j->why = "the head has a member of another name";
		if (!take(j, ','))
			break;
	}
	want(j, '}', "the head does not end");
	if (!j->why && version != VERSION)
		j->why = "an export of another version";
}

static unsigned member(struct json *j, struct line *l)
{
	struct pail_bytes name = string(j);

	want(j, ':', "a colon is wanted");
	if (j->why)
		return 0;
	if (member_bytes(j, name, "bucket", &l->bucket))
		return HAS_BUCKET;
	if (member_bytes(j, name, "key", &l->key))
		return HAS_KEY;
	if (member_bytes(j, name, "value", &l->value))
		return HAS_VALUE;
	if (is(name, "ttl")) {
		l->ttl_ms = number(j);
		if (!j->why && !l->ttl_ms)
			j->why = "a ttl is at least 1";
		return HAS_TTL;
	}
	if (is(name, "end")) {
		end_read(j, l);
		return HAS_END;
	}
	if (is(name, "export")) {
		head_read(j, l);
		return HAS_HEAD;
	}
	j->why = "a member of another name than bucket, key, value, ttl, end, export";
	return 0;
}

/* One line into *l.  NULL, or what is wrong with it. */
static const char *line_read(char *p, size_t n, struct line *l)
{
	struct json j = {p, p + n, NULL};
	unsigned has = 0;

	memset(l, 0, sizeof(*l));
	want(&j, '{', "no JSON object");
	while (!j.why) {
		unsigned one = member(&j, l);

		if (has & one)
			j.why = "a member comes twice";
		has |= one;
		if (!take(&j, ','))
			break;
	}
	want(&j, '}', "the object does not end");
	blanks(&j);
	if (!j.why && j.p != j.end)
		j.why = "something behind the object";
	if (j.why)
		return j.why;
	if (has == HAS_BUCKET)
		l->kind = LINE_BUCKET;
	else if (has == HAS_HEAD)
		l->kind = LINE_HEAD;
	else if (has == HAS_END)
		l->kind = LINE_END;
	else if ((has & ~(unsigned)HAS_TTL) == (HAS_KEY | HAS_VALUE))
		l->kind = LINE_KEY;
	else
		return "neither a bucket, nor a key with its value, nor the end";
	return NULL;
}

/* ---- the file ---- */

void line_reader_init(struct line_reader *r, const char *name, int fd)
{
	memset(r, 0, sizeof(*r));
	r->name = name;
	r->fd = fd;
	buf_init(&r->data);
}

void line_reader_fini(struct line_reader *r)
{
	buf_fini(&r->data);
}

static int reader_fail(struct line_reader *r, const char *why)
{
	(void)snprintf(r->why, sizeof(r->why), "%.80s:%llu: %.60s", r->name,
		       (unsigned long long)r->number + 1, why);
	return -1;
}

/* More bytes behind what is there.  How many, or -1. */
static ssize_t reader_fill(struct line_reader *r)
{
	ssize_t n;
	char *p;

	if (r->at) {
		memmove(r->data.data, r->data.data + r->at, r->data.len - r->at);
		r->data.len -= r->at;
		r->at = 0;
	}
	if (r->data.len > LINE_BYTES)
		return reader_fail(r, "a line that is too long");
	p = buf_room(&r->data, READ_BYTES);
	if (!p)
		return reader_fail(r, "no memory");
	do
		n = read(r->fd, p, READ_BYTES);
	while (n < 0 && errno == EINTR && !cli_interrupted());
	if (n < 0)
		return reader_fail(r, strerror(errno));
	r->data.len += (size_t)n;
	return n;
}

int line_next(struct line_reader *r, struct line *ret)
{
	size_t looked = 0;

	for (;;) {
		char *begin = r->data.data + r->at;
		size_t n = r->data.len - r->at;
		char *end = n > looked ? memchr(begin + looked, '\n', n - looked) : NULL;
		const char *why;
		ssize_t k;

		if (!end) {
			looked = n;
			k = reader_fill(r);
			r->cut = k == 0 && n;
			if (k <= 0)
				return (int)k;
			continue;
		}
		n = (size_t)(end - begin);
		looked = 0;
		why = strspn(begin, " \t\r") < n ? line_read(begin, n, ret) : "";
		if (why && *why)
			return reader_fail(r, why);
		r->at += n + 1;
		r->offset += n + 1;
		r->number++;
		if (!why)
			return 1;
	}
}
