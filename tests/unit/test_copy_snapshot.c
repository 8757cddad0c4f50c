/* Copies that nothing but a snapshot helps: who is sent one, who takes it in, and what counts then. */
#include "tests/unit/lib/copy_fixture.h"

#define B(n) (1u << (n))

static const uint64_t T1 = 1u << 16;
static const uint64_t T2 = 2u << 16;

static struct copy_member *member(uint32_t of, uint32_t node)
{
	for (uint32_t i = 0; i < sides[of].c.count; i++)
		if (sides[of].c.members[i].id.node == node)
			return &sides[of].c.members[i];
	return NULL;
}

static uint32_t place_of(uint32_t of, uint32_t node)
{
	return (uint32_t)(member(of, node) - sides[of].c.members);
}

static bool wants(uint32_t node)
{
	return member(1, node) && copy_wants_snapshot(&sides[1].c, place_of(1, node));
}

/* Node 1 leads in T1 with 2, and 3 learns. */
static void begin(void)
{
	sides_new();
	lead(1, T1, B(2));
	order(1, ORDER_VIEW, T1, B(2), B(3), 0);
	settle_all();
	EQ(1, sides[1].c.commit);
}

static uint32_t letters_to(uint32_t node)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < letters; i++)
		n += wire[i].to == node;
	return n;
}

static struct parcel_piece piece_of(uint32_t from, uint64_t term, uint64_t ticket)
{
	return (struct parcel_piece){
		.head = {sizeof(struct parcel_piece), PARCEL_PIECE, 5, 3, 0},
		.from = copy_of(from),
		.term = term,
		.snapshot = 7,
		.ticket = ticket,
	};
}

static bool offered(uint32_t from, uint64_t term, uint64_t ticket)
{
	struct parcel_piece p = piece_of(from, term, 0);

	return copy_offered(&sides[3].c, &p, ticket);
}

static bool may_load(uint64_t term, uint64_t ticket)
{
	struct parcel_piece p = piece_of(1, term, ticket);

	return copy_may_load(&sides[3].c, &p);
}

/* Node 3 has taken in all that node 1 has up to `sequence`. */
static void load(uint64_t sequence)
{
	struct side *s = &sides[3];
	struct spans spans = {0};

	copy_load(&s->c);
	TRUE_(s->c.broken && copy_agrees(&s->c));
	s->records = 0;
	for (uint32_t i = 0; i < sides[1].records && sides[1].log[i].e.sequence <= sequence; i++) {
		const struct parcel_entry *e = &sides[1].log[i].e;

		(void)put_record(s, *e);
		spans_append(&spans, e->term, e->sequence, e->count);
	}
	s->synced_lsn = s->lsn;
	s->committed = sequence;
	copy_loaded(&s->c, &spans, sequence);
	TRUE_(copy_agrees(&s->c));
}

static void who_is_too_far_behind_is_sent_nothing_else(void)
{
	begin();
	write_n(1, 3);
	drop_all();
	copy_lost(&sides[1].c, place_of(1, 3));
	forget_reports(1);
	pass(COPY_PROBE_MS + COPY_AGAIN_MS);
	EQ(0, letters_to(3));
	TRUE_(letters_to(2) > 0);
	settle_all();
	EQ(4, sides[1].c.commit);
	TRUE_(wants(3) && !wants(2));
	TRUE_(!reported(1, REPORT_NEAR));
}

/* What it has goes with the first piece: so it leaves the set first. */
static void who_counts_is_sent_no_snapshot(void)
{
	begin();
	write_n(1, 1);
	drop_all();
	copy_lost(&sides[1].c, place_of(1, 2));
	TRUE_(!wants(2));
	write_n(1, 1);
	sync_side(1);
	pass(COPY_STUCK_MS + 50);
	EQ(2, reported(1, REPORT_STUCK)->member.node);
	EQ(1, sides[1].c.commit);
	order(1, ORDER_VIEW, T1, B(3), B(2), 0);
	TRUE_(wants(2));
	order(1, ORDER_VIEW, T1, B(3) | B(2), B(2), 0);
	TRUE_(!wants(2)); /* it counts before it is a member */
	order(1, ORDER_VIEW, T1, B(3), B(2), 0);
	order(1, ORDER_STOP, T1, 0, 0, 0);
	TRUE_(!wants(2));
}

/* What it acknowledged before may come late: it has that no more. */
static void what_it_acknowledged_before_does_not_count(void)
{
	begin();
	write_n(1, 2);
	while (deliver_one(3))
		;
	sync_side(3); /* its acknowledgement is on its way */
	TRUE_(letters_to(1) > 0);
	copy_lost(&sides[1].c, place_of(1, 3));
	forget_reports(1);
	settle_all();
	EQ(3, sides[1].c.commit);
	EQ(0, member(1, 3)->acked);
	pass(COPY_NEAR_MS);
	TRUE_(!reported(1, REPORT_NEAR));
	/* Neither when it is a member anew. */
	write_n(1, 1);
	drop_all();
	begin();
	write_n(1, 2);
	while (deliver_one(3))
		;
	sync_side(3);
	order(1, ORDER_VIEW, T1, B(2), 0, 0);
	order(1, ORDER_VIEW, T1, B(2), B(3), 0);
	settle_all();
	EQ(0, member(1, 3)->acked);
	/* But what it says to what it is asked now. */
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(3, member(1, 3)->acked);
}

static void who_has_learned_anew_goes_on_with_the_log(void)
{
	begin();
	write_n(1, 5);
	settle_all();
	copy_lost(&sides[1].c, place_of(1, 3));
	TRUE_(offered(1, T1, 9));
	TRUE_(may_load(T1, 9));
	load(4);
	TRUE_(!sides[3].c.broken);
	EQ(3, reported(3, REPORT_WHOLE)->member.node);
	forget_reports(1);
	copy_taught(&sides[1].c, place_of(1, 3), (struct place){T1, 4}, clock_ms);
	EQ(3, reported(1, REPORT_WHOLE)->member.node);
	TRUE_(!wants(3));
	EQ(4, member(1, 3)->acked);
	settle_all();
	same_logs(1, 3, 6);
	EQ(6, member(1, 3)->acked);
	EQ(3, reported(1, REPORT_NEAR)->member.node);
	order(1, ORDER_VIEW, T1, B(2) | B(3), B(3), 0);
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(3, reported(1, REPORT_CAUGHT)->member.node);
}

/* It says so whatever it is sent, leads nothing, and a member that was one leaves the set. */
static void a_copy_that_is_not_whole_takes_no_part(void)
{
	begin();
	write_n(1, 2);
	settle_all();
	TRUE_(offered(1, T1, 9));
	copy_load(&sides[3].c);
	sides[3].records = 0;
	side_open(3, 0); /* its worker is killed in the middle of it */
	copy_broken(&sides[3].c);
	order(3, ORDER_VIEW, T1, 0, 0, 0);
	write_n(1, 1);
	settle_all();
	EQ(0, sides[3].records);
	TRUE_(wants(3));
	TRUE_(!reported(1, REPORT_DAMAGED));
	lead(3, T2, B(2));
	EQ(COPY_BACKUP, sides[3].c.role);
	EQ(3, reported(3, REPORT_DAMAGED)->member.node);
	/* One that counts. */
	begin();
	sides[2].records = 0;
	side_open(2, 0);
	copy_broken(&sides[2].c);
	order(2, ORDER_VIEW, T1, 0, 0, 0);
	write_n(1, 1);
	settle_all();
	EQ(2, reported(1, REPORT_DAMAGED)->member.node);
	TRUE_(!wants(2));
	EQ(1, sides[1].c.commit);
	order(1, ORDER_VIEW, T1, 0, B(2) | B(3), 0);
	TRUE_(wants(2));
}

/* A damaged copy learns anew, and is whole then. */
static void a_damaged_copy_learns_anew(void)
{
	uint64_t other[] = {T1, T1, T2};

	begin();
	write_n(1, 3);
	settle_all();
	side_new(3, other, 3, 3); /* it knows to be committed what node 1 has not */
	order(3, ORDER_VIEW, 0, 0, 0, 0);
	sides[1].deposed = 0;
	lead(1, T2 + T1, B(2)); /* of a later epoch: node 3 is not in that set */
	order(1, ORDER_VIEW, T2 + T1, B(2), B(3), 0);
	pass(COPY_PROBE_MS);
	settle_all();
	TRUE_(sides[3].c.damaged);
	EQ(3, reported(1, REPORT_DAMAGED)->member.node);
	TRUE_(wants(3));
	TRUE_(offered(1, T2 + T1, 5) && may_load(T2 + T1, 5));
	load(4);
	TRUE_(!sides[3].c.damaged && !sides[3].c.broken);
	forget_reports(1);
	copy_taught(&sides[1].c, place_of(1, 3), (struct place){T1, 4}, clock_ms);
	pass(COPY_AGAIN_MS);
	settle_all();
	EQ(5, member(1, 3)->acked);
	TRUE_(reported(1, REPORT_NEAR) != NULL);
}

/* The one that was set back led, and the other is right: it leads then, and has its place in the set. */
static void who_contradicts_a_primary_may_be_the_next(void)
{
	uint64_t t[] = {T1, T1};

	begin();
	write_n(1, 3);
	settle_all();
	pass(COPY_COMMIT_MS);
	settle_all();
	side_new(1, t, 2, 1);
	lead(1, T2, B(2));
	settle_all();
	TRUE_(sides[2].c.damaged && sides[1].c.damaged);
	lead(2, T2 + T1, B(1));
	EQ(COPY_PRIMARY, sides[2].c.role);
	TRUE_(!sides[2].c.damaged);
	pass(COPY_AGAIN_MS);
	settle_all();
	TRUE_(!sides[1].c.damaged);
	same_logs(1, 2, 5);
	EQ(5, sides[2].c.commit);
}

/* A piece that was on its way for long must not take away what the copy counts for by now. */
static void a_ticket_is_void_when_the_copy_has_moved(void)
{
	begin();
	TRUE_(offered(1, T1, 9));
	TRUE_(!may_load(T1, 8) && !may_load(T2, 9) && !may_load(T1, 0));
	TRUE_(may_load(T1, 9));
	TRUE_(offered(1, T1, 10)); /* another one is given */
	TRUE_(!may_load(T1, 9) && may_load(T1, 10));
	write_n(1, 1);
	settle_all();
	TRUE_(!may_load(T1, 10)); /* it has acknowledged something since */
	TRUE_(offered(1, T1, 11));
	copy_load(&sides[3].c);
	TRUE_(!may_load(T1, 11)); /* it is used once */
	/* Another term. */
	begin();
	TRUE_(offered(1, T1, 12));
	order(3, ORDER_VIEW, T2, 0, 0, 0);
	TRUE_(!may_load(T1, 12));
	/* A primary of old gives none away, and hears that it is one. */
	drop_all();
	TRUE_(!offered(1, T1, 13));
	EQ(ACK_REFUSED, last_ack(1)->kind);
	EQ(T2, last_ack(1)->at.term);
	settle_all();
	EQ(1, sides[1].deposed);
	/* Nor is one taken by who leads, or does not know its role. */
	lead(3, T2, 0);
	TRUE_(!offered(1, T2, 14));
	side_new(3, NULL, 0, 0);
	TRUE_(!offered(1, T2, 15));
	TRUE_(!may_load(0, 0));
}

/* It may be a copy again later, and has nothing then that it could count on. */
static void a_copy_that_was_forgotten_learns_anew(void)
{
	begin();
	write_n(1, 2);
	settle_all();
	order(3, ORDER_FORGET, T1, 0, 0, 0);
	copy_forgotten(&sides[3].c);
	EQ(COPY_NONE, sides[3].c.role);
	TRUE_(copy_agrees(&sides[3].c));
	order(3, ORDER_VIEW, T1, 0, 0, 0);
	pass(COPY_PROBE_MS);
	settle_all();
	TRUE_(wants(3));
}

/* What it has is not what this log has: of a primary before, or more than there is. */
static void only_what_is_in_the_log_is_learned(void)
{
	begin();
	write_n(1, 2);
	copy_lost(&sides[1].c, place_of(1, 3));
	copy_taught(&sides[1].c, place_of(1, 3), (struct place){T2, 2}, clock_ms);
	TRUE_(wants(3));
	copy_taught(&sides[1].c, place_of(1, 3), (struct place){T1, 4}, clock_ms);
	TRUE_(wants(3));
	copy_taught(&sides[1].c, place_of(1, 3), (struct place){T1, 3}, clock_ms);
	TRUE_(!wants(3));
	/* Who was not to learn anew is not believed that it has more than it said. */
	copy_taught(&sides[1].c, place_of(1, 2), (struct place){T1, 3}, clock_ms);
	EQ(1, member(1, 2)->acked);
}

UNIT_MAIN(T(who_is_too_far_behind_is_sent_nothing_else), T(who_counts_is_sent_no_snapshot),
	  T(what_it_acknowledged_before_does_not_count),
	  T(who_has_learned_anew_goes_on_with_the_log), T(a_copy_that_is_not_whole_takes_no_part),
	  T(a_damaged_copy_learns_anew), T(who_contradicts_a_primary_may_be_the_next),
	  T(a_ticket_is_void_when_the_copy_has_moved), T(a_copy_that_was_forgotten_learns_anew),
	  T(only_what_is_in_the_log_is_learned))
