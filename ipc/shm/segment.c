/* Creating, sealing and mapping a worker's segment. */
#include "ipc/shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mirror.h"

#define PAGE  SEGMENT_PAGE
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static uint64_t pages(uint64_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

static uint64_t head_bytes(void)
{
	return pages(pages(sizeof(struct segment_header)) + sizeof(struct worker_status));
}

static uint64_t lease_bytes(uint32_t leases)
{
	return pages((uint64_t)leases * sizeof(struct lease_word));
}

static struct ring *ring_of(struct segment *s, enum segment_ring which)
{
	struct ring *const all[SEGMENT_RINGS] = {&s->request, &s->immediate, &s->durable,
						 &s->arrive, &s->ship};

	return all[which];
}

void segment_free(struct segment **sp)
{
	struct segment *s = *sp;

	if (!s)
		return;
	for (int i = 0; i < SEGMENT_RINGS; i++)
		mirror_unmap(ring_of(s, (enum segment_ring)i)->data,
			     ring_of(s, (enum segment_ring)i)->size);
	if (s->lease)
		(void)munmap(s->lease, lease_bytes(s->header->leases));
	if (s->header)
		(void)munmap(s->header, head_bytes());
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s);
	*sp = NULL;
}

static int map_head(struct segment *s)
{
	void *p = mmap(NULL, head_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	s->header = p;
	s->status = (struct worker_status *)((char *)p + pages(sizeof(struct segment_header)));
	return 0;
}

static int map_leases(struct segment *s)
{
	const struct segment_header *h = s->header;
	void *p;

	if (!h->leases)
		return 0;
	p = mmap(NULL, lease_bytes(h->leases), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
		 (off_t)h->lease_offset);
	if (p == MAP_FAILED)
		return -errno;
	s->lease = p;
	return 0;
}

static int map_ring(struct segment *s, enum segment_ring which, struct ring *r)
{
	struct segment_header *h = s->header;
	void *data;
	int e = mirror_map(s->fd, (off_t)h->ring_offset[which], h->ring_size[which], &data);

	if (e < 0)
		return e;
	ring_attach(r, &h->ring[which], data, h->ring_size[which]);
	return 0;
}

static int map_rings(struct segment *s)
{
	int r = map_leases(s);

	for (int i = 0; i < SEGMENT_RINGS && r == 0; i++)
		r = map_ring(s, (enum segment_ring)i, ring_of(s, (enum segment_ring)i));
	return r;
}

static int fill_header(struct segment *s, const struct settings *settings,
		       const uint64_t size[SEGMENT_RINGS], uint32_t leases)
{
	struct segment_header *h = s->header;
	uint64_t at = head_bytes();

	h->magic = SEGMENT_MAGIC;
	h->version = SEGMENT_VERSION;
	h->status_offset = (uint32_t)pages(sizeof(*h));
	h->settings = *settings;
	h->lease_offset = (uint32_t)at;
	h->leases = leases;
	at += lease_bytes(leases);
	for (int i = 0; i < SEGMENT_RINGS; i++) {
		h->ring_offset[i] = at;
		h->ring_size[i] = size[i];
		at += size[i];
	}
	h->size = at;
	if (getrandom(&h->generation, sizeof(h->generation), 0) != sizeof(h->generation))
		return -errno;
	h->generation |= 1; /* never 0, which means "no request" in a log */
	return 0;
}

int segment_create(const struct settings *settings, const struct segment_room *room,
		   struct segment **ret)
{
	const uint64_t copies = room->copies ? room->copies : PAGE;
	const uint64_t size[SEGMENT_RINGS] = {room->request, room->reply, room->reply, copies,
					      copies};
	uint64_t total = head_bytes() + lease_bytes(room->leases);
	struct segment *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	for (int i = 0; i < SEGMENT_RINGS; i++)
		total += size[i];
	s->fd = memfd_create("pail-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0) {
		r = -errno;
		goto fail;
	}
	r = -posix_fallocate(s->fd, 0, (off_t)total);
	if (r < 0)
		goto fail;
	if (fcntl(s->fd, F_ADD_SEALS, SEALS) < 0) {
		r = -errno;
		goto fail;
	}
	r = map_head(s);
	if (r == 0)
		r = fill_header(s, settings, size, room->leases);
	if (r == 0)
		r = map_rings(s);
	if (r < 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	segment_free(&s);
	return r;
}

/* What the header claims must fit the file before any of it is mapped. */
static int judge(const struct segment *s, uint64_t file_size)
{
	const struct segment_header *h = s->header;
	uint64_t at = head_bytes();

	if (h->magic != SEGMENT_MAGIC)
		return -EBADMSG;
	if (h->version != SEGMENT_VERSION || h->status_offset != pages(sizeof(*h)))
		return -EPROTO;
	if (h->size != file_size || h->lease_offset != at ||
	    lease_bytes(h->leases) > file_size - at)
		return -EBADMSG;
	at += lease_bytes(h->leases);
	for (int i = 0; i < SEGMENT_RINGS; i++) {
		uint64_t n = h->ring_size[i];

		if (h->ring_offset[i] != at || !n || n & (n - 1) || n % PAGE || n > file_size - at)
			return -EBADMSG;
		at += n;
	}
	return 0;
}

int segment_attach(int fd, struct segment **ret)
{
	struct segment *s = calloc(1, sizeof(*s));
	struct stat st;
	int seals;
	int r;

	if (!s)
		return -ENOMEM;
	s->fd = fd;
	if (fstat(fd, &st) < 0) {
		r = -errno;
		goto fail;
	}
	seals = fcntl(fd, F_GET_SEALS);
	r = -EBADMSG;
	if (seals < 0 || (seals & SEALS) != SEALS || (uint64_t)st.st_size < head_bytes())
		goto fail;
	r = map_head(s);
	if (r == 0)
		r = judge(s, (uint64_t)st.st_size);
	if (r == 0)
		r = map_rings(s);
	if (r < 0)
		goto fail;
	*ret = s;
	return 0;
fail:
	segment_free(&s);
	return r;
}
