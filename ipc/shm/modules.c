/* Packing modules into a sealed memfd, and reading one that somebody else has made. */
#include "ipc/shm/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/hash.h"

#define MODULES_MAGIC   0x31736c75646f6d70u /* "pmoduls1" */
#define MODULES_VERSION 1u
#define SEALS           (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

_Static_assert(sizeof(struct modules_header) == 136 && sizeof(struct modules_entry) == 64 &&
		       MODULES_VERSION == 1,
	       "layout of shared memory");

static uint64_t digest(const struct modules_source *source, uint32_t count)
{
	uint64_t h = hash64(MODULES_VERSION, &count, sizeof(count));

	for (uint32_t i = 0; i < count; i++) {
		h = hash64(h, source[i].name, strlen(source[i].name));
		h = hash64(h, source[i].text.p, source[i].text.n);
	}
	return h;
}

/* Everything into `p`, which is zeros. */
static void fill(char *p, const struct modules_header *h, const struct modules_source *source,
		 struct span list)
{
	struct modules_entry *entry = (void *)(p + sizeof(*h));
	uint32_t at = (uint32_t)(sizeof(*h) + h->count * sizeof(*entry));

	memcpy(p, h, sizeof(*h));
	for (uint32_t i = 0; i < h->count; i++) {
		memcpy(entry[i].name, source[i].name, sizeof(entry[i].name));
		entry[i].text_at = at;
		entry[i].text_size = (uint32_t)source[i].text.n;
		if (source[i].text.n)
			memcpy(p + at, source[i].text.p, source[i].text.n);
		at += entry[i].text_size;
	}
	check(at == h->list_at);
	if (list.n)
		memcpy(p + at, list.p, list.n);
}

static int memfd_fill(int fd, const struct modules_header *h, const struct modules_source *source,
		      struct span list)
{
	char *p;

	if (ftruncate(fd, (off_t)h->size) < 0)
		return -errno;
	p = mmap(NULL, h->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	fill(p, h, source, list);
	(void)munmap(p, h->size);
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int modules_make(const struct modules_limits *limits, uint64_t generation,
		 const struct modules_source *source, uint32_t count, struct span list,
		 struct modules **ret)
{
	struct modules_header h = {
		.magic = MODULES_MAGIC,
		.version = MODULES_VERSION,
		.count = count,
		.generation = generation,
		.digest = digest(source, count),
		.limits = *limits,
		.list_size = (uint32_t)list.n,
	};
	uint64_t texts = 0;
	int fd;
	int r;

	for (uint32_t i = 0; i < count; i++)
		texts += source[i].text.n;
	if (count > MODULES_MAX || texts > MODULES_BYTES_MAX || list.n > MODULES_LIST_MAX)
		return -E2BIG;
	h.list_at = (uint32_t)(sizeof(h) + count * sizeof(struct modules_entry) + texts);
	h.size = h.list_at + list.n;
	fd = memfd_create("pail-functions", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = memfd_fill(fd, &h, source, list);
	if (r == 0)
		r = modules_attach(fd, ret);
	if (r < 0)
		(void)close(fd);
	return r;
}

static bool lies_within(const struct modules_header *h, uint32_t at, uint32_t size)
{
	return at <= h->size && size <= h->size - at;
}

/* Whether all that it names lies in it: its maker is another process. */
static int judge(const struct modules_header *h, uint64_t size)
{
	const struct modules_entry *entry = (const void *)(h + 1);

	if (size < sizeof(*h) || h->magic != MODULES_MAGIC)
		return -EBADMSG;
	if (h->version != MODULES_VERSION)
		return -EPROTO;
	if (h->size != size || h->count > MODULES_MAX ||
	    size - sizeof(*h) < h->count * sizeof(*entry) ||
	    !lies_within(h, h->list_at, h->list_size) ||
	    !memchr(h->limits.node, 0, sizeof(h->limits.node)))
		return -EBADMSG;
	for (uint32_t i = 0; i < h->count; i++)
		if (!memchr(entry[i].name, 0, sizeof(entry[i].name)) ||
		    !lies_within(h, entry[i].text_at, entry[i].text_size))
			return -EBADMSG;
	return 0;
}

int modules_attach(int fd, struct modules **ret)
{
	struct stat st;
	struct modules *m;
	void *p;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(struct modules_header) ||
	    (fcntl(fd, F_GET_SEALS) & SEALS) != SEALS)
		return -EBADMSG;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = judge(p, (uint64_t)st.st_size);
	m = r == 0 ? malloc(sizeof(*m)) : NULL;
	if (!m) {
		(void)munmap(p, (size_t)st.st_size);
		return r < 0 ? r : -ENOMEM;
	}
	*m = (struct modules){fd, p};
	*ret = m;
	return 0;
}

void modules_free(struct modules **mp)
{
	struct modules *m = *mp;

	if (!m)
		return;
	*mp = NULL;
	(void)munmap((void *)(uintptr_t)m->header, m->header->size);
	(void)close(m->fd);
	free(m);
}

struct modules_source modules_get(const struct modules *m, uint32_t i)
{
	const struct modules_entry *e = (const struct modules_entry *)(m->header + 1) + i;
	struct modules_source s;

	check(i < m->header->count);
	memcpy(s.name, e->name, sizeof(s.name));
	s.text = (struct span){(const char *)m->header + e->text_at, e->text_size};
	return s;
}

void modules_digest(const struct modules *m, char out[MODULES_DIGEST_LEN + 1])
{
	(void)snprintf(out, MODULES_DIGEST_LEN + 1, "%016llx",
		       (unsigned long long)m->header->digest);
}

/* ---- the list ---- */

char *modules_list_write(char *p, struct span module, struct span function)
{
	check(module.n < MODULES_NAME_SIZE && function.n <= UINT16_MAX);
	*p++ = (char)module.n;
	*p++ = (char)(function.n & 0xff);
	*p++ = (char)(function.n >> 8);
	memcpy(p, module.p, module.n);
	memcpy(p + module.n, function.p, function.n);
	return p + module.n + function.n;
}

bool modules_list_next(struct span *list, struct span *ret_module, struct span *ret_function)
{
	const unsigned char *p = (const unsigned char *)list->p;
	size_t module;
	size_t function;

	if (list->n < MODULES_LIST_HEAD)
		return false;
	module = p[0];
	function = p[1] | (size_t)p[2] << 8;
	if (list->n - MODULES_LIST_HEAD < module + function)
		return false;
	*ret_module = (struct span){list->p + MODULES_LIST_HEAD, module};
	*ret_function = (struct span){list->p + MODULES_LIST_HEAD + module, function};
	list->p += MODULES_LIST_HEAD + module + function;
	list->n -= MODULES_LIST_HEAD + module + function;
	return true;
}

struct span modules_list(const struct modules *m)
{
	return (struct span){(const char *)m->header + m->header->list_at, m->header->list_size};
}
