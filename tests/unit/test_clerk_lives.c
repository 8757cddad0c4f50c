/* Workers that die, and a clerk that goes on over a re-exec. */
#include "tests/unit/lib/clerk_begun.h"

/* ---- workers ---- */

static void views_and_lease_go_on_over_a_workers_death(void)
{
	begin_with(1, B(1) | B(2) | B(3));
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
	begin_with(1, B(1) | B(2) | B(3));
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
	begin_with(1, B(1) | B(2) | B(3));
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

	begin_with(1, B(1) | B(2) | B(3));
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

	begin_with(1, B(1) | B(2) | B(3));
	pass_granted(CLERK_SHRINK_MS + 50, B(2)); /* with a change on its way */
	EQ(1, casses[0]);
	by = asked[0].by;
	n = clerk_save(clerk, NULL, 0);
	TRUE_(n < sizeof(bytes));
	EQ(n, clerk_save(clerk, bytes, sizeof(bytes)));
	forget();
	again(bytes, n, 0);
	pass_granted(400, B(2));
	/* What may have waited for room in the worker's ring is said again: it goes on as it is. */
	EQ(3, order_count);
	EQ(ORDER_VIEW, orders[0].kind);
	EQ(B(2) | B(3), needed(&orders[0]));
	EQ(ORDER_LEAD, orders[1].kind);
	EQ(term_make(2, 1), orders[1].term);
	EQ(ORDER_GO_ON, orders[2].kind);
	TRUE_(gets[0] > 0);
	view_again(0);
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

/* A clerk that has taken over what another knew. */
static void go_on_anew(void)
{
	static char bytes[1 << 20];
	size_t n = clerk_save(clerk, bytes, sizeof(bytes));

	forget();
	again(bytes, n, 0);
	clerk_tick(clerk, at);
}

static void who_has_stopped_or_is_held_is_told_nothing_else(void)
{
	begin_with(2, B(1) | B(2));
	pass(CLERK_ALONE_MS + 75);
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
	go_on_anew();
	TRUE_(ordered(0, ORDER_HOLD) != NULL);
	/* Nobody could be heard meanwhile, so all is looked at anew. */
	TRUE_(ordered(0, ORDER_GO_ON)->number > ordered(0, ORDER_HOLD)->number);

	begin_with(1, B(1) | B(2) | B(3));
	view_again(0);
	clerk_drain(clerk, true, at);
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	go_on_anew();
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	TRUE_(!ordered(0, ORDER_GO_ON));
	view_again(0);
	report(0, REPORT_DRAINED, (struct place){0, 0}, 0);
	TRUE_(asked[0].primary.node != 1);
	go_on_anew(); /* now it is another's, perhaps */
	TRUE_(ordered(0, ORDER_STOP) != NULL);
	TRUE_(!ordered(0, ORDER_LEAD));
	TRUE_(!ordered(0, ORDER_GO_ON));
}

/* Its worker has never got the order. */
static void an_order_to_lead_is_given_again(void)
{
	start(1);
	worker_up(0, 1, 0);
	view_is(0, view_make(1, 1, B(1) | B(2) | B(3), true));
	cas_done(0);
	TRUE_(ordered(0, ORDER_LEAD) != NULL);
	go_on_anew();
	leads(0);
	EQ(2, leases[0].epoch);
	/* Once is enough, and a worker that has been started since is told anew in any case. */
	forget();
	pass_granted(500, B(2) | B(3));
	EQ(0, order_count);
	go_on_anew();
	forget();
	clerk_worker_down(clerk, 0, at);
	go_on_anew();
	EQ(0, order_count);
	worker_up(0, 2, 0);
	EQ(term_make(2, 2), ordered(0, ORDER_LEAD)->term);
	forget();
	pass(50);
	EQ(0, order_count);
}

static void ordered_anew(void)
{
	start(1);
	worker_up(0, 1, 0);
	worker_up(1, 1, 0);
	view_is(0, view_make(1, 1, B(1) | B(2) | B(3), true));
	cas_done(0);
}

/* Not so one that has begun anew: workers that are alive have orders of the one before. */
static void the_first_order_makes_void_what_was_ordered_before(void)
{
	uint64_t before;

	ordered_anew();
	TRUE_(orders[0].flags & ORDER_ANEW);
	for (uint32_t i = 1; i < order_count; i++)
		TRUE_(orders[i].head.partition != orders[0].head.partition ||
		      !(orders[i].flags & ORDER_ANEW));
	before = orders[order_count - 1].number;
	at = moment_after(at, 1000000);
	ordered_anew();
	TRUE_(orders[0].number > before); /* none that the worker may still report of */
}

/* Whoever is the next primary must have what the one that is away lacks. */
static void backups_are_told_that_one_is_away(void)
{
	begin_with(2, B(1) | B(2) | B(4));
	view_is(0, view_make(3, 1, B(1) | B(2) | B(4), false));
	targets(1, 2, 4);
	pass_granted(50, 0);
	EQ(0, ordered(0, ORDER_VIEW)->flags & ORDER_KEEP);
	view_is(0, view_make(3, 1, B(1) | B(2), false));
	EQ(ORDER_KEEP, ordered(0, ORDER_VIEW)->flags & ORDER_KEEP);
	EQ(0, ordered(0, ORDER_VIEW)->count);
	view_is(0, view_make(3, 1, B(1) | B(2) | B(4), false));
	EQ(0, ordered(0, ORDER_VIEW)->flags & ORDER_KEEP);
}

static void the_figures_tell_how_it_is(void)
{
	struct clerk_figures f;

	begin_with(2, B(1) | B(2));
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

/*
 * A member of nothing, without workers: it learns who leads, asks for no change however long nobody is
 * heard, gives no order and grants nothing.
 */
static void a_door_learns_who_leads_and_leads_nothing(void)
{
	static char bytes[1 << 20];
	struct clerk_figures f;
	uint32_t node = 0;
	size_t n;

	start(2);
	clerk_free(&clerk);
	config.self = (struct member){0};
	config.workers = 0;
	EQ(0, clerk_new(&config, &clerk_ops, NULL, at, &clerk));
	EQ(CLERK_NOBODY, clerk_serves(clerk, 0, &node));
	for (uint32_t i = 0; i < PARTS; i++)
		view_is(i, view_make(3, 1 + i % 3, B(1) | B(2) | B(3), false));
	targets(1, 2, 3);
	pass_answered(60000);
	for (uint32_t i = 0; i < PARTS; i++) {
		EQ(CLERK_THERE, clerk_serves(clerk, i, &node));
		EQ(1 + i % 3, node);
		EQ(0, casses[i]);
		TRUE_(!clerk_why(clerk, i, 0, at, &node));
	}
	EQ(0, order_count);
	EQ(0, beats[1].n + beats[2].n + beats[3].n);
	/* It may have been a member before, in whose place nothing is to be granted. */
	claimed(1, 0, 3, 0);
	EQ(0, grants[1].n);
	clerk_drain(clerk, true, at);
	clerk_leave(clerk, at);
	clerk_figures(clerk, at, &f);
	EQ(0, f.copies + f.leading + f.without_primary + f.unknown + f.pending);
	/* Over an upgrade, too. */
	n = clerk_save(clerk, bytes, sizeof(bytes));
	TRUE_(n <= sizeof(bytes));
	again(bytes, n, 0);
	EQ(CLERK_THERE, clerk_serves(clerk, 1, &node));
	EQ(2, node);
	view_is(1, view_make(4, 3, B(1) | B(3), false));
	EQ(CLERK_THERE, clerk_serves(clerk, 1, &node));
	EQ(3, node);
}

UNIT_MAIN(T(views_and_lease_go_on_over_a_workers_death), T(who_has_no_worker_resigns),
	  T(who_hangs_on_its_disk_resigns), T(a_log_that_takes_no_term_is_given_up),
	  T(who_has_not_led_does_not_release_what_another_has),
	  T(who_lacks_what_is_committed_hands_over_to_who_has_it), T(a_clerk_goes_on_over_a_reexec),
	  T(who_has_stopped_or_is_held_is_told_nothing_else), T(an_order_to_lead_is_given_again),
	  T(the_first_order_makes_void_what_was_ordered_before),
	  T(backups_are_told_that_one_is_away), T(the_figures_tell_how_it_is),
	  T(a_door_learns_who_leads_and_leads_nothing))
