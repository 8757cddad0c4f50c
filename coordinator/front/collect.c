/* All queues in turn. */
#include "coordinator/front/collect.h"

#include "coordinator/cluster/membership.h"

#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "coordinator/clients/outgoing.h"
#include "coordinator/queue/turns.h"

#define COPY_BYTES (64u << 10) /* from so many on a copy is worth a look at the clock */

static bool alive(const struct worker *w)
{
	return w->pidfd >= 0;
}

static unsigned worker_collect(struct front *front, struct worker *w)
{
	bool corrupted = false;
	unsigned n;

	/* First: an outcome that was not known in time is none.  A dead worker's replies count:
	 * they tell what it had started. */
	if (alive(w))
		(void)queue_expire(&w->queue, true);
	n = queue_take(&w->queue, &corrupted);
	if (corrupted) {
		log_error("worker %u has corrupted its reply ring: killing it", w->id);
		supervisor_kill(front->supervisor, w);
	}
	return n;
}

/* Send what has gathered, and notice how long that takes where it is much. */
static void flush(struct front *front)
{
	uint64_t bytes = clients_gathered(front->clients);
	uint64_t begun_us = bytes >= COPY_BYTES ? clock_us() : 0;
	uint64_t *known = &front->node->copy_ps;
	uint64_t ps;

	clients_flush(front->clients);
	if (bytes < COPY_BYTES)
		return;
	ps = (clock_us() - begun_us) * 1000000 / bytes;
	*known = ps > *known ? *known + (ps - *known) / 2 : *known - (*known - ps) / 8;
}

/* Who waits for his turn gets it.  A worker that is to stop runs all of them before. */
static void turns_go(struct worker *w)
{
	if (w->wanted)
		turns_step(&w->queue);
	else
		turns_flush(&w->queue);
	queue_wake(&w->queue);
}

unsigned collect_replies(struct front *front)
{
	struct supervisor *s = front->supervisor;
	unsigned n = 0;

	for (uint32_t i = 0; i < s->count; i++)
		n += worker_collect(front, &s->worker[i]);
	/* What is sent was copied out of the rings: now they can be written over. */
	flush(front);
	for (uint32_t i = 0; n && i < s->count; i++)
		queue_taken(&s->worker[i].queue, alive(&s->worker[i]));
	for (uint32_t i = 0; i < s->count; i++)
		turns_go(&s->worker[i]);
	return n;
}

static void left(void *arg, struct worker *w)
{
	struct front *front = arg;

	while (collect_replies(front))
		;
	queue_note_left(&w->queue);
	arrive_void(&w->queue);
	if (front->membership)
		membership_worker_down(front->membership, w);
	queue_free(&w->queue, alive(w));
	clients_flush(front->clients);
}

static void died(void *arg, struct worker *w)
{
	struct front *front = arg;

	while (collect_replies(front))
		;
	if (w->state == WORKER_KILLING)
		queue_note_hung(&w->queue);
	queue_judge(&w->queue);
	arrive_void(&w->queue);
	if (front->membership)
		membership_worker_down(front->membership, w);
	queue_free(&w->queue, alive(w));
	clients_flush(front->clients);
}

static bool hopeless(const struct worker *w)
{
	return w->state == WORKER_FAILED || (w->state == WORKER_DOWN && !w->wanted);
}

uint64_t collect_tick(struct front *front)
{
	uint64_t next = UINT64_MAX;
	char text[400];

	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		struct worker *w = &front->supervisor->worker[i];
		uint64_t due = queue_expire(&w->queue, alive(w));

		next = due < next ? due : next;
	}
	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		struct worker *w = &front->supervisor->worker[i];

		queue_free(&w->queue, alive(w));
		if (!hopeless(w) || !queue_waiting(&w->queue))
			continue;
		(void)snprintf(text, sizeof(text), "worker %u %s: %s", w->id,
			       w->state == WORKER_FAILED ? "has failed" : "was stopped", w->reason);
		queue_fail(&w->queue, text);
	}
	return next == UINT64_MAX ? next : next + OVERDUE_GRACE_MS;
}

bool collect_awaited(const struct front *front)
{
	for (uint32_t i = 0; i < front->supervisor->count; i++) {
		const struct worker *w = &front->supervisor->worker[i];

		if (queue_waiting(&w->queue) && !hopeless(w))
			return true;
	}
	return false;
}

struct handoff_hooks collect_hooks(struct front *front)
{
	return (struct handoff_hooks){left, died, front};
}
