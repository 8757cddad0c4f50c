/*
 * Preloaded into a program, it writes down in order what is done to the files under $POWER_DIR:
 * creations, writes, syncs, renames, removals, into the file $POWER_TRACE.  From that, replay.py
 * makes the disk as a power cut at any moment could have left it.  Writes to the file "acks" there
 * are notes of the program itself.
 *
 * An event: struct event, then `path` bytes of a name relative to the folder, then `data` bytes.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct event {
	char kind[4]; /* C create, W write, Y write that is synced, S sync, D sync of the folder,
			 R rename, U unlink, T truncate */
	uint32_t path;
	uint64_t ino;
	uint64_t offset; /* of a write; the new size of a truncate */
	uint64_t data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[1024];
static size_t folder_len;
static int trace = -1;

static void *next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);

	if (!p)
		abort();
	return p;
}

#define NEXT(name) __typeof__(&name) name##_next = (__typeof__(&name))next(#name)

__attribute__((constructor)) static void begin(void)
{
	const char *dir = getenv("POWER_DIR");
	const char *path = getenv("POWER_TRACE");

	if (!dir || !path)
		return;
	(void)snprintf(folder, sizeof(folder), "%s/", dir);
	folder_len = strlen(folder);
	trace = (int)syscall(SYS_open, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (trace < 0)
		abort();
}

/* The name behind the folder, NULL: it is not in there. */
static const char *inside(const char *path)
{
	return trace >= 0 && !strncmp(path, folder, folder_len) ? path + folder_len : NULL;
}

/* The same for a descriptor; `buf` has 1024 bytes.  The folder itself is "". */
static const char *inside_fd(int fd, char *buf)
{
	char link[64];
	ssize_t n;

	if (trace < 0)
		return NULL;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, buf, 1023);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	if ((size_t)n == folder_len - 1 && !strncmp(buf, folder, (size_t)n))
		return "";
	return inside(buf);
}

static uint64_t ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void note(char kind, const char *path, uint64_t ino, uint64_t offset, const void *data,
		 size_t n)
{
	struct event e = {
		{kind, 0, 0, 0},
                (uint32_t)strlen(path), ino, offset, n
        };

	const struct iovec v[3] = {
		{&e,		      sizeof(e)},
                {(void *)(uintptr_t)path, e.path   },
                {(void *)(uintptr_t)data, n        }
        };

	/* At once: the program may be killed. */
	if (syscall(SYS_writev, trace, v, 3) != (long)(sizeof(e) + e.path + n))
		abort();
}

/* Does writing to this descriptor sync what is written? */
static char write_kind(int fd)
{
	return fcntl(fd, F_GETFL) & O_DSYNC ? 'Y' : 'W';
}

int open(const char *path, int flags, ...)
{
	NEXT(open);
	const char *name = inside(path);
	struct stat st;
	va_list ap;
	mode_t mode = 0;
	int new;
	int fd;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (!name)
		return open_next(path, flags, mode);
	(void)pthread_mutex_lock(&lock);
	new = flags &O_CREAT &&stat(path, &st) < 0;
	fd = open_next(path, flags, mode);
	if (fd >= 0 && new)
		note('C', name, ino_of(fd), 0, "", 0);
	else if (fd >= 0 && flags & O_TRUNC)
		note('T', name, ino_of(fd), 0, "", 0);
	(void)pthread_mutex_unlock(&lock);
	return fd;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
	NEXT(pwrite);
	char buf[1024];
	const char *name = inside_fd(fd, buf);
	ssize_t r;

	if (!name)
		return pwrite_next(fd, data, n, offset);
	(void)pthread_mutex_lock(&lock);
	r = pwrite_next(fd, data, n, offset);
	if (r > 0)
		note(write_kind(fd), name, ino_of(fd), (uint64_t)offset, data, (size_t)r);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
	NEXT(writev);
	char buf[1024];
	const char *name = inside_fd(fd, buf);
	off_t at = name ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t r;
	ssize_t left;

	if (!name)
		return writev_next(fd, v, count);
	(void)pthread_mutex_lock(&lock);
	r = left = writev_next(fd, v, count);
	for (int i = 0; i < count && left > 0; i++) {
		size_t n = v[i].iov_len < (size_t)left ? v[i].iov_len : (size_t)left;

		note(write_kind(fd), name, ino_of(fd), (uint64_t)at, v[i].iov_base, n);
		at += (off_t)n;
		left -= (ssize_t)n;
	}
	(void)pthread_mutex_unlock(&lock);
	return r;
}

ssize_t write(int fd, const void *data, size_t n)
{
	NEXT(write);
	char buf[1024];
	const char *name = inside_fd(fd, buf);
	off_t at = name ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t r;

	if (!name)
		return write_next(fd, data, n);
	(void)pthread_mutex_lock(&lock);
	r = write_next(fd, data, n);
	if (r > 0)
		note(write_kind(fd), name, ino_of(fd), (uint64_t)at, data, (size_t)r);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

static int sync_with(int fd, int (*f)(int))
{
	char buf[1024];
	const char *name = inside_fd(fd, buf);
	int r;

	if (!name)
		return f(fd);
	(void)pthread_mutex_lock(&lock);
	r = f(fd);
	if (r == 0)
		note(*name ? 'S' : 'D', name, ino_of(fd), 0, "", 0);
	(void)pthread_mutex_unlock(&lock);
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

int ftruncate(int fd, off_t size)
{
	NEXT(ftruncate);
	char buf[1024];
	const char *name = inside_fd(fd, buf);
	int r;

	(void)pthread_mutex_lock(&lock);
	r = ftruncate_next(fd, size);
	if (r == 0 && name)
		note('T', name, ino_of(fd), (uint64_t)size, "", 0);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

int rename(const char *from, const char *to)
{
	NEXT(rename);
	const char *name = inside(from);
	const char *other = inside(to);
	int r;

	(void)pthread_mutex_lock(&lock);
	r = rename_next(from, to);
	if (r == 0 && name && other)
		note('R', name, 0, 0, other, strlen(other));
	(void)pthread_mutex_unlock(&lock);
	return r;
}

int unlink(const char *path)
{
	NEXT(unlink);
	const char *name = inside(path);
	int r;

	(void)pthread_mutex_lock(&lock);
	r = unlink_next(path);
	if (r == 0 && name)
		note('U', name, 0, 0, "", 0);
	(void)pthread_mutex_unlock(&lock);
	return r;
}

/* Not while another thread has done something and not written it down: the next life would find it. */
int kill(pid_t pid, int sig)
{
	NEXT(kill);

	if (sig == SIGKILL)
		(void)pthread_mutex_lock(&lock);
	return kill_next(pid, sig);
}
