/* The head of an HTTP/1 request: all of it that the gateway looks at.  Bytes come from anybody. */
#ifndef PAIL_HTTP_HEAD_H
#define PAIL_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MOST 8192u /* bytes of a head, its empty line too */
#define HTTP_PATH_SIZE 64u

struct http_head {
	bool head_only;            /* HEAD */
	bool keep;                 /* the connection may have another request */
	bool openmetrics;          /* Accept names application/openmetrics-text before all else */
	uint64_t since;            /* the query's since=N, or 0 */
	char path[HTTP_PATH_SIZE]; /* without its query */
};

/*
 * Read a whole head (`n` bytes, its empty line too).  Returns 0, or the status to answer with,
 * behind which the connection is closed: 400, 405, 413 (it has a body), 414 or 505.
 */
int http_head_read(const char *data, size_t n, struct http_head *ret);

#endif
