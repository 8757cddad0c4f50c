/* Reading the head of an HTTP/1 request. */
#include "gateway/http_head.h"

#include <string.h>
#include <strings.h>

struct text {
	const char *p;
	size_t n;
};

static bool same(struct text t, const char *word)
{
	return t.n == strlen(word) && !strncasecmp(t.p, word, t.n);
}

/* What stands before `end`; *t goes on behind it, or is empty if there is none. */
static struct text before(struct text *t, char end)
{
	const char *at = t->n ? memchr(t->p, end, t->n) : NULL;
	struct text r = {t->p, at ? (size_t)(at - t->p) : t->n};

	t->p += r.n + (at != NULL);
	t->n -= r.n + (at != NULL);
	return r;
}

static struct text trimmed(struct text t)
{
	while (t.n && (*t.p == ' ' || *t.p == '\t')) {
		t.p++;
		t.n--;
	}
	while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
		t.n--;
	return t;
}

/* Digits alone, at most 2^64-1. */
static bool number(struct text t, uint64_t *ret)
{
	uint64_t v = 0;

	if (!t.n)
		return false;
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] < '0' || t.p[i] > '9' || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(t.p[i] - '0'), &v))
			return false;
	}
	*ret = v;
	return true;
}

/* "q=0", "q=0.0"...: not wanted. */
static bool refuses(struct text parameters)
{
	while (parameters.n) {
		struct text p = trimmed(before(&parameters, ';'));
		bool zero = p.n > 2 && (p.p[0] == 'q' || p.p[0] == 'Q') && p.p[1] == '=';

		for (size_t i = 2; zero && i < p.n; i++)
			zero = p.p[i] == '0' || p.p[i] == '.';
		if (zero)
			return true;
	}
	return false;
}

static bool accepts_openmetrics(struct text value)
{
	while (value.n) {
		struct text one = before(&value, ',');
		struct text type = trimmed(before(&one, ';'));

		if (same(type, "application/openmetrics-text"))
			return !refuses(one);
	}
	return false;
}

/* Control characters have no place in a head but CR and LF at the ends of lines, and tabs. */
static bool is_clean(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if ((c < 0x20 && c != '\r' && c != '\n' && c != '\t') || c == 0x7f)
			return false;
		if (c == '\r' && (i + 1 == n || p[i + 1] != '\n'))
			return false;
		if (c == '\n' && (!i || p[i - 1] != '\r'))
			return false;
	}
	return true;
}

static struct text line_take(struct text *t)
{
	struct text l = before(t, '\n');

	l.n -= l.n && l.p[l.n - 1] == '\r';
	return l;
}

/* Of the first line. */
static int target_read(struct text target, struct http_head *ret)
{
	struct text query = target;
	struct text path = before(&query, '?');

	if (!path.n || *path.p != '/')
		return 400;
	if (path.n >= sizeof(ret->path))
		return 414;
	memcpy(ret->path, path.p, path.n);
	ret->path[path.n] = '\0';
	while (query.n) {
		struct text value = before(&query, '&');
		struct text name = before(&value, '=');

		if (same(name, "since") && !number(value, &ret->since))
			return 400;
	}
	return 0;
}

static int field_read(struct text line, struct http_head *ret)
{
	struct text value = line;
	struct text name = before(&value, ':');
	uint64_t n;

	if (!name.n || name.n == line.n || name.p[name.n - 1] == ' ' || *name.p == ' ' ||
	    *name.p == '\t')
		return 400;
	value = trimmed(value);
	if (same(name, "content-length")) {
		if (!number(value, &n))
			return 400;
		return n ? 413 : 0;
	}
	if (same(name, "transfer-encoding"))
		return 413;
	if (same(name, "accept"))
		ret->openmetrics |= accepts_openmetrics(value);
	while (same(name, "connection") && value.n) {
		struct text one = trimmed(before(&value, ','));

		if (same(one, "close"))
			ret->keep = false;
		else if (same(one, "keep-alive"))
			ret->keep = true;
	}
	return 0;
}

int http_head_read(const char *data, size_t n, struct http_head *ret)
{
	struct text rest = {data, n};
	struct text first = line_take(&rest);
	struct text method = before(&first, ' ');
	struct text target = before(&first, ' ');
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!is_clean(data, n) || !method.n || !target.n || first.n != strlen("HTTP/1.1") ||
	    strncmp(first.p, "HTTP/", 5) != 0)
		return 400;
	if (strncmp(first.p + 5, "1.1", 3) != 0 && strncmp(first.p + 5, "1.0", 3) != 0)
		return 505;
	ret->keep = first.p[7] == '1';
	ret->head_only = method.n == 4 && !memcmp(method.p, "HEAD", 4);
	if (!ret->head_only && !(method.n == 3 && !memcmp(method.p, "GET", 3)))
		return 405;
	r = target_read(target, ret);
	while (r == 0 && rest.n) {
		struct text line = line_take(&rest);

		if (line.n)
			r = field_read(line, ret);
	}
	return r;
}
