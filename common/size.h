/* Sizes as people write them: 64K, 8M. */
#ifndef PAIL_SIZE_H
#define PAIL_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A size such as 64K or 8M, or a plain number, into *ret.  False: it is none, or too large. */
bool size_parse(const char *text, uint64_t *ret);
/* And back, in the largest unit that divides it. */
void size_write(uint64_t n, char *out, size_t size);

#endif
