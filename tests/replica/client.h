/*
 * Clients: each sends a few requests in one message, which run in that order, waits for all of them
 * until its time is over, and goes on.  What did not run is sent again, to whom is said to serve;
 * reads also when nobody answers; writes never.
 */
#ifndef PAIL_TESTS_REPLICA_CLIENT_H
#define PAIL_TESTS_REPLICA_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/replica/history.h"

enum ask { ASK_GET, ASK_PUT, ASK_PUT_IF, ASK_GET_PAIR, ASK_PUT_PAIR };

struct request {
	uint64_t id; /* of this sending of it */
	uint32_t client, partition;
	uint32_t key; /* of a pair: KEY_FIRST */
	enum ask ask;
	uint32_t value[2];
	uint64_t version; /* PUT_IF: the one that it must have */
	uint64_t ttl_us;  /* 0: none */
	uint64_t due;     /* of the world's time */
};

static inline bool ask_writes(enum ask a)
{
	return a == ASK_PUT || a == ASK_PUT_IF || a == ASK_PUT_PAIR;
}

enum reply_kind {
	REPLY_DONE,      /* version[0]: of the (first) value written */
	REPLY_FOUND,     /* value, version */
	REPLY_CONFLICT,  /* value[0], version[0]: what is there */
	REPLY_REFUSED,   /* it has not run */
	REPLY_TOO_FEW,   /* it has not run */
	REPLY_ELSEWHERE, /* it has not run; node: who may serve, 0: not known */
	REPLY_TIMEOUT    /* nobody knows */
};

struct reply {
	uint64_t id;
	uint32_t client;
	enum reply_kind kind;
	uint32_t node; /* who answers; or see ELSEWHERE */
	uint32_t zero;
	uint32_t value[2];
	uint64_t version[2];
};

/* Requests that go together. */
#define BATCH_MAX 4u
struct batch {
	uint32_t count;
	struct request request[BATCH_MAX];
};

/* So many clients, from `at` on. */
void clients_begin(uint32_t count, uint64_t at);
/* They send nothing new; what they wait for is unknown. */
void clients_end(void);
/* At the end: each partition must answer a get and a put, to a client of its own. */
void clients_last(void);
/* Does one of those still wait? */
bool clients_wait(void);
void client_reply(void *who, uint64_t a, void *bytes);
/* Answered in the run since `since`: writes, reads. */
void clients_answered(uint64_t since, uint64_t until, uint32_t *ret_writes, uint32_t *ret_reads);

#endif
