/*
 * The option `names` of `buckets`, between nodes and workers only: which names count.  It holds
 * ranges back to back, in order and apart from each other; each is one name or all that begin with
 * some bytes: kind (0, 1), size, and so many bytes.
 */
#ifndef PAIL_NAMES_H
#define PAIL_NAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/span.h"
#include "include/wire.h"

#define NAMES_RANGE_MAX (2u + WIRE_BUCKET_MAX) /* bytes of one */

struct name_range {
	struct span begin; /* the name, or what it begins with */
	bool one;
};

/* Take the first range out of the rest of a list that names_check has found right.  False: that was
 * all. */
static inline bool names_next(struct span *list, struct name_range *ret)
{
	size_t n;

	if (!list->n)
		return false;
	n = (uint8_t)list->p[1];
	*ret = (struct name_range){
		{list->p + 2, n},
                !list->p[0]
        };
	list->p += 2 + n;
	list->n -= 2 + n;
	return true;
}

static inline bool name_in_range(const struct name_range *r, struct span name)
{
	return r->one ? span_equal(name, r->begin) : span_begins(name, r->begin);
}

static inline char *names_write(char *p, const struct name_range *r)
{
	*p++ = r->one ? 0 : 1;
	*p++ = (char)(uint8_t)r->begin.n;
	memcpy(p, r->begin.p, r->begin.n);
	return p + r->begin.n;
}

/* Is it a list such as names_next takes? */
static inline bool names_check(struct span list)
{
	struct name_range last = {
		{NULL, 0},
                true
        };

	while (list.n) {
		struct name_range r;
		size_t n = list.n < 2 ? SIZE_MAX : (size_t)(uint8_t)list.p[1];

		if (list.n < 2 || (uint8_t)list.p[0] > 1 || n > list.n - 2 || (!list.p[0] && !n))
			return false;
		(void)names_next(&list, &r);
		if (last.begin.p && (span_compare(r.begin, last.begin) <= 0 ||
				     (!last.one && span_begins(r.begin, last.begin))))
			return false;
		last = r;
	}
	return true;
}

#endif
