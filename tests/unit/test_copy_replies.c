/* When a reply may be told: what it has consulted is committed, and what it tells is still so. */
#include "tests/unit/lib/copy_fixture.h"

#define B(n) (1u << (n))

static const uint64_t T1 = 1u << 16;
static const uint64_t T2 = 2u << 16;

static const struct moment now = {5000, 5000};
static const struct copy_lease held = {
	1, 0, {6000, 6000}
};
static const struct copy_lease none = {
	0, 0, {0, 0}
};

static enum copy_verdict judge(struct copy_wait w, struct copy_lease lease)
{
	return copy_judge(&sides[1].c, &w, &lease, now);
}

static void acks_come(void)
{
	sync_side(1);
	sync_side(2);
	while (deliver_one(1))
		;
}

/* Node 1 leads in T1, 2 is a member and has all so far. */
static void begin(void)
{
	sides_new();
	lead(1, T1, B(2));
	settle_all();
	EQ(1, sides[1].c.commit);
}

static void a_write_is_told_when_it_is_committed(void)
{
	struct copy_wait w = {.term = T1, .observed = 2, .clients = 2, .wrote = true};

	begin();
	write_n(1, 1);
	EQ(COPY_WAIT, judge(w, none));
	while (deliver_one(2))
		;
	EQ(COPY_WAIT, judge(w, none));
	acks_come();
	EQ(COPY_TELL, judge(w, none));
}

/* Row 18. */
static void a_read_waits_for_what_it_has_looked_at(void)
{
	struct copy_wait w = {.term = T1, .observed = 2, .clients = 2, .tells_state = true};

	begin();
	write_n(1, 1);
	EQ(COPY_WAIT, judge(w, held));
	settle_all();
	EQ(COPY_TELL, judge(w, held));
}

/* Rows 3, 17, 23, 24, 46. */
static void what_tells_state_needs_the_lease_of_its_epoch(void)
{
	struct copy_wait read = {.term = T1, .tells_state = true};
	struct copy_wait refusal = {.term = T1, .tells_state = true, .refuses = true};
	struct copy_wait busy = {.term = T1};

	begin();
	EQ(COPY_TELL, judge(read, held));
	EQ(COPY_WAIT, judge(read, none));
	EQ(COPY_WAIT, judge(refusal, none));
	EQ(COPY_TELL, judge(refusal, held));
	EQ(COPY_TELL, judge(busy, none)); /* tells nothing of what there is */
	/* Over when either clock says so. */
	EQ(COPY_WAIT, judge(read, (struct copy_lease){
					  1, 0, {5000, 9000}
        }));
	EQ(COPY_WAIT, judge(read, (struct copy_lease){
					  1, 0, {9000, 5000}
        }));
	EQ(COPY_TELL, judge(read, (struct copy_lease){
					  1, 0, {5001, 5001}
        }));
	/* Of the epoch before, or of one whose orders lie unread. */
	EQ(COPY_WAIT, judge(read, (struct copy_lease){
					  0, 0, {9000, 9000}
        }));
	EQ(COPY_WAIT, judge(read, (struct copy_lease){
					  2, 0, {9000, 9000}
        }));
}

/* Row 22: the clock is read when the request has run, not before. */
static void the_clock_is_looked_at_after_the_request_has_run(void)
{
	struct copy_wait w = {
		.term = T1, .tells_state = true, .ran = {5000, 5000}
        };

	begin();
	EQ(COPY_TELL, judge(w, held));
	w.ran.boot_us = 5001;
	EQ(COPY_WAIT, judge(w, held));
	w.ran = (struct moment){5000, 5001};
	EQ(COPY_WAIT, judge(w, held));
}

/* Row 10. */
static void nothing_is_read_before_the_terms_first_record_is_committed(void)
{
	struct copy_wait w = {.term = T1, .tells_state = true};

	sides_new();
	lead(1, T1, B(2));
	EQ(COPY_WAIT, judge(w, held));
	settle_all();
	EQ(COPY_TELL, judge(w, held));
}

/* Row 43: even what looks at nothing. */
static void what_a_dead_worker_had_begun_is_answered_after_the_terms_first_record(void)
{
	struct copy_wait w = {.term = T1, .begun_before = true};

	sides_new();
	lead(1, T1, B(2));
	EQ(COPY_WAIT, judge(w, held));
	w.begun_before = false;
	EQ(COPY_TELL, judge(w, held));
	w.begun_before = true;
	settle_all();
	EQ(COPY_TELL, judge(w, held));
}

/* Row 15. */
static void who_is_deposed_calls_only_that_undone_which_was_never_begun(void)
{
	struct copy_wait wrote = {.term = T1, .observed = 2, .wrote = true};
	struct copy_wait read = {.term = T1, .observed = 1, .tells_state = true};
	struct copy_wait begun = {.term = T1, .tells_state = true, .begun_before = true};

	begin();
	order(1, ORDER_VIEW, T2, 0, 0, 0);
	EQ(COPY_TIMEOUT, judge(wrote, held));
	EQ(COPY_ELSEWHERE, judge(read, held));
	EQ(COPY_TIMEOUT, judge(begun, held));
	/* It leads again, in another epoch: what waited belongs to the one before. */
	order(1, ORDER_LEAD, T2 + 1, B(2), 0, 0);
	EQ(COPY_PRIMARY, sides[1].c.role);
	EQ(COPY_ELSEWHERE, judge(read, (struct copy_lease){
					       2, 0, {9000, 9000}
        }));
}

/* ---- too few copies ---- */

/* The set falls from two to one with one record on its way. */
static void held_at_one(void)
{
	begin();
	write_n(1, 1);
	settle_all();
	write_n(1, 1); /* 3 is not committed when it holds */
	order(1, ORDER_HOLD, T1, 0, 0, 0);
}

static void a_primary_that_holds_says_where_its_log_ends(void)
{
	held_at_one();
	EQ(COPY_TAKES_READS, copy_takes(&sides[1].c));
	EQ(3, reported(1, REPORT_HELD)->at.sequence);
	EQ(T1, reported(1, REPORT_HELD)->at.term);
	EQ(2, reported(1, REPORT_HELD)->commit);
	order(1, ORDER_GO_ON, T1, 0, 0, 0);
	EQ(COPY_TAKES, copy_takes(&sides[1].c));
	settle_all();
	EQ(3, sides[1].committed);
}

static void what_too_few_copies_have_is_not_told(void)
{
	struct copy_wait old = {.term = T1, .observed = 2, .clients = 2, .tells_state = true};
	struct copy_wait tail = {.term = T1, .observed = 3, .clients = 3, .wrote = true};
	struct copy_wait clock = {.term = T1, .observed = 3, .clients = 2, .tells_state = true};

	held_at_one();
	order(1, ORDER_VIEW, T1, 0, B(2), ORDER_TOO_FEW);
	order(1, ORDER_GO_ON, T1, 0, 0, 0);
	sync_side(1);
	EQ(3, sides[1].c.commit);
	EQ(2, sides[1].committed);
	EQ(COPY_TAKES_READS, copy_takes(&sides[1].c));
	EQ(COPY_TELL, judge(old, held));
	EQ(COPY_WAIT, judge(tail, held));
	EQ(COPY_TELL, judge(clock, held)); /* a record that is no client's */
	/* The copy comes back. */
	drop_all();
	pass(COPY_AGAIN_MS);
	settle_all();
	order(1, ORDER_VIEW, T1, B(2), B(2), ORDER_TOO_FEW);
	order(1, ORDER_VIEW, T1, B(2), 0, 0);
	EQ(3, sides[1].committed);
	EQ(COPY_TELL, judge(tail, held));
	EQ(COPY_TAKES, copy_takes(&sides[1].c));
}

/* A worker that is started again meanwhile tells no more than the one before. */
static void what_is_held_back_stays_so_over_a_workers_death(void)
{
	struct copy_wait tail = {.term = T1 + 1, .observed = 3, .clients = 3, .tells_state = true};
	struct copy_wait old = {.term = T1 + 1, .observed = 2, .clients = 2, .tells_state = true};
	struct parcel_order o = {.kind = ORDER_LEAD,
				 .term = T1 + 1,
				 .flags = ORDER_TOO_FEW,
				 .frozen = 2,
				 .may_append = 1,
				 .number = 100};

	held_at_one();
	sync_side(1);
	side_again(1, 0);
	copy_order(&sides[1].c, &o, clock_ms);
	EQ(4, reported(1, REPORT_LEADING)->at.sequence);
	EQ(3, reported(1, REPORT_HELD)->at.sequence);
	EQ(2, reported(1, REPORT_LEADING)->commit);
	sync_side(1);
	EQ(4, sides[1].c.commit);
	EQ(COPY_TELL, judge(old, held));
	EQ(COPY_WAIT, judge(tail, held));
}

/* A backup is asked too, before it takes over; it goes on. */
static void a_backup_says_where_its_log_ends(void)
{
	begin();
	order(2, ORDER_HOLD, T1, 0, 0, 0);
	EQ(1, reported(2, REPORT_HELD)->at.sequence);
	write_n(1, 1);
	settle_all();
	EQ(2, sides[1].c.commit);
}

UNIT_MAIN(T(a_write_is_told_when_it_is_committed), T(a_read_waits_for_what_it_has_looked_at),
	  T(what_tells_state_needs_the_lease_of_its_epoch),
	  T(the_clock_is_looked_at_after_the_request_has_run),
	  T(nothing_is_read_before_the_terms_first_record_is_committed),
	  T(what_a_dead_worker_had_begun_is_answered_after_the_terms_first_record),
	  T(who_is_deposed_calls_only_that_undone_which_was_never_begun),
	  T(a_primary_that_holds_says_where_its_log_ends), T(what_too_few_copies_have_is_not_told),
	  T(what_is_held_back_stays_so_over_a_workers_death), T(a_backup_says_where_its_log_ends))
