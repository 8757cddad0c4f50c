/*
 * A power-of-two region of a memfd mapped twice in a row, so that what wraps around its end is
 * contiguous in memory.  Rings between processes and the log's staging buffer stand on it.
 */
#ifndef PAIL_MIRROR_H
#define PAIL_MIRROR_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Map `size` bytes (a multiple of the page size) of `fd` at `offset` twice in a row.  Sets *ret to
 * the first mapping; the region lies at *ret and again at *ret + size.  Returns 0 or negative
 * errno.
 */
int mirror_map(int fd, off_t offset, size_t size, void **ret);

/* The same over anonymous memory of its own. */
int mirror_new(size_t size, void **ret);

/* Undo either.  NULL is accepted. */
void mirror_unmap(void *base, size_t size);

#endif
