/* What the checkpoint's files share.  Nobody else includes this. */
#ifndef PAIL_CHECKPOINT_IMPL_H
#define PAIL_CHECKPOINT_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "storage/checkpoint.h"
#include "storage/sort.h"

/* What a checkpoint does to one bucket. */
struct change {
	uint64_t id;
	int64_t delta;
	struct span name;
	bool created;
	bool dropped;
};

struct changes {
	struct change *slot; /* open addressing by id */
	uint64_t mask;
	uint64_t count;
	bool any_drop;
};

struct checkpoint {
	char dir[1024];
	struct engine *base;
	struct wal *wal;
	uint64_t tight_bytes;
	uint32_t partitions;
	struct engine_part *part;      /* what base says of each; read when it begins */
	struct engine_part *part_next; /* and what it will say after this run */
	pthread_t thread;
	bool runs;

	pthread_mutex_t lock;
	pthread_cond_t more;
	struct wal_segment segment[WAL_SEGMENTS_MAX];
	unsigned segments;
	struct settle *sessions;
	uint64_t clock_ms;
	bool posted;
	bool ended;
	int error;
	char why[256]; /* "", or what `error` does not say */
	uint64_t settled;
	bool wake;

	_Atomic bool stop;
	_Atomic uint64_t commits;
	_Atomic uint64_t disk_free;
	bool purge; /* there may be dropped buckets with keys left */
	unsigned purge_chunk;
	uint64_t purge_ms; /* not before */
	uint64_t pool_ms;  /* not before */

	/* a run's own */
	struct wal_reader file[WAL_SEGMENTS_MAX];
	struct sort_item *items;
	struct sort_item *scratch;
	uint64_t count;
	uint64_t room;
	struct changes changes;
};

/* ---- merge.c ---- */

/* Merge the segments that were posted.  0 or negative errno; c->why has more. */
int checkpoint_run(struct checkpoint *c);

/* ---- checkpoint.c ---- */

/* Commit the transaction, with `meta` if it is the last. */
int checkpoint_commit(struct checkpoint *c, const struct engine_meta *meta);

/* LMDB calls a write that the disk had no room for an input/output error.  Looks at the disk. */
bool checkpoint_is_full(struct checkpoint *c, int error);

#endif
