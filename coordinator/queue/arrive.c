/* What other nodes and the coordinator tell a worker of copies. */
#include <errno.h>
#include <string.h>

#include "common/check.h"
#include "coordinator/queue/queue.h"

int arrive_push(struct queue *q, const void *parcel, uint32_t n)
{
	struct ring *ring = &q->segment->arrive;
	uint32_t size;
	void *p;

	memcpy(&size, parcel, sizeof(size));
	check(size == n && n >= RING_ALIGN && n == ring_round(n));
	if (n > ring->size)
		return -EMSGSIZE;
	p = ring_reserve(ring, n);
	if (!p)
		return -EAGAIN;
	memcpy(p, parcel, n);
	ring_commit(ring, n);
	ring_publish(ring, ring->write);
	q->pushed = true;
	return 0;
}

void arrive_complete(struct queue *q)
{
	struct worker_status *status = q->segment->status;
	uint32_t life = atomic_load_explicit(&status->life, memory_order_relaxed);

	atomic_store_explicit(&status->roles, life + 1, memory_order_release);
	q->pushed = true;
}

void arrive_void(struct queue *q)
{
	struct ring *ring = &q->segment->arrive;

	ring_free(ring, ring->write);
}
