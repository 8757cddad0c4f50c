/* Interned clients, gathered replies, credits. */
#include "coordinator/clients.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "include/wire.h"

#define PIECES_MAX  8192u
#define GATHERS_MAX 65536u
#define FRAME_HEAD  16u /* bytes before a frame's: its size */
#define NONE        UINT32_MAX

/* What a client has not taken yet.  Lives until the last frame has left. */
struct credit {
	_Atomic uint64_t unread;
	_Atomic uint64_t taken; /* ever */
	_Atomic uint32_t refs;
};

struct client {
	uint64_t generation; /* 0: free */
	uint64_t hash;
	struct link *link;
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
struct piece {
	const char *data;
	uint32_t n;
	uint32_t next;
};

struct gather {
	uint64_t generation; /* 0: free */
	struct owner client;
	uint32_t left;
	uint32_t next_free;
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
	uint64_t seed;
	uint64_t generation;
	uint32_t *pending;
	uint32_t pending_count;
	struct piece piece[PIECES_MAX];
	uint32_t pieces;
	struct gather *gather;
	uint32_t gathers;
	uint32_t gather_free;
};

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
	c->gather_free = NONE;
	c->slot = malloc(n * sizeof(*c->slot));
	c->client = calloc(config->clients_max, sizeof(*c->client));
	c->pending = calloc(config->clients_max, sizeof(*c->pending));
	c->gather = calloc(GATHERS_MAX, sizeof(*c->gather));
	if (!c->slot || !c->client || !c->pending || !c->gather ||
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
}

static void credit_drop(struct credit *k)
{
	if (k && atomic_fetch_sub(&k->refs, 1) == 1)
		free(k);
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
	for (uint32_t i = 0; i < c->gathers; i++)
		buf_fini(&c->gather[i].buf);
	free(c->slot);
	free(c->client);
	free(c->pending);
	free(c->gather);
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

/* Room in a full table: forget the client that was silent longest and has nothing on its way. */
static bool client_evict(struct clients *c)
{
	uint32_t oldest = NONE;

	for (uint32_t i = 0; i < c->used; i++) {
		struct client *x = &c->client[i];

		if (x->generation && !x->pending && !atomic_load(&x->credit->unread) &&
		    (oldest == NONE || x->active_ms < c->client[oldest].active_ms))
			oldest = i;
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
	x->credit = calloc(1, sizeof(*x->credit));
	if (!x->id || !x->credit) {
		free(x->id);
		free(x->credit);
		x->id = NULL;
		x->credit = NULL;
		return NONE;
	}
	if (c->free_list != NONE)
		c->free_list = x->next;
	else
		c->used++;
	atomic_store(&x->credit->refs, 1);
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

bool clients_intern(struct clients *c, struct link *link, const struct link_message *m,
		    uint64_t now_ms, struct owner *ret)
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
	*ret = (struct owner){owner_id(OWNER_CLIENT, i), 0, x->generation};
	return true;
}

static struct client *client_of(struct clients *c, struct owner o)
{
	struct client *x = &c->client[owner_index(o)];

	return x->generation == o.generation ? x : NULL;
}

uint32_t *clients_tag(struct clients *c, struct owner client)
{
	struct client *x = client_of(c, client);

	return x ? &x->tag : NULL;
}

int clients_unread(const struct clients *c, struct owner client)
{
	const struct client *x = &c->client[owner_index(client)];
	uint64_t unread = atomic_load_explicit(&x->credit->unread, memory_order_relaxed);

	if (unread <= c->config.unread_max)
		return 0;
	return unread <= c->config.unread_max + c->config.unread_max / 4 ? 1 : 2;
}

bool clients_over(const struct clients *c, struct owner o)
{
	const struct client *x;

	if (owner_kind(o) == OWNER_GATHER)
		o = c->gather[owner_index(o)].client;
	x = &c->client[owner_index(o)];
	if (x->generation != o.generation)
		return false;
	return atomic_load_explicit(&x->credit->unread, memory_order_relaxed) +
		       (x->pending ? x->piece_bytes + x->local.len : 0) >
	       c->config.unread_max;
}

/* ---- sending ---- */

/* On ZeroMQ's thread, or ours: a frame is gone. */
static void frame_done(void *data, void *arg)
{
	char *base = (char *)data - FRAME_HEAD;
	struct credit *k = arg;
	uint64_t n;

	memcpy(&n, base, sizeof(n));
	atomic_fetch_sub_explicit(&k->unread, n, memory_order_relaxed);
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
	atomic_fetch_add_explicit(&x->credit->unread, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&x->credit->refs, 1, memory_order_relaxed);
	return base + FRAME_HEAD;
}

static void frame_send(struct clients *c, uint32_t index, bool delimiter, char *frame, uint64_t n)
{
	struct client *x = &c->client[index];
	int r = link_send(x->link, (struct span){x->id, x->id_len}, delimiter, frame, n, frame_done,
			  x->credit);

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
	if (x->local.size > 65536)
		buf_fini(&x->local);
	x->piece_first = NONE;
	x->piece_bytes = 0;
	frame_send(c, index, false, frame, n);
}

void clients_flush(struct clients *c)
{
	for (uint32_t i = 0; i < c->pending_count; i++)
		client_flush(c, c->pending[i]);
	c->pending_count = 0;
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
	c->piece[i] = (struct piece){data, (uint32_t)n, NONE};
	client_pend(c, x);
	if (x->piece_first == NONE)
		x->piece_first = i;
	else
		c->piece[x->piece_last].next = i;
	x->piece_last = i;
	x->piece_bytes += n;
}

/* ---- gathers ---- */

bool clients_gather(struct clients *c, struct owner client, uint32_t count, struct owner *ret)
{
	struct gather *g;
	uint32_t i = c->gather_free;

	if (i == NONE && c->gathers == GATHERS_MAX)
		return false;
	if (i == NONE)
		i = c->gathers++;
	else
		c->gather_free = c->gather[i].next_free;
	g = &c->gather[i];
	g->generation = ++c->generation;
	g->client = client;
	g->left = count;
	g->buf.len = 0;
	g->buf.failed = false;
	*ret = (struct owner){owner_id(OWNER_GATHER, i), 0, g->generation};
	return true;
}

static void gather_finish(struct clients *c, struct gather *g)
{
	struct client *x = client_of(c, g->client);
	uint32_t index = owner_index(g->client);
	char *frame = x && !g->buf.failed ? frame_new(x, g->buf.len) : NULL;

	if (frame) {
		memcpy(frame, g->buf.data, g->buf.len);
		frame_send(c, index, true, frame, g->buf.len);
	} else if (x) {
		log_error("answer a client: no memory");
	}
	g->generation = 0;
	if (g->buf.size > 65536)
		buf_fini(&g->buf);
	g->next_free = c->gather_free;
	c->gather_free = (uint32_t)(g - c->gather);
}

static struct gather *gather_of(struct clients *c, struct owner o)
{
	struct gather *g = &c->gather[owner_index(o)];

	return g->generation == o.generation ? g : NULL;
}

static void gather_count(struct clients *c, struct gather *g, uint32_t count)
{
	check(g->left >= count);
	g->left -= count;
	if (!g->left)
		gather_finish(c, g);
}

/* ---- answering ---- */

void clients_answer(struct clients *c, struct owner o, const char *replies, size_t n,
		    uint32_t count, bool stays)
{
	struct client *x;
	struct gather *g;

	if (owner_kind(o) == OWNER_GATHER) {
		g = gather_of(c, o);
		if (!g)
			return;
		buf_add(&g->buf, replies, n);
		gather_count(c, g, count);
		return;
	}
	x = client_of(c, o);
	if (x && stays) {
		client_piece(c, x, replies, n);
	} else if (x) {
		client_pend(c, x);
		buf_add(&x->local, replies, n);
	}
}

static struct buf *buf_of(struct clients *c, struct owner o)
{
	if (owner_kind(o) == OWNER_GATHER) {
		struct gather *g = gather_of(c, o);

		return g ? &g->buf : NULL;
	} else {
		struct client *x = client_of(c, o);

		if (x)
			client_pend(c, x);
		return x ? &x->local : NULL;
	}
}

char *clients_room(struct clients *c, struct owner o, size_t n)
{
	struct buf *b = buf_of(c, o);

	return b ? buf_room(b, n) : NULL;
}

void clients_wrote(struct clients *c, struct owner o, const char *end)
{
	struct buf *b = buf_of(c, o);

	b->len = (size_t)(end - b->data);
	if (owner_kind(o) == OWNER_GATHER)
		gather_count(c, gather_of(c, o), 1);
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
		 (unsigned long long)atomic_load(&x->credit->unread));
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
		if (taken != x->taken_seen || !atomic_load(&x->credit->unread)) {
			x->taken_seen = taken;
			x->taken_ms = now_ms;
		} else if (now_ms - x->taken_ms >= c->config.unread_ms && !x->pending) {
			client_cut(c, i);
		}
	}
}

uint32_t clients_notify(struct clients *c, const struct link *link, const char *data, size_t n)
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
		frame_send(c, i, false, frame, n);
		told += x->generation != 0; /* else it was gone */
	}
	return told;
}

uint32_t clients_count(const struct clients *c, const struct link *link)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->used; i++)
		n += c->client[i].generation && c->client[i].link == link;
	return n;
}

bool clients_sending(const struct clients *c)
{
	for (uint32_t i = 0; i < c->used; i++)
		if (c->client[i].generation && atomic_load(&c->client[i].credit->unread))
			return true;
	return false;
}
