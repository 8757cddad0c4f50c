/* Requests packed into frames, and how much may be under way. */
#include <stdio.h>
#include <stdlib.h>

#include "client/client.h"
#include "client/failover.h"
#include "common/clock.h"

#define FRAME_BYTES  (256u << 10) /* a frame with so much is sent, however few its requests */
#define OUTBOX_FIRST (16u << 10)
/*
 * Nothing has come since so much was sent: the rest waits here, where it can still be given up.
 * What ZeroMQ has taken for a node that is not there stays in memory, and would be run whenever the
 * node comes back.
 */
#define UNHEARD_MAX (64u << 20)

size_t outbox_bytes(const struct pail *p)
{
	return p->out.to - p->out.from;
}

size_t outbox_frame_max(const struct pail *p)
{
	return p->message_max < FRAME_BYTES ? (size_t)p->message_max : FRAME_BYTES;
}

static bool room_make(struct outbox *o, size_t n)
{
	size_t size = o->size ? o->size : OUTBOX_FIRST;
	char *data;

	if (o->to + n <= o->size)
		return true;
	if (o->from) {
		memmove(o->data, o->data + o->from, o->to - o->from);
		o->to -= o->from;
		o->from = 0;
	}
	while (size < o->to + n)
		size *= 2;
	if (size == o->size)
		return true;
	data = realloc(o->data, size);
	if (!data)
		return false;
	o->data = data;
	o->size = size;
	return true;
}

int outbox_too_large(struct pail *p, size_t n)
{
	char text[120];

	note_send(p); /* its limit may have changed since it said so */
	(void)snprintf(text, sizeof(text),
		       "the request has %zu bytes, the node takes messages of %llu", n,
		       (unsigned long long)p->message_max);
	return client_fail(p, PAIL_TOO_LARGE, text);
}

int outbox_add(struct pail *p, uint32_t i, const struct sending *q, size_t n)
{
	struct outbox *o = &p->out;
	struct slot_in *s = &p->slot[i];
	char *at;
	char *end;

	if (!room_make(o, n))
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	at = o->data + o->to;
	end = q->form ? form_write(at, slot_msgid(p, i), q->form, q->once, q->timeout_ms)
		      : request_write(at, slot_msgid(p, i), q->q, q->timeout_ms);
	s->bytes = (uint32_t)(end - at);
	if (s->bytes > p->message_max)
		return outbox_too_large(p, s->bytes);
	s->sent_on = 0;
	s->next = NONE;
	o->to += s->bytes;
	if (o->count++)
		p->slot[o->last].next = i;
	else
		o->first = i;
	o->last = i;
	return PAIL_OK;
}

static void frame_done(void *data, void *arg)
{
	(void)arg;
	free(data);
}

/* The next frame's bytes as memory of its own: all of the outbox itself, or a copy of a part. */
static char *frame_cut(struct outbox *o, size_t n)
{
	char *frame = o->data;

	if (o->from || n != o->to) {
		frame = malloc(n);
		if (!frame)
			return NULL;
		memcpy(frame, o->data + o->from, n);
		o->from += n;
	} else {
		o->data = NULL;
		o->size = 0;
		o->from = n;
	}
	if (o->from == o->to)
		o->from = o->to = 0;
	return frame;
}

static void unheard_add(struct pail *p, size_t n)
{
	if (!p->unheard)
		p->unheard_ms = clock_ms();
	p->unheard += n;
}

/* One frame of at most so many requests and bytes. */
static int frame_send(struct pail *p, uint32_t count, size_t n)
{
	static const struct span none = {NULL, 0};
	struct outbox *o = &p->out;
	char *frame = frame_cut(o, n);
	int r;

	if (!frame)
		return client_fail(p, PAIL_NO_MEMORY, "no memory");
	r = socket_send(p->link, none, false, frame, n, frame_done, NULL);
	unheard_add(p, n);
	/* If that has failed they are gone all the same: as lost as on any wire. */
	for (o->count -= count; count; count--) {
		struct slot_in *s = &p->slot[o->first];

		o->first = s->next;
		s->sent_on = p->connection;
		p->on_wire++;
	}
	return r < 0 ? client_fail(p, PAIL_UNREACHABLE, strerror(-r)) : PAIL_OK;
}

int outbox_send(struct pail *p)
{
	struct outbox *o = &p->out;
	int r = PAIL_OK;

	/*
	 * Is anybody there?  Who is answers the note at once, and all goes on; else what is on the
	 * wire runs into its deadlines, and then a new connection is made.
	 */
	if (p->is_link && (!p->ready || p->gone))
		return PAIL_OK;
	if (o->count && is_silent(p)) {
		note_send(p);
		return PAIL_OK;
	}
	while (r == PAIL_OK && o->count && !p->goaway) {
		uint32_t i = o->first;
		size_t n = p->slot[i].bytes;
		uint32_t count = 1;

		while (count < p->options.batch && count < o->count) {
			i = p->slot[i].next;
			if (n + p->slot[i].bytes > outbox_frame_max(p))
				break;
			n += p->slot[i].bytes;
			count++;
		}
		if (p->unheard && p->unheard + n > UNHEARD_MAX)
			break;
		r = frame_send(p, count, n);
	}
	return r;
}

uint32_t outbox_expire(struct pail *p)
{
	struct outbox *o = &p->out;
	uint32_t expired = NONE;
	uint32_t *tail = &expired;
	uint32_t kept = 0;
	uint32_t last = NONE;
	size_t from = o->from;
	size_t to = o->from;

	for (uint32_t i = o->first, n = o->count, next; n; n--, i = next) {
		struct slot_in *s = &p->slot[i];

		next = s->next;
		if (s->deadline_ms <= p->now_ms) {
			s->next = NONE;
			*tail = i;
			tail = &s->next;
		} else {
			memmove(o->data + to, o->data + from, s->bytes);
			to += s->bytes;
			if (kept++)
				p->slot[last].next = i;
			else
				o->first = i;
			last = i;
		}
		from += s->bytes;
	}
	o->count = kept;
	o->last = last;
	o->to = to;
	if (o->from == o->to)
		o->from = o->to = 0;
	return expired;
}

void outbox_return(struct pail *p)
{
	struct outbox *o = &p->out;
	uint32_t i = o->first;
	uint32_t n = o->count;

	o->count = 0;
	o->from = o->to = 0;
	while (n--) {
		uint32_t next = p->slot[i].next;

		slot_fail(p, &p->slot[i], STATUS_UNSENT, "it was not sent");
		i = next;
	}
}

void note_send(struct pail *p)
{
	static const struct span none = {NULL, 0};
	char *note = p->noted || p->goaway || !p->link ? NULL : malloc(CODEC_HEAD_MAX + 32);
	size_t n;

	if (p->failover)
		failover_note(p->failover);
	if (!note)
		return;
	p->noted = true;
	n = (size_t)(write_request_head(note, NOTE_MSGID, WIRE_HELLO, 0) - note);
	(void)socket_send(p->link, none, false, note, n, frame_done, NULL);
}
