/* The data folder: made, locked, and its shape checked. */
#ifndef PAIL_DATADIR_H
#define PAIL_DATADIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Take the folder `dir`, making it if it is missing, for `workers` workers (0: as many as it was
 * made for, or one for each CPU if it is new).  Its lock file names our pid.  *ret_fd holds the
 * lock.  Returns 0, or negative errno with the reason in `why` (512 bytes): -EWOULDBLOCK another
 * node runs on it, -EINVAL it was made for another number of workers or is not ours, -EBADMSG it is
 * damaged.
 */
int datadir_take(const char *dir, uint32_t workers, int *ret_fd, uint32_t *ret_workers, char *why,
		 size_t why_size);

/*
 * May the folder `dir`, which is there, be a node's?  Only if it is this user's and nobody else may
 * write to it, if nobody else can put another in its place, and if it is empty or has been made by
 * us: what goes on in it is to be trusted.  0, or negative errno with the reason in `why` (512
 * bytes); -ENOENT: it is not there.
 */
int datadir_check(const char *dir, char *why, size_t why_size);

/* For how many workers datadir_take would take it, if it can be taken.  `dir` may be missing. */
uint32_t datadir_workers(const char *dir, uint32_t wanted);

/* It is not used after all, and no worker has been started: its shape is not fixed yet. */
void datadir_untake(const char *dir);

/* No worker has ever been started on it. */
bool datadir_is_new(const char *dir);

/*
 * May a socket be made at `path`?  0; -EEXIST: something else is there; -EADDRINUSE: somebody
 * listens on it; -ENAMETOOLONG.
 */
int datadir_socket(const char *path);

/* Remove a folder made for --dev, and everything in it. */
int datadir_remove(const char *dir);

#endif
