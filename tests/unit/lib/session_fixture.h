/* Requests of sessions in their shortest form, over tests/unit/lib/group_fixture.h. */
#ifndef PAIL_SESSION_FIXTURE_H
#define PAIL_SESSION_FIXTURE_H

#include "tests/unit/lib/group_fixture.h"

static uint64_t session_ms;
static uint64_t session_limit; /* bytes of outcomes */
static uint64_t made;          /* when the sessions that are named were made */
static struct log_session asked;
static struct session_outcome outcome;

/* One that was followed: LMDB would take what another of this process reads for its own. */
static struct store *left;

enum way { CLOSED, SETTLED, FOLLOWED, SETTLED_HALF, WAYS };

static struct store_config session_config(void)
{
	struct store_config c = config();

	c.session_ms = session_ms;
	c.session_bytes = session_limit;
	c.generation = 7;
	wall_at_open = wall;
	return c;
}

__attribute__((unused)) static void session_open(void)
{
	struct store_config c = session_config();

	EQ(0, store_open(&c, &current, why, sizeof(why)));
}

__attribute__((unused)) static void session_tick(uint64_t passed)
{
	wall += passed;
	boot += passed;
	wall_at_open = wall;
	store_freed(current, UINT64_MAX);
	EQ(0, store_tick(current, wall));
}

__attribute__((unused)) static void session_fresh(void)
{
	store_close(&left);
	fresh();
	session_ms = 0;
	session_limit = 0;
	wall = 1700000000000;
	made = wall;
	session_open();
	EQ(0, create("b"));
}

/* Another life of the store. */
__attribute__((unused)) static void session_again(enum way way)
{
	struct store_config c = session_config();
	struct store *beside;

	if (way == FOLLOWED && left)
		way = CLOSED;
	if (way == SETTLED)
		EQ(0, store_settle(current, 10000));
	if (way == FOLLOWED) {
		store_hold(current, true);
		while (!store_held(current)) {
			sync_all(); /* it may settle first, and that waits for the log */
			session_tick(0);
		}
		sync_all();
		EQ(0, store_open_follower(&c, &beside, why, sizeof(why)));
		EQ(0, store_tail(beside, store_synced(current)));
		store_release(current);
		EQ(0, store_promote(beside, store_lsn(beside)));
		left = current;
		current = beside;
		return;
	}
	sync_all();
	store_close(&current);
	session_open();
}

static void session_id(uint8_t id[16], uint64_t made_ms, uint64_t n)
{
	for (unsigned i = 0; i < 6; i++)
		id[i] = (uint8_t)(made_ms >> (40 - 8 * i));
	memset(id + 6, 0x55, 10);
	memcpy(id + 8, &n, sizeof(n));
}

/* Session `n`, its request `seq`, whose fingerprint is made of the number. */
__attribute__((unused)) static int ask(const char *bucket, uint64_t n, uint64_t seq, uint64_t ack)
{
	session_id(asked.id, made, n);
	asked.sequence = seq;
	asked.acknowledged = ack;
	asked.fingerprint = 77 * seq;
	store_begin(current, 0);
	return store_session(current, span_of(bucket), &asked, &outcome);
}

/* What is asked is run: a put.  The verdict, or the error. */
__attribute__((unused)) static int ask_put(const char *bucket, uint64_t n, uint64_t seq,
					   uint64_t ack, uint64_t *ret_version)
{
	struct store_key k;
	int r = ask(bucket, n, seq, ack);
	int e;

	if (r != SESSION_RUN)
		return r;
	store_locate(current, span_of(bucket), span_of("k"), &k);
	e = store_put(current, &k, span_of("v"), 0, &always, ret_version);
	return e < 0 ? e : r;
}

/* The same of a request that changes nothing: its result is logged. */
__attribute__((unused)) static int ask_result(const char *bucket, uint64_t n, uint64_t seq,
					      uint64_t ack, struct span result)
{
	int r = ask(bucket, n, seq, ack);
	int e;

	if (r != SESSION_RUN)
		return r;
	e = store_outcome(current, span_of(bucket), result);
	return e < 0 ? e : r;
}

__attribute__((unused)) static int ask_outcome(const char *bucket, uint64_t n, uint64_t seq)
{
	session_id(asked.id, made, n);
	asked.sequence = seq;
	asked.acknowledged = 12345678;
	asked.fingerprint = 1;
	store_begin(current, 0);
	return store_session_outcome(current, span_of(bucket), &asked, &outcome);
}

__attribute__((unused)) static int acknowledge(const char *bucket, uint64_t n, uint64_t ack)
{
	session_id(asked.id, made, n);
	asked.sequence = 0;
	asked.acknowledged = ack;
	store_begin(current, 0);
	return store_session_ack(current, span_of(bucket), &asked);
}

/* It is known, and had this version. */
__attribute__((unused)) static void had_version(const char *bucket, uint64_t n, uint64_t seq,
						uint64_t version)
{
	EQ(SESSION_DONE, ask(bucket, n, seq, 0));
	EQ(0, outcome.result.n);
	EQ(version, outcome.version);
}

__attribute__((unused)) static void had_result(const char *bucket, uint64_t n, uint64_t seq,
					       struct span result)
{
	EQ(SESSION_DONE, ask(bucket, n, seq, 0));
	TRUE_(span_equal(result, outcome.result));
}

__attribute__((unused)) static struct store_stats stats(void)
{
	struct store_stats s;

	store_stats(current, &s);
	return s;
}

#endif
