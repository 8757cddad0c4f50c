/* The table of clients and what is on its way to them, for the parts of this folder. */
#ifndef PAIL_CLIENTS_IMPL_H
#define PAIL_CLIENTS_IMPL_H

#include "common/buf.h"
#include "common/key.h"
#include "coordinator/clients/clients.h"
#include "coordinator/clients/credit_impl.h"
#include "coordinator/clients/outgoing.h"

#define PIECES_MAX       8192u
#define REPLY_GROUPS_MAX 65536u
#define FRAME_HEAD       16u /* bytes before a frame's: its size */
#define NONE             UINT32_MAX

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
	int source_fd;     /* the connection, -1: unknown */
	uint64_t cookie;   /* the kernel's number of it, which no other socket ever has */
	const struct rights_client *who; /* whose key it has; NULL: no client's, or no keys */
	char key[KEY_TEXT + 1];          /* that it has proved, or "" */
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
	const struct net_ops *net;
	const struct security *security; /* NULL: no keys */
	struct clients_config config;
	struct figures *figures; /* NULL: nobody counts */
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

/* The client that is meant, or NULL: it is gone. */
static inline struct client *client_of(struct clients *c, struct reply_to o)
{
	struct client *x = &c->client[reply_to_index(o)];

	return x->generation == o.generation ? x : NULL;
}

/* ---- clients.c ---- */

/* Is the connection that it last sent something on still there? */
bool client_connected(const struct client *x);
/* It is gone, and what waits for it with it. */
void client_remove(struct clients *c, uint32_t index);

/* ---- outgoing.c ---- */

/* A frame of `n` bytes that counts against the client until it is gone, or NULL. */
char *frame_new(struct client *x, uint64_t n);
/* A frame to a client, or, with `g`, the one that answers a message. */
void frame_send(struct clients *c, uint32_t index, const struct reply_group *g, char *frame,
		uint64_t n);

/* ---- reply_group.c ---- */

/* The group that gathers for `o`, or NULL: it is gone. */
struct reply_group *reply_group_of(struct clients *c, struct reply_to o);
/* `count` more replies.  Nobody will take them if the client is gone. */
void reply_group_add(struct clients *c, struct reply_group *g, const char *replies, size_t n,
		     uint32_t count);

#endif
