/* The agent's state, which its files share. */
#ifndef PAIL_AGENT_AGENT_IMPL_H
#define PAIL_AGENT_AGENT_IMPL_H

#include "agent/call.h"
#include "common/buf.h"

/* A request of paild's that has no answer yet. */
struct asked {
	struct call call;
	struct agent *agent;
	enum agent_message_kind kind; /* GET, CAS, LIST or CREATE */
	bool used;
	bool raw; /* of a cas: it compares the bytes themselves as etcd has shown them */
	uint64_t id;
	uint64_t compared;
	char *key;
	size_t key_n;
	char *old; /* JSON, or NULL: only the mod_revision is compared */
	size_t old_n;
	char *value; /* JSON; of a create: of its last item */
	size_t value_n;
	uint32_t guard_count; /* of a create */
	uint64_t guard_revision[AGENT_MESSAGE_GUARDS];
	char *guard[AGENT_MESSAGE_GUARDS];
	size_t guard_n[AGENT_MESSAGE_GUARDS];
};

/* A key of its own that is there while it runs. */
struct live {
	struct call call;
	char *key; /* NULL: none */
	char *value;
	size_t value_n;
	bool written; /* under this lease */
	bool changed; /* since it was last written */
	uint64_t lease;
	uint64_t next_ms;
};

/* The prefix that is listed again and again. */
struct follow {
	struct call call;
	char *prefix; /* NULL: none */
	bool changed; /* since it was last asked */
	uint64_t since;
	uint64_t next_ms;
};

struct agent {
	int fd;
	bool begun;
	int exit; /* -1: goes on */
	struct calls calls;
	struct http_options http;
	struct asked asked[AGENT_REQUESTS_MAX];
	struct live live;
	struct follow follow;
	char packet[AGENT_MESSAGE_MAX + 1];
	char out[AGENT_MESSAGE_MAX];
};

/* ---- asked.c: what paild asks for ---- */

void asked_start(struct agent *a, const struct agent_message *m);
void asked_fini(struct asked *x);

/* ---- tell.c: what goes back ---- */

/* The state, if it is another one than was told. */
void state_tell(struct agent *a);
/* The state first, so that whoever is told knows it.  The pair's end ends the program: a->exit. */
void tell(struct agent *a, const struct agent_message *m);
void tell_unknown(struct agent *a, uint64_t id, const char *why);
/* All items of an answer, in as many messages as it takes. `m` says the rest. */
void tell_items(struct agent *a, struct agent_message *m, const struct etcd_reply *r);

/* ---- own.c: what it asks by itself ---- */

void live_set(struct agent *a, const struct agent_message *m);
void follow_set(struct agent *a, const struct agent_message *m);
/* Ask what is due; returns when to come again. */
uint64_t own_tick(struct agent *a, uint64_t now_ms);
void own_fini(struct agent *a);

#endif
