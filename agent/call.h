/*
 * One request to etcd: its endpoints are tried in order, from the one that answered last, each for
 * at most two seconds, and what comes back is either an answer of this cluster that is not behind
 * what was known when it was asked, or nothing.  What changes something is sent once: when it may
 * have reached etcd and no answer came, that is all there is to be known.
 *
 * An answer that is behind may belong to another question, where somebody between answers twice.
 * Nothing is written then until a read over a new connection has shown whether etcd itself is behind.
 */
#ifndef PAIL_AGENT_CALL_H
#define PAIL_AGENT_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/etcd.h"
#include "agent/http.h"
#include "ipc/wire/agent_message.h"

struct call;
struct calls;

/* r: the answer, or NULL, and then `why`.  The call may be made again from here. */
typedef void call_ended(struct call *c, const struct etcd_reply *r, const char *why);

struct call {
	struct calls *of;
	call_ended *ended;
	void *arg;
	const char *path; /* NULL: it is not on its way */
	char *body;
	bool once;             /* it must not be sent again if it may have arrived */
	bool unordered;        /* its header's revision is no linearizable one */
	bool parked;           /* it waits for a token */
	bool again;            /* its token had ended once already */
	bool fresh;            /* it was sent over a connection of its own */
	bool wrong;            /* another cluster answered */
	uint32_t login_number; /* which token it came with */
	uint32_t first;        /* endpoint */
	uint32_t tried;        /* endpoints */
	uint64_t floor;        /* highest revision known when it was sent */
	uint64_t asked_ms;
	char why[200]; /* of the last failure */
};

/* What all of them share. */
struct calls {
	struct http *http;
	char *endpoint[AGENT_MESSAGE_ENDPOINTS];
	uint32_t endpoint_count;
	uint32_t current;
	uint64_t cluster; /* 0: not known yet */
	uint64_t highest; /* revision seen */
	bool doubtful;    /* an answer was behind what is known; is it etcd, or the connection? */
	bool distrusted;  /* the answer looked at now is not to be believed */
	enum agent_state state;
	bool told; /* the state, as it is */
	char why[200];
	char *user; /* NULL: none */
	char *password;
	char *token; /* NULL: to be asked for */
	struct call login;
	uint32_t login_number;
	struct call *parked[AGENT_REQUESTS_MAX + 8];
	uint32_t parked_count;
};

/* Make `body` (NULL: no memory) the question of `c`, which is not on its way, and send it. */
void call_start(struct call *c, const char *path, char *body, uint64_t now_ms);

#endif
