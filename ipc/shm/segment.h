/*
 * One sealed memfd per worker: header, the worker's status, the leases of its partitions, and five
 * rings.  The coordinator creates it, a worker finds it on a known descriptor.  A dead worker's
 * segment is judged and handed to its successor, or unmapped; it is never repaired, and no other
 * worker has any part in it.
 */
#ifndef PAIL_SEGMENT_H
#define PAIL_SEGMENT_H

#include <stdint.h>

#include "ipc/shm/lease.h"
#include "ipc/shm/ring.h"
#include "ipc/shm/worker_status.h"

#define SEGMENT_MAGIC  0x316c696170676573u /* "segpail1" */
#define SEGMENT_LAYOUT 11u                 /* of everything two processes share: ipc/shm/layout.c */
/* Who knows a method more than the other is of another version, too. */
#define SEGMENT_VERSION  (SEGMENT_LAYOUT << 8 | WIRE_METHOD_COUNT)
#define SEGMENT_DIR_MAX  1024u
#define SEGMENT_NODE_MAX 64u

/* What a worker must know: only the coordinator reads the configuration. */
struct settings {
	uint32_t worker;  /* its number */
	uint32_t workers; /* of the data folder */
	uint64_t cache_bytes;
	uint64_t log_bytes;
	uint64_t log_segment_bytes;
	uint64_t map_bytes;
	uint64_t value_max;
	uint64_t buckets_max; /* of all workers together */
	uint64_t disk_reserve_bytes;
	uint32_t lock_wait_ms; /* how long to wait for a predecessor to let go of the folder */
	uint32_t checkpoint_ms;
	uint32_t log_level;
	uint32_t hang_ms;    /* without a heartbeat for so long it is killed; 0: it is not known */
	uint32_t partitions; /* of the data folder */
	/* The modules that count from now on: their generation, see CONTROL_FUNCTIONS. */
	_Atomic uint32_t functions;
	uint64_t result_max;        /* of a txn or call: bytes of its reply */
	uint64_t session_ms;        /* outcomes are kept so long */
	uint64_t session_bytes_max; /* that outcomes take at most */
	char dir[SEGMENT_DIR_MAX];  /* the shard's folder */
	char node[SEGMENT_NODE_MAX];
	uint64_t group_max; /* bytes of the largest record of a group of changes */
	/*
	 * Whose copies of partitions these are: the folder's random id, and the node's number, which
	 * is 0 until it is known.  Written by the coordinator before the first order that needs it.
	 */
	uint64_t member_store;
	_Atomic uint32_t member_node;
	uint32_t replicated; /* partitions may have copies on other nodes: what to serve is told by
				orders */
};

enum segment_ring {
	RING_REQUEST,
	RING_IMMEDIATE,
	RING_DURABLE,
	RING_ARRIVE,
	RING_SHIP,
	SEGMENT_RINGS
};

struct segment_header {
	uint64_t magic;
	uint32_t version;
	uint32_t status_offset;
	uint64_t generation; /* random: positions in one segment mean nothing in another */
	uint64_t size;
	uint64_t ring_offset[SEGMENT_RINGS]; /* of the data */
	uint64_t ring_size[SEGMENT_RINGS];
	uint32_t lease_offset;
	uint32_t leases; /* one for each partition of the node, or 0 */
	struct ring_control ring[SEGMENT_RINGS];
	struct settings settings;
};

struct segment {
	int fd;
	struct segment_header *header;
	struct worker_status *status;
	struct ring request; /* coordinator to worker */
	struct ring
		immediate;   /* replies that may be seen at once; published by the serving thread */
	struct ring durable; /* replies that wait for the log; published by the sync thread */
	/*
	 * What is told of copies, each a record that begins with its size (32 bits, a multiple of
	 * RING_ALIGN): coordinator to worker, in order, freed by the worker as it reads, and void at
	 * its death; and worker to coordinator, published by the serving thread.
	 */
	struct ring arrive;
	struct ring ship;
	struct lease_word *lease; /* by partition; NULL: there are none */
};

/* What a segment has room for: bytes, powers of two and multiples of SEGMENT_PAGE. */
struct segment_room {
	uint64_t request;
	uint64_t reply;  /* each of the two */
	uint64_t copies; /* arrive and ship each; 0: no more than there must be */
	uint32_t leases;
};

#define SEGMENT_PAGE 4096u

/* Descriptors a worker is born with. */
enum {
	FD_CONTROL = 3,
	FD_SEGMENT = 4,
	FD_WAKE_WORKER = 5,
	FD_WAKE_COORDINATOR = 6,
	FD_FUNCTIONS = 7, /* the modules it begins with: ipc/shm/modules.h */
	FD_COUNT = 5
};

/*
 * Make a segment.  All memory is allocated now, so that a full machine is an error here and not a
 * SIGBUS later.  The caller owns *ret.  Returns 0 or negative errno.
 */
int segment_create(const struct settings *settings, const struct segment_room *room,
		   struct segment **ret);

/*
 * Map the segment behind `fd`, which *ret then owns.  Returns 0, -EBADMSG (no segment, or not
 * sealed), -EPROTO (made by another version of Pail), or negative errno.
 */
int segment_attach(int fd, struct segment **ret);

/* Unmap and close.  Accepts NULL and half-built ones; sets *s to NULL. */
void segment_free(struct segment **s);

#endif
