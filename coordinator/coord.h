/*
 * The coordinator: one thread, one loop.  It owns the ZeroMQ sockets, the routing table and the
 * workers' lives; it never opens the store.  dispatch.c brings requests into the rings, collect.c
 * brings replies out of them, fanout.c asks all workers at once, status.c answers for the node.
 */
#ifndef PAIL_COORD_H
#define PAIL_COORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "coordinator/clients.h"
#include "coordinator/routes.h"
#include "coordinator/super.h"
#include "ipc/codec.h"
#include "ipc/record.h"

struct fanouts;

/* One request of a message, on its way to a ring. */
struct item {
	const char *data;
	uint32_t size;
	uint32_t timeout_ms;
	uint32_t next; /* of the same worker, or ITEM_NONE */
	uint64_t msgid;
	uint8_t method;
};

#define ITEM_NONE UINT32_MAX

/* A request of the message in hand. */
struct walked {
	struct request request;
	const char *begin;
	const char *bad; /* what is wrong with its bytes, or NULL */
};

struct coord {
	struct conf *conf;
	struct routes routes;
	struct super super;
	struct link_context *zmq;
	struct link *link;
	struct clients *clients;
	struct fanouts *fanouts;
	char endpoint[LINK_ENDPOINT_MAX]; /* where clients connect */
	int lock_fd;                      /* of the data folder */
	int signal_fd;
	bool temporary; /* the data folder is removed at the end */
	bool stopping;
	bool changed; /* a worker's state may have: deadlines are to be looked at anew */
	uint64_t now_ms;
	uint64_t started_wall_ms;
	uint64_t started_ms;
	uint64_t ticked_ms;
	uint64_t looked_ms; /* at the descriptors, under load */
	uint64_t stop_until_ms;
	uint64_t quiet_ms;                          /* stopping: since when nothing has come in */
	uint64_t local_requests[WIRE_METHOD_COUNT]; /* answered here, or refused */
	uint64_t local_errors;
	uint64_t request_max; /* bytes of one request that can be right */
	struct walked walked[WIRE_REQUESTS_MAX];
	uint32_t walked_count;
	struct item item[WIRE_REQUESTS_MAX];
	uint32_t items;
	uint32_t first[64]; /* by worker: the first of its items */
	uint32_t last[64];
};

/* Make the data folder and the workers, bind the socket.  0, or an exit status with the reason
 * said. */
int coord_open(struct coord *c, struct conf *conf, bool temporary);
/* Serve until told to stop.  Returns the exit status. */
int coord_run(struct coord *c);
void coord_close(struct coord *c);

/* ---- dispatch.c ---- */

/* Take up to `most` messages in.  Returns how many there were. */
unsigned dispatch_messages(struct coord *c, unsigned most);
/* Which worker serves a bucket. */
uint32_t dispatch_worker(const struct coord *c, struct span bucket);
/*
 * Put `size` bytes of one request into a worker's ring.  0, -EAGAIN: the ring is full, or the
 * worker has failed (-EIO).
 */
int dispatch_one(struct coord *c, struct worker *w, struct owner owner, const struct item *it);
/* Answer with an error. */
void dispatch_error(struct coord *c, struct owner o, uint64_t msgid, bool msgid_known,
		    enum wire_error e, const char *text);

/* ---- collect.c ---- */

#define OVERDUE_GRACE_MS 20u /* a live worker finds expired ones itself, and says it better */

/* Take what is in the reply rings and send it.  Returns how many blocks there were. */
unsigned collect_replies(struct coord *c);
/* A worker has died: take its last replies, judge what it left. */
void collect_death(void *arg, struct worker *w);
/* Answer requests whose time is over.  Returns when to look again. */
uint64_t collect_overdue(struct coord *c);
/* Free request records that workers have passed since; replies do it too, but none may come. */
void collect_free(struct coord *c);
/* Answer everything in a failed worker's ring. */
void collect_failed(struct coord *c, struct worker *w);
/* Requests that wait in rings. */
uint64_t collect_waiting(const struct coord *c, const struct worker *w);

/* ---- fanout.c ---- */

int fanouts_new(struct fanouts **ret);
void fanouts_free(struct fanouts **f);
/* Ask every worker for its buckets, answer `o` with all of them. */
void fanout_buckets(struct coord *c, struct owner o, const struct item *it);
/* A worker's reply to a fan-out (the callback of clients.h). */
void fanout_reply(void *arg, struct owner o, const char *reply, size_t n);

/* ---- status.c ---- */

/* Whole replies to the methods that the coordinator answers itself, appended to `out`. */
void status_hello(struct coord *c, uint64_t msgid, struct buf *out);
void status_status(struct coord *c, uint64_t msgid, struct buf *out);

#endif
