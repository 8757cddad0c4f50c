#include "tests/replica/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

#define ARENA_SIZE (96u << 20) /* touched only as far as a run needs */
#define EVENTS_MAX 65536u
#define CLASSES    12u /* of blocks that are given back: 64 bytes and its doubles */
#define LINES      512u
#define LINE_SIZE  200u

/*
 * What is to happen soon lies on a wheel: a list for each BUCKET_US of the next WHEEL_US, in order.
 * What is to happen later lies in a heap until then.
 */
#define BUCKET_BITS 7u
#define BUCKETS     2048u
#define WHEEL_US    ((uint64_t)BUCKETS << BUCKET_BITS)
#define ORDER_BITS  24u
#define NONE        UINT32_MAX

struct event {
	uint64_t key; /* when, and behind it the order: what was asked for first happens first */
	event_run *run;
	void *who;
	uint64_t a;
	void *bytes;
	uint32_t next; /* in its list */
};

struct due {
	uint64_t key;
	uint32_t slot;
};

struct block {
	uint64_t class;
	struct block *next;
};

struct world world;
const char *const count_name[COUNT_END] = {
#define X(id, text) text,
	COUNTS(X)
#undef X
};

static uint64_t chance_state;
static char *arena;
static size_t arena_used;
static struct block *given[CLASSES];
static struct event *events;
static uint32_t *slots_free;
static uint32_t slots_free_count, slots_used;
static struct due *heap;
static uint32_t heap_count, order;
static uint32_t bucket[BUCKETS];
static uint64_t bucket_has[BUCKETS / 64]; /* a bit each: it is not empty */
static uint64_t wheel_at;                 /* the bucket of now, or one that is before all events */
static char (*lines)[LINE_SIZE];
static uint64_t line_count;

/* ---- chance ---- */

uint64_t chance_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t chance_u64(void)
{
	return chance_next(&chance_state);
}

void chance_stir(uint32_t jitter)
{
	chance_state += jitter * 0xa0761d6478bd642fu;
}

uint32_t chance_below(uint32_t n)
{
	return (uint32_t)((chance_u64() >> 32) * n >> 32);
}

uint64_t chance_range(uint64_t lo, uint64_t hi)
{
	return lo + (hi - lo < UINT32_MAX ? chance_below((uint32_t)(hi - lo) + 1)
					  : chance_u64() % (hi - lo + 1));
}

bool chance_ppm(uint32_t ppm)
{
	return chance_below(1000000) < ppm;
}

/* ---- memory ---- */

static void *arena_take(size_t size)
{
	void *p = arena + arena_used;

	size = (size + 15) & ~(size_t)15;
	check(arena_used + size <= ARENA_SIZE);
	arena_used += size;
	return p;
}

void *keep(size_t size)
{
	void *p = arena_take(size);

	memset(p, 0, size);
	return p;
}

void *take(size_t size)
{
	uint64_t class = 0;
	struct block *b;

	while ((64u << class) < size + sizeof(*b))
		class ++;
	check(class < CLASSES);
	b = given[class];
	if (b)
		given[class] = b->next;
	else
		b = arena_take(64u << class);
	b->class = class;
	return b + 1;
}

void give(void *p)
{
	struct block *b = (struct block *)p - 1;

	b->next = given[b->class];
	given[b->class] = b;
}

/* ---- what is to happen ---- */

static void wheel_add(uint32_t slot)
{
	uint64_t at = events[slot].key >> ORDER_BITS >> BUCKET_BITS;
	uint32_t *link = &bucket[at % BUCKETS];

	bucket_has[at % BUCKETS / 64] |= (uint64_t)1 << at % 64;
	while (*link != NONE && events[*link].key < events[slot].key)
		link = &events[*link].next;
	events[slot].next = *link;
	*link = slot;
}

static void heap_add(struct due d)
{
	uint32_t i = heap_count++;

	while (i) {
		uint32_t up = (i - 1) / 4;

		if (d.key > heap[up].key)
			break;
		heap[i] = heap[up];
		i = up;
	}
	heap[i] = d;
}

static void heap_pop(void)
{
	struct due d = heap[--heap_count];
	uint32_t i = 0;

	for (;;) {
		uint32_t first = 4 * i + 1, least = first;

		for (uint32_t k = first + 1; k < first + 4 && k < heap_count; k++)
			if (heap[k].key < heap[least].key)
				least = k;
		if (first >= heap_count || heap[least].key > d.key)
			break;
		heap[i] = heap[least];
		i = least;
	}
	heap[i] = d;
}

void world_at(uint64_t at, event_run *run, void *who, uint64_t a, void *bytes)
{
	uint32_t slot = slots_free_count ? slots_free[--slots_free_count] : slots_used++;
	uint64_t time = at < world.now ? world.now : at;

	check(slot < EVENTS_MAX && order < 1u << ORDER_BITS);
	events[slot] = (struct event){time << ORDER_BITS | order++, run, who, a, bytes, NONE};
	if ((time >> BUCKET_BITS) < wheel_at + BUCKETS)
		wheel_add(slot);
	else
		heap_add((struct due){events[slot].key, slot});
}

void world_after(uint64_t us, event_run *run, void *who, uint64_t a, void *bytes)
{
	world_at(world.now + us, run, who, a, bytes);
}

/* Move what is to happen soon now onto the wheel. */
static void wheel_fill(void)
{
	while (heap_count && (heap[0].key >> ORDER_BITS >> BUCKET_BITS) < wheel_at + BUCKETS) {
		uint32_t slot = heap[0].slot;

		heap_pop();
		wheel_add(slot);
	}
}

/* To the next bucket that is not empty, but not beyond that of `until`.  False: there is none. */
static bool wheel_turn(uint64_t until)
{
	uint64_t last = until >> BUCKET_BITS;

	for (;;) {
		uint64_t left = bucket_has[wheel_at % BUCKETS / 64] >> wheel_at % 64;
		uint64_t to =
			wheel_at + (left ? (uint64_t)__builtin_ctzll(left) : 64 - wheel_at % 64);

		if (to > last) {
			wheel_at = last;
			return false;
		}
		wheel_at = to;
		if (left)
			return true;
		wheel_fill();
	}
}

void world_run(uint64_t until)
{
	while (!world.over) {
		uint32_t slot;
		struct event e;

		wheel_fill();
		if (!wheel_turn(until))
			break;
		slot = bucket[wheel_at % BUCKETS];
		e = events[slot];
		if (e.key >> ORDER_BITS >= until)
			break;
		bucket[wheel_at % BUCKETS] = e.next;
		if (e.next == NONE)
			bucket_has[wheel_at % BUCKETS / 64] &= ~((uint64_t)1 << wheel_at % 64);
		slots_free[slots_free_count++] = slot;
		world.now = e.key >> ORDER_BITS;
		world.count[COUNT_EVENTS]++;
		e.run(e.who, e.a, e.bytes);
	}
	if (!world.over)
		world.now = until;
}

void world_forget(void)
{
	heap_count = order = 0;
	slots_free_count = slots_used = 0;
	wheel_at = 0;
	memset(bucket, 0xff, sizeof(bucket));
	memset(bucket_has, 0, sizeof(bucket_has));
}

static void *allocated(size_t count, size_t size)
{
	void *p = malloc(count * size);

	check(p != NULL);
	return p;
}

void world_begin(uint64_t seed)
{
	bool trace = world.trace, tell = world.trace_tell;

	if (!arena) {
		arena = allocated(ARENA_SIZE, 1);
		events = allocated(EVENTS_MAX, sizeof(*events));
		slots_free = allocated(EVENTS_MAX, sizeof(*slots_free));
		heap = allocated(EVENTS_MAX, sizeof(*heap));
		lines = allocated(LINES, sizeof(*lines));
	}
	memset(&world, 0, sizeof(world));
	memset(given, 0, sizeof(given));
	arena_used = 0;
	line_count = 0;
	world_forget();
	chance_state = seed * 0xd1342543de82ef95u + 1;
	world.seed = seed;
	world.trace = trace;
	world.trace_tell = tell;
	count(COUNT_RUNS);
}

/* ---- what is found ---- */

void trace_line(const char *text, ...)
{
	char *line = lines[line_count++ % LINES];
	int n = snprintf(line, LINE_SIZE, "%9.3f  ", (double)world.now / 1000);
	va_list ap;

	va_start(ap, text);
	(void)vsnprintf(line + n, LINE_SIZE - (size_t)n, text, ap);
	va_end(ap);
	if (world.trace_tell)
		(void)puts(line);
}

void violate(const char *text, ...)
{
	va_list ap;

	if (world.bad_count < BAD_MAX) {
		char *bad = world.bad[world.bad_count++];

		va_start(ap, text);
		(void)vsnprintf(bad, sizeof(world.bad[0]), text, ap);
		va_end(ap);
		TRACE("WRONG: %s", bad);
	}
	world.over = true;
}

void trace_print(uint32_t max)
{
	uint64_t first = line_count > LINES ? line_count - LINES : 0;

	if (line_count - first > max)
		first = line_count - max;
	for (uint64_t i = first; i < line_count; i++)
		(void)puts(lines[i % LINES]);
}
