/*
 * What is told of copies, between processes and between nodes: parcels, each a head and what its
 * kind says.  The bytes are the same in shared memory and on the wire, as those of log entries are:
 * little-endian, each part a multiple of 8.
 *
 *	from another node, by the coordinator to the worker that has the partition
 *	APPEND	struct parcel_append, entries of the log	primary to copy
 *	ACK	struct parcel_ack, spans of a NACK		copy to primary
 *	PIECE	struct parcel_piece, bytes of a snapshot	primary to a copy that learns anew
 *	PIECED	struct parcel_pieced				its answers
 *	from another node, for the coordinator itself
 *	VIEW	struct parcel_view				primary to who knows an older one
 *	from the node's own coordinator to its worker: orders, in order with the above
 *	ORDER	struct parcel_order
 *	from a worker
 *	APPEND, ACK, PIECE and PIECED for other nodes; to its own coordinator REPORT, struct parcel_report
 */
#ifndef PAIL_REPLICA_MESSAGE_H
#define PAIL_REPLICA_MESSAGE_H

#include <stdint.h>

#include "replica/spans.h"
#include "replica/view.h"

enum parcel_kind {
	PARCEL_APPEND = 1,
	PARCEL_ACK,
	PARCEL_ORDER,
	PARCEL_REPORT,
	PARCEL_PIECE,
	PARCEL_PIECED,
	PARCEL_VIEW,
	PARCEL_LAG,
	PARCEL_KIND_END
};

struct parcel {
	uint32_t size; /* of all of it, head included; a multiple of 8 */
	uint16_t kind; /* enum parcel_kind */
	uint16_t partition;
	uint32_t node; /* whom it is for, or who it is from; 0: the coordinator */
	uint32_t zero;
};
_Static_assert(sizeof(struct parcel) == 16, "told between processes and nodes");

/* Records of a primary's log behind `prev`; none: it is said only how far is committed. */
struct parcel_append {
	struct parcel head;
	struct member from;
	uint64_t term;       /* in which the sender leads; records may be of earlier ones */
	struct place prev;   /* of the record before the first one here */
	struct place commit; /* up to here all is committed */
	uint32_t count;      /* entries behind this head, as they lie in the log */
	uint32_t bytes;      /* of them */
	uint64_t stamp;      /* grows with each that this copy sends to anybody */
};
_Static_assert(sizeof(struct parcel_append) == 88, "told between processes and nodes");

/* What an entry of the log begins with (struct log_entry): all that is looked at here. */
struct parcel_entry {
	uint32_t crc;
	uint32_t size; /* of the entry, a multiple of 8 */
	uint64_t term;
	uint64_t sequence; /* of the first of `count`: a group of changes is one entry */
	uint16_t partition;
	uint8_t kind;
	uint8_t flags;
	uint32_t count; /* at least 1: others are not shipped */
};
_Static_assert(sizeof(struct parcel_entry) == 32, "the layout of the log");

enum ack_kind {
	ACK_HAVE = 1, /* on disk here: everything up to `at`, as it is in the primary's log */
	ACK_BACK,     /* `prev` is not in this log; what is, is told by its last spans */
	ACK_FULL,     /* there is no room for what is behind `at` */
	ACK_REFUSED,  /* a higher term is known here: at.term */
	ACK_DAMAGED,  /* it contradicts what is committed here: up to `at` */
	ACK_BROKEN    /* what is here is not all of it: nothing but a snapshot helps */
};

struct parcel_ack {
	struct parcel head;
	struct member from;
	uint64_t term;  /* of the append that it answers */
	uint64_t stamp; /* likewise */
	struct place at;
	uint32_t kind;  /* enum ack_kind */
	uint32_t spans; /* with ACK_BACK: so many struct span_term follow, oldest first */
};
_Static_assert(sizeof(struct parcel_ack) == 72, "told between processes and nodes");

/*
 * A snapshot: all of a partition up to a sequence that is committed, in pieces.  First it is offered;
 * who accepts it gives a ticket, which each piece names.  What was there before goes with the first
 * piece, so that must not be one that was on its way for long: a ticket is void when another one is
 * given, when the copy acknowledges anything, and in another term.
 */
struct parcel_piece {
	struct parcel head;
	struct member from;
	uint64_t term;     /* in which the sender leads */
	uint64_t snapshot; /* which one: never used twice */
	uint64_t ticket;   /* that the answer to the offer gave; 0 in the offer */
	uint64_t sequence; /* it leads up to */
	uint32_t number;   /* 0, 1, … */
	uint32_t flags;    /* enum piece_flag */
	uint32_t bytes;    /* behind this head, and zeros up to a multiple of 8 */
	uint32_t zero;
};
_Static_assert(sizeof(struct parcel_piece) == 80, "told between processes and nodes");

enum piece_flag {
	PIECE_OFFER = 1, /* may it be sent?  There are no bytes */
	PIECE_LAST = 2
};

enum pieced_kind {
	PIECED_TAKE = 1, /* go on: `taken` pieces are taken in, `come` have come */
	PIECED_NOT_NOW,  /* of an offer: another one comes in here: ask again */
	PIECED_DONE,     /* it is whole, and on disk: the log goes on behind `at` */
	PIECED_VOID      /* it is not known here, or was given up */
};

struct parcel_pieced {
	struct parcel head;
	struct member from;
	uint64_t term;     /* of the piece that it answers */
	uint64_t snapshot; /* likewise */
	uint64_t ticket;
	struct place at;
	uint32_t kind; /* enum pieced_kind */
	uint32_t taken;
	uint32_t come;
	uint32_t zero;
};
_Static_assert(sizeof(struct parcel_pieced) == 88, "told between processes and nodes");

/* A primary's view as the agreement has it, for a node that refuses its claim. */
struct parcel_view {
	struct parcel head;
	struct member from;
	uint64_t revision;
	uint64_t by;
	uint32_t epoch;
	uint32_t released; /* 0 or 1 */
	struct place frozen;
	uint64_t frozen_commit;
	uint64_t count;
	struct member isr[REPLICA_MEMBERS_MAX];
};
_Static_assert(sizeof(struct parcel_view) == 88 + 16 * REPLICA_MEMBERS_MAX, "told between nodes");

enum order_kind {
	ORDER_VIEW = 1, /* the members from now on; a primary in an older epoch is deposed */
	ORDER_LEAD,     /* begin to serve in `term`, with those members */
	ORDER_STOP,     /* primary: run nothing more, say when all is committed */
	ORDER_GO_ON,    /* primary: the change that it stopped or held for has not come */
	ORDER_HOLD,     /* say where the log ends; a primary refuses writes from then on */
	ORDER_FORGET    /* the copy leaves this node */
};

#define ORDER_TOO_FEW    1u /* flag: fewer copies in sync than wanted, writes are refused */
#define ORDER_ANEW       2u /* flag: what was ordered before, by another coordinator, is void */
#define ORDER_KEEP       4u /* flag: a copy that is wanted is not in sync, it may need the log */
#define ORDER_COMMIT_NOW UINT64_MAX /* as `frozen`: what is known to be committed at this order */

enum member_flag {
	MEMBER_NEEDED = 1, /* nothing is committed without its acknowledgement */
	MEMBER_LEARNER = 2 /* it is sent the log to become a member */
};

struct order_member {
	struct member id;
	uint64_t flags; /* enum member_flag */
};

struct parcel_order {
	struct parcel head;
	uint64_t number; /* grows with each order to that worker; told back in reports */
	uint64_t term;   /* VIEW: its epoch with life 0; STOP, GO_ON, HOLD: likewise */
	uint64_t frozen; /* with ORDER_TOO_FEW: replies that consult more wait; ORDER_COMMIT_NOW */
	uint32_t kind;   /* enum order_kind */
	uint32_t flags;
	uint32_t count;      /* of members, this node's own copy not among them */
	uint32_t may_append; /* a backup may take records in: roles are known */
	struct order_member member[REPLICA_MEMBERS_MAX];
};
_Static_assert(sizeof(struct parcel_order) == 56 + 24 * REPLICA_MEMBERS_MAX,
	       "told between processes");

enum report_kind {
	REPORT_COUNTED = 1, /* the members of order `number` count from now on */
	REPORT_LEADING,     /* its records are of at.term from now on, the first is at.sequence */
	REPORT_FLOOR,       /* the term's first record is committed: it serves reads too */
	REPORT_NEAR,        /* learner `member` has acknowledged what is committed */
	REPORT_CAUGHT,      /* the same, and it has been needed since before: it may be a member */
	REPORT_STUCK,       /* `member` has acknowledged nothing of what waits, for too long */
	REPORT_MEMBER_FULL, /* `member` has no room */
	REPORT_DRAINED,     /* it has stopped, and all is committed */
	REPORT_HELD,        /* of HOLD: the log ends at `at`; of LEAD: it did before that term */
	REPORT_SEEN,        /* a higher term than ours was heard of: at.term */
	REPORT_DAMAGED,     /* this copy (member: itself) has not what `at` says is committed; or
			     * `member` has not what it once acknowledged, or not all of it */
	REPORT_WHOLE, /* `member` (perhaps this copy) has learned anew, and is no more damaged */
	REPORT_KIND_END
};

/* How long the copies of head.node, of partitions that the teller leads, take to acknowledge: for people. */
struct parcel_lag {
	struct parcel head;
	uint64_t ms; /* the longest of them */
};
_Static_assert(sizeof(struct parcel_lag) == 24, "told between processes");

struct parcel_report {
	struct parcel head;
	uint64_t number; /* of the last order that was obeyed */
	uint64_t commit; /* known to be committed; below min_copies: what replies may consult */
	uint32_t kind;   /* enum report_kind */
	uint32_t zero;
	struct place at;
	struct member member; /* whom it is about */
};
_Static_assert(sizeof(struct parcel_report) == 72, "told between processes");

#endif
