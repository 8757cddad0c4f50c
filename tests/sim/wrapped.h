/* The system calls that the linker leads to system.c (--wrap), and the real ones behind them. */
#ifndef PAIL_SIM_WRAPPED_H
#define PAIL_SIM_WRAPPED_H

#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

int __real_close(int fd);
ssize_t __real_read(int fd, void *data, size_t n);
ssize_t __real_write(int fd, const void *data, size_t n);

int __real_clock_gettime(clockid_t id, struct timespec *t);
ssize_t __real_getrandom(void *data, size_t n, unsigned flags);

int __wrap_eventfd(unsigned count, int flags);
int __wrap_signalfd(int fd, const sigset_t *mask, int flags);
int __wrap_close(int fd);
ssize_t __wrap_read(int fd, void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout_ms);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_gettimeofday(struct timeval *t, void *zone);
time_t __wrap_time(time_t *t);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_usleep(useconds_t us);
unsigned __wrap_sleep(unsigned s);
pid_t __wrap_fork(void);
ssize_t __wrap_getrandom(void *data, size_t n, unsigned flags);
int __wrap_sigprocmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_kill(pid_t pid, int signal);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_posix_fallocate(int fd, off_t offset, off_t n);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

#endif
