/*
 * The sessions that a store knows, in memory: by partition and id, and in the order of their last
 * use; and what the next checkpoint has to settle of them.  One thread, the serving thread; a
 * checkpoint reads the list that it was given.
 */
#ifndef PAIL_SESSION_TABLE_H
#define PAIL_SESSION_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "storage/marks.h"
#include "storage/work.h"
#include "storage/log/entry.h"

struct engine;

/* It never changes once it is in a session, but for what is said about it here. */
struct outcome {
	uint64_t number; /* the request's in its session */
	uint64_t fingerprint;
	uint64_t sequence; /* of its record in the partition; of one change: its version */
	uint32_t size;     /* of the result; 0: there is none, a change was made */
	uint32_t holders;  /* the session, and a list for a checkpoint */
	bool ruled_out;
	bool settled; /* base has it */
	char result[];
};

#define OUTCOMES_WITHIN 4u /* so many need no memory of their own to be listed */

struct session {
	struct session *next; /* in its slot */
	struct session *older;
	struct session *newer;
	struct session *changed_next; /* of those that base does not have like that */
	uint8_t id[16];
	uint32_t partition;
	bool changed;
	bool gone;      /* forgotten; base may still have it */
	uint64_t floor; /* all below it is acknowledged */
	uint64_t used_ms;
	uint32_t first; /* outcome[first] to outcome[first + count - 1], by their numbers */
	uint32_t count;
	uint32_t room;
	struct outcome **outcome;
	struct outcome *within[OUTCOMES_WITHIN];
};

/* In the order of last use. */
struct session_list {
	struct session *oldest;
	struct session *newest;
};

/* What a checkpoint settles of one session. */
struct settle_session {
	struct session *gone; /* NULL: it is still known */
	uint8_t id[16];
	uint32_t partition;
	uint32_t count;
	uint64_t floor;
	struct outcome **outcome; /* those that base does not have */
};

struct settle_forgotten {
	uint32_t partition;
	uint64_t made_ms;
};

struct settle {
	struct settle_session *session;
	uint64_t sessions;
	struct outcome **outcome; /* of all of them */
	uint64_t outcomes;
	struct settle_forgotten *forgotten;
	uint32_t forgets;
};

struct session_table {
	struct session **slot;
	uint64_t mask;
	uint64_t seed;
	uint64_t bytes_max;
	uint64_t count;
	struct session_list idle;    /* those without outcomes */
	struct session_list keeping; /* those with some */
	uint64_t idle_bytes;
	uint64_t keeping_bytes; /* with their outcomes */
	struct session *changed;
	uint64_t changes;          /* how many */
	uint64_t changed_outcomes; /* the most that base may not have of them */
	uint64_t unlogged_bytes;   /* of outcomes that the log has, and not that they may go */
	uint64_t gone_bytes;       /* of sessions that are forgotten, and wait for a checkpoint */

	struct work *work; /* what long loops count; NULL: nobody cares */

	uint32_t partitions;
	uint64_t *forgotten; /* by partition: the latest making of a session forgotten there */
	uint64_t *forgotten_settled;
	uint64_t *forgotten_at; /* the sequence of the last record that said so */
	struct settle settle;   /* what the running checkpoint takes */

	struct session *now;   /* whose request runs */
	struct outcome *made;  /* for what it will log */
	struct outcome *spare; /* one without a result, for the next; NULL: there is none */
	uint64_t look_ms;      /* when those that are too old are looked for again */
	bool more;             /* there are more of them */
};

static inline void session_work(const struct session_table *t, uint64_t units)
{
	if (t->work)
		work_done(t->work, units);
}

/* For outcomes of so many bytes, and as much again for sessions without any.  0 or -ENOMEM. */
int session_table_new(uint64_t bytes_max, uint32_t partitions, struct session_table **ret);
void session_table_free(struct session_table **t);

/* When the session was made, by its id. */
uint64_t session_made_ms(const uint8_t id[16]);

/* NULL: it is not known. */
struct session *session_find(struct session_table *t, uint32_t partition, const uint8_t id[16]);
/* One that is not known yet.  NULL without memory. */
struct session *session_add(struct session_table *t, uint32_t partition, const uint8_t id[16],
			    uint64_t used_ms);
void session_use(struct session_table *t, struct session *x, uint64_t used_ms);
/* Forget it, with all that it has. */
void session_remove(struct session_table *t, struct session *x);
/*
 * Forget all of a partition, which base need not be told: it has no rows of it.  Nothing may be frozen
 * meanwhile.
 */
void sessions_remove(struct session_table *t, uint32_t partition);
/* All below `floor` is acknowledged. */
void session_acknowledge(struct session_table *t, struct session *x, uint64_t floor);

struct outcome *session_outcome_find(const struct session *x, uint64_t number);

/* Can an outcome of `size` bytes be kept at all? */
bool session_may_fit(const struct session_table *t, uint64_t size);
/* Would one more outcome of `size` bytes be too much? */
bool session_is_full(const struct session_table *t, const struct session *x, uint64_t size);
static inline bool sessions_are_many(const struct session_table *t)
{
	return t->idle_bytes > t->bytes_max;
}

/* An outcome for this session, with its result, to be entered: until then it is t->made.  -ENOMEM.
 */
int session_outcome_make(struct session_table *t, struct session *x, struct span result);
/* Enter it, where nothing can fail. */
void session_outcome_enter(struct session_table *t, struct session *x, struct outcome *o);

/* ---- session_settle.c ---- */

/* It is not like that in base. */
void session_change(struct session_table *t, struct session *x);

/*
 * Make the list of all that is not in base, as it is now.  0 or -ENOMEM: nothing has changed.  It
 * stays until it has been settled, or has not.  `marks` (NULL: all of it): what is of a later
 * sequence waits for the next one.
 */
int sessions_freeze(struct session_table *t, const struct marks *marks);
void sessions_settled(struct session_table *t);
void sessions_unsettled(struct session_table *t);

/* (checkpoint) Write the list, in a transaction that has begun.  0 or what the engine says. */
int sessions_merge(struct settle *list, struct engine *base);

#endif
