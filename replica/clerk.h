/*
 * The coordinator's side of all partitions: what the views are, who leads, who has granted whom the
 * lease, and which changes of views are asked for.  Pure, as copy.h is.  Timing is ruled by beats:
 * every CLERK_BEAT_MS a primary's node asks the nodes of the members it needs for the lease of all
 * its partitions at once, and they grant it.
 */
#ifndef PAIL_REPLICA_CLERK_H
#define PAIL_REPLICA_CLERK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replica/copy.h"
#include "replica/message.h"
#include "replica/view.h"

#define CLERK_BEAT_MS    200u
#define CLERK_LEASE_MS   1000u
#define CLERK_SHRINK_MS  700u   /* a member that grants nothing for so long is to leave the set */
#define CLERK_ALONE_MS   1500u  /* likewise, if fewer than min_copies are left then */
#define CLERK_PLACE_MS   90u    /* between those that may take over */
#define CLERK_SWITCHES   48u    /* partitions handed over at a time: each has stopped meanwhile */
#define CLERK_SETTLED_MS 300u   /* a view must be unchanged for so long before a takeover */
#define CLERK_RESIGN_MS  1500u  /* a worker down, or a sync outstanding, for so long */
#define CLERK_ROUNDS     8u     /* whose grants still count */
#define CLERK_FRESH_MS   1000u  /* a takeover, grow or switch needs a view read so lately */
#define CLERK_AGAIN_MS   300u   /* a change without an answer is asked for again */
#define CLERK_YIELD_MS   1500u  /* a change has had no answer for so long: another may take over */
#define CLERK_FIRST_MS   3000u  /* likewise, a view that nobody has led in yet */
#define CLERK_COMING_MS  5000u  /* a primary that is about to lead is waited for so long */
#define CLERK_HOME_MS    60000u /* in sync so long, the wanted primary is given the partition */
#define CLERK_APART_MS   1000u  /* a wall clock that is more off than that is wrong */
#define CLERK_WRONG_MS   2000u  /* whose is leaves it to others so long to take over */
#define CLERK_DRIFT_PPM  10000u

struct clerk;

/* What this node claims in a beat, or a peer refuses in a grant. */
struct claim {
	uint32_t partition;
	uint32_t flags; /* CLAIM_YIELD, CLAIM_COMING */
	uint64_t term;  /* in a refusal: the one that is known there */
};
_Static_assert(sizeof(struct claim) == 16, "told between nodes");
#define CLAIM_YIELD  1u /* its primary has lost the agreement: take over */
#define CLAIM_COMING 2u /* it does not lead yet, and asks for no lease: wait for it */

/* From a primary's node to one whose copies it needs; grants carry round and incarnation back. */
struct beat {
	uint64_t incarnation; /* of the coordinator that sends it */
	uint64_t store;       /* of the sender's data folder */
	uint64_t round;
	uint64_t revision; /* the highest of the agreement known there */
	uint64_t wall_ms;  /* by its wall clock, when it was sent */
	uint32_t count;
	uint32_t zero;
	struct claim claims[];
};

struct grant {
	uint64_t incarnation; /* of the coordinator whose beat it answers */
	uint64_t store;       /* of the granting node's folder */
	uint64_t round;
	uint64_t revision;
	uint64_t wall_ms;
	uint32_t count; /* of claims that are refused; the others are granted */
	uint32_t flags; /* GRANT_DRAINING, GRANT_LEAVING */
	struct claim refused[];
};
#define GRANT_DRAINING 1u /* that node is not to be given partitions */
#define GRANT_LEAVING  2u /* it is not to be a member any more: it is about to stop */

/* What the clerk has done.  The owner must not call the clerk from within. */
struct clerk_ops {
	void (*beat)(void *arg, uint32_t node, const struct beat *b);
	void (*grant)(void *arg, uint32_t node, const struct grant *g);
	/*
	 * A linearizable read of a partition's view: clerk_view answers with this `known`, or nothing
	 * does.  Asked for again after a while.
	 */
	void (*get)(void *arg, uint32_t partition, uint64_t known);
	/*
	 * Ask for a change: v (its revision is not said), if the key's revision is still `revision`.
	 * clerk_view answers with what is there then: v itself, or what had come instead.  Without an
	 * answer it is asked for again, the same v, for as long as it takes.
	 */
	void (*cas)(void *arg, uint32_t partition, uint64_t revision, uint64_t known,
		    const struct view *v);
	/* To the worker that has the partition, in order; o->number is set. */
	void (*order)(void *arg, uint32_t partition, struct parcel_order *o);
	/*
	 * The worker may serve reads in this epoch until then.  It must be able to see it when this
	 * returns: what is asked for next may rest on it.
	 */
	void (*lease)(void *arg, uint32_t partition, const struct copy_lease *l);
	/* The view has changed, or whether this node serves: requests that wait may go on. */
	void (*changed)(void *arg, uint32_t partition);
	/* Something for the log: what happened, a line of text. */
	void (*note)(void *arg, uint32_t partition, const char *text);
	/* A random number never used before by anybody. */
	uint64_t (*token)(void *arg);
};

struct clerk_config {
	struct member self;
	uint64_t incarnation; /* of this coordinator: random, new with each start */
	uint32_t partitions;
	/* partition p is worker p % workers'; 0: it has none, and self.node is 0: a member of nothing,
	 * which learns views and is asked where partitions are served */
	uint32_t workers;
	uint32_t factor;
	uint32_t min_copies;
	uint32_t lease_ms;  /* CLERK_LEASE_MS */
	uint32_t drift_ppm; /* CLERK_DRIFT_PPM */
};

/*
 * Begin, at `now`, knowing nothing.  That is also the latest moment at which an earlier life of this
 * node may have granted anything.  *ret is the caller's, to be freed by clerk_free.  0 or -ENOMEM.
 */
int clerk_new(const struct clerk_config *config, const struct clerk_ops *ops, void *arg,
	      struct moment now, struct clerk **ret);
void clerk_free(struct clerk **c);

/*
 * Whom the partition's copies shall be on, the wanted primary first: nodes that are no members are
 * made learners, members that are not wanted leave when all that are wanted are in sync.  None: as
 * it is.
 */
void clerk_target(struct clerk *c, uint32_t partition, const uint32_t *nodes, uint32_t count);
/*
 * The folder of a node, as it has registered: whom a learner there will be.  0, -ENOMEM, or -EINVAL:
 * no node can have that number.
 */
int clerk_node(struct clerk *c, uint32_t node, uint64_t store);

/* Every 25 ms or so.  Beats, deadlines, proposals. */
void clerk_tick(struct clerk *c, struct moment now);

/*
 * The wall clock says `wall_ms` at `now`: to be told before each tick.  Nodes compare theirs, by
 * beats; no rule of safety rests on them, but keys expire by the clock of whoever is the primary.
 */
void clerk_wall(struct clerk *c, uint64_t wall_ms, struct moment now);
/*
 * How far it is ahead (less than 0: behind) of the median of all nodes that have been heard lately,
 * this one among them; 0: fewer than three are known, so nobody can say whose is wrong.
 */
int64_t clerk_clock_ahead_ms(const struct clerk *c, struct moment now);

/* ---- from the agreement ---- */

/*
 * A view was read.  `fresh`: by a linearizable read that this coordinator has asked for since its
 * start (ops->get, ops->cas, a list), not a change that another node told of or that was noticed.
 * `known`: what clerk_revision said when it was asked for (0: that is not known); `header`: the
 * revision of the whole store when it was read (0: not known).  A view of revision 0: the partition
 * has none.  One whose primary is not in its set is no view, and is left out.
 */
void clerk_view(struct clerk *c, uint32_t partition, const struct view *v, bool fresh,
		uint64_t known, uint64_t header, struct moment now);
/*
 * A linearizable list of all keys that have changed since the last one, asked for since the start of
 * this coordinator, has been answered, and clerk_view has been told of each: with it all views that
 * are known are fresh.  The first one must have been a list of all.
 */
void clerk_listed(struct clerk *c, uint64_t known, uint64_t header, struct moment now);
/* The store's highest revision is lower than one known: 'set back'.  Nothing is asked for any more. */
bool clerk_set_back(const struct clerk *c);
uint64_t clerk_revision(const struct clerk *c);
/* It was told by another node, or read from disk. */
void clerk_revision_known(struct clerk *c, uint64_t header);

/* ---- from other nodes ---- */

void clerk_beat(struct clerk *c, uint32_t node, const struct beat *b, struct moment now);
void clerk_grant(struct clerk *c, uint32_t node, const struct grant *g, struct moment now);

/* ---- from workers ---- */

/*
 * It has opened its logs and may get orders: first of all those that come from within this call.
 * `life` is higher than any that this worker had before; `seen` is the highest term in the log of
 * each of its partitions, by partition / workers.  Reports of its earlier lives come no more.
 */
void clerk_worker_up(struct clerk *c, uint32_t worker, uint32_t life, const uint64_t *seen,
		     struct moment now);
void clerk_worker_down(struct clerk *c, uint32_t worker, struct moment now);
/* A sync of it has been outstanding since then (MOMENT_NEVER: none is). */
void clerk_worker_sync(struct clerk *c, uint32_t worker, struct moment since);
void clerk_report(struct clerk *c, const struct parcel_report *r, struct moment now);

/* ---- what operators ask for ---- */

/* Hand over every partition that this node leads, and take none over until `off`. */
void clerk_drain(struct clerk *c, bool on, struct moment now);
/*
 * The same, and leave all sets: whoever leads does not have to find out that this node is gone.  It is
 * done when clerk_figures says 0 copies, or those that are left are needed (it is the last one).
 */
void clerk_leave(struct clerk *c, struct moment now);

/* ---- what routing asks ---- */

enum clerk_serves {
	CLERK_HERE,  /* this node is the primary, and leads: its worker judges */
	CLERK_THERE, /* *ret_node is */
	CLERK_NOBODY /* not known now: wait for ops->changed */
};
enum clerk_serves clerk_serves(const struct clerk *c, uint32_t partition, uint32_t *ret_node);
/* What is known; NULL: nothing. */
const struct view *clerk_view_of(const struct clerk *c, uint32_t partition);

struct clerk_figures {
	uint32_t leading;         /* partitions that this node is the primary of and leads */
	uint32_t copies;          /* that this node is in the set of */
	uint32_t in_sync;         /* partitions led whose set is as large as is wanted */
	uint32_t learning;        /* copies that are learning from this node */
	uint32_t too_few;         /* partitions led that refuse writes */
	uint32_t without_primary; /* led by this node by their view, and not yet in fact */
	uint32_t unknown;         /* whose view has not been read yet */
	uint32_t damaged;
	uint32_t pending;       /* changes that are on their way */
	int64_t pending_ms;     /* for how long the oldest is */
	int64_t lease_ms_left;  /* the least of the partitions that are led; 0: none */
	int64_t clock_ahead_ms; /* see clerk_clock_ahead_ms */
};
void clerk_figures(const struct clerk *c, struct moment now, struct clerk_figures *ret);
/* For people: "leaving", it is about to stop; "draining", it is to lead nothing; NULL: neither is known. */
const char *clerk_leaves(const struct clerk *c, uint32_t node);
/*
 * For people: why the i-th of the wanted copies that are not in the set in sync is not, of a
 * partition that this node is the primary of; or, if none is missing, why it does not lead.
 * *ret_node: whose copy.  NULL: there are no more.
 */
const char *clerk_why(const struct clerk *c, uint32_t partition, uint32_t i, struct moment now,
		      uint32_t *ret_node);

/* ---- over a re-exec of the coordinator ---- */

/*
 * All that must go on: bytes that clerk_restore takes.  Returns how many that are; nothing is written
 * if `size` is less. 
 * Workers that are alive then go on as they are; whose life has ended meanwhile comes by
 * clerk_worker_down and _up.
 */
size_t clerk_save(const struct clerk *c, void *out, size_t size);
/*
 * Right after clerk_new, with the same folder, partitions and workers.  0; -EBADMSG: it is damaged;
 * -EPROTO: it is another version's, or another node's; -ENOMEM.  With an error it is as after
 * clerk_new, which counts as a restart.
 */
int clerk_restore(struct clerk *c, const void *in, size_t size, struct moment now);

#endif
