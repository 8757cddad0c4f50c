/*
 * Stores that are copies of each other, with what each one's log should have: the lines.  Whatever
 * would be between nodes is done here by hand.  Included by the test programs of replicated stores.
 */
#ifndef PAIL_COPIES_FIXTURE_H
#define PAIL_COPIES_FIXTURE_H

#include <stdlib.h>

#include "tests/unit/lib/store_fixture.h"

#define NODES 3
#define PARTS 4

/* A record as it was sent. */
struct sent {
	uint64_t term;
	uint64_t first;
	uint64_t last;
	size_t size;
	struct sent *made_before;
	char bytes[];
};

/* What a copy's log has. */
struct line {
	struct sent **at;
	size_t count;
	size_t room;
};

struct copy {
	struct line line;
	uint64_t told;    /* sequence up to which it was told that all is committed */
	uint64_t applied; /* up to which all has taken effect */
	bool undone;
};

struct node {
	struct store *store;
	char dir[256];
	struct copy copy[PARTS];
	uint16_t life;
};

static struct node nodes[NODES];
static struct sent *all_sent;

static void line_add(struct line *l, struct sent *x)
{
	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->at = realloc(l->at, l->room * sizeof(struct sent *));
	}
	l->at[l->count++] = x;
}

static uint64_t line_last(const struct line *l)
{
	return l->count ? l->at[l->count - 1]->last : 0;
}

static void on_append(void *arg, const struct log_record *r)
{
	struct node *n = arg;
	struct copy *c = &n->copy[r->entry->partition];
	struct sent *x = malloc(sizeof(*x) + r->entry->size);

	x->term = r->entry->term;
	x->first = r->entry->sequence;
	x->last = log_entry_last(r->entry);
	x->size = r->entry->size;
	memcpy(x->bytes, r->entry, r->entry->size);
	x->made_before = all_sent;
	all_sent = x;
	line_add(&c->line, x);
	c->applied = x->last;
}

static struct node *now;

static void use(struct node *n)
{
	now = n;
	current = n->store;
}

static void copies_wait(void *arg)
{
	store_submit(((struct node *)arg)->store, 0);
}

static struct store_config copies_config(struct node *n)
{
	struct store_config c = config();

	c.dir = n->dir;
	c.partitions = PARTS;
	c.map_bytes = 1 << 30;
	c.replicated = true;
	c.on_append = on_append;
	c.on_wait = copies_wait;
	c.arg = n;
	return c;
}

static void node_reopen(struct node *n)
{
	struct store_config c = copies_config(n);
	int r;

	store_close(&n->store);
	r = store_open(&c, &n->store, why, sizeof(why));
	if (r < 0)
		printf("# %s\n", why);
	EQ(0, r);
	n->life++;
	use(n);
	if (!wall || wall < store_clock(current))
		wall = store_clock(current);
	store_freed(current, UINT64_MAX);
	TRUE_(!store_must_restart(current));
}

/* Open it, or open it again: then only what was committed, as it knows, has taken effect. */
static void node_open(struct node *n)
{
	node_reopen(n);
	for (uint32_t p = 0; p < PARTS; p++) {
		struct copy *x = &n->copy[p];
		uint64_t commit = store_commit_sequence(current, p);

		TRUE_(commit <= x->told || !x->line.count);
		x->applied = commit;
		x->undone = false;
		EQ(line_last(&x->line), store_last(current, p).sequence);
	}
}

__attribute__((unused)) static void nodes_fresh(void)
{
	memset(nodes, 0, sizeof(nodes));
	for (int i = 0; i < NODES; i++) {
		fresh();
		(void)snprintf(nodes[i].dir, sizeof(nodes[i].dir), "%s", dir);
		node_open(&nodes[i]);
	}
}

__attribute__((unused)) static void nodes_end(void)
{
	for (int i = 0; i < NODES; i++) {
		store_close(&nodes[i].store);
		for (uint32_t p = 0; p < PARTS; p++)
			free(nodes[i].copy[p].line.at);
	}
	while (all_sent) {
		struct sent *x = all_sent;

		all_sent = x->made_before;
		free(x);
	}
	current = NULL;
}

/* A bucket's name, the n-th of those of a partition. */
static const char *name_in(uint32_t p, unsigned n)
{
	static char text[8][16];
	static unsigned turn;
	char *name = text[turn++ % 8];

	for (unsigned i = 0;; i++) {
		(void)snprintf(name, sizeof(text[0]), "b%u", i);
		if (partition_of(span_of(name), PARTS) == p && !n--)
			return name;
	}
}

/* Everything that is in the log is checkpointed, or set aside. */
__attribute__((unused)) static void settle(struct node *n)
{
	use(n);
	EQ(0, store_settle(current, 20000));
}

__attribute__((unused)) static void lead(struct node *n, uint32_t p, uint64_t term)
{
	uint64_t sequence;

	use(n);
	EQ(0, store_lead(current, p, term, span_of("a view"), &sequence));
	EQ(line_last(&n->copy[p].line), sequence);
	EQ(STORE_PRIMARY, store_role(current, p));
}

/* How many records at the begin two lines have in common. */
__attribute__((unused)) static size_t lines_agree(const struct line *a, const struct line *b)
{
	size_t n = 0;

	while (n < a->count && n < b->count && a->at[n] == b->at[n])
		n++;
	return n;
}

/* Cut a backup to what it has in common with another.  Was it asked to be restarted? */
__attribute__((unused)) static bool cut_to(struct node *n, uint32_t p, size_t records)
{
	struct copy *c = &n->copy[p];
	uint64_t to = records ? c->line.at[records - 1]->last : 0;
	bool loses = to < c->applied || c->undone;
	uint64_t lsn;

	use(n);
	if (records == c->line.count)
		return false;
	EQ(loses ? -EINPROGRESS : 0, store_cut(current, p, to, &lsn));
	EQ(store_lsn(current), lsn);
	c->line.count = records;
	c->undone |= loses;
	if (c->applied > to)
		c->applied = to;
	EQ(c->undone, store_must_restart(current) && c->undone);
	return loses;
}

/* Append the next record of another's line. */
__attribute__((unused)) static int feed(struct node *n, uint32_t p, struct sent *x)
{
	uint64_t lsn;
	int r;

	use(n);
	r = store_follow_append(current, (struct span){x->bytes, x->size}, &lsn);
	if (r == 0) {
		EQ(store_lsn(current), lsn);
		line_add(&n->copy[p].line, x);
	}
	return r;
}

__attribute__((unused)) static void commit_to(struct node *n, uint32_t p, uint64_t sequence)
{
	struct copy *c = &n->copy[p];

	use(n);
	EQ(0, store_commit(current, p, sequence));
	if (sequence > c->told)
		c->told = sequence;
	if (sequence > c->applied && !c->undone)
		c->applied = sequence;
	TRUE_(store_commit_sequence(current, p) >= sequence);
}

/* The spans of a line, told by the store's own. */
__attribute__((unused)) static void spans_agree(struct node *n, uint32_t p)
{
	const struct line *l = &n->copy[p].line;
	struct log_span x[LOG_SPANS_MAX];
	uint32_t count = store_spans(n->store, p, x, LOG_SPANS_MAX);
	size_t i = l->count;

	while (count-- > 0) {
		uint64_t term = x[count].term;

		TRUE_(i > 0);
		EQ(l->at[i - 1]->last, x[count].last);
		while (i > 0 && l->at[i - 1]->term == term)
			i--;
		TRUE_(i < l->count);
		EQ(term, l->at[i]->term);
		EQ(l->at[i]->first, x[count].first);
	}
}

#endif
