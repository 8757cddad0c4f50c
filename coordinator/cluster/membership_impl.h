/* What the files of a node's membership share. */
#ifndef PAIL_MEMBERSHIP_IMPL_H
#define PAIL_MEMBERSHIP_IMPL_H

#include "common/buf.h"
#include "coordinator/cluster/agent.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/cluster/notes.h"
#include "coordinator/cluster/views.h"
#include "coordinator/security/found.h"
#include "replica/clerk.h"

#define PREFIX_MAX 96u
#define NODE_NONE  UINT32_MAX

/* What a request of the agent's was: in the upper byte of its tag; a partition or so below. */
enum asked { ASKED_LIST, ASKED_GET, ASKED_CAS, ASKED_REGISTER, ASKED_CREATE };

static inline uint64_t tag_make(enum asked a, uint32_t n)
{
	return (uint64_t)a << 56 | n;
}

/* An order that its worker's ring has no room for yet. */
struct waiting_order {
	struct waiting_order *next;
	struct parcel_order order;
};

struct worker_line {
	struct waiting_order *first;
	struct waiting_order *last;
	bool up;
	uint64_t synced;         /* when it was looked at last */
	struct moment synced_at; /* since then it is that, and something waits */
	uint64_t beat;           /* likewise, of its heartbeat */
	struct moment beat_at;
};

/* What gathers in a round for another node. */
struct outgoing_parcels {
	struct buf appends;
	struct buf acks;
};

/* How long a node's copies took to acknowledge, the longest that was told lately. */
struct lag {
	uint64_t told_ms; /* 0: never */
	uint64_t ms;
};

enum create_step {
	CREATE_NONE,
	CREATE_GET,      /* is there one? */
	CREATE_MARK_GET, /* who has begun to create it */
	CREATE_MARK,     /* now it is this node */
	CREATE_KEYS,     /* all keys, config last */
	CREATE_CHECK     /* is config there, and this one's? */
};

/* A cluster that is being created here. */
struct creation {
	enum create_step step;
	struct reply_to reply_to;
	uint64_t msgid;
	uint64_t due_ms;
	struct cluster_config config;
	uint64_t mark;      /* of `creating`, its mod_revision */
	uint64_t mark_mine; /* what was written there */
	uint32_t done;      /* keys that are written */
	uint32_t count;     /* of nodes */
	uint32_t keep;      /* number of the node whose data is kept, or 0 */
	struct cluster_node node[CLUSTER_NODES_MAX];
	uint8_t *table;
};

struct membership {
	struct membership_parts parts;
	struct agent *agent;
	struct clerk *clerk; /* NULL: the cluster has not been created, or is not known yet */
	char prefix[PREFIX_MAX];
	uint64_t store; /* of its folder; 0: a door that has none */
	uint64_t known; /* clerk_revision when the last list was asked for */
	bool listing;
	bool listed; /* a list of all has been taken in */
	bool relist; /* once more: what came before the clerk was there is wanted */
	bool followed;
	bool registering;
	bool unfit; /* the cluster has another number of partitions than the folder */
	const char
		*config_wrong; /* what stands in the agreement as config is none; NULL: it is one */
	uint64_t agreement_ms; /* since when the agreement's state is what it is */
	bool leaving;          /* the node's end: its copies leave their sets */
	uint64_t retry_ms;
	struct moment now;
	uint64_t looked_us;           /* when workers were looked at last */
	struct cluster_config config; /* id 0: there is none */
	uint32_t number;              /* this node's; 0: it has none */
	uint32_t nodes;
	struct cluster_node node[CLUSTER_NODES_MAX];
	uint32_t of_number[REPLICA_NODES_MAX]; /* index in node[], or NODE_NONE */
	struct outgoing_parcels out[REPLICA_NODES_MAX];
	uint8_t *table; /* the target; NULL: none is known */
	uint32_t copies;
	struct worker_line line[64];
	struct creation creation;
	struct cluster_ops ops;
	struct peer_copies copies_events;
	struct security_found found;
	struct notes notes; /* for the log */
	struct lag lag[REPLICA_NODES_MAX];
	uint64_t beats_us;
	/* of the views that are asked for: how many, and what clerk_revision was before the first */
	uint32_t *asked;
	uint64_t *asked_known;
	/* an operator who waits until all is handed over */
	bool drain_asked;
	struct reply_to drain_to;
	uint64_t drain_msgid;
	uint64_t drain_due_ms;
	/* of the agreement, on disk: memory.c */
	uint64_t etcd; /* its id; 0: not known */
	uint64_t kept_etcd;
	uint64_t kept_revision;
	uint64_t keep_ms;
};

/*
 * Without workers a node has no copies, no number and no part in the agreement: it is a door, which
 * learns where partitions are served and hands on.
 */
static inline bool is_door(const struct membership *m)
{
	return !m->parts.supervisor->count;
}

/* Is it one of those of the cluster that there is, or a door to it? */
static inline bool takes_part(const struct membership *m)
{
	return (m->number || is_door(m)) && !m->unfit;
}

/* ---- membership.c ---- */

void moments_read(struct membership *m);
void key_of(const struct membership *m, const char *what, char *out, size_t size);

/* ---- agreement.c ---- */

int agreement_open(struct membership *m);
/* A clerk that knows nothing, of what config says.  0 or -ENOMEM. */
int clerk_make(struct membership *m);
/* Links to all other nodes that there are. */
void links_make(struct membership *m);
void agreement_tick(struct membership *m);
struct cluster_node *node_named(struct membership *m, struct span name);
/* A key's value, read by a list, a get or a change. */
void key_take(struct membership *m, struct span key, uint64_t revision, struct span value,
	      bool fresh, uint64_t known, uint64_t header);

/* ---- actions.c ---- */

extern const struct clerk_ops actions;
void orders_flush(struct membership *m, uint32_t worker);
void orders_drop(struct membership *m, uint32_t worker);
/* Behind all that wait already; it is the line's from now on. */
void order_wait(struct worker_line *l, struct waiting_order *x);
void actions_parcel(struct membership *m, const struct parcel *p);
void actions_open(struct membership *m);
/* To the log: what is due at now_ms; UINT64_MAX: all. */
void notes_tell(struct membership *m, uint64_t now_ms);

/* ---- create.c ---- */

void create_begin(void *arg, struct reply_to o, uint64_t msgid, const struct cluster_create *x);
void create_answer(struct membership *m, const struct agent_message *a);
void create_tick(struct membership *m);

/* ---- drain.c ---- */

void drain_begin(void *arg, struct reply_to o, uint64_t msgid, bool on);
void drain_tick(struct membership *m);

/* ---- memory.c ---- */

/* 0, or negative errno with the reason logged. */
int memory_read(struct membership *m);
/* Write down what is new, once a second at most. */
void memory_tick(struct membership *m);

/* ---- succession.c ---- */

/* From what membership_leave has left, see membership_parts.  0, or why it is as after a restart. */
int membership_resume(struct membership *m, int fd);
int succession_write(const struct membership *m, struct buf *b);
/* 0; -EPROTO: another program's, node's or folder's; -EBADMSG, -ENOMEM.  Then nothing was taken. */
int succession_read(struct membership *m, struct span in);

/* ---- figures.c ---- */

/* A worker has told how long a node's copies take to acknowledge. */
void figures_lag(struct membership *m, uint32_t node, uint64_t ms);

/* It is this node, or there is a link to it; its copies may be away all the same. */
bool node_is_up(const struct membership *m, const struct cluster_node *n);
void figures_status(void *arg, struct reply_to o, uint64_t msgid);

#endif
