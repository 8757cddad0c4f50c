/* What the client's files share; not for its users. */
#ifndef PAIL_CLIENT_H
#define PAIL_CLIENT_H

#include "common/buf.h"
#include "include/pail.h"
#include "ipc/codec.h"
#include "ipc/link.h"

#define SLOTS_BITS 20u /* at most a million requests in flight */

/* A request in flight.  Its msgid is its index and, above, how often the slot has been used. */
struct slot_in {
	pail_done *done;
	void *arg;
	uint64_t deadline_ms;
	uint32_t uses;
	uint32_t next_free;
	uint8_t method;
	bool busy;
	bool sent;
};

struct pail {
	struct link_context *context;
	struct link *link;
	char endpoint[LINK_ENDPOINT_MAX];
	struct pail_options options;
	struct slot_in *slot;
	uint32_t slots; /* in the array */
	uint32_t free_slot;
	size_t in_flight; /* requests without a reply */
	size_t on_wire;   /* of these, sent on this connection */
	char *frame;      /* being packed; malloc'ed */
	size_t frame_len;
	size_t frame_size;
	uint32_t frame_requests;
	uint32_t *unsent; /* slots of the requests in the frame */
	uint64_t now_ms;
	uint64_t due_ms;      /* no deadline is earlier */
	uint64_t message_max; /* bytes that the node takes; 0: it did not say */
	bool goaway;          /* the node closes: finish, then connect again */
	uint64_t goaway_ms;
	char why[1700];
};

/* Encode `q` into room of at least request_size(q) bytes.  Returns the place behind. */
size_t request_size(const struct pail_request *q);
char *request_write(char *p, uint64_t msgid, const struct pail_request *q, uint32_t timeout_ms);

/*
 * Fill *ret from a reply to a `method`.  Items go into *items, JSON into `json`; both are the
 * caller's. False: the reply has not the shape that it must have.
 */
bool result_read(int method, const struct reply *r, struct pail_result *ret, struct buf *items,
		 struct buf *json);

/* A copy of a result that stands alone.  NULL without memory. */
struct pail_result *result_copy(const struct pail_result *r);

/* One MessagePack object as JSON text; bytes that are no UTF-8 text become \u00NN. */
void json_write(struct buf *out, const char **p);

int client_fail(struct pail *p, int status, const char *why);

#endif
