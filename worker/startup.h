/* A worker's first steps: alone, or beside the one whose place it takes. */
#ifndef PAIL_STARTUP_H
#define PAIL_STARTUP_H

#include "worker/worker.h"

/* Everything up to the message that says ready.  0, -EPIPE (nobody wants it), negative errno. */
int worker_begin(struct worker *w, bool follow);
/* Exit status for an error at the start: is there any use in trying again? */
int worker_start_status(int error);

#endif
