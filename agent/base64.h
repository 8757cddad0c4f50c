/* Base64 (RFC 4648), with padding, as etcd's gateway takes and gives keys and values. */
#ifndef PAIL_AGENT_BASE64_H
#define PAIL_AGENT_BASE64_H

#include <stddef.h>

#include "common/span.h"

/* The text of it, which the caller frees, or NULL without memory. */
char *base64_write(struct span s);

/* The bytes that the text is, which the caller frees, or NULL: it is none, or there is no memory. */
char *base64_read(const char *text, size_t n, size_t *ret_n);

#endif
