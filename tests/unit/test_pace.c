/* The store's clock over steps of the system's, restarts and reboots. */
#include "tests/unit/lib/store_fixture.h"

#define HOUR    3600000u
#define CENTURY (100ull * 365 * 24 * HOUR)
#define START   1800000000000ull

static bool behind;

static void tick(void)
{
	EQ(0, store_tick(current, wall_at_open));
}

/* Time passes, on both clocks. */
static void pass(uint64_t ms)
{
	wall_at_open += ms;
	boot += ms;
	tick();
}

/* Another life, after a kill: what was synced is all that is left. */
static void again(void)
{
	struct store_config c = config();

	if (current) {
		sync_all();
		store_close(&current);
	}
	EQ(0, store_open(&c, &current, why, sizeof(why)));
}

static void begin(void)
{
	fresh();
	boot = 5000;
	boots = 1;
	wall_at_open = START;
	again();
	EQ(0, create("b"));
	EQ(START, store_clock(current));
}

static void the_clock_goes_on_while_the_systems_is_behind(void)
{
	begin();
	EQ(0, put_ttl("b", "k", "v", 1000));
	wall_at_open -= 2 * HOUR;
	pass(999);
	EQ(START + 999, store_clock(current));
	is("b", "k", "v");
	pass(1);
	is("b", "k", NULL);
	wall_at_open += HOUR; /* still behind */
	pass(500);
	EQ(START + 1500, store_clock(current));
	wall_at_open += 2 * HOUR;
	pass(0);
	EQ(START + 1500 + HOUR, store_clock(current));
	boot -= 1000; /* cannot be, but shall do no harm */
	tick();
	EQ(START + 1500 + HOUR, store_clock(current));
	finish();
}

static void jumps_are_told_once(void)
{
	begin();
	EQ(0, store_jump(current, &behind));
	wall_at_open += 50000;
	pass(10);
	EQ(0, store_jump(current, &behind)); /* what time daemons do */
	wall_at_open -= 2 * HOUR;
	pass(10);
	EQ(-2 * (long long)HOUR, store_jump(current, &behind));
	TRUE_(!behind);
	pass(10);
	EQ(0, store_jump(current, &behind));
	wall_at_open += CENTURY;
	pass(10);
	EQ(CENTURY, store_jump(current, &behind));
	finish();
}

/* Three ways for a note to outlive its life: in the log's end, in settled records, in base alone.
 */
static void a_restart_goes_on_by_what_has_passed(void)
{
	for (int settled = 0; settled < 2; settled++) {
		begin();
		EQ(0, put_ttl("b", "k", "v", 10000));
		wall_at_open -= 2 * HOUR;
		pass(1000);
		if (settled) {
			EQ(0, put("b", "other", "v"));
			EQ(0, store_settle(current, 10000));
		}
		for (int i = 1; i <= 3; i++) { /* 2 s pass between lives, 1 s within */
			sync_all();
			store_close(&current);
			wall_at_open += 2000;
			boot += 2000;
			again();
			EQ(START + 1000 + 3000 * (uint64_t)i - 1000, store_clock(current));
			EQ(-2 * (long long)HOUR, store_jump(current, &behind));
			TRUE_(behind);
			is("b", "k", "v");
			pass(1000);
		}
		is("b", "k", NULL);
		EQ(settled, count("b"));
		finish();
	}
}

static void a_reboot_goes_on_by_what_is_known(void)
{
	begin();
	EQ(0, put_ttl("b", "k", "v", 10000));
	sync_all();
	store_close(&current);
	boots++;
	boot = 3000; /* it has been on for so long at least */
	wall_at_open -= HOUR;
	again();
	EQ(START + 3000, store_clock(current));
	TRUE_(store_jump(current, &behind) < -(long long)HOUR);
	TRUE_(behind);
	is("b", "k", "v");
	pass(7000);
	is("b", "k", NULL);
	sync_all();
	store_close(&current);
	boots++;
	boot = 100;
	wall_at_open =
		START + 2 * HOUR; /* a clock that is right is believed, and nothing to tell */
	again();
	EQ(START + 2 * HOUR, store_clock(current));
	EQ(0, store_jump(current, &behind));
	boots = 0; /* nobody knows which boot this is */
	again();
	EQ(START + 2 * HOUR, store_clock(current));
	finish();
}

static void a_century_ahead_and_back(void)
{
	begin();
	EQ(0, put_ttl("b", "before", "v", HOUR));
	wall_at_open += CENTURY;
	pass(0);
	is("b", "before", NULL);
	EQ(0, put_ttl("b", "k", "v", 1000));
	wall_at_open -= CENTURY;
	pass(500);
	is("b", "k", "v");
	for (int i = 0; i < 2; i++) {
		again();
		EQ(START + CENTURY + 500, store_clock(current));
		is("b", "before", NULL);
		is("b", "k", "v");
	}
	pass(500);
	is("b", "k", NULL);
	EQ(0, put_ttl("b", "k", "v", 1000));
	pass(1000);
	is("b", "k", NULL);
	finish();
}

/* Each write with a ttl would have a note otherwise. */
static void a_note_is_made_when_there_is_news(void)
{
	uint64_t seq;

	begin();
	EQ(0, put_ttl("b", "k", "v", 1000));
	seq = store_lsn(current);
	for (int i = 0; i < 100; i++) {
		pass(1);
		EQ(0, put_ttl("b", "k", "v", 1000));
	}
	EQ(seq + 100, store_lsn(current));
	wall_at_open += 500;
	pass(1);
	EQ(0, put("b", "k", "v"));
	EQ(seq + 101, store_lsn(current));
	EQ(0, put_ttl("b", "k", "v", 1000));
	EQ(seq + 103, store_lsn(current));
	finish();
}

UNIT_MAIN(T(the_clock_goes_on_while_the_systems_is_behind), T(jumps_are_told_once),
	  T(a_restart_goes_on_by_what_has_passed), T(a_reboot_goes_on_by_what_is_known),
	  T(a_century_ahead_and_back), T(a_note_is_made_when_there_is_news))
