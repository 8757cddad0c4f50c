/* A worker's loop, and what the middle of an operation may ask of it. */
#ifndef PAIL_LOOP_H
#define PAIL_LOOP_H

#include "worker/worker.h"

/*
 * Serve on the descriptors of segment.h until told to stop.  With `follow`, another worker serves
 * there: read its log until the coordinator says that it has left, and go on in its place.  Returns
 * the exit status.
 */
int worker_run(bool follow);

void worker_beat(struct worker *w, enum worker_phase phase);
/* Sync thread: the log is safe up to `lsn`, so replies before `mark` may be seen. */
void worker_synced(void *arg, uint64_t mark, uint64_t lsn);
void worker_wrote(void *arg, uint64_t bytes);
/* The store waits for its sync thread, or a reply for room: give both what they need. */
void worker_wait(void *arg);
/*
 * Called every few microseconds of work, also in the middle of a request (storage/work.h).  Once a
 * millisecond: the clock, the heartbeat, what is finished is published, so that no reply waits for
 * the requests behind it; and now and then a look at the control socket.  What it says is obeyed
 * between two requests.
 */
void worker_work(void *arg);

/* The coordinator has something to see: wake it if it sleeps. */
void worker_wake(struct worker_status *status);

/* Publish what is finished, hand the log over, wake the coordinator if it sleeps. */
void worker_publish(struct worker *w);

/* Look at the control socket: what it said, see control_receive.  May be called in a request. */
int worker_poll(struct worker *w);

/*
 * Room for a reply, waiting for the coordinator to take earlier ones if it must.  NULL: this worker
 * is ending.
 */
char *worker_room(struct worker *w, enum segment_ring which, uint64_t record, uint32_t index,
		  uint64_t n);

/* The same for a parcel that goes to another node, see replies_parcel. */
char *worker_parcel(struct worker *w, enum segment_ring which, uint32_t n);
/* There was no room: wait a little for the coordinator.  False: this worker is ending. */
bool worker_wait_room(struct worker *w);

/* This worker cannot go on: remember why (first reason wins). */
void worker_fail(struct worker *w, int error, const char *why);

/*
 * For assertions: requests are those of all methods.  A worker that is killed between the two
 * counts, in whatever order they are stored, leaves one of them behind for ever.
 */
bool worker_requests_agree(struct worker_status *s);

#endif
