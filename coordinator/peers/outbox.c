/* What waits to be sent to a peer: frames are built, queued, and handed to ZeroMQ. */
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "coordinator/peers/peers.h"
#include "coordinator/peers/peers_impl.h"

#define FRAME_TARGET (256u << 10) /* bytes: a frame that has so much is complete */

static void frame_done(void *data, void *arg)
{
	(void)arg;
	free(data);
}

bool outbox_small(struct peers *s, struct peer *p, const char *data, const char *end)
{
	static const struct span none = {NULL, 0};
	bool writable = false;
	size_t n = (size_t)(end - data);
	char *copy;

	(void)s->node->net->ready(p->link, &writable);
	copy = writable ? malloc(n) : NULL;
	if (!copy)
		return false;
	memcpy(copy, data, n);
	return s->node->net->send(p->link, none, false, copy, n, frame_done, NULL) == 0;
}

/* The frame that is being built goes into the queue. */
static void building_close(struct peer *p)
{
	struct outgoing *o;

	if (!p->building.len)
		return;
	o = calloc(1, sizeof(*o));
	if (!o)
		return; /* it stays in `building` */
	o->data = p->building.data;
	o->n = p->building.len;
	o->first_id = p->building_first;
	o->last_id = p->building_last;
	buf_init(&p->building);
	if (p->out_last)
		p->out_last->next = o;
	else
		p->out_first = o;
	p->out_last = o;
}

char *outbox_room(struct peer *p, uint64_t id, size_t n)
{
	uint64_t target = p->frame_max < FRAME_TARGET ? p->frame_max : FRAME_TARGET;
	size_t before;
	char *room;

	if (p->building.len && p->building.len + n > target) {
		building_close(p);
		if (p->building.len)
			return NULL;
	}
	before = p->building.len;
	room = buf_room(&p->building, n);
	p->building.failed = false;
	if (room && !before)
		p->building_first = id;
	if (room)
		p->building_last = id;
	return room;
}

bool outbox_agrees(const struct peer *p)
{
	uint64_t bytes = p->building.len;
	uint64_t id = p->sent_id;

	for (const struct outgoing *o = p->out_first; o; o = o->next) {
		if (o->first_id <= id || o->last_id < o->first_id || (!o->next && o != p->out_last))
			return false;
		id = o->last_id;
		bytes += o->n;
	}
	if (p->building.len && (p->building_first <= id || p->building_last < p->building_first))
		return false;
	return bytes == p->queued;
}

void outbox_wrote(struct peer *p, const char *end)
{
	size_t before = p->building.len;

	p->building.len = (size_t)(end - p->building.data);
	check(p->building.len > before);
	check(p->building.len <= p->building.size);
	p->queued += p->building.len - before;
	check_slow(outbox_agrees(p));
}

void outbox_drop(struct peer *p)
{
	struct outgoing *next;

	for (struct outgoing *o = p->out_first; o; o = next) {
		next = o->next;
		free(o->data);
		free(o);
	}
	p->out_first = NULL;
	p->out_last = NULL;
	p->building.len = 0;
	p->queued = 0;
}

void outbox_send(struct peers *s, struct peer *p)
{
	static const struct span none = {NULL, 0};

	building_close(p);
	while (p->out_first && p->state == PEER_UP) {
		struct outgoing *o = p->out_first;
		bool writable = false;

		(void)s->node->net->ready(p->link, &writable);
		if (!writable)
			return;
		p->out_first = o->next;
		if (!o->next)
			p->out_last = NULL;
		check(p->queued >= o->n);
		check(o->first_id > p->sent_id);
		p->queued -= o->n;
		if (o->n > p->frame_max) { /* queued before it had told its limit */
			peer_client_refuse(s, p, o->first_id, o->last_id, WIRE_E_TOO_LARGE,
					   "larger than the node it belongs to takes");
			free(o->data);
		} else if (s->node->net->send(p->link, none, false, o->data, o->n, frame_done,
					      NULL) == 0) {
			p->sent_id = o->last_id;
		}
		free(o);
	}
	check_slow(outbox_agrees(p));
}
