/* A run of bytes that belongs to somebody else. */
#ifndef PAIL_SPAN_H
#define PAIL_SPAN_H

#include <stddef.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

/* Byte order, a shorter run before a longer one that begins with it: <0, 0, >0. */
static inline int span_compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	if (c)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

static inline int span_equal(struct span a, struct span b)
{
	return a.n == b.n && (!a.n || memcmp(a.p, b.p, a.n) == 0);
}

static inline int span_begins(struct span a, struct span prefix)
{
	return a.n >= prefix.n && (!prefix.n || memcmp(a.p, prefix.p, prefix.n) == 0);
}

static inline struct span span_of(const char *s)
{
	return (struct span){s, strlen(s)};
}

#endif
