/*
 * Requests on their way to other nodes.  The requests of one message that go to one peer are a
 * batch; what is needed to answer them if the peer does not is kept here until its replies have
 * come.  Ids of batches are never used again, so a late reply finds nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/config/config.h"
#include "coordinator/node/figures.h"
#include "coordinator/peers/client.h"
#include "coordinator/peers/peers_impl.h"
#include "coordinator/peers/unsure.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

#define BATCHES_BITS 16u /* batches in flight: 65,536 */
#define BATCHES_MAX  (1u << BATCHES_BITS)
#define REQUESTS_MAX (1u << 18) /* in flight to one peer */
#define ENTRIES_KEPT 256u       /* a batch's memory is kept up to so many, */
#define BYTES_KEPT   16384u     /* and so many bytes of its reads */
#define NONE         UINT32_MAX
#define ANY          UINT32_MAX /* partition */
#define AGREE_MOST   256u       /* batches that assertions go through */

struct entry {
	uint64_t msgid;
	uint32_t timeout_ms; /* from the batch's recv_ms */
	uint16_t index;      /* of the owner's */
	uint16_t partition;  /* of a bucket of the cluster */
	uint8_t method;
	bool of_cluster;
	bool writes;
	bool droppable; /* a read whose reply may still be refused */
	bool answered;
	bool passed;   /* a read: a write of its client behind it may have been done */
	uint32_t at;   /* of the cluster's: where its bytes are kept, */
	uint32_t size; /* and how many; 0: they are not */
};

struct batch {
	uint64_t id; /* 0: free; the index in its lower bits */
	struct reply_to reply_to;
	struct peer *peer;
	uint64_t recv_ms;
	uint64_t recv_us;
	uint32_t count;
	uint32_t open;
	uint32_t prev; /* of the same peer */
	uint32_t next; /* likewise, or of the free list */
	struct entry *entry;
	uint32_t room;
	struct buf kept; /* what may have to be sent again, as it came */
};

struct peer_requests {
	struct batch batch[BATCHES_MAX];
	uint32_t used;
	uint32_t free_list;
	uint64_t last_id;
	uint16_t index[WIRE_REQUESTS_MAX]; /* of the replies in hand */
};

int peer_client_new(struct peer_requests **ret)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	(*ret)->free_list = NONE;
	return 0;
}

void peer_client_free(struct peer_requests **fp)
{
	if (!*fp)
		return;
	for (uint32_t i = 0; i < (*fp)->used; i++) {
		free((*fp)->batch[i].entry);
		buf_fini(&(*fp)->batch[i].kept);
	}
	free(*fp);
	*fp = NULL;
}

/* ---- batches ---- */

static bool entries_room(struct batch *b, uint32_t count)
{
	uint32_t n = count < 16 ? 16 : count;
	struct entry *e;

	if (b->room >= count)
		return true;
	e = realloc(b->entry, n * sizeof(*e));
	if (!e)
		return false;
	b->entry = e;
	b->room = n;
	return true;
}

static struct batch *batch_new(struct peer_requests *f, struct peer *p, uint32_t count)
{
	uint32_t i = f->free_list;
	struct batch *b;

	if (i == NONE && f->used == BATCHES_MAX)
		return NULL;
	b = &f->batch[i == NONE ? f->used : i];
	if (!entries_room(b, count))
		return NULL;
	if (i == NONE)
		i = f->used++;
	else
		f->free_list = b->next;
	f->last_id = ((f->last_id >> BATCHES_BITS) + 1) << BATCHES_BITS | i;
	b->id = f->last_id;
	b->peer = p;
	b->count = count;
	b->open = count;
	b->prev = p->batch_last;
	b->next = NONE;
	if (p->batch_last == NONE)
		p->batch_first = i;
	else
		f->batch[p->batch_last].next = i;
	p->batch_last = i;
	p->batches++;
	p->requests += count;
	p->forwarded += count;
	return b;
}

static void batch_free(struct peer_requests *f, struct batch *b)
{
	struct peer *p = b->peer;
	uint32_t i = (uint32_t)(b - f->batch);

	check(b->id && (b->id & (BATCHES_MAX - 1)) == i);
	check(p->batches);
	check(p->requests >= b->open);
	*(b->prev == NONE ? &p->batch_first : &f->batch[b->prev].next) = b->next;
	*(b->next == NONE ? &p->batch_last : &f->batch[b->next].prev) = b->prev;
	p->batches--;
	p->requests -= b->open;
	b->id = 0;
	if (b->room > ENTRIES_KEPT) {
		free(b->entry);
		b->entry = NULL;
		b->room = 0;
	}
	b->kept.len = 0;
	if (b->kept.size > BYTES_KEPT)
		buf_fini(&b->kept);
	b->next = f->free_list;
	f->free_list = i;
}

bool peer_client_agrees(const struct peers *s, const struct peer *p)
{
	const struct peer_requests *f = s->requests;
	uint64_t open = 0;
	uint64_t id = 0;
	uint32_t last = NONE;
	uint32_t n = 0;

	if (p->batches > AGREE_MOST)
		return true;
	for (uint32_t i = p->batch_first; i != NONE && n <= p->batches; i = f->batch[i].next) {
		const struct batch *b = &f->batch[i];

		if (b->peer != p || b->prev != last || b->id <= id || !b->open ||
		    b->open > b->count)
			return false;
		id = b->id;
		open += b->open;
		last = i;
		n++;
	}
	return n == p->batches && open == p->requests && last == p->batch_last;
}

static struct batch *batch_find(struct peer_requests *f, const struct peer *p, uint64_t id)
{
	struct batch *b = &f->batch[id & (BATCHES_MAX - 1)];

	return b->id == id && id && b->peer == p ? b : NULL;
}

static struct reply_to entry_owner(const struct batch *b, const struct entry *e)
{
	struct reply_to o = b->reply_to;

	o.index = e->index;
	return o;
}

static void entry_error(struct peers *s, struct batch *b, struct entry *e, enum wire_error error,
			const char *text)
{
	if (e->answered)
		return;
	check(b->open);
	check(b->peer->requests);
	e->answered = true;
	b->open--;
	b->peer->requests--;
	reply_error(s->sink, entry_owner(b, e), e->method, e->msgid, true, error, text);
}

_Static_assert(WIRE_REQUESTS_MAX <= BATCHES_MAX, "an entry's number has the bits of a slot's");

/* It may be sent again, and somebody else sees to that.  False: it is over time, or its bytes are gone. */
static bool entry_again(struct peers *s, struct batch *b, struct entry *e, bool elsewhere)
{
	uint64_t due_ms = b->recv_ms + e->timeout_ms;

	if (!e->size || !s->on_unanswered || due_ms <= s->node->now_ms)
		return false;
	check(b->open);
	check(b->peer->requests);
	e->answered = true;
	b->open--;
	b->peer->requests--;
	s->on_unanswered(s->arg, &(struct unanswered){
					 .reply_to = entry_owner(b, e),
					 .request = {b->kept.data + e->at, e->size},
					 .method = e->method,
					 .msgid = e->msgid,
					 .partition = e->partition,
					 .left_ms = (uint32_t)(due_ms - s->node->now_ms),
					 .elsewhere = elsewhere,
					 .peer = b->peer,
					 .order = (b->id & ~(uint64_t)(BATCHES_MAX - 1)) |
						  (uint64_t)(e - b->entry),
        });
	return true;
}

/* The peer will not answer it.  What is of the cluster and did nothing there may find who does. */
static void entry_lost(struct peers *s, struct batch *b, struct entry *e, bool sent,
		       enum wire_error error, const char *text)
{
	if (!e->answered && ((sent && (e->writes || e->passed)) || !entry_again(s, b, e, false)))
		entry_error(s, b, e, error, text);
}

/* The peer has not run it, and does not serve it. */
static void entry_elsewhere(struct peers *s, struct batch *b, struct entry *e)
{
	if (!e->answered && !entry_again(s, b, e, true))
		entry_error(s, b, e, WIRE_E_EXPIRED,
			    "its time was over before it was started: its bucket has moved");
}

/* ---- sending ---- */

static void items_refuse(struct peers *s, const struct items *m, struct reply_to o, uint32_t first,
			 uint32_t count, enum wire_error e, const char *text)
{
	for (uint32_t i = first; count--; i = m->item[i].next) {
		o.index = m->item[i].index;
		reply_error(s->sink, o, m->item[i].method, m->item[i].msgid, true, e, text);
	}
}

/* Why a request cannot go to a peer, or WIRE_OK. */
static enum wire_error peer_refuses(const struct peers *s, const struct peer *p, uint32_t count,
				    uint64_t bytes, char *text, size_t size)
{
	if (!peer_takes(s, p)) {
		(void)snprintf(text, size, "node \"%s\" is not connected: %s", p->name,
			       *p->reason ? p->reason : "its link is being made");
		return WIRE_E_NODE_DOWN;
	}
	if (bytes + peer_message_batch_room(count) > p->frame_max) {
		(void)snprintf(text, size, "node \"%s\" takes %llu bytes at most", p->name,
			       (unsigned long long)p->frame_max);
		return WIRE_E_TOO_LARGE;
	}
	if (p->requests + count > REQUESTS_MAX ||
	    (p->queued && p->queued + bytes > s->node->queue_max)) {
		(void)snprintf(text, size,
			       "too much is on its way to node \"%s\" already: try again later",
			       p->name);
		return WIRE_E_BUSY;
	}
	return WIRE_OK;
}

static struct entry entry_make(struct batch *b, const struct item *it)
{
	struct entry e = {.msgid = it->msgid,
			  .timeout_ms = it->timeout_ms,
			  .index = it->index,
			  .partition = it->partition,
			  .method = it->method,
			  .of_cluster = it->of_cluster,
			  .writes = item_writes(it),
			  .droppable = item_droppable(it),
			  .at = (uint32_t)b->kept.len};

	if (!it->of_cluster)
		return e;
	buf_add(&b->kept, it->data, it->size);
	if (b->kept.failed)
		b->kept.failed = false; /* then it cannot be sent again */
	else
		e.size = it->size;
	return e;
}

static bool batch_send(struct peers *s, struct peer *p, const struct items *m, struct reply_to o,
		       uint32_t first, uint32_t count, uint64_t bytes)
{
	struct batch *b = batch_new(s->requests, p, count);
	char *at = b ? outbox_room(p, b->id, bytes + peer_message_batch_room(count)) : NULL;
	uint32_t i = first;

	if (!at) {
		if (b) {
			p->forwarded -= count;
			batch_free(s->requests, b);
		}
		return false;
	}
	b->reply_to = o;
	b->recv_ms = s->node->now_ms;
	b->recv_us = s->node->now_us;
	at = peer_message_batch(
		at, m->item[first].of_cluster ? PEER_MESSAGE_ROUTED : PEER_MESSAGE_BATCH, b->id,
		s->node->now_ms, p->given, m->visited, m->visited_count,
		span_of(conf_text(s->node->conf, CONF_node_name)), count);
	for (uint32_t k = 0; k < count; k++, i = m->item[i].next) {
		const struct item *it = &m->item[i];
		uint64_t due = s->node->now_ms + it->timeout_ms;

		b->entry[k] = entry_make(b, it);
		at = write_uint(at, it->timeout_ms);
		if (due < p->due_ms)
			p->due_ms = due;
	}
	if (m->item[first].of_cluster) {
		at = peer_message_epochs(at, count);
		i = first;
		for (uint32_t k = 0; k < count; k++, i = m->item[i].next)
			at = write_uint(at, m->item[i].epoch);
	}
	at = peer_message_bytes(at, bytes);
	for (i = first; count--; i = m->item[i].next) {
		memcpy(at, m->item[i].data, m->item[i].size);
		at += m->item[i].size;
	}
	outbox_wrote(p, at);
	return true;
}

void peer_client_items(struct peers *s, struct peer *p, const struct items *m, struct reply_to o,
		       uint32_t first)
{
	char text[400];

	while (first != ITEM_NONE) {
		uint64_t bytes = 0;
		uint32_t count = 0;
		uint32_t i = first;
		enum wire_error e;

		/* What is routed by partition is a batch of its own. */
		while (i != ITEM_NONE && m->item[i].of_cluster == m->item[first].of_cluster &&
		       (!count || bytes + m->item[i].size + peer_message_batch_room(count + 1) <=
					  p->frame_max)) {
			bytes += m->item[i].size;
			count++;
			i = m->item[i].next;
		}
		e = peer_refuses(s, p, count, bytes, text, sizeof(text));
		if (e == WIRE_OK && !batch_send(s, p, m, o, first, count, bytes)) {
			e = WIRE_E_BUSY;
			(void)snprintf(text, sizeof(text),
				       "too much is on its way to other nodes: try again later");
		}
		if (e != WIRE_OK)
			items_refuse(s, m, o, first, count, e, text);
		first = i;
	}
}

/* ---- replies ---- */

/* A reply of another node to an entry that was open. */
static void reply_count(const struct peers *s, const struct batch *b, const struct entry *e,
			const char *reply)
{
	if (!FIGURES_COUNT)
		return;
	figures_result(s->node->figures, e->method, reply_error_of(reply));
	figures_duration(s->node->figures, e->method, b->recv_us, s->node->now_us);
}

/*
 * Reply by reply: some had been answered here, or the client leaves so much unread that reads,
 * which changed nothing, are refused after all.
 */
static void replies_pick(struct peers *s, struct batch *b, const struct peer_message *h)
{
	const char *p = h->bytes.p;

	for (uint32_t i = 0; i < h->count; i++) {
		struct entry *e = &b->entry[peer_message_index_at(h->indexes, i)];
		const char *over = reply_over(s->sink, b->reply_to);
		const char *next = read_skip(p);

		if (over && e->droppable) {
			entry_error(s, b, e, WIRE_E_BUSY, over);
		} else if (!e->answered) {
			check(b->open);
			check(b->peer->requests);
			e->answered = true;
			b->open--;
			b->peer->requests--;
			reply_count(s, b, e, p);
			reply_send(s->sink, entry_owner(b, e), p, (size_t)(next - p));
		}
		p = next;
	}
}

/* Exactly `count` whole objects, each for another request of the batch, in their order. */
static bool replies_sane(const struct batch *b, const struct peer_message *h)
{
	const char *p = h->bytes.p;
	const char *end = p + h->bytes.n;
	uint32_t least = 0;

	for (uint32_t i = 0; i < h->count; i++) {
		uint32_t k = peer_message_index_at(h->indexes, i);

		if (k < least || k >= b->count || !read_whole(p, end, &p))
			return false;
		least = k + 1;
	}
	return p == end;
}

static uint64_t overdue(struct peers *s, struct peer *p);

bool peer_client_replies(struct peers *s, struct peer *p, const struct peer_message *h)
{
	struct peer_requests *f = s->requests;
	struct batch *b;
	uint32_t fresh = 0;

	if (p->due_ms + OVERDUE_GRACE_MS <= s->node->now_ms) /* what was not known in time is not */
		p->due_ms = overdue(s, p);
	b = batch_find(f, p, h->id);
	if (!b)
		return true;                           /* all answered here: they came too late */
	if (b->id > p->sent_id || !replies_sane(b, h)) /* or to what was never sent */
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		struct entry *e = &b->entry[peer_message_index_at(h->indexes, i)];

		fresh += !e->answered;
		f->index[i] = e->index;
	}
	if (fresh != h->count || reply_over(s->sink, b->reply_to)) {
		replies_pick(s, b, h);
	} else {
		const char *at = h->bytes.p;

		for (uint32_t i = 0; i < h->count; i++, at = read_skip(at)) {
			struct entry *e = &b->entry[peer_message_index_at(h->indexes, i)];

			e->answered = true;
			reply_count(s, b, e, at);
		}
		check(b->open >= h->count);
		check(p->requests >= h->count);
		b->open -= h->count;
		p->requests -= h->count;
		reply_many(s->sink, b->reply_to, f->index, h->count, h->bytes.p, h->bytes.n, false);
	}
	if (!b->open)
		batch_free(f, b);
	return true;
}

bool peer_client_elsewhere(struct peers *s, struct peer *p, const struct peer_message *h)
{
	struct batch *b = batch_find(s->requests, p, h->id);

	p->given += h->count;
	if (!b)
		return true;
	if (b->id > p->sent_id)
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		uint32_t k = peer_message_index_at(h->indexes, i);

		if (k >= b->count || !b->entry[k].of_cluster)
			return false;
	}
	for (uint32_t i = 0; i < h->count; i++)
		entry_elsewhere(s, b, &b->entry[peer_message_index_at(h->indexes, i)]);
	if (!b->open)
		batch_free(s->requests, b);
	return true;
}

/* ---- answers that no peer gives ---- */

/* Is it a write that is given up with its outcome unknown?  See reads_passed. */
static bool is_unsure(const struct batch *b, const struct entry *e, uint32_t partition,
		      uint64_t due_ms)
{
	return !e->answered && e->of_cluster && e->writes &&
	       (partition == ANY || e->partition == partition) &&
	       b->recv_ms + e->timeout_ms <= due_ms;
}

/*
 * Reads that are sent again keep their client's order: not if a write that it sent behind them, to the
 * same partition, is about to be given up with its outcome unknown: those up to batch `to`, of one
 * partition or ANY, whose time is over at `due_ms`.
 */
static void reads_passed(struct peers *s, struct peer *p, uint64_t to, uint32_t partition,
			 uint64_t due_ms)
{
	struct peer_requests *f = s->requests;
	struct unsure unsure;
	uint32_t n = 0;

	for (uint32_t i = p->batch_first; i != NONE; i = f->batch[i].next)
		for (uint32_t k = 0; k < f->batch[i].count && f->batch[i].id <= to; k++)
			n += is_unsure(&f->batch[i], &f->batch[i].entry[k], partition, due_ms);
	if (!n)
		return;
	unsure_init(&unsure, n);
	for (uint32_t i = p->batch_last; i != NONE; i = f->batch[i].prev) {
		const struct batch *b = &f->batch[i];
		uint32_t asker = reply_asker(s->sink, b->reply_to);

		for (uint32_t k = b->id <= to ? b->count : 0; k-- > 0;) {
			struct entry *e = &b->entry[k];

			if (is_unsure(b, e, partition, due_ms))
				unsure_add(&unsure, asker, e->partition);
			else if (!e->answered && e->of_cluster && !e->writes)
				e->passed |= unsure_has(&unsure, asker, e->partition);
		}
	}
	unsure_fini(&unsure);
}

/* `sent`: the peer may have run them, so that only reads may be sent again. */
static uint32_t refuse(struct peers *s, struct peer *p, uint64_t from, uint64_t to, bool sent,
		       enum wire_error error, const char *text)
{
	struct peer_requests *f = s->requests;
	uint32_t next;
	uint32_t n = 0;

	for (uint32_t i = p->batch_first; i != NONE; i = next) {
		struct batch *b = &f->batch[i];

		next = b->next;
		if (b->id < from || b->id > to)
			continue;
		n += b->open;
		for (uint32_t k = 0; k < b->count; k++)
			entry_lost(s, b, &b->entry[k], sent, error, text);
		batch_free(f, b);
	}
	return n;
}

void peer_client_refuse(struct peers *s, struct peer *p, uint64_t from, uint64_t to,
			enum wire_error e, const char *text)
{
	(void)refuse(s, p, from, to, false, e, text);
}

uint32_t peer_client_broken(struct peers *s, struct peer *p)
{
	char text[400];

	(void)snprintf(text, sizeof(text),
		       "the link to node \"%s\" broke before its reply: it may or may not have "
		       "taken effect",
		       p->name);
	reads_passed(s, p, p->sent_id, ANY, UINT64_MAX);
	return refuse(s, p, 0, p->sent_id, true, WIRE_E_TIMEOUT, text);
}

static uint64_t overdue(struct peers *s, struct peer *p)
{
	struct peer_requests *f = s->requests;
	uint64_t due_min = UINT64_MAX;
	char text[200];
	uint32_t next;

	(void)snprintf(text, sizeof(text),
		       "no outcome from node \"%s\" in time: it may or may not have taken effect",
		       p->name);
	reads_passed(s, p, UINT64_MAX, ANY, s->node->now_ms);
	for (uint32_t i = p->batch_first; i != NONE; i = next) {
		struct batch *b = &f->batch[i];

		next = b->next;
		for (uint32_t k = 0; k < b->count && b->open; k++) {
			struct entry *e = &b->entry[k];
			uint64_t due = b->recv_ms + e->timeout_ms;

			if (e->answered)
				continue;
			if (due <= s->node->now_ms)
				entry_error(s, b, e, WIRE_E_TIMEOUT, text);
			else if (due < due_min)
				due_min = due;
		}
		if (!b->open)
			batch_free(f, b);
	}
	return due_min;
}

uint64_t peer_client_overdue(struct peers *s)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; i < s->count; i++) {
		struct peer *p = s->peer[i];

		if (p->due_ms + OVERDUE_GRACE_MS <= s->node->now_ms)
			p->due_ms = overdue(s, p);
		if (p->due_ms < next)
			next = p->due_ms;
		check_slow(peer_client_agrees(s, p));
	}
	return next == UINT64_MAX ? next : next + OVERDUE_GRACE_MS;
}

void peer_client_deposed(struct peers *s, struct peer *p, uint32_t partition)
{
	struct peer_requests *f = s->requests;
	char text[200];
	uint32_t next;

	(void)snprintf(text, sizeof(text),
		       "node \"%s\" was replaced before its reply: it may or may not have taken "
		       "effect",
		       p->name);
	reads_passed(s, p, UINT64_MAX, partition, UINT64_MAX);
	for (uint32_t i = p->batch_first; i != NONE; i = next) {
		struct batch *b = &f->batch[i];

		next = b->next;
		for (uint32_t k = 0; k < b->count && b->open; k++)
			if (b->entry[k].of_cluster && b->entry[k].partition == partition)
				entry_lost(s, b, &b->entry[k], true, WIRE_E_TIMEOUT, text);
		if (!b->open)
			batch_free(f, b);
	}
}

uint64_t peer_client_last_id(const struct peers *s)
{
	return s->requests->last_id;
}

bool peer_client_waits(const struct peers *s, const struct peer *p, uint64_t id)
{
	return p->batch_first != NONE && s->requests->batch[p->batch_first].id <= id;
}
