/* Fork and exec a worker or a helper: nothing but async-signal-safe calls in between. */
#ifndef PAIL_SPAWN_H
#define PAIL_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

/* Where the program `name` lies: beside this one, or in ../libexec/pail.  0 or negative errno. */
int spawn_find(const char *name, char *out, size_t size);

struct spawned {
	pid_t pid;
	int pidfd; /* readable when it has ended */
};

/*
 * Start `path` with the argument `how` and with `fd` (FD_COUNT of them) as its descriptors
 * FD_CONTROL and following, nothing else but stdin, stdout and stderr, and no signal blocked.  0 or
 * negative errno.
 */
int spawn_worker(const char *path, const char *how, const int *fd, struct spawned *ret);
/* Start argv[0] with `fd` as its descriptor 3; it is killed when this process ends. */
int spawn_program(char *const *argv, int fd, struct spawned *ret);

#endif
