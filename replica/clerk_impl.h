/* What the files of the clerk share. */
#ifndef PAIL_REPLICA_CLERK_IMPL_H
#define PAIL_REPLICA_CLERK_IMPL_H

#include "replica/clerk.h"
#include "replica/rules.h"

/* A copy elsewhere, of a partition that this node is the primary of: needed, or learning. */
struct partner {
	struct member id;
	struct moment granted; /* when the newest beat was sent that it has granted in this epoch */
	struct moment near;    /* when the worker said last that it has all that is committed */
	struct moment stuck;   /* that it does not acknowledge */
	struct moment full;    /* that it has no room */
	bool damaged;
};

enum change_kind {
	CHANGE_NONE,
	CHANGE_SHRINK,
	CHANGE_GROW,
	CHANGE_TAKEOVER,
	CHANGE_RECLAIM,
	CHANGE_SWITCH,
	CHANGE_RESIGN,
	CHANGE_FREEZE
};

/* A compare-and-set that has been asked for: it may have happened, and it may still happen. */
struct change {
	enum change_kind kind;
	uint32_t zero;
	uint64_t base; /* the revision that it is to replace */
	struct moment first;
	struct moment sent; /* MOMENT_BEFORE: it has not been yet */
	struct view view;
};

struct part {
	/* what every tick looks at */
	uint32_t number;
	bool known;    /* a view was read since the start, by a read that was asked for since */
	bool stale;    /* orders and lease are to be looked at */
	bool led;      /* a worker of this node has led in this epoch */
	bool leading;  /* this life of it does */
	bool damaged;  /* the worker says that this copy has not what is committed */
	bool froze;    /* the view is of a takeover that has said where the log ended */
	bool freezing; /* its end of the log is awaited, to be compared with the view's */
	bool freeze;   /* the view's is to be set right */
	bool counted;  /* the worker counts `extra` */
	bool caught;   /* `extra` has all that is committed since */
	bool stopped;  /* the worker was told to stop, and has not been told to go on */
	bool drained;
	bool go_on;            /* the worker is to be told to */
	bool repeat;           /* orders may have been lost with the clerk before this one */
	bool held;             /* likewise to hold */
	bool held_told;        /* where its log ends: held_at, held_commit */
	uint32_t seen;         /* the highest epoch heard of */
	uint32_t told_epoch;   /* the highest in which a node has said that it leads, */
	uint32_t told_node;    /* and that node */
	uint32_t first_epoch;  /* of the view that was read first */
	uint32_t log_epoch;    /* of the newest term in the log, when the worker began */
	uint64_t claim_round;  /* this epoch is claimed from this round on */
	struct moment granted; /* when this node last granted somebody the lease */
	struct moment fresh;   /* when a read that was asked for was answered last */
	struct moment asked;
	struct moment changed; /* when the view changed last */
	struct moment coming;  /* when its primary said last that it is about to lead */
	struct moment led_at;
	struct moment plan_at;   /* when stop or `extra` began */
	struct moment given_up;  /* when a switch was */
	struct moment lead_sent; /* when the worker was told to lead */
	struct view view;
	struct change change;
	/* orders, by their numbers */
	uint64_t lead_number; /* 0: this life of the worker was not told to lead in this epoch */
	uint64_t life_number; /* of the first one to this life of the worker; 0: none yet */
	uint64_t stop_number;
	uint64_t hold_number;
	uint64_t extra_number;
	struct member extra;     /* a learner that counts before it is asked for; node 0: none */
	struct member switch_to; /* while stopped */
	struct member knows;     /* who has what this copy lacks */
	struct place held_at;
	uint64_t held_commit; /* ORDER_COMMIT_NOW: not known */
	struct copy_lease lease;
	struct parcel_order sent;
	uint32_t partners;
	uint32_t targets;
	struct partner partner[REPLICA_MEMBERS_MAX];
	uint32_t target[REPLICA_MEMBERS_MAX];
};

struct round {
	uint64_t number; /* 0: none */
	struct moment sent;
	uint64_t *claimed; /* a bit for each partition */
};

struct node {
	uint64_t store; /* of its folder, as it has registered; 0: not known */
	bool draining;  /* it is not to be given partitions */
	bool leaving;   /* nor to be a member */
	struct moment heard;
	struct moment answered; /* when it answered a beat of this node's last: it hears this one */
	int64_t apart_ms; /* by how much its wall clock was ahead of this node's, when it was heard */
	struct moment apart_at;
	struct round rounds[CLERK_ROUNDS];
	struct beat *beat; /* room for a claim of each partition */
};

struct worker {
	bool up;
	uint32_t life;
	struct moment down;
	struct moment sync; /* outstanding since; MOMENT_NEVER */
};

struct clerk {
	struct clerk_config config;
	struct clerk_ops ops;
	void *arg;
	uint64_t revision; /* the highest one known of the store */
	uint64_t answered; /* the highest one that it has answered with itself */
	uint64_t round;
	uint64_t number; /* of the last order */
	bool set_back;
	bool draining;
	bool leaving;
	bool beat_now;
	uint64_t wall_ms;      /* what the wall clock said, */
	struct moment wall_at; /* and when; never: MOMENT_BEFORE */
	struct moment beaten;
	struct moment ticked;
	struct moment woken; /* the last time this process had stood still for long */
	uint32_t switching;  /* partitions that are being handed over, as far as was looked */
	struct moment home;  /* when a partition was last given to its wanted primary */
	struct part *parts;
	struct worker *workers;
	struct node *nodes[REPLICA_NODES_MAX];
	uint8_t known[REPLICA_NODES_MAX]; /* numbers of those that there are, as they came */
	uint32_t known_count;
	struct grant *grant; /* room for a refusal of each partition */
};

/* ---- time ---- */

static inline uint64_t elapsed_ms(struct moment now, struct moment then)
{
	return now.boot_us > then.boot_us ? (now.boot_us - then.boot_us) / 1000 : 0;
}

/* Has it been so within the last `ms`? */
static inline bool lately(struct moment now, struct moment then, uint64_t ms)
{
	return (then.boot_us || then.raw_us) && elapsed_ms(now, then) <= ms;
}

/* When a lease that was granted then is over for certain, whatever the pace of the other clock. */
struct moment grace_end(const struct clerk *c, struct moment granted);

/* ---- what is so ---- */

static inline bool is_self(const struct clerk *c, struct member m)
{
	return member_is(c->config.self, m);
}

static inline bool is_primary(const struct clerk *c, const struct part *p)
{
	return p->view.revision && is_self(c, p->view.primary);
}

/* A higher epoch than the view's is known: the view is old, or the store was set back. */
static inline bool is_behind(const struct part *p)
{
	return RULE(SETBACK) && p->seen > p->view.epoch;
}

static inline struct worker *worker_of(const struct clerk *c, const struct part *p)
{
	return &c->workers[p->number % c->config.workers];
}

/* Is a change on its way that makes another node the primary? */
static inline bool is_handing(const struct clerk *c, const struct part *p)
{
	return p->change.kind && !is_self(c, p->change.view.primary);
}

static inline bool is_too_few(const struct clerk *c, const struct view *v)
{
	return v->isr_count < c->config.min_copies;
}

static inline void frozen_clear(struct view *v)
{
	v->frozen = (struct place){0, 0};
	v->frozen_commit = 0;
}

struct partner *partner_of(struct part *p, struct member id);
/* Those whose acknowledgement and lease are needed, without this node.  Returns how many. */
uint32_t needed_members(const struct clerk *c, const struct part *p,
			struct member ret[REPLICA_MEMBERS_MAX]);
bool is_needed(const struct clerk *c, const struct part *p, struct member m);

/* ---- clerk.c ---- */

void part_note(struct clerk *c, struct part *p, const char *text);
/* Ask for the view, unless that was done less than `ms` ago. */
void part_get(struct clerk *c, struct part *p, uint64_t ms, struct moment now);
/* An epoch was heard of. */
void part_hear(struct clerk *c, struct part *p, uint32_t epoch, struct moment now);
/* Do what is due. */
void part_look(struct clerk *c, struct part *p, struct moment now);
struct node *node_get(struct clerk *c, uint32_t number);

/* ---- clerk_change.c ---- */

#define CLERK_ASK_MS 50u
#define LATELY_MS    400u /* what the worker has said of a member counts for so long */
#define NEAR_MS      600u /* likewise, that a learner is near */

/* Was the view read lately enough to change more than must be? */
bool is_fresh(const struct part *p, struct moment now);
/* Ask for it; orders and the lease allow for both views from before. */
void change_begin(struct clerk *c, struct part *p, enum change_kind kind, const struct view *v,
		  struct moment now);
void members_drop(struct view *v, const struct member *who, uint32_t n);
bool frozen_set(struct clerk *c, struct part *p, struct view *v);
/* A member that is there, to be the next primary; node 0: none is. */
struct member member_there(const struct clerk *c, struct part *p, struct moment now);

void change_resend(struct clerk *c, struct part *p, struct moment now);
/* It is known what has become of it. */
void change_end(struct clerk *c, struct part *p, bool done);
void member_look(struct clerk *c, struct part *p, struct moment now);
void primary_look(struct clerk *c, struct part *p, struct moment now);

/* ---- clerk_members.c ---- */

/* The worker leads, and no change is on its way: is one due? */
void lead_look(struct clerk *c, struct part *p, struct moment now);

/* ---- clerk_worker.c ---- */

/* Who is needed and who learns, by the view and the change that is on its way. */
void partners_set(struct clerk *c, struct part *p);
/* Send orders and write the lease, if what they say has changed. */
/* Who is needed and who learns, by the view and the change that is on its way. */
void partners_set(struct clerk *c, struct part *p);
void part_settle(struct clerk *c, struct part *p, struct moment now);
uint64_t order_send(struct clerk *c, struct part *p, enum order_kind kind);
/* Give all orders again that the worker may not have. */
void orders_repeat(struct clerk *c, struct part *p, struct moment now);
/* No order that was given before counts: another life of the worker, or another reign. */
void order_forget(struct part *p);

/* ---- clerk_lease.c ---- */

void lease_write(struct clerk *c, struct part *p);
/* Its clock is known to be right, or nothing else is known. */
bool is_right(const struct clerk *c, uint32_t node, struct moment now);
void beats_send(struct clerk *c, struct moment now);

#endif
