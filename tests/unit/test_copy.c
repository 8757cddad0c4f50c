/* Copies of a partition: what is taken in, acknowledged, committed and cut, message by message. */
#include "tests/unit/lib/copy_fixture.h"

#define B(n) (1u << (n))

static const uint64_t T1 = 1u << 16;
static const uint64_t T2 = 2u << 16;
static const uint64_t T3 = 3u << 16;

/* Node 1 leads in T1, with 2 and 3, and they have its first record. */
static void begin(void)
{
	sides_new();
	lead(1, T1, B(2) | B(3));
	settle_all();
	EQ(1, sides[1].c.commit);
	TRUE_(reported(1, REPORT_LEADING) && reported(1, REPORT_FLOOR));
}

static void what_is_committed_is_on_every_disk(void)
{
	begin();
	write_n(1, 3);
	while (deliver_one(2))
		;
	while (deliver_one(3))
		;
	sync_side(1);
	sync_side(2);
	while (deliver_one(1))
		;
	EQ(1, sides[1].c.commit);
	sync_side(3);
	while (deliver_one(1))
		;
	EQ(4, sides[1].c.commit);
	EQ(4, sides[1].committed);
}

static void the_own_disk_counts_too(void)
{
	begin();
	write_n(1, 1);
	while (deliver_one(2) || deliver_one(3))
		;
	sync_side(2);
	sync_side(3);
	while (deliver_one(1))
		;
	EQ(1, sides[1].c.commit);
	sync_side(1);
	EQ(2, sides[1].c.commit);
}

/* Row 12: an ack is handed over with the lsn that must be on disk before it is sent. */
static void an_ack_waits_for_what_it_covers(void)
{
	begin();
	write_n(1, 2);
	drop_all();
	pass(COPY_AGAIN_MS);
	while (deliver_one(2))
		;
	/* What came again, or an empty parcel, is no sooner on disk. */
	pass(COPY_AGAIN_MS);
	while (deliver_one(2))
		;
	TRUE_(last_ack(1));
	for (uint32_t i = 0; i < letters; i++)
		if (wire[i].u.head.kind == PARCEL_ACK && wire[i].u.ack.at.sequence > 1)
			TRUE_(wire[i].lsn > sides[2].synced_lsn);
}

/* It wrote them itself, and its disk has not taken them yet. */
static void a_deposed_primary_has_its_tail_on_disk_before_it_says_so(void)
{
	struct parcel_append a = {
		.head = {sizeof(a), PARCEL_APPEND, 5, 1, 0},
		.from = copy_of(2),
		.term = T2,
		.prev = {T1,        3                   }
        };

	begin();
	write_n(1, 2);
	drop_all();
	copy_append(&sides[1].c, &a, clock_ms);
	EQ(3, last_ack(2)->at.sequence);
	TRUE_(wire[0].lsn > sides[1].synced_lsn);
}

static void a_lone_copy_commits_by_itself(void)
{
	sides_new();
	lead(1, T1, 0);
	sync_side(1);
	write_n(1, 5);
	EQ(1, sides[1].c.commit);
	sync_side(1);
	EQ(6, sides[1].c.commit);
}

/* Row 1. */
static void a_primary_of_old_is_refused(void)
{
	begin();
	write_n(1, 1);
	lead(2, T2, B(3));
	while (deliver_one(3))
		; /* 1's record first, then 2's term */
	sync_side(3);
	drop_all();
	write_n(1, 1);
	while (deliver_one(3))
		;
	EQ(ACK_REFUSED, last_ack(1)->kind);
	EQ(T2, last_ack(1)->at.term);
	while (deliver_one(1))
		;
	EQ(1, sides[1].deposed);
	EQ(COPY_BACKUP, sides[1].c.role);
	EQ(T2, reported(1, REPORT_SEEN)->at.term);
}

/* Row 11: what the new primary has not is cut, on backups and on the primary of before. */
static void a_tail_that_differs_is_cut(void)
{
	begin();
	write_n(1, 3); /* 2..4, only on 1 and 3 */
	while (deliver_one(3))
		;
	drop_all();
	lead(2, T2, B(1) | B(3));
	settle_all();
	EQ(1, sides[3].cuts);
	EQ(1, sides[1].cuts);
	EQ(1, sides[1].cut_to);
	same_logs(2, 3, 2);
	same_logs(2, 1, 2);
	EQ(2, sides[2].c.commit);
	EQ(1, sides[1].deposed);
	write_n(2, 2);
	settle_all();
	same_logs(2, 1, 4);
	EQ(4, sides[2].c.commit);
}

/* Row 11 again: what lies behind what was compared is not acknowledged. */
static void an_ack_covers_what_was_compared(void)
{
	begin();
	write_n(1, 3);
	while (deliver_one(3))
		;
	sync_side(3);
	drop_all();
	/* 2 has one record, and asks 3 for what is behind it. */
	lead(2, T2, B(3));
	drop_all();
	sync_side(2);
	pass(COPY_AGAIN_MS);
	drop_all();
	{
		struct parcel_append a;

		TRUE_(copy_append_head(&sides[2].c, 0, 1, &a));
		copy_append(&sides[3].c, &a, clock_ms);
	}
	EQ(ACK_HAVE, last_ack(2)->kind);
	EQ(1, last_ack(2)->at.sequence);
	while (deliver_one(2))
		;
	EQ(1, sides[2].c.members[0].acked);
	EQ(0, sides[2].c.commit >= 2);
}

static void an_ack_of_another_term_does_not_count(void)
{
	struct parcel_ack late;

	begin();
	write_n(1, 3);
	while (deliver_one(2))
		;
	sync_side(2);
	late = *last_ack(1);
	EQ(4, late.at.sequence);
	drop_all();
	sync_side(1);
	side_again(1, 0);
	lead(1, T1 + 1, B(2));
	sync_side(1);
	copy_ack(&sides[1].c, &late, clock_ms);
	EQ(0, sides[1].c.members[0].acked);
	EQ(0, sides[1].c.commit);
}

/* Row 13: the record that was staged, shipped and lost has another term than its successor. */
static void a_worker_that_is_started_again_leads_in_another_term(void)
{
	begin();
	write_n(1, 1);
	while (deliver_one(2))
		;
	sync_side(2);
	side_again(1, 0);
	EQ(1, spans_last(&sides[1].c.spans).sequence);
	lead(1, T1 + 1, B(2) | B(3));
	write_n(1, 1);
	settle_all();
	EQ(1, sides[2].cuts);
	same_logs(1, 2, 3);
	same_logs(1, 3, 3);
	EQ(3, sides[1].c.commit);
}

static void a_term_is_led_in_once(void)
{
	begin();
	sync_side(1);
	side_again(1, 0);
	lead(1, T1, B(2) | B(3)); /* the life that was before */
	EQ(COPY_BACKUP, sides[1].c.role);
	TRUE_(reported(1, REPORT_SEEN) != NULL);
	order(1, ORDER_VIEW, T3, 0, 0, 0);
	order(1, ORDER_LEAD, T2, B(2), 0, 0);
	EQ(COPY_BACKUP, sides[1].c.role);
}

/* Row 16. */
static void a_member_is_a_disk(void)
{
	struct parcel_ack a;

	begin();
	write_n(1, 1);
	sync_side(1);
	while (deliver_one(2) || deliver_one(3))
		;
	sync_side(2);
	a = *last_ack(1);
	while (deliver_one(1))
		;
	a.from = copy_of(3);
	a.from.store++;
	copy_ack(&sides[1].c, &a, clock_ms);
	EQ(1, sides[1].c.commit);
	a.from.store--;
	copy_ack(&sides[1].c, &a, clock_ms);
	EQ(2, sides[1].c.commit);
}

/* Row 20: before roles are known nothing is taken in. */
static void before_roles_are_known_nothing_is_appended(void)
{
	begin();
	sync_side(2);
	side_again(2, 0);
	write_n(1, 1);
	while (deliver_one(2))
		;
	EQ(1, sides[2].records);
	TRUE_(!last_ack(1));
	order(2, ORDER_VIEW, T1, 0, 0, 0);
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(2, sides[1].c.commit);
}

/* Row 47: "2 is committed" does not mean another term's 2. */
static void what_is_committed_is_told_by_its_place(void)
{
	begin();
	write_n(1, 1); /* 2 of T1, on 3 alone */
	while (deliver_one(3))
		;
	drop_all();
	lead(2, T2, 0);
	sync_side(2);
	write_n(2, 1);
	sync_side(2);
	EQ(3, sides[2].c.commit);
	order(2, ORDER_VIEW, T2, B(3), 0, 0);
	drop_all();
	{
		struct parcel_append a;

		TRUE_(copy_append_head(&sides[2].c, 0, 3, &a));
		a.prev = (struct place){T1, 1};
		a.commit = (struct place){T2, 2};
		copy_append(&sides[3].c, &a, clock_ms);
	}
	TRUE_(sides[3].c.commit < 2);
	drop_all();
	pass(COPY_AGAIN_MS);
	settle_all();
	pass(COPY_COMMIT_MS);
	settle_all();
	same_logs(2, 3, 3);
	EQ(3, sides[3].c.commit);
}

/* Row 48: a group is one record, and every border is one of its. */
static void a_group_is_there_as_a_whole(void)
{
	begin();
	write_group(1, 10);
	write_n(1, 1);
	settle_all();
	EQ(12, sides[1].c.commit);
	EQ(3, sides[2].records);
	same_logs(1, 2, 12);
	write_group(1, 5);
	while (deliver_one(3))
		;
	drop_all();
	lead(2, T2, B(3));
	settle_all();
	EQ(12, sides[3].cut_to);
	same_logs(2, 3, 13);
}

static void a_quiet_partition_tells_what_is_committed(void)
{
	begin();
	write_n(1, 1);
	settle_all();
	EQ(2, sides[1].c.commit);
	EQ(1, sides[2].c.commit);
	pass(COPY_COMMIT_MS);
	EQ(2, letters);
	settle_all();
	EQ(2, sides[2].c.commit);
	EQ(2, sides[2].committed);
	pass(5000); /* and nothing else */
	EQ(0, letters);
}

static void what_is_lost_on_the_wire_is_sent_again(void)
{
	begin();
	write_n(1, 40);
	drop_all();
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(41, sides[1].c.commit);
	write_n(1, 5);
	while (deliver_one(2) || deliver_one(3))
		;
	sync_side(1);
	sync_side(2);
	sync_side(3);
	drop_all(); /* the acks */
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(46, sides[1].c.commit);
}

static void letters_come_in_any_order_and_twice(void)
{
	uint64_t seed = unit_seed();

	begin();
	for (int i = 0; i < 2000; i++) {
		uint64_t r = unit_random(&seed) % 100;

		if (r < 8 && sides[1].records < RECORDS - 2)
			write_group(1, 1 + (uint32_t)(unit_random(&seed) % 3));
		else if (r < 40 && letters)
			wire[letters] = wire[unit_random(&seed) % letters],
			letters += letters < WIRE / 2;
		else if (r < 45 && letters)
			wire[unit_random(&seed) % letters].to = 0;
		else if (r < 60 && letters > 1) {
			uint32_t a = (uint32_t)(unit_random(&seed) % letters);
			struct letter l = wire[a];

			wire[a] = wire[0];
			wire[0] = l;
		} else if (r < 90)
			(void)deliver_one(1 + (uint32_t)(unit_random(&seed) % 3));
		else if (r < 95)
			sync_side(1 + (uint32_t)(unit_random(&seed) % 3));
		else
			pass(20);
		for (uint32_t k = 0; k < letters;)
			if (wire[k].to)
				k++;
			else
				wire[k] = wire[--letters];
		EQ(0, sides[2].cuts + sides[3].cuts);
	}
	pass(COPY_AGAIN_MS);
	settle_all();
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(sides[1].c.commit, spans_last(&sides[1].c.spans).sequence);
	same_logs(1, 2, sides[1].c.commit);
	same_logs(1, 3, sides[1].c.commit);
}

/* ---- members ---- */

/* Rows 9 and 38: a learner is near, then counts, then is caught up; not before. */
static void a_learner_counts_before_it_is_a_member(void)
{
	uint64_t counted;

	begin();
	write_n(1, 20);
	settle_all();
	order(1, ORDER_VIEW, T1, B(2) | B(3), B(4), 0);
	TRUE_(!reported(1, REPORT_NEAR));
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(4, reported(1, REPORT_NEAR)->member.node);
	same_logs(1, 4, 21);
	TRUE_(!reported(1, REPORT_CAUGHT));

	write_n(1, 1);
	while (deliver_one(2) || deliver_one(3))
		;
	order(1, ORDER_VIEW, T1, B(2) | B(3) | B(4), B(4), 0);
	counted = reported(1, REPORT_COUNTED)->number;
	sync_side(1);
	sync_side(2);
	sync_side(3);
	while (deliver_one(1))
		;
	EQ(21, sides[1].c.commit); /* 4 counts */
	settle_all();
	EQ(22, sides[1].c.commit);
	pass(20);
	EQ(4, reported(1, REPORT_CAUGHT)->member.node);
	TRUE_(reported(1, REPORT_CAUGHT)->number >= counted);
}

static void a_learner_that_lacks_what_is_committed_is_not_caught_up(void)
{
	begin();
	order(1, ORDER_VIEW, T1, B(2) | B(3), B(4), 0);
	pass(COPY_AGAIN_MS);
	settle_all();
	pass(20);
	write_n(1, 3);
	for (uint32_t i = 0; i < letters; i++)
		if (wire[i].to == 4)
			wire[i].to = 0;
	while (deliver_one(2) || deliver_one(3))
		;
	sync_side(1);
	sync_side(2);
	sync_side(3);
	while (deliver_one(1))
		;
	EQ(4, sides[1].c.commit);
	order(1, ORDER_VIEW, T1, B(2) | B(3) | B(4), B(4), 0);
	pass(20);
	TRUE_(!reported(1, REPORT_CAUGHT));
	pass(COPY_AGAIN_MS);
	settle_all();
	pass(20);
	TRUE_(reported(1, REPORT_CAUGHT) != NULL);
}

static void a_member_that_acknowledges_nothing_is_stuck(void)
{
	begin();
	write_n(1, 1);
	for (int i = 0; i < 60; i++) {
		while (deliver_one(2))
			;
		sync_side(1);
		sync_side(2);
		while (deliver_one(1))
			;
		pass(10);
	}
	TRUE_(!reported(1, REPORT_STUCK));
	pass(COPY_STUCK_MS - 500);
	EQ(3, reported(1, REPORT_STUCK)->member.node);
	forget_reports(1);
	pass(COPY_TOLD_MS + 10);
	EQ(3, reported(1, REPORT_STUCK)->member.node); /* as long as it lasts */
	forget_reports(1);
	order(1, ORDER_VIEW, T1, B(2), 0, 0);
	EQ(2, sides[1].c.commit);
	pass(1000);
	TRUE_(!reported(1, REPORT_STUCK) || reported(1, REPORT_STUCK)->member.node == 2);
}

/* Row 52: it says so at once, and is near again only when there is room. */
static void a_full_copy_says_so_until_there_is_room(void)
{
	begin();
	sides[3].no_room = true;
	write_n(1, 1);
	settle_all();
	pass(10);
	EQ(3, reported(1, REPORT_MEMBER_FULL)->member.node);
	EQ(1, sides[1].c.commit);
	order(1, ORDER_VIEW, T1, B(2), B(3), 0);
	EQ(2, sides[1].c.commit);
	forget_reports(1);
	sides[3].no_room = false;
	for (int i = 0; i < 100; i++) {
		pass(10);
		settle_all();
	}
	TRUE_(!reported(1, REPORT_NEAR)); /* it does not flap */
	copy_room(&sides[3].c);
	pass(COPY_AGAIN_MS + 20);
	settle_all();
	pass(20);
	EQ(3, reported(1, REPORT_NEAR)->member.node);
}

/* A log that is busy for a moment is no damage: it is sent again. */
static void an_append_that_fails_is_sent_again(void)
{
	begin();
	sides[2].stays = true;
	write_n(1, 3);
	settle_all();
	EQ(1, sides[1].c.commit);
	sides[2].stays = false;
	pass(COPY_AGAIN_MS);
	settle_all();
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(4, sides[1].c.commit);
}

/* A disk that was set back to an image of before: what was acknowledged is not there any more. */
static void a_member_that_has_forgotten_is_damaged(void)
{
	uint64_t t[] = {T1, T1};

	begin();
	write_n(1, 5);
	settle_all();
	drop_all();
	side_new(3, t, 2, 1);
	order(3, ORDER_VIEW, T1, 0, 0, 0);
	pass(COPY_IDLE_MS);
	settle_all();
	EQ(3, reported(1, REPORT_DAMAGED)->member.node);
	EQ(6, sides[1].c.members[1].acked);
}

/* An answer from before does not look like that. */
static void a_late_answer_is_no_damage(void)
{
	begin();
	write_n(1, 2);
	wire[letters++] = wire[0]; /* to 2: the second of these comes first */
	write_n(1, 1);
	for (uint32_t i = 0; i < letters; i++)
		if (wire[i].to == 2 && wire[i].u.append.prev.sequence == 3) {
			struct letter l = wire[i];

			wire[i] = wire[0];
			wire[0] = l;
		}
	TRUE_(deliver_one(2));
	EQ(ACK_BACK, last_ack(1)->kind);
	settle_all();
	TRUE_(!reported(1, REPORT_DAMAGED));
	EQ(4, sides[1].c.commit);
}

static void what_is_committed_is_never_cut(void)
{
	uint64_t t[] = {T1, T2, T2};

	begin();
	write_n(1, 1);
	settle_all();
	pass(COPY_COMMIT_MS);
	settle_all();
	EQ(2, sides[2].c.commit);
	side_new(3, t, 3, 3);
	lead(3, T3, B(2));
	settle_all();
	EQ(0, sides[2].cuts);
	TRUE_(sides[2].c.damaged);
	EQ(2, reported(2, REPORT_DAMAGED)->at.sequence);
	/* The primary finds that it is itself that lacks it, and who has it. */
	EQ(3, reported(3, REPORT_DAMAGED)->member.node);
	EQ(2, reported(3, REPORT_DAMAGED)->head.node);
	EQ(COPY_TAKES_NOTHING, copy_takes(&sides[3].c));
}

/* ---- orders ---- */

static void a_primary_that_stops_says_when_all_is_committed(void)
{
	begin();
	write_n(1, 2);
	order(1, ORDER_STOP, T1, 0, 0, 0);
	EQ(COPY_TAKES_NOTHING, copy_takes(&sides[1].c));
	TRUE_(!reported(1, REPORT_DRAINED));
	settle_all();
	EQ(3, reported(1, REPORT_DRAINED)->at.sequence);
	order(1, ORDER_GO_ON, T1, 0, 0, 0);
	EQ(COPY_TAKES, copy_takes(&sides[1].c));
	order(1, ORDER_STOP, T1, 0, 0, 0);
	forget_reports(1);
	order(1, ORDER_STOP, T2, 0, 0, 0); /* another epoch's */
	TRUE_(!reported(1, REPORT_DRAINED));
}

static void a_log_that_cannot_take_the_term_is_tried_again(void)
{
	sides_new();
	sides[1].no_lead = true;
	lead(1, T1, B(2));
	TRUE_(!reported(1, REPORT_LEADING));
	EQ(COPY_TAKES_NOTHING, copy_takes(&sides[1].c));
	order(1, ORDER_VIEW, T1, B(2) | B(3), 0, 0);
	pass(50);
	sides[1].no_lead = false;
	pass(10);
	TRUE_(reported(1, REPORT_LEADING) != NULL);
	EQ(order_number, reported(1, REPORT_LEADING)->number);
	EQ(2, sides[1].c.count);
	settle_all();
	EQ(1, sides[1].c.commit);
}

static void an_order_of_a_later_epoch_ends_the_wish_to_lead(void)
{
	sides_new();
	sides[1].no_lead = true;
	lead(1, T1, B(2));
	order(1, ORDER_VIEW, T2, 0, 0, 0);
	sides[1].no_lead = false;
	pass(50);
	EQ(COPY_BACKUP, sides[1].c.role);
	EQ(0, sides[1].records);
}

static void a_primary_is_deposed_by_a_view(void)
{
	begin();
	order(1, ORDER_VIEW, T1, B(2) | B(3), 0, 0);
	EQ(0, sides[1].deposed);
	order(1, ORDER_VIEW, T2, 0, 0, 0);
	EQ(1, sides[1].deposed);
	order(1, ORDER_VIEW, T1, B(2), 0, 0); /* of before */
	EQ(COPY_BACKUP, sides[1].c.role);
	EQ(T2, sides[1].c.seen);
}

/* Its coordinator is another one, which knows nothing of the members that it has been given. */
static void a_primary_is_none_for_another_coordinator(void)
{
	begin();
	write_n(1, 3);
	order(1, ORDER_VIEW, T1, 0, 0, ORDER_ANEW);
	EQ(1, sides[1].deposed);
	EQ(COPY_BACKUP, sides[1].c.role);
	sync_side(1);
	settle_all();
	TRUE_(sides[1].committed < end_of(&sides[1]));
	order(1, ORDER_LEAD, T2, B(2) | B(3), 0, 0);
	settle_all();
	EQ(end_of(&sides[1]), sides[1].c.commit);
}

UNIT_MAIN(T(what_is_committed_is_on_every_disk), T(the_own_disk_counts_too),
	  T(an_ack_waits_for_what_it_covers), T(a_lone_copy_commits_by_itself),
	  T(a_deposed_primary_has_its_tail_on_disk_before_it_says_so),
	  T(a_primary_of_old_is_refused), T(a_tail_that_differs_is_cut),
	  T(an_ack_covers_what_was_compared), T(an_ack_of_another_term_does_not_count),
	  T(a_worker_that_is_started_again_leads_in_another_term), T(a_term_is_led_in_once),
	  T(a_member_is_a_disk), T(before_roles_are_known_nothing_is_appended),
	  T(what_is_committed_is_told_by_its_place), T(a_group_is_there_as_a_whole),
	  T(a_quiet_partition_tells_what_is_committed), T(what_is_lost_on_the_wire_is_sent_again),
	  T(letters_come_in_any_order_and_twice), T(a_learner_counts_before_it_is_a_member),
	  T(a_learner_that_lacks_what_is_committed_is_not_caught_up),
	  T(a_member_that_acknowledges_nothing_is_stuck),
	  T(a_full_copy_says_so_until_there_is_room), T(an_append_that_fails_is_sent_again),
	  T(a_member_that_has_forgotten_is_damaged), T(a_late_answer_is_no_damage),
	  T(what_is_committed_is_never_cut), T(a_primary_that_stops_says_when_all_is_committed),
	  T(a_log_that_cannot_take_the_term_is_tried_again),
	  T(an_order_of_a_later_epoch_ends_the_wish_to_lead), T(a_primary_is_deposed_by_a_view),
	  T(a_primary_is_none_for_another_coordinator))
