/* Noting ways, and taking the new one. */
#include "coordinator/front/old_ways.h"

#include "coordinator/front/dispatch.h"
#include "coordinator/peers/client.h"
#include "coordinator/queue/turns.h"

static void old_way(struct old_ways *s, const struct route *r, struct peer *const *old_peers)
{
	struct peer *p;

	if (r->target.kind != TARGET_PEER) {
		s->rings = true;
		return;
	}
	p = old_peers[r->target.peer];
	for (uint32_t i = 0; i < s->peers; i++)
		if (s->peer[i] == p)
			return;
	s->peer[s->peers++] = p;
}

void old_ways_note(struct front *front, const char *set, const struct route_table *old,
		   struct peer *const *old_peers)
{
	struct old_ways *s = &front->old_ways;

	s->rings = false;
	s->peers = 0;
	for (unsigned b = 0; b < 256; b++) {
		const struct route *r = route_table_find(old, (uint8_t)b);

		if (r && set_has(set, (uint8_t)b))
			old_way(s, r, old_peers);
	}
	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		s->written[i] = front->supervisor->worker[i].queue.segment->request.write;
		s->waiting[i] = turns_last(&front->supervisor->worker[i].queue);
	}
	s->last_id = peer_client_last_id(front->peers);
}

/* Is anything of then without its reply, in this queue? */
static bool queue_in_use(struct old_ways *s, const struct queue *q, uint32_t i)
{
	if (s->waiting[i]) {
		/* It goes into the ring in turns, perhaps behind what is there now. */
		s->written[i] = q->segment->request.write;
		if (turns_waits(q, s->waiting[i]))
			return true;
		s->waiting[i] = 0;
	}
	return ring_tail(&q->segment->request) < s->written[i];
}

/* Are the old ways still in use? */
static bool in_use(void *arg)
{
	struct front *front = arg;
	struct old_ways *s = &front->old_ways;

	for (uint32_t i = 0; s->rings && i < front->supervisor->count; i++)
		if (queue_in_use(s, &front->supervisor->worker[i].queue, i))
			return true;
	for (uint32_t i = 0; i < s->peers; i++) {
		bool there = false; /* one that has retired is gone when all is answered */

		for (uint32_t k = 0; k < front->peers->count; k++)
			there |= front->peers->peer[k] == s->peer[i];
		if (there && peer_client_waits(front->peers, s->peer[i], s->last_id))
			return true;
	}
	return false;
}

static void let_go(void *arg, const struct fenced *f)
{
	dispatch_again(arg, f);
}

struct fence_events old_ways_events(struct front *front)
{
	return (struct fence_events){in_use, let_go, front};
}
