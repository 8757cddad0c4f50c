/*
 * A node's figures at one moment, out of a reply to `metrics`, and what two of them say together: rates
 * and quantiles of the time between.
 */
#ifndef PAIL_CLI_FIGURES_H
#define PAIL_CLI_FIGURES_H

#include <stdint.h>

#include "common/histogram.h"
#include "include/pail.h"

#define FIGURES_WORKERS 64u /* shown at most */
#define FIGURES_PEERS   64u
#define FIGURES_NAME    64u

enum figures_class { FIGURES_READS, FIGURES_WRITES, FIGURES_OTHERS, FIGURES_CLASSES };

struct worker_figures {
	uint64_t up, requests, queue_bytes, keys, restarts;
	uint64_t cpu_us, resident_bytes, hits, misses;
	uint64_t syncs, log_written_bytes, log_bytes, base_bytes, map_bytes, recent_keys;
	uint64_t checkpoint_wall_ms;
};

struct peer_figures {
	char name[FIGURES_NAME];
	uint64_t up, in_flight, forwarded, round_trip_us;
};

struct figures_moment {
	uint64_t unix_ms;
	uint64_t requests[FIGURES_CLASSES];
	uint64_t errors;
	struct histogram duration[FIGURES_CLASSES];
	uint64_t clients, unread_bytes;
	uint64_t cpu_us; /* the coordinator's */
	uint32_t workers;
	uint32_t peers;
	struct worker_figures worker[FIGURES_WORKERS];
	struct peer_figures peer[FIGURES_PEERS];
};

/* `v`: the whole reply. */
void figures_read(struct pail_value v, struct figures_moment *ret);

/* How much it grew, a second.  A counter that fell has begun anew: what it has now is what it grew. */
double figures_rate(uint64_t before, uint64_t now, uint64_t ms);

/*
 * The value in microseconds that a part of `q` (0 to 1) of what came between the two is not above, to
 * the upper bound of its bucket; -1: nothing came.
 */
int64_t figures_quantile(const struct histogram *before, const struct histogram *now, double q);

#endif
