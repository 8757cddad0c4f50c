/* What the files of fan-outs share.  Nobody else includes this. */
#ifndef PAIL_FANOUT_IMPL_H
#define PAIL_FANOUT_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/front/fanout.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"

#define FANOUTS_MAX 1024u

struct covering;

struct part {
	char *reply;
	size_t size;
};

struct fanout {
	uint64_t generation; /* 0: free */
	struct reply_to reply_to;
	uint64_t msgid;
	uint64_t limit;
	uint32_t left; /* replies awaited */
	uint32_t parts;
	uint32_t parts_room;
	bool failed; /* an error has been answered */
	struct part *part;
	/* What is asked: the client's options, whose bytes lie in `bytes`. */
	struct options options;
	char *bytes;
	struct covering *covering; /* of partitions of the cluster; NULL: it asks for none */
};

struct fanouts {
	struct fanout fanout[FANOUTS_MAX];
	uint32_t count;
	uint32_t covering;   /* that ask for partitions */
	bool changed;        /* one of these may be served elsewhere */
	uint64_t kept;       /* bytes of parts */
	struct buf question; /* the last one */
	uint64_t generation;
	uint32_t hint;
};

#define ASK_NONE UINT16_MAX /* the number of a question that is not for partitions */

/* ---- fanout.c ---- */

/* What its questions are to be answered to. */
struct reply_to fanout_self(const struct front *front, const struct fanout *f);
/* Answer it with an error, unless it has been. */
void fanout_fail(struct front *front, struct fanout *f, enum wire_error e, const char *text);
/* Answer it if nothing is missing. */
void fanout_look(struct front *front, struct fanout *f);
/*
 * What is asked, for the names whose first bytes are in `set` and, if there are any, for some
 * partitions, as an item for requests of our own.  Its bytes are good until the next one is made.
 */
struct item *fanout_question(struct front *front, struct message *m, struct fanout *f,
			     const char *set, struct span partitions, uint32_t timeout_ms,
			     uint16_t ask);

/* ---- covering.c ---- */

/*
 * Ask for the partitions of the cluster, for names whose first bytes are in `set`: all of them, from
 * whoever serves each; or, with `here`, once, and of this node's workers only, for those in it.
 */
void covering_begin(struct front *front, struct message *m, struct fanout *f, const char *set,
		    uint32_t timeout_ms, const char *here);
void covering_free(struct covering **c);
/* Is something still to be asked? */
bool covering_lacks(const struct fanout *f);
/* Is the reply to be told which partitions are in it, and which? */
struct span covering_told(const struct fanout *f);
/*
 * A reply to one of its questions has come.  True: it is a list to be kept.  False: it is none, or
 * comes too late.
 */
bool covering_reply(struct front *front, struct fanout *f, uint16_t ask, const struct reply *r);
/* It was not even a reply. */
void covering_drop(struct fanout *f, uint16_t ask);
/* Is the question waited for? */
bool covering_open(const struct fanout *f, uint16_t ask);
/* What has moved, what is to be asked again, and whose time is over.  Returns when to look again. */
uint64_t covering_step(struct front *front, struct fanout *f);

/* ---- merge.c ---- */

/* The list `{items, more}`, or with `partitions`, that its parts make together. */
void merge_parts(const struct fanout *f, struct span partitions, struct buf *out);
/* Is the result of `r` a list as workers and nodes make it?  *ret_partitions: which are in it, or .p NULL. */
bool merge_sane(const struct reply *r, struct span *ret_partitions);

#endif
