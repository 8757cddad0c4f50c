/*
 * What a worker keeps, as a model: a log in memory of which a part is on disk, and the buckets that
 * it says.  It outlives the processes that use it; what was not on disk when one dies may be gone.
 */
#ifndef PAIL_SIM_STORE_H
#define PAIL_SIM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "tests/sim/entry.h"

#define STORE_BUCKETS 48u
#define STORE_KEYS    8u
#define STORE_NAME    16u
#define STORE_REPLY   512u /* bytes of a reply of the model */
#define STORE_LOG_MAX 8000u

struct ask;

struct store_key_model {
	char name[STORE_NAME];
	bool there;
	uint64_t value;
	uint64_t version;
	uint64_t lsn; /* of its last change */
};

struct store_bucket {
	char name[STORE_NAME];
	bool there;
	uint64_t lsn; /* of its last making or dropping */
	uint64_t changed_lsn;
	struct store_key_model key[STORE_KEYS];
	uint32_t keys;
};

/* One record of the log. */
struct store_record {
	uint64_t generation; /* of the segment that its request was in */
	uint64_t identity;   /* of the request */
	uint64_t msgid;
	int method; /* -1: an outcome, whose reply it keeps */
	char bucket[STORE_NAME];
	char key[STORE_NAME];
	uint64_t value;
	uint64_t version;
	uint32_t reply_size;
	char reply[STORE_REPLY];
};

struct sim_store {
	struct process *owner;     /* who has its lock */
	uint64_t crashes_until_us; /* whoever is started before then dies soon */
	const struct ask *died_in; /* what the last one to die was running, */
	uint32_t died_times;       /* and how many in a row did in that */
	struct store_record *log;
	uint64_t lsn;       /* records */
	uint64_t submitted; /* of them, handed to the sync: the others die with their process */
	uint64_t synced;    /* of them, on disk */
	bool syncing;
	uint64_t sync_least_us, sync_most_us;
	struct store_bucket bucket[STORE_BUCKETS];
	uint32_t buckets;
	uint64_t sequence[256]; /* by partition */
};

struct sim_store *store_new(void);

/* What a request did: its reply, and what has to be on disk before that may be told. */
struct store_answer {
	char reply[STORE_REPLY];
	uint32_t size;
	uint64_t observed; /* lsn */
	bool changed;      /* a record was logged */
};

/* Run a request that was read; who asked is (generation, identity). */
void store_run(struct sim_store *s, const struct asked *a, uint64_t generation, uint64_t identity,
	       struct store_answer *ret);
/* Log a refusal that has to wait, with its reply. */
void store_outcome_log(struct sim_store *s, const struct asked *a, uint64_t generation,
		       uint64_t identity, const struct store_answer *answer);

/* A process has died, or a machine: the log ends somewhere behind what is on disk. */
void store_lose(struct sim_store *s);
/* Begin to read the log from its start, and apply record `lsn` of it. */
void store_replay_begin(struct sim_store *s);
void store_replay(struct sim_store *s, uint64_t lsn);
/* The reply that a record stands for. */
uint32_t store_record_reply(const struct store_record *r, char *out);

#endif
