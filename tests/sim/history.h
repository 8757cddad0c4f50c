/*
 * What was asked and what came of it: written down by clients, and by the workers that ran it, so
 * that promises can be checked from both sides.  A request's msgid is its place here.
 */
#ifndef PAIL_SIM_HISTORY_H
#define PAIL_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "include/wire.h"
#include "ipc/wire/reply.h"
#include "tests/sim/store.h"

#define HISTORY_MAX 8000u

struct sim_node;

enum ask_state { ASK_WAITS, ASK_ANSWERED, ASK_LOST };

struct ask {
	/* as it was sent */
	uint32_t client;
	uint32_t connection; /* of the client, counted */
	int method;
	bool if_absent;
	bool conditional; /* if_version */
	uint64_t if_version;
	char bucket[STORE_NAME];
	char key[STORE_NAME];
	uint32_t timeout_ms;
	uint64_t sent_us;
	struct sim_node *node; /* whom it was sent to */
	uint64_t incarnation;  /* and which life of it */
	/* what came back */
	enum ask_state state;
	uint64_t ended_us;
	enum wire_error code;
	char text[200];
	bool found;       /* get: there was one; delete, create, drop: true */
	uint64_t value;   /* get */
	uint64_t version; /* get, put; conflict: the version there is */
	/* as it was run */
	uint32_t ran; /* how often it was begun */
	uint64_t ran_us;
	struct sim_node *ran_at;
	uint32_t deaths; /* of workers, in it */
	bool poison;     /* whoever runs it dies, */
	bool opium;      /* or hangs */
	int32_t done;    /* changes of it that are in a log */
	uint64_t done_version;
};

void history_open(void);
/* A new one, or NULL: there is no more room; *ret_msgid is its msgid. */
struct ask *history_new(uint64_t *ret_msgid);
struct ask *history_of(uint64_t msgid);
uint32_t history_count(void);

/* A client has got a reply, or will get none any more. */
void history_reply(uint32_t client, const struct reply *r);
void history_lost(uint64_t msgid);

/*
 * A worker begins it; has logged its change; the record of that is lost.  A read that a successor
 * runs to know what its predecessor saw is `recovered`: no time is too late for it.
 */
void history_ran(uint64_t msgid, struct sim_node *at, bool recovered);
void history_done(uint64_t msgid, uint64_t version);
void history_undone(uint64_t msgid);

/* At the end: everything has an end, and there is an order in which it could have happened. */
void history_check(void);
/* linear.c: the same for one bucket of one node; false with the request that fits nowhere. */
bool linear_check(const struct ask *const *ask, uint32_t count, const struct ask **ret_bad);

const char *ask_text(const struct ask *a, char *out, size_t size);

#endif
