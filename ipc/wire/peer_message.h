/*
 * What nodes say to each other (docs/protocol.md, section 8).  A frame between nodes holds one or
 * more of these messages back to back, each a MessagePack array whose first element is its kind.
 * Pure, as all of this folder is: no allocation, no state, everything read is checked first.
 *
 *	from DEALER to ROUTER
 *	[0, stamp, min, max, node, version, started, epoch, more]  hello
 *	[3, stamp]                                                 ping
 *	[5, id, stamp, visited, times, requests]                   batch
 *	from ROUTER to DEALER
 *	[1, protocol, node, version, frame_max, more]              welcome
 *	[2, text, hold]                                            goaway
 *	[4]                                                        pong
 *	[6, id, indexes, replies]                                  replies
 *
 * Hello, welcome and goaway keep their form whatever else changes, so that two nodes of any
 * versions can tell each other which ones they speak; what comes goes into `more`, a map.  A node
 * may say either again on a link that is open, to tell anew what its `more` has.
 */
#ifndef PAIL_PEER_MESSAGE_H
#define PAIL_PEER_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

/* Versions of the protocol between nodes that this program speaks.  1 had no range in its hello. */
#define PEER_VERSION_MIN 2u
#define PEER_VERSION_MAX 2u

#define HOPS_MAX               8u /* links that a request may cross */
#define PEER_MESSAGE_NODE_MAX  63u
#define PEER_MESSAGE_TEXT_MAX  300u
#define PEER_MESSAGE_GREET_MAX 4096u /* bytes of a hello or welcome: they come before any trust */
#define PEER_MESSAGE_MORE_MAX  32u   /* entries of its map */
#define PEER_MESSAGE_KEY_MAX   64u   /* bytes of the name of one */
#define PEER_MESSAGE_DIGEST    16u   /* hex digits of a digest */

enum peer_message_kind {
	PEER_MESSAGE_HELLO,
	PEER_MESSAGE_WELCOME,
	PEER_MESSAGE_GOAWAY,
	PEER_MESSAGE_PING,
	PEER_MESSAGE_PONG,
	PEER_MESSAGE_BATCH,
	PEER_MESSAGE_REPLIES,
	PEER_MESSAGE_KIND_COUNT
};

/* Both included; min <= max, but for the hello of a program that knew no ranges: 0, 0. */
struct peer_versions {
	uint64_t min;
	uint64_t max;
};

/* One message, as it lies in a frame; which fields count depends on its kind. */
struct peer_message {
	enum peer_message_kind kind;
	const char *end;               /* behind it */
	uint64_t stamp_ms;             /* the sender's clock when it was written */
	struct peer_versions versions; /* of a hello: what its sender speaks */
	uint64_t protocol;             /* of a welcome: what is spoken from now on */
	struct span node;
	struct span version;
	uint64_t started;   /* unix ms: when the sender was started */
	uint64_t epoch;     /* of this link: grows with each that the sender makes */
	uint64_t frame_max; /* bytes of the largest frame that the node takes */
	/* of a hello or welcome, in its `more`: the digest of the sender's functions,
	 * PEER_MESSAGE_DIGEST of 0-9 and a-f; none: it does not tell */
	struct span functions;
	struct span text;
	uint64_t hold_ms; /* the node will be back within so long; 0: do not wait for it */
	uint64_t id;      /* of the batch, never used again on its link */
	uint32_t visited_count;
	struct span visited[HOPS_MAX];
	uint32_t count;      /* requests or replies */
	const char *times;   /* `count` unsigned integers: milliseconds left from the stamp on */
	struct span indexes; /* `count` numbers of requests in their batch, two bytes each */
	struct span bytes;   /* the requests or replies, back to back */
	const char *why;     /* when the bytes are none: in what they are not; static */
};

/* The highest version that both speak, or 0: there is none. */
uint64_t peer_versions_agree(struct peer_versions a, struct peer_versions b);

/*
 * Read the message at `p`.  Returns 0, or -EBADMSG: the bytes are none, ret->why says in what.  A
 * batch's requests and the replies are not looked into.  Entries of a `more` that are not known, or
 * have another form, are passed over; one that is no map of different texts makes the message none.
 */
int peer_message_read(const char *p, const char *end, struct peer_message *ret);

/* Each writes a whole message into room for at least PEER_MESSAGE_SMALL_MAX bytes; returns the
 * place behind.
 */
#define PEER_MESSAGE_SMALL_MAX 512u
char *peer_message_hello(char *p, const struct peer_message *h);
char *peer_message_welcome(char *p, const struct peer_message *h);
char *peer_message_goaway(char *p, const char *text, uint64_t hold_ms);
char *peer_message_ping(char *p, uint64_t stamp_ms);
char *peer_message_pong(char *p);

/* Bytes at most around the requests of a batch, and around the replies. */
size_t peer_message_batch_room(uint32_t count);
size_t peer_message_replies_room(uint32_t count);

/*
 * A batch: `times` are to be written with write_uint, `count` of them, then peer_message_bytes,
 * then the `n` bytes themselves.  Replies: the indexes with peer_message_index, then the same.
 */
char *peer_message_batch(char *p, uint64_t id, uint64_t stamp_ms, const struct span *visited,
			 uint32_t visited_count, struct span self, uint32_t count);
char *peer_message_replies(char *p, uint64_t id, uint32_t count);
char *peer_message_index(char *p, uint32_t index);
char *peer_message_bytes(char *p, size_t n);

uint32_t peer_message_index_at(struct span indexes, uint32_t i);

#endif
