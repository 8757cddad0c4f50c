/* The clocks.  Monotonic milliseconds for waits and deadlines, wall milliseconds for expiries. */
#ifndef PAIL_CLOCK_H
#define PAIL_CLOCK_H

#include <pthread.h>
#include <stdint.h>

uint64_t clock_ms(void);      /* CLOCK_MONOTONIC; the same for all processes of a machine */
uint64_t clock_us(void);      /* the same in microseconds, for measuring */
uint64_t clock_wall_ms(void); /* unix time; may step */
uint64_t clock_boot_ms(void); /* CLOCK_BOOTTIME: never steps, and goes on while a machine sleeps */

#define CLOCK_BOOT_ID_BYTES 16u

/* Which boot of which machine clock_boot_ms counts from; zeros: it is not known. */
void clock_boot_id(uint8_t ret[CLOCK_BOOT_ID_BYTES]);

/*
 * A condition whose timed waits go by CLOCK_MONOTONIC: by the wall clock, which is pthread's own
 * choice, a wait of 10 ms lasts for hours if the clock is set back meanwhile.
 */
void clock_cond_init(pthread_cond_t *c);

#endif
