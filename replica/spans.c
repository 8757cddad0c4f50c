#include "replica/spans.h"

#include <string.h>

#include "common/check.h"

struct place spans_last(const struct spans *s)
{
	if (!s->count)
		return (struct place){0, 0};
	return (struct place){s->at[s->count - 1].term, s->at[s->count - 1].last};
}

bool spans_hold(const struct spans *s, struct place p)
{
	if (!p.sequence && !p.term)
		return true;
	for (uint32_t i = s->count; i-- > 0;)
		if (s->at[i].term == p.term)
			return p.sequence >= s->at[i].first && p.sequence <= s->at[i].last;
	return false;
}

bool spans_at(const struct spans *s, uint64_t sequence, struct place *ret)
{
	for (uint32_t i = s->count; i-- > 0;) {
		if (sequence < s->at[i].first || sequence > s->at[i].last)
			continue;
		*ret = (struct place){s->at[i].term, sequence};
		return true;
	}
	if (sequence)
		return false;
	*ret = (struct place){0, 0};
	return true;
}

void spans_append(struct spans *s, uint64_t term, uint64_t first, uint64_t count)
{
	struct span_term *last = s->count ? &s->at[s->count - 1] : NULL;

	check(count > 0);
	check(!last || (first == last->last + 1 && term >= last->term));
	if (last && last->term == term) {
		last->last += count;
		return;
	}
	if (s->count == SPANS_MAX) {
		memmove(&s->at[0], &s->at[1], (SPANS_MAX - 1) * sizeof(s->at[0]));
		s->count--;
	}
	s->at[s->count++] = (struct span_term){term, first, first + count - 1};
}

void spans_cut(struct spans *s, uint64_t sequence)
{
	while (s->count && s->at[s->count - 1].first > sequence)
		s->count--;
	if (s->count && s->at[s->count - 1].last > sequence)
		s->at[s->count - 1].last = sequence;
}

struct place spans_common(const struct spans *s, const struct span_term *other, uint32_t count)
{
	uint32_t i = s->count;

	while (i && count) {
		const struct span_term *a = &s->at[i - 1];
		const struct span_term *b = &other[count - 1];

		if (a->term > b->term) {
			i--;
		} else if (a->term < b->term) {
			count--;
		} else {
			uint64_t last = a->last < b->last ? a->last : b->last;

			/* Where either has forgotten the beginning of a term, the other may end before it. */
			if (last >= a->first && last >= b->first)
				return (struct place){a->term, last};
			i--;
			count--;
		}
	}
	return (struct place){0, 0};
}
