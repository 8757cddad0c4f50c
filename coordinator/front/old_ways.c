/* Noting ways, and taking the new one. */
#include "coordinator/front/old_ways.h"

#include "coordinator/front/dispatch.h"
#include "coordinator/peers/client.h"
#include "coordinator/queue/turns.h"

static void old_way(struct old_ways *s, const struct route *r, struct peer *const *old_peers)
{
	struct peer *p;

	if (r->target.kind == TARGET_SELF) {
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
	struct front *front = arg;
	struct message *m = &front->message;
	struct item *it = &m->routed.item[0];
	struct options options;
	char text[8];

	m->reply_to = f->reply_to;
	m->busy = NULL;
	m->from_node = f->from_node;
	m->admin = false;
	m->keys = false; /* what it may was judged when it came */
	m->who = NULL;
	m->routed.visited_count = f->visited_count;
	for (uint32_t i = 0; i < f->visited_count; i++)
		m->routed.visited[i] = f->visited[i];
	dispatch_begin(front, m);
	*it = *f->item;
	/* It was found right when it came: this only reads its options once more. */
	(void)request_check(f->request, &options, text, sizeof(text));
	dispatch_options(m, it, &options);
	dispatch_item(front, m, f->request, it);
	dispatch_end(front, m);
}

struct fence_events old_ways_events(struct front *front)
{
	return (struct fence_events){in_use, let_go, front};
}
