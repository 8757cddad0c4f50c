/*
 * Workers as processes, a node each, with copies of the same partitions: the test plays their
 * coordinators, moves what they tell each other, gives orders and leases.
 */
#ifndef PAIL_PLAYED_CLUSTER_H
#define PAIL_PLAYED_CLUSTER_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/partition.h"
#include "coordinator/queue/queue.h"
#include "coordinator/workers/spawn.h"
#include "ipc/shm/control.h"
#include "ipc/shm/modules.h"
#include "ipc/shm/records.h"
#include "ipc/wire/reply.h"
#include "ipc/wire/request.h"
#include "replica/message.h"
#include "tests/unit/lib/unit.h"

#define NODES      3u
#define PARTITIONS 16u
#define ASKED_MAX  200000u

struct played {
	uint32_t number; /* of the node: 1, 2, 3 */
	struct node node;
	struct queue queue;
	int control;
	struct spawned child;
	bool up;
	uint64_t orders;              /* so many were given */
	uint64_t leading[PARTITIONS]; /* terms, as reported */
	uint64_t floor[PARTITIONS];
	uint64_t counted;
	uint64_t lag_ms[NODES + 1]; /* of the others' copies, as it was told last, */
	uint64_t lags[NODES + 1];   /* and how often */
	uint64_t caught;            /* member reports */
	uint64_t stuck;
	uint64_t drained;
	uint64_t shipped;          /* parcels of records, */
	uint64_t records;          /* with so many in them */
	uint64_t bytes[NODES + 1]; /* by node */
	uint64_t acks;
	uint64_t pieces; /* of snapshots that it has sent */
	uint64_t
		whole[PARTITIONS]; /* members that have learned anew, as it says as their primary */
};

static struct played played[NODES + 1]; /* by number */
static int wake_fd;                     /* of all coordinators */
static struct modules *no_modules;
static bool cut_from[NODES + 1][NODES + 1]; /* nothing passes from .. to */
static uint32_t order_flags;                /* of orders: enum ORDER_… */
static uint64_t played_log_bytes = 64u << 20;
/* Whether a parcel is to be lost; NULL: none is. */
static bool (*played_loses)(const struct played *from, const struct parcel *p);

enum asked_as { ASKED_OPEN, ASKED_DONE, ASKED_ERROR, ASKED_ELSEWHERE };

static struct asked {
	enum asked_as as;
	char code[20];
	uint64_t version; /* of a put: what it said; of a get: of what it found */
	char value[24];   /* of a get; "": nil */
	uint64_t items;   /* of a list */
	uint32_t answers;
} asked[ASKED_MAX];
static uint32_t asked_count;

/* ---- replies ---- */

static void played_reply(const char *p, const char *end)
{
	struct reply r;
	struct asked *a;

	EQ(0, reply_walk(p, end, &r));
	TRUE_(r.msgid < asked_count);
	a = &asked[r.msgid];
	a->answers++;
	a->as = r.code.p ? ASKED_ERROR : ASKED_DONE;
	(void)snprintf(a->code, sizeof(a->code), "%.*s", (int)r.code.n, r.code.p ? r.code.p : "");
	if (r.code.p || !r.result)
		return;
	p = r.result;
	if (read_type(p) == TYPE_UINT) {
		a->version = read_uint(&p);
	} else if (read_type(p) == TYPE_ARRAY) {
		struct span v;

		(void)read_array(&p);
		v = read_bytes(&p);
		(void)snprintf(a->value, sizeof(a->value), "%.*s", (int)v.n, v.p);
		a->version = read_uint(&p);
	} else if (read_type(p) == TYPE_MAP) {
		(void)read_map(&p);
		(void)read_bytes(&p);
		a->items = read_array(&p);
	}
}

static void played_replies(void *arg, struct reply_to o, const uint16_t *index, uint32_t count,
			   const char *bytes, size_t n, bool stays)
{
	const char *p = bytes;

	(void)arg;
	(void)o;
	(void)index;
	(void)stays;
	for (uint32_t i = 0; i < count; i++) {
		const char *next;

		TRUE_(read_whole(p, bytes + n, &next));
		played_reply(p, next);
		p = next;
	}
	TRUE_(p == bytes + n);
}

static const char *played_over(void *arg, struct reply_to o)
{
	(void)arg;
	(void)o;
	return NULL;
}

static bool played_full(void *arg)
{
	(void)arg;
	return false;
}

static struct reply_sink played_sink = {
	.replies = played_replies, .over = played_over, .full = played_full};

/* ---- what workers tell ---- */

static void played_elsewhere(void *arg, const struct request_record *rec, uint32_t i,
			     uint64_t order)
{
	(void)arg;
	(void)order;
	asked[rec->entry[i].msgid].as = ASKED_ELSEWHERE;
	asked[rec->entry[i].msgid].answers++;
}

static void played_report(struct played *n, const struct parcel_report *r)
{
	switch ((enum report_kind)r->kind) {
	case REPORT_LEADING:
		n->leading[r->head.partition] = r->at.term;
		break;
	case REPORT_FLOOR:
		n->floor[r->head.partition] = r->at.term;
		break;
	case REPORT_COUNTED:
		n->counted = r->number;
		break;
	case REPORT_CAUGHT:
		n->caught++;
		break;
	case REPORT_WHOLE:
		n->whole[r->head.partition] += r->member.node != n->number;
		break;
	case REPORT_STUCK:
		n->stuck++;
		break;
	case REPORT_DRAINED:
		n->drained++;
		break;
	default:
		break;
	}
}

static void played_parcels(void *arg, struct queue *q, const char *bytes, uint32_t bytes_count)
{
	struct played *n = arg;
	uint32_t size;

	(void)q;
	for (uint32_t at = 0; at < bytes_count; at += size) {
		const struct parcel *p = (const void *)(bytes + at);

		size = p->size;
		if (p->kind == PARCEL_REPORT) {
			played_report(n, (const void *)p);
			continue;
		}
		TRUE_(p->node >= 1 && p->node <= NODES && p->node != n->number);
		if (p->kind == PARCEL_LAG) {
			n->lag_ms[p->node] = ((const struct parcel_lag *)(const void *)p)->ms;
			n->lags[p->node]++;
			continue;
		}
		if (p->kind == PARCEL_APPEND) {
			n->shipped++;
			n->bytes[p->node] += size;
			n->records += ((const struct parcel_append *)(const void *)p)->count;
		} else if (p->kind == PARCEL_PIECE) {
			n->pieces++;
		} else {
			TRUE_(p->kind == PARCEL_ACK || p->kind == PARCEL_PIECED);
			n->acks++;
		}
		if (played_loses && played_loses(n, p))
			continue;
		if (!cut_from[n->number][p->node] && played[p->node].up)
			(void)arrive_push(&played[p->node].queue, p, size);
	}
}

static struct queue_events played_events[NODES + 1];

/* ---- processes ---- */

static void played_start(struct played *n, const char *how, struct spawned *ret, int *ret_control)
{
	char path[1024];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 40);
	int pair[2];

	TRUE_(len > 0);
	path[len] = '\0';
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/pail-worker");
	EQ(0, control_pair(pair));
	EQ(0, spawn_worker(path, how,
			   (const int[FD_COUNT]){pair[1], n->queue.segment->fd, n->queue.wake,
						 wake_fd, no_modules->fd},
			   ret));
	(void)close(pair[1]);
	*ret_control = pair[0];
}

static void played_spawn(struct played *n)
{
	status_set(&n->queue.segment->status->reached, ring_tail(&n->queue.segment->request));
	played_start(n, "--serve", &n->child, &n->control);
	n->up = true;
}

static void played_open(uint32_t number)
{
	struct played *n = &played[number];
	const struct segment_room room = {16u << 20, 1u << 20, 1u << 20, PARTITIONS};
	struct settings s = {
		.workers = 1,
		.cache_bytes = 64u << 20,
		.log_bytes = played_log_bytes,
		.log_segment_bytes = 1u << 20,
		.map_bytes = 256u << 20,
		.value_max = 65536,
		.group_max = 200000,
		.buckets_max = 1000,
		.lock_wait_ms = 5000,
		.checkpoint_ms = 200,
		.log_level = LOG_ERROR,
		.partitions = PARTITIONS,
		.result_max = 1u << 20,
		.session_ms = 60000,
		.session_bytes_max = 1u << 20,
		.replicated = 1,
		.member_store = 1000 + number,
		.member_node = number,
	};

	(void)snprintf(s.dir, sizeof(s.dir), "%s/node-%u", unit_folder(), number);
	(void)snprintf(s.node, sizeof(s.node), "n%u", number);
	*n = (struct played){.number = number};
	n->node.now_us = clock_us();
	n->node.now_ms = n->node.now_us / 1000;
	played_events[number] = (struct queue_events){played_elsewhere, played_parcels, n};
	n->queue = (struct queue){.node = &n->node,
				  .sink = &played_sink,
				  .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				  .due_ms = UINT64_MAX,
				  .events = &played_events[number]};
	EQ(0, segment_create(&s, &room, &n->queue.segment));
	played_spawn(n);
}

/* One round of all coordinators. */
static unsigned played_round(void)
{
	unsigned work = 0;

	for (uint32_t i = 1; i <= NODES; i++) {
		struct played *n = &played[i];
		bool corrupted = false;
		unsigned k;

		if (!n->queue.segment)
			continue;
		n->node.now_us = clock_us();
		n->node.now_ms = n->node.now_us / 1000;
		while ((k = queue_take(&n->queue, &corrupted))) {
			work += k;
			queue_taken(&n->queue, n->up);
		}
		TRUE_(!corrupted);
		queue_free(&n->queue, n->up);
	}
	for (uint32_t i = 1; i <= NODES; i++)
		if (played[i].up)
			queue_wake(&played[i].queue);
	return work;
}

/* Until `e`, or for half a minute. */
#define UNTIL(e)                                                 \
	do {                                                     \
		uint64_t end_ = clock_ms() + 30000;              \
		bool is_ = false;                                \
		while (!(is_ = (e)) && clock_ms() < end_)        \
			if (!played_round())                     \
				(void)usleep(200);               \
		if (!is_)                                        \
			unit_fail(__FILE__, __LINE__, #e, 1, 0); \
		CU_ASSERT_FATAL(is_);                            \
	} while (0)

static void played_pass(uint64_t ms)
{
	uint64_t end = clock_ms() + ms;

	while (clock_ms() < end)
		if (!played_round())
			(void)usleep(200);
}

static void played_forget(struct played *n)
{
	arrive_void(&n->queue);
	atomic_store(&n->queue.segment->status->worker_sleeps, 0);
	atomic_fetch_add(&n->queue.segment->status->life, 1);
	memset(n->leading, 0, sizeof(n->leading));
	memset(n->floor, 0, sizeof(n->floor));
}

static void played_kill(struct played *n)
{
	siginfo_t info = {0};
	bool corrupted = false;

	EQ(0, kill(n->child.pid, SIGKILL));
	EQ(0, waitid(P_PIDFD, (id_t)n->child.pidfd, &info, WEXITED));
	(void)close(n->child.pidfd);
	(void)close(n->control);
	n->up = false;
	while (queue_take(&n->queue, &corrupted))
		queue_taken(&n->queue, false);
	TRUE_(!corrupted);
	queue_judge(&n->queue);
	queue_free(&n->queue, false);
	played_forget(n);
}

static bool played_ready(struct played *n)
{
	return atomic_load(&n->queue.segment->status->state) == STATUS_ACTIVE;
}

/* Its successor begins beside it, and goes on when it has left. */
static void played_hand_over(struct played *n)
{
	struct spawned child;
	siginfo_t info = {0};
	int control;

	EQ(0, control_send(n->control, CONTROL_HOLD));
	UNTIL(control_receive(n->control) == CONTROL_HELD);
	played_start(n, "--follow", &child, &control);
	UNTIL(control_receive(control) == CONTROL_CAUGHT_UP);
	EQ(0, control_send(n->control, CONTROL_LEAVE));
	EQ(8, write(n->queue.wake, &(uint64_t){1}, 8));
	UNTIL(control_receive(n->control) == CONTROL_LEFT);
	while (played_round())
		;
	queue_note_left(&n->queue);
	played_forget(n);
	atomic_store(&n->queue.segment->status->state, STATUS_UNUSED);
	status_set(&n->queue.segment->status->reached, ring_tail(&n->queue.segment->request));
	EQ(0, waitid(P_PIDFD, (id_t)n->child.pidfd, &info, WEXITED));
	(void)close(n->child.pidfd);
	(void)close(n->control);
	n->child = child;
	n->control = control;
	EQ(0, control_send(n->control, CONTROL_GO));
	UNTIL(played_ready(n));
}

/* ---- orders and leases ---- */

static uint32_t played_life(struct played *n)
{
	return atomic_load(&n->queue.segment->status->life);
}

/* Members: bits of node numbers that are needed, and of learners. */
static void played_order(struct played *n, enum order_kind kind, uint32_t partition, uint32_t epoch,
			 uint32_t needed, uint32_t learners)
{
	struct parcel_order o = {
		.head = {sizeof(o), PARCEL_ORDER, (uint16_t)partition, 0, 0},
		.number = ++n->orders,
		.term = term_make(epoch, kind == ORDER_LEAD ? played_life(n) : 0),
		.kind = kind,
		.flags = order_flags,
		.may_append = 1,
	};

	for (uint32_t i = 1; i <= NODES; i++)
		if (i != n->number && ((needed | learners) >> i & 1))
			o.member[o.count++] = (struct order_member){
				{1000 + i, i, 0},
				(needed >> i & 1 ? MEMBER_NEEDED : 0u) |
					(learners >> i & 1 ? MEMBER_LEARNER : 0u)
                        };
	EQ(0, arrive_push(&n->queue, &o, sizeof(o)));
}

static void played_lease(struct played *n, uint32_t partition, uint32_t epoch, bool on)
{
	lease_write(&n->queue.segment->lease[partition],
		    &(struct lease){epoch, on ? UINT64_MAX : 0, on ? UINT64_MAX : 0});
}

/* ---- requests ---- */

static struct item played_item(char *data, const char *bucket, const char *key, const char *value,
			       uint8_t method)
{
	size_t nb = strlen(bucket);
	size_t nk = key ? strlen(key) : 0;
	size_t nv = value ? strlen(value) : 0;
	char *p = write_request_head(data, asked_count, method, !!nb + 1u * !!key + !!value);
	struct item it = {.msgid = asked_count,
			  .data = data,
			  .timeout_ms = 20000,
			  .next = ITEM_NONE,
			  .method = method};

	if (nb) {
		p = write_bin(p, bucket, (uint32_t)nb);
		it.bucket = (struct span){p - nb, nb};
	}
	if (key) {
		p = write_bin(p, key, (uint32_t)nk);
		it.key = (struct span){p - nk, nk};
	}
	if (value) {
		p = write_bin(p, value, (uint32_t)nv);
		it.value = (struct span){p - nv, nv};
	}
	it.size = (uint32_t)(p - data);
	it.partition = nb ? (uint16_t)partition_of(it.bucket, PARTITIONS) : 0;
	return it;
}

/* Returns its number, the msgid. */
static uint8_t ask_gate; /* of what is asked for from now on */

static uint32_t ask(struct played *n, uint8_t method, const char *bucket, const char *key,
		    const char *value)
{
	static char data[70000];
	struct item it = played_item(data, bucket, key, value, method);

	it.gate = ask_gate;
	asked[asked_count] = (struct asked){.as = ASKED_OPEN};
	while (queue_push(&n->queue, (struct reply_to){0, 0, 0}, &it, 0, 1, queue_item_bytes(&it),
			  0, false) < 0)
		(void)played_round();
	return asked_count++;
}

static bool answered(uint32_t a)
{
	return asked[a].as != ASKED_OPEN;
}

static bool all_answered(uint32_t from)
{
	for (uint32_t i = from; i < asked_count; i++)
		if (!answered(i))
			return false;
	return true;
}

static void played_begin(void)
{
	static const struct modules_limits limits = {.node = "x", .memory_bytes = 1u << 20};

	asked_count = 0;
	ask_gate = 0;
	played_loses = NULL;
	memset(cut_from, 0, sizeof(cut_from));
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	EQ(0, modules_make(&limits, 1, NULL, 0, (struct span){"", 0}, &no_modules));
	for (uint32_t i = 1; i <= NODES; i++) {
		char text[1200];

		if (played[i].up) /* a test that failed has left it */
			(void)kill(played[i].child.pid, SIGKILL);
		(void)snprintf(text, sizeof(text), "rm -rf %s/node-%u", unit_folder(), i);
		EQ(0, system(text));
		played_open(i);
	}
	UNTIL(played_ready(&played[1]) && played_ready(&played[2]) && played_ready(&played[3]));
}

static void played_end(void)
{
	for (uint32_t i = 1; i <= NODES; i++) {
		if (played[i].up)
			played_kill(&played[i]);
		(void)close(played[i].queue.wake);
		segment_free(&played[i].queue.segment);
	}
	modules_free(&no_modules);
	(void)close(wake_fd);
}

#endif
