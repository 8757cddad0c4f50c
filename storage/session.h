/*
 * Sessions: what has become of requests that may be sent again (docs/protocol.md, Sessions).
 *
 * A session is known in each partition by itself: there it has a floor, below which everything is
 * acknowledged, and the outcomes of its requests from there on.  An outcome is in the log record of
 * what its request did, or of the result of one that changed nothing, and so it is whole or not
 * there like that; a checkpoint settles floors and outcomes that are not acknowledged with the rest.
 * An outcome counts whatever has become of the bucket since.
 *
 * A session is forgotten `session_ms` after its last use or its making, whichever is later, by the
 * system's clock.  The partition's log keeps the latest making of those that it has forgotten: one
 * that is not known and was made until then, or is older than session_ms, or was made more than
 * SESSION_AHEAD_MS in the future, is SESSION_UNKNOWN.  After a restart a session counts as used at
 * that moment.  An acknowledgement alone is not logged: a restart may find an earlier one, and then
 * keeps more than it must.
 *
 * No outcome is dropped before it is acknowledged or its session forgotten: when there are too many,
 * new requests are SESSION_BUSY.  Floors alone are many where each client makes one request; beyond
 * their bound those that were used longest ago are forgotten early, as above.
 */
#ifndef PAIL_STORE_SESSION_H
#define PAIL_STORE_SESSION_H

#include <stdint.h>

#include "common/span.h"
#include "storage/log/entry.h"

#define SESSION_OUTCOMES_MAX 4096u       /* of a session in a partition */
#define SESSION_AHEAD_MS     60000u      /* clocks of nodes may be so far apart */
#define SESSION_MS           3600000u    /* of struct store_config, if it says 0 */
#define SESSION_BYTES        (64u << 20) /* likewise */

struct store;

enum session_verdict {
	SESSION_RUN,     /* nothing is known of it: run it */
	SESSION_DONE,    /* it has been run */
	SESSION_NEVER,   /* it has been ruled out */
	SESSION_STALE,   /* it was acknowledged; to store_session also one that was ruled out */
	SESSION_OTHER,   /* another request was sent with this number */
	SESSION_UNKNOWN, /* no session is known by this id, and none is made */
	SESSION_BUSY     /* there are as many outcomes as may be kept: store_why */
};

/* What a reply had: its error and result as of log/entry.h; or, if `result` is empty, one change was
 * made, which has this version, and the method says what is told of it. */
struct session_outcome {
	struct span result; /* good until the next call of any function of the store */
	uint64_t version;
	uint64_t fingerprint; /* it came with */
};

/*
 * A request of a session is about to be run, behind store_begin, on the partition of the bucket
 * `name` (which need not be there).  Its acknowledgement is taken first.
 *
 * SESSION_RUN: until the next store_begin the record that is logged for it (a change, a group, or
 * store_outcome's) carries *x, which must stay where it is, and is its outcome; if none is logged,
 * it has not run.  SESSION_DONE: *ret is what the first one was told; it is observed, as anything
 * that is looked at.  Or another verdict, but never SESSION_NEVER; or an error of store.h.
 */
int store_session(struct store *s, struct span name, const struct log_session *x,
		  struct session_outcome *ret);

/*
 * What has become of request x->sequence (its fingerprint and acknowledgement mean nothing)?  If
 * nothing is known of it, it is ruled out from now on, which is logged.  SESSION_DONE and *ret,
 * SESSION_NEVER (both observed), SESSION_STALE, SESSION_UNKNOWN, SESSION_BUSY; or an error of
 * store.h.
 */
int store_session_outcome(struct store *s, struct span name, const struct log_session *x,
			  struct session_outcome *ret);

/* Acknowledge all below x->acknowledged, and nothing else.  SESSION_RUN, SESSION_UNKNOWN,
 * SESSION_BUSY; or an error of store.h.
 */
int store_session_ack(struct store *s, struct span name, const struct log_session *x);

#endif
