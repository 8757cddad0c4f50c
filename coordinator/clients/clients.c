/* Interned clients: who is connected, what each leaves unread, and their end. */
#include "coordinator/clients/clients.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/log.h"
#include "coordinator/node/figures.h"
#include "coordinator/clients/clients_impl.h"
#include "coordinator/security/security.h"

#define EVICT_LOOK 1024u

int clients_new(const struct clients_config *config, const struct net_ops *net,
		struct clients **ret)
{
	struct clients *c = calloc(1, sizeof(*c));
	uint32_t n = 64;

	if (!c)
		return -ENOMEM;
	while (n < config->clients_max)
		n *= 2;
	c->config = *config;
	c->net = net;
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

void clients_secure(struct clients *c, const struct security *security)
{
	c->security = security;
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

void client_remove(struct clients *c, uint32_t index)
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

static bool cookie_get(int fd, uint64_t *ret)
{
	socklen_t n = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &n) == 0;
}

/* The key of who sent the message that has just come. */
static struct span key_of(const struct clients *c, const struct socket *link)
{
	return c->security && security_on(c->security) ? c->net->message_key(link) : span_of("");
}

static void key_take(struct clients *c, struct client *x, struct span key)
{
	(void)snprintf(x->key, sizeof(x->key), "%.*s", (int)key.n, key.p);
	x->who = c->security ? security_client(c->security, key) : NULL;
}

bool client_connected(const struct client *x)
{
	uint64_t now;

	return x->source_fd >= 0 && cookie_get(x->source_fd, &now) && now == x->cookie;
}

/* The connection that it came by. */
static void source_take(struct client *x, int fd)
{
	x->source_fd = fd >= 0 && cookie_get(fd, &x->cookie) ? fd : -1;
}

bool clients_intern(struct clients *c, struct socket *link, const struct socket_message *m,
		    uint64_t now_ms, struct reply_to *ret)
{
	uint64_t hash = hash64(c->seed ^ (uintptr_t)link, m->id.p, m->id.n);
	uint32_t i = c->slot[hash & c->mask];
	struct span key = key_of(c, link);
	struct client *x;

	while (i != NONE &&
	       !(c->client[i].hash == hash && c->client[i].link == link &&
		 span_equal((struct span){c->client[i].id, c->client[i].id_len}, m->id)))
		i = c->client[i].next;
	/* A routing id is nobody's name: when its connection has ended, another may come with it. */
	if (i != NONE && !span_equal(key, span_of(c->client[i].key))) {
		client_remove(c, i);
		i = NONE;
	}
	if (i == NONE) {
		i = client_new(c, m->id, hash);
		if (i == NONE)
			return false;
		x = &c->client[i];
		x->link = link;
		x->taken_ms = now_ms;
		key_take(c, x, key);
	}
	x = &c->client[i];
	/* With an id of its own a client may come again by a connection whose descriptor has the old
	 * one's number: replies go to the connection, so with keys it is looked at each time. */
	if (x->source_fd != m->source_fd || x->key[0])
		source_take(x, m->source_fd);
	x->active_ms = now_ms;
	x->delimiter |= m->delimiter;
	*ret = (struct reply_to){reply_to_id(REPLY_TO_CLIENT, i), 0, x->generation};
	return true;
}

uint32_t *clients_tag(struct clients *c, struct reply_to client)
{
	struct client *x = client_of(c, client);

	return x ? &x->tag : NULL;
}

static enum backlog over(uint64_t unread, uint64_t limit)
{
	return unread <= limit               ? BACKLOG_NONE
	       : unread <= limit + limit / 4 ? BACKLOG_OVER
					     : BACKLOG_FAR;
}

const struct rights_client *clients_who(const struct clients *c, struct reply_to client)
{
	const struct client *x = &c->client[reply_to_index(client)];

	return x->generation == client.generation ? x->who : NULL;
}

struct span clients_key(const struct clients *c, struct reply_to client)
{
	const struct client *x = &c->client[reply_to_index(client)];

	return x->generation == client.generation ? span_of(x->key) : (struct span){"", 0};
}

enum backlog clients_unread(const struct clients *c, struct reply_to client)
{
	const struct client *x = &c->client[reply_to_index(client)];

	if (x->generation != client.generation)
		return BACKLOG_FAR;
	return over(credit_unread(x->credit), c->config.unread_max);
}

enum backlog clients_crowded(const struct clients *c, struct reply_to client)
{
	const struct client *x = &c->client[reply_to_index(client)];
	enum backlog r = over(clients_waiting(c), c->config.unread_total);

	return r == BACKLOG_FAR && !credit_unread(x->credit) ? BACKLOG_OVER : r;
}

/* ---- now and then ---- */

/*
 * Close its connection, if that is still there.  To close it in order would wait for the end of what
 * is still coming; a connection that is no TCP can only be closed in order.  ZeroMQ may close the
 * descriptor at any time, and another connection have its number: a second one stays what it is.
 * False: it was gone.
 */
static bool client_cut(struct clients *c, uint32_t index)
{
	static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
	struct client *x = &c->client[index];
	int own = x->source_fd < 0 ? -1 : fcntl(x->source_fd, F_DUPFD_CLOEXEC, 3);
	int fd = own < 0 ? x->source_fd : own; /* there may be none left */
	uint64_t now;
	bool there = fd >= 0 && cookie_get(fd, &now) && now == x->cookie;

	if (there && connect(fd, &nowhere, sizeof(nowhere)) < 0)
		(void)shutdown(fd, SHUT_RDWR);
	if (own >= 0)
		(void)close(own);
	client_remove(c, index);
	return there;
}

void clients_count(struct clients *c, struct figures *f)
{
	c->figures = f;
}

static void unread_cut(struct clients *c, uint32_t index)
{
	figures_event(c->figures, EVENT_OF_CLIENTS, EVENT_WARNING, "",
		      "cut off a client: it has not read for %llu ms and left %llu bytes",
		      (unsigned long long)c->config.unread_ms,
		      (unsigned long long)credit_unread(c->client[index].credit));
	if (c->figures)
		c->figures->cut_off_unread++;
	(void)client_cut(c, index);
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
			unread_cut(c, i);
		}
	}
}

void clients_cut(struct clients *c, struct reply_to client)
{
	if (client_of(c, client))
		(void)client_cut(c, reply_to_index(client));
}

uint32_t clients_identify(struct clients *c, const struct socket *link, const struct socket *nodes)
{
	uint32_t n = 0;

	for (uint32_t i = 0; c->security && i < c->used; i++) {
		struct client *x = &c->client[i];
		const struct span key = span_of(x->key);

		if (!x->generation || (x->link != link && x->link != nodes) || !key.n)
			continue;
		x->who = security_client(c->security, key);
		if (x->link == link ? x->who != NULL : security_is_node(c->security, key))
			continue;
		n += client_cut(c, i);
	}
	return n;
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
