/* What files need beside write and read. */
#ifndef PAIL_FILE_H
#define PAIL_FILE_H

/*
 * Have a folder's entries on disk: files made, renamed and removed in it.  0 or negative errno.
 * Without it a power cut may take a new file's name, see fsync(2).
 */
int file_sync_dir(const char *dir);

#endif
