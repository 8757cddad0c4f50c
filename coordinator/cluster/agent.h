/*
 * pail-agent as the coordinator has it: a child that asks etcd (ipc/wire/agent_message.h says what, and
 * what its answers mean), started again when it ends.  Nothing here waits: requests have an answer
 * later, in agent_look, each exactly one.  When the child ends, all that had none are `unknown`.
 *
 * It does not live on over a re-exec of the coordinator: agent_free ends it before, and the new
 * program starts one of its own version.  What was on its way then is as unknown as after a kill.
 *
 * To make a cluster's keys, more than etcd takes in one go, so that nobody sees a part of them, two who
 * make it at the same time do not mix, and one that breaks off can be repeated from the start:
 *
 *	1. get config: if it is there, there is a cluster already, and that is all.
 *	2. get creating, and cas it from what it was to a value of one's own: its mod_revision is m.
 *	3. create, with the guards creating = m and config = 0, AGENT_MESSAGE_CREATES keys at a time:
 *	   whatever was left there by somebody is written over.  `unknown`: the same again.
 *	4. create, with the same guards, config alone: now there is a cluster.  `unknown`: get config,
 *	   and see by its id whose it is.
 *
 * Whoever does 2 anew has the guards of all others fail, so that only what he writes is there when he
 * comes to 4.  Until config is there nobody believes the other keys.
 */
#ifndef PAIL_COORDINATOR_AGENT_H
#define PAIL_COORDINATOR_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/wire/agent_message.h"

struct agent;

/* Texts are copied; NULL: not set. */
struct agent_settings {
	const char *program;   /* NULL: pail-agent beside this program or in ../libexec/pail */
	const char *prefix;    /* of all keys, with a slash at its end */
	const char *endpoints; /* with commas between, AGENT_MESSAGE_ENDPOINTS at most */
	const char *ca;
	const char *cert;
	const char *cert_key;
	const char *user;
	const char *password; /* the file */
	uint64_t cluster;     /* etcd's id, if known from an earlier life; else 0 */
	uint64_t floor;       /* the highest revision known */
};

/* Called from agent_look, and from agent_tick when the child is found dead; they may ask anew. */
struct agent_events {
	/*
	 * What a request is told: a value, outcome or unknown; items, one or more of them, the last
	 * without `more` (or unknown after some of them: then they were nothing).
	 */
	void (*answer)(void *arg, uint64_t tag, const struct agent_message *m);
	/* What agent_follow asked for, some four times a second, also if nothing has changed. */
	void (*changed)(void *arg, const struct agent_message *m);
	/* m->state is another one, m->text says why; m->cluster is to be kept for the next life. */
	void (*state)(void *arg, const struct agent_message *m);
	void *arg;
};

/*
 * -ENOENT: the program is not to be found; -EINVAL: no or too many endpoints, or what is set is too
 * long; -ENOMEM.  Nothing is started before the first agent_tick.
 */
int agent_new(const struct agent_settings *s, const struct agent_events *e, struct agent **ret);
/* Ends the child; nobody is told of what is on its way. */
void agent_free(struct agent **x);

/* Start it if that is due.  Returns when to come again. */
uint64_t agent_tick(struct agent *a, uint64_t now_ms);
/* What to wait for until it can be read, -1: nothing: then agent_look. */
int agent_fd(const struct agent *a);
int agent_pidfd(const struct agent *a);
void agent_look(struct agent *a, uint64_t now_ms);

/*
 * Each asks one thing; `tag` is the caller's, and comes back with the answer.  Keys and values stay
 * the caller's.  Returns 0, or for certain nothing was sent: -ENOTCONN (it does not run: after the
 * next state), -EAGAIN (AGENT_REQUESTS_MAX are on their way: after the next answer), -EMSGSIZE.
 */
int agent_get(struct agent *a, uint64_t tag, const char *key);
/* old: nothing: only the mod_revision is compared. */
int agent_cas(struct agent *a, uint64_t tag, const char *key, uint64_t compared, struct span old,
	      struct span value);
/* What was written after `since`; 0: all there is. */
int agent_list(struct agent *a, uint64_t tag, const char *prefix, uint64_t since);
/* Only id, kind and tag are put in: items, item_count, guards, guard_count as in agent_message.h. */
int agent_create(struct agent *a, uint64_t tag, const struct agent_message *m);

/*
 * These are kept, and said again to each child.  0 or -ENOMEM.  agent_follow goes on from the last
 * change that was told as a whole.
 */
int agent_live(struct agent *a, const char *key, struct span value);
int agent_follow(struct agent *a, const char *prefix, uint64_t since);
/* Others have seen that revision. */
void agent_floor(struct agent *a, uint64_t revision);

struct agent_status {
	pid_t pid; /* 0: not running */
	enum agent_state state;
	bool failed; /* it said that starting it again is no use: its settings are wrong */
	uint32_t restarts;
	uint32_t requests; /* on their way */
	uint64_t revision; /* the highest seen by anybody */
	uint64_t cluster;
	const char *text; /* why the state is so */
};

void agent_status(const struct agent *a, struct agent_status *ret);

#endif
