/*
 * What a coordinator asks of the system, simulated: descriptors, processes, the clock, chance.  It
 * stands in for common/clock.c, ipc/shm/control.c, coordinator/workers/spawn.c and
 * coordinator/clients/files.c, and the linker leads the system calls named in the Makefile here.
 * The real clock is not to be had: who reads it aborts.
 */
#ifndef PAIL_SIM_SYSTEM_H
#define PAIL_SIM_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_node;
struct socket;
struct socket_context;
struct process;

void system_open(void);
void system_close(void);

/* Between runs, and only there, the real clock and real chance can be had. */
void system_simulates(bool on);
uint64_t system_real_ms(void);
uint64_t system_real_random(void);

/* Whose code is running: its clock and its descriptors are meant.  NULL: a client's, or nobody's.
 */
extern struct sim_node *system_node;

/* A socket's descriptors, for poll: of its messages or of its events. */
int system_fd_socket(const struct socket *s, bool events);
void system_fd_free(int fd);

/* The context for sockets of the node whose code is running. */
struct socket_context *system_context_new(void);
/* The host that an endpoint is on. */
uint32_t system_host_of(const char *endpoint);

/* A signal for the node, pending until it reads it; the descriptor is the node's own. */
void system_signal(struct sim_node *n, int signal);

/* ---- between a coordinator and its workers ---- */

/* Write the eventfd `fd`, as the other side's process does. */
void system_wake(int fd);
/* A worker's end of its control socket: send, receive as control.h says, and its end. */
struct channel;
int channel_send(struct channel *c, int message);
int channel_receive(struct channel *c);
void channel_close(struct channel *c);

#endif
