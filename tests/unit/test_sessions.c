/* What becomes of requests of sessions: verdicts, bounds, what is forgotten. */
#include "common/fault.h"
#include "tests/unit/lib/session_fixture.h"

/* ---- verdicts ---- */

static void a_request_is_run_once(void)
{
	uint64_t version = 0;
	uint64_t lsn;

	session_fresh();
	EQ(SESSION_RUN, ask_put("b", 1, 10, 0, &version));
	lsn = store_lsn(current);
	EQ(lsn, store_observed_lsn(current));
	EQ(SESSION_DONE, ask_put("b", 1, 10, 0, &version));
	had_version("b", 1, 10, version);
	EQ(lsn, store_observed_lsn(current)); /* told when it is on disk, as the first */
	EQ(lsn, store_lsn(current));
	TRUE_(!store_committed(current));
	sync_all();
	had_version("b", 1, 10, version);
	TRUE_(store_committed(current));
	finish();
}

static void each_verdict(void)
{
	uint64_t version = 0;

	session_fresh();
	EQ(SESSION_RUN, ask_put("b", 1, 10, 0, &version));
	EQ(SESSION_RUN, ask("b", 1, 11, 0));
	EQ(SESSION_RUN, ask("b", 1, 11, 0)); /* nothing was logged for it */
	EQ(SESSION_RUN, ask("b", 1, 9, 0));
	EQ(SESSION_RUN, ask("b", 2, 10, 0)); /* of another session */
	asked.fingerprint++;
	session_id(asked.id, made, 1);
	store_begin(current, 0);
	EQ(SESSION_OTHER, store_session(current, span_of("b"), &asked, &outcome));
	EQ(SESSION_STALE, ask("b", 1, 9, 10));
	EQ(SESSION_DONE, ask("b", 1, 10, 0)); /* an earlier ack takes nothing back */
	EQ(SESSION_STALE, ask("b", 1, 9, 0));
	EQ(SESSION_STALE, ask("b", 1, 11, 12)); /* taken before anything else is judged */
	EQ(SESSION_STALE, ask("b", 1, 10, 0));
	EQ(SESSION_RUN, ask("b", 1, 12, 12));
	EQ(SESSION_RUN, acknowledge("b", 1, 20));
	EQ(SESSION_STALE, ask("b", 1, 19, 0));
	EQ(SESSION_RUN, ask("b", 1, UINT64_MAX, 20));
	finish();
}

static void sessions_are_of_a_partition(void)
{
	uint64_t version = 0;

	session_fresh();
	EQ(SESSION_RUN, ask_put("b", 1, 10, 0, &version));
	EQ(SESSION_RUN, ask("another", 1, 10, 0));
	EQ(SESSION_RUN, acknowledge("another", 1, 11));
	had_version("b", 1, 10, version);
	EQ(SESSION_STALE, ask("another", 1, 10, 0));
	finish();
}

static void what_is_out_of_order_is_found(void)
{
	static const uint64_t seqs[] = {50, 10, 40, 20, 30, 60, 5, 55, 1};
	uint64_t version[9];

	for (unsigned ack = 0; ack <= 61; ack += 7) {
		session_fresh();
		for (unsigned i = 0; i < 9; i++)
			EQ(SESSION_RUN, ask_put("b", 1, seqs[i], 0, &version[i]));
		EQ(SESSION_RUN, acknowledge("b", 1, ack));
		for (unsigned i = 0; i < 9; i++) {
			if (seqs[i] < ack)
				EQ(SESSION_STALE, ask("b", 1, seqs[i], 0));
			else
				had_version("b", 1, seqs[i], version[i]);
		}
		finish();
	}
}

static void what_was_ruled_out_is_never_run(void)
{
	uint64_t lsn;
	uint64_t version;

	session_fresh();
	for (enum way way = CLOSED; way < WAYS; way++) {
		unsigned n = way;

		EQ(SESSION_NEVER, ask_outcome("b", n, 5));
		lsn = store_lsn(current);
		EQ(lsn, store_observed_lsn(current));
		EQ(SESSION_NEVER, ask_outcome("b", n, 5));
		EQ(lsn, store_lsn(current)); /* logged once */
		EQ(SESSION_STALE, ask_put("b", n, 5, 0, &version));
		EQ(lsn, store_observed_lsn(current));
		EQ(SESSION_RUN, ask_put("b", n, 6, 0, &version));
		EQ(SESSION_RUN, ask_put("b", n, 4, 0, &version)); /* its ack was no ack */
		session_again(way);
		EQ(SESSION_NEVER, ask_outcome("b", n, 5));
		EQ(SESSION_STALE, ask("b", n, 5, 0));
		EQ(SESSION_DONE, ask_outcome("b", n, 6));
		EQ(version, outcome.version + 0 * lsn + 1);
		EQ(SESSION_RUN, acknowledge("b", n, 6));
		EQ(SESSION_STALE, ask_outcome("b", n, 5));
	}
	finish();
}

/* ---- what comes back ---- */

static uint64_t versions[8];

static void one_of_each(unsigned n)
{
	struct store_key k;
	bool did = false;

	EQ(SESSION_RUN, ask_put("b", n, 1, 0, &versions[1]));
	EQ(SESSION_RUN, ask("b", n, 2, 0));
	store_locate(current, span_of("b"), span_of("k"), &k);
	EQ(0, store_touch(current, &k, 1000000, &always, &versions[2]));
	EQ(SESSION_RUN, ask("b", n, 3, 0));
	store_locate(current, span_of("b"), span_of("k"), &k);
	EQ(0, store_delete(current, &k, &always, &did, &versions[3]));
	versions[3] = versions[2] + 1;
	EQ(SESSION_RUN, ask("b", n, 4, 0));
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, group_begin(current, &k));
	(void)gput("x", "1");
	(void)gput("y", "1");
	EQ(0, group_commit(current, reply));
	EQ(SESSION_RUN, ask_result("b", n, 5, 0, span_of("a result")));
	EQ(SESSION_RUN, ask("b", n, 6, 0));
	EQ(0, store_drop(current, span_of("b"), &did));
	versions[6] = versions[2] + 5;
	EQ(SESSION_RUN, ask("b", n, 7, 0));
	EQ(0, store_create(current, span_of("b"), &did));
	versions[7] = versions[6] + 1;
}

static void each_is_known(unsigned n)
{
	for (unsigned seq = 1; seq <= 7; seq++) {
		if (seq == 4)
			had_result("b", n, seq, reply);
		else if (seq == 5)
			had_result("b", n, seq, span_of("a result"));
		else
			had_version("b", n, seq, versions[seq]);
		asked.fingerprint++;
		store_begin(current, 0);
		EQ(SESSION_OTHER, store_session(current, span_of("b"), &asked, &outcome));
	}
}

/* Though its bucket has been dropped; also when it is settled twice, or half of it is. */
static void an_outcome_outlives_its_process(void)
{
	for (enum way way = CLOSED; way < WAYS; way++) {
		session_fresh();
		if (way == SETTLED_HALF) {
			EQ(SESSION_RUN, ask_result("b", 1, 0, 0, span_of("settled")));
			EQ(0, store_settle(current, 10000));
		}
		one_of_each(1);
		each_is_known(1);
		session_again(way);
		each_is_known(1);
		if (way == SETTLED_HALF)
			had_result("b", 1, 0, span_of("settled"));
		EQ(0, drop("b"));
		session_again(CLOSED);
		each_is_known(1);
		session_again(SETTLED);
		session_again(SETTLED);
		each_is_known(1);
		EQ(1, stats().sessions);
		finish();
	}
}

static void a_floor_outlives_its_process(void)
{
	uint64_t version;

	for (enum way way = CLOSED; way < WAYS; way++) {
		session_fresh();
		for (unsigned seq = 0; seq < 10; seq++)
			EQ(SESSION_RUN, ask_put("b", 1, seq, 0, &version));
		if (way == SETTLED_HALF)
			EQ(0, store_settle(current, 10000));
		EQ(SESSION_RUN, ask_put("b", 1, 20, 8, &version)); /* its record has it */
		session_again(way);
		EQ(SESSION_STALE, ask("b", 1, 7, 0));
		EQ(SESSION_DONE, ask("b", 1, 8, 0));
		had_version("b", 1, 20, version);
		EQ(SESSION_RUN, acknowledge("b", 1, 21));
		EQ(0, stats().outcome_bytes);
		EQ(SESSION_RUN, ask_put("b", 2, 1, 0, &version)); /* so that there is something */
		session_again(SETTLED);
		EQ(2, stats().sessions);
		EQ(SESSION_STALE, ask("b", 1, 20, 0)); /* the ack alone has settled */
		EQ(SESSION_RUN, acknowledge("b", 2, 2));
		EQ(0, stats().outcome_bytes);
		finish();
	}
}

/* Base has no row of what was acknowledged: nothing of it comes back. */
static void what_is_acknowledged_is_gone_from_base(void)
{
	uint64_t version;

	session_fresh();
	for (unsigned n = 0; n < 50; n++)
		for (unsigned seq = 1; seq < 10; seq++)
			EQ(SESSION_RUN, ask_put("b", n, seq * 100, 0, &version));
	session_again(SETTLED);
	EQ(50, stats().sessions);
	for (unsigned n = 0; n < 50; n++)
		EQ(SESSION_RUN, acknowledge("b", n, n % 2 ? UINT64_MAX : 500));
	EQ(0, put("b", "k", "v"));
	session_again(SETTLED);
	for (unsigned n = 0; n < 50; n++) {
		EQ(SESSION_STALE, ask("b", n, 400, 0));
		EQ(n % 2 ? SESSION_STALE : SESSION_DONE, ask("b", n, 500, 0));
		EQ(SESSION_RUN, acknowledge("b", n, UINT64_MAX));
	}
	EQ(0, stats().outcome_bytes);
	finish();
}

/* ---- checkpoints that fail ---- */

static void one_that_fails_is_done_again(void)
{
	static const char *const faults[] = {"base.commit=ENOSPC", "session.freeze=ENOMEM"};

	for (unsigned i = 0; i < 2; i++) {
		session_fresh();
		EQ(SESSION_RUN, ask_result("b", 2, 1, 0, span_of("gone")));
		EQ(0, store_settle(current, 10000));
		one_of_each(1);
		EQ(SESSION_RUN, acknowledge("b", 2, 2));
		fault_set(faults[i], 0);
		(void)store_settle(current, 10000);
		fault_set(NULL, 0);
		EQ(SESSION_RUN, acknowledge("b", 1, 2)); /* one of them changes meanwhile */
		EQ(SESSION_RUN, ask_result("b", 3, 1, 0, span_of("more")));
		session_again(SETTLED);
		EQ(SESSION_STALE, ask("b", 1, 1, 0));
		had_result("b", 1, 4, reply);
		had_result("b", 1, 5, span_of("a result"));
		had_version("b", 1, 7, versions[7]);
		EQ(SESSION_STALE, ask("b", 2, 1, 0));
		finish();
	}
}

/* What is dropped and what comes while a checkpoint has it in hand. */
static void what_changes_during_a_checkpoint_is_the_next_ones(void)
{
	uint64_t version;

	session_fresh();
	session_ms = 5000;
	session_again(CLOSED);
	for (unsigned seq = 0; seq < 10; seq++)
		EQ(SESSION_RUN, ask_put("b", 1, seq, 0, &version));
	EQ(SESSION_RUN, ask_put("b", 2, 1, 0, &version));
	store_checkpoint(current); /* frozen; it does not run before the next tick */
	EQ(SESSION_RUN, acknowledge("b", 1, 5));
	EQ(SESSION_RUN, ask_put("b", 1, 10, 0, &version));
	EQ(SESSION_RUN, ask_put("b", 3, 1, 0, &version));
	store_freed(current, UINT64_MAX);
	sync_all();
	while (stats().checkpoints < 1)
		session_tick(0);
	had_version("b", 1, 10, version - 1);
	session_again(CLOSED); /* base has the floor of then, the log has what came */
	EQ(SESSION_DONE, ask("b", 1, 0, 0));
	had_version("b", 1, 10, version - 1);
	had_version("b", 3, 1, version);
	EQ(SESSION_RUN, acknowledge("b", 1, 5));
	session_again(SETTLED);
	EQ(SESSION_STALE, ask("b", 1, 4, 0));
	had_version("b", 1, 10, version - 1);
	finish();
}

/* ---- bounds ---- */

static void no_more_outcomes_of_a_session_than_may_be(void)
{
	uint64_t version;
	uint64_t lsn;

	session_fresh();
	for (unsigned seq = 0; seq < SESSION_OUTCOMES_MAX; seq++)
		EQ(SESSION_RUN, ask_put("b", 1, seq, 0, &version));
	lsn = store_lsn(current);
	EQ(SESSION_BUSY, ask_put("b", 1, 9999, 0, &version));
	EQ(SESSION_BUSY, ask_outcome("b", 1, 9999));
	EQ(lsn, store_lsn(current));
	EQ(SESSION_DONE, ask("b", 1, 0, 0));
	EQ(SESSION_RUN, ask("b", 2, 0, 0));
	EQ(SESSION_RUN, ask_put("b", 1, 9999, 1, &version));
	EQ(SESSION_BUSY, ask("b", 1, 10000, 1));
	finish();
}

static void no_more_bytes_of_outcomes_than_may_be(void)
{
	static char big[20000];
	const struct span result = {big, sizeof(big)};
	uint64_t lsn;
	uint64_t version;
	unsigned n = 0;
	int r;

	session_fresh();
	session_limit = 100000;
	session_again(CLOSED);
	while ((r = ask_result("b", 1, n, 0, result)) == SESSION_RUN) {
		n++;
		TRUE_(stats().outcome_bytes <= session_limit);
	}
	EQ(-EBUSY, r);
	EQ(4, n);
	lsn = store_lsn(current);
	EQ(-EBUSY, ask_result("b", 1, n, 0, result));
	EQ(lsn, store_lsn(current));
	while ((r = ask_put("b", 1 + n % 50, 100 + n, 0, &version)) == SESSION_RUN) {
		TRUE_(stats().outcome_bytes <= session_limit);
		n++;
	}
	EQ(SESSION_BUSY, r);
	TRUE_(stats().outcome_bytes > session_limit - 1000);
	EQ(SESSION_RUN, acknowledge("b", 1, 1));
	EQ(SESSION_RUN, ask_result("b", 1, 4, 0, span_of("fits")));
	finish();
}

/* Whoever waits until there is room for it waits for ever. */
static void a_result_that_can_never_be_kept_is_too_large(void)
{
	static char big[200000];
	struct store_key k;
	uint64_t lsn;

	session_fresh();
	session_limit = 100000;
	session_again(CLOSED);
	EQ(-E2BIG, ask_result("b", 1, 1, 0, (struct span){big, 100000}));
	EQ(SESSION_RUN, ask("b", 1, 2, 0));
	store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
	EQ(0, group_begin(current, &k));
	(void)gput("k", "v");
	lsn = store_lsn(current); /* a note of the time may have come first */
	EQ(-E2BIG, group_commit(current, (struct span){big, 100000}));
	EQ(lsn, store_lsn(current));
	EQ(SESSION_RUN, ask_result("b", 1, 1, 0, (struct span){big, 99000}));
	finish();
}

/* An ack that stood in no record may have been lost. */
static void is_known(const char *bucket, uint64_t n, uint64_t seq)
{
	int r = ask(bucket, n, seq, 0);

	TRUE_(r == SESSION_DONE || r == SESSION_STALE);
}

static void the_largest_result_fits_with_its_session(void)
{
	static char big[1 << 20];
	const uint64_t heads = LOG_RECORD_BYTES + sizeof(struct log_session) + 8;
	const struct span largest = {big, sizeof(big) - heads};
	struct store_key k;
	uint64_t lsn;

	EQ(sizeof(big), group_max);
	memset(big, 'x', sizeof(big));
	session_fresh();
	EQ(SESSION_RUN, ask_result("b", 1, 1, 0, largest));
	for (unsigned more = 0; more < 2; more++) { /* a group, and one that is too large */
		EQ(SESSION_RUN, ask("b", 1, 2 + more, 0));
		store_locate(current, span_of("b"), (struct span){NULL, 0}, &k);
		EQ(0, group_begin(current, &k));
		(void)gput("k", "v");
		lsn = store_lsn(current);
		EQ(more ? -E2BIG : 0,
		   group_commit(current,
				(struct span){big, sizeof(big) - group_bytes(current) - 8 + more}));
		EQ(lsn + !more, store_lsn(current));
	}
	for (enum way way = CLOSED; way < WAYS; way++) {
		session_again(way);
		had_result("b", 1, 1, largest);
		EQ(SESSION_DONE, ask("b", 1, 2, 0));
		EQ(SESSION_RUN, ask("b", 1, 3, 0));
	}
	finish();
}

/* One request each, all acknowledged: those used longest ago go, and that is told after a restart. */
static void floors_crowd_each_other_out(void)
{
	enum { MANY = 5000 };
	uint64_t version;
	uint64_t known;

	session_fresh();
	session_limit = 64 << 10;
	session_again(CLOSED);
	for (unsigned n = 0; n < MANY; n++) {
		made = wall - 50000 + n;
		EQ(SESSION_RUN, ask_put("b", n, 1, 0, &version));
		EQ(SESSION_RUN, acknowledge("b", n, 2));
		if (n >= 10) { /* one that is used is not among them */
			made = wall - 50000;
			EQ(SESSION_STALE, ask("b", 0, 1, 0));
		}
		if (n % 100 == 0) {
			uint64_t before = stats().checkpoints;
			uint64_t until = clock_ms() + 30000;

			do {
				session_tick(0);
				sync_all();
				(void)usleep(200);
			} while (n && stats().checkpoints == before && clock_ms() < until);
			TRUE_(!n || stats().checkpoints > before); /* one was due */
		}
	}
	TRUE_(stats().checkpoints > 3); /* else a restart would bring all of them back */
	known = stats().sessions;
	TRUE_(known > 100 && known < 1000);
	for (unsigned round = 0; round < 3; round++) {
		made = wall - 50000;
		is_known("b", 0, 1);
		made++;
		EQ(SESSION_UNKNOWN, ask("b", 1, 1, 0));
		made = wall - 50000 + MANY - (unsigned)known;
		if (!round)
			EQ(SESSION_UNKNOWN, ask("b", MANY - (unsigned)known, 1, 0));
		made = wall - 50000 + MANY - 1;
		is_known("b", MANY - 1, 1);
		made = wall;
		EQ(SESSION_RUN, ask("b", 1000000, 1, 0));
		if (round < 2)
			session_again(round ? SETTLED : CLOSED);
	}
	finish();
}

/* A checkpoint is due. */
static void is_due(void)
{
	uint64_t before = stats().checkpoints;
	uint64_t until = clock_ms() + 30000;

	do {
		session_tick(0);
		sync_all();
		(void)usleep(200);
	} while (stats().checkpoints == before && clock_ms() < until);
	TRUE_(stats().checkpoints > before);
}

/* Else a restart would bring all of it back, and nobody would acknowledge it once more. */
static void acks_of_what_is_not_run_are_settled(void)
{
	static char big[20000];

	session_fresh();
	session_limit = 100000;
	session_again(CLOSED);
	for (unsigned seq = 0; seq < 4; seq++)
		EQ(SESSION_RUN, ask_result("b", 1, seq, 0, (struct span){big, sizeof(big)}));
	EQ(SESSION_DONE, ask("b", 1, 3, 3)); /* sent again, with what is known by then */
	is_due();
	session_again(CLOSED);
	EQ(SESSION_STALE, ask("b", 1, 2, 0));
	had_result("b", 1, 3, (struct span){big, sizeof(big)});
	finish();
}

/* They are in memory until then, though nothing else is logged. */
static void what_is_forgotten_is_settled(void)
{
	session_fresh();
	session_limit = 64 << 10;
	session_again(CLOSED);
	for (unsigned n = 0; n < 1000; n++) {
		made = wall - 50000 + n;
		EQ(SESSION_RUN, acknowledge("b", n, 1));
	}
	is_due();
	finish();
}

/* Whoever follows reads base and log, and there is no ack in the log. */
static void a_handover_takes_acks_along(void)
{
	uint64_t version;

	session_fresh();
	session_limit = 64 << 10;
	session_again(CLOSED);
	for (unsigned n = 0; n < 50; n++) {
		EQ(SESSION_RUN, ask_put("b", n, 1, 0, &version));
		EQ(SESSION_RUN, acknowledge("b", n, 2));
	}
	session_again(FOLLOWED);
	EQ(0, stats().outcome_bytes);
	EQ(50, stats().sessions);
	EQ(SESSION_STALE, ask("b", 0, 1, 0));
	finish();
}

/* Many at once, then few, and many again. */
static void few_are_left_of_many(void)
{
	uint64_t version;

	session_fresh();
	for (unsigned round = 0; round < 3; round++) {
		unsigned first = round * 10000;

		for (unsigned seq = 0; seq < 3000; seq++)
			EQ(SESSION_RUN, ask_put("b", 1, first + seq, 0, &version));
		for (unsigned ack = 0; ack <= 2990; ack += 10) {
			EQ(SESSION_RUN, acknowledge("b", 1, first + ack));
			if (ack)
				EQ(SESSION_STALE, ask("b", 1, first + ack - 1, 0));
			had_version("b", 1, first + ack, version - 2999 + ack);
			had_version("b", 1, first + 2999, version);
		}
	}
	session_again(SETTLED);
	had_version("b", 1, 22999, version);
	finish();
}

/* ---- age ---- */

static void an_unknown_one_must_be_of_its_time(void)
{
	session_fresh();
	for (unsigned round = 0; round < 2; round++) {
		session_tick(0);
		made = wall - SESSION_MS - 1;
		EQ(SESSION_UNKNOWN, ask("b", 1, 1, 0));
		EQ(SESSION_UNKNOWN, ask_outcome("b", 1, 1));
		EQ(SESSION_UNKNOWN, acknowledge("b", 1, 1));
		made++;
		EQ(SESSION_RUN, ask("b", 1, 1, 0));
		made = wall + SESSION_AHEAD_MS + 1;
		EQ(SESSION_UNKNOWN, ask("b", 1, 1, 0));
		made--;
		EQ(SESSION_RUN, ask("b", 1, 1, 0));
		wall -= 10000000; /* by the system's clock, whatever it is set to */
	}
	finish();
}

static void it_is_forgotten_after_its_last_use(void)
{
	const uint64_t first = 1700000000000;
	uint64_t version;
	uint64_t lsn;

	for (enum way way = CLOSED; way < WAYS; way++) {
		session_fresh();
		session_ms = 10000;
		session_again(CLOSED);
		session_tick(0);
		EQ(SESSION_RUN, ask_put("b", 1, 1, 0, &version)); /* keeps its outcome */
		EQ(SESSION_RUN, acknowledge("b", 2, 1));          /* has a floor only */
		made = first + 3000;
		EQ(SESSION_RUN, ask_put("b", 3, 1, 0, &version)); /* is not made yet */
		made = first;
		session_tick(5000);
		EQ(SESSION_RUN, ask_put("b", 4, 1, 0, &version));
		EQ(SESSION_RUN, acknowledge("b", 2, 2));
		if (way == SETTLED_HALF)
			EQ(0, store_settle(current, 10000));
		session_tick(4999);
		EQ(4, stats().sessions);
		lsn = store_lsn(current);
		session_tick(1000);
		EQ(3, stats().sessions);
		EQ(lsn + 1, store_lsn(current));
		wall -= 5000; /* so that it is not their age that says so */
		session_tick(0);
		EQ(SESSION_UNKNOWN, ask("b", 1, 1, 0));
		EQ(SESSION_UNKNOWN, ask("b", 5, 1, 0)); /* made when it was */
		/* Those that are known are known whenever they were made; others stay unknown. */
		session_again(way);
		EQ(SESSION_UNKNOWN, ask("b", 5, 1, 0));
		if (way == SETTLED)
			EQ(SESSION_UNKNOWN, ask("b", 1, 1, 0)); /* nothing of it is left */
		EQ(SESSION_DONE, ask("b", 4, 1, 0));
		made = first + 3000;
		EQ(SESSION_DONE, ask("b", 3, 1, 0));
		made = first + 1;
		EQ(SESSION_RUN, ask("b", 5, 1, 0));
		made = first;
		session_tick(9999);
		EQ(SESSION_DONE, ask("b", 4, 1, 0)); /* used at the start, and now */
		session_tick(5000);
		session_tick(4999);
		EQ(SESSION_DONE, ask("b", 4, 1, 0));
		EQ(1, stats().sessions);
		session_tick(10000);
		EQ(0, stats().sessions);
		EQ(0, stats().outcome_bytes);
		EQ(0, put("b", "k", "v"));
		wall -= 15000;
		session_again(SETTLED);
		EQ(0, stats().sessions);
		made = first + 3000;
		EQ(SESSION_UNKNOWN, ask("b", 3, 1, 0));
		finish();
	}
}

/* Set back, it keeps longer; those made ahead of it hide no others. */
static void a_clock_that_is_set_back_keeps_longer(void)
{
	uint64_t version;

	session_fresh();
	session_ms = 10000;
	session_again(CLOSED);
	wall += 1000000000;
	session_tick(0);
	made = wall;
	EQ(SESSION_RUN, ask_put("b", 1, 1, 0, &version));
	wall -= 1000000000;
	boot += 2000;
	session_tick(0);
	made = wall;
	EQ(SESSION_RUN, ask_put("b", 2, 1, 0, &version));
	session_tick(10000);
	session_tick(2000);
	EQ(1, stats().sessions);
	EQ(SESSION_UNKNOWN, ask("b", 2, 1, 0));
	made += 1000000000;
	had_version("b", 1, 1, version - 1);
	wall += 2000000000; /* and forward */
	session_tick(0);
	EQ(0, stats().sessions);
	finish();
}

/* Many at once: some with each tick, one record for all of a partition. */
static void many_are_forgotten_bit_by_bit(void)
{
	uint64_t version;
	uint64_t lsn;

	session_fresh();
	session_ms = 10000;
	session_again(CLOSED);
	for (unsigned n = 0; n < 1000; n++)
		EQ(SESSION_RUN, ask_put("b", n, 1, 0, &version));
	session_tick(10000);
	TRUE_(stats().sessions < 1000);
	EQ(2, store_idle_ms(current)); /* there are more */
	lsn = store_lsn(current);
	for (unsigned i = 0; i < 20; i++)
		session_tick(0);
	EQ(0, stats().sessions);
	EQ(lsn, store_lsn(current)); /* the first record was for all */
	TRUE_(store_idle_ms(current) > 2);
	finish();
}

/* ---- no memory ---- */

static void without_memory_nothing_happens(void)
{
	uint64_t version;
	uint64_t lsn;
	int r;

	for (unsigned nth = 1; nth <= 4; nth++) {
		char spec[64];

		session_fresh();
		for (unsigned seq = 0; seq < 4; seq++)
			EQ(SESSION_RUN, ask_put("b", 1, seq, 0, &version));
		lsn = store_lsn(current);
		(void)snprintf(spec, sizeof(spec), "session.alloc=ENOMEM@%u", nth % 2 + 1);
		fault_set(spec, 0);
		r = nth < 3 ? ask_put("b", 1, 4, 0, &version) : ask_put("b", 2, 4, 0, &version);
		fault_set(NULL, 0);
		EQ(-ENOMEM, r);
		EQ(lsn, store_lsn(current));
		EQ(SESSION_RUN, ask_put("b", 1, 4, 0, &version));
		had_version("b", 1, 4, version);
		had_version("b", 1, 0, version - 4);
		finish();
	}
}

UNIT_MAIN(T(a_request_is_run_once), T(each_verdict), T(sessions_are_of_a_partition),
	  T(what_is_out_of_order_is_found), T(what_was_ruled_out_is_never_run),
	  T(an_outcome_outlives_its_process), T(a_floor_outlives_its_process),
	  T(what_is_acknowledged_is_gone_from_base), T(one_that_fails_is_done_again),
	  T(what_changes_during_a_checkpoint_is_the_next_ones),
	  T(no_more_outcomes_of_a_session_than_may_be), T(no_more_bytes_of_outcomes_than_may_be),
	  T(a_result_that_can_never_be_kept_is_too_large),
	  T(the_largest_result_fits_with_its_session), T(floors_crowd_each_other_out),
	  T(acks_of_what_is_not_run_are_settled), T(what_is_forgotten_is_settled),
	  T(a_handover_takes_acks_along), T(few_are_left_of_many),
	  T(an_unknown_one_must_be_of_its_time), T(it_is_forgotten_after_its_last_use),
	  T(a_clock_that_is_set_back_keeps_longer), T(many_are_forgotten_bit_by_bit),
	  T(without_memory_nothing_happens))
