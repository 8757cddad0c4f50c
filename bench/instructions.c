/*
 * The code that every request passes, one path a run, for counting its instructions: the same
 * binary executes the same number each time, whatever else the machine does.  bench/instructions.sh
 * runs it under callgrind, which counts only what `measured` calls.
 *
 *	instructions PATH FOLDER	PATH: walk push prepare ring cache log put session get
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mirror.h"
#include "common/partition.h"
#include "ipc/wire/request.h"
#include "ipc/shm/ring.h"
#include "storage/cache.h"
#include "storage/store.h"
#include "storage/log/wal.h"
#include "coordinator/queue/queue.h"
#include "worker/ops.h"

#define TIMES       INSTRUCTIONS_TIMES
#define VALUE_BYTES 100u
#define KEYS        1024u
#define RING_BYTES  (1u << 20)
#define AHEAD       64u

static const char *folder;
static char value[VALUE_BYTES];
static char key[KEYS][16];
static uint64_t sum; /* of results, so that none is left out */

static void die(const char *what)
{
	(void)fprintf(stderr, "instructions: %s\n", what);
	exit(1);
}

static struct span key_of(uint32_t i)
{
	return span_of(key[i % KEYS]);
}

/* ---- the paths ---- */

static char request[256];
static size_t request_bytes_count;

static void walk_setup(void)
{
	char *p = write_request_head(request, 4711, WIRE_PUT, 3);

	p = write_text(p, "fruit");
	p = write_text(p, key[0]);
	p = write_bin(p, value, sizeof(value));
	request_bytes_count = (size_t)(p - request);
}

static void walk_once(uint32_t i)
{
	struct request q;
	struct options o;
	const char *bad;
	char why[128];

	(void)i;
	if (request_walk(request, request + request_bytes_count, &q, &bad) < 0 ||
	    request_check(&q, &o, why, sizeof(why)) != WIRE_OK)
		die("the request is not one");
	sum += q.msgid;
}

static struct ring ring;

static void ring_setup(void)
{
	static struct ring_control control;
	void *data;

	if (mirror_new(RING_BYTES, &data) < 0)
		die("no memory");
	ring_attach(&ring, &control, data, RING_BYTES);
}

static void ring_once(uint32_t i)
{
	char *room = ring_reserve(&ring, sizeof(request));
	uint64_t at = ring.write;

	if (!room)
		die("the ring is full");
	room[0] = (char)i;
	ring_commit(&ring, sizeof(request));
	ring_publish(&ring, ring.write);
	sum += ring_head(&ring) + (uint64_t)(unsigned char)*(char *)ring_at(&ring, at);
	ring_free(&ring, ring_head(&ring));
}

static struct cache *cache;

static void cache_setup(void)
{
	struct entry *moved;

	if (cache_new(16u << 20, &cache) < 0)
		die("no memory");
	for (uint32_t i = 0; i < KEYS; i++)
		if (!cache_put(cache, cache_hash(cache, 1, key_of(i)), 1, key_of(i),
			       (struct span){value, sizeof(value)}, i, 0, false, NULL, &moved))
			die("no memory");
}

static void cache_once(uint32_t i)
{
	struct span k = key_of(i);
	uint64_t hash = cache_hash(cache, 1, k);
	const struct entry *e;

	cache_prefetch_slot(cache, hash);
	cache_prefetch_entry(cache, hash);
	e = cache_find(cache, hash, 1, k);
	if (!e)
		die("a key is missing");
	sum += e->version;
}

static struct wal *wal;

static void nobody_synced(void *arg, uint64_t mark, uint64_t lsn)
{
	(void)arg;
	(void)mark;
	(void)lsn;
}

static int nobody_applies(void *arg, const struct log_record *r, bool same)
{
	(void)arg;
	(void)r;
	(void)same;
	return 0;
}

static void log_setup(void)
{
	const struct wal_config c = {folder,        32u << 20, 256u << 20, 8u << 20, 4711,
				     nobody_synced, NULL,      NULL,       0};
	uint64_t clock;
	char why[256];

	if (wal_new(&c, &wal) < 0 ||
	    wal_replay(wal, 0, 0, 0, nobody_applies, NULL, &clock, why, sizeof(why)) < 0 ||
	    wal_start(wal, 1) < 0)
		die("no log");
}

static void log_once(uint32_t i)
{
	const struct log_change c = {
		LOG_PUT, 1, 1, 0, {"fruit",       5          },
                    {key[i % KEYS], 10         },
                    {value,         VALUE_BYTES}
        };
	struct log_frame *f = wal_reserve(wal, LOG_RECORD_BYTES + log_change_size(&c));

	if (!f)
		die("the staging buffer is full");
	log_entry_end(f, log_change_write(log_entry_begin(f, LOG_CHANGE, 0, i + 1, 1), &c));
	sum += wal_append(wal, f, i + 1);
}

static struct store *store;

static void nobody_waits(void *arg)
{
	(void)arg;
	die("the staging buffer is full");
}

static const struct log_session *asked; /* NULL: without a session */
static uint8_t session[16];

static void put_once(uint32_t i)
{
	static const struct store_condition always = {false, false, 0};
	struct session_outcome outcome;
	struct store_key k;
	uint64_t version;

	store_begin(store, i + 1);
	if (asked && store_session(store, span_of("fruit"), asked, &outcome) != SESSION_RUN)
		die("a request of a session is not to be run");
	store_locate(store, span_of("fruit"), key_of(i), &k);
	store_prefetch(store, &k);
	if (store_put(store, &k, (struct span){value, sizeof(value)}, 0, &always, &version) < 0)
		die(store_why(store));
	sum += version + store_observed_lsn(store);
}

/* All but the last few are acknowledged, as those who send many ahead do. */
static void session_once(uint32_t i)
{
	struct log_session x = {
		.sequence = i, .acknowledged = i > AHEAD ? i - AHEAD : 0, .fingerprint = i};

	memcpy(x.id, session, sizeof(x.id));
	asked = &x;
	put_once(i);
	asked = NULL;
}

static void get_once(uint32_t i)
{
	struct store_key k;
	struct store_item item;

	store_begin(store, i + 1);
	store_locate(store, span_of("fruit"), key_of(i), &k);
	store_prefetch(store, &k);
	if (store_get(store, &k, &item) < 0)
		die(store_why(store));
	sum += item.version + store_observed_lsn(store);
}

static void store_setup(void)
{
	struct store_config c = {.dir = folder,
				 .cache_bytes = 64u << 20,
				 .log_bytes = 512u << 20,
				 .log_segment_bytes = 32u << 20,
				 .map_bytes = 256u << 20,
				 .value_max = 8u << 20,
				 .buckets_max = 1000,
				 .partitions = PARTITIONS_DEFAULT,
				 .checkpoint_ms = 1000000,
				 .on_synced = nobody_synced,
				 .on_wait = nobody_waits};
	char why[256];
	bool created;

	if (store_open(&c, &store, why, sizeof(why)) < 0)
		die(why);
	store_begin(store, 0);
	if (store_create(store, span_of("fruit"), &created) < 0)
		die(store_why(store));
	for (uint32_t i = 0; i < KEYS; i++)
		put_once(i);
	for (unsigned i = 0; i < 6; i++)
		session[i] = (uint8_t)(clock_wall_ms() >> (40 - 8 * i));
}

/* ---- a put on its way through the queue ---- */

static struct node node = {.now_ms = 1, .now_us = 1000};
static struct queue queue;

static void queue_setup(void)
{
	static const struct settings settings = {.workers = 1, .value_max = 8u << 20};

	walk_setup();
	queue.node = &node;
	queue.wake = -1;
	if (segment_create(&settings, &(struct segment_room){RING_BYTES, RING_BYTES, 0, 0},
			   &queue.segment) < 0)
		die("no segment");
}

/* What the coordinator does with a request that has been walked. */
static void push_once(uint32_t i)
{
	static struct request q;
	static struct options o;
	static struct item item;
	struct request_parts parts;
	const char *bad;
	char why[128];

	if (!q.bucket.p && (request_walk(request, request + request_bytes_count, &q, &bad) < 0 ||
			    request_check(&q, &o, why, sizeof(why)) != WIRE_OK))
		die("the request is not one");
	if (request_parts(&q, NULL, 8u << 20, &parts, why, sizeof(why)) != WIRE_OK)
		die("the request is not right");
	item = (struct item){.data = request,
			     .size = (uint32_t)request_bytes_count,
			     .timeout_ms = 5000,
			     .next = ITEM_NONE,
			     .msgid = i,
			     .method = WIRE_PUT,
			     .bucket = q.bucket,
			     .key = parts.key,
			     .value = parts.value};
	if (queue_push(&queue, (struct reply_to){0, 0, 0}, &item, 0, 1, queue_item_bytes(&item), 0,
		       false) < 0)
		die("the ring is full");
	ring_free(&queue.segment->request, queue.segment->request.write);
}

static struct worker worker;

static void prepare_setup(void)
{
	queue_setup();
	store_setup();
	worker.store = store;
	worker.segment = queue.segment;
	push_once(1);
}

/* What the worker does with it before it runs. */
static void prepare_once(uint32_t i)
{
	struct op op;

	(void)i;
	op_prepare(&worker, &op, ring_at(&queue.segment->request, 0), 0, 0);
	sum += op.deadline_ms;
}

/* ---- */

static const struct path {
	const char *name;
	void (*setup)(void);
	void (*once)(uint32_t i);
} paths[] = {
	{"walk",    walk_setup,    walk_once   }, /* a put's bytes, parsed and checked */
	{"push",    queue_setup,   push_once   }, /* its parts checked, and into the ring as a record */
	{"prepare", prepare_setup, prepare_once}, /* found in the record, its bucket looked up */
	{"ring",    ring_setup,    ring_once   }, /* a record in, seen, and freed */
	{"cache",   cache_setup,   cache_once  }, /* a key looked up */
	{"log",     log_setup,     log_once    }, /* a record appended */
	{"put",     store_setup,   put_once    }, /* the store's part of a put */
	{"session", store_setup,   session_once}, /* the same of one that may be sent again */
	{"get",     store_setup,   get_once    }, /* the store's part of a get that hits the cache */
};

/* What is counted. */
__attribute__((noinline)) void measured(const struct path *p);

__attribute__((noinline)) void measured(const struct path *p)
{
	for (uint32_t i = 0; i < TIMES; i++)
		p->once(i);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		die("usage: instructions PATH FOLDER");
	folder = argv[2];
	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < KEYS; i++)
		(void)snprintf(key[i], sizeof(key[i]), "key%07u", i);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (!strcmp(argv[1], paths[i].name)) {
			paths[i].setup();
			measured(&paths[i]);
			(void)printf("%llu\n", (unsigned long long)sum);
			(void)fflush(stdout);
			_exit(0); /* what was appended need not reach the disk */
		}
	die("no such path");
	return 1;
}
