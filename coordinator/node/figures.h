/*
 * What the coordinator counts of its node, and what has happened to it lately.  All of it lies in a
 * piece of shared memory whose descriptor the next program is given at an upgrade, so that figures
 * go on; the coordinator alone writes it.  What workers count of themselves is in ipc/shm/metrics.h.
 *
 * Functions take NULL for "nobody counts" (parts that are tested alone).  A program that is built with
 * PAIL_UNCOUNTED counts no request: bench/counting.py measures what counting costs.
 */
#ifndef PAIL_NODE_FIGURES_H
#define PAIL_NODE_FIGURES_H

#include <stdint.h>

#include "common/histogram.h"
#include "include/wire.h"

#ifdef PAIL_UNCOUNTED
#define FIGURES_COUNT 0
#else
#define FIGURES_COUNT 1
#endif

#define FIGURES_METHODS 32u /* room, so that a new method or error moves nothing */
#define FIGURES_ERRORS  32u
_Static_assert((int)WIRE_METHOD_COUNT <= (int)FIGURES_METHODS, "a place for each method");
_Static_assert((int)WIRE_ERROR_COUNT <= (int)FIGURES_ERRORS, "a place for each error");

#define FIGURES_NO_METHOD (FIGURES_METHODS - 1) /* of what is no request: bad_request */

/* What happened. */
#define EVENT_KINDS(X)                      \
	X(START, start)                     \
	X(STOP, stop)                       \
	X(RELOAD, reload)                   \
	X(UPGRADE, upgrade)                 \
	X(WORKER_UP, worker_up)             \
	X(WORKER_DIED, worker_died)         \
	X(WORKER_DOWN, worker_down)         \
	X(WORKER_HANDOVER, worker_handover) \
	X(WORKER_FAILED, worker_failed)     \
	X(PEER_UP, peer_up)                 \
	X(PEER_DOWN, peer_down)             \
	X(HELPER_UP, gateway_up)            \
	X(HELPER_DIED, gateway_died)        \
	X(CLUSTER, cluster)                 \
	X(CLIENTS, clients)

enum event_kind {
#define X(id, name) EVENT_OF_##id,
	EVENT_KINDS(X)
#undef X
		EVENT_OF_COUNT
};

enum event_level { EVENT_INFO, EVENT_WARNING, EVENT_ERROR };

#define EVENTS_KEPT 256u

struct event {
	uint64_t id; /* 1, 2, …; 0: none has been written here */
	uint64_t wall_ms;
	uint8_t kind;     /* enum event_kind */
	uint8_t level;    /* enum event_level */
	char subject[70]; /* "worker 3", "node b"; "": the node itself */
	char text[168];   /* what the log says */
};

struct figures {
	uint64_t magic;
	uint64_t size;
	uint64_t cut_off_unread;  /* clients: what they left unread did not get less */
	uint64_t cut_off_message; /* what they sent made no message */
	uint64_t upgrades_refused;
	uint64_t room[61];
	/* Answered by the coordinator itself, or by another node: by method and error, WIRE_OK too. */
	uint64_t results[FIGURES_METHODS][FIGURES_ERRORS];
	/* In microseconds, of requests that were run here or on another node. */
	struct histogram duration[FIGURES_METHODS]; /* from arrival until the reply is sent */
	struct histogram ring;                      /* until a worker began */
	struct histogram run;                       /* being run, and what was run with it */
	struct histogram sync;   /* then, until the reply was sent: disk, copies, its turn */
	struct histogram parked; /* before all that: nobody was known to serve its bucket */
	uint64_t events;         /* the last one's id */
	struct event event[EVENTS_KEPT];
};

/* Make them: 0, or negative errno.  The caller owns *ret and *ret_fd, which survives exec if asked to. */
int figures_new(struct figures **ret, int *ret_fd);
/* Those that the program before has left.  -EPROTO: of another layout. */
int figures_open(int fd, struct figures **ret);
void figures_free(struct figures **f);

/* Something has happened: a line of the log, and an event.  `subject` may be "". */
void figures_event(struct figures *f, enum event_kind kind, enum event_level level,
		   const char *subject, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

const char *figures_event_kind(const struct event *e);
const char *figures_event_level(const struct event *e);

/* A reply that the coordinator makes or hands on. */
static inline void figures_result(struct figures *f, unsigned method, enum wire_error e)
{
	if (FIGURES_COUNT && f)
		f->results[method < FIGURES_METHODS ? method : FIGURES_NO_METHOD][e]++;
}

static inline uint64_t figures_passed(uint64_t from_us, uint64_t to_us)
{
	return to_us > from_us ? to_us - from_us : 0;
}

/* One request that took from..to. */
static inline void figures_duration(struct figures *f, unsigned method, uint64_t from_us,
				    uint64_t to_us)
{
	uint64_t us = figures_passed(from_us, to_us);

	if (FIGURES_COUNT && f && method < FIGURES_METHODS)
		histogram_add(&f->duration[method], histogram_place(us), us, 1);
}

static inline void figures_span(struct figures *f, struct histogram *h, uint64_t from_us,
				uint64_t to_us, uint64_t n)
{
	uint64_t us = figures_passed(from_us, to_us);

	if (FIGURES_COUNT && f)
		histogram_add(h, histogram_place(us), us, n);
}

#endif
