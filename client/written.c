/* A table of names by their hash, in a list by their age. */
#include "client/written.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY UINT16_MAX

void written_init(struct written *w)
{
	memset(w, 0, sizeof(*w));
	for (uint32_t i = 0; i < WRITTEN_HEADS; i++)
		w->head[i] = NOBODY;
	w->free = w->oldest = w->newest = NOBODY;
}

void written_free(struct written *w)
{
	free(w->bucket);
	written_init(w);
}

static uint16_t *head_of(struct written *w, struct span name)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (uint8_t)name.p[i]) * 16777619u;
	return &w->head[(h ^ h >> 16) & (WRITTEN_HEADS - 1)];
}

/* Out of the list by age. */
static void age_remove(struct written *w, uint16_t i)
{
	const struct written_bucket *b = &w->bucket[i];

	*(b->older == NOBODY ? &w->oldest : &w->bucket[b->older].newer) = b->newer;
	*(b->newer == NOBODY ? &w->newest : &w->bucket[b->newer].older) = b->older;
}

static void age_append(struct written *w, uint16_t i)
{
	struct written_bucket *b = &w->bucket[i];

	b->older = w->newest;
	b->newer = NOBODY;
	*(w->newest == NOBODY ? &w->oldest : &w->bucket[w->newest].newer) = i;
	w->newest = i;
}

static bool table_make(struct written *w)
{
	w->bucket = malloc(WRITTEN_MAX * sizeof(*w->bucket));
	if (!w->bucket)
		return false;
	for (uint32_t i = WRITTEN_MAX; i-- > 0;) {
		w->bucket[i].next = w->free;
		w->free = (uint16_t)i;
	}
	return true;
}

bool written_add(struct written *w, struct span bucket, uint64_t seq)
{
	uint16_t *head = head_of(w, bucket);
	struct written_bucket *b;
	uint16_t i = *head;

	if (bucket.n > WIRE_BUCKET_MAX || !bucket.n)
		return true; /* no node takes it, so nothing is kept for it */
	if (!w->bucket && !table_make(w))
		return false;
	while (i != NOBODY && (w->bucket[i].name_size != bucket.n ||
			       memcmp(w->bucket[i].name, bucket.p, bucket.n) != 0))
		i = w->bucket[i].next;
	if (i != NOBODY) {
		age_remove(w, i);
	} else {
		if (w->free == NOBODY)
			return false;
		i = w->free;
		b = &w->bucket[i];
		w->free = b->next;
		b->next = *head;
		*head = i;
		b->name_size = (uint8_t)bucket.n;
		memcpy(b->name, bucket.p, bucket.n);
		w->count++;
	}
	w->bucket[i].seq = seq;
	age_append(w, i);
	return true;
}

const struct written_bucket *written_oldest(const struct written *w)
{
	return w->oldest == NOBODY ? NULL : &w->bucket[w->oldest];
}

void written_remove_oldest(struct written *w)
{
	uint16_t i = w->oldest;
	struct written_bucket *b = &w->bucket[i];
	uint16_t *at = head_of(w, (struct span){b->name, b->name_size});

	while (*at != i)
		at = &w->bucket[*at].next;
	*at = b->next;
	age_remove(w, i);
	b->next = w->free;
	w->free = i;
	w->count--;
}
