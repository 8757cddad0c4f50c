/* What the client's files share; not for its users. */
#ifndef PAIL_CLIENT_H
#define PAIL_CLIENT_H

#include "common/buf.h"
#include "common/key.h"
#include "include/pail.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "ipc/net/socket.h"

#define SLOTS_BITS 20u /* at most a million requests in flight */
#define NONE       UINT32_MAX
#define SILENT_MS  5000u      /* a node that says nothing for so long is connected to anew */
#define NOTE_MSGID UINT64_MAX /* of what the library asks by itself; no slot ever has it */

/*
 * A request in flight.  Its msgid is its index and, above, how often the slot has been used: as
 * long as a connection lives no msgid comes twice, so that a reply that is late is nobody's.
 */
struct slot_in {
	pail_done *done;
	void *arg;
	uint64_t deadline_ms;
	uint32_t uses;
	uint32_t next; /* the next free slot, or the one behind in the outbox */
	uint32_t bytes;
	uint32_t sent_on; /* number of the connection it was sent on; 0: it is in the outbox */
	uint8_t method;
	bool busy;
};

/* Encoded requests that have not been sent, back to back, in the order of their slots. */
struct outbox {
	char *data; /* malloc'ed */
	size_t from;
	size_t to;
	size_t size;
	uint32_t first;
	uint32_t last;
	uint32_t count;
};

struct pail {
	struct socket_context *context;
	struct socket *link;
	char endpoint[SOCKET_ENDPOINT_MAX];
	char target[SOCKET_ENDPOINT_MAX]; /* that, or of a name with several addresses, one */
	struct pail_options options;      /* without its texts */
	struct key_file *key;             /* NULL: without keys; a link's is its owner's */
	unsigned server;                  /* which of the node's keys is believed */
	bool proving;          /* this connection has not been through its handshake yet */
	bool broken;           /* one has failed with each of the keys believed */
	enum socket_event end; /* how the last handshake failed, or SOCKET_NOTHING */
	struct slot_in *slot;
	uint32_t slots; /* in the array */
	uint32_t free_slot;
	uint32_t connection; /* number of the present one, from 1 */
	size_t in_flight;    /* requests without a reply */
	size_t on_wire;      /* of these, sent on this connection */
	struct outbox out;
	uint64_t now_ms;
	uint64_t due_ms; /* no deadline is earlier */
	bool goaway;     /* the node closes: finish, then connect again */
	uint64_t goaway_ms;
	uint64_t retry_ms;    /* connecting again has failed: not before */
	uint64_t unheard;     /* bytes sent since something came */
	uint64_t unheard_ms;  /* when the first of them was */
	bool lost;            /* and one of those requests has timed out */
	uint64_t message_max; /* what the node takes as one message */
	unsigned inside;      /* calls of the library that are running: callbacks run within */
	bool closed;          /* by a callback: what runs ends, then all is freed */
	size_t holds;         /* futures: they may lead here after it was closed */
	bool noted;           /* a note is under way */
	struct failover
		*failover; /* several connections, or requests that are sent again: then this
				      has no connection of its own, and all of it is there */
	/* Of a link: one of the connections of a failover, never made anew. */
	bool is_link;
	bool open;         /* its handshake is done: the note can be sent */
	bool ready;        /* the note was answered: requests can */
	bool gone;         /* it has closed */
	bool has_sessions; /* the node keeps outcomes of sessions */
	uint64_t heard_ms; /* when something came last */
	char why[1700];
};

/* Of a link: the request was never sent. */
#define STATUS_UNSENT 1000

/* Nothing has come for long, although a request was waited for in vain. */
static inline bool is_silent(const struct pail *p)
{
	return !p->is_link && p->lost && p->now_ms - p->unheard_ms >= SILENT_MS;
}

/* ---- slots.c: requests that wait for their replies ---- */

/* A free slot, taken from the list; NONE: p->why tells, *ret_status is what to return. */
uint32_t slot_take(struct pail *p, int *ret_status);
uint64_t slot_msgid(const struct pail *p, uint32_t i);
/* The slot of a request that is on the wire, or NULL. */
struct slot_in *slot_find(struct pail *p, uint64_t msgid);
/* Free the slot, then tell its owner: the callback may submit again, or close the connection. */
void slot_finish(struct pail *p, struct slot_in *s, const struct pail_result *r);
void slot_fail(struct pail *p, struct slot_in *s, int status, const char *text);
/* Tell those whose time is over, sent or not.  Returns how many. */
unsigned slots_expire(struct pail *p);
/* Fail those that were sent on an earlier connection (all: every one). */
void slots_abandon(struct pail *p, bool all, int status, const char *text);

/* ---- outbox.c ---- */

struct sending;

/*
 * Append a request of slot `i`, whose bytes are at most `n`.  PAIL_OK, PAIL_NO_MEMORY or
 * PAIL_TOO_LARGE.
 */
int outbox_add(struct pail *p, uint32_t i, const struct sending *q, size_t n);
/* End those that were not sent with STATUS_UNSENT, in their order. */
void outbox_return(struct pail *p);
/* Send it all, cut into frames, as far as the node may be sent to now.  PAIL_OK or why not. */
int outbox_send(struct pail *p);
/* Take out those whose deadline has passed: a list over slot.next, NONE: none. */
uint32_t outbox_expire(struct pail *p);
size_t outbox_bytes(const struct pail *p);
/* The largest frame that requests are packed into. */
size_t outbox_frame_max(const struct pail *p);
/* The node takes no message of `n` bytes.  Returns PAIL_TOO_LARGE. */
int outbox_too_large(struct pail *p, size_t n);
/* A request of the library's own, whose reply is nobody's: `hello`, for the node's limits. */
void note_send(struct pail *p);

/* The memory of a connection goes with the last that leads to it. */
void client_release(struct pail *p);

/*
 * Copy a struct of a program that begins with its size into ours, which begins so too and has
 * `ours` bytes: one may be older than the other.  False: its size is not set, or it has something
 * set that this library does not know; *ret is all zero then.
 */
bool struct_take(void *ret, size_t ours, const void *given);

/* Why `q` cannot be sent, whoever serves it, or PAIL_OK. */
int request_refuse(const struct pail_request *q, const char **ret_why);
/*
 * A request encoded once, to be sent as often as it must be: parameters, then what its options' map
 * has but for timeout, session, seq and ack, which each copy has its own of.
 */
struct form {
	char *data; /* malloc'ed */
	size_t params_size;
	size_t size; /* of all */
	uint32_t params;
	uint32_t options;
	uint8_t method;
};

/* What makes a copy of a request one of a session. */
struct once {
	const char *session; /* WIRE_SESSION_BYTES */
	uint64_t seq;
	uint64_t ack;
};

/* Encode `q`.  False: no memory. */
bool form_make(struct form *ret, const struct pail_request *q);
/* A request of `params` parameters that stand in `data`.  False: no memory. */
bool form_take(struct form *ret, int method, uint32_t params, const void *data, size_t size);
/* At most so many bytes has a copy. */
size_t form_size(const struct form *m);
char *form_write(char *p, uint64_t msgid, const struct form *m, const struct once *once,
		 uint32_t timeout_ms);

/* What is to be sent: a request as it was given, or a copy of one that was encoded before. */
struct sending {
	const struct pail_request *q;
	const struct form *form;
	const struct once *once; /* of a form, or NULL */
	uint32_t timeout_ms;
	uint8_t method;
};

/* Encode `q` into room of at least request_size(q) bytes.  Returns the place behind. */
size_t request_size(const struct pail_request *q);
char *request_write(char *p, uint64_t msgid, const struct pail_request *q, uint32_t timeout_ms);

/* The options' map of a request without its head; *ret_count: how many there are. */
char *options_write(char *p, const struct pail_request *q, uint32_t timeout_ms,
		    uint32_t *ret_count);

/* ---- txn.c: the three lists of a transaction ---- */

/* Why it cannot be sent, or PAIL_OK. */
int txn_refuse(const struct pail_txn *t, const char **ret_why);
/* The bytes of its entries; around them are at most 3 * (8 + CODEC_HEAD_MAX). */
size_t txn_size(const struct pail_txn *t);
/* Its lists as members of the options' map, counted to *count. */
char *txn_write(char *p, const struct pail_txn *t, uint32_t *count);

/*
 * Fill *ret from a reply to a `method`.  Items go into *items, JSON into `json`; both are the
 * caller's. False: the reply has not the shape that it must have.
 */
bool result_read(int method, const struct reply *r, struct pail_result *ret, struct buf *items,
		 struct buf *json);

/* A scan's item, or the name of a bucket.  False: it is neither.  Steps over it. */
bool item_read(const char **p, struct pail_item *item);
/* A map's field of that name; false: it is no map or has none.  Steps to its value. */
bool field_find(const char **p, const char *want);
/* The reply to a txn; the places of its results go into *places, uint32_t each. */
bool txn_read(const char *p, struct pail_result *ret, struct buf *places);

/* What the reply to a hello says is the largest message.  0: nothing. */
uint64_t hello_message_max(const char *p);
/* Whether it names that feature. */
bool hello_has_feature(const char *p, const char *name);

/* A copy of a result that stands alone.  NULL without memory. */
struct pail_result *result_copy(const struct pail_result *r);

/* One MessagePack object as JSON text; bytes that are no UTF-8 text become \u00NN. */
void json_write(struct buf *out, const char **p);

int client_fail(struct pail *p, int status, const char *why);

/* ---- open.c ---- */

/* NULL: no memory. */
struct pail *client_new(const struct pail_options *options);

/*
 * The connection of a link: begin to connect, believing the key's server of that number.  0 with
 * *ret, which pail_close frees, or negative errno.
 */
int link_open(const char *endpoint, const struct pail *owner, unsigned server, struct pail **ret);
/* Connect anew, the new connection first: without one, the old one is better than none.  0 or
 * negative errno. */
int reconnect(struct pail *p);
/* Look what becomes of the handshake. */
void prove(struct pail *p);
/* It would end so again, whenever, as long as neither side changes its keys. */
static inline bool is_final(enum socket_event end)
{
	return end == SOCKET_REFUSED || end == SOCKET_UNLIKE;
}
/* Say in p->why what it means that a handshake with `endpoint` ended so. */
void handshake_why(struct pail *p, enum socket_event end, const char *endpoint);

/* ---- client.c: what all connections share ---- */

int context_take(struct socket_context **ret);
/* As pail_submit, of `n` bytes at most: PAIL_OK, or `done` is not called. */
int client_send(struct pail *p, const struct sending *q, size_t n, pail_done *done, void *arg);
/* Whether its bytes are more than any node takes, and what else speaks against it. */
int submit_refuse(struct pail *p, const struct pail_request *q, size_t *ret_n);
/* A program's request, or *ours of it where its struct is another one. */
const struct pail_request *request_take(const struct pail_request *q, struct pail_request *ours);
/* For its reply's way, beyond a request's own time. */
uint32_t grace_ms(uint32_t timeout_ms);

#endif
