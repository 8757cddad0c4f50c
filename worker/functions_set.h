/* The modules of a worker: those that it was born with, then those that it is told to go on with. */
#ifndef PAIL_FUNCTIONS_SET_H
#define PAIL_FUNCTIONS_SET_H

#include "functions/functions.h"
#include "worker/worker.h"

/*
 * The set to call functions of, now: it is made when the first call comes, and anew when the
 * coordinator has accepted other modules since.  Good until the next call of this.  NULL: it could
 * not be made; `why` (FUNCTIONS_WHY_MAX bytes) says why.
 */
struct functions *worker_functions(struct worker *w, char *why);

/* A set's descriptor has come from the coordinator. */
void worker_functions_take(struct worker *w, int fd);

/*
 * As a program of its own, started by paild: load the set behind FD_FUNCTIONS, and write to
 * FD_CONTROL the list of its functions (ipc/shm/modules.h), or what is wrong.  Returns the exit
 * status.
 */
int worker_functions_check(void);

#endif
