/*
 * A clock that tests can bend: preloaded, it reads the file $PAIL_CLOCK, which the test writes to whenever the
 * clock shall step: a struct bent, of which a shorter file leaves the rest at 0.  The kernel's own idea of time,
 * and so how long a sleep takes, stays as it is.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct bent {
	int64_t wall_ms;   /* added to the wall clock */
	int64_t asleep_ms; /* the machine has been suspended for so long: MONOTONIC and RAW have stood still, BOOTTIME has not */
	int64_t pace_ppm; /* how much faster than a second per second all clocks that do not step go; written before the node starts,
			      since they would step */
};

static const volatile struct bent *bent;

__attribute__((constructor)) static void look(void)
{
	const char *path = getenv("PAIL_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof(*bent), PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (p != MAP_FAILED)
		bent = p;
}

static void add(struct timespec *t, int64_t seconds, int64_t ns)
{
	ns += t->tv_nsec; /* both less than a second, of either sign */
	t->tv_sec += seconds + (ns >= 1000000000) - (ns < 0);
	t->tv_nsec = (ns + 1000000000) % 1000000000;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	long r = syscall(SYS_clock_gettime, id, t);
	int64_t ns;

	if (r < 0 || !bent)
		return (int)r;
	switch (id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		add(t, bent->wall_ms / 1000, bent->wall_ms % 1000 * 1000000);
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_BOOTTIME:
		/* From the machine's start on, so that all processes of a node agree. */
		ns = (t->tv_sec * 1000 + t->tv_nsec / 1000000) * bent->pace_ppm +
		     t->tv_nsec % 1000000 * bent->pace_ppm / 1000000;
		add(t, ns / 1000000000, ns % 1000000000);
		if (id != CLOCK_BOOTTIME)
			add(t, -bent->asleep_ms / 1000, -bent->asleep_ms % 1000 * 1000000);
		break;
	default:
		break;
	}
	return 0;
}

/* The kernel's time for one of the bent MONOTONIC clock; a time that is none of that clock's stays as it is. */
static struct timespec unbent(const struct timespec *until)
{
	struct timespec t = *until;
	struct timespec bent_now;
	struct timespec now;

	if (!bent || (!bent->pace_ppm && !bent->asleep_ms))
		return t;
	(void)clock_gettime(CLOCK_MONOTONIC, &bent_now);
	(void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	if (labs(t.tv_sec - bent_now.tv_sec) > 1000000)
		return t;
	t.tv_sec -= bent_now.tv_sec - now.tv_sec;
	add(&t, 0, now.tv_nsec - bent_now.tv_nsec);
	return t;
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
			   const struct timespec *restrict until)
{
	int (*f)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
		(__typeof__(f))dlsym(RTLD_NEXT, "pthread_cond_timedwait");
	const struct timespec t = unbent(until);

	return f(c, m, &t);
}

int pthread_cond_clockwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m, clockid_t id,
			   const struct timespec *restrict until)
{
	int (*f)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *) =
		(__typeof__(f))dlsym(RTLD_NEXT, "pthread_cond_clockwait");
	const struct timespec t = unbent(until);

	return f(c, m, id, &t);
}

int timer_settime(timer_t timer, int flags, const struct itimerspec *restrict new,
		  struct itimerspec *restrict old)
{
	int (*f)(timer_t, int, const struct itimerspec *, struct itimerspec *) =
		(__typeof__(f))dlsym(RTLD_NEXT, "timer_settime");
	struct itimerspec t = *new;

	if (flags & TIMER_ABSTIME && (t.it_value.tv_sec || t.it_value.tv_nsec))
		t.it_value = unbent(&new->it_value);
	return f(timer, flags, &t, old);
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
