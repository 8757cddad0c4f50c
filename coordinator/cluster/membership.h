/*
 * This node as a member of a cluster: what it knows of the agreement and of the other nodes, the
 * clerk of its partitions (replica/clerk.h), and what the clerk, the node's workers and those of other
 * nodes tell each other.
 *
 * It begins with a list of all that stands in the agreement, and goes on with what changes there.
 * The node registers itself; when the cluster has been created, and this node has got its number, its
 * clerk begins.
 */
#ifndef PAIL_MEMBERSHIP_H
#define PAIL_MEMBERSHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/cluster/cluster.h"
#include "coordinator/peers/peers.h"
#include "coordinator/peers/server.h"
#include "coordinator/workers/supervisor.h"

struct membership;
struct parcel;
struct security;

/* What it reaches, all of which lives longer. */
struct membership_parts {
	struct node *node;
	struct reply_sink *sink;
	struct supervisor *supervisor;
	struct peers *peers; /* for requests */
	struct peers *logs;  /* for what concerns copies */
	struct peer_server *peer_server;
	struct security *security; /* registered keys are let in there, too */
	const char *node_endpoint; /* where this node listens */
	const char *client_endpoint;
	/* A program before in this process has run these workers, and left that descriptor (0: none),
	 * see membership_leave. */
	bool resumed;
	int left_fd;
	/* Who serves a partition may be another one. */
	void (*changed)(void *arg, uint32_t partition);
	void *arg;
};

/* 0, or negative errno with the reason logged. */
int membership_new(const struct membership_parts *parts, struct membership **ret);
void membership_free(struct membership **m);

/* What operators ask, see cluster.h; good as long as it is. */
const struct cluster_ops *membership_ops(struct membership *m);

/* What it waits for (-1: nothing), then membership_look; deadlines: returns the next one. */
#define MEMBERSHIP_FDS 2u
void membership_fds(const struct membership *m, int ret[MEMBERSHIP_FDS]);
void membership_look(struct membership *m);
uint64_t membership_tick(struct membership *m);
/* Send what has gathered for other nodes. */
void membership_flush(struct membership *m);

/* ---- workers ---- */

/* It has said that it is ready; it is no more. */
void membership_worker_up(struct membership *m, struct worker *w);
void membership_worker_down(struct membership *m, struct worker *w);
/* Parcels that a worker has for others, back to back: reports and what goes to other nodes. */
void membership_parcels(struct membership *m, const char *bytes, uint32_t n);

/* ---- where a partition is served ---- */

enum membership_serves {
	SERVES_HERE,
	SERVES_PEER,   /* *ret_peer is its link */
	SERVES_NOBODY, /* not known now, or nothing has been read yet: `changed` will tell */
	SERVES_NEVER   /* the cluster has not been created, or this node is not of it */
};

enum membership_serves membership_serves(const struct membership *m, uint32_t partition,
					 struct peer **ret_peer);
/*
 * Is the node of that name not the partition's primary, and did the one that is take over from whom
 * was, rather than being handed it?  Then nobody is told what that node does of it now.
 */
bool membership_taken_over(const struct membership *m, uint32_t partition, const char *name);
/* SERVES_NEVER, or why nothing is known yet: the reason. */
void membership_explain(const struct membership *m, char *out, size_t size);
/* The same for another node. */
void membership_known(const struct membership *m, uint32_t partition, struct peer_place *ret);
/* Where the partition is, as far as is known; names are good until the next round. */
void membership_place(const struct membership *m, uint32_t partition, struct cluster_place *ret);

/* ---- figures ---- */

struct membership_figures {
	uint32_t partitions; /* of the cluster; 0: none is known */
	uint32_t leading;    /* by this node, as the views say */
	uint32_t in_sync;    /* of this node's copies, */
	uint32_t learning;   /* and those that are not yet */
	uint32_t without_primary;
	uint32_t not_in_sync; /* partitions with fewer copies in sync than they are to have */
	uint32_t too_few;     /* that refuse writes therefore */
	bool agreement_up;
	pid_t agent; /* 0: it does not run */
};
void membership_figures(struct membership *m, struct membership_figures *ret);

/* ---- the end ---- */

/* Why this process cannot be given to another program now; NULL: it can. */
const char *membership_hinders(const struct membership *m);
/*
 * The last call before membership_free, when nothing more can come from workers and nodes: the agent
 * is ended, and what the next program in this process goes on from is in *ret_fd, the caller's.
 * 0 or negative errno.
 */
int membership_leave(struct membership *m, int *ret_fd);
/* Hand over all that this node leads, and leave all sets.  True: it is in none any more. */
bool membership_drain(struct membership *m);

#endif
