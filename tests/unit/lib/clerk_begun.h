/* A clerk that leads, or is a member, to begin a test with. */
#ifndef PAIL_TEST_CLERK_BEGUN_H
#define PAIL_TEST_CLERK_BEGUN_H

#include "tests/unit/lib/clerk_fixture.h"

#define B(n)  (1u << (n))
#define GRACE 1022u /* 1000 ms * 1.01 / 0.99 and 1 ms, rounded up */

/* Node 1 leads partition 0 in epoch 2, with 2 and 3, and was granted the lease. */
static inline void begin_leading(uint32_t min_copies)
{
	start(min_copies);
	worker_up(0, 1, 0);
	worker_up(1, 1, 0);
	view_is(0, view_make(1, 1, B(1) | B(2) | B(3), true));
	cas_done(0);
	leads(0);
	pass(25);
	granted(2);
	granted(3);
	TRUE_(lease_ms(0) > 900);
}

/* Node 1 is a member of what node 2 leads in epoch 5, and has granted it just now. */
static inline void begin_member(uint32_t min_copies)
{
	start(min_copies);
	worker_up(0, 1, 0);
	worker_up(1, 1, 0);
	view_is(0, view_make(5, 2, B(1) | B(2) | B(3), false));
	pass(500);
	claimed(2, 0, 5, 0);
	TRUE_(was_granted(2));
	forget();
}

/* Time passes, and the store answers each get. */
static inline void pass_answered(uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 25) {
		uint32_t n = gets[0];

		pass(25);
		if (gets[0] > n)
			view_again(0);
	}
}

/* Node 1 leads partition 0 in epoch 2, with these members, who grant it the lease. */
static inline void begin_with(uint32_t min_copies, uint32_t isr)
{
	start(min_copies);
	worker_up(0, 1, 0);
	worker_up(1, 1, 0);
	view_is(0, view_make(1, 1, isr, true));
	cas_done(0);
	leads(0);
	pass_granted(100, isr);
	forget();
}

static inline void answered(uint64_t ms, uint32_t nodes)
{
	for (uint64_t i = 0; i < ms; i += 25) {
		pass_granted(25, nodes);
		if (gets[0])
			view_again(0);
		gets[0] = 0;
	}
}

static inline uint32_t needed(const struct parcel_order *o)
{
	uint32_t set = 0;

	CU_ASSERT_FATAL(o != NULL);
	for (uint32_t i = 0; i < o->count; i++)
		if (o->member[i].flags & MEMBER_NEEDED)
			set |= B(o->member[i].id.node);
	return set;
}

static inline void targets(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t t[3] = {a, b, c};

	EQ(0, clerk_node(clerk, a, copy_of(a).store));
	EQ(0, clerk_node(clerk, b, copy_of(b).store));
	EQ(0, clerk_node(clerk, c, copy_of(c).store));
	clerk_target(clerk, 0, t, 3);
}

#endif
