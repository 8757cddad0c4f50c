/* A right by itself, as text and sorted: what the reading of the file needs. */
#ifndef PAIL_RIGHTS_IMPL_H
#define PAIL_RIGHTS_IMPL_H

#include "coordinator/security/rights.h"

/*
 * Read one right.  Its bucket's bytes are written to `bytes`, which has room for token.n, and
 * ret->bucket points there.  NULL, or what is wrong, to be said behind the right itself.
 */
const char *grant_read(struct span token, char *bytes, struct grant *ret);

/* The order of a client's grants; 0: it is the same one.  For qsort(3). */
int grant_compare(const void *a, const void *b);

#endif
