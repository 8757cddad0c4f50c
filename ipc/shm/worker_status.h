/*
 * A worker's block in its segment: who it is, how it fares, what it does, its last words.  Every
 * field has one writer, and the fields of one writer have cache lines of their own.  All are
 * written relaxed unless said otherwise; readers want the newest figure, not an order between
 * figures.
 */
#ifndef PAIL_WORKER_STATUS_H
#define PAIL_WORKER_STATUS_H

#include <stdatomic.h>
#include <stdint.h>

#include "include/wire.h"
#include "ipc/shm/metrics.h"

#define METHODS_MAX 32 /* room, so that a new method moves nothing here */
_Static_assert((int)WIRE_METHOD_COUNT <= METHODS_MAX, "a counter for each method");

#define ERRORS_MAX 32 /* likewise for a new error */
_Static_assert((int)WIRE_ERROR_COUNT <= ERRORS_MAX, "a number for each error");
/* Kinds of errors that a worker may have answered with; more are counted as the last one. */
#define STATUS_ERRORS_MAX 128

/*
 * The dead-man switch: a worker found dead in any state but STATUS_GOODBYE and STATUS_UNUSED
 * crashed, whatever its exit status.
 */
enum worker_status_state { STATUS_UNUSED, STATUS_STARTING, STATUS_ACTIVE, STATUS_GOODBYE };

/* What the serving thread does, for `pail status` and obituaries. */
enum worker_phase {
	PHASE_START,
	PHASE_REPLAY,
	PHASE_IDLE,
	PHASE_SERVE,
	PHASE_WAIT_LOG,
	PHASE_WAIT_REPLY,
	PHASE_STOP
};

/* The figures of one writer (metrics.h): each by its name, all of them by place, room included. */
#define METRIC_FIELD(slot, name, ...) _Atomic uint64_t name;
#define METRIC_SLOTS(table, slots, max)      \
	union {                              \
		struct {                     \
			table(METRIC_FIELD)  \
		};                           \
		_Atomic uint64_t slots[max]; \
	}

struct worker_status {
	/* ---- written by the worker's serving thread ---- */
	_Alignas(64) _Atomic uint32_t state; /* enum worker_status_state */
	_Atomic uint32_t phase;
	_Atomic uint64_t heartbeat_ms;
	_Atomic uint64_t executing; /* identity of the request being executed, plus 1; 0: none */
	_Atomic uint64_t reached;   /* this worker is done with every record before this position;
				       set by the coordinator while no worker lives */
	_Atomic uint64_t wall_ms;   /* the store's clock, which never steps back */
	METRIC_SLOTS(METRICS_SERVING, serving, METRICS_SERVING_MAX);
	_Atomic uint64_t by_method[METHODS_MAX]; /* the first WIRE_METHOD_COUNT count */
	char exit_reason[248];      /* why it ends, as text; read after its death only */
	_Atomic uint64_t submitted; /* the highest lsn that the sync thread was given */

	/* ---- written by the worker's sync thread, before it publishes a reply ---- */
	_Alignas(64) _Atomic uint64_t synced; /* highest sequence known to be on disk; release: its
						 record can be read in the log by then */
	METRIC_SLOTS(METRICS_SYNC, sync, METRICS_SYNC_MAX);

	/* ---- written by a successor that follows the worker ---- */
	_Alignas(64) char successor_exit_reason[256]; /* why it ends; read after its death only */

	/* ---- written by the serving thread: it is about to sleep; seq_cst, see sleep_begin ----
	 */
	_Alignas(64) _Atomic uint32_t worker_sleeps;
	/* since when something waits to be on disk, or its writing has got on (CLOCK_MONOTONIC); 0:
	 * nothing does, or no copies elsewhere wait for it */
	_Atomic uint64_t unsynced_ms;

	/* ---- written by the coordinator ---- */
	_Alignas(64) _Atomic uint32_t coordinator_sleeps; /* seq_cst */
	_Atomic uint32_t life;              /* 0 for the first worker here, then 1, … */
	_Atomic uint64_t buckets_elsewhere; /* of the other workers, when a create was last given */
	_Atomic uint64_t started; /* a request before this identity may have been begun by one that
				      is no more */
	_Atomic uint32_t roles;   /* the life, plus 1, that has been told all its roles; release */
	/* The line above is read with every reply: figures are apart from it. */
	_Alignas(64) METRIC_SLOTS(METRICS_COORDINATOR, coordinator, METRICS_COORDINATOR_MAX);

	/* ---- written by the worker's serving thread: its errors, by method and code ---- */
	_Alignas(64) struct status_errors {
		_Atomic uint32_t
			what; /* 1 + method * ERRORS_MAX + code; 0: free, as all behind it */
		_Atomic uint32_t zero;
		_Atomic uint64_t count;
	} errors_of[STATUS_ERRORS_MAX];
};

static inline void status_set(_Atomic uint64_t *field, uint64_t v)
{
	atomic_store_explicit(field, v, memory_order_relaxed);
}

static inline uint64_t status_get(_Atomic uint64_t *field)
{
	return atomic_load_explicit(field, memory_order_relaxed);
}

/* By its only writer: so no locked instruction is needed. */
static inline void status_add(_Atomic uint64_t *field, uint64_t n)
{
	status_set(field, status_get(field) + n);
}

/* An error of a request of `method`, by the serving thread. */
static inline void status_error(struct worker_status *s, unsigned method, enum wire_error e)
{
	uint32_t what = 1 + method * ERRORS_MAX + (uint32_t)e;
	unsigned i = 0;
	uint32_t there;

	while ((there = atomic_load_explicit(&s->errors_of[i].what, memory_order_relaxed)) != 0 &&
	       there != what && i + 1 < STATUS_ERRORS_MAX)
		i++;
	if (!there)
		atomic_store_explicit(&s->errors_of[i].what, what, memory_order_relaxed);
	status_add(&s->errors_of[i].count, 1);
	status_add(&s->errors, 1);
}

/*
 * Sleep without missing a wake-up: the sleeper sets its flag, a full fence, looks once more for
 * work, and only then waits on its eventfd.  The other side publishes, a full fence, and looks at
 * the flag.  One of the two sees the other.  A peer that is killed between publishing and waking
 * loses the wake-up, so every wait has a limit and every death kicks the other side.
 */
static inline void sleep_begin(_Atomic uint32_t *flag)
{
	atomic_store_explicit(flag, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

static inline void sleep_end(_Atomic uint32_t *flag)
{
	atomic_store_explicit(flag, 0, memory_order_relaxed);
}

/* After publishing: does the other side sleep?  Then its eventfd must be written. */
static inline int sleep_must_wake(_Atomic uint32_t *flag)
{
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(flag, memory_order_relaxed) != 0;
}

#endif
