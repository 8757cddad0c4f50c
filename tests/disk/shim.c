/*
 * A disk that tests can break, for any build: preloaded into a node it applies to the files under the folder
 * $DISK_DIR.  The file $DISK_STATE holds a struct disk, which the test writes to whenever the disk shall
 * hang, be slow, or be full.
 *
 * With $DISK_UNDO, a folder, it also keeps there what a loss of power takes back: for each file, named
 * by its inode, what lay where it was written to since its last sync (struct undo and the bytes).  disk.py
 * puts any part of that back when all processes are dead.  Names of files are not taken back: tests/power does
 * that, to a store alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct disk {
	int32_t hung;    /* a sync does not come back while this is not 0 */
	int32_t full;    /* no file grows, and nothing is free */
	int32_t slow_us; /* a sync takes so much longer */
	int32_t unused;
};

struct undo {
	uint64_t
		kind; /* 'W': the next `old` bytes lay there; 'S': whatever is before `offset` of this journal is synced */
	uint64_t offset;
	uint64_t n;      /* bytes written */
	uint64_t old;    /* of them, those that the file had before */
	uint64_t synced; /* by the write itself */
};

static const volatile struct disk none;
static const volatile struct disk *disk = &none;
static const char *undo_dir;
static char folder[1024];
static size_t folder_len;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

#define NEXT(name) __typeof__(&name) name##_next = (__typeof__(&name))next(#name)

__attribute__((constructor)) static void look(void)
{
	const char *dir = getenv("DISK_DIR");
	const char *path = getenv("DISK_STATE");
	int fd = dir && path ? (int)syscall(SYS_open, path, O_RDONLY | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	(void)snprintf(folder, sizeof(folder), "%s/", dir);
	folder_len = strlen(folder);
	p = mmap(NULL, sizeof(*disk), PROT_READ, MAP_SHARED, fd, 0);
	(void)syscall(SYS_close, fd);
	if (p == MAP_FAILED)
		abort();
	disk = p;
	undo_dir = getenv("DISK_UNDO");
}

/* Is it a file of the node's? */
static int ours(int fd)
{
	char link[64];
	char path[1024];
	ssize_t n;

	if (!folder_len)
		return 0;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > (ssize_t)folder_len && !memcmp(path, folder, folder_len);
}

static int journal(int fd)
{
	char path[1100];
	struct stat st;

	if (fstat(fd, &st) < 0)
		abort();
	(void)snprintf(path, sizeof(path), "%s/%llu", undo_dir, (unsigned long long)st.st_ino);
	return (int)syscall(SYS_open, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void append(int to, const struct undo *u, const void *old)
{
	const struct iovec v[2] = {
		{(void *)(uintptr_t)u,   sizeof(*u)},
                {(void *)(uintptr_t)old, u->old    }
        };

	if (to < 0 || syscall(SYS_writev, to, v, 2) != (long)(sizeof(*u) + u->old))
		abort();
	(void)syscall(SYS_close, to);
}

/* Before n bytes are written at `offset`; the lock is held. */
static void keep(int fd, size_t n, off_t offset)
{
	struct undo u = {'W', (uint64_t)offset, n, 0, 0};
	struct stat st;
	char *old;
	int back;
	ssize_t r;

	if (!undo_dir || n == 0)
		return;
	u.synced = fcntl(fd, F_GETFL) & O_DSYNC ? 1 : 0;
	old = malloc(n);
	if (!old || fstat(fd, &st) < 0)
		abort();
	if (offset < st.st_size) {
		char self[64];

		/* It may be open for writing only. */
		(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		back = (int)syscall(SYS_open, self, O_RDONLY | O_CLOEXEC);
		r = back < 0 ? -1 : pread(back, old, n, offset);
		if (r < 0)
			abort();
		(void)syscall(SYS_close, back);
		u.old = (uint64_t)r;
	}
	append(journal(fd), &u, old);
	free(old);
}

/* Does it make the file larger? */
static int grows(int fd, off_t end)
{
	struct stat st;

	return fstat(fd, &st) == 0 && end > st.st_size;
}

static int refused(int fd, off_t end)
{
	return disk->full && ours(fd) && grows(fd, end);
}

static void wait_for_disk(int fd)
{
	if (!ours(fd))
		return;
	if (disk->slow_us)
		(void)usleep((useconds_t)disk->slow_us);
	while (disk->hung)
		(void)usleep(2000);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
	NEXT(pwrite);
	ssize_t r;

	if (refused(fd, offset + (off_t)n)) {
		errno = ENOSPC;
		return -1;
	}
	if (!ours(fd))
		return pwrite_next(fd, data, n, offset);
	if (fcntl(fd, F_GETFL) & O_DSYNC)
		wait_for_disk(fd);
	(void)pthread_mutex_lock(&lock);
	keep(fd, n, offset);
	r = pwrite_next(fd, data, n, offset);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	NEXT(writev);
	off_t at;
	size_t n = 0;
	ssize_t r;

	if (!ours(fd))
		return writev_next(fd, v, count);
	for (int i = 0; i < count; i++)
		n += v[i].iov_len;
	at = lseek(fd, 0, SEEK_CUR);
	if (refused(fd, at + (off_t)n)) {
		errno = ENOSPC;
		return -1;
	}
	(void)pthread_mutex_lock(&lock);
	keep(fd, n, at);
	r = writev_next(fd, v, count);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

ssize_t write(int fd, const void *data, size_t n)
{
	NEXT(write);
	off_t at;
	ssize_t r;

	if (!ours(fd))
		return write_next(fd, data, n);
	at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
	if (at < 0) /* a socket or a pipe in the folder */
		return write_next(fd, data, n);
	if (refused(fd, at + (off_t)n)) {
		errno = ENOSPC;
		return -1;
	}
	(void)pthread_mutex_lock(&lock);
	keep(fd, n, at);
	r = write_next(fd, data, n);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static int sync_with(int fd, int (*f)(int))
{
	struct undo u = {'S', 0, 0, 0, 0};
	struct stat st;
	int to;
	int r;

	if (!ours(fd))
		return f(fd);
	wait_for_disk(fd);
	if (!undo_dir || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return f(fd);
	(void)pthread_mutex_lock(&lock);
	to = journal(fd);
	if (to < 0 || fstat(to, &st) < 0)
		abort();
	u.offset = (uint64_t)st.st_size;
	(void)pthread_mutex_unlock(&lock);
	r = f(fd);
	if (r == 0)
		append(to, &u, "");
	else
		(void)syscall(SYS_close, to);
	return r;
}

int fdatasync(int fd)
{
	NEXT(fdatasync);

	return sync_with(fd, fdatasync_next);
}

int fsync(int fd)
{
	NEXT(fsync);

	return sync_with(fd, fsync_next);
}

int posix_fallocate(int fd, off_t offset, off_t n)
{
	NEXT(posix_fallocate);

	return refused(fd, offset + n) ? ENOSPC : posix_fallocate_next(fd, offset, n);
}

int ftruncate(int fd, off_t size)
{
	NEXT(ftruncate);

	if (refused(fd, size)) {
		errno = ENOSPC;
		return -1;
	}
	return ftruncate_next(fd, size);
}

int statvfs(const char *path, struct statvfs *v)
{
	NEXT(statvfs);
	int r = statvfs_next(path, v);

	if (r == 0 && disk->full && folder_len && !strncmp(path, folder, folder_len - 1))
		v->f_bfree = v->f_bavail = 0;
	return r;
}

/* A file that is gone takes its journal along: its inode may be given to another. */
int unlink(const char *path)
{
	NEXT(unlink);
	char name[1100];
	struct stat st;

	if (undo_dir && folder_len && !strncmp(path, folder, folder_len) && lstat(path, &st) == 0 &&
	    st.st_nlink == 1) {
		(void)snprintf(name, sizeof(name), "%s/%llu", undo_dir,
			       (unsigned long long)st.st_ino);
		(void)unlink_next(name);
	}
	return unlink_next(path);
}
