/*
 * Three stores that are copies of each other, at random, of which some lose theirs and take a whole
 * one from who leads: while that is written, checkpointed, cut, led by another, and while either is
 * opened again.  A copy must be what the sender's log had up to where it says, with what came later on
 * top of it; until it is whole there must be nothing.
 */
#include "tests/unit/lib/copies_model.h"

/* A copy that a node takes, one at a time. */
struct taking {
	bool begun;
	uint32_t p;
	struct store_copy *copy;
	int from;
	struct sent **has; /* what the sender's log had when it was opened */
	size_t has_count;
	uint64_t settled_at_most;
	struct buf piece; /* not taken yet */
	bool sent_all;
	bool lost; /* its sender is no more, and it could not be begun anew */
};

static struct taking takings[NODES];
static bool in_set[NODES][PARTS]; /* it counts */
static unsigned ended;
static unsigned broken_off;

static bool whole(int i, uint32_t p)
{
	return !(takings[i].begun && takings[i].p == p) && store_whole(nodes[i].store, p);
}

static void taking_stop(int i)
{
	struct taking *t = &takings[i];

	broken_off += t->begun;
	if (t->copy) {
		use(&nodes[t->from]);
		store_copy_close(&t->copy);
	}
	free(t->has);
	buf_fini(&t->piece);
	memset(t, 0, sizeof(*t));
}

static void nothing_is_there(int i, uint32_t p)
{
	struct log_span x[4];
	uint64_t lsn;
	uint64_t sequence;

	use(&nodes[i]);
	TRUE_(!store_whole(current, p));
	EQ(0, store_last(current, p).sequence);
	EQ(0, store_last(current, p).term);
	EQ(0, store_commit_sequence(current, p));
	EQ(0, store_spans(current, p, x, 4));
	for (unsigned b = 0; b < BUCKETS; b++)
		EQ(-ENXIO, count(name_in(p, b)));
	EQ(store_must_restart(current) && nodes[i].copy[p].undone ? -EINPROGRESS : -ENODATA,
	   store_lead(current, p, ++epoch[p] << 16, span_of(""), &sequence));
	if (leader[p] != NOBODY && nodes[leader[p]].copy[p].line.count &&
	    store_role(current, p) == STORE_BACKUP) {
		struct sent *first = nodes[leader[p]].copy[p].line.at[0];

		EQ(-ENODATA,
		   store_follow_append(current, (struct span){first->bytes, first->size}, &lsn));
	}
}

static void look(int i, uint32_t p)
{
	if (whole(i, p))
		compare(&nodes[i], p);
	else if (!store_whole(nodes[i].store, p)) /* else it has ended, and we have not asked yet */
		nothing_is_there(i, p);
}

/* ---- taking ---- */

static void begin(int i, uint32_t p)
{
	struct copy *c = &nodes[i].copy[p];
	int r;

	if (takings[i].begun && takings[i].p != p)
		return;
	use(&nodes[i]);
	if (store_role(current, p) != STORE_BACKUP)
		store_follow(current, p);
	r = store_load_begin(current, p);
	if (r == -EBUSY) /* one is just about to end */
		return;
	if (r == -EINPROGRESS) { /* it must be opened again */
		TRUE_(store_must_restart(current));
		takings[i].lost = true;
		return;
	}
	EQ(0, r);
	taking_stop(i);
	takings[i].begun = true;
	takings[i].p = p;
	in_set[i][p] = false;
	c->line.count = 0;
	c->applied = 0;
	c->told = 0;
}

static void open_copy(struct taking *t)
{
	struct node *n = &nodes[leader[t->p]];
	const struct line *l = &n->copy[t->p].line;
	uint64_t sequence = 0;
	int r;

	use(n);
	r = store_copy_open(current, t->p, &t->copy, &sequence);
	if (r == -EAGAIN || r == -EBUSY)
		return;
	EQ(0, r);
	t->from = leader[t->p];
	t->settled_at_most = store_commit_sequence(current, t->p);
	t->has = malloc((l->count + 1) * sizeof(struct sent *));
	while (t->has_count < l->count && l->at[t->has_count]->last <= sequence) {
		t->has[t->has_count] = l->at[t->has_count];
		t->has_count++;
	}
	EQ(sequence, t->has_count ? t->has[t->has_count - 1]->last : 0);
}

static void taken(int i)
{
	struct taking *t = &takings[i];
	struct node *n = &nodes[i];
	struct copy *c = &n->copy[t->p];

	for (size_t k = 0; k < t->has_count; k++)
		line_add(&c->line, t->has[k]);
	c->applied = store_commit_sequence(n->store, t->p);
	c->told = c->applied;
	c->undone = false;
	TRUE_(c->applied <= t->settled_at_most);
	TRUE_(store_whole(n->store, t->p));
	t->begun = false;
	ended++;
	compare(n, t->p);
	taking_stop(i);
}

static void offer(int i)
{
	struct taking *t = &takings[i];
	int r;

	if (!t->piece.len && !t->sent_all) {
		use(&nodes[t->from]);
		r = store_copy_next(t->copy, &t->piece, 100 + random_below(3000));
		TRUE_(r == 0 || r == 1);
		t->sent_all = r == 0;
	}
	use(&nodes[i]);
	r = t->sent_all
		    ? store_load_end(current, t->p)
		    : store_load_piece(current, t->p, (struct span){t->piece.data, t->piece.len});
	if (r == -EAGAIN)
		return;
	EQ(0, r);
	if (t->sent_all)
		taken(i);
	else
		t->piece.len = 0;
}

static void go_on(int i)
{
	struct taking *t = &takings[i];

	if (!t->begun || t->lost || leader[t->p] == NOBODY)
		return;
	if (!t->copy && !t->sent_all) {
		open_copy(t);
		return;
	}
	for (unsigned n = 1 + (unsigned)random_below(6); n-- > 0 && t->begun;)
		offer(i);
}

/* ---- and all the rest ---- */

static void send_some(int i, uint32_t p)
{
	struct node *n = &nodes[i];
	const struct line *from = &nodes[leader[p]].copy[p].line;
	struct line *to = &n->copy[p].line;
	size_t more = random_below(8);

	if (store_role(n->store, p) != STORE_BACKUP)
		store_follow(n->store, p);
	(void)cut_to(n, p, lines_agree(from, to));
	while (more-- && to->count < from->count)
		EQ(0, feed(n, p, from->at[to->count]));
	in_set[i][p] |= to->count == from->count;
}

static void commit_some(uint32_t p)
{
	const struct line *l = &nodes[leader[p]].copy[p].line;
	size_t least = l->count;

	for (int i = 0; i < NODES; i++) {
		size_t agree = lines_agree(l, &nodes[i].copy[p].line);

		if (in_set[i][p] && agree < least)
			least = agree;
	}
	if (!least || l->at[least - 1]->last <= committed[p])
		return;
	committed[p] = l->at[least - 1]->last;
	for (int i = 0; i < NODES; i++)
		if (in_set[i][p] && random_below(3))
			commit_to(&nodes[i], p, committed[p]);
}

static void open_again(int i)
{
	struct taking *mine = &takings[i];

	for (int k = 0; k < NODES; k++) {
		struct taking *t = &takings[k];

		if (!t->copy || t->from != i)
			continue;
		use(&nodes[i]);
		store_copy_close(&t->copy);
		if (!t->sent_all)
			begin(k, t->p);
	}
	node_reopen(&nodes[i]);
	/* It was whole on disk, though nobody has been told; or is not, and must be begun anew. */
	if (mine->begun && store_whole(current, mine->p))
		taken(i);
	taking_stop(i);
	use(&nodes[i]);
	for (uint32_t p = 0; p < PARTS; p++) {
		nodes[i].copy[p].undone = false;
		nodes[i].copy[p].applied = store_commit_sequence(current, p);
	}
	for (uint32_t p = 0; p < PARTS; p++) {
		look(i, p);
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
		store_checkpoint(current);
}

static void elect(uint32_t p)
{
	int i = (int)random_below(NODES);

	if (!in_set[i][p] || nodes[i].copy[p].undone)
		return;
	if (leader[p] != NOBODY && leader[p] != i && random_below(2))
		for (unsigned k = 0; k < 3; k++)
			write_one(p);
	if (store_role(nodes[i].store, p) == STORE_NO_ROLE)
		store_follow(nodes[i].store, p);
	take_lead(i, p);
}

/* One of them loses its copy. */
static void lose(int i, uint32_t p)
{
	unsigned others = 0;

	for (int k = 0; k < NODES; k++)
		others += k != i && in_set[k][p];
	if (leader[p] == i || !others || store_must_restart(nodes[i].store))
		return;
	if (!random_below(4) && !takings[i].begun) {
		use(&nodes[i]);
		if (store_role(current, p) == STORE_PRIMARY)
			store_follow(current, p);
		EQ(0, store_forget(current, p));
		EQ(STORE_NO_ROLE, store_role(current, p));
		if (store_whole(current, p)) /* there was nothing */
			return;
		in_set[i][p] = false;
		nodes[i].copy[p].line.count = 0;
		nodes[i].copy[p].applied = 0;
		nodes[i].copy[p].told = 0;
		return;
	}
	begin(i, p);
}

static void step(void)
{
	uint32_t p = (uint32_t)random_below(PARTS);
	int i = (int)random_below(NODES);
	unsigned what = (unsigned)random_below(1000);

	if (!takings[i].begun && !whole(i, p) && leader[p] != i && random_below(2) &&
	    !store_must_restart(nodes[i].store))
		begin(i, p);
	if (leader[p] == NOBODY)
		elect(p);
	else if (what < 300)
		write_one(p);
	else if (what < 550 && leader[p] != i && whole(i, p))
		send_some(i, p);
	else if (what < 750)
		go_on(i);
	else if (what < 850)
		commit_some(p);
	else if (what < 860)
		lose(i, p);
	else if (what < 875)
		elect(p);
	else if (what < 900)
		checkpoint(i);
	else if (what < 908 || (what < 960 && store_must_restart(nodes[i].store)))
		open_again(i);
	else
		look(i, p);
	use(&nodes[i]);
	EQ(0, store_tick(current, wall));
	store_submit(current, 0);
}

static void a_copy_is_what_was_there(void)
{
	seed = unit_seed();
	for (int round = 0; round < 10; round++) {
		nodes_fresh();
		memset(epoch, 0, sizeof(epoch));
		memset(committed, 0, sizeof(committed));
		memset(number, 0, sizeof(number));
		for (uint32_t p = 0; p < PARTS; p++)
			leader[p] = NOBODY;
		for (int i = 0; i < NODES; i++)
			for (uint32_t p = 0; p < PARTS; p++)
				in_set[i][p] = true;
		for (int i = 0; i < 4000; i++)
			step();
		for (int i = 0; i < NODES; i++)
			for (uint32_t p = 0; p < PARTS; p++)
				look(i, p);
		for (int i = 0; i < NODES; i++)
			taking_stop(i);
		nodes_end();
	}
	printf("# %u copies, %u broken off\n", ended, broken_off);
	TRUE_(ended > 50);
	TRUE_(broken_off > 10);
}

UNIT_MAIN(T(a_copy_is_what_was_there))
