/*
 * Replies of partitions that have copies on other nodes, while they must not be told yet: each
 * partition's in the order in which its requests have run, so that one that waits for a slow copy
 * holds back no other partition's.  Replies that tell of nothing which waits for copies (`passes`)
 * may be told before those that stand before them; if they are not to be told, they keep their place.  Who knows when one may be told is the judge; the serving thread asks it
 * between requests.
 *
 * Memory is bounded by refusing requests before they run (pending_full): a partition may hold no more
 * than is left for others, so one of them alone takes half.  A reply is as long as it is, so what is
 * held may be more than that by the last one of each partition.
 */
#ifndef PAIL_PENDING_H
#define PAIL_PENDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replica/copy.h"

#define PENDING_BYTES (64u << 20)

struct pending;

struct pending_reply {
	uint64_t record; /* position of the request's record, */
	uint32_t index;  /* and of the request in it */
	uint32_t bytes;  /* of the reply; pending_add sets it */
	uint64_t msgid;
	uint64_t begun_us; /* when it ran, see reply_block */
	uint64_t done_us;
	bool passes;
	struct copy_wait wait;
	/* pending.c's: */
	bool gone;
	struct pending_reply *next; /* that passes */
};

/* `line`: a number below `lines`, one for each partition of this worker. */
int pending_new(uint32_t lines, struct pending **ret);
void pending_free(struct pending **w);

/* Must a request be refused, since too many replies wait? */
bool pending_full(const struct pending *w, uint32_t line);
/* Does any reply wait in that line, or in any? */
bool pending_in(const struct pending *w, uint32_t line);
bool pending_any(const struct pending *w);
/* Bytes that are taken, of all lines. */
uint64_t pending_bytes(const struct pending *w);

/*
 * Room for a reply of at most `n` bytes at the end of the line, or NULL: there is no memory.  It
 * stays until pending_add, which may say that less of it was needed, or the next call of this for
 * that line.
 */
char *pending_room(struct pending *w, uint32_t line, size_t n);
void pending_add(struct pending *w, uint32_t line, const struct pending_reply *r, const char *end);

struct pending_ops {
	enum copy_verdict (*judge)(void *arg, uint32_t line, const struct pending_reply *r,
				   const char *bytes);
	/* What is to be done with the first reply of a line, by any verdict but COPY_WAIT, or, if it
	 * is COPY_TELL, with one that passes.  False: not now, and with none of the others either. */
	bool (*done)(void *arg, uint32_t line, enum copy_verdict v, const struct pending_reply *r,
		     const char *bytes);
	void *arg;
};

/* Done with all replies that need not wait any more. */
void pending_step(struct pending *w, const struct pending_ops *ops);

#endif
