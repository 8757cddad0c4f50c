/* A copy that breaks off, finds no room, or leaves; what is refused meanwhile, and after a restart. */
#include "common/fault.h"
#include "storage/engine_copy.h"
#include "tests/unit/lib/snapshot_fixture.h"

static unsigned rows;

static int bucket_count(void *arg, struct span name, uint64_t id, uint64_t n)
{
	(void)name;
	(void)n;
	rows += id >> PARTITION_SHIFT == *(uint32_t *)arg;
	return 0;
}

/* How many buckets, items of bucket ids and rows of sessions base of a closed node has of it. */
static unsigned rows_of(struct node *n, uint32_t p, bool *ret_broken)
{
	struct engine_session_row session;
	struct log_spans spans;
	struct engine_part part;
	struct engine_copy *c;
	struct engine *e;
	uint32_t found;
	uint64_t expiry;

	rows = 0;
	EQ(0, engine_open(n->dir, 1 << 30, PARTS, &e, why, sizeof(why)));
	EQ(0, engine_buckets(e, bucket_count, &p));
	EQ(0, engine_copy_open(e, p, &c, &part, &spans));
	while (engine_copy_session(c, &session) == 0)
		rows++;
	if (engine_due_partition(e, p, &found, &expiry) == 0)
		rows += found == p;
	*ret_broken = part.broken;
	engine_copy_close(&c);
	engine_close(&e);
	return rows;
}

static void what_is_not_whole_does_nothing(void)
{
	struct store_copy *c;
	uint64_t lsn;
	uint64_t sequence;
	struct sent *first;

	nodes_fresh();
	write_some(one, 1, 20);
	settle(one);
	write_some(two, 1, 10);
	use(two);
	EQ(-EINVAL, store_load_begin(current, 1)); /* it leads */
	EQ(-EINVAL, store_forget(current, 1));
	EQ(-EINVAL, store_load_begin(current, 2)); /* it has no role */
	EQ(-EINVAL, store_load_piece(current, 1, span_of("")));
	EQ(-EINVAL, store_load_end(current, 1));
	copy_take(one, 1, 300);
	load_begin(two, 1);
	EQ(-EINVAL, store_load_piece(current, 2, piece(0)));
	EQ(-EINVAL, store_load_end(current, 2));
	first = one->copy[1].line.at[0];
	for (int when = 0; when < 4; when++) {
		nothing_is_there(two, 1);
		EQ(-ENODATA, store_lead(current, 1, 99 << 16, span_of(""), &sequence));
		EQ(-ENODATA, store_copy_open(current, 1, &c, &sequence));
		EQ(-ENODATA,
		   store_follow_append(current, (struct span){first->bytes, first->size}, &lsn));
		EQ(-ERANGE, store_commit(current, 1, 1));
		EQ(0, store_cut(current, 1, 0, &lsn));
		if (when == 0)
			EQ(0, load_piece(two, 1, piece(0)));
		if (when == 1)
			EQ(0, store_settle(current, 20000));
		if (when == 2) {
			node_open(two);
			store_follow(current, 1);
			EQ(-EINVAL, store_load_piece(current, 1, piece(1)));
			EQ(-EINVAL, store_load_end(current, 1));
		}
	}
	load_begin(two, 1);
	load_rest(one, two, 1, 0);
	some_are_there(two, 1, 20);
	EQ(-EINVAL, store_load_end(current, 1)); /* it was told once */
	end();
}

/* Whenever it is opened again, and whatever had come: nothing, or all of it. */
static void a_load_that_breaks_off_is_begun_anew(void)
{
	nodes_fresh();
	for (uint32_t p = 1; p < 3; p++) {
		write_some(one, p, 20);
		write_some(two, p, 31);
	}
	settle(one);
	settle(two);
	copy_take(one, 1, 300);
	for (unsigned stop = 0; stop < pieces.count + 3; stop++) {
		load_begin(two, 1);
		for (unsigned i = 0; i < stop && i < pieces.count; i++)
			EQ(0, load_piece(two, 1, piece(i)));
		if (stop == pieces.count + 1)
			EQ(-EAGAIN, store_load_end(current, 1));
		if (stop == pieces.count + 2)
			EQ(0, load_end(two, 1));
		if (stop % 3 == 1) /* not opened again: at once */
			continue;
		node_reopen(two);
		some_are_there(two, 2, 31);
		if (stop <= pieces.count)
			nothing_is_there(two, 1);
		if (store_whole(current, 1))
			some_are_there(two, 1, 20);
		else
			nothing_is_there(two, 1);
	}
	load_begin(two, 1);
	load_rest(one, two, 1, 0);
	some_are_there(two, 1, 20);
	some_are_there(two, 2, 31);
	/* Another's breaks off the first. */
	load_begin(two, 1);
	EQ(0, load_piece(two, 1, piece(0)));
	EQ(0, load_piece(two, 1, piece(1)));
	copy_take(one, 2, 300);
	load_begin(two, 2);
	EQ(-EINVAL, store_load_piece(current, 1, piece(2)));
	load_rest(one, two, 2, 0);
	some_are_there(two, 2, 20);
	nothing_is_there(two, 1);
	carry(one, two, 1, 300);
	some_are_there(two, 1, 20);
	some_are_there(two, 2, 20);
	end();
}

/* A checkpoint has been begun, or ended, when it is; keys of dropped buckets are being deleted. */
static void checkpoints_and_loads_make_way_for_each_other(void)
{
	for (int when = 0; when < 4; when++) {
		nodes_fresh();
		write_some(one, 1, 50);
		settle(one);
		copy_take(one, 1, 200);
		for (uint32_t p = 0; p < PARTS; p++)
			write_some(two, p, 100);
		if (when & 1)
			settle(two);
		use(two);
		for (uint32_t p = 0; p < PARTS; p++) {
			EQ(0, drop(name_in(p, 0)));
			EQ(0, create(name_in(p, 0)));
			EQ(0, put(name_in(p, 0), "k", "new"));
			commit_to(two, p, line_last(&two->copy[p].line));
		}
		store_checkpoint(current); /* has been begun */
		if (when & 2)
			go_round(two);
		load_begin(two, 1);
		for (unsigned i = 0; i < pieces.count; i++) {
			EQ(0, load_piece(two, 1, piece(i)));
			store_checkpoint(current);
			use(two);
			EQ(0, put(name_in(2, 0), "k", i % 2 ? "odd" : "even"));
		}
		store_checkpoint(current);
		load_rest(one, two, 1, pieces.count);
		some_are_there(two, 1, 50);
		EQ(0, store_settle(current, 20000));
		node_open(two);
		some_are_there(two, 1, 50);
		EQ(1, count(name_in(3, 0)));
		EQ(50, count(name_in(3, 1)));
		end();
	}
}

/* ---- no room, no memory ---- */

static void what_fails_for_a_while_is_done_later(void)
{
	static const char *const faults[] = {"base.void=ENOSPC@1",   "base.wipe=ENOSPC@1",
					     "load.write=ENOSPC@1",  "base.commit=ENOSPC@1",
					     "base.commit=ENOSPC@2", "base.commit=ENOSPC@4",
					     "load.write=ENOMEM@2",  "session.alloc=ENOMEM@1"};

	for (unsigned n = 0; n < sizeof(faults) / sizeof(faults[0]); n++) {
		struct session_outcome o;
		struct log_session x = {.sequence = 1};
		uint64_t made_ms;
		bool full = false;
		int r = 0;

		nodes_fresh();
		write_some(one, 1, 30);
		made_ms = wall - 1000;
		for (unsigned i = 0; i < 6; i++)
			x.id[i] = (uint8_t)(made_ms >> (40 - 8 * i));
		store_begin(current, 0);
		EQ(SESSION_RUN, store_session(current, span_of(name_in(1, 0)), &x, &o));
		EQ(0, store_outcome(current, span_of(name_in(1, 0)), span_of("\xc0\xc3")));
		commit_to(one, 1, line_last(&one->copy[1].line));
		settle(one);
		copy_take(one, 1, 300);
		write_some(two, 1, 20);
		write_some(two, 2, 20);
		settle(two);
		fault_set(faults[n], 0);
		load_begin(two, 1);
		for (unsigned i = 0; i < pieces.count; i++) {
			do {
				r = load_piece(two, 1, piece(i));
				full |= r == -ENOSPC || r == -ENOMEM;
				go_round(two);
			} while (r == -ENOSPC || r == -ENOMEM);
			EQ(0, r);
			for (int k = 0; k < 10; k++)
				go_round(two);
		}
		load_rest(one, two, 1, pieces.count);
		fault_set(NULL, 0);
		TRUE_(full || (n != 2 && n != 6));
		some_are_there(two, 1, 30);
		some_are_there(two, 2, 20);
		EQ(0, store_settle(current, 20000));
		node_open(two);
		some_are_there(two, 1, 30);
		end();
	}
}

static void a_map_that_is_full_takes_more_when_there_is_room(void)
{
	static char large[60 << 10];
	struct store_config c;
	unsigned at = 0;
	int r = 0;

	nodes_fresh();
	memset(large, 'x', sizeof(large) - 1);
	for (uint32_t p = 1; p < 3; p++) {
		write_some(one, p, 4);
		for (unsigned i = 0; i < 60; i++) {
			char key[16];

			(void)snprintf(key, sizeof(key), "l%u", i);
			EQ(0, put(name_in(p, 0), key, large));
			if (i % 5)
				continue;
			commit_to(one, p, line_last(&one->copy[p].line));
			settle(one);
		}
		commit_to(one, p, line_last(&one->copy[p].line));
		settle(one);
	}
	store_close(&two->store);
	c = copies_config(two);
	(void)snprintf(two->dir + strlen(two->dir), 8, "-small");
	c.dir = two->dir;
	c.map_bytes = 8 << 20; /* for one of them */
	EQ(0, store_open(&c, &two->store, why, sizeof(why)));
	carry(one, two, 1, 100000);
	copy_take(one, 2, 100000);
	load_begin(two, 2);
	while (at < pieces.count) {
		r = load_piece(two, 2, piece(at));
		if (r < 0)
			break;
		at++;
		go_round(two);
	}
	EQ(-ENOSPC, r);
	TRUE_(at > 3 && at < pieces.count);
	use(two);
	EQ(62, count(name_in(1, 0)));
	EQ(0, store_forget(current, 1));
	two->copy[1].line.count = 0;
	for (; at < pieces.count; at++) {
		uint64_t until = clock_ms() + WAIT_MS;

		while ((r = load_piece(two, 2, piece(at))) == -ENOSPC && clock_ms() < until)
			go_round(two);
		EQ(0, r);
	}
	load_rest(one, two, 2, pieces.count);
	EQ(62, count(name_in(2, 0)));
	end();
}

/* Keys of base that is half written are newer than what it says of the partition. */
static void base_that_is_half_written_is_not_copied(void)
{
	struct store_copy *c;
	uint64_t sequence;
	uint64_t lsn;

	nodes_fresh();
	write_some(one, 1, 20);
	fault_set("base.commit=ENOSPC@1", 0);
	use(one);
	EQ(-ENOSPC, store_settle(current, 20000));
	fault_set(NULL, 0);
	EQ(-EAGAIN, store_copy_open(current, 1, &c, &sequence));
	copy_take(one, 1, 300); /* which asks for a checkpoint when it is time for one */
	EQ(line_last(&one->copy[1].line), pieces.sequence);
	/* What was cut short in an earlier life cannot be told: so it is taken for that. */
	use(one);
	EQ(0, put(name_in(1, 0), "more", "m"));
	node_open(one);
	lsn = store_lsn(current);
	EQ(-EAGAIN, store_copy_open(current, 1, &c, &sequence));
	EQ(0, copy_open(one, 1, &c, &sequence));
	TRUE_(store_lsn(current) >= lsn);
	store_copy_close(&c);
	settle(one);
	node_open(one); /* with nothing to be settled */
	EQ(0, store_copy_open(current, 1, &c, &sequence));
	store_copy_close(&c);
	EQ(0, store_copy_open(current, 2, &c, &sequence));
	store_close(&one->store); /* which closes it too */
	end();
}

/* ---- leaving ---- */

static void what_is_forgotten_is_gone(void)
{
	bool broken;

	nodes_fresh();
	wall = 1700000000000;
	write_some(two, 1, 30);
	use(two);
	EQ(0, store_tick(current, wall));
	EQ(0, put_ttl(name_in(1, 0), "ttl", "t", 1000000));
	commit_to(two, 1, line_last(&two->copy[1].line));
	write_some(two, 2, 30);
	settle(two);
	EQ(0, put(name_in(1, 0), "unsettled", "u"));
	store_follow(current, 1);
	EQ(0, store_forget(current, 1));
	EQ(0, store_forget(current, 1)); /* and nothing more */
	EQ(0, store_forget(current, 3)); /* there is nothing of it */
	TRUE_(store_whole(current, 3));
	two->copy[1].line.count = 0;
	EQ(STORE_NO_ROLE, store_role(current, 1));
	nothing_is_there(two, 1);
	for (int i = 0; i < 200; i++)
		go_round(two);
	EQ(0, store_settle(current, 20000));
	store_close(&two->store);
	EQ(0, rows_of(two, 1, &broken));
	TRUE_(broken);
	TRUE_(rows_of(two, 2, &broken) > 0);
	TRUE_(!broken);
	node_open(two);
	nothing_is_there(two, 1);
	some_are_there(two, 2, 30);
	write_some(one, 1, 10);
	settle(one);
	carry(one, two, 1, 300);
	some_are_there(two, 1, 10);
	/* One that is about to come has not to come any more. */
	load_begin(two, 1);
	EQ(0, load_piece(two, 1, piece(0)));
	EQ(0, store_forget(current, 1));
	EQ(-EINVAL, store_load_end(current, 1));
	for (int i = 0; i < 200; i++)
		go_round(two);
	store_close(&two->store);
	EQ(0, rows_of(two, 1, &broken));
	TRUE_(broken);
	end();
}

/* ---- reading for others; handing over ---- */

static void the_log_has_what_came_behind_the_copy(void)
{
	struct store_want want = {1, 1};
	struct store_reader *r;
	struct log_record rec;
	uint64_t sequence;
	uint32_t p;

	nodes_fresh();
	write_some(one, 1, 20);
	settle(one);
	write_some(two, 1, 90); /* its log has sequences that mean something else */
	carry(one, two, 1, 300);
	use(one);
	EQ(0, put(name_in(1, 0), "more", "m"));
	follow_all(one, two, 1);
	use(two);
	sync_all();
	EQ(0, store_read_open(current, &want, 1, &r));
	EQ(-ENODATA, store_read_next(r, &rec, &p));
	store_read_close(&r);
	want.next = pieces.sequence + 1;
	TRUE_(store_lsn_before(current, 1, want.next) <= store_lsn(current));
	EQ(0, store_read_open(current, &want, 1, &r));
	for (sequence = want.next; store_read_next(r, &rec, &p) == 1; sequence++)
		EQ(sequence, rec.entry->sequence);
	EQ(store_last(current, 1).sequence + 1, sequence);
	store_read_close(&r);
	end();
}

/* Who takes over has read base: it must not become whole beneath him. */
static void nothing_becomes_whole_while_another_takes_over(void)
{
	nodes_fresh();
	write_some(one, 1, 20);
	settle(one);
	write_some(two, 1, 40);
	write_some(two, 2, 40);
	settle(two);
	copy_take(one, 1, 300);
	load_begin(two, 1);
	for (unsigned i = 0; i < pieces.count; i++)
		EQ(0, load_piece(two, 1, piece(i)));
	store_hold(current, true);
	for (int i = 0; i < 100 && !store_held(current); i++)
		go_round(two);
	TRUE_(store_held(current));
	for (int i = 0; i < 100; i++) {
		EQ(-EAGAIN, store_load_end(current, 1));
		go_round(two);
	}
	TRUE_(store_held(current));
	store_hold(current, false);
	load_rest(one, two, 1, pieces.count);
	some_are_there(two, 1, 20);
	end();
}

/* The successor reads the log beside, and finds of the copy what it says when it has it alone. */
static void who_takes_over_finds_what_a_restart_would(void)
{
	for (int when = 0; when < 4; when++) {
		struct store_config c;
		struct store *beside;
		struct store *left;

		nodes_fresh();
		write_some(one, 1, 20);
		settle(one);
		write_some(two, 1, 40);
		write_some(two, 2, 40);
		settle(two);
		c = copies_config(two);
		copy_take(one, 1, 300);
		if (when < 3)
			load_begin(two, 1);
		for (unsigned i = 0; i < pieces.count && (when == 2 || (when == 1 && i < 2)); i++)
			EQ(0, load_piece(two, 1, piece(i)));
		use(two);
		store_hold(current, true);
		for (int i = 0; i < 1000 && !store_held(current); i++)
			go_round(two);
		TRUE_(store_held(current));
		if (when == 2)
			EQ(-EAGAIN, store_load_end(current, 1));
		sync_all();
		EQ(0, store_open_follower(&c, &beside, why, sizeof(why)));
		if (when == 3) { /* the other has read base when it was whole */
			load_begin(two, 1);
			for (unsigned i = 0; i < pieces.count; i++)
				EQ(0, load_piece(two, 1, piece(i)));
			EQ(-EAGAIN, store_load_end(current, 1));
		}
		for (int i = 0; i < 20; i++)
			go_round(two);
		TRUE_(!store_whole(current, 1));
		sync_all();
		EQ(0, store_tail(beside, store_synced(current)));
		TRUE_(!store_whole(beside, 1));
		store_release(current);
		EQ(0, store_promote(beside, store_lsn(beside)));
		left = current;
		two->store = beside;
		nothing_is_there(two, 1);
		some_are_there(two, 2, 40);
		store_freed(current, UINT64_MAX);
		load_begin(two, 1);
		load_rest(one, two, 1, 0);
		some_are_there(two, 1, 20);
		lead(two, 2, 9 << 16);
		EQ(0, put(name_in(2, 0), "more", "m"));
		EQ(0, store_settle(current, 20000));
		some_are_there(two, 1, 20);
		store_close(&left);
		two->store = beside;
		store_close(&two->store);
		node_open(two);
		some_are_there(two, 1, 20);
		end();
	}
}

UNIT_MAIN(T(what_is_not_whole_does_nothing), T(a_load_that_breaks_off_is_begun_anew),
	  T(checkpoints_and_loads_make_way_for_each_other), T(what_fails_for_a_while_is_done_later),
	  T(a_map_that_is_full_takes_more_when_there_is_room),
	  T(base_that_is_half_written_is_not_copied), T(what_is_forgotten_is_gone),
	  T(the_log_has_what_came_behind_the_copy),
	  T(nothing_becomes_whole_while_another_takes_over),
	  T(who_takes_over_finds_what_a_restart_would))
