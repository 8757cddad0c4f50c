/* A circle of entries in memory. */
#include "worker/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/mirror.h"

struct kept {
	uint64_t before; /* position of the line's one before, 0: none; it may be gone */
	uint64_t behind; /* of the next one; 0: none */
	uint32_t size;   /* all of it */
	uint32_t line;
	uint32_t chain;
	uint32_t zero;
};

struct recent {
	char *data;
	uint64_t size;
	uint64_t oldest; /* positions grow, and none is 0 */
	uint64_t write;
};

int recent_new(uint64_t bytes, struct recent **ret)
{
	struct recent *r = calloc(1, sizeof(*r));
	void *p;
	int e;

	*ret = NULL;
	if (!r)
		return -ENOMEM;
	e = mirror_new(bytes, &p);
	if (e < 0) {
		free(r);
		return e;
	}
	r->data = p;
	r->size = bytes;
	r->oldest = r->write = bytes;
	*ret = r;
	return 0;
}

void recent_free(struct recent **rp)
{
	struct recent *r = *rp;

	if (!r)
		return;
	mirror_unmap(r->data, r->size);
	free(r);
	*rp = NULL;
}

static struct kept *kept_at(const struct recent *r, uint64_t at)
{
	return (struct kept *)(void *)(r->data + (at & (r->size - 1)));
}

static const struct log_entry *entry_of(const struct kept *k)
{
	return (const struct log_entry *)(const void *)(k + 1);
}

static const struct kept *kept_of(const struct log_entry *e)
{
	return (const struct kept *)(const void *)((const char *)e - sizeof(struct kept));
}

void recent_clear(struct recent_line *l)
{
	*l = (struct recent_line){.chain = l->chain + 1};
}

static struct recent_line *line_at(struct recent_line *lines, uint64_t stride, uint32_t number)
{
	return (struct recent_line *)(void *)((char *)lines + stride * number);
}

/* The oldest one goes. */
static void drop(struct recent *r, struct recent_line *lines, uint64_t stride)
{
	const struct kept *k = kept_at(r, r->oldest);
	struct recent_line *l = line_at(lines, stride, k->line);

	if (l->chain == k->chain) {
		l->from = log_entry_last(entry_of(k)) + 1;
		if (l->last == r->oldest)
			l->last = 0;
	}
	r->oldest += k->size;
}

void recent_add(struct recent *r, struct recent_line *lines, uint64_t stride, uint32_t number,
		const struct log_entry *e)
{
	struct recent_line *l = line_at(lines, stride, number);
	uint64_t size = sizeof(struct kept) + log_round(e->size);
	struct kept *k;

	if (size > r->size) { /* it is read from the log */
		recent_clear(l);
		return;
	}
	while (r->write + size - r->oldest > r->size)
		drop(r, lines, stride);
	k = kept_at(r, r->write);
	*k = (struct kept){l->last, 0, (uint32_t)size, number, l->chain, 0};
	memcpy(k + 1, e, e->size);
	if (l->last)
		kept_at(r, l->last)->behind = r->write;
	else
		l->from = e->sequence;
	l->last = r->write;
	r->write += size;
}

const struct log_entry *recent_find(const struct recent *r, struct recent_line *l,
				    uint64_t sequence)
{
	uint64_t at = l->last;

	if (!at || sequence < l->from)
		return NULL;
	/* Most often it is the one behind that which was sent last, or the newest. */
	if (l->found >= r->oldest && entry_of(kept_at(r, l->found))->sequence <= sequence)
		for (at = l->found; at && entry_of(kept_at(r, at))->sequence < sequence;)
			at = kept_at(r, at)->behind;
	else
		while (at >= r->oldest && entry_of(kept_at(r, at))->sequence > sequence)
			at = kept_at(r, at)->before;
	if (at < r->oldest || entry_of(kept_at(r, at))->sequence != sequence)
		return NULL;
	l->found = at;
	return entry_of(kept_at(r, at));
}

const struct log_entry *recent_next(const struct recent *r, const struct log_entry *e)
{
	uint64_t at = kept_of(e)->behind;

	return at ? entry_of(kept_at(r, at)) : NULL;
}
