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
#include "coordinator/front/waiting.h"
#include "coordinator/node/figures.h"
#include "coordinator/peers/client.h"
#include "coordinator/queue/turns.h"
#include "ipc/shm/records.h"

#define REQUESTS_MAX 65536u      /* that wait; more are answered busy */
#define BYTES_MAX    (16u << 20) /* likewise */
#define AGAIN_MS     50u         /* between looks at what waits */
#define ELSEWHERE_MS 10u         /* until what was given back goes the same way again */
#define SETTLE_MS    300u        /* who has handed a partition over has answered by then */

enum way { WAY_NONE, WAY_HERE, WAY_PEER };

/* Where a partition's requests go, and those of before that must be answered first. */
struct partition_way {
	enum way way;
	struct peer *peer;
	uint64_t number; /* grows with each way that is taken */
	uint8_t gate;
	uint32_t epoch; /* as it was known when the view changed last */
	bool settling;
	enum way old;
	struct peer *old_peer;
	uint64_t old_id;      /* batches to it up to this one */
	uint64_t old_written; /* or records of the worker's ring up to here */
	uint64_t old_waiting; /* and what waits before the ring */
	uint64_t settle_ms;   /* a node that has not answered by then is waited for no more */
	uint32_t waits;
	uint64_t again_ms;    /* nothing goes before */
	bool changed;         /* the view has, and it was not looked at yet */
	uint64_t blocked;     /* the step in which the first of them could not go */
	uint64_t back_number; /* of the way by which something was given back last, */
	uint64_t back_order;  /* and the highest of those */
};

struct parked {
	struct waiting_list list;
	struct waiting_list back; /* what had gone already, and so goes before all of those, */
	bool back_mixed;          /* in the order in which it went, which is not the list's now */
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

void parked_free(struct parked **pp)
{
	struct waiting *w;

	if (!*pp)
		return;
	while ((w = waiting_take(&(*pp)->back)) || (w = waiting_take(&(*pp)->list)))
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

/* Of one that is, or was, served here: a door has none. */
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

/* Does somebody else serve the partition now than who did when the old way was taken? */
static bool old_is_deposed(const struct front *front, uint32_t partition)
{
	const struct partition_way *w = &front->parked->way[partition];
	struct peer *peer = NULL;
	enum membership_serves s = membership_serves(front->membership, partition, &peer);

	return s == SERVES_HERE || (s == SERVES_PEER && peer != w->old_peer);
}

/* Is something that went the old way without its reply? */
static bool is_settling(struct front *front, uint32_t partition)
{
	struct partition_way *w = &front->parked->way[partition];
	const struct queue *q;

	if (!w->settling)
		return false;
	if (w->old == WAY_PEER) {
		w->settling = peer_is_there(front, w->old_peer) &&
			      peer_client_waits(front->peers, w->old_peer, w->old_id);
		/* It leads no more, and its worker stands still.  One that leads on is waited for. */
		if (w->settling && front->node->now_ms >= w->settle_ms &&
		    old_is_deposed(front, partition)) {
			peer_client_deposed(front->peers, w->old_peer, partition);
			w->settling = false;
		}
		return w->settling;
	}
	q = queue_of(front, partition);
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
	const struct queue *q;

	if (w->way == WAY_NONE)
		return;
	w->settling = true;
	w->settle_ms = front->node->now_ms + SETTLE_MS;
	w->old = w->way;
	w->old_peer = w->peer;
	w->old_id = peer_client_last_id(front->peers);
	if (w->old != WAY_HERE)
		return;
	q = queue_of(front, partition);
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
		w->number++;
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

/* What was sent to this node's worker in an earlier epoch is told apart from what will be. */
static void epoch_look(struct front *front, uint32_t partition)
{
	struct partition_way *w = &front->parked->way[partition];
	struct peer_place place;

	membership_known(front->membership, partition, &place);
	if (place.epoch == w->epoch)
		return;
	w->epoch = place.epoch;
	w->gate = (uint8_t)((w->gate + 1) % ENTRY_GATES);
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
		if (w->changed)
			epoch_look(front, i);
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

/* NULL: it was answered. */
static struct waiting *park(struct front *front, struct waiting_list *list, struct reply_to o,
			    const struct message *m, struct span request, unsigned method,
			    uint64_t msgid, uint32_t timeout_ms, uint32_t partition)
{
	struct parked *p = front->parked;
	struct waiting *w = NULL;

	if (p->count < REQUESTS_MAX && (!p->bytes || p->bytes + request.n <= BYTES_MAX))
		w = malloc(sizeof(*w) + request.n);
	if (!w) {
		reply_error(
			front->sink, o, (int)method, msgid, true, WIRE_E_BUSY,
			"nobody serves the bucket now, and too much waits for it: try again later");
		return NULL;
	}
	w->reply_to = o;
	w->due_ms = front->node->now_ms + timeout_ms;
	w->partition = partition;
	w->from_node = m ? m->from_node : reply_to_kind(o) == REPLY_TO_SESSION;
	w->routed_here = m && m->routed_here;
	w->epoch = 0;
	w->since_us = front->node->now_us;
	w->number = w->order = 0;
	w->visited_count = m ? m->routed.visited_count : 0;
	for (uint32_t i = 0; i < w->visited_count; i++)
		(void)snprintf(w->visited[i], sizeof(w->visited[i]), "%.*s",
			       (int)m->routed.visited[i].n, m->routed.visited[i].p);
	w->size = (uint32_t)request.n;
	memcpy(w->data, request.p, request.n);
	waiting_add(list, w);
	p->count++;
	p->bytes += request.n;
	p->way[partition].waits++;
	front->node->changed = true; /* parked_step is to look */
	return w;
}

/*
 * Of what had gone: replies to what was run may come after what was not run at all, so it is not given
 * back in the order in which it went.
 */
static void park_back(struct front *front, struct waiting *w, bool went_last_way, uint64_t order)
{
	struct partition_way *way;

	if (!w)
		return;
	way = &front->parked->way[w->partition];
	w->number = way->number - (went_last_way ? 0 : 1);
	w->order = order;
	if (w->number != way->back_number || order < way->back_order)
		front->parked->back_mixed = true;
	else
		way->back_order = order;
	if (w->number == way->back_number)
		return;
	way->back_number = w->number;
	way->back_order = order;
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
	struct peer_place place;

	*ret_peer = NULL;
	o.index = it->index;
	if (m->routed_here && peer_server_behind(front->peer_server, o, partition))
		return !give_back(front, o, partition);
	s = way_find(front, partition, ret_peer);
	if (s == SERVES_NEVER) {
		char text[300];

		membership_explain(front->membership, text, sizeof(text));
		reply_error(front->sink, o, q->method, q->msgid, true, WIRE_E_NODE_DOWN, text);
		return false;
	}
	/* Behind what waits already, in its order; what is let go has been taken out. */
	if ((s != SERVES_HERE && s != SERVES_PEER) ||
	    (!front->parked->letting && front->parked->way[partition].waits)) {
		struct waiting *w =
			park(front, &front->parked->list, o, m, (struct span){it->data, it->size},
			     it->method, q->msgid, it->timeout_ms, partition);

		if (w)
			w->epoch = it->epoch;
		return false;
	}
	membership_known(front->membership, partition, &place);
	if (m->routed_here && (s != SERVES_HERE || (it->epoch && it->epoch != place.epoch)))
		return !give_back(front, o, partition);
	it->epoch = place.epoch;
	if (s == SERVES_HERE)
		*ret_peer = NULL;
	else if (!m->routed_here && m->routed.visited_count == HOPS_MAX) {
		reply_error(front->sink, o, q->method, q->msgid, true, WIRE_E_ROUTE_LOOP,
			    "more than 8 hops");
		return false;
	}
	return true;
}

uint8_t parked_gate(const struct front *front, uint32_t partition)
{
	return front->parked->way[partition].gate;
}

void parked_elsewhere(void *arg, const struct request_record *rec, uint32_t i, uint64_t order)
{
	struct front *front = arg;
	const struct request_entry *e = &rec->entry[i];
	struct reply_to o = {rec->reply_to, e->index, rec->reply_to_generation};
	uint64_t due_ms = record_recv_ms(rec) + e->timeout_ms;
	struct buf *b = &front->parked->scratch;
	struct partition_way *w = &front->parked->way[e->partition];

	if (reply_to_kind(o) == REPLY_TO_FANOUT) {
		fanout_elsewhere(front, o);
		return;
	}
	if (entry_gate(e) == w->gate)
		w->gate = (uint8_t)((w->gate + 1) % ENTRY_GATES);
	way_refused(front, e->partition);
	if (give_back(front, o, e->partition))
		return;
	b->len = 0;
	if (due_ms <= front->node->now_ms) {
		reply_error(front->sink, o, e->method, e->msgid, true, WIRE_E_EXPIRED,
			    "its time was over before it was started");
		return;
	}
	if (!request_rebuild(rec, i, b)) {
		b->failed = false;
		reply_error(front->sink, o, e->method, e->msgid, true, WIRE_E_BUSY, "no memory");
		return;
	}
	park_back(front,
		  park(front, &front->parked->back, o, NULL, (struct span){b->data, b->len},
		       e->method, e->msgid, (uint32_t)(due_ms - front->node->now_ms), e->partition),
		  w->way == WAY_HERE, order);
}

void parked_unanswered(void *arg, const struct unanswered *x)
{
	struct front *front = arg;
	const struct partition_way *w = &front->parked->way[x->partition];

	park_back(front,
		  park(front, &front->parked->back, x->reply_to, NULL, x->request, x->method,
		       x->msgid, x->left_ms, x->partition),
		  w->way == WAY_PEER && w->peer == x->peer, x->order);
	if (x->elsewhere)
		way_refused(front, x->partition);
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

	if (front->node->figures)
		figures_span(front->node->figures, &front->node->figures->parked, w->since_us,
			     front->node->now_us, 1);
	(void)request_walk(w->data, w->data + w->size, &q, &why);
	if (w->due_ms <= front->node->now_ms || front_forsaken(front, w->reply_to)) {
		reply_error(front->sink, w->reply_to, q.method, q.msgid, true, WIRE_E_EXPIRED,
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
			   .epoch = w->epoch,
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
	while ((w = waiting_take(&todo))) {
		if (!is_due(front, w)) {
			next = least(next, least(w->due_ms, now_ms + AGAIN_MS));
			if (p->way[w->partition].again_ms > now_ms)
				next = least(next, p->way[w->partition].again_ms);
			waiting_add(&stay, w);
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
	waiting_join(&stay, list);
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
	if (p->back_mixed)
		waiting_sort(&p->back);
	p->back_mixed = false;
	next = list_step(front, &p->back);
	return least(next, list_step(front, &p->list));
}
