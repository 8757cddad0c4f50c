/* What the files of copies share.  Nobody else includes this. */
#ifndef PAIL_REPLICATION_IMPL_H
#define PAIL_REPLICATION_IMPL_H

#include "common/buf.h"
#include "replica/copy.h"
#include "storage/replica.h"
#include "worker/replication.h"
#include "worker/pending.h"
#include "worker/recent.h"

/* What is on its way to a member. */
struct sending {
	struct member id;
	uint64_t sent;       /* sequence: the last one that was sent, */
	uint64_t flying;     /* and bytes that it has not acknowledged; */
	uint64_t mark;       /* sequence: when it has this, */
	uint64_t mark_bytes; /* so many of them are */
	bool want;           /* there may be something to send */
	bool again;          /* if there is nothing, an empty parcel */
	bool behind;         /* what it needs is in the log's files only; */
	uint64_t anew_ms; /* nor there, or it is damaged: since when it waits for a snapshot; 0 */
	uint64_t offered_ms; /* when one was offered last */
	uint64_t
		lag_mark; /* sequence whose acknowledgement is waited for, to see how long it takes; 0 */
	uint64_t lag_at_ms; /* since then */
	uint64_t lag_ms;    /* how long it took last */
};

/* A partition of this worker's. */
struct line {
	struct copy copy;
	struct recent_line recent;
	uint64_t written_first; /* records that the copy has not been told of, */
	uint64_t written_count; /* so many sequences */
	uint64_t synced;        /* that the copy has been told */
	bool dirty;             /* in the list of those with something to be done */
	bool waits_sync;        /* the log is ahead of `synced` */
	bool alone;             /* replies have gone the way of those without copies */
	bool turned_away;       /* a request was, with this number: */
	uint32_t gate;      /* so are those that have it too, or an earlier one; see entry_gate */
	bool asked;         /* requests have come, */
	uint32_t gate_seen; /* the last one with this number, */
	uint32_t led_epoch; /* and it has led in this epoch */
	uint64_t looked;    /* the step in which the lease was looked at, */
	struct copy_lease lease;
	struct moment now; /* and the clocks behind it */
	struct sending to[REPLICA_MEMBERS_MAX];
};

/* A node that copies are sent to. */
struct peer {
	uint64_t flying;
	uint64_t silent_ms;          /* it has not answered an offer: none before then */
	struct store_reader *reader; /* for those that are behind; NULL: none is */
	bool reopen;                 /* it does not read what is wanted */
	bool pressed;                /* its window was full */
	struct buf batch;            /* records that were read for ... */
	uint32_t line;
	uint64_t from; /* behind this sequence */
	uint64_t to;
};

#define SNAPSHOT_WINDOW 4u /* pieces that are on their way */

/* The snapshot that is sent. */
struct teaching {
	enum { TEACHING_NOTHING, TEACHING_OFFERED, TEACHING_ACCEPTED, TEACHING } state;
	uint32_t line;
	struct member to;
	uint64_t term;
	uint64_t snapshot; /* its id */
	uint64_t ticket;
	uint64_t sequence;
	struct store_copy *copy;           /* NULL: all has been read */
	struct buf piece[SNAPSHOT_WINDOW]; /* by number: those that are not taken in yet */
	uint64_t flying[SNAPSHOT_WINDOW];  /* of these, bytes that count in the peer's window */
	uint32_t read, sent, come, taken;  /* pieces */
	uint64_t sent_ms, moved_ms, begun_ms;
	uint64_t bytes;
	uint64_t looked_ms;
};

/* The one that comes in. */
struct learning {
	enum { LEARNING_NOTHING, LEARNING_OFFERED, LEARNING, LEARNING_LEFT } state;
	uint32_t line;
	struct member from;
	uint64_t term;
	uint64_t snapshot;
	uint64_t ticket;
	uint64_t sequence;
	struct buf piece[SNAPSHOT_WINDOW]; /* by number: those that the store has not taken */
	bool begun;                        /* the store has */
	bool last;                         /* the last one has come */
	uint32_t come, taken;              /* pieces */
	uint64_t moved_ms;
	uint64_t full_ms; /* when the store had no room last */
	uint64_t done;    /* the snapshot before, which has been taken in, */
	uint64_t done_ticket;
	struct place done_at;
};

struct replication {
	struct worker *w;
	uint32_t lines;
	uint32_t stride; /* line i is of partition first + i * stride */
	uint32_t first;
	uint32_t life;
	uint64_t started; /* requests before this identity had perhaps been begun */
	uint64_t arrive_read;
	uint64_t synced_lsn; /* looked at */
	uint64_t ticked_ms;
	uint64_t lag_told_ms;
	uint64_t retained_ms;
	uint64_t step;
	uint64_t over_ms; /* when it was found that this worker must end; 0: it need not */
	uint64_t ship_published;
	struct moment ran;             /* read before the requests that run now */
	const struct order_member *by; /* of the order that is being obeyed */
	uint32_t by_count;
	uint32_t behind; /* members */
	uint32_t readers;
	bool ship_full;
	bool backups_full; /* a backup had no room */
	struct buf late;   /* reports for which the ring had no room */
	struct pending *pending;
	struct recent *recent;
	struct teaching teaching;
	struct learning learning;
	uint32_t dirty_count;
	uint32_t *dirty;
	struct peer *peer; /* by node */
	struct line line[];
};

static inline struct line *line_of(struct replication *c, uint32_t partition)
{
	uint32_t i = (partition - c->first) / c->stride;

	return partition >= c->first && (partition - c->first) % c->stride == 0 && i < c->lines
		       ? &c->line[i]
		       : NULL;
}

static inline uint32_t line_number(const struct replication *c, const struct line *l)
{
	return (uint32_t)(l - c->line);
}

/* There is something to be written or sent of it. */
void line_stir(struct replication *c, struct line *l);

/* Replies that need not wait any more: replication_replies.c. */
void held_step(struct replication *c);

/* The partition's log has records of that term: for coordinators to come. */
static inline void log_term_note(struct replication *c, uint32_t partition, uint64_t term)
{
	_Atomic uint64_t *word = &c->w->segment->lease[partition].log_term;

	if (term > atomic_load_explicit(word, memory_order_relaxed))
		atomic_store_explicit(word, term, memory_order_relaxed);
}

/* What the copy does: replication_ops.c. */
extern const struct copy_ops replication_ops;
/* Reports that had no room. */
void reports_again(struct replication *c);

/* ---- sending: replication_ship.c ---- */

void ship_want(struct replication *c, struct line *l, uint32_t i, bool again);
/* What was appended is told to the copies: before they are told anything else; */
void ship_written(struct replication *c);
/* and sent. */
void ship_step(struct replication *c);
/* The member has acknowledged more, or not as much as was thought. */
void ship_acked(struct replication *c, struct line *l, uint32_t node);
/* An order has changed the members, or the role. */
void ship_members(struct replication *c, struct line *l);
/* Which part of the log must be kept for others. */
void ship_retain(struct replication *c);
void ship_free(struct replication *c);

/* For members that are behind, from the log's files: replication_behind.c. */
void behind_step(struct replication *c);
void behind_set(struct replication *c, struct sending *s, bool on);
/* Its records are not in the log any more. */
void ship_lost(struct replication *c, struct line *l, uint32_t i);
/* So many bytes have been acknowledged, or are lost. */
void ship_landed(struct replication *c, uint32_t node, uint64_t bytes);

/* ---- replication_lag.c ---- */

/* The copy has acknowledged up to there. */
void lag_acked(const struct replication *c, struct sending *s, uint64_t acked);
/* Each TICK_MS: look at all copies; once a second, tell. */
void lag_tick(struct replication *c);

/* ---- snapshots to others: replication_teach.c ---- */

/* A piece, or the word that somebody needs some, is sent. */
void teach_step(struct replication *c);
void teach_answer(struct replication *c, struct line *l, const struct parcel_pieced *p);
/* The log is kept from this record on; false: nothing is sent. */
bool teach_keeps(const struct replication *c, const struct line *l, uint64_t *ret_sequence);
/* Is there anything to be done at once? */
bool teach_stirred(const struct replication *c);
void teach_free(struct replication *c);

/* ---- snapshots from others: replication_learn.c ---- */

void learn_step(struct replication *c);
void learn_piece(struct replication *c, struct line *l, const struct parcel_piece *p);
/* The copy leaves this node. */
void learn_forget(struct replication *c, struct line *l);
void learn_free(struct replication *c);

/* A random number that is not 0. */
uint64_t replication_random(void);

/* A parcel with the entries, if the ring has room. */
bool ship_parcel(struct replication *c, struct line *l, uint32_t i, uint64_t from, uint64_t to,
		 const char *entries, uint64_t bytes, uint32_t count);

#endif
