/* The table of figures: what follows from it by itself, and what others count on. */
#include <stdio.h>

#include "ipc/shm/worker_status.h"
#include "tests/unit/lib/unit.h"

static struct worker_status status;

static void each_figure_has_a_slot_and_a_name_of_its_own(void)
{
	static char taken[sizeof(struct worker_status)];

	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		TRUE_(metrics[i].offset % sizeof(uint64_t) == 0);
		TRUE_(!taken[metrics[i].offset]);
		taken[metrics[i].offset] = 1;
		TRUE_(strlen(metrics[i].key) < 32);
		TRUE_(metrics[i].help[strlen(metrics[i].help) - 1] == '.');
		for (unsigned j = 0; j < i; j++) {
			TRUE_(strcmp(metrics[i].name, metrics[j].name) != 0);
			TRUE_(!*metrics[i].shown ||
			      strcmp(metrics[i].shown, metrics[j].shown) != 0);
			TRUE_(metrics[i].map == METRIC_NOWHERE ||
			      metrics[i].map != metrics[j].map ||
			      strcmp(metrics[i].key, metrics[j].key) != 0);
		}
	}
}

static void a_figure_is_read_where_it_is_counted(void)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		EQ(0, metric_get(&metrics[i], &status));
	status_set(&status.requests, 7);
	status_add(&status.requests, 3);
	status_set(&status.checkpoints, UINT64_MAX);
	EQ(10, metric_get(&metrics[METRIC_requests], &status));
	EQ(UINT64_MAX, metric_get(&metrics[METRIC_checkpoints], &status));
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (i != METRIC_requests && i != METRIC_checkpoints)
			EQ(0, metric_get(&metrics[i], &status));
}

static uint64_t merged(enum metric_merge merge, const uint64_t *v, unsigned n)
{
	struct metric m = metrics[0];
	uint64_t all = 0;

	m.merge = merge;
	for (unsigned i = 0; i < n; i++)
		all = metric_merge(&m, all, v[i]);
	return all;
}

static void workers_are_taken_together_as_the_row_says(void)
{
	const uint64_t v[] = {5, 0, 9, 2};
	const uint64_t none[] = {0, 0};

	EQ(16, merged(METRIC_SUM, v, 4));
	EQ(9, merged(METRIC_HIGHEST, v, 4));
	EQ(2, merged(METRIC_LOWEST, v, 4)); /* 0 is none */
	EQ(0, merged(METRIC_LOWEST, none, 2));
	EQ(0, merged(METRIC_SUM, v, 0));
}

/* Two writers on one cache line would slow each other down with every request. */
static void writers_share_no_cache_line(void)
{
	const size_t first[] = {offsetof(struct worker_status, state),
				offsetof(struct worker_status, synced),
				offsetof(struct worker_status, successor_exit_reason),
				offsetof(struct worker_status, worker_sleeps),
				offsetof(struct worker_status, coordinator_sleeps),
				sizeof(struct worker_status)};
	const size_t behind[] = {
		offsetof(struct worker_status, exit_reason) + sizeof(status.exit_reason),
		offsetof(struct worker_status, sync) + sizeof(status.sync),
		offsetof(struct worker_status, successor_exit_reason) +
			sizeof(status.successor_exit_reason),
		offsetof(struct worker_status, worker_sleeps) + sizeof(status.worker_sleeps),
		offsetof(struct worker_status, coordinator) + sizeof(status.coordinator),
	};

	for (unsigned i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		EQ(0, first[i] % 64);
		TRUE_(behind[i] > first[i]);
		TRUE_(behind[i] <= first[i + 1]);
	}
	/* Every publish of a worker reads whether the coordinator sleeps. */
	TRUE_(offsetof(struct worker_status, coordinator) / 64 !=
	      offsetof(struct worker_status, coordinator_sleeps) / 64);
}

/* clang-format off */
UNIT_MAIN(T(each_figure_has_a_slot_and_a_name_of_its_own), T(a_figure_is_read_where_it_is_counted),
	  T(workers_are_taken_together_as_the_row_says), T(writers_share_no_cache_line))
/* clang-format on */
