/* What passes between a worker and other nodes, by way of the queue: the test plays the worker. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/queue/queue.h"
#include "ipc/shm/records.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

#define RING_BYTES 65536u

static struct node node;
static struct queue queue;
static struct segment *worker; /* its mapping */

static uint32_t answered;
static uint64_t elsewhere[64]; /* msgids, as they came */
static uint64_t elsewhere_order;
static uint32_t elsewheres;
static uint64_t told; /* parcels */
static uint64_t told_bytes;
static uint32_t told_last;

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	(void)arg;
	(void)o;
	(void)index;
	(void)bytes;
	(void)n;
	(void)stays;
	answered += count;
}

static const char *over_none(void *arg, struct reply_to o)
{
	(void)arg;
	(void)o;
	return NULL;
}

static bool full_never(void *arg)
{
	(void)arg;
	return false;
}

static struct reply_sink sink = {.replies = replies, .over = over_none, .full = full_never};

static void on_elsewhere(void *arg, const struct request_record *rec, uint32_t i, uint64_t order)
{
	TRUE_(arg == &told);
	/* Whatever was pushed later has the higher one. */
	if (elsewheres)
		EQ(rec->entry[i].msgid > elsewhere[(elsewheres - 1) % 64], order > elsewhere_order);
	elsewhere_order = order;
	TRUE_(record_fits(rec, i));
	EQ(0, memcmp(record_bucket(rec, &rec->entry[i]).p, "bucket", 6));
	elsewhere[elsewheres++ % 64] = rec->entry[i].msgid;
}

/* A parcel is its size, a number that grows, and its size again at the end. */
static void on_parcels(void *arg, struct queue *q, const char *bytes, uint32_t n)
{
	TRUE_(arg == &told && q == &queue);
	for (const char *end = bytes + n; bytes < end;) {
		const uint32_t *p = (const uint32_t *)(const void *)bytes;

		EQ(told_last + 1, p[1]);
		EQ(p[0], p[p[0] / 4 - 1]);
		told_last = p[1];
		told++;
		told_bytes += p[0];
		bytes += p[0];
	}
}

static const struct queue_events events = {on_elsewhere, on_parcels, &told};

static void queue_open(const struct queue_events *e)
{
	static const struct settings settings = {.workers = 1, .value_max = 1000};
	const struct segment_room room = {RING_BYTES, RING_BYTES, RING_BYTES, 16};

	log_level_set(LOG_ERROR + 1);
	answered = elsewheres = told_last = 0;
	told = told_bytes = 0;
	node = (struct node){.now_ms = 1000, .now_us = 1000000};
	queue = (struct queue){.node = &node,
			       .sink = &sink,
			       .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			       .due_ms = UINT64_MAX,
			       .events = e};
	EQ(0, segment_create(&settings, &room, &queue.segment));
	EQ(0, segment_attach(fcntl(queue.segment->fd, F_DUPFD_CLOEXEC, 3), &worker));
}

static void queue_close(void)
{
	(void)close(queue.wake);
	segment_free(&worker);
	segment_free(&queue.segment);
}

/* A record of `count` requests, msgids from `first` on.  Returns its position. */
static uint64_t push(uint64_t first, uint32_t count)
{
	static struct item item[8];
	static char data[8][64];
	uint64_t at = queue.segment->request.write;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		char *p = write_request_head(data[i], first + i, WIRE_PUT, 3);

		p = write_bin(write_bin(write_bin(p, "bucket", 6), "k", 1), "v", 1);
		item[i] = (struct item){
			.bucket = {p - 12, 6},
			.key = {p - 4,  1},
			.value = {p - 1,  1},
			.msgid = first + i,
			.data = data[i],
			.size = (uint32_t)(p - data[i]),
			.timeout_ms = 1000,
			.next = i + 1,
			.index = (uint16_t)i,
			.method = WIRE_PUT
                };
		bytes += queue_item_bytes(&item[i]);
	}
	EQ(0, queue_push(&queue, (struct reply_to){0, 0, 0}, item, 0, count, bytes, 0, false));
	return at;
}

static void say(struct ring *ring, struct reply_block b, const void *bytes)
{
	struct reply_block *p = ring_reserve(ring, sizeof(b) + b.bytes);

	b.size = (uint32_t)ring_round(sizeof(b) + b.bytes);
	*p = b;
	memcpy(p + 1, bytes, b.bytes);
	ring_commit(ring, b.size);
	ring_publish(ring, ring->write);
}

static uint32_t parcel(uint32_t *p, uint32_t words, uint32_t number)
{
	p[0] = p[words - 1] = 4 * words;
	p[1] = number;
	return p[0];
}

static bool take(void)
{
	bool corrupted = false;

	while (queue_take(&queue, &corrupted))
		queue_taken(&queue, true);
	return !corrupted;
}

static bool woken(void)
{
	struct pollfd p = {queue.wake, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

static void a_request_that_is_served_elsewhere_is_given_back(void)
{
	uint64_t at;

	queue_open(&events);
	at = push(100, 8);
	say(&worker->immediate,
	    (struct reply_block){.record = at, .first = 2, .count = 3, .kind = BLOCK_ELSEWHERE},
	    "");
	TRUE_(queue_ready(&queue));
	TRUE_(take());
	EQ(3, elsewheres);
	EQ(102, elsewhere[0]);
	EQ(104, elsewhere[2]);
	EQ(0, answered);
	TRUE_(queue_waiting(&queue) > 0); /* the others wait */
	say(&worker->immediate,
	    (struct reply_block){.record = at, .first = 0, .count = 8, .kind = BLOCK_ELSEWHERE},
	    "");
	atomic_store(&worker->status->reached, queue.segment->request.write);
	TRUE_(take());
	EQ(8, elsewheres); /* each once */
	EQ(107, elsewhere[7]);
	EQ(0, queue_waiting(&queue));
	queue_close();
}

/* Its time was over, and it was answered here: nobody else is asked. */
static void what_was_answered_is_not_given_back(void)
{
	uint64_t at;

	queue_open(&events);
	at = push(1, 2);
	node.now_ms += 5000;
	(void)queue_expire(&queue, true);
	EQ(2, answered);
	say(&worker->immediate,
	    (struct reply_block){.record = at, .first = 0, .count = 2, .kind = BLOCK_ELSEWHERE},
	    "");
	atomic_store(&worker->status->reached, queue.segment->request.write);
	TRUE_(take());
	EQ(0, elsewheres);
	EQ(2, answered);
	queue_close();
}

static void parcels_come_out_in_order(void)
{
	uint32_t acks[24];
	uint32_t *p;
	uint32_t n = 0;

	queue_open(&events);
	for (uint32_t round = 0; round < 400; round++) {
		for (uint32_t i = 0; i < 5; i++) {
			p = ring_reserve(&worker->ship, 4 * (4 + 2 * i));
			TRUE_(p != NULL);
			ring_commit(&worker->ship, parcel(p, 4 + 2 * i, ++n));
		}
		TRUE_(!queue_ready(&queue)); /* not published yet */
		ring_publish(&worker->ship, worker->ship.write);
		TRUE_(queue_ready(&queue));
		TRUE_(take());
		EQ(n, told);
	}
	EQ(ring_tail(&queue.segment->ship), worker->ship.write);
	for (uint32_t i = 0; i < 3; i++)
		(void)parcel(acks + 8 * i, 8, ++n);
	say(&worker->durable, (struct reply_block){.kind = BLOCK_ACKS, .bytes = sizeof(acks)},
	    acks);
	TRUE_(take());
	EQ(n, told);
	EQ(0, answered);
	queue_close();
}

static void nonsense_is_noticed(void)
{
	static const uint32_t sizes[] = {0, 4, 12, 40, UINT32_MAX - 7};
	uint64_t at;

	for (unsigned i = 0; i < 5; i++) {
		uint32_t bytes[8] = {sizes[i], 0, 0, 20}; /* 12 and 20 end where all do */
		uint32_t *p;

		queue_open(&events);
		p = ring_reserve(&worker->ship, sizeof(bytes));
		memcpy(p, bytes, sizeof(bytes));
		ring_commit(&worker->ship, sizeof(bytes));
		ring_publish(&worker->ship, worker->ship.write);
		TRUE_(!take());
		queue_close();
		queue_open(&events);
		say(&worker->durable,
		    (struct reply_block){.kind = BLOCK_ACKS, .bytes = sizeof(bytes)}, bytes);
		TRUE_(!take());
		queue_close();
	}
	queue_open(&events);
	at = push(1, 4);
	say(&worker->immediate, (struct reply_block){.record = at, .count = 1, .kind = 3}, "");
	TRUE_(!take());
	queue_close();
	queue_open(&events);
	at = push(1, 4);
	say(&worker->immediate,
	    (struct reply_block){.record = at, .first = 2, .count = 3, .kind = BLOCK_ELSEWHERE},
	    "");
	TRUE_(!take());
	queue_close();
	queue_open(&events);
	ring_publish(&worker->ship, 2 * RING_BYTES);
	TRUE_(!take());
	queue_close();
}

/* A node without copies elsewhere has a worker that says nothing of the kind, or is mad. */
static void a_node_without_copies_expects_none(void)
{
	uint32_t ack[8];
	uint64_t at;

	queue_open(NULL);
	(void)parcel(ack, 8, 1);
	say(&worker->durable, (struct reply_block){.kind = BLOCK_ACKS, .bytes = sizeof(ack)}, ack);
	TRUE_(!take());
	queue_close();
	queue_open(NULL);
	at = push(1, 1);
	say(&worker->immediate,
	    (struct reply_block){.record = at, .count = 1, .kind = BLOCK_ELSEWHERE}, "");
	TRUE_(!take());
	queue_close();
}

/* The worker's side: the parcels that have arrived, as on_parcels wants them.  Returns how many. */
static uint32_t arrived(uint64_t *at)
{
	uint64_t head = ring_head(&worker->arrive);
	uint32_t n = 0;

	for (; *at < head; n++) {
		const uint32_t *p = ring_at(&worker->arrive, *at);

		EQ(p[0], p[p[0] / 4 - 1]);
		*at += p[0];
	}
	ring_free(&worker->arrive, *at);
	return n;
}

static void what_arrives_waits_until_it_is_read(void)
{
	static uint32_t big[RING_BYTES / 4 + 2];
	uint64_t at = 0;
	uint32_t p[256];
	uint32_t n = 0;

	queue_open(&events);
	sleep_begin(&worker->status->worker_sleeps);
	EQ(-EMSGSIZE, arrive_push(&queue, big, parcel(big, RING_BYTES / 4 + 2, 0)));
	queue_wake(&queue);
	TRUE_(!woken()); /* there is nothing */
	EQ(0, arrive_push(&queue, p, parcel(p, 4, ++n)));
	queue_wake(&queue);
	TRUE_(woken());
	while (arrive_push(&queue, p, parcel(p, 256, n + 1)) == 0)
		n++;
	EQ(1 + (RING_BYTES - 16) / 1024, n);
	EQ(-EAGAIN, arrive_push(&queue, p, parcel(p, 256, n + 1)));
	EQ(n, arrived(&at));
	EQ(0, arrive_push(&queue, big, parcel(big, RING_BYTES / 4, 0))); /* the largest */
	EQ(-EAGAIN, arrive_push(&queue, p, parcel(p, 4, 0)));
	EQ(1, arrived(&at));
	queue_close();
}

static void what_a_dead_worker_has_not_read_is_void(void)
{
	uint64_t at;
	uint32_t p[4];

	queue_open(&events);
	for (uint32_t i = 0; i < 10; i++)
		EQ(0, arrive_push(&queue, p, parcel(p, 4, i)));
	arrive_void(&queue);
	at = ring_tail(&worker->arrive); /* where its successor begins */
	EQ(0, arrived(&at));
	EQ(0, arrive_push(&queue, p, parcel(p, 4, 11)));
	EQ(1, arrived(&at));
	EQ(RING_BYTES, ring_space(&queue.segment->arrive));
	queue_close();
}

/* What a worker must know of those before it: how far they came, and that it has all its roles. */
static void a_successor_knows_what_was_begun(void)
{
	uint64_t at;

	queue_open(&events);
	at = push(1, 4);
	atomic_store(&worker->status->executing, at + 3);
	queue_judge(&queue);
	EQ(at + 3, atomic_load(&worker->status->started));
	atomic_store(&worker->status->executing, 0);
	atomic_store(&worker->status->reached, queue.segment->request.write);
	queue_note_left(&queue);
	EQ(queue.segment->request.write, atomic_load(&worker->status->started));
	atomic_store(&worker->status->reached, at); /* the next one begins there */
	queue_judge(&queue);
	EQ(queue.segment->request.write, atomic_load(&worker->status->started));
	EQ(0, atomic_load(&worker->status->roles));
	atomic_store(&worker->status->life, 6);
	sleep_begin(&worker->status->worker_sleeps);
	arrive_complete(&queue);
	queue_wake(&queue);
	EQ(7, atomic_load(&worker->status->roles));
	TRUE_(woken());
	queue_close();
}

/* A successor of a worker that was killed before it published its parcels. */
static void what_a_dead_worker_has_not_published_is_void(void)
{
	struct ring *ship;
	uint32_t *p;

	queue_open(&events);
	ship = &worker->ship;
	p = ring_reserve(ship, 16);
	ring_commit(ship, parcel(p, 4, 1));
	ring_publish(ship, ship->write);
	p = ring_reserve(ship, 16);
	ring_commit(ship, parcel(p, 4, 77));
	ring_attach(ship, ship->control, ship->data, ship->size);
	p = ring_reserve(ship, 16);
	ring_commit(ship, parcel(p, 4, 2));
	ring_publish(ship, ship->write);
	TRUE_(take());
	EQ(2, told);
	queue_close();
}

#define PASSED 200000u

static void *teller(void *arg)
{
	struct ring *r = arg;
	uint64_t s = unit_seed();

	for (uint32_t n = 1; n <= PASSED; n++) {
		uint32_t words = 4 + 2 * (uint32_t)(unit_random(&s) % 40);
		uint32_t *p;

		while (!(p = ring_reserve(r, 4 * (uint64_t)words)))
			(void)sched_yield();
		ring_commit(r, parcel(p, words, n));
		ring_publish(r, r->write);
	}
	return NULL;
}

static void parcels_pass_between_threads(void)
{
	pthread_t t;

	queue_open(&events);
	EQ(0, pthread_create(&t, NULL, teller, &worker->ship));
	while (told < PASSED && take())
		if (!queue_ready(&queue))
			(void)sched_yield();
	EQ(PASSED, told);
	EQ(0, pthread_join(t, NULL));
	queue_close();
}

UNIT_MAIN(T(a_request_that_is_served_elsewhere_is_given_back),
	  T(what_was_answered_is_not_given_back), T(parcels_come_out_in_order),
	  T(nonsense_is_noticed), T(a_node_without_copies_expects_none),
	  T(what_arrives_waits_until_it_is_read), T(what_a_dead_worker_has_not_read_is_void),
	  T(a_successor_knows_what_was_begun), T(what_a_dead_worker_has_not_published_is_void),
	  T(parcels_pass_between_threads))
