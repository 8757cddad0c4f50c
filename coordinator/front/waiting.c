#include "coordinator/front/waiting.h"

#include <stddef.h>

void waiting_add(struct waiting_list *l, struct waiting *w)
{
	w->next = NULL;
	if (l->last)
		l->last->next = w;
	else
		l->first = w;
	l->last = w;
}

struct waiting *waiting_take(struct waiting_list *l)
{
	struct waiting *w = l->first;

	if (w && !(l->first = w->next))
		l->last = NULL;
	return w;
}

void waiting_join(struct waiting_list *front, struct waiting_list *l)
{
	if (front->last)
		front->last->next = l->first;
	else
		front->first = l->first;
	if (l->last)
		front->last = l->last;
	*l = (struct waiting_list){NULL, NULL};
}

static bool goes_before(const struct waiting *a, const struct waiting *b)
{
	if (a->partition != b->partition)
		return a->partition < b->partition;
	return a->number != b->number ? a->number > b->number : a->order <= b->order;
}

/* The `n` from *at on, which is moved behind them, in order. */
static struct waiting *sorted(struct waiting **at, uint32_t n)
{
	struct waiting *first = *at;
	struct waiting **end = &first;
	struct waiting *a;
	struct waiting *b;

	if (n <= 1) {
		if (first) {
			*at = first->next;
			first->next = NULL;
		}
		return first;
	}
	a = sorted(at, n / 2);
	b = sorted(at, n - n / 2);
	while (a && b) {
		struct waiting **least = goes_before(a, b) ? &a : &b;

		*end = *least;
		end = &(*end)->next;
		*least = *end;
	}
	*end = a ? a : b;
	return first;
}

void waiting_sort(struct waiting_list *l)
{
	struct waiting *at = l->first;
	uint32_t n = 0;

	for (const struct waiting *w = at; w; w = w->next)
		n++;
	l->first = sorted(&at, n);
	for (l->last = l->first; l->last && l->last->next;)
		l->last = l->last->next;
}
