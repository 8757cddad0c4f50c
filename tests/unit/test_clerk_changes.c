/* Members that come and go, and partitions that are handed over. */
#include "tests/unit/lib/clerk_begun.h"

/* ---- shrinking ---- */

/* Row 2: who is silent counts until it is known that it is out. */
static void a_silent_member_leaves(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	pass_granted(CLERK_SHRINK_MS - 150, B(2));
	EQ(0, casses[0]);
	pass_granted(200, B(2));
	EQ(1, casses[0]);
	EQ(2, asked[0].isr_count);
	EQ(2, asked[0].epoch);
	TRUE_(!view_has(&asked[0], copy_of(3)));
	EQ(0, order_count); /* the worker still needs all */
	pass_granted(600, B(2));
	EQ(0, lease_ms(0));
	cas_done(0);
	EQ(B(2), needed(ordered(0, ORDER_VIEW)));
	TRUE_(lease_ms(0) > 700);
}

static void all_that_are_silent_leave_at_once(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	pass(CLERK_SHRINK_MS + 75);
	EQ(1, asked[0].isr_count);
	cas_done(0);
	EQ(INT64_MAX, lease_ms(0));
}

static void a_member_that_is_stuck_or_full_leaves(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	report(0, REPORT_STUCK, (struct place){0, 0}, 2);
	EQ(2, asked[0].isr_count);
	TRUE_(!view_has(&asked[0], copy_of(2)));
	cas_done(0);
	report(0, REPORT_MEMBER_FULL, (struct place){0, 0}, 3);
	EQ(1, asked[0].isr_count);
}

/* This process stood still, not the others. */
static void a_node_that_was_stopped_blames_nobody(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	at.boot_us += 5000000;
	at.raw_us += 5000000;
	pass_granted(500, B(2) | B(3));
	EQ(0, casses[0]);
}

/* ---- too few copies ---- */

/* It may be this node that nobody hears: the others may take over first. */
static void who_hears_nobody_does_not_hurry_to_be_alone(void)
{
	begin_with(2, B(1) | B(2) | B(3));
	pass(CLERK_SHRINK_MS + 75);
	report(0, REPORT_STUCK, (struct place){0, 0}, 2);
	report(0, REPORT_STUCK, (struct place){0, 0}, 3);
	pass(CLERK_ALONE_MS - CLERK_SHRINK_MS - 200);
	EQ(0, casses[0]);
	TRUE_(!ordered(0, ORDER_HOLD));
	pass(200);
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
}

/* One that grants, and acknowledges nothing, is heard. */
static void who_is_stuck_leaves_even_if_too_few_are_left(void)
{
	begin_with(2, B(1) | B(2));
	pass_granted(200, B(2));
	report(0, REPORT_STUCK, (struct place){0, 0}, 2);
	pass_granted(50, B(2));
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
}

static void below_min_copies_writes_are_held_first(void)
{
	begin_with(2, B(1) | B(2));
	pass(CLERK_ALONE_MS + 75);
	EQ(0, casses[0]);
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
	reported_commit = 15;
	report(0, REPORT_HELD, (struct place){term_make(2, 1), 17}, 0);
	EQ(1, casses[0]);
	EQ(17, asked[0].frozen.sequence);
	EQ(15, asked[0].frozen_commit);
	EQ(1, asked[0].isr_count);
	EQ(ORDER_TOO_FEW, ordered(0, ORDER_VIEW)->flags); /* until it is known */
	EQ(B(2), needed(ordered(0, ORDER_VIEW)));
	forget();
	cas_done(0);
	EQ(ORDER_TOO_FEW, ordered(0, ORDER_VIEW)->flags);
	EQ(0, ordered(0, ORDER_VIEW)->count);
	TRUE_(ordered(0, ORDER_GO_ON)->number > ordered(0, ORDER_VIEW)->number);
}

static void who_comes_back_while_writes_are_held_stays(void)
{
	begin_with(2, B(1) | B(2));
	pass(CLERK_ALONE_MS + 75);
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
	granted(2);
	pass(25);
	TRUE_(ordered(0, ORDER_GO_ON) != NULL);
	report(0, REPORT_HELD, (struct place){term_make(2, 1), 17}, 0);
	EQ(0, casses[0]);
}

static void a_takeover_with_too_few_says_where_the_log_ends(void)
{
	start(2);
	worker_up(0, 1, 0);
	view_is(0, view_make(5, 2, B(1) | B(2), false));
	for (int i = 0; i < 50; i++) {
		pass(25);
		view_again(0);
	}
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
	EQ(0, casses[0]);
	reported_commit = 38;
	report(0, REPORT_HELD, (struct place){term_make(5, 0), 40}, 0);
	EQ(1, casses[0]);
	EQ(40, asked[0].frozen.sequence);
	EQ(38, asked[0].frozen_commit);
	cas_done(0);
	EQ(ORDER_TOO_FEW, ordered(0, ORDER_LEAD)->flags);
	EQ(38, ordered(0, ORDER_LEAD)->frozen);
	/* The log had gone on since: the view is set right. */
	leads(0);
	forget();
	report(0, REPORT_HELD, (struct place){term_make(5, 0), 42}, 0);
	EQ(1, casses[0]);
	EQ(42, asked[0].frozen.sequence);
	EQ(38, asked[0].frozen_commit);
	EQ(6, asked[0].epoch);
	cas_done(0);
	pass(300);
	EQ(1, casses[0]);
}

/* No write has run since it was said: what was told lies before. */
static void a_primary_with_too_few_before_says_nothing_new(void)
{
	struct view v = view_make(5, 1, B(1), true);

	start(2);
	worker_up(0, 1, term_make(5, 1));
	v.frozen = (struct place){term_make(4, 0), 30};
	v.frozen_commit = 28;
	view_is(0, v);
	EQ(6, asked[0].epoch);
	EQ(30, asked[0].frozen.sequence);
	EQ(28, asked[0].frozen_commit);
	cas_done(0);
	/* What was not committed then is still held back. */
	EQ(28, ordered(0, ORDER_LEAD)->frozen);
	reported_commit = 28;
	leads(0);
	forget();
	report(0, REPORT_HELD, (struct place){term_make(5, 1), 31}, 0);
	pass(300);
	EQ(0, casses[0]);
}

static void a_worker_is_led_on_though_the_agreement_was_set_back(void)
{
	begin_with(1, B(1) | B(2));
	{
		struct view v = *clerk_view_of(clerk, 0);

		clerk_view(clerk, 0, &v, true, revision, revision - 1, at);
	}
	TRUE_(clerk_set_back(clerk));
	worker_up(0, 2, term_make(2, 1));
	EQ(term_make(2, 2), ordered(0, ORDER_LEAD)->term);
	leads(0);
	pass(1000);
	EQ(0, casses[0]); /* nobody leaves */
}

/* ---- growing ---- */

/* Rows 9 and 38. */
static void a_learner_counts_before_it_is_asked_for(void)
{
	uint64_t number;

	begin_with(2, B(1) | B(2));
	targets(1, 2, 4);
	pass_granted(250, B(2) | B(4));
	EQ(MEMBER_LEARNER, ordered(0, ORDER_VIEW)->member[1].flags);
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	EQ(B(2) | B(4), needed(ordered(0, ORDER_VIEW)));
	EQ(0, casses[0]);
	number = ordered(0, ORDER_VIEW)->number;
	TRUE_(lease_ms(0) > 700); /* it had granted already */
	report(0, REPORT_CAUGHT, (struct place){0, 0}, 4);
	EQ(0, casses[0]);
	report(0, REPORT_COUNTED, (struct place){0, 0}, 0);
	EQ(1, casses[0]);
	EQ(3, asked[0].isr_count);
	TRUE_(view_has(&asked[0], copy_of(4)));
	EQ(number, ordered(0, ORDER_VIEW)->number);
	forget();
	cas_done(0);
	EQ(B(2) | B(4), needed(ordered(0, ORDER_VIEW)));
	EQ(0, ordered(0, ORDER_VIEW)->member[1].flags & MEMBER_LEARNER);
}

/* A node that grants nothing could take over at once. */
static void a_learner_that_has_not_granted_is_not_asked_for(void)
{
	begin_with(2, B(1) | B(2));
	targets(1, 2, 4);
	pass_granted(250, B(2));
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	EQ(B(2), needed(ordered(0, ORDER_VIEW)));
	/* And where one counts that has not, there is no lease. */
	granted(4);
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	EQ(B(2) | B(4), needed(ordered(0, ORDER_VIEW)));
}

static void a_learner_that_falls_behind_counts_no_more(void)
{
	begin_with(2, B(1) | B(2));
	targets(1, 2, 4);
	pass_granted(250, B(2) | B(4));
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	report(0, REPORT_COUNTED, (struct place){0, 0}, 0);
	pass_granted(CLERK_SHRINK_MS + 50, B(2));
	EQ(0, casses[0]);
	EQ(B(2), needed(ordered(0, ORDER_VIEW)));
	TRUE_(lease_ms(0) > 700);
}

static void nothing_is_grown_while_the_agreement_is_away(void)
{
	begin_with(2, B(1) | B(2));
	targets(1, 2, 4);
	pass_granted(CLERK_FRESH_MS + 200, B(2) | B(4));
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	EQ(B(2), needed(ordered(0, ORDER_VIEW)));
	TRUE_(gets[0] > 0);
	view_again(0);
	EQ(B(2) | B(4), needed(ordered(0, ORDER_VIEW)));
}

static void growing_back_lets_writes_in_again(void)
{
	struct view v;

	begin_with(2, B(1) | B(2));
	v = view_make(2, 1, B(1), false);
	v.frozen = (struct place){term_make(2, 1), 17};
	v.frozen_commit = 16;
	view_is(0, v);
	EQ(ORDER_TOO_FEW, ordered(0, ORDER_VIEW)->flags);
	targets(1, 2, 3);
	pass_granted(250, B(2));
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 2);
	report(0, REPORT_COUNTED, (struct place){0, 0}, 0);
	report(0, REPORT_CAUGHT, (struct place){0, 0}, 2);
	EQ(2, asked[0].isr_count);
	EQ(0, asked[0].frozen.sequence);
	EQ(0, asked[0].frozen_commit);
	EQ(ORDER_TOO_FEW | ORDER_KEEP, ordered(0, ORDER_VIEW)->flags);
	cas_done(0);
	EQ(ORDER_KEEP, ordered(0, ORDER_VIEW)->flags);
}

/* Row 8, while a learner is asked for. */
static void both_sets_count_until_the_answer_is_known(void)
{
	begin_with(2, B(1) | B(2));
	targets(1, 2, 4);
	pass_granted(250, B(2) | B(4));
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	report(0, REPORT_COUNTED, (struct place){0, 0}, 0);
	report(0, REPORT_CAUGHT, (struct place){0, 0}, 4);
	EQ(1, casses[0]);
	pass_granted(1500, B(2));
	EQ(B(2) | B(4), needed(ordered(0, ORDER_VIEW)));
	EQ(0, lease_ms(0));
	/* Its worker dies: the next one needs both too. */
	forget();
	worker_up(0, 2, term_make(2, 1));
	EQ(term_make(2, 2), ordered(0, ORDER_LEAD)->term);
	EQ(B(2) | B(4), needed(ordered(0, ORDER_LEAD)));
}

/* ---- handing over ---- */

/* Row 21. */
static void a_partition_is_handed_over_when_its_primary_has_stopped(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	view_again(0);
	clerk_drain(clerk, true, at);
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	EQ(0, casses[0]);
	TRUE_(lease_ms(0) > 0);
	report(0, REPORT_DRAINED, (struct place){0, 0}, 0);
	EQ(1, casses[0]);
	EQ(3, asked[0].epoch);
	EQ(2, asked[0].primary.node);
	EQ(3, asked[0].isr_count);
	TRUE_(asked[0].released);
	EQ(0, lease_ms(0));
	/* It stays stopped while that may yet happen, whoever dies. */
	forget();
	worker_up(0, 2, term_make(2, 1));
	pass_granted(1000, B(2) | B(3));
	TRUE_(!ordered(0, ORDER_LEAD));
	TRUE_(!ordered(0, ORDER_GO_ON));
	EQ(0, lease_ms(0));
	cas_done(0);
	EQ(term_make(3, 0), ordered(0, ORDER_VIEW)->term);
}

static void what_does_not_drain_is_not_handed_over(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	view_again(0);
	clerk_drain(clerk, true, at);
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	answered(3100, B(2) | B(3));
	EQ(0, casses[0]);
	TRUE_(ordered(0, ORDER_GO_ON) != NULL);
	TRUE_(ordered(0, ORDER_GO_ON)->number > ordered(0, ORDER_STOP)->number ||
	      ordered(0, ORDER_STOP) != NULL);
	answered(1100, B(2) | B(3)); /* it is tried again */
	TRUE_(ordered(0, ORDER_STOP)->number > ordered(0, ORDER_GO_ON)->number);
}

static void a_node_that_drains_is_given_nothing(void)
{
	struct grant g;

	begin_with(1, B(1) | B(2) | B(3));
	view_again(0);
	pass(225);
	g = (struct grant){.incarnation = config.incarnation,
			   .store = copy_of(2).store,
			   .round = beats[2].u.beat.round,
			   .flags = GRANT_DRAINING};
	clerk_grant(clerk, 2, &g, at);
	granted(3);
	view_again(0);
	clerk_drain(clerk, true, at);
	report(0, REPORT_DRAINED, (struct place){0, 0}, 0);
	EQ(3, asked[0].primary.node);
}

/* Whoever stops is not waited for. */
static void a_node_that_leaves_is_out_at_once(void)
{
	struct grant g;

	begin_with(1, B(1) | B(2) | B(3));
	targets(1, 2, 3);
	pass_granted(250, B(2) | B(3));
	g = (struct grant){.incarnation = config.incarnation,
			   .store = copy_of(2).store,
			   .round = beats[2].u.beat.round,
			   .flags = GRANT_DRAINING | GRANT_LEAVING};
	clerk_grant(clerk, 2, &g, at);
	pass(25);
	EQ(2, asked[0].isr_count);
	TRUE_(!view_has(&asked[0], copy_of(2)));
	cas_done(0);
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 2);
	EQ(B(3), needed(ordered(0, ORDER_VIEW)));
	/* It is back: another coordinator, which says no such thing. */
	g.flags = 0;
	g.round = beats[2].u.beat.round;
	pass_granted(250, B(3));
	g.round = beats[2].u.beat.round;
	clerk_grant(clerk, 2, &g, at);
	report(0, REPORT_NEAR, (struct place){0, 0}, 2);
	EQ(B(2) | B(3), needed(ordered(0, ORDER_VIEW)));
}

static void a_clerk_that_leaves_says_so(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	claimed(2, 1, 1, 0);
	EQ(0, grants[2].u.grant.flags);
	view_again(0);
	clerk_leave(clerk, at);
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	claimed(2, 1, 1, 0);
	EQ(GRANT_DRAINING | GRANT_LEAVING, grants[2].u.grant.flags);
}

static void the_wanted_primary_is_given_the_partition_after_a_while(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	targets(2, 1, 3);
	answered(CLERK_HOME_MS - 1000, B(2) | B(3));
	TRUE_(!ordered(0, ORDER_STOP));
	answered(2000, B(2) | B(3));
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	report(0, REPORT_DRAINED, (struct place){0, 0}, 0);
	EQ(2, asked[0].primary.node);
}

static void the_wanted_primary_is_given_nothing_while_it_drains_or_is_out(void)
{
	struct grant g;

	begin_with(1, B(1) | B(2) | B(3));
	targets(2, 1, 3);
	for (uint32_t i = 0; i < 2 * CLERK_HOME_MS; i += 200) {
		answered(200, B(3));
		g = (struct grant){.incarnation = beats[2].u.beat.incarnation,
				   .store = copy_of(2).store,
				   .round = beats[2].u.beat.round,
				   .flags = GRANT_DRAINING};
		clerk_grant(clerk, 2, &g, at);
	}
	TRUE_(!ordered(0, ORDER_STOP));
	view_is(0, view_make(2, 1, B(1) | B(3), false)); /* it is out of the set */
	answered(2 * CLERK_HOME_MS, B(2) | B(3));
	TRUE_(!ordered(0, ORDER_STOP));
	view_is(0, view_make(2, 1, B(1) | B(2) | B(3), false));
	answered(CLERK_HOME_MS - 1000, B(2) | B(3));
	TRUE_(!ordered(0, ORDER_STOP));
	answered(2000, B(2) | B(3));
	TRUE_(ordered(0, ORDER_STOP) != NULL);
}

/* One a second, of all that this node leads. */
static void partitions_go_home_one_after_the_other(void)
{
	uint32_t stopped = 0;

	begin_with(1, B(1) | B(2) | B(3));
	for (uint32_t p = 1; p < PARTS; p++) {
		view_is(p, view_make(1, 1, B(1) | B(2) | B(3), true));
		cas_done(p);
		leads(p);
	}
	for (uint32_t p = 0; p < PARTS; p++)
		clerk_target(clerk, p, (uint32_t[]){2, 1, 3}, 3);
	forget();
	answered(CLERK_HOME_MS - 1000, B(2) | B(3));
	for (uint32_t i = 0; i < 4000; i += 25) {
		uint32_t n = 0;

		for (uint32_t p = 0; p < PARTS; p++)
			view_again(p);
		answered(25, B(2) | B(3));
		for (uint32_t p = 0; p < PARTS; p++)
			n += ordered(p, ORDER_STOP) != NULL;
		TRUE_(n <= stopped + 1);
		if (n > stopped)
			TRUE_(i >= 1000 * stopped);
		stopped = n;
	}
	TRUE_(stopped >= 3);
}

static void a_copy_that_is_not_wanted_leaves_last(void)
{
	begin_with(1, B(1) | B(2) | B(3));
	targets(1, 2, 4);
	answered(1000, B(2) | B(3) | B(4));
	EQ(0, casses[0]);
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 4);
	report(0, REPORT_COUNTED, (struct place){0, 0}, 0);
	report(0, REPORT_CAUGHT, (struct place){0, 0}, 4);
	EQ(4, asked[0].isr_count);
	cas_done(0);
	EQ(3, asked[0].isr_count);
	TRUE_(!view_has(&asked[0], copy_of(3)));
	cas_done(0);
	/* The primary itself is not wanted. */
	targets(4, 2, 3);
	answered(500, B(2) | B(4) | B(3));
	view_again(0);
	report(0, REPORT_NEAR, (struct place){0, 0}, 3);
	report(0, REPORT_COUNTED, (struct place){0, 0}, 0);
	report(0, REPORT_CAUGHT, (struct place){0, 0}, 3);
	cas_done(0);
	answered(300, B(2) | B(4) | B(3));
	report(0, REPORT_DRAINED, (struct place){0, 0}, 0);
	EQ(4, asked[0].primary.node);
	EQ(3, asked[0].epoch);
}

UNIT_MAIN(T(a_silent_member_leaves), T(all_that_are_silent_leave_at_once),
	  T(a_member_that_is_stuck_or_full_leaves), T(a_node_that_was_stopped_blames_nobody),
	  T(who_hears_nobody_does_not_hurry_to_be_alone),
	  T(who_is_stuck_leaves_even_if_too_few_are_left),
	  T(below_min_copies_writes_are_held_first), T(who_comes_back_while_writes_are_held_stays),
	  T(a_takeover_with_too_few_says_where_the_log_ends),
	  T(a_learner_counts_before_it_is_asked_for),
	  T(a_learner_that_has_not_granted_is_not_asked_for),
	  T(a_learner_that_falls_behind_counts_no_more),
	  T(nothing_is_grown_while_the_agreement_is_away), T(growing_back_lets_writes_in_again),
	  T(both_sets_count_until_the_answer_is_known),
	  T(a_partition_is_handed_over_when_its_primary_has_stopped),
	  T(what_does_not_drain_is_not_handed_over), T(a_node_that_drains_is_given_nothing),
	  T(a_node_that_leaves_is_out_at_once), T(a_clerk_that_leaves_says_so),
	  T(a_primary_with_too_few_before_says_nothing_new),
	  T(a_worker_is_led_on_though_the_agreement_was_set_back),
	  T(the_wanted_primary_is_given_the_partition_after_a_while),
	  T(the_wanted_primary_is_given_nothing_while_it_drains_or_is_out),
	  T(partitions_go_home_one_after_the_other), T(a_copy_that_is_not_wanted_leaves_last))
