/* The ways that requests went before a change of the routing table, and what then waits. */
#include "coordinator/coord.h"

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

void old_ways_note(struct coord *c, const char *set, const struct route_table *old,
		   struct peer *const *old_peers)
{
	struct old_ways *s = &c->old_ways;

	s->rings = false;
	s->peers = 0;
	for (unsigned b = 0; b < 256; b++) {
		const struct route *r = route_table_find(old, (uint8_t)b);

		if (r && set_has(set, (uint8_t)b))
			old_way(s, r, old_peers);
	}
	for (uint32_t i = 0; i < c->supervisor.count; i++)
		s->written[i] = c->supervisor.worker[i].queue.segment->request.write;
	s->last_id = peer_client_last_id(&c->peers);
}

/* Are the old ways still in use? */
static bool in_use(void *arg)
{
	struct coord *c = arg;
	const struct old_ways *s = &c->old_ways;

	for (uint32_t i = 0; s->rings && i < c->supervisor.count; i++)
		if (ring_tail(&c->supervisor.worker[i].queue.segment->request) < s->written[i])
			return true;
	for (uint32_t i = 0; i < s->peers; i++) {
		bool there = false; /* one that has retired is gone when all is answered */

		for (uint32_t k = 0; k < c->peers.count; k++)
			there |= c->peers.peer[k] == s->peer[i];
		if (there && peer_client_waits(&c->peers, s->peer[i], s->last_id))
			return true;
	}
	return false;
}

static void let_go(void *arg, const struct fenced *f)
{
	struct coord *c = arg;
	struct item *it = &c->items.item[0];

	c->hand = (struct hand){.reply_to = f->reply_to, .from_node = f->from_node};
	c->items.visited_count = f->visited_count;
	for (uint32_t i = 0; i < f->visited_count; i++)
		c->items.visited[i] = f->visited[i];
	dispatch_begin(c);
	*it = *f->item;
	dispatch_item(c, f->request, it);
	dispatch_end(c);
}

struct fence_events old_ways_events(struct coord *c)
{
	return (struct fence_events){in_use, let_go, c};
}
