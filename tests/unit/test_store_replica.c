/*
 * Three stores that are copies of each other, at random: who leads, what is sent to whom and how late,
 * what is committed, cut, checkpointed, and who is opened again.  Each must have the log that it was
 * given, and show what of it is committed, or, if it leads, all of it.
 */
#include "tests/unit/lib/copies_model.h"

/* Send a backup some of what it has not, from where they agree. */
static void send_some(int i, uint32_t p)
{
	struct node *n = &nodes[i];
	const struct line *from = &nodes[leader[p]].copy[p].line;
	struct line *to = &n->copy[p].line;
	size_t agree = lines_agree(from, to);
	size_t more = random_below(8);

	if (store_role(n->store, p) != STORE_BACKUP)
		store_follow(n->store, p);
	(void)cut_to(n, p, agree);
	while (more-- && to->count < from->count)
		EQ(0, feed(n, p, from->at[to->count]));
}

/* What all three have of the leader's line. */
static void commit_some(uint32_t p)
{
	const struct line *l = &nodes[leader[p]].copy[p].line;
	size_t least = l->count;

	for (int i = 0; i < NODES; i++) {
		size_t agree = lines_agree(l, &nodes[i].copy[p].line);

		least = agree < least ? agree : least;
	}
	if (!least || l->at[least - 1]->last <= committed[p])
		return;
	committed[p] = l->at[least - 1]->last;
	for (int i = 0; i < NODES; i++)
		if (random_below(3))
			commit_to(&nodes[i], p, committed[p]);
}

static void open_again(int i)
{
	node_open(&nodes[i]);
	for (uint32_t p = 0; p < PARTS; p++) {
		compare(&nodes[i], p);
		if (leader[p] != i)
			continue;
		if (random_below(2))
			take_lead(i, p);
		else
			leader[p] = NOBODY;
	}
}

static void checkpoint(int i)
{
	use(&nodes[i]);
	if (store_must_restart(current))
		EQ(-EINPROGRESS, store_settle(current, 1000));
	else if (random_below(2))
		settle(&nodes[i]);
	else
		store_checkpoint(current); /* some ticks later it has ended */
}

static void elect(uint32_t p)
{
	int i = (int)random_below(NODES);
	uint64_t sequence;

	if (nodes[i].copy[p].undone) {
		EQ(-EINPROGRESS,
		   store_lead(nodes[i].store, p, epoch[p] << 16 | 0xffff, span_of(""), &sequence));
		return;
	}
	/* The old one may not hear of it, write on, and be cut. */
	if (leader[p] != NOBODY && leader[p] != i && random_below(2))
		for (unsigned k = 0; k < 3; k++)
			write_one(p);
	if (store_role(nodes[i].store, p) == STORE_NO_ROLE)
		store_follow(nodes[i].store, p);
	take_lead(i, p);
}

static void step(void)
{
	uint32_t p = (uint32_t)random_below(PARTS);
	int i = (int)random_below(NODES);
	unsigned what = (unsigned)random_below(1000);

	if (leader[p] == NOBODY)
		elect(p);
	else if (what < 400)
		write_one(p);
	else if (what < 800 && leader[p] != i)
		send_some(i, p);
	else if (what < 900)
		commit_some(p);
	else if (what < 915)
		elect(p);
	else if (what < 930)
		checkpoint(i);
	else if (what < 940 || (what < 980 && store_must_restart(nodes[i].store)))
		open_again(i);
	else
		compare(&nodes[i], p);
	use(&nodes[i]);
	EQ(0, store_tick(current, wall));
	store_submit(current, 0);
}

static void each_copy_shows_what_is_committed(void)
{
	seed = unit_seed();
	for (int round = 0; round < 10; round++) {
		nodes_fresh();
		memset(epoch, 0, sizeof(epoch));
		memset(committed, 0, sizeof(committed));
		memset(number, 0, sizeof(number));
		for (uint32_t p = 0; p < PARTS; p++)
			leader[p] = NOBODY;
		for (int i = 0; i < 3000; i++)
			step();
		for (int i = 0; i < NODES; i++)
			for (uint32_t p = 0; p < PARTS; p++)
				compare(&nodes[i], p);
		nodes_end();
	}
}

static void feed_all(struct node *from, struct node *to, uint32_t p)
{
	const struct line *l = &from->copy[p].line;

	store_follow(to->store, p);
	while (to->copy[p].line.count < l->count)
		EQ(0, feed(to, p, l->at[to->copy[p].line.count]));
}

/*
 * It counts as written when it is committed, but its record is in no file of the log any more: a
 * checkpoint that waited for one waited for ever, and so did all later ones.
 */
static void a_touch_that_was_set_aside_stops_no_checkpoint(void)
{
	const char *name;

	nodes_fresh();
	name = name_in(1, 0);
	lead(&nodes[0], 1, 1 << 16);
	EQ(0, create(name));
	EQ(0, put(name, "k", "a value"));
	feed_all(&nodes[0], &nodes[1], 1);
	commit_to(&nodes[1], 1, line_last(&nodes[1].copy[1].line));
	settle(&nodes[1]);
	use(&nodes[0]);
	EQ(0, touch(name, "k"));
	feed_all(&nodes[0], &nodes[1], 1);
	settle(&nodes[1]);
	commit_to(&nodes[1], 1, line_last(&nodes[1].copy[1].line));
	store_checkpoint(current);
	for (int i = 0; i < 100; i++)
		EQ(0, store_tick(current, wall));
	use(&nodes[0]);
	EQ(0, put(name, "k2", "a value"));
	feed_all(&nodes[0], &nodes[1], 1);
	settle(&nodes[1]);
	is(name, "k", "a value");
	nodes_end();
}

UNIT_MAIN(T(each_copy_shows_what_is_committed), T(a_touch_that_was_set_aside_stops_no_checkpoint))
