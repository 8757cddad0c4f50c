/* The gateway's loop: text, HTTP, or both, until it is told to end. */
#ifndef PAIL_LOOP_H
#define PAIL_LOOP_H

#include "include/pail.h"

struct event_base;
struct http;
struct server;

/* What there is not is NULL. */
struct loop_parts {
	struct server *text;
	struct pail *node; /* text's */
	struct http *http;
	struct pail *admin; /* HTTP's */
};

/*
 * Serve until TERM or INT; then finish what is in flight, or end in 2 s.  USR1: the node stops; text
 * ends, and HTTP goes on and says so.  0, or -ENOMEM.
 */
int loop_run(struct event_base *base, const struct loop_parts *parts);

#endif
