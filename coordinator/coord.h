/*
 * The coordinator: one thread, one loop.  It owns the ZeroMQ sockets, the routing table and the
 * workers' lives; it never opens the store.  dispatch.c brings requests into the rings or on to
 * other nodes (peers.h), collect.c brings replies out of the rings, inbound.c serves other nodes,
 * fanout.c asks all workers and peers at once, reload.c changes the table, status.c answers for the
 * node.
 */
#ifndef PAIL_COORD_H
#define PAIL_COORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "coordinator/process/helper.h"
#include "coordinator/clients/clients.h"
#include "coordinator/clients/files.h"
#include "coordinator/workers/handoff.h"
#include "coordinator/node/item.h"
#include "coordinator/node/node.h"
#include "coordinator/node/reply.h"
#include "coordinator/peers/client.h"
#include "coordinator/peers/peers.h"
#include "coordinator/routing/fence.h"
#include "coordinator/routing/table.h"
#include "coordinator/workers/supervisor.h"
#include "coordinator/upgrade.h"
#include "ipc/wire/codec.h"
#include "ipc/wire/peer_message.h"
#include "ipc/shm/records.h"

struct fanouts;
struct conn_limit;
struct peer_server;
struct resume;
struct settings_source;

/* A request of the message in hand. */
struct walked {
	struct request request;
	const char *begin;
	const char *bad;  /* what is wrong with its bytes, or NULL */
	uint64_t left_ms; /* from a node: what is left of its time; else UINT64_MAX */
};

/* The message in hand: who sent it, and what he may. */
struct hand {
	struct reply_to reply_to;
	const char *busy; /* why its requests are refused, or NULL */
	bool from_node;   /* forwarded to here */
	bool admin;       /* through the admin socket */
};

/* The ways before a change: how far each ring was filled, which batches were on their way. */
struct old_ways {
	bool rings;
	uint64_t written[64];
	struct peer *peer[512];
	uint32_t peers;
	uint64_t last_id;
};

struct coord {
	struct node node;
	struct reply_sink sink;               /* that all replies go to */
	const struct settings_source *source; /* of node.conf, for reading it again */
	struct route_table routes;
	struct supervisor supervisor;
	struct handoff handoff;
	struct upgrade upgrade;
	struct peers peers;
	struct peer_server *peer_server;
	struct fence *fence;
	struct old_ways old_ways;
	struct helper gateway;
	struct socket_context *zmq;
	struct socket *link;       /* clients; NULL with role storage */
	struct socket *node_link;  /* other nodes; NULL if there can be none */
	struct socket *admin_link; /* operators; NULL without a place for it */
	struct clients *clients;
	struct conn_limit *conn_limit;
	struct files files;
	struct fanouts *fanouts;
	char endpoint[SOCKET_ENDPOINT_MAX]; /* where clients connect, or "" */
	char node_endpoint[SOCKET_ENDPOINT_MAX];
	char admin_endpoint[SOCKET_ENDPOINT_MAX];
	int client_fd; /* sockets that listen already, from the service manager or the program
			  before; 0: none */
	int node_fd;
	int lock_fd; /* of the data folder */
	int signal_fd;
	bool activated;     /* the listening sockets are a service manager's, which keeps them */
	bool resumed;       /* from the program before in this process */
	uint64_t closed_us; /* resumed: when that one closed its connections */
	uint64_t begun_us;  /* resumed: when that was asked for */
	bool temporary;     /* the data folder is removed at the end */
	bool reload;        /* asked for by a signal */
	bool guarding;      /* connections are to be looked at soon */
	bool announced;     /* all workers have come up, or failed */
	uint64_t ticked_ms;
	uint64_t looked_ms; /* at the descriptors, under load */
	uint64_t stop_until_ms;
	uint64_t quiet_ms;    /* stopping: since when nothing has come in */
	uint64_t watchdog_ms; /* between signs of life for the service manager; 0: none */
	uint64_t watched_ms;
	uint32_t connected; /* clients, when that was counted last, for status */
	uint64_t connected_ms;
	uint64_t upgrades;                          /* of this process */
	uint64_t reloads;                           /* that were carried out */
	uint64_t local_requests[WIRE_METHOD_COUNT]; /* answered here, forwarded, or refused */
	uint64_t dropped;                           /* messages since that was last said */
	uint64_t dropped_ms;
	struct hand hand;
	struct walked walked[WIRE_REQUESTS_MAX];
	uint32_t walked_count;
	struct items items;
	uint32_t first[64]; /* by worker: the first of its items */
	uint32_t last[64];
	uint32_t targets; /* peers that have items */
	struct peer *target[512];
};

/* ---- setup.c ---- */

/*
 * Make the data folder and the workers, bind the sockets.  With `resume` (else NULL), take up what
 * the program before this one left in the same process.  0, or an exit status with the reason said.
 */
int coord_open(struct coord *c, struct conf *conf, const struct settings_source *source,
	       bool temporary, const struct resume *resume);
void coord_close(struct coord *c);
/* Close every ZeroMQ socket, waiting at most `linger_ms` for what has not been sent. */
void coord_disconnect(struct coord *c, unsigned linger_ms);

/* What a configuration says of clients. */
struct clients_config coord_clients_config(const struct conf *conf);
struct conn_limit_limits coord_guard_limits(const struct conf *conf);
/* Bind the socket for other nodes, if that has not been done.  0 or negative errno. */
int coord_listen_nodes(struct coord *c, const struct conf *conf);

/* ---- coord.c ---- */

/* Serve until told to stop.  Returns the exit status. */
int coord_run(struct coord *c);
/* Tell the clients that have not been told yet to go away.  Returns how many. */
uint32_t coord_goaway(struct coord *c, const char *why);
/* Does anybody wait for a reply? */
bool coord_waits(const struct coord *c);

/* ---- sink.c ---- */

/* Replies to whomever they belong to: c->sink. */
void sink_init(struct coord *c);

/* ---- dispatch.c ---- */

/* Take up to `most` messages of a link in.  Returns how many there were. */
unsigned dispatch_messages(struct coord *c, struct socket *link, unsigned most);
/* Take in c->walked, which came as c->hand says. */
void dispatch_walked(struct coord *c);
/* Give an item of c->hand that needs no more checks the way that the table says now. */
void dispatch_begin(struct coord *c);
void dispatch_item(struct coord *c, const struct request *q, struct item *it);
void dispatch_end(struct coord *c);
/* Would going to `next` lead the message in hand in a circle, or over too many nodes?  `text` says.
 */
bool dispatch_loops(const struct coord *c, const char *next, char *text, size_t size);
/*
 * Put one request into a worker's ring.  0, -EAGAIN: the ring is full, or -EIO: the worker has
 * failed.
 */
int dispatch_one(struct coord *c, struct worker *w, struct reply_to owner, const struct item *it);

/* What the server of other nodes hands over; its hook. */
bool dispatch_batch(void *arg, struct reply_to o, const struct peer_message *h, uint64_t late_ms,
		    const char *busy);

/* ---- collect.c ---- */

/* Take what is in the reply rings and send it.  Returns how many blocks there were. */
unsigned collect_replies(struct coord *c);
/* A worker has died: take its last replies, judge what it left.  The handoff's hooks. */
void collect_death(void *arg, struct worker *w);
/* A worker has left its place to a successor: take its last replies, free what it answered. */
void collect_left(void *arg, struct worker *w);
/* Nobody will serve the worker's ring, until an operator sees to it. */
bool collect_hopeless(const struct worker *w);
/*
 * Answer requests whose time is over or that nobody will serve; free those that workers have passed
 * since (replies do it too, but none may come).  Returns when to look again.
 */
uint64_t collect_tick(struct coord *c);

/* ---- fanout.c ---- */

int fanouts_new(struct fanouts **ret);
void fanouts_free(struct fanouts **f);
/* Ask every worker and every node of the table for its buckets, answer `o` with all of them. */
void fanout_buckets(struct coord *c, struct reply_to o, const struct item *it);
/* A worker's or a peer's reply to a fan-out. */
void fanout_reply(struct coord *c, struct reply_to o, const char *reply, size_t n);

/* ---- reload.c ---- */

/*
 * Read the configuration again and change routes, peers and reloadable settings, or nothing.
 * Returns WIRE_OK with what has changed in `out` as lines, or the error, its reason there.
 */
enum wire_error reload(struct coord *c, struct buf *out);

/* ---- old_ways.c ---- */

/*
 * The table has changed for the bytes in `set`, whose requests went the ways of `old` so far: note
 * them, so that the fence can be told when those requests are answered.
 */
void old_ways_note(struct coord *c, const char *set, const struct route_table *old,
		   struct peer *const *old_peers);
struct fence_events old_ways_events(struct coord *c);

/* ---- status.c ---- */

/* Whole replies to the methods that the coordinator answers itself, appended to `out`. */
void status_hello(struct coord *c, uint64_t msgid, struct buf *out);
void status_status(struct coord *c, uint64_t msgid, struct buf *out);

#endif
