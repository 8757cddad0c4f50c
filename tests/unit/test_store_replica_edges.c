/* Stores with copies: what is refused, bounds, time, and what a checkpoint leaves aside. */
#include "common/hash.h"
#include "storage/engine.h"
#include "tests/unit/lib/copies_fixture.h"

static struct node *const one = &nodes[0];
static struct node *const two = &nodes[1];

/* What base of a node that is not open says. */
static struct engine_part part_row;
static unsigned asides;

static int part_take(void *arg, uint32_t partition, const struct engine_part *part)
{
	if (partition == *(uint32_t *)arg)
		part_row = *part;
	return 0;
}

static int aside_count(void *arg, const struct log_entry *e)
{
	(void)arg;
	(void)e;
	asides++;
	return 0;
}

/* How far base of the node has settled a partition, and how many records it has set aside. */
static uint64_t settled_of(struct node *n, uint32_t p)
{
	struct engine *e;

	EQ(0, engine_open(n->dir, 1 << 20, PARTS, &e, why, sizeof(why)));
	part_row = (struct engine_part){0};
	asides = 0;
	EQ(0, engine_parts(e, part_take, &p));
	EQ(0, engine_tails(e, aside_count, NULL));
	engine_close(&e);
	return part_row.settled;
}

/* Lead partition 1 on the first node, with a bucket and `n` keys. */
static const char *begin_with(int n)
{
	const char *name = name_in(1, 0);
	char key[16];

	nodes_fresh();
	lead(one, 1, 1 << 16);
	EQ(0, create(name));
	for (int i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "k%d", i);
		EQ(0, put(name, key, "v"));
	}
	return name;
}

static void follow_all(struct node *n, struct node *from, uint32_t p)
{
	struct line *l = &n->copy[p].line;

	store_follow(n->store, p);
	while (l->count < from->copy[p].line.count)
		EQ(0, feed(n, p, from->copy[p].line.at[l->count]));
}

static void what_has_no_role_or_another_is_refused(void)
{
	const char *name = begin_with(1);
	struct sent *x = one->copy[1].line.at[0];
	uint64_t lsn;
	uint64_t sequence;

	EQ(-EINVAL, store_follow_append(one->store, (struct span){x->bytes, x->size}, &lsn));
	EQ(-EINVAL, store_cut(one->store, 1, 1, &lsn));
	EQ(-ESTALE, store_lead(one->store, 1, 1 << 16, span_of(""), &sequence));
	use(two);
	EQ(-EINVAL, create(name)); /* no role */
	EQ(-EINVAL, store_follow_append(current, (struct span){x->bytes, x->size}, &lsn));
	store_follow(current, 1);
	EQ(-EINVAL, create(name)); /* a backup */
	EQ(0, store_lsn(current));
	EQ(-ERANGE, store_commit(current, 1, 1));
	nodes_end();
}

static void only_the_next_record_is_taken(void)
{
	struct sent *x;
	struct sent *copy;
	uint64_t lsn;

	(void)begin_with(3); /* TERM, CREATE, three puts */
	use(two);
	store_follow(current, 1);
	EQ(-ESTALE, feed(two, 1, one->copy[1].line.at[1]));
	EQ(0, feed(two, 1, one->copy[1].line.at[0]));
	EQ(-ESTALE, feed(two, 1, one->copy[1].line.at[0]));
	EQ(-ESTALE, feed(two, 1, one->copy[1].line.at[2]));
	x = one->copy[1].line.at[1];
	copy = malloc(sizeof(*copy) + x->size);
	memcpy(copy, x, sizeof(*x) + x->size);
	for (size_t at = 0; at < x->size; at++) { /* each byte of it counts */
		copy->bytes[at] ^= 1;
		EQ(-EBADMSG,
		   store_follow_append(current, (struct span){copy->bytes, x->size}, &lsn));
		copy->bytes[at] ^= 1;
	}
	EQ(-EBADMSG, store_follow_append(current, (struct span){copy->bytes, x->size - 8}, &lsn));
	EQ(-EBADMSG, store_follow_append(current, (struct span){copy->bytes, 4}, &lsn));
	EQ(1, store_lsn(current));
	EQ(0, feed(two, 1, x));
	EQ(2, store_last(current, 1).sequence);
	free(copy);
	nodes_end();
}

/* A term that nobody began, and one of before: nothing but TERM may raise it. */
static void a_term_begins_with_its_own_record(void)
{
	struct line *l = &one->copy[1].line;

	(void)begin_with(1);
	lead(one, 1, 2 << 16);
	EQ(0, put(name_in(1, 0), "a", "b"));
	use(two);
	store_follow(current, 1);
	for (size_t i = 0; i < 3; i++)
		EQ(0, feed(two, 1, l->at[i]));
	/* As if the record that begins the second term had got lost. */
	((struct log_entry *)l->at[4]->bytes)->sequence = 4;
	((struct log_entry *)l->at[4]->bytes)->crc =
		crc32c(0, l->at[4]->bytes + 4, l->at[4]->size - 4);
	EQ(-ESTALE, feed(two, 1, l->at[4]));
	EQ(0, feed(two, 1, l->at[3]));
	EQ(2ull << 16, store_last(current, 1).term);
	nodes_end();
}

static void nothing_is_cut_that_is_committed(void)
{
	uint64_t lsn;

	(void)begin_with(6);
	follow_all(two, one, 1);
	commit_to(two, 1, 4);
	EQ(-EBADMSG, store_cut(current, 1, 3, &lsn));
	EQ(0, store_cut(current, 1, 100, &lsn));
	EQ(8, store_last(current, 1).sequence);
	EQ(0, store_cut(current, 1, 4, &lsn));
	EQ(4, store_last(current, 1).sequence);
	EQ(9, store_lsn(current));
	nodes_end();
}

static void no_group_is_cut_in_two(void)
{
	static const struct store_condition always = {false, false, 0};
	const char *name = begin_with(0);
	struct store_key k;
	struct sent *whole;
	uint64_t version;
	uint64_t lsn;

	store_begin(current, 0);
	store_locate(current, span_of(name), span_of(""), &k);
	EQ(0, group_begin(current, &k));
	for (char c = 'a'; c < 'f'; c++)
		EQ(0, group_put(current, (struct span){&c, 1}, span_of("v"), 0, &always, &version));
	EQ(0, group_commit(current, span_of("\xc0\xc3")));
	whole = one->copy[1].line.at[one->copy[1].line.count - 1];
	EQ(4, whole->last - whole->first);
	EQ(0, put(name, "behind", "v"));
	follow_all(two, one, 1);
	commit_to(two, 1, 2);
	for (uint64_t at = whole->first; at < whole->last; at++)
		EQ(-EBADMSG, store_cut(current, 1, at, &lsn));
	EQ(0, count(name));
	EQ(0, store_cut(current, 1, whole->last, &lsn));
	EQ(0, store_cut(current, 1, 2, &lsn));
	EQ(2, store_last(current, 1).sequence);
	nodes_end();
}

static void a_backup_shows_nothing_before_it_is_committed(void)
{
	const char *name = begin_with(2);

	follow_all(two, one, 1);
	EQ(-ENXIO, count(name));
	commit_to(two, 1, 2);
	EQ(0, count(name));
	commit_to(two, 1, 3);
	is(name, "k0", "v");
	is(name, "k1", NULL);
	EQ(1, count(name));
	EQ(1, (long long)(store_last(current, 1).sequence - store_commit_sequence(current, 1)));
	nodes_end();
}

/* What the primary tells waits for the commit, and says so. */
static void what_was_looked_at_is_told_by_its_sequence(void)
{
	const char *name = begin_with(2);

	EQ(4, store_observed_sequence(current));
	TRUE_(!store_committed(current));
	sync_all();
	EQ(4, store_synced_sequence(current, 1));
	TRUE_(!store_committed(current)); /* it is on this disk, and perhaps on no other */
	is(name, "k0", "v");
	EQ(3, store_observed_sequence(current));
	commit_to(one, 1, 3);
	TRUE_(store_committed(current));
	is(name, "k0", "v");
	EQ(0, store_observed_sequence(current));
	is(name, "k1", "v");
	EQ(4, store_observed_sequence(current));
	commit_to(one, 1, 4);
	is(name, "k1", "v");
	EQ(0, store_observed_sequence(current));
	TRUE_(store_committed(current));
	nodes_end();
}

/* A checkpoint takes what is committed; the rest is set aside, and comes in with a later one. */
static void what_is_not_committed_is_set_aside(void)
{
	const char *name = begin_with(10);
	uint64_t last;
	uint64_t lsn;

	commit_to(one, 1, 5);
	settle(one);
	is(name, "k9", "v");
	store_close(&one->store);
	EQ(5, settled_of(one, 1));
	EQ(8, asides); /* with what the time was */
	node_open(one);
	EQ(5, store_commit_sequence(current, 1));
	EQ(13, store_last(current, 1).sequence);
	is(name, "k2", "v");
	is(name, "k3", NULL);
	lead(one, 1, 2 << 16);
	is(name, "k9", "v");
	EQ(10, count(name));
	/* All that is new is in base: nothing but the commit begins a checkpoint. */
	settle(one);
	last = store_last(current, 1).sequence;
	lsn = store_lsn(current);
	for (int i = 0; i < 100; i++)
		EQ(0, store_tick(current, wall));
	EQ(lsn, store_lsn(current));
	commit_to(one, 1, last);
	EQ(0, store_tick(current, wall));
	EQ(lsn + 1, store_lsn(current)); /* that it is committed */
	settle(one);
	for (int i = 0; i < 100; i++) /* and that is the end of it */
		EQ(0, store_tick(current, wall));
	EQ(lsn + 1, store_lsn(current));
	store_close(&one->store);
	EQ(last, settled_of(one, 1));
	EQ(0, asides);
	nodes_end();
}

/* What is set aside goes when a cut comes by, whether in the log or settled too. */
static void a_cut_takes_back_what_is_set_aside(void)
{
	for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
		const char *name = begin_with(10);

		follow_all(two, one, 1);
		commit_to(two, 1, 5);
		settle(two);
		EQ(0, (int)cut_to(two, 1, 6));
		if (checkpoint)
			settle(two);
		store_close(&two->store);
		EQ(5, settled_of(two, 1));
		EQ(checkpoint ? 1 : 7, asides);
		node_open(two);
		EQ(6, store_last(current, 1).sequence);
		spans_agree(two, 1);
		lead(two, 1, 9 << 16);
		EQ(4, count(name));
		is(name, "k3", "v");
		is(name, "k4", NULL);
		nodes_end();
	}
}

/* A primary that is deposed has applied what it must take back: a restart does. */
static void what_had_taken_effect_goes_with_a_restart(void)
{
	const char *name = begin_with(4); /* up to 6 */
	struct sent *begin;
	uint64_t sequence;

	follow_all(two, one, 1);
	commit_to(two, 1, 4);
	(void)cut_to(two, 1, 4);
	lead(two, 1, 5 << 16);
	EQ(0, put(name, "other", "w"));
	begin = two->copy[1].line.at[4];
	commit_to(one, 1, 4);
	store_follow(one->store, 1);
	TRUE_(cut_to(one, 1, 4));
	TRUE_(store_must_restart(current));
	EQ(0, feed(one, 1, begin));
	EQ(0, feed(one, 1, two->copy[1].line.at[5]));
	commit_to(one, 1, 6);
	EQ(-EINPROGRESS, store_lead(current, 1, 6 << 16, span_of(""), &sequence));
	EQ(-EINPROGRESS, store_settle(current, 1000));
	node_open(one);
	one->copy[1].told = 6;
	EQ(6, store_last(current, 1).sequence);
	lead(one, 1, 6 << 16);
	is(name, "other", "w");
	is(name, "k2", NULL);
	is(name, "k1", "v");
	EQ(3, count(name));
	nodes_end();
}

static void a_tail_is_bounded_and_an_empty_one_takes_anything(void)
{
	static char value[60000];
	const char *name = begin_with(0);
	struct store_tail tail;
	uint64_t sequence;
	int r = 0;
	int n = 0;

	memset(value, 'v', sizeof(value) - 1);
	while (r == 0 && n < 1000) {
		EQ(0, store_tick(current, wall));
		r = put(name, "large", value);
		n += r == 0;
	}
	EQ(-EBUSY, r);
	store_tail_of(current, 1, &tail);
	TRUE_(tail.bytes <= STORE_TAIL_BYTES && tail.bytes > STORE_TAIL_BYTES - 70000);
	EQ(n + 2, tail.records);
	TRUE_(store_tail_pressure(current, 1) >= 99);
	EQ(0, store_lead(current, 1, 7 << 16, span_of(""),
			 &sequence)); /* what must be is not bounded */
	commit_to(one, 1, sequence);
	store_tail_of(current, 1, &tail);
	EQ(0, tail.records);
	EQ(0, tail.bytes);
	EQ(0, put(name, "large", value));
	nodes_end();
}

static void a_tail_has_so_many_records(void)
{
	const char *name = begin_with(0);
	int r = 0;
	int n = 0;

	while (r == 0 && n < 100000) {
		r = put(name, "k", "v");
		n += r == 0;
		if (n % 1000 == 0)
			EQ(0, store_tick(current, wall));
	}
	EQ(-EBUSY, r);
	EQ(STORE_TAIL_RECORDS, n + 2);
	commit_to(one, 1, (uint64_t)n + 2);
	EQ(0, put(name, "k", "v"));
	nodes_end();
}

/* All tails together, on a backup: its primaries' own bounds are not reached. */
static void a_backup_is_full_at_its_own_bound(void)
{
	static char value[60000];
	const char *name = begin_with(0);
	uint64_t begin = 2;
	uint64_t bytes = 0;
	int r = 0;

	memset(value, 'v', sizeof(value) - 1);
	follow_all(two, one, 1);
	for (int n = 0; n < 2000 && r == 0; n++) {
		use(one);
		EQ(0, put(name, "k", value));
		commit_to(one, 1, line_last(&one->copy[1].line)); /* the other does not hear it */
		EQ(0, store_tick(current, wall));
		store_submit(current, 0);
		r = feed(two, 1, one->copy[1].line.at[begin]);
		if (r == -EBUSY) { /* the log's turn */
			settle(two);
			r = feed(two, 1, one->copy[1].line.at[begin]);
		}
		EQ(0, store_tick(current, wall));
		store_submit(current, 0);
		bytes += r == 0 ? one->copy[1].line.at[begin++]->size : 0;
	}
	EQ(-ENOSPC, r);
	TRUE_(bytes > STORE_TAILS_BYTES - 200000 && bytes <= STORE_TAILS_BYTES);
	commit_to(two, 1, begin);
	EQ(0, feed(two, 1, one->copy[1].line.at[begin]));
	nodes_end();
}

/* ---- time ---- */

static void a_backup_deletes_nothing_and_who_leads_then_does(void)
{
	const char *name = begin_with(1);
	uint64_t swept;
	uint64_t last;

	EQ(0, put_ttl(name, "short", "v", 1000));
	EQ(0, put_ttl(name, "settled", "v", 1000));
	follow_all(two, one, 1);
	lead(two, 2, 1 << 16);
	EQ(0, create(name_in(2, 0)));
	EQ(0, put_ttl(name_in(2, 0), "later", "v", 3000));
	last = store_last(two->store, 1).sequence;
	commit_to(two, 1, last - 1); /* `settled` is not yet */
	settle(two);
	commit_to(two, 1, last);
	swept = store_last(two->store, 2).sequence;
	wall += 5000;
	for (int i = 0; i < 50; i++) {
		boot += 100;
		EQ(0, store_tick(two->store, wall));
	}
	EQ(last, store_last(two->store, 1).sequence);
	use(two);
	TRUE_(store_last(current, 2).sequence > swept); /* it hinders nobody else */
	EQ(0, count(name_in(2, 0)));
	lead(two, 1, 3 << 16);
	for (int i = 0; i < 50; i++) {
		boot += 100;
		wall += 100;
		EQ(0, store_tick(two->store, wall));
	}
	EQ(1, count(name));
	/* TERM, two sweeps: all of them records that are sent. */
	EQ(last + 3, store_last(two->store, 1).sequence);
	EQ(last + 3, line_last(&two->copy[1].line));
	nodes_end();
}

/* It is told that a key has expired: the next primary knows, though its own clock is behind. */
static void what_has_expired_stays_so_on_the_next_primary(void)
{
	const char *name = begin_with(0);
	uint64_t before = wall;

	EQ(0, put_ttl(name, "k", "v", 1000));
	EQ(0, put(name, "forever", "v"));
	follow_all(two, one, 1);
	use(one);
	wall += 2000;
	boot += 2000;
	EQ(0, store_tick(current, wall));
	is(name, "k", NULL); /* it has told the clock */
	wall = before;
	boot -= 2000;
	follow_all(two, one, 1);
	TRUE_(store_clock(two->store) < before + 1000);
	lead(two, 1, 3 << 16);
	is(name, "forever", "v");
	is(name, "k", NULL);
	nodes_end();
}

/* What another node's boot was says nothing of ours, which may be of long ago. */
static void another_nodes_notes_of_the_time_are_no_notes_of_our_boot(void)
{
	const char *name = begin_with(0);
	uint64_t at;

	EQ(0, put_ttl(name, "k", "v", 100000000)); /* it notes the time */
	follow_all(two, one, 1);
	EQ(LOG_CLOCK, ((struct log_entry *)two->copy[1].line.at[2]->bytes)->kind);
	commit_to(two, 1, 4);
	at = wall;
	store_close(&two->store);
	boots = 2;
	boot = 1000000000;
	wall_at_open = at;
	node_open(two);
	EQ(at, store_clock(current));
	lead(two, 1, 3 << 16);
	is(name, "k", "v");
	boots = 1;
	boot = 1000;
	wall_at_open = 0;
	nodes_end();
}

/* ---- a folder that has copies, and one that has none ---- */

static void who_has_no_cluster_does_not_open_copies(void)
{
	for (int settled = 0; settled < 2; settled++) {
		struct store_config c;

		(void)begin_with(3);
		if (settled)
			settle(one);
		store_close(&one->store);
		c = copies_config(one);
		c.replicated = false;
		EQ(-EPROTO, store_open(&c, &current, why, sizeof(why)));
		TRUE_(strstr(why, "[cluster]") && strstr(why, one->dir));
		node_open(one);
		nodes_end();
	}
}

/* A folder from before there were copies: all that it has is committed, and is sent as it is. */
static void what_was_there_before_is_committed(void)
{
	const char *name = name_in(1, 0);

	for (int settled = 0; settled < 2; settled++) {
		struct store_config c;
		uint64_t last;

		nodes_fresh();
		store_close(&one->store);
		c = copies_config(one);
		c.replicated = false;
		EQ(0, store_open(&c, &one->store, why, sizeof(why)));
		use(one);
		EQ(0, create(name));
		EQ(0, put(name, "k", "v"));
		EQ(0, put(name, "l", "v"));
		store_freed(current, UINT64_MAX);
		if (settled)
			settle(one);
		EQ(0, put(name, "l", "w"));
		sync_all();
		store_close(&one->store);
		c.replicated = true;
		EQ(0, store_open(&c, &one->store, why, sizeof(why)));
		use(one);
		last = store_last(current, 1).sequence;
		EQ(0, store_last(current, 1).term);
		EQ(last, store_commit_sequence(current, 1));
		is(name, "l", "w");
		EQ(0, store_lead(current, 1, 1 << 16, span_of(""), &last));
		EQ(1 << 16, store_last(current, 1).term);
		store_freed(current, UINT64_MAX);
		settle(one);
		store_close(&one->store);
		EQ(last - 1, settled_of(one, 1));
		EQ(2, asides); /* TERM, what the time was */
		nodes_end();
	}
}

/* ---- sessions ---- */

/* What is forgotten, too, is so when that is committed. */
static void a_session_is_forgotten_when_that_is_committed(void)
{
	static const struct store_condition always = {false, false, 0};
	const char *name = begin_with(0);
	struct log_session x = {.sequence = 1, .fingerprint = 3};
	uint64_t made_ms = wall - 10;
	struct session_outcome o;
	uint64_t version;
	struct store_key k;
	uint64_t last;

	for (unsigned i = 0; i < 6; i++)
		x.id[i] = (uint8_t)(made_ms >> (40 - 8 * i));
	store_begin(current, 0);
	EQ(SESSION_RUN, store_session(current, span_of(name), &x, &o));
	store_locate(current, span_of(name), span_of("k"), &k);
	EQ(0, store_put(current, &k, span_of("v"), 0, &always, &version));
	commit_to(one, 1, version);
	settle(one);
	wall += 3 * SESSION_MS;
	boot += 3 * SESSION_MS;
	for (int i = 0; i < 10; i++) {
		wall += 2000;
		boot += 2000;
		EQ(0, store_tick(current, wall));
	}
	last = store_last(current, 1).sequence;
	TRUE_(last > version); /* it was forgotten, and that was logged */
	settle(one);
	/* Cut back to before it was: base must know the session still. */
	store_follow(current, 1);
	TRUE_(cut_to(one, 1, one->copy[1].line.count - (last - version)));
	node_open(one);
	lead(one, 1, 9 << 16);
	store_begin(current, 0);
	EQ(SESSION_DONE, store_session(current, span_of(name), &x, &o));
	EQ(version, o.version);
	store_begin(current, 0);
	nodes_end();
}

UNIT_MAIN(T(what_has_no_role_or_another_is_refused), T(only_the_next_record_is_taken),
	  T(a_term_begins_with_its_own_record), T(nothing_is_cut_that_is_committed),
	  T(no_group_is_cut_in_two), T(a_backup_shows_nothing_before_it_is_committed),
	  T(what_was_looked_at_is_told_by_its_sequence), T(what_is_not_committed_is_set_aside),
	  T(a_cut_takes_back_what_is_set_aside), T(what_had_taken_effect_goes_with_a_restart),
	  T(a_tail_is_bounded_and_an_empty_one_takes_anything), T(a_tail_has_so_many_records),
	  T(a_backup_is_full_at_its_own_bound), T(a_backup_deletes_nothing_and_who_leads_then_does),
	  T(what_has_expired_stays_so_on_the_next_primary),
	  T(another_nodes_notes_of_the_time_are_no_notes_of_our_boot),
	  T(who_has_no_cluster_does_not_open_copies), T(what_was_there_before_is_committed),
	  T(a_session_is_forgotten_when_that_is_committed))
