/* What files need beside write and read. */
#ifndef PAIL_FILE_H
#define PAIL_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Have a folder's entries on disk: files made, renamed and removed in it.  0 or negative errno.
 * Without it a power cut may take a new file's name, see fsync(2).
 */
int file_sync_dir(const char *dir);

/*
 * Open a file of ours, as open(2) does and closed on exec, but never one that somebody has put
 * there to have another file written: not through a symbolic link (-ELOOP), not one that has other
 * names too (-EMLINK), nothing but a plain file (-EMEDIUMTYPE).  O_TRUNC takes effect after these
 * checks. Returns the descriptor or negative errno.
 */
int file_open(const char *path, int flags, mode_t mode);

/*
 * The same checks without opening it, for what a library opens by itself: 0, -ENOENT, or as above.
 * It holds for as long as nobody else may write to the folder: file_check_folder.
 */
int file_check(const char *path);

/*
 * Whether a folder is ours alone to write to: no symbolic link, this user's, and neither its group
 * nor others may write.  0, -ENOENT, or negative errno, and `why` says what is wrong and what to
 * do.
 */
int file_check_folder(const char *dir, char *why, size_t why_size);

/* An error of the functions above as text: strerror's, or what it means here. */
const char *file_reason(int error);

#endif
