/*
 * A client of several endpoints, or one whose requests are sent again (pail_options.retry).  Its
 * connections are links: struct pails of one connection each, made when one is needed and closed
 * for good when it is lost, told to go away or silent.  A request is encoded once and waits here
 * until its outcome is known or its time is over; each time it is sent is a copy of it.
 *
 * What is under way when: links are dispatched first, and their callbacks (copy_done) only note
 * what has become of a copy, or end the request, whose callback may submit and close.  Sending
 * again is done behind that.  Nothing of a request that has ended is freed as long as a copy of it
 * may still be answered.
 */
#ifndef PAIL_FAILOVER_H
#define PAIL_FAILOVER_H

#include "client/client.h"
#include "client/written.h"

#define ENDPOINTS_MAX 16u
#define WINDOW_MAX    4096u /* numbers of a session that are not acknowledged */

struct endpoints {
	char endpoint[ENDPOINTS_MAX][SOCKET_ENDPOINT_MAX];
	uint32_t count;
};

/* Split a list at its commas.  NULL, or what is wrong with it. */
const char *endpoints_split(const char *text, struct endpoints *ret);

/* An endpoint, and the connection to it. */
struct place {
	char endpoint[SOCKET_ENDPOINT_MAX];
	struct pail *link;     /* NULL: none */
	uint64_t begun_ms;     /* when it was */
	uint64_t asked_ms;     /* it was asked whether it is there; 0: not */
	uint64_t again_ms;     /* not connected to before */
	uint32_t pause_ms;     /* longer with each failure in a row */
	unsigned server;       /* which of the node's keys is believed next */
	enum socket_event end; /* how the last handshake failed, or SOCKET_NOTHING */
};

/* A session of the node's, as long as a request of it is in flight or new ones take it. */
struct session_taken {
	char id[WIRE_SESSION_BYTES];
	uint64_t seq;          /* the next number */
	struct waiting *first; /* in flight, by rising seq */
	struct waiting *last;
	struct written written;
};

/* A request without an outcome. */
struct waiting {
	struct failover *of;
	pail_done *done; /* NULL: the library's own */
	void *arg;
	struct waiting *previous, *next; /* all, in the order of submission */
	struct waiting *todo;            /* those that were never sent: the next one */
	struct session_taken *session;   /* NULL: none */
	struct waiting *earlier, *later; /* of its session */
	uint64_t seq;
	struct form form;
	uint64_t deadline_ms; /* nothing is sent behind it */
	uint64_t end_ms;      /* and nothing waited for behind this */
	uint64_t next_ms;     /* when it may be sent again */
	uint64_t sent_ms;     /* last */
	uint32_t share_ms;    /* how long the last copy is waited for before another is sent */
	uint32_t share_max_ms;
	uint32_t pause_ms;    /* before the next copy, behind one that was refused */
	uint32_t place;       /* where the last copy went */
	uint32_t copies;      /* sent */
	uint32_t outstanding; /* of these, without a reply */
	uint32_t unknown;     /* whose outcome nobody will tell */
	int refusal;          /* the status of the last copy that did not run, or PAIL_OK */
	char *text;           /* its text, malloc'ed; NULL: none */
	bool queued;          /* it is among those that were never sent */
	bool step;            /* the next copy goes to the next place */
	bool final;           /* no further copy */
	bool forgotten;       /* its session is not known any more */
	bool own;             /* the library's */
	bool ended;           /* kept for its copies only */
};

struct failover {
	struct pail *owner;
	bool retry;
	int poll_fd; /* an epoll of all links' descriptors */
	struct place place[ENDPOINTS_MAX];
	uint32_t places;
	uint32_t current; /* where new requests go */
	struct waiting *first, *last;
	struct waiting *todo, *todo_last;         /* never sent */
	struct waiting *returned, *returned_last; /* given back by a link that ends */
	bool returning;                           /* it is just doing so */
	struct session_taken *session;            /* of new requests; NULL: none yet */
	struct waiting *asking;                   /* the request for one, under way */
	uint64_t ask_ms;                          /* not before */
	char ask_why[200];                        /* why there is none */
	size_t bytes;                             /* of all requests */
	uint64_t now_ms;
	uint64_t due_ms;  /* no request is to be looked at earlier */
	uint64_t link_ms; /* and no link */
	bool stopped;     /* by pail_close: nothing is touched any more */
	uint32_t chance;
};

/* ---- failover.c ---- */

int failover_open(struct pail *owner, const struct endpoints *e);
/* PAIL_OK, or it is refused: `done` is not called. */
int failover_submit(struct failover *f, const struct pail_request *q, uint32_t timeout_ms,
		    pail_done *done, void *arg);
int failover_flush(struct failover *f);
unsigned failover_dispatch(struct failover *f);
/* When there is something to do if nothing comes; UINT64_MAX: never. */
uint64_t failover_wake_ms(const struct failover *f);
int failover_fd(const struct failover *f);
/* Ask for the node's limits again. */
void failover_note(struct failover *f);
/* End all with PAIL_CLOSED. */
void failover_abandon(struct failover *f);
/* Acknowledge, which is waited for a moment, and free.  NULL inside is fine. */
void failover_free(struct failover **f);

/* ---- copies.c: what is sent, and what becomes of it ---- */

/* A request of the library's own, to be done with `done` (NULL: whatever comes of it). */
struct waiting *waiting_own(struct failover *f, struct form *form, uint32_t timeout_ms,
			    pail_done *done, void *arg);
/* A program's.  Either takes the form, and is NULL without memory. */
struct waiting *waiting_new(struct failover *f, struct form *form, uint32_t timeout_ms,
			    pail_done *done, void *arg);
/* End it, which calls `done`. */
void waiting_end(struct waiting *w, const struct pail_result *r);
void waiting_fail(struct waiting *w, int status, const char *text);
/* Take the first one that was never sent, and has ended, out of their list. */
void waiting_unqueue(struct failover *f);
/* Those that were never sent, as far as they can be now. */
void todo_send(struct failover *f);
/* What is due: copies sent again, requests whose time is over.  Returns how many ended. */
unsigned waiting_tend(struct failover *f);
/* At a random point between half of it and it. */
uint32_t jitter(struct failover *f, uint32_t ms);
/* Look at requests again at that time. */
static inline void due_by(struct failover *f, uint64_t ms)
{
	if (ms < f->due_ms)
		f->due_ms = ms;
}

/* ---- links.c ---- */

/*
 * The place that a copy may be sent to now, the first from `from` on in turn, or NONE: there is
 * none yet.  `once`: only where outcomes are kept.  Without `patient` a place whose node goes away
 * is stepped over, else waited for, so that what is new stays behind what it is still doing.
 */
uint32_t link_pick(struct failover *f, uint32_t from, bool once, bool patient);
/* Receive on all, and close those that are of no more use.  Returns how many replies came. */
unsigned links_dispatch(struct failover *f);
/* Ask whether it is there at all: it has been silent since something was sent to it. */
void link_suspect(struct failover *f, uint32_t place, uint64_t since_ms);
/*
 * Whether no node will ever take this program as it is: each place has said so.  *ret: the first
 * that has failed in its handshake, or NULL.
 */
bool links_refused(const struct failover *f, const struct place **ret);
void links_close(struct failover *f);

/* ---- sessions.c ---- */

/*
 * Make `w` one of the session.  False: not yet, since there is no session, too much of it is not
 * acknowledged, or too many buckets are being written.
 */
bool session_join(struct failover *f, struct waiting *w);
/* It is in flight no more. */
void session_leave(struct waiting *w);
/* The session of `w` is not known to the node: new requests take another one. */
void session_forget(struct failover *f, const struct session_taken *s);
/* Below this number nothing will be sent or asked for again. */
uint64_t session_floor(const struct session_taken *s);
/* Acknowledge all that was written.  Returns how many requests that are. */
unsigned session_acknowledge(struct failover *f);
void session_free(struct failover *f);

#endif
