/*
 * A worker's loop: requests from the ring through the store into the reply rings; heartbeat; the
 * end when the control socket says so.  One thread of ours serves; the store has one that syncs and
 * one that checkpoints.
 */
#ifndef PAIL_WORKER_H
#define PAIL_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "ipc/codec.h"
#include "ipc/segment.h"
#include "storage/store.h"
#include "worker/replies.h"

/* Exit statuses: what the coordinator makes of them is in its supervisor. */
enum { WORKER_DONE = 0, WORKER_FAILED = 1, WORKER_HOPELESS = 2 };

struct takeover;

struct worker {
	struct segment *segment;
	struct slot *slot;
	struct store *store;
	struct replies replies;
	struct takeover *takeover; /* requests that a predecessor left unanswered, or NULL */
	uint64_t read;             /* position in the request ring behind what has been run */
	uint64_t now_ms;
	uint64_t looked_ms;   /* when the control socket was last looked at */
	uint64_t unpublished; /* requests since the last publish */
	uint64_t handed_seq;
	uint64_t handed_mark;
	uint64_t published_now;
	struct buf scratch; /* a reply whose ring is not known yet */
	bool stop;          /* finish and say goodbye */
	bool orphan;        /* the coordinator is gone: nobody reads replies */
	int error;          /* negative errno that ends this worker */
};

/* Serve on the descriptors of segment.h until told to stop.  Returns the exit status. */
int worker_run(void);

/* Publish what is finished, hand the log over, wake the coordinator if it sleeps. */
void worker_publish(struct worker *w);

/*
 * Room for a reply, waiting for the coordinator to take earlier ones if it must.  NULL: this worker
 * is ending.
 */
char *worker_room(struct worker *w, enum segment_ring which, uint64_t record, uint32_t index,
		  uint64_t n);

/* This worker cannot go on: remember why (first reason wins). */
void worker_fail(struct worker *w, int error, const char *why);

#endif
