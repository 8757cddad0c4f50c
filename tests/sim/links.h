/* What is known of the links between nodes and of their tables, and which replies that excuses. */
#ifndef PAIL_SIM_LINKS_H
#define PAIL_SIM_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/history.h"
#include "tests/sim/node.h"

/* What the cluster suffers in a run. */
struct faults {
	bool cuts;
	bool delays;
	bool strains; /* slow workers, slow disks */
	bool kills;
	bool restarts;
	bool reloads;
};

void links_open(const struct faults *f);
/* Are there neither cuts nor delays in this run? */
bool links_are_quick(void);
/* Something is, or has been until now, wrong between two hosts; with a node. */
void links_trouble(uint32_t a, uint32_t b);
void links_trouble_node(const struct sim_node *n);

/* May a request run at that node, by its tables since it was sent? */
bool links_may_run(const struct ask *a, const struct sim_node *at);
/* Is it too late for it to run, with all that its nodes can know? */
bool links_too_late(const struct ask *a);
/* Is a reply excused that is not a result? */
void links_check_reply(const struct ask *a);
/* Is the link between a client and its node such that answers come in time? */
bool links_answer_due(const struct ask *a, uint32_t client_host);

#endif
