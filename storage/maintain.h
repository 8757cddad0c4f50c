/* What the owner does between operations: once a batch, and for the sake of checkpoints. */
#ifndef PAIL_STORE_MAINTAIN_H
#define PAIL_STORE_MAINTAIN_H

#include <stdbool.h>
#include <stdint.h>

struct store;

/* Advance the clock (it never goes back, and goes on when the system's does), fetch checkpoints'
 * results, sweep, evict. */
int store_tick(struct store *s, uint64_t wall_ms);

/* How long the owner may sleep before the next tick, if nothing else is to be done. */
unsigned store_idle_ms(const struct store *s);

/* Everything appended so far goes to the sync thread; on_synced gets `mark`. */
void store_submit(struct store *s, uint64_t mark);

/* All requests whose identity is below `position` have been answered and forgotten. */
void store_freed(struct store *s, uint64_t position);

/* Begin a checkpoint at the next tick, though none is due. */
void store_checkpoint(struct store *s);

/* Begin no checkpoint from now on, or go on with them.  Held: the last one has ended. */
void store_hold(struct store *s, bool hold);
bool store_held(const struct store *s);

/* Checkpoint everything, so that the next start has nothing to replay.  At most `limit_ms`. */
int store_settle(struct store *s, uint64_t limit_ms);

#endif
