/* A partition's copy on its way: what it has in it, what is refused, what breaks off. */
#include "tests/unit/lib/snapshot_fixture.h"

/* ---- what it has ---- */

static void a_partition_comes_whole(void)
{
	static const uint32_t which[] = {0, PARTS - 1};
	static const size_t rooms[] = {1, 100, 5000, STORE_PIECE_BYTES};

	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < 4; k++) {
			uint32_t p = which[i];

			nodes_fresh();
			for (uint32_t q = 0; q < PARTS; q++)
				write_some(one, q, 60);
			settle(one);
			for (uint32_t q = 0; q < PARTS; q++)
				write_some(two, q, 40 + q); /* something else */
			settle(two);
			carry(one, two, p, rooms[k]);
			if (rooms[k] >= 5000)
				EQ(1, pieces.count);
			for (int again = 0; again < 2; again++) {
				for (uint32_t q = 0; q < PARTS; q++)
					some_are_there(two, q, q == p ? 60 : 40 + q);
				node_open(two);
			}
			/* It goes on like any other. */
			use(one);
			EQ(0, put(name_in(p, 0), "more", "m"));
			follow_all(one, two, p);
			use(two);
			is(name_in(p, 0), "more", "m");
			settle(two);
			node_open(two);
			is(name_in(p, 0), "more", "m");
			lead(two, p, 9 << 16);
			EQ(31, count(name_in(p, 0)));
			end();
		}
}

static void an_empty_one_comes_too(void)
{
	nodes_fresh();
	write_some(two, 1, 10);
	carry(one, two, 1, STORE_PIECE_BYTES);
	EQ(0, pieces.sequence);
	TRUE_(store_whole(two->store, 1));
	EQ(-ENXIO, count(name_in(1, 0)));
	write_some(one, 1, 10);
	follow_all(one, two, 1);
	some_are_there(two, 1, 10);
	settle(two);
	node_open(two);
	some_are_there(two, 1, 10);
	end();
}

static void only_what_came_before_is_in_it(void)
{
	struct store_copy *c;
	uint64_t sequence;

	nodes_fresh();
	write_some(one, 1, 30);
	settle(one);
	EQ(0, copy_open(one, 1, &c, &pieces.sequence));
	EQ(line_last(&one->copy[1].line), pieces.sequence);
	EQ(-EBUSY, store_copy_open(one->store, 2, &(struct store_copy *){NULL}, &sequence));
	for (int i = 0; i < 4; i++) {
		use(one);
		EQ(0, put(name_in(1, 0), i % 2 ? "k0" : "later", "new"));
		EQ(1, del(name_in(1, 1), i % 2 ? "k3" : "k5"));
		EQ(0, put(name_in(1, 1), i % 2 ? "k3" : "k5", "new"));
		if (!i)
			EQ(0, drop(name_in(1, 0)));
		if (!i)
			EQ(0, create(name_in(1, 0)));
		if (i == 1)
			for (int n = 0; n < 5; n++)
				go_round(one);
		commit_to(one, 1, line_last(&one->copy[1].line));
		settle(one); /* and with it the keys of the bucket that was dropped */
		for (int n = 0; n < 20; n++)
			go_round(one);
		EQ(1, store_copy_next(c, &pieces.at[pieces.count++], i ? 400 : 40));
	}
	while (store_copy_next(c, &pieces.at[pieces.count], 400) == 1)
		pieces.count++;
	store_copy_close(&c);
	EQ(NULL, c);
	load_begin(two, 1);
	load_rest(one, two, 1, 0);
	some_are_there(two, 1, 30);
	follow_all(one, two, 1);
	use(two);
	is(name_in(1, 0), "k0", "new");
	is(name_in(1, 0), "k2", NULL);
	is(name_in(1, 1), "k5", "new");
	end();
}

/* What cannot be committed yet, and is in no file of the log any more. */
static void what_is_set_aside_comes_too(void)
{
	for (int cut = 0; cut < 2; cut++) {
		uint64_t committed;
		size_t records;

		nodes_fresh();
		write_some(one, 1, 10);
		committed = line_last(&one->copy[1].line);
		records = one->copy[1].line.count;
		use(one);
		EQ(0, put(name_in(1, 0), "aside", "a"));
		records++;
		EQ(0, put(name_in(1, 0), "further", "f"));
		settle(one);
		if (cut) { /* opened again, another was primary meanwhile, which had not all */
			node_open(one);
			store_follow(current, 1);
			TRUE_(!cut_to(one, 1, records));
		}
		use(one);
		carry(one, two, 1, 100);
		TRUE_(pieces.sequence >= committed + (cut ? 1 : 2));
		EQ(committed, store_commit_sequence(two->store, 1));
		for (int again = 0; again < 2; again++) {
			use(two);
			is(name_in(1, 0), "aside", NULL);
			some_are_there(two, 1, 10);
			node_open(two);
		}
		settle(two);
		commit_to(two, 1, pieces.sequence);
		is(name_in(1, 0), "aside", "a");
		is(name_in(1, 0), "further", cut ? NULL : "f");
		go_round(two); /* so that the log says that it is committed */
		settle(two);
		node_open(two);
		is(name_in(1, 0), "aside", "a");
		end();
	}
}

/* The sender has set aside what another primary then wrote over. */
static void what_a_cut_has_made_void_does_not_come(void)
{
	struct node *three = &nodes[2];
	const struct line *l = &one->copy[1].line;
	uint64_t committed;

	nodes_fresh();
	write_some(one, 1, 10);
	follow_all(one, two, 1);
	follow_all(one, three, 1);
	committed = line_last(l);
	use(one);
	EQ(0, put(name_in(1, 0), "aside", "a"));
	EQ(0, put(name_in(1, 0), "further", "f"));
	while (two->copy[1].line.count < l->count)
		EQ(0, feed(two, 1, l->at[two->copy[1].line.count]));
	settle(two);
	lead(three, 1, 5 << 16);
	EQ(0, put(name_in(1, 0), "other", "o"));
	TRUE_(!cut_to(two, 1, lines_agree(&three->copy[1].line, &two->copy[1].line)));
	while (two->copy[1].line.count < three->copy[1].line.count)
		EQ(0, feed(two, 1, three->copy[1].line.at[two->copy[1].line.count]));
	copy_take(two, 1, 100);
	EQ(committed, pieces.sequence);
	load_begin(one, 1);
	load_rest(two, one, 1, 0);
	follow_all(three, one, 1);
	use(one);
	is(name_in(1, 0), "aside", NULL);
	is(name_in(1, 0), "other", "o");
	end();
}

static void what_has_expired_comes_and_goes_as_it_would(void)
{
	uint64_t sequence;

	nodes_fresh();
	wall = 1700000000000;
	write_some(one, 1, 2);
	use(one);
	EQ(0, store_tick(current, wall));
	EQ(0, put_ttl(name_in(1, 0), "short", "s", 1000));
	EQ(0, put_ttl(name_in(1, 0), "long", "l", 1000000));
	commit_to(one, 1, line_last(&one->copy[1].line));
	settle(one);
	wall += 5000;
	boot += 5000;
	carry(one, two, 1, 100);
	use(two);
	EQ(0, store_tick(current, wall));
	is(name_in(1, 0), "short", NULL);
	is(name_in(1, 0), "long", "l");
	for (int i = 0; i < 50; i++)
		go_round(two);
	EQ(pieces.sequence, store_last(current, 1).sequence); /* not ours to delete */
	EQ(0, store_lead(current, 1, 7 << 16, span_of(""), &sequence));
	for (int i = 0; i < 50; i++) {
		wall += 20;
		boot += 20;
		go_round(two);
	}
	TRUE_(store_last(current, 1).sequence > pieces.sequence + 1);
	EQ(2, count(name_in(1, 0)));
	is(name_in(1, 0), "long", "l");
	end();
}

static void session_of(struct log_session *x, unsigned which, uint64_t number)
{
	uint64_t made_ms = wall - 1000;

	memset(x, 0, sizeof(*x));
	for (unsigned i = 0; i < 6; i++)
		x->id[i] = (uint8_t)(made_ms >> (40 - 8 * i));
	x->id[15] = (uint8_t)which;
	x->sequence = number;
	x->fingerprint = 7;
}

static void ask(uint32_t p, unsigned which, uint64_t number, uint64_t acknowledged)
{
	struct session_outcome o;
	struct log_session x;

	session_of(&x, which, number);
	x.acknowledged = acknowledged;
	store_begin(current, 0);
	EQ(SESSION_RUN, store_session(current, span_of(name_in(p, 0)), &x, &o));
	EQ(0, store_outcome(current, span_of(name_in(p, 0)), span_of("\xc0\xc3")));
}

static int asked(uint32_t p, unsigned which, uint64_t number)
{
	struct session_outcome o;
	struct log_session x;
	int r;

	session_of(&x, which, number);
	store_begin(current, 0);
	r = store_session(current, span_of(name_in(p, 0)), &x, &o);
	store_begin(current, 0);
	return r;
}

static void sessions_come_too(void)
{
	nodes_fresh();
	write_some(one, 1, 2);
	use(one);
	for (unsigned which = 1; which < 60; which++)
		for (uint64_t n = 1; n < 6; n++)
			ask(1, which, n, which % 2 && n > 3 ? 3 : 0);
	commit_to(one, 1, line_last(&one->copy[1].line));
	settle(one);
	/* There it knows others of the same partition, some of them settled, some not. */
	write_some(two, 1, 2);
	write_some(two, 2, 2);
	use(two);
	ask(1, 1, 4, 0);
	ask(1, 200, 1, 0);
	ask(2, 1, 1, 0);
	commit_to(two, 1, line_last(&two->copy[1].line));
	commit_to(two, 2, line_last(&two->copy[2].line));
	settle(two);
	ask(1, 2, 9, 0);
	ask(1, 201, 1, 0);
	copy_take(one, 1, 300);
	load_begin(two, 1);
	ask(2, 2, 1, 0);
	settle(two); /* with what there is to be said of sessions, but of those that are gone */
	load_rest(one, two, 1, 0);
	for (int again = 0; again < 3; again++) {
		for (unsigned which = 1; which < 60; which++)
			for (uint64_t n = 1; n < 6; n++)
				EQ(which % 2 && n < 3 ? SESSION_STALE : SESSION_DONE,
				   asked(1, which, n));
		EQ(SESSION_RUN, asked(1, 2, 9));
		EQ(SESSION_RUN, asked(1, 200, 1));
		EQ(SESSION_RUN, asked(1, 201, 1));
		EQ(SESSION_DONE, asked(2, 1, 1));
		if (again)
			settle(two); /* what was forgotten deletes nothing of what came */
		node_open(two);
	}
	end();
}

/* ---- large ones ---- */

static void large_values_and_many_keys(void)
{
	static char large[60 << 10];
	char key[16];

	nodes_fresh();
	write_some(one, 1, 0);
	memset(large, 'x', sizeof(large) - 1);
	use(one);
	for (unsigned i = 0; i < 30000; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		EQ(0, i % 2000 ? put(name_in(1, i % 2), key, "value")
			       : put(name_in(1, i % 2), key, large));
		if (i % 1000)
			continue;
		commit_to(one, 1, line_last(&one->copy[1].line));
		settle(one);
	}
	commit_to(one, 1, line_last(&one->copy[1].line));
	settle(one);
	carry(one, two, 1, 40000); /* less than such a value */
	EQ(15000, count(name_in(1, 0)));
	EQ(15000, count(name_in(1, 1)));
	settle(one);
	/* And once more over what is there now, with other partitions written meanwhile. */
	load_begin(two, 1);
	for (unsigned i = 0; i < pieces.count; i++) {
		EQ(0, load_piece(two, 1, piece(i)));
		if (i == 3)
			write_some(two, 2, 100);
		if (i == 5)
			settle(two);
		if (i == 7)
			store_checkpoint(two->store);
	}
	load_rest(one, two, 1, pieces.count);
	some_are_there(two, 2, 100);
	node_open(two);
	EQ(15000, count(name_in(1, 0)));
	EQ(15000, count(name_in(1, 1)));
	end();
}

/* Each is a row, and so a piece, of its own. */
static void the_largest_values_come_one_by_one(void)
{
	static char large[8 << 20];
	static const struct store_condition always = {false, false, 0};
	struct store_config c;
	struct store_item item;
	struct store_key k;
	uint64_t version;

	memset(nodes, 0, sizeof(nodes));
	memset(large, 'x', sizeof(large));
	for (int i = 0; i < 2; i++) {
		fresh();
		(void)snprintf(nodes[i].dir, sizeof(nodes[i].dir), "%s", dir);
		c = copies_config(&nodes[i]);
		c.value_max = sizeof(large);
		c.log_bytes = 256u << 20;
		c.log_segment_bytes = 16u << 20;
		c.cache_bytes = 64u << 20;
		EQ(0, store_open(&c, &nodes[i].store, why, sizeof(why)));
		use(&nodes[i]);
		wall = store_clock(current);
		store_freed(current, UINT64_MAX);
	}
	write_some(one, 1, 4);
	for (int i = 0; i < 3; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "l%d", i);
		/* A tail that has anything in it is full with one. */
		commit_to(one, 1, line_last(&one->copy[1].line));
		large[0] = (char)('a' + i);
		store_begin(current, 0);
		store_locate(current, span_of(name_in(1, 0)), span_of(key), &k);
		EQ(0, store_put(current, &k, (struct span){large, sizeof(large) - (size_t)i}, 0,
				&always, &version));
		commit_to(one, 1, line_last(&one->copy[1].line));
		EQ(0, store_settle(current, 60000));
	}
	carry(one, two, 1, STORE_PIECE_BYTES);
	TRUE_(pieces.count >= 3);
	use(two);
	EQ(5, count(name_in(1, 0)));
	for (int i = 0; i < 3; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "l%d", i);
		store_begin(current, 0);
		store_locate(current, span_of(name_in(1, 0)), span_of(key), &k);
		EQ(0, store_get(current, &k, &item));
		EQ(sizeof(large) - (size_t)i, item.value.n);
		EQ('a' + i, item.value.p[0]);
		EQ('x', item.value.p[item.value.n - 1]);
	}
	end();
}

/* ---- what is no piece of it ---- */

static void the_rest_is_refused(unsigned at)
{
	for (unsigned i = 0; i < pieces.count; i++)
		if (i != at)
			EQ(-EBADMSG, load_piece(two, 1, piece(i)));
}

static void a_piece_that_is_not_the_next_is_refused(void)
{
	struct buf other;

	nodes_fresh();
	write_some(one, 1, 40);
	settle(one);
	copy_take(one, 1, 300);
	TRUE_(pieces.count > 5);
	other = pieces.at[2];
	pieces.at[2] = (struct buf){NULL, 0, 0, false};
	copy_take(one, 1, 300); /* the same, but another copy */
	load_begin(two, 1);
	EQ(-EBADMSG, load_end(two, 1));
	for (unsigned i = 0; i < pieces.count; i++) {
		the_rest_is_refused(i);
		if (i == 2)
			EQ(-EBADMSG, load_piece(two, 1, (struct span){other.data, other.len}));
		EQ(-EBADMSG, load_end(two, 1));
		EQ(0, load_piece(two, 1, piece(i)));
	}
	EQ(-EBADMSG, load_piece(two, 1, piece(pieces.count - 1)));
	load_rest(one, two, 1, pieces.count);
	some_are_there(two, 1, 40);
	buf_fini(&other);
	end();
}

static void a_damaged_piece_changes_nothing(void)
{
	nodes_fresh();
	write_some(one, 1, 6);
	settle(one);
	copy_take(one, 1, 200);
	load_begin(two, 1);
	for (unsigned i = 0; i < pieces.count; i++) {
		for (size_t at = 0; at < pieces.at[i].len; at++) {
			pieces.at[i].data[at] ^= (char)(1 << at % 8);
			EQ(-EBADMSG, load_piece(two, 1, piece(i)));
			pieces.at[i].data[at] ^= (char)(1 << at % 8);
			EQ(-EBADMSG, load_piece(two, 1, (struct span){pieces.at[i].data, at}));
		}
		EQ(0, load_piece(two, 1, piece(i)));
	}
	load_rest(one, two, 1, pieces.count);
	some_are_there(two, 1, 6);
	end();
}

/* The checksums of all pieces, and of the rows in the last, made right again. */
static void seal(void)
{
	uint32_t crc = 0;

	for (unsigned i = 0; i < pieces.count; i++) {
		char *p = pieces.at[i].data;
		size_t n = pieces.at[i].len;
		struct piece_head h;

		if (i + 1 == pieces.count) { /* its last row says the checksum */
			crc = crc32c(crc, p + sizeof(h), n - sizeof(h) - 24);
			memcpy(p + n - 8, &crc, sizeof(crc));
		} else {
			crc = crc32c(crc, p + sizeof(h), n - sizeof(h));
		}
		memcpy(&h, p, sizeof(h));
		h.crc = crc32c(0, p + 8, n - 8);
		memcpy(p, &h, sizeof(h));
	}
}

/*
 * Whoever makes checksums of his own: what he sends is refused, or is a partition, of which what is
 * in it can be read; and no other partition suffers.
 */
static void rows_are_not_trusted(void)
{
	uint64_t seed = unit_seed();
	unsigned refused = 0;
	unsigned taken = 0;

	nodes_fresh();
	write_some(one, 1, 6);
	use(one);
	ask(1, 1, 1, 0);
	ask(1, 1, 2, 0);
	commit_to(one, 1, line_last(&one->copy[1].line));
	EQ(0, put(name_in(1, 0), "aside", "a"));
	settle(one);
	write_some(two, 2, 20);
	for (unsigned n = 0; n < 300; n++) {
		int r = 0;

		copy_take(one, 1, 200);
		for (unsigned k = 1 + (unsigned)(unit_random(&seed) % 2); k-- > 0;) {
			struct buf *b = &pieces.at[unit_random(&seed) % pieces.count];
			size_t from = sizeof(struct piece_head);
			size_t at = from + unit_random(&seed) % (b->len - from);

			if (unit_random(&seed) % 3)
				b->data[at] = (char)unit_random(&seed);
			else
				b->data[at]++;
		}
		seal();
		load_begin(two, 1);
		for (unsigned i = 0; i < pieces.count && r == 0; i++) {
			r = load_piece(two, 1, piece(i));
			TRUE_(r == 0 || r == -EBADMSG);
			if (r < 0) {
				EQ(-EBADMSG, load_piece(two, 1, piece(i)));
				EQ(-EBADMSG, load_piece(two, 1, piece(0)));
			}
		}
		EQ(r, load_end(two, 1));
		EQ(r == 0, store_whole(two->store, 1));
		refused += r < 0;
		taken += r == 0;
		two->copy[1].line.count = 0;
		if (r == 0)
			EQ(0, store_settle(two->store, 20000));
	}
	printf("# %u refused, %u taken\n", refused, taken);
	TRUE_(refused > 50 && taken > 10); /* in a value, say */
	copy_take(one, 1, 200);
	load_begin(two, 1);
	load_rest(one, two, 1, 0);
	some_are_there(two, 1, 6);
	some_are_there(two, 2, 20);
	node_open(two);
	some_are_there(two, 1, 6);
	some_are_there(two, 2, 20);
	end();
}

UNIT_MAIN(T(a_partition_comes_whole), T(an_empty_one_comes_too), T(only_what_came_before_is_in_it),
	  T(what_is_set_aside_comes_too), T(what_a_cut_has_made_void_does_not_come),
	  T(what_has_expired_comes_and_goes_as_it_would), T(sessions_come_too),
	  T(large_values_and_many_keys), T(the_largest_values_come_one_by_one),
	  T(a_piece_that_is_not_the_next_is_refused), T(a_damaged_piece_changes_nothing),
	  T(rows_are_not_trusted))
