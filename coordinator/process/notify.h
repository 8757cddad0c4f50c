/*
 * The service manager's side, without its library: sd_notify(3)'s datagrams, sd_listen_fds(3)'s
 * sockets.
 */
#ifndef PAIL_NOTIFY_H
#define PAIL_NOTIFY_H

#include <stdint.h>

/* Send `state` (lines of KEY=VALUE) to $NOTIFY_SOCKET.  Without one, nothing happens. */
void notify(const char *state);

/* How often the service manager wants a sign of life, in ms; 0: it does not. */
uint64_t notify_watchdog_ms(void);

/*
 * Listening sockets that the service manager gave to this process: those named "client" and "node"
 * (FileDescriptorName=), or the first and the second.  0: there is none.  Call once, before
 * anything is started: what tells of them leaves the environment.
 */
void notify_listeners(int *ret_client, int *ret_node);

#endif
