/*
 * Named points at which tests make a call fail or the process die.  Compiled in only where
 * PAIL_FAULTS is defined (MODE=debug, asan, tsan); in a release build every point is nothing.
 *
 * The environment variable PAIL_FAULT holds a comma-separated list of NAME=ACTION[@N][!]: at the
 * N-th passing (1 if left out) of the point NAME do ACTION: `kill` (SIGKILL to oneself), `stop`
 * (SIGSTOP to oneself), or an errno by name (EIO, ENOSPC, ENOMEM, EBUSY), which the point then returns.
 * With `!` it acts at every passing from the N-th on.  `#K` before `@` picks the K-th life of a
 * worker: 0, the first, if left out, so that a successor does not die of its ancestor's fault.
 */
#ifndef PAIL_FAULT_H
#define PAIL_FAULT_H

#ifdef PAIL_FAULTS
/* Read PAIL_FAULT for a process in its `life`-th incarnation.  Call once, before any thread. */
void fault_init(unsigned life);
/* Set the list from a test instead; NULL clears it and all counts. */
void fault_set(const char *list, unsigned life);
/* Pass the point: 0, or the negative errno that it shall fail with.  May not return at all. */
int fault_at(const char *name);
#else
#define fault_init(life)      ((void)(life))
#define fault_set(list, life) ((void)(list), (void)(life))
#define fault_at(name)        0
#endif

#endif
