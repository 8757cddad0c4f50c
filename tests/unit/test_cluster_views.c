/* A partition's view as the agreement has it. */
#include "coordinator/cluster/views.h"

#include <errno.h>
#include <stdlib.h>

#include "ipc/wire/msgpack.h"
#include "tests/unit/lib/unit.h"

static struct view example(void)
{
	struct view v = {.epoch = 7, .isr_count = 2, .by = 0xfedcba9876543210u, .released = true};

	v.isr[0] = v.primary = (struct member){0x8000000000000001u, 3, 0};
	v.isr[1] = (struct member){5, 255, 0};
	v.frozen = (struct place){term_make(6, 2), UINT64_C(1) << 40};
	v.frozen_commit = (UINT64_C(1) << 40) - 1;
	return v;
}

static bool same(const struct view *a, const struct view *b)
{
	return a->epoch == b->epoch && a->isr_count == b->isr_count &&
	       member_is(a->primary, b->primary) && !memcmp(a->isr, b->isr, sizeof(a->isr)) &&
	       place_is(a->frozen, b->frozen) && a->frozen_commit == b->frozen_commit &&
	       a->by == b->by && a->released == b->released;
}

static void a_view_is_read_as_it_was_written(void)
{
	struct view v = example();
	struct view got;
	char value[VIEWS_VALUE_MAX];
	const char *why = NULL;

	for (int i = 0; i < 2; i++) {
		size_t n = (size_t)(views_view_write(value, &v) - value);

		memset(&got, 0xff, sizeof(got));
		EQ(0, views_view_read((struct span){value, n}, &got, &why));
		TRUE_(same(&got, &v));
		v.frozen = (struct place){0, 0};
		v.frozen_commit = 0;
		v.released = false;
	}
}

/* The largest set there may be has room. */
static void the_largest_view_has_room(void)
{
	struct view v = example();
	struct view got;
	char value[VIEWS_VALUE_MAX];
	const char *why;
	size_t n;

	v.isr_count = REPLICA_MEMBERS_MAX;
	for (uint32_t i = 1; i < v.isr_count; i++)
		v.isr[i] = (struct member){UINT64_MAX - i, REPLICA_NODES_MAX - i, 0};
	v.epoch = UINT32_MAX;
	v.frozen = (struct place){UINT64_MAX, UINT64_MAX};
	n = (size_t)(views_view_write(value, &v) - value);
	TRUE_(n < sizeof(value));
	EQ(0, views_view_read((struct span){value, n}, &got, &why));
	TRUE_(same(&got, &v));
}

/* Each place cut off, and `frozen` without what was committed. */
static void what_is_no_view_is_refused(void)
{
	struct view v = example();
	struct view got;
	char value[VIEWS_VALUE_MAX];
	const char *why = NULL;
	size_t n = (size_t)(views_view_write(value, &v) - value);

	for (size_t k = 0; k < n; k++) {
		char *cut = malloc(k + 1);

		memcpy(cut, value, k);
		EQ(-EBADMSG, views_view_read((struct span){cut, k}, &got, &why));
		TRUE_(why != NULL);
		free(cut);
	}
	for (size_t k = 0; k + 7 < n; k++) {
		char *p = value + k + 6;

		if (memcmp(value + k, "frozen", 6) != 0)
			continue;
		EQ((char)0x93, *p);
		*p = (char)0x92;
		EQ(-EBADMSG, views_view_read((struct span){value, n}, &got, &why));
		return;
	}
	TRUE_(false);
}

UNIT_MAIN(T(a_view_is_read_as_it_was_written), T(the_largest_view_has_room),
	  T(what_is_no_view_is_refused))
