/*
 * What a worker is: requests from the ring through the store into the reply rings; heartbeat; the
 * end when the control socket says so.  One thread of ours serves; the store has one that syncs and
 * one that checkpoints.
 */
#ifndef PAIL_WORKER_H
#define PAIL_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "ipc/shm/segment.h"
#include "storage/log/entry.h"
#include "storage/store.h"
#include "worker/replies.h"

/* Exit statuses: what the coordinator makes of them is in its supervisor. */
enum { WORKER_DONE = 0, WORKER_FAILED = 1, WORKER_HOPELESS = 2 };

struct replication;
struct functions;
struct modules;
struct recovery;

struct worker {
	struct segment *segment;
	struct worker_status *status;
	struct store *store;
	uint32_t own_first; /* partitions from here on are this node's alone; 0: it has no others */
	struct replies replies;
	struct replication *replication; /* of partitions on other nodes; NULL: there are none */
	struct recovery *recovery;       /* requests that a predecessor left unanswered, or NULL */
	uint64_t read;                   /* position in the request ring behind what has been run */
	uint64_t now_us;                 /* read anew with every bit of work, see worker_work */
	uint64_t now_ms;                 /* the same moment */
	uint64_t ticked_ms;              /* when the store was last given its turn */
	uint64_t stepped_ms;             /* when copies last had their turn */
	uint64_t stop_ms;                /* since when it is to stop; 0: it is not */
	uint64_t polled_ms;              /* when the control socket was last looked at */
	uint64_t unpublished;            /* requests since the last publish */
	uint64_t submitted_lsn;
	uint64_t submitted_mark;
	uint64_t published_now;
	struct store_stats shown;      /* what the figures have of the store's counts */
	struct modules *modules;       /* that it has been given; NULL: not looked at yet */
	struct functions *functions;   /* made of them, once a call has come */
	uint64_t functions_log_ms;     /* the second in which they have written, */
	uint32_t functions_log_lines;  /* and so much */
	uint64_t functions_generation; /* of those that it is made of */
	struct buf scratch;            /* a reply whose ring is not known yet */
	struct log_session session;    /* of the request in hand, if it has one */
	bool logged;                   /* a record is in the log for it; its reply is that one's */
	bool refused;                  /* it was not run: its reply tells of nothing */
	char *exit_reason; /* where the reason of its end goes, 256 bytes in shared memory */
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

#endif
