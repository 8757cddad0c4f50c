/* Asking the node. */
#include "gateway/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

#define EVENTS_MOST 50

struct slot {
	struct feed *feed;
	enum feed_what what;
	bool asking;
	int status;
	char why[200];
	void *map;      /* a copy */
	uint64_t at_ms; /* 0: there is none, or it was none */
};

struct feed {
	struct pail *node;
	feed_done *done;
	void *arg;
	struct slot slots[FEED_COUNT];
	struct pail_args *newest; /* of events */
	uint64_t silent_since;
	bool closing;
};

static const struct {
	enum pail_method method;
	uint32_t timeout_ms;
} asks[FEED_COUNT] = {
	[FEED_METRICS] = {PAIL_METRICS,        3000},
	[FEED_STATUS] = {PAIL_STATUS,         1000},
	[FEED_EVENTS] = {PAIL_EVENTS,         1000},
	[FEED_CLUSTER] = {PAIL_CLUSTER_STATUS, 1000},
};

struct feed *feed_new(struct pail *node, feed_done *done, void *arg)
{
	struct feed *f = calloc(1, sizeof(*f));

	if (!f || pail_args_new(&f->newest) != PAIL_OK) {
		free(f);
		return NULL;
	}
	(void)pail_args_integer(f->newest, 0);
	(void)pail_args_integer(f->newest, EVENTS_MOST);
	f->node = node;
	f->done = done;
	f->arg = arg;
	for (int i = 0; i < FEED_COUNT; i++)
		f->slots[i] = (struct slot){
			.feed = f, .what = (enum feed_what)i, .status = PAIL_UNREACHABLE};
	return f;
}

void feed_free(struct feed **fp)
{
	struct feed *f = *fp;
	bool asking = false;

	if (!f)
		return;
	for (int i = 0; i < FEED_COUNT; i++) {
		free(f->slots[i].map);
		f->slots[i].map = NULL;
		asking |= f->slots[i].asking;
	}
	pail_args_free(&f->newest);
	f->closing = true;
	if (!asking)
		free(f);
	*fp = NULL;
}

/* Freed, and this was the last that it waited for? */
static void closing_step(struct feed *f)
{
	for (int i = 0; i < FEED_COUNT; i++)
		if (f->slots[i].asking)
			return;
	free(f);
}

static void ended(struct slot *s, int status, const char *why)
{
	s->status = status;
	s->at_ms = status == PAIL_OK ? clock_ms() : 0;
	(void)snprintf(s->why, sizeof(s->why), "%s: %s", pail_status_name(status), why);
	if (status == PAIL_TIMEOUT || status == PAIL_CLOSED || status == PAIL_UNREACHABLE ||
	    status == PAIL_EXPIRED) {
		if (!s->feed->silent_since)
			s->feed->silent_since = clock_wall_ms();
	} else {
		s->feed->silent_since = 0;
	}
}

static void on_result(void *arg, const struct pail_result *r)
{
	struct slot *s = arg;
	void *map = NULL;

	s->asking = false;
	if (s->feed->closing) {
		closing_step(s->feed);
		return;
	}
	if (r->status == PAIL_OK && r->map_size) {
		map = malloc(r->map_size);
		if (map)
			memcpy(map, r->map, r->map_size);
	}
	if (r->status == PAIL_OK && !map) {
		ended(s, PAIL_NO_MEMORY, "no memory, or no map");
	} else {
		/* the last one that there was stays when there is none */
		if (map) {
			free(s->map);
			s->map = map;
		}
		ended(s, r->status, r->text);
	}
	s->feed->done(s->feed->arg, s->what);
}

bool feed_ask(struct feed *f, enum feed_what what)
{
	struct slot *s = &f->slots[what];
	struct pail_request q = {.size = sizeof(q),
				 .method = asks[what].method,
				 .timeout_ms = asks[what].timeout_ms};
	int r;

	if (s->asking)
		return false;
	if (s->at_ms && clock_ms() - s->at_ms < FEED_FRESH_MS)
		return true;
	if (what == FEED_EVENTS)
		q.args = pail_args_packed(f->newest);
	s->asking = true;
	r = pail_submit(f->node, &q, on_result, s);
	if (r != PAIL_OK) {
		s->asking = false;
		ended(s, r, pail_why(f->node));
		return true;
	}
	return false;
}

int feed_status(const struct feed *f, enum feed_what what)
{
	return f->slots[what].status;
}

const char *feed_why(const struct feed *f, enum feed_what what)
{
	return f->slots[what].why;
}

struct pail_value feed_value(const struct feed *f, enum feed_what what)
{
	return (struct pail_value){f->slots[what].map};
}

uint64_t feed_silent_since(const struct feed *f)
{
	return f->silent_since;
}
