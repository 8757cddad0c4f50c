/* See pattern.h.  An item is one character's worth of a pattern: x, %a, ., or a set. */
#include "functions/pattern.h"

#include <ctype.h>
#include <string.h>

#define TELL 4096 /* steps */

static void step(struct pattern *m, size_t n)
{
	m->pending += (unsigned)n;
	if (m->pending >= TELL) {
		size_t steps = m->pending;

		m->pending = 0;
		m->steps(m->arg, steps);
	}
}

bool pattern_is_plain(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] && strchr("^$*+?.([%-", p[i]))
			return false;
	return true;
}

/* ---- items ---- */

static bool class_has(char class, unsigned char c)
{
	bool is;

	switch (tolower((unsigned char)class)) {
	case 'a':
		is = isalpha(c) != 0;
		break;
	case 'c':
		is = iscntrl(c) != 0;
		break;
	case 'd':
		is = isdigit(c) != 0;
		break;
	case 'g':
		is = isgraph(c) != 0;
		break;
	case 'l':
		is = islower(c) != 0;
		break;
	case 'p':
		is = ispunct(c) != 0;
		break;
	case 's':
		is = isspace(c) != 0;
		break;
	case 'u':
		is = isupper(c) != 0;
		break;
	case 'w':
		is = isalnum(c) != 0;
		break;
	case 'x':
		is = isxdigit(c) != 0;
		break;
	case 'z': /* of old */
		is = c == 0;
		break;
	default:
		return (unsigned char)class == c; /* %. and the like */
	}
	return isupper((unsigned char)class) ? !is : is;
}

/* A set, from [ to its ]. */
static bool set_has(const char *p, const char *close, unsigned char c)
{
	bool found = true;

	p++;
	if (*p == '^') {
		found = false;
		p++;
	}
	while (p < close) {
		if (*p == '%') {
			if (class_has(p[1], c))
				return found;
			p += 2;
		} else if (p[1] == '-' && p + 2 < close) {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return found;
			p += 3;
		} else {
			if ((unsigned char)*p == c)
				return found;
			p++;
		}
	}
	return !found;
}

/* The place behind the item at p. */
static const char *item_end(struct pattern *m, const char *p)
{
	const char *q = p + 1;

	if (*p == '%') {
		if (q == m->end)
			m->fail(m->arg, "malformed pattern (ends with '%%')", 0);
		return q + 1;
	}
	if (*p != '[')
		return q;
	if (q < m->end && *q == '^')
		q++;
	do { /* a ] that comes first is one of the set */
		if (q == m->end)
			m->fail(m->arg, "malformed pattern (missing ']')", 0);
		else if (*q++ == '%' && q < m->end)
			q++;
	} while (q >= m->end || *q != ']');
	step(m, (size_t)(q - p));
	return q + 1;
}

/* Whether the character at s is what the item from p to `end` asks for. */
static bool item_has(struct pattern *m, const char *s, const char *p, const char *end)
{
	step(m, 1);
	if (s >= m->subject_end)
		return false;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return class_has(p[1], (unsigned char)*s);
	case '[':
		step(m, (size_t)(end - p));
		return set_has(p, end - 1, (unsigned char)*s);
	default:
		return *p == *s;
	}
}

/* ---- what is more than an item ---- */

/* As many as there are, then fewer and fewer. */
static const char *match_most(struct pattern *m, const char *s, const char *p, const char *end)
{
	ptrdiff_t n = 0;

	while (item_has(m, s + n, p, end))
		n++;
	for (; n >= 0; n--) {
		const char *r = pattern_match(m, s + n, end + 1);

		if (r)
			return r;
	}
	return NULL;
}

/* As few as will do. */
static const char *match_least(struct pattern *m, const char *s, const char *p, const char *end)
{
	for (;;) {
		const char *r = pattern_match(m, s, end + 1);

		if (r)
			return r;
		if (!item_has(m, s, p, end))
			return NULL;
		s++;
	}
}

static const char *match_open(struct pattern *m, const char *s, const char *p, ptrdiff_t n)
{
	const char *r;

	if (m->count >= PATTERN_CAPTURES_MAX)
		m->fail(m->arg, "too many captures", 0);
	m->capture[m->count].p = s;
	m->capture[m->count].n = n;
	m->count++;
	r = pattern_match(m, s, p);
	if (!r)
		m->count--;
	return r;
}

static const char *match_close(struct pattern *m, const char *s, const char *p)
{
	int i = m->count - 1;
	const char *r;

	while (i >= 0 && m->capture[i].n != CAPTURE_OPEN)
		i--;
	if (i < 0)
		m->fail(m->arg, "invalid pattern capture", 0);
	m->capture[i].n = s - m->capture[i].p;
	r = pattern_match(m, s, p);
	if (!r)
		m->capture[i].n = CAPTURE_OPEN;
	return r;
}

/* %bxy: the place behind the y that balances the x at s. */
static const char *balanced(struct pattern *m, const char *s, const char *p)
{
	size_t depth = 1;

	if (m->end - p < 2)
		m->fail(m->arg, "malformed pattern (missing arguments to '%%b')", 0);
	if (s >= m->subject_end || *s != p[0])
		return NULL;
	while (++s < m->subject_end) {
		step(m, 1);
		if (*s == p[1]) {
			if (!--depth)
				return s + 1;
		} else if (*s == p[0]) {
			depth++;
		}
	}
	return NULL;
}

/* %1: what was captured, once more. */
static const char *again(struct pattern *m, const char *s, char digit)
{
	int i = digit - '1';
	ptrdiff_t n;

	if (i < 0 || i >= m->count || m->capture[i].n == CAPTURE_OPEN)
		m->fail(m->arg, "invalid capture index %%%d", i + 1);
	n = m->capture[i].n;
	if (n == CAPTURE_POSITION || m->subject_end - s < n)
		return NULL;
	step(m, (size_t)n / 8 + 1);
	return n && memcmp(m->capture[i].p, s, (size_t)n) != 0 ? NULL : s + n;
}

/* %f[set]: between what is not of the set and what is; both ends count as NUL. */
static bool frontier(struct pattern *m, const char *s, const char *p, const char *end)
{
	char before = s == m->subject ? '\0' : s[-1];
	char here = s < m->subject_end ? *s : '\0';

	step(m, 2 * (size_t)(end - p));
	return !set_has(p, end - 1, (unsigned char)before) &&
	       set_has(p, end - 1, (unsigned char)here);
}

/*
 * One of %b, %f and %1 at p, if it is one: *ret_is tells.  The place in the subject behind it, or
 * NULL; *ret_p: that in the pattern.
 */
static const char *match_special(struct pattern *m, const char *s, const char *p, bool *ret_is,
				 const char **ret_p)
{
	*ret_is = true;
	if (p + 1 == m->end) {
		*ret_is = false; /* item_end says what is wrong with it */
	} else if (p[1] == 'b') {
		*ret_p = p + 4;
		return balanced(m, s, p + 2);
	} else if (p[1] == 'f') {
		if (p + 2 == m->end || p[2] != '[')
			m->fail(m->arg, "missing '[' after '%%f' in pattern", 0);
		*ret_p = item_end(m, p + 2);
		return frontier(m, s, p + 2, *ret_p) ? s : NULL;
	} else if (p[1] >= '0' && p[1] <= '9') {
		*ret_p = p + 2;
		return again(m, s, p[1]);
	} else {
		*ret_is = false;
	}
	return NULL;
}

/*
 * An item at p with what may follow it.  Either that decides all (*ret_is: the result is returned),
 * or one or no character was taken: the place behind, and the rest is still to be matched at
 * *ret_p.
 */
static const char *match_item(struct pattern *m, const char *s, const char *p, bool *ret_is,
			      const char **ret_p)
{
	const char *end = item_end(m, p);
	char how = end < m->end ? *end : '\0';
	const char *r;

	*ret_is = true;
	switch (how) {
	case '*':
		return match_most(m, s, p, end);
	case '+':
		return item_has(m, s, p, end) ? match_most(m, s + 1, p, end) : NULL;
	case '-':
		return match_least(m, s, p, end);
	case '?':
		if (item_has(m, s, p, end)) {
			r = pattern_match(m, s + 1, end + 1);
			if (r)
				return r;
		}
		*ret_is = false;
		*ret_p = end + 1;
		return s;
	default:
		if (!item_has(m, s, p, end))
			return NULL;
		*ret_is = false;
		*ret_p = end;
		return s + 1;
	}
}

static const char *match_rest(struct pattern *m, const char *s, const char *p)
{
	bool is;

	while (p != m->end) {
		step(m, 1);
		if (*p == '(') {
			if (p + 1 < m->end && p[1] == ')')
				return match_open(m, s, p + 2, CAPTURE_POSITION);
			return match_open(m, s, p + 1, CAPTURE_OPEN);
		}
		if (*p == ')')
			return match_close(m, s, p + 1);
		if (*p == '$' && p + 1 == m->end)
			return s == m->subject_end ? s : NULL;
		if (*p == '%') {
			const char *r = match_special(m, s, p, &is, &p);

			if (is) {
				if (!r)
					return NULL;
				s = r;
				continue;
			}
		}
		s = match_item(m, s, p, &is, &p);
		if (is || !s)
			return s;
	}
	return s;
}

const char *pattern_match(struct pattern *m, const char *s, const char *p)
{
	const char *r;

	if (++m->depth > PATTERN_DEPTH_MAX)
		m->fail(m->arg, "pattern too complex", 0);
	r = match_rest(m, s, p);
	m->depth--;
	return r;
}
