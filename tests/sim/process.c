/* A worker: requests from its ring through the model into its reply rings; deaths and successors.
 */
#include "tests/sim/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/check.h"
#include "common/clock.h"
#include "ipc/shm/control.h"
#include "ipc/wire/reply.h"
#include "tests/sim/history.h"
#include "tests/sim/node.h"
#include "tests/sim/system.h"
#include "tests/sim/world.h"

#define RUN_MOST 8u /* requests in one step */
#define IDLE_US  (100 * WORLD_MS)
#define STEP_US  5u
#define LOCK_US  (5 * WORLD_MS) /* between looks at a lock */
#define ROOM     4096u          /* that the replies to one request may take, with their block */

/* Requests that a predecessor left, and their replies as far as the replay gives them. */
struct left {
	uint64_t identity;
	uint64_t record;
	uint32_t index;
	bool answered;
	uint32_t size;
	char reply[STORE_REPLY];
};

struct recovered {
	struct left *left;
	uint32_t count;
	uint32_t room;
};

static struct process *first;

static void step(void *arg);

/* ---- turns ---- */

static void wake_at(struct process *p, uint64_t at_us)
{
	if (at_us >= p->wake_us && p->wake_us >= world.now_us)
		return;
	p->wake_us = at_us;
	world_at(at_us, step, p);
}

void process_wake(struct process *p)
{
	if (p->state != PROCESS_DEAD)
		wake_at(p, world.now_us + STEP_US);
}

struct process *process_new(struct sim_node *node, int segment_fd, int wake_fd, int coordinator_fd,
			    struct channel *channel)
{
	struct process *p = world_alloc(sizeof(*p));

	check(segment_attach(dup(segment_fd), &p->segment) == 0);
	p->next = first;
	first = p;
	p->node = node;
	p->worker = p->segment->header->settings.worker;
	p->store = node->store[p->worker];
	p->wake_fd = wake_fd;
	p->coordinator_fd = coordinator_fd;
	p->channel = channel;
	p->wake_us = WORLD_NEVER;
	if (world.now_us < p->store->crashes_until_us)
		p->doom = 1 + (uint32_t)world_random(40);
	/* Usually exec takes some ms; nobody may count on it. */
	wake_at(p, world.now_us + (world_chance(20)   ? world_between(1, 50)
				   : world_chance(80) ? world_between(500, 20 * WORLD_MS)
						      : world_between(WORLD_MS, 500 * WORLD_MS)));
	return p;
}

struct process *process_find(pid_t pid)
{
	struct process *p = first;

	while (p && p->pid != pid)
		p = p->next;
	return p;
}

struct process *process_of_pidfd(int fd)
{
	struct process *p = first;

	while (p && p->pidfd != fd)
		p = p->next;
	return p;
}

struct process *processes(void)
{
	return first;
}

void processes_close(void)
{
	for (struct process *p = first; p; p = p->next) {
		segment_free(&p->segment);
		if (p->recovered)
			free(p->recovered->left);
	}
	first = NULL;
}

/* ---- the end ---- */

/* Two may die in one request, not knowing it. */
static void death_in(struct process *p, struct ask *a)
{
	struct sim_store *s = p->store;
	char text[400];

	a->deaths++;
	s->died_times = s->died_in == a ? s->died_times + 1 : 1;
	s->died_in = a;
	if (s->died_times > 2 && a->method != WIRE_BUCKETS) /* many workers are asked that */
		world_fail("it killed %u workers in a row: %s", s->died_times,
			   ask_text(a, text, sizeof(text)));
}

static void end(struct process *p, bool killed, int status)
{
	if (p->state == PROCESS_DEAD)
		return;
	p->state = PROCESS_DEAD;
	p->killed = killed;
	p->exit_status = status;
	if (p->store->owner == p)
		store_lose(p->store);
	segment_free(&p->segment);
	if (p->recovered) {
		free(p->recovered->left);
		p->recovered = NULL;
	}
	if (p->running)
		death_in(p, p->running);
	else
		p->store->died_in = NULL;
	world_note("%s worker %u pid %d %s %d", p->node->name, p->worker, (int)p->pid,
		   killed ? "is killed by" : "ends with", status);
	channel_close(p->channel);
	if (!p->orphan)
		node_wake(p->node);
}

void process_kill(struct process *p)
{
	end(p, true, SIGKILL);
}

/* A place where a death may come in between.  True: it has. */
static bool point(struct process *p)
{
	if (p->doom && !--p->doom)
		process_kill(p);
	return p->state == PROCESS_DEAD;
}

/* ---- publishing ---- */

static void coordinator_wake(struct process *p)
{
	if (sleep_must_wake(&p->segment->status->coordinator_sleeps))
		system_wake(p->coordinator_fd);
}

/* A sync that was begun for a process, with what it lets be seen. */
struct sync {
	struct process *process;
	uint64_t mark;
	uint64_t lsn;
};

static void sync_begin(struct process *p);

/* Where it is on disk, and not yet published: a death may come in between. */
static void synced_publish(void *arg)
{
	struct sync *y = arg;
	struct process *p = y->process;

	if (p->state == PROCESS_DEAD)
		return;
	ring_publish(&p->segment->durable, y->mark);
	status_set(&p->segment->status->synced, y->lsn);
	coordinator_wake(p);
	p->store->syncing = false;
	sync_begin(p);
}

static void sync_end(void *arg)
{
	struct sync *y = arg;

	if (y->process->state == PROCESS_DEAD)
		return;
	y->process->store->synced = y->lsn;
	world_at(world.now_us + world_random(50), synced_publish, y);
}

/* One at a time; what is submitted meanwhile goes with the next. */
static void sync_begin(struct process *p)
{
	struct sim_store *s = p->store;
	struct sync *y;

	if (s->syncing ||
	    (p->submitted_lsn == s->synced && p->submitted_mark == ring_head(&p->segment->durable)))
		return;
	s->syncing = true;
	y = world_alloc(sizeof(*y));
	*y = (struct sync){p, p->submitted_mark, p->submitted_lsn};
	world_at(world.now_us + world_between(s->sync_least_us, s->sync_most_us), sync_end, y);
}

/* What is finished may be seen; what has to wait is handed to the sync. */
static bool publish(struct process *p)
{
	struct segment *g = p->segment;

	replies_close(&p->replies);
	if (g->immediate.write != ring_head(&g->immediate)) {
		if (point(p))
			return false;
		ring_publish(&g->immediate, g->immediate.write);
		if (point(p))
			return false;
		coordinator_wake(p);
	}
	if (p->store->lsn != p->submitted_lsn || g->durable.write != p->submitted_mark) {
		if (point(p))
			return false;
		p->submitted_lsn = p->store->lsn;
		p->store->submitted = p->store->lsn;
		p->submitted_mark = g->durable.write;
		sync_begin(p);
	}
	return true;
}

/* ---- replies ---- */

static bool has_room(struct process *p)
{
	return ring_space(&p->segment->immediate) >= ROOM &&
	       ring_space(&p->segment->durable) >= ROOM;
}

static void reply_put(struct process *p, enum segment_ring which, uint64_t record, uint32_t index,
		      const char *data, uint32_t n)
{
	char *at = replies_room(&p->replies, which, record, index, n);

	check(at);
	memcpy(at, data, n);
	replies_done(&p->replies, which, at + n);
}

/* ---- a predecessor's requests ---- */

static struct left *left_find(const struct process *p, uint64_t identity)
{
	for (uint32_t i = 0; p->recovered && i < p->recovered->count; i++)
		if (p->recovered->left[i].identity == identity)
			return &p->recovered->left[i];
	return NULL;
}

static void left_add(struct recovered *r, uint64_t at, uint32_t i)
{
	if (r->count == r->room) {
		r->room = r->room ? 2 * r->room : 16;
		r->left = realloc(r->left, r->room * sizeof(*r->left));
		check(r->left);
	}
	r->left[r->count++] = (struct left){.identity = at + i, .record = at, .index = i};
}

static void left_gather(struct process *p)
{
	struct ring *ring = &p->segment->request;
	uint64_t head = ring_head(ring);

	p->recovered = world_alloc(sizeof(*p->recovered));
	for (uint64_t at = ring_tail(ring); at < head;) {
		const struct request_record *rec = ring_at(ring, at);

		for (uint32_t i = 0; i < rec->count; i++)
			if (entry_is_open(rec, i))
				left_add(p->recovered, at, i);
		at += rec->size;
	}
}

/* Reads that were sent before the request `identity` run before it. */
static void reads_before(struct process *p, uint64_t identity)
{
	struct recovered *r = p->recovered;

	for (uint32_t i = 0; i < r->count && r->left[i].identity < identity; i++) {
		struct left *l = &r->left[i];
		struct store_answer answer;
		struct asked a;

		if (l->size ||
		    !entry_read(ring_at(&p->segment->request, l->record), l->index, &a) ||
		    method_is(a.method, METHOD_WRITES))
			continue;
		history_ran(a.msgid, p->node, true);
		store_run(p->store, &a, 0, 0, &answer);
		memcpy(l->reply, answer.reply, answer.size);
		l->size = answer.size;
	}
}

/* Read the log from its begin, and answer from it what is in it. */
static void replay(struct process *p)
{
	struct sim_store *s = p->store;
	uint64_t generation = p->segment->header->generation;

	left_gather(p);
	store_replay_begin(s);
	for (uint64_t lsn = 1; lsn <= s->lsn; lsn++) {
		const struct store_record *r = &s->log[lsn - 1];
		struct left *l = NULL;

		if (r->generation == generation) {
			reads_before(p, r->identity);
			l = left_find(p, r->identity);
		}
		store_replay(s, lsn);
		if (l && !l->size)
			l->size = store_record_reply(r, l->reply);
	}
}

/* ---- starting ---- */

static void state_set(struct process *p, enum worker_status_state state)
{
	atomic_store(&p->segment->status->state, (uint32_t)state);
}

/* It has the segment for itself. */
static void enter(struct process *p)
{
	struct segment *g = p->segment;

	state_set(p, STATUS_STARTING);
	ring_attach(&g->immediate, g->immediate.control, g->immediate.data, g->immediate.size);
	ring_attach(&g->durable, g->durable.control, g->durable.data, g->durable.size);
	replies_init(&p->replies, g, &world.now_us);
	p->read = ring_tail(&g->request);
	p->index = 0;
	p->submitted_mark = g->durable.write;
}

static void begin(struct process *p)
{
	if (p->store->owner) { /* a worker of the coordinator before, which will see that it is gone
				*/
		wake_at(p, world.now_us + LOCK_US);
		return;
	}
	p->store->owner = p;
	enter(p);
	replay(p);
	p->state = PROCESS_REPLAYING;
	if (point(p))
		return;
	/* The log is written anew and synced before anything of it is told. */
	wake_at(p, world.now_us + world_between(p->store->sync_least_us, p->store->sync_most_us) +
			   p->store->lsn);
}

static void ready(struct process *p)
{
	struct recovered *r = p->recovered;

	p->store->synced = p->store->lsn;
	if (point(p))
		return;
	for (uint32_t i = 0; i < r->count; i++) {
		struct left *l = &r->left[i];

		if (!l->size)
			continue;
		if (!has_room(p)) {
			world_fail("no room for the replies of a replay");
			return;
		}
		reply_put(p, RING_DURABLE, l->record, l->index, l->reply, l->size);
		l->answered = true;
	}
	p->submitted_lsn = p->store->lsn;
	p->state = PROCESS_SERVING;
	state_set(p, STATUS_ACTIVE);
	if (!publish(p) || point(p))
		return;
	(void)channel_send(p->channel, CONTROL_READY);
	process_wake(p);
}

/* ---- serving ---- */

static void run(struct process *p, const struct request_record *rec)
{
	struct worker_status *status = p->segment->status;
	uint64_t identity = p->read + p->index;
	struct store_answer answer = {.size = 0};
	struct asked a;

	if (!entry_read(rec, p->index, &a)) {
		world_fail("a worker was given a request that cannot be read");
		return;
	}
	status_set(&status->executing, identity + 1);
	p->running = history_of(a.msgid);
	if (p->poisoned && p->running && a.method != WIRE_BUCKETS) {
		*(world_chance(50) ? &p->running->poison : &p->running->opium) = true;
		p->poisoned = false;
	}
	if (p->running && p->running->poison) {
		process_kill(p);
		return;
	}
	p->hung = p->running && p->running->opium;
	if (p->hung)
		return;
	if (point(p))
		return;
	if (clock_ms() >= a.deadline_ms) {
		answer.size = (uint32_t)(write_error(answer.reply, a.msgid, true, WIRE_E_EXPIRED,
						     "its time was over before it was started") -
					 answer.reply);
	} else {
		history_ran(a.msgid, p->node, false);
		store_run(p->store, &a, p->segment->header->generation, identity, &answer);
		if (point(p))
			return;
		if (!answer.changed && method_is(a.method, METHOD_WRITES) &&
		    answer.observed > p->store->synced)
			store_outcome_log(p->store, &a, p->segment->header->generation, identity,
					  &answer);
	}
	reply_put(p, answer.observed > p->store->synced ? RING_DURABLE : RING_IMMEDIATE, p->read,
		  p->index, answer.reply, answer.size);
	(void)point(p);
}

/* One request, or the end of a record.  False: there is none, or it cannot be now. */
static bool serve(struct process *p)
{
	struct ring *ring = &p->segment->request;
	const struct request_record *rec = ring_at(ring, p->read);
	const struct left *l;

	if (p->read == ring_head(ring) || !has_room(p))
		return false;
	l = left_find(p, p->read + p->index);
	if (entry_is_open(rec, p->index) && !(l && l->answered))
		run(p, rec);
	if (p->state == PROCESS_DEAD || p->hung)
		return false;
	if (++p->index < rec->count)
		return true;
	p->read += rec->size;
	p->index = 0;
	atomic_store_explicit(&p->segment->status->reached, p->read, memory_order_release);
	return true;
}

static void goodbye(struct process *p)
{
	state_set(p, STATUS_GOODBYE);
	end(p, false, 0);
}

static bool control_read(struct process *p)
{
	int m;

	while ((m = channel_receive(p->channel)) > 0)
		p->stop |= m == CONTROL_STOP;
	p->orphan |= m < 0;
	if (p->orphan || (p->stop && p->state != PROCESS_SERVING))
		goodbye(p);
	return p->state != PROCESS_DEAD;
}

/* What is logged and not synced is, before it says goodbye. */
static bool finished(const struct process *p)
{
	return !p->store->syncing && p->submitted_lsn == p->store->synced &&
	       p->submitted_mark == ring_head(&p->segment->durable);
}

static void serve_some(struct process *p)
{
	uint64_t most = 1 + world_random(RUN_MOST);
	uint64_t n = 0;

	sleep_end(&p->segment->status->worker_sleeps);
	p->finishing |= p->stop && p->read == ring_head(&p->segment->request) && !p->index;
	while (n < most && !p->finishing && serve(p))
		n++;
	if (p->state == PROCESS_DEAD || p->hung || world.failed)
		return;
	if (p->finishing || p->read == ring_head(&p->segment->request) || world_chance(60)) {
		status_set(&p->segment->status->executing, 0);
		p->running = NULL;
		if (!publish(p))
			return;
	}
	if (n) {
		wake_at(p, world.now_us + n * (STEP_US + p->slow_us));
		return;
	}
	if (p->finishing && finished(p)) {
		goodbye(p);
		return;
	}
	sleep_begin(&p->segment->status->worker_sleeps);
	wake_at(p, world.now_us + (p->stop || !has_room(p) ? WORLD_MS : IDLE_US));
}

static void step(void *arg)
{
	struct process *p = arg;

	if (p->state == PROCESS_DEAD || world.now_us < p->wake_us)
		return;
	p->wake_us = WORLD_NEVER;
	system_node = p->node; /* its machine's clock */
	if (p->hung) {
		/* Only the coordinator's end can reach it, and the supervisor. */
	} else if (control_read(p)) {
		status_set(&p->segment->status->heartbeat_ms, clock_ms());
		if (p->state == PROCESS_WAITING)
			begin(p);
		else if (p->state == PROCESS_REPLAYING)
			ready(p);
		else
			serve_some(p);
	}
	system_node = NULL;
}
