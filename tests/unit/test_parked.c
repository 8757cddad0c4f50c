/*
 * What waits for a partition's primary: in which order it goes, what is bounded, and what is given back.
 * The cluster, the links and the dispatch around it are played here: so each test says who serves what.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/config/config.h"
#include "coordinator/cluster/membership.h"
#include "coordinator/front/dispatch.h"
#include "coordinator/front/fanout.h"
#include "coordinator/front/front.h"
#include "coordinator/front/parked.h"
#include "coordinator/peers/client.h"
#include "coordinator/queue/queue.h"
#include "ipc/shm/records.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "tests/unit/lib/unit.h"

#define PARTITIONS 16u

static struct node node;
static struct supervisor supervisor;
static struct worker workers[1];
static struct peers peers;
static struct peer b = {.name = "b"}, c = {.name = "c"};
static struct front front;
static struct message message;

/* ---- what is played ---- */

static enum membership_serves serves[PARTITIONS];
static struct peer *by[PARTITIONS];
static bool taken_over;
static uint64_t awaited; /* the highest batch that a peer has not answered; 0: none */
static uint64_t last_id;
static uint32_t deposed;
static bool routed;       /* the batch is of the kind that is given back */
static uint64_t gave[16]; /* indexes */
static uint32_t gives;
static uint64_t gone[4096]; /* msgids in the order in which they went */
static uint32_t went;
static char code_of[70000][16]; /* of errors, by msgid */
static uint32_t errors;
static uint64_t forsaken; /* generation of a client that is gone */
static uint32_t known_epoch;
static uint32_t meant_epoch; /* of what comes from another node from now on */
static uint32_t told_epoch;  /* of what went last */
static uint64_t behind;      /* of a batch that was sent before what was given back was known */
static uint64_t orders;      /* of what comes back in the order in which it went */

enum membership_serves membership_serves(const struct membership *m, uint32_t partition,
					 struct peer **ret_peer)
{
	(void)m;
	if (serves[partition] == SERVES_PEER)
		*ret_peer = by[partition];
	return serves[partition];
}

void membership_explain(const struct membership *m, char *out, size_t size)
{
	(void)m;
	(void)snprintf(out, size, "it has not been created");
}

bool membership_taken_over(const struct membership *m, uint32_t partition, const char *name)
{
	(void)m;
	return taken_over && by[partition] && strcmp(by[partition]->name, name) != 0;
}

void membership_known(const struct membership *m, uint32_t partition, struct peer_place *ret)
{
	(void)m;
	*ret = (struct peer_place){.partition = partition, .epoch = known_epoch};
}

uint64_t peer_client_last_id(const struct peers *s)
{
	(void)s;
	return last_id;
}

bool peer_client_waits(const struct peers *s, const struct peer *p, uint64_t id)
{
	(void)s;
	return p == &b && awaited && awaited <= id;
}

void peer_client_deposed(struct peers *s, struct peer *p, uint32_t partition)
{
	(void)s;
	(void)p;
	(void)partition;
	deposed++;
	awaited = 0;
}

bool peer_server_elsewhere(struct peer_server *s, struct reply_to o, const struct peer_place *place)
{
	(void)s;
	(void)place;
	if (routed)
		gave[gives++] = o.index;
	return routed;
}

bool peer_server_behind(struct peer_server *s, struct reply_to o, uint32_t partition)
{
	(void)s;
	(void)partition;
	return routed && o.generation == behind;
}

void fanout_elsewhere(struct front *f, struct reply_to o)
{
	(void)f;
	(void)o;
}

bool front_forsaken(const struct front *f, struct reply_to o)
{
	(void)f;
	return o.generation == forsaken;
}

static struct item item_of(const struct request *q, const char *data, size_t n, uint32_t timeout_ms)
{
	return (struct item){.data = data,
			     .size = (uint32_t)n,
			     .timeout_ms = timeout_ms,
			     .msgid = q->msgid,
			     .index = (uint16_t)q->msgid,
			     .method = (uint8_t)q->method,
			     .of_cluster = true};
}

static uint32_t partition_at(const struct request *q)
{
	return (uint32_t)(q->bucket.p[0] - 'a');
}

/* It takes its way, or waits on. */
static void take_way(const struct request *q, struct item *it)
{
	struct peer *p;

	if (parked_route(&front, &message, q, it, partition_at(q), &p)) {
		gone[went++] = q->msgid;
		told_epoch = it->epoch;
	}
}

void dispatch_again(struct front *f, const struct fenced *x)
{
	struct item it = *x->item;

	EQ(&front, f);
	message.reply_to = x->reply_to;
	message.from_node = x->from_node;
	message.routed_here = x->routed_here;
	message.routed.visited_count = x->visited_count;
	take_way(x->request, &it);
}

static void replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
		    const char *bytes, size_t n, bool stays)
{
	struct reply r;

	(void)arg;
	(void)o;
	(void)index;
	(void)stays;
	EQ(1, count);
	EQ(0, reply_walk(bytes, bytes + n, &r));
	(void)snprintf(code_of[r.msgid], sizeof(code_of[0]), "%.*s", (int)r.code.n, r.code.p);
	errors++;
}

static struct reply_sink sink = {.replies = replies};

/* ---- requests ---- */

static void open_front(void)
{
	static const struct settings settings = {.workers = 1, .value_max = 1 << 20};

	node = (struct node){.now_ms = 1000};
	supervisor.count = 1;
	supervisor.worker = workers;
	workers[0] = (struct worker){.wanted = true};
	EQ(0, segment_create(&settings, &(struct segment_room){1 << 16, 1 << 16, 0, 0},
			     &supervisor.worker[0].queue.segment));
	peers.count = 2;
	peers.peer[0] = &b;
	peers.peer[1] = &c;
	front = (struct front){
		.node = &node, .sink = &sink, .supervisor = &supervisor, .peers = &peers};
	message = (struct message){
		.reply_to = {0, 0, 7}
        };
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		serves[i] = SERVES_NOBODY;
		by[i] = NULL;
	}
	taken_over = routed = false;
	forsaken = behind = orders = 0;
	known_epoch = meant_epoch = told_epoch = 0;
	awaited = last_id = went = errors = deposed = gives = 0;
	memset(code_of, 0, sizeof(code_of));
	EQ(0, parked_new(PARTITIONS, &front.parked));
}

static void close_front(void)
{
	parked_free(&front.parked);
	segment_free(&supervisor.worker[0].queue.segment);
}

static char *request_at(char *data, uint64_t msgid, const char *bucket, size_t value)
{
	static const char bytes[1 << 20];
	char *p = write_request_head(data, msgid, WIRE_PUT, 3);

	p = write_bin(write_text(p, bucket), "k", 1);
	return write_bin(p, bytes, value);
}

static void come_large(uint64_t msgid, const char *bucket, size_t value, uint32_t timeout_ms)
{
	static char data[2 << 20];
	char *end = request_at(data, msgid, bucket, value);
	struct request q;
	const char *why;
	struct item it;

	EQ(0, request_walk(data, end, &q, &why));
	it = item_of(&q, data, (size_t)(end - data), timeout_ms);
	it.epoch = routed ? meant_epoch : 0;
	message.reply_to = (struct reply_to){routed ? reply_to_id(REPLY_TO_SESSION, 0) : 0, 0, 7};
	message.routed_here = message.from_node = routed;
	take_way(&q, &it);
}

static void come(uint64_t msgid, const char *bucket)
{
	come_large(msgid, bucket, 10, 5000);
}

/* The peer gives one back, which went to it as `order` says. */
static void comes_back_of(const struct peer *peer, uint64_t order, uint64_t msgid,
			  const char *bucket, bool elsewhere)
{
	static char data[1000];
	char *end = request_at(data, msgid, bucket, 10);
	const struct unanswered x = {
		.reply_to = {0, (uint32_t)msgid, 7},
		.request = {data, (size_t)(end - data)            },
		.msgid = msgid,
		.partition = (uint32_t)(bucket[0] - 'a'),
		.left_ms = 4000,
		.elsewhere = elsewhere,
		.peer = peer,
		.order = order
        };

	parked_unanswered(&front, &x);
}

static void comes_back(uint64_t msgid, const char *bucket, bool elsewhere)
{
	comes_back_of(&b, ++orders, msgid, bucket, elsewhere);
}

/* The worker here gives one back, of that gate. */
static void worker_gives_back(uint64_t order, uint64_t msgid, const char *bucket, uint8_t gate)
{
	static _Alignas(8) char record[1000];
	struct request_record *rec = (void *)record;
	char data[1000];
	struct request q;
	const char *why;
	struct item it;

	EQ(0, request_walk(data, request_at(data, msgid, bucket, 10), &q, &why));
	it = item_of(&q, data, (size_t)(q.end - data), 5000);
	it.bucket = q.bucket;
	it.key = it.value = (struct span){it.bucket.p + it.bucket.n + 2, 1};
	it.value.p += 3;
	it.value.n = 10;
	it.partition = (uint16_t)partition_at(&q);
	it.gate = gate;
	it.next = ITEM_NONE;
	supervisor.worker[0].queue.node = &node;
	(void)queue_fill(&supervisor.worker[0].queue, rec, (struct reply_to){0, 0, 7}, &it, 0, 1);
	EQ(gate, entry_gate(&rec->entry[0]));
	parked_elsewhere(&front, rec, 0, order);
}

static void led_by(char bucket, struct peer *p)
{
	serves[bucket - 'a'] = p ? SERVES_PEER : SERVES_NOBODY;
	by[bucket - 'a'] = p;
	parked_changed(&front, (uint32_t)(bucket - 'a'));
}

static void step(uint64_t ms)
{
	node.now_ms += ms;
	(void)parked_step(&front);
}

static void went_is(const uint64_t *want, uint32_t n)
{
	EQ(n, went);
	for (uint32_t i = 0; i < n && i < went; i++)
		EQ(want[i], gone[i]);
	went = 0;
}

#define WENT(...)                                \
	went_is((const uint64_t[]){__VA_ARGS__}, \
		(uint32_t)(sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)))

/* ---- tests ---- */

static void it_waits_for_its_partition_alone_and_in_order(void)
{
	open_front();
	led_by('b', &b);
	come(1, "a");
	come(2, "b");
	WENT(2);
	come(3, "a2");
	come(4, "c");
	step(10);
	EQ(0, went);
	TRUE_(parked_any(&front));
	led_by('a', &b);
	come(5, "a"); /* not before those that wait */
	EQ(0, went);
	step(1);
	WENT(1, 3, 5);
	come(6, "a");
	WENT(6);
	led_by('c', &c);
	step(1);
	WENT(4);
	TRUE_(!parked_any(&front));
	EQ(UINT64_MAX, parked_step(&front));
	EQ(0, errors);
	close_front();
}

static void time_spent_waiting_counts(void)
{
	uint64_t next;

	open_front();
	come_large(1, "a", 10, 15);
	come_large(2, "a", 10, 5000);
	come_large(3, "c", 10, 14);
	next = parked_step(&front);
	TRUE_(next <= 1014);
	step(14);
	SAME(code_of[3], strlen(code_of[3]), "expired");
	EQ(1, errors);
	step(1);
	SAME(code_of[1], strlen(code_of[1]), "expired");
	EQ(2, errors);
	led_by('a', &b);
	step(1);
	WENT(2);
	close_front();
}

static void whoever_goes_leaves_room(void)
{
	open_front();
	for (uint64_t i = 1; i <= 16; i++)
		come_large(i, "a", (1 << 20) - 100, 5000);
	forsaken = 7;
	step(1);
	EQ(16, errors);
	TRUE_(!parked_any(&front));
	forsaken = 0;
	come_large(17, "b", (1 << 20) - 100, 5000);
	EQ(16, errors);
	close_front();
}

static void too_much_is_busy_and_the_rest_waits_on(void)
{
	open_front();
	for (uint64_t i = 1; i <= 16; i++)
		come_large(i, "a", (1 << 20) - 100, 5000);
	EQ(0, errors);
	come_large(17, "b", (1 << 20) - 100, 5000); /* of another partition: all count together */
	EQ(1, errors);
	SAME(code_of[17], strlen(code_of[17]), "busy");
	come(18, "a"); /* a small one has room */
	EQ(1, errors);
	led_by('a', &b);
	step(1);
	EQ(17, went);
	EQ(18, gone[16]);
	went = 0;
	come_large(19, "b", (1 << 20) - 100, 5000); /* there is room again */
	EQ(1, errors);
	close_front();
}

static void so_many_wait_and_no_more(void)
{
	open_front();
	for (uint64_t i = 0; i < 65536; i++)
		come_large(i, "a", 0, 5000);
	EQ(0, errors);
	come(65536, "a");
	EQ(1, errors);
	SAME(code_of[65536], strlen(code_of[65536]), "busy");
	close_front();
}

static void what_is_handed_over_is_awaited_before_the_rest_goes(void)
{
	open_front();
	led_by('a', &b);
	come(1, "a");
	come(2, "a");
	last_id = awaited = 8;
	led_by('a', &c);
	come(3, "a"); /* waits for 1 and 2 */
	step(1);
	WENT(1, 2);
	comes_back(2, "a", true);
	step(1);
	EQ(0, went);
	awaited = 0;
	step(1);
	WENT(2, 3); /* it was sent before */
	EQ(0, deposed);
	close_front();
}

static void who_was_replaced_is_not_awaited(void)
{
	open_front();
	led_by('a', &b);
	come(1, "a");
	last_id = awaited = 8;
	come(2, "a");
	taken_over = true;
	led_by('a', &c);
	come(3, "a");
	step(1);
	EQ(1, deposed);
	WENT(1, 2, 3);
	close_front();
}

static void who_has_handed_over_and_stands_still_is_awaited_so_long(void)
{
	open_front();
	led_by('a', &b);
	come(1, "a");
	last_id = awaited = 8;
	led_by('a', &c);
	come(2, "a");
	step(299);
	WENT(1);
	step(2);
	WENT(2);
	EQ(1, deposed);
	close_front();
}

/* Some come back early, some late: they go again together. */
static void what_comes_back_keeps_its_order(void)
{
	open_front();
	led_by('a', &b);
	come(1, "a");
	come(2, "a");
	come(3, "a");
	last_id = awaited = 8;
	WENT(1, 2, 3);
	comes_back(1, "a", true);
	come(4, "a");
	step(50); /* 2 and 3 are still there */
	EQ(0, went);
	comes_back(2, "a", true);
	comes_back(3, "a", true);
	awaited = 0;
	step(5);
	step(50);
	WENT(1, 2, 3, 4);
	/* And once more, by the same way. */
	last_id = awaited = 9;
	comes_back(1, "a", true);
	step(20);
	comes_back(2, "a", true);
	step(20);
	come(5, "a");
	comes_back(3, "a", true);
	comes_back(4, "a", true);
	EQ(0, went);
	awaited = 0;
	step(50);
	WENT(1, 2, 3, 4, 5);
	EQ(0, deposed); /* it leads on: what is not given back is its own */
	close_front();
}

/* What was run may be given back after what was not: a read that waited for a copy. */
static void what_comes_back_mixed_goes_in_its_order(void)
{
	open_front();
	led_by('a', &b);
	led_by('b', &b);
	for (uint64_t i = 1; i <= 5; i++)
		come(i, i == 4 ? "b" : "a");
	last_id = awaited = 8;
	WENT(1, 2, 3, 4, 5);
	comes_back_of(&b, 30, 3, "a", true);
	comes_back_of(&b, 50, 5, "a", true);
	comes_back_of(&b, 40, 4, "b", true);
	comes_back_of(&b, 10, 1, "a", true);
	come(6, "a");
	step(20);
	comes_back_of(&b, 20, 2, "a", true);
	EQ(0, went);
	awaited = 0;
	led_by('a', &c);
	step(50);
	WENT(1, 2, 3, 5, 4, 6);
	/* The next way has numbers of its own, which are lower. */
	comes_back_of(&c, 3, 3, "a", true);
	comes_back_of(&c, 2, 2, "a", true);
	comes_back_of(&c, 1, 1, "a", true);
	step(50);
	step(50);
	WENT(1, 2, 3);
	EQ(0, errors);
	close_front();
}

/* It may still give something back, or answer: nothing may overtake that, however slow it is. */
static void who_leads_on_is_awaited_for_as_long_as_it_takes(void)
{
	open_front();
	led_by('a', &b);
	come(1, "a");
	come(2, "a");
	WENT(1, 2);
	last_id = awaited = 8;
	comes_back(2, "a", true);
	come(3, "a");
	step(1000);
	step(1000);
	EQ(0, went);
	EQ(0, deposed);
	comes_back_of(&b, 0, 1, "a", true);
	awaited = 0;
	step(50);
	WENT(1, 2, 3);
	/* It hands over in the meantime, and stands still. */
	awaited = 8;
	comes_back(3, "a", true);
	step(200);
	led_by('a', &c);
	step(50);
	EQ(0, went);
	step(51);
	WENT(3);
	EQ(1, deposed);
	close_front();
}

/* The worker gives back all of the number that it has given back one of: the next have another. */
static void what_the_worker_gives_back_closes_its_gate(void)
{
	open_front();
	serves[0] = SERVES_HERE;
	EQ(0, parked_gate(&front, 0));
	worker_gives_back(8, 2, "a", 0);
	EQ(1, parked_gate(&front, 0));
	EQ(0, parked_gate(&front, 1));
	worker_gives_back(7, 1, "a", 0);
	EQ(1, parked_gate(&front, 0));
	step(1);
	EQ(0, went);
	step(50);
	WENT(1, 2);
	for (uint8_t gate = 1; gate < ENTRY_GATES; gate++)
		worker_gives_back(9, 3, "a", gate);
	EQ(0, parked_gate(&front, 0)); /* they go round */
	for (uint32_t i = 0; i < ENTRY_GATES; i++)
		for (uint32_t k = 0; k < ENTRY_GATES; k++)
			EQ((i - k + ENTRY_GATES) % ENTRY_GATES >= 1 &&
				   (i - k + ENTRY_GATES) % ENTRY_GATES <= 4,
			   gate_after(i, k));
	EQ(0, errors);
	close_front();
}

static void a_read_that_was_lost_goes_at_once(void)
{
	open_front();
	led_by('a', &b);
	come(1, "a");
	WENT(1);
	led_by('a', NULL);
	comes_back(1, "a", false);
	come(2, "a");
	step(1);
	EQ(0, went);
	led_by('a', &c);
	step(1);
	WENT(1, 2);
	close_front();
}

/* Its sender may have given up what was meant for another epoch, and sent on behind it. */
static void what_was_meant_for_another_epoch_is_given_back(void)
{
	open_front();
	routed = true;
	serves[0] = SERVES_HERE;
	known_epoch = meant_epoch = 7;
	come(1, "a");
	WENT(1);
	meant_epoch = 6;
	come(2, "a");
	meant_epoch = 8; /* it will be known here soon */
	come(3, "a");
	EQ(0, went);
	EQ(2, gives);
	meant_epoch = 0; /* a version that does not tell */
	come(4, "a");
	WENT(4);
	/* What has waited is looked at when it goes. */
	serves[0] = SERVES_NOBODY;
	meant_epoch = 7;
	come(5, "a");
	known_epoch = 9;
	serves[0] = SERVES_HERE;
	parked_changed(&front, 0);
	step(1);
	EQ(0, went);
	EQ(3, gives);
	EQ(5, gave[2]);
	/* Whoever sends tells it, and what its own worker gets is of another gate in each. */
	routed = false;
	EQ(1, parked_gate(&front, 0));
	known_epoch = 11;
	led_by('a', &b);
	step(1);
	EQ(2, parked_gate(&front, 0));
	parked_changed(&front, 0);
	step(1);
	EQ(2, parked_gate(&front, 0));
	come(6, "a");
	WENT(6);
	EQ(11, told_epoch);
	EQ(0, errors);
	close_front();
}

static void what_a_node_has_routed_here_is_given_back(void)
{
	open_front();
	routed = true;
	come(1, "a"); /* it is about to be served here, maybe */
	EQ(0, gives);
	led_by('a', &c);
	come(2, "a");
	EQ(0, gives);
	step(1);
	EQ(2, gives);
	EQ(1, gave[0]);
	EQ(2, gave[1]);
	EQ(0, went);
	come(3, "a");
	EQ(3, gives);
	serves['a' - 'a'] = SERVES_HERE;
	parked_changed(&front, 0);
	come(4, "a");
	step(1);
	WENT(4);
	EQ(3, gives);
	behind = 7; /* what was sent before it is behind it */
	come(5, "a");
	EQ(0, went);
	EQ(4, gives);
	EQ(5, gave[3]);
	behind = 0;
	come(5, "a");
	WENT(5);
	EQ(0, errors);
	close_front();
}

UNIT_MAIN(T(it_waits_for_its_partition_alone_and_in_order), T(time_spent_waiting_counts),
	  T(whoever_goes_leaves_room), T(too_much_is_busy_and_the_rest_waits_on),
	  T(so_many_wait_and_no_more), T(what_is_handed_over_is_awaited_before_the_rest_goes),
	  T(who_was_replaced_is_not_awaited),
	  T(who_has_handed_over_and_stands_still_is_awaited_so_long),
	  T(what_comes_back_keeps_its_order), T(what_comes_back_mixed_goes_in_its_order),
	  T(who_leads_on_is_awaited_for_as_long_as_it_takes),
	  T(what_the_worker_gives_back_closes_its_gate), T(a_read_that_was_lost_goes_at_once),
	  T(what_a_node_has_routed_here_is_given_back),
	  T(what_was_meant_for_another_epoch_is_given_back))
