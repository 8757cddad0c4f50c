/* Lines of replies, each a list of blocks that are filled one after the other. */
#include "worker/pending.h"

#include <errno.h>
#include <stdlib.h>

#include "common/check.h"

#define BLOCK_FIRST 4096u  /* of a line that had nothing waiting */
#define BLOCK_NEXT  65536u /* larger only for a reply that is */
#define SPARE_MAX   64u    /* blocks of the usual sizes that are kept */

struct block {
	struct block *next;
	uint64_t size; /* all of it */
	uint64_t used; /* bytes at `data`, from the begin */
	char data[];
};

struct line {
	struct block *first;
	struct block *last;
	uint64_t read; /* in the first block */
	uint64_t bytes;
	uint32_t at; /* its place among the busy ones */
	uint32_t replies;
	struct pending_reply *passes_first;
	struct pending_reply *passes_last;
};

struct pending {
	uint64_t bytes;
	struct block *spare[2]; /* of BLOCK_FIRST, of BLOCK_NEXT */
	uint32_t spares[2];
	uint32_t lines;
	uint32_t busy_count;
	uint32_t *busy; /* lines with replies */
	struct line line[];
};

int pending_new(uint32_t lines, struct pending **ret)
{
	struct pending *w = calloc(1, sizeof(*w) + lines * sizeof(w->line[0]));

	*ret = NULL;
	if (!w)
		return -ENOMEM;
	w->busy = calloc(lines ? lines : 1, sizeof(*w->busy));
	if (!w->busy) {
		free(w);
		return -ENOMEM;
	}
	w->lines = lines;
	*ret = w;
	return 0;
}

/* ---- blocks ---- */

/* Which spare ones it belongs to; -1: it is of no usual size. */
static int kind_of(uint64_t size)
{
	return size == BLOCK_FIRST ? 0 : size == BLOCK_NEXT ? 1 : -1;
}

static struct block *block_take(struct pending *w, uint64_t size)
{
	int kind = kind_of(size);
	struct block *b = kind >= 0 ? w->spare[kind] : NULL;

	if (b) {
		w->spare[kind] = b->next;
		w->spares[kind]--;
	} else {
		b = malloc(size);
		if (!b)
			return NULL;
		b->size = size;
	}
	b->next = NULL;
	b->used = 0;
	return b;
}

static void block_give(struct pending *w, struct block *b)
{
	int kind = kind_of(b->size);

	if (kind < 0 || w->spares[kind] >= SPARE_MAX) {
		free(b);
		return;
	}
	b->next = w->spare[kind];
	w->spare[kind] = b;
	w->spares[kind]++;
}

static void blocks_free(struct block *b)
{
	while (b) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
}

void pending_free(struct pending **wp)
{
	struct pending *w = *wp;

	if (!w)
		return;
	for (uint32_t i = 0; i < w->lines; i++)
		blocks_free(w->line[i].first);
	blocks_free(w->spare[0]);
	blocks_free(w->spare[1]);
	free(w->busy);
	free(w);
	*wp = NULL;
}

/* ---- lines ---- */

bool pending_full(const struct pending *w, uint32_t line)
{
	return w->bytes >= PENDING_BYTES || w->line[line].bytes > PENDING_BYTES - w->bytes;
}

bool pending_in(const struct pending *w, uint32_t line)
{
	return w->line[line].replies;
}

bool pending_any(const struct pending *w)
{
	return w->busy_count;
}

uint64_t pending_bytes(const struct pending *w)
{
	return w->bytes;
}

static uint64_t reply_size(uint64_t n)
{
	return sizeof(struct pending_reply) + (n + 7) / 8 * 8;
}

/* A block behind the last one, for something of `n` bytes. */
static bool line_grow(struct pending *w, struct line *l, uint64_t n)
{
	uint64_t size = sizeof(struct block) + n;
	struct block *b;

	if (size <= BLOCK_NEXT)
		size = !l->last && size <= BLOCK_FIRST ? BLOCK_FIRST : BLOCK_NEXT;
	b = block_take(w, size);
	if (!b)
		return false;
	if (l->last)
		l->last->next = b;
	else
		l->first = b;
	l->last = b;
	l->bytes += b->size;
	w->bytes += b->size;
	return true;
}

char *pending_room(struct pending *w, uint32_t line, size_t n)
{
	struct line *l = &w->line[line];
	uint64_t size = reply_size(n);

	if ((!l->last || l->last->size - sizeof(*l->last) - l->last->used < size) &&
	    !line_grow(w, l, size))
		return NULL;
	return l->last->data + l->last->used + sizeof(struct pending_reply);
}

void pending_add(struct pending *w, uint32_t line, const struct pending_reply *r, const char *end)
{
	struct line *l = &w->line[line];
	struct block *b = l->last;
	struct pending_reply *to = (struct pending_reply *)(void *)(b->data + b->used);

	check(end >= (char *)(to + 1) && end <= (char *)b + b->size);
	*to = *r;
	to->bytes = (uint32_t)(end - (char *)(to + 1));
	to->gone = false;
	to->next = NULL;
	if (r->passes) {
		*(l->passes_first ? &l->passes_last->next : &l->passes_first) = to;
		l->passes_last = to;
	}
	b->used += reply_size(to->bytes);
	if (!l->replies++) {
		l->at = w->busy_count;
		w->busy[w->busy_count++] = line;
	}
}

/* The first block is read. */
static void block_drop(struct pending *w, struct line *l)
{
	struct block *b = l->first;

	l->first = b->next;
	if (!l->first)
		l->last = NULL;
	l->read = 0;
	l->bytes -= b->size;
	w->bytes -= b->size;
	block_give(w, b);
}

/* The first reply.  Blocks that were taken for one that went another way may be empty. */
static struct pending_reply *line_first(struct pending *w, struct line *l)
{
	while (l->read == l->first->used)
		block_drop(w, l);
	return (void *)(l->first->data + l->read);
}

static void passes_drop(struct line *l, struct pending_reply *r)
{
	check(l->passes_first == r);
	l->passes_first = r->next;
	r->gone = true;
}

static void line_drop(struct pending *w, struct line *l, const struct pending_reply *r)
{
	l->read += reply_size(r->bytes);
	if (--l->replies)
		return;
	while (l->first)
		block_drop(w, l);
	w->busy[l->at] = w->busy[--w->busy_count];
	w->line[w->busy[l->at]].at = l->at;
}

/* Tell those that need not wait for the first one.  False: no more can be done now. */
static bool line_pass(struct line *l, uint32_t line, const struct pending_ops *ops)
{
	struct pending_reply *r;

	while ((r = l->passes_first)) {
		if (ops->judge(ops->arg, line, r, (const char *)(r + 1)) != COPY_TELL)
			return true;
		if (!ops->done(ops->arg, line, COPY_TELL, r, (const char *)(r + 1)))
			return false;
		passes_drop(l, r);
	}
	return true;
}

/* False: no more can be done now. */
static bool line_step(struct pending *w, uint32_t line, const struct pending_ops *ops)
{
	struct line *l = &w->line[line];

	while (l->replies) {
		struct pending_reply *r = line_first(w, l);
		enum copy_verdict v =
			r->gone ? COPY_TELL : ops->judge(ops->arg, line, r, (const char *)(r + 1));

		if (v == COPY_WAIT)
			return line_pass(l, line, ops);
		if (!r->gone && !ops->done(ops->arg, line, v, r, (const char *)(r + 1)))
			return false;
		if (r->passes && !r->gone)
			passes_drop(l, r);
		line_drop(w, l, r);
	}
	return true;
}

void pending_step(struct pending *w, const struct pending_ops *ops)
{
	/* From the end: one that leaves has its place taken by one that had its turn. */
	for (uint32_t i = w->busy_count; i--;)
		if (!line_step(w, w->busy[i], ops))
			return;
}
