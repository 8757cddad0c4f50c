/*
 * What nodes say to each other (docs/protocol.md, section 8).  A frame between nodes holds one or
 * more of these messages back to back, each a MessagePack array whose first element is its kind.
 * Pure, as all of this folder is: no allocation, no state, everything read is checked first.
 *
 *	from DEALER to ROUTER
 *	[0, stamp, min, max, node, version, started, epoch, more]  hello
 *	[3, stamp]                                                 ping
 *	[5, id, stamp, visited, times, requests]                   batch
 *	[7, incarnation, store, round, revision, wall, flags, claims]   beat
 *	[8, worker, parcels]                                       append
 *	[13, worker, parcels]                                      bulk: nobody sends it
 *	[14, id, stamp, given, visited, times, epochs, requests]   routed
 *	from ROUTER to DEALER
 *	[1, protocol, node, version, frame_max, more]              welcome
 *	[2, text, hold]                                            goaway
 *	[4]                                                        pong
 *	[6, id, indexes, replies]                                  replies
 *	[9, incarnation, store, round, revision, wall, flags, refused]  grant
 *	[10, worker, parcels]                                      acks
 *	[11, worker, parcels]                                      nacks
 *	[12, id, indexes, places]                                  elsewhere
 *
 * Hello, welcome and goaway keep their form whatever else changes, so that two nodes of any
 * versions can tell each other which ones they speak; what comes goes into `more`, a map.  A node
 * may say either again on a link that is open, to tell anew what its `more` has.  From 7 on they are
 * of version 3, between nodes of a cluster (replica/message.h and clerk.h say what they mean).
 */
#ifndef PAIL_PEER_MESSAGE_H
#define PAIL_PEER_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

/* Versions of the protocol between nodes that this program speaks.  1 had no range in its hello. */
#define PEER_VERSION_MIN 2u
#define PEER_VERSION_CLUSTER \
	3u /* from this one on there are copies; nodes in no cluster speak less */
#define PEER_VERSION_MAX 3u

#define HOPS_MAX               8u /* links that a request may cross */
#define PEER_MESSAGE_NODE_MAX  63u
#define PEER_MESSAGE_TEXT_MAX  300u
#define PEER_MESSAGE_GREET_MAX 4096u /* bytes of a hello or welcome: they come before any trust */
#define PEER_MESSAGE_MORE_MAX  32u   /* entries of its map */
#define PEER_MESSAGE_KEY_MAX   64u   /* bytes of the name of one */
#define PEER_MESSAGE_DIGEST    16u   /* hex digits of a digest */
#define PEER_CLAIMS_MAX        4096u /* of a beat or grant: one a partition */
#define PEER_CLAIM_BYTES       16u
#define PEER_PLACE_BYTES       32u
#define PEER_PARCEL_BYTES      16u /* of the head of a parcel, its size first */

enum peer_message_kind {
	PEER_MESSAGE_HELLO,
	PEER_MESSAGE_WELCOME,
	PEER_MESSAGE_GOAWAY,
	PEER_MESSAGE_PING,
	PEER_MESSAGE_PONG,
	PEER_MESSAGE_BATCH,
	PEER_MESSAGE_REPLIES,
	PEER_MESSAGE_BEAT,
	PEER_MESSAGE_APPEND,
	PEER_MESSAGE_GRANT,
	PEER_MESSAGE_ACKS,
	PEER_MESSAGE_NACKS,
	PEER_MESSAGE_ELSEWHERE,
	PEER_MESSAGE_BULK,
	PEER_MESSAGE_ROUTED, /* a batch of requests for partitions that the node is thought to serve */
	PEER_MESSAGE_KIND_COUNT
};

/* What a connection is for: what must not wait behind large values, or behind whole copies, has one
 * of its own. */
enum peer_link { PEER_LINK_REQUESTS, PEER_LINK_LOG, PEER_LINK_BULK, PEER_LINK_COUNT };

/* Of a beat: what its sender claims; of a grant: what is refused.  As struct claim of the clerk. */
struct peer_claim {
	uint32_t partition;
	uint32_t flags;
	uint64_t term;
};

/* Who has a partition as far as the sender knows, and by which revision of its view. */
struct peer_place {
	uint32_t partition;
	uint32_t epoch;
	uint64_t revision; /* 0: it knows of none */
	uint64_t store;    /* of the primary's data folder */
	uint32_t node;     /* the primary's number */
	uint32_t zero;
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
	/* of a hello, in its `more`: the connection's use, and, told by nodes in a cluster, the highest
	 * revision of the agreement that is known there; 0: it is not told */
	enum peer_link link;
	uint64_t revision; /* of a beat and a grant, too */
	struct span text;
	uint64_t hold_ms; /* the node will be back within so long; 0: do not wait for it */
	uint64_t id;      /* of the batch, never used again on its link */
	/* of what is routed: how many requests the other node had given back on this link, as far as
	 * was known when it was written */
	uint64_t given;
	uint32_t visited_count;
	struct span visited[HOPS_MAX];
	uint32_t count;    /* requests or replies */
	const char *times; /* `count` unsigned integers: milliseconds left from the stamp on */
	/* of what is routed, `count` likewise, below 2^32: in which epoch of its partition the other node is
	 * thought to serve it; 0: it is of none */
	const char *epochs;
	struct span indexes; /* `count` numbers of requests in their batch, two bytes each */
	/* the requests or replies, back to back; claims, PEER_CLAIM_BYTES each; parcels, each whole;
	 * places, PEER_PLACE_BYTES each */
	struct span bytes;
	uint64_t incarnation; /* of the coordinator that beats, in the grant too */
	uint64_t store;       /* of the sender's data folder */
	uint64_t round;
	uint64_t wall_ms; /* the sender's wall clock, unix ms */
	uint64_t
		flags; /* of a grant: what its sender is about to do, replica/clerk.h; a beat's: 0 */
	uint64_t worker; /* the sender's worker whose log the parcels are of */
	const char *why; /* when the bytes are none: in what they are not; static */
};

/* The highest version that both speak, or 0: there is none. */
uint64_t peer_versions_agree(struct peer_versions a, struct peer_versions b);

/*
 * Read the message at `p`.  Returns 0, or -EBADMSG: the bytes are none, ret->why says in what.  A
 * batch's requests and the replies are not looked into, nor parcels beyond their sizes.  Entries of a `more` that are not known, or
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
 * then the `n` bytes themselves; `given` counts in what is routed, and there
 * peer_message_epochs and as many of these come behind the times.  Replies: the indexes with peer_message_index, then the same.
 */
char *peer_message_batch(char *p, enum peer_message_kind kind, uint64_t id, uint64_t stamp_ms,
			 uint64_t given, const struct span *visited, uint32_t visited_count,
			 struct span self, uint32_t count);
char *peer_message_epochs(char *p, uint32_t count);
char *peer_message_replies(char *p, uint64_t id, uint32_t count);
char *peer_message_index(char *p, uint32_t index);
char *peer_message_bytes(char *p, size_t n);

uint32_t peer_message_index_at(struct span indexes, uint32_t i);

/* ---- of a cluster (peer_cluster.c) ---- */

/* Bytes at most around claims, parcels, or indexes and places: what is written there is theirs. */
#define PEER_CLUSTER_ROOM 128u

/*
 * A beat or a grant, as `h` has kind, incarnation, store, round, revision and wall_ms, with room for
 * `count` claims behind: each with peer_message_claim.
 */
char *peer_message_beat(char *p, const struct peer_message *h, uint32_t count);
char *peer_message_claim(char *p, const struct peer_claim *x);
/* Appends, acks, nacks or bulk: `n` bytes of parcels follow, which are the caller's to write. */
char *peer_message_parcels(char *p, enum peer_message_kind kind, uint64_t worker, size_t n);
/*
 * That `count` requests of a batch have not been run, since they are others' to run: with
 * peer_message_index for each, then peer_message_places, then a peer_message_place for each partition
 * that they are of.
 */
char *peer_message_elsewhere(char *p, uint64_t id, uint32_t count);
char *peer_message_places(char *p, uint32_t count);
char *peer_message_place(char *p, const struct peer_place *x);

/* The i-th of what was read: of `bytes` of a beat or grant, and of an elsewhere. */
struct peer_claim peer_message_claim_at(struct span bytes, uint32_t i);
struct peer_place peer_message_place_at(struct span bytes, uint32_t i);
uint32_t peer_message_claims(const struct peer_message *h);
uint32_t peer_message_place_count(const struct peer_message *h);

#endif
