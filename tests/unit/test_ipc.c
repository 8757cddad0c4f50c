/* Segment, rings, control socket: what two processes share. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ipc/shm/control.h"
#include "ipc/shm/segment.h"
#include "tests/unit/lib/unit.h"

static struct segment *segment_make(uint64_t ring)
{
	struct settings s = {.worker = 1, .workers = 2};
	struct segment *g = NULL;

	EQ(0, segment_create(&s, &(struct segment_room){ring, ring, 0, 0}, &g));
	return g;
}

static void a_segment_is_mapped_again(void)
{
	struct segment *a = segment_make(65536);
	struct segment *b = NULL;
	char *p;

	EQ(0, segment_attach(dup(a->fd), &b));
	EQ(2, b->header->settings.workers);
	TRUE_(a->header->generation == b->header->generation && a->header->generation);
	p = ring_reserve(&a->request, 10);
	memcpy(p, "0123456789", 10);
	ring_commit(&a->request, 10);
	EQ(0, ring_head(&b->request));
	ring_publish(&a->request, a->request.write);
	EQ(16, ring_head(&b->request));
	EQ(0, memcmp(ring_at(&b->request, 0), "0123456789", 10));
	segment_free(&a);
	segment_free(&b);
}

static void what_is_no_segment_is_refused(void)
{
	struct segment *s = NULL;
	struct segment *a = segment_make(65536);
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	EQ(0, ftruncate(fd, 1 << 20));
	EQ(-EBADMSG, segment_attach(fd, &s)); /* not sealed */
	TRUE_(!s);
	fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	EQ(0, ftruncate(fd, 1 << 20));
	EQ(0, fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	EQ(-EBADMSG, segment_attach(fd, &s)); /* no magic */
	a->header->version++;
	EQ(-EPROTO, segment_attach(dup(a->fd), &s));
	a->header->version--;
	a->header->ring_size[1] = 3 * 4096;
	EQ(-EBADMSG, segment_attach(dup(a->fd), &s));
	a->header->ring_size[1] = 65536;
	a->header->leases = 1 << 20; /* more than there is room for */
	EQ(-EBADMSG, segment_attach(dup(a->fd), &s));
	a->header->leases = 0;
	EQ(0, segment_attach(dup(a->fd), &s));
	segment_free(&s);
	segment_free(&a);
}

/* A worker of the layout before this one runs while its node is upgraded, or the other way. */
static void a_segment_of_the_layout_before_is_refused(void)
{
	struct segment *s = NULL;
	struct segment *a = segment_make(65536);

	a->header->version = (SEGMENT_LAYOUT - 1) << 8 | WIRE_METHOD_COUNT;
	EQ(-EPROTO, segment_attach(dup(a->fd), &s));
	TRUE_(!s);
	segment_free(&a);
}

/* Rings and leases of a node whose partitions have copies: nothing overlaps. */
static void a_segment_has_room_for_copies(void)
{
	const struct settings settings = {.workers = 1, .partitions = 300, .replicated = 1};
	const struct segment_room room = {65536, 32768, 131072, 300};
	struct segment *a = NULL;
	struct segment *b = NULL;

	EQ(0, segment_create(&settings, &room, &a));
	EQ(131072, a->arrive.size);
	EQ(131072, a->ship.size);
	memset(a->request.data, 1, a->request.size);
	memset(a->immediate.data, 2, a->immediate.size);
	memset(a->durable.data, 3, a->durable.size);
	memset(a->arrive.data, 4, a->arrive.size);
	memset(a->ship.data, 5, a->ship.size);
	for (uint32_t i = 0; i < 300; i++)
		lease_write(&a->lease[i], &(struct lease){i + 1, i, 2 * i});
	EQ(0, segment_attach(dup(a->fd), &b));
	EQ(1, b->header->settings.replicated);
	for (uint32_t i = 0; i < 300; i++) {
		struct lease l = lease_read(&b->lease[i]);

		EQ(i + 1, l.epoch);
		EQ(i, l.boot_until_us);
		EQ(2 * i, l.raw_until_us);
	}
	for (uint64_t i = 0; i < 32768; i += 4096) {
		EQ(1, b->request.data[i]);
		EQ(2, b->immediate.data[i]);
		EQ(3, b->durable.data[i]);
		EQ(4, b->arrive.data[i]);
		EQ(5, b->ship.data[i]);
	}
	EQ(4, b->arrive.data[131071]);
	EQ(5, b->ship.data[131071]);
	segment_free(&a);
	segment_free(&b);
}

/* Whoever has no copies elsewhere pays two pages. */
static void a_segment_without_copies_is_small(void)
{
	struct segment *a = segment_make(65536);

	EQ(SEGMENT_PAGE, a->arrive.size);
	EQ(SEGMENT_PAGE, a->ship.size);
	TRUE_(!a->lease);
	TRUE_(a->header->size <= 3 * 65536 + 5 * SEGMENT_PAGE);
	segment_free(&a);
}

#define LEASES_WRITTEN 2000000u

static void *lease_writer(void *arg)
{
	struct lease_word *w = arg;

	for (uint64_t n = 1; n <= LEASES_WRITTEN; n++)
		lease_write(w, &(struct lease){(uint32_t)n, 3 * n, 7 * n});
	return NULL;
}

static void a_lease_is_seen_whole_or_not_at_all(void)
{
	static struct lease_word w;
	uint32_t last = 0;
	uint64_t seen = 0;
	pthread_t t;

	EQ(0, pthread_create(&t, NULL, lease_writer, &w));
	while (last < LEASES_WRITTEN) {
		struct lease l = lease_read(&w);

		if (!l.epoch)
			continue;
		if (l.boot_until_us != 3ull * l.epoch || l.raw_until_us != 7ull * l.epoch ||
		    l.epoch < last)
			break;
		last = l.epoch;
		seen++;
	}
	EQ(LEASES_WRITTEN, last);
	TRUE_(seen > 0);
	EQ(0, pthread_join(t, NULL));
}

/* Its writer was stopped midway. */
static void a_lease_that_is_being_written_is_none(void)
{
	struct lease_word w = {0};

	EQ(0, lease_read(&w).epoch);
	lease_write(&w, &(struct lease){5, 50, 60});
	EQ(5, lease_read(&w).epoch);
	atomic_fetch_add(&w.turn, 1);
	EQ(0, lease_read(&w).epoch);
	EQ(0, lease_read(&w).boot_until_us);
	lease_write(&w, &(struct lease){6, 51, 61});
	EQ(6, lease_read(&w).epoch);
	EQ(61, lease_read(&w).raw_until_us);
}

static void a_segment_cannot_shrink(void)
{
	struct segment *a = segment_make(65536);

	EQ(-1, ftruncate(a->fd, 4096));
	EQ(EPERM, errno);
	segment_free(&a);
}

static void a_full_ring_says_so(void)
{
	struct segment *a = segment_make(65536);
	struct ring *r = &a->request;

	EQ(65536, ring_space(r));
	TRUE_(ring_reserve(r, 65536));
	TRUE_(!ring_reserve(r, 65537));
	ring_commit(r, 65528);
	TRUE_(ring_reserve(r, 8));
	TRUE_(!ring_reserve(r, 9));
	ring_publish(r, r->write);
	ring_free(r, 65528);
	TRUE_(ring_reserve(r, 65536));
	segment_free(&a);
}

static void a_record_across_the_end_is_contiguous(void)
{
	struct segment *a = segment_make(65536);
	struct ring *r = &a->immediate;
	char *p;

	ring_commit(r, 65000);
	ring_publish(r, r->write);
	ring_free(r, r->write);
	p = ring_reserve(r, 2000);
	for (int i = 0; i < 2000; i++)
		p[i] = (char)i;
	p = ring_at(r, 65000);
	for (int i = 0; i < 2000; i++)
		EQ((char)i, p[i]);
	EQ((char)1999, r->data[65000 + 1999 - 65536]);
	segment_free(&a);
}

#define PASSED 300000u

static void *ring_reader(void *arg)
{
	struct ring *r = arg;
	uint64_t at = 0;
	uint32_t want = 0;

	while (want < PASSED) {
		uint64_t head = ring_head(r);

		if (head == at)
			(void)sched_yield();
		while (at < head) {
			const uint32_t *p = ring_at(r, at);

			for (uint32_t i = 0; i < p[0]; i++)
				if (p[1 + i] != want)
					return (void *)1;
			at += ring_round(4 * (1 + (uint64_t)p[0]));
			want++;
		}
		ring_free(r, at);
	}
	return NULL;
}

static void records_pass_between_threads(void)
{
	struct segment *a = segment_make(65536);
	struct ring *r = &a->immediate;
	uint64_t s = unit_seed();
	pthread_t t;
	void *bad;

	EQ(0, pthread_create(&t, NULL, ring_reader, r));
	for (uint32_t n = 0; n < PASSED; n++) {
		uint32_t words = (uint32_t)(unit_random(&s) % 60);
		uint32_t *p;

		while (!(p = ring_reserve(r, 4 * (1 + (uint64_t)words))))
			(void)sched_yield();
		p[0] = words;
		for (uint32_t i = 0; i < words; i++)
			p[1 + i] = n;
		ring_commit(r, 4 * (1 + (uint64_t)words));
		ring_publish(r, r->write);
	}
	EQ(0, pthread_join(t, &bad));
	TRUE_(!bad);
	segment_free(&a);
}

static struct segment *naps;
static int nap_fd[2];

/* A reader that sleeps by the protocol of worker_status.h; a lost wake-up would hang the test. */
static void *napping_reader(void *arg)
{
	uint64_t at = 0;
	char c;

	(void)arg;
	while (at < 8 * 20000) {
		sleep_begin(&naps->status->worker_sleeps);
		if (ring_head(&naps->immediate) == at)
			(void)!read(nap_fd[0], &c, 1);
		sleep_end(&naps->status->worker_sleeps);
		at = ring_head(&naps->immediate);
		ring_free(&naps->immediate, at);
	}
	return NULL;
}

static void no_wake_up_is_lost(void)
{
	pthread_t t;

	naps = segment_make(65536);
	EQ(0, pipe(nap_fd));
	EQ(0, pthread_create(&t, NULL, napping_reader, NULL));
	for (int i = 0; i < 20000; i++) {
		while (!ring_reserve(&naps->immediate, 8))
			(void)sched_yield();
		ring_commit(&naps->immediate, 8);
		ring_publish(&naps->immediate, naps->immediate.write);
		if (sleep_must_wake(&naps->status->worker_sleeps))
			EQ(1, write(nap_fd[1], "x", 1));
	}
	/* The last one may have been seen before its byte was read. */
	EQ(1, write(nap_fd[1], "x", 1));
	EQ(0, pthread_join(t, NULL));
	(void)close(nap_fd[0]);
	(void)close(nap_fd[1]);
	segment_free(&naps);
}

static void control_messages_arrive_and_end(void)
{
	int fd[2];

	EQ(0, control_pair(fd));
	EQ(0, control_receive(fd[1]));
	EQ(0, control_send(fd[0], CONTROL_STOP));
	EQ(CONTROL_STOP, control_receive(fd[1]));
	EQ(1, write(fd[0], "x", 1));
	EQ(-EBADMSG, control_receive(fd[1]));
	(void)close(fd[0]);
	EQ(-EPIPE, control_receive(fd[1]));
	EQ(-EPIPE, control_send(fd[1], CONTROL_READY));
	(void)close(fd[1]);
}

UNIT_MAIN(T(a_segment_is_mapped_again), T(what_is_no_segment_is_refused),
	  T(a_segment_of_the_layout_before_is_refused), T(a_segment_has_room_for_copies),
	  T(a_segment_without_copies_is_small), T(a_lease_is_seen_whole_or_not_at_all),
	  T(a_lease_that_is_being_written_is_none), T(a_segment_cannot_shrink),
	  T(a_full_ring_says_so), T(a_record_across_the_end_is_contiguous),
	  T(records_pass_between_threads), T(no_wake_up_is_lost),
	  T(control_messages_arrive_and_end))
