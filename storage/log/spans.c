/* Which terms a log has. */
#include "storage/log/spans.h"

#include <string.h>

#include "common/check.h"

static void oldest_forget(struct log_spans *s, uint32_t n)
{
	check(n <= s->count);
	s->count -= n;
	memmove(&s->at[0], &s->at[n], s->count * sizeof(s->at[0]));
}

void spans_add(struct log_spans *s, uint64_t term, uint64_t first, uint64_t count)
{
	struct log_span *x = s->count ? &s->at[s->count - 1] : NULL;

	check(count && first && (!x || (first == x->last + 1 && term >= x->term)));
	if (x && x->term == term) {
		x->last += count;
		return;
	}
	if (s->count == LOG_SPANS_MAX)
		oldest_forget(s, 1);
	s->at[s->count++] = (struct log_span){term, first, first + count - 1};
}

void spans_trim(struct log_spans *s, uint64_t sequence)
{
	while (s->count && s->at[s->count - 1].first > sequence)
		s->count--;
	if (s->count && s->at[s->count - 1].last > sequence)
		s->at[s->count - 1].last = sequence;
}

void spans_prune(struct log_spans *s, uint64_t settled)
{
	uint32_t n = 0;

	while (s->count - n > LOG_SPANS_KEPT && s->at[n].last <= settled)
		n++;
	if (n)
		oldest_forget(s, n);
}

bool spans_have(const struct log_spans *s, uint64_t term, uint64_t sequence)
{
	for (uint32_t i = s->count; i-- > 0 && s->at[i].term >= term;)
		if (s->at[i].term == term)
			return s->at[i].first <= sequence && sequence <= s->at[i].last;
	return false;
}

bool spans_are_sane(const struct log_spans *s)
{
	if (s->count > LOG_SPANS_MAX)
		return false;
	for (uint32_t i = 0; i < s->count; i++) {
		const struct log_span *x = &s->at[i];

		if (!x->first || x->last < x->first ||
		    (i && (x->term <= x[-1].term || x->first != x[-1].last + 1)))
			return false;
	}
	return true;
}
