/* Wall clocks, and who is named primary: by hand, moment by moment. */
#include "tests/unit/lib/clerk_begun.h"

/* ---- wall clocks ---- */

static void heard(uint32_t nodes)
{
	for (uint32_t i = 2; i < NODES; i++)
		if (nodes >> i & 1u)
			claimed(i, 1, 1, 0);
}

static int64_t ahead_ms(void)
{
	return clerk_clock_ahead_ms(clerk, at);
}

static void a_clock_is_compared_with_the_median(void)
{
	struct clerk_figures f;

	start(1);
	apart_ms[2] = 9000;
	apart_ms[3] = 8000;
	heard(B(2) | B(3)); /* its own is not known yet */
	EQ(0, ahead_ms());
	pass(25);
	heard(B(2));
	EQ(0, ahead_ms()); /* of two nobody can say whose is wrong */
	heard(B(3));
	EQ(-8000, ahead_ms());
	clerk_figures(clerk, at, &f);
	EQ(-8000, f.clock_ahead_ms);
	apart_ms[3] = -7000; /* this one is in the middle */
	heard(B(3));
	EQ(0, ahead_ms());
	apart_ms[4] = 300; /* of the two in the middle the nearer one counts */
	heard(B(4));
	EQ(0, ahead_ms());
	apart_ms[5] = -2000;
	heard(B(5));
	EQ(0, ahead_ms());
	apart_ms[4] = -1500;
	heard(B(4));
	EQ(1500, ahead_ms());
	/* What was heard long ago does not count. */
	pass(4000);
	heard(B(2) | B(4));
	EQ(1500, ahead_ms());
	pass(1500);
	EQ(0, ahead_ms());
	/* Its own clock is set, and the next tick knows. */
	heard(B(2) | B(3) | B(4));
	apart_ms[1] = 5000;
	apart_ms[2] = -3000;
	pass(25);
	heard(B(2) | B(3) | B(4));
	EQ(6500, ahead_ms());
}

static void who_has_a_wrong_clock_leaves_it_to_another_for_a_while(void)
{
	begin_member(1);
	apart_ms[1] = 3000;
	pass_answered(GRACE - 125);
	heard(B(2) | B(3));
	pass_answered(600);
	EQ(0, casses[0]);
	heard(B(2) | B(3));
	pass_answered(600);
	heard(B(2) | B(3));
	EQ(0, casses[0]);
	pass_answered(600);
	heard(B(2) | B(3));
	pass_answered(400); /* that one seems not to be able to */
	EQ(1, casses[0]);
	/* The other one's is wrong as well, or it is silent: then it takes over at once. */
	begin_member(1);
	apart_ms[1] = 3000;
	apart_ms[3] = -3000;
	pass_answered(GRACE - 125);
	heard(B(2) | B(3) | B(4) | B(5));
	EQ(3000, ahead_ms());
	pass_answered(200);
	EQ(1, casses[0]);
	begin_member(1);
	apart_ms[1] = 3000;
	pass_answered(GRACE - CLERK_SHRINK_MS - 100);
	heard(B(2) | B(3));
	pass_answered(CLERK_SHRINK_MS + 200);
	EQ(1, casses[0]);
}

static void beats_and_grants_tell_the_wall_clock(void)
{
	begin_leading(1);
	pass(200);
	TRUE_(wall_of(1) - beats[2].u.beat.wall_ms <= 100);
	pass(15);
	claimed(2, 1, 1, 0);
	EQ(wall_of(1), grants[2].u.grant.wall_ms);
}

/* ---- who is named ---- */

/* Whoever the first view of a partition names may read it later than others. */
static void a_view_that_nobody_has_led_in_is_left_alone_for_longer(void)
{
	start(1);
	worker_up(0, 1, 0);
	view_is(0, view_make(1, 2, B(1) | B(2) | B(3), true));
	pass_answered(CLERK_FIRST_MS - 50);
	EQ(0, casses[0]);
	pass_answered(100);
	EQ(1, casses[0]);
	EQ(2, asked[0].epoch);
}

static void a_primary_that_does_not_lead_yet_says_so(void)
{
	begin_member(1);
	clerk_worker_down(clerk, 1, at);
	view_is(0, view_make(6, 1, B(1) | B(2) | B(3), false)); /* it has granted node 2 */
	pass_granted(900, B(2) | B(3));
	TRUE_(!ordered(0, ORDER_LEAD));
	EQ(CLAIM_COMING, beats[2].u.beat.claims[0].flags);
	EQ(6, term_epoch(beats[2].u.beat.claims[0].term));
	pass_granted(200, B(2) | B(3)); /* which is no grant */
	leads(0);
	EQ(0, lease_ms(0));
	pass(25);
	EQ(0, beats[2].u.beat.claims[0].flags);
	granted(2);
	granted(3);
	TRUE_(lease_ms(0) > 900);
	/* Without a worker it is not about to. */
	view_is(1, view_make(4, 1, B(1) | B(2) | B(3), true));
	forget();
	pass(225);
	EQ(1, beats[2].u.beat.count);
}

static void whoever_is_about_to_lead_is_waited_for_but_not_for_ever(void)
{
	uint32_t i;

	begin_member(1);
	view_is(0, view_make(6, 2, B(1) | B(2) | B(3), true));
	for (i = 0; i < 20 && !casses[0]; i++) {
		claimed(2, 0, 6, CLAIM_COMING);
		TRUE_(was_granted(2));          /* nothing is refused */
		claimed(3, 0, 6, CLAIM_COMING); /* it is not the one */
		pass_answered(200);
	}
	EQ(20, i);
	pass_answered(CLERK_SHRINK_MS + 50); /* it is silent */
	EQ(1, casses[0]);
	begin_member(1);
	view_is(0, view_make(6, 2, B(1) | B(2) | B(3), true));
	for (i = 0; i < 40 && !casses[0]; i++) {
		claimed(2, 0, 6, CLAIM_COMING);
		pass_answered(200);
	}
	EQ(CLERK_COMING_MS / 200, i - 1);
	/* It was no grant: only what was granted is waited out. */
	begin_member(1);
	pass_answered(GRACE - 25);
	claimed(2, 0, 5, CLAIM_COMING);
	pass_answered(CLERK_SHRINK_MS + 75);
	EQ(1, casses[0]);
}

UNIT_MAIN(T(a_view_that_nobody_has_led_in_is_left_alone_for_longer),
	  T(a_primary_that_does_not_lead_yet_says_so), T(a_clock_is_compared_with_the_median),
	  T(who_has_a_wrong_clock_leaves_it_to_another_for_a_while),
	  T(beats_and_grants_tell_the_wall_clock),
	  T(whoever_is_about_to_lead_is_waited_for_but_not_for_ever))
