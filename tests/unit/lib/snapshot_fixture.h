/* Copies of partitions that go from one store to another, over tests/unit/lib/copies_fixture.h. */
#ifndef PAIL_SNAPSHOT_FIXTURE_H
#define PAIL_SNAPSHOT_FIXTURE_H

#include "common/buf.h"
#include "common/clock.h"
#include "storage/snapshot_piece.h"
#include "tests/unit/lib/copies_fixture.h"

#define WAIT_MS 30000u

static struct node *const one = &nodes[0];
static struct node *const two = &nodes[1];

#define PIECES_MAX 4096u

/* A copy as it was taken. */
struct pieces {
	struct buf at[PIECES_MAX];
	unsigned count;
	uint64_t sequence;
};

static struct pieces pieces;

__attribute__((unused)) static void pieces_free(void)
{
	for (unsigned i = 0; i < pieces.count; i++)
		buf_fini(&pieces.at[i]);
	memset(&pieces, 0, sizeof(pieces));
}

static struct span piece(unsigned i)
{
	return (struct span){pieces.at[i].data, pieces.at[i].len};
}

/* What has been asked of the store again and again is done by its own thread. */
static void go_round(struct node *n)
{
	use(n);
	store_submit(current, 0);
	EQ(0, store_tick(current, wall));
	(void)usleep(200);
}

static int copy_open(struct node *n, uint32_t p, struct store_copy **ret, uint64_t *ret_sequence)
{
	uint64_t until = clock_ms() + WAIT_MS;
	int r;

	for (;;) {
		use(n);
		r = store_copy_open(current, p, ret, ret_sequence);
		if (r != -EAGAIN || clock_ms() > until)
			return r;
		go_round(n);
	}
}

/* Take a copy. */
__attribute__((unused)) static void copy_take(struct node *n, uint32_t p, size_t room)
{
	struct store_copy *c;
	int r;

	pieces_free();
	EQ(0, copy_open(n, p, &c, &pieces.sequence));
	TRUE_(store_copy_opened_ms(c) <= clock_ms());
	do {
		TRUE_(pieces.count < PIECES_MAX);
		r = store_copy_next(c, &pieces.at[pieces.count], room);
		TRUE_(r >= 0);
		pieces.count += r == 1;
	} while (r == 1);
	EQ(0, store_copy_next(c, &pieces.at[pieces.count], room));
	EQ(0, pieces.at[pieces.count].len);
	store_copy_close(&c);
}

__attribute__((unused)) static void load_begin(struct node *n, uint32_t p)
{
	use(n);
	if (store_role(current, p) != STORE_BACKUP)
		store_follow(current, p);
	EQ(0, store_load_begin(current, p));
	TRUE_(!store_whole(current, p));
	n->copy[p].line.count = 0;
	n->copy[p].applied = 0;
	n->copy[p].told = 0;
}

/* Offer it until it is neither too early nor too much. */
static int load_piece(struct node *n, uint32_t p, struct span bytes)
{
	uint64_t until = clock_ms() + WAIT_MS;
	int r;

	for (;;) {
		use(n);
		r = store_load_piece(current, p, bytes);
		if (r != -EAGAIN || clock_ms() > until)
			return r;
		go_round(n);
	}
}

static int load_end(struct node *n, uint32_t p)
{
	uint64_t until = clock_ms() + WAIT_MS;
	int r;

	for (;;) {
		use(n);
		r = store_load_end(current, p);
		if ((r != -EAGAIN && r != -ENOSPC && r != -ENOMEM) || clock_ms() > until)
			return r;
		go_round(n);
	}
}

/* The rest of the pieces, and the end; `from` is whose they are. */
__attribute__((unused)) static void load_rest(struct node *from, struct node *n, uint32_t p,
					      unsigned first)
{
	const struct line *l = &from->copy[p].line;
	struct copy *c = &n->copy[p];

	for (unsigned i = first; i < pieces.count; i++)
		EQ(0, load_piece(n, p, piece(i)));
	EQ(0, load_end(n, p));
	TRUE_(store_whole(current, p));
	EQ(pieces.sequence, store_last(current, p).sequence);
	c->line.count = 0;
	for (size_t i = 0; i < l->count && l->at[i]->last <= pieces.sequence; i++)
		line_add(&c->line, l->at[i]);
	EQ(pieces.sequence, line_last(&c->line));
	c->applied = store_commit_sequence(current, p);
	c->told = c->applied;
	spans_agree(n, p);
}

__attribute__((unused)) static void carry(struct node *from, struct node *to, uint32_t p,
					  size_t room)
{
	copy_take(from, p, room);
	load_begin(to, p);
	load_rest(from, to, p, 0);
}

/* All that one has the other appends, and both commit it. */
__attribute__((unused)) static void follow_all(struct node *from, struct node *to, uint32_t p)
{
	const struct line *l = &from->copy[p].line;
	struct line *has = &to->copy[p].line;

	use(to);
	if (store_role(current, p) != STORE_BACKUP)
		store_follow(current, p);
	while (has->count < l->count)
		EQ(0, feed(to, p, l->at[has->count]));
	commit_to(from, p, line_last(l));
	commit_to(to, p, line_last(l));
}

/* A primary with some buckets and keys of a partition, all of it committed. */
__attribute__((unused)) static void write_some(struct node *n, uint32_t p, unsigned keys)
{
	char key[16];

	if (store_role(n->store, p) != STORE_PRIMARY)
		lead(n, p, store_last(n->store, p).term + (1 << 16));
	use(n);
	EQ(0, create(name_in(p, 0)));
	EQ(0, create(name_in(p, 1)));
	EQ(0, create(name_in(p, 2)));
	for (unsigned i = 0; i < keys; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		EQ(0, put(name_in(p, i % 2), key, "value"));
	}
	EQ(0, drop(name_in(p, 2)));
	commit_to(n, p, line_last(&n->copy[p].line));
}

__attribute__((unused)) static void some_are_there(struct node *n, uint32_t p, unsigned keys)
{
	char key[16];

	use(n);
	for (unsigned i = 0; i < keys; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		is(name_in(p, i % 2), key, "value");
	}
	EQ((keys + 1) / 2, count(name_in(p, 0)));
	EQ(keys / 2, count(name_in(p, 1)));
	EQ(-ENXIO, count(name_in(p, 2)));
}

__attribute__((unused)) static void nothing_is_there(struct node *n, uint32_t p)
{
	struct log_span x;

	use(n);
	TRUE_(!store_whole(current, p));
	EQ(0, store_last(current, p).sequence);
	EQ(0, store_spans(current, p, &x, 1));
	EQ(-ENXIO, count(name_in(p, 0)));
}

__attribute__((unused)) static void end(void)
{
	pieces_free();
	nodes_end();
}

#endif
