/* Workers with copies of each other's partitions. */
#include "tests/unit/lib/played_cluster.h"

#define ALL 14u /* bits of nodes 1, 2, 3 */

static uint32_t part; /* of bucket "b" */

/* Node 1 leads every partition with the others as members. */
static void lead_all(uint32_t epoch, uint32_t needed, uint32_t learners)
{
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		for (uint32_t i = 2; i <= NODES; i++)
			if (played[i].up)
				played_order(&played[i], ORDER_VIEW, p, epoch, 0, 0);
		played_order(&played[1], ORDER_LEAD, p, epoch, needed, learners);
	}
	for (uint32_t i = 1; i <= NODES; i++)
		if (played[i].up)
			arrive_complete(&played[i].queue);
	UNTIL(played[1].leading[PARTITIONS - 1] == term_make(epoch, played_life(&played[1])));
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_lease(&played[1], p, epoch, true);
}

static void cluster(void)
{
	part = partition_of(span_of("b"), PARTITIONS);
	played_begin();
	lead_all(1, ALL, 0);
	UNTIL(played[1].floor[PARTITIONS - 1]);
}

/* Sequences that node 1 has taken at most for notes of the time: with each checkpoint that it has done
 * or begun, in so many lives. */
static uint64_t clock_notes(uint32_t lives)
{
	return status_get(&played[1].queue.segment->status->checkpoints) + lives + 1;
}

static void put_many(uint32_t n)
{
	uint32_t from = asked_count;

	for (uint32_t i = 0; i < n; i++) {
		char key[24];
		char value[24];

		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)snprintf(value, sizeof(value), "v%u", i);
		(void)ask(&played[1], WIRE_PUT, "b", key, value);
	}
	UNTIL(all_answered(from));
	for (uint32_t i = from; i < asked_count; i++)
		EQ(ASKED_DONE, asked[i].as);
}

/* Node `to` takes over, all it knows must be there. */
static void takes_over(uint32_t to, uint32_t epoch, uint32_t needed)
{
	played_order(&played[to], ORDER_LEAD, part, epoch, needed, 0);
	UNTIL(played[to].floor[part] == term_make(epoch, played_life(&played[to])));
	played_lease(&played[to], part, epoch, true);
}

static void a_write_is_on_all_copies(void)
{
	uint32_t a;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	put_many(1000);
	a = ask(&played[1], WIRE_GET, "b", "k77", NULL);
	UNTIL(answered(a));
	SAME(asked[a].value, strlen(asked[a].value), "v77");
	TRUE_(played[1].records >= 2 * 1000);
	TRUE_(played[2].acks > 0 && played[3].acks > 0);
	played_kill(&played[1]);
	takes_over(3, 2, 0);
	for (uint32_t i = 0; i < 1000; i += 37) {
		char key[24];
		char value[24];

		(void)snprintf(key, sizeof(key), "k%u", i);
		(void)snprintf(value, sizeof(value), "v%u", i);
		a = ask(&played[3], WIRE_GET, "b", key, NULL);
		UNTIL(answered(a));
		EQ(ASKED_DONE, asked[a].as);
		SAME(asked[a].value, strlen(asked[a].value), value);
	}
	played_end();
}

/* No copy has it: it is not told; nor is a read that has seen it.  What is long committed is. */
static void a_reply_waits_for_every_member(void)
{
	uint32_t a;
	uint32_t w;
	uint32_t g;
	uint32_t o;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	cut_from[3][1] = true; /* its acknowledgements */
	w = ask(&played[1], WIRE_PUT, "b", "k", "v");
	g = ask(&played[1], WIRE_GET, "b", "k", NULL);
	o = ask(&played[1], WIRE_CREATE, "b", NULL, NULL); /* false: there is one */
	UNTIL(answered(o));
	played_pass(300);
	TRUE_(!answered(w) && !answered(g));
	cut_from[3][1] = false;
	UNTIL(answered(w) && answered(g));
	EQ(ASKED_DONE, asked[w].as);
	SAME(asked[g].value, strlen(asked[g].value), "v");
	EQ(ASKED_DONE, asked[o].as);
	played_end();
}

/* A write that waits for a copy holds back who has seen it, and no other read. */
static void a_read_of_what_is_committed_waits_for_no_write(void)
{
	uint32_t a;
	uint32_t w;
	uint32_t dirty;
	uint32_t clean;
	uint32_t none;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	w = ask(&played[1], WIRE_PUT, "b", "old", "v");
	UNTIL(answered(a) && answered(w));
	cut_from[3][1] = true; /* its acknowledgements */
	w = ask(&played[1], WIRE_PUT, "b", "new", "w");
	dirty = ask(&played[1], WIRE_GET, "b", "new", NULL);
	clean = ask(&played[1], WIRE_GET, "b", "old", NULL);
	none = ask(&played[1], WIRE_GET, "b", "none", NULL);
	UNTIL(answered(clean) && answered(none));
	SAME(asked[clean].value, strlen(asked[clean].value), "v");
	EQ(ASKED_DONE, asked[none].as);
	TRUE_(!answered(w) && !answered(dirty));
	/* It needs the lease all the same. */
	played_lease(&played[1], part, 1, false);
	clean = ask(&played[1], WIRE_GET, "b", "old", NULL);
	played_pass(200);
	TRUE_(!answered(clean) && !answered(dirty));
	played_lease(&played[1], part, 1, true);
	UNTIL(answered(clean));
	TRUE_(!answered(w) && !answered(dirty));
	cut_from[3][1] = false;
	UNTIL(answered(w) && answered(dirty));
	SAME(asked[dirty].value, strlen(asked[dirty].value), "w");
	played_end();
}

/* One partition's slow copy holds back nobody else's. */
static void another_partition_goes_on(void)
{
	char other[8] = "";
	uint32_t a;
	uint32_t w;

	cluster();
	for (char x = 'c'; !*other; x++)
		if (partition_of((struct span){&x, 1}, PARTITIONS) != part)
			other[0] = x;
	w = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	a = ask(&played[1], WIRE_CREATE, other, NULL, NULL);
	UNTIL(answered(a) && answered(w));
	/* The other partition is node 1's and 2's alone. */
	played_order(&played[1], ORDER_VIEW, partition_of(span_of(other), PARTITIONS), 1, 4, 0);
	cut_from[3][1] = true;
	w = ask(&played[1], WIRE_PUT, "b", "k", "v");
	a = ask(&played[1], WIRE_PUT, other, "k", "v");
	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	TRUE_(!answered(w));
	played_end();
}

/* What tells state without a record of its own needs the lease; writes do not. */
static void reads_wait_for_the_lease(void)
{
	uint32_t a;
	uint32_t g;
	uint32_t d;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	played_lease(&played[1], part, 1, false);
	a = ask(&played[1], WIRE_PUT, "b", "k", "v");
	UNTIL(answered(a));
	g = ask(&played[1], WIRE_GET, "b", "k", NULL);
	d = ask(&played[1], WIRE_DELETE, "b", "none", NULL); /* false */
	played_pass(200);
	TRUE_(!answered(g) && !answered(d));
	played_lease(&played[1], part, 2, true); /* of another epoch */
	played_pass(100);
	TRUE_(!answered(g) && !answered(d));
	played_lease(&played[1], part, 1, true);
	UNTIL(answered(g) && answered(d));
	SAME(asked[g].value, strlen(asked[g].value), "v");
	played_end();
}

static void who_does_not_lead_says_elsewhere(void)
{
	uint32_t g;
	uint32_t w;
	uint32_t a;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	g = ask(&played[2], WIRE_GET, "b", "k", NULL);
	w = ask(&played[3], WIRE_PUT, "b", "k", "v");
	UNTIL(answered(g) && answered(w));
	EQ(ASKED_ELSEWHERE, asked[g].as);
	EQ(ASKED_ELSEWHERE, asked[w].as);
	/* Deposed with replies that wait: a write may have happened, a read has not. */
	cut_from[3][1] = true;
	w = ask(&played[1], WIRE_PUT, "b", "k", "v");
	g = ask(&played[1], WIRE_GET, "b", "k", NULL);
	played_pass(100);
	played_order(&played[1], ORDER_VIEW, part, 2, 0, 0);
	UNTIL(answered(g) && answered(w));
	EQ(ASKED_ELSEWHERE, asked[g].as);
	EQ(ASKED_ERROR, asked[w].as);
	SAME(asked[w].code, strlen(asked[w].code), "timeout");
	played_end();
}

/* It may lead again before anybody has seen what it gave back: what stands behind that is not run. */
static void what_stands_behind_something_given_back_is_given_back(void)
{
	uint32_t a;
	uint32_t g;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	played_order(&played[1], ORDER_VIEW, part, 2, 0, 0);
	ask_gate = 7; /* the numbers go round */
	a = ask(&played[1], WIRE_PUT, "b", "k", "v");
	UNTIL(answered(a));
	EQ(ASKED_ELSEWHERE, asked[a].as);
	takes_over(1, 3, 0);
	a = ask(&played[1], WIRE_PUT, "b", "k", "w");
	UNTIL(answered(a));
	EQ(ASKED_ELSEWHERE, asked[a].as);
	ask_gate = 6; /* an earlier one */
	a = ask(&played[1], WIRE_PUT, "b", "k", "x");
	UNTIL(answered(a));
	EQ(ASKED_ELSEWHERE, asked[a].as);
	ask_gate = 0;
	a = ask(&played[1], WIRE_PUT, "b", "k", "y");
	g = ask(&played[1], WIRE_GET, "b", "k", NULL);
	UNTIL(answered(a) && answered(g));
	EQ(ASKED_DONE, asked[a].as);
	SAME(asked[g].value, strlen(asked[g].value), "y");
	played_end();
}

/* Another has led meanwhile: whoever sent what is found in the ring then has given it up. */
static void what_was_meant_for_an_earlier_epoch_is_given_back(void)
{
	uint32_t a;

	cluster();
	ask_gate = 3;
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	played_order(&played[1], ORDER_VIEW, part, 2, 0,
		     0); /* nothing is asked while another leads */
	takes_over(1, 3, 0);
	a = ask(&played[1], WIRE_PUT, "b", "k", "v");
	UNTIL(answered(a));
	EQ(ASKED_ELSEWHERE, asked[a].as);
	ask_gate = 4;
	a = ask(&played[1], WIRE_PUT, "b", "k", "w");
	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	played_end();
}

/* How long copies take is told once a second, by whoever leads. */
static void how_far_copies_are_behind_is_told(void)
{
	uint32_t a;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	UNTIL(played[1].lags[2] && played[1].lags[3]);
	cut_from[3][1] = true; /* its acknowledgements */
	a = ask(&played[1], WIRE_PUT, "b", "k", "v");
	UNTIL(played[1].lag_ms[3] >= 1000);
	TRUE_(played[1].lag_ms[2] < 1000);
	cut_from[3][1] = false;
	UNTIL(answered(a));
	UNTIL(played[1].lag_ms[3] < 1000); /* that was then */
	EQ(0, played[2].lags[1] + played[2].lags[3] + played[3].lags[1]);
	played_end();
}

/* A member that was cut off for long: what it needs is in the log's files only. */
static void who_was_away_is_caught_up(void)
{
	uint32_t a;
	uint64_t before;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	/* Out of the set, and deaf; but the log is kept for it. */
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_order(&played[1], ORDER_VIEW, p, 1, 4, 8);
	cut_from[1][3] = cut_from[3][1] = true;
	for (uint32_t i = 0; i < 500; i++) {
		static char value[30001];
		char key[24];

		memset(value, 'a' + (int)(i % 26), 30000);
		(void)snprintf(key, sizeof(key), "large%u", i);
		a = ask(&played[1], WIRE_PUT, "b", key, value);
		UNTIL(answered(a));
		EQ(ASKED_DONE, asked[a].as);
	}
	put_many(100);
	cut_from[1][3] = cut_from[3][1] = false;
	before = played[1].caught;
	played_order(&played[1], ORDER_VIEW, part, 1, 4, 8);
	played_pass(50);
	put_many(50);
	/* Counted before it is a member, then caught. */
	played_order(&played[1], ORDER_VIEW, part, 1, 12, 8);
	UNTIL(played[1].caught > before);
	put_many(50);
	played_kill(&played[1]);
	played_kill(&played[2]);
	takes_over(3, 2, 0);
	a = ask(&played[3], WIRE_GET, "b", "k49", NULL);
	UNTIL(answered(a));
	SAME(asked[a].value, strlen(asked[a].value), "v49");
	a = ask(&played[3], WIRE_COUNT, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(600, asked[a].version);
	played_end();
}

/* Killed with everything at every stage: each request is answered once, and is there if it was. */
static void a_killed_primary_leads_again(void)
{
	uint32_t a;
	uint64_t s = unit_seed();
	uint64_t version = 0;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	for (uint32_t round = 0; round < 12; round++) {
		uint32_t from = asked_count;

		for (uint32_t i = 0; i < 200; i++) {
			char key[24];

			(void)snprintf(key, sizeof(key), "r%u-%u", round, i);
			(void)ask(&played[1], i % 5 == 4 ? WIRE_GET : WIRE_PUT, "b", key,
				  i % 5 == 4 ? NULL : "v");
		}
		played_pass(unit_random(&s) % 4);
		played_kill(&played[1]);
		for (uint32_t p = 0; p < PARTITIONS; p++)
			played_lease(&played[1], p, 1, false);
		played_spawn(&played[1]);
		lead_all(1, ALL, 0);
		UNTIL(all_answered(from));
		for (uint32_t i = from; i < asked_count; i++) {
			EQ(ASKED_DONE, asked[i].as);
			EQ(1, asked[i].answers);
			if ((i - from) % 5 != 4) {
				TRUE_(asked[i].version > version); /* in the order sent */
				version = asked[i].version;
			}
		}
	}
	a = ask(&played[1], WIRE_COUNT, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(12 * 160, asked[a].version);
	/* A term each, the bucket, and each write once. */
	TRUE_(version <= 1 + 1 + 12 * (160 + 1) + clock_notes(12));
	played_kill(&played[1]);
	takes_over(2, 2, 8);
	a = ask(&played[2], WIRE_COUNT, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(12 * 160, asked[a].version);
	played_end();
}

/* Killed and deposed before it has led again: what was begun is unknown, the rest was not run. */
static void what_was_begun_is_not_called_undone(void)
{
	uint32_t a;
	uint32_t w;
	uint32_t late;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	cut_from[3][1] = true;
	w = ask(&played[1], WIRE_PUT, "b", "k", "v");
	played_pass(100);
	TRUE_(!answered(w));
	played_kill(&played[1]);
	late = ask(&played[1], WIRE_PUT, "b", "late", "v");
	played_spawn(&played[1]);
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_order(&played[1], ORDER_VIEW, p, 2, 0, 0);
	arrive_complete(&played[1].queue);
	UNTIL(answered(w) && answered(late));
	SAME(asked[w].code, strlen(asked[w].code), "timeout");
	EQ(ASKED_ELSEWHERE, asked[late].as);
	played_end();
}

/* Nothing is served before all roles are known. */
static void requests_wait_for_roles(void)
{
	uint32_t a;

	part = partition_of(span_of("b"), PARTITIONS);
	played_begin();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	played_pass(100);
	TRUE_(!answered(a));
	lead_all(1, ALL, 0);
	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	played_end();
}

/* Alone, replies go the way of those without copies; a member that is added has all of them. */
static void who_is_alone_waits_for_nobody(void)
{
	uint32_t a;

	part = partition_of(span_of("b"), PARTITIONS);
	played_begin();
	lead_all(1, 0, 0);
	UNTIL(played[1].floor[part]);
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	put_many(300);
	EQ(0, played[1].shipped);
	TRUE_(status_get(&played[1].queue.segment->status->replies_durable) > 250);
	for (uint32_t i = 0; i < 100; i++)
		(void)ask(&played[1], WIRE_PUT, "b", "more", "v");
	played_order(&played[1], ORDER_VIEW, part, 1, 4, 4);
	UNTIL(played[1].caught);
	UNTIL(all_answered(0));
	a = ask(&played[1], WIRE_PUT, "b", "last", "v");
	UNTIL(answered(a));
	played_kill(&played[1]);
	takes_over(2, 2, 0);
	a = ask(&played[2], WIRE_COUNT, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(302, asked[a].version);
	played_end();
}

/*
 * A member counts from the moment at which that is said: what is told later it has, even if it was
 * logged before.
 */
static void who_is_counted_has_all_that_is_told(void)
{
	uint32_t a;

	part = partition_of(span_of("b"), PARTITIONS);
	played_begin();
	lead_all(1, 0, 0);
	UNTIL(played[1].floor[part]);
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	for (uint32_t round = 0; round < 30; round++) {
		uint32_t from = asked_count;
		uint32_t told = 0;

		cut_from[2][1] = true;
		for (uint32_t i = 0; i < 100 + 20 * round; i++)
			(void)ask(&played[1], WIRE_PUT, "b", "k", "v");
		queue_wake(&played[1].queue);
		(void)usleep(100 * round % 1500);
		played_order(&played[1], ORDER_VIEW, part, 1, 4, 4);
		UNTIL(played[1].counted == played[1].orders);
		(void)played_round();
		for (uint32_t i = from; i < asked_count; i++)
			told += answered(i);
		played_pass(20);
		for (uint32_t i = from; i < asked_count; i++)
			told -= answered(i);
		EQ(0, told);
		cut_from[2][1] = false;
		UNTIL(all_answered(from));
		played_order(&played[1], ORDER_VIEW, part, 1, 0, 0);
		UNTIL(played[1].counted == played[1].orders);
	}
	played_end();
}

/* A planned change of the worker, under load: nothing is lost, done twice, or out of order. */
static void a_handover_loses_nothing(void)
{
	uint64_t version = 0;
	uint32_t a;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	for (uint32_t round = 0; round < 3; round++) {
		uint32_t from = asked_count;

		for (uint32_t i = 0; i < 2000; i++) {
			char key[24];

			(void)snprintf(key, sizeof(key), "r%u-%u", round, i);
			(void)ask(&played[1], WIRE_PUT, "b", key, "v");
		}
		played_hand_over(&played[1]);
		for (uint32_t i = 0; i < 100; i++)
			(void)ask(&played[1], WIRE_PUT, "b", "behind", "v");
		lead_all(1, ALL, 0);
		UNTIL(all_answered(from));
		for (uint32_t i = from; i < asked_count; i++) {
			EQ(ASKED_DONE, asked[i].as);
			EQ(1, asked[i].answers);
			TRUE_(asked[i].version > version);
			version = asked[i].version;
		}
	}
	TRUE_(version >= 1 + 1 + 3 * 2101 && version <= 1 + 1 + 3 * 2101 + clock_notes(3));
	/* A backup's too. */
	a = asked_count;
	for (uint32_t i = 0; i < 3000; i++)
		(void)ask(&played[1], WIRE_PUT, "b", "backup", "v");
	played_hand_over(&played[2]);
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_order(&played[2], ORDER_VIEW, p, 1, 0, 0);
	arrive_complete(&played[2].queue);
	UNTIL(all_answered(a));
	played_kill(&played[1]);
	takes_over(2, 2, 8);
	a = ask(&played[2], WIRE_COUNT, "b", NULL, NULL);
	UNTIL(answered(a));
	EQ(3 * 2000 + 2, asked[a].version);
	played_end();
}

/* What is sent to a member that says nothing is bounded, and goes on when it says something. */
static void a_silent_member_is_not_sent_everything(void)
{
	static char value[40001];
	uint32_t from;
	uint32_t a;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	memset(value, 'x', 40000);
	cut_from[3][1] = true;
	played[1].bytes[3] = played[1].bytes[2] = 0;
	from = asked_count;
	for (uint32_t i = 0; i < 180; i++) /* 7.2 MB; it could be sent from memory */
		(void)ask(&played[1], WIRE_PUT, "b", "k", value);
	UNTIL(played[1].bytes[3] >= 4u << 20 && played[1].bytes[2] > 7000000);
	played_pass(200);
	TRUE_(played[1].bytes[3] <= (4u << 20) + (512u << 10));
	cut_from[3][1] = false;
	UNTIL(all_answered(from));
	for (uint32_t i = from; i < asked_count; i++)
		EQ(ASKED_DONE, asked[i].as);
	played_end();
}

/* Buckets of what is led here, and none of those that lie here as copies; under all leases. */
static void buckets_are_those_that_are_led(void)
{
	uint32_t led = 0;
	uint32_t a;

	cluster();
	for (char x = 'a'; x <= 'z'; x++) {
		char name[2] = {x, 0};

		a = ask(&played[1], WIRE_CREATE, name, NULL, NULL);
		led += partition_of(span_of(name), PARTITIONS) != part;
	}
	UNTIL(all_answered(0));
	a = ask(&played[1], WIRE_BUCKETS, "", NULL, NULL);
	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	EQ(26, asked[a].items);
	/* Bucket b's partition goes to node 2. */
	played_order(&played[1], ORDER_VIEW, part, 2, 0, 0);
	takes_over(2, 2, 8 + 2);
	a = ask(&played[1], WIRE_BUCKETS, "", NULL, NULL);
	UNTIL(answered(a));
	EQ(led, asked[a].items);
	a = ask(&played[2], WIRE_BUCKETS, "", NULL, NULL);
	UNTIL(answered(a));
	EQ(26 - led, asked[a].items);
	/* One lease of them is missing. */
	played_lease(&played[1], (part + 1) % PARTITIONS, 1, false);
	a = ask(&played[1], WIRE_BUCKETS, "", NULL, NULL);
	played_pass(100);
	TRUE_(!answered(a));
	played_lease(&played[1], (part + 1) % PARTITIONS, 1, true);
	UNTIL(answered(a));
	EQ(led, asked[a].items);
	played_end();
}

/* So many checkpoints of node 2, each with something to take, and the segments that they end. */
static void checkpoints_pass(const char *bucket, uint64_t n)
{
	struct worker_status *status = played[2].queue.segment->status;
	uint64_t end = status_get(&status->checkpoints) + n;

	while (status_get(&status->checkpoints) < end) {
		uint32_t a = ask(&played[1], WIRE_PUT, bucket, "k", "v");

		UNTIL(answered(a));
		EQ(ASKED_DONE, asked[a].as);
		played_pass(10);
	}
}

/* The primary dies while a copy is away: the backup that leads then has what that one lacks. */
static void a_backup_keeps_the_log_for_who_is_away(void)
{
	uint32_t a;

	cluster();
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	cut_from[1][3] = cut_from[3][1] = true;
	for (uint32_t p = 0; p < PARTITIONS; p++) {
		order_flags = p == part ? ORDER_KEEP : 0;
		played_order(&played[1], ORDER_VIEW, p, 1, 4, 0);
		played_order(&played[2], ORDER_VIEW, p, 1, 0, 0);
	}
	order_flags = 0;
	put_many(50);
	checkpoints_pass("b", 8);
	played_kill(&played[1]);
	order_flags = ORDER_KEEP;
	played_order(&played[2], ORDER_LEAD, part, 2, 8, 8);
	order_flags = 0;
	UNTIL(played[2].caught); /* it counts: nothing is committed without it */
	UNTIL(played[2].floor[part]);
	played_end();
}

/* What waits for a copy is set aside by checkpoints, and the log's files go; nobody else has it. */
static void what_was_set_aside_is_sent_after_a_restart(void)
{
	char other[8] = "";
	uint32_t a;

	cluster();
	for (char x = 'c'; !*other; x++)
		if (partition_of((struct span){&x, 1}, PARTITIONS) != part)
			other[0] = x;
	a = ask(&played[1], WIRE_CREATE, "b", NULL, NULL);
	UNTIL(answered(a));
	for (uint32_t p = 0; p < PARTITIONS; p++)
		if (p != part)
			played_order(&played[1], ORDER_VIEW, p, 1, 4, 0);
	a = ask(&played[1], WIRE_CREATE, other, NULL, NULL);
	UNTIL(answered(a));
	cut_from[1][3] = cut_from[3][1] = true;
	a = ask(&played[1], WIRE_PUT, "b", "k", "aside");
	checkpoints_pass(other, 8);
	TRUE_(!answered(a));
	played_kill(&played[1]);
	played_kill(&played[2]);
	played_spawn(&played[2]);
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_order(&played[2], ORDER_VIEW, p, 2, 0, 0);
	arrive_complete(&played[2].queue);
	takes_over(2, 2, 8);
	a = ask(&played[2], WIRE_GET, "b", "k", NULL);
	UNTIL(answered(a));
	SAME(asked[a].value, strlen(asked[a].value), "aside");
	played_end();
}

UNIT_MAIN(T(a_backup_keeps_the_log_for_who_is_away), T(what_was_set_aside_is_sent_after_a_restart),
	  T(a_handover_loses_nothing), T(a_silent_member_is_not_sent_everything),
	  T(buckets_are_those_that_are_led), T(who_is_counted_has_all_that_is_told),
	  T(a_write_is_on_all_copies), T(a_reply_waits_for_every_member),
	  T(a_read_of_what_is_committed_waits_for_no_write), T(another_partition_goes_on),
	  T(reads_wait_for_the_lease), T(who_does_not_lead_says_elsewhere),
	  T(what_stands_behind_something_given_back_is_given_back),
	  T(what_was_meant_for_an_earlier_epoch_is_given_back),
	  T(how_far_copies_are_behind_is_told), T(who_was_away_is_caught_up),
	  T(a_killed_primary_leads_again), T(what_was_begun_is_not_called_undone),
	  T(requests_wait_for_roles), T(who_is_alone_waits_for_nobody))
