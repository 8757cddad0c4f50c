/*
 * What the background thread does for copies that come from other nodes: makes a partition void,
 * deletes its rows, writes those that come, and says in the end that they are whole.  One bounded
 * transaction at a time, between checkpoints.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "storage/checkpoint_impl.h"
#include "storage/engine_copy.h"
#include "storage/snapshot_piece.h"

#define WIPE_ROWS  4096u /* a transaction */
#define WIPE_MIN   16u   /* when base is full */
#define WIPE_BYTES (32u << 20)
#define QUEUE_MAX  (4u << 20) /* bytes of rows; a piece that is larger comes alone */
#define RETRY_MS   1000u      /* where there is no room */

int loads_make(struct checkpoint *c)
{
	struct loads *l = &c->loads;

	l->wipe = calloc(c->partitions, sizeof(*l->wipe));
	l->wipe_rows = WIPE_ROWS;
	buf_init(&l->queue);
	buf_init(&l->taken);
	return l->wipe ? 0 : -ENOMEM;
}

void loads_free(struct checkpoint *c)
{
	free(c->loads.wipe);
	buf_fini(&c->loads.queue);
	buf_fini(&c->loads.taken);
}

void loads_found(struct checkpoint *c, uint32_t partition)
{
	atomic_store(&c->loads.wipe[partition], true);
	atomic_store(&c->loads.wipes, true);
}

/* ---- the serving thread's ---- */

static void post(struct checkpoint *c, const struct load_job *job)
{
	(void)pthread_mutex_lock(&c->lock);
	check(c->loads.job.kind == LOAD_NO_JOB);
	c->loads.job = *job;
	c->loads.ended = false;
	(void)pthread_cond_signal(&c->more);
	(void)pthread_mutex_unlock(&c->lock);
}

void checkpoint_load_void(struct checkpoint *c, uint32_t partition, uint64_t load_lsn)
{
	post(c,
	     &(struct load_job){.kind = LOAD_VOID, .partition = partition, .load_lsn = load_lsn});
}

void checkpoint_load_end(struct checkpoint *c, uint32_t partition, const struct engine_part *part,
			 struct span tail)
{
	post(c, &(struct load_job){
			.kind = LOAD_WHOLE, .partition = partition, .part = *part, .tail = tail});
}

bool checkpoint_load_fetch(struct checkpoint *c, int *ret_error)
{
	bool ended;

	(void)pthread_mutex_lock(&c->lock);
	ended = c->loads.ended;
	if (ended) {
		*ret_error = c->loads.error;
		c->loads.ended = false;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return ended;
}

bool checkpoint_load_empty(const struct checkpoint *c, uint32_t partition)
{
	return !atomic_load(&c->loads.wipe[partition]);
}

/* Why nothing more is taken: what is there could not be written, or is much. */
static int queue_error(const struct loads *l, size_t size)
{
	if (l->write_error)
		return l->write_error;
	return l->queue.len && l->queue.len + size > QUEUE_MAX ? -EAGAIN : 0;
}

int checkpoint_load_ready(struct checkpoint *c, size_t size)
{
	int r;

	(void)pthread_mutex_lock(&c->lock);
	r = queue_error(&c->loads, size);
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

int checkpoint_load_offer(struct checkpoint *c, uint32_t partition, struct span rows)
{
	struct loads *l = &c->loads;
	int r;

	(void)pthread_mutex_lock(&c->lock);
	check(!l->queue.len || l->queue_partition == partition);
	r = queue_error(l, rows.n);
	if (r == 0 && !buf_room(&l->queue, rows.n)) {
		l->queue.failed = false;
		r = -ENOMEM;
	}
	if (r == 0) {
		buf_add(&l->queue, rows.p, rows.n);
		l->queue_partition = partition;
		l->owed += rows.n;
		(void)pthread_cond_signal(&c->more);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

uint64_t checkpoint_load_owed(struct checkpoint *c)
{
	uint64_t owed;

	(void)pthread_mutex_lock(&c->lock);
	owed = c->loads.owed;
	(void)pthread_mutex_unlock(&c->lock);
	return owed;
}

void checkpoint_load_drop(struct checkpoint *c)
{
	(void)pthread_mutex_lock(&c->lock);
	c->loads.owed -= c->loads.queue.len;
	c->loads.queue.len = 0;
	c->loads.write_error = 0;
	(void)pthread_mutex_unlock(&c->lock);
}

/* ---- one transaction each ---- */

/* It is written, or need not be. */
static void taken_done(struct checkpoint *c)
{
	struct loads *l = &c->loads;

	(void)pthread_mutex_lock(&c->lock);
	l->owed -= l->taken.len;
	(void)pthread_mutex_unlock(&c->lock);
	l->taken.len = 0;
}

/* Commit what was written of a partition that is void, or abort. */
static int end_txn(struct checkpoint *c, uint32_t partition, int r)
{
	if (r < 0) {
		engine_abort(c->base);
		return r;
	}
	engine_put_void(c->base, partition);
	(void)fault_at("load.before_commit");
	return checkpoint_commit(c, NULL);
}

static int job_void(struct checkpoint *c, const struct load_job *job)
{
	struct loads *l = &c->loads;
	struct log_spans *spans = &c->spans[job->partition];
	int r = engine_begin(c->base);

	if (r < 0)
		return r;
	r = end_txn(c, job->partition, engine_void(c->base, job->partition, job->load_lsn));
	if (r < 0)
		return r;
	spans->count = 0;
	c->part[job->partition] =
		(struct engine_part){.load_lsn = job->load_lsn, .broken = true, .spans = spans};
	if (l->taken_partition == job->partition)
		taken_done(c);
	loads_found(c, job->partition);
	return 0;
}

static int tail_put(struct checkpoint *c, struct span tail)
{
	int r = 0;

	while (tail.n && r == 0) {
		const struct log_entry *e = (const struct log_entry *)tail.p;

		r = engine_tail_put(c->base, e);
		tail = (struct span){tail.p + e->size, tail.n - e->size};
	}
	return r;
}

static int job_whole(struct checkpoint *c, const struct load_job *job)
{
	struct log_spans *spans = &c->spans[job->partition];
	int r = engine_begin(c->base);

	if (r < 0)
		return r;
	r = tail_put(c, job->tail);
	if (r == 0)
		r = engine_part_put(c->base, job->partition, &job->part);
	r = end_txn(c, job->partition, r);
	if (r < 0)
		return r;
	*spans = *job->part.spans;
	c->part[job->partition] = job->part;
	c->part[job->partition].spans = spans;
	return 0;
}

/* Rows that mean nothing; of one partition at a time. */
static int wipe_some(struct checkpoint *c)
{
	struct loads *l = &c->loads;
	uint32_t p = 0;
	int n;

	while (p < c->partitions && !atomic_load(&l->wipe[p]))
		p++;
	if (p == c->partitions) {
		atomic_store(&l->wipes, false);
		return 0;
	}
	n = engine_begin(c->base);
	if (n < 0)
		return n;
	n = engine_wipe(c->base, p, l->wipe_rows, WIPE_BYTES);
	if (n <= 0) {
		engine_abort(c->base);
		if (n == 0)
			atomic_store(&l->wipe[p], false);
		return n;
	}
	return end_txn(c, p, 0);
}

static int outcome_put(struct checkpoint *c, uint32_t partition, const struct row *x)
{
	struct row_outcome f;
	struct engine_outcome o;
	int r = row_fixed(x, &f, sizeof(f), &o.result);

	if (r < 0)
		return r;
	o.number = f.number;
	o.fingerprint = f.fingerprint;
	o.sequence = f.sequence;
	o.ruled_out = f.ruled_out != 0;
	return engine_outcome_put(c->base, partition, f.id, &o);
}

static int item_put(struct checkpoint *c, uint64_t bucket, const struct row *x)
{
	struct engine_item item;
	struct row_item f;
	struct span rest;
	int r = row_fixed(x, &f, sizeof(f), &rest);

	if (r < 0)
		return r;
	item.version = f.version;
	item.expiry = f.expiry;
	item.key = (struct span){rest.p, f.key_len};
	item.value = (struct span){rest.p + f.key_len, rest.n - f.key_len};
	return engine_put(c->base, bucket, &item);
}

/* A row, which has been checked. */
static int row_put(struct checkpoint *c, uint32_t partition, const struct row *x, uint64_t *bucket)
{
	struct row_forgotten forgotten;
	struct row_bucket b;
	struct row_floor floor;
	struct span rest;
	int r;

	switch (x->kind) {
	case ROW_BUCKET:
		r = row_fixed(x, &b, sizeof(b), &rest);
		*bucket = b.id;
		return r < 0 ? r : engine_bucket_add(c->base, rest, b.id, (int64_t)b.count, true);
	case ROW_ITEM:
		return item_put(c, *bucket, x);
	case ROW_FORGOTTEN:
		r = row_fixed(x, &forgotten, sizeof(forgotten), &rest);
		return r < 0 ? r : engine_forgotten_put(c->base, partition, forgotten.made_ms);
	case ROW_FLOOR:
		r = row_fixed(x, &floor, sizeof(floor), &rest);
		return r < 0 ? r : engine_session_put(c->base, partition, floor.id, floor.floor);
	case ROW_OUTCOME:
		return outcome_put(c, partition, x);
	default:
		return 0; /* not base's */
	}
}

/* What has come, in one transaction.  Where there is no room it is kept, and tried again. */
static int write_taken(struct checkpoint *c)
{
	struct loads *l = &c->loads;
	struct span rest = {l->taken.data, l->taken.len};
	uint64_t bucket = l->bucket;
	struct row x;
	int r = engine_begin(c->base);

	if (r < 0)
		return r;
	r = fault_at("load.write");
	while (r == 0 && row_read_next(&rest, &x) == 1)
		r = row_put(c, l->taken_partition, &x, &bucket);
	r = end_txn(c, l->taken_partition, r);
	if (r < 0)
		return r;
	l->bucket = bucket;
	taken_done(c);
	return 0;
}

/* ---- the thread's ---- */

static void take(struct checkpoint *c)
{
	struct loads *l = &c->loads;
	struct buf empty = l->taken;

	check(!l->taken.len);
	(void)pthread_mutex_lock(&c->lock);
	l->taken = l->queue;
	l->taken_partition = l->queue_partition;
	l->queue = empty;
	(void)pthread_mutex_unlock(&c->lock);
}

/* Did it fail in a way that may pass?  Then later, and *ret_error says which. */
static bool may_pass(struct checkpoint *c, int r, int *ret_error)
{
	*ret_error = r;
	if (r >= 0)
		return false;
	if (checkpoint_is_full(c, r))
		*ret_error = -ENOSPC;
	else if (r != -ENOMEM)
		return false;
	c->loads.retry_ms = clock_ms() + RETRY_MS;
	return true;
}

static int run_job(struct checkpoint *c)
{
	struct load_job job;
	int error;
	int r;

	(void)pthread_mutex_lock(&c->lock);
	job = c->loads.job;
	/* It is whole behind what was written of it, and void behind that too. */
	if (job.kind == LOAD_WHOLE && (c->loads.queue.len || c->loads.taken.len))
		job.kind = LOAD_NO_JOB;
	(void)pthread_mutex_unlock(&c->lock);
	if (job.kind == LOAD_NO_JOB)
		return 0;
	r = job.kind == LOAD_VOID ? job_void(c, &job) : job_whole(c, &job);
	if (r < 0 && !may_pass(c, r, &error))
		return r;
	(void)pthread_mutex_lock(&c->lock);
	c->loads.job.kind = LOAD_NO_JOB;
	c->loads.ended = true;
	c->loads.error = r < 0 ? error : 0;
	(void)pthread_mutex_unlock(&c->lock);
	return 0;
}

static int run_wipe(struct checkpoint *c)
{
	struct loads *l = &c->loads;
	int error;
	int r = wipe_some(c);

	if (r == 0) {
		if (l->wipe_rows < WIPE_ROWS)
			l->wipe_rows *= 2;
		return 0;
	}
	/* Few rows at a time may get through where there is little room; see purge. */
	if (!may_pass(c, r, &error))
		return r;
	if (l->wipe_rows > WIPE_MIN)
		l->retry_ms = 0;
	l->wipe_rows = l->wipe_rows / 4 > WIPE_MIN ? l->wipe_rows / 4 : WIPE_MIN;
	return 0;
}

static int run_write(struct checkpoint *c)
{
	struct loads *l = &c->loads;
	int error;
	int r;

	if (!l->taken.len)
		take(c);
	if (!l->taken.len)
		return 0;
	r = write_taken(c);
	if (r < 0 && !may_pass(c, r, &error))
		return r;
	(void)pthread_mutex_lock(&c->lock);
	l->write_error = r < 0 ? error : 0;
	(void)pthread_mutex_unlock(&c->lock);
	return 0;
}

bool loads_due(const struct checkpoint *c)
{
	const struct loads *l = &c->loads;

	return (l->job.kind != LOAD_NO_JOB || l->queue.len || l->taken.len ||
		atomic_load(&l->wipes)) &&
	       clock_ms() >= l->retry_ms;
}

int loads_run(struct checkpoint *c)
{
	int r = run_job(c);

	if (r == 0 && atomic_load(&c->loads.wipes) && clock_ms() >= c->loads.retry_ms)
		r = run_wipe(c);
	/* Rows of a partition that comes are offered when nothing is left to be deleted there. */
	if (r == 0 && clock_ms() >= c->loads.retry_ms)
		r = run_write(c);
	(void)usleep(1000); /* let the log's syncs through */
	return r;
}
