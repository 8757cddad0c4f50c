/*
 * The coordinator: one thread, one loop.  It owns the ZeroMQ sockets, the routing table and the
 * workers' lives; it never opens the store.  Its parts lie in folders of their own and know what
 * they are given; this is the loop's own view of all of them, which nothing below it sees.
 */
#ifndef PAIL_COORD_H
#define PAIL_COORD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/config.h"
#include "coordinator/clients/files.h"
#include "coordinator/front/front.h"
#include "coordinator/process/helper.h"
#include "coordinator/process/upgrade.h"

struct membership;
struct modules;
struct resume;
struct security;
struct settings_source;

struct coord {
	struct node node;
	struct reply_sink sink; /* that all replies go to: the front's */
	struct front front;
	const struct settings_source *source; /* of node.conf, for reading it again */
	struct modules *functions;            /* the modules that have been accepted */
	struct route_table routes;
	struct supervisor supervisor;
	struct handoff handoff;
	struct upgrade upgrade;
	struct peers peers;
	struct peers logs; /* for what is told of copies; none without a cluster */
	struct membership *membership;
	struct queue_events queue_events;
	struct peer_server *peer_server;
	struct fence *fence;
	struct helper gateway;
	struct socket_context *zmq;
	struct socket *link;       /* clients; NULL with role storage */
	struct socket *node_link;  /* other nodes; NULL if there can be none */
	struct socket *admin_link; /* operators; NULL without a place for it */
	struct clients *clients;
	struct security *security;
	struct conn_limit *conn_limit;
	struct files files;
	char endpoint[SOCKET_ENDPOINT_MAX]; /* where clients connect, or "" */
	char node_endpoint[SOCKET_ENDPOINT_MAX];
	char admin_endpoint[SOCKET_ENDPOINT_MAX];
	int client_fd; /* sockets that listen already, from the service manager or the program
			  before; 0: none */
	int node_fd;
	int cluster_fd; /* resumed, or about to be: what membership_leave has left; else 0 */
	int lock_fd;    /* of the data folder */
	int figures_fd; /* of node.figures */
	int signal_fd;
	bool activated;     /* the listening sockets are a service manager's, which keeps them */
	bool resumed;       /* from the program before in this process */
	uint64_t closed_us; /* resumed: when that one closed its connections */
	uint64_t begun_us;  /* resumed: when that was asked for */
	bool temporary;     /* the data folder is removed at the end */
	bool reload;        /* asked for by a signal */
	bool guarding;      /* connections are to be looked at soon */
	bool announced;     /* all workers have come up, or failed */
	bool asked;         /* somebody may wait to be let in */
	bool took_in;       /* this round: messages */
	bool slept;         /* this round: found nothing to do, and waits */
	uint64_t next_ms;   /* when deadlines are to be looked at */
	uint64_t ticked_ms;
	uint64_t looked_ms; /* at the descriptors, under load */
	uint64_t stop_until_ms;
	uint64_t drain_until_ms; /* stopping: partitions are handed over until then */
	uint64_t quiet_ms;       /* stopping: since when nothing has come in */
	uint64_t watchdog_ms;    /* between signs of life for the service manager; 0: none */
	uint64_t watched_ms;
};

/* ---- setup.c ---- */

/*
 * Make the data folder and the workers, bind the sockets.  With `resume` (else NULL), take up what
 * the program before this one left in the same process.  0, or an exit status with the reason said.
 */
int coord_open(struct coord *c, struct conf *conf, const struct settings_source *source,
	       bool temporary, const struct resume *resume);
void coord_close(struct coord *c);
/* Close every ZeroMQ socket, waiting at most `linger_ms` for what has not been sent. */
void coord_disconnect(struct coord *c, unsigned linger_ms);

/* As a process here can connect to it: a wildcard address is no such thing. */
void coord_connectable(const char *endpoint, char *out, size_t size);
/* Its part in a cluster, if it has one.  0 or negative errno, with the reason logged. */
int coord_join(struct coord *c);

/* What a configuration says of clients. */
struct clients_config coord_clients_config(const struct conf *conf);
struct conn_limit_limits coord_guard_limits(const struct conf *conf);
/* Bind the socket for other nodes, if that has not been done.  0 or negative errno. */
int coord_listen_nodes(struct coord *c, const struct conf *conf);

/* ---- loop.c ---- */

/* Serve until told to stop.  Returns the exit status. */
int coord_run(struct coord *c);
/*
 * The same in steps: start the workers, then round after round, each in two halves.  The first does
 * what there is to do and returns for how many ms the round may wait for more, -1: not even look.
 * The second waits as long as it is told and sees to everything else; it returns -1: go on, or the
 * exit status.
 */
void coord_start(struct coord *c);
int coord_round_begin(struct coord *c);
int coord_round_end(struct coord *c, int ms);
/* Tell the clients that have not been told yet to go away.  Returns how many. */
uint32_t coord_goaway(struct coord *c, const char *why);
/* Does anybody wait for a reply? */
bool coord_waits(const struct coord *c);

/* ---- successor.c ---- */

/* What an upgrade, and what the front, needs of all the parts together. */
struct upgrade_hooks coord_upgrade_hooks(struct coord *c);
struct front_hooks coord_front_hooks(struct coord *c);

/* ---- reload.c ---- */

/*
 * Read the configuration again and change routes, peers and reloadable settings, or nothing.
 * Returns WIRE_OK with what has changed in `out` as lines, or the error, its reason there.
 */
enum wire_error reload(void *arg, struct buf *out);

#endif
