/* A right by itself, and what follows from those of a client. */
#include <stdio.h>
#include <string.h>

#include "coordinator/security/rights.h"
#include "coordinator/security/rights_impl.h"

static const struct right_word {
	unsigned right;
	const char *text;
} words[] = {
	{RIGHT_READ,   "read"  },
        {RIGHT_WRITE,  "write" },
        {RIGHT_CREATE, "create"},
	{RIGHT_CALL,   "call"  },
        {RIGHT_ADMIN,  "admin" },
};

#define WORDS (sizeof(words) / sizeof(words[0]))

static bool same(const struct rights_client *a, const struct rights_client *b)
{
	if (strcmp(a->name, b->name) != 0 || a->grants != b->grants)
		return false;
	for (uint32_t i = 0; i < a->grants; i++) {
		const struct grant *x = &a->grant[i];
		const struct grant *y = &b->grant[i];

		if (x->right != y->right || x->prefix != y->prefix || x->size != y->size ||
		    memcmp(x->bucket, y->bucket, x->size) != 0)
			return false;
	}
	return true;
}

struct rights_changes rights_compare(const struct rights *from, const struct rights *to)
{
	struct rights_changes r = {0, 0, 0};

	for (uint32_t i = 0; i < rights_count(to); i++) {
		const struct rights_client *now = rights_at(to, i);
		const struct rights_client *was = rights_find(from, span_of(now->key));

		r.added += !was;
		r.changed += was && !same(was, now);
	}
	r.removed = rights_count(from) + r.added - rights_count(to);
	return r;
}

/* ---- as text ---- */

static int hex_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static const char *bucket_read(struct span text, char *bytes, struct grant *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '*' && i + 1 == text.n) {
			ret->prefix = true;
			break;
		}
		if (c == '*')
			return "has a * before its end: the last character may be one, and stands "
			       "for whatever follows; * itself is written %2A";
		if (c == '%') {
			int high = i + 2 < text.n ? hex_of(text.p[i + 1]) : -1;
			int low = i + 2 < text.n ? hex_of(text.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return "has a % in it that no two hexadecimal digits follow; % "
				       "itself is written %25";
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (n == WIRE_BUCKET_MAX)
			return "is of a bucket with more than 255 bytes, which there cannot be";
		bytes[n++] = c;
	}
	ret->size = (uint8_t)n;
	return NULL;
}

const char *grant_read(struct span token, char *bytes, struct grant *ret)
{
	const char *colon = memchr(token.p, ':', token.n);
	struct span word;
	struct span bucket;

	if (!colon)
		return "is no right: one is written RIGHT:BUCKET, as read:orders.*";
	word = (struct span){token.p, (size_t)(colon - token.p)};
	bucket = (struct span){colon + 1, token.n - word.n - 1};
	*ret = (struct grant){.bucket = bytes};
	for (size_t i = 0; i < WORDS; i++)
		if (span_equal(word, span_of(words[i].text)))
			ret->right = words[i].right;
	if (!ret->right)
		return "is no right: those are read, write, create, call and admin";
	if (!bucket.n)
		return "names no bucket: * stands for all";
	if (ret->right == RIGHT_ADMIN && !span_equal(bucket, span_of("*")))
		return "is no right: admin is of the whole node, admin:*, and not of buckets";
	return bucket_read(bucket, bytes, ret);
}

void rights_print(const struct grant *g, struct buf *out)
{
	for (size_t i = 0; i < WORDS; i++)
		if (words[i].right == g->right)
			buf_text(out, words[i].text);
	buf_text(out, ":");
	for (size_t i = 0; i < g->size; i++) {
		unsigned char c = (unsigned char)g->bucket[i];

		if (c <= ' ' || c > '~' || c == '*' || c == '%')
			buf_fmt(out, "%%%02X", c);
		else
			buf_add(out, &c, 1);
	}
	if (g->prefix)
		buf_text(out, "*");
}

void rights_explain(const struct rights_client *c, unsigned lacking, struct span bucket, char *out,
		    size_t size)
{
	char shown[WIRE_BUCKET_MAX * 4 + 1] = "*";
	char names[64] = "";

	for (size_t i = 0; i < WORDS; i++) {
		size_t n = strlen(names);
		const char *joint = !n ? "" : lacking & ~words[i].right ? ", " : " or ";

		if (!(lacking & words[i].right))
			continue;
		lacking &= ~words[i].right;
		(void)snprintf(names + n, sizeof(names) - n, "%s%s", joint, words[i].text);
	}
	if (bucket.n)
		buf_printable(shown, sizeof(shown), bucket.p, bucket.n);
	(void)snprintf(out, size, "\"%s\" lacks %s on \"%s\"", c->name, names, shown);
}

/* ---- in order ---- */

static struct span begin_of(const struct grant *g)
{
	return (struct span){g->bucket, g->size};
}

int grant_compare(const void *a, const void *b)
{
	const struct grant *x = a;
	const struct grant *y = b;
	int c = span_compare(begin_of(x), begin_of(y));

	if (c)
		return c;
	if (x->prefix != y->prefix)
		return x->prefix ? -1 : 1;
	return x->right < y->right ? -1 : x->right > y->right;
}

/* ---- judging ---- */

unsigned rights_of(const struct rights_client *c, struct span bucket)
{
	unsigned found = 0;

	for (const struct grant *g = c->grant, *end = g + c->grants; g < end; g++) {
		size_t n = g->size < bucket.n ? g->size : bucket.n;
		int order = n ? memcmp(g->bucket, bucket.p, n) : 0;

		if (order > 0 || (order == 0 && g->size > n))
			break; /* it and those behind it are of greater names */
		if (order == 0 && (g->prefix || g->size == bucket.n))
			found |= g->right;
	}
	return bucket.n ? found & ~(unsigned)RIGHT_ADMIN : found;
}

/* Can there be a name that begins so, at or behind `from`? */
static bool begins_at_or_behind(struct span begin, struct span from, bool past)
{
	if (!span_begins(from, begin))
		return span_compare(begin, from) > 0;
	if (!past && from.n <= WIRE_BUCKET_MAX)
		return true;
	/* Behind it comes what is longer, or greater in one of its bytes; neither, if it is the last. */
	if (from.n < WIRE_BUCKET_MAX)
		return true;
	for (size_t i = begin.n; i < WIRE_BUCKET_MAX; i++)
		if ((unsigned char)from.p[i] != 0xff)
			return true;
	return false;
}

bool rights_next_readable(const struct rights_client *c, struct span from, bool past,
			  struct span *ret_begin, bool *ret_one)
{
	for (const struct grant *g = c->grant, *end = g + c->grants; g < end; g++) {
		struct span begin = begin_of(g);
		int order = g->prefix ? 0 : span_compare(begin, from);

		if (g->right != RIGHT_READ)
			continue;
		if (g->prefix ? !begins_at_or_behind(begin, from, past)
			      : order < 0 || (order == 0 && past))
			continue;
		*ret_begin = begin;
		*ret_one = !g->prefix;
		return true;
	}
	return false;
}
