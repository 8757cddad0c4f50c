/* Members that come and go, partitions that are handed over, workers that die, a clerk that goes on. */
#include "tests/unit/lib/clerk_fixture.h"

#define B(n) (1u << (n))

/* Node 1 leads partition 0 in epoch 2, with these members, who grant it the lease. */
static void begin(uint32_t min_copies, uint32_t isr)
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

static void answered(uint64_t ms, uint32_t nodes)
{
	for (uint64_t i = 0; i < ms; i += 25) {
		pass_granted(25, nodes);
		if (gets[0])
			view_again(0);
		gets[0] = 0;
	}
}

static uint32_t needed(const struct parcel_order *o)
{
	uint32_t set = 0;

	CU_ASSERT_FATAL(o != NULL);
	for (uint32_t i = 0; i < o->count; i++)
		if (o->member[i].flags & MEMBER_NEEDED)
			set |= B(o->member[i].id.node);
	return set;
}

/* ---- shrinking ---- */

/* Row 2: who is silent counts until it is known that it is out. */
static void a_silent_member_leaves(void)
{
	begin(1, B(1) | B(2) | B(3));
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
	begin(1, B(1) | B(2) | B(3));
	pass(CLERK_SHRINK_MS + 75);
	EQ(1, asked[0].isr_count);
	cas_done(0);
	EQ(INT64_MAX, lease_ms(0));
}

static void a_member_that_is_stuck_or_full_leaves(void)
{
	begin(1, B(1) | B(2) | B(3));
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
	begin(1, B(1) | B(2) | B(3));
	at.boot_us += 5000000;
	at.raw_us += 5000000;
	pass_granted(500, B(2) | B(3));
	EQ(0, casses[0]);
}

/* ---- too few copies ---- */

static void below_min_copies_writes_are_held_first(void)
{
	begin(2, B(1) | B(2));
	pass(CLERK_SHRINK_MS + 75);
	EQ(0, casses[0]);
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
	report(0, REPORT_HELD, (struct place){term_make(2, 1), 17}, 0);
	EQ(1, casses[0]);
	EQ(17, asked[0].frozen.sequence);
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
	begin(2, B(1) | B(2));
	pass(CLERK_SHRINK_MS + 75);
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
	report(0, REPORT_HELD, (struct place){term_make(5, 0), 40}, 0);
	EQ(1, casses[0]);
	EQ(40, asked[0].frozen.sequence);
	cas_done(0);
	EQ(ORDER_TOO_FEW, ordered(0, ORDER_LEAD)->flags);
	/* The log had gone on since: the view is set right. */
	leads(0);
	forget();
	report(0, REPORT_HELD, (struct place){term_make(5, 0), 42}, 0);
	EQ(1, casses[0]);
	EQ(42, asked[0].frozen.sequence);
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
	view_is(0, v);
	EQ(6, asked[0].epoch);
	EQ(30, asked[0].frozen.sequence);
	cas_done(0);
	leads(0);
	forget();
	report(0, REPORT_HELD, (struct place){term_make(5, 1), 31}, 0);
	pass(300);
	EQ(0, casses[0]);
}

static void a_worker_is_led_on_though_the_agreement_was_set_back(void)
{
	begin(1, B(1) | B(2));
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

static void targets(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t t[3] = {a, b, c};

	EQ(0, clerk_node(clerk, a, copy_of(a).store));
	EQ(0, clerk_node(clerk, b, copy_of(b).store));
	EQ(0, clerk_node(clerk, c, copy_of(c).store));
	clerk_target(clerk, 0, t, 3);
}

/* Rows 9 and 38. */
static void a_learner_counts_before_it_is_asked_for(void)
{
	uint64_t number;

	begin(2, B(1) | B(2));
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
	begin(2, B(1) | B(2));
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
	begin(2, B(1) | B(2));
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
	begin(2, B(1) | B(2));
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

	begin(2, B(1) | B(2));
	v = view_make(2, 1, B(1), false);
	v.frozen = (struct place){term_make(2, 1), 17};
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
	EQ(ORDER_TOO_FEW, ordered(0, ORDER_VIEW)->flags);
	cas_done(0);
	EQ(0, ordered(0, ORDER_VIEW)->flags);
}

/* Row 8, while a learner is asked for. */
static void both_sets_count_until_the_answer_is_known(void)
{
	begin(2, B(1) | B(2));
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
	begin(1, B(1) | B(2) | B(3));
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
	begin(1, B(1) | B(2) | B(3));
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

	begin(1, B(1) | B(2) | B(3));
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

	begin(1, B(1) | B(2) | B(3));
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
	begin(1, B(1) | B(2) | B(3));
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
	begin(1, B(1) | B(2) | B(3));
	targets(2, 1, 3);
	answered(CLERK_HOME_MS - 1000, B(2) | B(3));
	TRUE_(!ordered(0, ORDER_STOP));
	answered(2000, B(2) | B(3));
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	report(0, REPORT_DRAINED, (struct place){0, 0}, 0);
	EQ(2, asked[0].primary.node);
}

static void a_copy_that_is_not_wanted_leaves_last(void)
{
	begin(1, B(1) | B(2) | B(3));
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

/* ---- workers ---- */

static void views_and_lease_go_on_over_a_workers_death(void)
{
	begin(1, B(1) | B(2) | B(3));
	clerk_worker_down(clerk, 0, at);
	pass_granted(500, B(2) | B(3));
	TRUE_(lease_ms(0) > 700);
	EQ(0, casses[0]);
	forget();
	worker_up(0, 2, term_make(2, 1));
	EQ(term_make(2, 2), ordered(0, ORDER_LEAD)->term);
	EQ(B(2) | B(3), needed(ordered(0, ORDER_LEAD)));
	EQ(0, casses[0]);
	/* What its last life said is void. */
	{
		struct parcel_report r = {
			.head = {sizeof(r), PARCEL_REPORT, 0, 0, 0},
			.number = 1,
			.kind = REPORT_STUCK,
			.member = copy_of(2)
                };

		clerk_report(clerk, &r, at);
	}
	pass(25);
	EQ(0, casses[0]);
}

static void who_has_no_worker_resigns(void)
{
	begin(1, B(1) | B(2) | B(3));
	clerk_worker_down(clerk, 0, at);
	pass_granted(CLERK_RESIGN_MS - 50, B(2) | B(3));
	EQ(0, casses[0]);
	pass_granted(100, B(2) | B(3));
	EQ(1, casses[0]);
	EQ(3, asked[0].epoch);
	EQ(2, asked[0].primary.node);
	EQ(2, asked[0].isr_count);
	TRUE_(!view_has(&asked[0], copy_of(1)));
	TRUE_(asked[0].released);
	EQ(0, lease_ms(0));
}

/* Row 45. */
static void who_hangs_on_its_disk_resigns(void)
{
	begin(1, B(1) | B(2) | B(3));
	clerk_worker_sync(clerk, 0, at);
	pass_granted(CLERK_RESIGN_MS - 50, B(2) | B(3));
	clerk_worker_sync(clerk, 0, MOMENT_NEVER);
	pass_granted(200, B(2) | B(3));
	EQ(0, casses[0]);
	clerk_worker_sync(clerk, 0, at);
	pass_granted(CLERK_RESIGN_MS + 50, B(2) | B(3));
	EQ(1, casses[0]);
	EQ(3, asked[0].epoch);
	EQ(2, asked[0].primary.node);
	EQ(2, asked[0].isr_count);
	TRUE_(asked[0].released);
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	EQ(0, lease_ms(0));
}

static void a_log_that_takes_no_term_is_given_up(void)
{
	start(1);
	worker_up(0, 1, 0);
	view_is(0, view_make(1, 1, B(1) | B(2), true));
	cas_done(0);
	TRUE_(ordered(0, ORDER_LEAD) != NULL);
	pass(CLERK_RESIGN_MS - 50);
	claimed(2, 1, 1, 0); /* 2 is there */
	forget();
	pass(100);
	EQ(1, casses[0]);
	EQ(2, asked[0].primary.node);
}

/* Row 41. */
static void who_has_not_led_does_not_release_what_another_has(void)
{
	start(1);
	worker_up(0, 1, 0);
	view_is(0, view_make(5, 2, B(1) | B(2), false));
	pass(3000);
	claimed(2, 0, 5, 0);
	TRUE_(was_granted(2));
	/* Its late change has made it the primary; its worker is down for long. */
	clerk_worker_down(clerk, 0, at);
	pass(800);
	claimed(2, 0, 5, 0);
	pass(600);
	view_is(0, view_make(6, 1, B(1) | B(2), false));
	claimed(2, 1, 1, 0);
	pass(150);
	EQ(1, casses[0]);
	EQ(7, asked[0].epoch);
	TRUE_(!asked[0].released);
}

static void who_lacks_what_is_committed_hands_over_to_who_has_it(void)
{
	struct parcel_report r = {
		.head = {sizeof(r), PARCEL_REPORT, 0, 3, 0},
		.kind = REPORT_DAMAGED,
		.member = copy_of(1)
        };

	begin(1, B(1) | B(2) | B(3));
	r.number = UINT32_MAX;
	clerk_report(clerk, &r, at);
	EQ(1, casses[0]);
	EQ(3, asked[0].primary.node);
	EQ(2, asked[0].isr_count);
	EQ(0, lease_ms(0));
}

/* ---- over a re-exec ---- */

static void again(void *bytes, size_t n, int want)
{
	clerk_free(&clerk);
	config.incarnation++;
	EQ(0, clerk_new(&config, &clerk_ops, NULL, at, &clerk));
	EQ(want, clerk_restore(clerk, bytes, n, at));
}

static void a_clerk_goes_on_over_a_reexec(void)
{
	static char bytes[1 << 20];
	size_t n;
	uint64_t by;

	begin(1, B(1) | B(2) | B(3));
	pass_granted(CLERK_SHRINK_MS + 50, B(2)); /* with a change on its way */
	EQ(1, casses[0]);
	by = asked[0].by;
	n = clerk_save(clerk, NULL, 0);
	TRUE_(n < sizeof(bytes));
	EQ(n, clerk_save(clerk, bytes, sizeof(bytes)));
	forget();
	again(bytes, n, 0);
	pass_granted(400, B(2));
	EQ(0, order_count); /* the worker goes on as it is */
	EQ(by, asked[0].by);
	TRUE_(casses[0] > 0);
	EQ(2, clerk_view_of(clerk, 0)->epoch);
	cas_done(0);
	EQ(B(2), needed(ordered(0, ORDER_VIEW)));
	TRUE_(lease_ms(0) > 700);
	EQ(2, leases[0].epoch);

	bytes[n / 2] ^= 1;
	again(bytes, n, -EBADMSG);
	bytes[n / 2] ^= 1;
	again(bytes, n - 1, -EBADMSG);
	again(bytes, 8, -EBADMSG);
	config.self.store++;
	again(bytes, n, -EPROTO);
	TRUE_(!clerk_view_of(clerk, 0)); /* it counts as a restart */
}

static void the_figures_tell_how_it_is(void)
{
	struct clerk_figures f;

	begin(2, B(1) | B(2));
	targets(1, 2, 4);
	view_is(1, view_make(3, 2, B(1) | B(2) | B(3), false));
	pass_granted(250, B(2) | B(4));
	clerk_figures(clerk, at, &f);
	EQ(1, f.leading);
	EQ(2, f.copies);
	EQ(0, f.in_sync);
	EQ(1, f.learning);
	EQ(0, f.too_few);
	EQ(2, f.unknown);
	EQ(0, f.pending);
	TRUE_(f.lease_ms_left > 700 && f.lease_ms_left <= 1000);
	view_is(0, view_make(2, 1, B(1), false));
	clerk_figures(clerk, at, &f);
	EQ(1, f.too_few);
}

UNIT_MAIN(T(a_silent_member_leaves), T(all_that_are_silent_leave_at_once),
	  T(a_member_that_is_stuck_or_full_leaves), T(a_node_that_was_stopped_blames_nobody),
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
	  T(a_copy_that_is_not_wanted_leaves_last), T(views_and_lease_go_on_over_a_workers_death),
	  T(who_has_no_worker_resigns), T(who_hangs_on_its_disk_resigns),
	  T(a_log_that_takes_no_term_is_given_up),
	  T(who_has_not_led_does_not_release_what_another_has),
	  T(who_lacks_what_is_committed_hands_over_to_who_has_it), T(a_clerk_goes_on_over_a_reexec),
	  T(the_figures_tell_how_it_is))
