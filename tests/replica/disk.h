/*
 * The log of a node's worker on its disk: records and cuts of all its partitions, one behind the
 * other.  What is not synced when the worker dies is there in part: a piece of it, from its
 * beginning on.
 */
#ifndef PAIL_TESTS_REPLICA_DISK_H
#define PAIL_TESTS_REPLICA_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/message.h"
#include "storage/log/entry.h"
#include "tests/replica/history.h"

/* What is in an entry of the model: never changed, so copies of it may share it. */
struct record {
	struct parcel_entry entry;
	uint64_t id;      /* of this record alone: it is the same one wherever it is */
	uint64_t request; /* 0: nobody's */
	uint32_t mask;    /* which keys are written: bit k for KEY k */
	uint32_t zero;
	uint32_t value[KEYS];
	uint64_t expiry_us[KEYS];
	uint64_t clock_us; /* what time it was, if it says so */
};
_Static_assert(sizeof(struct record) % 8 == 0, "an entry");

/* What begins and ends the records of a snapshot: with the first, all before is void. */
enum disk_load { DISK_LOAD_NONE, DISK_LOAD_BEGINS, DISK_LOAD_ENDS };

struct disk_op {
	const struct record *record; /* NULL: a cut, or it is of a snapshot */
	enum disk_load load;
	uint64_t cut;    /* above it nothing is left */
	uint64_t commit; /* of its partition, when it was written */
	uint32_t partition;
};

struct disk {
	struct disk_op *op; /* op[lsn - 1] */
	uint32_t count, capacity;
	uint32_t synced; /* lsn */
	uint32_t wanted; /* the lsn that the sync that is on its way is for; 0: none is */
	uint64_t since;  /* when it was begun */
	uint64_t slow_until, hung_until, full_until; /* of the world's time */
};

void disk_init(struct disk *d);
/* Returns its lsn. */
uint64_t disk_append(struct disk *d, struct disk_op op);
/* The process has died: what is left lies on the disk. */
void disk_tear(struct disk *d);
void disk_wipe(struct disk *d);
/* How long a sync takes that begins now. */
uint64_t disk_sync_us(const struct disk *d);

#endif
