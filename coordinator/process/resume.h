/*
 * What one coordinator leaves to the next when it re-executes itself: descriptors that survive
 * exec, the supervisor's table, figures, and the settings in force.  Written as lines of text into
 * a memfd, the version first: a program that does not know it refuses before anything is given up.
 */
#ifndef PAIL_RESUME_H
#define PAIL_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/config/config.h"
#include "coordinator/process/helper.h"
#include "coordinator/workers/supervisor.h"
#include "include/wire.h"
#include "ipc/net/socket.h"

#define RESUME_VERSION 1u
#define RESUME_WORKERS 64u
#define RESUME_FDS     (16u + 4u * RESUME_WORKERS)

/* The environment variable that tells a new program: "check N" or "serve N", N the memfd. */
#define RESUME_VARIABLE "PAIL_RESUME"

struct resume {
	char data[1024]; /* the folder, of which lock_fd is the lock */
	bool temporary;  /* it is removed at the end */
	int lock_fd;     /* -1: no folder */
	int wake;        /* the workers' way to wake the coordinator */
	int functions;   /* the modules, see ipc/shm/modules.h; 0: none are told */
	int client_fd;   /* listeners; 0: none was kept, it is to be bound anew */
	int node_fd;
	bool activated; /* listeners are a service manager's */
	char endpoint[SOCKET_ENDPOINT_MAX];
	char node_endpoint[SOCKET_ENDPOINT_MAX];
	uint64_t started_ms;
	uint64_t started_wall_ms;
	uint64_t begun_us; /* when the upgrade was asked for, and when connections were closed */
	uint64_t closed_us;
	uint64_t reloads;
	uint64_t upgrades; /* this one counted */
	int figures;       /* coordinator/node/figures.h; 0: there are none */
	uint64_t peers_epoch;
	uint64_t logs_epoch; /* only of a node in a cluster */
	uint64_t local_errors;
	uint64_t local_requests[WIRE_METHOD_COUNT];
	struct helper gateway; /* its state; argv is not told */
	uint32_t workers;
	struct worker worker[RESUME_WORKERS]; /* when read, without segment */
	int segment_fd[RESUME_WORKERS];
	bool clustered;    /* the node is, or wants to be, one of a cluster */
	int cluster_fd;    /* what membership_leave has left; 0: nothing */
	struct conf *conf; /* settings in force; when read, the reader's to free */
};

/*
 * Write it into a new memfd; workers with their queues' segments, whose descriptors are what is
 * told of them.  *ret_fd is the caller's.  0 or negative errno.
 */
int resume_write(const struct resume *x, int *ret_fd);

/* All descriptors that the new program needs, with the memfd.  Returns how many. */
unsigned resume_fds(const struct resume *x, int memfd, int fd[RESUME_FDS]);

/*
 * Read it.  0, -EPROTO (of another version), -EBADMSG, or negative errno; `why` (256 bytes) says
 * more.
 */
int resume_read(int fd, struct resume *ret, char *why, size_t why_size);

#endif
