/* The data folder: made, locked, and its shape checked. */
#ifndef PAIL_DATADIR_H
#define PAIL_DATADIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATADIR_STORE_BYTES 16u /* of a store's id */

/* What is fixed when a folder is made: its file `format` says it. */
struct datadir_shape {
	uint32_t workers;
	uint32_t partitions;
	char store[2 * DATADIR_STORE_BYTES + 1]; /* random, hexadecimal: no other folder has it */
};

/*
 * Take the folder `dir`, making it if it is missing.  Before: *shape has the numbers that it must
 * be of (0: as many as it was made for, or of a new one a worker for each CPU and
 * PARTITIONS_DEFAULT).  After: what it is.  Its lock file names our pid, and *ret_fd holds the
 * lock.  Returns 0, or negative errno with the reason in `why` (512 bytes): -EWOULDBLOCK another
 * node runs on it and has not let go within half a second, -EINVAL it was made for other numbers or by an older version, or is not ours,
 * -EBADMSG it is damaged, or by a later version.
 */
int datadir_take(const char *dir, struct datadir_shape *shape, int *ret_fd, char *why,
		 size_t why_size);

/*
 * What the folder is, without taking it.  0, -ENOENT (it is not there, or nobody's yet), or as
 * datadir_take, with the reason in `why` (512 bytes).
 */
int datadir_shape(const char *dir, struct datadir_shape *ret, char *why, size_t why_size);

/* A number of its shape, of the setting `key`, cannot become `wanted`: a sentence that says why. */
void datadir_explain(const char *dir, const char *key, uint32_t have, uint64_t wanted, char *why,
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
