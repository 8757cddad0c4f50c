/*
 * After a change of the routing table: requests for buckets that go another way now wait until
 * those on the old ways are answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coord.h"

#define REQUESTS_MAX 65536u /* that wait; more are answered busy */

struct held {
	struct held *next;
	struct reply_to reply_to;
	uint64_t due_ms;
	uint32_t visited_count;
	char visited[HOPS_MAX][PEER_MESSAGE_NODE_MAX + 1];
	bool from_node;
	uint32_t size;
	char data[]; /* the request */
};

struct fence {
	bool active;
	char set[CODEC_SET_BYTES];
	/* the old ways: how far each ring was filled, and which batches were on their way */
	bool rings;
	uint64_t written[64];
	struct peer *peer[512];
	uint32_t peers;
	uint64_t last_id;
	struct held *first;
	struct held *last;
	uint32_t count;
	uint64_t bytes;
};

int fence_new(struct fence **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void fence_free(struct fence **sp)
{
	struct held *next;

	for (struct held *h = *sp ? (*sp)->first : NULL; h; h = next) {
		next = h->next;
		free(h);
	}
	free(*sp);
	*sp = NULL;
}

bool fence_busy(const struct coord *c)
{
	return c->fence->active;
}

static void old_way(struct fence *s, const struct route *r, struct peer *const *old_peers)
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

void fence_begin(struct coord *c, const char *set, const struct route_table *old,
		 struct peer *const *old_peers)
{
	struct fence *s = c->fence;

	s->active = true;
	s->rings = false;
	s->peers = 0;
	memcpy(s->set, set, sizeof(s->set));
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
static bool waits(const struct coord *c)
{
	const struct fence *s = c->fence;

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

bool fence_holds(struct coord *c, const struct request *q, const struct item *it)
{
	struct fence *s = c->fence;
	struct held *h;
	struct reply_to o = c->hand.reply_to;

	if (!s->active || !set_has(s->set, (uint8_t)q->bucket.p[0]))
		return false;
	o.index = it->index;
	h = s->count < REQUESTS_MAX && (!s->bytes || s->bytes + it->size <= c->node.queue_max)
		    ? malloc(sizeof(*h) + it->size)
		    : NULL;
	if (!h) {
		reply_error(&c->sink, o, it->msgid, true, WIRE_E_BUSY,
			    "the routing table has just changed and too much waits for it: try "
			    "again later");
		return true;
	}
	h->next = NULL;
	h->reply_to = o;
	h->due_ms = c->node.now_ms + it->timeout_ms;
	h->from_node = c->hand.from_node;
	h->visited_count = c->items.visited_count;
	for (uint32_t i = 0; i < h->visited_count; i++) {
		memcpy(h->visited[i], c->items.visited[i].p, c->items.visited[i].n);
		h->visited[i][c->items.visited[i].n] = '\0';
	}
	h->size = it->size;
	memcpy(h->data, it->data, it->size);
	if (s->last)
		s->last->next = h;
	else
		s->first = h;
	s->last = h;
	s->count++;
	s->bytes += it->size;
	return true;
}

/* One request that waited takes the new way, or is told that its time is over. */
static void let_go(struct coord *c, struct held *h)
{
	struct item *it;
	struct request q;
	const char *why;

	(void)request_walk(h->data, h->data + h->size, &q, &why);
	if (h->due_ms <= c->node.now_ms) {
		reply_error(&c->sink, h->reply_to, q.msgid, true, WIRE_E_EXPIRED,
			    "its time was over before it was started");
		return;
	}
	c->hand = (struct hand){.reply_to = h->reply_to, .from_node = h->from_node};
	c->items.visited_count = h->visited_count;
	for (uint32_t i = 0; i < h->visited_count; i++)
		c->items.visited[i] = span_of(h->visited[i]);
	dispatch_begin(c);
	it = &c->items.item[0];
	*it = (struct item){.data = h->data,
			    .size = h->size,
			    .timeout_ms = (uint32_t)(h->due_ms - c->node.now_ms),
			    .next = ITEM_NONE,
			    .msgid = q.msgid,
			    .index = (uint16_t)h->reply_to.index,
			    .method = (uint8_t)q.method};
	dispatch_item(c, &q, it);
	dispatch_end(c);
}

/* Those whose time is over are answered while the others wait on. */
static uint64_t overdue(struct coord *c)
{
	struct fence *s = c->fence;
	struct held **link = &s->first;
	struct held *h;
	uint64_t next = UINT64_MAX;

	s->last = NULL;
	while ((h = *link)) {
		if (h->due_ms > c->node.now_ms) {
			next = h->due_ms < next ? h->due_ms : next;
			s->last = h;
			link = &h->next;
			continue;
		}
		*link = h->next;
		s->count--;
		s->bytes -= h->size;
		let_go(c, h);
		free(h);
	}
	return next;
}

uint64_t fence_step(struct coord *c)
{
	struct fence *s = c->fence;
	struct held *h;

	if (!s->active)
		return UINT64_MAX;
	if (waits(c)) {
		uint64_t next = overdue(c);

		return next < c->node.now_ms + 20 ? next : c->node.now_ms + 20;
	}
	s->active = false;
	while ((h = s->first)) {
		s->first = h->next;
		let_go(c, h);
		free(h);
	}
	s->last = NULL;
	s->count = 0;
	s->bytes = 0;
	return UINT64_MAX;
}
