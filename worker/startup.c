/* Starting alone, or beside the one whose place is taken. */
#include "worker/startup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/check.h"
#include "common/fault.h"
#include "common/log.h"
#include "ipc/shm/control.h"
#include "worker/replication.h"
#include "worker/loop.h"
#include "worker/recovery.h"

#define LIFE_MAX    65534u /* a term has 16 bits for it */
#define FOLLOW_MS   1      /* between looks at a predecessor's log */
#define FOLLOW_NEAR 5000u  /* records of a round: so near its end that the rest is soon read */

static int before_apply(void *arg, const struct log_record *r, bool same)
{
	struct worker *w = arg;

	if (w->orphan || w->stop) /* nothing is lost: the log stays as it is */
		return -EPIPE;
	return w->recovery ? recovery_before(w->recovery, w, r, same) : 0;
}

static int after_apply(void *arg, const struct log_record *r, bool same)
{
	struct worker *w = arg;

	return w->recovery ? recovery_after(w->recovery, r, same) : 0;
}

static void on_append(void *arg, const struct log_record *r)
{
	struct worker *w = arg;

	replication_append(w->replication, r);
}

static void store_configure(struct worker *w, struct store_config *ret)
{
	const struct settings *g = &w->segment->header->settings;

	*ret = (struct store_config){
		.dir = g->dir,
		.cache_bytes = g->cache_bytes,
		.log_bytes = g->log_bytes,
		.log_segment_bytes = g->log_segment_bytes,
		.map_bytes = g->map_bytes,
		.value_max = g->value_max,
		.group_max = g->group_max,
		.buckets_max = g->buckets_max,
		.session_ms = g->session_ms,
		.session_bytes = g->session_bytes_max,
		.partitions = g->partitions,
		.replicated = g->replicated,
		.disk_reserve_bytes = g->disk_reserve_bytes,
		.lock_wait_ms = g->lock_wait_ms,
		.checkpoint_ms = g->checkpoint_ms,
		.generation = w->segment->header->generation,
		.synced = status_get(&w->status->synced),
		.clock_ms = status_get(&w->segment->status->wall_ms),
		.arg = w,
		.on_synced = worker_synced,
		.on_wrote = worker_wrote,
		.on_wait = worker_wait,
		.on_work = worker_work,
		.on_append = g->replicated ? on_append : NULL,
		.before_apply = before_apply,
		.after_apply = after_apply,
	};
}

static int open_store(struct worker *w)
{
	struct store_config c;
	char why[256] = "";
	int r = recovery_new(w, &w->recovery);

	if (r < 0)
		return r;
	store_configure(w, &c);
	worker_beat(w, PHASE_REPLAY);
	r = store_open(&c, &w->store, why, sizeof(why));
	if (r < 0 && r != -EPIPE)
		worker_fail(w, r, why);
	return r;
}

int worker_start_status(int error)
{
	switch (error) {
	case -EBADMSG: /* damaged data */
	case -EPROTO:
	case -EACCES:
	case -EPERM:
	case -EROFS:
	case -ENOTDIR:
	case -EINVAL: /* settings that cannot work */
	case -ELOOP:  /* links where our files should be */
	case -EMLINK:
	case -EMEDIUMTYPE:
	case -EFBIG: /* nor a disk so small */
		return WORKER_HOPELESS;
	default:
		return WORKER_FAILED;
	}
}

static void exit_reason(void *arg, const char *text)
{
	struct worker *w = arg;

	(void)snprintf(w->exit_reason, sizeof(w->status->exit_reason), "%s", text);
}

static int attach(struct worker *w, bool follow)
{
	static struct worker_status nobodys; /* while another worker serves, the slot is not ours */
	const struct settings *g;
	char role[96];
	int r = segment_attach(FD_SEGMENT, &w->segment);

	if (r < 0) {
		log_error("map the segment: %s", strerror(-r));
		return r;
	}
	w->status = follow ? &nobodys : w->segment->status;
	w->exit_reason = follow ? w->segment->status->successor_exit_reason
				: w->segment->status->exit_reason;
	g = &w->segment->header->settings;
	w->own_first = g->replicated ? g->partitions : 0;
	(void)snprintf(role, sizeof(role), "pail %s worker %u", g->node, g->worker);
	log_init(role, (enum log_level)g->log_level);
	check_set_hook(exit_reason, w);
	(void)prctl(PR_SET_NAME, "pail-worker", 0, 0, 0);
	(void)signal(SIGINT, SIG_IGN); /* the terminal's ^C is for the coordinator */
	(void)signal(SIGPIPE, SIG_IGN);
	fault_init(atomic_load(&w->segment->status->life) + follow);
	buf_init(&w->scratch);
	return 0;
}

/* From here on this worker is the only one on its segment. */
static void enter(struct worker *w)
{
	struct segment *g = w->segment;

	w->alone = true;
	w->status = g->status;
	w->exit_reason = g->status->exit_reason;
	w->exit_reason[0] = '\0';
	atomic_store(&w->status->worker_sleeps, 0);
	atomic_store(&w->status->state, STATUS_STARTING);
	worker_beat(w, PHASE_START);
	/* Where a predecessor stopped publishing. */
	ring_attach(&g->immediate, g->immediate.control, g->immediate.data, g->immediate.size);
	ring_attach(&g->durable, g->durable.control, g->durable.data, g->durable.size);
	ring_attach(&g->ship, g->ship.control, g->ship.data, g->ship.size);
	replies_init(&w->replies, g, &w->now_us);
	w->read = ring_tail(&g->request);
	w->published_now = g->immediate.write;
	w->submitted_mark = g->durable.write;
}

/* ---- beside a predecessor ---- */

/*
 * Read its log as it grows.  0: it has left, and this worker is to go on; -EPIPE: the coordinator
 * wants nobody, or is gone; or what is wrong.
 */
static int follow_on(struct worker *w)
{
	_Atomic uint64_t *synced = &w->segment->status->synced;
	struct pollfd p = {FD_CONTROL, POLLIN, 0};
	bool told = false;
	uint64_t before = 0;

	for (;;) {
		uint64_t lsn = atomic_load_explicit(synced, memory_order_acquire);
		int r = store_tail(w->store, lsn);
		int m;

		if (r < 0)
			return r;
		if (!told && lsn - before < FOLLOW_NEAR) {
			(void)fault_at("worker.before_caught_up");
			told = control_send(FD_CONTROL, CONTROL_CAUGHT_UP) == 0;
		}
		before = lsn;
		(void)poll(&p, 1, FOLLOW_MS);
		m = control_receive(FD_CONTROL);
		if (m == CONTROL_GO)
			return 0;
		if (m < 0)
			return -EPIPE;
	}
}

/* Open the store beside its owner, follow it, go on in its place. */
static int follow_store(struct worker *w)
{
	struct store_config c;
	char why[256] = "";
	int r;

	store_configure(w, &c);
	r = store_open_follower(&c, &w->store, why, sizeof(why));
	if (r < 0) {
		worker_fail(w, r, why);
		return r;
	}
	r = follow_on(w);
	if (r == 0) {
		enter(w);
		r = recovery_new(w, &w->recovery);
	}
	if (r == 0)
		r = store_promote(w->store, status_get(&w->status->synced));
	if (r < 0 && r != -EPIPE)
		worker_fail(w, r, store_why(w->store));
	return r;
}

/* ---- ready ---- */

int worker_begin(struct worker *w, bool follow)
{
	int r = attach(w, follow);

	if (r < 0)
		return r;
	if (atomic_load(&w->segment->status->life) > LIFE_MAX &&
	    w->segment->header->settings.replicated) {
		worker_fail(w, -EINVAL, "it was started too often: start the node anew");
		return -EINVAL;
	}
	if (follow) {
		r = follow_store(w);
	} else {
		enter(w);
		r = open_store(w);
	}
	if (r < 0)
		return r;
	w->submitted_lsn = store_lsn(w->store);
	atomic_store_explicit(&w->status->synced, store_synced(w->store), memory_order_release);
	if (w->segment->header->settings.replicated) {
		r = replication_new(w, &w->replication);
		if (r < 0)
			return r;
	}
	if (w->recovery) {
		log_info("took over %llu unanswered requests",
			 (unsigned long long)recovery_count(w->recovery));
		(void)fault_at("worker.before_answers");
		/* Those of partitions that have copies with each one's role. */
		(void)recovery_answer(w->recovery, w, w->own_first);
		worker_publish(w);
	}
	w->serving = true;
	(void)fault_at("worker.before_ready");
	atomic_store(&w->status->state, STATUS_ACTIVE);
	return control_send(FD_CONTROL, CONTROL_READY);
}
