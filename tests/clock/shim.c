/*
 * A clock that tests can bend: preloaded, it adds to the wall clock the milliseconds that lie as an
 * int64_t in the file $PAIL_CLOCK, which the test writes to whenever the clock shall step.  The
 * clocks that do not step stay as they are, and so does the kernel's own idea of time.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *bent_ms;

__attribute__((constructor)) static void look(void)
{
	const char *path = getenv("PAIL_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*bent_ms), PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		bent_ms = p;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	long r = syscall(SYS_clock_gettime, id, t);
	int64_t ns;

	if (r < 0 || !bent_ms || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return (int)r;
	ns = t->tv_nsec + *bent_ms % 1000 * 1000000;
	t->tv_sec += *bent_ms / 1000 + (ns >= 1000000000) - (ns < 0);
	t->tv_nsec = (ns + 1000000000) % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *restrict v, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	v->tv_sec = t.tv_sec;
	v->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *ret)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	if (ret)
		*ret = t.tv_sec;
	return t.tv_sec;
}
