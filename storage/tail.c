/* One growing block; what is popped makes room at its begin, which is used when its end is reached. */
#include "storage/tail.h"

#include <errno.h>
#include <stdlib.h>

#include "common/fault.h"

#define ROOM_FIRST 4096u
#define ROOM_KEPT  (256u << 10) /* of an empty one */

void tail_fini(struct tail *t)
{
	free(t->data);
	*t = (struct tail){.data = NULL};
}

int tail_reserve(struct tail *t, uint64_t size)
{
	uint64_t want = tail_bytes(t) + sizeof(struct tail_record) + size;
	uint64_t room = t->room ? t->room : ROOM_FIRST;
	char *p;

	if (t->end - t->base + sizeof(struct tail_record) + size <= t->room)
		return 0;
	while (2 * want > room) /* half of it free at least: each byte is moved rarely */
		room *= 2;
	p = t->data;
	if (room > t->room) {
		p = fault_at("tail.alloc") < 0 ? NULL : malloc(room);
		if (!p)
			return -ENOMEM;
	}
	if (t->end > t->begin)
		memmove(p, t->data + (t->begin - t->base), tail_bytes(t));
	if (p != t->data)
		free(t->data);
	t->data = p;
	t->room = room;
	t->base = t->begin;
	return 0;
}

void tail_add(struct tail *t, const struct log_record *r, bool same_generation)
{
	const struct tail_record head = {r->lsn, same_generation, *r->frame};
	char *p = t->data + (t->end - t->base);

	check(t->end - t->base + sizeof(head) + r->entry->size <= t->room);
	memcpy(p, &head, sizeof(head));
	memcpy(p + sizeof(head), r->entry, r->entry->size);
	t->end += sizeof(head) + r->entry->size;
	t->records++;
}

void tail_pop(struct tail *t)
{
	check(t->begin < t->end && t->records);
	t->begin = tail_next(tail_at(t, t->begin), t->begin);
	t->records--;
	if (t->applied < t->begin)
		t->applied = t->begin;
	if (t->begin == t->end)
		tail_clear(t);
}

void tail_cut(struct tail *t, uint64_t sequence)
{
	uint64_t at = t->begin;
	uint64_t kept = 0;

	while (at < t->end) {
		const struct tail_record *r = tail_at(t, at);

		if (log_entry_last(tail_entry(r)) > sequence)
			break;
		at = tail_next(r, at);
		kept++;
	}
	t->end = at;
	t->records = kept;
	if (t->applied > at)
		t->applied = at;
}

void tail_clear(struct tail *t)
{
	t->begin = t->end;
	t->applied = t->end;
	t->base = t->end;
	t->records = 0;
	if (t->room > ROOM_KEPT) {
		free(t->data);
		t->data = NULL;
		t->room = 0;
	}
}

const struct tail_record *tail_find(const struct tail *t, uint64_t sequence)
{
	for (uint64_t at = t->begin; at < t->end; at = tail_next(tail_at(t, at), at)) {
		const struct log_entry *e = tail_entry(tail_at(t, at));

		if (e->sequence <= sequence && sequence <= log_entry_last(e))
			return tail_at(t, at);
	}
	return NULL;
}
