/*
 * HTTP for operators: figures for Prometheus, whether the node is well, and a page that shows it.
 * It answers GET and HEAD alone, asks the node what any client may see of it, and changes nothing.
 * Everything is bounded: heads, connections, and how long anybody may take.
 */
#ifndef PAIL_HTTP_H
#define PAIL_HTTP_H

#include <stddef.h>

#include "include/pail.h"

struct event_base;
struct http;

/* As server_new: `listen` is HOST:PORT, `admin` a connection to the node that stays the caller's. */
int http_new(const char *listen, struct event_base *base, struct pail *admin, struct http **ret,
	     char *bound, size_t size);
/* Before the loop sleeps. */
void http_step(struct http *h);
/* The node stops: it is not ready from now on, whatever it says. */
void http_stopping(struct http *h);
/* Before `admin` is closed. */
void http_free(struct http **h);

#endif
