/* Worker processes, simulated over the real rings; see store.h for what they keep. */
#ifndef PAIL_SIM_PROCESS_H
#define PAIL_SIM_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/shm/segment.h"
#include "tests/sim/store.h"
#include "worker/replies.h"

struct ask;
struct channel;
struct sim_node;
struct recovered;

enum process_state { PROCESS_WAITING, PROCESS_REPLAYING, PROCESS_SERVING, PROCESS_DEAD };

struct process {
	struct process *next; /* of all that ever were in this run */
	struct sim_node *node;
	uint32_t worker;
	pid_t pid;
	int pidfd;
	enum process_state state;
	bool reaped;
	bool killed;     /* dead: by a signal; else it ended */
	int exit_status; /* or the signal */
	struct sim_store *store;
	struct segment *segment;
	struct channel *channel;
	int wake_fd;        /* its own eventfd */
	int coordinator_fd; /* the coordinator's */
	uint64_t wake_us;
	/* serving */
	struct replies replies;
	uint64_t read;  /* record in hand */
	uint32_t index; /* the next entry of it */
	uint64_t submitted_mark;
	uint64_t submitted_lsn;
	struct recovered *recovered;
	struct ask *running;
	bool stop;      /* it was told to, */
	bool finishing; /* and serves no more: the rest is a successor's */
	bool orphan;
	/* what is done to it */
	bool hung;
	uint64_t slow_us; /* more for each request */
	bool poisoned;    /* the next request that it runs kills it, and whoever runs it after */
	uint32_t doom;    /* dies at so many points from now; 0: not */
};

/* Forked, so to speak: the worker of `node` on the segment behind `segment_fd`. */
struct process *process_new(struct sim_node *node, int segment_fd, int wake_fd, int coordinator_fd,
			    struct channel *channel);
struct process *process_find(pid_t pid);
struct process *process_of_pidfd(int fd);
struct process *processes(void);
void processes_close(void);

/* SIGKILL. */
void process_kill(struct process *p);
/* Its eventfd or control socket can be read. */
void process_wake(struct process *p);

#endif
