/* The clock, the list of events, chance, and what is written down. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/hash.h"

struct event {
	uint64_t at_us;
	uint64_t order;
	void (*run)(void *arg);
	void *arg;
};

struct allocation {
	struct allocation *next;
	_Alignas(16) char data[];
};

struct world world;
static struct event *heap;
static size_t heap_count;
static size_t heap_room;
static uint64_t order;
static uint64_t random_state;
static struct allocation *allocations;

void world_open(uint64_t seed, bool trace)
{
	world = (struct world){.seed = seed, .trace = trace, .now_us = 1000 * 1000 * 1000ull};
	random_state = seed;
	order = 0;
	heap_count = 0;
}

void world_close(void)
{
	struct allocation *next;

	for (struct allocation *a = allocations; a; a = next) {
		next = a->next;
		free(a);
	}
	allocations = NULL;
	free(heap);
	heap = NULL;
	heap_room = 0;
	heap_count = 0;
}

void *world_alloc(size_t n)
{
	struct allocation *a = calloc(1, sizeof(*a) + n);

	check(a);
	a->next = allocations;
	allocations = a;
	return a->data;
}

/* ---- events: a binary heap ---- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

void world_at(uint64_t at_us, void (*run)(void *arg), void *arg)
{
	struct event e = {at_us < world.now_us ? world.now_us : at_us, order++, run, arg};
	size_t i = heap_count++;

	if (heap_count > heap_room) {
		heap_room = heap_room ? 2 * heap_room : 1024;
		heap = realloc(heap, heap_room * sizeof(*heap));
		check(heap);
	}
	for (; i && before(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = e;
}

static struct event pop(void)
{
	struct event first = heap[0];
	struct event last = heap[--heap_count];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= heap_count)
			break;
		if (child + 1 < heap_count && before(&heap[child + 1], &heap[child]))
			child++;
		if (!before(&heap[child], &last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return first;
}

void world_run(uint64_t until_us)
{
	while (heap_count && heap[0].at_us <= until_us && !world.failed) {
		struct event e = pop();

		world.now_us = e.at_us;
		world.events++;
		e.run(e.arg);
	}
	if (!world.failed && world.now_us < until_us)
		world.now_us = until_us;
}

/* ---- chance ---- */

static uint64_t next_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t world_random(uint64_t below)
{
	return next_random() % below;
}

uint64_t world_between(uint64_t least, uint64_t most)
{
	return least + next_random() % (most - least + 1);
}

bool world_chance(unsigned percent)
{
	return next_random() % 100 < percent;
}

/* ---- what is written down ---- */

void world_note(const char *fmt, ...)
{
	char line[1200];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	world.hash = hash64(world.hash ^ world.now_us, line, strlen(line));
	if (world.trace)
		(void)fprintf(stderr, "%10.3f  %s\n",
			      (double)(world.now_us - 1000 * 1000 * 1000ull) / 1000, line);
}

void world_fail(const char *fmt, ...)
{
	va_list ap;

	if (world.failed)
		return;
	world.failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(world.failure, sizeof(world.failure), fmt, ap);
	va_end(ap);
	world_note("FAILED: %s", world.failure);
}
