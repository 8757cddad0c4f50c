/* Workers whose copies learn anew from each other. */
#include "tests/unit/lib/played_cluster.h"

#define VALUE_BYTES 30000u
#define LARGE       400u /* values of that size: more than the log keeps */

static uint32_t part; /* of bucket "b" */

static void orders(uint32_t number, enum order_kind kind, uint32_t needed, uint32_t learners,
		   uint32_t epoch)
{
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_order(&played[number], kind, p, epoch, needed, learners);
}

static void leads(uint32_t number, uint32_t needed, uint32_t learners, uint32_t epoch)
{
	orders(number, ORDER_VIEW, 0, 0, epoch);
	orders(number, ORDER_LEAD, needed, learners, epoch);
	arrive_complete(&played[number].queue);
	UNTIL(played[number].leading[PARTITIONS - 1] ==
	      term_make(epoch, played_life(&played[number])));
	for (uint32_t p = 0; p < PARTITIONS; p++)
		played_lease(&played[number], p, epoch, true);
}

static void follows(uint32_t number, uint32_t epoch)
{
	orders(number, ORDER_VIEW, 0, 0, epoch);
	arrive_complete(&played[number].queue);
}

static uint32_t done(struct played *n, uint8_t method, const char *key, const char *value)
{
	uint32_t a = ask(n, method, "b", key, value);

	UNTIL(answered(a));
	EQ(ASKED_DONE, asked[a].as);
	return a;
}

/* Put as many keys: fifty at a time, and again what was refused since the log is full. */
static void put_all(const char *name, uint32_t from, uint32_t count, bool as_large)
{
	static char value[VALUE_BYTES + 1];
	uint32_t of[50];

	for (uint32_t i = from; i < from + count; i += 50) {
		uint64_t open = (1ull << (from + count - i < 50 ? from + count - i : 50)) - 1;

		while (open) {
			uint32_t first = asked_count;

			for (uint32_t k = 0; k < 50; k++) {
				char key[24];

				(void)snprintf(key, sizeof(key), "%s%u", name, i + k);
				memset(value, 'a' + (int)((i + k) % 26), VALUE_BYTES);
				if (open >> k & 1)
					of[k] = ask(&played[1], WIRE_PUT, "b", key,
						    as_large ? value : key);
			}
			UNTIL(all_answered(first));
			for (uint32_t k = 0; k < 50; k++) {
				if (!(open >> k & 1))
					continue;
				if (asked[of[k]].as == ASKED_DONE)
					open &= ~(1ull << k);
				else
					SAME(asked[of[k]].code, strlen(asked[of[k]].code), "busy");
			}
		}
	}
}

static void large(uint32_t from, uint32_t count)
{
	put_all("large", from, count, true);
}

static void small(uint32_t from, uint32_t count)
{
	put_all("small", from, count, false);
}

/*
 * Node 1 leads with node 2; node 3, which had some of it once, has been away until the log does not
 * reach back to that.
 */
static void begin(void)
{
	part = partition_of(span_of("b"), PARTITIONS);
	played_log_bytes = 8u << 20;
	played_begin();
	follows(2, 1);
	follows(3, 1);
	leads(1, 4 + 8, 0, 1);
	UNTIL(played[1].floor[PARTITIONS - 1]);
	(void)done(&played[1], WIRE_CREATE, NULL, NULL);
	(void)done(&played[1], WIRE_PUT, "before", "v");
	(void)done(&played[1], WIRE_PUT, "gone", "v");
	cut_from[1][3] = cut_from[3][1] = true;
	orders(1, ORDER_VIEW, 4, 8, 1);
	(void)done(&played[1], WIRE_DELETE, "gone", NULL);
	large(0, LARGE);
}

static void joins(void)
{
	cut_from[1][3] = cut_from[3][1] = false;
}

/* Node 3 counts when it has caught up, and has all of it when it is alone. */
static void has_all(uint32_t smalls)
{
	uint64_t before = played[1].caught;
	uint32_t a;

	played_order(&played[1], ORDER_VIEW, part, 1, 4 + 8, 8);
	UNTIL(played[1].caught > before);
	played_kill(&played[1]);
	played_order(&played[3], ORDER_LEAD, part, 2, 0, 0);
	UNTIL(played[3].floor[part] == term_make(2, played_life(&played[3])));
	played_lease(&played[3], part, 2, true);
	a = done(&played[3], WIRE_COUNT, NULL, NULL);
	EQ(1 + LARGE + smalls, asked[a].version);
	a = done(&played[3], WIRE_GET, "gone", NULL);
	EQ(0, asked[a].value[0]);
	a = done(&played[3], WIRE_GET, "large7", NULL);
	SAME(asked[a].value, strlen(asked[a].value), "hhhhhhhhhhhhhhhhhhhhhhh");
	if (smalls) {
		char key[24];

		(void)snprintf(key, sizeof(key), "small%u", smalls - 1);
		a = done(&played[3], WIRE_GET, key, NULL);
		SAME(asked[a].value, strlen(asked[a].value), key);
	}
	played_end();
}

static void who_was_away_for_too_long_learns_anew(void)
{
	begin();
	EQ(0, played[1].pieces);
	joins();
	UNTIL(played[1].whole[part]);
	/* What no checkpoint had taken when it was begun comes by the log. */
	TRUE_(played[1].pieces > LARGE * VALUE_BYTES / (256u << 10) / 4);
	small(0, 100);
	has_all(100);
}

static void a_copy_that_has_nothing_learns_all(void)
{
	char text[1200];

	begin();
	played_kill(&played[3]);
	(void)snprintf(text, sizeof(text), "rm -rf %s/node-3", unit_folder());
	EQ(0, system(text));
	played_spawn(&played[3]);
	UNTIL(played_ready(&played[3]));
	follows(3, 1);
	joins();
	UNTIL(played[1].whole[part]);
	has_all(0);
}

/* What is written meanwhile comes from the log, behind it. */
static void writes_go_on_beside_it(void)
{
	uint32_t n = 0;

	begin();
	joins();
	while (!played[1].whole[part] && n < 20000)
		small(n, 50), n += 50;
	TRUE_(played[1].whole[part]);
	small(n, 50);
	has_all(n + 50);
}

static uint64_t losing; /* random, so that no parcel is lost each time it is sent */

static bool lose_some(const struct played *from, const struct parcel *p)
{
	(void)from;
	return (p->kind == PARCEL_PIECE || p->kind == PARCEL_PIECED) &&
	       unit_random(&losing) % 7 == 3;
}

static void what_is_lost_on_the_way_is_sent_again(void)
{
	uint64_t end = clock_ms() + 60000;

	begin();
	losing = unit_seed();
	played_loses = lose_some;
	joins();
	while (!played[1].whole[part] && clock_ms() < end)
		played_pass(10);
	TRUE_(played[1].whole[part]);
	played_loses = NULL;
	has_all(0);
}

static bool twice(const struct played *from, const struct parcel *p)
{
	if (p->kind != PARCEL_PIECE && p->kind != PARCEL_PIECED)
		return false;
	(void)from;
	if (played[p->node].up)
		(void)arrive_push(&played[p->node].queue, p, p->size);
	return false;
}

static void what_comes_twice_is_taken_once(void)
{
	begin();
	played_loses = twice;
	joins();
	UNTIL(played[1].whole[part]);
	has_all(0);
}

/* In the middle of it, each of the two, until it has what it needs after all. */
static void who_is_killed_begins_anew(void)
{
	uint64_t pieces;

	begin();
	joins();
	for (uint32_t i = 1; i <= 3; i++) {
		pieces = played[1].pieces;
		UNTIL(played[1].pieces >= pieces + 8 * i);
		played_kill(&played[3]);
		played_spawn(&played[3]);
		UNTIL(played_ready(&played[3]));
		follows(3, 1);
	}
	pieces = played[1].pieces;
	UNTIL(played[1].pieces > pieces + 10);
	EQ(0, played[1].whole[part]);
	played_kill(&played[1]);
	played_spawn(&played[1]);
	leads(1, 4, 8, 1);
	UNTIL(played[1].whole[part]);
	small(0, 10);
	has_all(10);
}

/* A planned change of the worker, of either, in the middle. */
static void a_handover_begins_it_anew(void)
{
	begin();
	joins();
	UNTIL(played[1].pieces > 5);
	played_hand_over(&played[3]);
	follows(3, 1);
	UNTIL(played[1].pieces > 15);
	EQ(0, played[1].whole[part]);
	played_hand_over(&played[1]);
	leads(1, 4, 8, 1);
	UNTIL(played[1].whole[part]);
	has_all(0);
}

/* All partitions, one after the other. */
static void others_wait_for_their_turn(void)
{
	char name[2] = "c";
	uint32_t a;

	begin();
	for (name[0] = 'c'; name[0] <= 'z'; name[0]++) { /* all partitions have some */
		a = ask(&played[1], WIRE_CREATE, name, NULL, NULL);
		UNTIL(answered(a));
		a = ask(&played[1], WIRE_PUT, name, "k", name);
		UNTIL(answered(a));
	}
	large(0, LARGE);
	joins();
	UNTIL(played[1].whole[part]);
	for (uint32_t p = 0; p < PARTITIONS; p++)
		UNTIL(played[1].whole[p]);
	has_all(0);
}

/* It leaves the node, and comes again. */
static void what_was_forgotten_is_learned_anew(void)
{
	uint64_t before;

	begin();
	joins();
	UNTIL(played[1].whole[part]);
	before = played[1].whole[part];
	played_order(&played[1], ORDER_VIEW, part, 1, 4, 0);
	played_order(&played[3], ORDER_FORGET, part, 1, 0, 0);
	played_pass(50);
	played_order(&played[3], ORDER_VIEW, part, 1, 0, 0);
	played_order(&played[1], ORDER_VIEW, part, 1, 4, 8);
	UNTIL(played[1].whole[part] > before);
	has_all(0);
}

UNIT_MAIN(T(who_was_away_for_too_long_learns_anew), T(a_copy_that_has_nothing_learns_all),
	  T(writes_go_on_beside_it), T(what_is_lost_on_the_way_is_sent_again),
	  T(what_comes_twice_is_taken_once), T(who_is_killed_begins_anew),
	  T(a_handover_begins_it_anew), T(others_wait_for_their_turn),
	  T(what_was_forgotten_is_learned_anew))
