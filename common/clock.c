/* Clocks over clock_gettime. */
#include "common/clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_read(clockid_t id, uint64_t unit_ns)
{
	struct timespec t;

	(void)clock_gettime(id, &t); /* cannot fail for these clocks */
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

uint64_t clock_boot_ms(void)
{
	return clock_read(CLOCK_BOOTTIME, 1000000u);
}

void clock_boot_id(uint8_t ret[CLOCK_BOOT_ID_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	char text[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	unsigned k = 0;

	if (fd >= 0)
		(void)close(fd);
	memset(ret, 0, CLOCK_BOOT_ID_BYTES);
	for (ssize_t i = 0; i < n && k < 2 * CLOCK_BOOT_ID_BYTES; i++) {
		const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

		if (!digit)
			continue;
		ret[k / 2] = (uint8_t)(ret[k / 2] << 4 | (digit - digits));
		k++;
	}
	if (k < 2 * CLOCK_BOOT_ID_BYTES)
		memset(ret, 0, CLOCK_BOOT_ID_BYTES);
}

void clock_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	(void)pthread_condattr_init(&a);
	(void)pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	(void)pthread_cond_init(c, &a);
	(void)pthread_condattr_destroy(&a);
}
