/* The table of figures as data, and proof that each lies where its row says. */
#include "ipc/shm/metrics.h"

#include "common/check.h"
#include "ipc/shm/worker_status.h"

#define ROW(slot_, name_, kind_, unit_, merge_, map_, key_, shown_, help_) \
	[METRIC_##                                                         \
		name_] = {#name_,          METRIC_##kind_, METRIC_##unit_, \
			  METRIC_##merge_, METRIC_##map_,  key_,           \
			  shown_,          help_,          offsetof(struct worker_status, name_)},

const struct metric metrics[METRIC_COUNT] = {METRICS(ROW)};

/* A row's number is its place, and one for each worker is shown with the workers. */
#define PLACED(block, slot, name, merge, map)                                                      \
	_Static_assert(offsetof(struct worker_status, name) ==                                     \
			       offsetof(struct worker_status, block) + (slot) * sizeof(uint64_t),  \
		       "the slot of a figure is its place in its writer's table: new ones come "   \
		       "at its end");                                                              \
	_Static_assert(METRIC_##map == METRIC_NOWHERE || (METRIC_##merge == METRIC_EACH) ==        \
								 (METRIC_##map == METRIC_WORKERS), \
		       "a figure of each worker is shown in the map of workers, others are not");

#define X(slot, name, kind, unit, merge, map, ...) PLACED(serving, slot, name, merge, map)
METRICS_SERVING(X)
#undef X
#define X(slot, name, kind, unit, merge, map, ...) PLACED(sync, slot, name, merge, map)
METRICS_SYNC(X)
#undef X
#define X(slot, name, kind, unit, merge, map, ...) PLACED(coordinator, slot, name, merge, map)
METRICS_COORDINATOR(X)
#undef X

uint64_t metric_get(const struct metric *m, struct worker_status *s)
{
	return status_get((_Atomic uint64_t *)((char *)s + m->offset));
}

uint64_t metric_merge(const struct metric *m, uint64_t all, uint64_t one)
{
	check(m->merge != METRIC_EACH);
	switch (m->merge) {
	case METRIC_HIGHEST:
		return one > all ? one : all;
	case METRIC_LOWEST:
		return one && (one < all || !all) ? one : all;
	default:
		return all + one;
	}
}
