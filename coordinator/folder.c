/* Making, locking and removing data folders. */
#include "coordinator/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

#define WORKERS_MAX 64u

/* mkdir -p */
static int folder_make(const char *dir)
{
	char path[1024];
	size_t n = strlen(dir);

	if (n >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, dir, n + 1);
	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0750) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (!c)
			return 0;
	}
}

static int lock_take(const char *dir, int *ret_fd, char *why, size_t why_size)
{
	char path[1100];
	char pid[32] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0) {
		(void)snprintf(why, why_size, "open \"%s\": %s", path, strerror(errno));
		return -errno;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

		(void)close(fd);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		(void)snprintf(
			why, why_size,
			"data folder \"%.200s\" is in use by another node, pid %s: stop it, or "
			"set node.data to another folder",
			dir, *pid ? pid : "unknown");
		return -EWOULDBLOCK;
	}
	(void)snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0) {
		(void)snprintf(why, why_size, "write \"%s\": %s", path, strerror(errno));
		(void)close(fd);
		return -EIO;
	}
	*ret_fd = fd;
	return 0;
}

/* The file `format` says for how many workers the folder was made. */
static int format_read(const char *dir, uint32_t *ret_workers, char *why, size_t why_size)
{
	char path[1100];
	FILE *f;
	uint32_t version;
	int n;

	(void)snprintf(path, sizeof(path), "%s/format", dir);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "pail %" SCNu32 "\nworkers %" SCNu32 "\n", &version, ret_workers);
	(void)fclose(f);
	if (n != 2 || version != 1 || !*ret_workers || *ret_workers > WORKERS_MAX) {
		(void)snprintf(why, why_size, "\"%s\" is damaged, or of a later version of Pail",
			       path);
		return -EBADMSG;
	}
	return 0;
}

static int format_write(const char *dir, uint32_t workers, char *why, size_t why_size)
{
	char path[1100];
	char temp[1110];
	FILE *f;
	int ok;

	(void)snprintf(path, sizeof(path), "%s/format", dir);
	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	f = fopen(temp, "we");
	ok = f && fprintf(f, "pail 1\nworkers %" PRIu32 "\n", workers) > 0 && fflush(f) == 0 &&
	     fsync(fileno(f)) == 0;
	if (f && fclose(f) != 0)
		ok = 0;
	if (ok && rename(temp, path) == 0 && file_sync_dir(dir) == 0)
		return 0;
	(void)snprintf(why, why_size, "write \"%s\": %s", path, strerror(errno));
	return errno ? -errno : -EIO;
}

static int format_settle(const char *dir, uint32_t workers, uint32_t *ret, char *why,
			 size_t why_size)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t have = 0;
	int r = format_read(dir, &have, why, why_size);

	if (r == -ENOENT) {
		*ret = workers    ? workers
		       : cpus > 0 ? (uint32_t)(cpus < (long)WORKERS_MAX ? cpus : (long)WORKERS_MAX)
				  : 1;
		return format_write(dir, *ret, why, why_size);
	}
	if (r < 0)
		return r;
	if (workers && workers != have) {
		(void)snprintf(
			why, why_size,
			"data folder \"%.200s\" was made for %u workers, node.workers says %u: "
			"the number is fixed when the folder is made",
			dir, have, workers);
		return -EINVAL;
	}
	*ret = have;
	return 0;
}

int folder_take(const char *dir, uint32_t workers, int *ret_fd, uint32_t *ret_workers, char *why,
		size_t why_size)
{
	int r = folder_make(dir);

	why[0] = '\0';
	if (r < 0) {
		(void)snprintf(why, why_size, "make data folder \"%.200s\": %s", dir, strerror(-r));
		return r;
	}
	r = lock_take(dir, ret_fd, why, why_size);
	if (r < 0)
		return r;
	r = format_settle(dir, workers, ret_workers, why, why_size);
	if (r < 0) {
		(void)close(*ret_fd);
		*ret_fd = -1;
	}
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int folder_remove(const char *dir)
{
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 ? -errno : 0;
}
