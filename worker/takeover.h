/*
 * Requests that a killed predecessor left unanswered.  While the log is replayed, those that are in
 * it get the reply that their record stands for, and reads that came before a record run before it
 * is applied, so that a client's requests still take effect in the order sent.  What is not in the
 * log has not happened: the worker's loop runs it afterwards.
 */
#ifndef PAIL_TAKEOVER_H
#define PAIL_TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log/entry.h"
#include "worker/worker.h"

struct takeover;

/* Find them in the request ring.  *ret is NULL if there are none. */
int takeover_new(struct worker *w, struct takeover **ret);
void takeover_free(struct takeover **t);

/* Around a record that is replayed; `same`: its position is of this segment. */
int takeover_before(struct takeover *t, struct worker *w, const struct wal_record *r, bool same);
int takeover_after(struct takeover *t, const struct wal_record *r, bool same);

/* Write the replies gathered into the synced ring; the log is safe by now.  0 or -EPIPE. */
int takeover_answer(struct takeover *t, struct worker *w);

/* Has the request been answered by a takeover? */
bool takeover_answered(const struct takeover *t, uint64_t identity);

/* Requests found, and the ring position behind the last of them. */
uint64_t takeover_count(const struct takeover *t);
uint64_t takeover_end(const struct takeover *t);

#endif
