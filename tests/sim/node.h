/*
 * A node as a value: a whole coordinator, made, stepped, cut off and started again, with the
 * processes that it believes to have started.  What outlives it lies in its stores.
 */
#ifndef PAIL_SIM_NODE_H
#define PAIL_SIM_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/coord.h"
#include "coordinator/process/settings.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"

#define SIM_NODES_MAX 4u
#define SIM_WORKERS   2u
#define SIM_BYTES     8u /* first bytes of buckets: 'a' and those behind it */
#define SIM_TABLES    64u

/* Where a first byte leads: a node, or nobody. */
#define SIM_NOBODY UINT8_MAX

struct sim_table {
	uint64_t since_us;
	uint8_t target[SIM_BYTES];
};

struct sim_node {
	uint32_t index;
	char name[16];
	char data[256];
	char config[300];
	struct settings_source source;
	struct coord *coord; /* NULL: it is down */
	struct socket_context *context;
	int signal_fd;
	uint64_t clock_offset_us;
	uint64_t wake_us; /* its next round; WORLD_NEVER: none */
	bool waits;       /* between the halves of its round */
	bool woken;       /* something has happened since it looked last */
	uint32_t busy;    /* rounds in a row without a pause */
	uint64_t incarnation;
	uint64_t stopping_us; /* when it was told to stop; 0: it was not */
	uint64_t stopped;     /* the last life that ended in order, */
	uint64_t orderly;     /* and in time */
	uint64_t reloads;     /* of this incarnation, seen */
	bool wanted;          /* to be started again when it has ended */
	struct sim_store *store[SIM_WORKERS];
	struct sim_table table[SIM_TABLES]; /* in force, the last one now */
	uint32_t tables;
	struct sim_table asked; /* at the next reload */
};

struct sim_cluster {
	struct sim_node node[SIM_NODES_MAX];
	uint32_t nodes;
};
extern struct sim_cluster cluster;

/* Made, not started: `count` nodes with the tables that their `asked` says. */
void nodes_open(const char *folder, uint32_t count);
void nodes_close(void);

void node_start(struct sim_node *n);
/* Killed at once, all its memory gone; `silent`: its machine too, so that nobody is told. */
void node_kill(struct sim_node *n, bool silent);
/* TERM: it stops in order. */
void node_stop(struct sim_node *n);
/* HUP: the table in `asked`, if the node takes it. */
void node_reload(struct sim_node *n);
/* Something has happened that it wants to know of. */
void node_wake(void *arg);

static inline const struct sim_table *node_table(const struct sim_node *n)
{
	return &n->table[n->tables - 1];
}

/* Has everything that was asked of the node been answered, and forgotten?  Else says what is left.
 */
bool node_quiet(struct sim_node *n, char *why, size_t size);

#endif
