/* Telling systemd how the node fares: sd_notify(3)'s datagram, without its library. */
#ifndef PAIL_NOTIFY_H
#define PAIL_NOTIFY_H

#include <stdint.h>

/* Send `state` (lines of KEY=VALUE) to $NOTIFY_SOCKET.  Without one, nothing happens. */
void notify(const char *state);

/* How often the service manager wants a sign of life, in ms; 0: it does not. */
uint64_t notify_watchdog_ms(void);

#endif
