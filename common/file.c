/* Files that nobody has bent, and syncing folders. */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int file_sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

static int judge(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return -ELOOP;
	if (!S_ISREG(st->st_mode))
		return -EMEDIUMTYPE;
	return st->st_nlink > 1 ? -EMLINK : 0;
}

int file_open(const char *path, int flags, mode_t mode)
{
	struct stat st;
	int fd;
	int r;

	/* Not to wait for the other end of a pipe; plain files do not mind. */
	fd = open(path, (flags & ~O_TRUNC) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
	if (fd < 0)
		return -errno;
	r = fstat(fd, &st) < 0 ? -errno : judge(&st);
	if (r == 0 && (flags & O_TRUNC) && ftruncate(fd, 0) < 0)
		r = -errno;
	if (r == 0)
		return fd;
	(void)close(fd);
	return r;
}

int file_check(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? -errno : judge(&st);
}

int file_check_folder(const char *dir, char *why, size_t why_size)
{
	struct stat st;
	int r = lstat(dir, &st) < 0 ? -errno : 0;

	if (r < 0) {
		(void)snprintf(why, why_size, "look at folder \"%.150s\": %s", dir, strerror(-r));
		return r;
	}
	if (S_ISLNK(st.st_mode)) {
		(void)snprintf(why, why_size,
			       "\"%.150s\" is a symbolic link: put the folder itself there", dir);
		return -ELOOP;
	}
	if (!S_ISDIR(st.st_mode)) {
		(void)snprintf(why, why_size, "\"%.150s\" is no folder", dir);
		return -ENOTDIR;
	}
	if (st.st_uid != geteuid()) {
		(void)snprintf(why, why_size,
			       "folder \"%.150s\" belongs to user %u, this is user %u: chown it",
			       dir, (unsigned)st.st_uid, (unsigned)geteuid());
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		(void)snprintf(why, why_size,
			       "others may write to folder \"%.150s\" (mode %04o): chmod go-w it",
			       dir, (unsigned)(st.st_mode & 07777));
		return -EACCES;
	}
	return 0;
}

const char *file_reason(int error)
{
	switch (error) {
	case -ELOOP:
		return "it is a symbolic link, which is not followed: remove it";
	case -EMLINK:
		return "it has another name too (a hard link), so it is not written to";
	case -EMEDIUMTYPE:
		return "it is no plain file";
	default:
		return strerror(-error);
	}
}
