/* Replies on their way to clients: gathered during a round, packed, sent. */
#include "coordinator/clients/outgoing.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "coordinator/clients/clients_impl.h"

uint64_t clients_waiting(const struct clients *c)
{
	return credit_unread(c->all) + c->pending_bytes;
}

const char *clients_over(const struct clients *c, struct reply_to o)
{
	const struct client *x;
	uint64_t n;

	o = clients_of(c, o);
	x = &c->client[reply_to_index(o)];
	if (reply_to_kind(o) != REPLY_TO_CLIENT || x->generation != o.generation)
		return NULL; /* it is gone, and gets nothing */
	n = credit_unread(x->credit) + (x->pending ? x->piece_bytes + x->local.len : 0);
	if (n > c->config.unread_max)
		return CLIENTS_OVER;
	return clients_waiting(c) > c->config.unread_total ? CLIENTS_CROWDED : NULL;
}

/* On ZeroMQ's thread, or ours: a frame is gone. */
static void frame_done(void *data, void *arg)
{
	char *base = (char *)data - FRAME_HEAD;
	struct credit *k = arg;
	uint64_t n;

	memcpy(&n, base, sizeof(n));
	credit_release(k, n);
	atomic_fetch_add_explicit(&k->taken, n, memory_order_relaxed);
	credit_drop(k);
	free(base);
}

/* A frame of `n` bytes that counts against the client until it is gone. */
char *frame_new(struct client *x, uint64_t n)
{
	char *base = malloc(FRAME_HEAD + n);

	if (!base)
		return NULL;
	memcpy(base, &n, sizeof(n));
	credit_charge(x->credit, n);
	atomic_fetch_add_explicit(&x->credit->refs, 1, memory_order_relaxed);
	return base + FRAME_HEAD;
}

/* A frame to a client, or, with `g`, the one that answers a message. */
void frame_send(struct clients *c, uint32_t index, const struct reply_group *g, char *frame,
		uint64_t n)
{
	struct client *x = &c->client[index];
	struct span id = {x->id, x->id_len};
	struct span envelope[SOCKET_ENVELOPE_MAX];
	uint32_t count = 0;
	const char *p;
	int r;

	/*
	 * Its routing id may be another's by now, who has other rights.  ZeroMQ has one thread for
	 * connections, so that one is closed before the next with its id is there, and gives ids
	 * away in calls of this thread only: what is still connected now has the id in `send`.
	 */
	if (x->key[0] && !client_connected(x)) {
		frame_done(frame, x->credit);
		client_remove(c, index);
		return;
	}
	for (; g && g->envelope && count < g->envelope->count; count++) {
		p = count ? envelope[count - 1].p + envelope[count - 1].n : g->envelope->bytes;
		envelope[count] = (struct span){p, g->envelope->size[count]};
	}
	r = g ? c->net->reply(x->link, id, envelope, count, frame, n, frame_done, x->credit)
	      : c->net->send(x->link, id, false, frame, n, frame_done, x->credit);
	if (r == -EHOSTUNREACH)
		client_remove(c, index); /* it went away; nobody is left to tell */
	else if (r < 0)
		log_warn("send a reply: %s", strerror(-r));
}

static void client_flush(struct clients *c, uint32_t index)
{
	struct client *x = &c->client[index];
	uint64_t n = x->piece_bytes + x->local.len;
	char *frame;
	char *p;

	x->pending = false;
	if (x->local.failed)
		log_error("answer a client: no memory");
	if (x->local.failed && !x->local.len)
		buf_fini(&x->local);
	if (!x->generation || !n)
		return;
	frame = frame_new(x, n);
	if (!frame) {
		log_error("send %llu bytes of replies: no memory", (unsigned long long)n);
		return;
	}
	p = frame;
	for (uint32_t i = x->piece_first; i != NONE; i = c->piece[i].next) {
		memcpy(p, c->piece[i].data, c->piece[i].n);
		p += c->piece[i].n;
	}
	if (x->local.len)
		memcpy(p, x->local.data, x->local.len);
	x->local.len = 0;
	if (x->local.size > 65536 || x->local.failed)
		buf_fini(&x->local);
	x->piece_first = NONE;
	x->piece_bytes = 0;
	frame_send(c, index, NULL, frame, n);
}

void clients_flush(struct clients *c)
{
	for (uint32_t i = 0; i < c->pending_count; i++)
		client_flush(c, c->pending[i]);
	c->pending_count = 0;
	c->pending_bytes = 0;
	c->pieces = 0;
}

uint64_t clients_gathered(const struct clients *c)
{
	return c->pending_bytes;
}

bool clients_must_flush(const struct clients *c)
{
	return c->pieces == PIECES_MAX;
}

static void client_pend(struct clients *c, struct client *x)
{
	if (x->pending)
		return;
	x->pending = true;
	x->piece_first = NONE;
	x->piece_bytes = 0;
	c->pending[c->pending_count++] = (uint32_t)(x - c->client);
}

static void client_piece(struct clients *c, struct client *x, const char *data, size_t n)
{
	uint32_t i = c->pieces++;

	check(i < PIECES_MAX);
	c->piece[i] = (struct iov){data, (uint32_t)n, NONE};
	client_pend(c, x);
	if (x->piece_first == NONE)
		x->piece_first = i;
	else
		c->piece[x->piece_last].next = i;
	x->piece_last = i;
	x->piece_bytes += n;
	c->pending_bytes += n;
}

void clients_answer(struct clients *c, struct reply_to o, const char *replies, size_t n,
		    uint32_t count, bool stays)
{
	struct client *x;
	struct reply_group *g;

	if (reply_to_kind(o) == REPLY_TO_GROUP) {
		g = reply_group_of(c, o);
		if (g)
			reply_group_add(c, g, replies, n, count);
		return;
	}
	x = client_of(c, o);
	if (x && stays) {
		client_piece(c, x, replies, n);
	} else if (x) {
		client_pend(c, x);
		buf_add(&x->local, replies, n);
		c->pending_bytes += n;
	}
}

char *clients_room(struct clients *c, struct reply_to client, size_t n)
{
	struct client *x = client_of(c, client);

	if (!x)
		return NULL;
	client_pend(c, x);
	return buf_room(&x->local, n);
}

void clients_wrote(struct clients *c, struct reply_to client, const char *end)
{
	struct buf *b = &client_of(c, client)->local;
	size_t before = b->len;

	b->len = (size_t)(end - b->data);
	c->pending_bytes += b->len - before;
}
