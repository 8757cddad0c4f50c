/* What the checkpoint's files share.  Nobody else includes this. */
#ifndef PAIL_CHECKPOINT_IMPL_H
#define PAIL_CHECKPOINT_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/buf.h"
#include "storage/checkpoint.h"
#include "storage/marks.h"
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

/* A record of a partition that has copies: whether it goes into base is known at the end. */
struct held {
	const struct log_entry *entry;
	uint32_t before; /* the last one of its partition before it, plus 1 */
	bool aside;      /* it lies in base, set aside */
	bool gone;       /* void, or in base */
};

struct copies {
	struct held *held;
	uint32_t count;
	uint32_t room;
	uint32_t *last;           /* by partition: the last one that is not void, plus 1 */
	uint64_t *sequence;       /* by partition: the log's last one so far */
	struct log_entry **aside; /* copies of those that are */
	uint32_t asides;
	uint32_t aside_room;
};

/* Something to be done once to a partition that comes from another node, or goes. */
struct load_job {
	enum { LOAD_NO_JOB, LOAD_VOID, LOAD_WHOLE } kind;
	uint32_t partition;
	uint64_t load_lsn;
	struct engine_part part;
	struct span tail; /* entries to be set aside */
};

struct loads {
	/* under the lock */
	struct load_job job;
	bool ended;
	int error;
	struct buf queue; /* rows that are to be written */
	uint32_t queue_partition;
	uint64_t owed;   /* bytes of rows that are not in base yet: the queue, and what is taken */
	int write_error; /* why the last try to write some failed; 0: it did not */
	/* the thread's */
	struct buf taken;
	uint32_t taken_partition;
	uint64_t bucket; /* whose items come */
	unsigned wipe_rows;
	uint64_t retry_ms;
	/* */
	_Atomic bool *wipe; /* by partition: there may be rows that mean nothing */
	_Atomic bool wipes; /* of some */
};

struct checkpoint {
	char dir[1024];
	struct engine *base;
	struct wal *wal;
	uint64_t tight_bytes;
	uint32_t partitions;
	struct engine_part *part;      /* what base says of each; read when it begins */
	struct engine_part *part_next; /* and what it will say after this run */
	struct log_spans *spans;       /* of each; NULL: there are no copies elsewhere */
	struct log_spans *spans_next;
	pthread_t thread;
	bool runs;

	pthread_mutex_t lock;
	pthread_cond_t more;
	struct wal_segment segment[WAL_SEGMENTS_MAX];
	unsigned segments;
	struct settle *sessions;
	const struct marks *commit; /* NULL: all that is in the log is committed */
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
	struct copies copies;

	struct loads loads;
};

/* ---- merge.c ---- */

/* Merge the segments that were posted.  0 or negative errno; c->why has more. */
int checkpoint_run(struct checkpoint *c);

/* A record's changes are to be merged. */
int record_collect(struct checkpoint *c, const struct log_entry *e);

/* ---- merge_copies.c ---- */

int copies_make(struct checkpoint *c);
void copies_load(struct checkpoint *c, uint32_t partition, const struct engine_part *part);
void copies_free(struct checkpoint *c);

/* Begin with what is set aside. */
int copies_begin(struct checkpoint *c);
/* A record of the log, in order.  -EBADMSG: it does not follow what was there. */
int copies_collect(struct checkpoint *c, const struct log_record *r);
/* All has come: collect what is committed.  -EBADMSG: some of it has not. */
int copies_decide(struct checkpoint *c);
/* In the last transaction: set aside what is not, take out what need not be. */
int copies_merge(struct checkpoint *c);
/* Does base say something else of the partition than it will? */
bool copies_differ(const struct checkpoint *c, uint32_t partition);
/* The run has ended, and base says what it was to. */
void copies_settled(struct checkpoint *c);
void copies_done(struct checkpoint *c);

/* ---- checkpoint_load.c ---- */

int loads_make(struct checkpoint *c);
void loads_free(struct checkpoint *c);
/* Before the thread begins: base says of the partition that it is not whole. */
void loads_found(struct checkpoint *c, uint32_t partition);
/* (with the lock) Is there something that can be done now? */
bool loads_due(const struct checkpoint *c);
/* Do some of it.  0 or what makes the store unusable. */
int loads_run(struct checkpoint *c);

/* ---- checkpoint.c ---- */

/* Commit the transaction, with `meta` if it is the last. */
int checkpoint_commit(struct checkpoint *c, const struct engine_meta *meta);

/* LMDB calls a write that the disk had no room for an input/output error.  Looks at the disk. */
bool checkpoint_is_full(struct checkpoint *c, int error);

#endif
