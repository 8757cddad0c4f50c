/* What waits for a partition's primary. */
#include "coordinator/front/parked.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/front/rebuild.h"
#include "coordinator/peers/client.h"
#include "coordinator/queue/turns.h"
#include "ipc/shm/records.h"

#define REQUESTS_MAX 65536u      /* that wait; more are answered busy */
#define BYTES_MAX    (16u << 20) /* likewise */
#define AGAIN_MS     50u         /* between looks at what was sent back by whom it would go to */

struct waiting {
	struct waiting *next;
	struct reply_to reply_to;
	uint64_t due_ms;
	uint64_t again_ms; /* not before */
	uint32_t partition;
	uint32_t visited_count;
	char visited[HOPS_MAX][PEER_MESSAGE_NODE_MAX + 1];
	bool from_node;
	uint32_t size;
	char data[]; /* the request */
};

enum way { WAY_NONE, WAY_HERE, WAY_PEER };

/* Where a partition's requests go, and those of before that must be answered first. */
struct partition_way {
	enum way way;
	struct peer *peer;
	bool settling;
	enum way old;
	struct peer *old_peer;
	uint64_t old_id;      /* batches to it up to this one */
	uint64_t old_written; /* or records of the worker's ring up to here */
	uint64_t old_waiting; /* and what waits before the ring */
	uint32_t waits;
	uint64_t blocked; /* the step in which the first of them could not go */
};

struct parked {
	struct waiting *first;
	struct waiting *last;
	uint32_t count;
	uint64_t bytes;
	bool stirred;
	bool letting; /* one is on its way out of here */
	uint64_t step;
	struct buf scratch;
	uint32_t partitions;
	struct partition_way way[];
};

int parked_new(uint32_t partitions, struct parked **ret)
{
	struct parked *p = calloc(1, sizeof(*p) + partitions * sizeof(p->way[0]));

	*ret = p;
	if (!p)
		return -ENOMEM;
	p->partitions = partitions;
	buf_init(&p->scratch);
	return 0;
}

void parked_free(struct parked **pp)
{
	struct waiting *next;

	if (!*pp)
		return;
	for (struct waiting *w = (*pp)->first; w; w = next) {
		next = w->next;
		free(w);
	}
	buf_fini(&(*pp)->scratch);
	free(*pp);
	*pp = NULL;
}

bool parked_any(const struct front *front)
{
	return front->parked && front->parked->count;
}

/* ---- ways ---- */

static struct queue *queue_of(struct front *front, uint32_t partition)
{
	return &front->supervisor->worker[partition % front->supervisor->count].queue;
}

static bool peer_is_there(const struct front *front, const struct peer *p)
{
	for (uint32_t i = 0; i < front->peers->count; i++)
		if (front->peers->peer[i] == p)
			return true;
	return false;
}

/* Is something that went the old way without its reply? */
static bool is_settling(struct front *front, uint32_t partition)
{
	struct partition_way *w = &front->parked->way[partition];
	const struct queue *q = queue_of(front, partition);

	if (!w->settling)
		return false;
	if (w->old == WAY_PEER) {
		w->settling = peer_is_there(front, w->old_peer) &&
			      peer_client_waits(front->peers, w->old_peer, w->old_id);
		return w->settling;
	}
	if (w->old_waiting && turns_waits(q, w->old_waiting)) {
		w->old_written = q->segment->request.write;
		return true;
	}
	w->old_waiting = 0;
	w->settling = ring_tail(&q->segment->request) < w->old_written;
	return w->settling;
}

/* Requests of the partition take another way from now on than `w` says. */
static void way_leave(struct front *front, uint32_t partition)
{
	struct partition_way *w = &front->parked->way[partition];
	const struct queue *q = queue_of(front, partition);

	if (w->way == WAY_NONE)
		return;
	w->settling = true;
	w->old = w->way;
	w->old_peer = w->peer;
	w->old_id = peer_client_last_id(front->peers);
	w->old_written = q->segment->request.write;
	w->old_waiting = turns_last(q);
}

/* SERVES_HERE or _PEER: it may go there now. */
static enum membership_serves way_find(struct front *front, uint32_t partition,
				       struct peer **ret_peer)
{
	struct partition_way *w = &front->parked->way[partition];
	enum membership_serves s = membership_serves(front->membership, partition, ret_peer);
	enum way way = s == SERVES_HERE ? WAY_HERE : WAY_PEER;

	if (s == SERVES_NEVER || s == SERVES_NOBODY)
		return s;
	if (way != w->way || (way == WAY_PEER && *ret_peer != w->peer)) {
		/* What left by an earlier way is answered by then: nothing went on while it was not. */
		if (is_settling(front, partition))
			return SERVES_NOBODY;
		way_leave(front, partition);
		w->way = way;
		w->peer = way == WAY_PEER ? *ret_peer : NULL;
	}
	return is_settling(front, partition) ? SERVES_NOBODY : s;
}

void parked_changed(struct front *front, uint32_t partition)
{
	if (!front->parked)
		return;
	(void)partition;
	front->parked->stirred = true;
	((struct node *)front->node)->changed = true;
}

/* ---- parking ---- */

static void park(struct front *front, struct reply_to o, bool from_node, const struct items *at,
		 struct span request, uint64_t msgid, uint32_t timeout_ms, uint32_t partition,
		 uint64_t again_ms)
{
	struct parked *p = front->parked;
	struct waiting *w = NULL;

	if (p->count < REQUESTS_MAX && (!p->bytes || p->bytes + request.n <= BYTES_MAX))
		w = malloc(sizeof(*w) + request.n);
	if (!w) {
		reply_error(
			front->sink, o, msgid, true, WIRE_E_BUSY,
			"nobody serves the bucket now, and too much waits for it: try again later");
		return;
	}
	w->next = NULL;
	w->reply_to = o;
	w->due_ms = front->node->now_ms + timeout_ms;
	w->again_ms = again_ms;
	w->partition = partition;
	w->from_node = from_node;
	w->visited_count = at ? at->visited_count : 0;
	for (uint32_t i = 0; i < w->visited_count; i++)
		(void)snprintf(w->visited[i], sizeof(w->visited[i]), "%.*s", (int)at->visited[i].n,
			       at->visited[i].p);
	w->size = (uint32_t)request.n;
	memcpy(w->data, request.p, request.n);
	if (p->last)
		p->last->next = w;
	else
		p->first = w;
	p->last = w;
	p->count++;
	p->bytes += request.n;
	p->way[partition].waits++;
}

/* May it go to that node?  Not back to the one that has just sent it, and not for ever. */
static bool may_go(const struct message *m, const struct peer *peer)
{
	uint32_t n = m->routed.visited_count;

	if (n + 1 > HOPS_MAX)
		return false;
	return !n || !span_equal(m->routed.visited[n - 1], span_of(peer->name));
}

bool parked_route(struct front *front, struct message *m, const struct request *q, struct item *it,
		  uint32_t partition, struct peer **ret_peer)
{
	enum membership_serves s;
	struct reply_to o = m->reply_to;
	uint64_t again_ms = 0;

	*ret_peer = NULL;
	o.index = it->index;
	s = way_find(front, partition, ret_peer);
	if (s == SERVES_NEVER) {
		char text[160];

		cluster_explain(front->node->conf, text, sizeof(text));
		reply_error(front->sink, o, q->msgid, true, WIRE_E_NODE_DOWN, text);
		return false;
	}
	if (s == SERVES_PEER && !may_go(m, *ret_peer)) {
		s = SERVES_NOBODY;
		again_ms = front->node->now_ms + AGAIN_MS;
	}
	/* Behind what waits already, in its order; what is let go has been taken out. */
	if ((s == SERVES_HERE || s == SERVES_PEER) &&
	    (front->parked->letting || !front->parked->way[partition].waits)) {
		if (s == SERVES_HERE)
			*ret_peer = NULL;
		return true;
	}
	park(front, o, m->from_node, &m->routed, (struct span){it->data, it->size}, q->msgid,
	     it->timeout_ms, partition, again_ms);
	return false;
}

void parked_elsewhere(void *arg, struct queue *q, const struct request_record *rec, uint32_t i)
{
	struct front *front = arg;
	const struct request_entry *e = &rec->entry[i];
	struct reply_to o = {rec->reply_to, e->index, rec->reply_to_generation};
	uint64_t due_ms = record_recv_ms(rec) + e->timeout_ms;
	struct buf *b = &front->parked->scratch;

	(void)q;
	b->len = 0;
	if (due_ms <= front->node->now_ms) {
		reply_error(front->sink, o, e->msgid, true, WIRE_E_EXPIRED,
			    "its time was over before it was started");
		return;
	}
	if (!request_rebuild(rec, i, b)) {
		b->failed = false;
		reply_error(front->sink, o, e->msgid, true, WIRE_E_BUSY, "no memory");
		return;
	}
	park(front, o, reply_to_kind(o) == REPLY_TO_SESSION, NULL, (struct span){b->data, b->len},
	     e->msgid, (uint32_t)(due_ms - front->node->now_ms), e->partition,
	     front->node->now_ms + 5);
}

/* ---- going on ---- */

static void let_go(struct front *front, struct waiting *w)
{
	struct fenced f = {.reply_to = w->reply_to, .from_node = w->from_node};
	struct span visited[HOPS_MAX];
	struct request q;
	const char *why;
	struct item it;

	(void)request_walk(w->data, w->data + w->size, &q, &why);
	if (w->due_ms <= front->node->now_ms) {
		reply_error(front->sink, w->reply_to, q.msgid, true, WIRE_E_EXPIRED,
			    "its time was over before anybody was known to serve its bucket");
		return;
	}
	for (uint32_t i = 0; i < w->visited_count; i++)
		visited[i] = span_of(w->visited[i]);
	it = (struct item){.data = w->data,
			   .size = w->size,
			   .timeout_ms = (uint32_t)(w->due_ms - front->node->now_ms),
			   .next = ITEM_NONE,
			   .msgid = q.msgid,
			   .index = (uint16_t)w->reply_to.index,
			   .method = (uint8_t)q.method};
	f.request = &q;
	f.item = &it;
	f.visited = visited;
	f.visited_count = w->visited_count;
	dispatch_again(front, &f);
}

/* Can it go, or is it to be told that its time is over? */
static bool is_due(struct front *front, const struct waiting *w)
{
	struct partition_way *way = &front->parked->way[w->partition];
	struct peer *peer;
	enum membership_serves s;

	if (w->due_ms <= front->node->now_ms)
		return true;
	if (way->blocked == front->parked->step)
		return false; /* behind one of its partition that waits on */
	s = w->again_ms > front->node->now_ms ? SERVES_NOBODY
					      : way_find(front, w->partition, &peer);
	if (s == SERVES_HERE || s == SERVES_PEER)
		return true;
	way->blocked = front->parked->step;
	return false;
}

uint64_t parked_step(struct front *front)
{
	struct parked *p = front->parked;
	struct waiting *w;
	struct waiting *todo;
	uint64_t next = UINT64_MAX;

	if (!p || !p->count)
		return UINT64_MAX;
	p->stirred = false;
	p->step++;
	todo = p->first;
	p->first = p->last = NULL;
	/* What cannot go is put back in its order; what comes back from a dispatch is behind it. */
	for (w = todo; w; w = todo) {
		todo = w->next;
		w->next = NULL;
		if (!is_due(front, w)) {
			uint64_t at = w->due_ms < front->node->now_ms + AGAIN_MS
					      ? w->due_ms
					      : front->node->now_ms + AGAIN_MS;

			at = w->again_ms > front->node->now_ms && w->again_ms < at ? w->again_ms
										   : at;
			next = at < next ? at : next;
			if (p->last)
				p->last->next = w;
			else
				p->first = w;
			p->last = w;
			continue;
		}
		p->count--;
		p->bytes -= w->size;
		p->way[w->partition].waits--;
		p->letting = true;
		let_go(front, w);
		p->letting = false;
		free(w);
	}
	return p->count && next > front->node->now_ms + AGAIN_MS ? front->node->now_ms + AGAIN_MS
								 : next;
}
