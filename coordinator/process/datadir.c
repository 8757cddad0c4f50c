/* Making, locking and removing data folders. */
#include "coordinator/process/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/partition.h"

#define WORKERS_MAX    64u
#define FORMAT_VERSION 2u
#define FORMAT_MAX     160u /* bytes of the file; one more is no format */
/* A node that was killed may just have forked: what it has forked holds the lock until it is another
 * program. */
#define LOCK_WAIT_MS  500u
#define LOCK_PAUSE_US 5000u

/* What may lie in a folder that is not ours yet: what a start that was cut short leaves, and what
 * mkfs puts there. */
static const char *const harmless[] = {".", "..", "lock", "format.new", "admin.sock", "lost+found"};

/* Where the path's last part begins. */
static size_t last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash + 1 - path) : 0;
}

/* mkdir -p of everything above the last part. */
static int parents_make(const char *dir)
{
	char path[1024];
	size_t n = strlen(dir);

	if (n >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(path, dir, n + 1);
	for (char *p = path + 1; *path && (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		if (mkdir(path, 0750) < 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

/*
 * Nobody else may put another folder in this one's place: the folder above it is ours or root's,
 * and others may not write to it, or only to what is theirs.
 */
static int parent_check(const char *dir, char *why, size_t why_size)
{
	char path[1024];
	struct stat st;
	size_t n = last_part(dir);

	while (n > 1 && dir[n - 1] == '/')
		n--;
	(void)snprintf(path, sizeof(path), "%.*s", n ? (int)n : 1, n ? dir : ".");
	if (stat(path, &st) < 0) {
		(void)snprintf(why, why_size, "look at folder \"%.150s\": %s", path,
			       strerror(errno));
		return -errno;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		(void)snprintf(
			why, why_size,
			"data folder \"%.150s\" lies in a folder of user %u: set node.data to "
			"one in a folder of root's, or of this user's (%u)",
			dir, (unsigned)st.st_uid, (unsigned)geteuid());
		return -EPERM;
	}
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
		(void)snprintf(
			why, why_size,
			"data folder \"%.150s\" lies in one that everybody may write to (mode "
			"%04o): chmod o-w \"%.150s\"",
			dir, (unsigned)(st.st_mode & 07777), path);
		return -EACCES;
	}
	return 0;
}

static bool is_harmless(const char *name)
{
	for (unsigned i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (!strcmp(name, harmless[i]))
			return true;
	return false;
}

/* It has our file `format`, or nothing that is anybody's. */
static int contents_check(const char *dir, char *why, size_t why_size)
{
	char path[1100];
	struct stat st;
	struct dirent *e;
	DIR *d;
	int r = 0;

	(void)snprintf(path, sizeof(path), "%.1000s/format", dir);
	if (lstat(path, &st) == 0)
		return 0;
	d = opendir(dir);
	if (!d) {
		(void)snprintf(why, why_size, "read data folder \"%.200s\": %s", dir,
			       strerror(errno));
		return -errno;
	}
	while (r == 0 && (e = readdir(d)))
		if (!is_harmless(e->d_name)) {
			(void)snprintf(
				why, why_size,
				"data folder \"%.150s\" is neither empty nor one of Pail's: "
				"there is \"%.100s\" in it; set node.data to a folder of its "
				"own",
				dir, e->d_name);
			r = -EINVAL;
		}
	(void)closedir(d);
	return r;
}

int datadir_check(const char *dir, char *why, size_t why_size)
{
	char real[PATH_MAX];
	int r;

	/* A link to it is as good as the folder that the link lies in. */
	if (!realpath(dir, real)) {
		(void)snprintf(why, why_size, "look at data folder \"%.200s\": %s", dir,
			       strerror(errno));
		return -errno;
	}
	r = parent_check(dir, why, why_size);
	if (r == 0)
		r = parent_check(real, why, why_size);
	if (r == 0)
		r = file_check_folder(real, why, why_size);
	return r < 0 ? r : contents_check(real, why, why_size);
}

static int datadir_make(const char *dir, char *why, size_t why_size)
{
	int r = parents_make(dir);

	if (r == 0) {
		r = parent_check(dir, why, why_size);
		if (r < 0)
			return r;
	}
	if (r == 0 && mkdir(dir, 0750) < 0 && errno != EEXIST)
		r = -errno;
	if (r < 0) {
		(void)snprintf(why, why_size, "make data folder \"%.200s\": %s", dir, strerror(-r));
		return r;
	}
	return datadir_check(dir, why, why_size);
}

static bool lock_wait(int fd)
{
	uint64_t until = clock_ms() + LOCK_WAIT_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_ms() >= until)
			return false;
		(void)usleep(LOCK_PAUSE_US);
	}
	return true;
}

static int lock_take(const char *dir, int *ret_fd, char *why, size_t why_size)
{
	char path[1100];
	char pid[32] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "%s/lock", dir);
	fd = file_open(path, O_RDWR | O_CREAT, 0640);
	if (fd < 0) {
		(void)snprintf(why, why_size, "open \"%.300s\": %s", path, file_reason(fd));
		return fd;
	}
	if (!lock_wait(fd)) {
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

/* ---- its shape ---- */

/*
 * The text of the file `format`.  The check is of what stands above it: a number that is changed by
 * hand does not make the data another's.
 */
static int format_text(const struct datadir_shape *x, char *text, size_t size)
{
	int n = snprintf(text, size,
			 "pail %u\nworkers %" PRIu32 "\npartitions %" PRIu32 "\nstore %s\n",
			 FORMAT_VERSION, x->workers, x->partitions, x->store);

	return n + snprintf(text + n, size - (size_t)n, "check %08" PRIx32 "\n",
			    crc32c(0, text, (size_t)n));
}

/* 0; -EINVAL: of an older version; -ENOTSUP: of a later one; -EBADMSG: damaged. */
static int format_parse(const char *text, size_t size, struct datadir_shape *ret)
{
	char whole[FORMAT_MAX];
	uint32_t version;

	if (sscanf(text, "pail %9" SCNu32 "\n", &version) != 1)
		return -EBADMSG;
	if (version != FORMAT_VERSION)
		return version > FORMAT_VERSION ? -ENOTSUP : version ? -EINVAL : -EBADMSG;
	if (sscanf(text, "pail %*u\nworkers %9" SCNu32 "\npartitions %9" SCNu32 "\nstore %32s\n",
		   &ret->workers, &ret->partitions, ret->store) != 3)
		return -EBADMSG;
	/* To the byte what we would have written. */
	if ((size_t)format_text(ret, whole, sizeof(whole)) != size ||
	    memcmp(whole, text, size) != 0)
		return -EBADMSG;
	if (!ret->workers || ret->workers > WORKERS_MAX || ret->partitions < ret->workers ||
	    ret->partitions > PARTITIONS_MAX || (ret->partitions & (ret->partitions - 1)))
		return -EBADMSG;
	return 0;
}

static void format_explain(int r, const char *dir, char *why, size_t why_size)
{
	if (r == -EINVAL)
		(void)snprintf(
			why, why_size,
			"data folder \"%.150s\" was made by an older version of Pail, this one "
			"cannot read its data. To bring it over: start the program of before on "
			"it, `pail export >FILE`, stop it; then set node.data to a new folder, "
			"start this one, `pail import FILE`",
			dir);
	else if (r == -ENOTSUP)
		(void)snprintf(why, why_size,
			       "data folder \"%.150s\" was made by a later version of Pail: start "
			       "that one on it",
			       dir);
	else
		(void)snprintf(why, why_size,
			       "\"%.200s/format\" is damaged: take the file, or the folder, from "
			       "a backup",
			       dir);
}

int datadir_shape(const char *dir, struct datadir_shape *ret, char *why, size_t why_size)
{
	char path[1100];
	char text[FORMAT_MAX];
	ssize_t n;
	int fd;
	int r;

	memset(ret, 0, sizeof(*ret));
	(void)snprintf(path, sizeof(path), "%.1000s/format", dir);
	fd = file_open(path, O_RDONLY, 0);
	if (fd < 0) {
		(void)snprintf(why, why_size, "open \"%.300s\": %s", path, file_reason(fd));
		return fd;
	}
	n = read(fd, text, sizeof(text) - 1);
	r = n < 0 ? -errno : 0;
	(void)close(fd);
	if (r < 0) {
		(void)snprintf(why, why_size, "read \"%.300s\": %s", path, strerror(-r));
		return r;
	}
	text[n] = '\0';
	r = format_parse(text, (size_t)n, ret);
	if (r < 0)
		format_explain(r, dir, why, why_size);
	return r == -ENOTSUP ? -EBADMSG : r;
}

void datadir_explain(const char *dir, const char *key, uint32_t have, uint64_t wanted, char *why,
		     size_t why_size)
{
	const char *what = strchr(key, '.') + 1;
	int letters = (int)strlen(what) - (have == 1); /* of what is one */

	(void)snprintf(why, why_size,
		       "data folder \"%.150s\" was made for %" PRIu32 " %.*s, %s says %" PRIu64
		       ": the number is fixed when the folder is made. To bring its data over: "
		       "start on it with %" PRIu32 ", `pail export >FILE`, stop; then set "
		       "node.data to a new folder, start with %" PRIu64 ", `pail import FILE`",
		       dir, have, letters, what, key, wanted, have, wanted);
}

static int store_name(char *out)
{
	uint8_t id[DATADIR_STORE_BYTES];

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return errno ? -errno : -EIO;
	for (unsigned i = 0; i < sizeof(id); i++)
		(void)snprintf(out + 2 * (size_t)i, 3, "%02x", id[i]);
	return 0;
}

static int format_write(const char *dir, struct datadir_shape *shape, char *why, size_t why_size)
{
	char path[1100];
	char temp[1110];
	char text[FORMAT_MAX];
	int n;
	int fd;
	int r = store_name(shape->store);

	if (r < 0) {
		(void)snprintf(why, why_size, "draw a random id for data folder \"%.200s\": %s",
			       dir, strerror(-r));
		return r;
	}
	n = format_text(shape, text, sizeof(text));
	(void)snprintf(path, sizeof(path), "%s/format", dir);
	(void)snprintf(temp, sizeof(temp), "%s.new", path);
	fd = file_open(temp, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	if (fd < 0) {
		(void)snprintf(why, why_size, "write \"%.300s\": %s", temp, file_reason(fd));
		return fd;
	}
	errno = EIO; /* should it be a short write */
	r = fchmod(fd, 0640) < 0 || write(fd, text, (size_t)n) != n || fsync(fd) < 0 ? -errno : 0;
	(void)close(fd);
	if (r == 0 && rename(temp, path) < 0)
		r = -errno;
	if (r == 0)
		r = file_sync_dir(dir);
	if (r < 0)
		(void)snprintf(why, why_size, "write \"%.300s\": %s", path, strerror(-r));
	return r;
}

/* As many as asked for, or one for each CPU. */
static uint32_t workers_wanted(uint32_t wanted)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted)
		return wanted;
	return cpus < 1 ? 1 : cpus < (long)WORKERS_MAX ? (uint32_t)cpus : WORKERS_MAX;
}

uint32_t datadir_workers(const char *dir, uint32_t wanted)
{
	struct datadir_shape have;
	char why[512];

	return datadir_shape(dir, &have, why, sizeof(why)) == 0 ? have.workers
								: workers_wanted(wanted);
}

bool datadir_is_new(const char *dir)
{
	char path[1100];

	(void)snprintf(path, sizeof(path), "%s/worker-0", dir);
	return access(path, F_OK) < 0;
}

static int format_settle(const char *dir, struct datadir_shape *shape, char *why, size_t why_size)
{
	struct datadir_shape have;
	int r = datadir_shape(dir, &have, why, why_size);

	if (r == -ENOENT) {
		shape->workers = workers_wanted(shape->workers);
		if (!shape->partitions)
			shape->partitions = PARTITIONS_DEFAULT;
		if (shape->partitions < shape->workers) {
			(void)snprintf(why, why_size,
				       "%" PRIu32 " partitions are too few for %" PRIu32
				       " workers: set storage.partitions higher",
				       shape->partitions, shape->workers);
			return -EINVAL;
		}
		return format_write(dir, shape, why, why_size);
	}
	if (r < 0)
		return r;
	if (shape->workers && shape->workers != have.workers) {
		datadir_explain(dir, "node.workers", have.workers, shape->workers, why, why_size);
		return -EINVAL;
	}
	if (shape->partitions && shape->partitions != have.partitions) {
		datadir_explain(dir, "storage.partitions", have.partitions, shape->partitions, why,
				why_size);
		return -EINVAL;
	}
	*shape = have;
	return 0;
}

int datadir_take(const char *dir, struct datadir_shape *shape, int *ret_fd, char *why,
		 size_t why_size)
{
	int r = datadir_make(dir, why, why_size);

	if (r < 0)
		return r;
	r = lock_take(dir, ret_fd, why, why_size);
	if (r < 0)
		return r;
	r = format_settle(dir, shape, why, why_size);
	if (r < 0) {
		(void)close(*ret_fd);
		*ret_fd = -1;
	}
	return r;
}

void datadir_untake(const char *dir)
{
	char path[1100];

	(void)snprintf(path, sizeof(path), "%.1000s/format", dir);
	(void)unlink(path);
}

int datadir_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;
	int r;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	if (lstat(path, &st) < 0)
		return 0; /* what else is wrong with it shows when it is made */
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 || errno == EAGAIN ? -EADDRINUSE : 0;
	(void)close(fd);
	return r;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int datadir_remove(const char *dir)
{
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 ? -errno : 0;
}
