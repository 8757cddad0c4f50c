/* The ring's producer side; the reader's is in the header. */
#include "ipc/shm/ring.h"

#include "common/check.h"

void ring_attach(struct ring *r, struct ring_control *control, char *data, uint64_t size)
{
	check(size && !(size & (size - 1)));
	r->control = control;
	r->data = data;
	r->size = size;
	r->write = ring_head(r);
	r->tail_seen = ring_tail(r);
}

uint64_t ring_space(struct ring *r)
{
	uint64_t tail = ring_tail(r);

	check(tail <= r->write);
	check(r->write - tail <= r->size);
	r->tail_seen = tail;
	return r->size - (r->write - tail);
}

void *ring_reserve(struct ring *r, uint64_t n)
{
	n = ring_round(n);
	if (r->size - (r->write - r->tail_seen) < n && ring_space(r) < n)
		return NULL;
	return ring_at(r, r->write);
}
