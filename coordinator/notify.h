/* Telling systemd how the node fares: sd_notify(3)'s datagram, without its library. */
#ifndef PAIL_NOTIFY_H
#define PAIL_NOTIFY_H

/* Send `state` (lines of KEY=VALUE) to $NOTIFY_SOCKET.  Without one, nothing happens. */
void notify(const char *state);

#endif
