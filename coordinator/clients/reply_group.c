/* Messages with a delimiter: their replies gather, and go back as one message. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/log.h"
#include "coordinator/clients/clients_impl.h"

struct reply_to clients_of(const struct clients *c, struct reply_to o)
{
	const struct reply_group *g;

	if (reply_to_kind(o) != REPLY_TO_GROUP)
		return o;
	g = &c->reply_group[reply_to_index(o)];
	return g->generation == o.generation ? g->client : o;
}

/* A copy of a message's envelope.  False: no memory. */
static bool envelope_copy(const struct socket_message *m, struct envelope **ret)
{
	struct envelope *e;
	char *p;

	*ret = NULL;
	if (!m->envelopes)
		return true;
	e = malloc(sizeof(*e) + m->envelopes * SOCKET_ENVELOPE_FRAME_MAX);
	if (!e)
		return false;
	e->count = m->envelopes;
	p = e->bytes;
	for (uint32_t i = 0; i < e->count; i++) {
		e->size[i] = (uint8_t)m->envelope[i].n;
		memcpy(p, m->envelope[i].p, e->size[i]);
		p += e->size[i];
	}
	*ret = e;
	return true;
}

bool clients_group(struct clients *c, struct reply_to client, const struct socket_message *m,
		   uint32_t count, struct reply_to *ret)
{
	struct client *x = client_of(c, client);
	struct envelope *envelope;
	struct reply_group *g;
	uint32_t i = c->reply_group_free;

	if (!x || (i == NONE && c->reply_groups == REPLY_GROUPS_MAX) ||
	    !envelope_copy(m, &envelope))
		return false;
	if (i == NONE)
		i = c->reply_groups++;
	else
		c->reply_group_free = c->reply_group[i].next_free;
	g = &c->reply_group[i];
	g->generation = ++c->generation;
	g->client = client;
	g->credit = x->credit;
	atomic_fetch_add_explicit(&g->credit->refs, 1, memory_order_relaxed);
	g->reserved = 0;
	g->left = count;
	g->envelope = envelope;
	*ret = (struct reply_to){reply_to_id(REPLY_TO_GROUP, i), 0, g->generation};
	return true;
}

struct reply_group *reply_group_of(struct clients *c, struct reply_to o)
{
	struct reply_group *g = &c->reply_group[reply_to_index(o)];

	return g->generation == o.generation ? g : NULL;
}

static void reply_group_charge(struct reply_group *g, uint64_t n)
{
	credit_charge(g->credit, n);
	g->credit->gathering += n;
}

static void reply_group_release(struct reply_group *g, uint64_t n)
{
	credit_release(g->credit, n);
	g->credit->gathering -= n;
}

bool clients_reserve(struct clients *c, struct reply_to o, uint64_t bytes)
{
	struct reply_group *g = reply_to_kind(o) == REPLY_TO_GROUP ? reply_group_of(c, o) : NULL;

	if (!g)
		return true;
	if (credit_unread(g->credit) + bytes > c->config.unread_max)
		return false;
	reply_group_charge(g, bytes);
	g->reserved += bytes;
	return true;
}

/* The bytes that have gathered become the frame as they are: what has been counted stays so. */
static char *reply_group_frame(struct reply_group *g, uint64_t *ret_n)
{
	char *base = g->buf.data;
	uint64_t n = g->buf.len - FRAME_HEAD;

	memcpy(base, &n, sizeof(n));
	atomic_fetch_add_explicit(&g->credit->refs, 1, memory_order_relaxed);
	g->credit->gathering -= n;
	buf_init(&g->buf);
	*ret_n = n;
	return base + FRAME_HEAD;
}

static void reply_group_finish(struct clients *c, struct reply_group *g)
{
	struct client *x = client_of(c, g->client);
	char *frame;
	uint64_t n;

	reply_group_release(g, g->reserved);
	if (x && g->buf.len && !g->buf.failed) {
		frame = reply_group_frame(g, &n);
		frame_send(c, reply_to_index(g->client), g, frame, n);
	} else {
		if (x)
			log_error("answer a client: no memory");
		if (g->buf.len)
			reply_group_release(g, g->buf.len - FRAME_HEAD);
		buf_fini(&g->buf);
	}
	credit_drop(g->credit);
	g->credit = NULL;
	free(g->envelope);
	g->envelope = NULL;
	g->generation = 0;
	g->next_free = c->reply_group_free;
	c->reply_group_free = (uint32_t)(g - c->reply_group);
}

/* `count` more replies.  Nobody will take them if the client is gone. */
void reply_group_add(struct clients *c, struct reply_group *g, const char *replies, size_t n,
		     uint32_t count)
{
	size_t before;

	check(g->left >= count);
	if (client_of(c, g->client)) {
		if (!g->buf.len && buf_room(&g->buf, FRAME_HEAD + n))
			g->buf.len = FRAME_HEAD;
		before = g->buf.len;
		if (before)
			buf_add(&g->buf, replies, n);
		reply_group_charge(g, g->buf.len - before);
	}
	g->left -= count;
	if (!g->left)
		reply_group_finish(c, g);
}
