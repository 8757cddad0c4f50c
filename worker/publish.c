/* What becomes visible to the coordinator, and when; room for it. */
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/fault.h"
#include "worker/loop.h"
#include "worker/replication.h"

void worker_wake(struct worker_status *status)
{
	uint64_t one = 1;

	if (sleep_must_wake(&status->coordinator_sleeps))
		(void)!write(FD_WAKE_COORDINATOR, &one, sizeof(one)); /* full means awake anyhow */
}

/* Sync thread: the log is safe up to `lsn`, so replies before `mark` may be seen. */
void worker_synced(void *arg, uint64_t mark, uint64_t lsn)
{
	struct worker *w = arg;

	atomic_store_explicit(&w->status->synced, lsn, memory_order_release);
#ifdef PAIL_BREAK_SYNC
	(void)mark; /* worker_publish has told it already */
#else
	ring_publish(&w->segment->durable, mark);
#endif
	worker_wake(w->status);
	/* Replies that wait for copies wait for this log too. */
	if (w->segment->header->settings.replicated && sleep_must_wake(&w->status->worker_sleeps)) {
		const uint64_t one = 1;

		(void)!write(FD_WAKE_WORKER, &one, sizeof(one)); /* full means awake anyhow */
	}
}

/* Sync thread. */
void worker_wrote(void *arg, uint64_t bytes)
{
	struct worker *w = arg;

	status_add(&w->status->log_syncs, 1);
	status_add(&w->status->log_written_bytes, bytes);
}

void worker_publish(struct worker *w)
{
	struct segment *g = w->segment;

	replies_close(&w->replies);
	w->unpublished = 0;
	/* Replies that may be seen now go first: no later record may be on disk before them. */
	if (g->immediate.write != w->published_now) {
		w->published_now = g->immediate.write;
		ring_publish(&g->immediate, w->published_now);
		(void)fault_at("worker.after_publish_now");
		worker_wake(w->status);
	}
	if (w->replication && replication_publish(w->replication))
		worker_wake(w->status);
#ifdef PAIL_BREAK_SYNC /* for a test of the tests: tell before it is safe */
	ring_publish(&g->durable, g->durable.write);
	worker_wake(w->status);
#endif
	if (store_lsn(w->store) != w->submitted_lsn || g->durable.write != w->submitted_mark) {
		check_slow(store_lsn(w->store) >= w->submitted_lsn);
		w->submitted_lsn = store_lsn(w->store);
		w->submitted_mark = g->durable.write;
		(void)fault_at("worker.before_hand");
		store_submit(w->store, w->submitted_mark);
	}
}

bool worker_wait_room(struct worker *w)
{
	const struct timespec pause = {0, 50000};

	if (w->error || w->orphan)
		return false;
	worker_wait(w);
	worker_beat(w, PHASE_WAIT_REPLY);
	(void)nanosleep(&pause, NULL);
	return true;
}

char *worker_room(struct worker *w, enum segment_ring which, uint64_t record, uint32_t index,
		  uint64_t n)
{
	char *p;

	store_work(w->store, work_bytes(n));
	do
		p = replies_room(&w->replies, which, record, index, n);
	while (!p && worker_wait_room(w));
	return p;
}

char *worker_parcel(struct worker *w, enum segment_ring which, uint32_t n)
{
	char *p;

	do
		p = replies_parcel(&w->replies, which, n);
	while (!p && worker_wait_room(w));
	return p;
}
