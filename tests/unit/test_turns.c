/* Turns in a worker's queue: the test plays the worker. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "coordinator/queue/turns.h"
#include "ipc/shm/records.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

#define CLIENTS  8u
#define MANY     2000u
#define REQUESTS 60000u
#define RING     (1u << 20)

static struct node node;
static struct queue queue;
static struct segment *worker; /* its mapping */
static uint64_t read_to;       /* the worker's place in the ring */

static struct {
	uint32_t client;
	uint32_t answers;
	char code[20];
} request_of[REQUESTS];
static uint32_t requests;
static uint32_t run[REQUESTS]; /* msgids in the order in which the worker ran them */
static uint32_t runs;
static bool unread[CLIENTS];

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	const char *p = bytes;

	(void)arg;
	(void)index;
	(void)stays;
	for (uint32_t i = 0; i < count; i++) {
		struct reply r;

		EQ(0, reply_walk(p, bytes + n, &r));
		p = r.end;
		TRUE_(r.msgid < requests);
		EQ(reply_to_index(o), request_of[r.msgid].client);
		request_of[r.msgid].answers++;
		(void)snprintf(request_of[r.msgid].code, sizeof(request_of[0].code), "%.*s",
			       (int)r.code.n, r.code.p ? r.code.p : "");
	}
}

static const char *over(void *arg, struct reply_to o)
{
	(void)arg;
	return unread[reply_to_index(o)] ? "it does not read" : NULL;
}

static bool full_never(void *arg)
{
	(void)arg;
	return false;
}

static struct reply_sink sink = {.replies = replies, .over = over, .full = full_never};

static void turns_open(void)
{
	static const struct settings settings = {.workers = 1, .value_max = 1000};

	log_level_set(LOG_ERROR + 1);
	memset(request_of, 0, sizeof(request_of));
	memset(unread, 0, sizeof(unread));
	requests = runs = 0;
	read_to = 0;
	node = (struct node){.now_ms = 1000, .now_us = 1000000};
	queue = (struct queue){.node = &node, .sink = &sink, .wake = -1, .due_ms = UINT64_MAX};
	EQ(0, segment_create(&settings, &(struct segment_room){RING, RING, 0, 0}, &queue.segment));
	EQ(0, segment_attach(fcntl(queue.segment->fd, F_DUPFD_CLOEXEC, 3), &worker));
	EQ(0, turns_new(&queue.turns));
}

static void turns_close(void)
{
	turns_free(&queue.turns);
	segment_free(&worker);
	segment_free(&queue.segment);
}

/* A message of `count` requests of a client.  False: there was no room. */
static bool ask(uint32_t client, enum wire_method method, uint32_t count, uint32_t timeout_ms)
{
	static struct item item[MANY];
	static struct options options = {.given = OPT_TTL, .ttl_ms = 5, .limit = WIRE_SCAN_LIMIT};
	static struct options parts[MANY];
	static char data[MANY][64];
	struct reply_to o = {reply_to_id(REPLY_TO_CLIENT, client), 0, 100 + client};
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		char *p = write_request_head(data[i], requests + i, method, 3);

		p = write_bin(write_bin(write_bin(p, "bucket", 6), "k", 1), "v", 1);
		item[i] = (struct item){
			.data = data[i],
			.size = (uint32_t)(p - data[i]),
			.timeout_ms = timeout_ms,
			.next = i + 1,
			.msgid = requests + i,
			.method = (uint8_t)method,
			.bucket = {p - 12, 6},
			.key = {p - 4,  1}
                };
		if (method == WIRE_PUT) {
			item[i].value = (struct span){p - 1, 1};
			item[i].options = i % 3 ? NULL : &options;
		}
		if (method == WIRE_CALL) {
			parts[i] = (struct options){.reads = true, .writes = true, .large = true};
			for (int k = 0; k < 3; k++)
				parts[i].part[k] = (struct span){p - 1, 1};
			item[i].options = &parts[i];
		}
		bytes += queue_item_bytes(&item[i]);
		request_of[requests + i].client = client;
	}
	if (turns_push(&queue, o, o, item, 0, count, bytes) < 0)
		return false;
	requests += count;
	return true;
}

/* The worker runs the next record: each request takes `us`, its reply goes out at once. */
static bool work(uint32_t us)
{
	const struct request_record *rec = ring_at(&worker->request, read_to);
	uint64_t clock_us = 5000000;

	if (read_to == ring_head(&worker->request))
		return false;
	for (uint32_t i = 0; i < rec->count; i++) {
		struct reply_block *b;
		char *p;

		TRUE_(record_fits(rec, i));
		if (atomic_load(&rec->entry[i].state) != ENTRY_OPEN)
			continue;
		run[runs++] = (uint32_t)rec->entry[i].msgid;
		if (rec->entry[i].method == WIRE_PUT)
			SAME(record_value(rec, &rec->entry[i]).p, 1, "v");
		SAME(record_bucket(rec, &rec->entry[i]).p, 6, "bucket");
		if (rec->entry[i].flags & ENTRY_OPTIONS) {
			const struct entry_options *o = record_options(rec, &rec->entry[i]);

			EQ(0, (uintptr_t)o % _Alignof(struct entry_options));
			EQ(5, o->ttl_ms);
		}
		b = ring_reserve(&worker->immediate, sizeof(*b) + CODEC_REPLY_MAX);
		TRUE_(b);
		*b = (struct reply_block){.record = read_to,
					  .first = i,
					  .count = 1,
					  .begun_us = clock_us,
					  .done_us = clock_us + us};
		p = write_bool(write_reply_head((char *)(b + 1), rec->entry[i].msgid), true);
		b->bytes = (uint32_t)(p - (char *)(b + 1));
		b->size = (uint32_t)ring_round(sizeof(*b) + b->bytes);
		ring_commit(&worker->immediate, b->size);
	}
	read_to += rec->size;
	status_set(&worker->status->reached, read_to);
	ring_publish(&worker->immediate, worker->immediate.write);
	return true;
}

static void collect(void)
{
	bool corrupted = false;

	while (queue_take(&queue, &corrupted))
		queue_taken(&queue, true);
	TRUE_(!corrupted);
	turns_step(&queue);
}

static void all_is_done(uint32_t us)
{
	while (work(us))
		collect();
	EQ(0, turns_waiting(&queue));
	EQ(0, queue_waiting(&queue));
	for (uint32_t i = 0; i < requests; i++)
		EQ(1, request_of[i].answers);
}

/* Each client's ran in the order sent. */
static void order_is_kept(void)
{
	uint32_t last[CLIENTS] = {0};

	for (uint32_t i = 0; i < runs; i++) {
		uint32_t *l = &last[request_of[run[i]].client];

		TRUE_(run[i] + 1 > *l);
		*l = run[i] + 1;
	}
}

/* How many requests ran before that one. */
static uint32_t place_of(uint32_t msgid)
{
	for (uint32_t i = 0; i < runs; i++)
		if (run[i] == msgid)
			return i;
	return UINT32_MAX;
}

static void who_comes_later_does_not_wait_for_all(void)
{
	turns_open();
	TRUE_(ask(0, WIRE_GET, MANY, 60000)); /* of 1 ms each, which nobody knows yet */
	TRUE_(turns_waiting(&queue));
	TRUE_(work(1000));
	collect();
	TRUE_(ask(1, WIRE_GET, 1, 60000));
	all_is_done(1000);
	TRUE_(place_of(MANY) < 30); /* 15 ms are before it at most, and 4 that were run */
	order_is_kept();
	turns_close();
}

static void two_who_ask_for_much_take_turns(void)
{
	uint32_t first = 0;

	turns_open();
	TRUE_(ask(0, WIRE_GET, MANY, 60000));
	TRUE_(ask(1, WIRE_GET, MANY, 60000));
	all_is_done(200);
	for (uint32_t i = 0; i < MANY; i++)
		first += request_of[run[i]].client == 0;
	TRUE_(first > MANY * 2 / 5 && first < MANY * 3 / 5);
	order_is_kept();
	turns_close();
}

/* So many requests are in the ring, not run yet. */
static uint32_t before_the_worker(void)
{
	const struct request_record *rec;
	uint32_t n = 0;

	for (uint64_t at = read_to; at < ring_head(&worker->request); at += rec->size) {
		rec = ring_at(&worker->request, at);
		n += rec->count;
	}
	return n;
}

/* What may answer at length is few at a time, however short its answers were; it tells nothing of
 * reads and writes, nor they of it. */
static void few_that_may_answer_at_length_lie_before_the_worker(void)
{
	turns_open();
	for (int i = 0; i < 20; i++) {
		TRUE_(ask(0, WIRE_CALL, 100, 60000));
		all_is_done(1);
	}
	TRUE_(ask(0, WIRE_CALL, MANY, 60000));
	TRUE_(before_the_worker() >= 250 && before_the_worker() <= 400);
	while (work(1)) {
		collect();
		TRUE_(before_the_worker() <= 400);
	}
	all_is_done(1);
	TRUE_(ask(0, WIRE_GET, 100, 60000));
	EQ(4, before_the_worker()); /* reads that nothing is known of */
	all_is_done(1);
	for (int i = 0; i < 20; i++) {
		TRUE_(ask(1, WIRE_PUT, 100, 60000));
		all_is_done(1);
	}
	TRUE_(ask(1, WIRE_CALL, 100, 60000));
	EQ(4, before_the_worker());
	all_is_done(1);
	TRUE_(ask(1, WIRE_CALL, MANY,
		  60000)); /* who does not read what it gets: they do not begin */
	unread[1] = true;
	all_is_done(1);
	SAME(request_of[requests - 1].code, strlen(request_of[requests - 1].code), "busy");
	TRUE_(runs < requests - MANY / 2);
	turns_close();
}

/* What is cheap is not held up: nearly all of a message is before the worker at once. */
static void small_work_is_not_sliced_finely(void)
{
	uint32_t records = 0;

	turns_open();
	TRUE_(ask(0, WIRE_GET, 100, 60000));
	all_is_done(1); /* now they are known to be cheap */
	for (int i = 0; i < 20; i++) {
		TRUE_(ask(0, WIRE_GET, 100, 60000));
		all_is_done(1);
	}
	TRUE_(ask(0, WIRE_GET, MANY, 60000));
	while (work(1)) {
		collect();
		records++;
	}
	TRUE_(records < 10);
	turns_close();
}

static void what_waits_is_expired_and_never_run(void)
{
	turns_open();
	TRUE_(ask(0, WIRE_PUT, MANY, 100));
	TRUE_(ask(0, WIRE_PUT, MANY, 100));
	TRUE_(turns_waiting(&queue));
	node.now_ms += 100 + OVERDUE_GRACE_MS;
	node.now_us = 1000 * node.now_ms;
	(void)queue_expire(&queue, true);
	SAME(request_of[requests - 1].code, strlen(request_of[requests - 1].code), "expired");
	SAME(request_of[0].code, strlen(request_of[0].code), "timeout"); /* in the ring already */
	while (work(10))
		collect();
	TRUE_(runs < requests);
	for (uint32_t i = 0; i < requests; i++)
		EQ(1, request_of[i].answers);
	EQ(UINT32_MAX, place_of(requests - 1));
	queue_free(&queue, true);
	EQ(0, queue_waiting(&queue));
	turns_close();
}

static void reads_of_who_does_not_read_are_refused_without_running(void)
{
	turns_open();
	TRUE_(ask(0, WIRE_GET, MANY, 60000));
	TRUE_(ask(1, WIRE_GET, 3, 60000));
	unread[0] = true;
	while (work(1000))
		collect();
	TRUE_(runs < 20);
	SAME(request_of[MANY - 1].code, strlen(request_of[MANY - 1].code), "busy");
	EQ(0, strlen(request_of[MANY + 2].code));
	for (uint32_t i = 0; i < requests; i++)
		EQ(1, request_of[i].answers);
	turns_close();
}

/* Whatever is taken has its room, and one client leaves some to others. */
static void one_client_does_not_fill_it(void)
{
	uint32_t taken = 0;

	turns_open();
	while (requests + MANY < REQUESTS && ask(0, WIRE_PUT, 500, 60000))
		taken++;
	TRUE_(taken >= 5);
	TRUE_(taken * 500 < REQUESTS - MANY - 500); /* it was told to stop */
	TRUE_(queue_waiting(&queue) <= RING);
	TRUE_(ask(1, WIRE_PUT, 200, 60000));
	turns_flush(&queue);
	EQ(0, turns_waiting(&queue));
	all_is_done(1);
	order_is_kept();
	turns_close();
}

static void what_waits_outlives_its_worker(void)
{
	bool corrupted = false;

	turns_open();
	TRUE_(ask(0, WIRE_PUT, MANY, 60000));
	TRUE_(ask(1, WIRE_PUT, MANY, 60000));
	TRUE_(work(500));
	(void)queue_take(&queue, &corrupted);
	queue_taken(&queue, false);
	queue_judge(&queue); /* it died; its successor begins with what is not freed */
	queue_free(&queue, false);
	turns_step(&queue);
	read_to = ring_tail(&queue.segment->request);
	all_is_done(500);
	order_is_kept();
	turns_close();
}

static void nobody_will_serve(void)
{
	turns_open();
	TRUE_(ask(0, WIRE_GET, MANY, 60000));
	queue_fail(&queue, "worker 0 has failed");
	for (uint32_t i = 0; i < MANY; i++)
		EQ(1, request_of[i].answers);
	EQ(0, queue_waiting(&queue));
	EQ(0, turns_waiting(&queue));
	turns_close();
}

static void the_fence_can_tell_what_waited(void)
{
	uint64_t number;

	turns_open();
	TRUE_(ask(0, WIRE_GET, MANY, 60000));
	number = turns_last(&queue);
	TRUE_(turns_waits(&queue, number));
	TRUE_(ask(1, WIRE_GET, MANY, 60000));
	while (turns_waits(&queue, number) && work(100))
		collect();
	TRUE_(!turns_waits(&queue, number));
	TRUE_(turns_waits(&queue, turns_last(&queue))); /* later ones are not meant */
	all_is_done(100);
	turns_close();
}

/* Anything in any order. */
static void each_is_answered_once_and_in_order(void)
{
	uint64_t s = unit_seed();

	turns_open();
	while (requests + 300 < REQUESTS) {
		uint64_t what = unit_random(&s) % 100;
		uint32_t client = (uint32_t)(unit_random(&s) % CLIENTS);

		node.now_ms += unit_random(&s) % 2;
		node.now_us = 1000 * node.now_ms;
		if (what < 30)
			(void)ask(client, unit_random(&s) % 2 ? WIRE_GET : WIRE_PUT,
				  1 + (uint32_t)(unit_random(&s) % 300), 60000);
		else if (what < 70)
			(void)work((uint32_t)(unit_random(&s) % (what < 35 ? 5000 : 50)));
		else
			collect();
		if (what == 99)
			turns_flush(&queue);
	}
	collect();
	all_is_done(5);
	order_is_kept();
	turns_close();
}

UNIT_MAIN(T(who_comes_later_does_not_wait_for_all), T(two_who_ask_for_much_take_turns),
	  T(small_work_is_not_sliced_finely),
	  T(few_that_may_answer_at_length_lie_before_the_worker),
	  T(what_waits_is_expired_and_never_run),
	  T(reads_of_who_does_not_read_are_refused_without_running), T(one_client_does_not_fill_it),
	  T(what_waits_outlives_its_worker), T(nobody_will_serve),
	  T(the_fence_can_tell_what_waited), T(each_is_answered_once_and_in_order))
