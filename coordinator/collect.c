/*
 * The round of all workers' queues: replies are taken and sent, deaths judged, what is overdue or
 * without hope answered.
 */
#include <stdio.h>

#include "common/log.h"
#include "coordinator/coord.h"

static bool alive(const struct worker *w)
{
	return w->pidfd >= 0;
}

static unsigned worker_collect(struct coord *c, struct worker *w)
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
		supervisor_kill(&c->supervisor, w);
	}
	return n;
}

unsigned collect_replies(struct coord *c)
{
	struct supervisor *s = &c->supervisor;
	unsigned n = 0;

	for (uint32_t i = 0; i < s->count; i++)
		n += worker_collect(c, &s->worker[i]);
	/* What is sent was copied out of the rings: now they can be written over. */
	clients_flush(c->clients);
	if (!n)
		return 0;
	for (uint32_t i = 0; i < s->count; i++)
		queue_taken(&s->worker[i].queue, alive(&s->worker[i]));
	return n;
}

void collect_left(void *arg, struct worker *w)
{
	struct coord *c = arg;

	while (collect_replies(c))
		;
	queue_free(&w->queue, alive(w));
	clients_flush(c->clients);
}

void collect_death(void *arg, struct worker *w)
{
	struct coord *c = arg;

	while (collect_replies(c))
		;
	queue_judge(&w->queue);
	queue_free(&w->queue, alive(w));
	clients_flush(c->clients);
}

bool collect_hopeless(const struct worker *w)
{
	return w->state == WORKER_FAILED || (w->state == WORKER_DOWN && !w->wanted);
}

uint64_t collect_tick(struct coord *c)
{
	uint64_t next = UINT64_MAX;
	char text[400];

	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker *w = &c->supervisor.worker[i];
		uint64_t due = queue_expire(&w->queue, alive(w));

		next = due < next ? due : next;
	}
	for (uint32_t i = 0; i < c->supervisor.count; i++) {
		struct worker *w = &c->supervisor.worker[i];

		queue_free(&w->queue, alive(w));
		if (!collect_hopeless(w) || !queue_waiting(&w->queue))
			continue;
		(void)snprintf(text, sizeof(text), "worker %u %s: %s", w->id,
			       w->state == WORKER_FAILED ? "has failed" : "was stopped", w->reason);
		queue_fail(&w->queue, text);
	}
	return next == UINT64_MAX ? next : next + OVERDUE_GRACE_MS;
}
