/* A group's scan: what is stored, and over it what is staged. */
#include <errno.h>

#include "common/check.h"
#include "storage/group_impl.h"

struct overlay {
	struct store *s;
	struct group *g;
	const struct store_range *range;
	bool (*item)(void *arg, const struct store_item *i);
	void *arg;
	uint32_t next; /* of the order, counted in the scan's direction */
	bool stopped;
};

/* The i-th key that is staged, in the scan's direction. */
static struct staged *staged_at(const struct overlay *o, uint32_t i)
{
	return &o->g->change[o->g->order[o->range->reverse ? o->g->keys - 1 - i : i]];
}

/* The first that the range does not lie behind. */
static uint32_t overlay_begin(const struct overlay *o)
{
	uint32_t low = 0;
	uint32_t high = o->g->keys;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		struct span key = staged_key(o->g, staged_at(o, mid));

		if (range_where(o->range, key) == BEFORE)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* A key that is staged; `stored` has the value if it is the stored one. */
static void staged_tell(struct overlay *o, const struct staged *x, const struct store_item *stored)
{
	struct store_item i = {.key = staged_key(o->g, x),
			       .version = staged_version(o->g, x),
			       .ttl_ms = left_ms(o->s, x->expiry)};

	store_work(o->s, 2);
	if (!x->alive)
		return;
	check(stored || x->value != VALUE_BELOW); /* it is alive as stored, so it was met there */
	i.value = x->value == VALUE_BELOW ? stored->value : staged_value(o->g, x);
	o->stopped = !o->item(o->arg, &i);
}

/* What is staged before `key`.  Whether `key` itself is. */
static struct staged *overlay_until(struct overlay *o, struct span key)
{
	while (!o->stopped && o->next < o->g->keys) {
		struct staged *x = staged_at(o, o->next);
		int c = span_compare(staged_key(o->g, x), key);

		if (c && (c < 0) == o->range->reverse)
			return NULL;
		o->next++;
		if (!c)
			return x;
		staged_tell(o, x, NULL);
	}
	return NULL;
}

static bool stored_item(void *arg, const struct store_item *i)
{
	struct overlay *o = arg;
	struct staged *same = overlay_until(o, i->key);

	if (o->stopped)
		return false;
	if (same)
		staged_tell(o, same, i);
	else
		o->stopped = !o->item(o->arg, i);
	return !o->stopped;
}

int group_scan(struct store *s, const struct store_range *range,
	       bool (*item)(void *arg, const struct store_item *i), void *arg)
{
	struct group *g = group_of(s);
	struct overlay o = {s, g, range, item, arg, 0, false};
	int r = 0;

	if (!g->id)
		return -ENXIO;
	o.next = overlay_begin(&o);
	if (g->key.bucket)
		r = store_scan(s, &g->key, range, stored_item, &o);
	while (r == 0 && !o.stopped && o.next < g->keys) {
		struct staged *x = staged_at(&o, o.next++);

		if (range_where(range, staged_key(g, x)) != INSIDE)
			break;
		staged_tell(&o, x, NULL);
	}
	return r;
}
