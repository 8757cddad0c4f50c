/* Leases, and who becomes primary when: by hand, moment by moment. */
#include "tests/unit/lib/clerk_begun.h"

/* ---- leases ---- */

static void a_lease_needs_all_members(void)
{
	start(1);
	worker_up(0, 1, 0);
	view_is(0, view_make(1, 1, B(1) | B(2) | B(3), true));
	cas_done(0);
	leads(0);
	pass(25);
	EQ(1, beats[2].u.beat.count);
	EQ(2, term_epoch(beats[2].u.beat.claims[0].term));
	granted(2);
	EQ(0, lease_ms(0));
	granted(3);
	EQ(2, leases[0].epoch);
	TRUE_(lease_ms(0) > 900);
}

/* Row 4: it counts from when the beat was sent. */
static void a_lease_begins_when_the_beat_was_sent(void)
{
	begin_leading(1);
	pass(1200);
	EQ(0, lease_ms(0));
	forget();
	while (!beats[2].n)
		pass(5);
	pass(150);
	granted(2);
	granted(3);
	TRUE_(lease_ms(0) <= 850 && lease_ms(0) >= 800);
}

static void a_grant_of_an_old_round_or_life_is_none(void)
{
	struct grant g;

	begin_leading(1);
	g = (struct grant){.incarnation = config.incarnation,
			   .store = copy_of(2).store,
			   .round = beats[2].u.beat.round};
	pass_granted(2000, B(3));
	EQ(0, lease_ms(0));
	clerk_grant(clerk, 2, &g, at);
	EQ(0, lease_ms(0));
	g.round = beats[2].u.beat.round;
	g.incarnation++;
	clerk_grant(clerk, 2, &g, at);
	EQ(0, lease_ms(0));
	g.incarnation--;
	g.store++; /* row 16 */
	clerk_grant(clerk, 2, &g, at);
	EQ(0, lease_ms(0));
	g.store--;
	clerk_grant(clerk, 2, &g, at);
	TRUE_(lease_ms(0) > 0);
}

/* Row 19: what a node refuses of a round is not granted, and what it grants is no other epoch's. */
static void a_grant_is_for_what_was_claimed(void)
{
	union {
		struct grant g;
		char bytes[sizeof(struct grant) + sizeof(struct claim)];
	} u = {.g = {0}};
	struct claim refused = {0, 0, term_make(2, 0)};
	uint64_t round;

	begin_leading(1);
	pass(225);
	u.g = (struct grant){.incarnation = config.incarnation,
			     .store = copy_of(2).store,
			     .round = beats[2].u.beat.round,
			     .count = 1};
	memcpy(u.bytes + sizeof(struct grant), &refused, sizeof(refused));
	clerk_grant(clerk, 2, &u.g, at);
	granted(3);
	TRUE_(lease_ms(0) < 800);
	pass(800);
	EQ(0, lease_ms(0));
	/* Its round of epoch 2, granted when it leads in epoch 4. */
	round = beats[2].u.beat.round;
	view_is(0, view_make(3, 2, B(1) | B(2) | B(3), true));
	view_is(0, view_make(4, 1, B(1) | B(2) | B(3), true));
	leads(0);
	u.g.round = round;
	u.g.count = 0;
	clerk_grant(clerk, 2, &u.g, at);
	u.g.store = copy_of(3).store;
	clerk_grant(clerk, 3, &u.g, at);
	EQ(0, lease_ms(0));
	pass(25);
	granted(2);
	granted(3);
	TRUE_(lease_ms(0) > 900);
	EQ(4, leases[0].epoch);
}

/* Rows 24 and 46. */
static void a_lease_is_nothing_until_the_worker_leads_in_its_epoch(void)
{
	begin_leading(1);
	view_is(0, view_make(3, 1, B(1), true));
	EQ(0, leases[0].epoch);
	EQ(0, lease_ms(0));
	EQ(3, term_epoch(ordered(0, ORDER_LEAD)->term));
	leads(0);
	EQ(3, leases[0].epoch);
	EQ(INT64_MAX, lease_ms(0)); /* row 37: nobody else may take over */
}

static void a_refusal_that_names_a_higher_epoch_ends_the_lease(void)
{
	union {
		struct grant g;
		char bytes[sizeof(struct grant) + sizeof(struct claim)];
	} u = {.g = {0}};
	struct claim refused = {0, 0, term_make(3, 0)};

	begin_leading(1);
	u.g = (struct grant){.incarnation = config.incarnation,
			     .store = copy_of(2).store,
			     .round = beats[2].u.beat.round,
			     .count = 1};
	memcpy(u.bytes + sizeof(struct grant), &refused, sizeof(refused));
	forget();
	pass(60);
	clerk_grant(clerk, 2, &u.g, at);
	EQ(0, lease_ms(0));
	EQ(1, gets[0]);
	EQ(3, term_epoch(ordered(0, ORDER_VIEW)->term)); /* its worker is deposed */
	EQ(0, ordered(0, ORDER_VIEW)->count);
	forget();
	pass(250);
	EQ(0, beats[2].n);
}

/* ---- granting ---- */

/* Row 20. */
static void before_its_first_read_a_node_grants_nothing(void)
{
	struct view v = view_make(5, 2, B(1) | B(2) | B(3), false);

	start(1);
	worker_up(0, 1, 0);
	EQ(0, order_count);
	claimed(2, 0, 5, 0);
	TRUE_(!was_granted(2));
	/* A change that was noticed, or told, is no such read. */
	v.revision = ++revision;
	clerk_view(clerk, 0, &v, false, 0, 0, at);
	claimed(2, 0, 5, 0);
	TRUE_(!was_granted(2));
	TRUE_(!ordered(0, ORDER_VIEW));
	pass(400);
	TRUE_(gets[0] > 0);
	view_again(0);
	claimed(2, 0, 5, 0);
	TRUE_(was_granted(2));
	EQ(1, ordered(0, ORDER_VIEW)->may_append);
}

static void a_list_is_a_read_of_all(void)
{
	struct view v = view_make(5, 2, B(1) | B(2), false);

	start(1);
	worker_up(0, 1, 0);
	v.revision = ++revision;
	clerk_view(clerk, 0, &v, true, revision, revision, at);
	v.revision = ++revision;
	clerk_view(clerk, 2, &v, false, 0, 0, at);
	clerk_listed(clerk, 0, revision, at);
	claimed(2, 2, 5, 0);
	TRUE_(was_granted(2));
	claimed(2, 1, 5, 0); /* it has no view */
	TRUE_(!was_granted(2));
}

static void a_lower_epoch_is_refused_and_a_primary_grants_nobody(void)
{
	begin_member(1);
	claimed(3, 0, 4, 0);
	TRUE_(!was_granted(3));
	EQ(5, term_epoch(grants[3].u.grant.refused[0].term));
	claimed(3, 0, 6, 0);
	TRUE_(was_granted(3));
	claimed(2, 0, 5, 0);
	TRUE_(!was_granted(2));
	begin_leading(1);
	claimed(3, 0, 2, 0);
	TRUE_(!was_granted(3));
	claimed(3, 0, 3, 0);
	TRUE_(!was_granted(3));
}

/* ---- taking over ---- */

/* Rows 3 and 4. */
static void a_member_takes_over_when_its_grace_is_over(void)
{
	begin_member(1);
	pass_answered(GRACE - 25);
	EQ(0, casses[0]);
	pass_answered(75);
	EQ(1, casses[0]);
	EQ(6, asked[0].epoch);
	EQ(1, asked[0].primary.node);
	EQ(2, asked[0].isr_count);
	TRUE_(!view_has(&asked[0], copy_of(2)));
	TRUE_(!asked[0].released);
	/* Row 1: it leads when it knows that it may, and in that epoch. */
	TRUE_(!ordered(0, ORDER_LEAD));
	cas_done(0);
	EQ(6, term_epoch(ordered(0, ORDER_LEAD)->term));
	EQ(MEMBER_NEEDED, ordered(0, ORDER_LEAD)->member[0].flags);
}

static void a_grace_is_over_when_both_clocks_say_so(void)
{
	begin_member(1);
	for (int i = 0; i < 100; i++) { /* the machine is suspended: one clock stands */
		at.boot_us += 25000;
		clerk_tick(clerk, at);
		view_again(0);
	}
	EQ(0, casses[0]);
	pass_answered(GRACE + 50);
	EQ(1, casses[0]);
}

static void those_who_may_take_over_do_so_one_after_the_other(void)
{
	start(1);
	worker_up(0, 1, 0);
	/* The order is that of the set: 3 comes first, then 4, then this node. */
	{
		struct view v = view_make(5, 2, B(2) | B(3) | B(4), false);

		v.isr[v.isr_count++] = copy_of(1);
		view_is(0, v);
	}
	pass(500);
	claimed(2, 0, 5, 0);
	pass_answered(GRACE + 2 * CLERK_PLACE_MS - 25);
	EQ(0, casses[0]);
	pass_answered(75);
	EQ(1, casses[0]);
}

static void a_view_that_has_just_changed_is_left_alone(void)
{
	begin_member(1);
	pass_answered(GRACE - 50);
	view_is(0, view_make(5, 2, B(1) | B(2), false));
	pass_answered(CLERK_SETTLED_MS - 25);
	EQ(0, casses[0]);
	pass_answered(75);
	EQ(1, casses[0]);
}

/* Row 39, and the agreement must be there. */
static void nobody_takes_over_without_a_worker_or_an_answer(void)
{
	begin_member(1);
	clerk_worker_down(clerk, 0, at);
	pass_answered(2000);
	EQ(0, casses[0]);
	pass(1100);
	worker_up(0, 2, 0);
	forget();
	pass(2000);
	EQ(0, casses[0]);
	TRUE_(gets[0] > 1);
	pass_answered(400);
	TRUE_(casses[0] > 0);
}

static void a_node_that_is_no_member_or_drains_takes_nothing_over(void)
{
	begin_member(1);
	view_is(0, view_make(5, 2, B(2) | B(3), false));
	pass_answered(3000);
	EQ(0, casses[0]);
	begin_member(1);
	clerk_drain(clerk, true, at);
	pass_answered(3000);
	EQ(0, casses[0]);
	clerk_drain(clerk, false, at);
	pass_answered(200);
	EQ(1, casses[0]);
}

/* Row 6. */
static void a_restart_counts_as_a_grant(void)
{
	start(1);
	worker_up(0, 1, 0);
	view_is(0, view_make(5, 2, B(1) | B(2), false));
	pass_answered(GRACE - 50);
	EQ(0, casses[0]);
	pass_answered(100);
	EQ(1, casses[0]);
}

/* Row 7: while its change is on its way it grants nothing, then it does, and waits for that. */
static void who_has_granted_meanwhile_waits_before_it_leads(void)
{
	begin_member(1);
	pass_answered(GRACE + 50);
	EQ(1, casses[0]);
	claimed(2, 0, 5, 0);
	TRUE_(!was_granted(2));
	pass(1025);
	claimed(2, 0, 5, 0);
	TRUE_(was_granted(2));
	cas_done(0);
	EQ(0, lease_ms(0));
	pass(GRACE - 25);
	TRUE_(!ordered(0, ORDER_LEAD));
	pass(75);
	TRUE_(ordered(0, ORDER_LEAD) != NULL);
}

/* Row 8: an answer that does not come means nothing; the same is asked for again. */
static void a_change_without_an_answer_is_asked_for_again(void)
{
	uint64_t by;

	begin_member(1);
	pass_answered(GRACE + 50);
	by = asked[0].by;
	EQ(1, casses[0]);
	pass(CLERK_AGAIN_MS + 300); /* not before the store has been read since */
	EQ(1, casses[0]);
	TRUE_(gets[0] > 0);
	view_again(0); /* it has not happened yet, and still may */
	EQ(2, casses[0]);
	EQ(by, asked[0].by);
	pass_answered(2000);
	TRUE_(casses[0] >= 5);
	EQ(by, asked[0].by);
	forget();
	view_is(0, view_make(6, 3, B(1) | B(3), false)); /* now it cannot */
	claimed(3, 0, 6, 0);
	TRUE_(was_granted(3));
	pass(500);
	EQ(0, casses[0]);
}

/* It may have been set back, and take what its base is, though that was replaced long ago. */
static void nothing_is_asked_of_a_store_that_has_not_what_is_known(void)
{
	begin_member(1);
	pass_answered(GRACE - 100);
	clerk_revision_known(clerk, revision + 1);
	forget();
	for (int i = 0; i < 8;
	     i++) { /* the view is fresh enough; a late answer tells nothing new */
		struct view v = *clerk_view_of(clerk, 0);

		pass(25);
		clerk_view(clerk, 0, &v, true, revision, revision, at);
	}
	EQ(0, casses[0]);
	TRUE_(gets[0] > 0);
	TRUE_(!clerk_set_back(clerk));
	revision++; /* a read that has it all */
	view_again(0);
	EQ(1, casses[0]);
	/* And not again, while others know of more. */
	forget();
	clerk_revision_known(clerk, revision + 1);
	for (int i = 0; i < 40; i++) {
		struct view v = *clerk_view_of(clerk, 0);

		pass(25);
		clerk_view(clerk, 0, &v, true, revision, revision, at);
	}
	EQ(0, casses[0]);
	revision++;
	view_again(0);
	EQ(1, casses[0]);
}

/* Rows 14 and 20. */
static void who_is_primary_after_a_restart_takes_a_new_epoch(void)
{
	start(1);
	worker_up(0, 1, term_make(4, 3));
	view_is(0, view_make(5, 1, B(1) | B(2), false));
	TRUE_(!ordered(0, ORDER_LEAD));
	EQ(1, casses[0]);
	EQ(6, asked[0].epoch);
	EQ(1, asked[0].primary.node);
	EQ(2, asked[0].isr_count);
	TRUE_(!asked[0].released);
	cas_done(0);
	pass(GRACE - 25); /* it may have granted the one before it the lease */
	TRUE_(!ordered(0, ORDER_LEAD));
	pass(75);
	EQ(term_make(6, 1), ordered(0, ORDER_LEAD)->term);
}

static void who_has_led_in_the_epoch_waits_for_nobody(void)
{
	start(1);
	worker_up(0, 1, term_make(5, 0));
	view_is(0, view_make(5, 1, B(1) | B(2), false));
	TRUE_(asked[0].released);
	cas_done(0);
	EQ(6, term_epoch(ordered(0, ORDER_LEAD)->term));
}

/* Row 36. */
static void an_older_view_changes_nothing(void)
{
	struct view old = view_make(4, 3, B(1) | B(3), false);

	begin_member(1);
	old.revision = clerk_view_of(clerk, 0)->revision - 1;
	clerk_view(clerk, 0, &old, false, 0, 0, at);
	EQ(5, clerk_view_of(clerk, 0)->epoch);
	EQ(0, changes[0]);
}

static void routing_asks_who_serves(void)
{
	uint32_t node = 0;

	begin_member(1);
	EQ(CLERK_THERE, clerk_serves(clerk, 0, &node));
	EQ(2, node);
	EQ(CLERK_NOBODY, clerk_serves(clerk, 1, &node));
	begin_leading(1);
	EQ(CLERK_HERE, clerk_serves(clerk, 0, &node));
	/* It is an earlier folder of this node. */
	{
		struct view v = view_make(9, 2, B(2), false);

		v.primary = v.isr[0] = (struct member){77, 1, 0};
		view_is(0, v);
	}
	EQ(CLERK_NOBODY, clerk_serves(clerk, 0, &node));
}

/* ---- the store goes back ---- */

/* Rows 28 and 42. */
static void a_store_that_was_set_back_is_not_followed(void)
{
	struct view old;

	begin_member(1);
	old = *clerk_view_of(clerk, 0);
	clerk_view(clerk, 0, &old, true, revision, revision - 1, at);
	TRUE_(clerk_set_back(clerk));
	pass_answered(3000);
	EQ(0, casses[0]);
	/* Another node has seen more than the store has. */
	begin_member(1);
	clerk_revision_known(clerk, revision + 10);
	TRUE_(!clerk_set_back(clerk));
	pass(GRACE);
	EQ(revision + 10, known_at_get[0]);
	old = *clerk_view_of(clerk, 0);
	clerk_view(clerk, 0, &old, true, known_at_get[0], revision + 5, at);
	TRUE_(clerk_set_back(clerk));
	pass(1000);
	EQ(0, casses[0]);
	/* It has gone on since, but not with the same key. */
	begin_member(1);
	old = *clerk_view_of(clerk, 0);
	old.revision--;
	clerk_view(clerk, 0, &old, true, 0, revision + 3, at);
	TRUE_(clerk_set_back(clerk));
	/* An answer that was asked for long ago and comes late is none of that. */
	begin_member(1);
	old = *clerk_view_of(clerk, 0);
	old.revision--;
	clerk_view(clerk, 0, &old, true, revision - 1, revision - 1, at);
	TRUE_(!clerk_set_back(clerk));
}

static void a_log_of_a_later_epoch_than_the_view_is_not_served(void)
{
	start(1);
	worker_up(0, 1, term_make(9, 2));
	view_is(0, view_make(5, 1, B(1) | B(2), true));
	pass_answered(3000);
	EQ(0, casses[0]);
	TRUE_(!ordered(0, ORDER_LEAD));
	claimed(2, 0, 5, 0);
	TRUE_(!was_granted(2));
	view_is(0, view_make(9, 1, B(1) | B(2), true));
	EQ(1, casses[0]);
}

/* ---- yielding ---- */

/* Row 44. */
static void who_has_lost_the_agreement_yields(void)
{
	begin_leading(1);
	pass_granted(1000, B(2)); /* 3 is silent */
	EQ(1, asked[0].isr_count == 2);
	EQ(0, beats[2].u.beat.claims[0].flags);
	pass_granted(1600, B(2));
	EQ(CLAIM_YIELD, beats[2].u.beat.claims[0].flags);
	cas_done(0);
	pass(225);
	EQ(0, beats[2].u.beat.claims[0].flags);
}

static void a_member_that_has_the_agreement_takes_what_is_yielded(void)
{
	begin_member(1);
	for (int i = 0; i < 4; i++) { /* it has not the agreement either */
		pass(1200);
		claimed(2, 0, 5, CLAIM_YIELD);
		TRUE_(was_granted(2));
	}
	EQ(0, casses[0]);
	view_again(0);
	for (int i = 0; i < 6 && !casses[0]; i++) {
		claimed(2, 0, 5, CLAIM_YIELD);
		TRUE_(!was_granted(2));
		view_again(0);
		pass_answered(200);
	}
	EQ(1, casses[0]);
	EQ(6, asked[0].epoch);
}

UNIT_MAIN(T(a_lease_needs_all_members), T(a_lease_begins_when_the_beat_was_sent),
	  T(a_grant_of_an_old_round_or_life_is_none), T(a_grant_is_for_what_was_claimed),
	  T(a_lease_is_nothing_until_the_worker_leads_in_its_epoch),
	  T(a_refusal_that_names_a_higher_epoch_ends_the_lease),
	  T(before_its_first_read_a_node_grants_nothing), T(a_list_is_a_read_of_all),
	  T(a_lower_epoch_is_refused_and_a_primary_grants_nobody),
	  T(a_member_takes_over_when_its_grace_is_over), T(a_grace_is_over_when_both_clocks_say_so),
	  T(those_who_may_take_over_do_so_one_after_the_other),
	  T(a_view_that_has_just_changed_is_left_alone),
	  T(nobody_takes_over_without_a_worker_or_an_answer),
	  T(a_node_that_is_no_member_or_drains_takes_nothing_over), T(a_restart_counts_as_a_grant),
	  T(who_has_granted_meanwhile_waits_before_it_leads),
	  T(a_change_without_an_answer_is_asked_for_again),
	  T(nothing_is_asked_of_a_store_that_has_not_what_is_known),
	  T(who_is_primary_after_a_restart_takes_a_new_epoch),
	  T(who_has_led_in_the_epoch_waits_for_nobody), T(an_older_view_changes_nothing),
	  T(routing_asks_who_serves), T(a_store_that_was_set_back_is_not_followed),
	  T(a_log_of_a_later_epoch_than_the_view_is_not_served),
	  T(who_has_lost_the_agreement_yields),
	  T(a_member_that_has_the_agreement_takes_what_is_yielded))
