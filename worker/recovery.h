/*
 * Requests that a killed predecessor left unanswered.  While the log is replayed, those that are in
 * it get the reply that their record stands for, and reads that came before a record run before it
 * is applied, so that a client's requests still take effect in the order sent.  What is not in the
 * log has not happened: the worker's loop runs it afterwards.
 */
#ifndef PAIL_RECOVERY_H
#define PAIL_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/log/entry.h"
#include "worker/worker.h"

struct recovery;

/* Find them in the request ring.  *ret is NULL if there are none. */
int recovery_new(struct worker *w, struct recovery **ret);
void recovery_free(struct recovery **t);

/* Around a record that is replayed; `same`: its position is of this segment. */
int recovery_before(struct recovery *t, struct worker *w, const struct log_record *r, bool same);
int recovery_after(struct recovery *t, const struct log_record *r, bool same);

/*
 * Write the replies gathered, of partitions from `first` on, into the synced ring; the log is safe by
 * now.  0 or -EPIPE.
 */
int recovery_answer(struct recovery *t, struct worker *w, uint32_t first);

/*
 * The same of one partition that has copies on other nodes and is led from now on: replies wait for
 * them (worker/replication.h).
 */
int recovery_lead(struct recovery *t, struct worker *w, uint32_t partition);

/* Has the request been answered by a recovery? */
bool recovery_answered(const struct recovery *t, uint64_t identity);

/* Requests found, and the ring position behind the last of them. */
uint64_t recovery_count(const struct recovery *t);
uint64_t recovery_end(const struct recovery *t);

#endif
