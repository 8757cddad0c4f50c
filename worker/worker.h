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
#include "ipc/wire/codec.h"
#include "ipc/shm/segment.h"
#include "storage/store.h"
#include "worker/replies.h"

/* Exit statuses: what the coordinator makes of them is in its supervisor. */
enum { WORKER_DONE = 0, WORKER_FAILED = 1, WORKER_HOPELESS = 2 };

struct takeover;

struct worker {
	struct segment *segment;
	struct worker_status *status;
	struct store *store;
	struct replies replies;
	struct takeover *takeover; /* requests that a predecessor left unanswered, or NULL */
	uint64_t read;             /* position in the request ring behind what has been run */
	uint64_t now_ms;           /* read anew with every bit of work, see worker_work */
	uint64_t ticked_ms;        /* when the store was last given its turn */
	uint64_t looked_ms;        /* when the control socket was last looked at */
	uint64_t unpublished;      /* requests since the last publish */
	uint64_t handed_seq;
	uint64_t handed_mark;
	uint64_t published_now;
	struct buf scratch; /* a reply whose ring is not known yet */
	char *words;        /* where the reason of its end goes, 256 bytes in shared memory */
	int asked;    /* CONTROL_HOLD or CONTROL_RESUME, to be obeyed between two requests; 0 */
	bool alone;   /* the segment is ours: nobody else serves it */
	bool serving; /* the store is open */
	bool due;     /* it is time for a tick, between two requests */
	bool stop;    /* finish and say goodbye */
	bool held;    /* the coordinator has been told that checkpoints are held */
	bool hold;    /* no checkpoints: a successor follows the log */
	bool leave;   /* let a successor go on */
	bool orphan;  /* the coordinator is gone: nobody reads replies */
	int error;    /* negative errno that ends this worker */
};

/*
 * Serve on the descriptors of segment.h until told to stop.  With `follow`, another worker serves
 * there: read its log until the coordinator says that it has left, and go on in its place.  Returns
 * the exit status.
 */
int worker_run(bool follow);

/* ---- birth.c ---- */

/* Everything up to the message that says ready.  0, -EPIPE (nobody wants it), negative errno. */
int worker_begin(struct worker *w, bool follow);
/* Exit status for an error at the start: is there any use in trying again? */
int worker_start_status(int error);

/* ---- worker.c, for birth.c ---- */

void worker_beat(struct worker *w, enum worker_phase phase);
/* Sync thread: the log is safe up to `seq`, so replies before `mark` may be seen. */
void worker_synced(void *arg, uint64_t mark, uint64_t seq);
/* The store waits for its sync thread, or a reply for room: give both what they need. */
void worker_wait(void *arg);
/*
 * Called every few microseconds of work, also in the middle of a request (storage/work.h).  Once a
 * millisecond: the clock, the heartbeat, what is finished is published, so that no reply waits for
 * the requests behind it; and now and then a look at the control socket.  What it says is obeyed
 * between two requests.
 */
void worker_work(void *arg);

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
