/* The data folder: made, locked, and its shape checked. */
#ifndef PAIL_FOLDER_H
#define PAIL_FOLDER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Take the folder `dir`, making it if it is missing, for `workers` workers (0: as many as it was
 * made for, or one for each CPU if it is new).  Its lock file names our pid.  *ret_fd holds the
 * lock. Returns 0, or negative errno with the reason in `why` (512 bytes): -EWOULDBLOCK another
 * node runs on it, -EINVAL it was made for another number of workers, -EBADMSG it is no data folder
 * of ours.
 */
int folder_take(const char *dir, uint32_t workers, int *ret_fd, uint32_t *ret_workers, char *why,
		size_t why_size);

/* Remove a folder made for --dev, and everything in it. */
int folder_remove(const char *dir);

#endif
