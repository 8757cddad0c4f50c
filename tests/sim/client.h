/* Clients as docs/protocol.md wants them: many requests in flight, goaway, reconnects, timeouts. */
#ifndef PAIL_SIM_CLIENT_H
#define PAIL_SIM_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_CLIENTS 6u

/* How the clients of a run behave. */
struct client_habits {
	uint64_t pause_us;      /* between messages, in the mean */
	uint32_t flight_max;    /* requests in flight of one client */
	uint32_t requests_max;  /* of one message */
	uint32_t short_percent; /* of requests that have little time */
	uint32_t large_percent; /* of puts with large values */
	uint32_t bytes;         /* first bytes of buckets that are asked for, */
	uint32_t buckets;       /* and buckets of each */
};

void clients_open(const struct client_habits *h);
void clients_close(void);
/* A first byte that clients ask for. */
uint32_t client_byte(void);
/* No more requests from now on. */
void clients_hush(void);
/* Does any of them wait for a reply? */
uint32_t clients_wait(void);
/* Does it send one message at a time, and get one for it when the last of its replies is there? */
bool client_is_req(uint32_t client);
/* What it is called in cuts: its host. */
uint32_t client_host(uint32_t client);

#endif
