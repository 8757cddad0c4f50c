/*
 * How a long loop shows that it gets on.  Whoever loops over what clients can make large counts its
 * work in units of about 25 ns, and every WORK_MAX of them `breathe` is called, in which the owner
 * may do what cannot wait (worker/worker.h), but nothing to the store beyond store_submit.
 */
#ifndef PAIL_WORK_H
#define PAIL_WORK_H

#include <stdint.h>

#define WORK_MAX     256u /* units: some microseconds, and a clock read is nothing beside them */
#define WORK_REQUEST 8u
#define WORK_BASE    64u /* a look into base, whose page may have to come from the disk */

struct work {
	uint64_t units;
	void (*breathe)(void *arg); /* NULL: nobody cares */
	void *arg;
};

static inline void work_done(struct work *w, uint64_t units)
{
	w->units += units;
	if (w->units < WORK_MAX)
		return;
	w->units = 0;
	if (w->breathe)
		w->breathe(w->arg);
}

/* Bytes that are copied or summed, as units. */
static inline uint64_t work_bytes(uint64_t n)
{
	return n >> 8;
}

#endif
