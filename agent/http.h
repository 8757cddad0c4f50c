/*
 * POSTs over HTTP/1.1, many at a time, over connections that are kept.  The only part that knows
 * libcurl, which sends a request again by itself when a connection that was kept is closed without
 * an answer.  The second may then be told "not done" because the first was: what changes something
 * has to be sent `once`.
 */
#ifndef PAIL_AGENT_HTTP_H
#define PAIL_AGENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct http;

struct http_options {
	const char *ca, *cert, *cert_key; /* files, or NULL */
	unsigned connect_ms;
	unsigned answer_ms; /* the whole of it, with connecting */
};

struct http_result {
	int status; /* of the whole answer; 0: there was none, see `why` */
	bool sent;  /* some of the body may have left this process */
	const char *body;
	size_t n;
	const char *why;
};

/*
 * The result is gone when it returns.  It may post again.  False: what came is not to be believed,
 * and its connection is closed: the next answer on it might be to another question as well.
 */
typedef bool http_ended(void *arg, const struct http_result *r);

struct http_how {
	const char *token; /* for the header Authorization, or NULL */
	bool once;
	bool fresh; /* over a connection of its own */
};

/* 0, or -ENOMEM.  The options' texts stay the caller's and must stay. */
int http_new(const struct http_options *o, struct http **ret);
/* Nobody is told of what is still on its way. */
void http_free(struct http **x);

/*
 * `body` is freed with free() by http.  -ENOMEM: it was not begun; nothing is called, the body is
 * freed.
 */
int http_post(struct http *h, const char *url, char *body, const struct http_how *how,
	      http_ended *ended, void *arg);

/* Wait until there is something to do or `fd` can be read, `ms` at most; then do it. */
void http_step(struct http *h, int fd, int ms);

#endif
