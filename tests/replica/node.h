/*
 * One node: a coordinator (a clerk of replica/) and a worker (a copy of replica/ for each partition,
 * one log), which die apart.  What they share is as in shared memory: two queues, which are void at
 * the worker's death or read to their end after it; requests in slots, which outlive a worker; and
 * lease words, which are read at any moment, whatever the queues still hold.
 *
 *	coordinator --arrive: orders, frames of other nodes--> worker
 *	coordinator <--ship: frames for other nodes, acks, reports-- worker
 *	coordinator --slots--> worker, and back with the reply
 *	coordinator --lease words--> worker
 *
 * A worker works in rounds: it takes what has arrived, runs requests, and a little later looks at the
 * clock and at its lease, and tells what may be told.  It may stall anywhere between.
 */
#ifndef PAIL_TESTS_REPLICA_NODE_H
#define PAIL_TESTS_REPLICA_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/clerk.h"
#include "replica/copy.h"
#include "tests/replica/client.h"
#include "tests/replica/disk.h"

enum process { COORDINATOR, WORKER, PROCESSES };

#define SLOTS     128u
#define QUEUE_MAX 1024u

enum slot_state { SLOT_FREE, SLOT_WAITS, SLOT_RAN };

struct slot {
	struct request request;
	enum slot_state state;
	bool begun; /* a worker, perhaps one that is dead, has begun it */
	struct copy_wait wait;
	struct reply reply;
};

struct queue {
	void *at[QUEUE_MAX];
	uint32_t head, tail;
};

struct key {
	uint32_t value;
	uint64_t version;
	uint64_t expiry_us; /* of the wall clock; 0: none */
};

struct held {
	const struct record *record;
	uint64_t lsn;
};

struct node;

/* A partition in the worker's memory. */
struct part {
	struct node *node;
	uint32_t partition;
	struct copy copy;
	struct held *log; /* by sequence, from 1 on */
	uint64_t last, capacity;
	uint64_t synced;  /* sequence */
	uint64_t checked; /* its records up to here are those that are committed everywhere */
	uint64_t applied; /* it has shown what is up to here */
	uint64_t clock_us;
	struct key key[KEYS];
	uint32_t ship, ship_again; /* a bit each: members that are to be sent something */
	bool deposed, led;
	/* a snapshot that is sent: which, and to whom; one that was taken in: when it is on disk */
	uint64_t teach_id, teach_term;
	struct member teach_to;
	uint64_t learned_lsn; /* 0: none */
	struct parcel_pieced learned;
};

struct ack_wait {
	uint64_t lsn;
	struct parcel_ack *ack;
};

struct node {
	uint32_t number;
	uint64_t store;
	bool up;
	uint32_t inc[PROCESSES];          /* which life of it */
	uint64_t paused_until[PROCESSES]; /* of the world's time */
	uint64_t suspended_until, wiped_until;
	/* clocks: pace in parts per million more or less, where they stand at the world's 0 */
	int32_t boot_ppm, raw_ppm;
	uint64_t boot_zero, raw_zero, suspended_us, wall_zero;
	/* the coordinator */
	struct clerk *clerk;
	uint32_t worker_life; /* starts of the worker since this coordinator's */
	bool worker_known;    /* the coordinator has been told that it is up */
	bool ship_waking;
	struct queue line;        /* orders that wait for room in `arrive`: the coordinator's own */
	uint64_t ring_full_until; /* there is none until then */
	uint64_t respawn_us;      /* how long until there is another worker */
	void *saved;              /* with ETCDREAD taken out: what a restart believes */
	size_t saved_size, saved_capacity;
	uint64_t revision; /* the highest known, on disk */
	/* shared */
	struct copy_lease lease[PARTITIONS];
	struct queue arrive, ship;
	struct slot slot[SLOTS];
	uint32_t order[SLOTS], order_count; /* of slots in use, as they came */
	/* the worker */
	bool alive; /* its process; the log is open when `ready` */
	bool ready, waking, leaving, judging;
	bool reads;          /* replies that wait for a look at the lease */
	bool restart;        /* it has shown what was cut: a successor is to come */
	struct moment early; /* the clock as it was when the round began */
	bool stalled;
	uint64_t stalled_until;
	uint64_t stall_us; /* a directed case's: for so long in the next round */
	struct part part[PARTITIONS];
	struct disk disk;
	struct moment sync_since;
	struct ack_wait ack[64];
	uint32_t ack_count;
};

extern struct node node[NODES + 1]; /* by number */

/* ---- the run ---- */

struct setup {
	uint32_t drift_ppm; /* that is trusted, and the most that clocks have */
	uint32_t factor, min_copies;
	uint32_t first_count; /* nodes 1 .. first_count are the first copies */
	bool slewed;          /* a boot clock may be off by more: see view.h */
};
extern struct setup setup;

/* All nodes, down, with empty disks. */
void nodes_begin(void);
void nodes_free(void);
struct moment node_clock(const struct node *n);
uint64_t node_ms(const struct node *n); /* for what only paces */

#define LIFE_ANY UINT64_MAX /* whichever life the process is in */

/* The process is there and not paused; else what was to happen is given up, or comes later. */
bool node_awake(struct node *n, enum process p, uint64_t inc, event_run *run, void *bytes);

/* ---- what happens to nodes ---- */

void node_boot(void *who, uint64_t a, void *bytes);
void node_crash(struct node *n, bool wipe);
/* kill -9 of the worker; its successor is there after so long. */
void node_kill(struct node *n, uint64_t us);
void node_handover(struct node *n);
/* The coordinator goes on as another program. */
void node_reexec(struct node *n);
void node_pause(struct node *n, bool coordinator, bool worker, uint64_t us, bool suspend);
void node_unpause(struct node *n);
bool node_staged(const struct node *n); /* something is in the log that is not on disk */

/* ---- between the parts ---- */

void node_viewed(struct node *n, uint32_t partition, const struct view *v, bool fresh,
		 uint64_t known, uint64_t header);
void node_listed(struct node *n, uint64_t known, uint64_t header);
/* A request has come to the node's door. */
void node_request(void *who, uint64_t a, void *bytes);

/* The worker's (worker.c). */
void worker_start(void *who, uint64_t inc, void *bytes);
void worker_end(struct node *n); /* its memory and what was in the queue are gone */
void worker_wake(struct node *n);
/* Into arrive; it is the node's then.  False: it is lost, there is no room. */
bool worker_push(struct node *n, void *parcel);
/* A partition's (part.c). */
void part_replay(struct part *p); /* what the log on disk says of it */
/* After each call of the copy: what it wants sent, and what it has found to be committed. */
void part_flush(struct part *p);
void records_begin(void);
/* A new record with nothing in it, of so many sequences. */
struct record *record_new(uint32_t count);
/* Append it as it is, and remember it.  Its lsn. */
uint64_t part_append(struct part *p, const struct record *r);
const struct record *record_of(uint64_t id);
/* The disk is to take what is in the log. */
void sync_begin(struct node *n);

/* Snapshots (teach.c): now and then a primary finds that a learner needs one. */
void teach_tick(struct part *p);
void teach_piece(struct part *p, const struct parcel_piece *x);
void teach_answer(struct part *p, const struct parcel_pieced *x);
void teach_synced(struct part *p);

/* A record that a primary's worker writes: sets sequence and term.  Returns its last sequence. */
uint64_t worker_write(struct part *p, struct record *r);

/* Requests (serve.c). */
void serve_run(struct node *n, struct moment ran);
void serve_judge(struct node *n, struct moment now);
void serve_led(struct part *p); /* this worker leads: what dead ones had begun is looked up */
void serve_apply(struct part *p, const struct record *r);
void serve_forget(struct node *n); /* the node is dead: so are its slots */
void serve_died(struct node *n);   /* the worker is dead: another will see to the slots */

/* The worker's log is open: the coordinator will know. */
void node_worker_ready(struct node *n);

/* The coordinator's (coordinator.c). */
void coordinator_begin(struct node *n);                   /* with a clerk that knows nothing */
void coordinator_run(struct node *n, uint64_t within_us); /* its timers begin */
void coordinator_wake(struct node *n);
/* From the worker: something for others, or a report. */
void coordinator_ship(struct node *n, void *parcel);
/* Everything that is in that queue, now. */
void coordinator_ship_take(struct node *n);
void queue_drop(struct queue *q);

/* What the checks compare (watch.c). */
void watch_begin(void);
void watch_commit(struct part *p, uint64_t sequence);
void watch_lead(const struct node *n, uint32_t partition, uint64_t term);
/* `judged`: the clock by which it was found that it may be told. */
void watch_told(const struct node *n, const struct slot *s, struct moment judged);

#endif
