/* The screen of pail status: what it is made from, and what its parts share. */
#ifndef PAIL_CLI_STATUS_H
#define PAIL_CLI_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "include/pail.h"

#define SCREEN_COLUMNS 80u

struct screen {
	struct pail_value status;
	struct pail_value families; /* of `metrics`; none: the node has no such method */
	uint64_t now_ms;            /* by the wall clock of the node */
	struct buf out;
	unsigned wrong;
};

/* A map's value; what is not there is none, 0, or empty. */
struct pail_value screen_field(struct pail_value v, const char *name);
uint64_t screen_number(struct pail_value v, const char *name);
bool screen_is(struct pail_value v, const char *name, const char *text);
bool screen_is_empty(struct pail_value v, const char *name);
/* The samples of a family; none: there is no such. */
struct pail_value screen_family(const struct screen *s, const char *name);
/* The only sample of a family, or that of a worker; 0: there is none. */
uint64_t screen_sample(const struct screen *s, const char *name, const char *worker);

/* What is wrong, a sentence each; or that all is well. */
void screen_judge(struct screen *s);

#endif
