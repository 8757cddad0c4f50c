/* The clocks.  Monotonic milliseconds for waits and deadlines, wall milliseconds for expiries. */
#ifndef PAIL_CLOCK_H
#define PAIL_CLOCK_H

#include <stdint.h>

uint64_t clock_ms(void);      /* CLOCK_MONOTONIC; the same for all processes of a machine */
uint64_t clock_us(void);      /* the same in microseconds, for measuring */
uint64_t clock_wall_ms(void); /* unix time; may step */

#endif
