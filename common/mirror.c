/* Double mapping: reserve twice the size, then place the file over both halves. */
#include "common/mirror.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int mirror_map(int fd, off_t offset, size_t size, void **ret)
{
	char *base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	for (int i = 0; i < 2; i++) {
		void *at = mmap(base + (size_t)i * size, size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED, fd, offset);

		if (at == MAP_FAILED) {
			int r = -errno;

			(void)munmap(base, 2 * size);
			return r;
		}
	}
	*ret = base;
	return 0;
}

int mirror_new(size_t size, void **ret)
{
	int fd = memfd_create("pail-mirror", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = ftruncate(fd, (off_t)size) < 0 ? -errno : mirror_map(fd, 0, size, ret);
	(void)close(fd);
	return r;
}

void mirror_unmap(void *base, size_t size)
{
	if (base)
		(void)munmap(base, 2 * size);
}
