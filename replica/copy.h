/*
 * One partition's copy, as the worker sees it that has its log: appended to by a primary's records,
 * or the primary itself.  Pure: what happens comes in by the functions below, with the time where it
 * counts; what is to be done goes out by `struct copy_ops`, called from within them.  Nothing is
 * allocated, no clock is read.
 *
 *	NONE	no role is known yet: nothing is taken in, nothing is served
 *	BACKUP	takes in what the primary of the highest term sends, acknowledges it, applies
 *		what is committed
 *	PRIMARY	serves: appends at once, ships, tells replies when all members have what they tell
 *
 * What is committed is: on the disk of each needed member and of this node, in this term.
 *
 * Times here (now_ms) are milliseconds of any clock that does not jump: they pace what is sent and
 * told, and no rule rests on them.  Leases are moments.
 */
#ifndef PAIL_REPLICA_COPY_H
#define PAIL_REPLICA_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "replica/message.h"
#include "replica/spans.h"
#include "replica/view.h"

#define COPY_STUCK_MS  700u   /* a member that acknowledges nothing of what waits is told of */
#define COPY_NEAR_MS   300u   /* a learner must have been heard so lately to be near */
#define COPY_AGAIN_MS  120u   /* what has not been acknowledged by then is asked for */
#define COPY_PROBE_MS  400u   /* a learner that has everything is asked whether it is there */
#define COPY_IDLE_MS   10000u /* a member likewise, whether it still has it */
#define COPY_COMMIT_MS 50u    /* a quiet partition's commit point is told once after it */
#define COPY_TOLD_MS   200u   /* what lasts is reported again after it: NEAR, STUCK, MEMBER_FULL */

enum copy_role { COPY_NONE, COPY_BACKUP, COPY_PRIMARY };

struct copy;

/*
 * What a copy has done.  `arg` is copy->arg.  The owner must not call the copy from within, but for
 * copy_append_head and copy_sent from `ship`.
 */
struct copy_ops {
	/*
	 * Append the record that begins a term, of the sequence after the last one.  The records
	 * that are not committed are applied before it: from now on this copy is written to.
	 * Returns its lsn, or a negative errno: nothing happened, and it does not lead; it is tried
	 * again with each copy_tick until an order says otherwise.
	 */
	int64_t (*term_append)(void *arg, const struct copy *c, uint64_t term);
	/*
	 * A backup: append the entry as it is, unapplied.  Its lsn; -ENOSPC: there is no room, and
	 * copy_room says when there is; another negative errno: not now, it is sent again.
	 */
	int64_t (*entry_append)(void *arg, const struct copy *c, const struct parcel_entry *e);
	/* What is above `sequence` is void.  The lsn of the record that says so, or an error. */
	int64_t (*cut)(void *arg, const struct copy *c, uint64_t sequence);
	/*
	 * All up to `sequence` is committed: a backup applies it, a primary tells what waits.  Below
	 * min_copies it stays at what was committed before.
	 */
	void (*commit)(void *arg, const struct copy *c, uint64_t sequence);
	/*
	 * Send to members[i] what there is behind members[i].next, at the owner's pace: with
	 * copy_append_head for each parcel, then copy_sent.  `again`: if there is nothing, an empty
	 * parcel.  Places in members[] change with orders.
	 */
	void (*ship)(void *arg, struct copy *c, uint32_t i, bool again);
	/*
	 * Send it to the node, but not before everything up to `lsn` is on disk (0: now).  Of several
	 * ACK_HAVE of one term only the last need be sent.
	 */
	void (*ack)(void *arg, const struct copy *c, uint32_t node, const struct parcel_ack *a,
		    const struct span_term *spans, uint64_t lsn);
	/* To the coordinator, in order. */
	void (*report)(void *arg, const struct copy *c, const struct parcel_report *r);
	/*
	 * It is not primary any more: every reply that waits is to be judged again (copy_judge says
	 * ELSEWHERE or TIMEOUT).
	 */
	void (*deposed)(void *arg, struct copy *c);
};

struct copy_member {
	struct member id;
	uint64_t flags; /* enum member_flag */
	uint64_t acked; /* in this term */
	uint64_t next;  /* what is behind it has not been sent */
	uint64_t stamp; /* of the last parcel sent */
	uint64_t
		back_stamp; /* `stamp` when it was gone back for it: what answers earlier ones is late */
	uint64_t acked_stamp; /* `stamp` when `acked` was heard: what answers later ones is newer */
	uint64_t heard_ms;
	uint64_t sent_ms;
	uint64_t progress_ms; /* since when what waits has waited */
	uint64_t told_ms;     /* when something that lasts was reported of it */
	uint64_t commit_told;
	uint64_t after; /* a stamp: what answers it or earlier ones is late */
	bool known;     /* where its log and this one part */
	bool anew;      /* only a snapshot helps it: it is damaged, not whole, or too far behind */
	bool full;
	bool told_caught;
};

struct copy {
	const struct copy_ops *ops;
	void *arg;
	uint32_t partition;
	uint32_t count; /* of members */
	struct member self;
	enum copy_role role;
	bool stopped;    /* primary: runs nothing more */
	bool held;       /* primary: refuses writes until an order says otherwise */
	bool too_few;    /* the same, by the view */
	bool may_append; /* backup: roles are known */
	bool damaged;    /* it contradicts what is committed: takes no part */
	bool broken;     /* what is here is not all of it, but part of a snapshot: likewise */
	bool full;       /* backup: no room, until copy_room */
	bool keep;       /* another copy may need what is in the log, whoever leads by then */
	bool told_floor, told_drained;
	uint64_t seen;        /* the highest term heard of, or in the log */
	uint64_t term;        /* primary: in which it leads; backup: of the primary it follows */
	uint64_t lead;        /* the term in which it shall lead, and does not yet; 0 */
	uint64_t number;      /* of the last order obeyed */
	uint64_t lsn;         /* of the last record that this copy has had appended */
	uint64_t commit;      /* sequence */
	uint64_t told;        /* what ops->commit has said of it */
	uint64_t synced;      /* sequence: of this log on disk */
	uint64_t floor;       /* primary: the sequence of its term's first record */
	uint64_t frozen;      /* primary, held or too few: replies that consult more wait */
	uint64_t match;       /* backup: up to here compared with this term's primary */
	uint64_t quiet_ms;    /* when it was written last */
	uint64_t stamp;       /* of the last parcel sent to anybody */
	uint64_t ticket;      /* backup: given to who may send a snapshot; 0: to nobody, */
	uint64_t ticket_term; /* and for this term */
	struct spans spans;
	struct copy_member members[REPLICA_MEMBERS_MAX];
};

/*
 * A copy whose log has these spans, all of it on disk, of which what is up to `commit` is known to
 * be committed.  It has no role.
 */
void copy_init(struct copy *c, uint32_t partition, struct member self, const struct spans *spans,
	       uint64_t commit, const struct copy_ops *ops, void *arg);

/* ---- what comes from the coordinator ---- */

void copy_order(struct copy *c, const struct parcel_order *o, uint64_t now_ms);

/* ---- what comes from other nodes ---- */

/* The entries lie behind the head, whose counts and sizes have been checked to be true. */
void copy_append(struct copy *c, const struct parcel_append *p, uint64_t now_ms);
/* Its spans lie behind it, as many as it says. */
void copy_ack(struct copy *c, const struct parcel_ack *p, uint64_t now_ms);

/* ---- what comes from its own log ---- */

/*
 * Primary: `count` sequences from `first` on are in the log, the last one with this lsn (or any later
 * one of the log).  To be called before anything else of this copy is.
 */
void copy_written(struct copy *c, uint64_t first, uint32_t count, uint64_t lsn, uint64_t now_ms);
/* Up to this sequence the log is on disk (after a cut: what is there now). */
void copy_synced(struct copy *c, uint64_t sequence);
/* Backup: there is room again (less than 80 % of its limits are used). */
void copy_room(struct copy *c);
/* ---- snapshots: a copy that nothing else helps learns anew ---- */

/* Right after copy_init: what is on disk is a part of a snapshot only. */
void copy_broken(struct copy *c);
/*
 * A backup was offered one by a parcel of `p`.  True: it may be told this ticket, which is random and
 * not 0; the ones before are void.
 */
bool copy_offered(struct copy *c, const struct parcel_piece *p, uint64_t ticket);
/* May the pieces of that ticket be taken in, and what is here be lost?  Asked before the first one. */
bool copy_may_load(const struct copy *c, const struct parcel_piece *p);
/* What was here is gone: it is broken, until copy_loaded or another start. */
void copy_load(struct copy *c);
/*
 * The log has become another one: a snapshot was loaded (backups only).  It counts as on disk, and
 * `commit` as committed; what was damaged or broken is whole again.
 */
void copy_loaded(struct copy *c, const struct spans *spans, uint64_t commit);
/* The copy is gone from this node (ORDER_FORGET): if it is to be one again it learns anew. */
void copy_forgotten(struct copy *c);

/* Primary: what members[i] needs is not in the log any more. */
void copy_lost(struct copy *c, uint32_t i);
/*
 * Primary: is members[i] to be sent a snapshot?  Only one that does not count is: what it has goes.
 * One that counts is reported, or found to be stuck, and leaves the set first.
 */
static inline bool copy_wants_snapshot(const struct copy *c, uint32_t i)
{
	return c->role == COPY_PRIMARY && !c->stopped && !c->damaged && c->members[i].anew &&
	       (c->members[i].flags & MEMBER_LEARNER) && !(c->members[i].flags & MEMBER_NEEDED);
}
/* Primary: members[i] has all up to `at`, on its disk, by a snapshot that it was sent in this term. */
void copy_taught(struct copy *c, uint32_t i, struct place at, uint64_t now_ms);

/* Every 10 to 50 ms. */
void copy_tick(struct copy *c, uint64_t now_ms);

/* ---- sending ---- */

/*
 * The head of the next parcel for members[i], of the records behind `from`; count, bytes and
 * head.size are the caller's to set.  False: where `from` is in the log is not known any more
 * (copy_lost is due).
 */
bool copy_append_head(struct copy *c, uint32_t i, uint64_t from, struct parcel_append *ret);
/* The records up to `to` have been sent to members[i]. */
void copy_sent(struct copy *c, uint32_t i, uint64_t to, uint64_t now_ms);

/* ---- requests ---- */

enum copy_takes {
	COPY_TAKES,        /* run it */
	COPY_TAKES_READS,  /* a write is refused: too_few */
	COPY_TAKES_NOTHING /* elsewhere */
};

static inline enum copy_takes copy_takes(const struct copy *c)
{
	if (c->role != COPY_PRIMARY || c->stopped || c->damaged)
		return COPY_TAKES_NOTHING;
	return c->held || c->too_few ? COPY_TAKES_READS : COPY_TAKES;
}

/* A reply that waits: of what ran in `term`. */
struct copy_wait {
	uint64_t term;
	uint64_t observed; /* the highest sequence that it consulted, or wrote; 0: none */
	uint64_t clients;  /* likewise, of records of clients alone (TERM and CLOCK are none) */
	struct moment ran; /* not later than when it had run */
	bool wrote;        /* a record is in the log for it */
	bool tells_state;  /* it is no record's reply: get, conflict, false, … */
	bool refuses;      /* beside tells_state: conflict, false, no_bucket: no plain read */
	bool begun_before; /* a write that a worker, dead now, had begun */
};

enum copy_verdict {
	COPY_WAIT,
	COPY_TELL,
	COPY_ELSEWHERE, /* not primary any more, and nothing of it was logged */
	COPY_TIMEOUT    /* not primary any more, and it may have happened */
};

/* The lease as the coordinator has written it. */
struct copy_lease {
	uint32_t epoch;
	uint32_t zero;
	struct moment until;
};

/*
 * May the reply be told?  `now` was read after the request had run (later than w->ran); a lease of
 * another epoch than the term's is none.
 */
enum copy_verdict copy_judge(const struct copy *c, const struct copy_wait *w,
			     const struct copy_lease *lease, struct moment now);

/* For assertions: the members' positions lie within the log, commit within all of them. */
bool copy_agrees(const struct copy *c);

#endif
