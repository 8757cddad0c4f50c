/*
 * What is told of copies, between processes and between nodes: parcels, each a head and what its
 * kind says.  The bytes are the same in shared memory and on the wire, as those of log entries are:
 * little-endian, each part a multiple of 8.
 *
 *	from another node, by the coordinator to the worker that has the partition
 *	APPEND	struct parcel_append, entries of the log	primary to copy
 *	ACK	struct parcel_ack, spans of a NACK		copy to primary
 *	from the node's own coordinator to its worker: orders, in order with the above
 *	ORDER	struct parcel_order
 *	from a worker
 *	APPEND and ACK for other nodes; to its own coordinator REPORT, struct parcel_report
 */
#ifndef PAIL_REPLICA_MESSAGE_H
#define PAIL_REPLICA_MESSAGE_H

#include <stdint.h>

#include "replica/spans.h"
#include "replica/view.h"

enum parcel_kind { PARCEL_APPEND = 1, PARCEL_ACK, PARCEL_ORDER, PARCEL_REPORT, PARCEL_KIND_END };

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
	uint64_t stamp; /* grows with each that this primary sends to this member in this term */
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
	ACK_DAMAGED   /* it contradicts what is committed here: up to `at` */
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

enum order_kind {
	ORDER_VIEW = 1, /* the members from now on; a primary in an older epoch is deposed */
	ORDER_LEAD,     /* begin to serve in `term`, with those members */
	ORDER_STOP,     /* primary: run nothing more, say when all is committed */
	ORDER_GO_ON,    /* primary: the change that it stopped or held for has not come */
	ORDER_HOLD,     /* say where the log ends; a primary refuses writes from then on */
	ORDER_FORGET    /* the copy leaves this node */
};

#define ORDER_TOO_FEW    1u         /* flag: fewer copies in sync than wanted, writes are refused */
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
			     * `member` has not what it once acknowledged */
	REPORT_KIND_END
};

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
