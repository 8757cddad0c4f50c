/* Interned clients, gathered replies, credits. */
#include "coordinator/clients/clients.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "coordinator/clients/credit.h"
#include "include/wire.h"

#define PIECES_MAX       8192u
#define REPLY_GROUPS_MAX 65536u
#define FRAME_HEAD       16u /* bytes before a frame's: its size */
#define RESERVED                                                                        \
	128u /* bytes for a write's reply that will reply_group; refusals may be longer \
	      */
#define EVICT_LOOK 1024u
#define NONE       UINT32_MAX

struct client {
	uint64_t generation; /* 0: free */
	uint64_t hash;
	struct socket *link;
	char *id;
	uint32_t id_len;
	uint32_t next; /* in its chain, or of the free list */
	struct credit *credit;
	uint32_t tag;
	bool delimiter; /* a REQ: it cannot read notifications */
	bool told;      /* it has got the notification that clients_notify sends once */
	bool pending;   /* has output of this round */
	uint32_t piece_first;
	uint32_t piece_last;
	uint64_t piece_bytes;
	struct buf local;
	uint64_t active_ms;
	uint64_t taken_seen;
	uint64_t taken_ms; /* when `taken` last grew, or nothing was left */
	int source_fd;
	struct sockaddr_storage source;
	socklen_t source_len;
};

/* Replies that wait in the ring to be copied into a client's frame. */
struct iov {
	const char *data;
	uint32_t n;
	uint32_t next;
};

/* What stood before a delimiter. */
struct envelope {
	uint32_t count;
	uint8_t size[SOCKET_ENVELOPE_MAX];
	char bytes[]; /* back to back */
};
_Static_assert(SOCKET_ENVELOPE_FRAME_MAX <= UINT8_MAX, "a frame's size fits");

/* The frame that answers a whole message, with FRAME_HEAD bytes before it, and whose it will be. */
struct reply_group {
	uint64_t generation; /* 0: free */
	struct reply_to client;
	struct credit *credit;
	uint64_t reserved; /* bytes that count as unread beside those in buf */
	uint32_t left;
	uint32_t next_free;
	struct envelope *envelope; /* or NULL: nothing but the delimiter */
	struct buf buf;
};

struct clients {
	struct clients_config config;
	struct client *client;
	uint32_t *slot; /* chains by hash */
	uint32_t mask;
	uint32_t used; /* entries of client[] ever used */
	uint32_t count;
	uint32_t free_list;
	uint32_t evict_next;
	uint64_t seed;
	uint64_t generation;
	struct credit *all;
	uint32_t *pending;
	uint32_t pending_count;
	uint64_t pending_bytes;
	struct iov piece[PIECES_MAX];
	uint32_t pieces;
	struct reply_group *reply_group;
	uint32_t reply_groups;
	uint32_t reply_group_free;
};

/* ---- the whole ---- */

int clients_new(const struct clients_config *config, struct clients **ret)
{
	struct clients *c = calloc(1, sizeof(*c));
	uint32_t n = 64;

	if (!c)
		return -ENOMEM;
	while (n < config->clients_max)
		n *= 2;
	c->config = *config;
	c->mask = n - 1;
	c->free_list = NONE;
	c->reply_group_free = NONE;
	c->slot = malloc(n * sizeof(*c->slot));
	c->client = calloc(config->clients_max, sizeof(*c->client));
	c->pending = calloc(config->clients_max, sizeof(*c->pending));
	c->reply_group = calloc(REPLY_GROUPS_MAX, sizeof(*c->reply_group));
	c->all = credit_new(NULL);
	if (!c->slot || !c->client || !c->pending || !c->reply_group || !c->all ||
	    getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed)) {
		clients_free(&c);
		return -ENOMEM;
	}
	memset(c->slot, 0xff, n * sizeof(*c->slot));
	*ret = c;
	return 0;
}

void clients_configure(struct clients *c, const struct clients_config *config)
{
	c->config.unread_max = config->unread_max;
	c->config.unread_ms = config->unread_ms;
	c->config.unread_total = config->unread_total;
}

void clients_free(struct clients **cp)
{
	struct clients *c = *cp;

	if (!c)
		return;
	for (uint32_t i = 0; i < c->used; i++) {
		free(c->client[i].id);
		buf_fini(&c->client[i].local);
		credit_drop(c->client[i].credit);
	}
	for (uint32_t i = 0; i < c->reply_groups; i++) {
		credit_drop(c->reply_group[i].credit);
		free(c->reply_group[i].envelope);
		buf_fini(&c->reply_group[i].buf);
	}
	credit_drop(c->all);
	free(c->slot);
	free(c->client);
	free(c->pending);
	free(c->reply_group);
	free(c);
	*cp = NULL;
}

/* ---- the table ---- */

static void client_remove(struct clients *c, uint32_t index)
{
	struct client *x = &c->client[index];
	uint32_t *link = &c->slot[x->hash & c->mask];

	while (*link != index)
		link = &c->client[*link].next;
	*link = x->next;
	x->generation = 0;
	free(x->id);
	x->id = NULL;
	credit_drop(x->credit);
	x->credit = NULL;
	x->local.len = 0;
	x->next = c->free_list;
	c->free_list = index;
	c->count--;
}

/* May it be forgotten: has it nothing on its way? */
static bool client_idle(const struct client *x)
{
	return x->generation && !x->pending && !credit_unread(x->credit);
}

/*
 * Room in a full table: forget the client that was silent longest, of some that have their turn.
 * To look at all each time would cost a millisecond for each that comes.
 */
static bool client_evict(struct clients *c)
{
	uint32_t oldest = NONE;

	for (uint32_t i = 0; i < c->used && (i < EVICT_LOOK || oldest == NONE); i++) {
		struct client *x = &c->client[c->evict_next];

		if (client_idle(x) &&
		    (oldest == NONE || x->active_ms < c->client[oldest].active_ms))
			oldest = c->evict_next;
		c->evict_next = (c->evict_next + 1) % c->used;
	}
	if (oldest == NONE)
		return false;
	client_remove(c, oldest);
	return true;
}

static uint32_t client_new(struct clients *c, struct span id, uint64_t hash)
{
	struct client *x;
	uint32_t index;

	if (c->free_list == NONE && c->used == c->config.clients_max && !client_evict(c))
		return NONE;
	index = c->free_list != NONE ? c->free_list : c->used;
	x = &c->client[index];
	x->id = malloc(id.n ? id.n : 1);
	x->credit = credit_new(c->all);
	if (!x->id || !x->credit) {
		free(x->id);
		credit_drop(x->credit);
		x->id = NULL;
		x->credit = NULL;
		return NONE;
	}
	if (c->free_list != NONE)
		c->free_list = x->next;
	else
		c->used++;
	memcpy(x->id, id.p, id.n);
	x->id_len = (uint32_t)id.n;
	x->hash = hash;
	x->generation = ++c->generation;
	x->tag = 0;
	x->told = false;
	x->delimiter = false; /* `pending` stays: the place may be in this round's list already */
	x->piece_first = NONE;
	x->piece_bytes = 0;
	x->taken_seen = 0;
	x->source_fd = -1;
	x->next = c->slot[hash & c->mask];
	c->slot[hash & c->mask] = index;
	c->count++;
	return index;
}

bool clients_intern(struct clients *c, struct socket *link, const struct socket_message *m,
		    uint64_t now_ms, struct reply_to *ret)
{
	uint64_t hash = hash64(c->seed ^ (uintptr_t)link, m->id.p, m->id.n);
	uint32_t i = c->slot[hash & c->mask];
	struct client *x;

	while (i != NONE &&
	       !(c->client[i].hash == hash && c->client[i].link == link &&
		 span_equal((struct span){c->client[i].id, c->client[i].id_len}, m->id)))
		i = c->client[i].next;
	if (i == NONE) {
		i = client_new(c, m->id, hash);
		if (i == NONE)
			return false;
		x = &c->client[i];
		x->link = link;
		x->taken_ms = now_ms;
		x->source_fd = m->source_fd;
		x->source_len = sizeof(x->source);
		memset(&x->source, 0, sizeof(x->source));
		if (x->source_fd < 0 ||
		    getpeername(x->source_fd, (struct sockaddr *)&x->source, &x->source_len) < 0)
			x->source_fd = -1;
	}
	x = &c->client[i];
	x->active_ms = now_ms;
	x->delimiter |= m->delimiter;
	*ret = (struct reply_to){reply_to_id(REPLY_TO_CLIENT, i), 0, x->generation};
	return true;
}

static struct client *client_of(struct clients *c, struct reply_to o)
{
	struct client *x = &c->client[reply_to_index(o)];

	return x->generation == o.generation ? x : NULL;
}

uint32_t *clients_tag(struct clients *c, struct reply_to client)
{
	struct client *x = client_of(c, client);

	return x ? &x->tag : NULL;
}

/* 1: over a limit, 2: far over it. */
static int over(uint64_t unread, uint64_t limit)
{
	return unread <= limit ? 0 : unread <= limit + limit / 4 ? 1 : 2;
}

int clients_unread(const struct clients *c, struct reply_to client)
{
	const struct client *x = &c->client[reply_to_index(client)];

	return over(credit_unread(x->credit), c->config.unread_max);
}

uint64_t clients_waiting(const struct clients *c)
{
	return credit_unread(c->all) + c->pending_bytes;
}

int clients_crowded(const struct clients *c, struct reply_to client)
{
	const struct client *x = &c->client[reply_to_index(client)];
	int r = over(clients_waiting(c), c->config.unread_total);

	return r == 2 && !credit_unread(x->credit) ? 1 : r;
}

struct reply_to clients_of(const struct clients *c, struct reply_to o)
{
	const struct reply_group *g;

	if (reply_to_kind(o) != REPLY_TO_GROUP)
		return o;
	g = &c->reply_group[reply_to_index(o)];
	return g->generation == o.generation ? g->client : o;
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

/* ---- sending ---- */

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
static char *frame_new(struct client *x, uint64_t n)
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
static void frame_send(struct clients *c, uint32_t index, const struct reply_group *g, char *frame,
		       uint64_t n)
{
	struct client *x = &c->client[index];
	struct span id = {x->id, x->id_len};
	struct span envelope[SOCKET_ENVELOPE_MAX];
	uint32_t count = 0;
	const char *p;
	int r;

	for (; g && g->envelope && count < g->envelope->count; count++) {
		p = count ? envelope[count - 1].p + envelope[count - 1].n : g->envelope->bytes;
		envelope[count] = (struct span){p, g->envelope->size[count]};
	}
	r = g ? socket_reply(x->link, id, envelope, count, frame, n, frame_done, x->credit)
	      : socket_send(x->link, id, false, frame, n, frame_done, x->credit);
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

/* ---- reply_groups ---- */

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

static struct reply_group *reply_group_of(struct clients *c, struct reply_to o)
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

bool clients_reserve(struct clients *c, struct reply_to o)
{
	struct reply_group *g = reply_to_kind(o) == REPLY_TO_GROUP ? reply_group_of(c, o) : NULL;

	if (!g)
		return true;
	if (credit_unread(g->credit) + RESERVED > c->config.unread_max)
		return false;
	reply_group_charge(g, RESERVED);
	g->reserved += RESERVED;
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
static void reply_group_add(struct clients *c, struct reply_group *g, const char *replies, size_t n,
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

/* ---- answering ---- */

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

/* ---- now and then ---- */

/* Close the connection of a client that does not read, if its descriptor is still that one. */
static void client_cut(struct clients *c, uint32_t index)
{
	struct client *x = &c->client[index];
	struct sockaddr_storage now;
	socklen_t n = sizeof(now);

	memset(&now, 0, sizeof(now));
	if (x->source_fd >= 0 && getpeername(x->source_fd, (struct sockaddr *)&now, &n) == 0 &&
	    n == x->source_len && memcmp(&now, &x->source, n) == 0)
		(void)shutdown(x->source_fd, SHUT_RDWR);
	log_warn("cut off a client: it has not read for %llu ms and left %llu bytes",
		 (unsigned long long)c->config.unread_ms,
		 (unsigned long long)credit_unread(x->credit));
	client_remove(c, index);
}

void clients_tick(struct clients *c, uint64_t now_ms)
{
	for (uint32_t i = 0; i < c->used; i++) {
		struct client *x = &c->client[i];
		uint64_t taken;

		if (!x->generation)
			continue;
		taken = atomic_load_explicit(&x->credit->taken, memory_order_relaxed);
		if (taken != x->taken_seen || !credit_sent(x->credit)) {
			x->taken_seen = taken;
			x->taken_ms = now_ms;
		} else if (now_ms - x->taken_ms >= c->config.unread_ms && !x->pending) {
			client_cut(c, i);
		}
	}
}

uint32_t clients_notify(struct clients *c, const struct socket *link, const char *data, size_t n)
{
	uint32_t told = 0;

	for (uint32_t i = 0; i < c->used; i++) {
		struct client *x = &c->client[i];
		char *frame;

		if (!x->generation || x->link != link || x->delimiter || x->told)
			continue;
		x->told = true;
		frame = frame_new(x, n);
		if (!frame)
			continue;
		memcpy(frame, data, n);
		frame_send(c, i, NULL, frame, n);
		told += x->generation != 0; /* else it was gone */
	}
	return told;
}

bool clients_sending(const struct clients *c)
{
	for (uint32_t i = 0; i < c->used; i++)
		if (c->client[i].generation && credit_sent(c->client[i].credit))
			return true;
	return false;
}
