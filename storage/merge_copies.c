/*
 * What a checkpoint does of partitions that have copies.  A record may be void, by a cut behind it;
 * or it is not committed yet: then it is set aside in base, so that the log's files need not be kept
 * for it.  So records are held until all of them have come, what was set aside before first.
 *
 * All that is set aside or taken out is so in the last transaction, which moves the settled lsn: what
 * is written before that is committed, and does not change its mind.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "storage/checkpoint_impl.h"

int copies_make(struct checkpoint *c)
{
	struct copies *x = &c->copies;

	c->spans = calloc(c->partitions, sizeof(*c->spans));
	c->spans_next = calloc(c->partitions, sizeof(*c->spans_next));
	x->last = calloc(c->partitions, sizeof(*x->last));
	x->sequence = calloc(c->partitions, sizeof(*x->sequence));
	return c->spans && c->spans_next && x->last && x->sequence ? 0 : -ENOMEM;
}

void copies_free(struct checkpoint *c)
{
	free(c->spans);
	free(c->spans_next);
	free(c->copies.last);
	free(c->copies.sequence);
}

void copies_load(struct checkpoint *c, uint32_t partition, const struct engine_part *part)
{
	struct log_spans *x = &c->spans[partition];

	if (part->spans)
		*x = *part->spans;
	else if (part->settled) /* before there were copies */
		spans_add(x, 0, 1, part->settled);
	c->part[partition].spans = x;
}

/* ---- collecting ---- */

static int held_add(struct checkpoint *c, const struct log_entry *e, bool aside)
{
	struct copies *x = &c->copies;
	uint32_t *last = &x->last[e->partition];

	if (x->count == x->room) {
		uint32_t room = x->room ? 2 * x->room : 4096;
		struct held *p = realloc(x->held, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		x->held = p;
		x->room = room;
	}
	x->held[x->count++] = (struct held){e, *last, aside, false};
	*last = x->count;
	x->sequence[e->partition] = log_entry_last(e);
	return 0;
}

static int aside_collect(void *arg, const struct log_entry *e)
{
	struct checkpoint *c = arg;
	struct copies *x = &c->copies;
	struct log_entry *copy;

	if (e->sequence != x->sequence[e->partition] + 1)
		return -EBADMSG;
	if (x->asides == x->aside_room) {
		uint32_t room = x->aside_room ? 2 * x->aside_room : 64;
		struct log_entry **p = realloc(x->aside, room * sizeof(struct log_entry *));

		if (!p)
			return -ENOMEM;
		x->aside = p;
		x->aside_room = room;
	}
	copy = malloc(e->size); /* the row is gone with the first write */
	if (!copy)
		return -ENOMEM;
	memcpy(copy, e, e->size);
	x->aside[x->asides++] = copy;
	return held_add(c, copy, true);
}

int copies_begin(struct checkpoint *c)
{
	int r;

	memcpy(c->spans_next, c->spans, c->partitions * sizeof(*c->spans));
	for (uint32_t i = 0; i < c->partitions; i++) {
		c->part_next[i].spans = &c->spans_next[i];
		c->copies.sequence[i] = c->part[i].settled;
		c->copies.last[i] = 0;
	}
	r = engine_tails(c->base, aside_collect, c);
	if (r == -EBADMSG)
		(void)snprintf(c->why, sizeof(c->why), "what is set aside is damaged");
	return r;
}

/* What is held of a partition above `sequence` is void. */
static void held_cut(struct checkpoint *c, uint32_t partition, uint64_t sequence)
{
	struct copies *x = &c->copies;
	uint32_t *last = &x->last[partition];

	while (*last && log_entry_last(x->held[*last - 1].entry) > sequence) {
		x->held[*last - 1].gone = true;
		*last = x->held[*last - 1].before;
	}
	x->sequence[partition] = sequence;
	spans_trim(&c->spans_next[partition], sequence);
}

int copies_collect(struct checkpoint *c, const struct log_record *r)
{
	const struct log_entry *e = r->entry;
	struct copies *x = &c->copies;
	struct log_spans *spans;
	struct log_place place;

	if (e->partition >= c->partitions)
		return -EBADMSG;
	if (r->lsn <= c->part[e->partition].load_lsn)
		return 0;
	spans = &c->spans_next[e->partition];
	if (e->sequence != x->sequence[e->partition] + !!e->count)
		return -EBADMSG;
	if (e->kind == LOG_CUT) {
		log_place_read(e, &place);
		if (place.sequence > e->sequence || place.sequence < c->part[e->partition].settled)
			return -EBADMSG;
		held_cut(c, e->partition, place.sequence);
	}
	if (!e->count)
		return 0;
	if (e->term < spans_end(spans).term)
		return -EBADMSG;
	spans_add(spans, e->term, e->sequence, e->count);
	return held_add(c, e, false);
}

/* ---- deciding ---- */

static int commit_collect(struct checkpoint *c, const struct log_entry *e)
{
	struct engine_part *p = &c->part_next[e->partition];
	struct log_clock clock;

	if (e->sequence != p->settled + 1)
		return -EBADMSG;
	p->settled = log_entry_last(e);
	if (e->kind == LOG_CLOCK) {
		log_clock_read(e, &clock);
		p->clock_ms = clock.clock_ms > p->clock_ms ? clock.clock_ms : p->clock_ms;
	}
	return record_collect(c, e);
}

int copies_decide(struct checkpoint *c)
{
	struct copies *x = &c->copies;
	int r = 0;

	for (uint32_t i = 0; i < x->count && r == 0; i++) {
		const struct log_entry *e = x->held[i].entry;

		if (x->held[i].gone || log_entry_last(e) > c->commit->at[e->partition])
			continue;
		r = commit_collect(c, e);
		x->held[i].gone = true;
		if (!x->held[i].aside) /* nothing to be taken out */
			x->held[i].entry = NULL;
	}
	for (uint32_t i = 0; i < c->partitions && r == 0; i++) {
		if (c->part_next[i].settled != c->commit->at[i])
			r = -EBADMSG;
		spans_prune(&c->spans_next[i], c->part_next[i].settled);
	}
	if (r == -EBADMSG)
		(void)snprintf(c->why, sizeof(c->why),
			       "what is committed of a partition is not all in the log");
	return r;
}

int copies_merge(struct checkpoint *c)
{
	int r = 0;

	for (uint32_t i = 0; i < c->copies.count && r == 0; i++) {
		const struct held *h = &c->copies.held[i];

		if (h->aside && h->gone)
			r = engine_tail_delete(c->base, h->entry->partition, h->entry->sequence);
		else if (!h->aside && !h->gone)
			r = engine_tail_put(c->base, h->entry);
	}
	return r;
}

bool copies_differ(const struct checkpoint *c, uint32_t partition)
{
	const struct log_spans *a = &c->spans[partition];
	const struct log_spans *b = &c->spans_next[partition];

	return a->count != b->count || memcmp(a->at, b->at, a->count * sizeof(a->at[0])) != 0;
}

void copies_settled(struct checkpoint *c)
{
	memcpy(c->spans, c->spans_next, c->partitions * sizeof(*c->spans));
	memcpy(c->part, c->part_next, c->partitions * sizeof(*c->part));
	for (uint32_t i = 0; i < c->partitions; i++)
		c->part[i].spans = &c->spans[i];
}

void copies_done(struct checkpoint *c)
{
	struct copies *x = &c->copies;

	for (uint32_t i = 0; i < x->asides; i++)
		free(x->aside[i]);
	free(x->aside);
	free(x->held);
	x->aside = NULL;
	x->held = NULL;
	x->asides = 0;
	x->aside_room = 0;
	x->count = 0;
	x->room = 0;
}
