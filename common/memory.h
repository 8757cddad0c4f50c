/* How much memory there is for this process: what defaults that are shares of it go by. */
#ifndef PAIL_MEMORY_H
#define PAIL_MEMORY_H

#include <stdint.h>

/*
 * The least of the machine's RAM and the limits of the control groups that this process is in, of
 * both versions, at any level.  The environment variable PAIL_MEMORY (a size, such as 2G) is taken
 * instead where it is set: for tests, and where a limit is not to be seen from inside.  Never 0.
 * Read anew with each call; a limit that changes later is not noticed by who has asked before.
 */
uint64_t memory_total_bytes(void);

/*
 * The same without the environment, of a machine whose /proc and /sys lie below `root`; "" is this
 * one.
 */
uint64_t memory_total_under(const char *root);

#endif
