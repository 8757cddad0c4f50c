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
#include "coordinator/front/fanout.h"
#include "coordinator/front/rebuild.h"
#include "coordinator/peers/client.h"
#include "coordinator/queue/turns.h"
#include "ipc/shm/records.h"

#define REQUESTS_MAX 65536u      /* that wait; more are answered busy */
#define BYTES_MAX    (16u << 20) /* likewise */
#define AGAIN_MS     50u         /* between looks at what waits */
#define ELSEWHERE_MS 10u         /* until what was given back goes the same way again */
#define SETTLE_MS    300u        /* who has handed a partition over has answered by then */

struct waiting {
	struct waiting *next;
	struct reply_to reply_to;
	uint64_t due_ms;
	uint32_t partition;
	uint32_t visited_count;
	char visited[HOPS_MAX][PEER_MESSAGE_NODE_MAX + 1];
	bool from_node;
	bool routed_here;
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
	uint64_t settle_ms;   /* a node that has not answered by then is waited for no more */
	uint32_t waits;
	uint64_t again_ms; /* nothing goes before */
	bool changed;      /* the view has, and it was not looked at yet */
	uint64_t blocked;  /* the step in which the first of them could not go */
};

struct waiting_list {
	struct waiting *first;
	struct waiting *last;
};

struct parked {
	struct waiting_list list;
	struct waiting_list back; /* what had gone already, and so goes before all of those */
	uint32_t count;
	uint64_t bytes;
	bool stirred;      /* some partition is `changed` */
	uint32_t settling; /* partitions that were, when it was looked at last */
	bool letting;      /* one is on its way out of here */
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

static void list_add(struct waiting_list *l, struct waiting *w)
{
	w->next = NULL;
	if (l->last)
		l->last->next = w;
	else
		l->first = w;
	l->last = w;
}

static struct waiting *list_take(struct waiting_list *l)
{
	struct waiting *w = l->first;

	if (w && !(l->first = w->next))
		l->last = NULL;
	return w;
}

/* `l` behind `front`, which then has both. */
static void list_join(struct waiting_list *front, struct waiting_list *l)
{
	if (front->last)
		front->last->next = l->first;
	else
		front->first = l->first;
	if (l->last)
		front->last = l->last;
	*l = (struct waiting_list){NULL, NULL};
}

void parked_free(struct parked **pp)
{
	struct waiting *w;

	if (!*pp)
		return;
	while ((w = list_take(&(*pp)->back)) || (w = list_take(&(*pp)->list)))
		free(w);
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
		if (w->settling && front->node->now_ms >= w->settle_ms) {
			/* If it leads no more, its worker stands still. */
			if (w->way != WAY_PEER || w->peer != w->old_peer)
				peer_client_deposed(front->peers, w->old_peer, partition);
			w->settling = false;
		}
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
	w->settle_ms = front->node->now_ms + SETTLE_MS;
	w->old = w->way;
	w->old_peer = w->peer;
	w->old_id = peer_client_last_id(front->peers);
	w->old_written = q->segment->request.write;
	w->old_waiting = turns_last(q);
}

/*
 * Something has been given back.  What went the same way behind it is likely to be, and must not come
 * behind what is sent now: all of it is awaited, then it goes together, in its order.
 */
static void way_refused(struct front *front, uint32_t partition)
{
	struct partition_way *w = &front->parked->way[partition];

	if (is_settling(front, partition))
		return;
	way_leave(front, partition);
	w->again_ms = front->node->now_ms + ELSEWHERE_MS;
	front->parked->settling++;
}

/* Does the worker that has it take requests, or will it when it is up again? */
static bool worker_takes(const struct front *front, uint32_t partition)
{
	const struct worker *w = &front->supervisor->worker[partition % front->supervisor->count];

	return w->state != WORKER_FAILED && w->wanted;
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
	if (s == SERVES_HERE && !worker_takes(front, partition))
		return SERVES_NOBODY; /* another copy will be given it soon */
	if (w->again_ms > front->node->now_ms)
		return SERVES_NOBODY;
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
	front->parked->way[partition].changed = true;
	front->parked->stirred = true;
	front->node->changed = true;
}

/*
 * Another copy has taken over from the node that requests went to: what they did there took effect
 * before the new term, or never will.  Nobody need wait for that one's replies, least of all if it is
 * cut off.
 */
static void deposed_look(struct front *front, uint32_t partition, struct peer *p)
{
	if (peer_is_there(front, p) && membership_taken_over(front->membership, partition, p->name))
		peer_client_deposed(front->peers, p, partition);
}

/* Views have changed: what is on its way by ways of before. */
static void changes_look(struct front *front)
{
	struct parked *p = front->parked;
	struct peer *peer;

	p->settling = 0;
	for (uint32_t i = 0; i < p->partitions; i++) {
		struct partition_way *w = &p->way[i];

		if (w->changed)
			w->again_ms = 0;
		if (w->changed && w->way == WAY_PEER)
			deposed_look(front, i, w->peer);
		if (w->changed && w->settling && w->old == WAY_PEER)
			deposed_look(front, i, w->old_peer);
		if (w->changed || w->settling)
			(void)way_find(front, i, &peer);
		w->changed = false;
		p->settling += w->settling;
	}
	p->stirred = false;
}

/* ---- parking ---- */

static void park(struct front *front, struct waiting_list *list, struct reply_to o,
		 const struct message *m, struct span request, uint64_t msgid, uint32_t timeout_ms,
		 uint32_t partition)
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
	w->reply_to = o;
	w->due_ms = front->node->now_ms + timeout_ms;
	w->partition = partition;
	w->from_node = m ? m->from_node : reply_to_kind(o) == REPLY_TO_SESSION;
	w->routed_here = m && m->routed_here;
	w->visited_count = m ? m->routed.visited_count : 0;
	for (uint32_t i = 0; i < w->visited_count; i++)
		(void)snprintf(w->visited[i], sizeof(w->visited[i]), "%.*s",
			       (int)m->routed.visited[i].n, m->routed.visited[i].p);
	w->size = (uint32_t)request.n;
	memcpy(w->data, request.p, request.n);
	list_add(list, w);
	p->count++;
	p->bytes += request.n;
	p->way[partition].waits++;
	front->node->changed = true; /* parked_step is to look */
}

/* Give a request back to the node that has sent it here.  False: it is this one's to send on. */
static bool give_back(struct front *front, struct reply_to o, uint32_t partition)
{
	struct peer_place place;

	if (reply_to_kind(o) != REPLY_TO_SESSION)
		return false;
	membership_known(front->membership, partition, &place);
	return peer_server_elsewhere(front->peer_server, o, &place);
}

bool parked_route(struct front *front, struct message *m, const struct request *q, struct item *it,
		  uint32_t partition, struct peer **ret_peer)
{
	enum membership_serves s;
	struct reply_to o = m->reply_to;

	*ret_peer = NULL;
	o.index = it->index;
	s = way_find(front, partition, ret_peer);
	if (s == SERVES_NEVER) {
		char text[300];

		membership_explain(front->membership, text, sizeof(text));
		reply_error(front->sink, o, q->msgid, true, WIRE_E_NODE_DOWN, text);
		return false;
	}
	/* Behind what waits already, in its order; what is let go has been taken out. */
	if ((s != SERVES_HERE && s != SERVES_PEER) ||
	    (!front->parked->letting && front->parked->way[partition].waits)) {
		park(front, &front->parked->list, o, m, (struct span){it->data, it->size}, q->msgid,
		     it->timeout_ms, partition);
		return false;
	}
	if (s == SERVES_HERE)
		*ret_peer = NULL;
	else if (m->routed_here)
		return !give_back(front, o, partition);
	else if (m->routed.visited_count == HOPS_MAX) {
		reply_error(front->sink, o, q->msgid, true, WIRE_E_ROUTE_LOOP, "more than 8 hops");
		return false;
	}
	return true;
}

void parked_elsewhere(void *arg, struct queue *q, const struct request_record *rec, uint32_t i)
{
	struct front *front = arg;
	const struct request_entry *e = &rec->entry[i];
	struct reply_to o = {rec->reply_to, e->index, rec->reply_to_generation};
	uint64_t due_ms = record_recv_ms(rec) + e->timeout_ms;
	struct buf *b = &front->parked->scratch;

	(void)q;
	if (reply_to_kind(o) == REPLY_TO_FANOUT) {
		fanout_elsewhere(front, o);
		return;
	}
	way_refused(front, e->partition);
	if (give_back(front, o, e->partition))
		return;
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
	park(front, &front->parked->back, o, NULL, (struct span){b->data, b->len}, e->msgid,
	     (uint32_t)(due_ms - front->node->now_ms), e->partition);
}

void parked_unanswered(void *arg, struct reply_to o, struct span request, uint64_t msgid,
		       uint32_t partition, uint32_t left_ms, bool elsewhere)
{
	struct front *front = arg;

	park(front, &front->parked->back, o, NULL, request, msgid, left_ms, partition);
	if (elsewhere)
		way_refused(front, partition);
}

/* ---- going on ---- */

static void let_go(struct front *front, struct waiting *w)
{
	struct fenced f = {
		.reply_to = w->reply_to, .from_node = w->from_node, .routed_here = w->routed_here};
	struct span visited[HOPS_MAX];
	struct request q;
	const char *why;
	struct item it;

	(void)request_walk(w->data, w->data + w->size, &q, &why);
	if (w->due_ms <= front->node->now_ms || front_forsaken(front, w->reply_to)) {
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

/* Can it go, or is it to be told that its time is over?  Nobody hears that who has gone. */
static bool is_due(struct front *front, const struct waiting *w)
{
	struct partition_way *way = &front->parked->way[w->partition];
	struct peer *peer;
	enum membership_serves s;

	if (w->due_ms <= front->node->now_ms || front_forsaken(front, w->reply_to))
		return true;
	if (way->blocked == front->parked->step)
		return false; /* behind one of its partition that waits on */
	s = way_find(front, w->partition, &peer);
	if (s != SERVES_NOBODY) /* NEVER: it is told so */
		return true;
	way->blocked = front->parked->step;
	return false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Let go what can go of a list.  What cannot stays in its order; what a dispatch gives back meanwhile is
 * behind it.
 */
static uint64_t list_step(struct front *front, struct waiting_list *list)
{
	struct parked *p = front->parked;
	struct waiting_list todo = *list;
	struct waiting_list stay = {NULL, NULL};
	uint64_t now_ms = front->node->now_ms;
	uint64_t next = UINT64_MAX;
	struct waiting *w;

	*list = (struct waiting_list){NULL, NULL};
	while ((w = list_take(&todo))) {
		if (!is_due(front, w)) {
			next = least(next, least(w->due_ms, now_ms + AGAIN_MS));
			if (p->way[w->partition].again_ms > now_ms)
				next = least(next, p->way[w->partition].again_ms);
			list_add(&stay, w);
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
	list_join(&stay, list);
	*list = stay;
	return next;
}

uint64_t parked_step(struct front *front)
{
	struct parked *p = front->parked;
	uint64_t next = UINT64_MAX;

	if (!p)
		return UINT64_MAX;
	if (p->stirred || p->settling)
		changes_look(front);
	if (!p->count)
		return p->settling ? front->node->now_ms + AGAIN_MS : UINT64_MAX;
	p->step++;
	next = list_step(front, &p->back);
	return least(next, list_step(front, &p->list));
}
