/*
 * Simulated links: what takes the place of ipc/net/socket.c.  A connection is as TCP's: what one
 * end sends comes in the order sent, late, or not at all if the connection ends before; a cut
 * direction holds up what is in it, and what is sent anew when it is healed.
 */
#ifndef PAIL_SIM_NET_H
#define PAIL_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc/net/socket.h"

#define NET_HOSTS_MAX 24u

/* Who opens sockets: a node's incarnation, or a client. */
struct socket_context {
	uint32_t host;
	void (*wake)(void *arg); /* something may be received, or has become of a connection */
	void *arg;
	bool dead;   /* its process is gone: nothing that is closed is sent any more */
	bool silent; /* so is its machine: nobody is even told */
};

void net_open(void);
/* All sockets and what is on its way. */
void net_close(void);

/* From one host to another, one direction: cut or healed; how long it takes, at least and at most.
 */
void net_cut(uint32_t from, uint32_t to, bool cut);
bool net_is_cut(uint32_t from, uint32_t to);
/* Does it take so long that a peer may be given up? */
bool net_is_slow(uint32_t from, uint32_t to);
void net_delay(uint32_t from, uint32_t to, uint64_t least_us, uint64_t most_us);
/* The connections between two hosts are reset. */
void net_reset(uint32_t a, uint32_t b);
/* A machine is gone, or back: what comes for it meanwhile is not even refused. */
void net_host(uint32_t host, bool up);

/* What poll asks of a socket's descriptors: whether it is to be looked at. */
bool net_readable(const struct socket *s);
bool net_event_pending(const struct socket *s);

#endif
