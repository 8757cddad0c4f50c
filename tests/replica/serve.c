/* Requests: they run at once, in order, and their replies wait until they may be told. */
#include <string.h>

#include "common/check.h"
#include "replica/rules.h"
#include "tests/replica/fault.h"
#include "tests/replica/net.h"
#include "tests/replica/node.h"

/* ---- what is in a partition ---- */

void serve_apply(struct part *p, const struct record *r)
{
	uint64_t version = r->entry.sequence;

	if (r->clock_us > p->clock_us)
		p->clock_us = r->clock_us;
	for (uint32_t k = 0; k < KEYS; k++) {
		if (!(r->mask >> k & 1u))
			continue;
		p->key[k] = (struct key){r->value[k], version++, r->expiry_us[k]};
	}
}

/* The time in the partition: not before what anybody may have been told. */
static uint64_t time_of(const struct part *p)
{
	uint64_t wall = p->node->wall_zero + world.now;

	return wall > p->clock_us ? wall : p->clock_us;
}

/*
 * What the key holds now.  If its time is over, everybody after must know that it was: that is
 * written first.  *observed grows to what the answer tells of.
 */
static struct key look_up(struct part *p, uint32_t k, uint64_t *observed, bool *ret_expired)
{
	struct key key = p->key[k];
	uint64_t now = time_of(p);

	if (key.version > *observed)
		*observed = key.version;
	*ret_expired = key.expiry_us && key.expiry_us <= now;
	if (!*ret_expired)
		return key;
	count(COUNT_EXPIRED);
	if (p->clock_us < key.expiry_us) {
		struct record *r = record_new(1);

		r->entry.kind = LOG_CLOCK;
		r->clock_us = now;
		*observed = worker_write(p, r);
	} else {
		*observed = p->last; /* not before the record that says so */
	}
	return (struct key){0};
}

/* ---- answers ---- */

static void reply_out(void *who, uint64_t inc, void *bytes)
{
	struct node *n = who;

	if (node_awake(n, COORDINATOR, inc, reply_out, bytes))
		net_send(n->number, AT_CLIENTS, client_reply, NULL, 0, bytes);
}

static void reply(struct node *n, const struct reply *r)
{
	struct reply *copy = take(sizeof(*copy));

	*copy = *r;
	reply_out(n, n->inc[COORDINATOR], copy); /* now, or when it is awake */
}

static void slot_answer(struct node *n, struct slot *s, enum reply_kind kind)
{
	s->reply.kind = kind;
	s->reply.id = s->request.id;
	s->reply.client = s->request.client;
	s->reply.node = n->number;
	if (kind == REPLY_ELSEWHERE &&
	    clerk_serves(n->clerk, s->request.partition, &s->reply.node) != CLERK_THERE)
		s->reply.node = 0;
	reply(n, &s->reply);
	s->state = SLOT_FREE;
}

static void slots_tidy(struct node *n)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < n->order_count; i++)
		if (n->slot[n->order[i]].state != SLOT_FREE)
			n->order[left++] = n->order[i];
	n->order_count = left;
}

/* ---- running ---- */

static uint64_t put(struct part *p, const struct request *q, uint32_t first, uint32_t keys)
{
	struct record *r = record_new(keys);

	r->request = q->id;
	for (uint32_t i = 0; i < keys; i++) {
		uint32_t k = q->key + first + i;

		r->mask |= 1u << k;
		r->value[k] = q->value[first + i];
		r->expiry_us[k] = q->ttl_us ? time_of(p) + q->ttl_us : 0;
	}
	return worker_write(p, r);
}

static void run_write(struct part *p, struct slot *s)
{
	const struct request *q = &s->request;
	uint32_t keys = q->ask == ASK_PUT_PAIR ? 2 : 1;

	s->reply.version[0] = p->last + 1;
	if (keys == 2 && !RULE(WHOLE)) {
		(void)put(p, q, 0, 1);
		s->wait.observed = put(p, q, 1, 1);
	} else {
		s->wait.observed = put(p, q, 0, keys);
	}
	if (keys == 2)
		count(COUNT_GROUPS);
	s->wait.clients = s->wait.observed;
	s->wait.wrote = true;
	s->reply.kind = REPLY_DONE;
}

static void found(struct slot *s, uint32_t i, struct key k)
{
	s->reply.value[i] = k.value;
	s->reply.version[i] = k.version;
	if (k.version > s->wait.clients)
		s->wait.clients = k.version;
}

static void run_read(struct part *p, struct slot *s)
{
	const struct request *q = &s->request;
	bool expired;

	s->wait.tells_state = true;
	s->reply.kind = REPLY_FOUND;
	for (uint32_t i = 0; i < (q->ask == ASK_GET_PAIR ? 2u : 1u); i++)
		found(s, i, look_up(p, q->key + i, &s->wait.observed, &expired));
}

/* What has not run and does not run: who was begun by a dead worker may have happened all the same. */
static void refuse(struct node *n, struct slot *s, enum reply_kind kind)
{
	if (s->wait.begun_before) {
		s->reply.kind = kind;
		s->state = SLOT_RAN;
	} else {
		slot_answer(n, s, kind);
	}
}

static void run(struct part *p, struct slot *s, struct moment ran, bool may_write)
{
	struct node *n = p->node;
	struct request *q = &s->request;
	bool expired;

	memset(&s->reply, 0, sizeof(s->reply));
	s->wait = (struct copy_wait){
		.term = p->copy.term, .ran = ran, .begun_before = s->begun && ask_writes(q->ask)};
	if (world.now > q->due || (s->begun && aimed(AIM_REFUSE) && chance_ppm(50 * PERCENT)) ||
	    (ask_writes(q->ask) && world.now < n->disk.full_until)) {
		refuse(n, s, REPLY_REFUSED);
		return;
	}
	if (ask_writes(q->ask) && !may_write) {
		refuse(n, s, REPLY_TOO_FEW);
		return;
	}
	s->begun = true;
	s->state = SLOT_RAN;
	if (!ask_writes(q->ask)) {
		run_read(p, s);
		return;
	}
	if (q->ask == ASK_PUT_IF) {
		struct key k = look_up(p, q->key, &s->wait.observed, &expired);

		if (k.version != q->version) {
			s->wait.tells_state = s->wait.refuses = true;
			found(s, 0, k);
			s->reply.kind = REPLY_CONFLICT;
			return;
		}
	}
	run_write(p, s);
}

static uint64_t logged(const struct part *p, uint64_t request);

/* Whoever does not lead any more: may a dead worker of this node have done it? */
static bool dead_has_begun(const struct part *p, const struct slot *s)
{
	return ask_writes(s->request.ask) && s->begun &&
	       (RULE(STARTED) || logged(p, s->request.id));
}

/* A worker that does not lead: is it to, soon?  Then what is there waits. */
static bool leads_soon(const struct node *n, const struct copy *c, uint32_t partition)
{
	uint32_t other;

	return c->role != COPY_PRIMARY && clerk_serves(n->clerk, partition, &other) == CLERK_HERE;
}

void serve_run(struct node *n, struct moment ran)
{
	for (uint32_t i = 0; i < n->order_count; i++) {
		struct slot *s = &n->slot[n->order[i]];
		struct part *p = &n->part[s->request.partition];
		enum copy_takes takes;

		if (s->state != SLOT_WAITS)
			continue;
		takes = copy_takes(&p->copy);
		if (takes != COPY_TAKES_NOTHING)
			run(p, s, ran, takes == COPY_TAKES);
		else if (world.now > s->request.due + 50 * MS)
			slot_answer(n, s, REPLY_TIMEOUT);
		else if (!p->copy.number || leads_soon(n, &p->copy, s->request.partition))
			continue;
		else
			slot_answer(n, s, dead_has_begun(p, s) ? REPLY_TIMEOUT : REPLY_ELSEWHERE);
	}
	slots_tidy(n);
}

void serve_judge(struct node *n, struct moment now)
{
	n->judging = n->reads = false;
	for (uint32_t i = 0; i < n->order_count && !world.over; i++) {
		struct slot *s = &n->slot[n->order[i]];
		uint32_t partition = s->request.partition;

		if (s->state != SLOT_RAN)
			continue;
		switch (copy_judge(&n->part[partition].copy, &s->wait, &n->lease[partition], now)) {
		case COPY_WAIT:
			n->reads |= s->wait.tells_state;
			break;
		case COPY_TELL:
			watch_told(n, s, now);
			slot_answer(n, s, s->reply.kind);
			break;
		case COPY_ELSEWHERE:
			slot_answer(n, s, REPLY_ELSEWHERE);
			break;
		case COPY_TIMEOUT:
			slot_answer(n, s, REPLY_TIMEOUT);
		}
	}
	slots_tidy(n);
}

/* ---- lives ---- */

/* The last sequence of the request's record in the log; 0: it is not there. */
static uint64_t logged(const struct part *p, uint64_t request)
{
	for (uint64_t s = p->last; s; s--)
		if (p->log[s].record->request == request)
			return s;
	return 0;
}

void serve_led(struct part *p)
{
	struct node *n = p->node;

	p->clock_us = 0;
	memset(p->key, 0, sizeof(p->key));
	for (uint64_t s = 1; s <= p->last; s += p->log[s].record->entry.count)
		serve_apply(p, p->log[s].record);
	for (uint32_t i = 0; i < n->order_count; i++) {
		struct slot *s = &n->slot[n->order[i]];
		uint64_t at;

		if (s->state != SLOT_WAITS || !s->begun || s->request.partition != p->partition ||
		    !(at = logged(p, s->request.id)))
			continue;
		s->wait = (struct copy_wait){.term = p->copy.term,
					     .observed = at,
					     .clients = at,
					     .ran = node_clock(n),
					     .wrote = true,
					     .begun_before = true};
		memset(&s->reply, 0, sizeof(s->reply));
		s->reply.version[0] = p->log[at].record->entry.sequence;
		s->reply.kind = REPLY_DONE;
		s->state = SLOT_RAN;
	}
}

void serve_died(struct node *n)
{
	for (uint32_t i = 0; i < n->order_count; i++)
		n->slot[n->order[i]].state = SLOT_WAITS;
}

void serve_forget(struct node *n)
{
	memset(n->slot, 0, sizeof(n->slot));
	n->order_count = 0;
}

/* ---- at the door ---- */

static void slot_take(struct node *n, const struct request *q)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		struct slot *s = &n->slot[i];

		if (s->state != SLOT_FREE)
			continue;
		*s = (struct slot){.request = *q, .state = SLOT_WAITS};
		n->order[n->order_count++] = i;
		return;
	}
	reply(n, &(struct reply){.id = q->id, .client = q->client, .kind = REPLY_REFUSED});
}

void node_request(void *who, uint64_t a, void *bytes)
{
	struct node *n = who;
	struct batch *b = bytes;
	uint32_t other = 0;

	if (!node_awake(n, COORDINATOR, a, node_request, bytes))
		return;
	if (clerk_serves(n->clerk, b->request[0].partition, &other) == CLERK_HERE) {
		for (uint32_t i = 0; i < b->count; i++)
			slot_take(n, &b->request[i]);
		worker_wake(n);
	} else {
		for (uint32_t i = 0; i < b->count; i++)
			reply(n, &(struct reply){.id = b->request[i].id,
						 .client = b->request[i].client,
						 .kind = REPLY_ELSEWHERE,
						 .node = other});
	}
	give(b);
}
