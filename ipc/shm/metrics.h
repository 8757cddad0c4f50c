/*
 * The figures of a worker, each in one row of one table: from it follow the slots in shared memory
 * (worker_status.h), the maps `workers`, `totals` and `storage` of a node's status, and whatever
 * shows figures elsewhere.  docs/adding-a-figure.md says what a new one needs.
 *
 * Which table a row stands in says who alone writes the figure, and with that on whose cache lines
 * it lies.  A row:
 *
 *	slot   its place among its writer's.  Processes of different versions share a segment, so a
 *	       place is a figure's for ever: new figures take the next ones, and the build refuses
 *	       a row whose number is not its place.  One that nobody counts any more stays as a row
 *	       that is shown NOWHERE.
 *	name   of the field in struct worker_status
 *	kind   COUNTER: only grows, also over its worker's restarts; GAUGE: goes up and down
 *	unit   of its value
 *	merge  what a node says of several workers: their SUM, the HIGHEST, the LOWEST of those
 *	       that are not 0, or nothing: EACH is shown for itself
 *	map    of `status` that shows it (one that is shown for EACH worker: WORKERS), or NOWHERE
 *	key    its name there
 *	shown  its name in `metrics`, which is kept for ever, with the label `worker`; "": those that
 *	       are shown together (coordinator/front/metrics.c)
 *	help   one sentence
 */
#ifndef PAIL_METRICS_H
#define PAIL_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */

#define METRICS_SERVING(X) \
	X( 0, requests,       COUNTER, ONES,    EACH,   WORKERS, "requests", "pail_worker_requests_total",        "Requests that were run.") \
	X( 1, errors,         COUNTER, ONES,    SUM,    TOTALS,  "errors", "pail_worker_errors_total",          "Requests that were answered with an error.") \
	X( 2, buckets,        GAUGE,   ONES,    EACH,   WORKERS, "buckets", "pail_buckets",         "Buckets that there are.") \
	X( 3, keys,           GAUGE,   ONES,    EACH,   WORKERS, "keys", "pail_keys",            "Keys that there are, those included that have expired and are not swept yet.") \
	X( 4, cache_bytes,    GAUGE,   BYTES,   EACH,   WORKERS, "cache_bytes", "pail_cache_bytes",     "Memory that the cache takes.") \
	X( 5, recent_keys,    GAUGE,   ONES,    SUM,    STORAGE, "recent_keys", "pail_recent_keys",     "Writes since the last checkpoint.") \
	X( 6, log_bytes,      GAUGE,   BYTES,   SUM,    STORAGE, "log_bytes", "pail_log_bytes",       "Size of the log's files that are needed.") \
	X( 7, base_bytes,     GAUGE,   BYTES,   SUM,    STORAGE, "bytes", "pail_base_used_bytes",           "Size of what is used of base's file.") \
	X( 8, map_bytes,      GAUGE,   BYTES,   SUM,    STORAGE, "map_bytes", "pail_base_map_bytes",       "Size that base's file may grow to.") \
	X( 9, checkpoint_wall_ms, GAUGE, UNIX_MS, LOWEST, STORAGE, "last_checkpoint", "pail_checkpoint_time_seconds", "When the last checkpoint was done; of several workers the one that is longest ago; 0: none yet.") \
	X(10, checkpoints,    COUNTER, ONES,    SUM,    STORAGE, "checkpoints", "pail_checkpoints_total",     "Checkpoints that were done.") \
	X(11, checkpoint_ms,  COUNTER, MS,      SUM,    STORAGE, "checkpoint_ms", "pail_checkpoint_seconds_total",   "Time that all checkpoints took together.") \
	X(12, last_checkpoint_ms, GAUGE, MS,    HIGHEST, STORAGE, "last_checkpoint_ms", "pail_checkpoint_last_seconds", "Time that the last checkpoint took; of several workers the longest.") \
	X(13, replies_immediate, COUNTER, ONES, SUM,    TOTALS,  "replies_immediate", "pail_replies_immediate_total", "Replies that waited for nothing.") \
	X(14, replies_durable, COUNTER, ONES,   SUM,    TOTALS,  "replies_durable", "pail_replies_durable_total", "Replies that waited for the log.") \
	X(15, sessions,       GAUGE,   ONES,    EACH,   WORKERS, "sessions", "pail_sessions",        "Sessions that are known, one that asked in several partitions as often.") \
	X(16, outcome_bytes,  GAUGE,   BYTES,   EACH,   WORKERS, "outcome_bytes", "pail_outcome_bytes",   "Memory that outcomes of sessions take which were not acknowledged.") \
	X(17, cache_hits,     COUNTER, ONES,    EACH,   NOWHERE, "", "pail_cache_hits_total", "Keys that were found in the cache.") \
	X(18, cache_misses,   COUNTER, ONES,    EACH,   NOWHERE, "", "pail_cache_misses_total", "Keys that were looked up in base or the recent writes, since the cache did not know them.") \
	X(19, checkpoint_entries, COUNTER, ONES, EACH,  NOWHERE, "", "pail_checkpoint_entries_total", "Writes that checkpoints have taken into base.") \
	X(20, reader_us,      GAUGE,   US,      EACH,   NOWHERE, "", "pail_base_reader_age_seconds", "How long the base as it is read by the worker has been the same.")

#define METRICS_SYNC(X) \
	X( 0, log_syncs,      COUNTER, ONES,    SUM,    STORAGE, "log_syncs", "pail_log_syncs_total",       "Times that the log was written and synced.") \
	X( 1, log_written_bytes, COUNTER, BYTES, SUM,   STORAGE, "log_written_bytes", "pail_log_written_bytes_total", "Bytes of records that were written into the log and synced.")

#define METRICS_COORDINATOR(X) \
	X( 0, restarts_killed, COUNTER, ONES,   EACH,   WORKERS, "restarts_killed", "", "Restarts after it was killed by a signal of somebody else than the node, or crashed.") \
	X( 1, restarts_hung,  COUNTER, ONES,    EACH,   WORKERS, "restarts_hung", "",   "Restarts after the node killed it: it showed no sign of life, took too long to start or to leave, or wrote nonsense.") \
	X( 2, restarts_failed, COUNTER, ONES,   EACH,   WORKERS, "restarts_failed", "", "Restarts after it had ended by itself.") \
	X( 3, handovers,      COUNTER, ONES,    EACH,   WORKERS, "handovers", "pail_worker_handovers_total",       "Times that an operator had its place handed to a successor.") \
	X( 4, handover_pause_us, COUNTER, US,   EACH,   NOWHERE, "", "pail_worker_handover_pause_seconds_total", "Time that passed between its predecessors' last requests and their successors' first ones, when its place was handed over.")

#define METRICS(X) METRICS_SERVING(X) METRICS_SYNC(X) METRICS_COORDINATOR(X)
/* clang-format on */

/* Slots of each writer, room included: a new figure moves nothing. */
#define METRICS_SERVING_MAX     59
#define METRICS_SYNC_MAX        15
#define METRICS_COORDINATOR_MAX 16

enum metric_id {
#define X(slot, name, ...) METRIC_##name,
	METRICS(X)
#undef X
		METRIC_COUNT
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };
enum metric_unit { METRIC_ONES, METRIC_BYTES, METRIC_MS, METRIC_US, METRIC_UNIX_MS };
enum metric_merge { METRIC_EACH, METRIC_SUM, METRIC_HIGHEST, METRIC_LOWEST };
enum metric_map { METRIC_NOWHERE, METRIC_WORKERS, METRIC_TOTALS, METRIC_STORAGE };

struct metric {
	const char *name;
	enum metric_kind kind;
	enum metric_unit unit;
	enum metric_merge merge;
	enum metric_map map;
	const char *key;
	const char *shown;
	const char *help;
	size_t offset; /* in struct worker_status */
};

extern const struct metric metrics[METRIC_COUNT];

struct worker_status;

/* What `s` has of it now. */
uint64_t metric_get(const struct metric *m, struct worker_status *s);

/* The figure of several workers together, begun with 0, one after the other.  Not for EACH. */
uint64_t metric_merge(const struct metric *m, uint64_t all, uint64_t one);

#endif
