/*
 * The store's clock: unix milliseconds that never go back and never stand still, whatever is done
 * to the system's clock.  It is the higher one of the system's and of what it was plus what
 * CLOCK_BOOTTIME says has passed since.
 *
 * So that it goes on over a restart, the log gets notes of what it was and at which CLOCK_BOOTTIME
 * of which boot.  Within one boot a single note tells the clock for ever, as long as the system's
 * clock is not ahead of it again: then another one is due, before anything that was told by the new
 * time. After a reboot it is not known how long the machine was off, but at least as long as it has
 * been on since has passed.
 */
#ifndef PAIL_PACE_H
#define PAIL_PACE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/clock.h"
#include "storage/log/entry.h"

/* Where the time comes from: the system, or a test. */
struct pace_source {
	uint64_t (*wall_ms)(void);
	uint64_t (*boot_ms)(void);
	void (*boot_id)(uint8_t ret[CLOCK_BOOT_ID_BYTES]);
};

struct pace {
	const struct pace_source *source;
	uint64_t now_ms;  /* the store's clock */
	uint64_t boot_ms; /* CLOCK_BOOTTIME then */
	uint64_t wall_ms; /* and the system's clock */
	uint8_t boot_id[CLOCK_BOOT_ID_BYTES];
	int64_t jump_ms;      /* of the system's clock that nobody has asked for yet */
	uint64_t expected_ms; /* what notes of this boot say that it is; 0: there is none */
	uint64_t noted_ms;    /* what the last note would give now */
	bool behind;          /* at the start the system's clock was behind the store's */
};

/* Begin with the system's clock.  `source` NULL: the system. */
void pace_init(struct pace *p, const struct pace_source *source);

/* While opening: it was `ms` at some time before.  A note that the log has. */
void pace_known(struct pace *p, uint64_t ms);
void pace_recall(struct pace *p, const struct log_clock *note);
/* All has been read: see how far the system's clock is from what was expected. */
void pace_begin(struct pace *p);

/* Go on: the system's clock is `wall_ms`. */
void pace_tick(struct pace *p, uint64_t wall_ms);

/* Must a note be logged before anything is told that depends on the time? */
bool pace_must_note(const struct pace *p);

/* A note for the log. */
void pace_note(struct pace *p, struct log_clock *ret);

#endif
