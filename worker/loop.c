/* The worker's loop, and its end. */
#include "worker/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "ipc/shm/control.h"
#include "worker/replication.h"
#include "worker/functions_set.h"
#include "worker/ops.h"
#include "worker/recovery.h"
#include "worker/startup.h"

#define PUBLISH_EVERY 256u  /* requests, so that the coordinator has work early */
#define POLL_MS       10u   /* between polls of the control socket under load */
#define SETTLE_MS     8000u /* for the last checkpoint; the coordinator waits a little longer */
#define STOP_MS       1000u /* for replies that wait for other nodes */
#define HELD_POLL_MS  2u
#define HOLD_UNTIL    95u  /* percent of store_pressure at which a checkpoint is due, held or not */
#define SLOW_FROM     75u  /* percent of store_pressure from which writes are slowed */
#define SLOW_DIVISOR  8u   /* a write costs (pressure - SLOW_FROM)^2 / SLOW_DIVISOR us more */
#define SLOW_EVERY    512u /* writes at most between pauses */
#define SLOW_MAX_US   100000u
#define SLOW_PAUSE_US 10000u /* at a time */
#define BEATS         4u     /* heartbeats at least within the time after which one is hung */

void worker_fail(struct worker *w, int error, const char *why)
{
	if (w->error)
		return;
	w->error = error;
	(void)snprintf(w->exit_reason, sizeof(w->status->exit_reason), "%s", why);
	log_error("%s", why);
}

static void clock_look(struct worker *w)
{
	w->now_us = clock_us();
	w->now_ms = w->now_us / 1000;
}

void worker_beat(struct worker *w, enum worker_phase phase)
{
	clock_look(w);
	status_set(&w->status->heartbeat_ms, w->now_ms);
	atomic_store_explicit(&w->status->phase, phase, memory_order_relaxed);
}

static void hold(struct worker *w, bool on)
{
	w->hold = on;
	w->held = false;
	store_hold(w->store, on);
}

/* The control socket: is there anything to obey?  May be called in the middle of a request. */
int worker_poll(struct worker *w)
{
	int fd;
	int m = control_receive_fd(FD_CONTROL, &fd);

	w->polled_ms = w->now_ms;
	if (m == CONTROL_STOP)
		w->stop = true;
	else if (m == CONTROL_HOLD || m == CONTROL_RESUME)
		w->asked = m;
	else if (m == CONTROL_LEAVE)
		w->leave = w->held;
	else if (m == CONTROL_FUNCTIONS && fd >= 0)
		worker_functions_take(w, fd); /* from the next call on */
	else if (m < 0)
		w->orphan = true;
	return m;
}

/* Say when the last checkpoint has ended, or that writers cannot be held back any longer. */
static void hold_step(struct worker *w)
{
	if (!w->held && store_held(w->store)) {
		w->held = true;
		(void)control_send(FD_CONTROL, CONTROL_HELD);
	}
	/* Once told to leave it leaves: the coordinator would take the word for the contrary. */
	if (!w->leave && store_pressure(w->store) >= HOLD_UNTIL) {
		hold(w, false);
		(void)control_send(FD_CONTROL, CONTROL_UNHELD);
	}
}

/* Sleep until there is work, a word from the coordinator, or `ms` have gone. */
static void wait_for_work(struct worker *w, unsigned ms)
{
	struct pollfd p[2] = {
		{FD_CONTROL,     POLLIN, 0},
                {FD_WAKE_WORKER, POLLIN, 0}
        };
	const unsigned hang_ms = w->segment->header->settings.hang_ms;
	uint64_t n;

	if (hang_ms && ms > hang_ms / BEATS)
		ms = hang_ms / BEATS;
	(void)poll(p, 2, (int)ms);
	if (p[1].revents)
		(void)!read(FD_WAKE_WORKER, &n, sizeof(n)); /* only empties it */
	if (p[0].revents)
		(void)worker_poll(w);
}

/* The store waits for its sync thread, or a reply for room: give both what they need. */
void worker_wait(void *arg)
{
	struct worker *w = arg;

	worker_publish(w);
	worker_beat(w, PHASE_WAIT_LOG);
	store_freed(w->store, ring_tail(&w->segment->request));
	if (w->now_ms - w->polled_ms > POLL_MS)
		(void)worker_poll(w);
}

void worker_work(void *arg)
{
	struct worker *w = arg;
	uint64_t before_ms = w->now_ms;

	clock_look(w);
	if (w->now_ms == before_ms)
		return;
	status_set(&w->status->heartbeat_ms, w->now_ms);
	if (!w->alone) /* words from the coordinator are follow_on's */
		return;
	if (w->now_ms - w->polled_ms > POLL_MS || w->held)
		(void)worker_poll(w);
	if (!w->serving)
		return;
	w->due = true;
	worker_publish(w);
}

/* ---- serving ---- */

bool worker_requests_agree(struct worker_status *s)
{
	uint64_t kills_max = atomic_load_explicit(&s->life, memory_order_relaxed);
	uint64_t requests = status_get(&s->requests);
	uint64_t all = 0;

	for (unsigned m = 0; m < WIRE_METHOD_COUNT; m++)
		all += status_get(&s->by_method[m]);
	return all <= requests + kills_max && requests <= all + kills_max;
}

static void publish_stats(struct worker *w)
{
	struct store_stats st;
	struct worker_status *s = w->status;

	store_stats(w->store, &st);
	status_set(&s->buckets, st.buckets);
	status_set(&s->keys, st.keys);
	status_set(&s->cache_bytes, st.cache_bytes);
	status_set(&s->recent_keys, st.recent_keys);
	status_set(&s->log_bytes, st.log_bytes);
	status_set(&s->base_bytes, st.base_bytes);
	status_set(&s->map_bytes, st.map_bytes);
	status_set(&s->sessions, st.sessions);
	status_set(&s->outcome_bytes, st.outcome_bytes);
	status_set(&s->checkpoint_wall_ms, st.checkpoint_wall_ms);
	status_set(&s->last_checkpoint_ms, st.last_checkpoint_ms);
	status_set(&s->wall_ms, store_clock(w->store));
	/* Counts of the store begin at 0 with each worker, the figures go on. */
	check(st.checkpoints >= w->shown.checkpoints);
	status_add(&s->checkpoints, st.checkpoints - w->shown.checkpoints);
	status_add(&s->checkpoint_ms, st.checkpoint_ms - w->shown.checkpoint_ms);
	status_add(&s->checkpoint_entries, st.checkpoint_entries - w->shown.checkpoint_entries);
	status_add(&s->cache_hits, st.cache_hits - w->shown.cache_hits);
	status_add(&s->cache_misses, st.cache_misses - w->shown.cache_misses);
	status_set(&s->reader_us, st.reader_us);
	w->shown = st;
	check_slow(worker_requests_agree(s));
}

/* A clock that jumps is a fault of the machine's, which its operator must know of. */
static void tell_jump(const struct worker *w)
{
	bool behind;
	int64_t ms = store_jump(w->store, &behind);
	double s = (double)(ms < 0 ? -ms : ms) / 1000;

	if (behind && ms)
		log_warn("the system's clock is %.1f s behind the time known here: ttls end by a "
			 "clock that goes on from that time",
			 s);
	else if (ms < 0)
		log_warn("the system's clock has stepped back by %.1f s: ttls end by a clock that "
			 "goes on as if it had not",
			 s);
	else if (ms)
		log_warn("the system's clock has stepped ahead by %.1f s: keys whose time is over "
			 "by it are gone, also if it steps back",
			 s);
}

/* Between two requests, the most of it at most once a millisecond: orders, checkpoints, figures. */
static void tick(struct worker *w)
{
	if (w->asked) {
		hold(w, w->asked == CONTROL_HOLD);
		w->asked = 0;
	}
	worker_beat(w, PHASE_SERVE);
	if (w->now_ms == w->ticked_ms)
		return;
	store_freed(w->store, ring_tail(&w->segment->request));
	if (store_tick(w->store, clock_wall_ms()) < 0)
		worker_fail(w, -EIO, store_why(w->store));
	tell_jump(w);
	publish_stats(w);
	if (w->hold)
		hold_step(w);
	if (w->now_ms - w->polled_ms > POLL_MS || w->held)
		(void)worker_poll(w);
	/* From its end: however long it took, requests get their turn before the next one. */
	w->ticked_ms = w->now_ms;
	w->due = false;
}

static bool entry_is_open(const struct worker *w, const struct request_record *rec, uint64_t at,
			  uint32_t i)
{
	if (atomic_load_explicit(&rec->entry[i].state, memory_order_relaxed) != ENTRY_OPEN)
		return false;
	return !w->recovery || !recovery_answered(w->recovery, at + i);
}

/* Not another request: what is left is a successor's. */
static bool is_ending(const struct worker *w)
{
	return w->error || w->orphan || w->leave;
}

static void serve_batch(struct worker *w, const struct request_record *rec, uint64_t at,
			uint32_t first, uint32_t end)
{
	struct op op[OPS_BATCH];
	uint32_t n = 0;

	for (uint32_t i = first; i < end; i++)
		if (entry_is_open(w, rec, at, i) &&
		    (!w->replication || replication_admit(w->replication, rec, at, i)))
			op_prepare(w, &op[n++], rec, at, i);
	for (uint32_t i = 0; i < n; i++)
		op_prefetch(w, &op[i]);
	for (uint32_t i = 0; i < n && !is_ending(w); i++) {
		if (i && !entry_is_open(w, rec, at, op[i].index))
			continue; /* those before it took long: it has been answered meanwhile */
		op_run(w, &op[i]);
		w->unpublished++;
		if (w->due)
			tick(w);
	}
}

/*
 * Run the record at `at`.  Returns the position behind it.  Once its last replies are published and
 * `reached` is past it, the coordinator may write over it: nothing of it is read after that.
 */
static uint64_t serve_record(struct worker *w, uint64_t at)
{
	const struct request_record *rec = ring_at(&w->segment->request, at);
	const uint32_t count = rec->count;
	const uint64_t behind = at + rec->size;
	const bool wake = rec->flags & RECORD_WAKE;

	check(rec->size && behind <= ring_head(&w->segment->request));

	for (uint32_t i = 0; i < count; i += OPS_BATCH) {
		uint32_t end = count - i < OPS_BATCH ? count : i + OPS_BATCH;

		serve_batch(w, rec, at, i, end);
		if (is_ending(w))
			return at;
		if (end == count)
			atomic_store_explicit(&w->status->reached, behind, memory_order_release);
		if (end == count && wake)
			worker_wake(w->status);
		if (w->unpublished >= PUBLISH_EVERY)
			worker_publish(w);
	}
	if (w->recovery && behind >= recovery_end(w->recovery))
		recovery_free(&w->recovery);
	return behind;
}

/*
 * Writers are ahead of the checkpoint: hold them back, the more the further, before they must be
 * told to go away.
 */
static void slow_down(struct worker *w, uint64_t writes, unsigned pressure)
{
	uint64_t over = pressure - SLOW_FROM;
	uint64_t us = writes * over * over / SLOW_DIVISOR;
	struct timespec pause = {0, 0};

	for (us = us < SLOW_MAX_US ? us : SLOW_MAX_US; us; us -= (uint64_t)pause.tv_nsec / 1000) {
		pause.tv_nsec = (long)(us < SLOW_PAUSE_US ? us : SLOW_PAUSE_US) * 1000;
		(void)nanosleep(&pause, NULL);
		worker_work(w);
	}
}

/* What arrives for copies, what they have, what is to be sent: between two records. */
static void replication_round(struct worker *w)
{
	w->stepped_ms = w->now_ms;
	replication_step(w->replication);
	if (replication_over(w->replication))
		worker_fail(w, -ESTALE,
			    "what had taken effect here was taken back: it begins anew");
}

/* Everything published that was there when the round began. */
static void serve_round(struct worker *w)
{
	uint64_t head = ring_head(&w->segment->request);
	uint64_t before = store_lsn(w->store);

	check(head - w->read <= w->segment->request.size);
	while (w->read < head && !is_ending(w)) {
		w->read = serve_record(w, w->read);
		if (w->replication && w->now_ms != w->stepped_ms)
			replication_round(w);
		if (store_lsn(w->store) - before >= SLOW_EVERY &&
		    store_pressure(w->store) > SLOW_FROM)
			break; /* many short pauses are better than a long one */
	}
	atomic_store_explicit(&w->status->executing, 0, memory_order_relaxed);
	if (w->replication)
		replication_round(w);
	worker_publish(w);
	if (store_pressure(w->store) > SLOW_FROM)
		slow_down(w, store_lsn(w->store) - before, store_pressure(w->store));
}

/*
 * Told to leave it first gives the replies that wait for copies: its successor may have taken in
 * their records already, without a thought of whose they were.
 */
static bool may_leave(struct worker *w)
{
	return w->leave && (!w->replication || replication_quiet(w->replication));
}

/* Requests that may be run. */
static bool is_asked(struct worker *w)
{
	return !w->leave && ring_head(&w->segment->request) != w->read &&
	       (!w->replication || replication_ready(w->replication));
}

/* Told to stop, it still gives replies that wait for copies some time. */
static bool may_stop(struct worker *w)
{
	if (!w->stop)
		return false;
	if (!w->stop_ms)
		w->stop_ms = w->now_ms;
	return !w->replication || w->now_ms - w->stop_ms >= STOP_MS ||
	       (replication_quiet(w->replication) && ring_head(&w->segment->request) == w->read);
}

static void idle(struct worker *w)
{
	unsigned ms = w->hold && !w->held ? HELD_POLL_MS : store_idle_ms(w->store);

	sleep_begin(&w->status->worker_sleeps);
	if (!is_asked(w) && !(w->replication && replication_stirred(w->replication))) {
		worker_beat(w, PHASE_IDLE);
		wait_for_work(w, w->replication ? replication_idle_ms(w->replication, ms) : ms);
	}
	sleep_end(&w->status->worker_sleeps);
}

static void serve(struct worker *w)
{
	while (!w->error && !w->orphan) {
		tick(w);
		if (may_leave(w))
			return;
		if (is_asked(w)) {
			serve_round(w);
			continue;
		}
		if (w->replication)
			replication_round(w);
		worker_publish(w); /* what the tick logged */
		if (may_stop(w))
			return;
		idle(w);
	}
}

/* ---- the end ---- */

static void finish(struct worker *w)
{
	if (!w->orphan) {
		worker_beat(w, PHASE_STOP);
		if (store_settle(w->store, SETTLE_MS) < 0)
			log_warn("last checkpoint: %s; the log has everything",
				 store_why(w->store));
		if (w->error)
			return;
		publish_stats(w);
	}
	replication_free(&w->replication);
	store_close(&w->store);
	atomic_store(&w->status->state, STATUS_GOODBYE);
}

/* A successor goes on: what is done is synced and told, the rest is its. */
static void leave(struct worker *w)
{
	(void)fault_at("worker.before_leave");
	worker_publish(w);
	store_release(w->store);
	atomic_store(&w->status->state, STATUS_GOODBYE);
	(void)fault_at("worker.before_left");
	(void)control_send(FD_CONTROL, CONTROL_LEFT);
	_exit(WORKER_DONE); /* nothing is left to be freed in order */
}

int worker_run(bool follow)
{
	static struct worker worker;
	struct worker *w = &worker;
	int r = worker_begin(w, follow);

	if (r == -EPIPE && w->stop) { /* before it was ready */
		atomic_store(&w->status->state, STATUS_GOODBYE);
		return WORKER_DONE;
	}
	if (r < 0)
		return r == -EPIPE ? WORKER_FAILED : worker_start_status(r);
	serve(w);
	if (w->leave && !w->error && !w->orphan)
		leave(w);
	if (!w->error)
		finish(w);
	return w->error ? WORKER_FAILED : WORKER_DONE;
}
