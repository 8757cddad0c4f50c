/*
 * For the simulator's controls: each rule of the protocol that is a switch can be taken out, and
 * must then be found out.  In other builds every rule is on, and costs nothing; -DPAIL_BREAK=RULE_id
 * builds nodes without that one, for tests of the tests.
 *
 * A rule is kept at the place that says RULE(id).  Kept by whoever calls this folder, and therefore
 * switched in the simulator: SYNC (an ack is sent when its lsn is on disk), LIFE (a worker's life is
 * one more with each start), ONCE (requests), BOOTTIME (the clocks given), WHOLE (a group is one
 * entry).  STARTED, REFLOOR, REFUSAL and LATELOOK are kept in copy_judge, and rest on what the owner
 * says in struct copy_wait: begun_before, refuses, ran.
 */
#ifndef PAIL_REPLICA_RULES_H
#define PAIL_REPLICA_RULES_H

#include <stdint.h>

#define REPLICA_RULES(X)                                                                        \
	X(FENCE, fence, "a copy refuses what comes from a term lower than one it has seen")     \
	X(CASFIRST, casfirst, "a silent member counts until it is known to be out of the set")  \
	X(MARGIN, margin, "the grace is longer than the lease, by the drift")                   \
	X(WAIT, wait, "a copy takes over only when its grace is over")                          \
	X(SENDTIME, sendtime, "a lease counts from when the beat was sent")                     \
	X(BOOT, boot, "after a restart the grace counts from the restart")                      \
	X(ACTIVATE, activate, "a new primary waits out what it has granted itself")             \
	X(TRUNCATE, truncate, "a copy drops what differs from the primary's log")               \
	X(MATCH, match, "an ack covers what was compared with the primary's log")               \
	X(CAUGHT, caught, "a learner has all that is committed before it is made a member")     \
	X(JOINT, joint, "while a change is on its way the members of both sets count")          \
	X(UNKNOWN, unknown, "a change without an answer may have happened, and still may")      \
	X(LEASE, lease, "reads need the lease")                                                 \
	X(REFUSAL, refusal, "a refusal tells state, and needs the lease too")                   \
	X(FLOOR, floor, "reads wait until the term's first record is committed")                \
	X(CLAIMS, claims, "a grant names the partitions and terms that it is for")              \
	X(SYNC, sync, "a copy acknowledges what is on its disk")                                \
	X(ACKTERM, ackterm, "an ack names the term that it is for")                             \
	X(LIFE, life, "a worker that is started again leads in another term")                   \
	X(NEWEPOCH, newepoch, "who finds itself primary after a restart takes a new epoch")     \
	X(SID, sid, "a member is a disk, not a name")                                           \
	X(DIRTY, dirty, "a reply waits until what it has looked at is committed")               \
	X(ONCE, once, "a write is never sent twice")                                            \
	X(BOOTTIME, boottime, "clocks go on while the machine is suspended")                    \
	X(ETCDREAD, etcdread, "after a restart roles are read anew, not remembered")            \
	X(STARTED, started, "what a dead worker had begun is not called undone")                \
	X(STOP, stop, "a primary that hands over stops before it asks")                         \
	X(HONEST, honest, "released is written only by who has led, or has waited")             \
	X(REFLOOR, refloor, "who was begun by a dead worker is refused after the first commit") \
	X(LEASEEPOCH, leaseepoch, "a lease is for one epoch, and none before it is led in")     \
	X(COUNTED, counted, "the worker counts a member before the change is asked for")        \
	X(FULL, full, "a copy without room is taken out of the set")                            \
	X(HUNG, hung, "a primary whose disk hangs resigns")                                     \
	X(YIELD, yield, "a primary without the agreement lets another take over")               \
	X(COMMITPLACE, commitplace, "commit is told as term and sequence")                      \
	X(WHOLE, whole, "a group of changes is one record")                                     \
	X(SETBACK, setback, "an agreement that went back in time is not followed")              \
	X(LATELOOK, latelook, "the clock is looked at after a read has run")                    \
	X(TOOFEW, toofew, "below min_copies writes are held before the change is asked for")    \
	X(COPIES, copies, "a reply waits for the members, not only for the primary's disk")     \
	X(TICKET, ticket, "a snapshot is taken with the ticket that was given since")           \
	X(LATEACK, lateack, "who learns anew is not heard of what it had before")

enum replica_rule {
#define X(id, name, text) RULE_##id,
	REPLICA_RULES(X)
#undef X
		RULE_COUNT
};

#ifdef REPLICA_SWITCHES
extern uint64_t replica_off; /* a bit each: rules that are taken out */
#define RULE(id) (!(replica_off >> RULE_##id & 1u))
#elif defined(PAIL_BREAK)
#define RULE(id) (RULE_##id != PAIL_BREAK)
#else
#define RULE(id) 1
#endif

#endif
