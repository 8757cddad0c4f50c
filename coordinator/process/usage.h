/* What a process takes of the machine, as /proc says. */
#ifndef PAIL_USAGE_H
#define PAIL_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
	uint64_t cpu_us;
	uint64_t resident_bytes;
	uint64_t files; /* open descriptors; 0: it may not be looked at */
};

/* 0, or negative errno: there is no such process, or it may not be looked at. */
int usage_read(pid_t pid, struct usage *ret);

#endif
