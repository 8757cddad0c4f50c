/* Clocks over clock_gettime. */
#include "common/clock.h"

#include <time.h>

static uint64_t clock_read(clockid_t id, uint64_t unit_ns)
{
	struct timespec t;

	(void)clock_gettime(id, &t); /* cannot fail for these two clocks */
	return ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) / unit_ns;
}

uint64_t clock_ms(void)
{
	return clock_read(CLOCK_MONOTONIC, 1000000u);
}

uint64_t clock_us(void)
{
	return clock_read(CLOCK_MONOTONIC, 1000u);
}

uint64_t clock_wall_ms(void)
{
	return clock_read(CLOCK_REALTIME, 1000000u);
}
